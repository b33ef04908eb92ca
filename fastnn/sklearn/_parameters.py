"""What the parameters of the estimators may be, in the form that scikit-learn checks and words errors for."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastnn import activations, losses, optimizers
from fastnn.callbacks import Callback
from fastnn.schedules import LearningRateSchedule

__all__ = ["CONSTRAINTS", "HIDDEN_ACTIVATIONS", "SOLVERS", "loss_constraint", "per_layer"]

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


def per_layer(name: str, value: Any, count: int, what: str) -> list[Any]:
    """One value for each of `count` layers: a list is that, anything else stands for all of them."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must be one value or a list of {count}, one for each {what}; received a list of "
                         f"{len(value)}: {value!r}")
    return list(value)
