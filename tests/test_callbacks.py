"""Callbacks: what each decides, what it says, what it refuses."""

import itertools
import math
import warnings

import numpy as np
import pytest

import fastnn as fnn
from fastnn import callbacks, layers, metrics, optimizers


def classes(n=60, n_in=5, outputs=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_in)), rng.integers(0, outputs, n)


def classifier(optimizer="adam", seed=1, watched=("accuracy",)):
    model = fnn.Sequential([layers.Dense(9, activation="tanh", name="first"),
                            layers.Dense(4, activation="softmax", name="last")], seed=seed, dtype="float64")
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(watched))
    return model


class Curve(callbacks.Callback):
    """Puts made-up values in the logs, and keeps the weights of every epoch and what others left in the logs."""

    def __init__(self, **curves):
        super().__init__()
        self.curves, self.weights = curves, []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())
        for name, values in self.curves.items():
            logs[name] = values[epoch]


def run(callback, epochs=None, watched=("accuracy",), optimizer="adam", **curves):
    """Train with made-up values; the model, its history and the weights of all epochs."""
    x, y = classes()
    model, curve = classifier(optimizer, watched=watched), Curve(**curves)
    epochs = epochs or len(next(iter(curves.values())))
    history = model.fit(x, y, epochs=epochs, verbose=0, callbacks=[curve, callback])
    return model, history, curve.weights


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# ---- what they share ----


WATCHING = [callbacks.EarlyStopping, callbacks.ReduceLROnPlateau,
            lambda **kw: callbacks.ModelCheckpoint("m.safetensors", save_best_only=True, **kw)]


@pytest.mark.parametrize("make", WATCHING)
@pytest.mark.parametrize(("monitor", "said"), [
    ("val_loss", "Give fit validation_data or validation_split"),
    ("acuracy", "Did you mean 'accuracy'"),
    ("zzz", "Available: .*loss"),
])
def test_a_missing_monitor_is_told_once(make, monitor, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = classes()
    with pytest.warns(UserWarning, match=said) as caught:
        history = classifier().fit(x, y, epochs=3, verbose=0, callbacks=[make(monitor=monitor)])
    assert len(caught) == 1
    assert len(history.epoch) == 3


@pytest.mark.parametrize("make", WATCHING)
@pytest.mark.parametrize("mode", ["minimum", None, "MIN"])
def test_unknown_modes_are_refused(make, mode):
    with pytest.raises(ValueError, match=r"mode must be 'auto', 'min' or 'max'; received"):
        make(mode=mode)


@pytest.mark.parametrize("make", WATCHING)
def test_a_number_of_unknown_direction_needs_a_mode(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="whether 'mine' should rise or fall is not known"):
        run(make(monitor="mine"), mine=[1.0, 2.0])
    run(make(monitor="mine", mode="max"), mine=[1.0, 2.0])


@pytest.mark.parametrize(("metric", "direction"), [("accuracy", "max"), ("auc", "max"), ("f1_score", "max"),
                                                   ("loss", "min")])
def test_directions_follow_from_the_metrics(metric, direction):
    stop = callbacks.EarlyStopping(metric)
    values = [1.0, 2.0, 3.0, 0.5]
    run(stop, epochs=2, watched=("accuracy", "auc", "f1_score"), **{metric: values})
    assert stop.best == (2.0 if direction == "max" else 1.0)


def test_errors_should_fall():
    assert {cls.default_name: cls.direction for cls in (metrics.MeanSquaredError, metrics.MeanAbsoluteError,
                                                        metrics.RootMeanSquaredError, metrics.R2Score)} == {
        "mean_squared_error": "min", "mean_absolute_error": "min", "root_mean_squared_error": "min",
        "r2_score": "max"}


BAD = [
    (callbacks.EarlyStopping, {"monitor": 3}, TypeError, "monitor must be the name"),
    (callbacks.EarlyStopping, {"monitor": ""}, TypeError, "monitor must be the name"),
    (callbacks.EarlyStopping, {"patience": -1}, ValueError, "patience must be in"),
    (callbacks.EarlyStopping, {"patience": 1.5}, TypeError, "patience must be an integer"),
    (callbacks.EarlyStopping, {"min_delta": -0.1}, ValueError, "min_delta must be in"),
    (callbacks.EarlyStopping, {"baseline": "low"}, TypeError, "baseline must be a number"),
    (callbacks.EarlyStopping, {"baseline": math.nan}, ValueError, "baseline must be in"),
    (callbacks.EarlyStopping, {"restore_best_weights": 1}, TypeError, "restore_best_weights must be True or False"),
    (callbacks.EarlyStopping, {"start_from_epoch": -1}, ValueError, "start_from_epoch must be in"),
    (callbacks.EarlyStopping, {"verbose": 3}, ValueError, "verbose must be 0, 1 or 2; received 3"),
    (callbacks.ReduceLROnPlateau, {"factor": 1.0}, ValueError, "factor must be in"),
    (callbacks.ReduceLROnPlateau, {"cooldown": -1}, ValueError, "cooldown must be in"),
    (callbacks.ReduceLROnPlateau, {"min_lr": -1}, ValueError, "min_lr must be in"),
    (callbacks.LearningRateScheduler, {"schedule": 0.1}, TypeError, "schedule must be a function"),
    (callbacks.ModelCheckpoint, {"filepath": ""}, ValueError, "filepath must be a path"),
    (callbacks.ModelCheckpoint, {"filepath": 3}, TypeError, "filepath must be a path, .*; received 3"),
    (callbacks.ModelCheckpoint, {"filepath": b"x"}, TypeError, "filepath must be a path, .*; received b'x'"),
    (callbacks.ModelCheckpoint, {"filepath": "a/{"}, ValueError, "filepath 'a/{' cannot be filled in: "),
    (callbacks.ModelCheckpoint, {"filepath": "a/{}"}, ValueError, r"has the field \{\}; fields have names"),
    (callbacks.ModelCheckpoint, {"filepath": "a/{0}"}, ValueError, r"has the field \{0\}; fields have names"),
    (callbacks.BackupAndRestore, {"backup_dir": None}, TypeError, "backup_dir must be a path, .*; received None"),
    (callbacks.BackupAndRestore, {"backup_dir": ""}, ValueError, "backup_dir must be a path that is not empty"),
    (callbacks.CSVLogger, {"filename": 1}, TypeError, "filename must be a path, .*; received 1"),
    (callbacks.ModelCheckpoint, {"filepath": "x", "save_best_only": 1}, TypeError, "save_best_only must be"),
    (callbacks.ModelCheckpoint, {"filepath": "x", "initial_value_threshold": "a"}, TypeError, "must be a number"),
    (callbacks.CSVLogger, {"filename": "x", "separator": ", "}, ValueError, "separator must be one character"),
    (callbacks.CSVLogger, {"filename": "x", "append": "yes"}, TypeError, "append must be True or False"),
    (callbacks.TerminateOnNaN, {"raise_error": 0}, TypeError, "raise_error must be True or False"),
    (callbacks.Freezer, {"layers": []}, TypeError, "layers must be names or indices"),
    (callbacks.Freezer, {"layers": [1.0]}, TypeError, "layers must be names or indices"),
    (callbacks.Freezer, {"layers": 0, "epoch": -1}, ValueError, "epoch must be in"),
    (callbacks.LambdaCallback, {"on_epoch_ends": print}, TypeError, "Did you mean 'on_epoch_end'"),
    (callbacks.LambdaCallback, {"on_epoch_end": 3}, TypeError, "on_epoch_end must be a function"),
]


@pytest.mark.parametrize(("name", "options"), [
    ("{nope}", {}), ("{learning_rate}", {}), ("{val_loss}", {}), ("{loss:d}", {}), ("{batch}", {}),
    ("{val_loss}", {"save_freq": 1}),
])
def test_fields_that_the_logs_lack_are_refused_before_training(tmp_path, name, options):
    model = classifier()
    model.build((5,))
    before = model.get_weights()
    split = {"validation_split": 0.5} if options else {}
    with pytest.raises(ValueError, match=r"cannot be filled in: .*its fields may be epoch, .*loss, accuracy"):
        model.fit(*classes(), verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / name, **options)], **split)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fields_that_the_logs_have(tmp_path):
    x, y = classes()
    keep = [callbacks.ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.2f}-{learning_rate}-{accuracy.real}", "loss"),
            callbacks.ModelCheckpoint(tmp_path / "batch{batch}{{}}", save_freq=1)]
    plateau = callbacks.ReduceLROnPlateau("loss")
    model = classifier()
    model.fit(x, y, verbose=0, validation_split=0.5, callbacks=[plateau, *keep])
    assert (tmp_path / "batch1{}").exists()
    assert [path.name[:2] for path in tmp_path.iterdir() if "0.001" in path.name] == ["01"]
    own = callbacks.ModelCheckpoint(tmp_path / "{mine}")
    model.fit(x, y, verbose=0, callbacks=[Curve(mine=[7.0]), own])
    assert (tmp_path / "7.0").exists()


@pytest.mark.parametrize(("cls", "arguments", "error", "said"), BAD)
def test_bad_arguments_are_refused(cls, arguments, error, said):
    with pytest.raises(error, match=said):
        cls(**arguments)


@pytest.mark.parametrize("given", ["early", [callbacks.EarlyStopping], callbacks.History(), {}])
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_callbacks_must_be_a_list_of_callbacks(method, given):
    x, y = classes()
    model = classifier()
    with pytest.raises(TypeError, match="callbacks must be a list"):
        getattr(model, method)(*(x, y)[:1 if method == "predict" else 2], callbacks=given)


# ---- EarlyStopping ----


def test_restore_best_weights(capsys):
    stop = callbacks.EarlyStopping("mine", patience=2, mode="min", restore_best_weights=True, verbose=1)
    model, history, weights = run(stop, mine=[3.0, 1.0, 2.0, 1.0, 0.0])
    assert len(history.epoch) == 4
    assert same(model.get_weights(), weights[1])
    assert capsys.readouterr().out == ("Epoch 4: early stopping\n"
                                       "Restoring model weights from the end of the best epoch: 2.\n")


def test_the_best_weights_are_restored_without_an_early_stop():
    stop = callbacks.EarlyStopping("mine", patience=9, mode="min", restore_best_weights=True)
    model, _, weights = run(stop, mine=[3.0, 1.0, 2.0])
    assert same(model.get_weights(), weights[1])
    assert stop.stopped_epoch == 0


def test_without_restoring_the_last_weights_stay():
    model, history, weights = run(callbacks.EarlyStopping("mine", mode="min"), mine=[1.0, 2.0, 3.0])
    assert history.epoch == [0, 1]
    assert same(model.get_weights(), weights[-1])


def test_early_stopping_may_be_used_again():
    stop = callbacks.EarlyStopping("mine", mode="min", patience=2)
    for _ in range(2):
        assert len(run(stop, mine=[1.0, 2.0, 3.0, 0.0])[1].epoch) == 3


# ---- ModelCheckpoint ----


def test_checkpoints_of_every_epoch(tmp_path, capsys):
    path = tmp_path / "deep" / "er" / "{epoch:02d}-{mine:.1f}.safetensors"
    _, _, weights = run(callbacks.ModelCheckpoint(path, verbose=1), mine=[3.0, 1.5])
    first, second = sorted((tmp_path / "deep" / "er").iterdir())
    assert [first.name, second.name] == ["01-3.0.safetensors", "02-1.5.safetensors"]
    assert same(fnn.load_model(first).get_weights(), weights[0])
    assert capsys.readouterr().out.splitlines() == [f"Epoch {i + 1}: saving model to {file}"
                                                    for i, file in enumerate((first, second))]


def test_checkpoint_of_the_best_epoch(tmp_path, capsys):
    path = tmp_path / "best.safetensors"
    keep = callbacks.ModelCheckpoint(path, "mine", mode="min", save_best_only=True, verbose=1)
    _, _, weights = run(keep, mine=[3.0, 1.5, 2.0])
    assert same(fnn.load_model(path).get_weights(), weights[1])
    assert keep.best == 1.5
    assert capsys.readouterr().out.splitlines() == [
        f"Epoch 1: mine improved from None to 3.00000, saving model to {path}",
        f"Epoch 2: mine improved from 3.00000 to 1.50000, saving model to {path}",
        "Epoch 3: mine did not improve from 1.50000"]


def test_the_threshold_of_a_checkpoint(tmp_path):
    path = tmp_path / "best.safetensors"
    run(callbacks.ModelCheckpoint(path, "mine", mode="max", save_best_only=True, initial_value_threshold=5.0),
        mine=[3.0, 4.0])
    assert not path.exists()


def test_checkpoints_make_all_folders_that_are_missing(tmp_path):
    run(callbacks.ModelCheckpoint(tmp_path / "a" / "b" / "{epoch}" / "m.st"), epochs=2)
    assert sorted(path.parent.name for path in tmp_path.glob("a/b/*/m.st")) == ["1", "2"]


def test_checkpoints_of_weights_alone(tmp_path):
    path = tmp_path / "weights.safetensors"
    x, y = classes()
    model = classifier()
    model.fit(x, y, verbose=0, callbacks=[callbacks.ModelCheckpoint(path, save_weights_only=True)])
    assert fnn.load_model(path)._state is None
    assert same(fnn.load_model(path).get_weights(), model.get_weights())


def test_fields_that_the_logs_lack(tmp_path):
    with pytest.raises(ValueError, match="its fields may be epoch, loss, accuracy"):
        run(callbacks.ModelCheckpoint(tmp_path / "{val_loss}"), mine=[1.0])


# ---- learning rates ----


def test_learning_rates_of_a_function(capsys):
    rate = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5, verbose=1)
    model, history, _ = run(rate, optimizer=optimizers.SGD(0.8), mine=[0.0] * 3)
    assert history.history["learning_rate"] == [0.4, 0.2, 0.1]
    assert model.optimizer.learning_rate == 0.1
    assert capsys.readouterr().out.splitlines()[1] == "Epoch 2: LearningRateScheduler setting learning rate to 0.2."


def test_learning_rates_of_a_function_of_the_epoch_alone():
    _, history, _ = run(callbacks.LearningRateScheduler(lambda epoch: 1 / (epoch + 1)), mine=[0.0] * 3)
    assert history.history["learning_rate"] == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize(("returned", "error"), [("fast", TypeError), (None, TypeError), (-1.0, ValueError),
                                                 (math.nan, ValueError)])
def test_what_is_no_learning_rate(returned, error):
    with pytest.raises(error, match="the learning rate that schedule returns for epoch 0 must be"):
        run(callbacks.LearningRateScheduler(lambda epoch, rate: returned), mine=[0.0])


def test_an_error_inside_a_schedule_comes_through():
    def schedule(epoch, rate):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        run(callbacks.LearningRateScheduler(schedule), mine=[0.0])


def test_plateau(capsys):
    calm = callbacks.ReduceLROnPlateau("mine", factor=0.5, patience=2, mode="min", cooldown=1, min_lr=0.15, verbose=1)
    _, history, _ = run(calm, optimizer=optimizers.SGD(0.4), mine=[1.0] * 9)
    assert history.history["learning_rate"] == [0.4] * 3 + [0.2] * 2 + [0.15] * 4
    assert capsys.readouterr().out.splitlines() == [
        f"Epoch {epoch}: ReduceLROnPlateau reducing learning rate to {rate}." for epoch, rate in ((3, 0.2), (5, 0.15))]


def test_the_table_shows_small_rates(capsys):
    x, y = classes()
    rates = callbacks.LearningRateScheduler(lambda epoch: 10.0 ** -epoch * 2e-3)
    classifier().fit(x, y, epochs=2, verbose=2, callbacks=[rates])
    head, first, second = capsys.readouterr().out.splitlines()
    assert "learning_rate" in head
    assert "0.0020" in first
    assert "2.00e-04" in second
    assert len(head) == len(first) == len(second)


# ---- CSVLogger ----


def test_csv_log(tmp_path):
    path = tmp_path / "log.csv"
    x, y = classes()
    log = callbacks.CSVLogger(path, separator=";")
    history = classifier().fit(x, y, validation_split=0.5, epochs=2, verbose=0, callbacks=[log])
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch;accuracy;loss;val_accuracy;val_loss"
    assert [float(value) for value in lines[2].split(";")] == [
        1, *(history.history[name][1] for name in ("accuracy", "loss", "val_accuracy", "val_loss"))]


def test_csv_log_that_is_continued(tmp_path):
    path = tmp_path / "log.csv"
    x, y = classes()
    for append in (False, True, True):
        classifier().fit(x, y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path, append=append)])
    lines = path.read_text().splitlines()
    assert len(lines) == 7
    assert lines[0] == "epoch,accuracy,loss,val_accuracy,val_loss"
    assert lines[1].endswith(",NA,NA")
    classifier().fit(x, y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path)])
    assert len(path.read_text().splitlines()) == 3


def test_a_csv_log_that_cannot_be_written(tmp_path):
    x, y = classes()
    model = classifier()
    with pytest.raises(FileNotFoundError):
        model.fit(x, y, verbose=0, callbacks=[callbacks.CSVLogger(tmp_path / "none" / "log.csv")])
    assert model.history.epoch == []


# ---- TerminateOnNaN ----


def diverging():
    x = np.arange(8.0)[:, None]
    model = fnn.Sequential([layers.Dense(1)], seed=0)
    model.compile(optimizers.SGD(1e3), "mse", metrics=["mae"])
    return model, x


def test_terminate_on_nan_ends_quietly(capsys):
    model, x = diverging()
    twin, _ = diverging()
    seen = []
    tell = callbacks.LambdaCallback(on_train_end=lambda logs: seen.append(logs))
    history = model.fit(x, x, epochs=99, batch_size=2, validation_data=(x, x), verbose=0,
                        callbacks=[callbacks.TerminateOnNaN(), tell])
    with pytest.raises(fnn.DivergenceError) as caught:
        twin.fit(x, x, epochs=99, batch_size=2, validation_data=(x, x), verbose=0)
    assert same(model.get_weights(), twin.get_weights())
    assert capsys.readouterr().out == (f"Epoch {caught.value.epoch}, batch {caught.value.batch}: invalid loss, "
                                       "terminating training\n")
    assert len(history.epoch) == caught.value.epoch
    assert list(history.history) == ["loss", "mae", "val_loss", "val_mae"]
    assert all(math.isnan(values[-1]) and not math.isnan(values[0]) for values in history.history.values())
    assert len(seen) == 1


def test_terminate_on_nan_that_raises():
    model, x = diverging()
    with pytest.raises(fnn.DivergenceError):
        model.fit(x, x, epochs=99, verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True)])


# ---- Freezer and Unfreezer ----


def test_freezer_and_unfreezer():
    x, y = classes()
    model, curve = classifier(), Curve()
    model.fit(x, y, epochs=5, verbose=0, callbacks=[curve, callbacks.Freezer("first", epoch=1),
                                                    callbacks.Unfreezer(["first", -1], epoch=3)])
    kernels = [weights[0] for weights in curve.weights]
    moved = [not np.array_equal(a, b) for a, b in itertools.pairwise(kernels)]
    assert moved == [False, False, True, True]


def test_the_optimizer_keeps_what_it_knew_of_frozen_layers():
    """Frozen after the first epoch and released before the third is as if the second had not been for that layer."""
    x, y = classes()
    model, curve = classifier(optimizers.SGD(0.1, momentum=0.9)), Curve()
    model.fit(x, y, epochs=3, batch_size=60, verbose=0,
              callbacks=[curve, callbacks.Freezer(0, 1), callbacks.Unfreezer(0, 2)])
    model.layers[0].trainable = True
    (w0, *_), (w1, *_), (w2, *_) = curve.weights
    assert np.array_equal(w0, w1)
    twin = classifier(optimizers.SGD(0.1, momentum=0.9))
    twin.build((5,))
    first = twin.get_weights()[0]
    twin.set_weights(curve.weights[1])
    gradient = twin.gradients(x, y)[0]
    velocity = w0 - first
    np.testing.assert_allclose(w2, w1 + 0.9 * velocity - 0.1 * gradient, rtol=1e-12)


@pytest.mark.parametrize(("key", "said"), [("frist", "Did you mean 'first'"), ("zzz", "Its layers: first, last"),
                                           (2, "the model has 2 layers; received index 2"), (-3, "received index -3")])
def test_layers_that_the_model_has_not(key, said):
    x, y = classes()
    with pytest.raises(ValueError, match=said):
        classifier().fit(x, y, verbose=0, callbacks=[callbacks.Freezer(key, 3)])


# ---- LambdaCallback, evaluate and predict ----


class Calls(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.calls = []


for _name in [name for name in vars(callbacks.Callback) if name.startswith("on_")]:
    setattr(Calls, _name, lambda self, *args, _name=_name: self.calls.append(_name))


def test_validation_is_a_test():
    x, y = classes()
    told = Calls()
    classifier().fit(x, y, validation_split=0.5, verbose=0, callbacks=[told])
    assert told.calls == ["on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end",
                          "on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end", "on_epoch_end",
                          "on_train_end"]


def test_functions_are_called_like_methods():
    x, y = classes()
    told, calls = Calls(), []
    functions = {name: lambda *args, name=name: calls.append(name) for name in vars(callbacks.Callback)
                 if name.startswith("on_")}
    classifier().fit(x, y, validation_split=0.5, verbose=0, callbacks=[told, callbacks.LambdaCallback(**functions)])
    assert calls == told.calls


def test_evaluate_and_predict_call_callbacks():
    x, y = classes()
    model, told, ends = classifier(), Calls(), []
    tell = callbacks.LambdaCallback(on_test_end=ends.append)
    tell.close = lambda: ends.append("closed")
    plain = model.evaluate(x, y, return_dict=True)
    assert model.evaluate(x, y, callbacks=[told, tell], return_dict=True) == plain
    assert ends == [plain, "closed"]
    assert np.array_equal(model.predict(x, callbacks=[told]), model.predict(x))
    assert told.calls == ["on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end",
                          "on_predict_begin", *["on_predict_batch_begin", "on_predict_batch_end"] * 2,
                          "on_predict_end"]
    assert told.model is model


def test_no_callback_warns_where_all_is_well():
    x, y = classes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier().fit(x, y, validation_split=0.2, verbose=0, callbacks=[
            callbacks.EarlyStopping(), callbacks.ReduceLROnPlateau("val_accuracy"), callbacks.TerminateOnNaN()])


# ---- batches ----


class Batches(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.begun, self.logs = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append((batch, logs))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_batches_are_told_with_the_means_so_far(n_threads):
    x, y = classes(n=50)
    model, twin, told = classifier(), classifier(), Batches()
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=[told], n_threads=n_threads)
    plain = classifier()
    assert plain.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0).history == history.history
    assert same(plain.get_weights(), model.get_weights())
    assert told.begun == [batch for batch, _ in told.logs] == [0, 1, 2, 3] * 2
    sums = np.zeros(2)
    for i, start in enumerate(range(0, 50, 16)):
        rows = slice(start, min(start + 16, 50))
        sums += np.array(twin.train_on_batch(x[rows], y[rows])) * len(x[rows])
        np.testing.assert_allclose(list(told.logs[i][1].values()), sums / rows.stop, rtol=1e-12)
    assert told.logs[3][1] == {name: values[0] for name, values in history.history.items()}


def test_the_old_names_of_batch_methods():
    calls = []

    class Old(callbacks.Callback):
        def on_batch_begin(self, batch, logs=None):
            calls.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            calls.append(("end", batch, list(logs)))

    x, y = classes()
    classifier().fit(x, y, batch_size=30, verbose=0, callbacks=[Old()])
    assert calls == [("begin", 0), ("end", 0, ["loss", "accuracy"]), ("begin", 1), ("end", 1, ["loss", "accuracy"])]


def test_only_those_who_ask_are_told_of_batches(tmp_path):
    x, y = classes()
    model = classifier()
    for callback in (callbacks.Callback(), callbacks.BackupAndRestore(tmp_path), callbacks.LambdaCallback(),
                     callbacks.ModelCheckpoint(tmp_path / "m"), callbacks.EarlyStopping(), callbacks.ProgressBar()):
        calls = callbacks.CallbackList([callback], model, {})
        assert not any(calls.asks(name) for name in vars(callbacks.Callback) if "_batch_" in name and "train" in name)
    assert callbacks.CallbackList([callbacks.ModelCheckpoint("m", save_freq=3)], model, {}).asks("on_train_batch_end")
    model.fit(x, y, verbose=0)


def test_training_can_be_ended_between_batches():
    class Stop(Batches):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            self.model.stop_training = batch == 1

    x, y = classes()
    model, twin, stop = classifier(), classifier(), Stop()
    history = model.fit(x, y, batch_size=10, epochs=3, shuffle=False, validation_data=(x, y), verbose=0,
                        callbacks=[stop])
    for start in (0, 10):
        twin.train_on_batch(x[start:start + 10], y[start:start + 10])
    assert same(model.get_weights(), twin.get_weights())
    assert history.epoch == [0]
    assert history.history["loss"] == [stop.logs[-1][1]["loss"]]
    assert history.history["val_loss"] == [model.evaluate(x, y)[0]]
    assert stop.begun == [0, 1]


def test_a_learning_rate_set_between_batches_counts_at_once():
    rates = [0.5, 0.25, 0.125, 0.0625]

    class Rates(callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = rates[batch]

    x, y = classes(n=40)
    model, twin = classifier(optimizers.SGD(9.0)), classifier(optimizers.SGD(9.0))
    model.fit(x, y, batch_size=10, shuffle=False, verbose=0, callbacks=[Rates()])
    for i, rate in enumerate(rates):
        twin.optimizer.learning_rate = rate
        twin.train_on_batch(x[10 * i:10 * i + 10], y[10 * i:10 * i + 10])
    assert same(model.get_weights(), twin.get_weights())


@pytest.mark.parametrize("n_threads", [1, 2])
def test_between_batches_a_callback_may_predict_evaluate_save_and_set_weights(tmp_path, n_threads):
    x, y = classes(n=2000)
    seen = []

    class Look(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.predict(x)
            seen.append(self.model.evaluate(x, y, n_threads=2)[0])
            self.model.save(tmp_path / "m.safetensors")
            if batch == 2:
                self.model.set_weights(fnn.load_model(tmp_path / "m.safetensors").get_weights())

    model, twin = classifier(), classifier()
    model.fit(x, y, batch_size=500, shuffle=False, verbose=0, callbacks=[Look()], n_threads=n_threads)
    expected = []
    for start in range(0, 2000, 500):
        twin.train_on_batch(x[start:start + 500], y[start:start + 500])
        expected.append(twin.evaluate(x, y)[0])
    assert seen == expected
    assert same(model.get_weights(), twin.get_weights())
    assert fnn.load_model(tmp_path / "m.safetensors")._state.step == 4


@pytest.mark.parametrize("where", ["on_train_batch_begin", "on_train_batch_end", "on_test_batch_end"])
def test_an_error_between_batches_comes_through(where):
    def fail(batch, logs):
        raise OSError("disk full")

    x, y = classes()
    model = classifier()
    with pytest.raises(OSError, match="disk full"):
        model.fit(x, y, batch_size=8, validation_split=0.5, verbose=0, n_threads=2,
                  callbacks=[callbacks.LambdaCallback(**{where: fail})])
    assert model.fit(x, y, verbose=0).epoch == [0]


def test_batches_of_evaluate_change_no_bit():
    x, y = classes(n=3000)
    model, calls = classifier(watched=("accuracy", "auc", "f1_score")), []
    plain = model.evaluate(x, y, sample_weight=np.arange(3000.0), return_dict=True)
    tell = callbacks.LambdaCallback(on_test_batch_begin=lambda batch, logs: calls.append(batch),
                                    on_test_batch_end=lambda batch, logs: calls.append(logs))
    assert model.evaluate(x, y, sample_weight=np.arange(3000.0), return_dict=True, callbacks=[tell]) == plain
    assert calls[::2] == [0, 1, 2]
    assert calls[5] == plain
    assert calls[1] == model.evaluate(x[:1024], y[:1024], sample_weight=np.arange(1024.0), return_dict=True)


@pytest.mark.parametrize("batch_size", [None, 7, 1000])
def test_batches_of_predict(batch_size):
    x, _ = classes(n=50)
    model, parts = classifier(), []
    tell = callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: parts.append(logs["outputs"]))
    out = model.predict(x, batch_size=batch_size, callbacks=[tell])
    assert np.array_equal(out, model.predict(x))
    assert np.array_equal(np.concatenate(parts), out)
    assert len(parts) == -(-50 // (batch_size or 32))
    with pytest.raises(ValueError, match="batch_size must be in"):
        model.predict(x, batch_size=-1, callbacks=[tell])


# ---- SwapEMAWeights ----


def averaging(**options):
    return classifier(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.8, **options))


def averages(model):
    """By hand: the weights and their average after every epoch of one batch."""
    x, y = classes()
    twin = classifier(optimizers.SGD(0.5))
    average, found = None, []
    for _ in range(3):
        twin.train_on_batch(x, y)
        average = [0.8 * old + 0.2 * new for old, new in zip(average or twin.get_weights(), twin.get_weights(),
                                                             strict=True)]
        found.append((twin.get_weights(), average, twin.evaluate(x, y)[0]))
    return found


def close(a, b):
    return all(np.allclose(x, y, rtol=1e-12, atol=1e-15) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_swapped_weights_are_the_average(swap_on_epoch):
    x, y = classes()
    model, before, behind, begun = averaging(), Curve(), Curve(), []
    begin = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(model.get_weights()))
    history = model.fit(x, y, batch_size=60, epochs=3, validation_data=(x, y), verbose=0,
                        callbacks=[before, callbacks.SwapEMAWeights(swap_on_epoch), behind, begin])
    expected = averages(model)
    twin = classifier()
    twin.build((5,))
    for epoch, (weights, average, _) in enumerate(expected):
        assert close(before.weights[epoch], weights)
        assert close(behind.weights[epoch], average if swap_on_epoch else weights)
        if epoch < 2:
            assert close(begun[epoch + 1], weights)
        twin.set_weights(average)
        assert history.history["val_loss"][epoch] == pytest.approx(twin.evaluate(x, y)[0], rel=1e-12)
    assert close(model.get_weights(), expected[2][1])


@pytest.mark.parametrize("swap", [None, False, True], ids=str)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("monitor", ["loss", "val_loss", "val_mine"])
def test_the_best_weights_are_those_that_were_judged(tmp_path, monitor, swap, first):
    """The second of three epochs is the best one."""
    x, y = classes()
    model, mode, seen = averaging(), "min", Curve()
    keep = callbacks.ModelCheckpoint(tmp_path / "best.safetensors", monitor, save_best_only=True, mode=mode)
    stop = callbacks.EarlyStopping(monitor, mode=mode, patience=9, restore_best_weights=True)
    swaps = [] if swap is None else [callbacks.SwapEMAWeights(swap)]
    calls = [*swaps, stop, keep] if first else [stop, keep, *swaps]
    model.fit(x, y, batch_size=60, epochs=3, validation_data=(x, y), verbose=0,
              callbacks=[Curve(**{monitor: [3, 1, 2]}), *calls, seen])
    average = swap is not None and (monitor == "val_loss" or (swap and first))
    expected = averages(model)
    assert close(model.get_weights(), expected[1][1 if average else 0])
    assert close(fnn.load_model(tmp_path / "best.safetensors").get_weights(), model.get_weights())
    for weights, after in zip(seen.weights, expected, strict=True):
        assert close(weights, after[1 if swap else 0])


def test_training_ends_with_the_average_however_it_ends():
    x, y = classes()
    model = averaging()
    stop = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1))
    model.fit(x, y, batch_size=60, epochs=9, verbose=0, callbacks=[callbacks.SwapEMAWeights(True), stop])
    assert close(model.get_weights(), averages(model)[1][1])


def test_layers_frozen_while_weights_are_swapped():
    x, y = classes()
    model, twin = averaging(), averaging()
    model.fit(x, y, batch_size=60, epochs=3, verbose=0,
              callbacks=[callbacks.Freezer("first", 1), callbacks.SwapEMAWeights(swap_on_epoch=True)])
    twin.fit(x, y, batch_size=60, epochs=3, verbose=0, callbacks=[callbacks.Freezer("first", 1)])
    assert same(model.get_weights(), twin.get_weights())


def test_evaluate_and_predict_with_the_average():
    x, y = classes()
    model, swap = averaging(), callbacks.SwapEMAWeights()
    model.train_on_batch(x, y)
    model.train_on_batch(x, y)
    weights, (_, average, _) = model.get_weights(), averages(model)[1]
    twin = classifier()
    twin.build((5,))
    twin.set_weights(average)
    assert model.evaluate(x, y, callbacks=[swap])[0] == pytest.approx(twin.evaluate(x, y)[0], rel=1e-12)
    np.testing.assert_allclose(model.predict(x, callbacks=[swap]), twin.predict(x), rtol=1e-12)
    assert same(model.get_weights(), weights)


def test_averages_that_the_optimizer_does_not_keep():
    x, y = classes()
    with pytest.raises(ValueError, match="give it use_ema=True"):
        classifier().fit(x, y, verbose=0, callbacks=[callbacks.SwapEMAWeights()])
    with pytest.raises(TypeError, match="swap_on_epoch must be"):
        callbacks.SwapEMAWeights(1)


def test_what_a_callback_may_not_do_says_so():
    model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.zeros((8, 3)), np.zeros(8)
    calls = {"fit": lambda: model.fit(x, y), "compile": lambda: model.compile("sgd", "mse"),
             "add": lambda: model.add(fnn.layers.Dense(1)), "train_on_batch": lambda: model.train_on_batch(x, y)}
    said = {}

    class Nested(fnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            for name, call in calls.items():
                with pytest.raises(RuntimeError) as caught:
                    call()
                said[name] = str(caught.value)

    model.fit(x, y, batch_size=8, verbose=0, callbacks=[Nested()])
    assert said.keys() == calls.keys()
    for name, message in said.items():
        assert message.startswith(f"{name} was called inside a callback of the model's own training;")
