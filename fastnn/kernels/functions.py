"""Elementary functions."""

from __future__ import annotations

from typing import Any

from fastnn._kernels import calls
from fastnn._kernels.dispatch import (
    FUNCTIONS,
)
from fastnn.kernels.checks import ELEMENT_WORK, Array, _output, _threads, _whole

__all__ = ["erf", "exp", "expm1", "log", "log1p", "tanh"]


def _function(name: str, x: Any, out: Any, n_threads: int | None) -> Array:
    a = _whole("x", x)
    out = _output("out", out, a, a.shape, (a,), in_place=a, whole=True)
    calls.math(FUNCTIONS[name], a.reshape(-1), out.reshape(-1), _threads(n_threads, ELEMENT_WORK * a.size))
    return out


def exp(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """``e ** x``.

    Within 4 units in the last place of the exact value in float32. Infinity where the result overflows, zero
    (or a subnormal number) where it underflows.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
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
    >>> from fastnn.kernels import exp
    >>> exp(np.array([0.0, 1.0])).round(4)
    array([1.    , 2.7183])
    """
    return _function("exp", x, out, n_threads)


def expm1(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """``e ** x - 1``, accurate for small `x` where subtracting 1 would lose every digit.

    Within 4 units in the last place of the exact value in float32.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
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
    >>> from fastnn.kernels import expm1
    >>> expm1(np.array([1e-10]))
    array([1.e-10])
    """
    return _function("expm1", x, out, n_threads)


def log(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Natural logarithm.

    Within 4 units in the last place of the exact value in float32. -infinity at zero, NaN for negative `x`.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
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
    >>> from fastnn.kernels import log
    >>> log(np.array([1.0, 10.0])).round(4)
    array([0.    , 2.3026])
    """
    return _function("log", x, out, n_threads)


def log1p(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """``log(1 + x)``, accurate for small `x` where adding 1 would lose every digit.

    Within 4 units in the last place of the exact value in float32. -infinity at -1, NaN below.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
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
    >>> from fastnn.kernels import log1p
    >>> log1p(np.array([1e-10]))
    array([1.e-10])
    """
    return _function("log1p", x, out, n_threads)


def tanh(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Hyperbolic tangent, ``(e ** 2x - 1) / (e ** 2x + 1)``.

    Within 4 units in the last place of the exact value in float32.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
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
    >>> from fastnn.kernels import tanh
    >>> tanh(np.array([0.0, 0.5, 20.0])).round(4)
    array([0.    , 0.4621, 1.    ])
    """
    return _function("tanh", x, out, n_threads)


def erf(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t ** 2)`` from 0 to `x`.

    Within 4 units in the last place of the exact value in float32.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
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
    >>> from fastnn.kernels import erf
    >>> erf(np.array([0.0, 0.5, 10.0])).round(4)
    array([0.    , 0.5205, 1.    ])
    """
    return _function("erf", x, out, n_threads)
