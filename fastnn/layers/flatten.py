"""Flatten."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from fastnn._kernels.program import Program
from fastnn.layers.base import Layer

__all__ = ["Flatten"]


class Flatten(Layer):
    """Makes one dimension of all dimensions of a sample. Costs nothing: samples lie flat in memory already.

    Parameters
    ----------
    name : str, optional

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Dense(10)])
    >>> model.build((28, 28))
    >>> model.layers[1].kernel.shape
    (784, 10)
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (math.prod(input_shape),)

    def trace(self, input_shape: tuple[int, ...], columns: NDArray[Any] | None, found: Any) -> NDArray[Any] | None:
        return columns

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return source
