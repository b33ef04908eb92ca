"""Convolution and pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn._kernels.dispatch import (
    ACTIVATIONS,
    LAST_ELEMENTWISE,
    POOLINGS,
    panel_width,
)
from fastnn.kernels.checks import (
    ELEMENT_WORK,
    Array,
    _activation,
    _check_shape,
    _floats,
    _output,
    _threads,
    _whole,
    _writable,
)
from fastnn.windows import Window, check_padding, check_sizes, window

__all__ = [
    "average_pooling2d_backward", "average_pooling2d_forward", "conv2d_backward", "conv2d_forward",
    "max_pooling2d_backward", "max_pooling2d_forward",
]

SAMPLES = ("samples", "height", "width", "channels")


def _images(name: str, value: Any, shape: Sequence[int | str] = SAMPLES, like: Array | None = None) -> Array:
    """Samples with channels last, in C order, of which each has at least one element."""
    a = _whole(name, value, shape, like)
    if 0 in a.shape[1:]:
        raise ValueError(f"{name} must have samples that are not empty; received the shape {a.shape}")
    return a


def _flat(a: Array) -> Array:
    """Samples as the rows of a matrix."""
    return a.reshape(len(a), math.prod(a.shape[1:]))


def _readable_past(a: Array) -> Array:
    """A contiguous copy that may be read one panel past its end."""
    memory = np.zeros(a.size + panel_width(a.dtype.name), a.dtype)
    memory[:a.size] = a.reshape(-1)
    return memory[:a.size].reshape(a.shape)


def _conv_shapes(x: Any, kernel: Any, strides: Any, padding: Any,
                 like: Array | None = None) -> tuple[Array, Array, Window]:  # fmt: skip
    x = _images("x", x, SAMPLES, like)
    kernel = _whole("kernel", kernel, ("height", "width", x.shape[3], "filters"), x)
    if 0 in kernel.shape:
        raise ValueError(f"kernel must not be empty; received the shape {kernel.shape}")
    return x, kernel, window(x.shape[1:], kernel.shape[:2], check_sizes("strides", strides, 2), check_padding(padding))


def _conv_scratch(place: Window, like: Array, threads: int) -> Array:
    return np.empty((threads, calls.conv_scratch(like.itemsize, place)), like.dtype)


def conv2d_forward(x: Any, kernel: Any, bias: Any = None, activation: Any = None, out: Array | None = None,
                   n_threads: int | None = None, *, strides: Any = 1, padding: str = "valid",
                   z: Array | None = None, alpha: float | None = None) -> Array:  # fmt: skip
    """A convolution with channels last: the dense layer `kernel` on what a window sees at each position.

    ``y[n, i, j] = activation(sum over (u, v, c) of x[n, i * s + u, j * s + v, c] * kernel[u, v, c] + bias)``, which
    signal processing calls a correlation. A sample of the result depends on its own sample of `x` only, bit for bit.
    No more of the patches that the window sees than fits into a cache exists at a time.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (samples, height, width, channels)
    kernel : array_like, shape (kernel height, kernel width, channels, filters)
    bias : array_like, shape (filters,), optional
    activation, alpha
        As for :func:`activation_forward`; softmax runs over the filters. Default: linear.
    out : ndarray, shape (samples, out height, out width, filters), optional
        C-contiguous. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.
    strides : int or pair of int, default 1
        Pixels between windows, down and across.
    padding : {"valid", "same"}, default "valid"
        ``"valid"``: the window stays inside, out is ``floor((n - k) / stride) + 1``. ``"same"``: zeros around, out is
        ``ceil(n / stride)``; where they cannot be divided evenly, one more stands at the end.
    z : ndarray, shape of `out`, optional
        Receives the input of the activation, which :func:`conv2d_backward` needs where the activation ``needs_input``.

    Returns
    -------
    ndarray, shape (samples, out height, out width, filters)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if the window is larger than a sample and `padding` is ``"valid"``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import conv2d_forward
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> conv2d_forward(x, np.ones((2, 2, 1, 1)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    kind, alpha = _activation(activation, alpha)
    x, kernel, place = _conv_shapes(x, kernel, strides, padding)
    filters = kernel.shape[3]
    if bias is not None:
        bias = _whole("bias", bias, (filters,), x)
    shape = (len(x), place.out_height, place.out_width, filters)
    out = _output("out", out, x, shape, (x, kernel, bias))
    if z is not None:
        _writable("z", z, x, shape, (x, kernel, bias, out))
    if out.size == 0:
        return out

    threads = _threads(n_threads, 2 * (out.size // filters) * kernel.size)
    matrix = kernel.reshape(-1, filters)
    if filters % panel_width(x.dtype.name):
        matrix = _readable_past(matrix)
    fused = kind <= LAST_ELEMENTWISE
    before = out if fused or z is None else z
    calls.conv_forward(place, _flat(x), matrix, bias, kind if fused else ACTIVATIONS["linear"], alpha,
                       _flat(z) if fused and z is not None else None, _flat(before), _conv_scratch(place, x, threads),
                       threads)
    if not fused:
        calls.activation_forward(kind, alpha, before.reshape(-1, filters), out.reshape(-1, filters), threads)
    return out


def conv2d_backward(dy: Any, x: Any, kernel: Any, saved: Any = None, activation: Any = None, *, strides: Any = 1,
                    padding: str = "valid", alpha: float | None = None, need_dx: bool = True,
                    out: tuple[Array | None, Array | None, Array | None] | None = None,
                    n_threads: int | None = None) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """Gradients of a convolution's input, kernel and bias from that of its output.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (samples, out height, out width, filters)
        Gradient of the output.
    x : array_like, shape (samples, height, width, channels)
        The input that :func:`conv2d_forward` was given.
    kernel : array_like, shape (kernel height, kernel width, channels, filters)
    saved : array_like, shape of `dy`
        What :func:`activation_backward` takes the derivative from: the output, or `z` for gelu, gelu_tanh,
        silu and mish. May be left out for linear.
    activation, alpha, strides, padding
        As for :func:`conv2d_forward`.
    need_dx : bool, default True
        Whether to compute `dx`: the first layer of a network has no use for it.
    out : tuple (dx, dkernel, dbias) of ndarray or None, optional
        C-contiguous arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape of `x`, or None
    dkernel : ndarray, shape of `kernel`
    dbias : ndarray, shape (filters,)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if `saved` is missing for an activation other than linear.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import conv2d_backward
    >>> x, kernel = np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1))
    >>> dx, dkernel, dbias = conv2d_backward(np.ones((1, 2, 2, 1)), x, kernel)
    >>> dx[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    >>> dkernel[:, :, 0, 0], dbias
    (array([[ 8., 12.],
           [20., 24.]]), array([4.]))
    """
    kind, alpha = _activation(activation, alpha)
    linear = kind == ACTIVATIONS["linear"]
    dy = _floats("dy", dy)
    x, kernel, place = _conv_shapes(x, kernel, strides, padding, dy)
    filters = kernel.shape[3]
    shape = (len(x), place.out_height, place.out_width, filters)
    dy = _whole("dy", dy, shape)
    if saved is not None:
        saved = _whole("saved", saved, shape, dy)
    elif not linear:
        raise ValueError(f"saved must be given for activation {activation!r}; received None")
    if out is not None and (not isinstance(out, tuple) or len(out) != 3):
        raise TypeError(f"out must be a tuple (dx, dkernel, dbias) of arrays or None; received {out!r}")
    inputs = (dy, x, kernel, saved)
    dx, dkernel, dbias = out or (None, None, None)
    dx = _output("out[0]", dx, dy, x.shape, inputs) if need_dx else None
    dkernel = _output("out[1]", dkernel, dy, kernel.shape, (*inputs, dx))
    dbias = _output("out[2]", dbias, dy, (filters,), (*inputs, dx, dkernel))
    if dy.size == 0:
        dkernel[...] = dbias[...] = 0
        return dx, dkernel, dbias

    threads = _threads(n_threads, 4 * (dy.size // filters) * kernel.size)
    dz = _readable_past(dy)
    if not linear:
        calls.activation_backward(kind, alpha, dy.reshape(-1, filters), saved.reshape(-1, filters),
                                  dz.reshape(-1, filters), threads)  # fmt: skip
    scratch = _conv_scratch(place, x, threads)
    calls.conv_kernel_grad(place, _flat(x), _flat(dz), dkernel.reshape(-1, filters), dbias, scratch, threads)
    if dx is not None:
        matrix = kernel.reshape(-1, filters)
        transposed = np.empty(calls.transposed_size(dy.itemsize, *matrix.shape), dy.dtype)
        calls.transpose(matrix, transposed, threads)
        calls.conv_input_grad(place, filters, _flat(dz), transposed, _flat(dx), scratch, threads)
    return dx, dkernel, dbias


def _pool_window(shape: Sequence[int], pool_size: Any, strides: Any, padding: Any) -> Window:
    size = check_sizes("pool_size", pool_size, 2)
    step = size if strides is None else check_sizes("strides", strides, 2)
    return window(shape, size, step, check_padding(padding))


def _pool_forward(kind: str, x: Any, pool_size: Any, strides: Any, padding: Any, out: Array | None,
                  n_threads: int | None) -> Array:  # fmt: skip
    x = _images("x", x)
    place = _pool_window(x.shape[1:], pool_size, strides, padding)
    out = _output("out", out, x, (len(x), place.out_height, place.out_width, place.channels), (x,))
    if out.size:
        calls.pool_forward(POOLINGS[kind], place, _flat(x), _flat(out), _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def max_pooling2d_forward(x: Any, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                          out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """The largest value of each channel in each window.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (samples, height, width, channels)
    pool_size : int or pair of int, default 2
        Height and width of the window.
    strides : int or pair of int, optional
        Pixels between windows. Default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        As for :func:`conv2d_forward`; what lies outside of the sample does not count.
    out : ndarray, shape (samples, out height, out width, channels), optional
        C-contiguous. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (samples, out height, out width, channels)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if the window is larger than a sample and `padding` is ``"valid"``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import max_pooling2d_forward
    >>> max_pooling2d_forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    return _pool_forward("max", x, pool_size, strides, padding, out, n_threads)


def max_pooling2d_backward(dy: Any, x: Any, y: Any, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                           out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Gradient of the input of :func:`max_pooling2d_forward`: that of each window goes to its largest element, to the
    first of equal ones in the order of rows.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (samples, out height, out width, channels)
        Gradient of the output.
    x : array_like, shape (samples, height, width, channels)
    y : array_like, shape of `dy`
        The output.
    pool_size, strides, padding
        As in the forward pass.
    out : ndarray, shape of `x`, optional
        C-contiguous. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape of `x`

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import max_pooling2d_backward, max_pooling2d_forward
    >>> x = np.array([[1.0, 3.0], [3.0, 2.0]]).reshape(1, 2, 2, 1)
    >>> y = max_pooling2d_forward(x)
    >>> max_pooling2d_backward(np.ones_like(y), x, y)[0, :, :, 0]
    array([[0., 1.],
           [0., 0.]])
    """
    dy = _floats("dy", dy)
    x = _images("x", x, SAMPLES, dy)
    place = _pool_window(x.shape[1:], pool_size, strides, padding)
    shape = (len(x), place.out_height, place.out_width, place.channels)
    dy, y = _whole("dy", dy, shape), _whole("y", y, shape, dy)
    out = _output("out", out, dy, x.shape, (dy, x, y))
    if out.size:
        calls.pool_backward(POOLINGS["max"], place, _flat(dy), _flat(x), _flat(y), _flat(out),
                            _threads(n_threads, ELEMENT_WORK * x.size))  # fmt: skip
    return out


def average_pooling2d_forward(x: Any, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                              out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """The mean of each channel in each window, over the pixels of it that lie in the sample.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (samples, height, width, channels)
    pool_size, strides, padding, out, n_threads
        As for :func:`max_pooling2d_forward`.

    Returns
    -------
    ndarray, shape (samples, out height, out width, channels)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if the window is larger than a sample and `padding` is ``"valid"``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import average_pooling2d_forward
    >>> average_pooling2d_forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    return _pool_forward("average", x, pool_size, strides, padding, out, n_threads)


def average_pooling2d_backward(dy: Any, size: Sequence[int], pool_size: Any = 2, strides: Any = None,
                               padding: str = "valid", out: Array | None = None,
                               n_threads: int | None = None) -> Array:  # fmt: skip
    """Gradient of the input of :func:`average_pooling2d_forward`: that of each window in equal parts.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (samples, out height, out width, channels)
        Gradient of the output.
    size : pair of int
        Height and width of the input.
    pool_size, strides, padding
        As in the forward pass.
    out : ndarray, shape (samples, height, width, channels), optional
        C-contiguous. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (samples, height, width, channels)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import average_pooling2d_backward
    >>> average_pooling2d_backward(np.full((1, 1, 1, 1), 2.0), (2, 2))[0, :, :, 0]
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    dy = _images("dy", dy)
    place = _pool_window((*check_sizes("size", size, 2), dy.shape[3]), pool_size, strides, padding)
    _check_shape("dy", dy, (len(dy), place.out_height, place.out_width, place.channels))
    out = _output("out", out, dy, (len(dy), place.height, place.width, place.channels), (dy,))
    if out.size:
        calls.pool_backward(POOLINGS["average"], place, _flat(dy), None, None, _flat(out),
                            _threads(n_threads, ELEMENT_WORK * out.size))  # fmt: skip
    return out
