"""History: what `fit` returns."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import losses
from fastnn.callbacks.base import Callback, Logs, count
from fastnn.callbacks.diagnosis import diagnosis
from fastnn.errors import DivergenceError

__all__ = ["History", "as_column"]


def as_column(name: str, values: Any) -> NDArray[np.float64]:
    """One of the lists of a history as an array (n,); None is NaN."""
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"history[{name!r}] must be a list of numbers; received {values!r}") from None
    if column.ndim != 1:
        raise ValueError(f"history[{name!r}] must be a list of numbers; received shape {column.shape}: {values!r}")
    return column


class History(Callback):
    """What `fit` returns: loss and metrics of every epoch.

    Attributes
    ----------
    history : dict of str to list of float
        ``"loss"``, the metrics' names, and the same with ``val_`` before them.
    epoch : list of int
        Counted from 0.
    seconds : list of float
        How long each epoch took, with its validation; NaN for those of files of earlier versions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds: list[float] = []
        self._epochs: dict[str, list[int]] = {}     # of each list
        self._start = math.nan
        self.diverged: tuple[int, int] | None = None
        self.last_step: int | None = None   # of the optimizer, with which a schedule can be asked for past rates

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        self.seconds.append(time.perf_counter() - self._start)
        state = getattr(self.model, "_state", None)
        self.last_step = None if state is None else state.step
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self._epochs.setdefault(name, []).append(epoch)

    def epochs_of(self, name: str) -> list[int]:
        """The epochs of one of the lists, which is shorter than others where a callback added to the logs of some.

        Parameters
        ----------
        name : str
            In ``history``.

        Returns
        -------
        list of int
            Counted from 0. Of a list that was not recorded here the last ones.

        Examples
        --------
        >>> from fastnn.callbacks import History
        >>> history = History()
        >>> for epoch in range(3):
        ...     history.on_epoch_end(epoch, {"loss": 0.5} | ({"auc": 0.9} if epoch == 1 else {}))
        >>> history.history["auc"], history.epochs_of("auc")
        ([0.9], [1])
        """
        known, n = self._epochs.get(name, []), len(self.history[name])
        return known if len(known) == n else self.epoch[max(0, len(self.epoch) - n):]

    def get_state(self) -> dict[str, Any]:
        """Arrays, since long histories would make a header too long to be read."""
        return {"names": list(self.history), "epoch": np.array(self.epoch, np.float64),
                "seconds": np.array(self.seconds, np.float64)} | {
            f"values.{i}": np.array(values, np.float64) for i, values in enumerate(self.history.values())} | {
            f"epochs.{i}": np.array(self.epochs_of(name), np.float64) for i, name in enumerate(self.history)
            if len(self.history[name]) < len(self.epoch)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        names, epoch = state.get("names"), state.get("epoch")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"the names of a history are {names!r}; texts are allowed")
        columns = {name: state.get(f"values.{i}") for i, name in enumerate(names)}
        timed = ("seconds",) if "seconds" in state else ()  # files of earlier versions have none
        some = {name: state[f"epochs.{i}"] for i, name in enumerate(names) if f"epochs.{i}" in state}
        if len(state) != len(columns) + 2 + len(timed) + len(some) or not all(
                isinstance(array, np.ndarray) and array.ndim == 1
                for array in (epoch, *columns.values(), *some.values(), *(state[name] for name in timed))):
            raise ValueError(f"a history holds {sorted(state)}; epochs and one list of values a name are allowed")
        self.epoch = [count("epoch", int(i)) for i in epoch]  # type: ignore[union-attr]
        self.seconds = state["seconds"].tolist() if timed else [math.nan] * len(self.epoch)
        self.history = {name: array.tolist() for name, array in columns.items()}  # type: ignore[union-attr]
        self._epochs = {name: [count("epoch", int(i)) for i in some[name]] if name in some else list(self.epoch)
                        for name in names}

    def on_divergence(self, error: DivergenceError) -> bool:
        self.diverged = error.epoch, error.batch
        return False

    def diagnose(self) -> str:
        """One sentence that says what the training looks like, and why.

        One of: underfitting, overfitting, a good fit, diverging, still improving, too few epochs, no validation
        data. It goes by the curves of ``loss`` and ``val_loss`` (their last values are medians of three epochs,
        their slopes those of straight lines through the last quarter, 3 to 10 epochs), and, for crossentropies, by
        the loss of a model that knows nothing (``log(classes)``). Epochs are counted from 1, as in the table that
        `fit` prints. The rules stand in the documentation of callbacks.

        Returns
        -------
        str

        Examples
        --------
        >>> from fastnn.callbacks import History
        >>> history = History()
        >>> history.epoch = list(range(6))
        >>> history.history = {"loss": [1.0, 0.6, 0.4, 0.2, 0.1, 0.05], "val_loss": [1.0, 0.8, 0.7, 0.8, 0.9, 1.0]}
        >>> print(history.diagnose())
        It looks like overfitting: val_loss was best in epoch 3 (0.7) and has risen to 1, while loss fell from 0.4 \
to 0.05; the gap is 0.8.
        """
        return diagnosis(self.history, self.epoch, self._chance(), self.diverged)

    def plot(self, metrics: str | Sequence[str] | None = None, ax: Any = None) -> Any:
        """Draw the curves of loss and metrics: see `fastnn.weights.plot.curves`."""
        from fastnn.weights.plot import curves

        return curves(self, metrics, ax=ax)

    def _chance(self) -> float:
        """The loss of a model that knows nothing."""
        loss = None if self.model is None else self.model.loss
        if isinstance(loss, losses.BinaryCrossentropy):
            return math.log(2)
        if isinstance(loss, (losses.SparseCategoricalCrossentropy, losses.CategoricalCrossentropy)):
            return math.log(self.model.n_outputs)
        return -math.inf

    def _repr_html_(self) -> str:
        from fastnn.notebooks import history_html

        return history_html(self)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4f}" for name, values in self.history.items())
        return f"<History of {len(self.epoch)} epochs{': last ' + last if last else ''}>"
