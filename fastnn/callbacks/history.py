"""History: what `fit` returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn import losses
from fastnn.callbacks.base import Callback, Logs, count
from fastnn.callbacks.diagnosis import diagnosis
from fastnn.errors import DivergenceError

__all__ = ["History"]


class History(Callback):
    """What `fit` returns: loss and metrics of every epoch.

    Attributes
    ----------
    history : dict of str to list of float
        ``"loss"``, the metrics' names, and the same with ``val_`` before them.
    epoch : list of int
        Counted from 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.diverged: tuple[int, int] | None = None
        self.last_step: int | None = None   # of the optimizer, with which a schedule can be asked for past rates

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        state = getattr(self.model, "_state", None)
        self.last_step = None if state is None else state.step
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def get_state(self) -> dict[str, Any]:
        """Arrays, since long histories would make a header too long to be read."""
        return {"names": list(self.history), "epoch": np.array(self.epoch, np.float64)} | {
            f"values.{i}": np.array(values, np.float64) for i, values in enumerate(self.history.values())}

    def set_state(self, state: Mapping[str, Any]) -> None:
        names, epoch = state.get("names"), state.get("epoch")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"the names of a history are {names!r}; texts are allowed")
        columns = {name: state.get(f"values.{i}") for i, name in enumerate(names)}
        if len(state) != len(columns) + 2 or not all(isinstance(array, np.ndarray) and array.ndim == 1
                                                     for array in (epoch, *columns.values())):
            raise ValueError(f"a history holds {sorted(state)}; epochs and one list of values a name are allowed")
        self.epoch = [count("epoch", int(i)) for i in epoch]  # type: ignore[union-attr]
        self.history = {name: array.tolist() for name, array in columns.items()}  # type: ignore[union-attr]

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

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4f}" for name, values in self.history.items())
        return f"<History of {len(self.epoch)} epochs{': last ' + last if last else ''}>"
