"""Keras 3 on its torch backend as oracle of regularizers and constraints, in float64."""

import numpy as np
import pytest
from test_oracle_keras import MISSING, keras  # noqa: F401

import fastnn as fnn

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.filterwarnings("default"),  # Keras' and torch's warnings are not ours
]

# Class name and arguments.
REGULARIZERS = {
    "l1": ("L1", {}),
    "l1 large": ("L1", {"l1": 0.5}),
    "l2": ("L2", {}),
    "l2 large": ("L2", {"l2": 0.5}),
    "both": ("L1L2", {"l1": 0.02, "l2": 0.03}),
    "neither": ("L1L2", {}),
    "orthogonal rows": ("OrthogonalRegularizer", {"factor": 0.5}),
    "orthogonal columns": ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
}
CONSTRAINTS = {
    "max norm": ("MaxNorm", {"max_value": 1.0}),
    "max norm of rows": ("MaxNorm", {"max_value": 1.0, "axis": 1}),
    "max norm of all": ("MaxNorm", {"max_value": 1.0, "axis": None}),
    "min max norm": ("MinMaxNorm", {"min_value": 0.9, "max_value": 1.1}),
    "min max norm slowly": ("MinMaxNorm", {"min_value": 0.9, "max_value": 1.1, "rate": 0.25}),
    "min max norm of rows": ("MinMaxNorm", {"min_value": 0.9, "max_value": 1.1, "rate": 0.5, "axis": 1}),
    "non negative": ("NonNeg", {}),
    "unit norm": ("UnitNorm", {}),
    "unit norm of rows": ("UnitNorm", {"axis": 1}),
}


def both(keras, module, case):  # noqa: F811
    name, arguments = case
    return (getattr(getattr(library, module), name)(**arguments) for library in (fnn, keras))


def samples(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("case", REGULARIZERS.values(), ids=REGULARIZERS.keys())
@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (70, 33)])
def test_penalty(keras, case, shape):  # noqa: F811
    ours, theirs = both(keras, "regularizers", case)
    w = samples(shape)
    want = theirs(keras.ops.convert_to_tensor(w, dtype="float64"))
    # L1 and the orthogonal one keep their factor in float32 there.
    assert ours(w) == pytest.approx(float(want), rel=1e-7 if case[0] in ("L1", "OrthogonalRegularizer") else 1e-13)


@pytest.mark.parametrize("case", CONSTRAINTS.values(), ids=CONSTRAINTS.keys())
@pytest.mark.parametrize("shape", [(5, 7), (70, 33)])
def test_constrained(keras, case, shape):  # noqa: F811
    ours, theirs = both(keras, "constraints", case)
    w = samples(shape) * np.linspace(0, 2, shape[1])
    want = theirs(keras.ops.convert_to_tensor(w, dtype="float64")).numpy()
    np.testing.assert_allclose(ours(w), want, rtol=1e-13)


@pytest.mark.parametrize("axis", [[0, 1, 2], 0, None, -1, [2, 3]])
def test_filters(keras, axis):  # noqa: F811
    w = samples((3, 3, 4, 5))
    want = keras.constraints.MaxNorm(0.5, axis=axis)(keras.ops.convert_to_tensor(w, dtype="float64")).numpy()
    np.testing.assert_allclose(fnn.constraints.MaxNorm(0.5, axis=axis)(w), want, rtol=1e-13)


@pytest.mark.parametrize(("module", "name"), [
    *(("regularizers", name) for name in ("L1", "L2", "L1L2", "OrthogonalRegularizer")),
    *(("constraints", name) for name in ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")),
])  # fmt: skip
def test_defaults(keras, module, name):  # noqa: F811
    ours, theirs = (obj.get_config() for obj in both(keras, module, (name, {})))
    ours.pop("name")
    assert ours.keys() == theirs.keys()
    for argument, value in theirs.items():
        assert ours[argument] == (pytest.approx(value, rel=1e-7) if isinstance(value, float) else value)
