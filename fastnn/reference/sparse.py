"""Dense layers with sparse kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.reference.activations import _name_and_alpha, activation_backward, activation_forward
from fastnn.reference.common import Array

__all__ = ["sparse_dense_backward", "sparse_dense_forward"]


def sparse_dense_forward(x: Array, kernel: Any, bias: Array | None = None, activation: Any = None,
                         out: Array | None = None, n_threads: int | None = None, *, z: Array | None = None,
                         alpha: float | None = None) -> Array:
    """``activation(x @ kernel + bias)``

    >>> import scipy.sparse
    >>> kernel = scipy.sparse.csr_array(np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]))
    >>> sparse_dense_forward(np.array([[1.0, 10.0]]), kernel)
    array([[ 1.,  0., 32.]])
    """
    result = np.asarray(x @ kernel)
    if bias is not None:
        result = result + bias
    if z is not None:
        z[...] = result
    if _name_and_alpha(activation, alpha)[0] != "linear":
        result = activation_forward(result, activation, alpha=alpha)
    if out is None:
        return result
    out[...] = result
    return out


def sparse_dense_backward(dy: Array, x: Array, kernel: Any, saved: Array | None = None, activation: Any = None, *,
                          alpha: float | None = None, need_dx: bool = True,
                          out: tuple[Array | None, Array | None, Array | None] | None = None,
                          n_threads: int | None = None) -> tuple[Array | None, Array, Array]:
    """Gradients of the input, of the entries of the kernel and of the bias.

    >>> import scipy.sparse
    >>> sparse_dense_backward(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), scipy.sparse.csr_array(np.eye(2)))
    (array([[1., 2.]]), array([3., 8.]), array([1., 2.]))
    """
    dx, dkernel, dbias = out or (None, None, None)
    linear = _name_and_alpha(activation, alpha)[0] == "linear"
    dz = dy if linear or saved is None else activation_backward(dy, saved, activation, alpha=alpha)
    rows, cols = np.repeat(np.arange(x.shape[1]), np.diff(kernel.indptr)), kernel.indices
    if need_dx:
        dx = np.add(dz @ kernel.T, 0, out=dx)
    return dx, np.einsum("rk,rk->k", x[:, rows], dz[:, cols], out=dkernel), dz.sum(axis=0, out=dbias)
