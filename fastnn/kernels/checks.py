"""What the kernels' arguments must be: dtypes, shapes, strides, ranges."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._kernels.dispatch import (
    ACTIVATIONS,
    LAST_ELEMENTWISE,
    LAST_FROM_OUTPUT,
)
from fastnn._kernels.threads import effective_n_threads

Array = np.ndarray[Any, np.dtype[Any]]
DEFAULT_ALPHA = {"leaky_relu": 0.2, "elu": 1.0, "all_relu": -0.6, "ternary": 0.5}
# A thread is worth waking for this many floating-point operations, and an element of an elementwise kernel
# counts as ELEMENT_WORK of them: a parallel region costs 0.55 us, about what one core does of a product of 64
# kFLOP.
WORK_PER_THREAD = 130_000
ELEMENT_WORK = 16


def _threads(n_threads: int | None, work: int) -> int:
    """Threads for `work` operations: those asked for, or of the default those that are worth it."""
    n = effective_n_threads(n_threads)
    return n if n_threads is not None else min(n, 1 + work // WORK_PER_THREAD)


def _floats(name: str, value: Any, like: Array | None = None) -> Array:
    """`value` as an array of float32 or float64, of the dtype of `like` if that is given."""
    a = np.asarray(value)
    if a.dtype.char not in "fd" or not a.dtype.isnative:
        raise TypeError(f"{name} must be an array of float32 or float64; received dtype {a.dtype}")
    if like is not None and a.dtype != like.dtype:
        raise TypeError(f"{name} must be {like.dtype} like the first argument; received {a.dtype}")
    return a


def _rows_contiguous(a: Array) -> bool:
    """Whether a kernel can walk a matrix: elements of a row side by side, rows whole elements apart."""
    rows, cols = a.shape
    row_stride, col_stride = a.strides
    within = cols <= 1 or col_stride == a.itemsize
    between = rows <= 1 or (row_stride >= cols * a.itemsize and row_stride % a.itemsize == 0)
    return a.size == 0 or (a.flags.aligned and within and between)


def _shape_text(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _check_shape(name: str, a: Array, shape: Sequence[int | str]) -> None:
    """A str in `shape` stands for any length."""
    if a.shape == shape:
        return
    fits = a.ndim == len(shape) and all(isinstance(want, str) or want == got
                                        for want, got in zip(shape, a.shape, strict=True))  # fmt: skip
    if not fits:
        raise ValueError(f"{name} must have the shape {_shape_text(shape)}; received {_shape_text(a.shape)}")


def _matrix(name: str, value: Any, shape: Sequence[int | str] = ("rows", "columns"),
            like: Array | None = None) -> Array:  # fmt: skip
    """A 2-D input with contiguous rows, copied if it has none."""
    a = _floats(name, value, like)
    _check_shape(name, a, shape)
    return a if _rows_contiguous(a) else a.copy()


def _c_contiguous(a: Array) -> bool:
    return a.flags.c_contiguous and a.flags.aligned


def _whole(name: str, value: Any, shape: Sequence[int | str] | None = None,
           like: Array | None = None) -> Array:  # fmt: skip
    """An input of any rank in C order, copied if it is not."""
    a = _floats(name, value, like)
    if shape is not None:
        _check_shape(name, a, shape)
    return a if _c_contiguous(a) else a.copy()


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays of one shape are the same memory, element for element."""
    return a.__array_interface__["data"][0] == b.__array_interface__["data"][0] and a.strides == b.strides


def _writable(name: str, a: Any, like: Array, shape: Sequence[int], inputs: Sequence[Array | None] = (), *,
              in_place: Array | None = None, whole: bool = False,
              dtype: str | None = None) -> Array:  # fmt: skip
    """An array given to be written: checked, never copied. It may be `in_place` exactly, but overlaps no
    other input. Its rows are contiguous, or all of it if `whole`. Its dtype is that of `like`, or the one given."""
    if not isinstance(a, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray or None; received {type(a).__name__}")
    if dtype is None:
        _floats(name, a, like)
    elif a.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}; received {a.dtype}")
    _check_shape(name, a, shape)
    if not a.flags.writeable:
        raise ValueError(f"{name} must be writable; received a read-only array")
    if not (_rows_contiguous(a) if a.ndim == 2 and not whole else _c_contiguous(a)):
        allowed = "C-contiguous" if whole or a.ndim != 2 else "a matrix with contiguous rows"
        raise ValueError(f"{name} must be {allowed} and aligned; received strides {a.strides} for {a.dtype}")
    for other in inputs:
        if other is not None and not (other is in_place and _same(a, other)) and np.shares_memory(a, other):
            raise ValueError(f"{name} must not overlap another argument; received arrays that share memory")
    return a


def _output(name: str, out: Any, like: Array, shape: Sequence[int], inputs: Sequence[Array | None] = (), *,
            in_place: Array | None = None, whole: bool = False,
            dtype: str | None = None) -> Array:  # fmt: skip
    """`out` checked, or a new array."""
    if out is None:
        return np.empty(shape, dtype or like.dtype)
    return _writable(name, out, like, shape, inputs, in_place=in_place, whole=whole, dtype=dtype)


def _number(name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False,
            open_high: bool = False) -> float:  # fmt: skip
    """A finite number in [low, high], the ends excluded where they are open."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number; received {value!r}")
    outside = not low <= value <= high or (open_low and value == low) or (open_high and value == high)
    if outside or not math.isfinite(value):
        ends = "(["[not open_low], ")]"[not open_high and high < math.inf]
        raise ValueError(f"{name} must be in {ends[0]}{low:g}, {high:g}{ends[1]}; received {value!r}")
    return float(value)


def _integer(name: str, value: Any, low: int, high: int) -> int:
    """An integer in [low, high)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer; received {value!r}")
    if not low <= value < high:
        raise ValueError(f"{name} must be in [{low}, {high}); received {value}")
    return int(value)


def _activation(activation: Any, alpha: float | None) -> tuple[int, float]:
    """Kind and parameter of an activation: a name, an instance of Activation, or None for linear."""
    if activation is None:
        activation = "linear"
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            close = difflib.get_close_matches(activation, ACTIVATIONS, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"unknown activation {activation!r}{hint}; allowed: {', '.join(ACTIVATIONS)}")
        kind, default = ACTIVATIONS[activation], DEFAULT_ALPHA.get(activation, 0.0)
    elif hasattr(activation, "kind") and hasattr(activation, "alpha"):
        kind, default = activation.kind, activation.alpha
    else:
        raise TypeError(f"activation must be a name, an Activation or None; received {activation!r}")
    # A negative slope would make the derivative ambiguous from the output, where that is what is saved.
    low = -math.inf if LAST_FROM_OUTPUT < kind <= LAST_ELEMENTWISE else 0
    return kind, _number("alpha", default if alpha is None else alpha, low)


def _as_rows(a: Array) -> Array:
    """Any array as a matrix whose rows run along the last axis; a matrix is left as it is."""
    if a.ndim == 2:
        return a
    cols = a.shape[-1] if a.ndim else 1
    return a.reshape(math.prod(a.shape[:-1]), cols)
