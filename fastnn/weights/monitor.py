"""WeightMonitor: statistics of weights and gradients in every epoch of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import kernels
from fastnn._kernels.threads import effective_n_threads
from fastnn.callbacks import Callback
from fastnn.inputs import check_count
from fastnn.layers import Layer, SparseDense
from fastnn.sparse import Pattern
from fastnn.weights.statistics import LayerStatistics, describe, layer_statistics, table

__all__ = ["Histogram", "WeightMonitor"]

Array = NDArray[Any]
LARGEST = 1e300     # number that a histogram counts, so that the width of its bins is finite
FIGURES = ("mean", "std", "min", "max", "norm", "near_zero")


class Histogram(NamedTuple):
    """How many of the finite numbers of a weight lie in each of equal bins from the least to the largest.

    Attributes
    ----------
    low, high : float
    counts : int64 ndarray (bins,)
    """

    low: float
    high: float
    counts: NDArray[np.int64]


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
    histogram_bins : int, default 0
        Bins of the histograms to record of each weight, as `fastnn.weights.plot.ridge` draws them; 0 for none.

    Attributes
    ----------
    epochs : list of int
    weights : dict of str to dict of str to list of float
        For each weight (``"dense.kernel"``) and epoch ``"mean"``, ``"std"``, ``"min"``, ``"max"``, ``"norm"``,
        ``"near_zero"`` (as in `statistics`), ``"update_ratio"``, and, where asked for, ``"gradient_norm"`` and
        ``"spectral_norm"``. The update ratio is the norm of what the epoch changed over the norm at its
        beginning, NaN for weights that were all zero. Divided by the number of steps it is a lower bound of a
        step's mean ratio; 1e-3 a step is a usual size. Of a sparse kernel it is that of the connections that stand
        at the beginning and at the end of the epoch.
    layers : dict of str to dict of str to list of float
        For each layer ``"mean"``, ``"std"`` of its outputs, and ``"dead_units"``, given `x`.
    histograms : dict of str to list of Histogram
        For each weight and epoch ``(low, high, counts)``, if `histogram_bins` is not 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of its range, or `y` comes without `x`; what is wrong with `x` and `y`
        themselves is said when `fit` begins.

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
                 n_threads: int | None = None, histogram_bins: int = 0) -> None:
        super().__init__()
        if x is None and y is not None:
            raise ValueError("y needs x: the gradient is one of samples and targets; received y alone")
        if not isinstance(spectral_norms, (bool, np.bool_)):
            raise TypeError(f"spectral_norms must be True or False; received {spectral_norms!r}")
        self.x, self.y, self.every = x, y, check_count("every", every)
        effective_n_threads(n_threads)
        self.spectral_norms, self.n_threads = bool(spectral_norms), n_threads
        self.histogram_bins = check_count("histogram_bins", histogram_bins, low=0, high=65536)
        self._clear()

    def _clear(self) -> None:
        self.epochs: list[int] = []
        self.weights: dict[str, dict[str, list[float]]] = {}
        self.layers: dict[str, dict[str, list[float]]] = {}
        self.histograms: dict[str, list[Histogram]] = {}
        self._before: dict[str, tuple[Array, Pattern | None]] = {}

    def get_state(self) -> dict[str, Any]:
        """The records, each an array, and the weights from before the epoch."""
        records = [(kind, name, figure, values) for kind, table in (("weights", self.weights), ("layers", self.layers))
                   for name, record in table.items() for figure, values in record.items()]
        return ({"epochs": self.epochs, "records": [list(record[:3]) for record in records]}
                | {f"histograms.{name}": np.array([(low, high, *counts) for low, high, counts in found], np.float64)
                   for name, found in self.histograms.items()}
                | {f"record.{i}": np.array(record[3], np.float64) for i, record in enumerate(records)}
                | {f"before.{name}": array for name, (array, _) in self._before.items()}
                # Files of runs hold no integers. These are exact in float64.
                | {f"{part}.{name}": getattr(pattern, part).astype(np.float64) for part in ("indptr", "indices")
                   for name, (_, pattern) in self._before.items() if pattern is not None})

    def set_state(self, state: Mapping[str, Any]) -> None:
        epochs, records = state.get("epochs"), state.get("records")
        before = {name: self._before_from(state, name, layer, weight) for name, layer, weight in self._weights()
                  if f"before.{name}" in state}
        n_before = sum(1 if pattern is None else 3 for _, pattern in before.values())
        histograms = {name.removeprefix("histograms."): array for name, array in state.items()
                      if name.startswith("histograms.")}
        if not isinstance(epochs, list) or not isinstance(records, list) \
                or len(state) != 2 + len(records) + n_before + len(histograms) \
                or any(np.ndim(array) != 2 or np.shape(array)[1] < 3 for array in histograms.values()):
            raise ValueError(f"the state of WeightMonitor holds {sorted(state)[:8]}, which is not what it remembers")
        bins = {np.shape(array)[1] - 2 for array in histograms.values()} or {0}
        if epochs and bins != {self.histogram_bins}:
            raise ValueError(f"the state of WeightMonitor has histograms of {bins.pop()} bins, and cannot go on with "
                             f"histogram_bins={self.histogram_bins}")
        self._clear()
        self.epochs, self._before = [check_count("epoch", epoch, low=0) for epoch in epochs], before
        for i, (kind, name, figure) in enumerate(records):
            table = {"weights": self.weights, "layers": self.layers}[kind]
            table.setdefault(name, {})[figure] = state[f"record.{i}"].tolist()
        self.histograms = {name: [Histogram(float(row[0]), float(row[1]), row[2:].astype(np.int64)) for row in rows]
                           for name, rows in histograms.items()}

    def on_train_begin(self, logs: Any = None) -> None:
        self._clear()
        self._read()  # an error in x or y should not come an epoch later

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch % self.every == 0:
            self._before = {name: (weight.copy(), _pattern(layer, name)) for name, layer, weight in self._weights()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch % self.every:
            return
        self.epochs.append(epoch)
        gradients, layers = self._read()
        for i, (name, layer, weight) in enumerate(self._weights()):
            found = describe(name, weight, self.spectral_norms)
            record = {figure: getattr(found, figure) for figure in FIGURES}
            old, new = _at_both(*self._before[name], weight, _pattern(layer, name))
            before, change = np.linalg.norm(old), np.linalg.norm(new - old)
            record["update_ratio"] = float(change / before) if before else float("nan")
            if found.spectral_norm is not None:
                record["spectral_norm"] = found.spectral_norm
            if gradients:
                record["gradient_norm"] = float(np.linalg.norm(gradients[i]))
            _append(self.weights, name, record)
            if self.histogram_bins:
                self.histograms.setdefault(name, []).append(_histogram(weight, self.histogram_bins, self.n_threads))
        for row in layers:
            _append(self.layers, row.name, {"mean": row.mean, "std": row.std, "dead_units": float(row.dead_units)})

    def on_train_end(self, logs: Any = None) -> None:
        self._before = {}

    def _weights(self) -> list[tuple[str, Layer, Array]]:
        return [(f"{leaf.path}.{name}", leaf, weight) for leaf in self.model._leaves()
                for name, weight in leaf.weights.items()]

    def _before_from(self, state: Mapping[str, Any], name: str, layer: Layer,
                     weight: Array) -> tuple[Array, Pattern | None]:
        """What a weight was before the epoch, from a file."""
        array, pattern = state[f"before.{name}"], _pattern(layer, name)
        if pattern is not None:
            parts = [state[f"{part}.{name}"].astype(np.int64) for part in ("indptr", "indices")]
            pattern = Pattern(pattern.shape, *parts)
        if np.shape(array) != (weight.shape if pattern is None else (pattern.nnz,)):
            raise ValueError(f"the state of WeightMonitor has {name} of shape {np.shape(array)}, not that of the model")
        return array, pattern

    def _read(self) -> tuple[list[Array], Sequence[LayerStatistics]]:
        """Gradients and statistics of the layers for the samples."""
        if self.x is None:
            return [], ()
        layers = layer_statistics(self.model, self.x, self.n_threads)
        if self.y is None:
            return [], layers
        return self.model.gradients(self.x, self.y, n_threads=self.n_threads), layers

    def plot(self, ax: Any = None) -> Any:
        """Draw the sizes of updates over the epochs: see `fastnn.weights.plot.updates`, and `ridge` and `gradients` for
        what else is recorded."""
        from fastnn.weights.plot import updates

        return updates(self, ax=ax)

    def __repr__(self) -> str:
        """A table of the last epoch."""
        if not self.epochs:
            return "<WeightMonitor: nothing recorded>"
        names = list(dict.fromkeys(name for record in self.weights.values() for name in record))
        rows = [(f"epoch {self.epochs[-1] + 1}", *(name.replace("_", " ") for name in names))]
        for weight, record in self.weights.items():
            rows.append((weight, *(f"{record[name][-1]:.4g}" if name in record else "" for name in names)))
        return table(rows, 1)


def _histogram(weight: Array, bins: int, n_threads: int | None = None) -> Histogram:
    low, high = kernels.extent(weight, n_threads=n_threads)[:2].tolist()
    if low > high:      # nothing is finite
        low = high = 0.0
    low, high = span(low, high)
    return Histogram(low, high, kernels.histogram(weight, low, high, bins, n_threads=n_threads))


def span(low: float, high: float) -> tuple[float, float]:
    """Of a histogram of numbers from low to high: where it has no width, or none that is finite, another."""
    low, high = max(low, -LARGEST), min(high, LARGEST)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, 1 / LARGEST):     # all numbers are one: a narrow range around it
        room = max(1e-3 * size, 1e-6)
        low, high = low - room, high + room
    return low, high


def _append(records: dict[str, dict[str, list[float]]], name: str, values: dict[str, float]) -> None:
    record = records.setdefault(name, {})
    for figure, value in values.items():
        record.setdefault(figure, []).append(value)


def _pattern(layer: Layer, name: str) -> Pattern | None:
    """The positions of a weight's entries, where these are all that there is of it."""
    return layer.pattern if isinstance(layer, SparseDense) and name == f"{layer.path}.kernel" else None


def _at_both(old: Array, before: Pattern | None, new: Array, after: Pattern | None) -> tuple[Array, Array]:
    """The numbers of a weight, then and now, that stand at one position; it may have become sparse meanwhile."""
    if after is before or after is None:
        return old, new
    if before is None:
        return old[after.rows(), after.indices], new
    places = after.places_in(before)
    return old[places[places >= 0]], new[places >= 0]
