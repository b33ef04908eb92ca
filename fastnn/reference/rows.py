"""Rows: gathered, scattered, dropped out."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.reference.common import Array

__all__ = ["affine", "gather_rows", "scatter_rows"]


def gather_rows(x: Array, index: Array, out: Array | None = None, dtype: Any = None,
                n_threads: int | None = None) -> Array:
    """``x[index]`` as float32 or float64: `dtype`, by default that of `out`, else of `x`, else float32.

    >>> gather_rows(np.array([[1, 2], [3, 4]], dtype=np.uint8), np.array([1, 1, 0]))
    array([[3., 4.],
           [3., 4.],
           [1., 2.]], dtype=float32)
    """
    if out is not None:
        np.copyto(out, x[index])
        return out
    return x[index].astype(dtype or (x.dtype if x.dtype in (np.float32, np.float64) else np.float32))


def philox(counter: tuple[Any, Any, Any, Any], seed: int) -> list[Array]:
    """Philox4x32-10 (Salmon et al., 2011): four words of 32 random bits for each counter and 64-bit key.

    Parameters
    ----------
    counter : tuple of four integer arrays
        Words of 32 bits, broadcast against each other.
    seed : int
        The key, in [0, 2**64).

    Returns
    -------
    list of four ndarrays of uint64
        Values below 2**32.

    Examples
    --------
    >>> [f"{int(word):08x}" for word in philox((0, 0, 0, 0), seed=0)]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    low = np.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) for word in counter))
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = ((p1 >> np.uint64(32)) ^ c1 ^ np.uint64(key0), p1 & low,
                          (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(key1), p0 & low)
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def scatter_rows(dy: Array, index: Array, n: int, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Row ``index[r]`` of the n rows gets ``dy[r]`` added; in the order of r.

    >>> scatter_rows(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([2, 0, 2]), 3)
    array([[3., 4.],
           [0., 0.],
           [6., 8.]])
    """
    out = np.empty((n, dy.shape[1]), dy.dtype) if out is None else out
    out[...] = 0
    np.add.at(out, index, dy)
    return out


def affine(x: Array, scale: float, offset: float = 0.0, out: Array | None = None,
           n_threads: int | None = None) -> Array:
    """``x * scale + offset``

    >>> affine(np.array([[0.0, 51.0, 255.0]]), 1 / 255)
    array([[0. , 0.2, 1. ]])
    """
    out = np.multiply(x, x.dtype.type(scale), out=out)
    out += x.dtype.type(offset)
    return out
