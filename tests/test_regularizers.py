"""Regularizers: values, gradients, names, and what they refuse."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn import regularizers
from fastnn.regularizers import L1, L1L2, L2, OrthogonalRegularizer, Regularizer

CASES = {
    "l1": (L1(0.3), lambda w: 0.3 * np.abs(w).sum()),
    "l2": (L2(0.7), lambda w: 0.7 * (w**2).sum()),
    "both": (L1L2(0.3, 0.7), lambda w: 0.3 * np.abs(w).sum() + 0.7 * (w**2).sum()),
    "none": (L1L2(), lambda w: 0.0),
    "rows": (OrthogonalRegularizer(2.0), lambda w: orthogonal(w, 2.0)),
    "columns": (OrthogonalRegularizer(2.0, "columns"), lambda w: orthogonal(w.T, 2.0)),
}


def orthogonal(w, factor):
    unit = w / np.linalg.norm(w, axis=1, keepdims=True)
    above = np.triu_indices(len(w), 1)
    return factor * np.abs(unit @ unit.T)[above].mean()


def weights(shape=(5, 7), seed=0):
    w = np.random.default_rng(seed).normal(size=shape)
    w.flat[3] = 0.0
    return w


@pytest.mark.parametrize("case", CASES)
def test_values(case):
    regularizer, want = CASES[case]
    w = weights()
    assert regularizer(w) == pytest.approx(want(w), rel=1e-14)
    assert isinstance(regularizer(w), float)
    assert regularizer(w.astype(np.float32)) == pytest.approx(want(w), rel=1e-6)
    assert regularizer(np.asfortranarray(w)) == regularizer(w)
    assert regularizer(w.tolist()) == regularizer(w)


@pytest.mark.parametrize("case", CASES)
def test_gradients_by_differences(case):
    regularizer, _ = CASES[case]
    w = weights() + 0.05  # no weight at a kink
    grad = regularizer.gradient(w)
    for i in np.ndindex(w.shape):
        ends = []
        for step in (1e-6, -1e-6):
            moved = w.copy()
            moved[i] += step
            ends.append(regularizer(moved))
        assert grad[i] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


def test_any_rank():
    assert L2(1.0)(np.ones((2, 3, 4))) == 24.0
    assert L1(1.0)(np.float64(-3.0)) == 3.0
    assert L1(1.0)(np.arange(-2, 3)) == 6.0
    assert L1(1.0)(np.ones((0, 3))) == 0.0
    assert L2(1.0).gradient(np.ones((2, 3, 4))).shape == (2, 3, 4)


def test_at_zero():
    zero = np.zeros((3, 4))
    for regularizer, _ in CASES.values():
        assert regularizer(zero) == 0.0
        assert not regularizer.gradient(zero).any()


def test_a_single_row_is_orthogonal():
    assert OrthogonalRegularizer()(np.ones((1, 5))) == 0.0
    assert OrthogonalRegularizer(mode="columns")(np.ones((5, 1))) == 0.0


def test_sums_are_in_float64():
    w = np.full((1000, 1000), np.float32(0.1))
    assert L2(1.0)(w) == pytest.approx(1e6 * float(np.float32(0.1)) ** 2, rel=1e-12)
    assert L2(1e-30)(np.full(4, 1e25, np.float32)) == pytest.approx(4e20, rel=1e-6)


def test_names():
    for name, default in {"l1": L1(0.01), "l2": L2(0.01), "l1_l2": L1L2(0.01, 0.01), "l1l2": L1L2(0.01, 0.01),
                          "L2": L2(), "orthogonal": OrthogonalRegularizer(),
                          "OrthogonalRegularizer": OrthogonalRegularizer()}.items():
        assert repr(regularizers.get(name)) == repr(default)
    assert regularizers.get(None) is None
    assert repr(regularizers.get(L2)) == "L2(l2=0.01)"


@pytest.mark.parametrize("case", CASES)
def test_config_round_trip(case):
    regularizer, _ = CASES[case]
    again = regularizers.deserialize(regularizers.serialize(regularizer))
    assert type(again) is type(regularizer)
    assert again.get_config() == regularizer.get_config()


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: L1(-0.1), ValueError, r"l1 must be in \[0, inf\); received -0.1"),
    (lambda: L2(float("nan")), ValueError, "l2 .* received nan"),
    (lambda: L2(float("inf")), ValueError, "l2 .* received inf"),
    (lambda: L1L2("a"), TypeError, "l1 must be a number .* received 'a'"),
    (lambda: L1L2(l2=True), TypeError, "l2 must be a number .* received True"),
    (lambda: OrthogonalRegularizer(-1.0), ValueError, "factor"),
    (lambda: OrthogonalRegularizer(mode="row"), ValueError, "'rows' or 'columns'; received 'row'"),
    (lambda: OrthogonalRegularizer()(np.ones(3)), ValueError, r"shape \(rows, columns\); received \(3,\)"),
    (lambda: L2()(np.array(["a"])), TypeError, "real numbers"),
    (lambda: L2()(np.ones(3, complex)), TypeError, "complex128"),
    (lambda: regularizers.get("ortogonal"), ValueError, "Did you mean 'orthogonal'"),
    (lambda: regularizers.get("l3"), ValueError, r"Did you mean 'l[12]'\? Allowed: l1, l2"),
    (lambda: regularizers.get(0.01), TypeError, "received 0.01"),
    (lambda: regularizers.get({"name": "l2", "l1": 1.0}), TypeError, "l1"),
    (lambda: Regularizer()(1.0), NotImplementedError, "must define __call__"),
    (lambda: Regularizer().gradient(1.0), NotImplementedError, "must define gradient"),
])  # fmt: skip
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_orthogonal_kernels_of_convolutions_are_refused_by_name():
    for layer in (fnn.layers.Conv2D(2, 3, kernel_regularizer="orthogonal", name="edges"),
                  fnn.layers.Residual([fnn.layers.Conv2D(1, 1, kernel_regularizer="orthogonal", name="edges")])):
        with pytest.raises(ValueError, match=r"edges.kernel: Orthogonal.* two dimensions; received shape \([13], "):
            fnn.Sequential([fnn.Input((8, 8, 1)), layer])
    with pytest.raises(ValueError, match=r"^dense.bias: "):
        fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2, bias_constraint=fnn.constraints.MaxNorm(axis=1))])
