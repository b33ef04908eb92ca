"""NumPy twins of the kernels: what each one computes, in a few lines of NumPy.

Every public function of :mod:`fastnn.kernels` has its twin here under the same name and with the same
arguments (``n_threads`` is accepted and ignored). The tests hold the kernels against this module and the
benchmarks race them against it, so it is written as good plain NumPy is: vectorised, in place where that is
natural, float32 in float32 and float64 in float64, and without checks of its own.

Parameters, shapes and errors are described at the twin in :mod:`fastnn.kernels`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy  # its submodules load on first use: scipy.special alone takes longer than all of fastnn

Array = np.ndarray[Any, np.dtype[Any]]

__all__ = [
    "activation_backward",
    "activation_forward",
    "adadelta_step",
    "adafactor_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "adamw_step",
    "affine",
    "alpha_dropout_backward",
    "alpha_dropout_forward",
    "batch_normalization_backward",
    "batch_normalization_forward",
    "average_pooling2d_backward",
    "average_pooling2d_forward",
    "binary_crossentropy",
    "categorical_crossentropy",
    "conv2d_backward",
    "conv2d_forward",
    "dense_backward",
    "dense_forward",
    "dropout_forward",
    "erf",
    "exp",
    "expm1",
    "ftrl_step",
    "gather_rows",
    "gaussian_dropout_forward",
    "gaussian_noise_forward",
    "huber",
    "l1_l2_penalty",
    "layer_normalization_backward",
    "layer_normalization_forward",
    "lamb_step",
    "lion_step",
    "log",
    "log1p",
    "mask_weights",
    "max_pooling2d_backward",
    "max_pooling2d_forward",
    "mean_absolute_error",
    "mean_squared_error",
    "momentum_step",
    "muon_step",
    "nadam_step",
    "norm_constraint",
    "orthogonal_penalty",
    "radam_step",
    "prelu_backward",
    "prelu_forward",
    "rms_normalization_backward",
    "rms_normalization_forward",
    "rmsprop_step",
    "schedule_free_adamw_step",
    "scatter_rows",
    "sgd_step",
    "sigmoid_binary_crossentropy",
    "softmax_crossentropy",
    "tanh",
]

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
GELU_CUBIC = 0.044715
PROBABILITY_FLOOR = 1e-7  # losses on probabilities clip them to [floor, 1 - floor], as Keras does
DEFAULT_ALPHA = {"leaky_relu": 0.2, "elu": 1.0}


# ---------------------------------------------------------------------------------------------- functions


def exp(x: Array, out: Array | None = None, n_threads: int | None = None) -> Array:
    """e ** x.

    >>> exp(np.array([0.0, 1.0])).round(4)
    array([1.    , 2.7183])
    """
    return np.exp(x, out=out)


def expm1(x: Array, out: Array | None = None, n_threads: int | None = None) -> Array:
    """e ** x - 1, exact near zero.

    >>> expm1(np.array([1e-10]))
    array([1.e-10])
    """
    return np.expm1(x, out=out)


def log(x: Array, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Natural logarithm.

    >>> log(np.array([1.0, np.e]))
    array([0., 1.])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x, out=out)


def log1p(x: Array, out: Array | None = None, n_threads: int | None = None) -> Array:
    """log(1 + x), exact near zero.

    >>> log1p(np.array([1e-10]))
    array([1.e-10])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log1p(x, out=out)


def tanh(x: Array, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Hyperbolic tangent.

    >>> tanh(np.array([0.0, 20.0]))
    array([0., 1.])
    """
    return np.tanh(x, out=out)


def erf(x: Array, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Error function, 2 / sqrt(pi) times the integral of exp(-t ** 2) from 0 to x.

    >>> erf(np.array([0.0, 10.0]))
    array([0., 1.])
    """
    return scipy.special.erf(x, out=out)


# -------------------------------------------------------------------------------------------- activations


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
    gelu, gelu_tanh, silu and mish.

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


# -------------------------------------------------------------------------------------------- dense layer


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


# ------------------------------------------------------------------------------------- convolution, pooling


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def _surrounded(x: Array, size: tuple[int, int], strides: tuple[int, int], padding: str, fill: float) -> Array:
    """x (n, height, width, channels) with what ``padding="same"`` puts around it, half before and the rest behind."""
    if padding == "valid":
        return x
    around = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[1:3], size, strides, strict=True)]
    pads = [(0, 0), *((n // 2, n - n // 2) for n in around), (0, 0)]
    return np.pad(x, pads, constant_values=fill)


def _windows(padded: Array, size: tuple[int, int], strides: tuple[int, int]) -> Array:
    """A view (n, out height, out width, channels, size_y, size_x)."""
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=(1, 2))[:, :: strides[0], :: strides[1]]


def _scattered(x_shape: tuple[int, ...], size: tuple[int, int], strides: tuple[int, int], padding: str,
               dtype: Any, part: Callable[[int, int], Array]) -> Array:
    """Zeros of x_shape, plus for each pixel (u, v) of the window ``part(u, v)`` where that pixel was."""
    total = _surrounded(np.zeros(x_shape, dtype), size, strides, padding, 0)
    rows, cols = ((n - k) // s for n, k, s in zip(total.shape[1:3], size, strides, strict=True))
    for u, v in np.ndindex(size):
        total[:, u:u + rows * strides[0] + 1:strides[0], v:v + cols * strides[1] + 1:strides[1]] += part(u, v)
    top, left = ((n - m) // 2 for n, m in zip(total.shape[1:3], x_shape[1:3], strict=True))
    return total[:, top:top + x_shape[1], left:left + x_shape[2]]


def _given(result: Array, out: Array | None) -> Array:
    if out is None:
        return np.ascontiguousarray(result)
    out[...] = result
    return out


def conv2d_forward(x: Array, kernel: Array, bias: Array | None = None, activation: Any = None,
                   out: Array | None = None, n_threads: int | None = None, *, strides: Any = 1, padding: str = "valid",
                   z: Array | None = None, alpha: float | None = None) -> Array:
    """A dense layer on every patch of (kernel height, kernel width, channels) that the window sees.

    >>> conv2d_forward(np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    size, strides = kernel.shape[:2], _pair(strides)
    patches = _windows(_surrounded(x, size, strides, padding, 0), size, strides)
    result = np.tensordot(patches, kernel, axes=((4, 5, 3), (0, 1, 2)))
    if bias is not None:
        result += bias
    if z is not None:
        z[...] = result
    if _name_and_alpha(activation, alpha)[0] != "linear":
        result = activation_forward(result, activation, alpha=alpha)
    return _given(result, out)


def conv2d_backward(dy: Array, x: Array, kernel: Array, saved: Array | None = None, activation: Any = None, *,
                    strides: Any = 1, padding: str = "valid", alpha: float | None = None, need_dx: bool = True,
                    out: tuple[Array | None, Array | None, Array | None] | None = None,
                    n_threads: int | None = None) -> tuple[Array | None, Array, Array]:
    """Gradients of the input, the kernel and the bias: those of a dense layer on patches, whose own are added up
    where they overlap.

    >>> x, kernel = np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1))
    >>> dx, dkernel, dbias = conv2d_backward(np.ones((1, 2, 2, 1)), x, kernel)
    >>> dx[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    size, strides = kernel.shape[:2], _pair(strides)
    dx, dkernel, dbias = out or (None, None, None)
    linear = _name_and_alpha(activation, alpha)[0] == "linear"
    dz = dy if linear or saved is None else activation_backward(dy, saved, activation, alpha=alpha)
    patches = _windows(_surrounded(x, size, strides, padding, 0), size, strides)
    dkernel = _given(np.tensordot(patches, dz, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3), dkernel)
    dbias = dz.sum(axis=(0, 1, 2), out=dbias)
    if not need_dx:
        return None, dkernel, dbias
    gradient = _scattered(x.shape, size, strides, padding, x.dtype, lambda u, v: dz @ kernel[u, v].T)
    return _given(gradient, dx), dkernel, dbias


def max_pooling2d_forward(x: Array, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                          out: Array | None = None, n_threads: int | None = None) -> Array:
    """The largest value of each channel in each window.

    >>> max_pooling2d_forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    size, strides = _pair(pool_size), _pair(pool_size if strides is None else strides)
    return _given(_windows(_surrounded(x, size, strides, padding, -np.inf), size, strides).max(axis=(4, 5)), out)


def max_pooling2d_backward(dy: Array, x: Array, y: Array, pool_size: Any = 2, strides: Any = None,
                           padding: str = "valid", out: Array | None = None, n_threads: int | None = None) -> Array:
    """The gradient of each window goes to its largest element, to the first one of equals.

    >>> x = np.array([[1.0, 3.0], [3.0, 2.0]]).reshape(1, 2, 2, 1)
    >>> max_pooling2d_backward(np.ones((1, 1, 1, 1)), x, np.full((1, 1, 1, 1), 3.0))[0, :, :, 0]
    array([[0., 1.],
           [0., 0.]])
    """
    size, strides = _pair(pool_size), _pair(pool_size if strides is None else strides)
    seen = _windows(_surrounded(x, size, strides, padding, -np.inf), size, strides)
    largest = seen.reshape(*seen.shape[:4], math.prod(size)).argmax(axis=4)
    gradient = _scattered(x.shape, size, strides, padding, x.dtype,
                          lambda u, v: np.where(largest == u * size[1] + v, dy, dy.dtype.type(0)))
    return _given(gradient, out)


def average_pooling2d_forward(x: Array, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                              out: Array | None = None, n_threads: int | None = None) -> Array:
    """The mean of each channel in each window, over what of it lies in the sample.

    >>> average_pooling2d_forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    size, strides = _pair(pool_size), _pair(pool_size if strides is None else strides)
    sums = _windows(_surrounded(x, size, strides, padding, 0), size, strides).sum(axis=(4, 5))
    return _given(sums / _counts(x.shape, size, strides, padding, x.dtype), out)


def _counts(x_shape: tuple[int, ...], size: tuple[int, int], strides: tuple[int, int], padding: str,
            dtype: Any) -> Array:
    """(1, out height, out width, 1) pixels of each window that lie in the sample."""
    ones = np.ones((1, *x_shape[1:3], 1), dtype)
    return _windows(_surrounded(ones, size, strides, padding, 0), size, strides).sum(axis=(4, 5))


def average_pooling2d_backward(dy: Array, size: Any, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                               out: Array | None = None, n_threads: int | None = None) -> Array:
    """The gradient of each window in equal parts.

    >>> average_pooling2d_backward(np.full((1, 1, 1, 1), 2.0), (2, 2))[0, :, :, 0]
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    pool, strides = _pair(pool_size), _pair(pool_size if strides is None else strides)
    shape = (len(dy), *_pair(size), dy.shape[3])
    part = dy / _counts(shape, pool, strides, padding, dy.dtype)
    return _given(_scattered(shape, pool, strides, padding, dy.dtype, lambda u, v: part), out)


# ------------------------------------------------------------------------------------------------- losses


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


# --------------------------------------------------------------------------------------------- optimizers


def _decay(param: Array, learning_rate: float, weight_decay: float | None) -> None:
    if weight_decay:
        param -= param * (learning_rate * weight_decay)


def sgd_step(param: Array, grad: Array, *, learning_rate: float = 0.01, weight_decay: float | None = None,
             n_threads: int | None = None) -> None:
    """``param -= learning_rate * grad``.

    >>> p = np.ones(2)
    >>> sgd_step(p, np.array([1.0, -1.0]), learning_rate=0.5)
    >>> p
    array([0.5, 1.5])
    """
    _decay(param, learning_rate, weight_decay)
    param -= learning_rate * grad


def momentum_step(param: Array, grad: Array, velocity: Array, *, learning_rate: float = 0.01,
                  momentum: float = 0.9, nesterov: bool = False, weight_decay: float | None = None,
                  n_threads: int | None = None) -> None:
    """``velocity = momentum * velocity - learning_rate * grad``; the step is the velocity, or
    ``momentum * velocity - learning_rate * grad`` of the new velocity for Nesterov.

    >>> p, v = np.ones(1), np.zeros(1)
    >>> momentum_step(p, np.ones(1), v, learning_rate=0.5)
    >>> p, v
    (array([0.5]), array([-0.5]))
    """
    _decay(param, learning_rate, weight_decay)
    scaled = learning_rate * grad
    velocity *= momentum
    velocity -= scaled
    param += momentum * velocity - scaled if nesterov else velocity


def rmsprop_step(param: Array, grad: Array, velocity: Array, momentum_buffer: Array | None = None,
                 average: Array | None = None, *, learning_rate: float = 0.001, rho: float = 0.9,
                 momentum: float = 0.0, epsilon: float = 1e-7, weight_decay: float | None = None,
                 n_threads: int | None = None) -> None:
    """``velocity`` averages ``grad ** 2``; the step is ``grad / sqrt(velocity - average ** 2 + epsilon)``,
    the difference held at zero where it rounds below.

    >>> p, v = np.ones(1), np.zeros(1)
    >>> rmsprop_step(p, np.ones(1), v, learning_rate=0.1)
    >>> p.round(4), v.round(4)
    (array([0.6838]), array([0.1]))
    """
    _decay(param, learning_rate, weight_decay)
    velocity *= rho
    velocity += (1 - rho) * grad * grad
    variance: Array = velocity
    if average is not None:
        average *= rho
        average += (1 - rho) * grad
        variance = np.maximum(velocity - average * average, 0)
    step = learning_rate * grad / np.sqrt(variance + epsilon)
    if momentum_buffer is not None:
        momentum_buffer *= momentum
        momentum_buffer += step
        step = momentum_buffer
    param -= step


def adagrad_step(param: Array, grad: Array, accumulator: Array, *, learning_rate: float = 0.001,
                 epsilon: float = 1e-7, weight_decay: float | None = None,
                 n_threads: int | None = None) -> None:
    """``accumulator += grad ** 2``; the step is ``grad / sqrt(accumulator + epsilon)``.

    >>> p, a = np.ones(1), np.zeros(1)
    >>> adagrad_step(p, np.ones(1), a, learning_rate=0.5, epsilon=0.0)
    >>> p, a
    (array([0.5]), array([1.]))
    """
    _decay(param, learning_rate, weight_decay)
    accumulator += grad * grad
    param -= learning_rate * grad / np.sqrt(accumulator + epsilon)


def adadelta_step(param: Array, grad: Array, accumulated_grad: Array, accumulated_delta: Array, *,
                  learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
                  weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """The step is ``sqrt(accumulated_delta + epsilon) / sqrt(accumulated_grad + epsilon) * grad``, the two
    being averages of the squared steps and the squared gradients.

    >>> p, g2, d2 = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adadelta_step(p, np.ones(1), g2, d2, learning_rate=1.0)
    >>> p.round(6), g2.round(6), d2.round(9)
    (array([0.998586]), array([0.05]), array([1.e-07]))
    """
    _decay(param, learning_rate, weight_decay)
    accumulated_grad *= rho
    accumulated_grad += (1 - rho) * grad * grad
    step = np.sqrt(accumulated_delta + epsilon) * grad / np.sqrt(accumulated_grad + epsilon)
    accumulated_delta *= rho
    accumulated_delta += (1 - rho) * step * step
    param -= learning_rate * step


def adam_step(param: Array, grad: Array, m: Array, v: Array, step: int, *, learning_rate: float = 0.001,
              beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, v_hat: Array | None = None,
              weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """``param -= alpha * m / (sqrt(v) + epsilon)`` with
    ``alpha = learning_rate * sqrt(1 - beta_2 ** step) / (1 - beta_1 ** step)``; AMSGrad's maximum in `v_hat`.

    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adam_step(p, np.ones(1), m, v, 1)
    >>> p.round(6), m.round(6), v.round(6)
    (array([0.999]), array([0.1]), array([0.001]))
    """
    _decay(param, learning_rate, weight_decay)
    m += (grad - m) * (1 - beta_1)
    v += (grad * grad - v) * (1 - beta_2)
    if v_hat is not None:
        v = np.maximum(v_hat, v, out=v_hat)
    alpha = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    param -= alpha * m / (np.sqrt(v) + epsilon)


def adamw_step(param: Array, grad: Array, m: Array, v: Array, step: int, *, learning_rate: float = 0.001,
               beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, v_hat: Array | None = None,
               weight_decay: float = 0.004, n_threads: int | None = None) -> None:
    """Adam after ``param -= learning_rate * weight_decay * param``.

    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adamw_step(p, np.zeros(1), m, v, 1, learning_rate=0.5, weight_decay=0.5)
    >>> p
    array([0.75])
    """
    adam_step(param, grad, m, v, step, learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2,
              epsilon=epsilon, v_hat=v_hat, weight_decay=weight_decay)


def adamax_step(param: Array, grad: Array, m: Array, u: Array, step: int, *, learning_rate: float = 0.001,
                beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """``u = max(beta_2 * u, |grad|)``; the step is ``m / ((1 - beta_1 ** step) * (u + epsilon))``.

    >>> p, m, u = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adamax_step(p, np.ones(1), m, u, 1)
    >>> p.round(6), m.round(6), u
    (array([0.999]), array([0.1]), array([1.]))
    """
    _decay(param, learning_rate, weight_decay)
    m += (grad - m) * (1 - beta_1)
    np.maximum(beta_2 * u, np.abs(grad), out=u)
    param -= learning_rate / (1 - beta_1**step) * m / (u + epsilon)


def nadam_step(param: Array, grad: Array, m: Array, v: Array, step: int, u_product: float = 1.0, *,
               learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
               epsilon: float = 1e-7, weight_decay: float | None = None,
               n_threads: int | None = None) -> float:
    """Adam with Nesterov's look-ahead: ``u_t = beta_1 * (1 - 0.5 * 0.96 ** t)`` weights the averages.
    Returns the product of the ``u_t`` so far, for the next step.

    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> round(nadam_step(p, np.ones(1), m, v, 1), 6), p.round(6)
    (0.468, array([0.998937]))
    """
    _decay(param, learning_rate, weight_decay)
    u = beta_1 * (1 - 0.5 * 0.96**step)
    u_next = beta_1 * (1 - 0.5 * 0.96 ** (step + 1))
    u_product *= u
    m += (grad - m) * (1 - beta_1)
    v += (grad * grad - v) * (1 - beta_2)
    m_hat = u_next / (1 - u_product * u_next) * m + (1 - u) / (1 - u_product) * grad
    param -= learning_rate * m_hat / (np.sqrt(v / (1 - beta_2**step)) + epsilon)
    return u_product


def lion_step(param: Array, grad: Array, m: Array, *, learning_rate: float = 0.001, beta_1: float = 0.9,
              beta_2: float = 0.99, weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """``param -= learning_rate * sign(beta_1 * m + (1 - beta_1) * grad)``, then `m` averages the gradient
    with `beta_2`.

    >>> p, m = np.ones(2), np.zeros(2)
    >>> lion_step(p, np.array([3.0, -0.1]), m, learning_rate=0.5)
    >>> p
    array([0.5, 1.5])
    """
    _decay(param, learning_rate, weight_decay)
    param -= learning_rate * np.sign(beta_1 * m + (1 - beta_1) * grad)
    m *= beta_2
    m += (1 - beta_2) * grad


def radam_step(param: Array, grad: Array, m: Array, v: Array, step: int, *, learning_rate: float = 0.001,
               beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
               weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """Adam's step times the rectification of its variance, once `v` averages the worth of more than 5 steps;
    ``learning_rate * m / (1 - beta_1 ** step)`` before that.

    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> radam_step(p, np.ones(1), m, v, 1, learning_rate=0.25)
    >>> p.round(6)
    array([0.75])
    """
    _decay(param, learning_rate, weight_decay)
    m += (grad - m) * (1 - beta_1)
    v += (grad * grad - v) * (1 - beta_2)
    correction, longest = 1 - beta_2**step, 2 / (1 - beta_2) - 1
    length = longest - 2 * step * beta_2**step / correction
    rate = learning_rate / (1 - beta_1**step)
    if length > 5:
        rate *= math.sqrt(correction * (length - 4) * (length - 2) * longest
                          / ((longest - 4) * (longest - 2) * length))
        param -= rate * m / (np.sqrt(v) + epsilon)
    else:
        param -= rate * m


def ftrl_step(param: Array, grad: Array, accumulator: Array, linear: Array, *, learning_rate: float = 0.001,
              learning_rate_power: float = -0.5, l1_regularization_strength: float = 0.0,
              l2_regularization_strength: float = 0.0, l2_shrinkage_regularization_strength: float = 0.0,
              beta: float = 0.0, weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """The parameter is where ``linear * p + l1 * |p| + curve * p ** 2 / 2`` is least; `linear` sums the gradients,
    each less what the growth of the curve takes back of the parameter. A learning rate of 0 changes nothing.

    >>> p, a, z = np.zeros(1), np.full(1, 0.25), np.zeros(1)
    >>> ftrl_step(p, np.ones(1), a, z, learning_rate=0.5, learning_rate_power=-1.0)
    >>> p, a, z
    (array([-0.4]), array([1.25]), array([1.]))
    """
    if learning_rate == 0:
        return
    _decay(param, learning_rate, weight_decay)
    before = accumulator**-learning_rate_power
    accumulator += grad * grad
    after = accumulator**-learning_rate_power
    linear += grad + 2 * l2_shrinkage_regularization_strength * param - (after - before) / learning_rate * param
    curve = (after + beta) / learning_rate + 2 * l2_regularization_strength
    inside = np.clip(linear, -l1_regularization_strength, l1_regularization_strength)
    np.divide(inside - linear, curve, out=param, where=curve != 0)


def schedule_free_adamw_step(param: Array, grad: Array, z: Array, v: Array, x: Array, step: int, *,
                             learning_rate: float = 0.0025, beta_1: float = 0.9, beta_2: float = 0.999,
                             epsilon: float = 1e-8, warmup_steps: int = 0, weight_decay: float | None = None,
                             n_threads: int | None = None) -> None:
    """`z` takes steps of the gradient over the root of `v`, `x` averages `z` over all steps, and
    ``param = (1 - beta_1) * z + beta_1 * x`` is where the gradient is taken.

    >>> p, z, v, x = np.ones(1), np.ones(1), np.zeros(1), np.ones(1)
    >>> schedule_free_adamw_step(p, np.ones(1), z, v, x, 1, learning_rate=0.5)
    >>> p, z, x
    (array([0.5]), array([0.5]), array([0.5]))
    """
    _decay(param, learning_rate, weight_decay)
    x += (param - (z + beta_1 * (x - z))) / beta_1
    v += (grad * grad - v) * (1 - beta_2)
    rate = learning_rate * min(1.0, step / warmup_steps) if warmup_steps else learning_rate
    z -= rate * grad / (np.sqrt(v / (1 - beta_2**step)) + epsilon)
    x += (z - x) / step
    param[...] = z + beta_1 * (x - z)


# --------------------------------------------------------------------------------------------- restraints


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


# --------------------------------------------------------------------------------------------------- rows


def gather_rows(x: Array, index: Array, out: Array | None = None, dtype: Any = None,
                n_threads: int | None = None) -> Array:
    """``x[index]`` as float32 or float64: `dtype`, by default that of `out`, else of `x`, else float32.

    >>> gather_rows(np.array([[1, 2], [3, 4]], dtype=np.uint8), np.array([1, 1, 0]))
    array([[3., 4.],
           [3., 4.],
           [1., 2.]], dtype=float32)
    """
    if out is not None:
        np.copyto(out, x[index])
        return out
    return x[index].astype(dtype or (x.dtype if x.dtype in (np.float32, np.float64) else np.float32))


def philox(counter: tuple[Any, Any, Any, Any], seed: int) -> list[Array]:
    """Philox4x32-10 (Salmon et al., 2011): four words of 32 random bits for each counter and 64-bit key.

    Parameters
    ----------
    counter : tuple of four integer arrays
        Words of 32 bits, broadcast against each other.
    seed : int
        The key, in [0, 2**64).

    Returns
    -------
    list of four ndarrays of uint64
        Values below 2**32.

    Examples
    --------
    >>> [f"{int(word):08x}" for word in philox((0, 0, 0, 0), seed=0)]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    low = np.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) for word in counter))
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = ((p1 >> np.uint64(32)) ^ c1 ^ np.uint64(key0), p1 & low,
                          (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(key1), p0 & low)
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def scatter_rows(dy: Array, index: Array, n: int, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Row ``index[r]`` of the n rows gets ``dy[r]`` added; in the order of r.

    >>> scatter_rows(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([2, 0, 2]), 3)
    array([[3., 4.],
           [0., 0.],
           [6., 8.]])
    """
    out = np.empty((n, dy.shape[1]), dy.dtype) if out is None else out
    out[...] = 0
    np.add.at(out, index, dy)
    return out


def affine(x: Array, scale: float, offset: float = 0.0, out: Array | None = None,
           n_threads: int | None = None) -> Array:
    """``x * scale + offset``

    >>> affine(np.array([[0.0, 51.0, 255.0]]), 1 / 255)
    array([[0. , 0.2, 1. ]])
    """
    out = np.multiply(x, x.dtype.type(scale), out=out)
    out += x.dtype.type(offset)
    return out


# -------------------------------------------------------------------------------------------------- noise


def _words(rows: int, counters: int, seed: int, stream: int, step: int, first: int = 0) -> Array:
    """Words (rows, counters, 4) of the counters ``(first + k, row, step, stream)`` under the key `seed`."""
    counter = (first + np.arange(counters), np.arange(rows)[:, None], step & 0xFFFFFFFF, step >> 32 ^ stream)
    return np.stack(philox(counter, seed), axis=-1)


def _halves(shape: tuple[int, ...], seed: int, stream: int, step: int, first: int = 0) -> Array:
    """16 random bits for each element. 64 columns share 8 counters: 32 of them take the halves of the counters' words
    0 and 1, lower half first, the next 32 those of words 2 and 3."""
    rows, cols = shape
    blocks = -(-cols // 64)
    words = _words(rows, 8 * blocks, seed, stream, step, first)[..., None] >> np.array([0, 16], np.uint64)
    halves = (words & np.uint64(0xFFFF)).reshape(rows, blocks, 8, 2, 4)
    return halves.swapaxes(2, 3).reshape(rows, 64 * blocks)[:, :cols]


def _kept(shape: tuple[int, ...], rate: float, seed: int, stream: int, step: int) -> Array:
    """Where 32 random bits reach ``rate * 2**32``; their lower 16 come from counters of their own."""
    high, low = (_halves(shape, seed, stream, step, first) for first in (0, 2**31))
    return (high << np.uint64(16) | low) >= int(rate * 2**32)


def dropout_forward(x: Array, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                    out: Array | None = None, n_threads: int | None = None) -> Array:
    """``x / (1 - rate)`` where Philox keeps an element, zero elsewhere.

    >>> dropout_forward(np.ones((1, 6)), 0.5, seed=0)
    array([[2., 0., 2., 2., 2., 2.]])
    """
    kept = _kept(x.shape, rate, seed, stream, step)
    out = np.multiply(x, 1 / (1 - rate), out=out)
    out[~kept] = 0
    return out


def _alpha_affine(rate: float) -> tuple[float, float, float]:
    """The limit of selu, and a and b that keep mean 0 and variance 1 where a part `rate` of elements is that."""
    floor = -SELU_ALPHA * SELU_SCALE
    a = ((1 - rate) * (1 + rate * floor**2)) ** -0.5
    return floor, a, -a * rate * floor


def alpha_dropout_forward(x: Array, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                          out: Array | None = None, n_threads: int | None = None) -> Array:
    """``a * x + b`` where Philox keeps an element, ``a * floor + b`` elsewhere.

    >>> alpha_dropout_forward(np.zeros((1, 4)), 0.5, seed=0).round(4)
    array([[ 0.7792, -0.7792,  0.7792,  0.7792]])
    """
    floor, a, b = _alpha_affine(rate)
    kept = _kept(x.shape, rate, seed, stream, step)
    out = np.multiply(x, a, out=out)
    out += b
    out[~kept] = a * floor + b
    return out


def alpha_dropout_backward(dy: Array, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                           out: Array | None = None, n_threads: int | None = None) -> Array:
    """``a * dy`` where Philox kept an element, zero elsewhere.

    >>> alpha_dropout_backward(np.ones((1, 4)), 0.5, seed=0).round(4)
    array([[0.8864, 0.    , 0.8864, 0.8864]])
    """
    _, a, _ = _alpha_affine(rate)
    kept = _kept(dy.shape, rate, seed, stream, step)
    out = np.multiply(dy, a, out=out)
    out[~kept] = 0
    return out


def _normals(x: Array, seed: int, stream: int, step: int) -> Array:
    """A standard normal number for each element (Box and Muller, 1958). 32 columns share 8 counters: words 0 and 1 of
    each make radii, words 2 and 3 angles; 16 columns take the cosines, the next 16 the sines."""
    rows, cols = x.shape
    blocks = -(-cols // 32)
    words = _words(rows, 8 * blocks, seed, stream, step).reshape(rows, blocks, 8, 2, 2)
    radius, angle = (words[..., half, :].reshape(rows, blocks, 16) for half in (0, 1))
    uniform = (radius >> np.uint64(1)).astype(x.dtype) * x.dtype.type(2**-31) + x.dtype.type(2**-32)
    r, turn = np.sqrt(-2 * np.log(uniform.astype(np.float64))), angle * (2 * math.pi / 2**32)
    return np.concatenate([r * np.cos(turn), r * np.sin(turn)], axis=-1).reshape(rows, 32 * blocks)[:, :cols]


def gaussian_noise_forward(x: Array, stddev: float, *, seed: int, stream: int = 0, step: int = 0,
                           out: Array | None = None, n_threads: int | None = None) -> Array:
    """``x + stddev * g``, g standard normal.

    >>> gaussian_noise_forward(np.zeros((1, 3)), 0.1, seed=0).round(4)
    array([[-0.0122, -0.0398, -0.0082]])
    """
    return np.add(x, stddev * _normals(x, seed, stream, step), out=out, dtype=x.dtype, casting="same_kind")


def gaussian_dropout_forward(x: Array, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                             out: Array | None = None, n_threads: int | None = None) -> Array:
    """``x * (1 + sqrt(rate / (1 - rate)) * g)``, g standard normal.

    >>> gaussian_dropout_forward(np.ones((1, 3)), 0.5, seed=0).round(4)
    array([[0.8785, 0.6023, 0.9181]])
    """
    factor = 1 + math.sqrt(rate / (1 - rate)) * _normals(x, seed, stream, step)
    return np.multiply(x, factor, out=out, dtype=x.dtype, casting="same_kind")


# -------------------------------------------------------------------------------------------------- norms


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
