"""Values of few kinds, and products of their bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.reference.activations import activation_forward
from fastnn.reference.common import Array
from fastnn.reference.dense import dense_forward
from fastnn.reference.noise import _words

__all__ = ["pack_bits", "packed_dense_forward", "stochastic_round"]


def stochastic_round(x: Array, values: str = "sign", *, seed: int, stream: int = 0, step: int = 0,
                     out: Array | None = None, n_threads: int | None = None) -> Array:
    """1 with probability ``(x + 1) / 2``, else -1 ("sign") or 0 ("binary_step"); "ternary": the sign of x with
    probability ``abs(x)``, else 0. 32 columns share 8 counters: 16 of them take the counters' words 0 and 1, the others
    2 and 3.

    >>> stochastic_round(np.zeros((1, 6)), seed=0)
    array([[ 1., -1., -1.,  1.,  1.,  1.]])
    """
    rows, cols = x.shape
    blocks = -(-cols // 32)
    words = _words(rows, 8 * blocks, seed, stream, step).reshape(rows, blocks, 8, 2, 2).swapaxes(2, 3)
    u = ((words.reshape(rows, 32 * blocks)[:, :cols] >> np.uint64(8)) / 2**24).astype(x.dtype)
    ternary = values == "ternary"
    drawn = u < (np.abs(x) if ternary else (x + x.dtype.type(1)) / 2)
    rounded = np.where(drawn, np.where(ternary & (x < 0), -1, 1), -1 if values == "sign" else 0).astype(x.dtype)
    if out is None:
        return rounded
    np.copyto(out, rounded)
    return out


def pack_bits(x: Array, *, n_threads: int | None = None) -> Array:
    """Bit ``c % 64`` of word ``c // 64`` is 1 where ``x[:, c] >= 0``.

    >>> pack_bits(np.array([[1.0, -1.0, 0.5]]))
    array([[5]], dtype=uint64)
    """
    rows, cols = x.shape
    bits = np.zeros((rows, -(-cols // 64) * 64), np.bool_)
    bits[:, :cols] = x >= 0
    return np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def _unpacked(words: Array, n: int, dtype: Any) -> Array:
    """Ones and zeros (n, units)"""
    bytes_ = words.astype("<u8").view(np.uint8).reshape(len(words), -1)
    return np.unpackbits(bytes_, axis=1, bitorder="little")[:, :n].T.astype(dtype)


def packed_dense_forward(x: Array, words: Array, bias: Array | None = None, activation: Any = None, *,
                         values: str = "sign", inputs: str | None = None, alpha: float | None = None,
                         out: Array | None = None, n_threads: int | None = None) -> Array:
    """``activation(x @ kernel + bias)`` for the kernel whose columns are the bits of `words`.

    >>> packed_dense_forward(np.array([[0.5, 2.0, 3.0]]), np.array([[5]], dtype=np.uint64))
    array([[1.5]])
    """
    n = x.shape[1]
    if values == "ternary":
        kernel = _unpacked(words[0], n, x.dtype) - _unpacked(words[1], n, x.dtype)
    else:
        kernel = _unpacked(words, n, x.dtype)
        kernel = 2 * kernel - 1 if values == "sign" else kernel
    if inputs is not None:
        x = activation_forward(x, inputs)
    return dense_forward(x, kernel, bias, activation, alpha=alpha, out=out)
