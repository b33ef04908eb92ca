"""Input: the shape of a sample, where a model should be built before it sees data."""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.inputs import check_shape

__all__ = ["Input"]


class Input:
    """Names the shape of the model's samples; the first entry of a `Sequential`'s list. Not a layer.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample, without the batch.

    Raises
    ------
    TypeError, ValueError
        If it is not a tuple of positive integers.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(2)])
    >>> model.built
    True
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = check_shape("shape", shape)

    def __repr__(self) -> str:
        return f"Input({self.shape!r})"
