"""Optimizers along the gradient, or the gradient over the root of its squares."""

from __future__ import annotations

from typing import Unpack

from fastnn.named import number
from fastnn.optimizers.base import NOT_NEGATIVE, RATE, Optimizer, Options, Rate, flag

__all__ = ["SGD", "RMSprop", "Adagrad", "Adadelta", "Lion", "Ftrl"]


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
    **options
        Of `Optimizer`.

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
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.momentum = number("momentum", momentum, "[0, 1]")
        self.nesterov = flag("nesterov", nesterov)
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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = "rmsprop"

    def __init__(self, learning_rate: Rate = 0.001, rho: float = 0.9, momentum: float = 0.0,
                 epsilon: float = 1e-7, centered: bool = False, weight_decay: float | None = None,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.rho = number("rho", rho, RATE)
        self.momentum = number("momentum", momentum, "[0, 1]")
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.centered = flag("centered", centered)
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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "adagrad"
    slots = ("accumulator",)

    def __init__(self, learning_rate: Rate = 0.001, initial_accumulator_value: float = 0.1,
                 epsilon: float = 1e-7, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.initial_accumulator_value = number("initial_accumulator_value", initial_accumulator_value,
                                                NOT_NEGATIVE)
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.hyper = (self.epsilon,)

    @property
    def slot_init(self) -> tuple[float | None, ...]:
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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "adadelta"
    slots = ("accumulated_grad", "accumulated_delta")

    def __init__(self, learning_rate: Rate = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.rho = number("rho", rho, RATE)
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.hyper = (self.rho, self.epsilon)


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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "lion"
    slots = ("m",)

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.99,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_1 = number("beta_1", beta_1, "(0, 1)")
        self.beta_2 = number("beta_2", beta_2, RATE)
        self.hyper = (self.beta_1, self.beta_2)


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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = "ftrl"
    slots = ("accumulator", "linear")

    def __init__(self, learning_rate: Rate = 0.001, learning_rate_power: float = -0.5,
                 initial_accumulator_value: float = 0.1, l1_regularization_strength: float = 0.0,
                 l2_regularization_strength: float = 0.0, l2_shrinkage_regularization_strength: float = 0.0,
                 beta: float = 0.0, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
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
    def slot_init(self) -> tuple[float | None, ...]:
        return (self.initial_accumulator_value, 0.0)
