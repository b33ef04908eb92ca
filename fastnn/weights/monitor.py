"""WeightMonitor: statistics of weights and gradients in every epoch of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks import Callback
from fastnn.inputs import check_count
from fastnn.weights.statistics import LayerStatistics, describe, layer_statistics, table

__all__ = ["WeightMonitor"]

Array = NDArray[Any]
FIGURES = ("mean", "std", "min", "max", "norm", "near_zero")


class WeightMonitor(Callback):
    """Records statistics of all weights at the end of epochs: where they go, how fast, and what dies.

    An epoch costs a copy of the weights and a few passes over them, less than a training step of 128 rows; with
    samples, a gradient and a prediction of these besides.

    Parameters
    ----------
    x, y : array-like, optional
        A batch of samples and targets, some hundred rows at most: with both, the gradients' norms are recorded,
        with `x` the dead units of each layer.
    every : int, default 1
        Epochs between two records.
    spectral_norms : bool, default False
        Whether to record the spectral norms of kernels too: 784 x 512 takes some 40 ms.

    n_threads : int, optional
        For the prediction and the gradient.

    Attributes
    ----------
    epochs : list of int
    weights : dict of str to dict of str to list of float
        For each weight (``"dense.kernel"``) and epoch ``"mean"``, ``"std"``, ``"min"``, ``"max"``, ``"norm"``,
        ``"near_zero"`` (as in `statistics`), ``"update_ratio"``, and, where asked for, ``"gradient_norm"`` and
        ``"spectral_norm"``. The update ratio is the norm of what the epoch changed over the norm at its
        beginning, NaN for weights that were all zero. Divided by the number of steps it is a lower bound of a
        step's mean ratio; 1e-3 a step is a usual size.
    layers : dict of str to dict of str to list of float
        For each layer ``"mean"``, ``"std"`` of its outputs, and ``"dead_units"``, given `x`.

    Raises
    ------
    TypeError, ValueError
        If `every` is not a positive integer, or `y` comes without `x`; what is wrong with `x` and `y` themselves
        is said when `fit` begins.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(256, 4))
    >>> y = x[:, 0] * x[:, 1]
    >>> model = fnn.Sequential([fnn.layers.Dense(8, activation="relu"), fnn.layers.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> monitor = fnn.weights.WeightMonitor(x[:64], y[:64])
    >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=[monitor])
    >>> monitor.epochs, list(monitor.weights)
    ([0, 1, 2], ['dense.kernel', 'dense.bias', 'dense_1.kernel', 'dense_1.bias'])
    >>> len(monitor.weights["dense.kernel"]["update_ratio"])
    3
    """

    def __init__(self, x: Any = None, y: Any = None, every: int = 1, spectral_norms: bool = False,
                 n_threads: int | None = None) -> None:
        super().__init__()
        if x is None and y is not None:
            raise ValueError("y needs x: the gradient is one of samples and targets; received y alone")
        if not isinstance(spectral_norms, (bool, np.bool_)):
            raise TypeError(f"spectral_norms must be True or False; received {spectral_norms!r}")
        self.x, self.y, self.every = x, y, check_count("every", every)
        self.spectral_norms, self.n_threads = bool(spectral_norms), n_threads
        self._clear()

    def _clear(self) -> None:
        self.epochs: list[int] = []
        self.weights: dict[str, dict[str, list[float]]] = {}
        self.layers: dict[str, dict[str, list[float]]] = {}
        self._before: dict[str, Array] = {}

    def get_state(self) -> dict[str, Any]:
        """The records, each an array, and the weights from before the epoch."""
        records = [(kind, name, figure, values) for kind, table in (("weights", self.weights), ("layers", self.layers))
                   for name, record in table.items() for figure, values in record.items()]
        return ({"epochs": self.epochs, "records": [list(record[:3]) for record in records]}
                | {f"record.{i}": np.array(record[3], np.float64) for i, record in enumerate(records)}
                | {f"before.{name}": array for name, array in self._before.items()})

    def set_state(self, state: Mapping[str, Any]) -> None:
        epochs, records = state.get("epochs"), state.get("records")
        before = {name.removeprefix("before."): array for name, array in state.items() if name.startswith("before.")}
        shapes = {name: weight.shape for name, weight in self.model._named_weights()}
        if not isinstance(epochs, list) or not isinstance(records, list) \
                or len(state) != 2 + len(records) + len(before) \
                or not all(np.shape(array) == shapes.get(name) for name, array in before.items()):
            raise ValueError(f"the state of WeightMonitor holds {sorted(state)[:8]}, which is not what it remembers")
        self._clear()
        self.epochs, self._before = [check_count("epoch", epoch, low=0) for epoch in epochs], before
        for i, (kind, name, figure) in enumerate(records):
            table = {"weights": self.weights, "layers": self.layers}[kind]
            table.setdefault(name, {})[figure] = state[f"record.{i}"].tolist()

    def on_train_begin(self, logs: Any = None) -> None:
        self._clear()
        self._read()  # an error in x or y should not come an epoch later

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch % self.every == 0:
            for name, weight in self.model._named_weights():
                np.copyto(self._before.setdefault(name, np.empty_like(weight)), weight)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch % self.every:
            return
        self.epochs.append(epoch)
        gradients, layers = self._read()
        for i, (name, weight) in enumerate(self.model._named_weights()):
            found = describe(name, weight, self.spectral_norms)
            record = {figure: getattr(found, figure) for figure in FIGURES}
            old = self._before[name]
            before = np.linalg.norm(old)
            change = np.linalg.norm(np.subtract(weight, old, out=old))
            record["update_ratio"] = float(change / before) if before else float("nan")
            if found.spectral_norm is not None:
                record["spectral_norm"] = found.spectral_norm
            if gradients:
                record["gradient_norm"] = float(np.linalg.norm(gradients[i]))
            _append(self.weights, name, record)
        for row in layers:
            _append(self.layers, row.name, {"mean": row.mean, "std": row.std, "dead_units": float(row.dead_units)})

    def on_train_end(self, logs: Any = None) -> None:
        self._before = {}

    def _read(self) -> tuple[list[Array], Sequence[LayerStatistics]]:
        """Gradients and statistics of the layers for the samples."""
        if self.x is None:
            return [], ()
        layers = layer_statistics(self.model, self.x, self.n_threads)
        if self.y is None:
            return [], layers
        return self.model.gradients(self.x, self.y, n_threads=self.n_threads), layers

    def __repr__(self) -> str:
        """A table of the last epoch."""
        if not self.epochs:
            return "<WeightMonitor: nothing recorded>"
        names = list(dict.fromkeys(name for record in self.weights.values() for name in record))
        rows = [(f"epoch {self.epochs[-1] + 1}", *(name.replace("_", " ") for name in names))]
        for weight, record in self.weights.items():
            rows.append((weight, *(f"{record[name][-1]:.4g}" if name in record else "" for name in names)))
        return table(rows, 1)


def _append(records: dict[str, dict[str, list[float]]], name: str, values: dict[str, float]) -> None:
    record = records.setdefault(name, {})
    for figure, value in values.items():
        record.setdefault(figure, []).append(value)
