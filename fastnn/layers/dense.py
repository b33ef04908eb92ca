"""Dense: every output is connected with every input."""

from __future__ import annotations

from typing import Any

from fastnn import activations, initializers
from fastnn._kernels.dispatch import ACTIVATIONS
from fastnn._kernels.program import Program
from fastnn.inputs import check_count, check_size
from fastnn.layers.base import Layer, Parameter, parameter_property

__all__ = ["Dense"]


class Dense(Layer):
    """Densely connected layer: ``y = activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, Activation or None, default None
        A name or object of :mod:`fastnn.activations`; None is linear.
    use_bias : bool, default True
    kernel_initializer : str or Initializer, default "glorot_uniform"
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint : None
        Places kept for names of Keras; only None is accepted.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    kernel : ndarray (n_inputs, units)
        A live view of the model's parameters, once the model is built.
    bias : ndarray (units,) or None

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(3, activation="relu")], seed=0)
    >>> model.build((4,))
    >>> model.layers[0].kernel.shape, model.layers[0].bias.shape
    ((4, 3), (3,))
    """

    kernel = parameter_property("kernel", "ndarray (n_inputs, units): live view; assign to overwrite it.")
    bias = parameter_property("bias", "ndarray (units,), or None without bias: live view; assign to overwrite it.")

    def __init__(self, units: int, activation: Any = None, use_bias: bool = True,
                 kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 kernel_regularizer: None = None, bias_regularizer: None = None, activity_regularizer: None = None,
                 kernel_constraint: None = None, bias_constraint: None = None, name: str | None = None,
                 trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.units = check_count("units", units)
        self.activation = activations.get(activation)
        if not isinstance(use_bias, bool):
            raise TypeError(f"use_bias must be True or False; received {use_bias!r}")
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        unsupported = {"kernel_regularizer": kernel_regularizer, "bias_regularizer": bias_regularizer,
                       "activity_regularizer": activity_regularizer, "kernel_constraint": kernel_constraint,
                       "bias_constraint": bias_constraint}
        for argument, value in unsupported.items():
            if value is not None:
                raise ValueError(f"{argument} must be None in this version; received {value!r}")
            setattr(self, argument, None)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 1:
            raise ValueError(f"Dense takes samples of one dimension; received shape {input_shape}. "
                             "Put fastnn.layers.Flatten() before it")
        check_size(f"a kernel of {input_shape[0]} x {self.units}", input_shape[0], self.units)
        return (self.units,)

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        kernel = {"kernel": Parameter((input_shape[0], self.units), self.kernel_initializer)}
        return kernel | ({"bias": Parameter((self.units,), self.bias_initializer)} if self.use_bias else {})

    @property
    def output_activation(self) -> str:
        return self.activation.name

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        fused = not absorbed and not self.activation.rowwise
        kind, alpha = (self.activation.kind, self.activation.alpha) if fused else (ACTIVATIONS["linear"], 0.0)
        target = program.dense(source, self.units, kind, alpha, self._tensor(program, "kernel"),
                               self._tensor(program, "bias"), self.trainable)
        if absorbed or fused:
            return target
        return program.activation(target, self.activation.kind, self.activation.alpha)
