"""Models for prediction: batch normalization folded into the layers with kernels beside it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from fastnn.layers.base import Layer
from fastnn.layers.batch_normalization import BatchNormalization
from fastnn.layers.container import Container
from fastnn.layers.convolution import Convolution
from fastnn.layers.dense import Dense
from fastnn.layers.dropout import Dropout
from fastnn.layers.gaussian_noise import GaussianNoise

__all__ = ["fused"]

Array = NDArray[Any]


def fused(model: Any) -> Any:
    """See :meth:`fastnn.Sequential.fuse`."""
    new = copy.deepcopy(model)
    leaves = new._leaves()
    shared = {id(layer) for leaf in leaves if (tie := getattr(leaf, "_tie", None)) for layer in (leaf, tie)}
    new._set_layers(_fused_chain(new.layers, shared))
    return new


def _fused_chain(layers: Sequence[Layer], shared: set[int]) -> list[Layer]:
    """The chain without noise, and without each batch normalization that has a kernel beside it."""
    chain = [layer for layer in layers if not isinstance(layer, (Dropout, GaussianNoise))] or list(layers[:1])
    for layer in chain:
        if isinstance(layer, Container):
            layer._chains = tuple(tuple(_fused_chain(inner, shared)) for inner in layer._chains)
    while _fold_one(chain, shared):
        pass
    return chain


def _fold_one(chain: list[Layer], shared: set[int]) -> bool:
    """Fold a batch normalization into its neighbour and remove it; whether there was one to fold."""
    for i, norm in enumerate(chain):
        if not isinstance(norm, BatchNormalization):
            continue
        before, after = chain[i - 1] if i else None, chain[i + 1] if i + 1 < len(chain) else None
        if _takes(before, shared) and before.activation.name == "linear":
            _fold_behind(before, *_affine(norm))
        elif _takes(after, shared) and getattr(after, "padding", "valid") == "valid":   # padded zeros are not shifted
            _fold_before(after, *_affine(norm))
        else:
            continue
        del chain[i]
        return True
    return False


def _takes(layer: Any, shared: set[int]) -> TypeGuard[Dense | Convolution]:
    """Whether the layer has a kernel (..., inputs, outputs) that is its own to change."""
    return isinstance(layer, (Dense, Convolution)) and id(layer) not in shared


def _affine(norm: BatchNormalization) -> tuple[Array, Array]:
    """Batch normalization of predictions as ``x * scale + shift``, in float64."""
    moving = {name: weight.astype(np.float64) for name, weight in norm.weights.items()}
    scale = moving.get("gamma", 1.0) / np.sqrt(moving["moving_variance"] + norm.epsilon)
    return scale, moving.get("beta", 0.0) - moving["moving_mean"] * scale


def _fold_behind(layer: Dense | Convolution, scale: Array, shift: Array) -> None:
    """``(x @ kernel + bias) * scale + shift``"""
    _replace(layer, layer.kernel * scale, layer.weights.get("bias", 0.0) * scale + shift)


def _fold_before(layer: Dense | Convolution, scale: Array, shift: Array) -> None:
    """``(x * scale + shift) @ kernel + bias``"""
    kernel = layer.kernel.astype(np.float64)
    shifted = (shift[:, None] * kernel).sum(axis=tuple(range(kernel.ndim - 1)))
    _replace(layer, scale[:, None] * kernel, layer.weights.get("bias", 0.0) + shifted)


def _replace(layer: Dense | Convolution, kernel: Array, bias: Array) -> None:
    dtype = layer.kernel.dtype
    layer.weights = {"kernel": kernel.astype(dtype), "bias": bias.astype(dtype)}
    layer.__dict__["use_bias"] = True   # fixed once built, and the model is built anew
