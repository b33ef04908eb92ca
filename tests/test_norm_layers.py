"""Normalizing and noisy layers in the engine: gradients, statistics, threads, merged passes, files, bad input."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers, reference
from fastnn._kernels.teams import Team
from fastnn.layers import (
    Activation,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    LayerNormalization,
    PReLU,
    Rescaling,
    RMSNormalization,
    SReLU,
)

STEP = 1e-5


def bn(**kwargs):
    return BatchNormalization(momentum=0.9, **kwargs)


# Stacks in front of Dense(3, softmax).
STACKS = {
    "dense bn relu dropout": lambda: [Dense(9, use_bias=False), bn(), Activation("relu"), Dropout(0.3)],
    "dense(relu) bn dropout": lambda: [Dense(9, activation="relu"), bn(), Dropout(0.3)],
    "dense(gelu) bn": lambda: [Dense(9, activation="gelu"), bn(), Dense(7, activation="tanh")],
    "dense bn gelu": lambda: [Dense(9), bn(), Activation("gelu"), AlphaDropout(0.2)],
    "dense bn elu": lambda: [Dense(9), bn(), Activation("elu"), Dropout(0.2)],
    "dense bn tanh": lambda: [Dense(9), bn(), Activation("tanh"), bn(), bn()],
    "bn first": lambda: [bn(), Dense(6, activation="tanh")],
    "bn twice": lambda: [Dense(5), bn(center=False), Activation("sigmoid"), Dense(6), bn(scale=False), Dropout(0.1)],
    "bn bare": lambda: [Dense(6), bn(center=False, scale=False), Activation("softmax"), Dense(4)],
    "bn of columns": lambda: [layers.Embedding(5, 3), bn(), Flatten(), Dense(4, activation="tanh")],
    "bn of images": lambda: [layers.Reshape((2, 2, 1)), layers.Conv2D(6, 2, padding="same"), bn(), Activation("relu"),
                             layers.Conv2D(3, 2, activation="tanh"), bn(), Dropout(0.2),
                             PReLU("ones", shared_axes=[1, 2]), LayerNormalization(), Flatten()],
    "bn in residual": lambda: [Dense(6), layers.Residual([bn(), Activation("relu"), Dropout(0.2), Dense(6), bn()])],
    "layer norm": lambda: [Dense(9), LayerNormalization(), Activation("tanh")],
    "layer norm bare": lambda: [LayerNormalization(center=False, scale=False), Dense(8, activation="relu")],
    "layer norm of columns": lambda: [layers.Embedding(5, 3), LayerNormalization(), Flatten()],
    "rms norm": lambda: [Dense(9), RMSNormalization(), Activation("gelu"), RMSNormalization(epsilon=0.1)],
    "scale": lambda: [layers.Scale("random_normal"), Dense(9, activation="tanh"), layers.Scale()],
    "scale of columns": lambda: [layers.Embedding(5, 3), layers.Scale(), Flatten(), layers.Scale("ones")],
    "prelu": lambda: [Dense(9), PReLU("random_normal"), Dense(7), PReLU("ones")],
    "prelu shared": lambda: [layers.Embedding(5, 3), PReLU("random_normal", shared_axes=[1]), Flatten()],
    "srelu": lambda: [Dense(9), SReLU(), Dense(7), SReLU("random_normal", "random_normal", "random_normal", "zeros")],
    "srelu shared": lambda: [layers.Embedding(5, 3), SReLU(shared_axes=[1]), Flatten()],
    "gaussian": lambda: [GaussianNoise(0.2), Dense(9, activation="tanh"), GaussianDropout(0.3)],
    "selu": lambda: [Dense(40, activation="selu"), AlphaDropout(0.1), Dense(9, activation="selu"), AlphaDropout(0.2)],
}  # fmt: skip
every_stack = pytest.mark.parametrize("name", STACKS)


def data(name, n=37, seed=0, dtype="float64"):
    rng = np.random.default_rng(seed)
    tables = isinstance(STACKS[name]()[0], layers.Embedding)
    x = rng.integers(0, 5, (n, 4)) if tables else rng.normal(size=(n, 4)) + 0.5
    return x.astype(dtype), rng.integers(0, 3, n)


def make(name, dtype="float64", optimizer="adam", seed=1):
    model = fnn.Sequential([*STACKS[name](), Dense(3, activation="softmax")], seed=seed, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def randomize(model, x, seed=0):
    """No weight is zero or one; variances are positive."""
    model.build(x.shape[1:])
    rng = np.random.default_rng(seed)
    for leaf in model._leaves():
        for key, weight in leaf.weights.items():
            positive = key == "moving_variance"
            weight[...] = rng.uniform(0.5, 1.5, weight.shape) if positive else rng.normal(size=weight.shape)
    return model


def training_loss(model, x, y):
    """Of the first step of a training with all samples in one batch."""
    rows = model._built_data(x, y, None)
    model._gradient_block()
    return model._workspace("gradients", rows.n).gradients(rows, model.seed, 1, True)[0] / rows.n


def difference_quotients(model, loss):
    result = []
    for leaf in model._leaves():
        for key, weight in leaf.weights.items():
            gradient = np.zeros_like(weight)
            for at in np.ndindex(weight.shape if not key.startswith("moving") else ()):
                if at == () and key.startswith("moving"):
                    break
                kept, sides = weight[at], []
                for sign in (1, -1):
                    weight[at] = kept + sign * STEP
                    sides.append(loss())
                weight[at] = kept
                gradient[at] = (sides[0] - sides[1]) / (2 * STEP)
            result.append(gradient)
    return result


@pytest.mark.parametrize("training", [True, False])
@every_stack
def test_gradients(name, training):
    x, y = data(name)
    model = randomize(make(name), x)
    want = difference_quotients(model, lambda: training_loss(model, x, y) if training else model.evaluate(x, y))
    got = model.gradients(x, y, training=training)
    scale = max(np.abs(g).max() for g in want)
    assert scale > 1e-4
    for a, b in zip(got, want, strict=True):
        assert np.abs(a - b).max() <= 1e-6 * scale


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["dense bn relu dropout", "bn first", "layer norm", "rms norm", "prelu", "srelu",
                                  "gaussian"])
def test_input_gradients(name, training):
    x, y = data(name)
    model = randomize(make(name), x)
    loss = (lambda: training_loss(model, x, y)) if training else (lambda: model.evaluate(x, y))
    got, want = model.input_gradients(x, y, training=training), np.empty_like(x)
    for at in np.ndindex(x.shape):
        kept, sides = x[at], []
        for sign in (1, -1):
            x[at] = kept + sign * STEP
            sides.append(loss())
        x[at] = kept
        want[at] = (sides[0] - sides[1]) / (2 * STEP)
    assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()


# ---- promises ----


def fit(model, x, y, threads=None, epochs=2, batch_size=16):
    model.fit(x, y, epochs=epochs, batch_size=batch_size, verbose=0, n_threads=threads)
    return model.get_weights()


def assert_same(a, b):
    for one, two in zip(a, b, strict=True):
        assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_stack
def test_same_bits_for_any_number_of_threads(name, dtype):
    x, y = data(name, n=61, dtype=dtype)
    one = fit(make(name, dtype), x, y, threads=1)
    for threads in (2, 3, 5, None):
        assert_same(fit(make(name, dtype), x, y, threads), one)
    model = make(name, dtype)
    model.build(x.shape[1:])
    gradients = model.gradients(x, y, training=True, n_threads=1)
    for threads in (2, 3):
        assert_same(model.gradients(x, y, training=True, n_threads=threads), gradients)


@pytest.mark.parametrize(("rows", "width"), [(96, 333), (100, 333), (17, 333), (310, 600)])
def test_same_bits_in_every_team(rows, width):
    """Groups and lanes cut rows and columns where blocks of statistics do, or do not; much is joined by columns."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3 * rows, 50)).astype("f"), rng.integers(0, 3, 3 * rows)
    results = []
    for groups, lanes in ((1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (2, 2), (3, 2), (1, 4)):
        model = fnn.Sequential([Dense(width), bn(), Activation("relu"), Dropout(0.2), Dense(130, activation="relu"),
                                bn(), Dropout(0.1), Dense(3, activation="softmax")], seed=3)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.build((50,))
        model._workspace("train", rows).tuner(groups * lanes, rows).fixed = Team(groups, lanes)
        results.append(fit(model, x, y, threads=groups * lanes, batch_size=rows))
        for training in (True, False):
            results[-1] += model.gradients(x, y, training=training, n_threads=groups * lanes)
    for other in results[1:]:
        assert_same(other, results[0])


@every_stack
def test_predictions_do_not_depend_on_other_rows(name):
    x, y = data(name, n=45, dtype="float32")
    model = make(name, "float32")
    fit(model, x, y)
    whole = model.predict(x)
    assert_same([whole], [np.concatenate([model.predict(row[None]) for row in x])])


class Nothing(layers.PythonLayer):
    """Keeps layers apart that would run in one pass."""

    def forward(self, x, training):
        return x

    def backward(self, dy):
        return dy


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "relu6", "hard_sigmoid", "elu", "gelu", "tanh", "mish"])
@pytest.mark.parametrize("first", ["linear", "relu", "silu"])
def test_merged_passes_are_what_they_are_made_of(activation, first):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 7)), rng.integers(0, 3, 50)
    results = []
    for apart in (False, True):
        space = [[Nothing()] if apart else [] for _ in range(3)]
        model = fnn.Sequential([Dense(200, activation=first), *space[0], bn(), *space[1], Activation(activation),
                                *space[2], Dropout(0.4), Dense(3, activation="softmax")], seed=1, dtype="float64")
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.build((7,))
        # Masks depend on the place among all ops: test_merged_dropout compares those.
        results.append((model.predict(x), model.gradients(x, y)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-12)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", [lambda: Dropout(0.4, seed=5), lambda: AlphaDropout(0.2, seed=5)])
def test_merged_dropout(make):
    """The gradient of the last kernel sums what comes out of the merged pass."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 70))
    model = fnn.Sequential([bn(), Activation("relu"), make(), Dense(1)], seed=1, dtype="float64")
    model.compile("sgd", "mse")
    model.build((70,))
    model.layers[3].kernel = np.zeros((70, 1))
    h = np.maximum((x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3), 0)
    kind = "dropout_forward" if type(make()) is Dropout else "alpha_dropout_forward"
    want = getattr(reference, kind)(h, make().rate, seed=5, stream=3)
    gradient = model.gradients(x, np.full(50, -0.5), training=True)[4][:, 0]
    np.testing.assert_allclose(gradient, want.mean(axis=0), rtol=1e-9, atol=1e-12)


# ---- statistics ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moving_statistics_are_those_of_the_formula(dtype):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(70, 5)) * [1, 2, 3, 4, 5] + 7).astype(dtype)
    model = fnn.Sequential([BatchNormalization(momentum=0.8), Dense(1)], seed=0, dtype=dtype)
    model.compile("sgd", "mse")
    model.build((5,))
    mean, variance = np.zeros(5), np.ones(5)
    for batch in (x[:32], x[32:64], x[64:]):
        model.train_on_batch(batch, np.zeros(len(batch)))
        mean = 0.8 * mean + 0.2 * batch.mean(axis=0, dtype=float)
        variance = 0.8 * variance + 0.2 * batch.var(axis=0, dtype=float)
    norm = model.layers[0]
    rtol = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=rtol)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=rtol)
    h = (x - norm.moving_mean) / np.sqrt(norm.moving_variance + 1e-3) * norm.gamma + norm.beta
    dense = model.layers[1]
    np.testing.assert_allclose(model.predict(x), h @ dense.kernel + dense.bias, rtol=100 * rtol, atol=rtol)


def test_variance_far_from_zero_keeps_its_digits():
    """One pass over squares would leave none of them."""
    rng = np.random.default_rng(0)
    x = (1000 + rng.normal(size=(4096, 3))).astype("f")
    _, mean, variance = fnn.kernels.batch_normalization_forward(x)
    np.testing.assert_allclose(mean, x.mean(axis=0, dtype=float), rtol=1e-7)
    np.testing.assert_allclose(variance, x.var(axis=0, dtype=float), rtol=1e-5)


def test_evaluate_predict_and_gradients_leave_the_statistics():
    x, y = data("dense bn relu dropout")
    model = make("dense bn relu dropout")
    model.build((4,))
    before = model.get_weights()
    model.evaluate(x, y)
    model.predict(x)
    model.gradients(x, y, training=True)
    assert_same(model.get_weights(), before)


def test_a_batch_whose_loss_is_not_finite_changes_nothing():
    x, y = data("dense bn relu dropout")
    model = make("dense bn relu dropout")
    model.build((4,))
    model.layers[-1].bias[0] = np.finfo("d").max
    model.layers[-1].kernel[0] = np.finfo("d").max
    before = model.get_weights()
    with pytest.raises(fnn.DivergenceError):
        model.fit(x, y, verbose=0)
    assert_same(model.get_weights(), before)


def test_frozen_batch_normalization_uses_the_moving_statistics():
    x, y = data("dense bn relu dropout")
    model = randomize(make("dense bn relu dropout"), x)
    norm = model.layers[1]
    norm.trainable = False
    before = [w.copy() for w in norm.weights.values()]
    plain = model.gradients(x, y)
    kept = fnn.Sequential([Dense(9, use_bias=False), bn(trainable=False), Activation("relu"),
                           Dense(3, activation="softmax")], dtype="float64")
    kept.compile("sgd", "sparse_categorical_crossentropy")
    kept.build((4,))
    kept.set_weights(model.get_weights())
    training = kept.gradients(x, y, training=True)
    for a, b in zip(plain, training, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    assert all((g == 0).all() for g in plain[1:5])
    fit(model, x, y)
    assert_same(list(norm.weights.values()), before)
    norm.trainable = True
    fit(model, x, y)
    assert not np.array_equal(norm.moving_mean, before[2])


def test_a_batch_of_one_row():
    """As in Keras: the variance is 0, outputs are beta."""
    model = fnn.Sequential([BatchNormalization(), Dense(1, use_bias=False)], seed=0, dtype="float64")
    model.compile(fnn.optimizers.SGD(0.0), "mse")
    model.build((3,))
    norm = model.layers[0]
    norm.beta, model.layers[1].kernel = [1, 2, 3], np.ones((3, 1))
    loss = model.train_on_batch([[5.0, 6.0, 7.0]], [0.0])
    assert loss == pytest.approx(36)
    np.testing.assert_allclose(norm.moving_mean, [0.05, 0.06, 0.07])
    np.testing.assert_allclose(norm.moving_variance, [0.99] * 3)
    assert (model.input_gradients([[5.0, 6.0, 7.0]], [0.0], training=True) == 0).all()


def test_features_of_more_axes_share_statistics():
    x = np.random.default_rng(0).normal(size=(8, 4, 6, 3)) * [1, 2, 3] + 1
    model = fnn.Sequential([BatchNormalization(momentum=0.0), Flatten(), Dense(1)], dtype="float64")
    model.compile(fnn.optimizers.SGD(0.0), "mse")
    model.fit(x, np.zeros(8), batch_size=8, verbose=0)
    np.testing.assert_allclose(model.layers[0].moving_mean, x.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(model.layers[0].moving_variance, x.var(axis=(0, 1, 2)))


# ---- noise ----


def test_noise_is_that_of_the_kernels_while_training_and_nothing_otherwise():
    x = np.random.default_rng(0).normal(size=(30, 40))
    forward = {
        Dropout(0.3, seed=7): lambda s: reference.dropout_forward(x, 0.3, seed=7, stream=s),
        AlphaDropout(0.3, seed=7): lambda s: reference.alpha_dropout_forward(x, 0.3, seed=7, stream=s),
        GaussianDropout(0.3, seed=7): lambda s: reference.gaussian_dropout_forward(x, 0.3, seed=7, stream=s),
        GaussianNoise(0.3, seed=7): lambda s: reference.gaussian_noise_forward(x, 0.3, seed=7, stream=s),
    }
    for layer, twin in forward.items():
        model = fnn.Sequential([layer, Dense(1)], seed=0, dtype="float64")
        model.compile("sgd", "mse")
        model.build((40,))
        dense = model.layers[1]
        dense.kernel = np.ones((40, 1))
        np.testing.assert_allclose(model.predict(x), x.sum(axis=1, keepdims=True), rtol=1e-12)
        # The gradient of the kernel sums what reaches it.
        target = dense.kernel[0, 0] * twin(1).sum(axis=1) - 0.5
        gradient = model.gradients(x, target, training=True)[0][:, 0]
        np.testing.assert_allclose(gradient, twin(1).mean(axis=0), rtol=1e-9, atol=1e-12)


def test_noise_does_not_depend_on_the_batch_in_pieces():
    """600 rows go through the ops in pieces of 256."""
    x = np.random.default_rng(0).normal(size=(600, 10))
    model = fnn.Sequential([GaussianNoise(0.3, seed=7), Dropout(0.2, seed=8), Dense(1)], seed=0, dtype="float64")
    model.compile("sgd", "mse")
    model.build((10,))
    model.layers[2].kernel = np.ones((10, 1))
    noisy = reference.gaussian_noise_forward(x, 0.3, seed=7, stream=1)
    noisy = reference.dropout_forward(noisy, 0.2, seed=8, stream=2)
    for threads in (1, 2, 3):
        gradient = model.gradients(x, noisy.sum(axis=1) - 0.5, training=True, n_threads=threads)[0][:, 0]
        np.testing.assert_allclose(gradient, noisy.mean(axis=0), rtol=1e-9, atol=1e-12)


# ---- files, copies, names ----


@every_stack
def test_files_and_copies(name, tmp_path):
    x, y = data(name)
    model = make(name)
    fit(model, x, y)
    model.save(tmp_path / "model.safetensors")
    loaded = fnn.load_model(tmp_path / "model.safetensors")
    copied = copy.deepcopy(model)
    want = model.predict(x)
    for other in (loaded, copied):
        assert_same(other.get_weights(), model.get_weights())
        assert_same([other.predict(x)], [want])
    assert_same(fit(loaded, x, y), fit(copied, x, y))


def test_order_of_weights_and_counts():
    model = fnn.Sequential([fnn.Input((5,)), BatchNormalization(), PReLU(), LayerNormalization(),
                            RMSNormalization()])
    assert [list(layer.weights) for layer in model.layers] == [
        ["gamma", "beta", "moving_mean", "moving_variance"], ["alpha"], ["gamma", "beta"], ["scale"]]  # fmt: skip
    text = []
    model.summary(print_fn=text.append)
    assert "Trainable params: 30" in text[0]
    assert "Non-trainable params: 10" in text[0]


def test_configurations_go_back_in():
    for layer in (BatchNormalization(momentum=0.5, center=False), LayerNormalization(epsilon=1e-5), RMSNormalization(),
                  PReLU(shared_axes=[1]), SReLU("ones", shared_axes=[1]), AlphaDropout(0.1, seed=3),
                  GaussianDropout(0.2), GaussianNoise(0.3)):
        again = layers.get(type(layer).__name__, layer.get_config())
        assert again.get_config() == layer.get_config()
        assert repr(again) == repr(layer)


# ---- bad input ----

BAD = {
    "momentum": (lambda: BatchNormalization(momentum=1.5), ValueError, r"momentum must be in \[0, 1\]; received 1.5"),
    "momentum text": (lambda: BatchNormalization(momentum="0.9"), TypeError, "momentum must be a number"),
    "epsilon": (lambda: LayerNormalization(epsilon=-1e-3), ValueError, r"epsilon must be in \[0, inf\)"),
    "epsilon nan": (lambda: RMSNormalization(epsilon=float("nan")), ValueError, "epsilon"),
    "axis": (lambda: BatchNormalization(axis=-2), ValueError, "axis must be -1, the last one; received -2"),
    "axis list": (lambda: LayerNormalization(axis=[1]), TypeError, r"axis must be an integer; received \[1\]"),
    "center": (lambda: BatchNormalization(center=1), TypeError, "center must be True or False; received 1"),
    "scale": (lambda: LayerNormalization(scale=None), TypeError, "scale must be True or False"),
    "initializer": (lambda: PReLU(alpha_initializer="zeroes"), ValueError, "did you mean 'zeros'|Did you mean 'zeros'"),
    "shared axes": (lambda: PReLU(shared_axes=[2]), ValueError, r"up to one of them.*received \[2\]"),
    "shared axes text": (lambda: PReLU(shared_axes="1"), TypeError, "shared_axes"),
    "srelu axes": (lambda: SReLU(shared_axes=[2]), ValueError, r"up to one of them.*received \[2\]"),
    "srelu initializer": (lambda: SReLU(a_right_initializer="oness"), ValueError, "Did you mean 'ones'"),
    "rate": (lambda: AlphaDropout(1.0), ValueError, r"rate must be in \[0, 1\); received 1.0"),
    "gaussian rate": (lambda: GaussianDropout(-0.1), ValueError, r"rate must be in \[0, 1\)"),
    "stddev": (lambda: GaussianNoise(-0.1), ValueError, r"stddev must be in \[0, inf\); received -0.1"),
    "seed": (lambda: GaussianNoise(0.1, seed=-1), ValueError, "seed"),
    "built axis": (lambda: fnn.Sequential([fnn.Input((3, 4)), BatchNormalization(axis=1)]), ValueError,
                   r"must be -1 or 2, .*\(3, 4\); received 1"),
    "built shared axes": (lambda: fnn.Sequential([fnn.Input((4,)), PReLU(shared_axes=[1, 2])]), ValueError,
                          r"shared_axes \[1, 2\] .* \(4,\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_refused(case):
    attempt, error, message = BAD[case]
    with pytest.raises(error, match=message):
        attempt()


def test_rescaling_between_batch_normalization_and_activation():
    """Only an activation and dropout right behind it are merged."""
    x, y = data("bn first")
    model = fnn.Sequential([Dense(9), bn(), Rescaling(2.0), Activation("relu"), Dense(3, activation="softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()


# ---- fuse ----


def trained(stack, n=200, dtype="float64", shape=(6,)):
    """A model that has learned a little: its moving statistics are not those it began with."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, *shape)) * 2 + 1, rng.integers(0, 3, n)
    model = fnn.Sequential([*stack, Dense(3, activation="softmax")], seed=0, dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)
    return model, x, y


FUSED = {
    "behind": ([Dense(9, use_bias=False), bn(), Activation("relu"), Dropout(0.2)], ["Dense", "Activation", "Dense"]),
    "behind, with noise between": ([Dense(9), Dropout(0.1), bn(center=False)], ["Dense", "Dense"]),
    "before": ([Dense(9, activation="relu"), bn(scale=False), AlphaDropout(0.1), GaussianNoise(0.1)],
               ["Dense", "Dense"]),
    "before, without bias": ([bn(), Dense(9, use_bias=False, activation="tanh"), bn()], ["Dense", "Dense"]),
    "several": ([bn(), bn(), Dense(9), bn(), bn(), Activation("relu"), bn()], ["Dense", "Activation", "Dense"]),
    "no neighbour": ([Dense(9, activation="relu"), bn(), Activation("tanh"), GaussianDropout(0.1)],
                     ["Dense", "BatchNormalization", "Activation", "Dense"]),
    "images": ([layers.Reshape((6, 1)), layers.Conv1D(4, 3, use_bias=False), bn(), Activation("relu"), bn(),
                layers.Conv1D(5, 2, activation="tanh"), bn(), Flatten()],
               ["Reshape", "Conv1D", "Activation", "Conv1D", "BatchNormalization", "Flatten", "Dense"]),
    "images with borders": ([layers.Reshape((6, 1)), bn(), layers.Conv1D(4, 3, padding="same"), Flatten()],
                            ["Reshape", "BatchNormalization", "Conv1D", "Flatten", "Dense"]),
    "containers": ([Dense(6), layers.Residual([bn(), Activation("relu"), Dense(9), bn(), Dropout(0.1), Dense(6), bn()]),
                    layers.Concatenate([[bn(), Dense(4)], [Dense(5), bn(), Activation("relu")]])],
                   ["Dense", "Residual", "Concatenate", "Dense"]),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUSED)
def test_fused_models_predict_the_same(name, dtype, tmp_path):
    stack, expected = FUSED[name]
    model, x, y = trained(copy.deepcopy(stack), dtype=dtype)
    before = model.get_weights()
    fused = model.fuse()
    assert [type(layer).__name__ for layer in fused.layers] == expected
    rtol = 1e-12 if dtype == "float64" else 3e-5
    np.testing.assert_allclose(fused.predict(x), model.predict(x), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(fused.evaluate(x, y), model.evaluate(x, y), rtol=rtol)
    assert_same(model.get_weights(), before)
    assert fused.count_params() <= model.count_params()
    fused.save(tmp_path / "fused.safetensors")
    assert_same([fnn.load_model(tmp_path / "fused.safetensors").predict(x)], [fused.predict(x)])
    fused.fit(x, y, verbose=0)


def test_fused_containers_have_no_normalization_left():
    model, _, _ = trained(copy.deepcopy(FUSED["containers"][0]))
    left = [type(leaf).__name__ for leaf in model.fuse()._leaves()]
    assert left == ["Dense", "BatchNormalization", "Activation", *4 * ["Dense"], "Activation", "Dense"]


def test_shared_kernels_are_not_folded():
    first = Dense(4)
    model, x, _ = trained([first, bn(), Activation("tanh"), Dense(6, tied_to=first), bn()])
    fused = model.fuse()
    left = [type(layer).__name__ for layer in fused.layers]
    assert left == ["Dense", "BatchNormalization", "Activation", "Dense", "Dense"]
    np.testing.assert_allclose(fused.predict(x), model.predict(x), rtol=1e-12)


def test_an_unbuilt_model_is_not_fused():
    with pytest.raises(ValueError, match="no weights before it is built"):
        fnn.Sequential([Dense(3), bn()]).fuse()


@pytest.mark.parametrize(("layer", "row", "wanted"), [
    (LayerNormalization(epsilon=0.0), [2.0, 2.0, 2.0], [np.nan] * 3),
    (RMSNormalization(epsilon=0.0), [0.0, 0.0, 0.0], [np.nan] * 3),
    (RMSNormalization(epsilon=0.0), [1e-30, 2e-30, -1e-30], [np.inf, np.inf, -np.inf]),
    (LayerNormalization(), [1e20, 3e20, -1e20], [0.0] * 3),
    (RMSNormalization(), [1e20, 3e20, -1e20], [0.0] * 3),
    (LayerNormalization(), [3e38, 3e38, 1e38], [np.nan] * 3),
])
def test_rows_without_a_norm_in_float32(layer, row, wanted):
    model = fnn.Sequential([fnn.Input((3,)), layer])
    np.testing.assert_array_equal(model.predict([row]), np.float32([wanted]))
