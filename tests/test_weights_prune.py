"""Pruning: which weights go, that they stay away, and models that get smaller."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse

import fastnn as fnn
from fastnn.layers import (
    Activation,
    AlphaDropout,
    BatchNormalization,
    BinaryDense,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Input,
    LayerNormalization,
    MaxPooling2D,
    PReLU,
    Residual,
    Scale,
    SparseDense,
    TernaryDense,
)
from fastnn.weights import (
    PruningSchedule,
    prune,
    remove_pruning,
    set_masks,
    shrink,
    sparsity_report,
)

THREADS = (1, 2, 3, 4, 8)


def build(*layers, shape=(20,), dtype="float64", seed=0, optimizer="adam", loss="mse"):
    model = fnn.Sequential([Input(shape), *layers], seed=seed, dtype=dtype)
    model.compile(optimizer, loss)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def mlp(**options):
    return build(Dense(30, "tanh"), Dense(10, "relu"), Dense(4), **options)


def data(n=64, features=20, outputs=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, features)), rng.normal(size=(n, outputs))


def zeros(model):
    return [int((layer.kernel == 0).sum()) for layer in model.layers]


# ---- which weights -----------------------------------------------------------------------------------------


def test_magnitude_in_each_layer():
    model = mlp()
    before = [layer.kernel.copy() for layer in model.layers]
    report = prune(model, 0.7)
    for layer, old in zip(model.layers, before, strict=True):
        count = round(0.7 * old.size)
        gone = layer.kernel == 0
        assert gone.sum() == count
        assert np.abs(old[gone]).max() < np.abs(old[~gone]).min()
        assert np.array_equal(layer.kernel[~gone], old[~gone])
        assert np.array_equal(layer.masks["kernel"], ~gone)
        assert layer.masks["bias"].all()
    assert report.total.pruned == 420 + 210 + 28


def test_magnitude_in_all_layers_together():
    model = mlp()
    model.layers[0].kernel = model.layers[0].kernel * 0.01
    before = np.concatenate([layer.kernel.ravel() for layer in model.layers])
    prune(model, 0.6, scope="global")
    after = np.concatenate([layer.kernel.ravel() for layer in model.layers])
    assert (after == 0).sum() == round(0.6 * before.size)
    assert np.abs(before[after == 0]).max() < np.abs(before[after != 0]).min()
    assert zeros(model)[0] > 400


def test_random_is_repeatable():
    models = [mlp() for _ in range(4)]
    for model, seed in zip(models, (None, 0, 5, 5), strict=True):
        prune(model, 0.5, "random", seed=seed)
    masks = [model.layers[0].masks["kernel"] for model in models]
    assert np.array_equal(masks[0], masks[1])  # the model's own seed is 0
    assert np.array_equal(masks[2], masks[3])
    assert not np.array_equal(masks[1], masks[2])
    assert [mask.sum() for mask in masks] == [300] * 4


def test_taylor():
    model, (x, y) = mlp(), data(n=300)
    scores = np.zeros((20, 30))
    for part in (slice(0, 256), slice(256, 300)):
        scores += np.abs(model.layers[0].kernel * model.gradients(x[part], y[part])[0])
    prune(model, 0.5, "taylor", data=(x, y), layers=["dense"])
    gone = ~model.layers[0].masks["kernel"]
    assert gone.sum() == 300
    assert scores[gone].max() <= scores[~gone].min()
    assert zeros(model)[1:] == [0, 0]


def test_taylor_finds_what_matters_where_magnitude_does_not():
    """Inputs that are always zero, with large weights behind them."""
    model, (x, y) = build(Dense(4)), data()
    x[:, 10:] = 0
    model.layers[0].kernel[10:] *= 100
    before = model.evaluate(x, y)
    prune(model, 0.5, "taylor", data=(x, y, np.ones(len(x))))
    assert not model.layers[0].kernel[10:].any()
    assert model.evaluate(x, y) == before


def test_neurons():
    model = mlp()
    before = model.layers[0].kernel.copy()
    prune(model, 0.6, "structured")
    gone = ~model.layers[0].kernel.any(axis=0)
    assert gone.sum() == 18
    norms = np.linalg.norm(before, axis=0)
    assert norms[gone].max() < norms[~gone].min()
    assert np.array_equal(model.layers[0].bias == 0, gone)
    assert np.array_equal(model.layers[0].masks["bias"], ~gone)
    assert (~model.layers[1].kernel.any(axis=0)).sum() == 6
    assert zeros(model)[2] == 0


def test_neurons_of_all_layers_together_leave_one_in_each():
    model = mlp()
    model.layers[1].kernel = model.layers[1].kernel * 1e-3
    prune(model, 0.9, "structured", scope="global")
    assert model.layers[1].kernel.any(axis=0).sum() == 1
    assert model.layers[0].kernel.any(axis=0).sum() == 3


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("method", ["magnitude", "random", "taylor", "structured"])
def test_one_of_each_layer_stays(method, scope):
    model = build(Dense(5, "relu"), Dense(3, "relu"), Dense(2), shape=(8,))
    given = data(16, 8, 2) if method == "taylor" else None
    for sparsity in (0.0, 0.95, 0.999):
        before = [layer.kernel.any(axis=0) for layer in model.layers]
        prune(model, sparsity, method, scope=scope, data=given)
    for layer, there in zip(model.layers[:2 if method == "structured" else 3], before, strict=False):
        left = layer.kernel.any(axis=0) if method == "structured" else layer.kernel != 0
        assert left.sum() == 1
        assert not (layer.kernel.any(axis=0) & ~there).any()


def test_one_of_each_layer_stays_while_training():
    model = build(Dense(5, "tanh"), Dense(1), shape=(8,), seed=2)
    x, y = data(32, 8, 1)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[PruningSchedule(0.99, end_step=6, frequency=1)])
    assert zeros(model) == [39, 4]


@pytest.mark.parametrize(("pattern", "n", "m"), [("2:4", 2, 4), ("1:4", 1, 4), ("3:7", 3, 7)])
def test_patterns(pattern, n, m):
    model = mlp()
    before = model.layers[0].kernel.copy()
    prune(model, method=pattern)
    for layer in model.layers:
        kernel = layer.kernel
        for start in range(0, len(kernel), m):
            left = (kernel[start:start + m] != 0).sum(axis=0)
            assert (left == min(n, len(kernel) - start)).all()
    group, kept = np.abs(before[:m]), model.layers[0].masks["kernel"][:m]
    assert all(group[kept[:, j], j].min() > group[~kept[:, j], j].max() for j in range(30))


def test_what_is_pruned_stays_pruned_and_counts():
    model = mlp()
    prune(model, 0.5, "random", seed=1)
    first = model.layers[0].masks["kernel"].copy()
    prune(model, 0.8)
    second = model.layers[0].masks["kernel"].copy()
    assert (~second).sum() == 480
    assert not (second & ~first).any()
    prune(model, 0.2)
    assert np.array_equal(model.layers[0].masks["kernel"], second)


def convolutional():
    return build(Conv2D(8, 3, activation="relu"), MaxPooling2D(2), Flatten(), Dense(12, "relu"), Dense(4),
                 shape=(10, 10, 3))  # fmt: skip


def test_filters():
    model = convolutional()
    prune(model, 0.5, "structured")
    kernel, bias = model.layers[0].kernel, model.layers[0].bias
    gone = ~kernel.any(axis=(0, 1, 2))
    assert gone.sum() == 4
    assert np.array_equal(bias == 0, gone)
    x, y = np.random.default_rng(0).normal(size=(32, 10, 10, 3)), data(n=32)[1]
    model.fit(x, y, epochs=2, verbose=0)
    assert np.array_equal(~kernel.any(axis=(0, 1, 2)), gone)
    small = shrink(model)
    assert (small.layers[0].filters, small.layers[3].units) == (8, 6)
    same_predictions(model, small, (10, 10, 3))


@pytest.mark.parametrize("method", ["magnitude", "random", "2:4"])
def test_weights_of_filters(method):
    model = convolutional()
    prune(model, *([] if ":" in method else [0.5]), method=method)
    kernel = model.layers[0].kernel
    assert (kernel == 0).sum() == (8 * 13 if ":" in method else 108)
    model.fit(np.random.default_rng(0).normal(size=(32, 10, 10, 3)), data(n=32)[1], epochs=1, verbose=0)
    assert np.array_equal(kernel != 0, model.layers[0].masks["kernel"])


def test_equal_scores_go_in_order():
    model = build(Dense(4))
    model.layers[0].kernel = np.ones((20, 4))
    prune(model, 0.5)
    assert np.array_equal(model.layers[0].kernel, np.repeat([[0.0], [1.0]], 10, axis=0) * np.ones(4))


def test_some_layers():
    for layers in (["dense_1"], lambda model: [model.layers[1]]):
        model = mlp()
        prune(model, 0.5, layers=layers(model) if callable(layers) else layers)
        assert zeros(model) == [0, 150, 0]


# ---- masks stay --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [
    "sgd", "adam", "rmsprop", "lion", "nadam", "adafactor", "lamb", "muon", "radam", "ftrl",
    fnn.optimizers.SGD(0.01, momentum=0.9),
    fnn.optimizers.ScheduleFreeAdamW(0.01),
    fnn.optimizers.AdamW(weight_decay=0.1, use_ema=True, ema_overwrite_frequency=2),
    fnn.optimizers.Adam(gradient_accumulation_steps=2),
    fnn.optimizers.Adam(global_clipnorm=0.1),
], ids=repr)  # fmt: skip
def test_training_keeps_them(optimizer):
    model, (x, y) = mlp(optimizer=optimizer), data()
    model.fit(x, y, epochs=1, verbose=0)
    prune(model, 0.7)
    masks = [layer.masks["kernel"].copy() for layer in model.layers]
    kept = [layer.kernel.copy() for layer in model.layers]
    model.fit(x, y, epochs=3, verbose=0)
    model.train_on_batch(x, y)
    for layer, mask, old in zip(model.layers, masks, kept, strict=True):
        assert np.array_equal(layer.kernel != 0, mask)
        assert (layer.kernel[mask] != old[mask]).mean() > 0.6  # behind a dead ReLU nothing moves


def test_lbfgs_keeps_them():
    model, (x, y) = mlp(optimizer=fnn.optimizers.LBFGS()), data()
    prune(model, 0.7)
    before = model.evaluate(x, y)
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y) < before
    assert zeros(model) == [420, 210, 28]


def test_removed_weights_have_no_gradient():
    model, (x, y) = mlp(), data()
    prune(model, 0.7)
    for g, layer in zip(model.gradients(x, y)[::2], model.layers, strict=True):
        assert not g[~layer.masks["kernel"]].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(dtype):
    def run(threads):
        model = build(Dense(150, "tanh"), Dense(70, "relu"), Dense(4), dtype=dtype)
        prune(model, 0.8, scope="global")
        model.fit(*data(), epochs=3, verbose=0, n_threads=threads)
        return model.get_weights()

    one = run(1)
    for n in THREADS[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(run(n), one, strict=True))


def test_without_pruning_nothing_changes():
    model, plain, (x, y) = mlp(), mlp(), data()
    set_masks(model, {})
    model._mask_block()
    model.fit(x, y, epochs=2, verbose=0)
    plain.fit(x, y, epochs=2, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), plain.get_weights(), strict=True))


def test_what_is_written_to_them_stays_zero():
    model = mlp()
    prune(model, 0.5)
    mask = model.layers[0].masks["kernel"]
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    assert np.array_equal(model.layers[0].kernel == 1, mask)
    model.layers[0].kernel = np.full((20, 30), 2.0)
    assert np.array_equal(model.layers[0].kernel == 2, mask)


def test_masks_are_read_only():
    model = mlp()
    assert model.layers[0].masks == {}
    prune(model, 0.5)
    with pytest.raises(ValueError, match="read-only"):
        model.layers[0].masks["kernel"][0, 0] = True


def test_files_and_copies_keep_them(tmp_path):
    model, (x, y) = mlp(), data()
    model.fit(x, y, epochs=1, verbose=0)
    prune(model, 0.5)
    prune(model, 0.5, "structured")
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model.safetensors")
    others = [fnn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    before = sparsity_report(model)
    model.fit(x, y, epochs=2, verbose=0)
    for other in others:
        assert sparsity_report(other) == before
        other.fit(x, y, epochs=2, verbose=0)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
        assert sparsity_report(other).total.pruned == before.total.pruned


def test_a_file_without_masks_has_none(tmp_path):
    model = mlp()
    model.save(tmp_path / "model.safetensors")
    assert fnn.load_model(tmp_path / "model.safetensors").layers[0].masks == {}


def test_a_layer_that_is_added_is_whole():
    model = mlp()
    prune(model, 0.5)
    masks = model.layers[0].masks["kernel"].copy()
    model.add(Dense(3))
    assert np.array_equal(model.layers[0].masks["kernel"], masks)
    assert model.layers[3].masks["kernel"].all()


def test_removing():
    model, (x, y) = mlp(), data()
    prune(model, 0.7)
    remove_pruning(model)
    assert model.layers[0].masks == {}
    assert zeros(model) == [420, 210, 28]
    model.fit(x, y, epochs=1, verbose=0)
    assert zeros(model) == [0, 0, 0]


def test_masks_of_ones_own():
    model, (x, y) = mlp(), data()
    mask = np.random.default_rng(0).random((20, 30)) < 0.5
    set_masks(model, {"dense.kernel": mask, "dense_1.bias": np.arange(10) < 5})
    model.fit(x, y, epochs=1, verbose=0)
    assert np.array_equal(model.layers[0].kernel != 0, mask)
    assert np.array_equal(model.layers[1].bias != 0, np.arange(10) < 5)
    set_masks(model, {"dense.kernel": ~mask})
    assert not model.layers[0].kernel.any()


# ---- the report --------------------------------------------------------------------------------------------


def test_report():
    model = mlp()
    model.layers[1].kernel[0] = 0
    prune(model, 0.5, layers=["dense"])
    report = sparsity_report(model)
    assert [row.name for row in report] == ["dense.kernel", "dense.bias", "dense_1.kernel", "dense_1.bias",
                                           "dense_2.kernel", "dense_2.bias"]
    assert (report["dense.kernel"].pruned, report["dense.kernel"].zero, report["dense_1.kernel"].zero) == (300, 300, 10)
    assert report["dense.kernel"].sparsity == 0.5
    assert report.total.params == model.count_params()
    assert report.sparsity == 310 / model.count_params()
    assert "dense_1.kernel  (30, 10)     300       0    10     3.3 %" in str(report)
    with pytest.raises(KeyError, match=r"no weight 'dense'; there are dense\.kernel"):
        report["dense"]


# ---- the schedule ------------------------------------------------------------------------------------------


def test_sparsity_of_the_schedule():
    schedule = PruningSchedule(0.9, 0.1, begin_step=100, end_step=300)
    assert schedule.sparsity(0) == schedule.sparsity(99) == 0
    assert schedule.sparsity(100) == pytest.approx(0.1)
    assert schedule.sparsity(200) == pytest.approx(0.9 - 0.8 / 8)
    assert schedule.sparsity(300) == schedule.sparsity(10**6) == 0.9
    assert PruningSchedule(0.9, begin_step=0, end_step=10, power=1).sparsity(5) == pytest.approx(0.45)


@pytest.mark.parametrize("method", ["magnitude", "random", "structured"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_pruning_while_training(method, scope):
    model, (x, y) = mlp(), data()
    schedule = PruningSchedule(0.8, begin_step=3, end_step=13, frequency=4, method=method, scope=scope)
    seen = []

    class Watch(fnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(sparsity_report(model).total.pruned)

    model.fit(x, y, batch_size=16, epochs=5, verbose=0, callbacks=[schedule, Watch()])  # 20 steps
    changes = [step for step in range(1, 20) if seen[step] != seen[step - 1]]
    last = [13 - 1] if method != "structured" else []  # of 40 neurons the same number
    assert changes == [7 - 1, 11 - 1, *last]
    assert seen[-1] == sparsity_report(model).total.pruned
    n_weights = 940 if method != "structured" else 40
    pruned = seen[-1] if method != "structured" else sum((~layer.masks["bias"]).sum() for layer in model.layers)
    assert pruned == pytest.approx(0.8 * n_weights, abs=1)


def test_the_schedule_begins_again_with_fit():
    model, (x, y) = mlp(), data()
    schedule = PruningSchedule(0.5, end_step=2, frequency=1)
    model.fit(x, y, batch_size=64, epochs=2, verbose=0, callbacks=[schedule])
    assert zeros(model) == [300, 150, 20]
    remove_pruning(model)
    model.fit(x, y, batch_size=64, epochs=1, verbose=0, callbacks=[schedule])
    assert 0 < zeros(model)[0] < 300


def test_the_schedule_changes_no_bit_with_threads():
    def run(threads):
        model = build(Dense(150, "tanh"), Dense(70, "relu"), Dense(4), dtype="float32")
        schedule = PruningSchedule(0.8, end_step=10, frequency=3, scope="global")
        model.fit(*data(), batch_size=16, epochs=4, verbose=0, n_threads=threads, callbacks=[schedule])
        return model.get_weights()

    one = run(1)
    for n in THREADS[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(run(n), one, strict=True))


@pytest.mark.parametrize("batch", [1, 5, 9, 14])
def test_a_run_with_a_schedule_goes_on_to_the_bit(tmp_path, batch):
    def start():
        return mlp(dtype="float32"), PruningSchedule(0.8, begin_step=1, end_step=11, frequency=3, scope="global")

    class Save(fnn.callbacks.Callback):
        done = 0

        def on_train_batch_end(self, _, logs=None):
            self.done += 1
            if self.done == batch:
                self.model.save(tmp_path / "run.safetensors")

    (x, y), options = data(), {"batch_size": 16, "epochs": 5, "verbose": 0}
    (whole, schedule), (resumed, again) = start(), start()
    whole.fit(x, y, callbacks=[schedule, Save()], **options)
    resumed.fit(x, y, callbacks=[again, Save()], resume=tmp_path / "run.safetensors", **options)
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True))
    assert sparsity_report(whole) == sparsity_report(resumed)


# ---- shrinking ---------------------------------------------------------------------------------------------


def same_predictions(model, small, shape=(20,), tolerance=1e-12):
    x = np.random.default_rng(3).normal(size=(50, *shape))
    np.testing.assert_allclose(small.predict(x), model.predict(x), rtol=tolerance, atol=tolerance)


def test_neurons_are_removed():
    model = mlp()
    prune(model, 0.6, "structured")
    small = shrink(model)
    assert [layer.units for layer in small.layers] == [12, 4, 4]
    assert [layer.units for layer in model.layers] == [30, 10, 4]
    same_predictions(model, small)


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "gelu", "exponential", "softplus", "sigmoid"])
def test_constant_neurons_go_into_the_next_bias(activation):
    model = build(Dense(8, activation), Dense(6, activation), Dense(3))
    model.layers[0].kernel[:, [1, 5]] = 0
    model.layers[1].kernel[:, [0, 2]] = 0
    small = shrink(model)
    assert [layer.units for layer in small.layers] == [6, 4, 3]
    same_predictions(model, small)


def test_what_leads_nowhere_goes():
    model = build(Dense(8, "relu"), Dense(6, "relu"), Dense(3))
    model.layers[2].kernel[[0, 1, 2]] = 0
    model.layers[1].kernel[4, 3:] = 0  # leads into what leads nowhere
    small = shrink(model)
    assert [layer.units for layer in small.layers] == [7, 3, 3]
    same_predictions(model, small)


def trained_by(callbacks, *layers):
    model = fnn.Sequential([Input((20,)), *layers], dtype="float64", seed=0)
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(64, 20))
    model.fit(x, np.zeros((64, 3)), epochs=4, verbose=0, callbacks=callbacks)
    return model


def beside_sparse_layers(**kwargs):
    return [SparseDense(40, "relu", **kwargs), Dense(30, "relu"), BatchNormalization(), Dense(3)]


POSITIONED = {
    "SET": lambda: trained_by([fnn.callbacks.SET()], *beside_sparse_layers(density=0.2)),
    "NeuronPruning": lambda: trained_by([fnn.callbacks.NeuronPruning(0.3, every=1)],
                                        *beside_sparse_layers(density=0.2)),
    "in a container": lambda: trained_by([fnn.callbacks.SET()],
                                         Residual([SparseDense(20, "relu", density=0.2)]),
                                         *beside_sparse_layers(epsilon=2)),
    "a pattern": lambda: trained_by([], *beside_sparse_layers(pattern=np.eye(20, 40, dtype=bool))),
    "a kernel": lambda: trained_by([], *beside_sparse_layers(kernel=scipy.sparse.eye_array(20, 40, format="csr"))),
    "from_dense": lambda: trained_by([], SparseDense.from_dense(build(Dense(40)).layers[0], sparsity=0.9), Dense(8),
                                     Dense(3)),
    "words": lambda: trained_by([], BinaryDense(40, activation="sign"), BinaryDense(5), Dense(6), Dense(3)).pack(),
    "a container of words": lambda: trained_by([], Residual([BinaryDense(20)]), Dense(6), Dense(3)).pack(),
}


@pytest.mark.parametrize("what", POSITIONED)
def test_shrinking_keeps_what_layers_have_beside_weights(what):
    model = POSITIONED[what]()
    dense = [layer for layer in model.layers if type(layer) is Dense]
    dense[0].kernel[:, :3] = 0
    small = shrink(model, strict=False)
    assert [layer.units for layer in small.layers if type(layer) is Dense] == [dense[0].units - 3, 3]
    for old, new in zip(model._leaves(), small._leaves(), strict=True):
        assert old is not new
        for name, buffer in old.buffers().items():
            assert np.array_equal(buffer, new.buffers()[name])
    same_predictions(model, small)


def test_one_neuron_stays():
    model = build(Dense(8, "relu"), Dense(6, "relu"), Dense(3))
    model.layers[1].kernel[...] = 0
    small = shrink(model)
    assert [layer.units for layer in small.layers] == [1, 1, 3]
    same_predictions(model, small)


def test_layers_between():
    model = build(Dense(8), Activation("gelu"), Dropout(0.5), Flatten(), Dense(6, "tanh"), Dropout(0.2), Dense(3))
    model.layers[0].kernel[:, [1, 5]] = 0
    model.layers[4].kernel[:, [0]] = 0
    small = shrink(model)
    assert (small.layers[0].units, small.layers[4].units) == (6, 5)
    same_predictions(model, small)


@pytest.mark.parametrize("between", [
    lambda: [BatchNormalization(), Activation("relu")],
    lambda: [Activation("relu"), BatchNormalization()],
    lambda: [BatchNormalization(center=False, scale=False), PReLU(), Dropout(0.5)],
    lambda: [Scale("random_normal"), Activation("relu")],
    lambda: [GaussianNoise(0.5), PReLU(shared_axes=[1]), AlphaDropout(0.5), BatchNormalization()],
], ids=["bn act", "act bn", "bn prelu dropout", "scale act", "noise prelu bn"])  # fmt: skip
def test_normalization_between(between):
    model, (x, y) = build(Dense(30, use_bias=False), *between(), Dense(10), *between(), Dense(4)), data()
    for layer in model.layers:
        if "moving_variance" in layer.weights:
            layer.moving_variance = np.random.default_rng(2).random(layer.moving_variance.shape) + 0.5
    prune(model, 0.6, "structured", scope="global")
    model.fit(x, y, epochs=2, verbose=0)
    small = shrink(model)
    first, second, _ = (layer.units for layer in small.layers if isinstance(layer, Dense))
    assert first + second == 16
    same_predictions(model, small)
    report = sparsity_report(small)
    small.fit(x, y, epochs=1, verbose=0)
    assert sparsity_report(small).total.pruned == report.total.pruned


def test_layer_normalization_is_in_the_way():
    model = build(Dense(8), LayerNormalization(), Dense(3))
    model.layers[0].kernel[:, 2] = 0
    with pytest.raises(ValueError, match="LayerNormalization 'layer_normalization' behind it takes all"):
        shrink(model)
    same_predictions(model, shrink(model, strict=False))


def test_a_bias_appears_where_one_is_needed():
    model = build(Dense(8, "sigmoid"), Dense(3, use_bias=False))
    model.layers[0].kernel[:, 2] = 0
    small = shrink(model)
    assert small.layers[1].use_bias
    same_predictions(model, small)
    model.layers[0].bias[2] = 0
    unneeded = build(Dense(8, "relu"), Dense(3, use_bias=False))
    unneeded.layers[0].kernel[:, 2] = unneeded.layers[0].bias[2] = 0
    same_predictions(unneeded, shrink(unneeded))


def test_masks_are_cut_and_training_goes_on():
    model, (x, y) = mlp(dtype="float32"), data()
    prune(model, 0.9, scope="global")
    prune(model, 0.5, "structured")
    small = shrink(model)
    same_predictions(model, small, tolerance=1e-5)
    before = sparsity_report(small)
    small.fit(x, y, epochs=2, verbose=0)
    after = sparsity_report(small)
    assert after.total.pruned == before.total.pruned > 0
    assert (after["dense.kernel"].zero, after["dense.kernel"].pruned) == (before["dense.kernel"].pruned,) * 2
    assert small.optimizer is not model.optimizer
    assert small.optimizer.get_config() == model.optimizer.get_config()


def test_learning_rate_multipliers_stay():
    model = build(Dense(30, "relu"), fnn.layers.Residual([Dense(30)]), fnn.layers.Columns(slice(0, 30)), Dense(4))
    rates = fnn.weights.discriminative(model)
    model.layers[2].learning_rate_multiplier = 0.25
    model.layers[1].sublayers[0].learning_rate_multiplier = 0.5
    assert len(set(rates.values())) == 3
    small = shrink(model)
    for old, new in zip(model.layers, small.layers, strict=True):
        assert [layer.learning_rate_multiplier for layer in new.family()] == [
            layer.learning_rate_multiplier for layer in old.family()]
        assert type(old).from_config(old.get_config()).learning_rate_multiplier == old.learning_rate_multiplier


def test_nothing_to_do():
    model = mlp()
    small = shrink(model)
    assert small is not model
    assert all(np.array_equal(a, b) for a, b in zip(small.get_weights(), model.get_weights(), strict=True))
    assert small.layers[0].masks == {}


def test_softmax_inside_is_in_the_way():
    model = build(Dense(8, "softmax"), Dense(3))
    model.layers[0].kernel[:, 2] = 0
    with pytest.raises(ValueError, match=r"'dense' has 1 dead neurons .* its own softmax .* strict=False"):
        shrink(model)
    assert shrink(model, strict=False).layers[0].units == 8
    model = build(Dense(8), Activation("softmax"), Dense(3))
    model.layers[0].kernel[:, 2] = 0
    with pytest.raises(ValueError, match="Activation 'activation' behind it"):
        shrink(model)


def test_tied_kernels_stay():
    model = build(Dense(8, "tanh", name="encoder"), Dense(20, tied_to="encoder"), Dense(5, "relu"), Dense(3))
    model.layers[0].kernel[:, 2] = 0
    model.layers[2].kernel[:, 3] = 0
    with pytest.raises(ValueError, match=r"'encoder' has 1 dead neurons .* its kernel is shared"):
        shrink(model)
    small = shrink(model, strict=False)
    assert [layer.units for layer in small.layers] == [8, 20, 4, 3]
    same_predictions(model, small)


# ---- refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda m: prune("model", 0.5), TypeError, "model must be a Sequential; received str"),
    (lambda m: prune(fnn.Sequential([Dense(3)]), 0.5), ValueError, "not built|before it is built"),
    (lambda m: prune(m), ValueError, r"needs a sparsity in \[0, 1\); received None"),
    (lambda m: prune(m, 1.0), ValueError, r"sparsity must be in \[0, 1\); received 1.0"),
    (lambda m: prune(m, -0.1), ValueError, "sparsity"),
    (lambda m: prune(m, "half"), TypeError, "sparsity must be a number"),
    (lambda m: prune(m, 0.5, "magnitud"), ValueError, "received 'magnitud'. Did you mean 'magnitude'"),
    (lambda m: prune(m, 0.5, "2:4"), ValueError, "'2:4' sets its own sparsity; received sparsity=0.5"),
    (lambda m: prune(m, method="4:2"), ValueError, "method must be .* received '4:2'"),
    (lambda m: prune(m, method="0:2"), ValueError, "method must be .* received '0:2'"),
    (lambda m: prune(m, 0.5, scope="all"), ValueError, "'layer' or 'global'; received 'all'"),
    (lambda m: prune(m, 0.5, layers=["dens"]), ValueError, "no layer 'dens' with a kernel. Did you mean 'dense'"),
    (lambda m: prune(m, 0.5, layers=[]), ValueError, "at least one layer"),
    (lambda m: prune(m, 0.5, layers="dense"), TypeError, "list of layers or their names; received 'dense'"),
    (lambda m: prune(m, 0.5, layers=[mlp().layers[0]]), ValueError, "no layer 'dense'"),
    (lambda m: prune(m, 0.5, "random", seed=-1), ValueError, "seed"),
    (lambda m: prune(m, 0.5, "taylor"), ValueError, r"needs data=\(x, y\)"),
    (lambda m: prune(m, 0.5, "taylor", data=(np.ones((4, 19)), np.ones((4, 4)))), ValueError, "x has|features|shape"),
    (lambda m: prune(m, 0.5, "taylor", data=(scipy.sparse.eye_array(4, 20, format="csr"), np.ones((4, 4)))), TypeError,
     r"method 'taylor' takes dense arrays; data\[0\] is a sparse matrix"),
    (lambda m: prune(m, 0.5, data=data()), ValueError, "by method 'taylor' alone"),
    (lambda m: prune(m, 0.5, "structured", layers=["dense_2"]), ValueError, "'dense_2' are the model's outputs"),
    (lambda m: set_masks(m, {"dense.kernel": np.ones((30, 20), bool)}), ValueError, r"\(20, 30\); .* \(30, 20\)"),
    (lambda m: set_masks(m, {"dense.kernel": np.ones((20, 30))}), TypeError, "bool; received dtype float64"),
    (lambda m: set_masks(m, {"dense.kernle": np.ones((20, 30), bool)}), ValueError, "Did you mean 'dense.kernel'"),
    (lambda m: set_masks(m, [1]), TypeError, "must map names"),
    (lambda m: shrink(m, strict=1), TypeError, "strict must be True or False; received 1"),
    (lambda m: shrink(3), TypeError, "Sequential; received int"),
    (lambda m: sparsity_report(None), TypeError, "Sequential; received NoneType"),
    (lambda m: remove_pruning([]), TypeError, "Sequential; received list"),
    (lambda m: PruningSchedule(1.0, end_step=10), ValueError, "final_sparsity"),
    (lambda m: PruningSchedule(0.5, 0.6, end_step=10), ValueError, r"initial_sparsity must be in \[0, 0.5\]"),
    (lambda m: PruningSchedule(0.5, begin_step=10, end_step=10), ValueError, "end_step"),
    (lambda m: PruningSchedule(0.5, end_step=10, frequency=0), ValueError, "frequency"),
    (lambda m: PruningSchedule(0.5, end_step=10, power=0), ValueError, "power"),
    (lambda m: PruningSchedule(0.5, end_step=10, method="taylor"), ValueError, "'structured'; received 'taylor'"),
    (lambda m: m.fit(*data(), verbose=0, callbacks=[PruningSchedule(0.5, end_step=9, layers=["no"])]), ValueError,
     "no layer 'no'"),
])  # fmt: skip
def test_refused(call, error, message):
    refused(mlp(), call, error, message)


def refused(model, call, error, message):
    before = model.get_weights()
    with pytest.raises(error, match=message):
        call(model)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert model.layers[0].masks == {}


def test_weights_that_are_never_zero_are_not_pruned():
    model = build(BinaryDense(6), TernaryDense(5), Dense(4))
    for call in (lambda m: prune(m, 0.5, layers=["binary_dense"]), lambda m: prune(m, 0.5, layers=[m.layers[0]]),
                 lambda m: set_masks(m, {"binary_dense.kernel": np.ones((20, 6), bool)}),
                 lambda m: m.fit(*data(), verbose=0,
                                 callbacks=[PruningSchedule(0.5, end_step=9, layers=["binary_dense"])])):
        refused(model, call, ValueError, "layer 'binary_dense' cannot be pruned: BinaryDense rounds 0 to 1")
    refused(model, lambda m: m.sparsify(sparsity=0.5, layers=["binary_dense"]), ValueError, "'binary_dense' is no")
    refused(build(BinaryDense(6)), lambda m: prune(m, 0.5), ValueError, "no kernels that can be pruned")
    report = prune(model, 0.5)
    assert [report[f"{name}.kernel"].pruned for name in ("binary_dense", "ternary_dense", "dense")] == [0, 15, 10]
    assert (model.layers[1].rounded_kernel == 0).sum() >= 15


# ---- sparse layers -------------------------------------------------------------------------------------------


def sparse_mlp(**options):
    return build(SparseDense(30, "tanh", density=0.5), Dense(10, "relu"), Dense(4), **options)


def test_connections_that_a_sparse_layer_has_not_count_as_pruned():
    model = sparse_mlp()
    values = np.abs(model.layers[0].weights["kernel"]).copy()
    report = prune(model, 0.8, layers=["sparse_dense"])
    assert report["sparse_dense.kernel"].pruned == 0.8 * 600 - 300
    assert np.abs(model.layers[0].weights["kernel"]).sum() == pytest.approx(np.sort(values)[180:].sum())
    remove_pruning(model)
    prune(model, 0.4, layers=["sparse_dense"])
    assert model.layers[0].masks["kernel"].all()


def test_sparse_and_dense_layers_together():
    model = sparse_mlp()
    prune(model, 0.8, scope="global")
    left = sum(int(layer.masks["kernel"].sum()) for layer in model.layers)
    assert left == (600 + 300 + 40) - round(0.8 * 940)


def test_whole_columns_are_those_of_dense_kernels():
    model = sparse_mlp()
    prune(model, 0.5, "structured")
    assert model.layers[0].masks["kernel"].all()
    assert (model.layers[1].kernel == 0).all(axis=0).sum() == 5
    for method in ("structured", "2:4"):
        with pytest.raises(ValueError, match="SparseDense layers have none"):
            prune(model, None if method == "2:4" else 0.5, method, layers=["sparse_dense"])


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_model_that_is_pruned_becomes_sparse(scope):
    """The same training as with masks, to rounding, until an epoch begins with a layer that is sparse."""
    def trained(sparse_from):
        model = mlp(seed=3)
        schedule = PruningSchedule(0.9, begin_step=3, end_step=29, frequency=2, scope=scope, sparse_from=sparse_from)
        kinds = []
        watch = fnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kinds.append(
            sum(isinstance(layer, SparseDense) for layer in model.layers)))
        model.fit(*data(), batch_size=8, epochs=5, verbose=0, callbacks=[schedule, watch])
        return model, kinds

    masked, _ = trained(None)
    sparse, kinds = trained(0.6)
    assert kinds[0] == 0 and kinds == sorted(kinds) and kinds[-1] >= 2
    for layer, wanted in zip(sparse.layers, masked.layers, strict=True):
        assert layer.name == wanted.name
        if isinstance(layer, SparseDense):
            np.testing.assert_allclose(layer.kernel.toarray(), wanted.kernel, rtol=1e-8, atol=1e-10)
            assert layer.pattern.nnz == np.count_nonzero(wanted.kernel)
    x, _ = data()
    np.testing.assert_allclose(sparse.predict(x), masked.predict(x), rtol=1e-8, atol=1e-10)
    assert sparse.optimizer is not None
    sparse.fit(*data(), verbose=0)


def test_sparse_layers_lose_what_is_pruned_where_an_epoch_begins():
    model, counts = sparse_mlp(), []
    schedule = PruningSchedule(0.9, 0.5, end_step=30, frequency=1, sparse_from=1.0, layers=[model.layers[0]])
    watch = fnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: counts.append(model.layers[0].pattern.nnz))
    model.fit(*data(), batch_size=8, epochs=6, verbose=0, callbacks=[schedule, watch])
    assert counts[0] == 300 and counts == sorted(counts, reverse=True)
    assert model.layers[0].pattern.nnz == counts[-1] == 60
    assert isinstance(model.layers[1], Dense)


def test_layers_that_cannot_become_sparse_keep_their_masks():
    encoder = Dense(8, "tanh", name="encoder")
    model = build(encoder, fnn.layers.Residual([Dense(8)]), Dense(20, tied_to=encoder), Dense(4))
    model.fit(*data(), verbose=0, epochs=2, callbacks=[PruningSchedule(0.9, end_step=2, frequency=1, sparse_from=0.5)])
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Residual", "Dense", "SparseDense"]
    assert (~model.layers[0].masks["kernel"]).sum() == 144


class Say(fnn.callbacks.Callback):
    """A number to watch, and the weights of every epoch."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers, self.weights = numbers, []

    def on_epoch_end(self, epoch, logs=None):
        logs["mine"] = self.numbers[epoch]
        self.weights.append(self.model.get_weights())


@pytest.mark.parametrize("first", [True, False])
def test_the_best_epoch_is_one_after_layers_became_sparse(first):
    model, say = mlp(), Say([1, 2, 6, 4, 3, 5])
    schedule = PruningSchedule(0.8, end_step=2, frequency=1, sparse_from=0.5)
    stop = fnn.callbacks.EarlyStopping("mine", patience=9, mode="min", restore_best_weights=True)
    with pytest.warns(UserWarning, match="sparse since epoch 1, the best one.* anew from epoch 2 on") as warned:
        model.fit(*data(), batch_size=8, epochs=6, verbose=0,
                  callbacks=[schedule, say, stop] if first else [say, stop, schedule])
    assert len(warned) == 1
    assert (stop.best, stop.best_epoch) == (2, 1)
    for got, want in zip(model.get_weights(), say.weights[1], strict=True):
        np.testing.assert_array_equal(got, want)


def test_layers_that_become_sparse_as_training_ends():
    def trained(*order):
        model = mlp()
        calls = {"say": Say([1, 2]), "schedule": PruningSchedule(0.8, end_step=11, frequency=99, sparse_from=0.5),
                 "stop": fnn.callbacks.EarlyStopping("mine", mode="min", restore_best_weights=True, patience=9)}
        model.fit(*data(), batch_size=8, epochs=2, verbose=0, callbacks=[calls[name] for name in order])
        return model, calls["stop"]

    model, stop = trained("say", "stop", "schedule")  # the best weights are back, and become sparse
    for layer, kernel in zip(model.layers, stop.best_weights[::2], strict=True):
        there = layer.kernel.toarray()
        np.testing.assert_array_equal(there, np.where(there, kernel, 0))
    with pytest.warns(UserWarning, match="sparse since epoch 1, the best one.* those of the last one"):
        model, _ = trained("say", "schedule", "stop")
    assert all(isinstance(layer, SparseDense) for layer in model.layers)


@pytest.mark.parametrize("sparse_part", ["x", "validation", "stream", "validation stream"])
def test_the_layer_that_sparse_samples_go_to_stays_dense(sparse_part):
    x, y = data()
    csr = scipy.sparse.csr_array(x)
    given = {"x": {"x": csr, "y": y}, "validation": {"x": x, "y": y, "validation_data": (csr, y)},
             "stream": {"x": [(csr, y)]},
             "validation stream": {"x": x, "y": y, "validation_data": [(csr, y)]}}[sparse_part]

    def trained(**arguments):
        model = mlp()
        model.fit(**given, batch_size=8, epochs=3, verbose=0, callbacks=[
            PruningSchedule(0.8, end_step=3, frequency=1, sparse_from=0.5, **arguments)])
        return model

    model = trained()
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "SparseDense", "SparseDense"]
    assert (~model.layers[0].masks["kernel"]).mean() == 0.8
    with pytest.raises(ValueError, match="layer 'dense' cannot become sparse, since samples that are sparse"):
        trained(layers=["dense", "dense_1"])
    assert isinstance(trained(layers=["dense_1"]).layers[1], SparseDense)


def test_sparse_from_is_refused():
    with pytest.raises(ValueError, match=r"sparse_from must be in \(0, 1\]; received 0"):
        PruningSchedule(0.9, end_step=2, sparse_from=0)
    with pytest.raises(ValueError, match="sparse_from is for connections"):
        PruningSchedule(0.9, end_step=2, sparse_from=0.5, method="structured")


def test_structured_pruning_leaves_the_outputs_of_all_branches():
    dense = fnn.layers.Dense
    model = fnn.Sequential([fnn.Input((20,)), dense(16, "relu", name="hidden"),
                            fnn.layers.Concatenate([[dense(3, name="left")], [dense(2, name="right")]])], seed=0)
    prune(model, 0.5, "structured")
    outputs = {leaf.name: (leaf.kernel != 0).any(axis=0) for leaf in model._leaves() if "kernel" in leaf.weights}
    assert outputs["left"].all() and outputs["right"].all() and outputs["hidden"].sum() == 8
    with pytest.raises(ValueError, match="left' are the model's outputs"):
        prune(model, 0.5, "structured", layers=["concatenate.left"])
