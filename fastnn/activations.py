"""Activation functions: names and parameters over :func:`fastnn.kernels.activation_forward`.

Each is a name (``"relu"``), a class (``activations.ReLU``) and an instance (``activations.relu``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._kernels.dispatch import ACTIVATIONS, LAST_ELEMENTWISE, LAST_FROM_OUTPUT
from fastnn.inputs import check_count
from fastnn.named import Named, find, number

__all__ = [
    "Activation",
    "Linear",
    "ReLU",
    "ReLU6",
    "LeakyReLU",
    "ELU",
    "SELU",
    "GELU",
    "SiLU",
    "Mish",
    "AllReLU",
    "Sigmoid",
    "HardSigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Exponential",
    "Sign",
    "BinaryStep",
    "Ternary",
    "Softmax",
    "LogSoftmax",
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "swish",
    "mish",
    "all_relu",
    "sigmoid",
    "hard_sigmoid",
    "tanh",
    "softplus",
    "softsign",
    "exponential",
    "sign",
    "binary_step",
    "ternary",
    "softmax",
    "log_softmax",
    "get",
    "serialize",
    "deserialize",
]


class Activation(Named):
    """Base of the activation functions.

    Attributes
    ----------
    name : str
        The kernels' name of the function.
    kind : int
        Its number in the kernels' tables.
    alpha : float
        Its parameter: slope or scale for negative input where it has one, else 0.
    needs_input : bool
        Whether the derivative is computed from the input, not from the output.
    rowwise : bool
        Whether an element of the output depends on its whole row.
    """

    alpha: float = 0.0

    @property
    def kind(self) -> int:
        return int(ACTIVATIONS[self.name])

    @property
    def needs_input(self) -> bool:
        return bool(LAST_FROM_OUTPUT < self.kind <= LAST_ELEMENTWISE)

    @property
    def rowwise(self) -> bool:
        return bool(self.kind > LAST_ELEMENTWISE)

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """The function's values.

        Parameters
        ----------
        x : array_like, any shape
            float32 and float64 arrays keep their dtype, everything else becomes float32.

        Returns
        -------
        ndarray of the shape of `x`

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn import activations
        >>> activations.relu(np.array([-1.0, 0.0, 2.0]))
        array([0., 0., 2.])
        """
        from fastnn.kernels import activation_forward

        array = np.asarray(x)
        dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float32
        return activation_forward(np.asarray(array, dtype, order="C"), self)


class Linear(Activation):
    """``f(x) = x``"""

    name = "linear"


class ReLU(Activation):
    """``f(x) = max(x, 0)`` (Fukushima, 1969; Nair and Hinton, 2010)"""

    name = "relu"


class ReLU6(Activation):
    """``f(x) = min(max(x, 0), 6)`` (Krizhevsky, 2010)"""

    name = "relu6"


class LeakyReLU(Activation):
    """``f(x) = x`` for ``x > 0``, else ``negative_slope * x`` (Maas, Hannun and Ng, 2013)

    Parameters
    ----------
    negative_slope : float, default 0.2
        At least 0.

    Raises
    ------
    TypeError, ValueError
        Where `negative_slope` is no number, or negative or not finite.
    """

    name = "leaky_relu"

    def __init__(self, negative_slope: float = 0.2) -> None:
        self.negative_slope = self.alpha = number("negative_slope", negative_slope, "[0, inf)")


class ELU(Activation):
    """``f(x) = x`` for ``x > 0``, else ``alpha * (exp(x) - 1)`` (Clevert, Unterthiner and Hochreiter, 2016)

    Parameters
    ----------
    alpha : float, default 1.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        Where `alpha` is no number, or negative or not finite.
    """

    name = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("alpha", alpha, "[0, inf)")


class SELU(Activation):
    """``f(x) = s * x`` for ``x > 0``, else ``s * a * (exp(x) - 1)``, ``s = 1.0507...``, ``a = 1.6732...``
    (Klambauer, Unterthiner, Mayr and Hochreiter, 2017)"""

    name = "selu"


class GELU(Activation):
    """``f(x) = x * P(X <= x)`` for a standard normal X (Hendrycks and Gimpel, 2016)

    Parameters
    ----------
    approximate : bool, default False
        Whether to use ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))`` in its place.
    """

    def __init__(self, approximate: bool = False) -> None:
        if not isinstance(approximate, (bool, np.bool_)):
            raise TypeError(f"approximate must be True or False; received {approximate!r}")
        self.approximate = bool(approximate)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "gelu_tanh" if self.approximate else "gelu"


class SiLU(Activation):
    """``f(x) = x / (1 + exp(-x))``, also called swish (Elfwing, Uchibe and Doya, 2018)"""

    name = "silu"


class Mish(Activation):
    """``f(x) = x * tanh(log(1 + exp(x)))`` (Misra, 2020)"""

    name = "mish"


class AllReLU(Activation):
    """Alternated left ReLU: ``f(x) = x`` for ``x > 0``, else ``-negative_slope * x`` in layers of even number and
    ``negative_slope * x`` in those of odd number (Curci, Mocanu and Pechenizkiy, "Truly sparse neural networks at
    scale", 2021)

    Made for sparse networks, where a unit has few inputs: none falls silent, and the signs of two layers that follow
    one another differ.

    Parameters
    ----------
    negative_slope : float, default 0.6
        At least 0.
    layer : int, default 0
        The number of the layer, from 0.

    Raises
    ------
    TypeError, ValueError
        Where `negative_slope` is no number, or negative or not finite; where `layer` is no integer of at least 0.

    Examples
    --------
    >>> import fastnn as fnn
    >>> hidden = [fnn.layers.Dense(64, fnn.activations.AllReLU(0.6, layer)) for layer in range(3)]
    >>> [layer.activation.alpha for layer in hidden]
    [-0.6, 0.6, -0.6]
    """

    name = "all_relu"

    def __init__(self, negative_slope: float = 0.6, layer: int = 0) -> None:
        self.negative_slope = number("negative_slope", negative_slope, "[0, inf)")
        self.layer = check_count("layer", layer, low=0)
        self.alpha = self.negative_slope if self.layer % 2 else -self.negative_slope


class Sigmoid(Activation):
    """``f(x) = 1 / (1 + exp(-x))``"""

    name = "sigmoid"


class HardSigmoid(Activation):
    """``f(x) = min(max(x / 6 + 1/2, 0), 1)``"""

    name = "hard_sigmoid"


class Tanh(Activation):
    """``f(x) = tanh(x)``"""

    name = "tanh"


class Softplus(Activation):
    """``f(x) = log(1 + exp(x))`` (Dugas, Bengio, Bélisle, Nadeau and Garcia, 2001)"""

    name = "softplus"


class Softsign(Activation):
    """``f(x) = x / (1 + |x|)`` (Bergstra, Desjardins, Lamblin and Bengio, 2009)"""

    name = "softsign"


class Exponential(Activation):
    """``f(x) = exp(x)``"""

    name = "exponential"


class Sign(Activation):
    """``f(x) = 1`` for ``x >= 0``, else -1. Straight through: its gradient is that of ``min(max(x, -1), 1)``
    (Bengio, Léonard and Courville, 2013; Hubara, Courbariaux, Soudry, El-Yaniv and Bengio, 2016)"""

    name = "sign"


class BinaryStep(Activation):
    """``f(x) = 1`` for ``x >= 0``, else 0, with the gradient of `Sign`"""

    name = "binary_step"


class Ternary(Activation):
    """``f(x) = 1`` for ``x > threshold``, -1 for ``x < -threshold``, else 0, with the gradient of `Sign`

    Parameters
    ----------
    threshold : float, default 0.5
        At least 0.

    Raises
    ------
    TypeError, ValueError
        Where `threshold` is no number, or negative or not finite.
    """

    name = "ternary"

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = self.alpha = number("threshold", threshold, "[0, inf)")


class Softmax(Activation):
    """``f(x)_j = exp(x_j) / sum_k exp(x_k)`` over the last axis (Bridle, 1990)"""

    name = "softmax"


class LogSoftmax(Activation):
    """``f(x)_j = x_j - log(sum_k exp(x_k))`` over the last axis"""

    name = "log_softmax"


linear, relu, relu6, leaky_relu, elu, selu = Linear(), ReLU(), ReLU6(), LeakyReLU(), ELU(), SELU()
gelu, silu, mish, all_relu = GELU(), SiLU(), Mish(), AllReLU()
sigmoid, hard_sigmoid, tanh = Sigmoid(), HardSigmoid(), Tanh()
softplus, softsign, exponential = Softplus(), Softsign(), Exponential()
sign, binary_step, ternary = Sign(), BinaryStep(), Ternary()
softmax, log_softmax = Softmax(), LogSoftmax()
swish = silu

_PLAIN: tuple[type[Activation], ...] = (
    Linear, ReLU, ReLU6, LeakyReLU, ELU, SELU, SiLU, Mish, AllReLU, Sigmoid, HardSigmoid, Tanh, Softplus, Softsign,
    Exponential, Sign, BinaryStep, Ternary, Softmax, LogSoftmax,
)
_TABLE: dict[str, Callable[..., Activation]] = {
    **{cls.name: cls for cls in _PLAIN},
    "gelu": GELU,
    "gelu_tanh": partial(GELU, approximate=True),
    "swish": SiLU,
}


def get(identifier: Any) -> Activation:
    """The activation that `identifier` stands for.

    Parameters
    ----------
    identifier : None, str, dict, Activation or subclass of Activation
        None is linear; a dict is what ``get_config`` returns.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        For an unknown name, with the closest known one.
    TypeError
        For anything else.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.get("swish")
    SiLU()
    >>> activations.get({"name": "elu", "alpha": 0.5})
    ELU(alpha=0.5)
    """
    return linear if identifier is None else find(identifier, Activation, _TABLE)


def serialize(activation: Activation) -> dict[str, Any]:
    """The configuration of an activation.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.serialize(activations.leaky_relu)
    {'name': 'leaky_relu', 'negative_slope': 0.2}
    """
    return activation.get_config()


def deserialize(config: Mapping[str, Any]) -> Activation:
    """The activation of a configuration.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.deserialize({"name": "gelu", "approximate": True})
    GELU(approximate=True)
    """
    return get(config)
