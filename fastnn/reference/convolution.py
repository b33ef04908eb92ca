"""Convolution and pooling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.reference.activations import _name_and_alpha, activation_backward, activation_forward
from fastnn.reference.common import Array

__all__ = [
    "average_pooling2d_backward", "average_pooling2d_forward", "conv2d_backward", "conv2d_forward",
    "max_pooling2d_backward", "max_pooling2d_forward",
]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def _surrounded(x: Array, size: tuple[int, int], strides: tuple[int, int], padding: str, fill: float) -> Array:
    """x (n, height, width, channels) with what ``padding="same"`` puts around it, half before and the rest behind."""
    if padding == "valid":
        return x
    around = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[1:3], size, strides, strict=True)]
    pads = [(0, 0), *((n // 2, n - n // 2) for n in around), (0, 0)]
    return np.pad(x, pads, constant_values=fill)


def _windows(padded: Array, size: tuple[int, int], strides: tuple[int, int]) -> Array:
    """A view (n, out height, out width, channels, size_y, size_x)."""
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=(1, 2))[:, :: strides[0], :: strides[1]]


def _scattered(x_shape: tuple[int, ...], size: tuple[int, int], strides: tuple[int, int], padding: str,
               dtype: Any, part: Callable[[int, int], Array]) -> Array:
    """Zeros of x_shape, plus for each pixel (u, v) of the window ``part(u, v)`` where that pixel was."""
    total = _surrounded(np.zeros(x_shape, dtype), size, strides, padding, 0)
    rows, cols = ((n - k) // s for n, k, s in zip(total.shape[1:3], size, strides, strict=True))
    for u, v in np.ndindex(size):
        total[:, u:u + rows * strides[0] + 1:strides[0], v:v + cols * strides[1] + 1:strides[1]] += part(u, v)
    top, left = ((n - m) // 2 for n, m in zip(total.shape[1:3], x_shape[1:3], strict=True))
    return total[:, top:top + x_shape[1], left:left + x_shape[2]]


def _given(result: Array, out: Array | None) -> Array:
    if out is None:
        return np.ascontiguousarray(result)
    out[...] = result
    return out


def conv2d_forward(x: Array, kernel: Array, bias: Array | None = None, activation: Any = None,
                   out: Array | None = None, n_threads: int | None = None, *, strides: Any = 1, padding: str = "valid",
                   z: Array | None = None, alpha: float | None = None) -> Array:
    """A dense layer on every patch of (kernel height, kernel width, channels) that the window sees.

    >>> conv2d_forward(np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    size, strides = kernel.shape[:2], _pair(strides)
    patches = _windows(_surrounded(x, size, strides, padding, 0), size, strides)
    result = np.tensordot(patches, kernel, axes=((4, 5, 3), (0, 1, 2)))
    if bias is not None:
        result += bias
    if z is not None:
        z[...] = result
    if _name_and_alpha(activation, alpha)[0] != "linear":
        result = activation_forward(result, activation, alpha=alpha)
    return _given(result, out)


def conv2d_backward(dy: Array, x: Array, kernel: Array, saved: Array | None = None, activation: Any = None, *,
                    strides: Any = 1, padding: str = "valid", alpha: float | None = None, need_dx: bool = True,
                    out: tuple[Array | None, Array | None, Array | None] | None = None,
                    n_threads: int | None = None) -> tuple[Array | None, Array, Array]:
    """Gradients of the input, the kernel and the bias: those of a dense layer on patches, whose own are added up
    where they overlap.

    >>> x, kernel = np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1))
    >>> dx, dkernel, dbias = conv2d_backward(np.ones((1, 2, 2, 1)), x, kernel)
    >>> dx[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    size, strides = kernel.shape[:2], _pair(strides)
    dx, dkernel, dbias = out or (None, None, None)
    linear = _name_and_alpha(activation, alpha)[0] == "linear"
    dz = dy if linear or saved is None else activation_backward(dy, saved, activation, alpha=alpha)
    patches = _windows(_surrounded(x, size, strides, padding, 0), size, strides)
    dkernel = _given(np.tensordot(patches, dz, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3), dkernel)
    dbias = dz.sum(axis=(0, 1, 2), out=dbias)
    if not need_dx:
        return None, dkernel, dbias
    gradient = _scattered(x.shape, size, strides, padding, x.dtype, lambda u, v: dz @ kernel[u, v].T)
    return _given(gradient, dx), dkernel, dbias


def max_pooling2d_forward(x: Array, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                          out: Array | None = None, n_threads: int | None = None) -> Array:
    """The largest value of each channel in each window.

    >>> max_pooling2d_forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    size, strides = _pair(pool_size), _pair(pool_size if strides is None else strides)
    return _given(_windows(_surrounded(x, size, strides, padding, -np.inf), size, strides).max(axis=(4, 5)), out)


def max_pooling2d_backward(dy: Array, x: Array, y: Array, pool_size: Any = 2, strides: Any = None,
                           padding: str = "valid", out: Array | None = None, n_threads: int | None = None) -> Array:
    """The gradient of each window goes to its largest element, to the first one of equals.

    >>> x = np.array([[1.0, 3.0], [3.0, 2.0]]).reshape(1, 2, 2, 1)
    >>> max_pooling2d_backward(np.ones((1, 1, 1, 1)), x, np.full((1, 1, 1, 1), 3.0))[0, :, :, 0]
    array([[0., 1.],
           [0., 0.]])
    """
    size, strides = _pair(pool_size), _pair(pool_size if strides is None else strides)
    seen = _windows(_surrounded(x, size, strides, padding, -np.inf), size, strides)
    largest = seen.reshape(*seen.shape[:4], math.prod(size)).argmax(axis=4)
    gradient = _scattered(x.shape, size, strides, padding, x.dtype,
                          lambda u, v: np.where(largest == u * size[1] + v, dy, dy.dtype.type(0)))
    return _given(gradient, out)


def average_pooling2d_forward(x: Array, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                              out: Array | None = None, n_threads: int | None = None) -> Array:
    """The mean of each channel in each window, over what of it lies in the sample.

    >>> average_pooling2d_forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    size, strides = _pair(pool_size), _pair(pool_size if strides is None else strides)
    sums = _windows(_surrounded(x, size, strides, padding, 0), size, strides).sum(axis=(4, 5))
    return _given(sums / _counts(x.shape, size, strides, padding, x.dtype), out)


def _counts(x_shape: tuple[int, ...], size: tuple[int, int], strides: tuple[int, int], padding: str,
            dtype: Any) -> Array:
    """(1, out height, out width, 1) pixels of each window that lie in the sample."""
    ones = np.ones((1, *x_shape[1:3], 1), dtype)
    return _windows(_surrounded(ones, size, strides, padding, 0), size, strides).sum(axis=(4, 5))


def average_pooling2d_backward(dy: Array, size: Any, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                               out: Array | None = None, n_threads: int | None = None) -> Array:
    """The gradient of each window in equal parts.

    >>> average_pooling2d_backward(np.full((1, 1, 1, 1), 2.0), (2, 2))[0, :, :, 0]
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    pool, strides = _pair(pool_size), _pair(pool_size if strides is None else strides)
    shape = (len(dy), *_pair(size), dy.shape[3])
    part = dy / _counts(shape, pool, strides, padding, dy.dtype)
    return _given(_scattered(shape, pool, strides, padding, dy.dtype, lambda u, v: part), out)
