"""Random zeros and noise."""

from __future__ import annotations

import math

import numpy as np

from fastnn.reference.common import SELU_ALPHA, SELU_SCALE, Array
from fastnn.reference.rows import philox

__all__ = [
    "alpha_dropout_backward", "alpha_dropout_forward", "dropout_forward", "gaussian_dropout_forward",
    "gaussian_noise_forward",
]


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
