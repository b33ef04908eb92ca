"""Callback: what every callback may override."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnn.errors import DivergenceError

__all__ = ["Callback", "CallbackList", "Logs", "checked_callbacks", "verbosity"]

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
        """Called after an epoch with its loss and metrics, those of validation under ``val_`` names.

        All callbacks are given the same dict in turn: what one adds to it, those after it and the history see.
        """

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before `evaluate`, and before the validation of an epoch."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after `evaluate`, or the validation of an epoch, with loss and metrics."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after `predict`."""

    def on_progress(self, rows: int, loss: float) -> None:
        """Called a few times a second inside an epoch, with the rows done and their mean loss."""

    def on_divergence(self, error: DivergenceError) -> bool:
        """Called when the loss became NaN or infinite; True ends training there instead of raising the error."""
        return False

    def close(self) -> None:
        """Called at the end of `fit`, `evaluate` and `predict`, whatever happened."""


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

    def __enter__(self) -> CallbackList:
        return self

    def __exit__(self, *_: object) -> None:
        self.call("close")

    def accept(self, error: DivergenceError) -> bool:
        """Whether any callback wants training to end quietly; all are told."""
        return max([callback.on_divergence(error) for callback in self.callbacks])


def checked_callbacks(callbacks: Any) -> list[Callback]:
    if callbacks is None:
        return []
    if not isinstance(callbacks, (list, tuple)) or not all(isinstance(c, Callback) for c in callbacks):
        raise TypeError(f"callbacks must be a list of fastnn.callbacks.Callback; received {callbacks!r}")
    return list(callbacks)


def verbosity(value: Any) -> int:
    """0 for silence, else 1."""
    if value not in (0, 1, 2) or isinstance(value, float):
        raise ValueError(f"verbose must be 0 or 1; received {value!r}")
    return min(int(value), 1)
