"""Losses and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn._kernels.dispatch import (
    LOSSES,
)
from fastnn.kernels.checks import ELEMENT_WORK, Array, _check_shape, _matrix, _number, _output, _threads, _whole

__all__ = [
    "binary_crossentropy", "categorical_crossentropy", "huber", "mean_absolute_error", "mean_squared_error",
    "poisson", "sigmoid_binary_crossentropy", "softmax_crossentropy",
]


def _smoothing(label_smoothing: float) -> float:
    return _number("label_smoothing", label_smoothing, 0, 1)


def _labels(target: Any, rows: int, classes: int) -> Array:
    labels = np.asarray(target)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers; received dtype {labels.dtype}")
    _check_shape("labels", labels, (rows,))
    if rows and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"labels must be in [0, {classes}); received [{labels.min()}, {labels.max()}]")
    return np.ascontiguousarray(labels, dtype=np.int32)


def _weights(sample_weight: Any, rows: int) -> Array | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.dtype.kind not in "fiu":
        raise TypeError(f"sample_weight must be real numbers; received dtype {weights.dtype}")
    _check_shape("sample_weight", weights, (rows,))
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("sample_weight must be finite and not negative; received other values")
    return np.ascontiguousarray(weights, dtype=np.float64)


def _loss(name: str, pred: Any, target: Any, sample_weight: Any, param: float, grad: Any,
          n_threads: int | None) -> tuple[Array, Array]:  # fmt: skip
    """Row losses and gradient. A name with a "_sparse" sibling takes labels (1-D) as well as target rows."""
    pred = _matrix("pred", pred, ("rows", "columns"))
    rows, cols = pred.shape
    if cols == 0:
        raise ValueError(f"pred must have at least one column; received the shape {pred.shape}")
    labels = targets = None
    if f"{name}_sparse" in LOSSES and np.ndim(target) == 1:
        name, labels = f"{name}_sparse", _labels(target, rows, cols)
    else:
        targets = _whole("target", target, (rows, cols), pred)
    weights = _weights(sample_weight, rows)
    grad = _output("grad", grad, pred, (rows, cols), (pred, targets, weights))
    row_loss = np.empty(rows)
    if rows:
        calls.loss(LOSSES[name], param, pred, labels, targets, weights, row_loss, grad,
                   _threads(n_threads, ELEMENT_WORK * pred.size))  # fmt: skip
    return row_loss, grad


def softmax_crossentropy(pred: Any, target: Any, sample_weight: Any = None, *,
                         label_smoothing: float = 0.0, grad: Array | None = None,
                         n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Cross-entropy of softmax outputs, from logits: ``-sum(t * log_softmax(pred))`` for each row.

    The gradient is ``sum(t) * softmax(pred) - t``. Stable for any finite logits.

    Parameters
    ----------
    pred : array_like of float32 or float64, shape (rows, columns)
        Logits.
    target : array_like of integers, shape (rows,), or of the dtype of `pred`, shape (rows, columns)
        Labels in [0, columns), or rows of probabilities.
    sample_weight : array_like, shape (rows,), optional
        Finite and not negative; multiplies a row's loss and gradient. Default: 1 for each.
    label_smoothing : float, default 0
        In [0, 1]. How much of a target is spread evenly over the classes.
    grad : ndarray, shape (rows, columns), optional
        Where to write the gradient. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    row_losses : ndarray of float64, shape (rows,)
        Loss of each row times its weight.
    grad : ndarray, shape (rows, columns)
        Derivative of ``row_losses.sum()`` with respect to `pred`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if labels are not integers in [0, columns).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import softmax_crossentropy
    >>> row_losses, grad = softmax_crossentropy(np.zeros((1, 2)), np.array([0]))
    >>> row_losses.round(4), grad.round(4)
    (array([0.6931]), array([[-0.5,  0.5]]))
    """
    smoothing = _smoothing(label_smoothing)
    return _loss("softmax_ce", pred, target, sample_weight, smoothing, grad, n_threads)


def sigmoid_binary_crossentropy(pred: Any, target: Any, sample_weight: Any = None, *,
                                label_smoothing: float = 0.0, grad: Array | None = None,
                                n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Cross-entropy of independent yes-or-no outputs, from logits.

    The mean over each row of ``max(z, 0) - z * t + log(1 + exp(-abs(z)))``; the gradient is ``(sigmoid(z) -
    t) / columns``. Stable for any finite logits.

    Parameters
    ----------
    pred : array_like of float32 or float64, shape (rows, columns)
        Logits.
    target : array_like of the dtype of `pred`, shape (rows, columns)
        In [0, 1].
    sample_weight : array_like, shape (rows,), optional
        Finite and not negative; multiplies a row's loss and gradient. Default: 1 for each.
    label_smoothing : float, default 0
        In [0, 1]. How much of a target is spread evenly over the two outcomes.
    grad : ndarray, shape (rows, columns), optional
        Where to write the gradient. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    row_losses : ndarray of float64, shape (rows,)
        Loss of each row times its weight.
    grad : ndarray, shape (rows, columns)
        Derivative of ``row_losses.sum()`` with respect to `pred`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import sigmoid_binary_crossentropy
    >>> row_losses, grad = sigmoid_binary_crossentropy(np.zeros((1, 1)), np.ones((1, 1)))
    >>> row_losses.round(4), grad.round(4)
    (array([0.6931]), array([[-0.5]]))
    """
    smoothing = _smoothing(label_smoothing)
    return _loss("sigmoid_bce", pred, target, sample_weight, smoothing, grad, n_threads)


def categorical_crossentropy(pred: Any, target: Any, sample_weight: Any = None, *,
                             label_smoothing: float = 0.0, grad: Array | None = None,
                             n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Cross-entropy of probabilities: ``-sum(t * log(q))`` for each row, ``q = clip(pred / sum(pred))``.

    Probabilities are divided by their row's sum and clipped to [1e-7, 1 - 1e-7], as Keras does; no gradient
    flows through a clipped one. From logits, :func:`softmax_crossentropy` is more accurate.

    Parameters
    ----------
    pred : array_like of float32 or float64, shape (rows, columns)
        Probabilities.
    target : array_like of integers, shape (rows,), or of the dtype of `pred`, shape (rows, columns)
        Labels in [0, columns), or rows of probabilities.
    sample_weight : array_like, shape (rows,), optional
        Finite and not negative; multiplies a row's loss and gradient. Default: 1 for each.
    label_smoothing : float, default 0
        In [0, 1]. How much of a target is spread evenly over the classes.
    grad : ndarray, shape (rows, columns), optional
        Where to write the gradient. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    row_losses : ndarray of float64, shape (rows,)
        Loss of each row times its weight.
    grad : ndarray, shape (rows, columns)
        Derivative of ``row_losses.sum()`` with respect to `pred`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if labels are not integers in [0, columns).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import categorical_crossentropy
    >>> row_losses, grad = categorical_crossentropy(np.array([[0.5, 0.5]]), np.array([0]))
    >>> row_losses.round(4), grad.round(4)
    (array([0.6931]), array([[-1.,  1.]]))
    """
    return _loss("ce", pred, target, sample_weight, _smoothing(label_smoothing), grad, n_threads)


def binary_crossentropy(pred: Any, target: Any, sample_weight: Any = None, *,
                        label_smoothing: float = 0.0, grad: Array | None = None,
                        n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Cross-entropy of yes-or-no probabilities: row means of ``-t * log(p) - (1 - t) * log(1 - p)``.

    Probabilities are clipped to [1e-7, 1 - 1e-7], as Keras does; no gradient flows through a clipped one.
    From logits, :func:`sigmoid_binary_crossentropy` is more accurate.

    Parameters
    ----------
    pred : array_like of float32 or float64, shape (rows, columns)
        Probabilities.
    target : array_like of the dtype of `pred`, shape (rows, columns)
        In [0, 1].
    sample_weight : array_like, shape (rows,), optional
        Finite and not negative; multiplies a row's loss and gradient. Default: 1 for each.
    label_smoothing : float, default 0
        In [0, 1]. How much of a target is spread evenly over the two outcomes.
    grad : ndarray, shape (rows, columns), optional
        Where to write the gradient. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    row_losses : ndarray of float64, shape (rows,)
        Loss of each row times its weight.
    grad : ndarray, shape (rows, columns)
        Derivative of ``row_losses.sum()`` with respect to `pred`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import binary_crossentropy
    >>> row_losses, grad = binary_crossentropy(np.array([[0.5]]), np.array([[1.0]]))
    >>> row_losses.round(4), grad.round(4)
    (array([0.6931]), array([[-2.]]))
    """
    return _loss("bce", pred, target, sample_weight, _smoothing(label_smoothing), grad, n_threads)


def mean_squared_error(pred: Any, target: Any, sample_weight: Any = None, *,
                       grad: Array | None = None,
                       n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Row means of ``(pred - target) ** 2``.

    The gradient is ``2 * (pred - target) / columns``.

    Parameters
    ----------
    pred : array_like of float32 or float64, shape (rows, columns)
        Outputs.
    target : array_like of the dtype of `pred`, shape (rows, columns)
    sample_weight : array_like, shape (rows,), optional
        Finite and not negative; multiplies a row's loss and gradient. Default: 1 for each.
    grad : ndarray, shape (rows, columns), optional
        Where to write the gradient. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    row_losses : ndarray of float64, shape (rows,)
        Loss of each row times its weight.
    grad : ndarray, shape (rows, columns)
        Derivative of ``row_losses.sum()`` with respect to `pred`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import mean_squared_error
    >>> row_losses, grad = mean_squared_error(np.array([[1.0, 3.0]]), np.zeros((1, 2)))
    >>> row_losses.round(4), grad.round(4)
    (array([5.]), array([[1., 3.]]))
    """
    return _loss("mse", pred, target, sample_weight, 0.0, grad, n_threads)


def mean_absolute_error(pred: Any, target: Any, sample_weight: Any = None, *,
                        grad: Array | None = None,
                        n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Row means of ``abs(pred - target)``.

    The gradient is ``sign(pred - target) / columns``, zero where they are equal.

    Parameters
    ----------
    pred : array_like of float32 or float64, shape (rows, columns)
        Outputs.
    target : array_like of the dtype of `pred`, shape (rows, columns)
    sample_weight : array_like, shape (rows,), optional
        Finite and not negative; multiplies a row's loss and gradient. Default: 1 for each.
    grad : ndarray, shape (rows, columns), optional
        Where to write the gradient. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    row_losses : ndarray of float64, shape (rows,)
        Loss of each row times its weight.
    grad : ndarray, shape (rows, columns)
        Derivative of ``row_losses.sum()`` with respect to `pred`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import mean_absolute_error
    >>> row_losses, grad = mean_absolute_error(np.array([[1.0, -3.0]]), np.zeros((1, 2)))
    >>> row_losses.round(4), grad.round(4)
    (array([2.]), array([[ 0.5, -0.5]]))
    """
    return _loss("mae", pred, target, sample_weight, 0.0, grad, n_threads)


def huber(pred: Any, target: Any, sample_weight: Any = None, *,
          delta: float = 1.0, grad: Array | None = None,
          n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Huber's loss (1964): squared for small errors, linear for large ones.

    The mean over each row of ``0.5 * e ** 2`` where ``abs(e) <= delta`` and ``delta * abs(e) - 0.5 * delta **
    2`` beyond, ``e = pred - target``; the gradient is ``clip(e, -delta, delta) / columns``.

    Parameters
    ----------
    pred : array_like of float32 or float64, shape (rows, columns)
        Outputs.
    target : array_like of the dtype of `pred`, shape (rows, columns)
    sample_weight : array_like, shape (rows,), optional
        Finite and not negative; multiplies a row's loss and gradient. Default: 1 for each.
    delta : float, default 1
        Error, above 0, from which the loss grows linearly.
    grad : ndarray, shape (rows, columns), optional
        Where to write the gradient. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    row_losses : ndarray of float64, shape (rows,)
        Loss of each row times its weight.
    grad : ndarray, shape (rows, columns)
        Derivative of ``row_losses.sum()`` with respect to `pred`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import huber
    >>> row_losses, grad = huber(np.array([[1.0, -3.0]]), np.zeros((1, 2)))
    >>> row_losses.round(4), grad.round(4)
    (array([1.5]), array([[ 0.5, -0.5]]))
    """
    delta = _number("delta", delta, 0, open_low=True)
    return _loss("huber", pred, target, sample_weight, delta, grad, n_threads)


def poisson(pred: Any, target: Any, sample_weight: Any = None, *,
            log_input: bool = False, grad: Array | None = None,
            n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Row means of the negative log-likelihood of counts, ``pred - target * log(pred + 1e-7)``.

    The gradient is ``(1 - target / (pred + 1e-7)) / columns``. With `log_input` predictions are logarithms of rates:
    the loss is ``exp(pred) - target * pred``, its gradient ``(exp(pred) - target) / columns``. What does not depend on
    `pred` is left out, as in Keras.

    Parameters
    ----------
    pred : array_like of float32 or float64, shape (rows, columns)
        Rates above -1e-7, or logarithms of rates.
    target : array_like of the dtype of `pred`, shape (rows, columns)
        Counts.
    sample_weight : array_like, shape (rows,), optional
        Finite and not negative; multiplies a row's loss and gradient. Default: 1 for each.
    log_input : bool, default False
        Whether predictions are logarithms of rates.
    grad : ndarray, shape (rows, columns), optional
        Where to write the gradient. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    row_losses : ndarray of float64, shape (rows,)
        Loss of each row times its weight.
    grad : ndarray, shape (rows, columns)
        Derivative of ``row_losses.sum()`` with respect to `pred`.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import poisson
    >>> row_losses, grad = poisson(np.zeros((1, 2)), np.array([[1.0, 3.0]]), log_input=True)
    >>> row_losses.round(4), grad.round(4)
    (array([1.]), array([[ 0., -1.]]))
    """
    return _loss("exp_poisson" if log_input else "poisson", pred, target, sample_weight, 0.0, grad, n_threads)
