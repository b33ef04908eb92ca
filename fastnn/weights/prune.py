"""Pruning: masks that keep chosen weights at zero, through training, saving and copying."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.callbacks.base import Callback, count
from fastnn.inputs import check_count, check_seed
from fastnn.layers.base import Layer
from fastnn.layers.binary_dense import BinaryDense
from fastnn.layers.container import ends
from fastnn.layers.flatten import Flatten
from fastnn.layers.sparse_dense import SparseDense, refuse_norms
from fastnn.model import Sequential
from fastnn.named import number, one_of
from fastnn.sparse_inputs import refuse_sparse
from fastnn.sparsifying import convertible, make_sparse

__all__ = ["PruningSchedule", "SparsityReport", "SparsityRow", "prune", "remove_pruning", "set_masks",
           "sparsity_report"]

Array = NDArray[Any]
Mask = NDArray[np.bool_]

METHODS = ("magnitude", "random", "taylor", "structured")
SCOPES = ("layer", "global")
# Rows of the batches over which first-order importance is averaged.
TAYLOR_ROWS = 256


# ---- what can be pruned ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kernel:
    """A kernel of the model, as a matrix whose columns lead into one neuron (or filter) each."""

    layer: Layer
    place: int  # among the model's weights

    @property
    def name(self) -> str:
        return f"{self.layer.path}.kernel"

    @property
    def weight(self) -> Array:
        kernel = self.layer.weights["kernel"]
        return kernel.reshape(-1, kernel.shape[-1])

    @property
    def absent(self) -> int:
        """How many numbers of the matrix do not exist, where it is sparse: `weight` is a row of those that do."""
        layer = self.layer
        return layer.n_inputs * layer.n_outputs - layer.pattern.nnz if isinstance(layer, SparseDense) else 0

    @property
    def mask(self) -> Mask:
        """True where nothing is pruned; a copy."""
        masks = self.layer.masks
        return masks["kernel"].reshape(self.weight.shape).copy() if masks else np.ones(self.weight.shape, np.bool_)


def _all_kernels(model: Sequential) -> list[_Kernel]:
    places = [(leaf, name) for leaf in model._leaves() for name in leaf.weights]
    return [_Kernel(leaf, place) for place, (leaf, name) in enumerate(places) if name == "kernel"]


def _built(model: Any) -> Sequential:
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential; received {type(model).__name__}")
    if not model.built:
        raise ValueError("the model has no weights before it is built: call build(input_shape), or fit it")
    return model


def _chosen(model: Sequential, layers: Any) -> list[_Kernel]:
    """The kernels of some layers, given by name or as objects; for None of all layers that can do without weights."""
    known = _all_kernels(model)
    if layers is None:
        known = [kernel for kernel in known if not isinstance(kernel.layer, BinaryDense)]
        if not known:
            raise ValueError("the model has no kernels that can be pruned: there is nothing to do")
        return known
    if isinstance(layers, (str, Layer)) or not isinstance(layers, Sequence):
        raise TypeError(f"layers must be a list of layers or their names; received {layers!r}")
    by_name = {kernel.layer.path: kernel for kernel in known}
    chosen = []
    for entry in layers:
        name = entry.path if isinstance(entry, Layer) else entry
        if name not in by_name or (isinstance(entry, Layer) and by_name[name].layer is not entry):
            close = difflib.get_close_matches(str(name), by_name, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"the model has no layer {name!r} with a kernel.{hint} Layers with one: "
                             f"{', '.join(by_name) or 'none'}")
        _refuse_binary(by_name[name].layer)
        chosen.append(by_name[name])
    if not chosen:
        raise ValueError("layers must name at least one layer; received an empty list")
    return chosen


def _refuse_binary(layer: Layer) -> None:
    if isinstance(layer, BinaryDense):
        raise ValueError(f"the kernel of layer {layer.path!r} cannot be pruned: BinaryDense rounds 0 to 1; "
                         "TernaryDense has weights of 0")


# ---- which weights go --------------------------------------------------------------------------------------


def _lowest(scores: Array, removed: Mask, count: int) -> Mask:
    """True for what was removed, and for so many more with the lowest scores that there are `count` of them. Equal
    scores go in their order."""
    count = max(count, int(removed.sum()))
    ranked = np.where(removed, -np.inf, scores)
    if count == 0:
        return np.zeros_like(removed)
    last = np.partition(ranked, count - 1)[count - 1]
    gone: Mask = ranked < last
    gone[np.flatnonzero(ranked == last)[:count - int(gone.sum())]] = True
    return gone


def _best_above_all(score: Array, mask: Mask) -> Array:
    """The scores, with infinity for the highest of what is there, the last of equal ones: a layer that loses everything
    gives a constant."""
    found = np.array(score)
    found[len(score) - 1 - np.where(mask, score, -np.inf)[::-1].argmax()] = np.inf
    return found


def _share(scores: Sequence[Array], masks: Sequence[Mask], absent: Sequence[int], sparsity: float,
           scope: str) -> list[Mask]:
    """New masks without the `sparsity` lowest scores of each array, or of them all together; one of each stays. So many
    numbers besides have gone already."""
    scores = [_best_above_all(score, mask) for score, mask in zip(scores, masks, strict=True)]

    def count(size: int, missing: int, least: int) -> int:
        return min(round(sparsity * (size + missing)) - missing, size - least)

    if scope == "layer":
        return [~_lowest(score, ~mask, count(score.size, missing, 1))
                for score, mask, missing in zip(scores, masks, absent, strict=True)]
    gone = _lowest(np.concatenate(scores), ~np.concatenate(masks),
                   count(sum(score.size for score in scores), sum(absent), len(scores)))
    ends = np.cumsum([score.size for score in scores])
    return [~part for part in np.split(gone, ends[:-1])]


def _importance(model: Sequential, kernels: Sequence[_Kernel], data: Any) -> list[Array]:
    """Mean of |w g| over batches."""
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(f"method 'taylor' needs data=(x, y) or (x, y, sample_weight); received {type(data).__name__}")
    refuse_sparse(data[0], "method 'taylor'", "data[0]")
    arrays = [np.asarray(a) for a in data]
    n = len(arrays[0]) if arrays[0].ndim else 0
    total = [np.zeros(kernel.weight.shape) for kernel in kernels]
    for start in range(0, max(n, 1), TAYLOR_ROWS):
        x, y, *weight = (a[start:start + TAYLOR_ROWS] for a in arrays)
        gradients = model.gradients(x, y, weight[0] if weight else None)
        for score, kernel in zip(total, kernels, strict=True):
            score += np.abs(kernel.weight * gradients[kernel.place].reshape(score.shape))
    return total


def _weight_masks(model: Sequential, kernels: Sequence[_Kernel], sparsity: float, method: str, scope: str, seed: int,
                  data: Any) -> list[Mask]:
    if method == "magnitude":
        scores = [np.abs(kernel.weight) for kernel in kernels]
    elif method == "random":
        scores = [np.random.default_rng((seed, kernel.place)).random(kernel.weight.shape) for kernel in kernels]
    else:
        scores = _importance(model, kernels, data)
    flat = _share([score.ravel() for score in scores], [kernel.mask.ravel() for kernel in kernels],
                  [kernel.absent for kernel in kernels], sparsity, scope)
    return [mask.reshape(kernel.weight.shape) for mask, kernel in zip(flat, kernels, strict=True)]


def _neuron_masks(kernels: Sequence[_Kernel], sparsity: float, scope: str) -> list[Mask]:
    """Whole columns, by the root mean square of their weights."""
    scores = [np.sqrt(np.square(kernel.weight, dtype=np.float64).mean(axis=0)) for kernel in kernels]
    masks = [np.asarray(kernel.mask.any(axis=0)) for kernel in kernels]
    kept = _share(scores, masks, [0] * len(scores), sparsity, scope)
    return [np.repeat(mask[None], len(kernel.weight), axis=0) & kernel.mask
            for mask, kernel in zip(kept, kernels, strict=True)]


def _group_mask(kernel: _Kernel, n: int, m: int) -> Mask:
    """The n largest of each m weights that follow one another along the inputs; of a shorter last group n too."""
    rows, cols = kernel.weight.shape
    scores = np.full((-(-rows // m) * m, cols), -1.0)
    scores[:rows] = np.where(kernel.mask, np.abs(kernel.weight), -1)
    groups = scores.reshape(-1, m, cols)
    rank = np.argsort(np.argsort(-groups, axis=1, kind="stable"), axis=1, kind="stable")
    return (rank < n).reshape(-1, cols)[:rows] & kernel.mask


# ---- doing it ----------------------------------------------------------------------------------------------


def _check_method(method: Any) -> tuple[int, int] | None:
    """n and m of an n:m pattern, None for the other methods."""
    if isinstance(method, str) and method in METHODS:
        return None
    found = re.fullmatch(r"([0-9]+):([0-9]+)", method) if isinstance(method, str) else None
    if found and 0 < int(found[1]) < int(found[2]):
        return int(found[1]), int(found[2])
    close = difflib.get_close_matches(str(method), METHODS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"method must be {', '.join(map(repr, METHODS))}, or a pattern as '2:4' (2 weights of each 4 "
                     f"stay); received {method!r}.{hint}")


def _hidden(model: Sequential, kernels: Sequence[_Kernel], named: bool) -> list[_Kernel]:
    """Without those whose neurons are the model's outputs."""
    last, _ = ends(model.layers)
    inner = [kernel for kernel in kernels if kernel.layer not in last]
    if (named and len(inner) < len(kernels)) or not inner:
        outputs = next(kernel.layer for kernel in kernels if kernel.layer in last)
        raise ValueError(f"neurons of the last layer {outputs.path!r} are the model's outputs; only those of layers "
                         "before it can be removed")
    return inner


def _of_columns(kernels: Sequence[_Kernel], method: str, named: bool) -> list[_Kernel]:
    """Without sparse kernels, which have no whole columns."""
    dense = [kernel for kernel in kernels if not isinstance(kernel.layer, SparseDense)]
    if (named and len(dense) < len(kernels)) or not dense:
        raise ValueError(f"method {method!r} looks at whole columns of a kernel: SparseDense layers have none; "
                         "'magnitude', 'random' and 'taylor' prune their connections")
    return dense


def _prune(model: Sequential, kernels: Sequence[_Kernel], sparsity: float | None, method: str, scope: str, seed: int,
           data: Any = None) -> None:
    pattern = _check_method(method)
    if pattern is not None:
        masks = [_group_mask(kernel, *pattern) for kernel in kernels]
    elif method == "structured":
        masks = _neuron_masks(kernels, sparsity or 0.0, scope)
    else:
        masks = _weight_masks(model, kernels, sparsity or 0.0, method, scope, seed, data)
    for kernel, mask in zip(kernels, masks, strict=True):
        new: dict[str, Array] = {"kernel": mask.reshape(kernel.layer.weights["kernel"].shape)}
        if method == "structured" and "bias" in kernel.layer.weights:
            new["bias"] = np.asarray(mask.any(axis=0) & kernel.layer.masks.get("bias", True))
        model._hold(kernel.layer, new)


def prune(model: Sequential, sparsity: float | None = None, method: str = "magnitude", *, scope: str = "layer",
          layers: Sequence[Layer | str] | None = None, seed: int | None = None, data: Any = None) -> SparsityReport:
    """Set weights of kernels to zero, and hold them there while the model is trained further.

    What was pruned before stays pruned and counts. Biases are left alone, but for those of removed neurons. The
    slots of the optimizer that belong to removed weights start afresh.

    Parameters
    ----------
    model : Sequential
        Built; changed in place.
    sparsity : float
        Part of the weights (of the neurons for "structured") that are zero afterwards, in [0, 1), rounded to whole
        ones; but of each layer at least one stays. Weights that a sparse layer has not are zero already. An n:m pattern
        has its own: leave it out there.
    method : str, default "magnitude"
        - ``"magnitude"``: those nearest to zero go (Han et al., "Learning both weights and connections for efficient
          neural networks", 2015);
        - ``"random"``: any;
        - ``"taylor"``: those with the smallest ``abs(weight * gradient)``, the first-order change of the loss without
          them, averaged over batches of `data` (Molchanov et al., "Importance estimation for neural network pruning",
          2019). The model must be compiled;
        - ``"structured"``: whole neurons, or filters, with the smallest root mean square of the weights that lead
          into them (after Li et al., "Pruning filters for efficient ConvNets", 2017); their biases go too, and the
          last layer is left alone. `shrink` then makes the model smaller;
        - ``"2:4"`` or any other ``"n:m"``: of each m consecutive inputs of a neuron the n largest weights stay
          (Mishra et al., "Accelerating sparse deep neural networks", 2021).
    scope : {"layer", "global"}, default "layer"
        Whether each layer loses the same part, or all layers together, wherever the scores are lowest.
    layers : list of Layer or str, optional
        Default: all that have a kernel, but for `BinaryDense` layers, which round 0 to 1 and cannot be pruned.
    seed : int, optional
        For "random"; default: the model's.
    data : tuple (x, y) or (x, y, sample_weight)
        For "taylor".

    Returns
    -------
    SparsityReport

    Raises
    ------
    TypeError, ValueError
        If the model is not built, or an argument is not allowed; the model is then unchanged.
    RuntimeError
        If the model is being trained in another call.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((8,)), fnn.layers.Dense(16, "relu"), fnn.layers.Dense(2)], seed=0)
    >>> print(fnn.weights.prune(model, 0.75))
    weight          shape      params  pruned   zero  sparsity
    dense.kernel    (8, 16)       128      96     96    75.0 %
    dense.bias      (16,)          16       0     16   100.0 %
    dense_1.kernel  (16, 2)        32      24     24    75.0 %
    dense_1.bias    (2,)            2       0      2   100.0 %
    total                         178     120    138    77.5 %
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.ones((4, 8)), np.ones((4, 2)), epochs=3, verbose=0)
    >>> int((model.layers[0].kernel == 0).sum())
    96
    """
    model = _built(model)
    pattern = _check_method(method)
    if pattern is not None and sparsity is not None:
        raise ValueError(f"method {method!r} sets its own sparsity; received sparsity={sparsity!r}")
    if pattern is None:
        if sparsity is None:
            raise ValueError(f"method {method!r} needs a sparsity in [0, 1); received None")
        sparsity = number("sparsity", sparsity, "[0, 1)")
    scope, kernels = one_of("scope", scope, SCOPES), _chosen(model, layers)
    if method == "structured" or pattern is not None:
        kernels = _of_columns(kernels, method, layers is not None)
    if method == "structured":
        kernels = _hidden(model, kernels, layers is not None)
    if data is not None and method != "taylor":
        raise ValueError(f"data are used by method 'taylor' alone; received them with {method!r}")
    known = check_seed(seed)
    _prune(model, kernels, sparsity, method, scope, model.seed if known is None else known, data)
    return sparsity_report(model)


def set_masks(model: Sequential, masks: Mapping[str, ArrayLike]) -> None:
    """Hold weights at zero where a mask is False, in place of the masks that there were.

    Parameters
    ----------
    model : Sequential
        Built; changed in place.
    masks : mapping of str to array-like of bool
        By the names that `sparsity_report` shows, such as ``"dense.kernel"``; weights that are not named keep their
        masks.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, or the kernel's of a `BinaryDense` layer, or a mask is not of bool or of the weight's
        shape; the model is then unchanged.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(2)], seed=0)
    >>> fnn.weights.set_masks(model, {"dense.kernel": [[True, False], [False, True]]})
    >>> model.layers[0].kernel[0, 1], model.layers[0].masks["kernel"].sum()
    (np.float32(0.0), np.int64(2))
    """
    places = {f"{leaf.path}.{name}": (leaf, name) for leaf in _built(model)._leaves() for name in leaf.weights}
    if not isinstance(masks, Mapping):
        raise TypeError(f"masks must map names of weights to arrays; received {masks!r}")
    checked = []
    for name, mask in masks.items():
        if name not in places:
            close = difflib.get_close_matches(str(name), places, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"the model has no weight {name!r}.{hint} Its weights: {', '.join(places)}")
        layer, weight = places[name]
        if weight == "kernel":
            _refuse_binary(layer)
        array, shape = np.asarray(mask), layer.weights[weight].shape
        if array.dtype != np.bool_:
            raise TypeError(f"the mask of {name} must be of bool; received dtype {array.dtype}")
        if array.shape != shape:
            raise ValueError(f"the mask of {name} must have the shape {shape}; received {array.shape}")
        checked.append((layer, {weight: array}))
    for layer, new in checked:
        model._hold(layer, new)


def remove_pruning(model: Sequential) -> None:
    """Drop all masks: weights that are zero stay so until training moves them.

    Parameters
    ----------
    model : Sequential
        Changed in place.

    Raises
    ------
    TypeError, ValueError
        If it is not a built model.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((8,)), fnn.layers.Dense(4)], seed=0)
    >>> report = fnn.weights.prune(model, 0.5)
    >>> fnn.weights.remove_pruning(model)
    >>> model.layers[0].masks, int((model.layers[0].kernel == 0).sum())
    ({}, 16)
    """
    _built(model)._release_masks()


# ---- what is sparse ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SparsityRow:
    """A weight of a `SparsityReport`.

    Attributes
    ----------
    name : str
        ``layer.weight``.
    shape : tuple of int
    params, pruned, zero : int
        Numbers in it, held at zero by a mask, and equal to zero.
    """

    name: str
    shape: tuple[int, ...]
    params: int
    pruned: int
    zero: int

    @property
    def sparsity(self) -> float:
        """Part that is zero."""
        return self.zero / self.params


@dataclass(frozen=True, repr=False)
class SparsityReport:
    """How many weights are zero, by layer and in total; printed as a table.

    Attributes
    ----------
    rows : tuple of SparsityRow
        One for each weight of the model.
    """

    rows: tuple[SparsityRow, ...]

    @property
    def total(self) -> SparsityRow:
        """The sums over all weights."""
        sums = (sum(getattr(row, column) for row in self.rows) for column in ("params", "pruned", "zero"))
        return SparsityRow("total", (), *sums)

    @property
    def sparsity(self) -> float:
        """Part of all weights that is zero."""
        return self.total.sparsity

    def __getitem__(self, name: str) -> SparsityRow:
        """The row of a weight."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no weight {name!r}; there are {', '.join(row.name for row in self.rows)}")

    def __iter__(self) -> Iterator[SparsityRow]:
        return iter(self.rows)

    def __repr__(self) -> str:
        table = [("weight", "shape", "params", "pruned", "zero", "sparsity")]
        table += [(row.name, str(row.shape) if row.shape else "", f"{row.params:,}", f"{row.pruned:,}",
                   f"{row.zero:,}", f"{100 * row.sparsity:.1f} %") for row in (*self.rows, self.total)]
        widths = [max(len(line[i]) for line in table) for i in range(6)]
        return "\n".join("  ".join([f"{line[0]:<{widths[0]}}", f"{line[1]:<{widths[1]}}",
                                    *(f"{line[i]:>{widths[i]}}" for i in range(2, 6))]) for line in table)


def sparsity_report(model: Sequential) -> SparsityReport:
    """How many weights are zero.

    Parameters
    ----------
    model : Sequential
        Built.

    Returns
    -------
    SparsityReport

    Raises
    ------
    TypeError, ValueError
        If it is not a built model.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((8,)), fnn.layers.Dense(4, use_bias=False)], seed=0)
    >>> report = fnn.weights.prune(model, 0.25)
    >>> report["dense.kernel"].pruned, report.sparsity
    (8, 0.25)
    """
    rows = []
    for leaf in _built(model)._leaves():
        for name, weight in leaf.weights.items():
            pruned = int((~leaf.masks[name]).sum()) if name in leaf.masks else 0
            rows.append(SparsityRow(f"{leaf.path}.{name}", weight.shape, weight.size, pruned, int((weight == 0).sum())))
    return SparsityReport(tuple(rows))


# ---- while training ----------------------------------------------------------------------------------------


class PruningSchedule(Callback):
    """Prune little by little during `fit` (Zhu and Gupta, "To prune, or not to prune", 2017).

    At step t, counted from the beginning of `fit`, the sparsity is ``s1 + (s0 - s1) * (1 - (t - begin_step) /
    (end_step - begin_step)) ** power``: quick at first, while there is much to choose from. After `end_step` it stays
    at s1. As with `prune`, at least one weight (one neuron for "structured") of each layer stays.

    Parameters
    ----------
    final_sparsity : float
        s1, in [0, 1).
    initial_sparsity : float, default 0.0
        s0, in [0, `final_sparsity`].
    begin_step, end_step : int
        The first and the last step that prune; default of `begin_step`: 0.
    frequency : int, default 100
        Steps from one pruning to the next; `end_step` prunes in any case.
    power : float, default 3.0
        Greater than 0.
    method : {"magnitude", "random", "structured"}, default "magnitude"
    sparse_from : float, optional
        Dense layers become :class:`fastnn.layers.SparseDense` ones where an epoch begins, or `fit` ends, and at least
        this part of them is pruned: in (0, 1]. Sparse layers lose there what is pruned. From 0.8 on that makes training
        faster, and the model smaller. It is for layers of their own kernels in no container, and not for "structured";
        the layer that sparse samples go to stays dense, and constraints of norms are refused.
        Default: kernels stay dense, and masks hold their weights at zero. A run whose layers have become others can be
        saved, but `fit` cannot take it up with ``resume``.
    scope, layers, seed
        As for `prune`.

    Raises
    ------
    TypeError, ValueError
        For an argument that is not allowed; as training begins, for a layer that the model has not.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((8,)), fnn.layers.Dense(16, "relu"), fnn.layers.Dense(2)], seed=0)
    >>> model.compile("adam", "mse")
    >>> schedule = fnn.weights.PruningSchedule(0.9, end_step=20, frequency=5)
    >>> [schedule.sparsity(step) for step in (0, 10, 20, 100)]
    [0.0, 0.7875, 0.9, 0.9]
    >>> x, y = np.ones((32, 8)), np.ones((32, 2))
    >>> history = model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[schedule])
    >>> fnn.weights.sparsity_report(model)["dense.kernel"].pruned
    115
    """

    remembers: ClassVar = {"step": count}

    def __init__(self, final_sparsity: float, initial_sparsity: float = 0.0, *, begin_step: int = 0, end_step: int,
                 frequency: int = 100, power: float = 3.0, method: str = "magnitude", scope: str = "layer",
                 sparse_from: float | None = None, layers: Sequence[Layer | str] | None = None,
                 seed: int | None = None) -> None:
        super().__init__()
        self.final_sparsity = number("final_sparsity", final_sparsity, "[0, 1)")
        self.initial_sparsity = number("initial_sparsity", initial_sparsity, f"[0, {self.final_sparsity!r}]")
        self.begin_step = check_count("begin_step", begin_step, low=0)
        self.end_step = check_count("end_step", end_step, low=self.begin_step + 1)
        self.frequency = check_count("frequency", frequency)
        self.power = number("power", power, "(0, inf)")
        self.method = one_of("method", method, ("magnitude", "random", "structured"))
        self.scope = one_of("scope", scope, SCOPES)
        self.sparse_from = None if sparse_from is None else number("sparse_from", sparse_from, "(0, 1]")
        if sparse_from is not None and method == "structured":
            raise ValueError("sparse_from is for connections; method 'structured' prunes whole neurons, which "
                             "fastnn.weights.shrink removes")
        self.layers, self.seed = layers, check_seed(seed)
        self.step = 0
        self._paths: list[str] = []  # of the layers: some give place to others

    def sparsity(self, step: int) -> float:
        """What the schedule asks for after a number of steps; 0 before it begins."""
        if step < self.begin_step:
            return 0.0
        done = min(1.0, (step - self.begin_step) / (self.end_step - self.begin_step))
        return self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * (1 - done) ** self.power

    def _kernels(self) -> list[_Kernel]:
        kernels = _chosen(self.model, self._paths)
        return _hidden(self.model, kernels, self.layers is not None) if self.method == "structured" else kernels

    def _due(self) -> bool:
        regular = (self.step - self.begin_step) % self.frequency == 0
        return self.step == self.end_step or (self.begin_step <= self.step < self.end_step and regular)

    def _prune(self) -> None:
        if self._due():
            seed = self.model.seed if self.seed is None else self.seed
            _prune(self.model, self._kernels(), self.sparsity(self.step), self.method, self.scope, seed)

    def on_train_begin(self, logs: Any = None) -> None:
        self.step = 0
        chosen = _chosen(self.model, self.layers)
        if self.method == "structured":
            chosen = _of_columns(chosen, self.method, self.layers is not None)
        self._paths = [kernel.layer.path for kernel in chosen]
        self._kernels()
        if self.sparse_from is not None:
            for layer in self._able():
                refuse_norms(layer)
        self.model._mask_block()  # the engine takes up masks as an epoch begins
        self._prune()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._become_sparse()

    def on_train_end(self, logs: Any = None) -> None:
        self._become_sparse()

    def _able(self) -> list[Layer]:
        """Those of the layers that can become sparser. Sparse samples go to a dense one."""
        chosen = [layer for layer in convertible(self.model) if layer.path in self._paths]
        reader = next((layer for layer in self.model.layers if not isinstance(layer, Flatten)), None)
        if reader not in chosen or not self.model._run.sparse:
            return chosen
        if self.layers is not None:
            raise ValueError(f"layer {reader.path!r} cannot become sparse, since samples that are sparse matrices go "
                             "to Dense layers: leave it out of layers, or train with x.toarray()")
        return [layer for layer in chosen if layer is not reader]

    def _become_sparse(self) -> None:
        if self.sparse_from is None:
            return
        able, stays = self._able(), {}
        for kernel in self._kernels():
            mask, is_sparse = kernel.mask, isinstance(kernel.layer, SparseDense)
            if kernel.layer in able and not mask.all() and (is_sparse or 1 - mask.mean() >= self.sparse_from):
                stays[kernel.layer] = mask
        make_sparse(self.model, stays)
        self.model._mask_block()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self._prune()
