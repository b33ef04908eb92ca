"""Initial values of parameters, with the definitions of Keras 3.

An initializer is called with a shape; its numbers come from its own seed, else from the generator it is
given, else from fresh entropy. Random numbers are drawn in float64, whatever dtype is asked for.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn.named import Named, find, integer, number, one_of

__all__ = [
    "Initializer",
    "Zeros",
    "Ones",
    "Constant",
    "Identity",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "GlorotUniform",
    "GlorotNormal",
    "HeUniform",
    "HeNormal",
    "LecunUniform",
    "LecunNormal",
    "Orthogonal",
    "compute_fans",
    "get",
    "serialize",
    "deserialize",
]

Generator = np.random.Generator
Shape = tuple[int, ...]

FINITE = "(-inf, inf)"
NOT_NEGATIVE = "[0, inf)"
# standard deviation of a standard normal variable given that it is within [-2, 2]
TRUNCATED_STDDEV = 0.87962566103423978


def compute_fans(shape: Sequence[int]) -> tuple[int, int]:
    """How many inputs a unit of a kernel has, and how many outputs an input feeds.

    Parameters
    ----------
    shape : sequence of int
        ``(in, out)`` of a dense kernel, ``(..., in, out)`` of a convolution's, whose leading axes are the
        receptive field; ``(n,)`` counts as ``n`` both ways, ``()`` as 1.

    Returns
    -------
    fan_in, fan_out : int

    Examples
    --------
    >>> from fastnn.initializers import compute_fans
    >>> compute_fans((784, 512)), compute_fans((3, 3, 16, 32))
    ((784, 512), (144, 288))
    """
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return int(shape[0]), int(shape[0])
    *field, n_in, n_out = (int(size) for size in shape)
    receptive = math.prod(field)
    return n_in * receptive, n_out * receptive


def _check_shape(shape: Any) -> Shape:
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        raise TypeError(f"shape must be a sequence of integers; received {shape!r}") from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"shape must hold sizes of at least 0; received {sizes}")
    return sizes


def _check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    checked = np.dtype(dtype)
    if checked not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64; received {checked}")
    return checked


def _check_seed(seed: int | None) -> int | None:
    if seed is None:
        return None
    checked = integer(seed)
    if checked is None or checked < 0:
        raise (TypeError if checked is None else ValueError)(
            f"seed must be None or an integer of at least 0; received {seed!r}")
    return checked


def _truncated_normal(rng: Generator, shape: Shape) -> NDArray[np.float64]:
    """Standard normal values, those outside [-2, 2] drawn again (4.6 % a round)."""
    values = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        values[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(values[outside]) > 2]
    return values.reshape(shape)


class Initializer(Named):
    """Base of the initializers; a subclass gives ``draw(rng, shape)``, float64 values of that shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.initializers import Initializer
    >>> class Ramp(Initializer):
    ...     name = "ramp"
    ...     def draw(self, rng, shape):
    ...         return np.linspace(0, 1, np.prod(shape)).reshape(shape)
    >>> Ramp()((3,))
    array([0. , 0.5, 1. ], dtype=float32)
    """

    seed: int | None = None

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        raise NotImplementedError(f"{type(self).__name__} does not define draw(rng, shape)")

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32",
                 rng: Generator | None = None) -> NDArray[Any]:
        """New initial values.

        Parameters
        ----------
        shape : sequence of int
        dtype : {"float32", "float64"}, default "float32"
        rng : numpy.random.Generator, optional
            Where the numbers come from unless the initializer has a seed; fresh entropy by default.

        Returns
        -------
        ndarray of `shape` and `dtype`

        Raises
        ------
        TypeError, ValueError
            For a shape, dtype or generator that is none, or a shape this initializer has no values for.
        """
        sizes, checked = _check_shape(shape), _check_dtype(dtype)
        if rng is not None and not isinstance(rng, Generator):
            raise TypeError(f"rng must be a numpy.random.Generator or None; received {rng!r}")
        if self.seed is not None or rng is None:
            rng = np.random.default_rng(self.seed)
        return self.draw(rng, sizes).astype(checked, copy=False)


class Zeros(Initializer):
    """All values 0."""

    name = "zeros"

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        return np.zeros(shape)


class Ones(Initializer):
    """All values 1."""

    name = "ones"

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        return np.ones(shape)


class Constant(Initializer):
    """All values `value`.

    Parameters
    ----------
    value : float, default 0.0
    """

    name = "constant"

    def __init__(self, value: float = 0.0) -> None:
        self.value = number("value", value, FINITE)

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        return np.full(shape, self.value)


class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere.

    Parameters
    ----------
    gain : float, default 1.0
    """

    name = "identity"

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain, FINITE)

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        if len(shape) != 2:
            raise ValueError(f"identity needs a shape of 2 dimensions; received {shape}")
        return self.gain * np.eye(*shape)


class RandomNormal(Initializer):
    """Normal values.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
        At least 0.
    seed : int, optional
    """

    name = "random_normal"

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = number("mean", mean, FINITE)
        self.stddev = number("stddev", stddev, NOT_NEGATIVE)
        self.seed = _check_seed(seed)

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        return rng.normal(self.mean, self.stddev, shape)


class RandomUniform(Initializer):
    """Values uniform in ``[minval, maxval)``.

    Parameters
    ----------
    minval : float, default -0.05
    maxval : float, default 0.05
        At least `minval`.
    seed : int, optional
    """

    name = "random_uniform"

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval = number("minval", minval, FINITE)
        self.maxval = number("maxval", maxval, FINITE)
        if self.minval > self.maxval:
            raise ValueError(f"maxval must be at least minval={self.minval}; received {self.maxval}")
        self.seed = _check_seed(seed)

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        return rng.uniform(self.minval, self.maxval, shape)


class TruncatedNormal(Initializer):
    """Normal values within two standard deviations of the mean; others are drawn again.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
        Standard deviation before truncation, at least 0; that of the values is 0.8796 times as large.
    seed : int, optional
    """

    name = "truncated_normal"

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = number("mean", mean, FINITE)
        self.stddev = number("stddev", stddev, NOT_NEGATIVE)
        self.seed = _check_seed(seed)

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        return self.mean + self.stddev * _truncated_normal(rng, shape)


class VarianceScaling(Initializer):
    """Values of mean 0 and variance ``scale / n``, n the fan named by `mode` (He, Zhang, Ren and Sun, 2015).

    Parameters
    ----------
    scale : float, default 1.0
        More than 0.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}, default "truncated_normal"
        "normal" is another name of the first.
    seed : int, optional

    Raises
    ------
    TypeError, ValueError
        For a scale out of range or an unknown mode or distribution.

    Examples
    --------
    >>> from fastnn.initializers import VarianceScaling
    >>> w = VarianceScaling(2.0, distribution="uniform", seed=0)((100, 50))
    >>> w.shape, w.dtype, bool(abs(w).max() <= (3 * 2 / 100) ** 0.5)
    ((100, 50), dtype('float32'), True)
    """

    name = "variance_scaling"
    modes = ("fan_in", "fan_out", "fan_avg")
    distributions = ("truncated_normal", "untruncated_normal", "uniform")

    def __init__(self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal",
                 seed: int | None = None) -> None:
        self.scale = number("scale", scale, "(0, inf)")
        self.mode = one_of("mode", mode, self.modes)
        if isinstance(distribution, str) and distribution == "normal":
            distribution = "truncated_normal"
        self.distribution = one_of("distribution", distribution, self.distributions)
        self.seed = _check_seed(seed)

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        return self.draw_for(rng, shape, *compute_fans(shape))

    def draw_for(self, rng: Generator, shape: Shape, fan_in: float, fan_out: float) -> NDArray[np.float64]:
        """The same for weights of other fans than those of their shape."""
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * stddev
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return rng.normal(0.0, stddev, shape)
        return stddev / TRUNCATED_STDDEV * _truncated_normal(rng, shape)


class GlorotUniform(VarianceScaling):
    """Uniform within ``sqrt(6 / (fan_in + fan_out))`` of 0 (Glorot and Bengio, 2010).

    Parameters
    ----------
    seed : int, optional
    """

    name = "glorot_uniform"

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal of variance ``2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010).

    Parameters
    ----------
    seed : int, optional
    """

    name = "glorot_normal"

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform within ``sqrt(6 / fan_in)`` of 0 (He, Zhang, Ren and Sun, 2015).

    Parameters
    ----------
    seed : int, optional
    """

    name = "he_uniform"

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal of variance ``2 / fan_in`` (He, Zhang, Ren and Sun, 2015).

    Parameters
    ----------
    seed : int, optional
    """

    name = "he_normal"

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform within ``sqrt(3 / fan_in)`` of 0 (LeCun, Bottou, Orr and Müller, 1998).

    Parameters
    ----------
    seed : int, optional
    """

    name = "lecun_uniform"

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal of variance ``1 / fan_in`` (LeCun, Bottou, Orr and Müller, 1998).

    Parameters
    ----------
    seed : int, optional
    """

    name = "lecun_normal"

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class Orthogonal(Initializer):
    """`gain` times a random matrix of orthonormal columns, or rows where it has fewer of them
    (Saxe, McClelland and Ganguli, 2014).

    Axes before the last are taken together as the matrix's rows.

    Parameters
    ----------
    gain : float, default 1.0
    seed : int, optional

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.initializers import Orthogonal
    >>> w = Orthogonal(seed=0)((5, 3), dtype="float64")
    >>> np.allclose(w.T @ w, np.eye(3))
    True
    """

    name = "orthogonal"

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = number("gain", gain, FINITE)
        self.seed = _check_seed(seed)

    def draw(self, rng: Generator, shape: Shape) -> NDArray[np.float64]:
        if len(shape) < 2:
            raise ValueError(f"orthogonal needs a shape of at least 2 dimensions; received {shape}")
        n_rows, n_cols = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(n_rows, n_cols), min(n_rows, n_cols))))
        # QR leaves each column's sign open; a positive diagonal of R makes Q uniform (Mezzadri, 2007).
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return self.gain * (q.T if n_rows < n_cols else q).reshape(shape)


_CLASSES: tuple[type[Initializer], ...] = (
    Zeros, Ones, Constant, Identity, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling,
    GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal,
)
_TABLE: dict[str, Callable[..., Initializer]] = {
    **{cls.name: cls for cls in _CLASSES},
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "one": Ones,
    "zero": Zeros,
}


def get(identifier: Any) -> Initializer:
    """The initializer that `identifier` stands for.

    Parameters
    ----------
    identifier : str, dict, Initializer or subclass of Initializer
        A dict is what ``get_config`` returns.

    Returns
    -------
    Initializer

    Raises
    ------
    ValueError
        For an unknown name, with the closest known one.
    TypeError
        For anything else.

    Examples
    --------
    >>> from fastnn import initializers
    >>> initializers.get("he_normal")
    HeNormal(seed=None)
    """
    return find(identifier, Initializer, _TABLE)


def serialize(initializer: Initializer) -> dict[str, Any]:
    """The configuration of an initializer.

    Examples
    --------
    >>> from fastnn import initializers
    >>> initializers.serialize(initializers.Orthogonal(gain=2.0))
    {'name': 'orthogonal', 'gain': 2.0, 'seed': None}
    """
    return initializer.get_config()


def deserialize(config: dict[str, Any]) -> Initializer:
    """The initializer of a configuration.

    Examples
    --------
    >>> from fastnn import initializers
    >>> initializers.deserialize({"name": "constant", "value": 3.0})
    Constant(value=3.0)
    """
    return get(config)
