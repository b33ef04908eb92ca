"""Weights and inputs of few values: rounded at random, packed 64 in a word, multiplied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn._kernels.dispatch import ACTIVATIONS, LAST_ELEMENTWISE
from fastnn.kernels.checks import (
    ELEMENT_WORK,
    Array,
    _activation,
    _check_shape,
    _integer,
    _matrix,
    _output,
    _threads,
    _whole,
)

__all__ = ["arranged_words", "check_words", "pack_bits", "packed_dense_forward", "stochastic_round"]

BINARY = ("sign", "binary_step")
VALUES = (*BINARY, "ternary")
# Outputs are packed in blocks of as many.
PANEL, STRIP = 8, 32
# Products of bits are counted in integers of 32 bits, which float32 holds up to here.
MOST_INPUTS = 2**24
# A word of 64 products is worth as many operations.
WORD_WORK = 8


def _one_of(name: str, value: Any, allowed: Sequence[str | None]) -> Any:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; received {value!r}")
    return value


def stochastic_round(x: Any, values: str = "sign", *, seed: int, stream: int = 0, step: int = 0,
                     out: Array | None = None, n_threads: int | None = None) -> Array:
    """Numbers rounded to few values at random, so that their mean stays where it is in [-1, 1]
    (Courbariaux, Bengio and David, "BinaryConnect", 2015; "ternary": Lin, Courbariaux, Memisevic and Bengio, 2016).

    An element draws with Philox 4x32-10 by `seed`, `stream`, `step`, its row and its column, in steps of 2**-24.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    values : {"sign", "binary_step", "ternary"}, default "sign"
        1 with probability ``(x + 1) / 2``, held in [0, 1], else -1; the same, else 0; the sign of x with probability
        ``abs(x)``, else 0.
    seed : int
        In [0, 2**64).
    stream : int, default 0
        In [0, 2**32): tells layers of one network apart.
    step : int, default 0
        In [0, 2**64): tells batches apart.
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
    >>> from fastnn.kernels import stochastic_round
    >>> stochastic_round(np.zeros((1, 6)), seed=0)
    array([[ 1., -1., -1.,  1.,  1.,  1.]])
    """
    x = _matrix("x", x)
    kind = ACTIVATIONS[_one_of("values", values, VALUES)]
    which = (_integer("seed", seed, 0, 2**64), _integer("stream", stream, 0, 2**32), _integer("step", step, 0, 2**64))
    out = _output("out", out, x, x.shape, (x,), in_place=x)
    if x.size:
        calls.round_randomly(kind, x, *which, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def pack_bits(x: Any, *, n_threads: int | None = None) -> Array:
    """A bit for each number, 64 in a word: 1 where it is at least 0.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray of uint64, shape (rows, ceil(columns / 64))
        Bit ``c % 64`` of word ``c // 64`` belongs to column c; bits past the last column are 0.

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import pack_bits
    >>> pack_bits(np.array([[1.0, -1.0, 0.5]]))
    array([[5]], dtype=uint64)
    """
    x = _matrix("x", x)
    words = np.empty((x.shape[0], -(-x.shape[1] // 64)), np.uint64)
    if words.size:
        calls.pack_bits(x, False, words, _threads(n_threads, x.size))
    return words


def check_words(name: str, words: Any, n_in: int, n_out: int | None, values: str) -> Array:
    """The words of a kernel (n_in, n_out), checked: shape, dtype, zeros past the last input, and of ternary weights
    that none is 1 and -1. n_out None: any."""
    w = np.asarray(words)
    if w.dtype != np.uint64 or not w.dtype.isnative:
        raise TypeError(f"{name} must be an array of uint64; received dtype {w.dtype}")
    units: int | str = "units" if n_out is None else n_out
    _check_shape(name, w, (*([2] if values == "ternary" else []), units, -(-n_in // 64)))
    w = np.require(w, np.uint64, ["C", "A"])
    if n_in % 64 and (past := w[..., -1] >> np.uint64(n_in % 64)).any():
        raise ValueError(f"{name} must have zero bits past the last of {n_in} inputs; received others for output "
                         f"{int(np.argwhere(past)[0][-1])}")
    if values == "ternary" and (both := w[0] & w[1]).any():
        raise ValueError(f"{name} must not say that a weight is both 1 and -1; received such a one for output "
                         f"{int(np.argwhere(both)[0][0])}")
    return w


def arranged_words(words: Array, n_in: int, values: str, inputs: str | None) -> tuple[Array, Array]:
    """Words as the kernels read them, and the constants of the outputs; for inputs "sign", "binary_step" or numbers."""
    *_, units, n_words = words.shape
    planes, whole = words.ndim - 1, -(-units // STRIP) * STRIP
    padded = np.zeros((planes, whole, n_words), np.uint64)
    padded[:, :units] = words
    panels = np.ascontiguousarray(padded.reshape(planes, whole // PANEL, PANEL, n_words).swapaxes(2, 3)).ravel()
    constant = np.zeros(whole, np.int32)
    calls.packed_constant(n_in, units, ACTIVATIONS[values], ACTIVATIONS[inputs or "linear"], panels, constant)
    return panels, constant


def packed_dense_forward(x: Any, words: Any, bias: Any = None, activation: Any = None, *, values: str = "sign",
                         inputs: str | None = None, alpha: float | None = None, out: Array | None = None,
                         n_threads: int | None = None) -> Array:  # fmt: skip
    """A dense layer whose weights have few values: ``activation(inputs(x) @ kernel + bias)``.

    Where the inputs are rounded to two values, products are counted: ``n_in - 2 * popcount(x_bits ^ words)`` for -1 and
    1 on both sides (Rastegari, Ordonez, Redmon and Farhadi, "XNOR-Net", 2016), in like manner for the others. Other
    inputs are multiplied as in :func:`dense_forward`. The result has the same bits as that of :func:`dense_forward` in
    both cases.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, n_in)
        n_in at most 2**24 where the inputs are rounded.
    words : array_like of uint64, shape (n_out, ceil(n_in / 64)), or (2, n_out, ceil(n_in / 64)) for "ternary"
        For each output the bits of its weights, as :func:`pack_bits` packs rows. "ternary": where they are 1, and where
        they are -1.
    bias : array_like, shape (n_out,), optional
    activation, alpha
        As for :func:`activation_forward`. Default: linear.
    values : {"sign", "binary_step", "ternary"}, default "sign"
        What bits of weights stand for: 1 or -1, 1 or 0, and two of them for 1, 0 or -1.
    inputs : {None, "sign", "binary_step"}, default None
        The activation that `x` goes through before. None: `x` is taken as it is.
    out : ndarray, shape (rows, n_out), optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (rows, n_out)

    Raises
    ------
    TypeError, ValueError
        As :mod:`fastnn.kernels` lists; if a bit past the last input is set, or a ternary weight is both 1 and -1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import packed_dense_forward
    >>> words = np.array([[5]], dtype=np.uint64)     # 1, -1, 1
    >>> packed_dense_forward(np.array([[0.5, 2.0, 3.0]]), words)
    array([[1.5]])
    >>> packed_dense_forward(np.array([[0.5, 2.0, 3.0]]), words, inputs="sign")
    array([[1.]])
    """
    kind, alpha = _activation(activation, alpha)
    x = _matrix("x", x, ("rows", "n_in"))
    n_in = x.shape[1]
    weights, given = ACTIVATIONS[_one_of("values", values, VALUES)], _one_of("inputs", inputs, (None, *BINARY))
    if given is not None and n_in > MOST_INPUTS:
        raise ValueError(f"x must have at most {MOST_INPUTS} columns where they are rounded; received {n_in}")
    words = check_words("words", words, n_in, None, values)
    n_out = words.shape[-2]
    if bias is not None:
        bias = _whole("bias", bias, (n_out,), x)
    out = _output("out", out, x, (x.shape[0], n_out), (x, bias))
    if out.size == 0:
        return out

    panels, constant = arranged_words(words, n_in, values, given)
    fused = kind <= LAST_ELEMENTWISE
    if given is None:
        threads = _threads(n_threads, 2 * x.shape[0] * n_in * n_out)
        scratch = np.empty((threads, calls.packed_scratch(x.itemsize, n_in)), x.dtype)
        bits = x
    else:
        threads = _threads(n_threads, WORD_WORK * x.shape[0] * words.size)
        scratch, bits = None, np.empty((x.shape[0], -(-n_in // 64) + 1), np.uint64)
        calls.pack_bits(x, True, bits, threads)
    calls.packed_forward(n_in, weights, ACTIVATIONS[given or "linear"], panels, constant, bits, bias,
                         kind if fused else ACTIVATIONS["linear"], alpha if fused else 0.0, out, scratch, threads)
    if not fused:
        calls.activation_forward(kind, alpha, out, out, threads)
    return out
