"""Activation: a function of its own, where it does not follow a Dense layer directly."""

from __future__ import annotations

from typing import Any

from fastnn import activations
from fastnn._kernels.program import Program
from fastnn.layers.base import Layer

__all__ = ["Activation"]


class Activation(Layer):
    """Applies an activation: ``y = activation(x)``; softmax and its logarithm run over the last dimension.

    Parameters
    ----------
    activation : str or Activation
        A name or object of :mod:`fastnn.activations`.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        For anything that is not an activation.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Activation("relu")])
    >>> model.predict([[-1.0, 2.0]])
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self.activation = activations.get(activation)

    @property
    def output_activation(self) -> str:
        # A loss takes a whole sample for a row, softmax its last dimension.
        own = self.activation.rowwise and len(self.input_shape) > 1
        return f"own {self.activation.name}" if own else self.activation.name

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        if absorbed:
            return source
        return program.activation(source, self.activation.kind, self.activation.alpha, self.input_shape[-1])
