"""What dense layers share whose weights are rounded to few values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import activations, constraints, initializers, regularizers
from fastnn._kernels.dispatch import ACTIVATIONS
from fastnn._kernels.program import Program
from fastnn.inputs import check_count, check_size
from fastnn.layers.base import Layer, Parameter, parameter_property

__all__ = ["RoundedDense"]


class RoundedDense(Layer):
    """Base of :class:`BinaryDense` and :class:`TernaryDense`: ``y = activation(x @ Q(kernel) + bias)``."""

    kernel = parameter_property("kernel", "ndarray (n_inputs, units), the numbers that are rounded and trained: live "
                                          "view; assign to overwrite it.")
    bias = parameter_property("bias", "ndarray (units,), or None without bias: live view; assign to overwrite it.")

    def __init__(self, units: int, stochastic: bool, activation: Any, use_bias: bool, kernel_initializer: Any,
                 bias_initializer: Any, kernel_regularizer: Any, bias_regularizer: Any, activity_regularizer: Any,
                 kernel_constraint: Any, bias_constraint: Any, name: str | None, trainable: bool) -> None:
        super().__init__(name=name, trainable=trainable)
        self.units = check_count("units", units)
        for argument, value in (("stochastic", stochastic), ("use_bias", use_bias)):
            if not isinstance(value, bool):
                raise TypeError(f"{argument} must be True or False; received {value!r}")
        self.stochastic, self.use_bias = stochastic, use_bias
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.for_activity(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    @property
    def rounding(self) -> activations.Activation:
        """The function that rounds the kernel in predictions."""
        raise NotImplementedError

    @property
    def rounded_kernel(self) -> NDArray[Any]:
        """ndarray (n_inputs, units): what predictions multiply by, computed from the kernel."""
        kernel: NDArray[np.floating[Any]] = self.kernel
        return self.rounding(kernel)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 1:
            raise ValueError(f"{type(self).__name__} takes samples of one dimension; received shape {input_shape}. "
                             "Put fastnn.layers.Flatten() before it")
        check_size(f"a kernel of {input_shape[0]} x {self.units}", input_shape[0], self.units)
        return (self.units,)

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        kernel = Parameter((input_shape[0], self.units), self.kernel_initializer, True, self.kernel_regularizer,
                           self.kernel_constraint)
        bias = Parameter((self.units,), self.bias_initializer, True, self.bias_regularizer, self.bias_constraint)
        return {"kernel": kernel} | ({"bias": bias} if self.use_bias else {})

    @property
    def output_activation(self) -> str:
        # What is regularized must be computed: no loss takes it over.
        kept = self.activity_regularizer is not None and self.activation.name != "linear"
        return f"regularized {self.activation.name}" if kept else self.activation.name

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        fused = not absorbed and not self.activation.rowwise
        kind, alpha = (self.activation.kind, self.activation.alpha) if fused else (ACTIVATIONS["linear"], 0.0)
        target = program.rounded_dense(source, self.units, kind, alpha, self._tensor(program, "kernel"),
                                       self._tensor(program, "bias"), self.trainable, self.rounding.kind,
                                       self.rounding.alpha, self.stochastic)
        if not (absorbed or fused):
            target = program.activation(target, self.activation.kind, self.activation.alpha)
        return self._regularized(program, target, training)
