"""Residual: a block of layers with a way around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._kernels.program import Program
from fastnn.layers.base import Layer
from fastnn.layers.container import Container, as_chain

__all__ = ["Residual"]


class Residual(Container):
    """A block with a skip: ``y = x + block(x)``, or ``y = shortcut(x) + block(x)``.

    The gradient reaches the layers below undivided, which lets deep networks train. (He, Zhang, Ren and Sun, 2016.)

    Parameters
    ----------
    layers : Layer or list of Layer
        The block; its output must have the shape of its input, or of the shortcut's output.
    shortcut : Layer or list of Layer, optional
        What to add the block's output to, such as a Dense layer where the shape changes; the input itself if None.
    name : str, optional
    trainable : bool, default True
        False freezes all layers inside.

    Raises
    ------
    TypeError, ValueError
        If there are no layers, one of them stands elsewhere too, or, when it is built, the shapes differ.

    Examples
    --------
    >>> import fastnn as fnn
    >>> from fastnn.layers import Dense, Residual
    >>> model = fnn.Sequential([fnn.Input((8,)), Residual([Dense(32, activation="relu"), Dense(8)]),
    ...                         Residual(Dense(4, activation="tanh"), shortcut=Dense(4, use_bias=False))])
    >>> model.output_shape, [layer.path for layer in model.layers[0].sublayers]
    ((4,), ['residual.dense', 'residual.dense_1'])
    """

    def __init__(self, layers: Any, shortcut: Any = None, name: str | None = None, trainable: bool = True) -> None:
        block = as_chain(layers, "layers")
        if not block:
            raise ValueError("Residual needs at least one layer; received an empty list")
        self._has_shortcut = shortcut is not None
        super().__init__([block, as_chain(shortcut, "shortcut") if self._has_shortcut else []], name=name,
                         trainable=trainable)

    @property
    def layers(self) -> list[Layer]:
        """The layers of the block."""
        return list(self._chains[0])

    @property
    def shortcut(self) -> list[Layer] | None:
        """The layers of the shortcut, or None."""
        return list(self._chains[1]) if self._has_shortcut else None

    def combined_shape(self, input_shape: tuple[int, ...], shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        block, skip = shapes
        if block != skip:
            way = "its shortcut's output" if self._has_shortcut else "its input"
            hint = "" if self._has_shortcut else f"; shortcut=Dense({block[-1]}) may bring the input to its shape"
            raise ValueError(f"the block of {self.name or 'Residual'!r} has outputs of shape {block}, but {way} has "
                             f"shape {skip}; they are added, so both must be equal{hint}")
        return block

    def combine(self, program: Program, buffers: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> int:
        return program.add(*buffers)
