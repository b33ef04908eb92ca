"""Kernels of patterns: beside their NumPy twins, their distributions, what they refuse."""

import doctest
import math

import numpy as np
import pytest
from scipy import stats

import fastnn.kernels.topology
import fastnn.reference.topology
from fastnn import kernels, reference

SHAPES = [(1, 1), (1, 70), (70, 1), (13, 29), (64, 64), (3, 1000)]


def pattern(shape, density, seed=0):
    positions = kernels.random_positions(math.prod(shape), int(density * math.prod(shape)), seed=seed)
    return positions, *kernels.compressed_rows(positions, shape)


@pytest.mark.parametrize("n", [0, 1, 2, 10, 100, 3000])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.97, 1.0])
def test_random_positions_are_those_of_the_twin(n, part):
    for stream in range(20):
        got = kernels.random_positions(n, round(part * n), seed=2**40 + n, stream=stream)
        assert got.dtype == np.int64
        assert np.array_equal(got, reference.random_positions(n, round(part * n), seed=2**40 + n, stream=stream))
        assert got.size == round(part * n) and len(set(got.tolist())) == got.size
        assert np.all(np.diff(got) > 0) and (not got.size or 0 <= got[0] <= got[-1] < n)


def test_every_choice_is_equally_likely():
    counts = np.zeros((6, 6), int)
    for seed in range(6000):
        a, b = kernels.random_positions(6, 2, seed=seed)
        counts[a, b] += 1
    assert stats.chisquare(counts[np.triu_indices(6, 1)]).pvalue > 1e-3


@pytest.mark.parametrize(("n", "count"), [(400, 30), (400, 350)])
def test_every_position_is_equally_likely(n, count):
    times = np.zeros(n, int)
    for seed in range(4000):
        times[kernels.random_positions(n, count, seed=seed)] += 1
    p = count / n
    z = (times - 4000 * p) / math.sqrt(4000 * p * (1 - p))
    assert np.abs(z).max() < 5
    assert 0.8 < np.mean(z**2) < 1.2


def test_streams_and_seeds_tell_draws_apart():
    draws = [kernels.random_positions(10**12, 1000, seed=seed, stream=stream) for seed in (0, 1) for stream in (0, 1)]
    assert np.array_equal(draws[0], kernels.random_positions(10**12, 1000, seed=0))
    assert all(np.intersect1d(draws[i], draws[j]).size < 3 for i in range(4) for j in range(i))
    far = kernels.random_positions(2**53, 100, seed=3)
    assert far[-1] > 2**52 and np.all(np.diff(far) > 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
def test_patterns(shape, density):
    positions, indptr, indices = pattern(shape, density)
    for got, want in zip((indptr, indices), reference.compressed_rows(positions, shape), strict=True):
        assert got.dtype == want.dtype and np.array_equal(got, want)
    size = math.prod(shape)
    ranks = kernels.random_positions(size - positions.size, (size - positions.size) // 3, seed=1)
    free = kernels.free_positions(ranks, shape, indptr, indices)
    assert np.array_equal(free, reference.free_positions(ranks, shape, indptr, indices))
    kept = np.random.default_rng(0).random(positions.size) < 0.7
    got = kernels.merge_pattern(shape, indptr, indices, kept, free)
    for a, b in zip(got, reference.merge_pattern(shape, indptr, indices, kept, free), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)
    # what went may come again at its place
    gone = positions[~kept]
    again = kernels.merge_pattern(shape, indptr, indices, kept, gone)
    assert np.array_equal(again[0], indptr) and np.array_equal(again[1], indices)
    assert np.array_equal(again[2] >= 0, kept)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 5, 1000, 70_000])
@pytest.mark.parametrize("values", ["normal", "ties", "tiny", "zeros"])
def test_drop_smallest(dtype, n, values):
    rng = np.random.default_rng(n)
    numbers = rng.standard_normal(n)
    numbers = {"normal": numbers, "ties": np.round(2 * numbers), "tiny": numbers * 1e-41, "zeros": 0 * numbers}[values]
    numbers = numbers.astype(dtype)
    for sign in (0, 1, -1):
        there = n if sign == 0 else int(np.count_nonzero(np.signbit(numbers) == (sign < 0)))
        for count in {0, there // 3, there}:
            got = kernels.drop_smallest(numbers, count, sign=sign)
            assert np.array_equal(got, reference.drop_smallest(numbers, count, sign=sign))
            assert np.count_nonzero(~got) == count
    kept = rng.random(n) < 0.5
    want, count = kept.copy(), int(kept.sum()) // 2
    assert kernels.drop_smallest(numbers, count, kept=kept) is kept
    assert np.array_equal(kept, reference.drop_smallest(numbers, count, kept=want))


BAD = {
    "n": (lambda: kernels.random_positions(-1, 0, seed=0), ValueError, r"n must be in \[0"),
    "too many": (lambda: kernels.random_positions(5, 6, seed=0), ValueError, r"count must be in \[0, 6\); received 6"),
    "seed": (lambda: kernels.random_positions(5, 2, seed=-1), ValueError, "seed"),
    "order": (lambda: kernels.compressed_rows([3, 1], (2, 3)), ValueError, "ascending order, each once"),
    "twice": (lambda: kernels.compressed_rows([1, 1], (2, 3)), ValueError, "ascending order, each once"),
    "outside": (lambda: kernels.compressed_rows([1, 6], (2, 3)), ValueError, r"\[0, 6\)"),
    "floats": (lambda: kernels.compressed_rows([1.5], (2, 3)), TypeError, "integers of one dimension"),
    "shape": (lambda: kernels.compressed_rows([1], 6), TypeError, "pair of integers"),
    "huge": (lambda: kernels.compressed_rows([1], (2**30, 2**30)), ValueError, r"2\*\*53"),
    "rank": (lambda: kernels.free_positions([4], (2, 3), [0, 1, 2], [0, 0]), ValueError, r"\[0, 4\)"),
    "indptr": (lambda: kernels.free_positions([1], (2, 3), [0, 2, 1], [0, 0]), ValueError, "indptr must be 3"),
    "index": (lambda: kernels.free_positions([1], (2, 3), [0, 1, 2], [0, 3]), ValueError, "received 0 to 3"),
    "wide": (lambda: kernels.free_positions([1], (2, 3), [0, 1, 2], [0, 2**32 + 1]), ValueError, "0 to 4294967297"),
    "unsorted": (lambda: kernels.merge_pattern((2, 3), [0, 0, 2], [2, 0], [True, True], []), ValueError,
                 "ascending order, each once; received 2, then 0 in row 1"),
    "doubled": (lambda: kernels.free_positions([1], (2, 3), [0, 2, 2], [1, 1]), ValueError, "1, then 1 in row 0"),
    "stays": (lambda: kernels.merge_pattern((2, 3), [0, 1, 2], [0, 1], [True, True], [1, 4]), ValueError,
              "no entries that stay; received 4"),
    "kept": (lambda: kernels.merge_pattern((2, 3), [0, 1, 2], [0, 0], [1, 0], []), ValueError, "2 values of bool"),
    "sign": (lambda: kernels.drop_smallest(np.ones(3), 1, sign=2), ValueError, "sign must be 0, 1 or -1"),
    "count": (lambda: kernels.drop_smallest(np.ones(3), 1, sign=-1), ValueError, r"count must be in \[0, 1\)"),
    "kept list": (lambda: kernels.drop_smallest(np.ones(1), 1, kept=[True]), ValueError, "can be written to"),
    "integers": (lambda: kernels.drop_smallest(np.arange(3), 1), TypeError, "float32 or float64"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_refused(what):
    call, error, message = BAD[what]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("module", [fastnn.kernels.topology, fastnn.reference.topology])
def test_examples(module):
    assert doctest.testmod(module).failed == 0
