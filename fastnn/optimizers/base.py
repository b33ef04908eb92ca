"""What optimizers share: arguments, options, and what the engine is told."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from fastnn import schedules
from fastnn.constraints import Constraint
from fastnn.inputs import check_count
from fastnn.named import Named, number
from fastnn.schedules import LearningRateSchedule

__all__ = ["Optimizer", "Options"]

Rate = float | LearningRateSchedule | Mapping[str, Any]

RATE = "[0, 1)"
NOT_NEGATIVE = "[0, inf)"


def flag(name: str, value: Any) -> bool:
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
        ``average = ema_momentum * average + (1 - ema_momentum) * p``. At its end `fit` leaves the average in the
        model. It goes on in the next call, of weights before those that were set in between, too.
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
    lazy = False    # whether rows of kernels that a batch does not name stay as they are
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
        self._refuse(unknown)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        for name, value in clips.items():
            setattr(self, name, None if value is None else number(name, value, "(0, inf)"))
        given = [f"{name}={value!r}" for name, value in clips.items() if value is not None]
        if len(given) > 1:
            raise ValueError("only one of clipnorm, clipvalue and global_clipnorm may be given; received "
                             + ", ".join(given))
        self.use_ema = flag("use_ema", use_ema)
        self.ema_momentum = number("ema_momentum", ema_momentum, "[0, 1]")
        self.ema_overwrite_frequency = (None if ema_overwrite_frequency is None
                                        else check_count("ema_overwrite_frequency", ema_overwrite_frequency))
        self.gradient_accumulation_steps = (
            None if gradient_accumulation_steps is None
            else check_count("gradient_accumulation_steps", gradient_accumulation_steps, 2))
        self._used = False
        self._revision = 0      # of what is excluded
        self._excluded: tuple[str, ...] = ()
        self._excluded_arrays: list[Array] = []
        self.exclude_from_weight_decay(var_names=exclude_from_weight_decay)

    def __setattr__(self, name: str, value: Any) -> None:
        # The kernels' rule follows from the arguments, and a model's slots from the rule.
        if name in self.__dict__ and not name.startswith("_"):
            raise AttributeError(f"{name} of an optimizer is fixed, only learning_rate and weight_decay may change; "
                                 f"make a new {type(self).__name__}")
        if name == "lr":    # Keras 2's name, and PyTorch's
            raise AttributeError("the learning rate of an optimizer is its attribute learning_rate; received lr")
        super().__setattr__(name, value)

    # ---- configuration --------------------------------------------------------------------------------------

    @classmethod
    def _arguments_of(cls) -> dict[str, Any]:
        """The constructor's arguments and their defaults, the options last."""
        own = dict(inspect.signature(cls).parameters)
        options = dict(inspect.signature(Optimizer).parameters)
        takes_options = any(argument.kind is argument.VAR_KEYWORD for argument in own.values())
        return {name: argument.default for name, argument in (own | options | own if takes_options else own).items()
                if argument.kind is not argument.VAR_KEYWORD}

    def _refuse(self, unknown: Iterable[str]) -> None:
        """TypeError for arguments that there are not."""
        for argument in unknown:
            known = [name for name in self._arguments_of() if name != "self"]
            close = difflib.get_close_matches(argument, known, n=1)
            raise TypeError(f"{type(self).__name__} has no argument {argument!r}."
                            + (f" Did you mean {close[0]!r}?" if close else "") + f" Allowed: {', '.join(known)}")

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
        names, arrays = patterns_of("var_names", var_names), list_of("var_list", var_list)
        for array in arrays:
            if not isinstance(array, np.ndarray):
                raise TypeError(f"var_list must be parameters of a model, such as layer.bias; received {array!r}")
        self._excluded, self._excluded_arrays = tuple(names), arrays
        self._revision += 1

    # ---- what the engine is told ----------------------------------------------------------------------------

    def _rules_of(self, named: Sequence[tuple[str, str, Array]]) -> list[int]:
        """Numbers of the rules of a model's parameters, (path of the layer, name, array). What was excluded as an array
        is known by its path from now on."""
        for wanted in self._excluded_arrays:
            paths = [f"{path}/{name}" for path, name, array in named if array is wanted]
            if not paths:
                raise ValueError(f"an array of shape {wanted.shape} in var_list is no parameter of the model; they are "
                                 + ", ".join(f"{path}.{name}" for path, name, _ in named))
            self._excluded += (f"^{re.escape(paths[0])}$",)
        self._excluded_arrays = []
        return [self._rule_of(path, name, array.shape) for path, name, array in named]

    def _decays(self, path: str, name: str) -> bool:
        return not any(re.search(pattern, f"{path}/{name}" if "/" in pattern else name) for pattern in self._excluded)

    def _rules(self) -> list[Rule]:
        """What there is to choose from for a parameter."""
        return [(self.kind, self.hyper, decay, 1.0) for decay in (float(self.weight_decay or 0.0), 0.0)]

    def _rule_of(self, path: str, name: str, shape: tuple[int, ...]) -> int:
        """The number of a parameter's rule among them."""
        return 0 if self._decays(path, name) else 1

    def _check_parameter(self, path: str, constraint: Constraint | None) -> None:
        """ValueError for a parameter that the optimizer cannot train."""

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


def list_of(name: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, (str, bytes, np.ndarray)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a list; received {value!r}")
    return list(value)


def patterns_of(name: str, value: Any) -> list[str]:
    patterns = list_of(name, value)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"{name} must be strings; received {pattern!r}")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} in {name} is no regular expression: {error}") from None
    return patterns
