"""Callbacks: code that `fit` calls around epochs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

__all__ = ["Callback", "CallbackList", "History", "ProgressBar"]

Logs = dict[str, float]


class Callback:
    """Base of callbacks; override what is needed.

    Attributes
    ----------
    model : Sequential
        The model that is trained. Setting ``model.stop_training = True`` ends training after the epoch.
    params : dict
        ``epochs``, ``steps`` (batches in an epoch), ``samples``, ``verbose``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> class StopAt(fnn.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = epoch == 1
    >>> model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(np.ones((4, 2)), np.ones(4), epochs=9, verbose=0, callbacks=[StopAt()])
    >>> history.epoch
    [0, 1]
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once, before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once, after the last epoch; not after an error."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before an epoch; `epoch` counts from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch with its loss and metrics, those of validation under ``val_`` names."""

    def on_progress(self, rows: int, loss: float) -> None:
        """Called a few times a second inside an epoch, with the rows done and their mean loss."""

    def close(self) -> None:
        """Called at the end of `fit` whatever happened."""


class History(Callback):
    """What `fit` returns: loss and metrics of every epoch.

    Attributes
    ----------
    history : dict of str to list of float
        ``"loss"``, the metrics' names, and the same with ``val_`` before them.
    epoch : list of int
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4f}" for name, values in self.history.items())
        return f"<History of {len(self.epoch)} epochs{': last ' + last if last else ''}>"


class ProgressBar(Callback):
    """A table with a row for each epoch and, inside an epoch, a bar with the loss and rows per second.

    Parameters
    ----------
    bar : bool, default True
        False prints the table alone.
    """

    def __init__(self, bar: bool = True) -> None:
        super().__init__()
        self.bar = bar
        self.progress: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.header_of: tuple[str, ...] = ()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.start = time.perf_counter()
        if self.bar:
            from tqdm.auto import tqdm

            self.progress = tqdm(total=self.params["samples"], desc=f"Epoch {epoch + 1}/{self.params['epochs']}",
                                 unit="row", unit_scale=True, leave=False)

    def on_progress(self, rows: int, loss: float) -> None:
        if self.progress is not None:
            self.progress.set_postfix(loss=f"{loss:.4f}", refresh=False)
            self.progress.update(rows - self.progress.n)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = time.perf_counter() - self.start
        self.close()
        logs = logs or {}
        if tuple(logs) != self.header_of:
            self.header_of = tuple(logs)
            print(" ".join([f"{'epoch':>7}", *(f"{name:>{_width(name)}}" for name in logs),
                            f"{'seconds':>8}", f"{'rows/s':>10}"]))
        rate = self.params["samples"] / max(seconds, 1e-9)
        print(" ".join([f"{epoch + 1:>3}/{self.params['epochs']:<3}",
                        *(f"{value:>{_width(name)}.4f}" for name, value in logs.items()),
                        f"{seconds:>8.2f}", f"{rate:>10,.0f}"]))
        sys.stdout.flush()

    def close(self) -> None:
        if self.progress is not None:
            self.progress.close()
            self.progress = None


def _width(name: str) -> int:
    return max(9, len(name))


class CallbackList:
    """Calls every callback in turn."""

    def __init__(self, callbacks: Iterable[Callback], model: Any, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def call(self, method: str, *arguments: Any) -> None:
        """``callback.method(*arguments)`` for all."""
        for callback in self.callbacks:
            getattr(callback, method)(*arguments)
