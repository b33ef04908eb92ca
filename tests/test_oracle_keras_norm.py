"""Normalization, PReLU and noise beside Keras 3 on torch, in float64, by the criteria of test_oracle_keras.py."""

import numpy as np
import pytest
from test_oracle_keras import (  # noqa: F401 - the fixture is used by its name
    MISSING,
    compile_both,
    dense,
    fit_both,
    keras,
    near,
    same_logs,
    same_weights,
    samples,
    stack,
    targets,
)

import fastnn as fnn

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.filterwarnings("default"),
]


def layer(name, *arguments, **keywords):
    return name, arguments, keywords


BN = "BatchNormalization"
TABLE = layer("Embedding", 7, 4)
STACKS = {
    "dense, norm, relu": [dense(12, use_bias=False), layer(BN), layer("Activation", "relu"), dense(3, "softmax")],
    "dense(relu), norm": [dense(12, "relu"), layer(BN, momentum=0.5), dense(3, "softmax")],
    "norm, dense(tanh), norm, gelu": [layer(BN, momentum=0.9), dense(12, "tanh"), layer(BN, epsilon=0.1),
                                      layer("Activation", "gelu"), dense(3, "softmax")],
    "without beta": [dense(12), layer(BN, center=False), layer("Activation", "elu"), dense(3, "softmax")],
    "without gamma": [dense(12), layer(BN, scale=False, axis=1), layer("Activation", "sigmoid"), dense(3, "softmax")],
    "bare, twice": [dense(12), layer(BN, center=False, scale=False), layer(BN), dense(3, "softmax")],
    "frozen": [dense(12), layer(BN, trainable=False), layer("Activation", "relu"), dense(3, "softmax")],
    "norm of a table's columns": [TABLE, layer(BN, axis=2), layer("Flatten"), dense(3, "softmax")],
    "layer norm": [dense(12), layer("LayerNormalization"), layer("Activation", "tanh"), dense(3, "softmax")],
    "layer norm without beta": [layer("LayerNormalization", center=False, epsilon=0.01), dense(12, "relu"),
                                layer("LayerNormalization", scale=False), dense(3, "softmax")],
    "layer norm of a table's columns": [TABLE, layer("LayerNormalization"), layer("Flatten"), dense(3, "softmax")],
    "rms norm": [dense(12), layer("RMSNormalization"), layer("Activation", "gelu"),
                 layer("RMSNormalization", epsilon=0.1), dense(3, "softmax")],
    "prelu": [dense(12), layer("PReLU"), dense(9), layer("PReLU", "random_normal"), dense(3, "softmax")],
    "prelu, shared": [TABLE, layer("PReLU", "ones", shared_axes=[1]), layer("Flatten"), layer("PReLU"),
                      dense(3, "softmax")],
    "penalties and constraints": [dense(12), layer(BN, gamma_regularizer="l2", beta_constraint="non_neg"),
                                  layer("PReLU", "ones", alpha_regularizer="l2"), dense(5),
                                  layer("LayerNormalization", beta_regularizer="l2", gamma_constraint="non_neg"),
                                  dense(3, "softmax")],
}  # fmt: skip


def both(keras, name, n=157):  # noqa: F811
    """The same weights in both libraries: none is zero or one, variances are positive."""
    layers = STACKS[name]
    x = np.random.default_rng(0).integers(0, 7, (n, 6)) if layers[0] is TABLE else samples(n) + 0.5
    ours, theirs = stack(fnn, (6,), layers, dtype="float64", seed=0), stack(keras, (6,), layers)
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=w.shape) / np.sqrt(w.shape[0]) for w in theirs.get_weights()]
    names = [name for leaf in ours.layers for name in leaf.weights]
    weights = [np.abs(w) + 0.5 if name == "moving_variance" else w for w, name in zip(weights, names, strict=True)]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs, x, targets("sparse", n, 3)


@pytest.mark.parametrize("name", STACKS)
def test_trajectories(keras, name):  # noqa: F811
    """200 steps, the last batch of each epoch shorter; then predictions and evaluation by the moving statistics."""
    ours, theirs, x, y = both(keras, name)
    compile_both(keras, ours, theirs, ("Adam", {}), ("SparseCategoricalCrossentropy", {}), ["accuracy"])
    same_logs(*fit_both(ours, theirs, x, y, epochs=20))
    same_weights(ours, theirs)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), rtol=1e-9, atol=1e-12)
    assert ours.evaluate(x, y) == near(theirs.evaluate(x, y, verbose=0))


def test_momentum_of_the_optimizer_and_large_batches(keras):  # noqa: F811
    ours, theirs, x, y = both(keras, "dense(relu), norm", n=600)
    optimizer = "SGD", {"momentum": 0.9, "nesterov": True}
    compile_both(keras, ours, theirs, optimizer, ("SparseCategoricalCrossentropy", {}))
    same_logs(*fit_both(ours, theirs, x, y, epochs=100, batch_size=300))
    same_weights(ours, theirs)


OPTIONS = {
    "clipped by the norm of all": ("Adam", {"global_clipnorm": 0.1}),
    "accumulated": ("SGD", {"gradient_accumulation_steps": 3, "momentum": 0.5}),
    "averaged": ("Adam", {"use_ema": True, "ema_momentum": 0.9, "weight_decay": 0.01}),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_moving_statistics_stand_outside_what_the_optimizer_does(keras, option):  # noqa: F811
    """They follow each batch, are neither clipped nor averaged, and know no decay."""
    ours, theirs, x, y = both(keras, "dense, norm, relu")
    compile_both(keras, ours, theirs, OPTIONS[option], ("SparseCategoricalCrossentropy", {}))
    same_logs(*fit_both(ours, theirs, x, y, epochs=6))
    same_weights(ours, theirs)


def test_a_batch_of_one_row(keras):  # noqa: F811
    ours, theirs, x, y = both(keras, "dense, norm, relu")
    compile_both(keras, ours, theirs, ("SGD", {}), ("SparseCategoricalCrossentropy", {}))
    for i in range(5):
        row = x[i : i + 1], y[i : i + 1]
        assert ours.train_on_batch(*row) == near(float(theirs.train_on_batch(*row)))
    same_weights(ours, theirs)


@pytest.mark.parametrize("name", ["AlphaDropout", "GaussianDropout", "Dropout"])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_noise_has_the_same_distribution(keras, name, rate):  # noqa: F811
    """Of the outputs for normal inputs: mean, variance, third and fourth moment within five standard errors."""
    x = np.random.default_rng(0).normal(size=(600, 700)) + 0.3
    theirs = keras.ops.convert_to_numpy(getattr(keras.layers, name)(rate, seed=1)(x, training=True))
    kernel = {"AlphaDropout": "alpha_dropout_forward", "GaussianDropout": "gaussian_dropout_forward",
              "Dropout": "dropout_forward"}[name]  # fmt: skip
    compare_moments(getattr(fnn.kernels, kernel)(x, rate, seed=2), theirs)


def test_added_noise_has_the_same_distribution(keras):  # noqa: F811
    x = np.random.default_rng(0).normal(size=(600, 700))
    theirs = keras.ops.convert_to_numpy(keras.layers.GaussianNoise(0.4, seed=1)(x, training=True))
    compare_moments(fnn.kernels.gaussian_noise_forward(x, 0.4, seed=2) - x, theirs - x)


def compare_moments(ours, theirs):
    for power in (1, 2, 3, 4):
        a, b = ours.ravel() ** power, theirs.ravel() ** power
        error = np.sqrt((a.var() + b.var()) / a.size)
        assert abs(a.mean() - b.mean()) < 5 * error, power


def test_alpha_dropout_takes_the_two_values_of_keras(keras):  # noqa: F811
    x = np.full((50, 60), 0.7)
    theirs = keras.ops.convert_to_numpy(keras.layers.AlphaDropout(0.3, seed=1)(x, training=True))
    ours = fnn.kernels.alpha_dropout_forward(x, 0.3, seed=2)
    np.testing.assert_allclose(np.unique(ours), np.unique(theirs), rtol=1e-12)
