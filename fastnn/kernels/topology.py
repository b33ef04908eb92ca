"""Patterns of sparse matrices: drawn at random, thinned by magnitude, grown again.

A pattern is the pair of `indptr` (int64) and `indices` (int32) of compressed rows, in ascending order and without
duplicates; a position is ``row * columns + column``. All of it takes time in proportion to the entries, on one thread.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn._kernels.door import first_unsorted
from fastnn.kernels.checks import Array, _integer, _whole
from fastnn.sparse_inputs import row_of

__all__ = ["compressed_rows", "drop_smallest", "free_positions", "merge_pattern", "random_positions"]

MOST = 2**53  # positions: distances between them are drawn in float64


def random_positions(n: int, count: int, *, seed: int, stream: int = 0) -> Array:
    """`count` of the integers below `n`, in ascending order; every choice of them is equally likely.

    Each integer is in or out by itself, with a probability that gives a few too many, of which any go again. The
    distances between those that are in are geometric numbers, drawn with Philox 4x32-10 (Salmon et al., 2011).

    Parameters
    ----------
    n : int
        In [0, 2**53].
    count : int
        In [0, `n`].
    seed : int
        In [0, 2**64).
    stream : int, default 0
        In [0, 2**32): tells draws with one seed apart.

    Returns
    -------
    ndarray of int64, shape (count,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> from fastnn.kernels import random_positions
    >>> random_positions(100, 6, seed=0)
    array([27, 30, 33, 44, 74, 90])
    """
    n = _integer("n", n, 0, MOST + 1)
    count = _integer("count", count, 0, n + 1)
    seed, stream = _integer("seed", seed, 0, 2**64), _integer("stream", stream, 0, 2**32)
    room = min(n, count + 12 * math.isqrt(count) + 76)
    positions = np.empty(room, np.int64)
    calls.random_positions(seed, stream, n, count, positions, np.empty(-(-room // 64), np.uint64))
    return positions[:count]


def compressed_rows(positions: Any, shape: tuple[int, int]) -> tuple[Array, Array]:
    """The pattern of entries at `positions`.

    Parameters
    ----------
    positions : array_like of int64
        In ascending order, each once, below ``rows * columns``.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of int32, shape (n,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> from fastnn.kernels import compressed_rows
    >>> compressed_rows([1, 3, 5], (2, 3))
    (array([0, 1, 3]), array([1, 0, 2], dtype=int32))
    """
    rows, cols = _shape(shape)
    positions = _ascending("positions", positions, rows * cols)
    indptr, indices = np.empty(rows + 1, np.int64), np.empty(positions.size, np.int32)
    calls.compress_rows(positions, indptr, cols, indices)
    return indptr, indices


def free_positions(ranks: Any, shape: tuple[int, int], indptr: Any, indices: Any) -> Array:
    """Positions without an entry: those that have so many free ones before them.

    Parameters
    ----------
    ranks : array_like of int64
        In ascending order, each once, below the number of free positions.
    shape : (int, int)
    indptr, indices
        The pattern.

    Returns
    -------
    ndarray of int64, shape of `ranks`

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> from fastnn.kernels import free_positions
    >>> free_positions([0, 2], (2, 3), [0, 1, 3], [1, 0, 2])
    array([0, 4])
    """
    rows, cols = _shape(shape)
    indptr, indices = _pattern(indptr, indices, rows, cols)
    ranks = _ascending("ranks", ranks, rows * cols - indices.size).copy()
    calls.free_positions(indptr, cols, indices, ranks)
    return ranks


def merge_pattern(shape: tuple[int, int], indptr: Any, indices: Any, kept: Any,
                  positions: Any) -> tuple[Array, Array, Array]:  # fmt: skip
    """The pattern of the entries that are kept, and of new ones.

    Parameters
    ----------
    shape : (int, int)
    indptr, indices
        The pattern.
    kept : array_like of bool, shape (nnz,)
        Which of its entries stay.
    positions : array_like of int64
        Of the new entries, in ascending order; none is that of an entry that stays.

    Returns
    -------
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of int32
    origin : ndarray of int64
        The place of each entry among the old ones, -1 for new ones.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> from fastnn.kernels import merge_pattern
    >>> merge_pattern((2, 3), [0, 1, 3], [1, 0, 2], [True, False, True], [0])
    (array([0, 2, 3]), array([0, 1, 2], dtype=int32), array([-1,  0,  2]))
    """
    rows, cols = _shape(shape)
    indptr, indices = _pattern(indptr, indices, rows, cols)
    kept = _flags("kept", kept, indices.size)
    positions = _ascending("positions", positions, rows * cols)
    nnz = int(np.count_nonzero(kept)) + positions.size
    if nnz > rows * cols:
        raise ValueError(f"{nnz} entries are more than a matrix of {rows} x {cols} has")
    result = np.empty(rows + 1, np.int64), np.empty(nnz, np.int32), np.empty(nnz, np.int64)
    calls.merge_pattern(indptr, cols, indices, kept, positions, *result)
    row, entry = _unsorted(*result[:2])
    if entry >= 0:
        raise ValueError(f"positions must be of no entries that stay; received {row * cols + int(result[1][entry])}")
    return result


def drop_smallest(values: Any, count: int, *, sign: int = 0, kept: Array | None = None) -> Array:
    """Which numbers stay if those of the smallest magnitudes go; of equal ones the first.

    Parameters
    ----------
    values : array_like of float32 or float64, shape (n,)
        Finite.
    count : int
        How many go.
    sign : {0, 1, -1}, default 0
        1: of the positive numbers and zeros, -1: of the negative ones, 0: of all.
    kept : ndarray of bool, shape (n,), optional
        Those that are there: only of these numbers go. It is changed in place. Default: all, in a new array.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists, or if there are fewer than `count`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import drop_smallest
    >>> drop_smallest(np.array([0.5, -0.1, 0.2, -3.0]), 1)
    array([ True, False,  True,  True])
    >>> drop_smallest(np.array([0.5, -0.1, 0.2, -3.0]), 1, sign=1)
    array([ True,  True, False,  True])
    """
    values = _whole("values", values, ("n",))
    if sign not in (0, 1, -1) or isinstance(sign, bool):
        raise ValueError(f"sign must be 0, 1 or -1; received {sign!r}")
    if kept is None:
        kept = np.ones(values.shape, np.bool_)
    elif not isinstance(kept, np.ndarray) or not kept.flags.writeable or kept is not _flags("kept", kept, values.size):
        raise ValueError("kept must be a contiguous array of bool that can be written to")
    there = int(np.count_nonzero(kept if sign == 0 else kept & (np.signbit(values) == (sign < 0))))
    count = _integer("count", count, 0, there + 1)
    calls.drop_smallest(values, sign, count, np.empty(65536, np.intp), kept)
    return kept


# ---- checks ---------------------------------------------------------------------------------------------------


def _shape(shape: Any) -> tuple[int, int]:
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"shape must be a pair of integers, (rows, columns); received {shape!r}")
    rows, cols = (_integer(name, size, 1, 2**31) for name, size in zip(("rows", "columns"), shape, strict=True))
    if rows * cols > MOST:
        raise ValueError(f"a matrix of {rows} x {cols} has more than 2**53 positions")
    return rows, cols


def _integers(name: str, value: Any, dtype: Any) -> Array:
    """Contiguous, and of this dtype if no number changes by it."""
    array = np.asarray(value)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise TypeError(f"{name} must be integers of one dimension; received {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(array, dtype)


def _ascending(name: str, value: Any, limit: int) -> Array:
    array = _integers(name, value, np.int64)
    if array.size and not (array[0] >= 0 and array[-1] < limit and np.all(array[1:] > array[:-1])):
        raise ValueError(f"{name} must be integers in [0, {limit}) in ascending order, each once; received {array}")
    return array


def _pattern(indptr: Any, indices: Any, rows: int, cols: int) -> tuple[Array, Array]:
    indptr, wide = _integers("indptr", indptr, np.int64), np.asarray(indices)
    indices = _integers("indices", wide, np.int32)
    if indptr.size != rows + 1 or indptr[0] != 0 or indptr[-1] != indices.size or np.any(indptr[1:] < indptr[:-1]):
        raise ValueError(f"indptr must be {rows + 1} integers that begin with 0, do not decrease, and end with the "
                         f"number of indices, {indices.size}; received {indptr}")
    if wide.size and not 0 <= wide.min() <= wide.max() < cols:
        raise ValueError(f"indices must be in [0, {cols}); received {wide.min()} to {wide.max()}")
    row, entry = _unsorted(indptr, indices)
    if entry >= 0:
        raise ValueError(f"indices of a row must be in ascending order, each once; received {indices[entry - 1]}, then "
                         f"{indices[entry]} in row {row}")
    return indptr, indices


def _unsorted(indptr: Array, indices: Array) -> tuple[int, int]:
    """Row and place of the first entry that is not above the one before it in its row; the place is -1 for none."""
    entry = first_unsorted(indptr, indices)
    return row_of(indptr, entry), entry


def _flags(name: str, value: Any, n: int) -> Array:
    array = np.asarray(value)
    if array.dtype != np.bool_ or array.shape != (n,):
        raise ValueError(f"{name} must be {n} values of bool; received {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(array)
