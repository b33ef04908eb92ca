"""Rows: gathered, scattered, dropped out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.kernels.checks import ELEMENT_WORK, Array, _check_shape, _integer, _number, _shape_text
from fastnn.kernels.optimizers import _betas, _epsilon, _rate, _step, _tensor_step

__all__ = ["adafactor_step", "ftrl_step", "lamb_step", "muon_step", "radam_step", "schedule_free_adamw_step"]


def _row_index(name: str, index: Any, n: int) -> Array:
    """int64 (rows,), contiguous, in [0, n)"""
    index = np.asarray(index)
    if index.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers; received dtype {index.dtype}")
    _check_shape(name, index, ("rows",))
    if index.size and not (index.min() >= 0 and index.max() < n):
        raise ValueError(f"{name} must be in [0, {n}); received [{index.min()}, {index.max()}]")
    return np.ascontiguousarray(index, dtype=np.int64)


def lamb_step(param: Any, grad: Any, m: Any, v: Any, step: int, *, learning_rate: float = 0.001,
              beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
              weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """LAMB (You et al., 2020), in place: Adam's direction, a step in proportion to the norm of the parameter.

    `m` and `v` as Adam's; ``u = m / (1 - beta_1 ** step) / (sqrt(v / (1 - beta_2 ** step)) + epsilon)``;
    ``param -= learning_rate * norm(param) / norm(u) * u``, the ratio 1 where a norm is 0.

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
    >>> from fastnn.kernels import lamb_step
    >>> param, m, v = np.full(4, 2.0), np.zeros(4), np.zeros(4)
    >>> lamb_step(param, np.ones(4), m, v, 1, learning_rate=0.5)
    >>> param.round(6)
    array([1., 1., 1., 1.])
    """
    shape = np.shape(param)
    _tensor_step("lamb", param, grad, {"m": (m, shape), "v": (v, shape)}, (*_betas(beta_1, beta_2), _epsilon(epsilon)),
                 learning_rate, weight_decay, n_threads, step, ELEMENT_WORK * math.prod(shape))


def adafactor_step(param: Any, grad: Any, r: Any, c: Any, step: int, *, learning_rate: float = 0.001,
                   beta_2_decay: float = -0.8, epsilon_1: float = 1e-30, epsilon_2: float = 1e-3,
                   clip_threshold: float = 1.0, weight_decay: float | None = None,
                   n_threads: int | None = None) -> None:  # fmt: skip
    """Adafactor (Shazeer and Stern, 2018), in place: mean squares of rows and of columns in place of elements.

    With ``b = 1 - step ** beta_2_decay`` and ``s = grad**2 + epsilon_1``::

        r = b * r + (1 - b) * mean(s, axis=-1)
        c = b * c + (1 - b) * mean(s, axis=-2)
        u = grad / sqrt(r / mean(r, axis=-1) * c)
        rate = max(epsilon_2, rms(param)) * min(learning_rate, 1 / sqrt(step))
        param -= rate / max(1, rms(u) / clip_threshold) * u

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    r : ndarray of shape ``param.shape[:-1]``, dtype of `param`
        Zeros before the first step; of the shape of `param`, and averages of ``s``, where that has fewer than two
        dimensions. Updated in place; C-contiguous.
    c : ndarray of shape ``param.shape[:-2] + param.shape[-1:]``, or None
        Zeros before the first step; None where `param` has fewer than two dimensions. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_2_decay : float, default -0.8
        At most 0.
    epsilon_1, epsilon_2 : float, default 1e-30 and 1e-3
        At least 0.
    clip_threshold : float, default 1.0
        Above 0.
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
    >>> from fastnn.kernels import adafactor_step
    >>> param, r, c = np.ones((2, 2)), np.zeros(2), np.zeros(2)
    >>> adafactor_step(param, np.array([[1.0, 1.0], [2.0, 2.0]]), r, c, 1, learning_rate=0.5)
    >>> param.round(6), r, c
    (array([[0.5, 0.5],
           [0.5, 0.5]]), array([1., 4.]), array([2.5, 2.5]))
    """
    hyper = (_number("beta_2_decay", beta_2_decay, -math.inf, 0, open_low=True), _number("epsilon_1", epsilon_1, 0),
             _number("epsilon_2", epsilon_2, 0), _number("clip_threshold", clip_threshold, 0, open_low=True))
    shape = np.shape(param)
    if (c is None) != (len(shape) < 2):
        raise ValueError(f"c must be {'None' if c is not None else 'an array'} for the shape {_shape_text(shape)}; "
                         f"received {'None' if c is None else 'an array'}")
    slots = {"r": (r, shape)} if c is None else {"r": (r, shape[:-1]), "c": (c, shape[:-2] + shape[-1:])}
    _tensor_step("adafactor", param, grad, slots, hyper, learning_rate, weight_decay, n_threads, step,
                 ELEMENT_WORK * math.prod(shape))


def muon_step(param: Any, grad: Any, m: Any, *, learning_rate: float = 0.001, momentum: float = 0.95,
              nesterov: bool = True, ns_steps: int = 5, muon_a: float = 3.4445, muon_b: float = -4.7750,
              muon_c: float = 2.0315, rms_rate: float | None = 0.2, weight_decay: float | None = None,
              n_threads: int | None = None) -> None:  # fmt: skip
    """Muon (Jordan et al., 2024; Liu et al., 2025), in place: a step along the orthogonal matrix nearest to the
    averaged gradient, by Newton-Schulz iterations.

    ``m = momentum * m + grad``; ``u = grad + momentum * m`` (``m`` without Nesterov) over its norm; `ns_steps` times
    ``u = a * u + (b * A + c * A @ A) @ u`` with ``A = u @ u.T``;
    ``param -= learning_rate * rms_rate * sqrt(max(rows, columns)) * u``.

    Parameters
    ----------
    param : ndarray of float32 or float64, (rows, columns)
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    momentum : float, default 0.95
        In [0, 1].
    nesterov : bool, default True
    ns_steps : int, default 5
    muon_a, muon_b, muon_c : float, default 3.4445, -4.7750, 2.0315
    rms_rate : float, optional, default 0.2
        Above 0; None: the step is ``learning_rate * u``.
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
    >>> from fastnn.kernels import muon_step
    >>> param, m = np.zeros((2, 2)), np.zeros((2, 2))
    >>> muon_step(param, np.array([[3.0, 0.0], [0.0, -0.5]]), m, learning_rate=1.0, muon_a=1.5, muon_b=-0.5,
    ...           muon_c=0.0, ns_steps=20, rms_rate=None)
    >>> param.round(6)
    array([[-1.,  0.],
           [ 0.,  1.]])
    """
    shape = np.shape(param)
    if len(shape) != 2:
        raise ValueError(f"param must have two dimensions; received the shape {_shape_text(shape)}")
    given = {"muon_a": muon_a, "muon_b": muon_b, "muon_c": muon_c}
    steps = _integer("ns_steps", ns_steps, 0, 2**31)
    hyper = (_number("momentum", momentum, 0, 1), float(bool(nesterov)), float(steps),
             *(_number(name, value, -math.inf, open_low=True) for name, value in given.items()),
             0.0 if rms_rate is None else _number("rms_rate", rms_rate, 0, open_low=True))
    _tensor_step("muon", param, grad, {"m": (m, shape)}, hyper, learning_rate, weight_decay, n_threads, 1,
                 (6 * steps * min(shape) + ELEMENT_WORK) * math.prod(shape))


def radam_step(param: Any, grad: Any, m: Any, v: Any, step: int, *, learning_rate: float = 0.001,
               beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
               weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """RAdam, Adam whose variance is rectified (Liu et al., 2020), in place.

    `m` and `v` as Adam's. With ``b = 1 - beta_2 ** step``, ``L = 2 / (1 - beta_2) - 1`` and
    ``l = L - 2 * step * beta_2 ** step / b``::

        param -= learning_rate / (1 - beta_1 ** step) * m                                     where l <= 5, else
        r = sqrt(b * (l - 4) * (l - 2) * L / ((L - 4) * (L - 2) * l))
        param -= learning_rate / (1 - beta_1 ** step) * r * m / (sqrt(v) + epsilon)

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
    >>> from fastnn.kernels import radam_step
    >>> param, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> radam_step(param, np.ones(1), m, v, 1, learning_rate=0.25)
    >>> param.round(6)
    array([0.75])
    """
    hyper = (*_betas(beta_1, beta_2), _epsilon(epsilon))
    _step("radam", param, grad, {"m": m, "v": v}, hyper, learning_rate, weight_decay, n_threads, step)


def ftrl_step(param: Any, grad: Any, accumulator: Any, linear: Any, *, learning_rate: float = 0.001,
              learning_rate_power: float = -0.5, l1_regularization_strength: float = 0.0,
              l2_regularization_strength: float = 0.0, l2_shrinkage_regularization_strength: float = 0.0,
              beta: float = 0.0, weight_decay: float | None = None,
              n_threads: int | None = None) -> None:  # fmt: skip
    """FTRL-Proximal, follow the regularized leader (McMahan et al., 2013), in place.

    With ``a`` the accumulator, ``z`` the linear term, ``P = -learning_rate_power``::

        sigma = ((a + grad**2) ** P - a ** P) / learning_rate
        a += grad**2
        z += grad + 2 * l2_shrinkage * param - sigma * param
        param = (clip(z, -l1, l1) - z) / ((a ** P + beta) / learning_rate + 2 * l2)

    The parameter does not change where that divisor is 0, and nothing does where the learning rate is.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    accumulator : ndarray, shape and dtype of `param`
        Sum of the squared gradients, 0.1 or so before the first step, never negative. Updated in place; C-contiguous.
    linear : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    learning_rate_power : float, default -0.5
        At most 0.
    l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength : float, default 0
        At least 0.
    beta : float, default 0
        At least 0.
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
    >>> from fastnn.kernels import ftrl_step
    >>> param, accumulator, linear = np.zeros(1), np.full(1, 0.25), np.zeros(1)
    >>> ftrl_step(param, np.ones(1), accumulator, linear, learning_rate=0.5, learning_rate_power=-1.0)
    >>> param.round(6), accumulator, linear
    (array([-0.4]), array([1.25]), array([1.]))
    """
    power = _number("learning_rate_power", learning_rate_power, -math.inf, 0, open_low=True)
    given = {"l1_regularization_strength": l1_regularization_strength,
             "l2_regularization_strength": l2_regularization_strength,
             "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength, "beta": beta}
    hyper = (power, *(_number(name, value, 0) for name, value in given.items()))
    kind = "ftrl" if power == -0.5 else "ftrl_power"
    _step(kind, param, grad, {"accumulator": accumulator, "linear": linear}, hyper, learning_rate, weight_decay,
          n_threads)


def schedule_free_adamw_step(param: Any, grad: Any, z: Any, v: Any, x: Any, step: int, *,
                             learning_rate: float = 0.0025, beta_1: float = 0.9, beta_2: float = 0.999,
                             epsilon: float = 1e-8, warmup_steps: int = 0, weight_decay: float | None = None,
                             n_threads: int | None = None) -> None:  # fmt: skip
    """Schedule-free AdamW (Defazio et al., 2024), in place.

    The gradient is taken at ``y``, which `param` holds, between the fast sequence `z` and its average `x`, which
    is what to predict with::

        v += (grad**2 - v) * (1 - beta_2)
        z -= learning_rate * min(1, step / warmup_steps) * grad / (sqrt(v / (1 - beta_2**step)) + epsilon)
        x += (z - x) / step
        y = (1 - beta_1) * z + beta_1 * x

    Where `param` is not at ``y`` when the step begins, as after weight decay, `x` moves so that it is, as in Keras.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        ``y``; updated in place, C-contiguous.
    grad : array_like, shape and dtype of `param`
    z : ndarray, shape and dtype of `param`
        Equal to `param` before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    x : ndarray, shape and dtype of `param`
        Equal to `param` before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.0025
    beta_1 : float, default 0.9
        In (0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-8
        Keeps the division finite; at least 0.
    warmup_steps : int, default 0
        Steps in which the learning rate grows from 0.
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
    >>> from fastnn.kernels import schedule_free_adamw_step
    >>> param, z, v, x = np.ones(1), np.ones(1), np.zeros(1), np.ones(1)
    >>> schedule_free_adamw_step(param, np.ones(1), z, v, x, 1, learning_rate=0.5)
    >>> param.round(6), z.round(6), x.round(6)
    (array([0.5]), array([0.5]), array([0.5]))
    """
    hyper = (_number("beta_1", beta_1, 0, 1, open_low=True, open_high=True), _rate("beta_2", beta_2),
             _epsilon(epsilon), float(_integer("warmup_steps", warmup_steps, 0, 2**53)))
    _step("schedule_free", param, grad, {"z": z, "v": v, "x": x}, hyper, learning_rate, weight_decay, n_threads, step)
