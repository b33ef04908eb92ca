"""Scale: every feature times a number that is learned."""

from __future__ import annotations

from typing import Any

from fastnn import constraints, initializers, regularizers
from fastnn._kernels.program import Program
from fastnn.layers.base import Layer, Parameter, parameter_property

__all__ = ["Scale"]


class Scale(Layer):
    """``y = scale * x`` with a number that is learned for each feature of the last axis.

    In front of a table's first `Dense` layer, with a large ``learning_rate_multiplier``, it turns down features that
    do not help: the front scaling layer of RealMLP (Holzmüller, Grinsztajn and Steinwart, 2024).

    Parameters
    ----------
    scale_initializer : str or Initializer, default "ones"
    scale_regularizer : str or Regularizer, optional
        Penalty on the scale, from :mod:`fastnn.regularizers`: part of the loss.
    scale_constraint : str or Constraint, optional
        What the scale is brought back to after each step, from :mod:`fastnn.constraints`.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    scale : ndarray (n_features,)
        A live view of the model's parameters, once the model is built.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or an unknown name.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Scale(fnn.initializers.Constant(0.5))])
    >>> model.predict([[-2.0, 3.0]])
    array([[-1. ,  1.5]], dtype=float32)
    """

    scale = parameter_property("scale", "ndarray (n_features,): live view; assign to overwrite it.")

    def __init__(self, scale_initializer: Any = "ones", scale_regularizer: Any = None, scale_constraint: Any = None,
                 name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.scale_initializer = initializers.get(scale_initializer)
        self.scale_regularizer = regularizers.get(scale_regularizer)
        self.scale_constraint = constraints.get(scale_constraint)

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        return {"scale": Parameter((input_shape[-1],), self.scale_initializer, True, self.scale_regularizer,
                                   self.scale_constraint)}

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return program.scale(source, self.input_shape[-1], self._tensor(program, "scale"), self.trainable)
