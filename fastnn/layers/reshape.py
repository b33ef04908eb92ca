"""Reshape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fastnn._kernels.program import Program
from fastnn.inputs import check_count
from fastnn.layers.base import Layer

__all__ = ["Reshape"]


class Reshape(Layer):
    """Gives samples another shape. Costs nothing: they lie flat in memory, last dimension first.

    Parameters
    ----------
    target_shape : tuple of int
        Of a sample, without the batch; one entry may be -1 and is then what the others leave.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If an entry is not a positive integer or -1, two are -1, or samples have another number of elements.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Reshape((28, 28, -1)), fnn.layers.Conv2D(8, 3)])
    >>> model.build((784,))
    >>> model.layers[0].output_shape, model.output_shape
    ((28, 28, 1), (26, 26, 8))
    """

    def __init__(self, target_shape: Sequence[int], name: str | None = None) -> None:
        super().__init__(name=name)
        if not isinstance(target_shape, Sequence) or isinstance(target_shape, (str, bytes)) or not target_shape:
            raise TypeError(f"target_shape must be a tuple of integers; received {target_shape!r}")
        self.target_shape = tuple(check_count("target_shape", size, low=-1) for size in target_shape)
        if 0 in self.target_shape or self.target_shape.count(-1) > 1:
            raise ValueError("target_shape must consist of positive integers, of which one may be -1; "
                             f"received {target_shape!r}")

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        size, known = math.prod(input_shape), math.prod(n for n in self.target_shape if n > 0)
        shape = tuple(size // known if n < 0 else n for n in self.target_shape)
        if math.prod(shape) != size:
            raise ValueError(f"samples of shape {input_shape} cannot take the shape {self.target_shape}: "
                             f"they have {size} elements")
        return shape

    def trace(self, input_shape: tuple[int, ...], columns: NDArray[Any] | None, found: Any) -> NDArray[Any] | None:
        return columns

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return source
