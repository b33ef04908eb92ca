"""What keeps weights small: penalties, constraints, masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn._kernels.dispatch import (
    SOURCES,
)
from fastnn.kernels.checks import (
    ELEMENT_WORK,
    Array,
    _as_rows,
    _check_shape,
    _floats,
    _integer,
    _matrix,
    _number,
    _output,
    _shape_text,
    _threads,
    _whole,
    _writable,
)
from fastnn.kernels.rows import _row_index
from fastnn.named import one_of

__all__ = [
    "affine", "gather_rows", "l1_l2_penalty", "mask_weights", "norm_constraint", "orthogonal_penalty",
    "scatter_rows",
]


def _in_place(name: str, value: Any, ndim: int = 1) -> Array:
    """An array of at least `ndim` dimensions that is updated as a whole."""
    a = _floats(name, value)
    if a.ndim < ndim:
        raise ValueError(f"{name} must have at least {ndim} dimensions; received the shape {_shape_text(a.shape)}")
    return _writable(name, value, a, a.shape, whole=True)


def _added_to(grad: Any, param: Array) -> Array | None:
    return None if grad is None else _writable("grad", grad, param, param.shape, (param,), whole=True)


def l1_l2_penalty(param: Any, l1: float = 0.0, l2: float = 0.0, *, grad: Array | None = None,
                  n_threads: int | None = None) -> float:  # fmt: skip
    """``l1 * sum(abs(param)) + l2 * sum(param ** 2)``, summed in float64; the derivative is added to `grad`.

    The derivative is ``l1 * sign(param) + 2 * l2 * param``, with ``sign(0) = 0``.

    Parameters
    ----------
    param : array_like of float32 or float64, any shape
    l1, l2 : float, default 0.0
        At least 0.
    grad : ndarray, shape and dtype of `param`, optional
        C-contiguous; the derivative is added to it.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import l1_l2_penalty
    >>> grad = np.zeros((1, 3))
    >>> l1_l2_penalty(np.array([[1.0, -2.0, 0.0]]), l1=0.5, l2=0.25, grad=grad)
    2.75
    >>> grad
    array([[ 1. , -1.5,  0. ]])
    """
    l1, l2 = _number("l1", l1, 0), _number("l2", l2, 0)
    param = _whole("param", param)
    grad = _added_to(grad, param)
    if not param.size:
        return 0.0
    rows = _as_rows(param)
    return calls.penalty(l1, l2, rows, None if grad is None else grad.reshape(rows.shape),
                         _threads(n_threads, ELEMENT_WORK * param.size))


def orthogonal_penalty(param: Any, factor: float = 0.01, mode: str = "rows", *, grad: Array | None = None,
                       n_threads: int | None = None) -> float:  # fmt: skip
    """`factor` times the mean of ``abs(u @ v)`` over the pairs of rows (or columns), scaled to unit vectors u and v.

    As Keras has it, rows shorter than 1e-7 are multiplied by 1e7 instead; a single row has no pairs and a penalty of
    0. The derivative of the absolute value is 0 at 0.

    Parameters
    ----------
    param : array_like of float32 or float64, shape (rows, columns)
    factor : float, default 0.01
        At least 0.
    mode : {"rows", "columns"}, default "rows"
    grad : ndarray, shape and dtype of `param`, optional
        C-contiguous; the derivative is added to it.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import orthogonal_penalty
    >>> orthogonal_penalty(np.array([[3.0, 0.0], [0.0, 2.0]]), 1.0)
    0.0
    >>> orthogonal_penalty(np.array([[3.0, 0.0], [4.0, 3.0]]), 1.0)
    0.8
    """
    factor = _number("factor", factor, 0)
    one_of("mode", mode, ("rows", "columns"))
    param = _whole("param", param, ("rows", "columns"))
    grad = _added_to(grad, param)
    n = param.shape[mode == "columns"]
    if n < 2 or not param.size:
        return 0.0
    threads = _threads(n_threads, 4 * n * param.size)
    return calls.orthogonal(factor / (n * (n - 1) / 2), mode == "columns", param, grad, threads)


def norm_layout(shape: Sequence[int], axis: int | Sequence[int] | None) -> tuple[int, int, bool]:
    """Rows and columns of the matrix as which an array of `shape` can be walked, and whether norms over `axis` are
    those of its columns; they are those of its rows otherwise. ValueError where it cannot, or there is no such axis.
    """
    rank = len(shape)
    given = range(rank) if axis is None else [axis] if isinstance(axis, (int, np.integer)) else list(axis)
    if not all(-rank <= a < rank for a in given):
        raise ValueError(f"axis must be in [{-rank}, {rank}) for the shape {_shape_text(shape)}; received {axis!r}")
    axes = sorted({a % rank for a in given})
    first = rank - len(axes)
    if axes == list(range(first, rank)):
        return math.prod(shape[:first]), math.prod(shape[first:]), False
    if axes == list(range(len(axes))):
        return math.prod(shape[:len(axes)]), math.prod(shape[len(axes):]), True
    raise ValueError(f"axis must name the first or the last dimensions; received {axis!r} for the shape "
                     f"{_shape_text(shape)}")


def norm_constraint(param: Any, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0,
                    axis: int | Sequence[int] | None = 0, *, n_threads: int | None = None) -> None:  # fmt: skip
    """Weights scaled so that their norms come into a range, in place.

    With ``norm = sqrt(sum(param ** 2, axis))`` the weights are multiplied by ``(rate * clip(norm, min_value,
    max_value) + (1 - rate) * norm) / (1e-7 + norm)``, as Keras does it. Weights whose norm is 0 stay 0.

    Parameters
    ----------
    param : ndarray of float32 or float64, at least one dimension
        Updated in place; C-contiguous.
    min_value : float, default 0.0
        At least 0.
    max_value : float, default 1.0
        At least `min_value`.
    rate : float, default 1.0
        In [0, 1].
    axis : int, sequence of int or None, default 0
        What the norms sum over: the first dimensions or the last ones; None is all.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import norm_constraint
    >>> w = np.array([[3.0, 0.3], [4.0, 0.4]])
    >>> norm_constraint(w, max_value=1.0)
    >>> w.round(3)
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """
    low = _number("min_value", min_value, 0)
    high = _number("max_value", max_value, low)
    rate = _number("rate", rate, 0, 1)
    param = _in_place("param", param)
    rows, cols, columns = norm_layout(param.shape, axis)
    if param.size:
        calls.norms(low, high, rate, columns, param.reshape(rows, cols), _threads(n_threads, ELEMENT_WORK * param.size))


def mask_weights(param: Any, mask: Any, *, n_threads: int | None = None) -> None:
    """Zero where `mask` is False, in place; NaN and infinity go too.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    mask : array_like of bool, shape of `param`
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import mask_weights
    >>> w = np.array([1.0, 2.0, 3.0])
    >>> mask_weights(w, [True, False, True])
    >>> w
    array([1., 0., 3.])
    """
    param = _in_place("param", param, 0)
    keep = np.ascontiguousarray(mask)
    if keep.dtype != np.bool_:
        raise TypeError(f"mask must be an array of bool; received dtype {keep.dtype}")
    _check_shape("mask", np.asarray(mask), param.shape)
    if param.size:
        calls.mask(param.reshape(-1), keep.reshape(-1).view(np.uint8), _threads(n_threads, param.size))


def gather_rows(x: Any, index: Any, out: Array | None = None, dtype: Any = None,
                n_threads: int | None = None) -> Array:  # fmt: skip
    """Rows of a matrix, converted to floating point on the way: ``x[index]``.

    Parameters
    ----------
    x : array_like of booleans, integers, float16, float32 or float64, shape (n, columns)
        Read where it is, in any layout.
    index : array_like of integers, shape (rows,)
        In [0, n); a row may come up any number of times.
    out : ndarray of float32 or float64, shape (rows, columns), optional
        Default: a new array.
    dtype : float32 or float64, optional
        Of the new array. Default: that of `out`, else of `x` if it is one of the two, else float32.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (rows, columns)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if an index is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import gather_rows
    >>> gather_rows(np.array([[1, 2], [3, 4]], dtype=np.uint8), [1, 0])
    array([[3., 4.],
           [1., 2.]], dtype=float32)
    """
    x = np.asarray(x)
    source = SOURCES.get(x.dtype.str[1:]) if x.dtype.isnative else None
    if source is None:
        raise TypeError(f"x must be bool, integer, float16, float32 or float64; received dtype {x.dtype}")
    _check_shape("x", x, ("rows", "columns"))
    index = _row_index("index", index, len(x))
    if dtype is None:
        dtype = out.dtype if isinstance(out, np.ndarray) else x.dtype if x.dtype.char in "fd" else np.float32
    like = _floats("dtype", np.empty(0, dtype))
    x = x if x.flags.aligned else x.copy()
    out = _output("out", out, like, (len(index), x.shape[1]), (x, index))
    if out.size:
        address, (row_stride, col_stride) = x.__array_interface__["data"][0], x.strides
        calls.gather(source, address, row_stride, col_stride, index, out,
                     _threads(n_threads, ELEMENT_WORK * out.size))  # fmt: skip
    return out


def scatter_rows(dy: Any, index: Any, n: int, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Gradient of the matrix whose rows :func:`gather_rows` took: ``out[index[r]] += dy[r]``, from zeros.

    It is that of an embedding's table too. Rows are added up in their order, whatever the number of threads.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
    index : array_like of integers, shape (rows,)
        In [0, n); a row may come up any number of times.
    n : int
        Rows of the result, at least 1.
    out : ndarray, shape (n, columns), dtype of `dy`, optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (n, columns)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if an index is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import scatter_rows
    >>> scatter_rows(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), [2, 0, 2], 3)
    array([[3., 4.],
           [0., 0.],
           [6., 8.]])
    """
    dy = _matrix("dy", dy)
    n = _integer("n", n, 1, 2**31)
    index = _row_index("index", index, n)
    if len(index) != len(dy):
        raise ValueError(f"dy has {len(dy)} rows, but index has {len(index)} numbers")
    out = _output("out", out, dy, (n, dy.shape[1]), (dy, index))
    if out.size:
        calls.scatter(dy, index.astype(np.int32), out, _threads(n_threads, ELEMENT_WORK * (dy.size + out.size)))
    return out


def affine(x: Any, scale: float, offset: float = 0.0, out: Array | None = None,
           n_threads: int | None = None) -> Array:  # fmt: skip
    """``x * scale + offset``, both numbers rounded to the dtype of `x` first.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    scale : float
        Finite.
    offset : float, default 0.0
        Finite.
    out : ndarray, shape and dtype of `x`, optional
        May be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import affine
    >>> affine(np.array([[0.0, 51.0, 255.0]]), 1 / 255)
    array([[0. , 0.2, 1. ]])
    """
    x = _matrix("x", x)
    scale, offset = _number("scale", scale, -math.inf, math.inf), _number("offset", offset, -math.inf, math.inf)
    out = _output("out", out, x, x.shape, (x,), in_place=x)
    if x.size:
        calls.affine(x, scale, offset, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out
