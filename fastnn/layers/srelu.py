"""SReLU: three straight lines, whose corners and outer slopes are learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn import initializers
from fastnn._kernels.program import Program
from fastnn.layers.base import Layer, Parameter, parameter_property
from fastnn.layers.prelu import checked_axes, shared_shape

__all__ = ["SReLU"]


class SReLU(Layer):
    """S-shaped rectified linear unit: ``y = l + a_left * (x - l)`` where ``x <= l``, ``y = r + a_right * (x - r)``
    where ``x >= r``, else ``y = x``.

    (Jin, Xu, Feng, Wei, Xiong and Yan, "Deep learning with S-shaped rectified linear activation units", 2016.) For each
    feature ``l = t_left`` and ``r = t_left + abs(t_right)``, so that the corners keep their order, and all four are
    learned. Initial values are those of keras-contrib, with which sparse networks were trained (Mocanu et al., 2018).

    Parameters
    ----------
    t_left_initializer : str or Initializer, default "zeros"
        Of the left corner.
    a_left_initializer : str or Initializer, optional
        Of the slope on its left; default: RandomUniform(0, 1).
    t_right_initializer : str or Initializer, optional
        Of the distance of the right corner from the left one; default: RandomUniform(0, 5).
    a_right_initializer : str or Initializer, default "ones"
        Of the slope on its right.
    shared_axes : sequence of int, optional
        Axes, counted from 1 behind the batch, along which all elements have the same four: all axes up to one of them,
        such as [1, 2] for images of shape (height, width, channels). Default: every element has its own.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    t_left, a_left, t_right, a_right : ndarray
        Live views of the model's parameters, once the model is built. Their shape is that of a sample, with 1 for
        shared axes.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.SReLU(a_left_initializer=fnn.initializers.Constant(0.1),
    ...                                          t_right_initializer="ones",
    ...                                          a_right_initializer=fnn.initializers.Constant(0.5))])
    >>> model.predict([[-2.0, 0.5, 3.0]])
    array([[-0.2,  0.5,  2. ]], dtype=float32)
    """

    t_left = parameter_property("t_left", "ndarray, 1 long in shared axes: live view; assign to overwrite it.")
    a_left = parameter_property("a_left", "ndarray, 1 long in shared axes: live view; assign to overwrite it.")
    t_right = parameter_property("t_right", "ndarray, 1 long in shared axes: live view; assign to overwrite it.")
    a_right = parameter_property("a_right", "ndarray, 1 long in shared axes: live view; assign to overwrite it.")

    def __init__(self, t_left_initializer: Any = "zeros", a_left_initializer: Any = None,
                 t_right_initializer: Any = None, a_right_initializer: Any = "ones",
                 shared_axes: Sequence[int] | int | None = None, name: str | None = None,
                 trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.t_left_initializer = initializers.get(t_left_initializer)
        self.a_left_initializer = initializers.get(a_left_initializer or initializers.RandomUniform(0.0, 1.0))
        self.t_right_initializer = initializers.get(t_right_initializer or initializers.RandomUniform(0.0, 5.0))
        self.a_right_initializer = initializers.get(a_right_initializer)
        self.shared_axes = checked_axes(shared_axes)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        shared_shape(self, input_shape)
        return input_shape

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        shape = shared_shape(self, input_shape)
        return {"t_left": Parameter(shape, self.t_left_initializer),
                "a_left": Parameter(shape, self.a_left_initializer),
                "t_right": Parameter(shape, self.t_right_initializer),
                "a_right": Parameter(shape, self.a_right_initializer)}

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        tensors = [self._tensor(program, name) for name in self.weights]
        return program.srelu(source, self.weights["t_left"].size, tensors, self.trainable)
