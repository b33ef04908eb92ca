"""Optimizers: names, arguments, defaults and formulas of Keras 3.

An optimizer holds numbers only; the kernels take its steps, and the model keeps its slots (the arrays that
last from step to step). In the formulas ``p`` is a parameter, ``g`` its gradient, ``t`` the step (the first
is 1) and ``lr`` the learning rate. With a `weight_decay` every step begins with
``p -= lr * weight_decay * p`` (Loshchilov and Hutter, 2019). All optimizers but `LBFGS` and `LazyAdam` take the options
of `Optimizer` as keywords.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn.named import find
from fastnn.optimizers.base import Optimizer
from fastnn.optimizers.descent import SGD, Adadelta, Adagrad, Ftrl, Lion, RMSprop
from fastnn.optimizers.lbfgs import LBFGS
from fastnn.optimizers.moments import Adam, Adamax, AdamW, LazyAdam, Nadam, RAdam, ScheduleFreeAdamW
from fastnn.optimizers.tensors import Adafactor, Lamb, Muon

__all__ = [
    "Optimizer",
    "SGD",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Adam",
    "AdamW",
    "LazyAdam",
    "Adamax",
    "Nadam",
    "Lion",
    "RAdam",
    "Ftrl",
    "ScheduleFreeAdamW",
    "Lamb",
    "Adafactor",
    "Muon",
    "LBFGS",
    "get",
    "serialize",
    "deserialize",
]

_CLASSES: tuple[type[Optimizer], ...] = (
    SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, LazyAdam, Adamax, Nadam, Lion, RAdam, Ftrl, ScheduleFreeAdamW, Lamb,
    Adafactor, Muon, LBFGS,
)
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
