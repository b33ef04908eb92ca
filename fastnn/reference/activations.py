"""Activations and their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy  # its submodules load on first use: scipy.special alone takes longer than all of fastnn

from fastnn.reference.common import SELU_ALPHA, SELU_SCALE, Array

__all__ = ["activation_backward", "activation_forward"]

GELU_CUBIC = 0.044715
DEFAULT_ALPHA = {"leaky_relu": 0.2, "elu": 1.0, "all_relu": -0.6, "ternary": 0.5}


def _sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def _softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def _elu(z: Array, alpha: float) -> Array:
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def _gelu_logit(z: Array) -> Array:
    """Twice gelu_tanh's argument of tanh: (1 + tanh(u / 2)) / 2 = sigmoid(u) keeps its digits for u < 0."""
    return math.sqrt(8 / math.pi) * (z + GELU_CUBIC * z * z * z)


def _normal_cdf(z: Array) -> Array:
    return 0.5 * scipy.special.erfc(z * -math.sqrt(0.5))


def _softmax(z: Array) -> Array:
    y = np.exp(z - z.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y


def _log_softmax(z: Array) -> Array:
    shifted = z - z.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


_FORWARD: dict[str, Callable[[Array, float], Array]] = {
    "linear": lambda z, a: z,
    "relu": lambda z, a: np.maximum(z, 0),
    "leaky_relu": lambda z, a: np.where(z > 0, z, a * z),
    "elu": _elu,
    "selu": lambda z, a: SELU_SCALE * _elu(z, SELU_ALPHA),
    "sigmoid": lambda z, a: _sigmoid(z),
    "tanh": lambda z, a: np.tanh(z),
    "softplus": lambda z, a: _softplus(z),
    "softsign": lambda z, a: z / (1 + np.abs(z)),
    "hard_sigmoid": lambda z, a: np.clip(z / 6 + 0.5, 0, 1),
    "relu6": lambda z, a: np.clip(z, 0, 6),
    "exponential": lambda z, a: np.exp(z),
    "gelu_tanh": lambda z, a: z * _sigmoid(_gelu_logit(z)),
    "gelu": lambda z, a: z * _normal_cdf(z),
    "silu": lambda z, a: z * _sigmoid(z),
    "mish": lambda z, a: z * np.tanh(_softplus(z)),
    "all_relu": lambda z, a: np.where(z > 0, z, a * z),
    "sign": lambda z, a: np.where(z >= 0, z.dtype.type(1), z.dtype.type(-1)),
    "binary_step": lambda z, a: z >= 0,
    "ternary": lambda z, a: (z > a).astype(z.dtype) - (z < -a),
    "softmax": lambda z, a: _softmax(z),
    "log_softmax": lambda z, a: _log_softmax(z),
}


def _gelu_tanh_slope(z: Array) -> Array:
    u = _gelu_logit(z)
    s = _sigmoid(u)
    return s + z * s * _sigmoid(-u) * math.sqrt(8 / math.pi) * (1 + 3 * GELU_CUBIC * z * z)


def _gelu_slope(z: Array) -> Array:
    return _normal_cdf(z) + z * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _silu_slope(z: Array) -> Array:
    s = _sigmoid(z)
    return s * (1 + z * (1 - s))


def _mish_slope(z: Array) -> Array:
    t = np.tanh(_softplus(z))
    return t + z * (1 - t * t) * _sigmoid(z)


# Of the output y up to "exponential", of the input z from "gelu_tanh" on.
_SLOPE: dict[str, Callable[[Array, float], Any]] = {
    "linear": lambda y, a: 1,
    "relu": lambda y, a: y > 0,
    "leaky_relu": lambda y, a: np.where(y > 0, y.dtype.type(1), y.dtype.type(a)),
    "elu": lambda y, a: np.where(y > 0, y.dtype.type(1), y + a),
    "selu": lambda y, a: np.where(y > 0, y.dtype.type(SELU_SCALE), y + SELU_SCALE * SELU_ALPHA),
    "sigmoid": lambda y, a: y * (1 - y),
    "tanh": lambda y, a: 1 - y * y,
    "softplus": lambda y, a: -np.expm1(-y),
    "softsign": lambda y, a: np.square(1 - np.abs(y)),
    "hard_sigmoid": lambda y, a: ((y > 0) & (y < 1)) / y.dtype.type(6),
    "relu6": lambda y, a: (y > 0) & (y < 6),
    "exponential": lambda y, a: y,
    "gelu_tanh": lambda z, a: _gelu_tanh_slope(z),
    "gelu": lambda z, a: _gelu_slope(z),
    "silu": lambda z, a: _silu_slope(z),
    "mish": lambda z, a: _mish_slope(z),
    "all_relu": lambda z, a: np.where(z > 0, z.dtype.type(1), z.dtype.type(a)),
    "sign": lambda z, a: np.abs(z) <= 1,
    "binary_step": lambda z, a: np.abs(z) <= 1,
    "ternary": lambda z, a: np.abs(z) <= 1,
}


def _name_and_alpha(activation: Any, alpha: float | None) -> tuple[str, float]:
    name = activation if isinstance(activation, str) else getattr(activation, "name", "linear")
    if alpha is None:
        alpha = getattr(activation, "alpha", DEFAULT_ALPHA.get(name, 0.0))
    return name, alpha


def activation_forward(x: Array, activation: Any, *, alpha: float | None = None, out: Array | None = None,
                       n_threads: int | None = None) -> Array:
    """``activation(x)``; softmax and log_softmax over the last axis.

    >>> activation_forward(np.array([[-1.0, 2.0]]), "relu")
    array([[0., 2.]])
    """
    name, alpha = _name_and_alpha(activation, alpha)
    out = np.empty(x.shape, x.dtype) if out is None else out
    np.copyto(out, _FORWARD[name](x, alpha))
    return out


def activation_backward(dy: Array, saved: Array, activation: Any, *, alpha: float | None = None,
                        out: Array | None = None, n_threads: int | None = None) -> Array:
    """``dy * activation'``, the derivative taken from `saved`: the output, or the input for
    gelu, gelu_tanh, silu, mish, sign, binary_step and ternary, where that is 1 up to a magnitude of 1, else 0.

    >>> activation_backward(np.array([[3.0, 3.0]]), np.array([[0.0, 2.0]]), "relu")
    array([[0., 3.]])
    """
    name, alpha = _name_and_alpha(activation, alpha)
    if name == "softmax":
        dz = (dy - (dy * saved).sum(axis=-1, keepdims=True)) * saved
    elif name == "log_softmax":
        dz = dy - np.exp(saved) * dy.sum(axis=-1, keepdims=True)
    else:
        dz = dy * _SLOPE[name](saved, alpha)
    if out is None:
        return dz
    np.copyto(out, dz)
    return out
