"""SET and RigL: sparse layers whose connections move while they are trained."""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn import initializers, kernels
from fastnn.callbacks.base import Callback, Logs, count
from fastnn.inputs import check_count, check_seed
from fastnn.layers import Activation, Dropout, GaussianDropout, Layer, SparseDense
from fastnn.layers.container import ends
from fastnn.layers.sparse_dense import of_numbers
from fastnn.named import number
from fastnn.sparse import Pattern

__all__ = ["SET", "NeuronPruning", "RigL"]

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Positions = NDArray[np.int64]
# A layer, its new pattern, all values, and the places among the old entries of those that stay, -1 for new ones.
Structure = tuple[SparseDense, Pattern, Array, Positions]

# Streams of random numbers of a model, beside those of initial weights, shuffles and first patterns: where connections
# grow, and their first values.
GROWTH, VALUES = 3, 4
# Gradients of all positions are looked at so many at a time.
BLOCK = 1 << 22


class _Topology(Callback):
    """What the callbacks here share: layers, a seed, and how often they have acted."""

    remembers: ClassVar = {"changes": count}

    def __init__(self, layers: Sequence[SparseDense | str] | None, seed: int | None) -> None:
        super().__init__()
        if layers is not None and (isinstance(layers, str) or not isinstance(layers, Sequence) or not layers
                                   or not all(isinstance(layer, (str, SparseDense)) for layer in layers)):
            raise TypeError(f"layers must be a list of SparseDense layers or their paths, or None; received {layers!r}")
        self.layers, self.seed = layers, check_seed(seed)
        self.changes = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.changes = 0
        self._chosen()

    def _chosen(self) -> list[SparseDense]:
        """The layers, in the order of the model."""
        known = {leaf.path: leaf for leaf in self.model._leaves() if isinstance(leaf, SparseDense)}
        if not known:
            raise ValueError(f"{type(self).__name__} changes SparseDense layers; the model has none as training begins")
        if self.layers is None:
            return list(known.values())
        names = [layer if isinstance(layer, str) else layer.path for layer in self.layers]
        for name, layer in zip(names, self.layers, strict=True):
            if name not in known or (isinstance(layer, SparseDense) and known[name] is not layer):
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ValueError(f"the model has no SparseDense layer {name!r}.{hint} It has {', '.join(known)}")
        return [layer for name, layer in known.items() if name in names]

    def _trained(self) -> list[tuple[int, SparseDense]]:
        """Those of the layers that are trained now, with numbers that random streams are told apart by."""
        return [(place, layer) for place, layer in enumerate(self._chosen()) if layer.trainable]

    def _key(self, stream: int, place: int) -> tuple[int, int, int, int]:
        # The optimizer's steps go on from one fit to the next, and where a run is taken up.
        seed, state = self.model.seed if self.seed is None else self.seed, self.model._state
        return seed, stream, place, 0 if state is None else state.step

    def _apply(self, found: list[Structure]) -> None:
        self.changes += 1
        if found:
            self.model._set_structure(found)


def _rewired(layer: SparseDense, kept: Mask, positions: Positions, fresh: Array) -> Structure:
    """The entries that are kept, and new ones with the values `fresh`."""
    pattern, old = layer.pattern, layer.weights["kernel"]
    indptr, indices, origin = kernels.merge_pattern(pattern.shape, pattern.indptr, pattern.indices, kept, positions)
    values = old[origin]
    values[origin < 0] = fresh
    return layer, Pattern(pattern.shape, indptr, indices, copy=False), values, origin


def _free(pattern: Pattern, number_of: int, key: tuple[int, ...]) -> Positions:
    """So many of the positions where no entry is."""
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    ranks = kernels.random_positions(_n_free(pattern), number_of, seed=seed)
    return kernels.free_positions(ranks, pattern.shape, pattern.indptr, pattern.indices)


def _n_free(pattern: Pattern) -> int:
    return math.prod(pattern.shape) - pattern.nnz


class SET(_Topology):
    """Sparse evolutionary training: before every epoch but the first, the weakest connections of sparse layers go, and
    as many grow anywhere else (Mocanu, Mocanu, Stone, Nguyen, Gibescu and Liotta, "Scalable training of artificial
    neural networks with adaptive sparse connectivity inspired by network science", Nature Communications, 2018).

    In each layer the part `zeta` of the positive weights that are the smallest goes, and of the negative ones the
    largest; as many connections grow at random positions without one, each with equal probability. What the optimizer
    knows of those that stay is kept; of new ones it knows nothing. They begin with zero, so that they disturb nothing
    (the published programs draw small numbers). The cost is proportional to the number of connections.

    Parameters
    ----------
    zeta : float, default 0.3
        In (0, 1).
    every : int, default 1
        Epochs from one change to the next.
    initializer : str or Initializer, default "zeros"
        Of new connections; not one for matrices, as `Orthogonal`.
    layers : list of SparseDense or str, optional
        Layers, or their paths. Default: all that are sparse. Those that are not trainable stay as they are.
    seed : int, optional
        Of what grows where; default: the model's.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed; as training begins, for a layer that the model has not.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((20,)), fnn.layers.SparseDense(50, "relu", density=0.1),
    ...                         fnn.layers.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> before = model.layers[0].pattern
    >>> history = model.fit(np.ones((64, 20)), np.ones(64), epochs=3, verbose=0, callbacks=[fnn.callbacks.SET(0.3)])
    >>> after = model.layers[0].pattern
    >>> after.nnz == before.nnz, after.equals(before)
    (True, False)
    """

    remembers: ClassVar = {"changes": count, "epochs": count}

    def __init__(self, zeta: float = 0.3, every: int = 1, *, initializer: Any = "zeros",
                 layers: Sequence[SparseDense | str] | None = None, seed: int | None = None) -> None:
        super().__init__(layers, seed)
        self.zeta = number("zeta", zeta, "(0, 1)")
        self.every = check_count("every", every)
        self.initializer = of_numbers("initializer", initializers.get(initializer))
        self.epochs = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self.epochs = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        # Not where one ends: the weights that are judged and saved there are those that were trained.
        if self.epochs and self.epochs % self.every == 0:
            self._apply([self._evolved(place, layer) for place, layer in self._trained()])

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epochs += 1

    def _evolved(self, place: int, layer: SparseDense) -> Structure:
        values, pattern = layer.weights["kernel"], layer.pattern
        zeta = min(self.zeta, _n_free(pattern) / pattern.nnz)  # what goes must find another place
        negative = int(np.count_nonzero(np.signbit(values)))
        kept = np.ones(values.shape, np.bool_)
        gone = 0
        for sign, n in ((1, pattern.nnz - negative), (-1, negative)):
            kernels.drop_smallest(values, int(zeta * n), sign=sign, kept=kept)
            gone += int(zeta * n)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._key(VALUES, place))))
        fresh = self.initializer((gone,), values.dtype.name, rng)
        return _rewired(layer, kept, _free(pattern, gone, self._key(GROWTH, place)), fresh)


class RigL(_Topology):
    """Rigging the lottery: every so many steps the weakest connections of sparse layers go, and as many grow where the
    gradient is largest (Evci, Gale, Menick, Castro and Elsen, "Rigging the lottery: making all tickets winners", 2020).

    After step t, counted from the beginning of `fit`, the part ``fraction / 2 * (1 + cos(pi * t / end_step))`` of each
    layer's connections with the smallest magnitudes goes. Of all positions that are then without one, those grow whose
    gradient in the batch of step t has the largest magnitude. Those that were there a moment before go on, others begin
    with zero, and the optimizer knows nothing of them. No dense gradient is kept, only the largest numbers of it; but
    all of it is computed, which costs what a dense layer's does, once in `every` steps.

    Parameters
    ----------
    fraction : float, default 0.3
        In (0, 1).
    every : int, default 100
        Steps from one change to the next.
    end_step : int, optional
        From this step on connections stay. Default: three quarters of the steps that `fit` makes.
    candidates : int, optional
        Look at the gradients of so many random positions without a connection in place of all, for layers whose dense
        gradient is too much to compute.
    layers : list of SparseDense or str, optional
        Layers, or their paths. Default: all that are sparse. Those that are not trainable stay as they are.
    seed : int, optional
        Of the candidates; default: the model's.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed; as training begins, for a layer that the model has not, or if `end_step` is
        needed, since nobody knows how long a stream is.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((20,)), fnn.layers.SparseDense(50, "relu", density=0.1),
    ...                         fnn.layers.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> rigl = fnn.callbacks.RigL(every=5)
    >>> history = model.fit(np.ones((64, 20)), np.ones(64), batch_size=8, epochs=5, verbose=0, callbacks=[rigl])
    >>> rigl.end_step, rigl.changes
    (30, 5)
    """

    remembers: ClassVar = {"changes": count, "step": count, "begin": count}

    def __init__(self, fraction: float = 0.3, every: int = 100, end_step: int | None = None, *,
                 candidates: int | None = None, layers: Sequence[SparseDense | str] | None = None,
                 seed: int | None = None) -> None:
        super().__init__(layers, seed)
        self.fraction = number("fraction", fraction, "(0, 1)")
        self.every = check_count("every", every)
        self._end_step = None if end_step is None else check_count("end_step", end_step)
        self.candidates = None if candidates is None else check_count("candidates", candidates, high=2**53)
        self.step = self.begin = 0

    @property
    def end_step(self) -> int:
        """The step from which on connections stay."""
        if self._end_step is not None:
            return self._end_step
        if not self.params.get("steps"):
            raise ValueError("RigL needs end_step: how many steps an epoch of this stream has is not known")
        return max(1, 3 * (self.params["epochs"] - self.begin) * self.params["steps"] // 4)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self.step = self.begin = 0
        _ = self.end_step

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if not self.step:  # the first epoch of this run, unless it is taken up: then `set_state` follows
            self.begin = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.step += 1
        if self.step % self.every == 0 and self.step < self.end_step:
            part = self.fraction / 2 * (1 + math.cos(math.pi * self.step / self.end_step))
            self._apply([self._evolved(place, layer, part) for place, layer in self._trained()])

    def on_train_end(self, logs: Logs | None = None) -> None:
        if not self.changes:
            warnings.warn(f"RigL moved no connections: it does so after every {self.every} steps, before step "
                          f"{self.end_step}, and fit made {self.step}. Give RigL a smaller every, or train for more "
                          "epochs", UserWarning, stacklevel=2)

    def _evolved(self, place: int, layer: SparseDense, part: float) -> Structure:
        values, pattern = layer.weights["kernel"], layer.pattern
        x, dz = self.model._running.last_batch(layer._offsets["kernel"])
        found = None
        wanted = min(int(part * pattern.nnz), _n_free(pattern))
        if self.candidates is not None:
            found = _free(pattern, min(_n_free(pattern), max(self.candidates, wanted)), self._key(GROWTH, place))
        kept = kernels.drop_smallest(values, wanted)
        positions = _steepest(x, dz, pattern, kept, wanted) if found is None else _steepest_of(x, dz, found, wanted)
        positions = _going_on(pattern, kept, positions)
        return _rewired(layer, kept, positions, np.zeros(positions.size, values.dtype))


def _going_on(pattern: Pattern, kept: Mask, positions: Positions) -> Positions:
    """Keep what was to go where it would grow again; the positions that are really new."""
    gone = np.flatnonzero(~kept)
    there = _positions(pattern, gone)
    again, _, places = np.intersect1d(positions, there, assume_unique=True, return_indices=True)
    kept[gone[places]] = True
    return np.setdiff1d(positions, again, assume_unique=True)


def _positions(pattern: Pattern, entries: Positions) -> Positions:
    """``row * columns + column`` of entries, in ascending order."""
    rows = np.searchsorted(pattern.indptr, entries, side="right") - 1
    return rows * pattern.shape[1] + pattern.indices[entries]


class _Largest:
    """The positions of the `size` largest of many scores, that come in the order of positions; of equal ones the
    first."""

    def __init__(self, size: int) -> None:
        self.size, self.least = size, -1.0
        self.scores, self.positions = np.empty(0), np.empty(0, np.int64)

    def add(self, scores: Array, first: int) -> None:
        """Scores of the positions from `first` on; those below zero do not count."""
        above = np.flatnonzero(scores > self.least)
        self.scores = np.concatenate([self.scores, scores[above]])
        self.positions = np.concatenate([self.positions, above + first])
        if self.scores.size > self.size:
            last = np.partition(self.scores, -self.size)[-self.size]
            stays = self.scores > last
            ties = np.flatnonzero(self.scores == last)
            stays[ties[:self.size - int(np.count_nonzero(stays))]] = True
            self.scores, self.positions, self.least = self.scores[stays], self.positions[stays], float(last)


def _steepest(x: Array, dz: Array, pattern: Pattern, kept: Mask, wanted: int) -> Positions:
    """Where, of all positions without an entry that is kept, ``x.T @ dz`` has the largest magnitudes."""
    largest = _Largest(wanted)
    rows, cols = pattern.shape
    block = max(1, BLOCK // cols)
    for start in range(0, rows if wanted else 0, block):
        scores = np.abs(kernels.dense_forward(np.ascontiguousarray(x[:, start:start + block].T), dz))
        first, last = pattern.indptr[start], pattern.indptr[min(start + block, rows)]
        there = first + np.flatnonzero(kept[first:last])
        scores.reshape(-1)[_positions(pattern, there) - start * cols] = -1
        largest.add(scores.reshape(-1), start * cols)
    return largest.positions


def _steepest_of(x: Array, dz: Array, positions: Positions, wanted: int) -> Positions:
    """The same among some positions."""
    scores = np.empty(positions.size, x.dtype)
    size = max(1, BLOCK // len(x))
    for start in range(0, positions.size, size):
        rows, cols = np.divmod(positions[start:start + size], dz.shape[1])
        scores[start:start + size] = np.abs(np.einsum("bi,bi->i", x[:, rows], dz[:, cols]))
    largest = _Largest(wanted)
    if wanted:
        largest.add(scores, 0)
    return positions[largest.positions]


class NeuronPruning(_Topology):
    """Importance pruning: before some epochs, the hidden units of sparse layers with the weakest incoming connections
    lose all of them (Curci, Mocanu and Pechenizkiy, "Truly sparse neural networks at scale", 2021).

    The importance of a unit is the sum of the magnitudes of the weights that lead into it. The `part` of those units of
    a layer that have any, where these sums are the smallest, loses all of them, and its biases become zero. Where the
    next layer with a kernel is sparse too, and nothing stands between them but layers that leave a zero a zero, the
    connections that lead out of them go as well. The model becomes smaller and faster; memory and time follow the
    connections that are left. SET and RigL may connect such a unit again.

    Parameters
    ----------
    part : float, default 0.1
        In (0, 1).
    begin_epoch : int, default 1
        The first epoch, counted from 0, before which it happens.
    every : int, default 20
        Epochs from one pruning to the next.
    layers : list of SparseDense or str, optional
        Layers, or their paths. Default: all that are sparse, but for those whose units are the model's outputs: with no
        other kernel behind them. Units stay whose going would change a layer that is not trainable.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed; as training begins, for a layer that the model has not, or whose units are
        the model's outputs.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((20,)), fnn.layers.SparseDense(50, "relu", density=0.2),
    ...                         fnn.layers.SparseDense(10, density=0.5)], seed=0)
    >>> model.compile("adam", "mse")
    >>> pruning = fnn.callbacks.NeuronPruning(0.2, every=1)
    >>> history = model.fit(np.ones((64, 20)), np.ones((64, 10)), epochs=3, verbose=0, callbacks=[pruning])
    >>> int((model.layers[0].kernel != 0).sum(axis=0).astype(bool).sum())
    32
    """

    def __init__(self, part: float = 0.1, begin_epoch: int = 1, every: int = 20, *,
                 layers: Sequence[SparseDense | str] | None = None) -> None:
        super().__init__(layers, None)
        self.part = number("part", part, "(0, 1)")
        self.begin_epoch = check_count("begin_epoch", begin_epoch, low=0)
        self.every = check_count("every", every)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if epoch >= self.begin_epoch and (epoch - self.begin_epoch) % self.every == 0:
            self._apply(self._pruned())

    def _chosen(self) -> list[SparseDense]:
        chosen, (last, _) = super()._chosen(), ends(self.model.layers)
        given = [layer for layer in chosen if layer in last and self.layers is not None]
        if given:
            raise ValueError(f"the units of layer {given[0].path!r} are the model's outputs: none can go")
        return [layer for layer in chosen if layer not in last]

    def _pruned(self) -> list[Structure]:
        kept: dict[SparseDense, Mask] = {}
        for _, layer in self._trained():
            gone, behind = _weakest_units(layer, self.part), _reader_of_zeros(self.model.layers, layer)
            if behind is not None and not behind.trainable:
                gone &= np.diff(behind.pattern.indptr) == 0
            _keep(kept, layer, ~gone[layer.pattern.indices])
            if "bias" in layer.weights:
                layer.weights["bias"][gone] = 0
            if behind is not None:
                _keep(kept, behind, ~np.repeat(gone, np.diff(behind.pattern.indptr)))
        nothing = np.empty(0, np.int64)
        return [_rewired(layer, stays, nothing, np.empty(0)) for layer, stays in kept.items()
                if stays.any() and not stays.all()]


def _keep(kept: dict[SparseDense, Mask], layer: SparseDense, stays: Mask) -> None:
    kept[layer] = kept[layer] & stays if layer in kept else stays


def _weakest_units(layer: SparseDense, part: float) -> Mask:
    """True for the part of the units that have any connections in whose weights' magnitudes have the smallest sums."""
    indices, values = layer.pattern.indices, layer.weights["kernel"]
    connected = np.flatnonzero(np.bincount(indices, minlength=layer.units))
    strength = np.bincount(indices, np.abs(values), layer.units)[connected]
    gone = np.zeros(layer.units, np.bool_)
    gone[connected[np.argsort(strength, kind="stable")[:int(part * connected.size)]]] = True
    return gone


def _reader_of_zeros(layers: Sequence[Layer], layer: SparseDense) -> SparseDense | None:
    """The sparse layer that reads a zero where a unit of `layer` has no connections and no bias, if there is one."""
    if layer not in layers or not _keeps_zero(layer):
        return None
    for behind in layers[layers.index(layer) + 1:]:
        if isinstance(behind, SparseDense):
            return behind
        if not (type(behind) in (Dropout, GaussianDropout) or (type(behind) is Activation and _keeps_zero(behind))):
            return None
    return None


def _keeps_zero(layer: Any) -> bool:
    return not layer.activation.rowwise and float(layer.activation(np.zeros(1))[0]) == 0
