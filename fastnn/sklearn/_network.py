"""The network of an estimator: a `Sequential` whose batches are those of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fastnn._kernels import program as engine
from fastnn.callbacks import Callback
from fastnn.callbacks.base import CallbackList
from fastnn.callbacks.history import History
from fastnn.layers import Dense, Layer, SparseDense
from fastnn.losses import Loss
from fastnn.model import Sequential, lowered
from fastnn.run import Run
from fastnn.sparse_inputs import Csr

__all__ = ["Network", "Samples"]

Array = NDArray[Any]


class Samples:
    """Samples, targets and weights for the engine, normalised batch by batch.

    scikit-learn divides the loss of a batch, and the penalty on the weights, by the sum of its sample weights; the
    engine divides the loss by the number of rows and leaves the penalty as it is. So each sample's weight is multiplied
    by rows / sum of its batch, and the penalty by reference / sum, where `reference` is the batch that the network's
    regularizers are made for.

    Parameters
    ----------
    x : ndarray or Csr (n, n_features)
    y : int32 (n,) labels, or rows (n, n_outputs) of the network's dtype
    weight : float64 (n,), optional
    factor : float
        Of all losses: what makes the engine's mean over outputs a sum.
    n_outputs : int
    offsets : float64 (n,), optional
        What is added to each sample's loss where it is reported.
    """

    def __init__(self, x: Any, y: Array, weight: Array | None, factor: float, n_outputs: int,
                 offsets: Array | None = None) -> None:
        self.x, self.y, self.n = x, y, x.shape[0]
        self.weight, self.factor, self.offsets = weight, factor, offsets
        constant = weight is None and factor == 1
        self.given = None if constant else np.full(self.n, factor)
        labels, targets = (y, None) if y.ndim == 1 else (None, y)
        self.data = engine.Data(x, labels, targets, self.given, n_outputs)
        self._offset: float | None = None
        self._rows: tuple[int, Array] = 0, np.empty(0)

    def rows(self, batch: int) -> Array:
        """Rows of each batch, float64."""
        if self._rows[0] != batch:
            rows = np.full(-(-self.n // batch), float(batch))
            rows[-1] = self.n - batch * (len(rows) - 1)
            self._rows = batch, rows
        return self._rows[1]

    @property
    def offset(self) -> float:
        """Mean of the offsets with the weights of the last epoch."""
        if self._offset is None:
            offsets = 0.0 if self.offsets is None else self.offsets
            self._offset = float(np.mean(offsets if self.given is None else offsets * self.given))
        return self._offset

    def normalise(self, batch: int, index: Array | None) -> Array:
        """Set the weights for batches in the order of `index`; the sum of sample weights of each batch."""
        rows = self.rows(batch)
        if self.weight is None or self.given is None:
            return rows
        weight = self.weight if index is None else self.weight[index]
        sums = np.add.reduceat(weight, np.arange(0, self.n, batch))
        ratio = np.divide(self.factor * rows, sums, out=np.zeros_like(sums), where=sums > 0)
        weight = weight * np.repeat(ratio, rows.astype(np.intp))
        self.given[slice(None) if index is None else index] = weight
        self._offset = None
        return sums


class Network(Sequential):
    """A `Sequential` that an estimator trains.

    Attributes
    ----------
    reference : float
        Sum of sample weights that the regularizers are made for.
    """

    reference = 1.0
    _batches: Samples | None = None
    _order: Callable[[], Array] | None = None
    _hidden: dict[bool, engine.Pool] | None = None     # for samples that are sparse or not
    _views: tuple[list[Any], list[Array]] | None = None

    # ---- training -------------------------------------------------------------------------------------------

    def train(self, samples: Samples, validation: engine.Data | None, order: Callable[[], Array] | None, batch: int,
              epochs: int, callbacks: Sequence[Callback], threads: int) -> None:
        """Epochs over `samples`, each in the order that `order` returns; None: as they are."""
        with self._exclusively("fit"):
            self.history = History()
            calls = CallbackList([*callbacks, self.history], self,
                                 {"epochs": epochs, "verbose": 0, "samples": samples.n,
                                  "steps": -(-samples.n // batch), "batch_size": batch})
            self.stop_training = False
            plan = {"samples": samples.n, "batch_size": batch, "shuffle": order is not None,
                    "validation": None if validation is None else validation.n}
            run = self._run = Run(calls, plan, [layer.trainable for layer in self._family])
            self._batches, self._order = samples, order
            try:
                with calls:
                    self._fit(run, samples.data, validation, range(epochs), threads)
            finally:
                self._run = self._batches = self._order = None

    def _epoch_order(self, n: int, batch: int, run: Run, part: int) -> NDArray[np.int64] | None:
        if self._order is None:
            return super()._epoch_order(n, batch, run, part)
        order = self._order()   # drawn for one batch too, as scikit-learn's next numbers come after it
        return order if batch < n else None

    def _penalty_scales(self, data: engine.Data, batch: int, index: NDArray[np.int64] | None) -> Array | None:
        if self._batches is None:
            return None
        sums = self._batches.normalise(batch, index)
        return np.divide(self.reference, sums, out=np.zeros_like(sums), where=sums > 0)

    @property
    def penalty_sum(self) -> float:
        """What the penalties on weights are of the sum of losses of the last epoch."""
        assert self._batches is not None
        return self._workspace("train", 1, self._batches.data.sparse).penalty_sum

    def loss_and_gradient(self, samples: Samples, threads: int) -> tuple[float, float]:
        """The loss of all samples in one batch and what the penalties are of it; the gradient is in the block then."""
        total = float(samples.normalise(samples.n, None)[0])
        runner = self._workspace("gradients", samples.n, samples.data.sparse)
        loss_sum, _ = runner.gradients(samples.data, self.seed, threads, False, self.reference / total)
        return loss_sum / samples.n, runner.penalty_sum / samples.n

    def take_over(self, other: Network, loss: Loss) -> None:
        """What another network knows beside kernels and biases, of weights that this one has too: buffers, what is
        pruned or frozen, and what the optimizer remembers."""
        own, known = self._placed(), other._placed()
        shared = [(*own[key], known[key][0]) for key in own if key in known]
        for leaf, name, before in shared:
            leaf.trainable = before.trainable
            leaf.weights[name][...] = before.weights[name]
            if name in before.masks:
                self._hold(leaf, {name: before.masks[name]})
        optimizer, state = other.optimizer, other._state
        if optimizer is None or state is None or optimizer is not other._state_of:
            return
        self.compile(optimizer, loss)
        new = self._optimizer_state()
        new.step, new.memory[...] = state.step, state.memory
        for kind, block, known_block in zip(optimizer._blocks(), new.blocks, state.blocks, strict=True):
            for leaf, name, before in shared:
                start, known_start = leaf._offsets[name], before._offsets[name]
                used = optimizer._used_size(kind, leaf.weights[name].shape)
                block[start:start + used] = known_block[known_start:known_start + used]

    def _placed(self) -> dict[Any, tuple[Layer, str]]:
        """The weights by the dense layers up to them, kind of layer, name and shape."""
        found: dict[Any, tuple[Layer, str]] = {}
        n_dense = 0
        for leaf in self._leaves():
            n_dense += isinstance(leaf, (Dense, SparseDense))
            found |= {(n_dense, type(leaf), name, weight.shape): (leaf, name) for name, weight in leaf.weights.items()}
        return found

    # ---- what the estimator sees ----------------------------------------------------------------------------

    @property
    def dense(self) -> list[Dense | SparseDense]:
        """The layers with kernels, one for each of ``coefs_``."""
        return [layer for layer in self._leaves() if isinstance(layer, (Dense, SparseDense))]

    def views(self) -> tuple[list[Any], list[Array]]:
        """The kernels and the biases, each of which is the model's memory; the same objects in every call."""
        if self._views is None:
            kernels = [layer.weights["kernel"] if isinstance(layer, Dense) else layer.kernel for layer in self.dense]
            self._views = kernels, [layer.weights["bias"] for layer in self.dense]
        return self._views

    def outputs(self, x: Any, threads: int) -> Array:
        """(n, n_outputs)"""
        return self._predicting(isinstance(x, Csr)).predict(x, threads)

    @property
    def _below(self) -> list[Layer]:
        """The layers before the last one that is, or has, a dense layer."""
        last = next(i for i, layer in enumerate(self._layers) if self.dense[-1] in layer.family())
        return self._layers[:last]

    @property
    def n_hidden(self) -> int:
        """How many numbers go into the last dense layers."""
        below = self._below
        return below[-1].n_outputs if below else self._layers[0].n_inputs

    def hidden(self, x: Any, threads: int) -> Array:
        """What goes into the last dense layers, (n, n_hidden)."""
        below = self._below
        if not below:
            rows = csr_array((x.values, x.indices, x.indptr), x.shape).toarray() if isinstance(x, Csr) else x
            return rows.astype(self.dtype)
        if self._hidden is None:
            self._hidden = {}
        sparse = isinstance(x, Csr)
        if sparse not in self._hidden:
            program = lowered(below, self.dtype, training=False, sparse=sparse)
            self._hidden[sparse] = engine.Pool(program, self._flat)
        return self._hidden[sparse].predict(x, threads)

    def _reset_engine(self) -> None:
        super()._reset_engine()
        self._hidden = self._views = None

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key not in ("_hidden", "_views")}
