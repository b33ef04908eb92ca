"""The kernels, one call each: checked arguments in, compiled code without the GIL, arrays out.

Every function takes float32 or float64 arrays (one dtype a call), allocates its result or writes it into
``out=``, and splits its work over ``n_threads=`` threads without changing a bit of the result. Each has its
twin of plain NumPy in :mod:`fastnn.reference`.

Inputs may be read-only, and matrices may be slices of wider ones (``a[:, 2:7]``, ``a[::2]``): rows that are
contiguous are read where they are. Anything else (Fortran order, a column stride, misaligned data) is copied
first. Outputs and whatever is updated in place are never copied: they must be writable, of the right shape
and dtype, and have contiguous rows. NaN and infinity in the data are not refused: they come out as arithmetic
has it.

Common to all functions:

TypeError
    An array is not float32 or float64, or of another dtype than the first one; `out` is not an ndarray; a
    number is not a number.
ValueError
    A shape does not fit; an output is read-only, not contiguous, or overlaps an input other than as
    documented; a hyperparameter is out of range; a name is unknown.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._kernels import calls
from fastnn._kernels.dispatch import (
    ACTIVATIONS,
    FUNCTIONS,
    LAST_ELEMENTWISE,
    LOSSES,
    OPTIMIZERS,
    POOLINGS,
    SOURCES,
    panel_width,
)
from fastnn._kernels.threads import effective_n_threads
from fastnn._kernels.updates import step_tensor
from fastnn.windows import Window, check_padding, check_sizes, window

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

DEFAULT_ALPHA = {"leaky_relu": 0.2, "elu": 1.0}

# A thread is worth waking for this many floating-point operations, and an element of an elementwise kernel
# counts as ELEMENT_WORK of them: a parallel region costs 0.55 us, about what one core does of a product of 64
# kFLOP.
WORK_PER_THREAD = 130_000
ELEMENT_WORK = 16


# ------------------------------------------------------------------------------------------------- checks


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
              in_place: Array | None = None, whole: bool = False) -> Array:  # fmt: skip
    """An array given to be written: checked, never copied. It may be `in_place` exactly, but overlaps no
    other input. Its rows are contiguous, or all of it if `whole`."""
    if not isinstance(a, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray or None; received {type(a).__name__}")
    _floats(name, a, like)
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
            in_place: Array | None = None, whole: bool = False) -> Array:  # fmt: skip
    """`out` checked, or a new array."""
    if out is None:
        return np.empty(shape, like.dtype)
    return _writable(name, out, like, shape, inputs, in_place=in_place, whole=whole)


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
    # A negative slope would make the derivative ambiguous from the output, which is what is saved.
    return kind, _number("alpha", default if alpha is None else alpha, 0)


def _as_rows(a: Array) -> Array:
    """Any array as a matrix whose rows run along the last axis; a matrix is left as it is."""
    if a.ndim == 2:
        return a
    cols = a.shape[-1] if a.ndim else 1
    return a.reshape(math.prod(a.shape[:-1]), cols)


# ---------------------------------------------------------------------------------------------- functions


def _function(name: str, x: Any, out: Any, n_threads: int | None) -> Array:
    a = _whole("x", x)
    out = _output("out", out, a, a.shape, (a,), in_place=a, whole=True)
    calls.math(FUNCTIONS[name], a.reshape(-1), out.reshape(-1), _threads(n_threads, ELEMENT_WORK * a.size))
    return out


def exp(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """``e ** x``.

    Within 4 units in the last place of the exact value in float32. Infinity where the result overflows, zero
    (or a subnormal number) where it underflows.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import exp
    >>> exp(np.array([0.0, 1.0])).round(4)
    array([1.    , 2.7183])
    """
    return _function("exp", x, out, n_threads)


def expm1(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """``e ** x - 1``, accurate for small `x` where subtracting 1 would lose every digit.

    Within 4 units in the last place of the exact value in float32.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import expm1
    >>> expm1(np.array([1e-10]))
    array([1.e-10])
    """
    return _function("expm1", x, out, n_threads)


def log(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Natural logarithm.

    Within 4 units in the last place of the exact value in float32. -infinity at zero, NaN for negative `x`.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import log
    >>> log(np.array([1.0, 10.0])).round(4)
    array([0.    , 2.3026])
    """
    return _function("log", x, out, n_threads)


def log1p(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """``log(1 + x)``, accurate for small `x` where adding 1 would lose every digit.

    Within 4 units in the last place of the exact value in float32. -infinity at -1, NaN below.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import log1p
    >>> log1p(np.array([1e-10]))
    array([1.e-10])
    """
    return _function("log1p", x, out, n_threads)


def tanh(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Hyperbolic tangent, ``(e ** 2x - 1) / (e ** 2x + 1)``.

    Within 4 units in the last place of the exact value in float32.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import tanh
    >>> tanh(np.array([0.0, 0.5, 20.0])).round(4)
    array([0.    , 0.4621, 1.    ])
    """
    return _function("tanh", x, out, n_threads)


def erf(x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t ** 2)`` from 0 to `x`.

    Within 4 units in the last place of the exact value in float32.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    out : ndarray, optional
        C-contiguous, shape and dtype of `x`; may be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import erf
    >>> erf(np.array([0.0, 0.5, 10.0])).round(4)
    array([0.    , 0.5205, 1.    ])
    """
    return _function("erf", x, out, n_threads)


# -------------------------------------------------------------------------------------------- activations


def activation_forward(x: Any, activation: Any, *, alpha: float | None = None, out: Array | None = None,
                       n_threads: int | None = None) -> Array:  # fmt: skip
    """``activation(x)``, element by element; softmax and log_softmax over the last axis.

    ============== =========================================================================================
    linear         ``x``
    relu           ``max(x, 0)``
    leaky_relu     ``x`` where positive, ``alpha * x`` elsewhere; `alpha` 0.2
    elu            ``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere; `alpha` 1 (Clevert et al., 2015)
    selu           ``1.0507 * elu(x, 1.6733)`` (Klambauer et al., 2017)
    sigmoid        ``1 / (1 + exp(-x))``
    tanh           ``tanh(x)``
    softplus       ``log(1 + exp(x))``
    softsign       ``x / (1 + abs(x))``
    hard_sigmoid   ``clip(x / 6 + 1 / 2, 0, 1)``
    relu6          ``clip(x, 0, 6)``
    exponential    ``exp(x)``
    gelu           ``x * (1 + erf(x / sqrt(2))) / 2`` (Hendrycks & Gimpel, 2016)
    gelu_tanh      ``x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))) / 2``
    silu           ``x * sigmoid(x)``
    mish           ``x * tanh(softplus(x))`` (Misra, 2019)
    softmax        ``exp(x) / sum(exp(x))``
    log_softmax    ``x - log(sum(exp(x)))``
    ============== =========================================================================================

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., columns)
    activation : str, fastnn.activations.Activation or None
        One of the names above; None is linear.
    alpha : float, optional
        Parameter of leaky_relu and elu, at least 0. Default: the one above, or the instance's.
    out : ndarray, optional
        Shape and dtype of `x`; may be `x` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import activation_forward
    >>> activation_forward(np.array([[-1.0, 2.0]]), "leaky_relu")
    array([[-0.2,  2. ]])
    """
    kind, alpha = _activation(activation, alpha)
    x = _floats("x", x)
    x = _matrix("x", x) if x.ndim == 2 else _whole("x", x)
    out = _output("out", out, x, x.shape, (x,), in_place=x)
    if x.size:
        calls.activation_forward(kind, alpha, _as_rows(x), _as_rows(out),
                                 _threads(n_threads, ELEMENT_WORK * x.size))  # fmt: skip
    return out


def activation_backward(dy: Any, saved: Any, activation: Any, *, alpha: float | None = None,
                        out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """``dy * activation'``: the gradient of an activation's input from that of its output.

    The derivative is taken from the output of :func:`activation_forward`, and for gelu, gelu_tanh, silu and
    mish from its input. At a kink it is that of the left side: 0 for relu at 0.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (..., columns)
        Gradient of the output.
    saved : array_like, shape and dtype of `dy`
        Output of the activation, or its input for gelu, gelu_tanh, silu and mish.
    activation, alpha
        As for :func:`activation_forward`.
    out : ndarray, optional
        Shape and dtype of `dy`; may be `dy` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `dy`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import activation_backward
    >>> activation_backward(np.array([[3.0, 3.0]]), np.array([[0.0, 2.0]]), "relu")
    array([[0., 3.]])
    """
    kind, alpha = _activation(activation, alpha)
    dy = _floats("dy", dy)
    dy = _matrix("dy", dy) if dy.ndim == 2 else _whole("dy", dy)
    saved = _matrix("saved", saved, dy.shape, dy) if dy.ndim == 2 else _whole("saved", saved, dy.shape, dy)
    out = _output("out", out, dy, dy.shape, (dy, saved), in_place=dy)
    if dy.size:
        calls.activation_backward(kind, alpha, _as_rows(dy), _as_rows(saved), _as_rows(out),
                                  _threads(n_threads, ELEMENT_WORK * dy.size))  # fmt: skip
    return out


# -------------------------------------------------------------------------------------------- dense layer


def dense_forward(x: Any, kernel: Any, bias: Any = None, activation: Any = None, out: Array | None = None,
                  n_threads: int | None = None, *, z: Array | None = None,
                  alpha: float | None = None) -> Array:  # fmt: skip
    """A dense layer in one pass: ``activation(x @ kernel + bias)``.

    A row of the result depends on its own row of `x` only, bit for bit: not on the batch around it.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, n_in)
    kernel : array_like, shape (n_in, n_out)
    bias : array_like, shape (n_out,), optional
    activation, alpha
        As for :func:`activation_forward`. Default: linear.
    out : ndarray, shape (rows, n_out), optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.
    z : ndarray, shape (rows, n_out), optional
        Receives ``x @ kernel + bias``, which :func:`dense_backward` needs for gelu, gelu_tanh, silu and mish.

    Returns
    -------
    ndarray, shape (rows, n_out)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import dense_forward
    >>> dense_forward(np.array([[1.0, 2.0]]), np.eye(2), np.array([1.0, -3.0]), "relu")
    array([[2., 0.]])
    """
    kind, alpha = _activation(activation, alpha)
    x = _matrix("x", x, ("rows", "n_in"))
    kernel = _whole("kernel", kernel, (x.shape[1], "n_out"), x)
    n_out = kernel.shape[1]
    if bias is not None:
        bias = _whole("bias", bias, (n_out,), x)
    shape = (x.shape[0], n_out)
    out = _output("out", out, x, shape, (x, kernel, bias))
    if z is not None:
        _writable("z", z, x, shape, (x, kernel, bias, out))
    if out.size == 0:
        return out

    threads = _threads(n_threads, 2 * x.shape[0] * kernel.size)
    if n_out % panel_width(x.dtype.name):
        whole, kernel = kernel, _padded(x.shape[1], n_out, x)
        kernel[...] = whole
    if kind <= LAST_ELEMENTWISE:
        calls.dense_forward(x, kernel, bias, kind, alpha, z, out, threads)
    else:
        before = out if z is None else z
        calls.dense_forward(x, kernel, bias, ACTIVATIONS["linear"], 0.0, None, before, threads)
        calls.activation_forward(kind, alpha, before, out, threads)
    return out


def _padded(rows: int, cols: int, like: Array) -> Array:
    """A (rows, cols) matrix whose rows may be read, as zeros, up to a whole panel of columns."""
    width = panel_width(like.dtype.name)
    padded = np.empty((rows, -(-cols // width) * width), like.dtype)
    padded[:, cols:] = 0
    return padded[:, :cols]


def dense_backward(dy: Any, x: Any, kernel: Any, saved: Any = None, activation: Any = None, *,
                   alpha: float | None = None, need_dx: bool = True,
                   out: tuple[Array | None, Array | None, Array | None] | None = None,
                   n_threads: int | None = None) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """Gradients of a dense layer's input, kernel and bias from that of its output.

    With ``dz = dy * activation'``: ``dx = dz @ kernel.T``, ``dkernel = x.T @ dz``, ``dbias =
    dz.sum(axis=0)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, n_out)
        Gradient of the output.
    x : array_like, shape (rows, n_in)
        The input that :func:`dense_forward` was given.
    kernel : array_like, shape (n_in, n_out)
    saved : array_like, shape (rows, n_out)
        What :func:`activation_backward` takes the derivative from: the output, or `z` for gelu, gelu_tanh,
        silu and mish. May be left out for linear.
    activation, alpha
        As for :func:`activation_forward`. Default: linear.
    need_dx : bool, default True
        Whether to compute `dx`: the first layer of a network has no use for it.
    out : tuple (dx, dkernel, dbias) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, n_in), or None
    dkernel : ndarray, shape (n_in, n_out)
    dbias : ndarray, shape (n_out,)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if `saved` is missing for an activation other than linear.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import dense_backward
    >>> dx, dkernel, dbias = dense_backward(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.eye(2))
    >>> dkernel
    array([[3., 6.],
           [4., 8.]])
    """
    kind, alpha = _activation(activation, alpha)
    linear = kind == ACTIVATIONS["linear"]
    dy = _matrix("dy", dy, ("rows", "n_out"))
    rows, n_out = dy.shape
    x = _matrix("x", x, (rows, "n_in"), dy)
    n_in = x.shape[1]
    kernel = _whole("kernel", kernel, (n_in, n_out), dy)
    if saved is not None:
        saved = _matrix("saved", saved, (rows, n_out), dy)
    elif not linear:
        raise ValueError(f"saved must be given for activation {activation!r}; received None")
    if out is not None and (not isinstance(out, tuple) or len(out) != 3):
        raise TypeError(f"out must be a tuple (dx, dkernel, dbias) of arrays or None; received {out!r}")
    inputs = (dy, x, kernel, saved)
    dx, dkernel, dbias = out or (None, None, None)
    dx = _output("out[0]", dx, dy, (rows, n_in), inputs) if need_dx else None
    dkernel = _output("out[1]", dkernel, dy, (n_in, n_out), (*inputs, dx))
    dbias = _output("out[2]", dbias, dy, (n_out,), (*inputs, dx, dkernel))
    threads = _threads(n_threads, 4 * rows * kernel.size)

    dz = _padded(rows, n_out, dy)
    if linear:
        dz[...] = dy
    elif dz.size:
        calls.activation_backward(kind, alpha, dy, saved, dz, threads)
    calls.dense_kernel_grad(x, dz, dkernel, dbias, threads)
    if dx is not None:
        transposed = np.empty(calls.transposed_size(dy.itemsize, n_in, n_out), dy.dtype)
        calls.transpose(kernel, transposed, threads)
        calls.dense_input_grad(dz, transposed, dx, threads)
    return dx, dkernel, dbias


# ------------------------------------------------------------------------------------- convolution, pooling

SAMPLES = ("samples", "height", "width", "channels")


def _images(name: str, value: Any, shape: Sequence[int | str] = SAMPLES, like: Array | None = None) -> Array:
    """Samples with channels last, in C order, of which each has at least one element."""
    a = _whole(name, value, shape, like)
    if 0 in a.shape[1:]:
        raise ValueError(f"{name} must have samples that are not empty; received the shape {a.shape}")
    return a


def _flat(a: Array) -> Array:
    """Samples as the rows of a matrix."""
    return a.reshape(len(a), math.prod(a.shape[1:]))


def _readable_past(a: Array) -> Array:
    """A contiguous copy that may be read one panel past its end."""
    memory = np.zeros(a.size + panel_width(a.dtype.name), a.dtype)
    memory[:a.size] = a.reshape(-1)
    return memory[:a.size].reshape(a.shape)


def _conv_shapes(x: Any, kernel: Any, strides: Any, padding: Any,
                 like: Array | None = None) -> tuple[Array, Array, Window]:  # fmt: skip
    x = _images("x", x, SAMPLES, like)
    kernel = _whole("kernel", kernel, ("height", "width", x.shape[3], "filters"), x)
    if 0 in kernel.shape:
        raise ValueError(f"kernel must not be empty; received the shape {kernel.shape}")
    return x, kernel, window(x.shape[1:], kernel.shape[:2], check_sizes("strides", strides, 2), check_padding(padding))


def _conv_scratch(place: Window, like: Array, threads: int) -> Array:
    return np.empty((threads, calls.conv_scratch(like.itemsize, place)), like.dtype)


def conv2d_forward(x: Any, kernel: Any, bias: Any = None, activation: Any = None, out: Array | None = None,
                   n_threads: int | None = None, *, strides: Any = 1, padding: str = "valid",
                   z: Array | None = None, alpha: float | None = None) -> Array:  # fmt: skip
    """A convolution with channels last: the dense layer `kernel` on what a window sees at each position.

    ``y[n, i, j] = activation(sum over (u, v, c) of x[n, i * s + u, j * s + v, c] * kernel[u, v, c] + bias)``, which
    signal processing calls a correlation. A sample of the result depends on its own sample of `x` only, bit for bit.
    No more of the patches that the window sees than fits into a cache exists at a time.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (samples, height, width, channels)
    kernel : array_like, shape (kernel height, kernel width, channels, filters)
    bias : array_like, shape (filters,), optional
    activation, alpha
        As for :func:`activation_forward`; softmax runs over the filters. Default: linear.
    out : ndarray, shape (samples, out height, out width, filters), optional
        C-contiguous. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.
    strides : int or pair of int, default 1
        Pixels between windows, down and across.
    padding : {"valid", "same"}, default "valid"
        ``"valid"``: the window stays inside, out is ``floor((n - k) / stride) + 1``. ``"same"``: zeros around, out is
        ``ceil(n / stride)``; where they cannot be divided evenly, one more stands at the end.
    z : ndarray, shape of `out`, optional
        Receives the input of the activation, which :func:`conv2d_backward` needs for gelu, gelu_tanh, silu and mish.

    Returns
    -------
    ndarray, shape (samples, out height, out width, filters)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if the window is larger than a sample and `padding` is ``"valid"``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import conv2d_forward
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> conv2d_forward(x, np.ones((2, 2, 1, 1)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    kind, alpha = _activation(activation, alpha)
    x, kernel, place = _conv_shapes(x, kernel, strides, padding)
    filters = kernel.shape[3]
    if bias is not None:
        bias = _whole("bias", bias, (filters,), x)
    shape = (len(x), place.out_height, place.out_width, filters)
    out = _output("out", out, x, shape, (x, kernel, bias))
    if z is not None:
        _writable("z", z, x, shape, (x, kernel, bias, out))
    if out.size == 0:
        return out

    threads = _threads(n_threads, 2 * (out.size // filters) * kernel.size)
    matrix = kernel.reshape(-1, filters)
    if filters % panel_width(x.dtype.name):
        matrix = _readable_past(matrix)
    fused = kind <= LAST_ELEMENTWISE
    before = out if fused or z is None else z
    calls.conv_forward(place, _flat(x), matrix, bias, kind if fused else ACTIVATIONS["linear"], alpha,
                       _flat(z) if fused and z is not None else None, _flat(before), _conv_scratch(place, x, threads),
                       threads)
    if not fused:
        calls.activation_forward(kind, alpha, before.reshape(-1, filters), out.reshape(-1, filters), threads)
    return out


def conv2d_backward(dy: Any, x: Any, kernel: Any, saved: Any = None, activation: Any = None, *, strides: Any = 1,
                    padding: str = "valid", alpha: float | None = None, need_dx: bool = True,
                    out: tuple[Array | None, Array | None, Array | None] | None = None,
                    n_threads: int | None = None) -> tuple[Array | None, Array, Array]:  # fmt: skip
    """Gradients of a convolution's input, kernel and bias from that of its output.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (samples, out height, out width, filters)
        Gradient of the output.
    x : array_like, shape (samples, height, width, channels)
        The input that :func:`conv2d_forward` was given.
    kernel : array_like, shape (kernel height, kernel width, channels, filters)
    saved : array_like, shape of `dy`
        What :func:`activation_backward` takes the derivative from: the output, or `z` for gelu, gelu_tanh,
        silu and mish. May be left out for linear.
    activation, alpha, strides, padding
        As for :func:`conv2d_forward`.
    need_dx : bool, default True
        Whether to compute `dx`: the first layer of a network has no use for it.
    out : tuple (dx, dkernel, dbias) of ndarray or None, optional
        C-contiguous arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape of `x`, or None
    dkernel : ndarray, shape of `kernel`
    dbias : ndarray, shape (filters,)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if `saved` is missing for an activation other than linear.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import conv2d_backward
    >>> x, kernel = np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1))
    >>> dx, dkernel, dbias = conv2d_backward(np.ones((1, 2, 2, 1)), x, kernel)
    >>> dx[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    >>> dkernel[:, :, 0, 0], dbias
    (array([[ 8., 12.],
           [20., 24.]]), array([4.]))
    """
    kind, alpha = _activation(activation, alpha)
    linear = kind == ACTIVATIONS["linear"]
    dy = _floats("dy", dy)
    x, kernel, place = _conv_shapes(x, kernel, strides, padding, dy)
    filters = kernel.shape[3]
    shape = (len(x), place.out_height, place.out_width, filters)
    dy = _whole("dy", dy, shape)
    if saved is not None:
        saved = _whole("saved", saved, shape, dy)
    elif not linear:
        raise ValueError(f"saved must be given for activation {activation!r}; received None")
    if out is not None and (not isinstance(out, tuple) or len(out) != 3):
        raise TypeError(f"out must be a tuple (dx, dkernel, dbias) of arrays or None; received {out!r}")
    inputs = (dy, x, kernel, saved)
    dx, dkernel, dbias = out or (None, None, None)
    dx = _output("out[0]", dx, dy, x.shape, inputs) if need_dx else None
    dkernel = _output("out[1]", dkernel, dy, kernel.shape, (*inputs, dx))
    dbias = _output("out[2]", dbias, dy, (filters,), (*inputs, dx, dkernel))
    if dy.size == 0:
        dkernel[...] = dbias[...] = 0
        return dx, dkernel, dbias

    threads = _threads(n_threads, 4 * (dy.size // filters) * kernel.size)
    dz = _readable_past(dy)
    if not linear:
        calls.activation_backward(kind, alpha, dy.reshape(-1, filters), saved.reshape(-1, filters),
                                  dz.reshape(-1, filters), threads)  # fmt: skip
    scratch = _conv_scratch(place, x, threads)
    calls.conv_kernel_grad(place, _flat(x), _flat(dz), dkernel.reshape(-1, filters), dbias, scratch, threads)
    if dx is not None:
        matrix = kernel.reshape(-1, filters)
        transposed = np.empty(calls.transposed_size(dy.itemsize, *matrix.shape), dy.dtype)
        calls.transpose(matrix, transposed, threads)
        calls.conv_input_grad(place, filters, _flat(dz), transposed, _flat(dx), scratch, threads)
    return dx, dkernel, dbias


def _pool_window(shape: Sequence[int], pool_size: Any, strides: Any, padding: Any) -> Window:
    size = check_sizes("pool_size", pool_size, 2)
    step = size if strides is None else check_sizes("strides", strides, 2)
    return window(shape, size, step, check_padding(padding))


def _pool_forward(kind: str, x: Any, pool_size: Any, strides: Any, padding: Any, out: Array | None,
                  n_threads: int | None) -> Array:  # fmt: skip
    x = _images("x", x)
    place = _pool_window(x.shape[1:], pool_size, strides, padding)
    out = _output("out", out, x, (len(x), place.out_height, place.out_width, place.channels), (x,))
    if out.size:
        calls.pool_forward(POOLINGS[kind], place, _flat(x), _flat(out), _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def max_pooling2d_forward(x: Any, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                          out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """The largest value of each channel in each window.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (samples, height, width, channels)
    pool_size : int or pair of int, default 2
        Height and width of the window.
    strides : int or pair of int, optional
        Pixels between windows. Default: `pool_size`.
    padding : {"valid", "same"}, default "valid"
        As for :func:`conv2d_forward`; what lies outside of the sample does not count.
    out : ndarray, shape (samples, out height, out width, channels), optional
        C-contiguous. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (samples, out height, out width, channels)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if the window is larger than a sample and `padding` is ``"valid"``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import max_pooling2d_forward
    >>> max_pooling2d_forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    return _pool_forward("max", x, pool_size, strides, padding, out, n_threads)


def max_pooling2d_backward(dy: Any, x: Any, y: Any, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                           out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Gradient of the input of :func:`max_pooling2d_forward`: that of each window goes to its largest element, to the
    first of equal ones in the order of rows.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (samples, out height, out width, channels)
        Gradient of the output.
    x : array_like, shape (samples, height, width, channels)
    y : array_like, shape of `dy`
        The output.
    pool_size, strides, padding
        As in the forward pass.
    out : ndarray, shape of `x`, optional
        C-contiguous. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape of `x`

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import max_pooling2d_backward, max_pooling2d_forward
    >>> x = np.array([[1.0, 3.0], [3.0, 2.0]]).reshape(1, 2, 2, 1)
    >>> y = max_pooling2d_forward(x)
    >>> max_pooling2d_backward(np.ones_like(y), x, y)[0, :, :, 0]
    array([[0., 1.],
           [0., 0.]])
    """
    dy = _floats("dy", dy)
    x = _images("x", x, SAMPLES, dy)
    place = _pool_window(x.shape[1:], pool_size, strides, padding)
    shape = (len(x), place.out_height, place.out_width, place.channels)
    dy, y = _whole("dy", dy, shape), _whole("y", y, shape, dy)
    out = _output("out", out, dy, x.shape, (dy, x, y))
    if out.size:
        calls.pool_backward(POOLINGS["max"], place, _flat(dy), _flat(x), _flat(y), _flat(out),
                            _threads(n_threads, ELEMENT_WORK * x.size))  # fmt: skip
    return out


def average_pooling2d_forward(x: Any, pool_size: Any = 2, strides: Any = None, padding: str = "valid",
                              out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """The mean of each channel in each window, over the pixels of it that lie in the sample.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (samples, height, width, channels)
    pool_size, strides, padding, out, n_threads
        As for :func:`max_pooling2d_forward`.

    Returns
    -------
    ndarray, shape (samples, out height, out width, channels)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if the window is larger than a sample and `padding` is ``"valid"``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import average_pooling2d_forward
    >>> average_pooling2d_forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    return _pool_forward("average", x, pool_size, strides, padding, out, n_threads)


def average_pooling2d_backward(dy: Any, size: Sequence[int], pool_size: Any = 2, strides: Any = None,
                               padding: str = "valid", out: Array | None = None,
                               n_threads: int | None = None) -> Array:  # fmt: skip
    """Gradient of the input of :func:`average_pooling2d_forward`: that of each window in equal parts.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (samples, out height, out width, channels)
        Gradient of the output.
    size : pair of int
        Height and width of the input.
    pool_size, strides, padding
        As in the forward pass.
    out : ndarray, shape (samples, height, width, channels), optional
        C-contiguous. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (samples, height, width, channels)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import average_pooling2d_backward
    >>> average_pooling2d_backward(np.full((1, 1, 1, 1), 2.0), (2, 2))[0, :, :, 0]
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    dy = _images("dy", dy)
    place = _pool_window((*check_sizes("size", size, 2), dy.shape[3]), pool_size, strides, padding)
    _check_shape("dy", dy, (len(dy), place.out_height, place.out_width, place.channels))
    out = _output("out", out, dy, (len(dy), place.height, place.width, place.channels), (dy,))
    if out.size:
        calls.pool_backward(POOLINGS["average"], place, _flat(dy), None, None, _flat(out),
                            _threads(n_threads, ELEMENT_WORK * out.size))  # fmt: skip
    return out


# ------------------------------------------------------------------------------------------------- losses


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
        As the module's documentation lists.

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
        As the module's documentation lists.

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
        As the module's documentation lists.

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
        As the module's documentation lists.

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
        As the module's documentation lists.

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


# --------------------------------------------------------------------------------------------- optimizers


def _rate(name: str, value: float) -> float:
    """A decay rate of an average."""
    return _number(name, value, 0, 1, open_high=True)


def _betas(beta_1: float, beta_2: float) -> tuple[float, float]:
    return _rate("beta_1", beta_1), _rate("beta_2", beta_2)


def _epsilon(epsilon: float) -> float:
    return _number("epsilon", epsilon, 0)


def _step(kind: str, param: Any, grad: Any, slots: dict[str, Any], hyper: tuple[float, ...],
          learning_rate: float, weight_decay: float | None, n_threads: int | None,
          step: Any = 1, memory: float = 1.0) -> float:  # fmt: skip
    """One step of optimizer `kind` in place; `slots` in the order the kernel has them. Returns its memory."""
    learning_rate = _number("learning_rate", learning_rate, 0)
    decay = 0.0 if weight_decay is None else _number("weight_decay", weight_decay, 0)
    step = _integer("step", step, 1, 2**63)
    like = _floats("param", param)
    param = _writable("param", param, like, like.shape, whole=True)
    grad = _whole("grad", grad, param.shape, param)
    taken = [param, grad]
    _writable("param", param, param, param.shape, (grad,), whole=True)
    for name, slot in slots.items():
        taken.append(_writable(name, slot, param, param.shape, taken, whole=True))
    flat = [a.reshape(-1) for a in taken]
    threads = _threads(n_threads, ELEMENT_WORK * param.size)
    return calls.update(OPTIMIZERS[kind], flat[0], flat[1], tuple(flat[2:]), hyper, learning_rate, decay,
                        step, memory, threads)  # fmt: skip


def _tensor_step(kind: str, param: Any, grad: Any, slots: dict[str, tuple[Any, tuple[int, ...]]],
                 hyper: tuple[float, ...], learning_rate: float, weight_decay: float | None, n_threads: int | None,
                 step: Any, work: int) -> None:  # fmt: skip
    """One step of an optimizer that is not elementwise, in place; `slots` with the shapes they must have."""
    learning_rate = _number("learning_rate", learning_rate, 0)
    decay = 0.0 if weight_decay is None else _number("weight_decay", weight_decay, 0)
    step = _integer("step", step, 1, 2**63)
    like = _floats("param", param)
    param = _writable("param", param, like, like.shape, whole=True)
    grad = _floats("grad", grad, param)
    _check_shape("grad", grad, param.shape)
    taken = [param, grad]
    _writable("param", param, param, param.shape, (grad,), whole=True)
    for name, (slot, shape) in slots.items():
        taken.append(_writable(name, slot, param, shape, taken, whole=True))
    if not param.size:
        return
    direction = _padded_zeros(param.size, param.dtype)
    direction[...] = grad.reshape(-1)
    step_tensor(kind, OPTIMIZERS[kind], param, direction, taken[2:], hyper, learning_rate, decay, step,
                _threads(n_threads, work), _padded_zeros)


def _padded_zeros(n: int, dtype: Any) -> Array:
    """(n,) zeros with room behind them: products read panels whole."""
    return np.zeros(n + 64, dtype)[:n]


def sgd_step(param: Any, grad: Any, *, learning_rate: float = 0.01, weight_decay: float | None = None,
             n_threads: int | None = None) -> None:  # fmt: skip
    """Gradient descent: ``param -= learning_rate * grad``, in place.

    The rule of Keras' SGD without momentum.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    learning_rate : float, default 0.01
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import sgd_step
    >>> param = np.ones(2, dtype=np.float32)
    >>> sgd_step(param, np.array([1.0, -1.0], dtype=np.float32), learning_rate=0.5)
    >>> param
    array([0.5, 1.5], dtype=float32)
    """
    _step("sgd", param, grad, {}, (), learning_rate, weight_decay, n_threads)


def momentum_step(param: Any, grad: Any, velocity: Any, *, learning_rate: float = 0.01, momentum: float = 0.9,
                  nesterov: bool = False, weight_decay: float | None = None,
                  n_threads: int | None = None) -> None:  # fmt: skip
    """Gradient descent with momentum (Polyak, 1964) or Nesterov's (Sutskever et al., 2013), in place.

    ``velocity = momentum * velocity - learning_rate * grad``, then ``param += velocity``, or for Nesterov
    ``param += momentum * velocity - learning_rate * grad``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    velocity : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.01
    momentum : float, default 0.9
        In [0, 1].
    nesterov : bool, default False
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import momentum_step
    >>> param, velocity = np.ones(1), np.zeros(1)
    >>> momentum_step(param, np.ones(1), velocity, learning_rate=0.5)
    >>> param, velocity
    (array([0.5]), array([-0.5]))
    """
    kind = "nesterov" if nesterov else "momentum"
    hyper = (_number("momentum", momentum, 0, 1),)
    _step(kind, param, grad, {"velocity": velocity}, hyper, learning_rate, weight_decay, n_threads)


def rmsprop_step(param: Any, grad: Any, velocity: Any, momentum_buffer: Any = None, average: Any = None, *,
                 learning_rate: float = 0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
                 weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """RMSprop (Hinton, 2012), centered (Graves, 2013) if `average` is given, in place.

    ``velocity = rho * velocity + (1 - rho) * grad ** 2``, ``average = rho * average + (1 - rho) * grad``, and
    ``increment = learning_rate * grad / sqrt(velocity - average ** 2 + epsilon)``, the difference held at
    zero where it rounds below; ``momentum_buffer = momentum * momentum_buffer + increment`` is subtracted
    where it is given.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    velocity : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    momentum_buffer : ndarray, shape and dtype of `param`, optional
        Needed if `momentum` is not 0; zeros before the first step. Updated in place; C-contiguous.
    average : ndarray, shape and dtype of `param`, optional
        Average of the gradient: makes the rule the centered one; zeros before the first step. Updated in
        place; C-contiguous.
    learning_rate : float, default 0.001
    rho : float, default 0.9
        Decay of the averages, in [0, 1).
    momentum : float, default 0
        In [0, 1].
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import rmsprop_step
    >>> param, velocity = np.ones(1), np.zeros(1)
    >>> rmsprop_step(param, np.ones(1), velocity, learning_rate=0.1)
    >>> param.round(4), velocity.round(4)
    (array([0.6838]), array([0.1]))
    """
    hyper = (_rate("rho", rho), _number("momentum", momentum, 0, 1), _epsilon(epsilon))
    if momentum_buffer is None and momentum != 0:
        raise ValueError(f"momentum_buffer must be given for a momentum of {momentum!r}; received None")
    slots = {"velocity": velocity, "average": average, "momentum_buffer": momentum_buffer}
    given = {name: slot for name, slot in slots.items() if slot is not None}
    kind = "rmsprop" if average is None else "rmsprop_centered"
    _step(kind, param, grad, given, hyper, learning_rate, weight_decay, n_threads)


def adagrad_step(param: Any, grad: Any, accumulator: Any, *, learning_rate: float = 0.001,
                 epsilon: float = 1e-7, weight_decay: float | None = None,
                 n_threads: int | None = None) -> None:  # fmt: skip
    """Adagrad (Duchi et al., 2011), in place.

    ``accumulator += grad ** 2``, then ``param -= learning_rate * grad / sqrt(accumulator + epsilon)``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    accumulator : ndarray, shape and dtype of `param`
        Keras starts it at 0.1. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adagrad_step
    >>> param, accumulator = np.ones(1), np.zeros(1)
    >>> adagrad_step(param, np.ones(1), accumulator, learning_rate=0.5, epsilon=0.0)
    >>> param, accumulator
    (array([0.5]), array([1.]))
    """
    slots = {"accumulator": accumulator}
    _step("adagrad", param, grad, slots, (_epsilon(epsilon),), learning_rate, weight_decay, n_threads)


def adadelta_step(param: Any, grad: Any, accumulated_grad: Any, accumulated_delta: Any, *,
                  learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
                  weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """Adadelta (Zeiler, 2012), in place.

    ``delta = sqrt(accumulated_delta + epsilon) / sqrt(accumulated_grad + epsilon) * grad``, where
    `accumulated_grad` averages ``grad ** 2`` and then `accumulated_delta` averages ``delta ** 2``; ``param -=
    learning_rate * delta``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    accumulated_grad : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    accumulated_delta : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    rho : float, default 0.95
        Decay of the averages, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adadelta_step
    >>> param, grads, deltas = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adadelta_step(param, np.ones(1), grads, deltas, learning_rate=1.0)
    >>> param.round(6), grads.round(6), deltas.round(9)
    (array([0.998586]), array([0.05]), array([1.e-07]))
    """
    slots = {"accumulated_grad": accumulated_grad, "accumulated_delta": accumulated_delta}
    hyper = (_rate("rho", rho), _epsilon(epsilon))
    _step("adadelta", param, grad, slots, hyper, learning_rate, weight_decay, n_threads)


def adam_step(param: Any, grad: Any, m: Any, v: Any, step: int, *, learning_rate: float = 0.001,
              beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, v_hat: Any = None,
              weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """Adam (Kingma & Ba, 2015), or AMSGrad (Reddi et al., 2018) if `v_hat` is given, in place.

    ``m += (grad - m) * (1 - beta_1)``, ``v += (grad ** 2 - v) * (1 - beta_2)``, then ``param -= alpha * m /
    (sqrt(v) + epsilon)`` with ``alpha = learning_rate * sqrt(1 - beta_2 ** step) / (1 - beta_1 ** step)``.
    AMSGrad divides by the root of ``v_hat = max(v_hat, v)``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    v_hat : ndarray, shape and dtype of `param`, optional
        Greatest `v` so far, zeros before the first step. Updated in place; C-contiguous.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adam_step
    >>> param, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adam_step(param, np.ones(1), m, v, 1)
    >>> param.round(6), m.round(6), v.round(6)
    (array([0.999]), array([0.1]), array([0.001]))
    """
    slots = {"m": m, "v": v} if v_hat is None else {"m": m, "v": v, "v_hat": v_hat}
    kind = "adam" if v_hat is None else "amsgrad"
    hyper = (*_betas(beta_1, beta_2), _epsilon(epsilon))
    _step(kind, param, grad, slots, hyper, learning_rate, weight_decay, n_threads, step)


def adamw_step(param: Any, grad: Any, m: Any, v: Any, step: int, *, learning_rate: float = 0.001,
               beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, v_hat: Any = None,
               weight_decay: float | None = 0.004, n_threads: int | None = None) -> None:  # fmt: skip
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019), in place.

    :func:`adam_step` with a `weight_decay` by default.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    v_hat : ndarray, shape and dtype of `param`, optional
        As for :func:`adam_step`. Updated in place; C-contiguous.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: 0.004.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adamw_step
    >>> param, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adamw_step(param, np.zeros(1), m, v, 1, learning_rate=0.5, weight_decay=0.5)
    >>> param
    array([0.75])
    """
    adam_step(param, grad, m, v, step, learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2,
              epsilon=epsilon, v_hat=v_hat, weight_decay=weight_decay, n_threads=n_threads)  # fmt: skip


def adamax_step(param: Any, grad: Any, m: Any, u: Any, step: int, *, learning_rate: float = 0.001,
                beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """Adamax, Adam with the infinity norm (Kingma & Ba, 2015, section 7), in place.

    ``m += (grad - m) * (1 - beta_1)``, ``u = max(beta_2 * u, abs(grad))``, then
    ``param -= learning_rate / (1 - beta_1 ** step) * m / (u + epsilon)``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    u : ndarray, shape and dtype of `param`
        Decaying maximum of the gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adamax_step
    >>> param, m, u = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adamax_step(param, np.ones(1), m, u, 1)
    >>> param.round(6), m.round(6), u
    (array([0.999]), array([0.1]), array([1.]))
    """
    hyper = (*_betas(beta_1, beta_2), _epsilon(epsilon))
    _step("adamax", param, grad, {"m": m, "u": u}, hyper, learning_rate, weight_decay, n_threads, step)


def nadam_step(param: Any, grad: Any, m: Any, v: Any, step: int, u_product: float = 1.0, *,
               learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
               epsilon: float = 1e-7, weight_decay: float | None = None,
               n_threads: int | None = None) -> float:  # fmt: skip
    """Adam with Nesterov's momentum (Dozat, 2016), in place.

    With ``u(t) = beta_1 * (1 - 0.5 * 0.96 ** t)``, `u_product` the product of ``u(1) ... u(step)`` and `m`,
    `v` as Adam's::

        m_hat = u(step + 1) * m / (1 - u_product * u(step + 1)) + (1 - u(step)) * grad / (1 - u_product)
        param -= learning_rate * m_hat / (sqrt(v / (1 - beta_2 ** step)) + epsilon)

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    u_product : float, default 1
        What the step before returned; 1 for the first.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    float
        `u_product` for the next step.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import nadam_step
    >>> param, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> u_product = nadam_step(param, np.ones(1), m, v, 1)
    >>> round(u_product, 6), param.round(6)
    (0.468, array([0.998937]))
    """
    hyper = (*_betas(beta_1, beta_2), _epsilon(epsilon))
    memory = _number("u_product", u_product, 0, 1)
    slots = {"m": m, "v": v}
    return _step("nadam", param, grad, slots, hyper, learning_rate, weight_decay, n_threads, step, memory)


def lion_step(param: Any, grad: Any, m: Any, *, learning_rate: float = 0.001, beta_1: float = 0.9,
              beta_2: float = 0.99, weight_decay: float | None = None,
              n_threads: int | None = None) -> None:  # fmt: skip
    """Lion (Chen et al., 2023), in place.

    ``param -= learning_rate * sign(beta_1 * m + (1 - beta_1) * grad)``, then
    ``m = beta_2 * m + (1 - beta_2) * grad``.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.99
        Decay of the first and of the second average, in [0, 1).
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import lion_step
    >>> param, m = np.ones(2), np.zeros(2)
    >>> lion_step(param, np.array([3.0, -0.1]), m, learning_rate=0.5)
    >>> param
    array([0.5, 1.5])
    """
    _step("lion", param, grad, {"m": m}, _betas(beta_1, beta_2), learning_rate, weight_decay, n_threads)


# --------------------------------------------------------------------------------------------------- rows


def _row_index(name: str, index: Any, n: int) -> Array:
    """int64 (rows,), contiguous, in [0, n)"""
    index = np.asarray(index)
    if index.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers; received dtype {index.dtype}")
    _check_shape(name, index, ("rows",))
    if index.size and not (index.min() >= 0 and index.max() < n):
        raise ValueError(f"{name} must be in [0, {n}); received [{index.min()}, {index.max()}]")
    return np.ascontiguousarray(index, dtype=np.int64)


def lamb_step(param: Any, grad: Any, m: Any, v: Any, step: int, *, learning_rate: float = 0.001,
              beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
              weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """LAMB (You et al., 2020), in place: Adam's direction, a step in proportion to the norm of the parameter.

    `m` and `v` as Adam's; ``u = m / (1 - beta_1 ** step) / (sqrt(v / (1 - beta_2 ** step)) + epsilon)``;
    ``param -= learning_rate * norm(param) / norm(u) * u``, the ratio 1 where a norm is 0.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import lamb_step
    >>> param, m, v = np.full(4, 2.0), np.zeros(4), np.zeros(4)
    >>> lamb_step(param, np.ones(4), m, v, 1, learning_rate=0.5)
    >>> param.round(6)
    array([1., 1., 1., 1.])
    """
    shape = np.shape(param)
    _tensor_step("lamb", param, grad, {"m": (m, shape), "v": (v, shape)}, (*_betas(beta_1, beta_2), _epsilon(epsilon)),
                 learning_rate, weight_decay, n_threads, step, ELEMENT_WORK * math.prod(shape))


def adafactor_step(param: Any, grad: Any, r: Any, c: Any, step: int, *, learning_rate: float = 0.001,
                   beta_2_decay: float = -0.8, epsilon_1: float = 1e-30, epsilon_2: float = 1e-3,
                   clip_threshold: float = 1.0, weight_decay: float | None = None,
                   n_threads: int | None = None) -> None:  # fmt: skip
    """Adafactor (Shazeer and Stern, 2018), in place: mean squares of rows and of columns in place of elements.

    With ``b = 1 - step ** beta_2_decay`` and ``s = grad**2 + epsilon_1``::

        r = b * r + (1 - b) * mean(s, axis=-1)
        c = b * c + (1 - b) * mean(s, axis=-2)
        u = grad / sqrt(r / mean(r, axis=-1) * c)
        rate = max(epsilon_2, rms(param)) * min(learning_rate, 1 / sqrt(step))
        param -= rate / max(1, rms(u) / clip_threshold) * u

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    r : ndarray of shape ``param.shape[:-1]``, dtype of `param`
        Zeros before the first step; of the shape of `param`, and averages of ``s``, where that has fewer than two
        dimensions. Updated in place; C-contiguous.
    c : ndarray of shape ``param.shape[:-2] + param.shape[-1:]``, or None
        Zeros before the first step; None where `param` has fewer than two dimensions. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_2_decay : float, default -0.8
        At most 0.
    epsilon_1, epsilon_2 : float, default 1e-30 and 1e-3
        At least 0.
    clip_threshold : float, default 1.0
        Above 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import adafactor_step
    >>> param, r, c = np.ones((2, 2)), np.zeros(2), np.zeros(2)
    >>> adafactor_step(param, np.array([[1.0, 1.0], [2.0, 2.0]]), r, c, 1, learning_rate=0.5)
    >>> param.round(6), r, c
    (array([[0.5, 0.5],
           [0.5, 0.5]]), array([1., 4.]), array([2.5, 2.5]))
    """
    hyper = (_number("beta_2_decay", beta_2_decay, -math.inf, 0, open_low=True), _number("epsilon_1", epsilon_1, 0),
             _number("epsilon_2", epsilon_2, 0), _number("clip_threshold", clip_threshold, 0, open_low=True))
    shape = np.shape(param)
    if (c is None) != (len(shape) < 2):
        raise ValueError(f"c must be {'None' if c is not None else 'an array'} for the shape {_shape_text(shape)}; "
                         f"received {'None' if c is None else 'an array'}")
    slots = {"r": (r, shape)} if c is None else {"r": (r, shape[:-1]), "c": (c, shape[:-2] + shape[-1:])}
    _tensor_step("adafactor", param, grad, slots, hyper, learning_rate, weight_decay, n_threads, step,
                 ELEMENT_WORK * math.prod(shape))


def muon_step(param: Any, grad: Any, m: Any, *, learning_rate: float = 0.001, momentum: float = 0.95,
              nesterov: bool = True, ns_steps: int = 5, muon_a: float = 3.4445, muon_b: float = -4.7750,
              muon_c: float = 2.0315, rms_rate: float | None = 0.2, weight_decay: float | None = None,
              n_threads: int | None = None) -> None:  # fmt: skip
    """Muon (Jordan et al., 2024; Liu et al., 2025), in place: a step along the orthogonal matrix nearest to the
    averaged gradient, by Newton-Schulz iterations.

    ``m = momentum * m + grad``; ``u = grad + momentum * m`` (``m`` without Nesterov) over its norm; `ns_steps` times
    ``u = a * u + (b * A + c * A @ A) @ u`` with ``A = u @ u.T``;
    ``param -= learning_rate * rms_rate * sqrt(max(rows, columns)) * u``.

    Parameters
    ----------
    param : ndarray of float32 or float64, (rows, columns)
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    momentum : float, default 0.95
        In [0, 1].
    nesterov : bool, default True
    ns_steps : int, default 5
    muon_a, muon_b, muon_c : float, default 3.4445, -4.7750, 2.0315
    rms_rate : float, optional, default 0.2
        Above 0; None: the step is ``learning_rate * u``.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import muon_step
    >>> param, m = np.zeros((2, 2)), np.zeros((2, 2))
    >>> muon_step(param, np.array([[3.0, 0.0], [0.0, -0.5]]), m, learning_rate=1.0, muon_a=1.5, muon_b=-0.5,
    ...           muon_c=0.0, ns_steps=20, rms_rate=None)
    >>> param.round(6)
    array([[-1.,  0.],
           [ 0.,  1.]])
    """
    shape = np.shape(param)
    if len(shape) != 2:
        raise ValueError(f"param must have two dimensions; received the shape {_shape_text(shape)}")
    given = {"muon_a": muon_a, "muon_b": muon_b, "muon_c": muon_c}
    steps = _integer("ns_steps", ns_steps, 0, 2**31)
    hyper = (_number("momentum", momentum, 0, 1), float(bool(nesterov)), float(steps),
             *(_number(name, value, -math.inf, open_low=True) for name, value in given.items()),
             0.0 if rms_rate is None else _number("rms_rate", rms_rate, 0, open_low=True))
    _tensor_step("muon", param, grad, {"m": (m, shape)}, hyper, learning_rate, weight_decay, n_threads, 1,
                 (6 * steps * min(shape) + ELEMENT_WORK) * math.prod(shape))


def radam_step(param: Any, grad: Any, m: Any, v: Any, step: int, *, learning_rate: float = 0.001,
               beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
               weight_decay: float | None = None, n_threads: int | None = None) -> None:  # fmt: skip
    """RAdam, Adam whose variance is rectified (Liu et al., 2020), in place.

    `m` and `v` as Adam's. With ``b = 1 - beta_2 ** step``, ``L = 2 / (1 - beta_2) - 1`` and
    ``l = L - 2 * step * beta_2 ** step / b``::

        param -= learning_rate / (1 - beta_1 ** step) * m                                     where l <= 5, else
        r = sqrt(b * (l - 4) * (l - 2) * L / ((L - 4) * (L - 2) * l))
        param -= learning_rate / (1 - beta_1 ** step) * r * m / (sqrt(v) + epsilon)

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    m : ndarray, shape and dtype of `param`
        Average of the gradient, zeros before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Average of the squared gradient, zeros before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the first and of the second average, in [0, 1).
    epsilon : float, default 1e-7
        Keeps the division finite; at least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import radam_step
    >>> param, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> radam_step(param, np.ones(1), m, v, 1, learning_rate=0.25)
    >>> param.round(6)
    array([0.75])
    """
    hyper = (*_betas(beta_1, beta_2), _epsilon(epsilon))
    _step("radam", param, grad, {"m": m, "v": v}, hyper, learning_rate, weight_decay, n_threads, step)


def ftrl_step(param: Any, grad: Any, accumulator: Any, linear: Any, *, learning_rate: float = 0.001,
              learning_rate_power: float = -0.5, l1_regularization_strength: float = 0.0,
              l2_regularization_strength: float = 0.0, l2_shrinkage_regularization_strength: float = 0.0,
              beta: float = 0.0, weight_decay: float | None = None,
              n_threads: int | None = None) -> None:  # fmt: skip
    """FTRL-Proximal, follow the regularized leader (McMahan et al., 2013), in place.

    With ``a`` the accumulator, ``z`` the linear term, ``P = -learning_rate_power``::

        sigma = ((a + grad**2) ** P - a ** P) / learning_rate
        a += grad**2
        z += grad + 2 * l2_shrinkage * param - sigma * param
        param = (clip(z, -l1, l1) - z) / ((a ** P + beta) / learning_rate + 2 * l2)

    The parameter does not change where that divisor is 0, and nothing does where the learning rate is.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    grad : array_like, shape and dtype of `param`
    accumulator : ndarray, shape and dtype of `param`
        Sum of the squared gradients, 0.1 or so before the first step, never negative. Updated in place; C-contiguous.
    linear : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    learning_rate : float, default 0.001
    learning_rate_power : float, default -0.5
        At most 0.
    l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength : float, default 0
        At least 0.
    beta : float, default 0
        At least 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import ftrl_step
    >>> param, accumulator, linear = np.zeros(1), np.full(1, 0.25), np.zeros(1)
    >>> ftrl_step(param, np.ones(1), accumulator, linear, learning_rate=0.5, learning_rate_power=-1.0)
    >>> param.round(6), accumulator, linear
    (array([-0.4]), array([1.25]), array([1.]))
    """
    power = _number("learning_rate_power", learning_rate_power, -math.inf, 0, open_low=True)
    given = {"l1_regularization_strength": l1_regularization_strength,
             "l2_regularization_strength": l2_regularization_strength,
             "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength, "beta": beta}
    hyper = (power, *(_number(name, value, 0) for name, value in given.items()))
    kind = "ftrl" if power == -0.5 else "ftrl_power"
    _step(kind, param, grad, {"accumulator": accumulator, "linear": linear}, hyper, learning_rate, weight_decay,
          n_threads)


def schedule_free_adamw_step(param: Any, grad: Any, z: Any, v: Any, x: Any, step: int, *,
                             learning_rate: float = 0.0025, beta_1: float = 0.9, beta_2: float = 0.999,
                             epsilon: float = 1e-8, warmup_steps: int = 0, weight_decay: float | None = None,
                             n_threads: int | None = None) -> None:  # fmt: skip
    """Schedule-free AdamW (Defazio et al., 2024), in place.

    The gradient is taken at ``y``, which `param` holds, between the fast sequence `z` and its average `x`, which
    is what to predict with::

        v += (grad**2 - v) * (1 - beta_2)
        z -= learning_rate * min(1, step / warmup_steps) * grad / (sqrt(v / (1 - beta_2**step)) + epsilon)
        x += (z - x) / step
        y = (1 - beta_1) * z + beta_1 * x

    Where `param` is not at ``y`` when the step begins, as after weight decay, `x` moves so that it is, as in Keras.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        ``y``; updated in place, C-contiguous.
    grad : array_like, shape and dtype of `param`
    z : ndarray, shape and dtype of `param`
        Equal to `param` before the first step. Updated in place; C-contiguous.
    v : ndarray, shape and dtype of `param`
        Zeros before the first step. Updated in place; C-contiguous.
    x : ndarray, shape and dtype of `param`
        Equal to `param` before the first step. Updated in place; C-contiguous.
    step : int
        Number of this step, from 1.
    learning_rate : float, default 0.0025
    beta_1 : float, default 0.9
        In (0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-8
        Keeps the division finite; at least 0.
    warmup_steps : int, default 0
        Steps in which the learning rate grows from 0.
    weight_decay : float, optional
        ``param -= learning_rate * weight_decay * param`` comes before the step. Default: none.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import schedule_free_adamw_step
    >>> param, z, v, x = np.ones(1), np.ones(1), np.zeros(1), np.ones(1)
    >>> schedule_free_adamw_step(param, np.ones(1), z, v, x, 1, learning_rate=0.5)
    >>> param.round(6), z.round(6), x.round(6)
    (array([0.5]), array([0.5]), array([0.5]))
    """
    hyper = (_number("beta_1", beta_1, 0, 1, open_low=True, open_high=True), _rate("beta_2", beta_2),
             _epsilon(epsilon), float(_integer("warmup_steps", warmup_steps, 0, 2**53)))
    _step("schedule_free", param, grad, {"z": z, "v": v, "x": x}, hyper, learning_rate, weight_decay, n_threads, step)


# --------------------------------------------------------------------------------------------- restraints


def _in_place(name: str, value: Any, ndim: int = 1) -> Array:
    """An array of at least `ndim` dimensions that is updated as a whole."""
    a = _floats(name, value)
    if a.ndim < ndim:
        raise ValueError(f"{name} must have at least {ndim} dimensions; received the shape {_shape_text(a.shape)}")
    return _writable(name, value, a, a.shape, whole=True)


def _added_to(grad: Any, param: Array) -> Array | None:
    return None if grad is None else _writable("grad", grad, param, param.shape, (param,), whole=True)


def l1_l2_penalty(param: Any, l1: float = 0.0, l2: float = 0.0, *, grad: Array | None = None,
                  n_threads: int | None = None) -> float:  # fmt: skip
    """``l1 * sum(abs(param)) + l2 * sum(param ** 2)``, summed in float64; the derivative is added to `grad`.

    The derivative is ``l1 * sign(param) + 2 * l2 * param``, with ``sign(0) = 0``.

    Parameters
    ----------
    param : array_like of float32 or float64, any shape
    l1, l2 : float, default 0.0
        At least 0.
    grad : ndarray, shape and dtype of `param`, optional
        C-contiguous; the derivative is added to it.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import l1_l2_penalty
    >>> grad = np.zeros((1, 3))
    >>> l1_l2_penalty(np.array([[1.0, -2.0, 0.0]]), l1=0.5, l2=0.25, grad=grad)
    2.75
    >>> grad
    array([[ 1. , -1.5,  0. ]])
    """
    l1, l2 = _number("l1", l1, 0), _number("l2", l2, 0)
    param = _whole("param", param)
    grad = _added_to(grad, param)
    if not param.size:
        return 0.0
    rows = _as_rows(param)
    return calls.penalty(l1, l2, rows, None if grad is None else grad.reshape(rows.shape),
                         _threads(n_threads, ELEMENT_WORK * param.size))


def orthogonal_penalty(param: Any, factor: float = 0.01, mode: str = "rows", *, grad: Array | None = None,
                       n_threads: int | None = None) -> float:  # fmt: skip
    """`factor` times the mean of ``abs(u @ v)`` over the pairs of rows (or columns), scaled to unit vectors u and v.

    As Keras has it, rows shorter than 1e-7 are multiplied by 1e7 instead; a single row has no pairs and a penalty of
    0. The derivative of the absolute value is 0 at 0.

    Parameters
    ----------
    param : array_like of float32 or float64, shape (rows, columns)
    factor : float, default 0.01
        At least 0.
    mode : {"rows", "columns"}, default "rows"
    grad : ndarray, shape and dtype of `param`, optional
        C-contiguous; the derivative is added to it.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import orthogonal_penalty
    >>> orthogonal_penalty(np.array([[3.0, 0.0], [0.0, 2.0]]), 1.0)
    0.0
    >>> orthogonal_penalty(np.array([[3.0, 0.0], [4.0, 3.0]]), 1.0)
    0.8
    """
    factor = _number("factor", factor, 0)
    if mode not in ("rows", "columns"):
        raise ValueError(f"mode must be 'rows' or 'columns'; received {mode!r}")
    param = _whole("param", param, ("rows", "columns"))
    grad = _added_to(grad, param)
    n = param.shape[mode == "columns"]
    if n < 2 or not param.size:
        return 0.0
    threads = _threads(n_threads, 4 * n * param.size)
    return calls.orthogonal(factor / (n * (n - 1) / 2), mode == "columns", param, grad, threads)


def norm_layout(shape: Sequence[int], axis: int | Sequence[int] | None) -> tuple[int, int, bool]:
    """Rows and columns of the matrix as which an array of `shape` can be walked, and whether norms over `axis` are
    those of its columns; they are those of its rows otherwise. ValueError where it cannot, or there is no such axis.
    """
    rank = len(shape)
    given = range(rank) if axis is None else [axis] if isinstance(axis, (int, np.integer)) else list(axis)
    if not all(-rank <= a < rank for a in given):
        raise ValueError(f"axis must be in [{-rank}, {rank}) for the shape {_shape_text(shape)}; received {axis!r}")
    axes = sorted({a % rank for a in given})
    first = rank - len(axes)
    if axes == list(range(first, rank)):
        return math.prod(shape[:first]), math.prod(shape[first:]), False
    if axes == list(range(len(axes))):
        return math.prod(shape[:len(axes)]), math.prod(shape[len(axes):]), True
    raise ValueError(f"axis must name the first or the last dimensions; received {axis!r} for the shape "
                     f"{_shape_text(shape)}")


def norm_constraint(param: Any, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0,
                    axis: int | Sequence[int] | None = 0, *, n_threads: int | None = None) -> None:  # fmt: skip
    """Weights scaled so that their norms come into a range, in place.

    With ``norm = sqrt(sum(param ** 2, axis))`` the weights are multiplied by ``(rate * clip(norm, min_value,
    max_value) + (1 - rate) * norm) / (1e-7 + norm)``, as Keras does it. Weights whose norm is 0 stay 0.

    Parameters
    ----------
    param : ndarray of float32 or float64, at least one dimension
        Updated in place; C-contiguous.
    min_value : float, default 0.0
        At least 0.
    max_value : float, default 1.0
        At least `min_value`.
    rate : float, default 1.0
        In [0, 1].
    axis : int, sequence of int or None, default 0
        What the norms sum over: the first dimensions or the last ones; None is all.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import norm_constraint
    >>> w = np.array([[3.0, 0.3], [4.0, 0.4]])
    >>> norm_constraint(w, max_value=1.0)
    >>> w.round(3)
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """
    low = _number("min_value", min_value, 0)
    high = _number("max_value", max_value, low)
    rate = _number("rate", rate, 0, 1)
    param = _in_place("param", param)
    rows, cols, columns = norm_layout(param.shape, axis)
    if param.size:
        calls.norms(low, high, rate, columns, param.reshape(rows, cols), _threads(n_threads, ELEMENT_WORK * param.size))


def mask_weights(param: Any, mask: Any, *, n_threads: int | None = None) -> None:
    """Zero where `mask` is False, in place; NaN and infinity go too.

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Updated in place; C-contiguous.
    mask : array_like of bool, shape of `param`
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import mask_weights
    >>> w = np.array([1.0, 2.0, 3.0])
    >>> mask_weights(w, [True, False, True])
    >>> w
    array([1., 0., 3.])
    """
    param = _in_place("param", param, 0)
    keep = np.ascontiguousarray(mask)
    if keep.dtype != np.bool_:
        raise TypeError(f"mask must be an array of bool; received dtype {keep.dtype}")
    _check_shape("mask", np.asarray(mask), param.shape)
    if param.size:
        calls.mask(param.reshape(-1), keep.reshape(-1).view(np.uint8), _threads(n_threads, param.size))


def gather_rows(x: Any, index: Any, out: Array | None = None, dtype: Any = None,
                n_threads: int | None = None) -> Array:  # fmt: skip
    """Rows of a matrix, converted to floating point on the way: ``x[index]``.

    Parameters
    ----------
    x : array_like of booleans, integers, float16, float32 or float64, shape (n, columns)
        Read where it is, in any layout.
    index : array_like of integers, shape (rows,)
        In [0, n); a row may come up any number of times.
    out : ndarray of float32 or float64, shape (rows, columns), optional
        Default: a new array.
    dtype : float32 or float64, optional
        Of the new array. Default: that of `out`, else of `x` if it is one of the two, else float32.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (rows, columns)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if an index is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import gather_rows
    >>> gather_rows(np.array([[1, 2], [3, 4]], dtype=np.uint8), [1, 0])
    array([[3., 4.],
           [1., 2.]], dtype=float32)
    """
    x = np.asarray(x)
    source = SOURCES.get(x.dtype.str[1:]) if x.dtype.isnative else None
    if source is None:
        raise TypeError(f"x must be bool, integer, float16, float32 or float64; received dtype {x.dtype}")
    _check_shape("x", x, ("rows", "columns"))
    index = _row_index("index", index, len(x))
    if dtype is None:
        dtype = out.dtype if isinstance(out, np.ndarray) else x.dtype if x.dtype.char in "fd" else np.float32
    like = _floats("dtype", np.empty(0, dtype))
    x = x if x.flags.aligned else x.copy()
    out = _output("out", out, like, (len(index), x.shape[1]), (x, index))
    if out.size:
        address, (row_stride, col_stride) = x.__array_interface__["data"][0], x.strides
        calls.gather(source, address, row_stride, col_stride, index, out,
                     _threads(n_threads, ELEMENT_WORK * out.size))  # fmt: skip
    return out


def scatter_rows(dy: Any, index: Any, n: int, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Gradient of the matrix whose rows :func:`gather_rows` took: ``out[index[r]] += dy[r]``, from zeros.

    It is that of an embedding's table too. Rows are added up in their order, whatever the number of threads.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
    index : array_like of integers, shape (rows,)
        In [0, n); a row may come up any number of times.
    n : int
        Rows of the result, at least 1.
    out : ndarray, shape (n, columns), dtype of `dy`, optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray, shape (n, columns)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists; if an index is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import scatter_rows
    >>> scatter_rows(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), [2, 0, 2], 3)
    array([[3., 4.],
           [0., 0.],
           [6., 8.]])
    """
    dy = _matrix("dy", dy)
    n = _integer("n", n, 1, 2**31)
    index = _row_index("index", index, n)
    if len(index) != len(dy):
        raise ValueError(f"dy has {len(dy)} rows, but index has {len(index)} numbers")
    out = _output("out", out, dy, (n, dy.shape[1]), (dy, index))
    if out.size:
        calls.scatter(dy, index.astype(np.int32), out, _threads(n_threads, ELEMENT_WORK * (dy.size + out.size)))
    return out


def affine(x: Any, scale: float, offset: float = 0.0, out: Array | None = None,
           n_threads: int | None = None) -> Array:  # fmt: skip
    """``x * scale + offset``, both numbers rounded to the dtype of `x` first.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    scale : float
        Finite.
    offset : float, default 0.0
        Finite.
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
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import affine
    >>> affine(np.array([[0.0, 51.0, 255.0]]), 1 / 255)
    array([[0. , 0.2, 1. ]])
    """
    x = _matrix("x", x)
    scale, offset = _number("scale", scale, -math.inf, math.inf), _number("offset", offset, -math.inf, math.inf)
    out = _output("out", out, x, x.shape, (x,), in_place=x)
    if x.size:
        calls.affine(x, scale, offset, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


# -------------------------------------------------------------------------------------------------- noise


def _draw(x: Any, seed: int, stream: int, step: int, out: Array | None) -> tuple[Array, tuple[int, int, int], Array]:
    """The input, what tells one draw from all others, the output; all checked."""
    x = _matrix("x", x)
    which = (_integer("seed", seed, 0, 2**64), _integer("stream", stream, 0, 2**32), _integer("step", step, 0, 2**64))
    return x, which, _output("out", out, x, x.shape, (x,), in_place=x)


def dropout_forward(x: Any, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                    out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Each element zero with probability `rate`, else over ``1 - rate`` (Srivastava et al., 2014).

    What is dropped depends on `seed`, `stream`, `step` and the element's row and column alone: it is drawn
    with Philox 4x32-10 (Salmon et al., 2011). The gradient of the input is this same function of the gradient
    of the output.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    rate : float
        In [0, 1).
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
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import dropout_forward
    >>> dropout_forward(np.ones((1, 6)), 0.5, seed=0)
    array([[2., 0., 2., 2., 2., 2.]])
    """
    rate = _number("rate", rate, 0, 1, open_high=True)
    x, which, out = _draw(x, seed, stream, step, out)
    if x.size:
        calls.dropout(x, rate, 1 / (1 - rate), 0.0, 0.0, *which, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


# What selu tends to for large negative inputs, and what keeps mean 0 and variance 1 where a part of the elements is it.
SELU_FLOOR = -1.7580993408473766


def alpha_dropout_forward(x: Any, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                          out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Each element ``a * floor + b`` with probability `rate`, else ``a * x + b``, where floor = -1.7581 is the limit
    of selu, ``a = ((1 - rate) * (1 + rate * floor**2)) ** -0.5`` and ``b = -a * rate * floor``.

    Inputs of mean 0 and variance 1 keep them (Klambauer et al., 2017). An element draws what it draws in
    :func:`dropout_forward`.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    rate : float
        In [0, 1).
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
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import alpha_dropout_forward
    >>> alpha_dropout_forward(np.zeros((1, 4)), 0.5, seed=0).round(4)
    array([[ 0.7792, -0.7792,  0.7792,  0.7792]])
    """
    return _alpha_dropout(x, rate, seed, stream, step, out, n_threads, backward=False)


def alpha_dropout_backward(dy: Any, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                           out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Gradient of :func:`alpha_dropout_forward`: ``a * dy`` where the element was kept, zero elsewhere.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
    rate, seed, stream, step
        As they were given to :func:`alpha_dropout_forward`.
    out : ndarray, shape and dtype of `dy`, optional
        May be `dy` itself. Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `dy`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import alpha_dropout_backward
    >>> alpha_dropout_backward(np.ones((1, 4)), 0.5, seed=0).round(4)
    array([[0.8864, 0.    , 0.8864, 0.8864]])
    """
    return _alpha_dropout(dy, rate, seed, stream, step, out, n_threads, backward=True)


def _alpha_dropout(x: Any, rate: float, seed: int, stream: int, step: int, out: Array | None, n_threads: int | None,
                   backward: bool) -> Array:  # fmt: skip
    rate = _number("rate", rate, 0, 1, open_high=True)
    x, which, out = _draw(x, seed, stream, step, out)
    a = ((1 - rate) * (1 + rate * SELU_FLOOR**2)) ** -0.5
    b = -a * rate * SELU_FLOOR
    offset, other = (0.0, 0.0) if backward else (b, a * SELU_FLOOR + b)
    if x.size:
        calls.dropout(x, rate, a, offset, other, *which, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def gaussian_noise_forward(x: Any, stddev: float, *, seed: int, stream: int = 0, step: int = 0,
                           out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """``x + stddev * g`` with a standard normal number g for each element (Box and Muller, 1958).

    Its draw depends on `seed`, `stream`, `step` and the element's row and column alone, by Philox 4x32-10 (Salmon et
    al., 2011).
    The gradient of the input is that of the output.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    stddev : float
        Not negative.
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
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import gaussian_noise_forward
    >>> gaussian_noise_forward(np.zeros((1, 3)), 0.1, seed=0).round(4)
    array([[-0.0122, -0.0398, -0.0082]])
    """
    stddev = _number("stddev", stddev, 0)
    return _gaussian(x, False, stddev, seed, stream, step, out, n_threads)


def gaussian_dropout_forward(x: Any, rate: float, *, seed: int, stream: int = 0, step: int = 0,
                             out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """``x * (1 + sqrt(rate / (1 - rate)) * g)`` with a standard normal number g for each element (Srivastava et al.,
    2014).

    Its draw depends on `seed`, `stream`, `step` and the element's row and column alone, by Philox 4x32-10 (Salmon et
    al., 2011).
    The gradient of the input is this same function of the gradient of the output.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    rate : float
        In [0, 1): the noise has the variance of dropout's factors at this rate.
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
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import gaussian_dropout_forward
    >>> gaussian_dropout_forward(np.ones((1, 3)), 0.5, seed=0).round(4)
    array([[0.8785, 0.6023, 0.9181]])
    """
    rate = _number("rate", rate, 0, 1, open_high=True)
    return _gaussian(x, True, math.sqrt(rate / (1 - rate)), seed, stream, step, out, n_threads)


def _gaussian(x: Any, multiplies: bool, stddev: float, seed: int, stream: int, step: int, out: Array | None,
              n_threads: int | None) -> Array:  # fmt: skip
    x, which, out = _draw(x, seed, stream, step, out)
    if x.size:
        calls.gaussian(x, multiplies, stddev, *which, out, _threads(n_threads, 2 * ELEMENT_WORK * x.size))
    return out


# -------------------------------------------------------------------------------------------------- norms

BLOCK_ROWS = 16  # of a block of column statistics: fnn_block_rows(1) in C


def _columns(name: str, value: Any, like: Array) -> Array | None:
    """A vector of one number a column of `like`, or None."""
    return None if value is None else _whole(name, value, (like.shape[1],), like)


def _outputs(out: Any, names: tuple[str, ...], like: Array, shapes: tuple[tuple[int, ...], ...],
             inputs: Sequence[Array | None]) -> list[Array]:  # fmt: skip
    """A tuple of outputs, each checked or new."""
    if out is not None and (not isinstance(out, tuple) or len(out) != len(names)):
        raise TypeError(f"out must be a tuple ({', '.join(names)}) of arrays or None; received {out!r}")
    results: list[Array] = []
    for i, (given, shape) in enumerate(zip(out or [None] * len(names), shapes, strict=True)):
        results.append(_output(f"out[{i}]", given, like, shape, (*inputs, *results)))
    return results


def batch_normalization_forward(x: Any, gamma: Any = None, beta: Any = None, mean: Any = None, variance: Any = None, *,
                                epsilon: float = 1e-3,
                                out: tuple[Array | None, Array | None, Array | None] | None = None,
                                n_threads: int | None = None) -> tuple[Array, Array, Array]:  # fmt: skip
    """Columns of mean 0 and variance 1: ``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` (Ioffe and Szegedy,
    2015).

    Mean and variance (over ``rows``, not ``rows - 1``) are those of the columns of `x`, in two passes over blocks of
    16 rows that are then joined in float64 (Chan, Golub and LeVeque, 1983), unless they are given.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    gamma, beta : array_like, shape (columns,), optional
        Default: ones and zeros.
    mean, variance : array_like, shape (columns,), optional
        Both or neither. Default: those of `x`.
    epsilon : float, default 1e-3
        Not negative.
    out : tuple (y, mean, variance) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    y : ndarray, shape (rows, columns)
    mean, variance : ndarray, shape (columns,)
        As they were used.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import batch_normalization_forward
    >>> y, mean, variance = batch_normalization_forward(np.array([[1.0, 5.0], [3.0, 5.0]]), epsilon=0.0001)
    >>> y.round(3), mean, variance
    (array([[-1.,  0.],
           [ 1.,  0.]]), array([2., 5.]), array([1., 0.]))
    """
    x = _matrix("x", x)
    gamma, beta = _columns("gamma", gamma, x), _columns("beta", beta, x)
    mean, variance = _columns("mean", mean, x), _columns("variance", variance, x)
    if (mean is None) != (variance is None):
        raise ValueError("mean and variance must be given both or neither; received one of them")
    epsilon = _number("epsilon", epsilon, 0)
    rows, cols = x.shape
    inputs = (x, gamma, beta, mean, variance)
    shapes = (x.shape, (cols,), (cols,))
    y, out_mean, out_variance = _outputs(out, ("y", "mean", "variance"), x, shapes, inputs)
    out_mean[...] = 0 if mean is None else mean
    out_variance[...] = 0 if variance is None else variance
    if x.size:
        scratch = np.empty((2 + 2 * -(-rows // BLOCK_ROWS), cols), x.dtype)
        calls.batch_normalize(x, gamma, beta, out_mean, out_variance, epsilon, mean is None, scratch, y,
                              _threads(n_threads, ELEMENT_WORK * x.size))
    return y, out_mean, out_variance


def batch_normalization_backward(dy: Any, x: Any, mean: Any, variance: Any, gamma: Any = None, *,
                                 epsilon: float = 1e-3, frozen: bool = False,
                                 out: tuple[Array | None, Array | None, Array | None] | None = None,
                                 n_threads: int | None = None) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients of :func:`batch_normalization_forward`.

    With ``h = (x - mean) / sqrt(variance + epsilon)``: ``dgamma = (dy * h).sum(axis=0)``, ``dbeta =
    dy.sum(axis=0)``, and ``dx = gamma / sqrt(variance + epsilon) * (dy - dbeta / rows - h * dgamma / rows)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
        Gradient of the output.
    x : array_like, shape (rows, columns)
        The input that :func:`batch_normalization_forward` was given.
    mean, variance : array_like, shape (columns,)
        What it returned.
    gamma : array_like, shape (columns,), optional
        Default: ones.
    epsilon : float, default 1e-3
    frozen : bool, default False
        Whether `mean` and `variance` were given and do not depend on `x`: `dx` is then ``gamma / sqrt(variance +
        epsilon) * dy``.
    out : tuple (dx, dgamma, dbeta) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, columns)
    dgamma, dbeta : ndarray, shape (columns,)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import batch_normalization_backward
    >>> x, dy = np.array([[1.0], [3.0]]), np.array([[0.5], [1.5]])
    >>> dx, dgamma, dbeta = batch_normalization_backward(dy, x, np.array([2.0]), np.array([1.0]), epsilon=0.0)
    >>> dx.ravel(), dgamma, dbeta
    (array([0., 0.]), array([1.]), array([2.]))
    """
    dy = _matrix("dy", dy)
    rows, cols = dy.shape
    x = _matrix("x", x, dy.shape, dy)
    mean, variance = _whole("mean", mean, (cols,), dy), _whole("variance", variance, (cols,), dy)
    gamma = _columns("gamma", gamma, dy)
    epsilon = _number("epsilon", epsilon, 0)
    inputs = (dy, x, mean, variance, gamma)
    dx, dgamma, dbeta = _outputs(out, ("dx", "dgamma", "dbeta"), dy, (dy.shape, (cols,), (cols,)), inputs)
    dgamma[...] = dbeta[...] = 0
    if dy.size:
        scratch = np.empty((4 + 2 * -(-rows // BLOCK_ROWS), cols), dy.dtype)
        calls.batch_normalize_backward(dy, x, gamma, mean, variance, epsilon, bool(frozen), scratch, dx, dgamma, dbeta,
                                       _threads(n_threads, ELEMENT_WORK * dy.size))
    return dx, dgamma, dbeta


def layer_normalization_forward(x: Any, gamma: Any = None, beta: Any = None, *, epsilon: float = 1e-3,
                                out: Array | None = None, n_threads: int | None = None) -> Array:  # fmt: skip
    """Rows of mean 0 and variance 1: ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, mean and variance those
    of a row (Ba, Kiros and Hinton, 2016).

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    gamma, beta : array_like, shape (columns,), optional
        Default: ones and zeros.
    epsilon : float, default 1e-3
        Not negative.
    out : ndarray, shape and dtype of `x`, optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import layer_normalization_forward
    >>> layer_normalization_forward(np.array([[1.0, 3.0]]), epsilon=0.0)
    array([[-1.,  1.]])
    """
    return _row_forward(x, {"gamma": gamma, "beta": beta}, True, epsilon, out, n_threads)


def layer_normalization_backward(dy: Any, x: Any, gamma: Any = None, *, epsilon: float = 1e-3,
                                 out: tuple[Array | None, Array | None, Array | None] | None = None,
                                 n_threads: int | None = None) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients of :func:`layer_normalization_forward`.

    With ``h = (x - mean) / sqrt(variance + epsilon)`` and ``d = dy * gamma``: ``dx = (d - d.mean(axis=1) - h *
    (d * h).mean(axis=1)) / sqrt(variance + epsilon)``, ``dgamma = (dy * h).sum(axis=0)``, ``dbeta = dy.sum(axis=0)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
        Gradient of the output.
    x : array_like, shape (rows, columns)
        The input that :func:`layer_normalization_forward` was given.
    gamma : array_like, shape (columns,), optional
        Default: ones.
    epsilon : float, default 1e-3
    out : tuple (dx, dgamma, dbeta) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, columns)
    dgamma, dbeta : ndarray, shape (columns,)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import layer_normalization_backward
    >>> dx, dgamma, dbeta = layer_normalization_backward(np.array([[0.5, 1.5]]), np.array([[1.0, 3.0]]), epsilon=0.0)
    >>> dx, dgamma, dbeta
    (array([[0., 0.]]), array([-0.5,  1.5]), array([0.5, 1.5]))
    """
    dx, dgamma, dbeta = _row_backward(dy, x, "gamma", gamma, True, epsilon, out, n_threads)
    return dx, dgamma, dbeta


def rms_normalization_forward(x: Any, scale: Any = None, *, epsilon: float = 1e-6, out: Array | None = None,
                              n_threads: int | None = None) -> Array:  # fmt: skip
    """Rows of mean square 1: ``x / sqrt(mean(x**2) + epsilon) * scale`` (Zhang and Sennrich, 2019).

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    scale : array_like, shape (columns,), optional
        Default: ones.
    epsilon : float, default 1e-6
        Not negative.
    out : ndarray, shape and dtype of `x`, optional
        Default: a new array.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import rms_normalization_forward
    >>> rms_normalization_forward(np.array([[3.0, -3.0]]), epsilon=0.0)
    array([[ 1., -1.]])
    """
    return _row_forward(x, {"scale": scale}, False, epsilon, out, n_threads)


def rms_normalization_backward(dy: Any, x: Any, scale: Any = None, *, epsilon: float = 1e-6,
                               out: tuple[Array | None, Array | None] | None = None,
                               n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Gradients of :func:`rms_normalization_forward`.

    With ``h = x / sqrt(mean(x**2) + epsilon)`` and ``d = dy * scale``: ``dx = (d - h * (d * h).mean(axis=1)) /
    sqrt(mean(x**2) + epsilon)``, ``dscale = (dy * h).sum(axis=0)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
        Gradient of the output.
    x : array_like, shape (rows, columns)
        The input that :func:`rms_normalization_forward` was given.
    scale : array_like, shape (columns,), optional
        Default: ones.
    epsilon : float, default 1e-6
    out : tuple (dx, dscale) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, columns)
    dscale : ndarray, shape (columns,)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import rms_normalization_backward
    >>> dx, dscale = rms_normalization_backward(np.array([[1.0, 0.0]]), np.array([[3.0, -3.0]]), epsilon=0.0)
    >>> dx.round(4), dscale
    (array([[0.1667, 0.1667]]), array([1., 0.]))
    """
    dx, dscale = _row_backward(dy, x, "scale", scale, False, epsilon, out, n_threads)
    return dx, dscale


def _row_forward(x: Any, weights: dict[str, Any], centred: bool, epsilon: float, out: Array | None,
                 n_threads: int | None) -> Array:  # fmt: skip
    x = _matrix("x", x)
    checked = [_columns(name, value, x) for name, value in weights.items()]
    gamma, beta = checked if centred else (*checked, None)
    epsilon = _number("epsilon", epsilon, 0)
    out = _output("out", out, x, x.shape, (x, gamma, beta))
    if x.size:
        calls.row_normalize(x, gamma, beta, centred, epsilon, None, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def _row_backward(dy: Any, x: Any, name: str, gamma: Any, centred: bool, epsilon: float, out: Any,
                  n_threads: int | None) -> list[Array]:  # fmt: skip
    dy = _matrix("dy", dy)
    rows, cols = dy.shape
    x, gamma = _matrix("x", x, dy.shape, dy), _columns(name, gamma, dy)
    epsilon = _number("epsilon", epsilon, 0)
    names = ("dx", "dgamma", "dbeta") if centred else ("dx", "dscale")
    shapes = (dy.shape, (cols,), (cols,))[:len(names)]
    results = _outputs(out, names, dy, shapes, (dy, x, gamma))
    for sums in results[1:]:
        sums[...] = 0
    if dy.size:
        statistics = np.empty((rows, 2), dy.dtype)
        threads = _threads(n_threads, ELEMENT_WORK * dy.size)
        calls.row_normalize(x, None, None, centred, epsilon, statistics, results[0], threads)
        calls.row_normalize_backward(dy, x, gamma, centred, statistics, results[0], results[1],
                                     results[2] if centred else None, threads)
    return results


def prelu_forward(x: Any, alpha: Any, *, out: Array | None = None, n_threads: int | None = None) -> Array:
    """``x`` where it is positive, else ``alpha * x`` (He et al., 2015).

    Parameters
    ----------
    x : array_like of float32 or float64, shape (rows, columns)
    alpha : array_like, shape (columns,)
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
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import prelu_forward
    >>> prelu_forward(np.array([[-2.0, 3.0]]), np.array([0.25, 0.25]))
    array([[-0.5,  3. ]])
    """
    x = _matrix("x", x)
    alpha = _whole("alpha", alpha, (x.shape[1],), x)
    out = _output("out", out, x, x.shape, (x, alpha), in_place=x)
    if x.size:
        calls.prelu_forward(x, alpha, out, _threads(n_threads, ELEMENT_WORK * x.size))
    return out


def prelu_backward(dy: Any, x: Any, alpha: Any, *, out: tuple[Array | None, Array | None] | None = None,
                   n_threads: int | None = None) -> tuple[Array, Array]:  # fmt: skip
    """Gradients of :func:`prelu_forward`: ``dx = dy`` where x is positive, else ``alpha * dy``; ``dalpha =
    (dy * minimum(x, 0)).sum(axis=0)``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (rows, columns)
        Gradient of the output.
    x : array_like, shape (rows, columns)
        The input that :func:`prelu_forward` was given.
    alpha : array_like, shape (columns,)
    out : tuple (dx, dalpha) of ndarray or None, optional
        Arrays to write into. Default: new ones.
    n_threads : int, optional
        Default: what :func:`fastnn.get_num_threads` says, fewer for small arrays.

    Returns
    -------
    dx : ndarray, shape (rows, columns)
    dalpha : ndarray, shape (columns,)

    Raises
    ------
    TypeError, ValueError
        As the module's documentation lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.kernels import prelu_backward
    >>> prelu_backward(np.ones((1, 2)), np.array([[-2.0, 3.0]]), np.array([0.25, 0.25]))
    (array([[0.25, 1.  ]]), array([-2.,  0.]))
    """
    dy = _matrix("dy", dy)
    cols = dy.shape[1]
    x, alpha = _matrix("x", x, dy.shape, dy), _whole("alpha", alpha, (cols,), dy)
    dx, dalpha = _outputs(out, ("dx", "dalpha"), dy, (dy.shape, (cols,)), (dy, x, alpha))
    dalpha[...] = 0
    if dy.size:
        calls.prelu_backward(dy, x, alpha, dx, dalpha, _threads(n_threads, ELEMENT_WORK * dy.size))
    return dx, dalpha
