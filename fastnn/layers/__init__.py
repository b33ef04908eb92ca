"""Layers: one a file."""

from fastnn.layers.activation import Activation
from fastnn.layers.activity_regularization import ActivityRegularization
from fastnn.layers.base import Layer
from fastnn.layers.columns import Columns
from fastnn.layers.concatenate import Concatenate
from fastnn.layers.container import Container
from fastnn.layers.custom import PythonLayer
from fastnn.layers.dense import Dense
from fastnn.layers.dropout import Dropout
from fastnn.layers.embedding import Embedding
from fastnn.layers.flatten import Flatten
from fastnn.layers.input import Input
from fastnn.layers.registry import get
from fastnn.layers.rescaling import Rescaling
from fastnn.layers.residual import Residual

__all__ = [
    "Activation", "ActivityRegularization", "Columns", "Concatenate", "Container", "Dense", "Dropout", "Embedding",
    "Flatten", "Input", "Layer", "PythonLayer", "Rescaling", "Residual", "get",
]
