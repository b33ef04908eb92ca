"""Gradients followed through the layers, and the advice that comes of it."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Flatten, Rescaling, Residual
from fastnn.weights import diagnose_gradients

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 16)), np.arange(64) % 5


def deep(activation, initializer, depth=6, units=32, own_layer=False):
    layers = []
    for _ in range(depth):
        layers.append(Dense(units, activation=None if own_layer else activation, kernel_initializer=initializer))
        if own_layer:
            layers.append(Activation(activation))
    model = fnn.Sequential([fnn.Input((16,)), *layers, Dense(5, activation="softmax")], seed=0, dtype="float64")
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("layers", [
    lambda: [Rescaling(0.5), Dense(6, activation="gelu"), Dense(7), Activation("tanh")],
    lambda: [Dense(6, activation="relu"), Residual(Dense(6, activation="tanh"))],
], ids=["chain", "residual"])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "mse"])
def test_gradients_at_outputs_against_difference_quotients(layers, loss):
    last = "softmax" if loss.startswith("sparse") else None
    model = fnn.Sequential([fnn.Input((16,)), *layers(), Dense(5, activation=last)], seed=0, dtype="float64")
    model.compile("sgd", loss)
    x, y = X[:6], Y[:6] if last else RNG.normal(size=(6, 5))
    report = diagnose_gradients(model, x, y)
    for row in report.layers:
        i = [layer.name for layer in model.layers].index(row.name)
        out = list(fnn.weights.layer_outputs(model, x))[i][1]
        rest = fnn.Sequential([fnn.Input(out.shape[1:]), *[type(layer).from_config(layer.get_config())
                                                          for layer in model.layers[i + 1:]]], dtype="float64")
        rest.set_weights([w for name, w in model._named_weights()
                          if name.split(".")[0] in [layer.name for layer in model.layers[i + 1:]]])
        rest.compile("sgd", loss)
        squares = []
        for place in np.ndindex(out.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = out.copy()
                moved[place] += step
                ends.append(rest.evaluate(moved, y))
            squares.append(((ends[0] - ends[1]) / 2e-6 * len(x)) ** 2)
        assert row.gradient_rms == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-5)


def test_the_other_figures():
    model = deep("relu", "he_normal", depth=2)
    report = diagnose_gradients(model, X, Y)
    out = {layer.name: out for layer, out in fnn.weights.layer_outputs(model, X)}["dense"]
    row, gradients = report.layers[0], model.gradients(X, Y)
    assert (row.name, row.activation) == ("dense", "relu")
    assert row.kernel_std == pytest.approx(np.sqrt(np.mean(model.layers[0].kernel ** 2)))
    assert row.output_rms == pytest.approx(np.sqrt(np.mean(out**2)))
    assert row.dead == np.mean((out == 0).all(axis=0))
    assert row.weight_gradient_norm == pytest.approx(np.sqrt(np.sum(gradients[0] ** 2) + np.sum(gradients[1] ** 2)))
    assert report.ratio == report.layers[0].gradient_rms / report.layers[-1].gradient_rms


@pytest.mark.parametrize(("activation", "initializer"), [
    ("relu", "he_normal"), ("tanh", "glorot_uniform"), ("selu", "lecun_normal"), ("gelu", "he_uniform")])
@pytest.mark.parametrize("own_layer", [False, True])
def test_what_is_recommended_is_healthy(activation, initializer, own_layer):
    report = diagnose_gradients(deep(activation, initializer, depth=12, own_layer=own_layer), X, Y)
    assert report.verdict == "healthy" and not report.advice
    assert {row.activation for row in report.layers} == {activation}


def test_vanishing_by_small_kernels():
    report = diagnose_gradients(deep("relu", fnn.initializers.RandomNormal(0, 0.01)), X, Y)
    assert report.verdict == "vanishing"
    assert len(report.advice) == 6
    assert report.advice[0].startswith("dense (relu): its kernel has a standard deviation of 0.0")
    assert report.advice[0].endswith("kernel_initializer='he_normal' would give 0.354")


def test_the_norms_of_weight_gradients_would_not_tell():
    rows = diagnose_gradients(deep("relu", fnn.initializers.RandomNormal(0, 0.01)), X, Y).layers
    assert rows[0].gradient_rms < 1e-5 * rows[-1].gradient_rms
    assert rows[1].weight_gradient_norm < 10 * rows[0].weight_gradient_norm


def test_vanishing_by_sigmoids():
    report = diagnose_gradients(deep("sigmoid", "glorot_uniform"), X, Y)
    assert report.verdict == "vanishing"
    assert report.advice[0].startswith("sigmoid passes at most a quarter of a gradient on: use relu")


def test_exploding_by_large_kernels():
    report = diagnose_gradients(deep("relu", fnn.initializers.RandomNormal(0, 1.0)), X, Y)
    assert report.verdict == "exploding" and report.ratio > 100
    assert "kernel_initializer='he_normal' would give" in report.advice[0]
    assert "clipnorm" in report.advice[-1]


def test_glorot_for_a_deep_stack_of_relu():
    report = diagnose_gradients(deep("relu", "glorot_uniform", depth=20), X, Y)
    assert report.verdict == "vanishing"
    assert sum("'he_normal' would give" in line for line in report.advice) == 20


def test_where_kernels_are_right_and_gradients_vanish():
    report = diagnose_gradients(deep("gelu", "he_normal", depth=60), X, Y)
    assert report.verdict == "vanishing"
    assert "BatchNormalization" in report.advice[0]


def test_batch_normalization_counts_as_in_training():
    """A fresh one would do nothing with its moving statistics."""
    def stack(normalized):
        layers = []
        for _ in range(12):
            layers += [Dense(32, kernel_initializer=fnn.initializers.RandomNormal(0, 0.1)),
                       *([BatchNormalization()] if normalized else []), Activation("relu")]
        model = fnn.Sequential([fnn.Input((16,)), *layers, Dense(5, activation="softmax")], seed=0, dtype="float64")
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    assert diagnose_gradients(stack(False), X, Y).verdict == "vanishing"
    model = stack(True)
    before = model.get_weights()
    report = diagnose_gradients(model, X, Y)
    assert report.verdict == "healthy"
    assert len(report.layers) == 24
    assert {row.activation for row in report.layers} == {"relu"}
    for row in report.layers[1::2]:
        assert row.output_rms == pytest.approx(1, rel=0.05)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_dropout_is_on():
    model = fnn.Sequential([fnn.Input((16,)), Dense(64, activation="relu"), Dropout(0.5), Dense(64, activation="relu"),
                            Dense(5, activation="softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    row = diagnose_gradients(model, X, Y).layers[0]
    assert row.gradient_rms > 0 and row.dead < 0.2


def test_dead_units_and_large_inputs():
    model = deep("relu", "he_normal", depth=2)
    model.layers[1].bias[:20] = -1e9
    report = diagnose_gradients(model, 100 * X, Y)
    assert any(line.startswith("dense_1: 6") and "same number for every sample" in line for line in report.advice)
    assert any(line.startswith("inputs have a root mean square of") for line in report.advice)
    text = repr(report)
    assert "gradient rms" in text and f"gradients: {report.verdict}" in text and f"- {report.advice[0]}" in text


def test_frozen_layers_pass_gradients_on():
    model = deep("relu", "he_normal", depth=3)
    free = diagnose_gradients(model, X, Y)
    for layer in model.layers[:-1]:
        layer.trainable = False
    frozen = diagnose_gradients(model, X, Y)
    assert [row.gradient_rms for row in frozen.layers] == [row.gradient_rms for row in free.layers]
    assert {row.weight_gradient_norm for row in frozen.layers} == {0.0}


def test_images_and_one_layer_behind_another():
    model = fnn.Sequential([fnn.Input((4, 4)), Flatten(), Dense(3, activation="relu"), Dense(1)])
    model.compile("sgd", "mse")
    assert len(diagnose_gradients(model, X.reshape(-1, 4, 4), X[:, 0]).layers) == 1


def test_nothing_changes():
    model = deep("relu", "he_normal", depth=2)
    before = model.get_weights()
    diagnose_gradients(model, X, Y)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_refused():
    model = deep("relu", "he_normal", depth=2)
    with pytest.raises(ValueError, match="at least two samples"):
        diagnose_gradients(model, X[:1], Y[:1])
    with pytest.raises(ValueError, match="not compiled"):
        diagnose_gradients(fnn.Sequential([fnn.Input((16,)), Dense(3), Dense(5)]), X, Y)
    with pytest.raises(ValueError, match="no weights before it is built"):
        diagnose_gradients(fnn.Sequential([Dense(3), Dense(5)]), X, Y)
    single = fnn.Sequential([fnn.Input((16,)), Dense(5)])
    single.compile("sgd", "mse")
    with pytest.raises(ValueError, match="two layers with weights or more"):
        diagnose_gradients(single, X, X[:, :5])
    model.layers[0].kernel[...] = 1e308
    with pytest.raises(fnn.DivergenceError):
        diagnose_gradients(model, X, Y)
