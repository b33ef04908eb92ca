"""Patterns of sparse matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.reference.common import Array
from fastnn.reference.rows import philox

__all__ = ["compressed_rows", "drop_smallest", "free_positions", "merge_pattern", "random_positions"]


def _words(counters: int, seed: int, stream: int, attempt: int, first: int = 0) -> Array:
    """Two words of 64 bits for each of the counters ``(k, attempt, stream)``."""
    k = first + np.arange(counters)
    words = philox((k & 0xFFFFFFFF, k >> 32, attempt, stream), seed)
    return np.stack([words[0] | words[1] << np.uint64(32), words[2] | words[3] << np.uint64(32)], axis=-1).ravel()


def _endless(counters: int, seed: int, stream: int, attempt: int, start: int) -> Iterator[int]:
    """The words from the `start`-th on, one by one."""
    for first in itertools.count(start // 2, counters):
        words = _words(counters, seed, stream, attempt, first)
        yield from (int(word) for word in words[start % 2 if first == start // 2 else 0:])


def random_positions(n: int, count: int, *, seed: int, stream: int = 0) -> Array:
    """`count` of the integers below `n`: some more, from geometric distances, of which any go.

    >>> random_positions(100, 6, seed=0)
    array([27, 30, 33, 44, 74, 90])
    """
    p = (count + 6 * math.sqrt(count) + 8) / max(n, 1)
    room = min(n, count + 12 * math.isqrt(count) + 76)
    positions, used, attempt = np.arange(n), 0, 0
    while p < 1:
        words = _words(room // 2 + 1, seed, stream, attempt)
        skipped = np.floor(np.log(((words >> np.uint64(11)) + np.uint64(1)) * 2.0**-53) * (1 / np.log1p(-p)))
        positions = np.cumsum(np.minimum(skipped, n).astype(np.int64) + 1) - 1
        used = int(np.searchsorted(positions, n)) + 1
        positions = positions[:used - 1]
        if count <= positions.size <= room:
            break
        attempt += 1
    gone: set[int] = set()
    words_left = _endless(64, seed, stream, attempt, used)
    while len(gone) < positions.size - count:
        gone.add(next(words_left) * positions.size >> 64)
    return np.delete(positions, np.array(sorted(gone), np.intp))


def compressed_rows(positions: Any, shape: tuple[int, int]) -> tuple[Array, Array]:
    """The pattern of entries at `positions`.

    >>> compressed_rows([1, 3, 5], (2, 3))
    (array([0, 1, 3]), array([1, 0, 2], dtype=int32))
    """
    rows, columns = np.divmod(np.asarray(positions, np.int64), shape[1])
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))]), columns.astype(np.int32)


def _positions(shape: tuple[int, int], indptr: Any, indices: Any) -> Array:
    return np.repeat(np.arange(shape[0]), np.diff(indptr)) * shape[1] + np.asarray(indices, np.int64)


def free_positions(ranks: Any, shape: tuple[int, int], indptr: Any, indices: Any) -> Array:
    """Positions without an entry, by the number of free ones before them.

    >>> free_positions([0, 2], (2, 3), [0, 1, 3], [1, 0, 2])
    array([0, 4])
    """
    free = np.setdiff1d(np.arange(math.prod(shape)), _positions(shape, indptr, indices))
    return free[np.asarray(ranks, np.int64)]


def merge_pattern(shape: tuple[int, int], indptr: Any, indices: Any, kept: Any,
                  positions: Any) -> tuple[Array, Array, Array]:
    """The pattern of the entries that are kept, and of new ones.

    >>> merge_pattern((2, 3), [0, 1, 3], [1, 0, 2], [True, False, True], [0])
    (array([0, 2, 3]), array([0, 1, 2], dtype=int32), array([-1,  0,  2]))
    """
    old = np.flatnonzero(kept)
    merged = np.concatenate([_positions(shape, indptr, indices)[old], np.asarray(positions, np.int64)])
    origin = np.concatenate([old, np.full(len(positions), -1)])
    order = np.argsort(merged)
    return *compressed_rows(merged[order], shape), origin[order]


def drop_smallest(values: Array, count: int, *, sign: int = 0, kept: Array | None = None) -> Array:
    """Which numbers stay if those of the smallest magnitudes go; of equal ones the first.

    >>> drop_smallest(np.array([0.5, -0.1, 0.2, -3.0]), 1)
    array([ True, False,  True,  True])
    """
    kept = np.ones(values.shape, np.bool_) if kept is None else kept
    there = kept if sign == 0 else kept & (np.signbit(values) == (sign < 0))
    ranked = np.flatnonzero(there)[np.argsort(np.abs(values[there]), kind="stable")]
    kept[ranked[:count]] = False
    return kept
