"""GaussianNoise: noise that is added."""

from __future__ import annotations

from fastnn._kernels.program import Program
from fastnn.inputs import check_seed
from fastnn.layers.base import Layer
from fastnn.named import number

__all__ = ["GaussianNoise"]


class GaussianNoise(Layer):
    """Adds normal numbers of mean 0 while training: ``y = x + stddev * g``.

    They are made of the bits of a counter, as those of :class:`Dropout` are, and do not depend on the number of
    threads. As the first layer it makes training data more varied. (Bishop, "Training with noise is equivalent to
    Tikhonov regularization", 1995.)

    Parameters
    ----------
    stddev : float
        Not negative. (Keras takes none above 1.)
    seed : int, optional
        Replaces the model's seed for this layer.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If `stddev` is not a number in [0, inf).

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.layers.GaussianNoise(0.1)
    GaussianNoise(stddev=0.1)
    """

    def __init__(self, stddev: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(name=name)
        self.stddev = number("stddev", stddev, "[0, inf)")
        self.seed = check_seed(seed)

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return program.gaussian(source, False, self.stddev, self.seed) if training and self.stddev else source
