"""Callback: what every callback may override."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from fastnn.inputs import check_count
from fastnn.named import one_of

if TYPE_CHECKING:
    from fastnn.errors import DivergenceError

__all__ = ["Callback", "CallbackList", "Logs", "checked_callbacks", "count", "flag", "number_or_none", "verbosity"]

Logs = dict[str, float]


class Callback:
    """Base of callbacks; override what is needed.

    The methods for batches are called only if they are overridden; every batch then costs a call of Python and
    little else.

    Attributes
    ----------
    model : Sequential
        The model that is trained. Setting ``model.stop_training = True`` ends training after the epoch, or after
        the batch where a method for batches does.
    params : dict
        ``epochs``, ``steps`` (batches in an epoch, of `LBFGS` its iterations), ``samples``, ``batch_size``,
        ``verbose``.
    remembers : dict of str to callable
        Of the class: the attributes that the state of a run consists of, and what checks each of them as it comes
        back from a file: ``check(name, value)`` returns the value or raises.

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

    remembers: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {}

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def get_state(self) -> dict[str, Any]:
        """What a run of `fit` that is taken up from a file needs of the callback.

        Numbers, texts, lists and dicts that JSON can hold, and arrays of float32, float64 or bool. Override it
        together with `set_state` where `remembers` does not do.
        """
        return {name: getattr(self, name) for name in self.remembers}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `get_state` returned, after ``on_train_begin`` and ``on_epoch_begin``; ValueError if it
        cannot be that."""
        if state.keys() != self.remembers.keys():
            raise ValueError(f"the state of {type(self).__name__} holds {sorted(state)}; "
                             f"{sorted(self.remembers)} are allowed")
        for name, check in self.remembers.items():
            setattr(self, name, check(name, state[name]))

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

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of training; `batch` counts from 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of training, with loss and metrics of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_begin``."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_end``."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of `evaluate`, or of validation. Batches have 1024 rows."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of `evaluate`, or of validation, with loss and metrics so far."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called after a batch of `predict`, whose outputs are ``logs["outputs"]``."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before `evaluate`, and before the validation of an epoch."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after `evaluate`, or the validation of an epoch, with loss and metrics."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after `predict`."""

    def asks(self, method: str) -> bool:
        """Whether `method`, one of those for batches, is to be called."""
        known = _known.setdefault(type(self), {})
        if method not in known:
            known[method] = _overrides(type(self), method)
        return known[method]

    def on_progress(self, rows: int, loss: float) -> None:
        """Called a few times a second inside an epoch, with the rows done and their mean loss."""

    def on_divergence(self, error: DivergenceError) -> bool:
        """Called when the loss became NaN or infinite; True ends training there instead of raising the error."""
        return False

    def close(self) -> None:
        """Called at the end of `fit`, `evaluate` and `predict`, whatever happened."""


# Methods that are called only if they are overridden, and their other names.
FOR_BATCHES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end",
               "on_test_batch_begin": "", "on_test_batch_end": "",
               "on_predict_batch_begin": "", "on_predict_batch_end": ""}
_known: WeakKeyDictionary[type, dict[str, bool]] = WeakKeyDictionary()


def _overrides(cls: type, method: str) -> bool:
    names = [name for name in (method, FOR_BATCHES[method]) if name]
    return any(getattr(cls, name) is not getattr(Callback, name) for name in names)


class CallbackList:
    """Calls every callback in turn.

    Attributes
    ----------
    told : int
        How many of the callbacks the last call has come to.
    """

    def __init__(self, callbacks: Iterable[Callback], model: Any, params: dict[str, Any]) -> None:
        self.callbacks, self.params = list(callbacks), params
        self.told = 0
        self._asking: dict[str, list[int]] = {}
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def asks(self, method: str) -> bool:
        """Whether any callback wants to be told of batches."""
        return bool(self._who(method))

    def _who(self, method: str) -> Iterable[int]:
        if method not in FOR_BATCHES:
            return range(len(self.callbacks))
        if method not in self._asking:
            self._asking[method] = [i for i, callback in enumerate(self.callbacks) if callback.asks(method)]
        return self._asking[method]

    def call(self, method: str, *arguments: Any, first: int = 0) -> None:
        """``callback.method(*arguments)`` for all from the `first`."""
        for i in self._who(method):
            if i >= first:
                self.told = i + 1
                getattr(self.callbacks[i], method)(*arguments)
        self.told = len(self.callbacks)

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
    return min(int(one_of("verbose", value, (0, 1, 2))), 1)


# ---- checks of what comes back from files -------------------------------------------------------------------


def count(name: str, value: Any) -> int:
    return check_count(name, value, low=0, high=2**53)


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false; received {value!r}")
    return value


def number_or_none(name: str, value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"{name} must be a number or null; received {value!r}")
    return None if value is None else float(value)
