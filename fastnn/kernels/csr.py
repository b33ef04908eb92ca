"""Dense layers on sparse samples, in compressed rows (CSR)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn.kernels.checks import Array, _check_shape, _floats, _integer, _output, _threads, _whole
from fastnn.sparse_inputs import Csr, check_structure

__all__ = ["csr_dense_forward", "csr_dense_kernel_grad"]


def csr_dense_forward(values: Any, indices: Any, indptr: Any, kernel: Any, bias: Any = None,
                      out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """``x @ kernel + bias`` for a sparse x in compressed rows.

    Where the columns of each row are sorted and occur once, the bits are those of :func:`dense_forward` with the dense
    x. Values of a column that occurs twice add up.

    Parameters
    ----------
    values : array_like of float32 or float64, shape (entries,)
        Those of row r are ``values[indptr[r]:indptr[r + 1]]``.
    indices : ndarray of integers, shape (entries,)
        Columns of the values, in [0, n_in).
    indptr : ndarray of integers, shape (rows + 1,)
        From 0 to the number of entries, never decreasing.
    kernel : array_like, shape (n_in, n_out)
    bias : array_like, shape (n_out,), optional
    out : ndarray, shape (rows, n_out), optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (rows, n_out)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists; if indices and indptr are no compressed rows, with the row where this shows.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import csr_dense_forward
    >>> csr_dense_forward(np.array([2.0, 1.0]), np.array([1, 0]), np.array([0, 1, 1, 2]), np.array([[1.0], [10.0]]))
    array([[20.],
           [ 0.],
           [ 1.]])
    """
    values = _whole("values", values, ("entries",))
    kernel = _whole("kernel", kernel, ("n_in", "n_out"), values)
    n_out = kernel.shape[1]
    if bias is not None:
        bias = _whole("bias", bias, (n_out,), values)
    x = _rows(values, indices, indptr, kernel.shape[0])
    out = _output("out", out, values, (len(x), n_out), (values, kernel, bias))
    if out.size:
        calls.csr_forward(x, kernel, bias, out, _threads(n_threads, 2 * x.nnz * n_out))
    return out


def csr_dense_kernel_grad(values: Any, indices: Any, indptr: Any, dy: Any, n_in: int, out: Array | None = None,
                          n_threads: int | None = None) -> Array:  # fmt: skip
    """``x.T @ dy``, the gradient of a dense layer's kernel, for a sparse x in compressed rows.

    Parameters
    ----------
    values, indices, indptr
        As for :func:`csr_dense_forward`.
    dy : array_like, shape (rows, n_out)
    n_in : int
        Columns of x.
    out : ndarray, shape (n_in, n_out), optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (n_in, n_out)
        Zeros in rows that no entry names.

    Raises
    ------
    TypeError, ValueError
        As :func:`csr_dense_forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import csr_dense_kernel_grad
    >>> csr_dense_kernel_grad(np.array([2.0, 1.0]), np.array([1, 1]), np.array([0, 1, 2]), np.array([[1.0], [10.0]]), 3)
    array([[ 0.],
           [12.],
           [ 0.]])
    """
    values = _whole("values", values, ("entries",))
    dy = _whole("dy", dy, ("rows", "n_out"), values)
    x = _rows(values, indices, indptr, _integer("n_in", n_in, 0, 2**31))
    _check_shape("dy", dy, (len(x), "n_out"))
    out = _output("out", out, values, (x.cols, dy.shape[1]), (values, dy))
    if out.size:
        calls.csr_kernel_grad(x, dy, out, _threads(n_threads, 2 * x.nnz * dy.shape[1]))
    return out


def _rows(values: Array, indices: Any, indptr: Any, cols: int) -> Csr:
    rows = max(0, np.size(indptr) - 1)
    pointers, columns = check_structure(indptr, indices, rows, cols, "x", len(values))
    return Csr(pointers, columns, _floats("values", values), cols)
