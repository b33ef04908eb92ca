"""Importance of weights and of features."""

import builtins
import importlib.util
import re

import numpy as np
import pytest

import fastnn as fnn
from fastnn.layers import Activation, Dense, Dropout, Flatten, Rescaling
from fastnn.weights import connection_weights, gradient_x_input, importance, permutation_importance

needs_sklearn = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="not installed: sklearn")


def network(last="softmax", classes=3, loss="sparse_categorical_crossentropy", dtype="float64"):
    model = fnn.Sequential([fnn.Input((4,)), Dense(6, activation="gelu"), Dropout(0.5),
                            Dense(classes, activation=last)], seed=0, dtype=dtype)
    model.compile("sgd", loss)
    return model


def samples(n=20, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 4))


# ---- weights -----------------------------------------------------------------------------------------------


def test_magnitude():
    model = network()
    found = importance(model)
    assert list(found) == ["dense.kernel", "dense.bias", "dense_1.kernel", "dense_1.bias"]
    for array, weight in zip(found.values(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, np.abs(weight))


def test_taylor_is_the_mean_over_batches():
    model, x, y = network(), samples(), np.arange(20) % 3
    found = importance(model, "taylor", x, y, batch_size=8)
    for i, array in enumerate(found.values()):
        expected = sum(np.abs(model.get_weights()[i] * model.gradients(x[a:b], y[a:b])[i]) * (b - a) / 20
                       for a, b in ((0, 8), (8, 16), (16, 20)))
        np.testing.assert_allclose(array, expected, rtol=1e-12)


def test_taylor_estimates_what_the_loss_loses():
    """To first order: for weights close to zero the loss without them differs by w * g."""
    model, x, y = network(), samples(), np.arange(20) % 3
    kernel = model.layers[0].kernel
    kernel[...] *= 1e-3
    before = model.evaluate(x, y)
    found = importance(model, "taylor", x, y, batch_size=20)["dense.kernel"]
    for place in np.ndindex(kernel.shape):
        kept, kernel[place] = kernel[place], 0.0
        assert abs(model.evaluate(x, y) - before) == pytest.approx(found[place], rel=0.05, abs=1e-9)
        kernel[place] = kept


def test_frozen_layers_have_no_taylor_importance():
    model = network()
    model.layers[0].trainable = False
    found = importance(model, "taylor", samples(), np.arange(20) % 3)
    assert not found["dense.kernel"].any() and found["dense_1.kernel"].all()


@pytest.mark.parametrize(("arguments", "options", "error", "message"), [
    (("size",), {}, ValueError, "method must be 'magnitude' or 'taylor'; received 'size'"),
    (("taylor",), {}, ValueError, "needs samples and targets: received neither"),
    (("taylor", samples()), {}, ValueError, "needs samples and targets: received x alone"),
    (("taylor", samples(), [0, 1]), {}, ValueError, "the same number of samples"),
    (("taylor", samples(), np.zeros(20)), {"batch_size": 0}, ValueError, "batch_size must be"),
    (("taylor", samples(), np.full(20, 7)), {}, ValueError, "contain"),
])
def test_importance_refuses(arguments, options, error, message):
    with pytest.raises(error, match=message):
        importance(network(), *arguments, **options)


def test_not_compiled_and_not_built():
    with pytest.raises(ValueError, match="no weights before it is built"):
        importance(fnn.Sequential([Dense(2)]))
    with pytest.raises(ValueError, match="not compiled"):
        importance(fnn.Sequential([fnn.Input((4,)), Dense(2)]), "taylor", samples(), samples()[:, :2])


# ---- gradient times input ----------------------------------------------------------------------------------


def logits(model, x):
    head = model.layers[-1]
    below = fnn.Sequential([fnn.Input((4,)), Dense(6, activation="gelu")], dtype="float64")
    below.set_weights(model.get_weights()[:2])
    return below.predict(x) @ head.kernel + head.bias


@pytest.mark.parametrize("output", [None, 2, "each"])
@pytest.mark.parametrize("last", ["softmax", "sigmoid", None])
def test_gradient_x_input_against_difference_quotients(last, output):
    model, x = network(last, loss="mse"), samples()
    chosen = np.arange(20) % 3 if output == "each" else output
    columns = logits(model, x).argmax(axis=1) if output is None else np.broadcast_to(chosen, 20)
    found = gradient_x_input(model, x, chosen)
    for j in range(4):
        up, down = x.copy(), x.copy()
        up[:, j] += 1e-6
        down[:, j] -= 1e-6
        slope = ((logits(model, up) - logits(model, down)) / 2e-6)[np.arange(20), columns]
        np.testing.assert_allclose(found[:, j], x[:, j] * slope, rtol=1e-6, atol=1e-8)


def test_other_activations_stay():
    model = network("relu", loss="mse")
    model.layers[-1].bias = [-100.0, 1, 1]
    assert not gradient_x_input(model, samples(), 0).any()


def test_a_linear_model_is_taken_apart_exactly():
    model = fnn.Sequential([fnn.Input((2, 2)), Flatten(), Rescaling(3.0), Dense(2)], dtype="float64")
    x = samples().reshape(-1, 2, 2)
    found = gradient_x_input(model, x, 1)
    assert found.shape == x.shape
    np.testing.assert_allclose(found.sum(axis=(1, 2)), model.predict(x)[:, 1], rtol=1e-12)


def test_penalties_on_activities_are_no_part_of_it():
    plain, penalized = (fnn.Sequential([fnn.Input((4,)), Dense(6, activation="tanh", activity_regularizer=penalty),
                                        Dense(2)], seed=0, dtype="float64") for penalty in (None, "l2"))
    np.testing.assert_allclose(gradient_x_input(penalized, samples(), 1), gradient_x_input(plain, samples(), 1),
                               rtol=1e-10, atol=1e-14)


def test_in_pieces_and_for_any_number_of_threads():
    model, x = network(dtype="float32"), samples(2500)
    whole = gradient_x_input(model, x, n_threads=1)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(gradient_x_input(model, x, n_threads=2), whole)
    # a power of two of rows: the mean's factor is exact
    np.testing.assert_array_equal(gradient_x_input(model, x[:512]), whole[:512])


def test_it_changes_nothing():
    model = network()
    before = model.get_weights()
    gradient_x_input(model, samples())
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("output", [3, -1, 0.5, [0, 1], "a"])
def test_gradient_x_input_refuses(output):
    with pytest.raises((ValueError, TypeError), match=r"output|invalid literal"):
        gradient_x_input(network(), samples(), output)


# ---- connection weights ------------------------------------------------------------------------------------


def test_connection_weights():
    model = fnn.Sequential([fnn.Input((2, 2)), Flatten(), Rescaling(0.5), Dense(5, activation="relu"), Dropout(0.1),
                            Activation("tanh"), Dense(3)], seed=0)
    first, second = (layer.kernel.astype(np.float64) for layer in model.layers if isinstance(layer, Dense))
    np.testing.assert_allclose(connection_weights(model), 0.5 * first @ second, rtol=1e-12)


def test_connection_weights_of_many_features():
    model = fnn.Sequential([fnn.Input((200_000,)), fnn.layers.Dense(3), fnn.layers.Dense(2)], seed=0)
    first, second = (layer.kernel.astype(np.float64) for layer in model.layers)
    np.testing.assert_allclose(connection_weights(model), first @ second, rtol=1e-12)


def test_connection_weights_of_a_fused_model():
    model = fnn.Sequential([fnn.Input((4,)), Dense(5), fnn.layers.BatchNormalization(), Activation("relu"), Dense(2)],
                           seed=0, dtype="float64")
    model.compile("sgd", "mse")
    model.fit(samples(), samples()[:, :2], verbose=0)
    with pytest.raises(ValueError, match=r"received BatchNormalization\(.*model.fuse\(\) takes"):
        connection_weights(model)
    norm = model.layers[1]
    scale = norm.gamma / np.sqrt(norm.moving_variance + norm.epsilon)
    product = model.layers[0].kernel * scale @ model.layers[3].kernel
    np.testing.assert_allclose(connection_weights(model.fuse()), product, rtol=1e-12)


def test_connection_weights_refuse_what_mixes_features():
    model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Residual(Dense(2)), Dense(1)])
    with pytest.raises(ValueError, match=r"received Residual\("):
        connection_weights(model)


# ---- permutation -------------------------------------------------------------------------------------------


def fitted(kind):
    """A model of four features of which only the first two matter."""
    x = samples(300)
    if kind == "regression":
        model, y = network(None, 1, "mse"), x[:, 0] - 2 * x[:, 1]
    elif kind == "binary":
        model, y = network("sigmoid", 1, "binary_crossentropy"), (x[:, 0] > x[:, 1]) * 1
    else:
        model, y = network(), (x[:, 0] > 0) * 1 + (x[:, 1] > 0)
    model.compile(fnn.optimizers.Adam(0.01), model.loss)
    model.fit(x, y, epochs=30, verbose=0)
    return model, x, y


@needs_sklearn
@pytest.mark.parametrize(("kind", "scoring"), [("regression", "r2"), ("binary", "roc_auc"), ("classes", "accuracy")])
def test_permutation(kind, scoring):
    model, x, y = fitted(kind)
    for score in (None, scoring):
        found = permutation_importance(model, x, y, scoring=score, seed=0)
        assert found.importances.shape == (4, 5)
        assert min(found.importances_mean[:2]) > 5 * max(np.abs(found.importances_mean[2:]))
        again = permutation_importance(model, x, y, scoring=score, seed=0)
        np.testing.assert_array_equal(found.importances, again.importances)


@needs_sklearn
def test_permutation_is_scikit_learns_own():
    """Of minus the loss: equal to what scikit-learn finds for the same function."""
    from sklearn.inspection import permutation_importance as theirs

    model, x, y = fitted("regression")

    class Function:
        def fit(self, x, y):
            pass

    expected = theirs(Function(), x, y, scoring=lambda _, x, y: -np.mean((model.predict(x)[:, 0] - y) ** 2),
                      random_state=3, n_repeats=4)
    found = permutation_importance(model, x, y, seed=3, n_repeats=4)
    np.testing.assert_allclose(found.importances, expected.importances, rtol=1e-9, atol=1e-14)


@needs_sklearn
def test_permutation_of_images_and_of_several_scores():
    model = fnn.Sequential([fnn.Input((2, 2)), Flatten(), Dense(3, activation="softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = samples().reshape(-1, 2, 2), np.arange(20) % 3
    found = permutation_importance(model, x, y, scoring=["accuracy", "neg_log_loss"], seed=0)
    assert found["accuracy"].importances_mean.shape == found["neg_log_loss"].importances_mean.shape == (4,)


@needs_sklearn
@pytest.mark.parametrize(("options", "message"), [
    ({"n_repeats": 0}, "n_repeats must be"), ({"seed": -1}, "seed must be"), ({"scoring": "good"}, "scoring")])
def test_permutation_refuses(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        permutation_importance(network(), samples(), np.arange(20) % 3, **options)


@needs_sklearn
def test_permutation_refuses_what_evaluate_refuses():
    with pytest.raises(ValueError, match=re.escape("y")):
        permutation_importance(network(), samples(), np.full(20, 9))


def test_without_scikit_learn(monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest: (_ for _ in ()).throw(ImportError(name))
                        if name.startswith("sklearn") else real(name, *rest))
    with pytest.raises(ImportError, match=r"pip install 'fastnn\[sklearn\]'"):
        permutation_importance(network(), samples(), np.arange(20) % 3)
