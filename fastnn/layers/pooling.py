"""Pooling: the largest value or the mean of each channel in a window, or over all places."""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn._kernels.dispatch import POOLINGS
from fastnn._kernels.program import Program
from fastnn.layers.base import Layer
from fastnn.windows import Window, check_channels_last, check_padding, check_samples, check_sizes, window

__all__ = [
    "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "MaxPooling1D", "MaxPooling2D",
]


class Pooling(Layer):
    """What all pooling layers share: a sample of one spatial dimension is an image of height 1."""

    rank: ClassVar[int]
    kind: ClassVar[str]

    def _window(self, input_shape: tuple[int, ...]) -> Window:
        raise NotImplementedError

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return program.pool(source, POOLINGS[self.kind], self._window(self.input_shape))


class WindowPooling(Pooling):
    def __init__(self, pool_size: Any, strides: Any, padding: str, data_format: str | None, name: str | None) -> None:
        super().__init__(name=name)
        self.pool_size = check_sizes("pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else check_sizes("strides", strides, self.rank)
        self.padding = check_padding(padding)
        self.data_format = check_channels_last(data_format)

    def _window(self, input_shape: tuple[int, ...]) -> Window:
        ones = (1,) * (2 - self.rank)
        return window((*ones, *input_shape), (*ones, *self.pool_size), (*ones, *self.strides), self.padding)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_samples(type(self).__name__, input_shape, self.rank)
        place = self._window(input_shape)
        return (*(place.out_height, place.out_width)[2 - self.rank:], place.channels)


class GlobalPooling(Pooling):
    def __init__(self, data_format: str | None, keepdims: bool, name: str | None) -> None:
        super().__init__(name=name)
        self.data_format = check_channels_last(data_format)
        if not isinstance(keepdims, bool):
            raise TypeError(f"keepdims must be True or False; received {keepdims!r}")
        self.keepdims = keepdims

    def _window(self, input_shape: tuple[int, ...]) -> Window:
        shape = (*(1,) * (2 - self.rank), *input_shape)
        return window(shape, shape[:2], (1, 1), "valid")

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_samples(type(self).__name__, input_shape, self.rank)
        return (*(1,) * (self.rank if self.keepdims else 0), input_shape[-1])


class MaxPooling1D(WindowPooling):
    """The largest value of each channel in each window of steps.

    Parameters
    ----------
    pool_size : int or tuple of one int, default 2
        Length of the window.
    strides : int, tuple of one int or None, default None
        Steps between windows; None: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        ``"valid"``: windows stay inside. ``"same"``: ``ceil(steps / stride)`` outputs; what lies outside does not
        count.
    data_format : None or "channels_last", default None
        Samples are (steps, channels); other orders are refused.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; if samples are not (steps, channels) or shorter than the
        window.

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.Sequential([fnn.layers.MaxPooling1D()]).predict([[[1], [3], [2], [5], [9]]]).tolist()
    [[[3.0], [5.0]]]
    """

    rank, kind = 1, "max"

    def __init__(self, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                 data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(pool_size, strides, padding, data_format, name)


class MaxPooling2D(WindowPooling):
    """The largest value of each channel in each window. Its gradient goes to the first of equal values, by rows.

    Parameters
    ----------
    pool_size : int or tuple of two int, default (2, 2)
        Height and width of the window.
    strides : int, tuple of two int or None, default None
        Pixels between windows, down and across; None: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        ``"valid"``: windows stay inside, ``floor((n - k) / stride) + 1`` outputs. ``"same"``: ``ceil(n / stride)``
        outputs; what lies outside of the image does not count.
    data_format : None or "channels_last", default None
        Samples are (height, width, channels); other orders are refused.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range; if samples are not (height, width, channels) or smaller
        than the window.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.MaxPooling2D(3, strides=2)])
    >>> model.build((28, 28, 8))
    >>> model.output_shape
    (13, 13, 8)
    """

    rank, kind = 2, "max"

    def __init__(self, pool_size: Any = (2, 2), strides: Any = None, padding: str = "valid",
                 data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(pool_size, strides, padding, data_format, name)


class AveragePooling1D(WindowPooling):
    """The mean of each channel in each window of steps, over those that the sample has.

    Parameters
    ----------
    pool_size : int or tuple of one int
        Length of the window.
    strides, padding, data_format, name
        As for :class:`MaxPooling1D`.

    Raises
    ------
    TypeError, ValueError
        As for :class:`MaxPooling1D`.

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.Sequential([fnn.layers.AveragePooling1D(2, padding="same")]).predict([[[1], [3], [9]]]).tolist()
    [[[2.0], [9.0]]]
    """

    rank, kind = 1, "average"

    def __init__(self, pool_size: Any, strides: Any = None, padding: str = "valid",
                 data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(pool_size, strides, padding, data_format, name)


class AveragePooling2D(WindowPooling):
    """The mean of each channel in each window, over the pixels of it that lie in the image.

    Parameters
    ----------
    pool_size : int or tuple of two int
        Height and width of the window.
    strides, padding, data_format, name
        As for :class:`MaxPooling2D`.

    Raises
    ------
    TypeError, ValueError
        As for :class:`MaxPooling2D`.

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.Sequential([fnn.layers.AveragePooling2D(2)]).predict([[[[1], [2]], [[3], [4]]]]).tolist()
    [[[[2.5]]]]
    """

    rank, kind = 2, "average"

    def __init__(self, pool_size: Any, strides: Any = None, padding: str = "valid",
                 data_format: str | None = None, name: str | None = None) -> None:
        super().__init__(pool_size, strides, padding, data_format, name)


class GlobalAveragePooling1D(GlobalPooling):
    """The mean of each channel over all steps.

    Parameters
    ----------
    data_format : None or "channels_last", default None
        Samples are (steps, channels); other orders are refused.
    keepdims : bool, default False
        Whether the outputs are (1, channels) in place of (channels,).
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type; if samples are not (steps, channels).

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.Sequential([fnn.layers.GlobalAveragePooling1D()]).predict([[[1], [3], [2]]]).tolist()
    [[2.0]]
    """

    rank, kind = 1, "average"

    def __init__(self, data_format: str | None = None, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(data_format, keepdims, name)


class GlobalAveragePooling2D(GlobalPooling):
    """The mean of each channel over all pixels (Lin, Chen and Yan, "Network in network", 2014).

    Parameters
    ----------
    data_format : None or "channels_last", default None
        Samples are (height, width, channels); other orders are refused.
    keepdims : bool, default False
        Whether the outputs are (1, 1, channels) in place of (channels,).
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type; if samples are not (height, width, channels).

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.Sequential([fnn.layers.GlobalAveragePooling2D()]).predict([[[[1], [2]], [[3], [4]]]]).tolist()
    [[2.5]]
    """

    rank, kind = 2, "average"

    def __init__(self, data_format: str | None = None, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(data_format, keepdims, name)


class GlobalMaxPooling1D(GlobalPooling):
    """The largest value of each channel over all steps.

    Parameters
    ----------
    data_format, keepdims, name
        As for :class:`GlobalAveragePooling1D`.

    Raises
    ------
    TypeError, ValueError
        As for :class:`GlobalAveragePooling1D`.

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.Sequential([fnn.layers.GlobalMaxPooling1D()]).predict([[[1], [3], [2]]]).tolist()
    [[3.0]]
    """

    rank, kind = 1, "max"

    def __init__(self, data_format: str | None = None, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(data_format, keepdims, name)


class GlobalMaxPooling2D(GlobalPooling):
    """The largest value of each channel over all pixels.

    Parameters
    ----------
    data_format, keepdims, name
        As for :class:`GlobalAveragePooling2D`.

    Raises
    ------
    TypeError, ValueError
        As for :class:`GlobalAveragePooling2D`.

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.Sequential([fnn.layers.GlobalMaxPooling2D()]).predict([[[[1], [2]], [[3], [4]]]]).tolist()
    [[4.0]]
    """

    rank, kind = 2, "max"

    def __init__(self, data_format: str | None = None, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(data_format, keepdims, name)
