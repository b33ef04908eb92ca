"""What dense layers share whose weights are rounded to few values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import activations
from fastnn._kernels.program import Program
from fastnn.inputs import check_count, check_size
from fastnn.layers.base import Parameter, parameter_property
from fastnn.layers.weighted import WeightedLayer

__all__ = ["RoundedDense"]


class RoundedDense(WeightedLayer):
    """Base of :class:`BinaryDense` and :class:`TernaryDense`: ``y = activation(x @ Q(kernel) + bias)``."""

    kernel = parameter_property("kernel", "ndarray (n_inputs, units), the numbers that are rounded and trained: live "
                                          "view; assign to overwrite it.")
    bias = parameter_property("bias", "ndarray (units,), or None without bias: live view; assign to overwrite it.")

    def __init__(self, units: int, stochastic: bool, activation: Any, use_bias: bool, kernel_initializer: Any,
                 bias_initializer: Any, kernel_regularizer: Any, bias_regularizer: Any, activity_regularizer: Any,
                 kernel_constraint: Any, bias_constraint: Any, name: str | None, trainable: bool) -> None:
        super().__init__(activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
                         bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, name, trainable)
        self.units = check_count("units", units)
        if not isinstance(stochastic, bool):
            raise TypeError(f"stochastic must be True or False; received {stochastic!r}")
        self.stochastic = stochastic

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
        return self.kernel_and_bias(input_shape[0], self.units)

    def lower_product(self, program: Program, source: int, kind: int, alpha: float) -> int:
        return program.rounded_dense(source, self.units, kind, alpha, self._tensor(program, "kernel"),
                                     self._tensor(program, "bias"), self.trainable, self.rounding.kind,
                                     self.rounding.alpha, self.stochastic)
