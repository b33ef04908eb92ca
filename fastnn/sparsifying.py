"""Dense layers that become sparse ones of the weights that matter."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import kernels
from fastnn.layers.base import Layer
from fastnn.layers.dense import Dense
from fastnn.layers.sparse_dense import SparseDense
from fastnn.named import number
from fastnn.sparse import Pattern

__all__ = ["convertible", "make_sparse", "sparsified"]

Mask = NDArray[np.bool_]

# From this share of zeros on a step of a sparse layer is faster than that of a dense one.
WORTHWHILE = 0.8


def sparsified(model: Any, threshold: float | None, sparsity: float | None,
               layers: Sequence[Layer | str] | None) -> Any:
    """See :meth:`fastnn.Sequential.sparsify`."""
    if threshold is not None and sparsity is not None:
        raise ValueError(f"one of threshold and sparsity may be given; received {threshold!r} and {sparsity!r}")
    least = number("threshold", 0.0 if threshold is None else threshold, "[0, inf)")
    share = None if sparsity is None else number("sparsity", sparsity, "[0, 1)")
    chosen = [layer.path for layer in _chosen(model, layers)]
    new = copy.deepcopy(model)
    stays = {leaf: _staying(leaf, least, share) for leaf in new._leaves() if leaf.path in chosen}
    if layers is None and share is None:
        stays = {leaf: mask for leaf, mask in stays.items()
                 if isinstance(leaf, SparseDense) or 1 - mask.mean() >= WORTHWHILE}
    make_sparse(new, stays)
    return new


def convertible(model: Any) -> list[Layer]:
    """The layers of a built model whose kernels can become sparser: Dense layers that stand in no container and have a
    kernel of their own, and those that are sparse already."""
    leaves = model._leaves()
    owners = [tie for leaf in leaves if (tie := getattr(leaf, "_tie", None)) is not None]
    return [leaf for leaf in leaves if isinstance(leaf, SparseDense) or (
        type(leaf) is Dense and leaf in model.layers and leaf.tied_to is None and leaf not in owners)]


def _chosen(model: Any, layers: Sequence[Layer | str] | None) -> list[Layer]:
    model._named_weights()  # refuses a model that is not built
    known = {layer.path: layer for layer in convertible(model)}
    if layers is None:
        layers = list(known)
    if isinstance(layers, (str, Layer)) or not isinstance(layers, Sequence):
        raise TypeError(f"layers must be a list of layers or their names; received {layers!r}")
    able = f"those in containers, and those that share a kernel, cannot. There are {', '.join(known) or 'none'}"
    if not layers:
        raise ValueError(f"sparsify needs a Dense or SparseDense layer that can become sparser: {able}")
    for entry in layers:
        name = entry.path if isinstance(entry, Layer) else entry
        if name not in known or (isinstance(entry, Layer) and known[name] is not entry):
            raise ValueError(f"{name!r} is no Dense or SparseDense layer that can become sparser: {able}")
    return [known[entry.path if isinstance(entry, Layer) else entry] for entry in layers]


def _staying(layer: Layer, threshold: float, sparsity: float | None) -> Mask:
    """Which weights of a kernel stay, of the shape in which the layer has them; one at least."""
    values = layer.weights["kernel"]
    if sparsity is None:
        stays = np.abs(values) > threshold
    else:
        size = layer.n_inputs * layer.n_outputs
        gone = round(sparsity * size) - (size - values.size)
        stays = kernels.drop_smallest(values.ravel(), min(max(gone, 0), values.size - 1)).reshape(values.shape)
    if not stays.any():
        stays.flat[np.abs(values).argmax()] = True
    return stays


def make_sparse(model: Any, stays: Mapping[Layer, Mask]) -> None:
    """Layers of a built model lose the weights that do not stay, and those that were dense become sparse; in place.
    What the optimizer knows of the others, it knows then too."""
    if not stays:
        return
    # A sparse kernel of all positions lies in memory as the dense one does.
    full: dict[Layer, SparseDense] = {layer: _full(layer) for layer in stays if isinstance(layer, Dense)}
    if full:
        model._exchange_layers(full)
    changes = []
    for layer, mask in stays.items():
        sparse = full.get(layer, layer)
        assert isinstance(sparse, SparseDense)
        pattern, flat = sparse.pattern, mask.ravel()
        indptr, indices, origin = kernels.merge_pattern(pattern.shape, pattern.indptr, pattern.indices, flat, [])
        new = Pattern(pattern.shape, indptr, indices, copy=False)
        changes.append((sparse, new, sparse.weights["kernel"][flat], origin))
    model._set_structure(changes)


def _full(layer: Dense) -> SparseDense:
    """A sparse layer with all connections of a dense one, and its weights."""
    shape = layer.n_inputs, layer.units
    columns = np.tile(np.arange(shape[1], dtype=np.int32), shape[0])
    sparse = SparseDense._like(layer, Pattern(shape, np.arange(shape[0] + 1) * shape[1], columns, copy=False))
    sparse.weights = {"kernel": layer.kernel.reshape(math.prod(shape))} | {
        name: weight for name, weight in layer.weights.items() if name != "kernel"}
    return sparse
