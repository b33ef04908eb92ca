"""Models for prediction whose weights of few values are bits."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import activations
from fastnn.kernels import pack_bits
from fastnn.kernels.packed import BINARY, MOST_INPUTS
from fastnn.layers.activation import Activation
from fastnn.layers.base import Layer
from fastnn.layers.container import Container
from fastnn.layers.convolution import Convolution
from fastnn.layers.dense import Dense
from fastnn.layers.dropout import Dropout
from fastnn.layers.flatten import Flatten
from fastnn.layers.gaussian_noise import GaussianNoise
from fastnn.layers.packed_dense import PackedDense
from fastnn.layers.reshape import Reshape
from fastnn.layers.rounded import RoundedDense

__all__ = ["packed"]

Array = NDArray[Any]
REGULARIZERS = frozenset({"kernel_regularizer", "bias_regularizer", "activity_regularizer"})


def packed(model: Any) -> Any:
    """See :meth:`fastnn.Sequential.pack`."""
    if not any(isinstance(leaf, RoundedDense) for leaf in model._leaves()):
        raise ValueError("the model has no BinaryDense or TernaryDense layers, whose weights could be packed")
    new = copy.deepcopy(model)
    new._set_layers(_packed_chain(new.layers))
    return new


def _packed_chain(layers: Sequence[Layer]) -> list[Layer]:
    """The chain without noise, and with packed layers; activations of two values before them become part of them."""
    chain: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Container):
            layer._chains = tuple(tuple(_packed_chain(inner)) for inner in layer._chains)
        if isinstance(layer, RoundedDense):
            layer = _packed_layer(layer, _taken(chain, layer.n_inputs))
        if not isinstance(layer, (Dropout, GaussianNoise)):
            chain.append(layer)
    return chain or list(layers[:1])


def _taken(chain: list[Layer], n_inputs: int) -> str | None:
    """The activation of two values that the chain ends with, if it does, which is removed from it."""
    i = len(chain) - 1
    while i >= 0 and isinstance(chain[i], (Flatten, Reshape)):
        i -= 1
    last = chain[i] if i >= 0 else None
    if not isinstance(last, (Activation, Convolution, Dense, PackedDense)) or n_inputs > MOST_INPUTS:
        return None
    name = last.activation.name
    if name not in BINARY:
        return None
    if isinstance(last, Activation):
        del chain[i]
    else:  # arguments are fixed once built, but the model is built anew; penalties would be those of other outputs
        last.__dict__["activation"] = activations.linear
        last.__dict__.update((name, None) for name in REGULARIZERS & last.arguments)
    return name


def _packed_layer(layer: RoundedDense, inputs: str | None) -> PackedDense:
    values, kernel = layer.rounding.name, layer.rounded_kernel.T
    new = PackedDense(layer.units, values, inputs, layer.activation, layer.use_bias, layer.name)
    planes = [kernel - 1, -kernel - 1] if values == "ternary" else [kernel - 1]
    words = [pack_bits(np.ascontiguousarray(plane)) for plane in planes]
    new._words = np.stack(words) if values == "ternary" else words[0]
    new._owner, new._named_by_model = layer._owner, layer._named_by_model
    new.weights = {name: weight for name, weight in layer.weights.items() if name == "bias"}
    return new
