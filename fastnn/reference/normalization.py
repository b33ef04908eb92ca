"""Normalization, PReLU and SReLU."""

from __future__ import annotations

import numpy as np

from fastnn.reference.common import Array

__all__ = [
    "batch_normalization_backward", "batch_normalization_forward", "layer_normalization_backward",
    "layer_normalization_forward", "prelu_backward", "prelu_forward", "rms_normalization_backward",
    "rms_normalization_forward", "srelu_backward", "srelu_forward",
]


def _filled(results: tuple[Array, ...], out: tuple[Array | None, ...] | None) -> tuple[Array, ...]:
    """`results`, copied to where `out` has an array."""
    for result, given in zip(results, out or (), strict=False):
        if given is not None:
            given[...] = result
    return tuple(result if given is None else given
                 for result, given in zip(results, out or [None] * len(results), strict=True))


def batch_normalization_forward(x: Array, gamma: Array | None = None, beta: Array | None = None,
                                mean: Array | None = None, variance: Array | None = None, *, epsilon: float = 1e-3,
                                out: tuple[Array | None, Array | None, Array | None] | None = None,
                                n_threads: int | None = None) -> tuple[Array, ...]:
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, by column; mean and variance those of the columns
    unless they are given.

    >>> batch_normalization_forward(np.array([[1.0], [3.0]]), epsilon=0.0)
    (array([[-1.],
           [ 1.]]), array([2.]), array([1.]))
    """
    if mean is None or variance is None:
        mean = x.sum(axis=0) / max(len(x), 1)
        variance = np.square(x - mean).sum(axis=0) / max(len(x), 1)
    y = (x - mean) / np.sqrt(variance + x.dtype.type(epsilon))
    if gamma is not None:
        y *= gamma
    if beta is not None:
        y += beta
    return _filled((y, mean.astype(x.dtype), variance.astype(x.dtype)), out)


def batch_normalization_backward(dy: Array, x: Array, mean: Array, variance: Array, gamma: Array | None = None, *,
                                 epsilon: float = 1e-3, frozen: bool = False,
                                 out: tuple[Array | None, Array | None, Array | None] | None = None,
                                 n_threads: int | None = None) -> tuple[Array, ...]:
    """Gradients of the input, gamma and beta; `frozen`: mean and variance do not depend on x.

    >>> batch_normalization_backward(np.ones((2, 1)), np.array([[1.0], [3.0]]), np.array([2.0]), np.array([1.0]))[2]
    array([2.])
    """
    inverse = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    h = (x - mean) * inverse
    dgamma, dbeta = (dy * h).sum(axis=0), dy.sum(axis=0)
    dx = dy.copy() if frozen else dy - (dbeta + h * dgamma) / x.dtype.type(max(len(x), 1))
    dx *= inverse if gamma is None else gamma * inverse
    return _filled((dx, dgamma, dbeta), out)


def _row_forward(x: Array, gamma: Array | None, beta: Array | None, centred: bool, epsilon: float) -> Array:
    if centred:
        x = x - x.mean(axis=1, keepdims=True)
    y = x / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + x.dtype.type(epsilon))
    if gamma is not None:
        y *= gamma
    if beta is not None:
        y += beta
    return y


def _row_backward(dy: Array, x: Array, gamma: Array | None, centred: bool, epsilon: float) -> tuple[Array, ...]:
    if centred:
        x = x - x.mean(axis=1, keepdims=True)
    inverse = 1 / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + x.dtype.type(epsilon))
    h = x * inverse
    d = dy if gamma is None else dy * gamma
    dx = d - h * (d * h).mean(axis=1, keepdims=True)
    if centred:
        dx -= d.mean(axis=1, keepdims=True)
    return dx * inverse, (dy * h).sum(axis=0), dy.sum(axis=0)


def layer_normalization_forward(x: Array, gamma: Array | None = None, beta: Array | None = None, *,
                                epsilon: float = 1e-3, out: Array | None = None,
                                n_threads: int | None = None) -> Array:
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, mean and variance those of a row.

    >>> layer_normalization_forward(np.array([[1.0, 3.0]]), epsilon=0.0)
    array([[-1.,  1.]])
    """
    return _filled((_row_forward(x, gamma, beta, True, epsilon),), (out,))[0]


def layer_normalization_backward(dy: Array, x: Array, gamma: Array | None = None, *, epsilon: float = 1e-3,
                                 out: tuple[Array | None, Array | None, Array | None] | None = None,
                                 n_threads: int | None = None) -> tuple[Array, ...]:
    """Gradients of the input, gamma and beta.

    >>> layer_normalization_backward(np.array([[0.5, 1.5]]), np.array([[1.0, 3.0]]), epsilon=0.0)
    (array([[0., 0.]]), array([-0.5,  1.5]), array([0.5, 1.5]))
    """
    return _filled(_row_backward(dy, x, gamma, True, epsilon), out)


def rms_normalization_forward(x: Array, scale: Array | None = None, *, epsilon: float = 1e-6,
                              out: Array | None = None, n_threads: int | None = None) -> Array:
    """``x / sqrt(mean(x**2) + epsilon) * scale``

    >>> rms_normalization_forward(np.array([[3.0, -3.0]]), epsilon=0.0)
    array([[ 1., -1.]])
    """
    return _filled((_row_forward(x, scale, None, False, epsilon),), (out,))[0]


def rms_normalization_backward(dy: Array, x: Array, scale: Array | None = None, *, epsilon: float = 1e-6,
                               out: tuple[Array | None, Array | None] | None = None,
                               n_threads: int | None = None) -> tuple[Array, ...]:
    """Gradients of the input and of scale.

    >>> rms_normalization_backward(np.array([[1.0, 0.0]]), np.array([[3.0, -3.0]]), epsilon=0.0)[1]
    array([1., 0.])
    """
    return _filled(_row_backward(dy, x, scale, False, epsilon)[:2], out)


def prelu_forward(x: Array, alpha: Array, *, out: Array | None = None, n_threads: int | None = None) -> Array:
    """``x`` where it is positive, else ``alpha * x``.

    >>> prelu_forward(np.array([[-2.0, 3.0]]), np.array([0.25, 0.25]))
    array([[-0.5,  3. ]])
    """
    return _filled((np.where(x > 0, x, alpha * x),), (out,))[0]


def prelu_backward(dy: Array, x: Array, alpha: Array, *, out: tuple[Array | None, Array | None] | None = None,
                   n_threads: int | None = None) -> tuple[Array, ...]:
    """Gradients of the input and of alpha.

    >>> prelu_backward(np.ones((1, 2)), np.array([[-2.0, 3.0]]), np.array([0.25, 0.25]))
    (array([[0.25, 1.  ]]), array([-2.,  0.]))
    """
    return _filled((np.where(x > 0, dy, alpha * dy), (dy * np.minimum(x, 0)).sum(axis=0)), out)


def srelu_forward(x: Array, t_left: Array, a_left: Array, t_right: Array, a_right: Array, *, out: Array | None = None,
                  n_threads: int | None = None) -> Array:
    """``x`` between ``t_left`` and ``t_left + abs(t_right)``, with a slope on either side.

    >>> srelu_forward(np.array([[-2.0], [0.5], [3.0]]), *np.array([[0.0], [0.1], [1.0], [0.5]])).ravel()
    array([-0.2,  0.5,  2. ])
    """
    right = t_left + np.abs(t_right)
    high = np.where(x < right, x, right + a_right * (x - right))
    return _filled((np.where(x > t_left, high, t_left + a_left * (x - t_left)),), (out,))[0]


def srelu_backward(dy: Array, x: Array, t_left: Array, a_left: Array, t_right: Array, a_right: Array, *,
                   out: tuple[Array | None, ...] | None = None, n_threads: int | None = None) -> tuple[Array, ...]:
    """Gradients of the input and of the four vectors.

    >>> srelu_backward(np.ones((1, 1)), np.array([[3.0]]), *np.array([[0.0], [0.25], [1.0], [0.5]]))[0]
    array([[0.5]])
    """
    right = t_left + np.abs(t_right)
    low = np.where(x > t_left, 0, dy)
    high = np.where((x > t_left) & ~(x < right), dy, 0)
    dx = np.where(x > t_left, np.where(x < right, dy, a_right * dy), a_left * dy)
    left, rest = low.sum(axis=0) * (1 - a_left), high.sum(axis=0) * (1 - a_right)
    return _filled((dx, left + rest, (low * (x - t_left)).sum(axis=0), rest * np.sign(t_right),
                    (high * (x - right)).sum(axis=0)), out)
