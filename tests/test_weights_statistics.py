"""Statistics of weights and outputs, and the callback that records them."""

import math

import numpy as np
import pytest

import fastnn as fnn
from fastnn.weights import WeightMonitor, layer_outputs, spectral_norm, statistics


def network(dtype="float64", **options):
    return fnn.Sequential([fnn.Input((4,)), fnn.layers.Rescaling(2.0), fnn.layers.Dense(6, activation="relu"),
                           fnn.layers.Dropout(0.5), fnn.layers.Dense(3), fnn.layers.Activation("softmax")],
                          seed=0, dtype=dtype, **options)


def samples(n=50):
    return np.random.default_rng(1).normal(size=(n, 4))


# ---- statistics --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights(dtype):
    model = network(dtype)
    found = statistics(model)
    assert not found.layers
    assert [row.name for row in found.weights] == ["dense.kernel", "dense.bias", "dense_1.kernel", "dense_1.bias"]
    for row, weight in zip(found.weights, model.get_weights(), strict=True):
        wide = weight.astype(np.float64)
        assert row.shape == weight.shape
        assert (row.mean, row.std, row.min, row.max) == pytest.approx(
            (wide.mean(), wide.std(), wide.min(), wide.max()), rel=1e-12)
        assert row.norm == pytest.approx(np.linalg.norm(wide), rel=1e-12)
        if weight.ndim > 1:
            assert row.spectral_norm == pytest.approx(np.linalg.norm(wide, 2), rel=1e-12)
            assert row.dead_units == 0
        else:
            assert row.spectral_norm is row.dead_units is None
            assert row.near_zero == 1.0


def test_near_zero_and_dead_columns():
    model = network()
    kernel = np.zeros((4, 6))
    kernel[:, 0] = [1.0, -1.0, 1.0, 0.001]
    model.layers[1].kernel = kernel
    row = statistics(model).weights[0]
    assert row.dead_units == 5
    assert row.near_zero == pytest.approx(21 / 24)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (64, 300), (200, 100), (300, 300)])
def test_spectral_norm(shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    assert spectral_norm(matrix) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-5)
    assert spectral_norm(np.zeros(shape)) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(3, 4), (100, 90)])
def test_weights_that_are_not_finite_are_reported(shape, value):
    model = fnn.Sequential([fnn.Input(shape[:1]), fnn.layers.Dense(shape[1])], seed=0)
    model.layers[0].kernel[0, 0] = value
    kernel, bias = statistics(model, np.ones((2, shape[0]))).weights
    assert math.isnan(kernel.spectral_norm) and not math.isfinite(kernel.mean) and not math.isfinite(kernel.norm)
    assert bias.norm == 0
    assert "nan" in repr(statistics(model))
    assert math.isnan(spectral_norm(model.layers[0].kernel))


def test_outputs_of_layers():
    model, x = network(), samples()
    found = {layer.name: outputs for layer, outputs in layer_outputs(model, x)}
    assert list(found) == [layer.name for layer in model.layers]
    dense, head = model.layers[1], model.layers[3]
    hidden = np.maximum(2 * x @ dense.kernel + dense.bias, 0)
    np.testing.assert_allclose(found["dense"], hidden, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found["dropout"], found["dense"])
    np.testing.assert_allclose(found["dense_1"], hidden @ head.kernel + head.bias, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found["activation"], model.predict(x))
    rows = {row.name: row for row in statistics(model, x).layers}
    assert rows["dense"].std == pytest.approx(hidden.std())
    assert rows["dense"].shape == (6,)


def test_outputs_do_not_depend_on_threads():
    model, x = network("float32"), samples(500)
    for (_, one), (_, two) in zip(layer_outputs(model, x, n_threads=1), layer_outputs(model, x, n_threads=2),
                                  strict=True):
        np.testing.assert_array_equal(one, two)


def test_dead_units():
    model = network()
    model.layers[1].bias = [-100.0, 0, 0, 0, 0, -100.0]
    rows = {row.name: row for row in statistics(model, samples()).layers}
    assert rows["dense"].dead_units == 2
    assert rows["dense_1"].dead_units == 0
    text = repr(statistics(model, samples()))
    assert "outputs of" in text and "dead units" in text


def test_refused():
    with pytest.raises(ValueError, match="no weights before it is built"):
        statistics(fnn.Sequential([fnn.layers.Dense(2)]))
    with pytest.raises(TypeError, match="model must be a"):
        statistics([1, 2])
    with pytest.raises(ValueError, match="at least two samples, or every unit would look dead; received 1"):
        statistics(network(), samples(1))
    with pytest.raises(ValueError, match="samples of shape"):
        statistics(network(), np.ones((5, 3)))


# ---- the callback ------------------------------------------------------------------------------------------


def trained(monitor, epochs=4, n=64, dtype="float64"):
    model = network(dtype)
    model.compile(fnn.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(samples(n), np.arange(n) % 3, epochs=epochs, verbose=0, callbacks=[monitor])
    return model


def test_monitor_records_each_epoch():
    monitor = WeightMonitor(samples(20), np.arange(20) % 3, spectral_norms=True)
    assert repr(monitor) == "<WeightMonitor: nothing recorded>"
    model = trained(monitor)
    assert monitor.epochs == [0, 1, 2, 3]
    row = statistics(model).weights[0]
    record = monitor.weights["dense.kernel"]
    assert {name: values[-1] for name, values in record.items() if hasattr(row, name)} == {
        name: getattr(row, name) for name in ("mean", "std", "min", "max", "norm", "near_zero", "spectral_norm")}
    gradient = model.gradients(samples(20), np.arange(20) % 3)[0]
    assert record["gradient_norm"][-1] == np.linalg.norm(gradient)
    assert set(monitor.weights["dense.bias"]) == set(record) - {"spectral_norm"}
    assert np.isnan(monitor.weights["dense.bias"]["update_ratio"][0])  # they were zero
    assert np.isfinite(monitor.weights["dense.bias"]["update_ratio"][1:]).all()
    assert list(monitor.layers["dense"]) == ["mean", "std", "dead_units"]
    assert "epoch 4" in repr(monitor) and "update ratio" in repr(monitor)


def test_update_ratio():
    monitor, weights = WeightMonitor(), []

    class Keep(fnn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            weights.append(self.model.get_weights())

    model = network()
    model.compile(fnn.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(samples(64), np.arange(64) % 3, epochs=2, verbose=0, callbacks=[monitor, Keep()])
    expected = np.linalg.norm(weights[1][0] - weights[0][0]) / np.linalg.norm(weights[0][0])
    assert monitor.weights["dense.kernel"]["update_ratio"][0] == pytest.approx(expected, rel=1e-14)
    assert not monitor.layers and "gradient_norm" not in monitor.weights["dense.kernel"]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("mover", [
    lambda: fnn.callbacks.SET(0.3), lambda: fnn.callbacks.RigL(every=2, end_step=9),
    lambda: fnn.callbacks.NeuronPruning(0.2, every=1),
    lambda: fnn.weights.PruningSchedule(0.8, end_step=3, frequency=1, sparse_from=0.5)])
def test_update_ratios_are_of_connections_that_stay(mover, first):
    """At a learning rate of zero they are zero, wherever in the list of callbacks connections move."""
    model = fnn.Sequential([fnn.Input((20,)), fnn.layers.SparseDense(40, "relu", density=0.2),
                            fnn.layers.Dense(20, "relu"), fnn.layers.Dense(3, "softmax")], seed=0)
    model.compile(fnn.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    monitor, mover = WeightMonitor(), mover()
    x = np.random.default_rng(0).standard_normal((64, 20))
    model.fit(x, np.arange(64) % 3, epochs=4, verbose=0, callbacks=[monitor, mover] if first else [mover, monitor])
    masked = isinstance(mover, fnn.weights.PruningSchedule)  # it sets weights to zero inside epochs
    assert isinstance(model.layers[1], fnn.layers.SparseDense if masked else fnn.layers.Dense)
    for name in ("sparse_dense.kernel", "dense.kernel"):
        ratios = monitor.weights[name]["update_ratio"]
        assert len(ratios) == 4 and not any(ratios[2 if masked else 0:])


def test_monitor_changes_no_bit_of_the_training():
    watched = trained(WeightMonitor(samples(20), np.arange(20) % 3), dtype="float32").get_weights()
    alone = trained(fnn.callbacks.Callback(), dtype="float32").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(watched, alone, strict=True))


def test_every_second_epoch_and_a_second_fit():
    monitor = WeightMonitor(samples(20), every=2)
    model = trained(monitor, epochs=5)
    assert monitor.epochs == [0, 2, 4]
    assert len(monitor.weights["dense.kernel"]["norm"]) == len(monitor.layers["dense"]["dead_units"]) == 3
    model.fit(samples(64), np.arange(64) % 3, epochs=1, verbose=0, callbacks=[monitor])
    assert monitor.epochs == [0]


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"y": np.ones(3)}, ValueError, "y needs x"),
    ({"every": 0}, ValueError, "every must be"),
    ({"spectral_norms": 1}, TypeError, "spectral_norms must be True or False; received 1"),
])
def test_monitor_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        WeightMonitor(**arguments)


def test_wrong_samples_stop_before_the_first_epoch():
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.get_weights()
    with pytest.raises(ValueError, match="samples of shape"):
        model.fit(samples(), np.arange(50) % 3, verbose=0, callbacks=[WeightMonitor(np.ones((5, 3)))])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
