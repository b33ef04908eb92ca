"""Conv1D, Conv2D: one small dense layer for all places of a sample."""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn._kernels.program import Program
from fastnn.inputs import check_count, check_size
from fastnn.layers.base import Parameter, parameter_property
from fastnn.layers.weighted import WeightedLayer
from fastnn.windows import Window, check_channels_last, check_padding, check_samples, check_sizes, window

__all__ = ["Conv1D", "Conv2D"]


class Convolution(WeightedLayer):
    """What `Conv1D` and `Conv2D` share: a sample of one spatial dimension is an image of height 1."""

    rank: ClassVar[int]
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    kernel = parameter_property(
        "kernel", "ndarray of shape ``(*kernel_size, channels, filters)``: live view; assign to overwrite it.")
    bias = parameter_property("bias", "ndarray (filters,), or None without bias: live view; assign to overwrite it.")

    def __init__(self, filters: int, kernel_size: Any, strides: Any, padding: str, data_format: str | None,
                 dilation_rate: Any, groups: int, activation: Any, use_bias: bool, kernel_initializer: Any,
                 bias_initializer: Any, kernel_regularizer: Any, bias_regularizer: Any, activity_regularizer: Any,
                 kernel_constraint: Any, bias_constraint: Any, name: str | None, trainable: bool) -> None:
        super().__init__(activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
                         bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, name, trainable)
        self.filters = check_count("filters", filters)
        self.kernel_size = check_sizes("kernel_size", kernel_size, self.rank)
        self.strides = check_sizes("strides", strides, self.rank)
        self.padding = check_padding(padding, self.paddings)
        self.data_format = check_channels_last(data_format)
        self.dilation_rate = check_sizes("dilation_rate", dilation_rate, self.rank)
        if max(self.dilation_rate) > 1:
            raise ValueError(f"dilation_rate must be 1; received {dilation_rate!r}")
        if check_count("groups", groups) > 1:
            raise ValueError(f"groups must be 1; received {groups}")
        self.groups = 1

    def _window(self, input_shape: tuple[int, ...]) -> Window:
        ones = (1,) * (2 - self.rank)
        return window((*ones, *input_shape), (*ones, *self.kernel_size), (*ones, *self.strides), self.padding)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_samples(type(self).__name__, input_shape, self.rank)
        place = self._window(input_shape)
        shape = (place.out_height, place.out_width)[2 - self.rank:]
        check_size(f"the output of {self.filters} filters", *shape, self.filters)
        check_size(f"a kernel of {self.kernel_size}", *self.kernel_size, place.channels, self.filters)
        return (*shape, self.filters)

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        return self.kernel_and_bias(*self.kernel_size, input_shape[-1], self.filters)

    @property
    def output_activation(self) -> str:
        # A loss takes a whole sample for a row, softmax one place's filters; and what is regularized must be computed.
        kept = self.activation.rowwise or (self.activity_regularizer is not None and self.activation.name != "linear")
        return f"own {self.activation.name}" if kept else self.activation.name

    def lower_product(self, program: Program, source: int, kind: int, alpha: float) -> int:
        return program.conv(source, self._window(self.input_shape), self.filters, kind, alpha,
                            self._tensor(program, "kernel"), self._tensor(program, "bias"), self.trainable)

    def row_of_activation(self) -> int:
        return self.filters


class Conv1D(Convolution):
    """Convolution over steps of a sequence: ``y[i] = activation(sum_u x[i * stride + u] @ kernel[u] + bias)``.

    A dense layer on each window of `kernel_size` steps, with the same weights for all of them. Like Keras and all
    libraries for networks it does not turn the kernel around, as a convolution in mathematics does.

    Parameters
    ----------
    filters : int
        Number of outputs at each step.
    kernel_size : int or tuple of one int
        Length of the window.
    strides : int or tuple of one int, default 1
        Steps between windows.
    padding : {"valid", "same", "causal"}, default "valid"
        ``"valid"``: windows stay inside. ``"same"``: zeros on both sides, ``ceil(steps / stride)`` outputs.
        ``"causal"``: ``kernel_size - 1`` zeros before the first step, so that no output sees a later step.
    data_format : None or "channels_last", default None
        Samples are (steps, channels); other orders are refused.
    dilation_rate, groups : 1
        Places kept for names of Keras; only 1 is accepted.
    activation : str, Activation or None, default None
        A name or object of :mod:`fastnn.activations`; None is linear, softmax runs over the filters.
    use_bias : bool, default True
    kernel_initializer : str or Initializer, default "glorot_uniform"
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties on the weights, from :mod:`fastnn.regularizers`: part of the loss.
    activity_regularizer : str or Regularizer, optional
        Penalty on the outputs over the number of samples: `L1`, `L2` or `L1L2`.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What the weights are brought back to after each step, from :mod:`fastnn.constraints`. For the norm of all
        weights of a filter name all axes but the last: ``axis=[0, 1, 2]``, or ``[0, 1]`` in one dimension.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    kernel : ndarray (kernel_size, channels, filters)
        A live view of the model's parameters, once the model is built.
    bias : ndarray (filters,) or None

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name; if samples are not (steps, channels) or
        shorter than the window.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Conv1D(4, 3, padding="causal")], seed=0)
    >>> model.build((10, 2))
    >>> model.output_shape, model.layers[0].kernel.shape
    ((10, 4), (3, 2, 4))
    """

    rank = 1
    paddings = ("valid", "same", "causal")

    def __init__(self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid",
                 data_format: str | None = None, dilation_rate: Any = 1, groups: int = 1, activation: Any = None,
                 use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 kernel_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
                 kernel_constraint: Any = None, bias_constraint: Any = None, name: str | None = None,
                 trainable: bool = True) -> None:
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation,
                         use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
                         activity_regularizer, kernel_constraint, bias_constraint, name, trainable)


class Conv2D(Convolution):
    """Convolution over images: ``y[i, j] = activation(sum_uv x[i * s + u, j * s + v] @ kernel[u, v] + bias)``.

    A dense layer on what a window sees, with the same weights at each place (LeCun et al., "Gradient-based learning
    applied to document recognition", 1998). Like Keras and all libraries for networks it does not turn the kernel
    around, as a convolution in mathematics does. Patches of a few places at a time go through the kernels of
    :class:`Dense`; no patch matrix of a batch is ever in memory.

    Parameters
    ----------
    filters : int
        Number of outputs at each place.
    kernel_size : int or tuple of two int
        Height and width of the window.
    strides : int or tuple of two int, default (1, 1)
        Pixels between windows, down and across.
    padding : {"valid", "same"}, default "valid"
        ``"valid"``: windows stay inside, ``floor((n - k) / stride) + 1`` outputs. ``"same"``: zeros around the image,
        ``ceil(n / stride)`` outputs; where the zeros cannot be divided evenly, one more stands at the end.
    data_format : None or "channels_last", default None
        Samples are (height, width, channels); other orders are refused.
    dilation_rate, groups : 1
        Places kept for names of Keras; only 1 is accepted.
    activation : str, Activation or None, default None
        A name or object of :mod:`fastnn.activations`; None is linear, softmax runs over the filters.
    use_bias : bool, default True
    kernel_initializer : str or Initializer, default "glorot_uniform"
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties on the weights, from :mod:`fastnn.regularizers`: part of the loss.
    activity_regularizer : str or Regularizer, optional
        Penalty on the outputs over the number of samples: `L1`, `L2` or `L1L2`.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What the weights are brought back to after each step, from :mod:`fastnn.constraints`. For the norm of all
        weights of a filter name all axes but the last: ``axis=[0, 1, 2]``, or ``[0, 1]`` in one dimension.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    kernel : ndarray (kernel height, kernel width, channels, filters)
        A live view of the model's parameters, once the model is built.
    bias : ndarray (filters,) or None

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name; if samples are not (height, width,
        channels) or smaller than the window.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Conv2D(8, 3, activation="relu"), fnn.layers.MaxPooling2D(),
    ...                         fnn.layers.Flatten(), fnn.layers.Dense(10, activation="softmax")], seed=0)
    >>> model.build((28, 28, 1))
    >>> model.layers[0].kernel.shape, model.layers[1].output_shape
    ((3, 3, 1, 8), (13, 13, 8))
    """

    rank = 2

    def __init__(self, filters: int, kernel_size: Any, strides: Any = (1, 1), padding: str = "valid",
                 data_format: str | None = None, dilation_rate: Any = (1, 1), groups: int = 1, activation: Any = None,
                 use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 kernel_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
                 kernel_constraint: Any = None, bias_constraint: Any = None, name: str | None = None,
                 trainable: bool = True) -> None:
        super().__init__(filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation,
                         use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
                         activity_regularizer, kernel_constraint, bias_constraint, name, trainable)
