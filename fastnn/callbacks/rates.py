"""Learning rates that callbacks set: by a function of the epoch, or when a number stops improving."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from fastnn.callbacks.base import Callback, Logs, count, number_or_none, verbosity
from fastnn.callbacks.monitor import Monitor
from fastnn.inputs import check_count
from fastnn.named import number

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


class LearningRateScheduler(Callback):
    """Set the learning rate before every epoch; the logs then hold it as ``learning_rate``.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)`` or ``schedule(epoch)``, the epoch counted from 0, gives the new rate.
    verbose : {0, 1}, default 0
        1: print it.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type, and if `schedule` returns anything but a number of at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    >>> model.compile(fnn.optimizers.SGD(0.8), "mse")
    >>> halve = fnn.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    >>> model.fit(np.ones((4, 2)), np.ones(4), epochs=3, verbose=0, callbacks=[halve]).history["learning_rate"]
    [0.8, 0.4, 0.2]
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"schedule must be a function of the epoch and the learning rate; received {schedule!r}")
        self.schedule, self.verbose = schedule, verbosity(verbose)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        _refuse_schedule(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        takes_rate = _takes(self.schedule, epoch, optimizer.learning_rate)
        rate = self.schedule(epoch, optimizer.learning_rate) if takes_rate else self.schedule(epoch)
        optimizer.learning_rate = number(f"the learning rate that schedule returns for epoch {epoch}", rate, "[0, inf)")
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {optimizer.learning_rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


def _refuse_schedule(callback: Callback) -> None:
    rate = callback.model.optimizer.learning_rate
    if not isinstance(rate, float):
        raise TypeError(f"{type(callback).__name__} sets the learning rate, but the optimizer's follows {rate!r}; "
                        "compile with a number, or leave the callback out")


def _takes(function: Callable[..., Any], *arguments: Any) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # compiled functions that do not tell
        pass
    return True


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` after `patience` epochs without an improvement.

    The logs then hold the rate that the epoch was trained with as ``learning_rate``.

    Parameters
    ----------
    monitor : str, default "val_loss"
        ``"loss"``, a metric's name, or one of them with ``val_`` before it.
    factor : float, default 0.1
        In [0, 1).
    patience : int, default 10
        Epochs without improvement after which the rate is reduced.
    verbose : {0, 1}, default 0
        1: say when it is reduced.
    mode : {"auto", "min", "max"}, default "auto"
        Whether the monitored number should fall or rise; "auto" asks the metric.
    min_delta : float, default 1e-4
        Only what is better by more than this is an improvement.
    cooldown : int, default 0
        Epochs after a reduction that are not counted.
    min_lr : float, default 0
        The rate is not reduced below this.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(fnn.optimizers.SGD(1.5), "mse")  # too large: the loss only grows
    >>> calm = fnn.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2)
    >>> model.fit(np.ones((4, 1)), np.ones(4), epochs=5, verbose=0, callbacks=[calm]).history["learning_rate"]
    [1.5, 1.5, 1.5, 0.75, 0.75]
    """

    doing = "the learning rate is not reduced"
    remembers: ClassVar = {"best": number_or_none, "wait": count, "cooldown_counter": count}

    def __init__(self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0,
                 mode: str = "auto", min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0) -> None:
        super().__init__(monitor, mode, min_delta, verbose)
        self.factor = number("factor", factor, "[0, 1)")
        self.patience = check_count("patience", patience, low=0)
        self.cooldown = check_count("cooldown", cooldown, low=0)
        self.min_lr = number("min_lr", min_lr, "[0, inf)")
        self.wait = self.cooldown_counter = 0

    def in_cooldown(self) -> bool:
        """Whether epochs are not counted now."""
        return self.cooldown_counter > 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        _refuse_schedule(self)
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        logs["learning_rate"] = self.model.optimizer.learning_rate
        value = self.value(logs)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(value, self.best):
            self.best, self.wait = value, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter, self.wait = self.cooldown, 0

    def _reduce(self, epoch: int) -> bool:
        optimizer = self.model.optimizer
        if optimizer.learning_rate <= self.min_lr:
            return False
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        if self.verbose:
            print(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {optimizer.learning_rate}.")
        return True
