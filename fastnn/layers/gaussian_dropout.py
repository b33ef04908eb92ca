"""GaussianDropout: noise that multiplies."""

from __future__ import annotations

import math

from fastnn._kernels.program import Program
from fastnn.layers.dropout import Dropout

__all__ = ["GaussianDropout"]


class GaussianDropout(Dropout):
    """Multiplies its inputs by normal numbers of mean 1 while training: ``y = x * (1 + sqrt(rate / (1 - rate)) * g)``.

    The factors have the mean and variance of dropout's at the same rate. They are made of the bits of a counter, as
    those of :class:`Dropout` are, and do not depend on the number of threads. (Srivastava et al., 2014, section 10.)

    Parameters
    ----------
    rate : float
        In [0, 1).
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
    >>> fnn.layers.GaussianDropout(0.1)
    GaussianDropout(rate=0.1)
    """

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        if not (training and self.rate):
            return source
        return program.gaussian(source, True, math.sqrt(self.rate / (1 - self.rate)), self.seed)
