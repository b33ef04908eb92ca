"""What the normalizing layers share: the axis, the constants, gamma and beta."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import constraints, initializers, regularizers
from fastnn.initializers import Initializer
from fastnn.layers.base import Layer, Parameter, parameter_property
from fastnn.named import number

__all__ = ["CentredAndScaled", "check_axis", "check_flag", "check_last_axis"]


def check_axis(axis: Any) -> int:
    """`axis` as an integer; whether it is the last one shows when the layer is built."""
    if isinstance(axis, (bool, np.bool_)) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"axis must be an integer; received {axis!r}")
    if axis == 0 or axis < -1:
        raise ValueError(f"axis must be -1, the last one; received {axis}")
    return int(axis)


def check_last_axis(layer: Layer, axis: int, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The input's shape, whose last axis `axis` must be; Keras counts the axis of the batch."""
    if axis not in (-1, len(input_shape)):
        raise ValueError(f"axis of {layer.name or type(layer).__name__!r} must be -1 or {len(input_shape)}, the last "
                         f"one of batches of samples of shape {input_shape}; received {axis}")
    return input_shape


def check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; received {value!r}")
    return bool(value)


class CentredAndScaled(Layer):
    """Base of layers that multiply normalized features by gamma and add beta, one number a feature of the last axis."""

    gamma = parameter_property("gamma", "ndarray (n_features,), None without scale: live view; assign to overwrite it.")
    beta = parameter_property("beta", "ndarray (n_features,), None without center: live view; assign to overwrite it.")

    axis: int

    def _configure(self, axis: Any, epsilon: Any, center: Any, scale: Any, beta_initializer: Any,
                   gamma_initializer: Any, beta_regularizer: Any, gamma_regularizer: Any, beta_constraint: Any,
                   gamma_constraint: Any) -> None:
        self.axis = check_axis(axis)
        self.epsilon = number("epsilon", epsilon, "[0, inf)")
        self.center, self.scale = check_flag("center", center), check_flag("scale", scale)
        self.beta_initializer: Initializer = initializers.get(beta_initializer)
        self.gamma_initializer: Initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return check_last_axis(self, self.axis, input_shape)

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        shape = (input_shape[-1],)
        gamma = Parameter(shape, self.gamma_initializer, True, self.gamma_regularizer, self.gamma_constraint)
        beta = Parameter(shape, self.beta_initializer, True, self.beta_regularizer, self.beta_constraint)
        return ({"gamma": gamma} if self.scale else {}) | ({"beta": beta} if self.center else {})
