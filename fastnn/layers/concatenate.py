"""Concatenate: branches side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._kernels.program import Program
from fastnn.layers.base import Layer
from fastnn.layers.container import Container, as_chain

__all__ = ["Concatenate"]


class Concatenate(Container):
    """Applies branches to one input and joins their outputs along the last axis.

    With :class:`Columns` and :class:`Embedding` it takes tables of numeric and categorical columns. The branches write
    to their places in the output; nothing is copied where samples have one dimension.

    Parameters
    ----------
    branches : list
        Each is a layer, a list of layers, or an empty list for the input itself.
    name : str, optional
    trainable : bool, default True
        False freezes all layers inside.

    Raises
    ------
    TypeError, ValueError
        If there are no branches, a layer stands elsewhere too, or, when it is built, the outputs differ in
        another axis than the last.

    Examples
    --------
    >>> import fastnn as fnn
    >>> from fastnn.layers import Columns, Concatenate, Dense, Embedding, Flatten
    >>> model = fnn.Sequential([fnn.Input((12,)),
    ...                         Concatenate([Columns(range(10)), [Columns([10, 11]), Embedding(50, 8), Flatten()]]),
    ...                         Dense(1)])
    >>> model.layers[0].output_shape
    (26,)
    """

    def __init__(self, branches: Any, name: str | None = None, trainable: bool = True) -> None:
        if not isinstance(branches, (list, tuple)):
            raise TypeError(f"branches must be a list of layers and lists of layers; received {branches!r}")
        chains = [as_chain(branch, f"branches[{i}]") for i, branch in enumerate(branches)]
        if not any(chains):
            raise ValueError(f"Concatenate needs branches with at least one layer; received {branches!r}")
        super().__init__(chains, name=name, trainable=trainable)

    @property
    def branches(self) -> list[list[Layer]]:
        """The layers of each branch."""
        return [list(chain) for chain in self._chains]

    def combined_shape(self, input_shape: tuple[int, ...], shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        if len({shape[:-1] for shape in shapes}) > 1:
            raise ValueError(f"the branches of {self.name or 'Concatenate'!r} have outputs of shapes "
                             f"{', '.join(map(str, shapes))}; they are joined along the last axis, so all others "
                             "must be equal. Flatten() makes one axis of all")
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def combine(self, program: Program, buffers: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> int:
        return program.concatenate(buffers, [shape[-1] for shape in shapes])

    def trace(self, input_shape: tuple[int, ...], columns: NDArray[Any] | None, found: Any) -> NDArray[Any] | None:
        traced = self.traced(input_shape, columns, found)
        parts = [part for part in traced if part is not None]
        if len(parts) < len(traced):
            return None
        groups = math.prod(self.compute_output_shape(input_shape)[:-1])
        return np.concatenate([part.reshape(groups, -1) for part in parts], axis=1).ravel()
