"""Losses and their gradients."""

from __future__ import annotations

import numpy as np

from fastnn.reference.activations import _log_softmax, _sigmoid
from fastnn.reference.common import Array

__all__ = [
    "binary_crossentropy", "categorical_crossentropy", "huber", "mean_absolute_error", "mean_squared_error",
    "poisson", "sigmoid_binary_crossentropy", "softmax_crossentropy",
]

PROBABILITY_FLOOR = 1e-7  # losses on probabilities clip them to [floor, 1 - floor], as Keras does
RATE_OFFSET = 1e-7  # of a rate before its logarithm, as in Keras


def _target_rows(pred: Array, target: Array, label_smoothing: float = 0.0) -> Array:
    """Target rows for integer labels and rows alike, smoothed towards the uniform distribution."""
    if target.ndim < pred.ndim:
        rows = np.zeros_like(pred)
        rows[np.arange(len(pred)), target] = 1
    else:
        rows = target.astype(pred.dtype, copy=False)
    return rows if label_smoothing == 0 else rows * (1 - label_smoothing) + label_smoothing / pred.shape[1]


def _weighted(row_loss: Array, gradient: Array, sample_weight: Array | None,
              grad: Array | None) -> tuple[Array, Array]:
    """Row losses in float64 and their gradient, both times the row's weight."""
    row_loss = row_loss.astype(np.float64, copy=False)
    grad = gradient if grad is None else grad
    if sample_weight is None:
        grad[...] = gradient
    else:
        row_loss = row_loss * sample_weight
        np.multiply(gradient, np.asarray(sample_weight)[:, None], out=grad, casting="same_kind")
    return row_loss, grad


def softmax_crossentropy(pred: Array, target: Array, sample_weight: Array | None = None, *,
                         label_smoothing: float = 0.0, grad: Array | None = None,
                         n_threads: int | None = None) -> tuple[Array, Array]:
    """``-sum(t * log_softmax(pred))`` of each row of logits, for labels or target rows ``t``, and its
    gradient ``sum(t) * softmax(pred) - t``.

    >>> softmax_crossentropy(np.zeros((1, 2)), np.array([0]))
    (array([0.69314718]), array([[-0.5,  0.5]]))
    """
    t = _target_rows(pred, target, label_smoothing)
    log_p = _log_softmax(pred)
    row_loss = -np.sum(np.where(t == 0, 0, t * log_p), axis=1)
    return _weighted(row_loss, np.exp(log_p) * t.sum(axis=1, keepdims=True) - t, sample_weight, grad)


def sigmoid_binary_crossentropy(pred: Array, target: Array, sample_weight: Array | None = None, *,
                                label_smoothing: float = 0.0, grad: Array | None = None,
                                n_threads: int | None = None) -> tuple[Array, Array]:
    """Row means of ``max(z, 0) - z * t + log1p(exp(-|z|))`` for logits ``z`` and targets ``t`` in [0, 1].

    >>> sigmoid_binary_crossentropy(np.zeros((1, 1)), np.ones((1, 1)))
    (array([0.69314718]), array([[-0.5]]))
    """
    t = target * (1 - label_smoothing) + 0.5 * label_smoothing
    row_loss = np.mean(np.maximum(pred, 0) - pred * t + np.log1p(np.exp(-np.abs(pred))), axis=1)
    return _weighted(row_loss, (_sigmoid(pred) - t) / pred.shape[1], sample_weight, grad)


def categorical_crossentropy(pred: Array, target: Array, sample_weight: Array | None = None, *,
                             label_smoothing: float = 0.0, grad: Array | None = None,
                             n_threads: int | None = None) -> tuple[Array, Array]:
    """``-sum(t * log(q))`` where ``q`` is the row of probabilities over its sum, clipped to
    [1e-7, 1 - 1e-7]; no gradient flows through an entry that was clipped.

    >>> categorical_crossentropy(np.array([[0.5, 0.5]]), np.array([0]))
    (array([0.69314718]), array([[-1.,  1.]]))
    """
    t = _target_rows(pred, target, label_smoothing)
    total = pred.sum(axis=1, keepdims=True)
    q = pred / total
    clipped = np.clip(q, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    slope = np.where(q == clipped, -t / clipped, 0)
    gradient = (slope - np.sum(slope * q, axis=1, keepdims=True)) / total
    return _weighted(-np.sum(t * np.log(clipped), axis=1), gradient, sample_weight, grad)


def binary_crossentropy(pred: Array, target: Array, sample_weight: Array | None = None, *,
                        label_smoothing: float = 0.0, grad: Array | None = None,
                        n_threads: int | None = None) -> tuple[Array, Array]:
    """Row means of ``-t * log(p) - (1 - t) * log(1 - p)``, probabilities clipped to [1e-7, 1 - 1e-7];
    no gradient flows through an entry that was clipped.

    >>> binary_crossentropy(np.array([[0.5]]), np.array([[1.0]]))
    (array([0.69314718]), array([[-2.]]))
    """
    t = target * (1 - label_smoothing) + 0.5 * label_smoothing
    p = np.clip(pred, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    row_loss = -np.mean(t * np.log(p) + (1 - t) * np.log1p(-p), axis=1)
    gradient = np.where(p == pred, (p - t) / (p * (1 - p) * pred.shape[1]), 0)
    return _weighted(row_loss, gradient, sample_weight, grad)


def mean_squared_error(pred: Array, target: Array, sample_weight: Array | None = None, *,
                       grad: Array | None = None, n_threads: int | None = None) -> tuple[Array, Array]:
    """Row means of ``(pred - target) ** 2``.

    >>> mean_squared_error(np.array([[1.0, 3.0]]), np.zeros((1, 2)))
    (array([5.]), array([[1., 3.]]))
    """
    error = pred - target
    return _weighted(np.mean(error * error, axis=1), error * (2 / pred.shape[1]), sample_weight, grad)


def mean_absolute_error(pred: Array, target: Array, sample_weight: Array | None = None, *,
                        grad: Array | None = None, n_threads: int | None = None) -> tuple[Array, Array]:
    """Row means of ``|pred - target|``; the derivative at zero is zero.

    >>> mean_absolute_error(np.array([[1.0, -3.0]]), np.zeros((1, 2)))
    (array([2.]), array([[ 0.5, -0.5]]))
    """
    error = pred - target
    return _weighted(np.mean(np.abs(error), axis=1), np.sign(error) / pred.shape[1], sample_weight, grad)


def huber(pred: Array, target: Array, sample_weight: Array | None = None, *, delta: float = 1.0,
          grad: Array | None = None, n_threads: int | None = None) -> tuple[Array, Array]:
    """Row means of ``0.5 * e ** 2`` where ``|e| <= delta`` and ``delta * |e| - 0.5 * delta ** 2`` beyond,
    ``e = pred - target``.

    >>> huber(np.array([[1.0, -3.0]]), np.zeros((1, 2)))
    (array([1.5]), array([[ 0.5, -0.5]]))
    """
    error = pred - target
    inner = np.clip(error, -delta, delta)
    row_loss = np.mean(inner * (error - 0.5 * inner), axis=1)
    return _weighted(row_loss, inner / pred.shape[1], sample_weight, grad)


def poisson(pred: Array, target: Array, sample_weight: Array | None = None, *, log_input: bool = False,
            grad: Array | None = None, n_threads: int | None = None) -> tuple[Array, Array]:
    """Row means of ``p - t * log(p + 1e-7)`` for rates ``p``; of ``exp(z) - t * z`` for their logarithms ``z`` with
    `log_input`.

    >>> poisson(np.zeros((1, 2)), np.array([[1.0, 3.0]]), log_input=True)
    (array([1.]), array([[ 0., -1.]]))
    """
    if log_input:
        rate, log_rate, slope = np.exp(pred), pred, np.exp(pred) - target
    else:
        offset = pred + pred.dtype.type(RATE_OFFSET)
        rate, log_rate, slope = pred, np.log(offset), 1 - target / offset
    return _weighted(np.mean(rate - target * log_rate, axis=1), slope / pred.shape[1], sample_weight, grad)
