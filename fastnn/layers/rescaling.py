"""Rescaling."""

from __future__ import annotations

import numpy as np

from fastnn._kernels.program import Program
from fastnn.layers.base import Layer
from fastnn.named import number

__all__ = ["Rescaling"]


class Rescaling(Layer):
    """``y = x * scale + offset``, for inputs such as images of uint8.

    Parameters
    ----------
    scale : float
    offset : float, default 0.0
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If a number is not finite.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Rescaling(1 / 128, offset=-1.0)])
    >>> model.predict([[0, 64, 128]])
    array([[-1. , -0.5,  0. ]], dtype=float32)
    """

    def __init__(self, scale: float, offset: float = 0.0, name: str | None = None) -> None:
        super().__init__(name=name)
        self.scale = number("scale", scale, "(-inf, inf)")
        self.offset = number("offset", offset, "(-inf, inf)")

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if abs(value) > float(np.finfo(program.dtype).max):
                raise ValueError(f"{name} must be finite in {program.dtype}; received {value!r}")
        return program.affine(source, self.scale, self.offset)
