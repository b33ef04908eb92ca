"""Normalization, PReLU and SReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn.kernels.checks import ELEMENT_WORK, Array, _matrix, _number, _output, _threads, _whole

__all__ = [
    "batch_normalization_backward", "batch_normalization_forward", "layer_normalization_backward",
    "layer_normalization_forward", "prelu_backward", "prelu_forward", "rms_normalization_backward",
    "rms_normalization_forward", "srelu_backward", "srelu_forward",
]

BLOCK_ROWS = 16  # of a block of column statistics: fnn_block_rows(1) in C


def _columns(name: str, value: Any, like: Array) -> Array | None:
    """A vector of one number a column of `like`, or None."""
    return None if value is None else _whole(name, value, (like.shape[1],), like)


def _outputs(out: Any, names: tuple[str, ...], like: Array, shapes: tuple[tuple[int, ...], ...],
             inputs: Sequence[Array | None]) -> list[Array]:  # fmt: skip
    """A tuple of outputs, each checked or new."""
    if out is not None and (not isinstance(out, tuple) or len(out) != len(names)):
        raise TypeError(f"out must be a tuple ({', '.join(names)}) of arrays or None; received {out!r}")
    results: list[Array] = []
    for i, (given, shape) in enumerate(zip(out or [None] * len(names), shapes, strict=True)):
        results.append(_output(f"out[{i}]", given, like, shape, (*inputs, *results)))
    return results


def batch_normalization_forward(x: Any, gamma: Any = None, beta: Any = None, mean: Any = None, variance: Any = None, *,
                                epsilon: float = 1e-3,
                                out: tuple[Array | None, Array | None, Array | None] | None = None,
                                n_threads: int | None = None) -> tuple[Array, Array, Array]:  # fmt: skip
    """Columns of mean 0 and variance 1: ``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` (Ioffe and Szegedy,
    2015).

    Mean and variance (over ``rows``, not ``rows - 1``) are those of the columns of `x`, in two passes over blocks of
    16 rows that are then joined in float64 (Chan, Golub and LeVeque, 1983), unless they are given.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    gamma, beta : array_like, shape (columns,), optional
        Default: ones and zeros.
    mean, variance : array_like, shape (columns,), optional
        Both or neither. Default: those of `x`.
    epsilon : float, default 1e-3
        Not negative.
    out : tuple (y, mean, variance) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    y : ndarray, shape (rows, columns)
    mean, variance : ndarray, shape (columns,)
        As they were used.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import batch_normalization_forward
    >>> y, mean, variance = batch_normalization_forward(np.array([[1.0, 5.0], [3.0, 5.0]]), epsilon=0.0001)
    >>> y.round(3), mean, variance
    (array([[-1.,  0.],
           [ 1.,  0.]]), array([2., 5.]), array([1., 0.]))
    """
    x = _matrix("x", x)
    gamma, beta = _columns("gamma", gamma, x), _columns("beta", beta, x)
    mean, variance = _columns("mean", mean, x), _columns("variance", variance, x)
    if (mean is None) != (variance is None):
        raise ValueError("mean and variance must be given both or neither; received one of them")
    epsilon = _number("epsilon", epsilon, 0)
    rows, cols = x.shape
    inputs = (x, gamma, beta, mean, variance)
    shapes = (x.shape, (cols,), (cols,))
    y, out_mean, out_variance = _outputs(out, ("y", "mean", "variance"), x, shapes, inputs)
    out_mean[...] = 0 if mean is None else mean
    out_variance[...] = 0 if variance is None else variance
    if x.size:
        scratch = np.empty((2 + 2 * -(-rows // BLOCK_ROWS), cols), x.dtype)
        calls.batch_normalize(x, gamma, beta, out_mean, out_variance, epsilon, mean is None, scratch, y,
                              _threads(n_threads, ELEMENT_WORK * x.size))
    return y, out_mean, out_variance


def batch_normalization_backward(dy: Any, x: Any, mean: Any, variance: Any, gamma: Any = None, *,
                                 epsilon: float = 1e-3, frozen: bool = False,
                                 out: tuple[Array | None, Array | None, Array | None] | None = None,
                                 n_threads: int | None = None) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients of :func:`batch_normalization_forward`.

    With ``h = (x - mean) / sqrt(variance + epsilon)``: ``dgamma = (dy * h).sum(axis=0)``, ``dbeta =
    dy.sum(axis=0)``, and ``dx = gamma / sqrt(variance + epsilon) * (dy - dbeta / rows - h * dgamma / rows)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
        Gradient of the output.
    x : array_like, shape (rows, columns)
        The input that :func:`batch_normalization_forward` was given.
    mean, variance : array_like, shape (columns,)
        What it returned.
    gamma : array_like, shape (columns,), optional
        Default: ones.
    epsilon : float, default 1e-3
    frozen : bool, default False
        Whether `mean` and `variance` were given and do not depend on `x`: `dx` is then ``gamma / sqrt(variance +
        epsilon) * dy``.
    out : tuple (dx, dgamma, dbeta) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, columns)
    dgamma, dbeta : ndarray, shape (columns,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import batch_normalization_backward
    >>> x, dy = np.array([[1.0], [3.0]]), np.array([[0.5], [1.5]])
    >>> dx, dgamma, dbeta = batch_normalization_backward(dy, x, np.array([2.0]), np.array([1.0]), epsilon=0.0)
    >>> dx.ravel(), dgamma, dbeta
    (array([0., 0.]), array([1.]), array([2.]))
    """
    dy = _matrix("dy", dy)
    rows, cols = dy.shape
    x = _matrix("x", x, dy.shape, dy)
    mean, variance = _whole("mean", mean, (cols,), dy), _whole("variance", variance, (cols,), dy)
    gamma = _columns("gamma", gamma, dy)
    epsilon = _number("epsilon", epsilon, 0)
    inputs = (dy, x, mean, variance, gamma)
    dx, dgamma, dbeta = _outputs(out, ("dx", "dgamma", "dbeta"), dy, (dy.shape, (cols,), (cols,)), inputs)
    dgamma[...] = dbeta[...] = 0
    if dy.size:
        scratch = np.empty((4 + 2 * -(-rows // BLOCK_ROWS), cols), dy.dtype)
        calls.batch_normalize_backward(dy, x, gamma, mean, variance, epsilon, bool(frozen), scratch, dx, dgamma, dbeta,
                                       _threads(n_threads, ELEMENT_WORK * dy.size))
    return dx, dgamma, dbeta


def layer_normalization_forward(x: Any, gamma: Any = None, beta: Any = None, *, epsilon: float = 1e-3,
                                out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Rows of mean 0 and variance 1: ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, mean and variance those
    of a row (Ba, Kiros and Hinton, 2016).

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    gamma, beta : array_like, shape (columns,), optional
        Default: ones and zeros.
    epsilon : float, default 1e-3
        Not negative.
    out : ndarray, shape and dtype of `x`, optional
        Default: a new array.
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
    >>> from fastnn.kernels import layer_normalization_forward
    >>> layer_normalization_forward(np.array([[1.0, 3.0]]), epsilon=0.0)
    array([[-1.,  1.]])
    """
    return _row_forward(x, {"gamma": gamma, "beta": beta}, True, epsilon, out, n_threads)


def layer_normalization_backward(dy: Any, x: Any, gamma: Any = None, *, epsilon: float = 1e-3,
                                 out: tuple[Array | None, Array | None, Array | None] | None = None,
                                 n_threads: int | None = None) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients of :func:`layer_normalization_forward`.

    With ``h = (x - mean) / sqrt(variance + epsilon)`` and ``d = dy * gamma``: ``dx = (d - d.mean(axis=1) - h *
    (d * h).mean(axis=1)) / sqrt(variance + epsilon)``, ``dgamma = (dy * h).sum(axis=0)``, ``dbeta = dy.sum(axis=0)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
        Gradient of the output.
    x : array_like, shape (rows, columns)
        The input that :func:`layer_normalization_forward` was given.
    gamma : array_like, shape (columns,), optional
        Default: ones.
    epsilon : float, default 1e-3
    out : tuple (dx, dgamma, dbeta) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, columns)
    dgamma, dbeta : ndarray, shape (columns,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import layer_normalization_backward
    >>> dx, dgamma, dbeta = layer_normalization_backward(np.array([[0.5, 1.5]]), np.array([[1.0, 3.0]]), epsilon=0.0)
    >>> dx, dgamma, dbeta
    (array([[0., 0.]]), array([-0.5,  1.5]), array([0.5, 1.5]))
    """
    dx, dgamma, dbeta = _row_backward(dy, x, "gamma", gamma, True, epsilon, out, n_threads)
    return dx, dgamma, dbeta


def rms_normalization_forward(x: Any, scale: Any = None, *, epsilon: float = 1e-6, out: Array | None = None,
                              n_threads: int | None = None) -> Array:  # fmt: skip
    """Rows of mean square 1: ``x / sqrt(mean(x**2) + epsilon) * scale`` (Zhang and Sennrich, 2019).

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    scale : array_like, shape (columns,), optional
        Default: ones.
    epsilon : float, default 1e-6
        Not negative.
    out : ndarray, shape and dtype of `x`, optional
        Default: a new array.
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
    >>> from fastnn.kernels import rms_normalization_forward
    >>> rms_normalization_forward(np.array([[3.0, -3.0]]), epsilon=0.0)
    array([[ 1., -1.]])
    """
    return _row_forward(x, {"scale": scale}, False, epsilon, out, n_threads)


def rms_normalization_backward(dy: Any, x: Any, scale: Any = None, *, epsilon: float = 1e-6,
                               out: tuple[Array | None, Array | None] | None = None,
                               n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Gradients of :func:`rms_normalization_forward`.

    With ``h = x / sqrt(mean(x**2) + epsilon)`` and ``d = dy * scale``: ``dx = (d - h * (d * h).mean(axis=1)) /
    sqrt(mean(x**2) + epsilon)``, ``dscale = (dy * h).sum(axis=0)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
        Gradient of the output.
    x : array_like, shape (rows, columns)
        The input that :func:`rms_normalization_forward` was given.
    scale : array_like, shape (columns,), optional
        Default: ones.
    epsilon : float, default 1e-6
    out : tuple (dx, dscale) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, columns)
    dscale : ndarray, shape (columns,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import rms_normalization_backward
    >>> dx, dscale = rms_normalization_backward(np.array([[1.0, 0.0]]), np.array([[3.0, -3.0]]), epsilon=0.0)
    >>> dx.round(4), dscale
    (array([[0.1667, 0.1667]]), array([1., 0.]))
    """
    dx, dscale = _row_backward(dy, x, "scale", scale, False, epsilon, out, n_threads)
    return dx, dscale


def _row_forward(x: Any, weights: dict[str, Any], centred: bool, epsilon: float, out: Array | None,
                 n_threads: int | None) -> Array:  # fmt: skip
    x = _matrix("x", x)
    checked = [_columns(name, value, x) for name, value in weights.items()]
    gamma, beta = checked if centred else (*checked, None)
    epsilon = _number("epsilon", epsilon, 0)
    out = _output("out", out, x, x.shape, (x, gamma, beta))
    if x.size:
        calls.row_normalize(x, gamma, beta, centred, epsilon, None, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def _row_backward(dy: Any, x: Any, name: str, gamma: Any, centred: bool, epsilon: float, out: Any,
                  n_threads: int | None) -> list[Array]:  # fmt: skip
    dy = _matrix("dy", dy)
    rows, cols = dy.shape
    x, gamma = _matrix("x", x, dy.shape, dy), _columns(name, gamma, dy)
    epsilon = _number("epsilon", epsilon, 0)
    names = ("dx", "dgamma", "dbeta") if centred else ("dx", "dscale")
    shapes = (dy.shape, (cols,), (cols,))[:len(names)]
    results = _outputs(out, names, dy, shapes, (dy, x, gamma))
    for sums in results[1:]:
        sums[...] = 0
    if dy.size:
        statistics = np.empty((rows, 2), dy.dtype)
        threads = _threads(n_threads, ELEMENT_WORK * dy.size)
        calls.row_normalize(x, None, None, centred, epsilon, statistics, results[0], threads)
        calls.row_normalize_backward(dy, x, gamma, centred, statistics, results[0], results[1],
                                     results[2] if centred else None, threads)
    return results


def prelu_forward(x: Any, alpha: Any, *, out: Array | None = None, n_threads: int | None = None) -> Array:
    """``x`` where it is positive, else ``alpha * x`` (He et al., 2015).

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    alpha : array_like, shape (columns,)
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
    >>> from fastnn.kernels import prelu_forward
    >>> prelu_forward(np.array([[-2.0, 3.0]]), np.array([0.25, 0.25]))
    array([[-0.5,  3. ]])
    """
    x = _matrix("x", x)
    alpha = _whole("alpha", alpha, (x.shape[1],), x)
    out = _output("out", out, x, x.shape, (x, alpha), in_place=x)
    if x.size:
        calls.prelu_forward(x, alpha, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def prelu_backward(dy: Any, x: Any, alpha: Any, *, out: tuple[Array | None, Array | None] | None = None,
                   n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Gradients of :func:`prelu_forward`: ``dx = dy`` where x is positive, else ``alpha * dy``; ``dalpha =
    (dy * minimum(x, 0)).sum(axis=0)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
        Gradient of the output.
    x : array_like, shape (rows, columns)
        The input that :func:`prelu_forward` was given.
    alpha : array_like, shape (columns,)
    out : tuple (dx, dalpha) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, columns)
    dalpha : ndarray, shape (columns,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import prelu_backward
    >>> prelu_backward(np.ones((1, 2)), np.array([[-2.0, 3.0]]), np.array([0.25, 0.25]))
    (array([[0.25, 1.  ]]), array([-2.,  0.]))
    """
    dy = _matrix("dy", dy)
    cols = dy.shape[1]
    x, alpha = _matrix("x", x, dy.shape, dy), _whole("alpha", alpha, (cols,), dy)
    dx, dalpha = _outputs(out, ("dx", "dalpha"), dy, (dy.shape, (cols,)), (dy, x, alpha))
    dalpha[...] = 0
    if dy.size:
        calls.prelu_backward(dy, x, alpha, dx, dalpha, _threads(n_threads, ELEMENT_WORK * dy.size))
    return dx, dalpha


def srelu_forward(x: Any, t_left: Any, a_left: Any, t_right: Any, a_right: Any, *, out: Array | None = None,
                  n_threads: int | None = None) -> Array:  # fmt: skip
    """``x`` between two thresholds, straight lines of other slopes on either side of them (Jin et al., 2016).

    ``l + a_left * (x - l)`` where ``x <= l``, ``r + a_right * (x - r)`` where ``x >= r``, else ``x``, for
    ``l = t_left`` and ``r = t_left + abs(t_right)``.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    t_left, a_left, t_right, a_right : array_like, shape (columns,)
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
    >>> from fastnn.kernels import srelu_forward
    >>> srelu_forward(np.array([[-2.0], [0.5], [3.0]]), *np.array([[0.0], [0.1], [1.0], [0.5]])).ravel()
    array([-0.2,  0.5,  2. ])
    """
    x = _matrix("x", x)
    vectors = _srelu_vectors((t_left, a_left, t_right, a_right), x)
    out = _output("out", out, x, x.shape, (x, *vectors), in_place=x)
    if x.size:
        calls.srelu_forward(x, vectors, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def srelu_backward(dy: Any, x: Any, t_left: Any, a_left: Any, t_right: Any, a_right: Any, *,
                   out: tuple[Array | None, ...] | None = None,
                   n_threads: int | None = None) -> tuple[Array, Array, Array, Array, Array]:  # fmt: skip
    """Gradients of :func:`srelu_forward`: of `x`, and of the four vectors, sums over the rows.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
        Gradient of the output.
    x : array_like, shape (rows, columns)
        The input that :func:`srelu_forward` was given.
    t_left, a_left, t_right, a_right : array_like, shape (columns,)
    out : tuple (dx, dt_left, da_left, dt_right, da_right) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, columns)
    dt_left, da_left, dt_right, da_right : ndarray, shape (columns,)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import srelu_backward
    >>> dx, *sums = srelu_backward(np.ones((3, 1)), np.array([[-2.0], [0.5], [3.0]]),
    ...                            *np.array([[0.0], [0.25], [1.0], [0.5]]))
    >>> dx.ravel(), np.ravel(sums)
    (array([0.25, 1.  , 0.5 ]), array([ 1.25, -2.  ,  0.5 ,  2.  ]))
    """
    dy = _matrix("dy", dy)
    cols = dy.shape[1]
    x = _matrix("x", x, dy.shape, dy)
    vectors = _srelu_vectors((t_left, a_left, t_right, a_right), dy)
    names = ("dx", *(f"d{name}" for name in SRELU))
    dx, *sums = _outputs(out, names, dy, (dy.shape, *((cols,),) * 4), (dy, x, *vectors))
    for array in sums:
        array[...] = 0
    if dy.size:
        calls.srelu_backward(dy, x, vectors, dx, sums, _threads(n_threads, ELEMENT_WORK * dy.size))
    return dx, sums[0], sums[1], sums[2], sums[3]


SRELU = "t_left", "a_left", "t_right", "a_right"


def _srelu_vectors(vectors: tuple[Any, ...], like: Array) -> list[Array]:
    return [_whole(name, vector, (like.shape[1],), like) for name, vector in zip(SRELU, vectors, strict=True)]
