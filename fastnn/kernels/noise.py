"""Random zeros and noise."""

from __future__ import annotations

import math
from typing import Any

from fastnn._kernels import calls
from fastnn.kernels.checks import ELEMENT_WORK, Array, _integer, _matrix, _number, _output, _threads

__all__ = [
    "alpha_dropout_backward", "alpha_dropout_forward", "dropout_forward", "gaussian_dropout_forward",
    "gaussian_noise_forward",
]


def _draw(x: Any, seed: int, stream: int, step: int, out: Array | None) -> tuple[Array, tuple[int, int, int], Array]:
    """The input, what tells one draw from all others, the output; all checked."""
    x = _matrix("x", x)
    which = (_integer("seed", seed, 0, 2**64), _integer("stream", stream, 0, 2**32), _integer("step", step, 0, 2**64))
    return x, which, _output("out", out, x, x.shape, (x,), in_place=x)


def dropout_forward(x: Any, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                    out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Each element zero with probability `rate`, else over ``1 - rate`` (Srivastava et al., 2014).

    What is dropped depends on `seed`, `stream`, `step` and the element's row and column alone: it is drawn
    with Philox 4x32-10 (Salmon et al., 2011). The gradient of the input is this same function of the gradient
    of the output.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    rate : float
        In [0, 1).
    seed : int
        In [0, 2**64).
    stream : int, default 0
        In [0, 2**32): tells layers of one network apart.
    step : int, default 0
        In [0, 2**64): tells batches apart.
    out : ndarray, shape and dtype of `x`, optional
        May be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import dropout_forward
    >>> dropout_forward(np.ones((1, 6)), 0.5, seed=0)
    array([[2., 0., 2., 2., 2., 2.]])
    """
    rate = _number("rate", rate, 0, 1, open_high=True)
    x, which, out = _draw(x, seed, stream, step, out)
    if x.size:
        calls.dropout(x, rate, 1 / (1 - rate), 0.0, 0.0, *which, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


# What selu tends to for large negative inputs, and what keeps mean 0 and variance 1 where a part of the elements is it.
SELU_FLOOR = -1.7580993408473766


def alpha_dropout_forward(x: Any, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                          out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Each element ``a * floor + b`` with probability `rate`, else ``a * x + b``, where floor = -1.7581 is the limit
    of selu, ``a = ((1 - rate) * (1 + rate * floor**2)) ** -0.5`` and ``b = -a * rate * floor``.

    Inputs of mean 0 and variance 1 keep them (Klambauer et al., 2017). An element draws what it draws in
    :func:`dropout_forward`.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    rate : float
        In [0, 1).
    seed : int
        In [0, 2**64).
    stream : int, default 0
        In [0, 2**32): tells layers of one network apart.
    step : int, default 0
        In [0, 2**64): tells batches apart.
    out : ndarray, shape and dtype of `x`, optional
        May be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import alpha_dropout_forward
    >>> alpha_dropout_forward(np.zeros((1, 4)), 0.5, seed=0).round(4)
    array([[ 0.7792, -0.7792,  0.7792,  0.7792]])
    """
    return _alpha_dropout(x, rate, seed, stream, step, out, n_threads, backward=False)


def alpha_dropout_backward(dy: Any, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                           out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Gradient of :func:`alpha_dropout_forward`: ``a * dy`` where the element was kept, zero elsewhere.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
    rate, seed, stream, step
        As they were given to :func:`alpha_dropout_forward`.
    out : ndarray, shape and dtype of `dy`, optional
        May be `dy` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `dy`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import alpha_dropout_backward
    >>> alpha_dropout_backward(np.ones((1, 4)), 0.5, seed=0).round(4)
    array([[0.8864, 0.    , 0.8864, 0.8864]])
    """
    return _alpha_dropout(dy, rate, seed, stream, step, out, n_threads, backward=True)


def _alpha_dropout(x: Any, rate: float, seed: int, stream: int, step: int, out: Array | None, n_threads: int | None,
                   backward: bool) -> Array:  # fmt: skip
    rate = _number("rate", rate, 0, 1, open_high=True)
    x, which, out = _draw(x, seed, stream, step, out)
    a = ((1 - rate) * (1 + rate * SELU_FLOOR**2)) ** -0.5
    b = -a * rate * SELU_FLOOR
    offset, other = (0.0, 0.0) if backward else (b, a * SELU_FLOOR + b)
    if x.size:
        calls.dropout(x, rate, a, offset, other, *which, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def gaussian_noise_forward(x: Any, stddev: float, *, seed: int, stream: int = 0, step: int = 0,
                           out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """``x + stddev * g`` with a standard normal number g for each element (Box and Muller, 1958).

    Its draw depends on `seed`, `stream`, `step` and the element's row and column alone, by Philox 4x32-10 (Salmon et
    al., 2011).
    The gradient of the input is that of the output.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    stddev : float
        Not negative.
    seed : int
        In [0, 2**64).
    stream : int, default 0
        In [0, 2**32): tells layers of one network apart.
    step : int, default 0
        In [0, 2**64): tells batches apart.
    out : ndarray, shape and dtype of `x`, optional
        May be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import gaussian_noise_forward
    >>> gaussian_noise_forward(np.zeros((1, 3)), 0.1, seed=0).round(4)
    array([[-0.0122, -0.0398, -0.0082]])
    """
    stddev = _number("stddev", stddev, 0)
    return _gaussian(x, False, stddev, seed, stream, step, out, n_threads)


def gaussian_dropout_forward(x: Any, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                             out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """``x * (1 + sqrt(rate / (1 - rate)) * g)`` with a standard normal number g for each element (Srivastava et al.,
    2014).

    Its draw depends on `seed`, `stream`, `step` and the element's row and column alone, by Philox 4x32-10 (Salmon et
    al., 2011).
    The gradient of the input is this same function of the gradient of the output.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    rate : float
        In [0, 1): the noise has the variance of dropout's factors at this rate.
    seed : int
        In [0, 2**64).
    stream : int, default 0
        In [0, 2**32): tells layers of one network apart.
    step : int, default 0
        In [0, 2**64): tells batches apart.
    out : ndarray, shape and dtype of `x`, optional
        May be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import gaussian_dropout_forward
    >>> gaussian_dropout_forward(np.ones((1, 3)), 0.5, seed=0).round(4)
    array([[0.8785, 0.6023, 0.9181]])
    """
    rate = _number("rate", rate, 0, 1, open_high=True)
    return _gaussian(x, True, math.sqrt(rate / (1 - rate)), seed, stream, step, out, n_threads)


def _gaussian(x: Any, multiplies: bool, stddev: float, seed: int, stream: int, step: int, out: Array | None,
              n_threads: int | None) -> Array:  # fmt: skip
    x, which, out = _draw(x, seed, stream, step, out)
    if x.size:
        calls.gaussian(x, multiplies, stddev, *which, out, _threads(n_threads, 2 * ELEMENT_WORK * x.size))
    return out
