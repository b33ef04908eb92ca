"""Callbacks decide what Keras 3 decides from the same sequence of values."""

import importlib.util
import inspect
import os
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from fastnn import callbacks

MISSING = [name for name in ("keras", "torch") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.filterwarnings("default"),  # Keras' and torch's warnings are not ours
]


@pytest.fixture(scope="module")
def keras():
    """Keras, imported by the first test: it takes ten seconds."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


def stand_in(learning_rate=0.5):
    """What the callbacks ask of a model."""
    weights = [np.zeros(1)]

    def set_weights(new):
        weights[:] = [array.copy() for array in new]

    return SimpleNamespace(_run=None, stop_training=False, metrics=[], metrics_names=["loss"],
                           optimizer=SimpleNamespace(learning_rate=learning_rate), set_weights=set_weights,
                           get_weights=lambda: [array.copy() for array in weights], _leaves=list,
                           _named_weights=lambda: [("", array) for array in weights])


def sequences():
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = rng.integers(1, 25)
        yield np.round(np.exp(-np.arange(n) / rng.uniform(1, 20)) + rng.normal(0, rng.choice([0.01, 0.3]), n), 2)


def decisions(callback, values, name="loss"):
    """After every epoch: whether training ends, the learning rate, what is remembered; at last the weights."""
    model = stand_in()
    callback.set_model(model)
    callback.set_params({"epochs": len(values)})
    callback.on_train_begin()
    found = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        model.set_weights([np.array([float(epoch)])])
        callback.on_epoch_end(epoch, {name: float(value)})
        found.append((model.stop_training, model.optimizer.learning_rate, callback.best,
                      getattr(callback, "wait", None), getattr(callback, "cooldown_counter", None),
                      getattr(callback, "best_epoch", None)))
        if model.stop_training:
            break
    callback.on_train_end()
    return found, getattr(callback, "stopped_epoch", None), model.get_weights()


STOPPING = [{}, {"patience": 1}, {"patience": 3, "min_delta": 0.05}, {"patience": 2, "mode": "max"},
            {"patience": 2, "mode": "max", "min_delta": 0.1}, {"patience": 2, "baseline": 0.5},
            {"patience": 3, "restore_best_weights": True}, {"patience": 2, "start_from_epoch": 4},
            {"patience": 2, "baseline": 0.2, "restore_best_weights": True, "start_from_epoch": 2}]


@pytest.mark.parametrize("arguments", STOPPING, ids=str)
def test_early_stopping(keras, arguments):
    for values in sequences():
        ours = decisions(callbacks.EarlyStopping("loss", **arguments), values)
        theirs = decisions(keras.callbacks.EarlyStopping("loss", **arguments), values)
        assert ours == theirs, values


PLATEAU = [{}, {"patience": 0}, {"patience": 2, "factor": 0.5}, {"patience": 1, "cooldown": 2, "min_lr": 0.1},
           {"patience": 2, "mode": "max", "min_delta": 0.2}, {"patience": 3, "min_delta": 0.0, "cooldown": 5}]


@pytest.mark.parametrize("arguments", PLATEAU, ids=str)
def test_reduce_lr_on_plateau(keras, arguments):
    for values in sequences():
        ours = decisions(callbacks.ReduceLROnPlateau("loss", **arguments), values)
        theirs = decisions(keras.callbacks.ReduceLROnPlateau("loss", **arguments), values)
        for mine, its in zip(ours[0], theirs[0], strict=True):
            assert mine[0] == its[0] and mine[2:] == its[2:], values
            assert mine[1] == pytest.approx(its[1], rel=1e-12)


CHECKPOINTS = [{}, {"mode": "max"}, {"initial_value_threshold": 0.4}, {"mode": "max", "initial_value_threshold": 0.9}]


@pytest.mark.parametrize("arguments", CHECKPOINTS, ids=str)
def test_model_checkpoint(keras, arguments):
    def saved(callback, values):
        paths = []
        model = stand_in()
        model.save = lambda path, **_: paths.append(str(path).split("/")[-1])
        callback.set_model(model)
        callback.on_train_begin()
        for epoch, value in enumerate(values):
            callback.on_epoch_begin(epoch)
            callback.on_epoch_end(epoch, {"loss": float(value)})
        return paths

    for values in sequences():
        given = {"filepath": "{epoch:02d}-{loss:.3f}.keras", "monitor": "loss", "save_best_only": True, **arguments}
        assert saved(callbacks.ModelCheckpoint(**given), values) == saved(
            keras.callbacks.ModelCheckpoint(**given), values)


def test_learning_rate_scheduler(keras):
    def rates(callback):
        model, logs = stand_in(), {"loss": 1.0}
        callback.set_model(model)
        found = []
        for epoch in range(5):
            callback.on_epoch_begin(epoch)
            callback.on_epoch_end(epoch, logs)
            found.append((model.optimizer.learning_rate, dict(logs)))
        return found

    for schedule in (lambda epoch, rate: rate * 0.9, lambda epoch: 0.1 / (1 + epoch)):
        assert rates(callbacks.LearningRateScheduler(schedule)) == rates(
            keras.callbacks.LearningRateScheduler(schedule))


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("separator", [",", "\t"])
def test_csv_logger(keras, tmp_path, separator, validation):
    def written(cls, name):
        path = tmp_path / name
        for append in (False, True):
            log = cls(str(path), separator=separator, append=append)
            log.set_model(stand_in())
            log.on_train_begin()
            for epoch in range(3):
                logs = {"loss": 0.1 * epoch, "accuracy": 1 / (epoch + 3)}
                log.on_epoch_end(epoch, logs | ({"val_loss": 0.5} if validation else {}))
            log.on_train_end()
            getattr(log, "close", lambda: None)()
        return path.read_bytes()

    assert written(callbacks.CSVLogger, "ours") == written(keras.callbacks.CSVLogger, "theirs")


def test_names_arguments_and_defaults(keras):
    for name in ("EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau", "LearningRateScheduler", "CSVLogger",
                 "TerminateOnNaN", "LambdaCallback", "BackupAndRestore",
                 "SwapEMAWeights"):
        ours, theirs = (inspect.signature(getattr(module, name)).parameters.values()
                        for module in (callbacks, keras.callbacks))
        positional = [[(p.name, p.default) for p in those if p.kind is not p.VAR_KEYWORD] for those in (ours, theirs)]
        assert positional[0] == positional[1], name
