"""What the callbacks share that watch a number of every epoch."""

from __future__ import annotations

import difflib
import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastnn.callbacks.averages import SwapEMAWeights
from fastnn.callbacks.base import Callback, Logs, verbosity
from fastnn.named import number, one_of

__all__ = ["Monitor"]

MODES = ("auto", "min", "max")


class Monitor(Callback):
    """Base of `EarlyStopping`, `ModelCheckpoint` and `ReduceLROnPlateau`.

    In mode ``"auto"`` losses and errors should fall, and all other metrics rise, as the compiled metrics say.
    A value that is better by less than `min_delta`, or by just as much, is not better; NaN never is.
    """

    doing = "nothing is done"  # what a missing value comes to

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0, verbose: int = 0) -> None:
        super().__init__()
        if not isinstance(monitor, str) or not monitor:
            raise TypeError(f"monitor must be the name of a loss or metric, such as 'val_loss'; received {monitor!r}")
        self.monitor, self.mode, self.verbose = monitor, one_of("mode", mode, MODES), verbosity(verbose)
        self.min_delta = number("min_delta", min_delta, "[0, inf)")
        self.best: float | None = None
        self._warned = False
        self._before: Callable[[float, float], bool] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._warned, self._before = False, None

    def value(self, logs: Logs | None) -> float | None:
        """The watched number, or None with a warning, once, where there is none."""
        logs = logs or {}
        found = logs.get(self.monitor)
        if found is None and not self._warned:
            self._warned = True
            warnings.warn(f"{type(self).__name__} watches {self.monitor!r}, which this training does not give: "
                          f"{self.doing}. {_remedy(self.monitor, logs)}Available: {', '.join(logs) or 'nothing'}",
                          UserWarning, stacklevel=2)
        return found

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` improves on `than`; anything improves on None."""
        if than is None:
            return True
        if self._before is None:
            self._before = operator.lt if self._direction() == "min" else operator.gt
        return self._before(value + self.min_delta if self._before is operator.lt else value - self.min_delta, than)

    @contextmanager
    def judged_weights(self, logs: Logs | None) -> Iterator[None]:
        """The weights that the watched number is of: the average, where `SwapEMAWeights` had the model validated
        with it, else those that are there."""
        run, name = self.model._run, self.monitor.removeprefix("val_")
        if run is None or self.model._swapped or self.monitor not in (logs or {}) or name == self.monitor \
                or name not in self.model.metrics_names \
                or not any(isinstance(callback, SwapEMAWeights) for callback in run.calls.callbacks):
            yield
            return
        self.model._swap_average()
        run.lent = True
        try:
            yield
        finally:
            run.lent = False
            self.model._swap_average()

    def _direction(self) -> str:
        if self.mode != "auto":
            return self.mode
        name = self.monitor.removeprefix("val_")
        directions: dict[str, Any] = {"loss": "min"}
        directions |= zip(self.model.metrics_names[1:], (metric.direction for metric in self.model.metrics),
                          strict=True)
        if name not in directions:
            raise ValueError(f"whether {self.monitor!r} should rise or fall is not known: give "
                             f"{type(self).__name__} mode='min' or mode='max'")
        return str(directions[name])


def _remedy(monitor: str, logs: Logs) -> str:
    if monitor.startswith("val_") and not any(name.startswith("val_") for name in logs):
        return "Give fit validation_data or validation_split. "
    close = difflib.get_close_matches(monitor, logs, n=1)
    return f"Did you mean {close[0]!r}? " if close else ""
