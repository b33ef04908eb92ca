"""What has a name and arguments and can be looked up: activations, initializers, losses, metrics, optimizers."""

from __future__ import annotations

import difflib
import inspect
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, TypeVar

import numpy as np

__all__ = ["Named", "find", "integer", "listed", "number", "one_of"]

N = TypeVar("N", bound="Named")


class Named:
    """What activations, initializers and optimizers share: a name, and a configuration made of the
    constructor's arguments, each of which is an attribute."""

    name: ClassVar[str]

    def get_config(self) -> dict[str, Any]:
        """``{"name": ..., argument: value, ...}``, from which ``get`` makes an equal object."""
        return {"name": self.name} | self._arguments()

    def _arguments(self) -> dict[str, Any]:
        return {argument: getattr(self, argument) for argument in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{argument}={value!r}" for argument, value in self._arguments().items())
        return f"{type(self).__name__}({arguments})"


def find(identifier: Any, base: type[N], table: Mapping[str, Callable[..., N]]) -> N:
    """The object that a name, class, instance or configuration stands for."""
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, base) and identifier is not base:
        return identifier()
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", base.__name__).lower()
    if isinstance(identifier, Mapping):
        arguments = dict(identifier)
        identifier = arguments.pop("name", None)
    else:
        arguments = {}
    if not isinstance(identifier, str):
        raise TypeError(f"{kind} must be a name, a configuration with a 'name', or an instance or subclass "
                        f"of {base.__name__}; received {identifier!r}")
    # Keras takes "Adam", "MSE" and "MeanSquaredError" too.
    spelt = {key.replace("_", ""): key for key in table}
    identifier = spelt.get(identifier.lower().replace("_", ""), identifier)
    if identifier not in table:
        # One wrong letter of the two of "l3" is a ratio of 0.5.
        close = difflib.get_close_matches(identifier.lower(), table, n=1, cutoff=0.5 if len(identifier) < 3 else 0.6)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown {kind} {identifier!r}.{hint} Allowed: {', '.join(table)}")
    return table[identifier](**arguments)


def number(name: str, value: Any, allowed: str) -> float:
    """`value` as a finite float in the interval `allowed`, written as in "[0, 1)" or "(-inf, inf)"."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in {allowed}; received {value!r}")
    checked = float(value)
    low, high = (float(bound) for bound in allowed[1:-1].split(","))
    above = checked >= low if allowed[0] == "[" else checked > low
    below = checked <= high if allowed[-1] == "]" else checked < high
    if not (math.isfinite(checked) and above and below):
        raise ValueError(f"{name} must be in {allowed}; received {value!r}")
    return checked


def integer(value: Any) -> int | None:
    """`value` as an int, or None where it is no integer."""
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)  # all arrays have __index__; those of several numbers refuse it
    except TypeError:
        return None


def listed(name: str, value: Any, allowed: str) -> list[Any]:
    """`value` as a list: what it has one after the other, or, of a text, itself."""
    try:
        return [value] if isinstance(value, str) else list(value)
    except TypeError:
        raise TypeError(f"{name} must be {allowed}; received {value!r}") from None


def one_of(name: str, value: Any, allowed: Sequence[Any]) -> Any:
    """`value`, if it is one of `allowed`: strings, integers, None."""
    scalar = isinstance(value, (str, Integral, np.bool_, type(None)))  # an array has no single answer to ==
    if scalar and value in allowed:
        return value
    *most, last = map(repr, allowed)
    raise (ValueError if scalar else TypeError)(f"{name} must be {', '.join(most)} or {last}; received {value!r}")
