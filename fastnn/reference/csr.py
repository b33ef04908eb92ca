"""Dense layers on sparse samples, in compressed rows (CSR)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.reference.common import Array

__all__ = ["csr_dense_forward", "csr_dense_kernel_grad"]


def csr_dense_forward(values: Array, indices: Array, indptr: Array, kernel: Array, bias: Any = None,
                      out: Array | None = None, n_threads: int | None = None) -> Array:
    """
    >>> csr_dense_forward(np.array([2.0, 1.0]), np.array([1, 0]), np.array([0, 1, 2]), np.array([[1.0], [10.0]]))
    array([[20.],
           [ 1.]])
    """
    out = np.empty((len(indptr) - 1, kernel.shape[1]), values.dtype) if out is None else out
    out[...] = 0 if bias is None else bias
    np.add.at(out, _row_of_entries(indptr), values[:, None] * kernel[indices])
    return out


def csr_dense_kernel_grad(values: Array, indices: Array, indptr: Array, dy: Array, n_in: int,
                          out: Array | None = None, n_threads: int | None = None) -> Array:
    """
    >>> csr_dense_kernel_grad(np.array([2.0, 1.0]), np.array([1, 1]), np.array([0, 1, 2]), np.array([[1.0], [10.0]]), 2)
    array([[ 0.],
           [12.]])
    """
    out = np.empty((n_in, dy.shape[1]), values.dtype) if out is None else out
    out[...] = 0
    np.add.at(out, indices, values[:, None] * dy[_row_of_entries(indptr)])
    return out


def _row_of_entries(indptr: Array) -> Array:
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
