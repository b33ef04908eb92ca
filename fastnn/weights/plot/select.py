"""What of a model is drawn: a layer by name, index or object, and its kernel as a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.layers import PackedDense
from fastnn.layers.base import Layer
from fastnn.model import Sequential
from fastnn.named import integer, listed
from fastnn.weights.transfer import checked_name, named_weights

__all__ = ["kernel_of", "layer_of", "layers_with_kernels", "leaves_with_kernels", "matrix_of", "shown", "some"]

Array = NDArray[Any]


def layer_of(model: Sequential, layer: Any) -> Layer:
    """The layer of a built model that a name or path, an index in ``model.layers`` or the layer itself stands for."""
    named_weights(model, "model")
    known = {member.path: member for member in model._family}
    if isinstance(layer, Layer):
        if known.get(layer.path) is not layer:
            raise ValueError(f"{layer!r} is no layer of the model; its layers: {', '.join(known)}")
        return layer
    i = integer(layer)
    if i is not None:
        n = len(model.layers)
        if not -n <= i < n:
            raise ValueError(f"layer must be in [{-n}, {n - 1}], the layers of the model; received {i}")
        return model.layers[i]
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a name, an index or a layer of the model; received {layer!r}")
    return known[checked_name(layer, known, "layer of the model")]


def kernel_of(layer: Layer) -> Any:
    """A layer's kernel in its own shape, a scipy.sparse array of a sparse layer, the embeddings of an embedding; None
    where it has none."""
    if isinstance(layer, PackedDense):
        return _unpacked(layer)
    kernel = getattr(layer, "kernel", layer.weights.get("kernel", layer.weights.get("embeddings")))
    return kernel if kernel is not None and getattr(kernel, "ndim", 0) >= 2 else None


def leaves_with_kernels(model: Sequential) -> list[Layer]:
    """All that have kernels, of a model that may have none."""
    return [leaf for leaf in model._leaves() if kernel_of(leaf) is not None]


def _unpacked(layer: PackedDense) -> Array:
    words = layer.words.astype("<u8")
    bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")[..., :layer.n_inputs]
    values = np.moveaxis(bits, -1, -2).astype(np.float32)
    if layer.values == "ternary":
        return values[0] - values[1]
    return 2 * values - 1 if layer.values == "sign" else values


def layers_with_kernels(model: Sequential, layers: Any = None) -> list[Layer]:
    """Those named, or all, that have kernels."""
    named_weights(model, "model")
    if layers is None:
        found = leaves_with_kernels(model)
        if not found:
            raise ValueError("the model has no layer with a kernel: there is nothing to draw")
        return found
    if isinstance(layers, Layer) or integer(layers) is not None:
        layers = [layers]
    chosen = [layer_of(model, layer) for layer in listed("layers", layers, "a layer, a list of them, or None for all")]
    if not chosen:
        raise ValueError("layers must name at least one layer, or be None for all; received an empty list")
    for layer in chosen:
        _needs_kernel(model, layer)
    return chosen


def matrix_of(model: Sequential, layer: Any) -> tuple[str, Any]:
    """Path and kernel of a layer, as a matrix (inputs, units), which may be a scipy.sparse array."""
    found = layer_of(model, layer)
    kernel = _needs_kernel(model, found)
    return found.path, kernel if hasattr(kernel, "tocsr") else kernel.reshape(-1, kernel.shape[-1])


def _needs_kernel(model: Sequential, layer: Layer) -> Any:
    kernel = kernel_of(layer)
    if kernel is None:
        known = ", ".join(leaf.path for leaf in leaves_with_kernels(model))
        raise ValueError(f"layer {layer.path!r} ({type(layer).__name__}) has no kernel; layers with one: "
                         f"{known or 'none'}")
    return kernel


def some(n: int, most: int) -> NDArray[np.intp]:
    """The places of `n` things, or of `most` of them drawn at random, always the same, in order: the first ones of
    samples that are sorted would not stand for the others."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def shown(matrix: Any) -> Array:
    """The numbers of a matrix that exist, flat: of a sparse one its entries."""
    return np.asarray(matrix.data if hasattr(matrix, "tocsr") else matrix).ravel()
