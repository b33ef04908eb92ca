"""What layers share whose outputs are the activation of a product and a bias."""

from __future__ import annotations

from typing import Any

from fastnn import activations, constraints, initializers, regularizers
from fastnn._kernels.dispatch import ACTIVATIONS
from fastnn._kernels.program import Program
from fastnn.layers.base import Layer, Parameter

__all__ = ["ActivatedLayer", "WeightedLayer"]


class ActivatedLayer(Layer):
    """``y = activation(product + bias)``, where one op computes all of it unless the activation needs whole rows."""

    activation: activations.Activation
    activity_regularizer: regularizers.Regularizer | None = None

    @property
    def output_activation(self) -> str:
        # What is regularized must be computed: no loss takes it over.
        kept = self.activity_regularizer is not None and self.activation.name != "linear"
        return f"regularized {self.activation.name}" if kept else self.activation.name

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        fused = not absorbed and not self.activation.rowwise
        kind, alpha = (self.activation.kind, self.activation.alpha) if fused else (ACTIVATIONS["linear"], 0.0)
        target = self.lower_product(program, source, kind, alpha)
        if not (absorbed or fused):
            target = program.activation(target, self.activation.kind, self.activation.alpha, self.row_of_activation())
        return self._regularized(program, target, training)

    def lower_product(self, program: Program, source: int, kind: int, alpha: float) -> int:
        """The buffer that gets the product, the bias and an activation of one number at a time."""
        raise NotImplementedError

    def row_of_activation(self) -> int:
        """Outputs that softmax runs over each time; 0: all of a sample's."""
        return 0


class WeightedLayer(ActivatedLayer):
    """One of these with a kernel and a bias to train."""

    def __init__(self, activation: Any, use_bias: bool, kernel_initializer: Any, bias_initializer: Any,
                 kernel_regularizer: Any, bias_regularizer: Any, activity_regularizer: Any, kernel_constraint: Any,
                 bias_constraint: Any, name: str | None, trainable: bool) -> None:
        super().__init__(name=name, trainable=trainable)
        self.activation = activations.get(activation)
        if not isinstance(use_bias, bool):
            raise TypeError(f"use_bias must be True or False; received {use_bias!r}")
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.for_activity(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def kernel_and_bias(self, *shape: int) -> dict[str, Parameter]:
        """The parameters of a layer whose kernel has this shape, outputs last."""
        kernel = Parameter(shape, self.kernel_initializer, True, self.kernel_regularizer, self.kernel_constraint)
        bias = Parameter(shape[-1:], self.bias_initializer, True, self.bias_regularizer, self.bias_constraint)
        return {"kernel": kernel} | ({"bias": bias} if self.use_bias else {})
