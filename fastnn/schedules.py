"""Learning-rate schedules: names, arguments, defaults and formulas of Keras 3, and those that Keras has not.

A schedule is a function of the step: how many steps the optimizer has taken since the model was compiled, 0 for the
first one. It takes the place of the number in ``learning_rate=`` of any optimizer. `fit` asks for the rates of all
steps of an epoch before the epoch begins. In the formulas ``s`` is the step.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.inputs import check_count
from fastnn.named import Named, find, number, one_of

__all__ = [
    "LearningRateSchedule",
    "Constant",
    "ExponentialDecay",
    "InverseTimeDecay",
    "PolynomialDecay",
    "PiecewiseConstantDecay",
    "CosineDecay",
    "CosineDecayRestarts",
    "WarmUp",
    "OneCycle",
    "CosLog4",
    "Sequential",
    "get",
    "serialize",
    "deserialize",
]

NOT_NEGATIVE = "[0, inf)"
POSITIVE = "(0, inf)"

Floats = NDArray[np.float64]


class LearningRateSchedule(Named):
    """Base of schedules; a subclass of yours defines ``__call__(step)``.

    `fit` calls it once an epoch with an int64 array of steps and expects an array of that shape, or one number for all
    of them. A function that cannot take an array (it says ``if step < 100``) is called with one step after the other
    instead. Rates must be finite and at least 0.

    Keep the constructor's arguments as attributes of the same names: `get_config` and files are made of them.

    Raises
    ------
    NotImplementedError
        On a call, where a subclass does not define it.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> class Halving(fnn.schedules.LearningRateSchedule):
    ...     def __init__(self, start):
    ...         self.start = start
    ...     def __call__(self, step):
    ...         return self.start * 0.5 ** np.floor(step / 100)
    >>> fnn.optimizers.SGD(Halving(0.1)).rates(99, 2)
    array([0.1 , 0.05])
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def __call__(self, step: ArrayLike) -> Any:
        """The learning rate at one or more steps.

        Parameters
        ----------
        step : array-like of numbers
            At least 0.

        Returns
        -------
        float or float64 ndarray of the same shape

        Raises
        ------
        TypeError, ValueError
            If a step is not a number, negative, or not finite.
        """
        steps = np.asarray(step)
        if steps.dtype.kind not in "iuf":
            raise TypeError(f"step must be a number or an array of numbers; received {step!r}")
        bad = ~((steps >= 0) & np.isfinite(steps))
        if bad.any():
            raise ValueError(f"step must be finite and at least 0; received {steps[bad].ravel()[0]}")
        rates = self._rates(np.atleast_1d(steps).astype(np.float64))
        return rates if steps.ndim else float(rates[0])

    def _rates(self, s: Floats) -> Floats:
        raise NotImplementedError(f"the schedule {type(self).__name__} must define __call__(self, step)")


def checked_rates(schedule: LearningRateSchedule, first: int, n: int) -> Floats:
    """The rates of steps first .. first + n - 1, finite and at least 0."""
    steps = np.arange(first, first + n)
    if type(schedule).__call__ is LearningRateSchedule.__call__:
        rates = schedule(steps)
    else:
        rates = _rates_of_user(schedule, steps)
    bad = ~((rates >= 0) & (rates < np.inf))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"the schedule {schedule!r} gave the learning rate {rates[at]} at step {steps[at]}; "
                         "finite numbers >= 0 are allowed")
    return np.ascontiguousarray(rates)


def _rates_of_user(schedule: LearningRateSchedule, steps: NDArray[Any]) -> Floats:
    try:
        found = np.asarray(schedule(steps), dtype=np.float64)
    except (TypeError, ValueError):     # `if step < 10`, math.cos(step): made for one number
        found = np.array([schedule(step) for step in steps.tolist()], dtype=np.float64)
    if found.shape not in ((), steps.shape):
        raise ValueError(f"the schedule {schedule!r} returned shape {found.shape} for steps of shape {steps.shape}; "
                         "one rate for each step, or one for all, is allowed")
    return np.broadcast_to(found, steps.shape)


def _steps(name: str, value: Any, allowed: str = POSITIVE) -> float:
    """A number of steps, whole where it was whole."""
    checked = number(name, value, allowed)
    return int(checked) if checked.is_integer() else checked


def _cosine(fraction: Floats) -> Floats:
    """From 1 at 0 to 0 at 1."""
    return 0.5 * (1.0 + np.cos(math.pi * fraction))


class Constant(LearningRateSchedule):
    """The same rate at every step; a part of a `Sequential` schedule.

    Parameters
    ----------
    learning_rate : float
        At least 0.

    Examples
    --------
    >>> from fastnn.schedules import Constant
    >>> Constant(0.1)([0, 1000])
    array([0.1, 0.1])
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = number("learning_rate", learning_rate, NOT_NEGATIVE)

    def _rates(self, s: Floats) -> Floats:
        return np.full(s.shape, self.learning_rate)


class _Fading(LearningRateSchedule):
    """Two schedules of the same arguments, which fade for ever."""

    def __init__(self, initial_learning_rate: float, decay_steps: float, decay_rate: float,
                 staircase: bool = False) -> None:
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate, NOT_NEGATIVE)
        self.decay_steps = _steps("decay_steps", decay_steps)
        self.decay_rate = number("decay_rate", decay_rate, NOT_NEGATIVE)
        self.staircase = _flag("staircase", staircase)

    def _periods(self, s: Floats) -> Floats:
        periods = s / self.decay_steps
        return np.floor(periods) if self.staircase else periods


class ExponentialDecay(_Fading):
    """``initial_learning_rate * decay_rate**(s / decay_steps)``; it has no end.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : int
        Above 0; the rate is multiplied by `decay_rate` once in so many steps.
    decay_rate : float
        At least 0.
    staircase : bool, default False
        Whether ``s / decay_steps`` is rounded down.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.schedules import ExponentialDecay
    >>> ExponentialDecay(0.1, 100, 0.5)([0, 100, 200])
    array([0.1  , 0.05 , 0.025])
    """

    def _rates(self, s: Floats) -> Floats:
        return self.initial_learning_rate * self.decay_rate ** self._periods(s)


class InverseTimeDecay(_Fading):
    """``initial_learning_rate / (1 + decay_rate * s / decay_steps)``; it has no end.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : int
        Above 0.
    decay_rate : float
        At least 0.
    staircase : bool, default False
        Whether ``s / decay_steps`` is rounded down.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.schedules import InverseTimeDecay
    >>> InverseTimeDecay(0.1, 100, 1.0)([0, 100, 300])
    array([0.1  , 0.05 , 0.025])
    """

    def _rates(self, s: Floats) -> Floats:
        return self.initial_learning_rate / (1.0 + self.decay_rate * self._periods(s))


class PolynomialDecay(LearningRateSchedule):
    """``(initial_learning_rate - end_learning_rate) * (1 - s / decay_steps)**power + end_learning_rate``.

    From step `decay_steps` on it is `end_learning_rate`. With `cycle` the first multiple of `decay_steps` that is not
    below ``s`` stands in its place: the rate rises again after each, less each time. An `end_learning_rate` above the
    initial one and ``power=1`` give a ramp upwards.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : int
        Above 0.
    end_learning_rate : float, default 0.0001
        At least 0.
    power : float, default 1.0
        At least 0.
    cycle : bool, default False

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.schedules import PolynomialDecay
    >>> PolynomialDecay(0.5, 100, end_learning_rate=0.1)([0, 50, 100, 101])
    array([0.5, 0.3, 0.1, 0.1])
    """

    def __init__(self, initial_learning_rate: float, decay_steps: float, end_learning_rate: float = 0.0001,
                 power: float = 1.0, cycle: bool = False) -> None:
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate, NOT_NEGATIVE)
        self.decay_steps = _steps("decay_steps", decay_steps)
        self.end_learning_rate = number("end_learning_rate", end_learning_rate, NOT_NEGATIVE)
        self.power = number("power", power, NOT_NEGATIVE)
        self.cycle = _flag("cycle", cycle)

    def _rates(self, s: Floats) -> Floats:
        if self.cycle:
            fraction = s / (self.decay_steps * np.maximum(1.0, np.ceil(s / self.decay_steps)))
        else:
            fraction = np.minimum(s, self.decay_steps) / self.decay_steps
        return (self.initial_learning_rate - self.end_learning_rate) * (1.0 - fraction) ** self.power \
            + self.end_learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` while ``s <= boundaries[0]``, ``values[1]`` while ``s <= boundaries[1]``, ... and the last value
    for ever after.

    Parameters
    ----------
    boundaries : list of int
        At least 0, each larger than the one before.
    values : list of float
        One more than `boundaries`; at least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.schedules import PiecewiseConstantDecay
    >>> PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.1])([0, 100, 101, 201])
    array([1. , 1. , 0.5, 0.1])
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float]) -> None:
        self.boundaries = _boundaries(boundaries)
        self.values = [number(f"values[{i}]", value, NOT_NEGATIVE) for i, value in enumerate(_list("values", values))]
        _check_pieces("values", self.values, self.boundaries)

    def _rates(self, s: Floats) -> Floats:
        return np.asarray(self.values)[np.searchsorted(self.boundaries, s, side="left")]


class CosineDecay(LearningRateSchedule):
    """Half a wave of a cosine, after a linear warm-up (Loshchilov and Hutter, 2017; warm-up: Goyal et al., 2017).

    With r the `initial_learning_rate`, ``r * ((1 - alpha) * (1 + cos(pi * s / decay_steps)) / 2 + alpha)``, which
    stays ``r * alpha`` after `decay_steps`. With a `warmup_target` the rate first goes linearly from
    `initial_learning_rate` to `warmup_target` in `warmup_steps` steps; then r is `warmup_target`, and ``s`` counts from
    there.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    decay_steps : int
        Above 0; those of warm-up come before them.
    alpha : float, default 0.0
        The last rate, as a part of the largest; in [0, 1].
    warmup_target : float, optional
        At least 0; None means no warm-up.
    warmup_steps : int, default 0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.schedules import CosineDecay
    >>> CosineDecay(0.0, 100, warmup_target=0.4, warmup_steps=10)([0, 5, 10, 60, 110, 999])
    array([0. , 0.2, 0.4, 0.2, 0. , 0. ])
    """

    def __init__(self, initial_learning_rate: float, decay_steps: float, alpha: float = 0.0,
                 warmup_target: float | None = None, warmup_steps: float = 0) -> None:
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate, NOT_NEGATIVE)
        self.decay_steps = _steps("decay_steps", decay_steps)
        self.alpha = number("alpha", alpha, "[0, 1]")
        self.warmup_target = None if warmup_target is None else number("warmup_target", warmup_target, NOT_NEGATIVE)
        self.warmup_steps = _steps("warmup_steps", warmup_steps, NOT_NEGATIVE)

    def _rates(self, s: Floats) -> Floats:
        if self.warmup_target is None:
            return self._decay(s, self.initial_learning_rate)
        return _warmed(s, self.warmup_steps, self.initial_learning_rate, self.warmup_target,
                       self._decay(np.maximum(s - self.warmup_steps, 0.0), self.warmup_target))

    def _decay(self, s: Floats, begin: float) -> Floats:
        fraction = np.minimum(s, self.decay_steps) / self.decay_steps
        return begin * ((1.0 - self.alpha) * _cosine(fraction) + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Half waves of a cosine, one after another (SGDR: Loshchilov and Hutter, 2017); it has no end.

    The i-th wave, from 0, is ``first_decay_steps * t_mul**i`` steps long. At the fraction ``f`` of it the rate is
    ``initial_learning_rate * ((1 - alpha) * m_mul**i * (1 + cos(pi * f)) / 2 + alpha)``.

    Parameters
    ----------
    initial_learning_rate : float
        At least 0.
    first_decay_steps : int
        Above 0.
    t_mul : float, default 2.0
        At least 1.
    m_mul : float, default 1.0
        At least 0.
    alpha : float, default 0.0
        The least rate, as a part of the initial one; in [0, 1].

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.schedules import CosineDecayRestarts
    >>> CosineDecayRestarts(0.4, 100, m_mul=0.5)([0, 50, 100, 200, 300])
    array([0.4, 0.2, 0.2, 0.1, 0.1])
    """

    def __init__(self, initial_learning_rate: float, first_decay_steps: float, t_mul: float = 2.0,
                 m_mul: float = 1.0, alpha: float = 0.0) -> None:
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate, NOT_NEGATIVE)
        self.first_decay_steps = _steps("first_decay_steps", first_decay_steps)
        self.t_mul = number("t_mul", t_mul, "[1, inf)")
        self.m_mul = number("m_mul", m_mul, NOT_NEGATIVE)
        self.alpha = number("alpha", alpha, "[0, 1]")

    def _rates(self, s: Floats) -> Floats:
        done = s / self.first_decay_steps
        if self.t_mul == 1.0:
            wave = np.floor(done)
            fraction = done - wave
        else:
            grown = 1.0 + done * (self.t_mul - 1.0)     # t_mul**i where the i-th wave begins
            wave = np.floor(np.log(grown) / np.log(self.t_mul))
            wave += self.t_mul ** (wave + 1.0) <= grown    # a quotient of logarithms may fall just below the integer
            length = self.t_mul ** wave
            fraction = (done - (length - 1.0) / (self.t_mul - 1.0)) / length
        decayed = (1.0 - self.alpha) * self.m_mul ** wave * _cosine(fraction) + self.alpha
        return self.initial_learning_rate * decayed


class WarmUp(LearningRateSchedule):
    """A line up to another schedule's first rate, then that schedule (Goyal et al., 2017).

    ``initial_learning_rate + (schedule(0) - initial_learning_rate) * s / warmup_steps`` while ``s < warmup_steps``,
    then ``schedule(s - warmup_steps)``; its end is that schedule's.

    Parameters
    ----------
    schedule : float, LearningRateSchedule or dict
        What follows; a number for a constant.
    warmup_steps : int
        Above 0.
    initial_learning_rate : float, default 0.0
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.schedules import WarmUp
    >>> WarmUp(0.1, 100)([0, 50, 100, 1000])
    array([0.  , 0.05, 0.1 , 0.1 ])
    """

    def __init__(self, schedule: Any, warmup_steps: float, initial_learning_rate: float = 0.0) -> None:
        self.schedule = _part("schedule", schedule)
        self.warmup_steps = _steps("warmup_steps", warmup_steps)
        self.initial_learning_rate = number("initial_learning_rate", initial_learning_rate, NOT_NEGATIVE)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"schedule": self.schedule.get_config()}

    def _rates(self, s: Floats) -> Floats:
        after = _rates_of(self.schedule, np.maximum(s - self.warmup_steps, 0.0))
        target = _rates_of(self.schedule, np.zeros(1))[0]
        return _warmed(s, self.warmup_steps, self.initial_learning_rate, target, after)


class OneCycle(LearningRateSchedule):
    """Up to a large rate, then down to nearly nothing (Smith and Topin, 2018; torch's `OneCycleLR`).

    From ``max_learning_rate / div_factor`` at step 0 to `max_learning_rate` at step ``pct_start * total_steps - 1``,
    then to ``max_learning_rate / div_factor / final_div_factor`` at step ``total_steps - 1``, where it stays. With
    `three_phase`, as in the paper, it falls as long as it rose, to where it began, and only then to the last rate.

    Parameters
    ----------
    max_learning_rate : float
        At least 0.
    total_steps : int
        Epochs times batches in an epoch.
    pct_start : float, default 0.3
        The rising part; in (0, 1), below 0.5 with `three_phase`. It must be longer than a step.
    anneal_strategy : {"cos", "linear"}, default "cos"
        Half a wave of a cosine, or a line, for each phase.
    div_factor : float, default 25.0
        Above 0.
    final_div_factor : float, default 1e4
        Above 0.
    three_phase : bool, default False

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.schedules import OneCycle
    >>> OneCycle(0.5, total_steps=101, pct_start=51 / 101)([0, 25, 50, 100, 200])
    array([2.0e-02, 2.6e-01, 5.0e-01, 2.0e-06, 2.0e-06])
    """

    def __init__(self, max_learning_rate: float, total_steps: int, pct_start: float = 0.3,
                 anneal_strategy: str = "cos", div_factor: float = 25.0, final_div_factor: float = 1e4,
                 three_phase: bool = False) -> None:
        self.max_learning_rate = number("max_learning_rate", max_learning_rate, NOT_NEGATIVE)
        self.total_steps = check_count("total_steps", total_steps)
        self.three_phase = _flag("three_phase", three_phase)
        self.pct_start = number("pct_start", pct_start, "(0, 0.5)" if self.three_phase else "(0, 1)")
        self.anneal_strategy = one_of("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.div_factor = number("div_factor", div_factor, POSITIVE)
        self.final_div_factor = number("final_div_factor", final_div_factor, POSITIVE)
        if self.pct_start * self.total_steps <= 1:
            raise ValueError(f"pct_start * total_steps must be above 1, for a rate to rise in; received "
                             f"{self.pct_start} * {self.total_steps}")

    def _rates(self, s: Floats) -> Floats:
        begin = self.max_learning_rate / self.div_factor
        rise, end = self.pct_start * self.total_steps - 1.0, self.total_steps - 1.0
        points = [(0.0, begin), (rise, self.max_learning_rate), (end, begin / self.final_div_factor)]
        if self.three_phase:
            points.insert(2, (2.0 * rise, begin))
        steps, rates = np.array(points).T
        phase = np.clip(np.searchsorted(steps, s, side="left") - 1, 0, len(points) - 2)
        fraction = np.minimum((s - steps[phase]) / (steps[phase + 1] - steps[phase]), 1.0)
        if self.anneal_strategy == "cos":
            fraction = 1.0 - _cosine(fraction)
        return rates[phase] + (rates[phase + 1] - rates[phase]) * fraction


class CosLog4(LearningRateSchedule):
    """Four waves, each about twice as long as the one before (RealMLP: Holzmüller, Grinsztajn and Steinwart, 2024).

    ``learning_rate * (1 - cos(2 * pi * log2(1 + 15 * t))) / 2`` with ``t = s / total_steps``, which is 0 at the
    beginning and at the end; after `total_steps` it stays 0.

    Parameters
    ----------
    learning_rate : float
        The largest rate; at least 0.
    total_steps : int
        Epochs times batches in an epoch.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.schedules import CosLog4
    >>> CosLog4(0.04, 1500)([0, 100, 300, 700, 1500, 1600]).round(12)
    array([0., 0., 0., 0., 0., 0.])
    >>> round(CosLog4(0.04, 1500)(100 * (2**0.5 - 1)), 12)
    0.04
    """

    name = "coslog4"

    def __init__(self, learning_rate: float, total_steps: int) -> None:
        self.learning_rate = number("learning_rate", learning_rate, NOT_NEGATIVE)
        self.total_steps = check_count("total_steps", total_steps)

    def _rates(self, s: Floats) -> Floats:
        t = np.minimum(s / self.total_steps, 1.0)
        return self.learning_rate * 0.5 * (1.0 - np.cos(2.0 * math.pi * np.log2(1.0 + 15.0 * t)))


class Sequential(LearningRateSchedule):
    """Schedules one after another, each of which counts its steps from 0.

    The first one while ``s < boundaries[0]``, the next one, at ``s - boundaries[0]``, while ``s < boundaries[1]``, ...
    The last one goes on; its end is this one's.

    Parameters
    ----------
    schedules : list of float, LearningRateSchedule or dict
        Numbers are constants.
    boundaries : list of int
        One less than `schedules`; at least 0, each larger than the one before.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    Constant for 100 steps, then a cosine down to 0 ("flat_cos"):

    >>> from fastnn.schedules import CosineDecay, Sequential
    >>> Sequential([0.4, CosineDecay(0.4, 100)], [100])([0, 99, 100, 150, 200])
    array([0.4, 0.4, 0.4, 0.2, 0. ])
    """

    def __init__(self, schedules: Sequence[Any], boundaries: Sequence[float]) -> None:
        self.schedules = [_part(f"schedules[{i}]", part) for i, part in enumerate(_list("schedules", schedules))]
        self.boundaries = _boundaries(boundaries)
        _check_pieces("schedules", self.schedules, self.boundaries)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"schedules": [part.get_config() for part in self.schedules]}

    def _rates(self, s: Floats) -> Floats:
        starts = np.array([0.0, *self.boundaries])
        piece = np.searchsorted(starts, s, side="right") - 1
        rates = np.empty(s.shape)
        for i, (part, start) in enumerate(zip(self.schedules, starts, strict=True)):
            here = piece == i
            if here.any():
                rates[here] = _rates_of(part, s[here] - start)
        return rates


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; received {value!r}")
    return bool(value)


def _list(name: str, value: Any) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a list; received {value!r}")
    return list(value)


def _boundaries(value: Any) -> list[float]:
    steps = [_steps(f"boundaries[{i}]", step, NOT_NEGATIVE) for i, step in enumerate(_list("boundaries", value))]
    if any(low >= high for low, high in itertools.pairwise(steps)):
        raise ValueError(f"each of boundaries must be larger than the one before; received {steps}")
    return steps


def _check_pieces(name: str, pieces: Sequence[Any], boundaries: Sequence[float]) -> None:
    if len(pieces) != len(boundaries) + 1:
        raise ValueError(f"{name} must be one more than boundaries; received {len(pieces)} and {len(boundaries)}")


def _part(name: str, value: Any) -> LearningRateSchedule:
    """A schedule within another one."""
    if isinstance(value, (LearningRateSchedule, Mapping)):
        return get(value)
    return Constant(number(name, value, NOT_NEGATIVE))


def _rates_of(schedule: LearningRateSchedule, s: Floats) -> Floats:
    """The rates of another schedule, the user's among them, at steps that need not be whole."""
    if type(schedule).__call__ is LearningRateSchedule.__call__:
        return schedule._rates(s)
    whole = s.astype(np.int64)
    flat = (whole if np.array_equal(whole, s) else s).ravel()
    return _rates_of_user(schedule, flat).reshape(s.shape)


def _warmed(s: Floats, warmup_steps: float, begin: float, target: float, after: Floats) -> Floats:
    """The line from `begin` to `target`, then `after`."""
    if not warmup_steps:
        return after
    return np.where(s < warmup_steps, (target - begin) * (s / warmup_steps) + begin, after)


_CLASSES: tuple[type[LearningRateSchedule], ...] = (
    Constant, ExponentialDecay, InverseTimeDecay, PolynomialDecay, PiecewiseConstantDecay, CosineDecay,
    CosineDecayRestarts, WarmUp, OneCycle, CosLog4, Sequential)
_TABLE: dict[str, Callable[..., LearningRateSchedule]] = {cls.name: cls for cls in _CLASSES}


def get(identifier: Any) -> LearningRateSchedule:
    """The schedule that `identifier` stands for.

    Parameters
    ----------
    identifier : dict, LearningRateSchedule, or str or subclass for one whose arguments all have defaults
        A dict is what ``get_config`` returns, or Keras' ``{"class_name": ..., "config": {...}}``.

    Returns
    -------
    LearningRateSchedule

    Raises
    ------
    ValueError
        For an unknown name, with the closest known one.
    TypeError
        For anything else, and where arguments are missing.

    Examples
    --------
    >>> from fastnn import schedules
    >>> schedules.get({"name": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 100})
    CosineDecay(initial_learning_rate=0.1, decay_steps=100, alpha=0.0, warmup_target=None, warmup_steps=0)
    """
    if isinstance(identifier, Mapping) and "class_name" in identifier:
        config = identifier.get("config")
        identifier = (dict(config) if isinstance(config, Mapping) else {}) | {"name": identifier["class_name"]}
    return find(identifier, LearningRateSchedule, _TABLE)


def serialize(schedule: LearningRateSchedule) -> dict[str, Any]:
    """The configuration of a schedule.

    Examples
    --------
    >>> from fastnn import schedules
    >>> schedules.serialize(schedules.CosLog4(0.04, 1000))
    {'name': 'coslog4', 'learning_rate': 0.04, 'total_steps': 1000}
    """
    return schedule.get_config()


def deserialize(config: dict[str, Any]) -> LearningRateSchedule:
    """The schedule of a configuration.

    Examples
    --------
    >>> from fastnn import schedules
    >>> schedules.deserialize({"name": "constant", "learning_rate": 0.5})
    Constant(learning_rate=0.5)
    """
    return get(config)
