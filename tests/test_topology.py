"""SET, RigL and the pruning of neurons: what goes, what grows, what stays, and that nothing else depends on it."""

import copy
import gc
import math
import threading
import weakref

import numpy as np
import pytest
import scipy.sparse

import fastnn as fnn
from fastnn.callbacks import SET, NeuronPruning, RigL
from fastnn.layers import (
    Activation,
    ActivityRegularization,
    Concatenate,
    Dense,
    Dropout,
    LayerNormalization,
    Residual,
    SparseDense,
)
from fastnn.sparse import Pattern, random_pattern

THREADS = (1, 2, 3, 8)


def data(n=64, n_in=20, classes=4):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, n_in)), rng.integers(classes, size=n)


def build(*layers, dtype="float64", optimizer="adam", seed=0):
    layers = layers or (SparseDense(50, "tanh", density=0.1), Dropout(0.1), SparseDense(30, "relu", density=0.2))
    model = fnn.Sequential([fnn.Input((20,)), *layers, Dense(4, "softmax")], seed=seed, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def fit(model, *callbacks, epochs=4, batch_size=16, **kwargs):
    return model.fit(*data(), epochs=epochs, batch_size=batch_size, verbose=0, callbacks=callbacks, **kwargs)


def sparse_layers(model):
    return [layer for layer in model.layers if isinstance(layer, SparseDense)]


def entries(layer):
    """Positions, values, and what the optimizer knows of them."""
    part = slice(layer._offsets["kernel"], layer._offsets["kernel"] + layer.pattern.nnz)
    known = [block[part].copy() for block in layer._owner._state.blocks]
    positions = layer.pattern.rows().astype(np.int64) * layer.pattern.shape[1] + layer.pattern.indices
    return positions, layer.weights["kernel"].copy(), known


class Watch(fnn.callbacks.Callback):
    """What sparse layers were before and after another callback acted."""

    def __init__(self, callback):
        super().__init__()
        self.callback, self.seen = callback, []

    def set_model(self, model):
        super().set_model(model)
        self.callback.set_model(model)

    def set_params(self, params):
        self.callback.set_params(params)

    def on_train_begin(self, logs=None):
        self.callback.on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.between(lambda: self.callback.on_epoch_begin(epoch, logs))

    def on_epoch_end(self, epoch, logs=None):
        self.callback.on_epoch_end(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self.between(lambda: self.callback.on_train_batch_end(batch, logs))

    def between(self, act):
        if self.model._state is None:
            return act()
        layers = sparse_layers(self.model)
        before, changes = [entries(layer) for layer in layers], self.callback.changes
        act()
        if self.callback.changes > changes:
            self.seen += [(b, entries(layer)) for b, layer in zip(before, layers, strict=True)]
        return None


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adadelta"])
def test_set_drops_the_weakest_of_each_sign_and_grows_elsewhere(optimizer):
    model, watch = build(optimizer=optimizer), Watch(SET(0.3))
    fit(model, watch)
    assert len(watch.seen) == 6
    for (old, old_values, old_slots), (new, values, slots) in watch.seen:
        assert new.size == old.size
        stayed, left, right = np.intersect1d(old, new, return_indices=True)
        negative = np.signbit(old_values)
        dropped = np.setdiff1d(np.arange(old.size), left)
        assert dropped.size == int(0.3 * (~negative).sum()) + int(0.3 * negative.sum())
        for sign in (negative, ~negative):
            gone = np.intersect1d(np.flatnonzero(sign), dropped)
            kept = np.intersect1d(np.flatnonzero(sign), left)
            assert np.abs(old_values[gone]).max() <= np.abs(old_values[kept]).min()
        grown = np.setdiff1d(np.arange(new.size), right)
        assert stayed.size + grown.size == new.size
        np.testing.assert_array_equal(values[right], old_values[left])
        np.testing.assert_array_equal(values[grown], 0)
        for (kind, fill), a, b in zip(model.optimizer._blocks().items(), old_slots, slots, strict=True):
            np.testing.assert_array_equal(b[right], a[left], err_msg=kind)
            np.testing.assert_array_equal(b[grown], fill)


def test_set_grows_anywhere_with_equal_probability():
    model = build(SparseDense(10, pattern=random_pattern((20, 10), 60, seed=1)))
    model.build((20,))
    old = entries_without_state(model.layers[0])
    times = np.zeros(200)
    for seed in range(400):
        callback = SET(0.5, seed=seed)
        callback.set_model(model)
        _, pattern, _, origin = callback._evolved(0, model.layers[0])
        times[positions_of(pattern)[origin < 0]] += 1
    free = np.setdiff1d(np.arange(200), old)
    assert times[old].sum() == 0
    mean = times[free].mean()
    assert np.abs(times[free] - mean).max() < 5 * math.sqrt(mean)


def positions_of(pattern):
    return pattern.rows().astype(np.int64) * pattern.shape[1] + pattern.indices


def entries_without_state(layer):
    return positions_of(layer.pattern)


def test_new_connections_may_begin_with_other_numbers():
    model, watch = build(), Watch(SET(0.3, initializer=fnn.initializers.Constant(0.5)))
    fit(model, watch, epochs=2)
    (old, *_), (new, values, _) = watch.seen[0]
    grown = np.setdiff1d(np.arange(new.size), np.intersect1d(old, new, return_indices=True)[2])
    assert grown.size and np.all(values[grown] == 0.5)
    random = build()
    fit(random, SET(0.3, initializer="glorot_uniform"), epochs=2)
    assert np.all(random.layers[0].weights["kernel"] != 0)


def test_set_every_so_many_epochs():
    callback = SET(0.3, every=2)
    fit(build(), callback, epochs=7)
    assert callback.changes == 3


def test_a_full_layer_stays_as_it_is():
    model = build(SparseDense(10, density=1.0), SparseDense(10, density=0.99))
    fit(model, SET(0.3))
    assert model.layers[0].pattern.nnz == 200
    assert model.layers[1].pattern.nnz == 99


class Spy(RigL):
    def _evolved(self, place, layer, part):
        kernel = layer.kernel.toarray()
        found = super()._evolved(place, layer, part)
        x, dz = self.model._running.last_batch(layer._offsets["kernel"])
        self.seen = getattr(self, "seen", [])
        self.seen.append((layer.path, part, kernel, x.T @ dz, found))
        return found


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_rigl_grows_where_the_dense_gradient_is_largest(activation):
    rigl = Spy(0.4, every=1, end_step=3)
    model = build(SparseDense(50, activation, density=0.1), SparseDense(30, "relu", density=0.2),
                  optimizer=fnn.optimizers.SGD(1e-300))
    dense = build(Dense(50, activation), Dense(30, "relu"))
    model.build((20,))
    dense.build((20,))
    start = [layer.kernel.toarray() for layer in sparse_layers(model)]
    dense.set_weights([start[0], model.layers[0].bias, start[1], model.layers[1].bias, *model.get_weights()[4:]])
    fit(model, rigl, epochs=2, batch_size=64)
    assert [part for _, part, *_ in rigl.seen[::2]] == pytest.approx([0.2 * (1 + math.cos(math.pi * t / 3))
                                                                      for t in (1, 2)])
    wanted = dense.gradients(*data())
    for path, part, kernel, gradient, (_, pattern, values, origin) in rigl.seen[:2]:
        place = 0 if path == "sparse_dense" else 2
        np.testing.assert_allclose(gradient, wanted[place], rtol=1e-9, atol=1e-14)
        there = np.flatnonzero(kernel)
        n = int(part * there.size)
        weakest = there[np.argsort(np.abs(kernel.ravel()[there]), kind="stable")[:n]]
        score = np.abs(gradient).ravel()
        score[np.setdiff1d(there, weakest)] = -1
        grown = np.argsort(-score, kind="stable")[:n]
        stay = np.setdiff1d(there, weakest)
        np.testing.assert_array_equal(positions_of(pattern), np.sort(np.concatenate([stay, grown])))
        back = np.isin(positions_of(pattern), there)
        assert np.array_equal(origin >= 0, back)
        np.testing.assert_array_equal(values[back], kernel.ravel()[positions_of(pattern)[back]])
        np.testing.assert_array_equal(values[~back], 0)


def test_the_batch_is_that_of_the_step():
    """The last batch of an epoch is shorter."""
    rows = []

    class Look(fnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            x, dz = self.model._running.last_batch(self.model.layers[0]._offsets["kernel"])
            rows.append(x)
            assert dz.shape == (len(x), 50)

    fit(build(), Look(), epochs=1, batch_size=24, shuffle=False)
    assert [len(x) for x in rows] == [24, 24, 16]
    np.testing.assert_array_equal(np.concatenate(rows), data()[0])


def test_rigl_looks_at_some_candidates():
    model = build()
    model.build((20,))
    before = [layer.pattern for layer in sparse_layers(model)]
    rigl = Spy(0.4, every=2, end_step=3, candidates=40)
    fit(model, rigl, epochs=1)
    assert rigl.changes == 1
    for (_, part, kernel, gradient, (_, pattern, _, origin)), old in zip(rigl.seen, before, strict=True):
        assert pattern.nnz == old.nnz
        grown = positions_of(pattern)[origin < 0]
        assert grown.size == int(part * old.nnz)
        assert not np.isin(grown, positions_of(old)).any()
        score = np.abs(gradient).ravel()[grown]
        free = np.abs(gradient).ravel()[np.flatnonzero(kernel.ravel() == 0)]
        assert score.mean() > free.mean()


@pytest.mark.parametrize("callback", [lambda: SET(0.3), lambda: RigL(0.3, every=3),
                                      lambda: RigL(every=3, candidates=50), lambda: NeuronPruning(0.1, every=1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(callback, dtype):
    results = []
    for threads in THREADS:
        model = build(dtype=dtype)
        fit(model, callback(), n_threads=threads)
        results.append(model.get_weights() + [array for layer in sparse_layers(model)
                                              for array in layer.buffers().values()])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_seeds():
    def after(callback, seed=0):
        model = build(seed=seed)
        fit(model, callback)
        return model.layers[0].pattern

    assert after(SET(0.3)).equals(after(SET(0.3)))
    assert after(SET(0.3, seed=5)).equals(after(SET(0.3, seed=5)))
    assert not after(SET(0.3)).equals(after(SET(0.3, seed=5)))


@pytest.mark.parametrize("callback", [lambda: SET(0.3), lambda: RigL(0.3, every=1, candidates=40)])
def test_draws_go_on_from_one_fit_to_the_next(callback):
    def seen(*fits):
        model, found = build(SparseDense(50, "tanh", density=0.05)), set()
        for epochs in fits:
            watch = Watch(callback())
            fit(model, watch, epochs=epochs, batch_size=64)
            for before, after in watch.seen:
                found |= set(after[0].tolist()) - set(before[0].tolist())
        return len(found)

    assert seen(*[8] * 8) > 0.85 * seen(57)  # as many changes


def test_rigls_end_follows_from_the_epochs_that_fit_makes(tmp_path):
    class Stop(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 7:
                self.model.save(tmp_path / "run")
                self.model.stop_training = True

    whole, rigl = build(), RigL(every=2)
    fit(whole, rigl, epochs=10, initial_epoch=5)
    assert (rigl.step, rigl.end_step, rigl.changes) == (20, 15, 7)
    fit(build(), RigL(every=2), Stop(), epochs=10, initial_epoch=5)
    for initial_epoch in (5, 0):
        again, rigl = build(), RigL(every=2)
        fit(again, rigl, epochs=10, initial_epoch=initial_epoch, resume=tmp_path / "run")
        assert (rigl.step, rigl.end_step, rigl.changes) == (20, 15, 7)
        for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_rigl_says_where_it_never_acted():
    model = build()
    with pytest.warns(UserWarning, match=r"after every 100 steps, before step 12, and fit made 16\. Give RigL"):
        fit(model, RigL())
    fit(model, RigL(every=11))


@pytest.mark.parametrize("threads", [1, 2])
def test_former_positions_are_freed(threads):
    class Alive(fnn.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.known, self.most = [], 0

        def on_train_batch_end(self, batch, logs=None):
            self.known.append(weakref.ref(self.model.layers[0].pattern.indices))
            self.most = max(self.most, sum(array() is not None for array in self.known))

    alive = Alive()
    fit(build(), RigL(every=1, end_step=100), alive, epochs=3, batch_size=4, n_threads=threads)
    assert len({id(array) for array in alive.known}) == 48
    assert alive.most == 1


def test_positions_move_while_other_threads_evaluate():
    model = build(SparseDense(400, "tanh", density=0.2))
    x, y = data(256)
    model.build((20,))
    over, figures = threading.Event(), []

    def evaluate():
        while not over.is_set():
            figures.append(model.evaluate(x, y))

    class Collect(fnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            gc.collect()
            self.kept = np.full(10_000, 7, np.int32)  # what was freed is written to

    thread = threading.Thread(target=evaluate)
    thread.start()
    try:
        fit(model, RigL(every=1, end_step=1000), Collect(), epochs=4, batch_size=16)
    finally:
        over.set()
        thread.join()
    assert figures and np.isfinite(figures).all()


def test_layers_that_are_frozen_or_not_named_stay():
    model = build()
    model.build((20,))
    before = [layer.pattern for layer in sparse_layers(model)]
    model.layers[0].trainable = False
    fit(model, SET(0.3))
    assert model.layers[0].pattern is before[0]
    assert not model.layers[2].pattern.equals(before[1])
    middle = model.layers[2].pattern
    model.layers[0].trainable = True
    fit(model, SET(0.3, layers=["sparse_dense"]), RigL(every=2, layers=[model.layers[0]]))
    assert model.layers[2].pattern is middle
    assert not model.layers[0].pattern.equals(before[0])


def test_two_layers_with_one_pattern():
    pattern = random_pattern((20, 20), 80, seed=3)
    model = build(SparseDense(20, "tanh", pattern=pattern), SparseDense(20, "tanh", pattern=pattern))
    fit(model, RigL(every=1, layers=["sparse_dense"]), epochs=1)
    other = build(SparseDense(20, "tanh", pattern=pattern),
                  SparseDense(20, "tanh", pattern=Pattern(pattern.shape, pattern.indptr, pattern.indices)))
    fit(other, RigL(every=1, layers=["sparse_dense"]), epochs=1)
    assert model.layers[1].pattern.equals(pattern)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("callback", [lambda: SET(0.3), lambda: RigL(0.3, every=3),
                                      lambda: NeuronPruning(0.1, every=1, begin_epoch=1)],
                         ids=["set", "rigl", "neurons"])
def test_a_run_goes_on_to_the_bit(tmp_path, callback, batches):
    class Stop(fnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batches and self.model._state.step == 10:
                self.model.save(tmp_path / "run")
                self.model.stop_training = True

        def on_epoch_end(self, epoch, logs=None):
            if not batches and epoch == 2:
                self.model.save(tmp_path / "run")
                self.model.stop_training = True

    whole = build()
    fit(whole, callback(), epochs=5)
    fit(build(), callback(), Stop(), epochs=5)
    again = build()
    fit(again, callback(), epochs=5, resume=tmp_path / "run")
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(a.pattern.equals(b.pattern) for a, b in zip(sparse_layers(whole), sparse_layers(again), strict=True))


@pytest.mark.parametrize("batches", [5, 9, 12])
def test_update_ratios_of_a_run_that_goes_on(tmp_path, batches):
    """They are of connections that stand where they stood as the epoch began, when the run is taken up too."""
    class Save(fnn.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == batches:
                self.model.save(tmp_path / "run")

    monitors = [fnn.weights.WeightMonitor() for _ in range(2)]
    fit(build(), monitors[0], RigL(0.5, every=2, end_step=99), Save())
    fit(build(), monitors[1], RigL(0.5, every=2, end_step=99), resume=tmp_path / "run")
    assert repr(monitors[0].weights) == repr(monitors[1].weights)


@pytest.mark.parametrize("callback", [
    lambda: SET(0.3), lambda: NeuronPruning(0.2, every=1),
    lambda: fnn.weights.PruningSchedule(0.8, end_step=3, frequency=1, sparse_from=0.5)])
def test_averages_may_be_swapped_before_or_behind(callback):
    """What an epoch begins with are the weights that are trained, for the callbacks before SwapEMAWeights too."""
    ends = []
    for order in (1, -1):
        model = build(optimizer=fnn.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9))
        fit(model, *[fnn.callbacks.SwapEMAWeights(True), callback()][::order])
        ends.append([layer.kernel.toarray() for layer in sparse_layers(model)])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


def test_learning_with_set():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 20)).astype(np.float32)
    y = (np.abs(x[:, :4]) @ [1, -1, 1, -1] > 0).astype(int)
    accuracy = {}
    for name, callbacks in {"set": [SET(0.3)], "rigl": [RigL(every=20)], "static": []}.items():
        model = fnn.Sequential([SparseDense(200, fnn.activations.AllReLU(0.6, 0), epsilon=3),
                                SparseDense(100, fnn.activations.AllReLU(0.6, 1), epsilon=3),
                                Dense(2, "softmax")], seed=1)
        model.compile(fnn.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, epochs=30, batch_size=32, verbose=0, callbacks=callbacks)
        accuracy[name] = history.history["accuracy"][-1]
    assert min(accuracy.values()) > 0.95


# ---- neurons ----


def test_neurons_lose_all_their_connections():
    model = build()
    model.build((20,))
    first, last = sparse_layers(model)
    strength = np.abs(first.kernel).sum(axis=0)
    connected = np.flatnonzero(strength)
    weak = connected[np.argsort(strength[connected])[:int(0.2 * connected.size)]]
    rows = last.kernel.toarray()
    fit(model, NeuronPruning(0.2, begin_epoch=0, every=100, layers=["sparse_dense"]), epochs=1)
    kernel = first.kernel.toarray()
    assert not kernel[:, weak].any() and not first.bias[weak].any()
    assert np.all(kernel[:, np.setdiff1d(connected, weak)].any(axis=0))
    # tanh and dropout leave a zero a zero: what leads out of them goes too
    assert not last.kernel.toarray()[weak].any()
    others = np.setdiff1d(np.arange(50), weak)
    assert np.array_equal(last.kernel.toarray()[others] != 0, rows[others] != 0)
    assert last.pattern.nnz == np.count_nonzero(rows[others])


@pytest.mark.parametrize("between", [[LayerNormalization()], [Activation("sigmoid")]])
def test_what_reads_no_zero_keeps_its_connections(between):
    model = build(SparseDense(50, density=0.1), *between, SparseDense(30, "relu", density=0.2))
    model.build((20,))
    nnz = [layer.pattern.nnz for layer in sparse_layers(model)]
    fit(model, NeuronPruning(0.2, begin_epoch=0, layers=["sparse_dense"]), epochs=1)
    assert model.layers[0].pattern.nnz < nnz[0]
    assert sparse_layers(model)[1].pattern.nnz == nnz[1]


def test_neurons_go_again_and_again():
    model, counts = build(), []

    class Count(fnn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            counts.append(int((np.abs(self.model.layers[0].kernel).sum(axis=0) > 0).sum()))

    fit(model, NeuronPruning(0.2, begin_epoch=1, every=2), Count(), epochs=6)
    assert counts[0] > counts[1] == counts[2] > counts[3] == counts[4] > counts[5]


def test_outputs_of_the_model_stay():
    model = build()
    model.add(SparseDense(4, density=0.5, name="last"))
    model.compile("adam", "mse")
    x, _ = data()
    model.fit(x, np.zeros((64, 4)), epochs=2, verbose=0, callbacks=[NeuronPruning(0.5, begin_epoch=1)])
    assert model.layers[-1].pattern.nnz == 8
    with pytest.raises(ValueError, match="'last' are the model's outputs"):
        model.fit(x, np.zeros((64, 4)), verbose=0, callbacks=[NeuronPruning(0.5, layers=["last"])])


def sparse(units, name):
    return SparseDense(units, "tanh", density=0.5, name=name)


# Layers, and those of them that lose units.
ENDS = {
    "an activation": ([sparse(30, "a"), sparse(4, "b"), Activation("softmax")], {"a"}),
    "a penalty": ([sparse(30, "a"), sparse(4, "b"), ActivityRegularization(l2=0.1)], {"a"}),
    "branches": ([sparse(30, "a"), Concatenate([[sparse(9, "b"), sparse(2, "c")],
                                                [sparse(2, "d"), Activation("relu")]])], {"a", "concatenate.b"}),
    "a branch without layers": ([sparse(30, "a"), sparse(4, "b"), Concatenate([[], Dense(2)])], {"a"}),
    "a way around": ([sparse(30, "a"), sparse(4, "b"), Residual([Dropout(0.1), Dense(4)])], {"a"}),
    "a way around with a kernel": ([sparse(4, "a"), Residual([sparse(9, "b"), sparse(4, "c")], shortcut=[Dense(4)])],
                                   {"a", "residual.b"}),
}  # fmt: skip


@pytest.mark.parametrize("what", ENDS)
def test_units_that_become_outputs_stay(what):
    layers, lose = copy.deepcopy(ENDS[what])
    model = fnn.Sequential([fnn.Input((20,)), *layers], seed=0)
    model.compile("sgd", "mse")
    x, _ = data()
    y = np.zeros((64, *model.output_shape))
    model.build((20,))
    before = {leaf.path: connected(leaf) for leaf in model._leaves() if isinstance(leaf, SparseDense)}
    model.fit(x, y, verbose=0, callbacks=[NeuronPruning(0.5, begin_epoch=0)])
    after = {leaf.path: connected(leaf) for leaf in model._leaves() if isinstance(leaf, SparseDense)}
    assert {path for path in before if after[path] < before[path]} == lose
    for path in before.keys() - lose:
        with pytest.raises(ValueError, match=f"the units of layer '{path}' are the model's outputs"):
            model.fit(x, y, verbose=0, callbacks=[NeuronPruning(0.5, layers=[path])])


def connected(layer):
    return np.count_nonzero(np.bincount(layer.pattern.indices, minlength=layer.units))


def test_neurons_of_frozen_layers_stay():
    model = build(sparse(50, "a"), sparse(40, "b"), sparse(30, "c"))
    model.build((20,))
    model.layers[1].trainable = False
    # One unit in front is read by nobody.
    there = model.layers[1].kernel.toarray()
    there[7] = 0
    model.layers[1].set_structure(there != 0, there[there != 0])
    model.layers[0].kernel.data[model.layers[0].pattern.indices == 7] *= 1e-3
    pattern, kernel, bias = model.layers[1].pattern, model.layers[1].kernel.copy(), model.layers[1].bias.copy()
    fit(model, NeuronPruning(0.3, begin_epoch=0), epochs=1)
    first, second, third = model.layers[:3]
    assert second.pattern.equals(pattern)
    assert np.array_equal(second.kernel.data, kernel.data) and np.array_equal(second.bias, bias)
    assert not first.kernel[:, [7]].nnz and connected(first) == 49
    assert connected(third) == 21


# ---- bad input ----

BAD = {
    "zeta": (lambda m: SET(0), ValueError, r"zeta must be in \(0, 1\); received 0"),
    "zeta text": (lambda m: SET("0.3"), TypeError, "zeta must be a number"),
    "every": (lambda m: SET(every=0), ValueError, "every"),
    "seed": (lambda m: SET(seed=-1), ValueError, "seed"),
    "initializer": (lambda m: SET(initializer="zeross"), ValueError, "Did you mean 'zeros'"),
    "orthogonal": (lambda m: SET(initializer="orthogonal"), ValueError, "initializer must be one for numbers"),
    "fraction": (lambda m: RigL(1.0), ValueError, r"fraction must be in \(0, 1\)"),
    "end": (lambda m: RigL(end_step=0), ValueError, "end_step"),
    "candidates": (lambda m: RigL(candidates=0), ValueError, "candidates"),
    "layers": (lambda m: SET(layers="sparse_dense"), TypeError, "list of SparseDense layers or their paths"),
    "no layers": (lambda m: SET(layers=[]), TypeError, "list of SparseDense layers"),
    "dense": (lambda m: SET(layers=[m.layers[-1]]), TypeError, "list of SparseDense layers"),
    "unknown": (lambda m: fit(m, SET(layers=["sparse_dens"])), ValueError, "Did you mean 'sparse_dense'"),
    "named dense": (lambda m: fit(m, RigL(layers=["dense"])), ValueError, "no SparseDense layer 'dense'"),
    "none": (lambda m: fit(build(Dense(3)), SET()), ValueError, "SET changes SparseDense layers; the model has none"),
    "another": (lambda m: fit(build(), SET(layers=[m.layers[0]])), ValueError, "no SparseDense layer"),
    "part": (lambda m: NeuronPruning(1.0), ValueError, r"part must be in \(0, 1\)"),
    "stream": (lambda m: m.fit(lambda: iter([data()]), verbose=0, callbacks=[RigL()]), ValueError,
               "RigL needs end_step"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_refused(what):
    call, error, message = BAD[what]
    with pytest.raises(error, match=message):
        call(build())


def test_a_kernel_of_ones_own_is_evolved():
    kernel = scipy.sparse.random_array((20, 30), density=0.2, rng=0, format="csr")
    model = build(SparseDense(30, "relu", kernel=kernel))
    fit(model, SET(0.2))
    assert model.layers[0].kernel.nnz == kernel.nnz


@pytest.mark.parametrize("callback", [lambda: SET(0.3), lambda: NeuronPruning(0.2, begin_epoch=1, every=1)])
def test_the_best_epoch_comes_back_with_its_connections(callback):
    seen = []

    class Look(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["mine"] = [3, 2, 1, 4, 5, 6][epoch]
            seen.append((self.model.layers[0].kernel.toarray(), self.model.get_weights()))

    model = build()
    stop = fnn.callbacks.EarlyStopping("mine", patience=2, mode="min", restore_best_weights=True)
    fit(model, callback(), Look(), stop, epochs=6)
    assert len(seen) == 5
    np.testing.assert_array_equal(model.layers[0].kernel.toarray(), seen[2][0])
    for a, b in zip(model.get_weights(), seen[2][1], strict=True):
        np.testing.assert_array_equal(a, b)
    fit(model)


@pytest.mark.parametrize("callback", [lambda: SET(0.3), lambda: NeuronPruning(0.2, begin_epoch=1, every=1)])
def test_the_best_epoch_comes_back_in_a_run_that_goes_on(tmp_path, callback):
    class Look(fnn.callbacks.Callback):
        def __init__(self, last=9):
            super().__init__()
            self.last = last

        def on_epoch_end(self, epoch, logs=None):
            logs["mine"] = [3, 1, 2, 4, 5, 6][epoch]
            if epoch == self.last:
                self.model.save(tmp_path / "run")
                self.model.stop_training = True

    def callbacks(last=9):
        stop = fnn.callbacks.EarlyStopping("mine", patience=3, mode="min", restore_best_weights=True)
        return Look(last), stop, callback()

    whole, again = build(), build()
    fit(whole, *callbacks(), epochs=6)
    fit(build(), *callbacks(3), epochs=6)
    fit(again, *callbacks(), epochs=6, resume=tmp_path / "run")
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(a.pattern.equals(b.pattern) for a, b in zip(sparse_layers(whole), sparse_layers(again), strict=True))
