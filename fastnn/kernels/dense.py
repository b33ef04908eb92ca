"""Dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn._kernels.dispatch import (
    ACTIVATIONS,
    LAST_ELEMENTWISE,
    panel_width,
)
from fastnn.kernels.checks import Array, _activation, _matrix, _output, _threads, _whole, _writable

__all__ = ["dense_backward", "dense_forward"]


def dense_forward(x: Any, kernel: Any, bias: Any = None, activation: Any = None, out: Array | None = None,
                  n_threads: int | None = None, *, z: Array | None = None,
                  alpha: float | None = None) -> Array:  # fmt: skip
    """A dense layer in one pass: ``activation(x @ kernel + bias)``.

    A row of the result depends on its own row of `x` only, bit for bit: not on the batch around it.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, n_in)
    kernel : array_like, shape (n_in, n_out)
    bias : array_like, shape (n_out,), optional
    activation, alpha
        As for :func:`activation_forward`. Default: linear.
    out : ndarray, shape (rows, n_out), optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.
    z : ndarray, shape (rows, n_out), optional
        Receives ``x @ kernel + bias``, which :func:`dense_backward` needs where the activation ``needs_input``.

    Returns
    -------
    ndarray, shape (rows, n_out)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import dense_forward
    >>> dense_forward(np.array([[1.0, 2.0]]), np.eye(2), np.array([1.0, -3.0]), "relu")
    array([[2., 0.]])
    """
    kind, alpha = _activation(activation, alpha)
    x = _matrix("x", x, ("rows", "n_in"))
    kernel = _whole("kernel", kernel, (x.shape[1], "n_out"), x)
    n_out = kernel.shape[1]
    if bias is not None:
        bias = _whole("bias", bias, (n_out,), x)
    shape = (x.shape[0], n_out)
    out = _output("out", out, x, shape, (x, kernel, bias))
    if z is not None:
        _writable("z", z, x, shape, (x, kernel, bias, out))
    if out.size == 0:
        return out

    threads = _threads(n_threads, 2 * x.shape[0] * kernel.size)
    if n_out % panel_width(x.dtype.name):
        whole, kernel = kernel, _padded(x.shape[1], n_out, x)
        kernel[...] = whole
    if kind <= LAST_ELEMENTWISE:
        calls.dense_forward(x, kernel, bias, kind, alpha, z, out, threads)
    else:
        before = out if z is None else z
        calls.dense_forward(x, kernel, bias, ACTIVATIONS["linear"], 0.0, None, before, threads)
        calls.activation_forward(kind, alpha, before, out, threads)
    return out


def _padded(rows: int, cols: int, like: Array) -> Array:
    """A (rows, cols) matrix whose rows may be read, as zeros, up to a whole panel of columns."""
    width = panel_width(like.dtype.name)
    padded = np.empty((rows, -(-cols // width) * width), like.dtype)
    padded[:, cols:] = 0
    return padded[:, :cols]


def dense_backward(dy: Any, x: Any, kernel: Any, saved: Any = None, activation: Any = None, *,
                   alpha: float | None = None, need_dx: bool = True,
                   out: tuple[Array | None, Array | None, Array | None] | None = None,
                   n_threads: int | None = None) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """Gradients of a dense layer's input, kernel and bias from that of its output.

    With ``dz = dy * activation'``: ``dx = dz @ kernel.T``, ``dkernel = x.T @ dz``, ``dbias =
    dz.sum(axis=0)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, n_out)
        Gradient of the output.
    x : array_like, shape (rows, n_in)
        The input that :func:`dense_forward` was given.
    kernel : array_like, shape (n_in, n_out)
    saved : array_like, shape (rows, n_out)
        What :func:`activation_backward` takes the derivative from: the output, or `z` for gelu, gelu_tanh,
        silu and mish. May be left out for linear.
    activation, alpha
        As for :func:`activation_forward`. Default: linear.
    need_dx : bool, default True
        Whether to compute `dx`: the first layer of a network has no use for it.
    out : tuple (dx, dkernel, dbias) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, n_in), or None
    dkernel : ndarray, shape (n_in, n_out)
    dbias : ndarray, shape (n_out,)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if `saved` is missing for an activation other than linear.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import dense_backward
    >>> dx, dkernel, dbias = dense_backward(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.eye(2))
    >>> dkernel
    array([[3., 6.],
           [4., 8.]])
    """
    kind, alpha = _activation(activation, alpha)
    linear = kind == ACTIVATIONS["linear"]
    dy = _matrix("dy", dy, ("rows", "n_out"))
    rows, n_out = dy.shape
    x = _matrix("x", x, (rows, "n_in"), dy)
    n_in = x.shape[1]
    kernel = _whole("kernel", kernel, (n_in, n_out), dy)
    if saved is not None:
        saved = _matrix("saved", saved, (rows, n_out), dy)
    elif not linear:
        raise ValueError(f"saved must be given for activation {activation!r}; received None")
    if out is not None and (not isinstance(out, tuple) or len(out) != 3):
        raise TypeError(f"out must be a tuple (dx, dkernel, dbias) of arrays or None; received {out!r}")
    inputs = (dy, x, kernel, saved)
    dx, dkernel, dbias = out or (None, None, None)
    dx = _output("out[0]", dx, dy, (rows, n_in), inputs) if need_dx else None
    dkernel = _output("out[1]", dkernel, dy, (n_in, n_out), (*inputs, dx))
    dbias = _output("out[2]", dbias, dy, (n_out,), (*inputs, dx, dkernel))
    threads = _threads(n_threads, 4 * rows * kernel.size)

    dz = _padded(rows, n_out, dy)
    if linear:
        dz[...] = dy
    elif dz.size:
        calls.activation_backward(kind, alpha, dy, saved, dz, threads)
    calls.dense_kernel_grad(x, dz, dkernel, dbias, threads)
    if dx is not None:
        transposed = np.empty(calls.transposed_size(dy.itemsize, n_in, n_out), dy.dtype)
        calls.transpose(kernel, transposed, threads)
        calls.dense_input_grad(dz, transposed, dx, threads)
    return dx, dkernel, dbias
