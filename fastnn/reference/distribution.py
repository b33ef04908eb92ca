"""How the numbers of an array are distributed."""

from __future__ import annotations

import numpy as np

from fastnn.reference.common import Array

__all__ = ["extent", "histogram"]


def histogram(x: Array, low: float, high: float, bins: int = 64, *, out: Array | None = None,
              n_threads: int | None = None) -> Array:
    """How many numbers lie in each of equal bins of [low, high]; the last one holds `high` too.

    >>> histogram(np.array([0.0, 0.2, 0.5, 1.0, 1.1, np.nan]), 0, 1, bins=2)
    array([2, 2])
    """
    wide = np.asarray(x, np.float64).reshape(-1)
    inside = wide[(wide >= low) & (wide <= high)]
    place = ((inside - low) * (bins / (high - low))).astype(np.int64)
    counts = np.bincount(np.minimum(place, bins - 1), minlength=bins).astype(np.int64, copy=False)
    if out is None:
        return counts
    out[...] = counts
    return out


def extent(x: Array, *, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Minimum, maximum, sum and sum of squares of the finite numbers, and how many are NaN or infinite.

    >>> extent(np.array([[1.0, -3.0], [np.nan, 0.5]]))
    array([-3.  ,  1.  , -1.5 , 10.25,  1.  ])
    """
    finite = x[np.isfinite(x)].astype(np.float64)
    out = np.empty(5) if out is None else out
    out[:2] = finite.min(initial=np.inf), finite.max(initial=-np.inf)
    with np.errstate(over="ignore"):
        out[2:] = finite.sum(), np.square(finite).sum(), x.size - finite.size
    return out
