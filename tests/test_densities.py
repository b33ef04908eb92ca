"""How dense which layer is."""

import doctest
import math

import pytest

import fastnn.sparse
from fastnn.sparse import densities, erdos_renyi

NETWORKS = [[(784, 1000), (1000, 1000), (1000, 10)], [(784, 300), (300, 100), (100, 10)], [(5, 5)],
            [(3, 3, 16, 32), (9, 2)], [(2, 2), (1000, 1000)]]  # fmt: skip


@pytest.mark.parametrize("shapes", NETWORKS)
@pytest.mark.parametrize("density", [0.001, 0.02, 0.1, 0.5, 0.9, 1.0])
def test_erk(shapes, density):
    found = densities(shapes, density)
    sizes = [math.prod(shape) for shape in shapes]
    assert sum(share * size for share, size in zip(found, sizes, strict=True)) == pytest.approx(density * sum(sizes))
    assert all(0 < share <= 1 for share in found)
    factors = {round(share * size / sum(shape), 9) for share, size, shape in zip(found, sizes, shapes, strict=True)
               if share < 1}  # fmt: skip
    assert len(factors) <= 1
    # no full one has less than its part
    for share, size, shape in zip(found, sizes, shapes, strict=True):
        assert share < 1 or not factors or size / sum(shape) <= max(factors) * (1 + 1e-6)


def test_uniform():
    assert densities([(3, 4), (5, 6)], 0.3, "uniform") == [0.3, 0.3]


def test_erdos_renyi():
    assert erdos_renyi((3312, 300_000), 20) == pytest.approx(20 * 303_312 / (3312 * 300_000))
    assert erdos_renyi((10, 10), 20) == 1.0


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: densities([(3, 4)], 0), ValueError, r"density must be in \(0, 1\]; received 0"),
    (lambda: densities([(3, 4)], 0.5, "er"), ValueError, "rule must be 'erk' or 'uniform'; received 'er'"),
    (lambda: densities([(3, 0)], 0.5), ValueError, r"shapes\[0\]\[1\] must be in"),
    (lambda: densities([3], 0.5), TypeError, r"shapes\[0\] must be a tuple"),
    (lambda: erdos_renyi((0, 3), 5), ValueError, "number of rows"),
    (lambda: erdos_renyi((3, 4), 0), ValueError, r"epsilon must be in \(0, inf\)"),
])  # fmt: skip
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_examples():
    assert doctest.testmod(fastnn.sparse).failed == 0
