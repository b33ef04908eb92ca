"""Steps of the optimizers, in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn._kernels.dispatch import (
    OPTIMIZERS,
)
from fastnn._kernels.updates import step_tensor
from fastnn.kernels.checks import (
    ELEMENT_WORK,
    Array,
    _check_shape,
    _floats,
    _integer,
    _number,
    _threads,
    _whole,
    _writable,
)

__all__ = [
    "adadelta_step", "adagrad_step", "adam_step", "adamax_step", "adamw_step", "lion_step", "momentum_step",
    "nadam_step", "rmsprop_step", "sgd_step",
]


def _rate(name: str, value: float) -> float:
    """A decay rate of an average."""
    return _number(name, value, 0, 1, open_high=True)


def _betas(beta_1: float, beta_2: float) -> tuple[float, float]:
    return _rate("beta_1", beta_1), _rate("beta_2", beta_2)


def _epsilon(epsilon: float) -> float:
    return _number("epsilon", epsilon, 0)


def _step(kind: str, param: Any, grad: Any, slots: dict[str, Any], hyper: tuple[float, ...],
          learning_rate: float, weight_decay: float | None, n_threads: int | None,
          step: Any = 1, memory: float = 1.0) -> float:  # fmt: skip
    """One step of optimizer `kind` in place; `slots` in the order the kernel has them. Returns its memory."""
    learning_rate = _number("learning_rate", learning_rate, 0)
    decay = 0.0 if weight_decay is None else _number("weight_decay", weight_decay, 0)
    step = _integer("step", step, 1, 2**63)
    like = _floats("param", param)
    param = _writable("param", param, like, like.shape, whole=True)
    grad = _whole("grad", grad, param.shape, param)
    taken = [param, grad]
    _writable("param", param, param, param.shape, (grad,), whole=True)
    for name, slot in slots.items():
        taken.append(_writable(name, slot, param, param.shape, taken, whole=True))
    flat = [a.reshape(-1) for a in taken]
    threads = _threads(n_threads, ELEMENT_WORK * param.size)
    return calls.update(OPTIMIZERS[kind], flat[0], flat[1], tuple(flat[2:]), hyper, learning_rate, decay,
                        step, memory, threads)  # fmt: skip


def _tensor_step(kind: str, param: Any, grad: Any, slots: dict[str, tuple[Any, tuple[int, ...]]],
                 hyper: tuple[float, ...], learning_rate: float, weight_decay: float | None, n_threads: int | None,
                 step: Any, work: int) -> None:  # fmt: skip
    """One step of an optimizer that is not elementwise, in place; `slots` with the shapes they must have."""
    learning_rate = _number("learning_rate", learning_rate, 0)
    decay = 0.0 if weight_decay is None else _number("weight_decay", weight_decay, 0)
    step = _integer("step", step, 1, 2**63)
    like = _floats("param", param)
    param = _writable("param", param, like, like.shape, whole=True)
    grad = _floats("grad", grad, param)
    _check_shape("grad", grad, param.shape)
    taken = [param, grad]
    _writable("param", param, param, param.shape, (grad,), whole=True)
    for name, (slot, shape) in slots.items():
        taken.append(_writable(name, slot, param, shape, taken, whole=True))
    if not param.size:
        return
    direction = _padded_zeros(param.size, param.dtype)
    direction[...] = grad.reshape(-1)
    step_tensor(kind, OPTIMIZERS[kind], param, direction, taken[2:], hyper, learning_rate, decay, step,
                _threads(n_threads, work), _padded_zeros)


def _padded_zeros(n: int, dtype: Any) -> Array:
    """(n,) zeros with room behind them: products read panels whole."""
    return np.zeros(n + 64, dtype)[:n]


def sgd_step(param: Any, grad: Any, *, learning_rate: float = 0.01, weight_decay: float | None = None,
             n_threads: int | None = None) -> None:  # fmt: skip
    """Gradient descent: ``param -= learning_rate * grad``, in place.

    The rule of Keras' SGD without momentum.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    learning_rate : float, default 0.01
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import sgd_step
    >>> param = np.ones(2, dtype=np.float32)
    >>> sgd_step(param, np.array([1.0, -1.0], dtype=np.float32), learning_rate=0.5)
    >>> param
    array([0.5, 1.5], dtype=float32)
    """
    _step("sgd", param, grad, {}, (), learning_rate, weight_decay, n_threads)


def momentum_step(param: Any, grad: Any, velocity: Any, *, learning_rate: float = 0.01, momentum: float = 0.9,
                  nesterov: bool = False, weight_decay: float | None = None,
                  n_threads: int | None = None) -> None:  # fmt: skip
    """Gradient descent with momentum (Polyak, 1964) or Nesterov's (Sutskever et al., 2013), in place.

    ``velocity = momentum * velocity - learning_rate * grad``, then ``param += velocity``, or for Nesterov
    ``param += momentum * velocity - learning_rate * grad``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    velocity : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.01
    momentum : float, default 0.9
        In [0, 1].
    nesterov : bool, default False
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import momentum_step
    >>> param, velocity = np.ones(1), np.zeros(1)
    >>> momentum_step(param, np.ones(1), velocity, learning_rate=0.5)
    >>> param, velocity
    (array([0.5]), array([-0.5]))
    """
    kind = "nesterov" if nesterov else "momentum"
    hyper = (_number("momentum", momentum, 0, 1),)
    _step(kind, param, grad, {"velocity": velocity}, hyper, learning_rate, weight_decay, n_threads)


def rmsprop_step(param: Any, grad: Any, velocity: Any, momentum_buffer: Any = None, average: Any = None, *,
                 learning_rate: float = 0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
                 weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """RMSprop (Hinton, 2012), centered (Graves, 2013) if `average` is given, in place.

    ``velocity = rho * velocity + (1 - rho) * grad ** 2``, ``average = rho * average + (1 - rho) * grad``, and
    ``increment = learning_rate * grad / sqrt(velocity - average ** 2 + epsilon)``, the difference held at
    zero where it rounds below; ``momentum_buffer = momentum * momentum_buffer + increment`` is subtracted
    where it is given.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    velocity : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    momentum_buffer : ndarray, shape and dtype of `param`, optional
        Needed if `momentum` is not 0; zeros before the first step. Updated in place; C-contiguous.
    average : ndarray, shape and dtype of `param`, optional
        Average of the gradient: makes the rule the centered one; zeros before the first step. Updated in
        place; C-contiguous.
    learning_rate : float, default 0.001
    rho : float, default 0.9
        Decay of the averages, in [0, 1).
    momentum : float, default 0
        In [0, 1].
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import rmsprop_step
    >>> param, velocity = np.ones(1), np.zeros(1)
    >>> rmsprop_step(param, np.ones(1), velocity, learning_rate=0.1)
    >>> param.round(4), velocity.round(4)
    (array([0.6838]), array([0.1]))
    """
    hyper = (_rate("rho", rho), _number("momentum", momentum, 0, 1), _epsilon(epsilon))
    if momentum_buffer is None and momentum != 0:
        raise ValueError(f"momentum_buffer must be given for a momentum of {momentum!r}; received None")
    slots = {"velocity": velocity, "average": average, "momentum_buffer": momentum_buffer}
    given = {name: slot for name, slot in slots.items() if slot is not None}
    kind = "rmsprop" if average is None else "rmsprop_centered"
    _step(kind, param, grad, given, hyper, learning_rate, weight_decay, n_threads)


def adagrad_step(param: Any, grad: Any, accumulator: Any, *, learning_rate: float = 0.001,
                 epsilon: float = 1e-7, weight_decay: float | None = None,
                 n_threads: int | None = None) -> None:  # fmt: skip
    """Adagrad (Duchi et al., 2011), in place.

    ``accumulator += grad ** 2``, then ``param -= learning_rate * grad / sqrt(accumulator + epsilon)``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    accumulator : ndarray, shape and dtype of `param`
        Keras starts it at 0.1. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adagrad_step
    >>> param, accumulator = np.ones(1), np.zeros(1)
    >>> adagrad_step(param, np.ones(1), accumulator, learning_rate=0.5, epsilon=0.0)
    >>> param, accumulator
    (array([0.5]), array([1.]))
    """
    slots = {"accumulator": accumulator}
    _step("adagrad", param, grad, slots, (_epsilon(epsilon),), learning_rate, weight_decay, n_threads)


def adadelta_step(param: Any, grad: Any, accumulated_grad: Any, accumulated_delta: Any, *,
                  learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
                  weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """Adadelta (Zeiler, 2012), in place.

    ``delta = sqrt(accumulated_delta + epsilon) / sqrt(accumulated_grad + epsilon) * grad``, where
    `accumulated_grad` averages ``grad ** 2`` and then `accumulated_delta` averages ``delta ** 2``; ``param -=
    learning_rate * delta``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    accumulated_grad : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    accumulated_delta : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    rho : float, default 0.95
        Decay of the averages, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adadelta_step
    >>> param, grads, deltas = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adadelta_step(param, np.ones(1), grads, deltas, learning_rate=1.0)
    >>> param.round(6), grads.round(6), deltas.round(9)
    (array([0.998586]), array([0.05]), array([1.e-07]))
    """
    slots = {"accumulated_grad": accumulated_grad, "accumulated_delta": accumulated_delta}
    hyper = (_rate("rho", rho), _epsilon(epsilon))
    _step("adadelta", param, grad, slots, hyper, learning_rate, weight_decay, n_threads)


def adam_step(param: Any, grad: Any, m: Any, v: Any, step: int, *, learning_rate: float = 0.001,
              beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, v_hat: Any = None,
              weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """Adam (Kingma & Ba, 2015), or AMSGrad (Reddi et al., 2018) if `v_hat` is given, in place.

    ``m += (grad - m) * (1 - beta_1)``, ``v += (grad ** 2 - v) * (1 - beta_2)``, then ``param -= alpha * m /
    (sqrt(v) + epsilon)`` with ``alpha = learning_rate * sqrt(1 - beta_2 ** step) / (1 - beta_1 ** step)``.
    AMSGrad divides by the root of ``v_hat = max(v_hat, v)``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    v_hat : ndarray, shape and dtype of `param`, optional
        Greatest `v` so far, zeros before the first step. Updated in place; C-contiguous.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adam_step
    >>> param, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adam_step(param, np.ones(1), m, v, 1)
    >>> param.round(6), m.round(6), v.round(6)
    (array([0.999]), array([0.1]), array([0.001]))
    """
    slots = {"m": m, "v": v} if v_hat is None else {"m": m, "v": v, "v_hat": v_hat}
    kind = "adam" if v_hat is None else "amsgrad"
    hyper = (*_betas(beta_1, beta_2), _epsilon(epsilon))
    _step(kind, param, grad, slots, hyper, learning_rate, weight_decay, n_threads, step)


def adamw_step(param: Any, grad: Any, m: Any, v: Any, step: int, *, learning_rate: float = 0.001,
               beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, v_hat: Any = None,
               weight_decay: float | None = 0.004, n_threads: int | None = None) -> None:  # fmt: skip
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019), in place.

    :func:`adam_step` with a `weight_decay` by default.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    v_hat : ndarray, shape and dtype of `param`, optional
        As for :func:`adam_step`. Updated in place; C-contiguous.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: 0.004.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adamw_step
    >>> param, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adamw_step(param, np.zeros(1), m, v, 1, learning_rate=0.5, weight_decay=0.5)
    >>> param
    array([0.75])
    """
    adam_step(param, grad, m, v, step, learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2,
              epsilon=epsilon, v_hat=v_hat, weight_decay=weight_decay, n_threads=n_threads)  # fmt: skip


def adamax_step(param: Any, grad: Any, m: Any, u: Any, step: int, *, learning_rate: float = 0.001,
                beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """Adamax, Adam with the infinity norm (Kingma & Ba, 2015, section 7), in place.

    ``m += (grad - m) * (1 - beta_1)``, ``u = max(beta_2 * u, abs(grad))``, then
    ``param -= learning_rate / (1 - beta_1 ** step) * m / (u + epsilon)``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    u : ndarray, shape and dtype of `param`
        Decaying maximum of the gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adamax_step
    >>> param, m, u = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adamax_step(param, np.ones(1), m, u, 1)
    >>> param.round(6), m.round(6), u
    (array([0.999]), array([0.1]), array([1.]))
    """
    hyper = (*_betas(beta_1, beta_2), _epsilon(epsilon))
    _step("adamax", param, grad, {"m": m, "u": u}, hyper, learning_rate, weight_decay, n_threads, step)


def nadam_step(param: Any, grad: Any, m: Any, v: Any, step: int, u_product: float = 1.0, *,
               learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
               epsilon: float = 1e-7, weight_decay: float | None = None,
               n_threads: int | None = None) -> float:  # fmt: skip
    """Adam with Nesterov's momentum (Dozat, 2016), in place.

    With ``u(t) = beta_1 * (1 - 0.5 * 0.96 ** t)``, `u_product` the product of ``u(1) ... u(step)`` and `m`,
    `v` as Adam's::

        m_hat = u(step + 1) * m / (1 - u_product * u(step + 1)) + (1 - u(step)) * grad / (1 - u_product)
        param -= learning_rate * m_hat / (sqrt(v / (1 - beta_2 ** step)) + epsilon)

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    u_product : float, default 1
        What the step before returned; 1 for the first.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    float
        `u_product` for the next step.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import nadam_step
    >>> param, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> u_product = nadam_step(param, np.ones(1), m, v, 1)
    >>> round(u_product, 6), param.round(6)
    (0.468, array([0.998937]))
    """
    hyper = (*_betas(beta_1, beta_2), _epsilon(epsilon))
    memory = _number("u_product", u_product, 0, 1)
    slots = {"m": m, "v": v}
    return _step("nadam", param, grad, slots, hyper, learning_rate, weight_decay, n_threads, step, memory)


def lion_step(param: Any, grad: Any, m: Any, *, learning_rate: float = 0.001, beta_1: float = 0.9,
              beta_2: float = 0.99, weight_decay: float | None = None,
              n_threads: int | None = None) -> None:  # fmt: skip
    """Lion (Chen et al., 2023), in place.

    ``param -= learning_rate * sign(beta_1 * m + (1 - beta_1) * grad)``, then
    ``m = beta_2 * m + (1 - beta_2) * grad``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.99
        Decay of the first and of the second average, in [0, 1).
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import lion_step
    >>> param, m = np.ones(2), np.zeros(2)
    >>> lion_step(param, np.array([3.0, -0.1]), m, learning_rate=0.5)
    >>> param
    array([0.5, 1.5])
    """
    _step("lion", param, grad, {"m": m}, _betas(beta_1, beta_2), learning_rate, weight_decay, n_threads)
