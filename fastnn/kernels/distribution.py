"""How the numbers of an array are distributed."""

from __future__ import annotations

import math
from typing import Any

from fastnn._kernels import calls
from fastnn.kernels.checks import ELEMENT_WORK, Array, _integer, _number, _output, _threads, _whole

__all__ = ["extent", "histogram"]

MOST_BINS = 2**16


def histogram(x: Any, low: float, high: float, bins: int = 64, *, out: Array | None = None,
              n_threads: int | None = None) -> Array:  # fmt: skip
    """How many numbers lie in each of equal bins of [low, high], as ``numpy.histogram(x, bins, (low, high))`` counts.

    A number lies in bin ``min(floor((x - low) * (bins / (high - low))), bins - 1)``, computed in float64. What lies
    outside of [low, high], NaN and infinity are not counted.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    low, high : float
        Finite, `low` below `high`, and ``bins / (high - low)`` finite and above 0.
    bins : int, default 64
        From 1 to 65536.
    out : ndarray of int64, shape (bins,), optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray of int64, shape (bins,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import histogram
    >>> histogram(np.array([0.0, 0.2, 0.5, 1.0, 1.1, np.nan]), 0, 1, bins=2)
    array([2, 2])
    """
    x = _whole("x", x)
    low, high = _number("low", low, -math.inf), _number("high", high, -math.inf)
    bins = _integer("bins", bins, 1, MOST_BINS + 1)
    if low >= high:
        raise ValueError(f"low must be below high; received {low!r} and {high!r}")
    if not 0 < bins / (high - low) < math.inf:
        raise ValueError(f"bins / (high - low) must be finite and above 0; received {bins} bins of [{low!r}, {high!r}]")
    out = _output("out", out, x, (bins,), (x,), dtype="int64")
    calls.histogram(x.reshape(-1), low, high, bins, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def extent(x: Any, *, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Minimum, maximum, sum and sum of squares of the finite numbers, and how many are NaN or infinite.

    Sums are in float64, those of 4096 numbers at a time added up. Without finite numbers minimum and maximum are inf
    and -inf.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray of float64, shape (5,), optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray of float64, shape (5,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import extent
    >>> extent(np.array([[1.0, -3.0], [np.nan, 0.5]]))
    array([-3.  ,  1.  , -1.5 , 10.25,  1.  ])
    """
    x = _whole("x", x)
    out = _output("out", out, x, (5,), (x,), dtype="float64")
    calls.extent(x.reshape(-1), out, _threads(n_threads, x.size))
    return out
