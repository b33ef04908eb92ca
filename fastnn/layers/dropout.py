"""Dropout."""

from __future__ import annotations

from fastnn._kernels.program import Program
from fastnn.inputs import check_seed
from fastnn.layers.base import Layer
from fastnn.named import number

__all__ = ["Dropout"]


class Dropout(Layer):
    """Sets a random part of its inputs to zero while training, and scales the others by ``1 / (1 - rate)``.

    The random bits are those of a counter (Philox 4x32-10), keyed by the model's seed, the layer, the training
    step and the element: they do not depend on the number of threads. Nothing happens in ``predict`` and
    ``evaluate``. (Srivastava et al., 2014.)

    Parameters
    ----------
    rate : float
        Part of the inputs to drop, in [0, 1).
    seed : int, optional
        Replaces the model's seed for this layer.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If `rate` is not a number in [0, 1).

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.layers.Dropout(0.2)
    Dropout(rate=0.2)
    """

    def __init__(self, rate: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(name=name)
        self.rate = number("rate", rate, "[0, 1)")
        self.seed = check_seed(seed)

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return program.dropout(source, self.rate, self.seed) if training and self.rate else source
