"""Histograms and extents: beside NumPy's, on odd numbers, for any number of threads."""

import numpy as np
import pytest

from fastnn import kernels, reference

DTYPES = ("float32", "float64")
SIZES = (0, 1, 3, 255, 256, 257, 4095, 4096, 4097, 50_000)


def numbers(n, dtype, seed=0):
    """Normal numbers, many equal ones, NaN and both infinities."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    x[rng.random(n) < 0.2] = 0.5
    for odd in (np.nan, np.inf, -np.inf):
        x[rng.random(n) < 0.01] = odd
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_counts_are_those_of_numpy(n, dtype):
    """Powers of two keep the edges exact."""
    x = numbers(n, dtype)
    for low, high, bins in ((-2.0, 2.0, 64), (-0.5, 0.5, 1), (0.0, 4.0, 1024), (0.25, 0.5, 2)):
        got = kernels.histogram(x, low, high, bins)
        assert got.dtype == np.int64
        assert np.array_equal(got, np.histogram(x[np.isfinite(x)], bins, (low, high))[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_range_counts_as_the_twin_does(dtype):
    x = numbers(20_000, dtype)
    rng = np.random.default_rng(1)
    for _ in range(30):
        low, high = np.sort(rng.standard_normal(2) * 10.0 ** rng.integers(-3, 3))
        bins = int(rng.integers(1, 300))
        got = kernels.histogram(x, low, high, bins)
        assert np.array_equal(got, reference.histogram(x, low, high, bins))
        # rounding at an edge may take a number to the next bin
        assert np.abs(got - np.histogram(x[np.isfinite(x)].astype(float), bins, (low, high))[0]).sum() <= 2
    assert kernels.histogram(x, 0, 1, 65536).sum() == np.sum((x >= 0) & (x <= 1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ends_of_the_range(dtype):
    low, high = np.array([-0.7, 1.3], dtype)
    inf = np.array(np.inf, dtype)
    x = np.array([low, high, np.nextafter(low, -inf), np.nextafter(high, inf), np.nextafter(high, low)], dtype)
    assert kernels.histogram(x, low, high, 10).tolist() == [1, *[0] * 8, 2]


def test_ranges_at_the_limits_of_the_dtypes():
    huge, tiny = np.finfo("f4").max, np.finfo("f4").smallest_subnormal
    x = np.array([-huge, 0, huge], "f4")
    assert kernels.histogram(x, -huge, huge, 3).tolist() == [1, 1, 1]
    assert kernels.histogram(np.array([0, 1, 2, 3, 4], "f4") * tiny, 0, 4 * tiny, 4).tolist() == [1, 1, 1, 2]
    assert kernels.histogram(np.array([0, 1, 2]) * 2.0**-1000, 0, 2.0**-999, 2).tolist() == [1, 2]
    assert kernels.extent(x).tolist() == [-huge, huge, 0, 2 * float(huge) ** 2, 0]
    assert kernels.extent(np.array([1, 3], "f4") * tiny)[:3].tolist() == [tiny, 3 * tiny, 4 * tiny]
    assert kernels.extent(np.array([1e200, 1.0]))[3] == np.inf


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_extent_is_that_of_the_finite_numbers(n, dtype):
    x = numbers(n, dtype, seed=2)
    got, want = kernels.extent(x), reference.extent(x)
    assert got.dtype == np.float64
    assert np.array_equal(got[[0, 1, 4]], want[[0, 1, 4]])
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extent_without_finite_numbers(dtype):
    for x in (np.array([], dtype), np.full(70, np.nan, dtype), np.array([np.inf, -np.inf], dtype)):
        assert kernels.extent(x).tolist() == [np.inf, -np.inf, 0, 0, x.size]
        assert kernels.histogram(x, 0, 1, 2).tolist() == [0, 0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_matter(dtype):
    x = numbers(100_003, dtype)
    counts, extents = (
        [call(n_threads=n).tobytes() for n in (1, 2, 3, 8)]
        for call in (lambda **k: kernels.histogram(x, -3, 3, **k), lambda **k: kernels.extent(x, **k))
    )
    assert len(set(counts)) == len(set(extents)) == 1


def test_shapes_views_and_outputs():
    x = numbers(600, "float32").reshape(4, 10, 15)
    x.flags.writeable = False
    for view in (x, x[::2, ::3, 1::2], x.T, x[0, 0, 0]):
        out, five = np.full(8, -1), np.full(5, np.nan)
        assert kernels.histogram(view, -1, 1, 8, out=out) is out
        assert np.array_equal(out, reference.histogram(view, -1, 1, 8))
        assert kernels.extent(view, out=five) is five
        np.testing.assert_allclose(five, reference.extent(np.atleast_1d(view)), rtol=1e-12, atol=1e-12)
