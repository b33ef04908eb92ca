"""AlphaDropout: dropout that keeps mean and variance."""

from __future__ import annotations

from fastnn._kernels.program import Program
from fastnn.kernels.noise import SELU_FLOOR
from fastnn.layers.dropout import Dropout

__all__ = ["AlphaDropout"]


class AlphaDropout(Dropout):
    """Sets a random part of its inputs to the limit of selu while training, and keeps mean 0 and variance 1.

    ``y = a * x + b`` for what is kept and ``y = a * floor + b`` for the rest, with floor = -1.7581,
    ``a = ((1 - rate) * (1 + rate * floor ** 2)) ** -0.5`` and ``b = -a * rate * floor``. For networks of
    ``activation="selu"`` and ``kernel_initializer="lecun_normal"``. The random bits are those of :class:`Dropout`.
    (Klambauer et al., 2017.)

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
    >>> fnn.layers.AlphaDropout(0.1)
    AlphaDropout(rate=0.1)
    """

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        if not (training and self.rate):
            return source
        a = ((1 - self.rate) * (1 + self.rate * SELU_FLOOR**2)) ** -0.5
        b = -a * self.rate * SELU_FLOOR
        return program.dropout(source, self.rate, self.seed, a, b, a * SELU_FLOOR + b)
