"""What the parameters of the estimators may be, in the form that scikit-learn checks and words errors for."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, InvalidParameterError, Options, StrOptions, make_constraint

from fastnn import activations, losses, optimizers
from fastnn.callbacks import Callback
from fastnn.schedules import LearningRateSchedule

__all__ = ["CONSTRAINTS", "HIDDEN_ACTIVATIONS", "SOLVERS", "check_elements", "hidden_sizes", "loss_constraint",
           "per_layer"]

HIDDEN_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}      # scikit-learn's names
SOLVERS = ("sgd", "adam", "lbfgs")

_LISTS: list[Any] = [list, tuple]

CONSTRAINTS: dict[str, Any] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions({*HIDDEN_ACTIVATIONS, *activations._TABLE}), activations.Activation, *_LISTS],
    "solver": [StrOptions(set(SOLVERS))],
    "alpha": [Interval(Real, 0, None, closed="left"), *_LISTS],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), LearningRateSchedule],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "preset": [StrOptions({"sklearn", "auto"})],
    "dropout": [Interval(Real, 0, 1, closed="left"), *_LISTS],
    "batch_norm": ["boolean", *_LISTS],
    "density": [Interval(Real, 0, 1, closed="right"), *_LISTS],
    "optimizer": [StrOptions(set(optimizers._TABLE)), optimizers.Optimizer, None],
    "clipnorm": [Interval(Real, 0, None, closed="neither"), None],
    "scoring": [StrOptions(set(get_scorer_names())), callable, *_LISTS, None],
    "callbacks": [Callback, *_LISTS, None],
    "n_jobs": [Interval(Integral, 1, None, closed="left"), Interval(Integral, None, -1, closed="right"), None],
    "n_ens": [Interval(Integral, 1, None, closed="left")],
}


def loss_constraint(*own: str) -> list[Any]:
    """Losses by the estimator's own names, by fastnn's, and as objects."""
    return [StrOptions({*own, *losses._TABLE}), losses.Loss]


def check_elements(parameters: Mapping[str, Any]) -> None:
    """The elements of lists must be what may stand alone, which scikit-learn's constraints do not say."""
    for name in ("activation", "alpha", "dropout", "batch_norm", "density", "callbacks"):
        value = parameters[name]
        allowed = [make_constraint(one) for one in CONSTRAINTS[name] if one is not None and one not in _LISTS]
        for i, element in enumerate(value if isinstance(value, (list, tuple)) else ()):
            if not any(one.is_satisfied_by(element) for one in allowed):
                raise InvalidParameterError(f"{name}[{i}] must be {' or '.join(map(str, allowed))}; received "
                                            f"{element!r}")


def hidden_sizes(value: Any) -> list[int]:
    """`hidden_layer_sizes` as a list."""
    sizes = list(value) if hasattr(value, "__iter__") else [value]
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool):
            raise TypeError(f"hidden_layer_sizes takes integers > 0; received {size!r}")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def per_layer(name: str, value: Any, count: int, what: str) -> list[Any]:
    """One value for each of `count` layers: a list is that, anything else stands for all of them."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must be one value or a list of {count}, one for each {what}; received a list of "
                         f"{len(value)}: {value!r}")
    return list(value)
