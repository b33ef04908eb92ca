"""Windows over samples of shape (height, width, channels): where convolution and pooling look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastnn.inputs import check_count, check_size
from fastnn.named import one_of

__all__ = ["Window", "check_channels_last", "check_padding", "check_samples", "check_sizes", "window"]


class Window(NamedTuple):
    """Output (oy, ox) sees the `size_y` x `size_x` pixels from (oy * stride_y - top, ox * stride_x - left) on."""

    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    size_y: int
    size_x: int
    stride_y: int
    stride_x: int
    top: int
    left: int


def check_sizes(name: str, value: Any, rank: int) -> tuple[int, ...]:
    """`rank` positive integers, from so many or from one that stands for all."""
    sizes = tuple(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else (value,) * rank
    if len(sizes) != rank:
        raise ValueError(f"{name} must be an integer or {rank} of them; received {value!r}")
    return tuple(check_count(name, size) for size in sizes)


def check_padding(padding: Any, allowed: Sequence[str] = ("valid", "same")) -> str:
    """The name of a padding in lower case."""
    if not isinstance(padding, str) or padding.lower() not in allowed:
        raise ValueError(f"padding must be {' or '.join(map(repr, allowed))}; received {padding!r}")
    return padding.lower()


def check_channels_last(data_format: Any) -> str | None:
    """None, or the only order of dimensions that there is."""
    return one_of("data_format", data_format, (None, "channels_last"))


def check_samples(what: str, shape: Sequence[int], rank: int) -> None:
    """That samples have `rank` dimensions and channels."""
    wanted = ("steps", "height, width")[rank - 1]
    if len(shape) != rank + 1:
        hint = f". Put fastnn.layers.Reshape(({', '.join(map(str, shape))}, 1)) before it" if len(shape) == rank else ""
        raise ValueError(f"{what} takes samples of shape ({wanted}, channels); received {tuple(shape)}{hint}")


def _along(axis: str, length: int, size: int, stride: int, padding: str) -> tuple[int, int]:
    """Outputs along an axis, and the zeros before it."""
    if padding == "same":
        outputs = -(-length // stride)
        return outputs, max((outputs - 1) * stride + size - length, 0) // 2
    before = size - 1 if padding == "causal" else 0
    if length + before < size:
        raise ValueError(f"a window of {axis} {size} does not fit into samples of {axis} {length}; "
                         "choose a smaller one, or padding='same'")
    return (length + before - size) // stride + 1, before


def window(shape: Sequence[int], size: Sequence[int], strides: Sequence[int], padding: str) -> Window:
    """The window of `size` (height, width) over samples of `shape` (height, width, channels).

    Parameters
    ----------
    padding : {"valid", "same", "causal"}
        ``"valid"``: the window stays inside. ``"same"``: an output for each `strides` pixels, ``ceil(n / stride)``,
        with as many zeros on both sides, or one more at the end. ``"causal"``: ``size - 1`` zeros on the left, for
        windows of height 1.

    Raises
    ------
    ValueError
        If the window is larger than a sample and the padding is not ``"same"``.
    """
    height, width, channels = shape
    out_height, top = _along("height", height, size[0], strides[0], "valid" if padding == "causal" else padding)
    out_width, left = _along("width", width, size[1], strides[1], padding)
    check_size(f"a window of {tuple(size)} over {channels} channels", *size, channels)
    return Window(height, width, channels, out_height, out_width, size[0], size[1], strides[0], strides[1], top, left)
