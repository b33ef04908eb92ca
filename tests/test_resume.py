"""Runs that were interrupted and taken up again end as if nothing had happened, to the bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn as fnn
from fastnn import callbacks, layers, optimizers
from fastnn.run import Run

STEPS = 5  # batches of an epoch
EPOCHS = 4


class Interrupted(Exception):  # noqa: N818
    pass


class Interrupt(callbacks.Callback):
    """Raises after so many batches in all, or at the end of an epoch."""

    def __init__(self, batches=None, epoch=None):
        super().__init__()
        self.batches, self.epoch = batches, epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.batches is not None:
            self.batches -= 1
            if self.batches == 0:
                raise Interrupted

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Interrupted


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(70, 6)), rng.integers(0, 3, 70)


def network(optimizer="adam", seed=3, dtype="float32"):
    model = fnn.Sequential([layers.Dense(8, activation="tanh", name="first"), layers.Dropout(0.3),
                            layers.Dense(3, activation="softmax", name="last")], seed=seed, dtype=dtype)
    model.compile(optimizers.deserialize(optimizers.serialize(optimizers.get(optimizer))),
                  "sparse_categorical_crossentropy", metrics=["accuracy", "auc"])
    return model


def fit(model, calls, epochs=EPOCHS, **options):
    x, y = data()
    return model.fit(x, y, **{"batch_size": 12, "epochs": epochs, "validation_split": 0.2, "verbose": 0,
                              "callbacks": calls, **options})


def outcome(model):
    return repr((model.history.history, model.history.epoch)), [w.tobytes() for w in model.get_weights()], (
        model._state.step, [slot.tobytes() for slot in model._state.slots], model.optimizer.learning_rate,
        [layer.trainable for layer in model.layers], model._shuffles)


def everything(folder, interrupt=(), order=0, save_freq=2, **backup):
    """All callbacks that remember, the backup somewhere among them."""
    calls = [callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True),
             callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=0.05),
             callbacks.CSVLogger(folder / "log.csv"), callbacks.Freezer("first", 1), callbacks.Unfreezer("first", 2),
             callbacks.ModelCheckpoint(folder / "best.safetensors", "val_accuracy", save_best_only=True)]
    calls.insert(order, callbacks.BackupAndRestore(folder / "backup", save_freq=save_freq, **backup))
    return [*calls[:3], *interrupt, *calls[3:]]


def uninterrupted(tmp_path, **model):
    folder = tmp_path / "whole"
    folder.mkdir()
    whole = network(**model)
    fit(whole, everything(folder))
    return whole, (folder / "log.csv").read_text()


# ---- BackupAndRestore ----


@pytest.mark.parametrize("order", [0, 6])
@pytest.mark.parametrize("batches", range(1, STEPS * EPOCHS + 1))
def test_a_run_goes_on_after_any_batch(tmp_path, batches, order):
    whole, log = uninterrupted(tmp_path)
    with pytest.raises(Interrupted):
        fit(network(), everything(tmp_path, [Interrupt(batches)], order))
    again = network(seed=99 if batches > 2 else 3)  # the backup, if there is one, brings its seed
    fit(again, everything(tmp_path, order=order))
    assert outcome(again) == outcome(whole)
    assert (tmp_path / "log.csv").read_text() == log
    assert not (tmp_path / "backup").exists()


OPTIMIZERS = ["sgd", optimizers.SGD(0.1, momentum=0.9, nesterov=True), "rmsprop", optimizers.RMSprop(centered=True),
              "adagrad", "adadelta", optimizers.Adam(amsgrad=True), "adamw", "adamax", "nadam", "lion", "radam", "ftrl",
              "schedule_free_adamw", "lamb", "adafactor", optimizers.Muon(clipnorm=0.1, use_ema=True)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_a_run_goes_on_with_any_optimizer(tmp_path, optimizer, dtype):
    whole, _ = uninterrupted(tmp_path, optimizer=optimizer, dtype=dtype)
    for batches in (7, 6):
        with pytest.raises(Interrupted):
            fit(network(optimizer, dtype=dtype), everything(tmp_path, [Interrupt(batches)]))
    again = network(optimizer, dtype=dtype)
    fit(again, everything(tmp_path))
    assert outcome(again) == outcome(whole)


@pytest.mark.parametrize("order", [0, 3, 6])
@pytest.mark.parametrize("epoch", range(EPOCHS))
def test_a_run_goes_on_after_epochs(tmp_path, epoch, order):
    whole, log = uninterrupted(tmp_path)
    with pytest.raises(Interrupted):
        fit(network(), everything(tmp_path, [Interrupt(epoch=epoch)], order, "epoch"))
    again = network()
    fit(again, everything(tmp_path, order=order, save_freq="epoch"))
    assert outcome(again) == outcome(whole)
    assert (tmp_path / "log.csv").read_text() == log


@pytest.mark.parametrize("options", [{"shuffle": False}, {"batch_size": 1000}, {"validation_split": 0.0},
                                     {"class_weight": {0: 2.0}}, {"n_threads": 3}], ids=str)
def test_a_run_goes_on_with_any_arguments(tmp_path, options):
    models = [network() for _ in range(3)]
    def calls(*interrupt):
        return [callbacks.BackupAndRestore(tmp_path, save_freq=1), *interrupt]

    fit(models[0], calls(), **options)
    with pytest.raises(Interrupted):
        fit(models[1], calls(Interrupt(3)), **options)
    fit(models[2], calls(), **options)
    assert outcome(models[2]) == outcome(models[0])


def test_a_run_that_was_stopped_stays_stopped(tmp_path):
    """Killed after the backup of the epoch that ended training early."""
    def calls(*more):
        return [callbacks.EarlyStopping("loss", patience=1, min_delta=1e9), callbacks.BackupAndRestore(tmp_path),
                *more]

    whole, cut, again = network(), network(), network()
    fit(whole, calls())
    assert whole.history.epoch == [0, 1]
    with pytest.raises(Interrupted):
        fit(cut, calls(Interrupt(epoch=1)))
    fit(again, calls())
    assert outcome(again) == outcome(whole)


def test_a_run_that_was_stopped_between_batches_stays_stopped(tmp_path):
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    whole, cut, again = network(), network(), network()
    fit(whole, [Stop(), callbacks.BackupAndRestore(tmp_path, save_freq=1)])
    with pytest.raises(Interrupted):
        fit(cut, [Stop(), callbacks.BackupAndRestore(tmp_path, save_freq=1), Interrupt(3)])
    fit(again, [Stop(), callbacks.BackupAndRestore(tmp_path, save_freq=1)])
    assert outcome(again) == outcome(whole)
    assert again._state.step == 3


def test_more_epochs_than_before(tmp_path):
    whole, first, second = network(), network(), network(seed=8)
    fit(whole, [], epochs=4)
    fit(first, [callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)], epochs=2)
    fit(second, [callbacks.BackupAndRestore(tmp_path)], epochs=4)
    assert outcome(second) == outcome(whole)


def test_a_complete_run_has_nothing_left_to_do(tmp_path):
    first, second = network(), network()
    for model in (first, second):
        fit(model, [callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)])
    assert outcome(second) == outcome(first)
    fit(second, [callbacks.BackupAndRestore(tmp_path)], epochs=2)
    assert outcome(second) == outcome(first)


def test_callbacks_without_memory_may_be_others(tmp_path):
    whole, cut, again = network(), network(), network()
    fit(whole, [])
    with pytest.raises(Interrupted):
        fit(cut, [Interrupt(8), callbacks.BackupAndRestore(tmp_path, save_freq=1)], verbose=2)
    seen = []
    fit(again, [callbacks.BackupAndRestore(tmp_path, save_freq=1),
                callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))])
    assert outcome(again) == outcome(whole)
    assert seen == [1, 2, 3, 4, *[0, 1, 2, 3, 4] * 2]  # batch 8 of the run was interrupted before its backup


class Counting(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = np.zeros(2)
        self.worst = -np.inf

    def get_state(self):
        return {"seen": self.seen, "worst": self.worst, "note": ["one", {"two": 2}]}

    def set_state(self, state):
        self.seen, self.worst = state["seen"], state["worst"]
        assert state["note"] == ["one", {"two": 2}]

    def on_train_batch_end(self, batch, logs=None):
        self.seen += [1, logs["loss"]]


class Remembering(callbacks.Callback):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def get_state(self):
        return {"what": self.what}

    def set_state(self, state):
        raise KeyError("mine")


def test_what_callbacks_cannot_remember(tmp_path):
    with pytest.raises(TypeError, match="what in the state of a callback is an array of int64"):
        fit(network(), [callbacks.BackupAndRestore(tmp_path), Remembering(np.arange(3))])
    with pytest.raises(TypeError, match="JSON"):
        fit(network(), [callbacks.BackupAndRestore(tmp_path), Remembering({1, 2})])
    fit(network(), [callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False), Remembering(1)])
    with pytest.raises(ValueError, match=r"Remembering cannot take back its state: KeyError\('mine'\)"):
        fit(network(), [callbacks.BackupAndRestore(tmp_path), Remembering(1)])


def test_the_memory_of_own_callbacks(tmp_path):
    counts = [Counting() for _ in range(3)]
    fit(network(), [counts[0]])
    with pytest.raises(Interrupted):
        fit(network(), [counts[1], callbacks.BackupAndRestore(tmp_path, save_freq=2), Interrupt(9)])
    fit(network(), [counts[2], callbacks.BackupAndRestore(tmp_path, save_freq=2)])
    assert counts[2].seen.tolist() == counts[0].seen.tolist()
    assert counts[2].worst == -np.inf


def test_weights_and_rates_that_callbacks_change_between_batches(tmp_path):
    class Meddle(callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = 0.01 / (1 + batch)

        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                self.model.set_weights([weight * 0.5 for weight in self.model.get_weights()])

    whole, cut, again = network(), network(), network()
    fit(whole, [Meddle()])
    with pytest.raises(Interrupted):
        fit(cut, [callbacks.BackupAndRestore(tmp_path, save_freq=1), Meddle(), Interrupt(4)])
    fit(again, [callbacks.BackupAndRestore(tmp_path, save_freq=1), Meddle()])
    assert outcome(again) == outcome(whole)


@pytest.mark.parametrize("regularizer", ["l2", "orthogonal", "l1_l2"])
@pytest.mark.parametrize("batches", [3, 5, 8])
def test_penalties_and_constraints_go_on(tmp_path, batches, regularizer):
    def penalized():
        model = fnn.Sequential([layers.Dense(40, "tanh", kernel_regularizer=regularizer, bias_regularizer="l1",
                                             kernel_constraint="max_norm"),
                                layers.Dense(3, "softmax", activity_regularizer="l2")], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    whole, cut, again = penalized(), penalized(), penalized()
    fit(whole, [])
    with pytest.raises(Interrupted):
        fit(cut, [callbacks.BackupAndRestore(tmp_path, save_freq=1), Interrupt(batches)])
    fit(again, [callbacks.BackupAndRestore(tmp_path, save_freq=1)])
    assert outcome(again) == outcome(whole)


@pytest.mark.parametrize("batches", [4, 8, 15])
def test_statistics_of_weights_go_on(tmp_path, batches):
    monitors = [fnn.weights.WeightMonitor(data()[0], data()[1], every=2) for _ in range(3)]
    fit(network(), [monitors[0]])
    with pytest.raises(Interrupted):
        fit(network(), [monitors[1], callbacks.BackupAndRestore(tmp_path, save_freq=3), Interrupt(batches)])
    fit(network(), [monitors[2], callbacks.BackupAndRestore(tmp_path, save_freq=3)])
    for what in ("epochs", "weights", "layers"):
        assert repr(getattr(monitors[2], what)) == repr(getattr(monitors[0], what))  # with NaN


@pytest.mark.parametrize("batches", [2, 7, 9, 12])
def test_a_run_that_prunes(tmp_path, batches):
    def calls(*interrupt):
        return [fnn.weights.PruningSchedule(0.7, end_step=13, frequency=3), *interrupt,
                callbacks.BackupAndRestore(tmp_path, save_freq=4)]

    whole, cut, again = network(), network(), network()
    fit(whole, calls())
    with pytest.raises(Interrupted):
        fit(cut, calls(Interrupt(batches)))
    fit(again, calls())
    assert outcome(again) == outcome(whole)
    for one, other in zip(whole.layers, again.layers, strict=True):
        assert all(np.array_equal(mask, other.masks[name]) for name, mask in one.masks.items())


def test_a_run_with_a_schedule_goes_on_with_its_rates(tmp_path):
    def compiled():
        return network(optimizers.SGD(fnn.schedules.CosineDecay(0.5, 17)))

    whole, cut, again = compiled(), compiled(), compiled()
    fit(whole, [callbacks.BackupAndRestore(tmp_path, save_freq=1)])
    with pytest.raises(Interrupted):
        fit(cut, [callbacks.BackupAndRestore(tmp_path, save_freq=1), Interrupt(8)])
    fit(again, [callbacks.BackupAndRestore(tmp_path, save_freq=1)])
    assert outcome(again)[:2] == outcome(whole)[:2]


def test_layers_with_state_noise_and_others_inside_go_on(tmp_path):
    def nested():
        inside = layers.Residual([layers.Dense(6, "relu"), layers.BatchNormalization(), layers.Dropout(0.5)])
        model = fnn.Sequential([layers.GaussianNoise(0.1), layers.Dense(6, "tanh"), inside, layers.Dense(3, "softmax")],
                               seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    whole, cut, again = nested(), nested(), nested()
    fit(whole, [])
    with pytest.raises(Interrupted):
        fit(cut, [callbacks.BackupAndRestore(tmp_path, save_freq=1), Interrupt(8)])
    fit(again, [callbacks.BackupAndRestore(tmp_path, save_freq=1)])
    assert outcome(again) == outcome(whole)


@pytest.mark.parametrize("batches", [4, 5, 9, 12])
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("options", [{"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 7},
                                     {"gradient_accumulation_steps": 3}], ids=str)
def test_averages_and_accumulators_go_on(tmp_path, batches, order, options):
    def optimizer():
        return optimizers.Adam(0.02, clipnorm=0.5, exclude_from_weight_decay=["bias"], weight_decay=0.01, **options)

    def calls(*interrupt):
        swap = [callbacks.SwapEMAWeights(swap_on_epoch=True)] if "use_ema" in options else []
        calls = [callbacks.Freezer("first", 1), *swap, callbacks.EarlyStopping(patience=9), *interrupt]
        return [*calls[:order], callbacks.BackupAndRestore(tmp_path, save_freq=2), *calls[order:]]

    whole, cut, again = network(optimizer()), network(optimizer()), network(optimizer())
    fit(whole, calls())
    with pytest.raises(Interrupted):
        fit(cut, calls(Interrupt(batches)))
    fit(again, calls())
    assert outcome(again)[:2] == outcome(whole)[:2]


@pytest.mark.parametrize("swap_on_epoch", [False, True])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_checkpoint_of_the_average_goes_on(tmp_path, order, swap_on_epoch):
    """The callbacks behind it keep the weights, in a run that goes on from it too."""
    path = tmp_path / "best.safetensors"

    def calls():
        calls = [callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
                 callbacks.SwapEMAWeights(swap_on_epoch)]
        keep = callbacks.ModelCheckpoint(path, save_best_only=True)
        return [*calls[:order], keep, *calls[order:]]

    whole, again = (network(optimizers.SGD(0.01, use_ema=True, ema_momentum=0.9)) for _ in range(2))
    losses = fit(whole, calls(), epochs=3).history
    assert np.argmin(losses["val_loss"]) == np.argmin(losses["loss"]) == 2
    fit(again, calls(), epochs=3, resume=path)
    assert outcome(again)[:2] == outcome(whole)[:2]


def test_losses_that_are_not_finite_are_remembered(tmp_path):
    x, y = data()

    def calls(*more):
        return [callbacks.EarlyStopping("val_loss", patience=5), callbacks.BackupAndRestore(tmp_path), *more]

    models = []
    for interrupt in ([], [Interrupt(epoch=1)], []):
        model = fnn.Sequential([layers.Dense(1)], seed=0)
        model.compile("sgd", "mse")
        models.append(model)
        huge = (np.full((2, 6), 1e30), np.zeros(2))  # its loss is infinite in float32
        if interrupt:
            with pytest.raises(Interrupted):
                model.fit(x, y, epochs=3, validation_data=huge, verbose=0, callbacks=calls(*interrupt))
        else:
            model.fit(x, y, epochs=3, validation_data=huge, verbose=0, callbacks=calls(*interrupt))
    assert outcome(models[2]) == outcome(models[0])


# ---- save in a callback, and fit(resume=...) ----


@pytest.mark.parametrize("where", [{"epoch": 1}, {"batches": 8}])
def test_a_file_that_a_callback_saved_can_be_taken_up(tmp_path, where):
    path = tmp_path / "model.safetensors"

    class Save(Interrupt):
        def on_train_batch_end(self, batch, logs=None):
            try:
                super().on_train_batch_end(batch, logs)
            except Interrupted:
                self.model.save(path)

        def on_epoch_end(self, epoch, logs=None):
            if epoch == self.epoch:
                self.model.save(path)

    stop = callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    whole, again = network(), network()
    fit(whole, [Save(**where), stop])
    assert path.exists()
    fit(again, [callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)], resume=path)
    assert outcome(again) == outcome(whole)
    fnn.load_model(path).predict(data()[0])
    fnn.load_model(path, compile=False).predict(data()[0])


def test_checkpoints_after_batches(tmp_path):
    whole, again = network(), network()
    def keep():
        return callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}.safetensors", save_freq=4)

    fit(whole, [keep()], epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-4.safetensors", "2-3.safetensors"]
    fit(again, [keep()], epochs=2, resume=tmp_path / "1-4.safetensors")
    assert outcome(again) == outcome(whole)


def test_files_without_a_run_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    saves = {"on_epoch_begin": lambda epoch, logs: model.save(path), "on_train_end": lambda logs: model.save(path),
             "on_epoch_end": lambda epoch, logs: model.save(path, include_optimizer=False)}
    for method, save in saves.items():
        model = network()
        fit(model, [callbacks.LambdaCallback(**{method: save})], epochs=1)
        with pytest.raises(fnn.ModelFormatError, match=r"holds no run of fit|has no optimizer's state"):
            fit(network(), [], resume=path)
    with pytest.raises(FileNotFoundError):
        fit(network(), [], resume=tmp_path / "none")


# ---- what does not fit together ----


@pytest.fixture
def backup(tmp_path):
    """The folder of a run that was interrupted in its second epoch."""
    folder = tmp_path / "backup"
    with pytest.raises(Interrupted):
        fit(network(), [callbacks.BackupAndRestore(folder, save_freq=2, double_checkpoint=True), Interrupt(9)])
    return folder


OTHERS = {
    "batch_size=12": (network, {"batch_size": 13}),
    "samples=56": (network, {"validation_split": 0.3}),
    "shuffle=True": (network, {"shuffle": False}),
    "another optimizer": (lambda: network("sgd"), {}),
    "another model": (lambda: network(dtype="float64"), {}),
}


@pytest.mark.parametrize("said", OTHERS)
def test_the_backup_of_another_training_is_refused(backup, said):
    make, options = OTHERS[said]
    model = make()
    model.build((6,))
    before = model.get_weights()
    with pytest.raises(fnn.ModelFormatError, match=said):
        fit(model, [callbacks.BackupAndRestore(backup)], **options)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert len(list(backup.iterdir())) == 2


def wider(units=8, names=("first", "last"), dropout=0.3, loss="sparse_categorical_crossentropy",
          metrics=("accuracy", "auc")):
    model = fnn.Sequential([layers.Dense(units, activation="tanh", name=names[0]), layers.Dropout(dropout),
                            layers.Dense(3, activation="softmax", name=names[1])], seed=3)
    model.compile("adam", loss, metrics=list(metrics))
    return model


@pytest.mark.parametrize(("make", "said"), [
    (lambda: wider(9), r"another model: layers\[0\].units is 8 in the file, 9 here\. Make the same"),
    (lambda: wider(9, ("a", "b"), 0.5), r"another model: layers\[0\].name is 'first' in the file, 'a' here; "
     r"layers\[0\].units is 8 in the file, 9 here; layers\[1\].rate is 0.3 in the file, 0.5 here; and 1 more\. Make"),
    (lambda: network("sgd"), "another optimizer: class_name is 'Adam' in the file, 'SGD' here. Make"),
    (lambda: network(optimizers.Adam(beta_1=0.8)), r"another optimizer: beta_1 is 0.9 in the file, 0.8 here\. Make"),
    (lambda: wider(loss=fnn.losses.SparseCategoricalCrossentropy(label_smoothing=0.1)),
     r"another loss: label_smoothing is 0.0 in the file, 0.1 here\. Make"),
    (lambda: wider(metrics=["accuracy"]), r"another metrics: metrics has 2 entries in the file, 1 here\. Make"),
    (lambda: wider(metrics=["accuracy", fnn.metrics.AUC(100)]),
     r"another metrics: metrics\[1\].num_thresholds is 200 in the file, 100 here"),
], ids=["units", "four", "optimizer", "beta_1", "loss", "one metric", "auc"])
def test_what_differs_is_named_with_its_path(backup, make, said):
    with pytest.raises(fnn.ModelFormatError, match=said):
        fit(make(), [callbacks.BackupAndRestore(backup)])


def frozen(*names):
    model = network()
    for layer in model.layers:
        layer.trainable = layer.name not in names
    return model


def test_layers_frozen_before_fit_are_compared(tmp_path):
    """What callbacks change during the run is no difference, and is put back."""
    def calls(*more):
        return [callbacks.Freezer("last", 1), callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False), *more]

    with pytest.raises(Interrupted):
        fit(network(), calls(Interrupt(14)))
    model = frozen("first")
    with pytest.raises(fnn.ModelFormatError, match=r"'first' began with trainable=True in the file, False here\."):
        fit(model, calls())
    assert [layer.trainable for layer in model.layers] == [False, True, True]
    loaded = fnn.load_model(tmp_path / "latest.safetensors")
    assert not loaded.layers[2].trainable
    with pytest.raises(Interrupted):
        fit(loaded, calls(Interrupt(6)))
    whole, again = network(), network()
    fit(again, calls())
    assert not again.layers[2].trainable
    fit(whole, calls()[:1])
    assert outcome(again)[1:] == outcome(whole)[1:]


def nested_frozen(inner=True):
    block = layers.Residual([layers.Dense(6, "tanh", name="a"), layers.Dense(6, name="b", trainable=inner)],
                            name="block", trainable=False)
    model = fnn.Sequential([block, layers.Dense(3, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def own_flags(model):
    return [layer._trainable for layer in model._family]


@pytest.mark.parametrize("batches", [2, 7, 12])
@pytest.mark.parametrize("inner", [True, False])
def test_flags_of_layers_in_a_frozen_container_go_on(tmp_path, batches, inner):
    """They count again as soon as the container is trained."""
    def calls(*more):
        return [callbacks.Unfreezer("block", 2), callbacks.BackupAndRestore(tmp_path, save_freq=1), *more]

    whole, again = nested_frozen(inner), nested_frozen(inner)
    fit(whole, calls())
    with pytest.raises(Interrupted):
        fit(nested_frozen(inner), calls(Interrupt(batches)))
    fit(again, calls())
    assert outcome(again) == outcome(whole)
    assert own_flags(again) == own_flags(whole) == [True, True, inner, True]


def test_files_that_hold_the_flags_in_force_are_taken_up(tmp_path, monkeypatch):
    """Instead of the layers' own."""
    def calls(*more):
        return [callbacks.BackupAndRestore(tmp_path, save_freq=1), *more]

    get_state = Run.get_state

    def older(run, stop, trainable):
        run.trainable_at_first = trainable = [layer.trainable for layer in run.calls.callbacks[0].model._family]
        return get_state(run, stop, trainable)

    whole, again = nested_frozen(), nested_frozen()
    fit(whole, calls())
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Run, "get_state", older)
        fit(nested_frozen(), calls(Interrupt(7)))
    fit(again, calls())
    assert outcome(again) == outcome(whole)


def test_differences_of_keys():
    from fastnn.descriptions import differences

    assert list(differences({"a": [1]}, {"b": 2, "a": [1]})) == ["b is 2 here only"]
    assert list(differences({"x" * 99: 1}, {})) == [f"{repr('x' * 99)[:77]}... is 1 in the file only"]
    assert list(differences(None, {"a": 1})) == ["it is None in the file, {'a': 1} here"]


def test_other_callbacks_are_refused(backup):
    with pytest.raises(fnn.ModelFormatError, match=r"callbacks \['BackupAndRestore', 'History'\], here they are"):
        fit(network(), [callbacks.BackupAndRestore(backup), callbacks.EarlyStopping()])


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "missing"])
def test_a_damaged_backup_gives_way_to_the_one_before(backup, damage):
    whole, again = network(), network()
    fit(whole, [])
    latest = backup / "latest.safetensors"
    content = bytearray(latest.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "missing":
        latest.unlink()
    else:
        latest.write_bytes({"truncated": content[:-9], "flipped": content, "empty": b""}[damage])
    fit(again, [callbacks.BackupAndRestore(backup, save_freq=2, double_checkpoint=True)])
    assert outcome(again) == outcome(whole)


def test_a_damaged_backup_without_another_is_an_error(backup):
    (backup / "previous.safetensors").unlink()
    (backup / "latest.safetensors").write_bytes(b"no")
    with pytest.raises(fnn.ModelFormatError, match="truncated"):
        fit(network(), [callbacks.BackupAndRestore(backup)])


def rewritten(path, change):
    """The file with another record, its checksum right."""
    from fastnn._safetensors import encode, read_header, read_tensors

    with open(path, "rb") as file:
        header = read_header(file)
        tensors = read_tensors(file, header)
    change(header.record["training"], tensors)
    path.write_bytes(encode(header.record, tensors))


CHANGES = {
    "no key": lambda training, tensors: training["run"].pop("told"),
    "a key more": lambda training, tensors: training["run"].update(more=1),
    "no object": lambda training, tensors: training.update(run=[1]),
    "negative": lambda training, tensors: training["run"].update(batch=-1),
    "no integer": lambda training, tensors: training["run"].update(epoch=1.5),
    "beyond the epoch": lambda training, tensors: training["run"].update(batch=6),
    "told too many": lambda training, tensors: training["run"].update(told=9),
    "no flag": lambda training, tensors: training["run"].update(stop=0),
    "order": lambda training, tensors: training["run"].update(order="x"),
    "logs": lambda training, tensors: training["run"].update(logs=["loss"]),
    "layers": lambda training, tensors: training["run"].update(trainable=[True]),
    "plan": lambda training, tensors: training["run"].update(plan={}),
    "callbacks": lambda training, tensors: training["run"].update(callbacks=[{}]),
    "a state of a callback": lambda training, tensors: training["run"]["callbacks"][0].update(state={"x": 1}),
    "a value of a callback": lambda training, tensors: training["run"]["callbacks"][0]["state"].update(
        batches_since="x"),
    "history": lambda training, tensors: tensors.pop("run.callbacks.1.values.0"),
    "epochs": lambda training, tensors: tensors.update({"run.callbacks.1.epoch": np.array([-1.0])}),
    "sums": lambda training, tensors: tensors.update({"run.sums": np.zeros(3)}),
    "no sums": lambda training, tensors: tensors.pop("run.sums"),
    "a tensor more": lambda training, tensors: tensors.update({"run.more": np.zeros(3)}),
    "state": lambda training, tensors: training.update(state=None),
    "weights": lambda training, tensors: tensors.update({"layers.first.bias": np.full(8, np.nan, np.float32)}),
    "seed": lambda training, tensors: training.update(shuffles=-1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_backups_that_are_not_what_was_written(backup, name):
    (backup / "previous.safetensors").unlink()
    rewritten(backup / "latest.safetensors", CHANGES[name])
    model = network()
    model.build((6,))
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError)):
        fit(model, [callbacks.BackupAndRestore(backup)])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert len(fit(model, [], epochs=1).epoch) == 1


@pytest.mark.parametrize(("arguments", "error"), [
    ({"backup_dir": ""}, ValueError), ({"backup_dir": 3}, TypeError), ({"save_freq": "batch"}, ValueError),
    ({"save_freq": 0}, ValueError), ({"save_freq": 1.5}, TypeError), ({"double_checkpoint": 1}, TypeError),
    ({"delete_checkpoint": "no"}, TypeError)], ids=str)
def test_bad_arguments(arguments, error):
    with pytest.raises(error):
        callbacks.BackupAndRestore(**{"backup_dir": "x", **arguments})


def test_lbfgs_is_refused_before_it_begins(tmp_path):
    model = fnn.Sequential([layers.Dense(1)], seed=0)
    model.compile(optimizers.LBFGS(), "mse")
    with pytest.raises(ValueError, match="BackupAndRestore cannot go on with LBFGS"):
        model.fit(*data(), verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path)])


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    fit(network(), [callbacks.BackupAndRestore(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_long_history_does_not_make_the_header_long(tmp_path):
    path = tmp_path / "model.safetensors"
    model = network()

    def save(epoch, logs):
        model.history.epoch = list(range(200_000))
        model.history.history = {"loss": [1 / 3] * 200_000}
        model.save(path)

    fit(model, [callbacks.LambdaCallback(on_epoch_end=save)], epochs=1)
    with open(path, "rb") as file:
        assert int.from_bytes(file.read(8), "little") < 10_000
    assert len(fit(network(), [], epochs=1, resume=path).epoch) == 200_001


# ---- kills ----


def test_ten_kills():
    """`tests/kills.py 200` makes more of them, each run in a process of its own."""
    run = subprocess.run([sys.executable, str(Path(__file__).with_name("kills.py")), "10", "--fork"],
                         capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stdout + run.stderr
