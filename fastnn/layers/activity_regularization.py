"""ActivityRegularization: a penalty on what passes through."""

from __future__ import annotations

from fastnn._kernels.program import Program
from fastnn.layers.base import Layer
from fastnn.regularizers import L1L2

__all__ = ["ActivityRegularization"]


class ActivityRegularization(Layer):
    """Leaves its input as it is; ``l1 * sum(abs(x)) + l2 * sum(x ** 2)`` over the number of samples joins the loss.

    Parameters
    ----------
    l1, l2 : float, default 0.0
        At least 0.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(2, kernel_initializer="ones"),
    ...                         fnn.layers.ActivityRegularization(l2=0.5)])
    >>> model.compile("sgd", "mse")
    >>> model.evaluate(np.ones((4, 3)), np.full((4, 2), 3.0))  # 0.5 * (3 ** 2 + 3 ** 2)
    9.0
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, name: str | None = None) -> None:
        super().__init__(name=name)
        self.activity_regularizer = L1L2(l1, l2)
        self.l1, self.l2 = self.activity_regularizer.l1, self.activity_regularizer.l2

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return self._regularized(program, source, training)
