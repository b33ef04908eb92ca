"""Activations and their derivatives."""

from __future__ import annotations

from typing import Any

from fastnn._kernels import calls
from fastnn.kernels.checks import (
    ELEMENT_WORK,
    Array,
    _activation,
    _as_rows,
    _floats,
    _matrix,
    _output,
    _threads,
    _whole,
)

__all__ = ["activation_backward", "activation_forward"]


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
    all_relu       ``x`` where positive, ``alpha * x`` elsewhere; `alpha` -0.6 (Curci et al., 2021)
    softmax        ``exp(x) / sum(exp(x))``
    log_softmax    ``x - log(sum(exp(x)))``
    ============== =========================================================================================

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., columns)
    activation : str, fastnn.activations.Activation or None
        One of the names above; None is linear.
    alpha : float, optional
        Parameter of leaky_relu and elu, at least 0, and of all_relu. Default: the one above, or the instance's.
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
        As :mod:`fastnn.kernels` lists.

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

    The derivative is taken from the output of :func:`activation_forward`, and for gelu, gelu_tanh, silu, mish and
    all_relu from its input. At a kink it is that of the left side: 0 for relu at 0.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (..., columns)
        Gradient of the output.
    saved : array_like, shape and dtype of `dy`
        Output of the activation, or its input for gelu, gelu_tanh, silu, mish, all_relu, sign, binary_step and ternary.
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
        As :mod:`fastnn.kernels` lists.

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
