"""Elementary functions."""

from __future__ import annotations

import numpy as np
import scipy  # its submodules load on first use: scipy.special alone takes longer than all of fastnn

from fastnn.reference.common import Array

__all__ = ["erf", "exp", "expm1", "log", "log1p", "tanh"]


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
