"""Dense layers with sparse kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn._kernels.dispatch import ACTIVATIONS, LAST_ELEMENTWISE
from fastnn.kernels.checks import Array, _activation, _floats, _matrix, _output, _threads, _whole, _writable
from fastnn.sparse import Pattern, entries_of

__all__ = ["sparse_dense_backward", "sparse_dense_forward"]


def _entries(kernel: Any, n_in: int, like: Array) -> tuple[Pattern, Array]:
    """Pattern and values of a kernel whose rows go with the columns of x."""
    if not hasattr(kernel, "tocsr"):
        raise TypeError(f"kernel must be a scipy.sparse matrix; received {type(kernel).__name__}")
    _floats("kernel", np.empty(0, kernel.dtype), like)
    if kernel.shape[0] != n_in:
        raise ValueError(f"kernel must have the shape ({n_in}, n_out); received {kernel.shape}")
    pattern, values = entries_of(kernel, "kernel")
    assert values is not None
    return pattern, np.ascontiguousarray(values)


def sparse_dense_forward(x: Any, kernel: Any, bias: Any = None, activation: Any = None, out: Array | None = None,
                         n_threads: int | None = None, *, z: Array | None = None,
                         alpha: float | None = None) -> Array:  # fmt: skip
    """A dense layer with a sparse kernel: ``activation(x @ kernel + bias)``.

    A row of the result depends on its own row of `x` only, bit for bit.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, n_in)
    kernel : scipy.sparse matrix, shape (n_in, n_out)
        Duplicates are summed; a ``csr_array`` whose rows are sorted is read where it is.
    bias : array_like, shape (n_out,), optional
    activation, alpha
        As for :func:`activation_forward`. Default: linear.
    out : ndarray, shape (rows, n_out), optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.
    z : ndarray, shape (rows, n_out), optional
        Receives the input of the activation, which :func:`sparse_dense_backward` needs for gelu, gelu_tanh, silu and
        mish.

    Returns
    -------
    ndarray, shape (rows, n_out)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if the kernel's structure is not well formed.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse
    >>> from fastnn.kernels import sparse_dense_forward
    >>> kernel = scipy.sparse.csr_array(np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]))
    >>> sparse_dense_forward(np.array([[1.0, 10.0]]), kernel)
    array([[ 1.,  0., 32.]])
    """
    kind, alpha = _activation(activation, alpha)
    x = _matrix("x", x, ("rows", "n_in"))
    pattern, values = _entries(kernel, x.shape[1], x)
    shape = (x.shape[0], pattern.shape[1])
    if bias is not None:
        bias = _whole("bias", bias, shape[1:], x)
    out = _output("out", out, x, shape, (x, values, bias))
    if z is not None:
        _writable("z", z, x, shape, (x, values, bias, out))
    if out.size == 0:
        return out

    threads = _threads(n_threads, 2 * x.shape[0] * pattern.nnz)
    fused = kind <= LAST_ELEMENTWISE
    before = out if fused or z is None else z
    calls.sparse_forward(pattern._index, x, values, bias, kind if fused else ACTIVATIONS["linear"], alpha,
                         z if fused else None, before, threads)
    if not fused:
        calls.activation_forward(kind, alpha, before, out, threads)
    return out


def sparse_dense_backward(dy: Any, x: Any, kernel: Any, saved: Any = None, activation: Any = None, *,
                          alpha: float | None = None, need_dx: bool = True,
                          out: tuple[Array | None, Array | None, Array | None] | None = None,
                          n_threads: int | None = None) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """Gradients of the input, of the kernel's entries and of the bias from that of the output.

    With ``dz = dy * activation'``: ``dx = dz @ kernel.T``, ``dkernel = (x.T @ dz)[kernel != 0]``, ``dbias =
    dz.sum(axis=0)``. No gradient but of what is stored is computed.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, n_out)
        Gradient of the output.
    x : array_like, shape (rows, n_in)
        The input that :func:`sparse_dense_forward` was given.
    kernel : scipy.sparse matrix, shape (n_in, n_out)
    saved : array_like, shape (rows, n_out)
        As for :func:`dense_backward`.
    activation, alpha
        As for :func:`activation_forward`. Default: linear.
    need_dx : bool, default True
        Whether to compute `dx`.
    out : tuple (dx, dkernel, dbias) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, n_in), or None
    dkernel : ndarray, shape (nnz,)
        Row by row, in the order of columns: that of ``kernel.data`` if the kernel is a ``csr_array`` whose rows are
        sorted.
    dbias : ndarray, shape (n_out,)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if `saved` is missing for an activation other than linear; if the kernel's
        structure is not well formed.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse
    >>> from fastnn.kernels import sparse_dense_backward
    >>> kernel = scipy.sparse.csr_array(np.eye(2))
    >>> sparse_dense_backward(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), kernel)
    (array([[1., 2.]]), array([3., 8.]), array([1., 2.]))
    """
    kind, alpha = _activation(activation, alpha)
    linear = kind == ACTIVATIONS["linear"]
    dy = _matrix("dy", dy, ("rows", "n_out"))
    rows, n_out = dy.shape
    x = _matrix("x", x, (rows, "n_in"), dy)
    pattern, values = _entries(kernel, x.shape[1], dy)
    if pattern.shape[1] != n_out:
        raise ValueError(f"kernel must have the shape {(x.shape[1], n_out)}; received {pattern.shape}")
    if saved is not None:
        saved = _matrix("saved", saved, (rows, n_out), dy)
    elif not linear:
        raise ValueError(f"saved must be given for activation {activation!r}; received None")
    if out is not None and (not isinstance(out, tuple) or len(out) != 3):
        raise TypeError(f"out must be a tuple (dx, dkernel, dbias) of arrays or None; received {out!r}")
    inputs = (dy, x, values, saved)
    dx, dkernel, dbias = out or (None, None, None)
    dx = _output("out[0]", dx, dy, x.shape, inputs) if need_dx else None
    dkernel = _output("out[1]", dkernel, dy, (pattern.nnz,), (*inputs, dx))
    dbias = _output("out[2]", dbias, dy, (n_out,), (*inputs, dx, dkernel))
    if not rows:
        dkernel[...] = 0
    threads = _threads(n_threads, 4 * rows * pattern.nnz)
    dz = dy
    if not linear and dy.size:
        dz = np.empty(dy.shape, dy.dtype)
        calls.activation_backward(kind, alpha, dy, saved, dz, threads)
    calls.sparse_backward(pattern._index, x, dz, values, dx, dkernel, dbias, threads)
    return dx, dkernel, dbias
