"""Constraints: values, axes, names, and what they refuse."""

import numpy as np
import pytest

from fastnn import constraints
from fastnn.constraints import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm, WeightClip

ALL = [MaxNorm(1.5), MinMaxNorm(0.5, 1.5, 0.3), NonNeg(), UnitNorm(), WeightClip(0.3)]


def weights(shape=(5, 7), seed=0):
    return np.random.default_rng(seed).normal(size=shape) * np.linspace(0, 2, shape[-1])


def scaled(w, axis, low, high, rate):
    norm = np.sqrt((w**2).sum(axis=axis, keepdims=True))
    return w * ((rate * np.clip(norm, low, high) + (1 - rate) * norm) / (1e-7 + norm))


@pytest.mark.parametrize("axis", [0, 1, -1, -2, None, [0, 1], (1,)])
def test_norms_over_an_axis(axis):
    w = weights()
    numpy_axis = tuple(axis) if isinstance(axis, list) else axis
    for constraint, bounds in ((MaxNorm(1.5, axis), (0, 1.5, 1)), (UnitNorm(axis), (1, 1, 1)),
                               (MinMaxNorm(0.5, 1.5, 0.3, axis), (0.5, 1.5, 0.3))):
        np.testing.assert_allclose(constraint(w), scaled(w, numpy_axis, *bounds), rtol=1e-13)
        np.testing.assert_allclose(constraint(w.astype("f")), scaled(w, numpy_axis, *bounds), rtol=2e-6)


@pytest.mark.parametrize("axis", [0, [0, 1], [0, 1, 2], None, 3, -1, [2, 3], [1, 2, 3]])
def test_norms_of_filters(axis):
    w = weights((3, 2, 4, 5))
    numpy_axis = tuple(axis) if isinstance(axis, list) else axis
    np.testing.assert_allclose(MaxNorm(0.5, axis)(w), scaled(w, numpy_axis, 0, 0.5, 1), rtol=1e-13)


def test_norm_of_a_vector():
    assert UnitNorm()(np.array([3.0, 4.0])) == pytest.approx([0.6, 0.8], rel=1e-7)


def test_non_negative():
    assert np.array_equal(NonNeg()(np.array([[-1.0, 0.0], [2.0, -3.0]])), [[0, 0], [2, 0]])


@pytest.mark.parametrize("constraint", ALL, ids=lambda c: c.name)
def test_no_nan_at_zero_and_the_argument_is_unharmed(constraint):
    assert not constraint(np.zeros((3, 4))).any()
    w = weights()
    before = w.copy()
    assert constraint(w) is not w
    assert np.array_equal(w, before)
    assert constraint(w[:, ::2]).shape == (5, 4)
    assert constraint([[1, 2], [3, 4]]).dtype == np.float64


def test_large_norms_do_not_overflow():
    w = np.full((2, 1), 1e30, np.float32)
    np.testing.assert_allclose(MaxNorm(1.0)(w), np.sqrt(0.5) * np.ones((2, 1)), rtol=1e-6)


@pytest.mark.parametrize("constraint", [*ALL, MaxNorm(axis=[0, 1]), UnitNorm(None)], ids=repr)
def test_config_round_trip(constraint):
    again = constraints.deserialize(constraints.serialize(constraint))
    assert type(again) is type(constraint)
    assert again.get_config() == constraint.get_config()


def test_names():
    assert repr(constraints.get("max_norm")) == "MaxNorm(max_value=2.0, axis=0)"
    assert repr(constraints.get("MinMaxNorm")) == "MinMaxNorm(min_value=0.0, max_value=1.0, rate=1.0, axis=0)"
    assert repr(constraints.get(NonNeg)) == "NonNeg()"
    assert repr(constraints.get("unit_norm")) == "UnitNorm(axis=0)"
    assert constraints.get(None) is None


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: MaxNorm(-1), ValueError, r"max_value must be in \[0, inf\); received -1"),
    (lambda: MaxNorm(axis="a"), TypeError, "axis .* received 'a'"),
    (lambda: MaxNorm(axis=1.0), TypeError, "axis .* received 1.0"),
    (lambda: MaxNorm(axis=[True]), TypeError, "axis"),
    (lambda: MinMaxNorm(2.0, 1.0), ValueError, r"max_value must be in \[2.0, inf\); received 1.0"),
    (lambda: MinMaxNorm(rate=1.1), ValueError, r"rate must be in \[0, 1\]; received 1.1"),
    (lambda: MinMaxNorm(min_value=None), TypeError, "min_value"),
    (lambda: MaxNorm(axis=2)(np.ones((2, 3))), ValueError, r"axis must be in \[-2, 2\) .* received 2"),
    (lambda: MaxNorm(axis=1)(np.ones((2, 3, 4))), ValueError, "first or the last dimensions"),
    (lambda: MaxNorm(axis=1).check((2, 3, 4)), ValueError, "first or the last dimensions"),
    (lambda: NonNeg()(np.array([None])), TypeError, "real numbers"),
    (lambda: constraints.get("maxnrm"), ValueError, "unknown constraint 'maxnrm'. Did you mean 'max_norm'"),
    (lambda: constraints.get(3), TypeError, "received 3"),
    (lambda: Constraint()(1.0), NotImplementedError, "must define __call__"),
])  # fmt: skip
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
