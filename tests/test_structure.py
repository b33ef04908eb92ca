"""Containers and embeddings: shapes, names, gradients, files, and what the engine makes of branches."""


import numpy as np
import pytest

import fastnn as fnn
from fastnn.layers import (
    Activation,
    Columns,
    Concatenate,
    Dense,
    Embedding,
    Flatten,
    PythonLayer,
    Rescaling,
    Residual,
)

THREADS = (1, 2, 3, 4, 8)
STEP = 1e-5


class Twice(PythonLayer):
    """A user's layer, which needs the whole batch."""

    def add_weights(self, input_shape):
        return {"scale": (input_shape, "ones")}

    def forward(self, x, training):
        if training:
            self.x = x.copy()
        return 2 * x * self.weights["scale"]

    def backward(self, dy):
        self.gradients["scale"][...] = (2 * dy * self.x).sum(axis=0)
        return 2 * dy * self.weights["scale"]


def table_branches():
    return [[Columns(range(5)), Dense(7, activation="relu")], [Columns([5, 7]), Embedding(9, 4), Flatten()],
            [Columns(6), Embedding(5, 3), Flatten(), Dense(2, activation="gelu")]]


# Layers for samples of 8 columns, of which the last three are integers in [0, 5).
STACKS = {
    "residual": lambda: [Dense(6), Residual([Dense(9, activation="relu"), Dense(6)])],
    "residual on the input": lambda: [Residual([Dense(9, activation="tanh"), Dense(8, activation="relu")])],
    "residual with a shortcut": lambda: [Dense(6, activation="gelu"),
                                         Residual([Dense(9, activation="silu"), Dense(5)], shortcut=Dense(5))],
    "residual behind an activation": lambda: [Dense(6, activation="relu"), Residual(Dense(6, activation="gelu")),
                                              Residual(Dense(6, activation="relu")), Dense(4, activation="mish")],
    "residual in a residual": lambda: [Residual([Dense(5), Residual([Dense(5, activation="tanh")]), Dense(8)]),
                                       Residual(Residual(Dense(8, activation="sigmoid")))],
    "residual that ends with softmax": lambda: [Residual([Dense(8, activation="softmax")])],
    "residual of an activation": lambda: [Dense(6), Residual(Activation("gelu")), Residual(Rescaling(2.0))],
    "residual around a user's layer": lambda: [Dense(6), Residual([Twice(), Dense(6, activation="relu")])],
    "concatenate": lambda: [Dense(6, activation="relu"),
                            Concatenate([Dense(3, activation="gelu"), [], [Dense(5), Dense(4, activation="relu")]])],
    "concatenate of identities": lambda: [Dense(3, activation="tanh"), Concatenate([[], [], Rescaling(0.5), []])],
    "concatenate of residuals": lambda: [Dense(4), Concatenate([Residual(Dense(4, activation="relu")), Dense(2),
                                                              Residual([Dense(3), Dense(4)], shortcut=Dense(4))])],
    "concatenate in concatenate": lambda: [Dense(4), Concatenate([Concatenate([Dense(2), [], Dense(3)]), Dense(2)])],
    "residual around concatenate": lambda: [Dense(4), Residual(Concatenate([Dense(1, activation="relu"), Dense(3)]))],
    "columns": lambda: [Dense(6, activation="relu"), Columns([5, 0, 0, 3])],
    "columns in a row": lambda: [Dense(6, activation="gelu"), Columns(slice(2, 5))],
    "columns of branches": lambda: [Dense(6), Concatenate([Columns([1, 2]), Columns([2, 3, 4]), Columns([5, 0]), []])],
    "residual of columns": lambda: [Dense(6), Residual(Columns(range(6))), Residual(Columns([5, 4, 3, 2, 1, 0]))],
    "embedding": lambda: [Columns([5, 6, 7]), Embedding(5, 4), Flatten()],
    "table": lambda: [Concatenate(table_branches())],
    "table and residual": lambda: [Concatenate(table_branches()), Dense(6, activation="relu"),
                                   Residual([Dense(6, activation="relu"), Dense(6)])],
    "user's layer in a branch": lambda: [Dense(4), Concatenate([Twice(), Dense(2)])],
}


def data(n=40, seed=0, outputs=3, dtype="float64"):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(dtype)
    x[:, 5:] = rng.integers(0, 5, (n, 3))
    return x, rng.normal(size=(n, outputs)).astype(dtype)


def make(name, seed=1, dtype="float64", optimizer="adam", outputs=3):
    model = fnn.Sequential([*STACKS[name](), Dense(outputs)], seed=seed, dtype=dtype)
    model.compile(optimizer, "mse")
    return model


def randomize(model, shape=(8,), seed=0):
    rng = np.random.default_rng(seed)
    model.build(shape)
    model.set_weights([rng.normal(size=w.shape) / np.sqrt(w.shape[0] if w.ndim == 2 else 4)
                       for w in model.get_weights()])


def check_gradients(model, x, y, tolerance=1e-6):
    """Against central differences, element by element; zeros for what is not trained."""
    got = iter(model.gradients(x, y))
    worst = scale = 0.0
    for leaf in model._leaves():
        for weight in leaf.weights.values():
            gradient = next(got)
            if not leaf.trainable:
                assert not gradient.any()
                continue
            for at in np.ndindex(weight.shape):
                kept = weight[at]
                losses = []
                for step in (STEP, -STEP):
                    weight[at] = kept + step
                    losses.append(model.evaluate(x, y))
                weight[at] = kept
                expected = (losses[0] - losses[1]) / (2 * STEP)
                worst, scale = max(worst, abs(gradient[at] - expected)), max(scale, abs(expected))
    assert scale > 1e-4
    assert worst <= tolerance * scale


@pytest.mark.parametrize("name", STACKS)
def test_gradients(name):
    model = make(name)
    randomize(model)
    check_gradients(model, *data(11))


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("frozen", ["first", "middle", "inner"])
def test_gradients_beside_frozen_layers(name, frozen):
    model = make(name)
    randomize(model)
    inner = [layer for layer in model._family if layer.depth]
    chosen = {"first": model.layers[:1], "middle": model.layers[-2:-1], "inner": inner[::2]}[frozen]
    for layer in chosen:
        layer.trainable = False
    check_gradients(model, *data(11))


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(name, dtype):
    x, y = data(301, dtype=dtype)
    results = []
    for threads in THREADS:
        model = make(name, dtype=dtype)
        history = model.fit(x, y, epochs=2, batch_size=64, verbose=0, n_threads=threads)
        results.append([*model.get_weights(), model.predict(x, n_threads=threads), np.array(history.history["loss"])])
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", STACKS)
def test_predictions_do_not_depend_on_other_rows(name):
    x, _ = data(150, dtype="float32")
    model = make(name, dtype="float32")
    whole = model.predict(x)
    for rows in (slice(0, 1), slice(7, 20), slice(149, 150)):
        np.testing.assert_array_equal(model.predict(x[rows]), whole[rows])
