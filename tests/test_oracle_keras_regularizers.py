"""Keras 3 on its torch backend as oracle of regularizers and constraints, in float64."""

import numpy as np
import pytest
from test_oracle_keras import MISSING, compile_both, dense, fit_both, keras, same_logs, same_weights, stack  # noqa: F401

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


# ---------------------------------------------------------------------------------------------- trajectories

# Factors that float32 holds exactly.
PENALTIES = {
    "l1": ("L1", {"l1": 2.0**-6}),
    "l2": ("L2", {"l2": 2.0**-6}),
    "both": ("L1L2", {"l1": 2.0**-7, "l2": 2.0**-6}),
    "orthogonal rows": ("OrthogonalRegularizer", {"factor": 0.5}),
    "orthogonal columns": ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
}


def pair_with(keras, layers, shape=(6,)):  # noqa: F811
    """The same model in both libraries; a keyword's value may be (module, (class, arguments))."""
    def made(library):
        return [(name, arguments, {key: getattr(getattr(library, value[0]), value[1][0])(**value[1][1])
                                   if isinstance(value, tuple) else value for key, value in keywords.items()})
                for name, arguments, keywords in layers]  # fmt: skip

    ours = stack(fnn, shape, made(fnn), dtype="float64", seed=0)
    theirs = stack(keras, shape, made(keras))
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=w.shape) / np.sqrt(w.shape[0]) for w in theirs.get_weights()]
    for w, variable in zip(weights, theirs.weights, strict=True):
        if variable.name == "moving_variance":
            w[...] = np.abs(w) + 0.5
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


def follow(keras, layers, loss="SparseCategoricalCrossentropy", optimizer=("SGD", {"momentum": 0.5}), n=117):  # noqa: F811
    """200 steps, short batches among them; the losses of all epochs, and those of evaluate."""
    ours, theirs = pair_with(keras, layers)
    start = ours.get_weights()
    compile_both(keras, ours, theirs, optimizer, (loss, {}))
    x, y = samples((n, 6)), np.random.default_rng(5).integers(0, 4, n)
    y = y if loss.startswith("Sparse") else np.eye(4)[y]
    same_logs(*fit_both(ours, theirs, x, y, epochs=25))
    assert theirs.optimizer.iterations == 200
    same_weights(ours, theirs)
    assert any(np.linalg.norm(a - b) > 1e-2 * np.linalg.norm(b) for a, b in zip(ours.get_weights(), start, strict=True))
    assert ours.evaluate(x, y) == pytest.approx(theirs.evaluate(x, y, batch_size=n, verbose=0), rel=1e-9)


@pytest.mark.parametrize("optimizer", [("SGD", {"momentum": 0.5}), ("Adam", {})], ids=["momentum", "adam"])
@pytest.mark.parametrize("case", PENALTIES.values(), ids=PENALTIES.keys())
def test_200_steps_with_a_regularizer(keras, case, optimizer):  # noqa: F811
    penalty = ("regularizers", case)
    vector = {"bias_regularizer": penalty} if not case[0].startswith("Orth") else {}
    follow(keras, [dense(7, "tanh", kernel_regularizer=penalty, **vector),
                   dense(4, "softmax", kernel_regularizer=penalty)], optimizer=optimizer)


@pytest.mark.parametrize("case", [case for case in PENALTIES.values() if not case[0].startswith("Orth")])
@pytest.mark.parametrize("loss", ["SparseCategoricalCrossentropy", "CategoricalCrossentropy", "MeanSquaredError"])
def test_200_steps_with_activities(keras, case, loss):  # noqa: F811
    penalty = ("regularizers", case)
    follow(keras, [dense(7, "tanh", activity_regularizer=penalty), dense(5, "gelu", activity_regularizer=penalty),
                   dense(4, "softmax", activity_regularizer=penalty)], loss)


def test_200_steps_with_the_layer_of_its_own(keras):  # noqa: F811
    follow(keras, [dense(7, "tanh"), ("ActivityRegularization", (), {"l1": 2.0**-7, "l2": 2.0**-6}),
                   dense(4, "softmax")])


def test_200_steps_with_a_frozen_layer(keras):  # noqa: F811
    penalty = ("regularizers", ("L2", {"l2": 0.25}))
    follow(keras, [dense(7, "tanh", kernel_regularizer=penalty, activity_regularizer=penalty, trainable=False,
                         kernel_constraint=("constraints", ("UnitNorm", {}))),
                   dense(4, "softmax", kernel_regularizer=penalty)])


@pytest.mark.parametrize("optimizer", [("SGD", {"momentum": 0.5}), ("Adam", {})], ids=["momentum", "adam"])
@pytest.mark.parametrize("case", CONSTRAINTS.values(), ids=CONSTRAINTS.keys())
def test_200_steps_with_a_constraint(keras, case, optimizer):  # noqa: F811
    constraint = ("constraints", case)
    vector = {"bias_constraint": constraint} if case[1].get("axis") != 1 else {}
    follow(keras, [dense(7, "tanh", kernel_constraint=constraint, **vector),
                   dense(5, "tanh", kernel_constraint=constraint, **vector), dense(4, "softmax")], optimizer=optimizer)


@pytest.mark.parametrize("name", ["BatchNormalization", "LayerNormalization"])
def test_200_steps_of_a_normalizing_layer(keras, name):  # noqa: F811
    penalty = ("regularizers", ("L1L2", {"l1": 2.0**-7, "l2": 2.0**-5}))
    options = {"gamma_regularizer": penalty, "beta_regularizer": penalty,
               "gamma_constraint": ("constraints", ("MaxNorm", {"max_value": 1.0})),
               "beta_constraint": ("constraints", ("NonNeg", {}))}
    follow(keras, [dense(7), (name, (), options), dense(4, "softmax")])


def test_200_steps_of_a_convolution(keras):  # noqa: F811
    penalty = ("regularizers", ("L1L2", {"l1": 2.0**-9, "l2": 2.0**-7}))
    options = {"activation": "tanh", "kernel_regularizer": penalty, "bias_regularizer": penalty,
               "activity_regularizer": penalty,
               "kernel_constraint": ("constraints", ("MaxNorm", {"max_value": 0.75, "axis": [0, 1, 2]}))}
    follow(keras, [("Reshape", ((3, 2, 1),), {}), ("Conv2D", (5, 2), options), ("Flatten", (), {}),
                   dense(4, "softmax")])


def test_200_steps_of_prelu(keras):  # noqa: F811
    options = {"alpha_regularizer": ("regularizers", ("L2", {"l2": 0.25})),
               "alpha_constraint": ("constraints", ("NonNeg", {}))}
    follow(keras, [dense(7), ("PReLU", (), options), dense(4, "softmax")])


def test_200_steps_with_all_of_it(keras):  # noqa: F811
    kernel, bias = ("regularizers", ("L1L2", {"l1": 2.0**-9, "l2": 2.0**-8})), ("regularizers", ("L2", {"l2": 0.125}))
    follow(keras, [dense(7, "relu", kernel_regularizer=("regularizers", ("OrthogonalRegularizer", {"factor": 0.25})),
                         bias_regularizer=bias, activity_regularizer=kernel,
                         kernel_constraint=("constraints", ("MaxNorm", {"max_value": 1.0})),
                         bias_constraint=("constraints", ("NonNeg", {}))),
                   dense(4, "softmax", kernel_regularizer=kernel,
                         kernel_constraint=("constraints", ("MinMaxNorm", {"min_value": 0.5, "rate": 0.5})))],
           optimizer=("AdamW", {"weight_decay": 0.03125}))
