"""Dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.reference.activations import _name_and_alpha, activation_backward, activation_forward
from fastnn.reference.common import Array

__all__ = ["dense_backward", "dense_forward"]


def dense_forward(x: Array, kernel: Array, bias: Array | None = None, activation: Any = None,
                  out: Array | None = None, n_threads: int | None = None, *, z: Array | None = None,
                  alpha: float | None = None) -> Array:
    """``activation(x @ kernel + bias)``; `z`, where given, receives what the activation is applied to.

    >>> dense_forward(np.array([[1.0, 2.0]]), np.eye(2), np.array([1.0, -3.0]), "relu")
    array([[2., 0.]])
    """
    out = np.matmul(x, kernel, out=out)
    if bias is not None:
        out += bias
    if z is not None:
        z[...] = out
    if _name_and_alpha(activation, alpha)[0] == "linear":
        return out
    return activation_forward(out, activation, alpha=alpha, out=out)


def dense_backward(dy: Array, x: Array, kernel: Array, saved: Array | None = None, activation: Any = None, *,
                   alpha: float | None = None, need_dx: bool = True,
                   out: tuple[Array | None, Array | None, Array | None] | None = None,
                   n_threads: int | None = None) -> tuple[Array | None, Array, Array]:
    """Gradients of the input, the kernel and the bias: with ``dz = dy * activation'(saved)`` they are
    ``dz @ kernel.T``, ``x.T @ dz`` and ``dz.sum(axis=0)``.

    >>> dx, dkernel, dbias = dense_backward(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.eye(2))
    >>> dx, dkernel, dbias
    (array([[1., 2.]]), array([[3., 6.],
           [4., 8.]]), array([1., 2.]))
    """
    dx, dkernel, dbias = out or (None, None, None)
    linear = _name_and_alpha(activation, alpha)[0] == "linear"
    dz = dy if linear or saved is None else activation_backward(dy, saved, activation, alpha=alpha)
    dx = np.matmul(dz, kernel.T, out=dx) if need_dx else None
    return dx, np.matmul(x.T, dz, out=dkernel), dz.sum(axis=0, out=dbias)
