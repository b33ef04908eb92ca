"""What keeps weights small: penalties, constraints, masks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.reference.common import Array
from fastnn.reference.optimizers import _decay

__all__ = [
    "adafactor_step", "l1_l2_penalty", "lamb_step", "mask_weights", "muon_step", "norm_constraint",
    "orthogonal_penalty",
]


def l1_l2_penalty(param: Array, l1: float = 0.0, l2: float = 0.0, *, grad: Array | None = None,
                  n_threads: int | None = None) -> float:
    """``l1 * sum(abs(param)) + l2 * sum(param ** 2)``; the derivative is added to `grad`.

    >>> l1_l2_penalty(np.array([1.0, -2.0]), l1=0.5, l2=0.25)
    2.75
    """
    if grad is not None:
        grad += l1 * np.sign(param) + 2 * l2 * param
    wide = np.asarray(param, np.float64)
    return float(l1 * np.abs(wide).sum() + l2 * np.square(wide).sum())


def orthogonal_penalty(param: Array, factor: float = 0.01, mode: str = "rows", *, grad: Array | None = None,
                       n_threads: int | None = None) -> float:
    """`factor` times the mean of ``abs(u @ v)`` over pairs of rows, or columns, scaled to unit vectors.

    >>> orthogonal_penalty(np.array([[3.0, 0.0], [4.0, 3.0]]), 1.0)
    0.8
    """
    rows = param if mode == "rows" else param.T
    n = len(rows)
    if n < 2:
        return 0.0
    scale = factor / (n * (n - 1) / 2)
    norm = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
    inverse = 1 / np.maximum(norm, 1e-7)
    unit = (rows * inverse).astype(param.dtype)
    products = unit @ unit.T
    np.fill_diagonal(products, 0)
    if grad is not None:
        slope = np.sign(products) @ unit
        slope -= np.where(norm > 1e-7, (slope * unit).sum(axis=1, keepdims=True), 0) * unit
        slope = (scale * inverse * slope).astype(param.dtype)
        grad += slope if mode == "rows" else slope.T
    return float(0.5 * scale * np.abs(products).sum(dtype=np.float64))


def norm_constraint(param: Array, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0,
                    axis: Any = 0, *, n_threads: int | None = None) -> None:
    """Norms over `axis` brought into [min_value, max_value], as far as `rate` says.

    >>> w = np.array([[3.0], [4.0]])
    >>> norm_constraint(w)
    >>> w.round(3)
    array([[0.6],
           [0.8]])
    """
    axis = axis if axis is None or isinstance(axis, int) else tuple(axis)
    norm = np.sqrt(np.square(param, dtype=np.float64).sum(axis=axis, keepdims=True))
    desired = rate * np.clip(norm, min_value, max_value) + (1 - rate) * norm
    param *= (desired / (1e-7 + norm)).astype(param.dtype)


def mask_weights(param: Array, mask: Any, *, n_threads: int | None = None) -> None:
    """Zero where `mask` is False.

    >>> w = np.array([1.0, 2.0, 3.0])
    >>> mask_weights(w, [True, False, True])
    >>> w
    array([1., 0., 3.])
    """
    param[~np.asarray(mask)] = 0


def lamb_step(param: Array, grad: Array, m: Array, v: Array, step: int, *, learning_rate: float = 0.001,
              beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
              weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """Adam's direction, a step along it in proportion to the norm of the parameter.

    >>> p, m, v = np.full(4, 2.0), np.zeros(4), np.zeros(4)
    >>> lamb_step(p, np.ones(4), m, v, 1, learning_rate=0.5)
    >>> p.round(6)
    array([1., 1., 1., 1.])
    """
    _decay(param, learning_rate, weight_decay)
    m += (grad - m) * (1 - beta_1)
    v += (grad * grad - v) * (1 - beta_2)
    direction = m / (1 - beta_1**step) / (np.sqrt(v / (1 - beta_2**step)) + epsilon)
    param -= learning_rate * _ratio(np.linalg.norm(param), np.linalg.norm(direction)) * direction


def _ratio(a: Any, b: Any) -> float:
    return float(a / b) if a > 0 and b > 0 else 1.0


def adafactor_step(param: Array, grad: Array, r: Array, c: Array | None, step: int, *, learning_rate: float = 0.001,
                   beta_2_decay: float = -0.8, epsilon_1: float = 1e-30, epsilon_2: float = 1e-3,
                   clip_threshold: float = 1.0, weight_decay: float | None = None,
                   n_threads: int | None = None) -> None:
    """The mean square of a matrix' elements is that of the row, in `r`, times that of the column, in `c`, over the
    mean of the rows'. Without `c`, `r` has one for each element.

    >>> p, r, c = np.ones((2, 2)), np.zeros(2), np.zeros(2)
    >>> adafactor_step(p, np.array([[1.0, 1.0], [2.0, 2.0]]), r, c, 1, learning_rate=0.5)
    >>> p, r, c
    (array([[0.5, 0.5],
           [0.5, 0.5]]), array([1., 4.]), array([2.5, 2.5]))
    """
    if not param.size:
        return
    _decay(param, learning_rate, weight_decay)
    new, squares = float(step) ** beta_2_decay, grad * grad + epsilon_1
    if c is None:
        r += (squares - r) * new
        direction = grad / np.sqrt(r)
    else:
        r += (squares.mean(axis=-1) - r) * new
        c += (squares.mean(axis=-2) - c) * new
        direction = grad / np.sqrt((r / r.mean(axis=-1, keepdims=True))[..., None] * c[..., None, :])
    rate = max(epsilon_2, _rms(param)) * min(learning_rate, 1 / math.sqrt(step))
    param -= rate / max(1.0, _rms(direction) / clip_threshold) * direction


def _rms(x: Array) -> float:
    return math.sqrt(np.mean(np.square(x)))


def muon_step(param: Array, grad: Array, m: Array, *, learning_rate: float = 0.001, momentum: float = 0.95,
              nesterov: bool = True, ns_steps: int = 5, muon_a: float = 3.4445, muon_b: float = -4.7750,
              muon_c: float = 2.0315, rms_rate: float | None = 0.2, weight_decay: float | None = None,
              n_threads: int | None = None) -> None:
    """A step along the orthogonal matrix nearest to the averaged gradient, by Newton-Schulz iterations.

    >>> p, m = np.zeros((2, 2)), np.zeros((2, 2))
    >>> muon_step(p, np.array([[3.0, 0.0], [0.0, -0.5]]), m, learning_rate=1.0, muon_a=1.5, muon_b=-0.5, muon_c=0.0,
    ...           ns_steps=20, rms_rate=None)
    >>> p.round(6)
    array([[-1.,  0.],
           [ 0.,  1.]])
    """
    _decay(param, learning_rate, weight_decay)
    m *= momentum
    m += grad
    u = grad + momentum * m if nesterov else m.copy()
    u /= np.linalg.norm(u) + 1e-7
    for _ in range(ns_steps):
        square = u @ u.T if len(u) <= u.shape[1] else u.T @ u
        polynomial = muon_b * square + muon_c * square @ square
        u = muon_a * u + (polynomial @ u if len(u) <= u.shape[1] else u @ polynomial)
    param -= learning_rate * (rms_rate * math.sqrt(max(u.shape)) if rms_rate else 1.0) * u
