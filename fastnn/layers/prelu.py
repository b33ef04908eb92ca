"""PReLU: a ReLU whose slope for negative inputs is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import constraints, initializers, regularizers
from fastnn._kernels.program import Program
from fastnn.layers.base import Layer, Parameter, parameter_property

__all__ = ["PReLU"]


class PReLU(Layer):
    """``y = x`` where x is positive, else ``alpha * x``, with an alpha that is learned for each feature.

    (He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.)

    Parameters
    ----------
    alpha_initializer : str or Initializer, default "zeros"
    alpha_regularizer : str or Regularizer, optional
        Penalty on alpha, from :mod:`fastnn.regularizers`: part of the loss.
    alpha_constraint : str or Constraint, optional
        What alpha is brought back to after each step, from :mod:`fastnn.constraints`.
    shared_axes : sequence of int, optional
        Axes, counted from 1 behind the batch, along which all elements have one alpha: all axes up to one of them,
        such as [1, 2] for images of shape (height, width, channels). Default: every element has its own.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    alpha : ndarray
        A live view of the model's parameters, once the model is built. Its shape is that of a sample, with 1 for
        shared axes.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.PReLU(alpha_initializer=fnn.initializers.Constant(0.25))])
    >>> model.predict([[-2.0, 3.0]])
    array([[-0.5,  3. ]], dtype=float32)
    """

    alpha = parameter_property("alpha", "ndarray, 1 long in shared axes: live view; assign to overwrite it.")

    def __init__(self, alpha_initializer: Any = "zeros", alpha_regularizer: Any = None, alpha_constraint: Any = None,
                 shared_axes: Sequence[int] | int | None = None, name: str | None = None,
                 trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = checked_axes(shared_axes)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        shared_shape(self, input_shape)
        return input_shape

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        return {"alpha": Parameter(shared_shape(self, input_shape), self.alpha_initializer, True,
                                   self.alpha_regularizer, self.alpha_constraint)}

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return program.prelu(source, self.weights["alpha"].size, self._tensor(program, "alpha"), self.trainable)


def checked_axes(shared_axes: Any) -> list[int] | None:
    """Axes along which elements share what is learned, in order; None: there are none."""
    axes = [shared_axes] if isinstance(shared_axes, (int, np.integer)) else shared_axes
    if axes is not None and not (isinstance(axes, (list, tuple)) and all(
            isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in axes)):
        raise TypeError(f"shared_axes must be a sequence of integers or None; received {shared_axes!r}")
    if axes and sorted(axes) != list(range(1, len(axes) + 1)):
        raise ValueError("shared_axes must be all axes behind the batch up to one of them, such as [1] or [1, 2]; "
                         f"received {shared_axes!r}")
    return sorted(int(a) for a in axes) if axes else None


def shared_shape(layer: Any, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a parameter of a layer with such axes, for samples of `input_shape`."""
    shared = len(layer.shared_axes or ())
    if shared > len(input_shape):
        raise ValueError(f"shared_axes {layer.shared_axes} of {layer.name or type(layer).__name__!r} are more than "
                         f"samples of shape {input_shape} have")
    return (1,) * shared + tuple(input_shape[shared:])
