"""Optimizers: names, arguments, defaults and formulas of Keras 3.

An optimizer holds numbers only; the kernels take its steps, and the model keeps its slots (the arrays that
last from step to step). In the formulas ``p`` is a parameter, ``g`` its gradient, ``t`` the step (the first
is 1) and ``lr`` the learning rate. With a `weight_decay` every step begins with
``p -= lr * weight_decay * p`` (Loshchilov and Hutter, 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import schedules
from fastnn.named import Named, find, number
from fastnn.schedules import LearningRateSchedule

__all__ = [
    "Optimizer",
    "SGD",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "Lion",
    "RAdam",
    "Ftrl",
    "get",
    "serialize",
    "deserialize",
]

Rate = float | LearningRateSchedule | Mapping[str, Any]

RATE = "[0, 1)"
NOT_NEGATIVE = "[0, inf)"


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; received {value!r}")
    return bool(value)


class Optimizer(Named):
    """Base of the optimizers.

    Attributes
    ----------
    learning_rate : float or LearningRateSchedule
        A number, at least 0, that may be set at any time; or a schedule, which only another schedule may replace.
    weight_decay : float or None
        Decoupled weight decay; at least 0.
    kind : str
        The kernels' name of the update rule.
    hyper : tuple of float
        The rule's constants, in the kernels' order.
    slots : tuple of str
        Names of the arrays kept for each parameter, in the kernels' order.
    slot_init : tuple of float
        What each slot is filled with at first.
    """

    kind: str
    hyper: tuple[float, ...] = ()
    slots: tuple[str, ...] = ()

    def __init__(self, learning_rate: Rate, weight_decay: float | None) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def __setattr__(self, name: str, value: Any) -> None:
        # The kernels' rule follows from the arguments, and a model's slots from the rule.
        if name in self.__dict__ and not name.startswith("_"):
            raise AttributeError(f"{name} of an optimizer is fixed, only learning_rate and weight_decay may change; "
                                 f"make a new {type(self).__name__}")
        super().__setattr__(name, value)

    @property
    def weight_decay(self) -> float | None:
        return self._weight_decay

    @weight_decay.setter
    def weight_decay(self, value: float | None) -> None:
        self._weight_decay = None if value is None else number("weight_decay", value, NOT_NEGATIVE)

    @property
    def learning_rate(self) -> Any:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        if isinstance(value, (LearningRateSchedule, Mapping)):
            self._learning_rate: float | LearningRateSchedule = schedules.get(value)
            return
        rate = number("learning_rate", value, NOT_NEGATIVE)
        if isinstance(getattr(self, "_learning_rate", None), LearningRateSchedule):
            raise TypeError(f"the learning rate follows {self._learning_rate!r} and cannot be set to the number "
                            f"{value!r}; compile with a new optimizer, or set another schedule")
        self._learning_rate = rate

    def rates(self, first: int, n: int) -> NDArray[np.float64]:
        """The learning rates of `n` steps, `first` of them done before.

        Raises
        ------
        ValueError
            If a schedule gives a rate that is negative or not finite.

        Examples
        --------
        >>> import fastnn as fnn
        >>> fnn.optimizers.SGD(fnn.schedules.ExponentialDecay(0.1, 1, 0.5)).rates(0, 3)
        array([0.1  , 0.05 , 0.025])
        """
        if isinstance(self._learning_rate, LearningRateSchedule):
            return schedules.checked_rates(self._learning_rate, first, n)
        return np.full(n, self._learning_rate)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if isinstance(self._learning_rate, LearningRateSchedule):
            config["learning_rate"] = self._learning_rate.get_config()
        return config

    @property
    def slot_init(self) -> tuple[float, ...]:
        return (0.0,) * len(self.slots)


class SGD(Optimizer):
    """Gradient descent, with momentum or Nesterov's look-ahead (Polyak, 1964; Sutskever et al., 2013).

    ``v = momentum * v - lr * g``, then ``p += v``, or ``p += momentum * v - lr * g`` for Nesterov;
    ``p -= lr * g`` where `momentum` is 0.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.01
        At least 0.
    momentum : float, default 0.0
        In [0, 1].
    nesterov : bool, default False
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.optimizers import SGD
    >>> SGD(0.1, momentum=0.9).kind
    'momentum'
    """

    name = "sgd"

    def __init__(self, learning_rate: Rate = 0.01, momentum: float = 0.0, nesterov: bool = False,
                 weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, weight_decay)
        self.momentum = number("momentum", momentum, "[0, 1]")
        self.nesterov = _flag("nesterov", nesterov)
        if self.momentum == 0:
            self.kind = "sgd"
        else:
            self.kind = "nesterov" if self.nesterov else "momentum"
            self.hyper, self.slots = (self.momentum,), ("momentum",)


class RMSprop(Optimizer):
    """Gradient over the root of its mean square (Tieleman and Hinton, 2012; centered: Graves, 2013).

    ``v = rho * v + (1 - rho) * g**2``; ``step = lr * g / sqrt(v + epsilon)``; ``p -= step``. Centered:
    ``a = rho * a + (1 - rho) * g``, and ``max(v - a**2, 0)`` in place of ``v`` under the root. With momentum:
    ``b = momentum * b + step``; ``p -= b``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    rho : float, default 0.9
        In [0, 1).
    momentum : float, default 0.0
        In [0, 1].
    epsilon : float, default 1e-7
        At least 0.
    centered : bool, default False
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = "rmsprop"

    def __init__(self, learning_rate: Rate = 0.001, rho: float = 0.9, momentum: float = 0.0,
                 epsilon: float = 1e-7, centered: bool = False, weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, weight_decay)
        self.rho = number("rho", rho, RATE)
        self.momentum = number("momentum", momentum, "[0, 1]")
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.centered = _flag("centered", centered)
        self.kind = "rmsprop_centered" if self.centered else "rmsprop"
        self.hyper = (self.rho, self.momentum, self.epsilon)
        self.slots = ("velocity",) + ("average",) * self.centered + ("momentum",) * (self.momentum > 0)


class Adagrad(Optimizer):
    """Gradient over the root of the sum of its squares (Duchi, Hazan and Singer, 2011).

    ``a += g**2``; ``p -= lr * g / sqrt(a + epsilon)``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    initial_accumulator_value : float, default 0.1
        What ``a`` begins with; at least 0.
    epsilon : float, default 1e-7
        At least 0.
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "adagrad"
    slots = ("accumulator",)

    def __init__(self, learning_rate: Rate = 0.001, initial_accumulator_value: float = 0.1,
                 epsilon: float = 1e-7, weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, weight_decay)
        self.initial_accumulator_value = number("initial_accumulator_value", initial_accumulator_value,
                                                NOT_NEGATIVE)
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.hyper = (self.epsilon,)

    @property
    def slot_init(self) -> tuple[float, ...]:
        return (self.initial_accumulator_value,)


class Adadelta(Optimizer):
    """Steps as large as the last ones were, in units of the gradient's root mean square (Zeiler, 2012).

    ``a = rho * a + (1 - rho) * g**2``; ``d = g * sqrt(b + epsilon) / sqrt(a + epsilon)``;
    ``b = rho * b + (1 - rho) * d**2``; ``p -= lr * d``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0; the paper's is 1.
    rho : float, default 0.95
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "adadelta"
    slots = ("accumulated_grad", "accumulated_delta")

    def __init__(self, learning_rate: Rate = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
                 weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, weight_decay)
        self.rho = number("rho", rho, RATE)
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.hyper = (self.rho, self.epsilon)


class _Moments(Optimizer):
    """What Adam's family shares: two decay rates and an epsilon that keeps the divisor from 0."""

    def __init__(self, learning_rate: Rate, beta_1: float, beta_2: float, epsilon: float,
                 weight_decay: float | None) -> None:
        super().__init__(learning_rate, weight_decay)
        self.beta_1 = number("beta_1", beta_1, RATE)
        self.beta_2 = number("beta_2", beta_2, RATE)
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.hyper = (self.beta_1, self.beta_2, self.epsilon)


class Adam(_Moments):
    """Mean gradient over the root of its mean square, both corrected for their start at 0 (Kingma and Ba,
    2015; AMSGrad: Reddi, Kale and Kumar, 2018).

    ``m += (g - m) * (1 - beta_1)``; ``v += (g**2 - v) * (1 - beta_2)``;
    ``p -= alpha * m / (sqrt(v) + epsilon)``, ``alpha = lr * sqrt(1 - beta_2**t) / (1 - beta_1**t)``.
    AMSGrad: the largest ``v`` so far under the root.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0; added to the root.
    amsgrad : bool, default False
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.optimizers import Adam
    >>> optimizer = Adam(beta_1=0.8)
    >>> optimizer.learning_rate = 0.01
    >>> optimizer.learning_rate, optimizer.slots, optimizer.hyper
    (0.01, ('m', 'v'), (0.8, 0.999, 1e-07))
    """

    name = "adam"

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, amsgrad: bool = False, weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)
        self.amsgrad = _flag("amsgrad", amsgrad)
        self.kind = "amsgrad" if self.amsgrad else "adam"
        self.slots = ("m", "v", "v_hat") if self.amsgrad else ("m", "v")


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    ``p -= lr * weight_decay * p``, then Adam's step.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    weight_decay : float, default 0.004
        At least 0.
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    amsgrad : bool, default False

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = "adamw"

    def __init__(self, learning_rate: Rate = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9,
                 beta_2: float = 0.999, epsilon: float = 1e-7, amsgrad: bool = False) -> None:
        number("weight_decay", weight_decay, NOT_NEGATIVE)  # None, which other optimizers take, included
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay)


class Adamax(_Moments):
    """Adam with the largest recent gradient in place of the root mean square (Kingma and Ba, 2015).

    ``m += (g - m) * (1 - beta_1)``; ``u = max(beta_2 * u, |g|)``;
    ``p -= lr / (1 - beta_1**t) * m / (u + epsilon)``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "adamax"
    slots = ("m", "u")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)


class Nadam(_Moments):
    """Adam with Nesterov's look-ahead (Dozat, 2016).

    With ``u_t = beta_1 * (1 - 0.96**t / 2)`` and ``U_t = u_1 * ... * u_t``, m and v as Adam's:
    ``n = u_{t+1} * m / (1 - U_{t+1}) + (1 - u_t) * g / (1 - U_t)``;
    ``p -= lr * n / (sqrt(v / (1 - beta_2**t)) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "nadam"
    slots = ("m", "v")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)


class Lion(Optimizer):
    """Steps of one length, in the direction of the sign of an averaged gradient (Chen et al., 2023).

    ``p -= lr * sign(beta_1 * m + (1 - beta_1) * g)``; ``m = beta_2 * m + (1 - beta_2) * g``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    beta_1 : float, default 0.9
        In (0, 1).
    beta_2 : float, default 0.99
        In [0, 1).
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "lion"
    slots = ("m",)

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.99,
                 weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, weight_decay)
        self.beta_1 = number("beta_1", beta_1, "(0, 1)")
        self.beta_2 = number("beta_2", beta_2, RATE)
        self.hyper = (self.beta_1, self.beta_2)


class RAdam(_Moments):
    """Adam that trusts its mean square no earlier than it can (Liu et al., 2020; Keras has none).

    With ``b = 1 - beta_2**t``, ``L = 2 / (1 - beta_2) - 1`` and ``l = L - 2 * t * beta_2**t / b``, m and v as Adam's:
    ``p -= lr / (1 - beta_1**t) * m`` where ``l <= 5``; after that ``p -= lr / (1 - beta_1**t) * r * m / (sqrt(v) +
    epsilon)`` with ``r = sqrt(b * (l - 4) * (l - 2) * L / ((L - 4) * (L - 2) * l))``.

    Parameters
    ----------
    learning_rate : float, default 0.001
        At least 0.
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "radam"
    slots = ("m", "v")

    def __init__(self, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)


class Ftrl(Optimizer):
    """Follow the regularized leader, for sparse linear models (McMahan et al., 2013).

    With ``P = -learning_rate_power``: ``sigma = ((a + g**2)**P - a**P) / lr``; ``a += g**2``;
    ``z += g + 2 * l2_shrinkage * p - sigma * p``;
    ``p = (clip(z, -l1, l1) - z) / ((a**P + beta) / lr + 2 * l2)``.
    Whatever the initializer gave, the first steps lead to about 0: that is where ``z = 0`` begins. L1 makes
    parameters exactly 0. A learning rate of 0 changes nothing.

    Parameters
    ----------
    learning_rate : float, default 0.001
        At least 0.
    learning_rate_power : float, default -0.5
        At most 0; 0 keeps the learning rate as it is.
    initial_accumulator_value : float, default 0.1
        What ``a`` begins with; at least 0.
    l1_regularization_strength, l2_regularization_strength : float, default 0.0
        At least 0.
    l2_shrinkage_regularization_strength : float, default 0.0
        At least 0; adds its penalty to the gradient, where L2 keeps the step small.
    beta : float, default 0.0
        At least 0.
    weight_decay : float, optional
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = "ftrl"
    slots = ("accumulator", "linear")

    def __init__(self, learning_rate: float = 0.001, learning_rate_power: float = -0.5,
                 initial_accumulator_value: float = 0.1, l1_regularization_strength: float = 0.0,
                 l2_regularization_strength: float = 0.0, l2_shrinkage_regularization_strength: float = 0.0,
                 beta: float = 0.0, weight_decay: float | None = None) -> None:
        super().__init__(learning_rate, weight_decay)
        self.learning_rate_power = number("learning_rate_power", learning_rate_power, "(-inf, 0]")
        self.initial_accumulator_value = number("initial_accumulator_value", initial_accumulator_value,
                                                NOT_NEGATIVE)
        self.l1_regularization_strength = number("l1_regularization_strength", l1_regularization_strength,
                                                 NOT_NEGATIVE)
        self.l2_regularization_strength = number("l2_regularization_strength", l2_regularization_strength,
                                                 NOT_NEGATIVE)
        self.l2_shrinkage_regularization_strength = number(
            "l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength, NOT_NEGATIVE)
        self.beta = number("beta", beta, NOT_NEGATIVE)
        self.kind = "ftrl" if self.learning_rate_power == -0.5 else "ftrl_power"
        self.hyper = (self.learning_rate_power, self.l1_regularization_strength, self.l2_regularization_strength,
                      self.l2_shrinkage_regularization_strength, self.beta)

    @property
    def slot_init(self) -> tuple[float, ...]:
        return (self.initial_accumulator_value, 0.0)


_CLASSES: tuple[type[Optimizer], ...] = (SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, Lion, RAdam, Ftrl)
_TABLE: dict[str, Callable[..., Optimizer]] = {cls.name: cls for cls in _CLASSES}


def get(identifier: Any) -> Optimizer:
    """The optimizer that `identifier` stands for.

    Parameters
    ----------
    identifier : str, dict, Optimizer or subclass of Optimizer
        A dict is what ``get_config`` returns.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        For an unknown name, with the closest known one.
    TypeError
        For anything else.

    Examples
    --------
    >>> from fastnn import optimizers
    >>> optimizers.get("sgd")
    SGD(learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=None)
    """
    return find(identifier, Optimizer, _TABLE)


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """The configuration of an optimizer.

    Examples
    --------
    >>> from fastnn import optimizers
    >>> optimizers.serialize(optimizers.Lion())
    {'name': 'lion', 'learning_rate': 0.001, 'beta_1': 0.9, 'beta_2': 0.99, 'weight_decay': None}
    """
    return optimizer.get_config()


def deserialize(config: dict[str, Any]) -> Optimizer:
    """The optimizer of a configuration.

    Examples
    --------
    >>> from fastnn import optimizers
    >>> optimizers.deserialize({"name": "sgd", "momentum": 0.9}).kind
    'momentum'
    """
    return get(config)
