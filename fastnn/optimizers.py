"""Optimizers: names, arguments, defaults and formulas of Keras 3.

An optimizer holds numbers only; the kernels take its steps, and the model keeps its slots (the arrays that
last from step to step). In the formulas ``p`` is a parameter, ``g`` its gradient, ``t`` the step (the first
is 1) and ``lr`` the learning rate. With a `weight_decay` every step begins with
``p -= lr * weight_decay * p`` (Loshchilov and Hutter, 2019). All optimizers take the options of `Optimizer` as
keywords.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from fastnn import schedules
from fastnn.inputs import check_count
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
    "ScheduleFreeAdamW",
    "Lamb",
    "Adafactor",
    "Muon",
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


Array = NDArray[Any]
# Kind of the kernels, its constants, weight decay, and what the learning rate is multiplied by in the step alone.
Rule = tuple[str, tuple[float, ...], float, float]


class Options(TypedDict, total=False):
    """What all optimizers take as keywords; `Optimizer` says what it is."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    exclude_from_weight_decay: Sequence[str]


class Optimizer(Named):
    """Base of the optimizers, and the options that all of them take as keywords.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    weight_decay : float, optional
        Decoupled from the gradient; at least 0.
    clipnorm : float, optional
        The gradient of each parameter array is shortened to this norm where it is longer; above 0.
    clipvalue : float, optional
        Each element of the gradient is held in [-clipvalue, clipvalue]; above 0.
    global_clipnorm : float, optional
        The gradients of all parameters together are shortened to this norm; above 0. Only one of the three may be
        given.
    use_ema : bool, default False
        Whether an exponential moving average of the parameters is kept: after each batch
        ``average = ema_momentum * average + (1 - ema_momentum) * p``. At its end `fit` leaves the average in the model.
    ema_momentum : float, default 0.99
        In [0, 1].
    ema_overwrite_frequency : int, optional
        After so many steps, again and again, the parameters become their average.
    gradient_accumulation_steps : int, optional
        Batches whose gradients are averaged for one step of the optimizer, at least 2: ``t`` counts these steps, a
        schedule of the learning rate all batches. What is left over at the end of an epoch waits for the next.
    exclude_from_weight_decay : sequence of str, default ()
        As `var_names` of the method of this name.

    Attributes
    ----------
    learning_rate : float or LearningRateSchedule
        A number, at least 0, that may be set at any time; or a schedule, which only another schedule may replace.
    weight_decay : float or None
        May be set at any time.
    kind : str
        The kernels' name of the update rule.
    hyper : tuple of float
        The rule's constants, in the kernels' order.
    slots : tuple of str
        Names of the arrays kept for each parameter, in the kernels' order.
    slot_init : tuple of float or None
        What each slot is filled with at first; None: a copy of the parameters.

    Raises
    ------
    TypeError, ValueError
        For an argument that does not exist, of another type or out of its range.

    Examples
    --------
    >>> from fastnn.optimizers import SGD
    >>> SGD(0.1, global_clipnorm=1.0, use_ema=True)
    SGD(learning_rate=0.1, momentum=0.0, nesterov=False, weight_decay=None, global_clipnorm=1.0, use_ema=True)
    """

    kind: str
    hyper: tuple[float, ...] = ()
    slots: tuple[str, ...] = ()
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None

    def __init__(self, learning_rate: Rate, weight_decay: float | None = None, *, clipnorm: float | None = None,
                 clipvalue: float | None = None, global_clipnorm: float | None = None, use_ema: bool = False,
                 ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = None,
                 gradient_accumulation_steps: int | None = None, exclude_from_weight_decay: Sequence[str] = (),
                 **unknown: Any) -> None:
        for argument in unknown:
            known = [name for name in self._arguments_of() if name != "self"]
            close = difflib.get_close_matches(argument, known, n=1)
            raise TypeError(f"{type(self).__name__} has no argument {argument!r}."
                            + (f" Did you mean {close[0]!r}?" if close else "") + f" Allowed: {', '.join(known)}")
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        for name, value in clips.items():
            setattr(self, name, None if value is None else number(name, value, "(0, inf)"))
        given = [f"{name}={value!r}" for name, value in clips.items() if value is not None]
        if len(given) > 1:
            raise ValueError("only one of clipnorm, clipvalue and global_clipnorm may be given; received "
                             + ", ".join(given))
        self.use_ema = _flag("use_ema", use_ema)
        self.ema_momentum = number("ema_momentum", ema_momentum, "[0, 1]")
        self.ema_overwrite_frequency = (None if ema_overwrite_frequency is None
                                        else check_count("ema_overwrite_frequency", ema_overwrite_frequency))
        self.gradient_accumulation_steps = (
            None if gradient_accumulation_steps is None
            else check_count("gradient_accumulation_steps", gradient_accumulation_steps, 2))
        self._used = False
        self._excluded: tuple[str, ...] = ()
        self._excluded_arrays: list[Array] = []
        self.exclude_from_weight_decay(var_names=exclude_from_weight_decay)

    def __setattr__(self, name: str, value: Any) -> None:
        # The kernels' rule follows from the arguments, and a model's slots from the rule.
        if name in self.__dict__ and not name.startswith("_"):
            raise AttributeError(f"{name} of an optimizer is fixed, only learning_rate and weight_decay may change; "
                                 f"make a new {type(self).__name__}")
        super().__setattr__(name, value)

    # ---- configuration --------------------------------------------------------------------------------------

    @classmethod
    def _arguments_of(cls) -> dict[str, Any]:
        """The constructor's arguments and their defaults, the options last."""
        own = inspect.signature(cls).parameters
        options = inspect.signature(Optimizer).parameters
        takes_options = any(argument.kind is argument.VAR_KEYWORD for argument in own.values())
        return {argument.name: argument.default
                for argument in (*own.values(), *(options.values() if takes_options else ()))
                if argument.kind is not argument.VAR_KEYWORD}

    def _arguments(self) -> dict[str, Any]:
        """The arguments; of the options those that are not as they are by default."""
        own = inspect.signature(type(self)).parameters
        found = {}
        for name, default in self._arguments_of().items():
            value = list(self._excluded) if name == "exclude_from_weight_decay" else getattr(self, name)
            if name in own or (value or None) != (default or None):
                found[name] = value
        return found

    def exclude_from_weight_decay(self, var_list: Iterable[Array] | None = None,
                                  var_names: Iterable[str] | None = None) -> None:
        """Say which parameters weight decay leaves alone; before the first step, and in place of what was said before.

        Parameters
        ----------
        var_list : iterable of ndarray, optional
            Parameters of a built model, such as ``layer.bias``.
        var_names : iterable of str, optional
            Regular expressions: a parameter is left alone if one is found in its name, such as ``"bias"``; or, if the
            expression has a slash, in its path, such as ``"dense_1/kernel"``.

        Raises
        ------
        TypeError, ValueError
            If they are something else, or a model has been trained already.

        Examples
        --------
        >>> from fastnn.optimizers import AdamW
        >>> optimizer = AdamW()
        >>> optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        """
        if self._used:
            raise ValueError("exclude_from_weight_decay may only be called before the optimizer takes its first step")
        names, arrays = _patterns("var_names", var_names), _as_list("var_list", var_list)
        for array in arrays:
            if not isinstance(array, np.ndarray):
                raise TypeError(f"var_list must be parameters of a model, such as layer.bias; received {array!r}")
        self._excluded, self._excluded_arrays = tuple(names), arrays

    # ---- what the engine is told ----------------------------------------------------------------------------

    def _use(self, named: Sequence[tuple[str, str, Array]]) -> None:
        """Take up a model's parameters, (path of the layer, name, array): from now on they are known by their paths."""
        for wanted in self._excluded_arrays:
            paths = [f"{path}/{name}" for path, name, array in named if array is wanted]
            if not paths:
                raise ValueError(f"an array of shape {wanted.shape} in var_list is no parameter of the model; they are "
                                 + ", ".join(f"{path}.{name}" for path, name, _ in named))
            self._excluded += (f"^{re.escape(paths[0])}$",)
        self._excluded_arrays = []
        self._used = True

    def _decays(self, path: str, name: str) -> bool:
        return not any(re.search(pattern, f"{path}/{name}" if "/" in pattern else name) for pattern in self._excluded)

    def _rules(self) -> list[Rule]:
        """What there is to choose from for a parameter."""
        return [(self.kind, self.hyper, decay, 1.0) for decay in (float(self.weight_decay or 0.0), 0.0)]

    def _rule_of(self, path: str, name: str, shape: tuple[int, ...]) -> int:
        """The number of a parameter's rule among them."""
        return 0 if self._decays(path, name) else 1

    def _numbers(self) -> dict[str, Any]:
        """The options as the engine takes them, 0 for what is not wanted."""
        return {"clipnorm": self.clipnorm or 0.0, "clipvalue": self.clipvalue or 0.0,
                "global_clipnorm": self.global_clipnorm or 0.0, "ema_momentum": self.ema_momentum,
                "ema_overwrite_frequency": self.ema_overwrite_frequency or 0 if self.use_ema else 0,
                "accumulation_steps": self.gradient_accumulation_steps or 1}

    def _blocks(self) -> dict[str, float | None]:
        """Names of all flat blocks that are kept, in the engine's order, and what they are filled with at first."""
        blocks: dict[str, float | None] = dict(zip(self.slots, self.slot_init, strict=True))
        return (blocks | ({"ema": None} if self.use_ema else {})
                | ({"gradient_accumulator": 0.0} if self.gradient_accumulation_steps else {}))

    def _used_size(self, block: str, shape: tuple[int, ...]) -> int:
        """Elements of a block that a parameter of this shape uses, from where the parameter begins."""
        return math.prod(shape)

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
    def slot_init(self) -> tuple[float | None, ...]:
        return (0.0,) * len(self.slots)


def _as_list(name: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, (str, bytes, np.ndarray)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a list; received {value!r}")
    return list(value)


def _patterns(name: str, value: Any) -> list[str]:
    patterns = _as_list(name, value)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"{name} must be strings; received {pattern!r}")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} in {name} is no regular expression: {error}") from None
    return patterns


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


class _Moments(Optimizer):
    """What Adam's family shares: two decay rates and an epsilon that keeps the divisor from 0."""

    def __init__(self, learning_rate: Rate, beta_1: float, beta_2: float, epsilon: float,
                 weight_decay: float | None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
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
    **options
        Of `Optimizer`.

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
                 epsilon: float = 1e-7, amsgrad: bool = False, weight_decay: float | None = None,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)
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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = "adamw"

    def __init__(self, learning_rate: Rate = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9,
                 beta_2: float = 0.999, epsilon: float = 1e-7, amsgrad: bool = False,
                 **options: Unpack[Options]) -> None:
        number("weight_decay", weight_decay, NOT_NEGATIVE)  # None, which other optimizers take, included
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **options)


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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "adamax"
    slots = ("m", "u")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)


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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "nadam"
    slots = ("m", "v")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)


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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "radam"
    slots = ("m", "v")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)


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


class ScheduleFreeAdamW(Optimizer):
    """Adam's step without a schedule: what is predicted with is an average of all steps (Defazio et al., 2024).

    Gradients are taken at ``y = (1 - beta_1) * z + beta_1 * x``. With v as Adam's:
    ``z -= lr * min(1, t / warmup_steps) * g / (sqrt(v / (1 - beta_2**t)) + epsilon)``; ``x += (z - x) / t``.
    `weight_decay` acts on ``y``, and ``1 / beta_1`` of it on ``x``, as in Keras.

    The model's weights are ``x`` whenever Python sees them: after `fit`, in callbacks, in `predict` and in files.
    (Keras 3.15 leaves ``y`` there, from which ``x`` would have to be computed.) During an epoch they are ``y``. Weights
    that are set between two calls move ``x`` and leave ``z``: compile again to start afresh from them.

    Parameters
    ----------
    learning_rate : float, default 0.0025
        At least 0.
    beta_1 : float, default 0.9
        In (0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-8
        At least 0.
    warmup_steps : int, default 0
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

    name = "schedule_free_adamw"
    kind = "schedule_free"
    slots = ("momentum", "velocity", "x")

    def __init__(self, learning_rate: Rate = 0.0025, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-8, warmup_steps: int = 0, weight_decay: float | None = None,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_1 = number("beta_1", beta_1, "(0, 1)")
        self.beta_2 = number("beta_2", beta_2, RATE)
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.warmup_steps = check_count("warmup_steps", warmup_steps, 0)
        self.hyper = (self.beta_1, self.beta_2, self.epsilon, float(self.warmup_steps))

    @property
    def slot_init(self) -> tuple[float | None, ...]:
        return (None, 0.0, None)


class Lamb(_Moments):
    """Adam's direction, each parameter array in steps in proportion to its norm (You et al., 2020).

    m and v as Adam's; ``u = m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)``;
    ``p -= lr * norm(p) / norm(u) * u``, the ratio 1 where a norm is 0.

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
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "lamb"
    slots = ("momentum", "velocity")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)


class Adafactor(Optimizer):
    """A mean square of each row and each column of a matrix in place of all elements' (Shazeer and Stern, 2018).

    With ``b = 1 - t**beta_2_decay`` and ``s = g**2 + epsilon_1``: ``r = b * r + (1 - b) * mean(s)`` over each row,
    ``c`` likewise over each column, ``v = r / mean(r) * c``; ``v = b * v + (1 - b) * s`` for what is no matrix.
    ``u = g / sqrt(v)``; ``p -= a * u / max(1, rms(u) / clip_threshold)`` with
    ``a = max(epsilon_2, rms(p)) * min(lr, 1 / sqrt(t))``. Of more than two dimensions the last two are the matrix.

    Parameters
    ----------
    learning_rate : float, default 0.001
        At least 0.
    beta_2_decay : float, default -0.8
        At most 0.
    epsilon_1 : float, default 1e-30
        At least 0.
    epsilon_2 : float, default 1e-3
        At least 0.
    clip_threshold : float, default 1.0
        Above 0.
    relative_step : bool, default True
        Accepted as in Keras, where it changes nothing either: the rate never exceeds ``1 / sqrt(t)``.
    weight_decay : float, optional
        At least 0.
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "adafactor"
    # A matrix keeps its rows' averages in the first and its columns' in the second, anything else v in the first.
    slots = ("r", "c")

    def __init__(self, learning_rate: Rate = 0.001, beta_2_decay: float = -0.8, epsilon_1: float = 1e-30,
                 epsilon_2: float = 1e-3, clip_threshold: float = 1.0, relative_step: bool = True,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_2_decay = number("beta_2_decay", beta_2_decay, "(-inf, 0]")
        self.epsilon_1 = number("epsilon_1", epsilon_1, NOT_NEGATIVE)
        self.epsilon_2 = number("epsilon_2", epsilon_2, NOT_NEGATIVE)
        self.clip_threshold = number("clip_threshold", clip_threshold, "(0, inf)")
        self.relative_step = _flag("relative_step", relative_step)
        self.hyper = (self.beta_2_decay, self.epsilon_1, self.epsilon_2, self.clip_threshold)

    def _used_size(self, block: str, shape: tuple[int, ...]) -> int:
        if block not in self.slots:
            return super()._used_size(block, shape)
        if len(shape) < 2:
            return math.prod(shape) if block == "r" else 0
        return math.prod(shape[:-1]) if block == "r" else math.prod(shape[:-2]) * shape[-1]


class Muon(Optimizer):
    """Steps along the orthogonal matrix nearest to the averaged gradient (Jordan et al., 2024; Liu et al., 2025).

    For matrices ``m = momentum * m + g``, ``u = g + momentum * m`` (``u = m`` without Nesterov), and `ns_steps` times
    ``u = a * u + (b * A + c * A @ A) @ u`` with ``A = u @ u.T``, from ``u / (norm(u) + 1e-7)`` on;
    ``p -= lr * rms_rate * sqrt(max(rows, columns)) * u``. Everything else takes Adam's steps.

    Parameters
    ----------
    learning_rate : float, default 0.001
        At least 0.
    adam_beta_1 : float, default 0.9
        In [0, 1).
    adam_beta_2 : float, default 0.999
        In [0, 1).
    adam_weight_decay : float, optional, default 0.004
        At least 0; of the parameters under Adam.
    epsilon : float, default 1e-7
        At least 0; of Adam.
    weight_decay : float, optional, default 0.004
        At least 0; of the matrices.
    exclude_layers : list of str, optional
        Regular expressions: where one is found in ``"layer/parameter"``, Adam is used. The last layer belongs here.
    exclude_embeddings : bool, default True
        Whether Adam is used where the path has "embedding" in it.
    muon_a, muon_b, muon_c : float, default 3.4445, -4.7750, 2.0315
    adam_lr_ratio : float, default 1
        Adam's learning rate over that of the matrices; at least 0.
    momentum : float, default 0.95
        In [0, 1].
    ns_steps : int, default 5
        At least 0.
    nesterov : bool, default True
    rms_rate : float, optional, default 0.2
        Above 0; None: the step is ``lr * u``.
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "muon"
    slots = ("momentum", "velocity")

    def __init__(self, learning_rate: Rate = 0.001, adam_beta_1: float = 0.9, adam_beta_2: float = 0.999,
                 adam_weight_decay: float | None = 0.004, epsilon: float = 1e-7, weight_decay: float | None = 0.004,
                 exclude_layers: Sequence[str] | None = None, exclude_embeddings: bool = True, muon_a: float = 3.4445,
                 muon_b: float = -4.7750, muon_c: float = 2.0315, adam_lr_ratio: float = 1.0, momentum: float = 0.95,
                 ns_steps: int = 5, nesterov: bool = True, rms_rate: float | None = 0.2,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.adam_beta_1 = number("adam_beta_1", adam_beta_1, RATE)
        self.adam_beta_2 = number("adam_beta_2", adam_beta_2, RATE)
        self.adam_weight_decay = (None if adam_weight_decay is None
                                  else number("adam_weight_decay", adam_weight_decay, NOT_NEGATIVE))
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.exclude_layers = _patterns("exclude_layers", exclude_layers)
        self.exclude_embeddings = _flag("exclude_embeddings", exclude_embeddings)
        self.muon_a = number("muon_a", muon_a, "(-inf, inf)")
        self.muon_b = number("muon_b", muon_b, "(-inf, inf)")
        self.muon_c = number("muon_c", muon_c, "(-inf, inf)")
        self.adam_lr_ratio = number("adam_lr_ratio", adam_lr_ratio, NOT_NEGATIVE)
        self.momentum = number("momentum", momentum, "[0, 1]")
        self.ns_steps = check_count("ns_steps", ns_steps, 0)
        self.nesterov = _flag("nesterov", nesterov)
        self.rms_rate = None if rms_rate is None else number("rms_rate", rms_rate, "(0, inf)")
        self.hyper = (self.momentum, float(self.nesterov), float(self.ns_steps), self.muon_a, self.muon_b,
                      self.muon_c, self.rms_rate or 0.0)

    def _rules(self) -> list[Rule]:
        adam = self.adam_beta_1, self.adam_beta_2, self.epsilon
        decay = float(self.adam_weight_decay or 0.0)
        return [*super()._rules(), ("adam", adam, decay, self.adam_lr_ratio), ("adam", adam, 0.0, self.adam_lr_ratio)]

    def _rule_of(self, path: str, name: str, shape: tuple[int, ...]) -> int:
        full = f"{path}/{name}"
        with_adam = (len(shape) != 2 or (self.exclude_embeddings and "embedding" in full.lower())
                     or any(re.search(pattern, full) for pattern in self.exclude_layers))
        return super()._rule_of(path, name, shape) + 2 * with_adam


_CLASSES: tuple[type[Optimizer], ...] = (SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, Lion, RAdam, Ftrl,
                                         ScheduleFreeAdamW, Lamb, Adafactor, Muon)
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
