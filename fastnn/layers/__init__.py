"""Layers: one a file."""

from fastnn.layers.activation import Activation
from fastnn.layers.activity_regularization import ActivityRegularization
from fastnn.layers.alpha_dropout import AlphaDropout
from fastnn.layers.base import Layer
from fastnn.layers.batch_normalization import BatchNormalization
from fastnn.layers.binary_dense import BinaryDense
from fastnn.layers.columns import Columns
from fastnn.layers.concatenate import Concatenate
from fastnn.layers.container import Container
from fastnn.layers.convolution import Conv1D, Conv2D
from fastnn.layers.custom import PythonLayer
from fastnn.layers.dense import Dense
from fastnn.layers.dropout import Dropout
from fastnn.layers.embedding import Embedding
from fastnn.layers.flatten import Flatten
from fastnn.layers.gaussian_dropout import GaussianDropout
from fastnn.layers.gaussian_noise import GaussianNoise
from fastnn.layers.input import Input
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
from fastnn.layers.registry import get
from fastnn.layers.rescaling import Rescaling
from fastnn.layers.reshape import Reshape
from fastnn.layers.residual import Residual
from fastnn.layers.rms_normalization import RMSNormalization
from fastnn.layers.scale import Scale
from fastnn.layers.sparse_dense import SparseDense
from fastnn.layers.srelu import SReLU
from fastnn.layers.ternary_dense import TernaryDense

__all__ = [
    "Activation", "ActivityRegularization", "AlphaDropout", "AveragePooling1D", "AveragePooling2D",
    "BatchNormalization", "BinaryDense", "Columns", "Concatenate", "Container", "Conv1D", "Conv2D", "Dense", "Dropout",
    "Embedding", "Flatten", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Input", "Layer", "LayerNormalization", "MaxPooling1D",
    "MaxPooling2D", "PReLU", "PackedDense", "PythonLayer", "RMSNormalization", "Rescaling", "Reshape", "Residual",
    "SReLU", "Scale", "SparseDense", "TernaryDense", "get",
]
