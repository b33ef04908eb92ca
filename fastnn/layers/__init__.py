"""Layers: one a file."""

from fastnn.layers.activation import Activation
from fastnn.layers.base import Layer
from fastnn.layers.custom import PythonLayer
from fastnn.layers.dense import Dense
from fastnn.layers.dropout import Dropout
from fastnn.layers.flatten import Flatten
from fastnn.layers.input import Input
from fastnn.layers.registry import get
from fastnn.layers.rescaling import Rescaling

__all__ = ["Activation", "Dense", "Dropout", "Flatten", "Input", "Layer", "PythonLayer", "Rescaling", "get"]
