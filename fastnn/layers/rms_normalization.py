"""RMSNormalization: samples with mean square 1."""

from __future__ import annotations

from fastnn import initializers
from fastnn._kernels.program import Program
from fastnn.layers.base import Layer, Parameter, parameter_property
from fastnn.layers.normalization import check_axis, check_last_axis
from fastnn.named import number

__all__ = ["RMSNormalization"]


class RMSNormalization(Layer):
    """Divides each sample by its root mean square: ``y = scale * x / sqrt(mean(x ** 2) + epsilon)``.

    The mean is that of the last axis. It does what :class:`LayerNormalization` does without taking the mean away,
    in less time. (Zhang and Sennrich, 2019.)

    Parameters
    ----------
    axis : int, default -1
        Only the last one.
    epsilon : float, default 1e-6
        Not negative.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    scale : ndarray (n_features,)
        A live view of the model's parameters, once the model is built; ones at first.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.RMSNormalization(epsilon=0.0)])
    >>> model.predict([[3.0, -3.0], [0.5, 0.5]])
    array([[ 1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    scale = parameter_property("scale", "ndarray (n_features,): live view; assign to overwrite it.")

    def __init__(self, axis: int = -1, epsilon: float = 1e-6, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.axis = check_axis(axis)
        self.epsilon = number("epsilon", epsilon, "[0, inf)")

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return check_last_axis(self, self.axis, input_shape)

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        return {"scale": Parameter((input_shape[-1],), initializers.get("ones"))}

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return program.row_norm(source, self.input_shape[-1], False, self.epsilon, self._tensor(program, "scale"), -1,
                                self.trainable)
