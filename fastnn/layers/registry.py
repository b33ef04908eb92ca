"""Layers by name, for configurations that are read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.layers.activation import Activation
from fastnn.layers.activity_regularization import ActivityRegularization
from fastnn.layers.alpha_dropout import AlphaDropout
from fastnn.layers.base import Layer
from fastnn.layers.batch_normalization import BatchNormalization
from fastnn.layers.binary_dense import BinaryDense
from fastnn.layers.columns import Columns
from fastnn.layers.concatenate import Concatenate
from fastnn.layers.convolution import Conv1D, Conv2D
from fastnn.layers.dense import Dense
from fastnn.layers.dropout import Dropout
from fastnn.layers.embedding import Embedding
from fastnn.layers.flatten import Flatten
from fastnn.layers.gaussian_dropout import GaussianDropout
from fastnn.layers.gaussian_noise import GaussianNoise
from fastnn.layers.layer_normalization import LayerNormalization
from fastnn.layers.packed_dense import PackedDense
from fastnn.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from fastnn.layers.prelu import PReLU
from fastnn.layers.rescaling import Rescaling
from fastnn.layers.reshape import Reshape
from fastnn.layers.residual import Residual
from fastnn.layers.rms_normalization import RMSNormalization
from fastnn.layers.scale import Scale
from fastnn.layers.sparse_dense import SparseDense
from fastnn.layers.srelu import SReLU
from fastnn.layers.ternary_dense import TernaryDense

__all__ = ["get"]

LAYERS: dict[str, type[Layer]] = {cls.__name__: cls for cls in (
    Activation, ActivityRegularization, AlphaDropout, AveragePooling1D, AveragePooling2D, BatchNormalization,
    BinaryDense, Columns, Concatenate, Conv1D, Conv2D, Dense, Dropout, Embedding, Flatten, GaussianDropout,
    GaussianNoise, GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalMaxPooling1D, GlobalMaxPooling2D,
    LayerNormalization, MaxPooling1D, MaxPooling2D, PReLU, PackedDense, RMSNormalization, Rescaling, Reshape, Residual,
    SReLU, Scale, SparseDense, TernaryDense,
)}


def get(class_name: str, config: dict[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Layer:
    """The layer of class `class_name` with the configuration `config`.

    Parameters
    ----------
    class_name : str
    config : dict
        What the layer's ``get_config`` returned.
    custom_objects : mapping of str to class, optional
        Layers of the user's own by the names of their classes.

    Raises
    ------
    ValueError
        If the class is unknown.
    """
    known = LAYERS | dict(custom_objects or {})
    if class_name not in known:
        raise ValueError(f"unknown layer class {class_name!r}; known: {', '.join(sorted(known))}. "
                         "Name classes of your own in custom_objects")
    return known[class_name].from_config(config)


def revived(value: Any) -> Any:
    """`value` with layers in the place of what `described_layer` made of them."""
    if isinstance(value, list):
        return [revived(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {"class_name", "config", "name", "trainable"}:
        return {key: revived(item) for key, item in value.items()}
    layer = get(value["class_name"], value["config"])
    layer.name, layer.trainable = value["name"], value["trainable"]
    return layer
