"""Constraints: what weights are brought back to after every step, with the formulas of Keras 3.

A constraint is called with an array and returns the nearest one it allows. Given to a layer as ``kernel_constraint`` or
``bias_constraint`` it is applied after each update. The compiled engine applies the classes here; one of your own is
called once a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import kernels
from fastnn._kernels.program import Program
from fastnn.kernels.restraints import norm_layout
from fastnn.named import Named, find, number

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "WeightClip", "get", "serialize", "deserialize"]

Array = NDArray[Any]
Axis = int | tuple[int, ...] | None

NOT_NEGATIVE = "[0, inf)"


def _copy(w: ArrayLike) -> Array:
    """`w` as a new contiguous array of float32 or float64."""
    a = np.asarray(w)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"w must be an array of real numbers; received dtype {a.dtype}")
    return np.array(a, a.dtype if a.dtype.char in "fd" and a.dtype.isnative else np.float64, order="C")


def _axis(axis: Any) -> Axis:
    """An axis, a tuple of them, or None for all."""
    entries = list(axis) if isinstance(axis, Sequence) and not isinstance(axis, str) else [axis]
    if axis is not None and not all(isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in entries):
        raise TypeError(f"axis must be an integer, a list of them, or None; received {axis!r}")
    if axis is None:
        return None
    return tuple(int(a) for a in entries) if isinstance(axis, Sequence) else int(axis)


class Constraint(Named):
    """Base of the constraints; for one of your own define ``__call__``.

    A constraint written in Python is called once a step for each weight it is given to, under the GIL, when the step is
    done: if it raises an error, or returns something of another shape, the call of `fit` ends with the weights after
    the step as the optimizer left them.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> class Between(fnn.constraints.Constraint):
    ...     name = "between"
    ...     def __init__(self, low=-1.0, high=1.0):
    ...         self.low, self.high = low, high
    ...     def __call__(self, w):
    ...         return np.clip(w, self.low, self.high)
    >>> Between()(np.array([-3.0, 0.5]))
    array([-1. ,  0.5])
    """

    def __call__(self, w: Any) -> Array:
        """The weights that are allowed in place of `w`."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, w)")

    def check(self, shape: Sequence[int]) -> None:
        """ValueError where the constraint cannot be put on weights of `shape`."""

    def lower(self, program: Program, tensor: int, shape: Sequence[int]) -> None:
        """Give the engine's program the constraint of one of its tensors."""
        program.python_constraint(tensor, shape, self)


class MinMaxNorm(Constraint):
    """Norms within [`min_value`, `max_value`], or `rate` of the way there.

    With ``norm = sqrt(sum(w ** 2, axis))`` the weights are multiplied by ``(rate * clip(norm, min_value, max_value) +
    (1 - rate) * norm) / (1e-7 + norm)``.

    Parameters
    ----------
    min_value : float, default 0.0
        At least 0.
    max_value : float, default 1.0
        At least `min_value`.
    rate : float, default 1.0
        In [0, 1].
    axis : int, list of int or None, default 0
        What norms sum over: the first dimensions of the weights or the last ones. 0 constrains the weights into each
        unit of a Dense layer, ``[0, 1, 2]`` each filter of a Conv2D; None is the whole array.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.constraints import MinMaxNorm
    >>> MinMaxNorm(min_value=0.5, max_value=1.0)(np.array([[3.0, 0.0], [4.0, 0.1]])).round(3)
    array([[0.6, 0. ],
           [0.8, 0.5]])
    """

    name = "min_max_norm"

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0) -> None:
        self.min_value = number("min_value", min_value, NOT_NEGATIVE)
        self.max_value = number("max_value", max_value, f"[{self.min_value!r}, inf)")
        self.rate = number("rate", rate, "[0, 1]")
        self.axis = _axis(axis)

    def _range(self) -> tuple[float, float, float]:
        return self.min_value, self.max_value, self.rate

    def __call__(self, w: Any) -> Array:
        new = _copy(w)
        kernels.norm_constraint(new, *self._range(), self.axis)
        return new

    def check(self, shape: Sequence[int]) -> None:
        norm_layout(shape, self.axis)

    def lower(self, program: Program, tensor: int, shape: Sequence[int]) -> None:
        if type(self) not in _CLASSES:  # a subclass may do anything
            return super().lower(program, tensor, shape)
        return program.norm_constraint(tensor, *norm_layout(shape, self.axis), *self._range())

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config | ({"axis": list(self.axis)} if isinstance(self.axis, tuple) else {})


class MaxNorm(MinMaxNorm):
    """Norms of at most `max_value` (Srebro and Shraibman, 2005; with dropout: Srivastava et al., 2014).

    Parameters
    ----------
    max_value : float, default 2
        At least 0.
    axis : int, list of int or None, default 0
        As for `MinMaxNorm`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.constraints import MaxNorm
    >>> MaxNorm(1.0)(np.array([[3.0, 0.0], [4.0, 0.1]])).round(3)
    array([[0.6, 0. ],
           [0.8, 0.1]])
    """

    name = "max_norm"

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value = number("max_value", max_value, NOT_NEGATIVE)
        self.axis = _axis(axis)

    def _range(self) -> tuple[float, float, float]:
        return 0.0, self.max_value, 1.0


class UnitNorm(MinMaxNorm):
    """Norms of 1: ``w / (1e-7 + norm)``. Weights that are all 0 stay so.

    Parameters
    ----------
    axis : int, list of int or None, default 0
        As for `MinMaxNorm`.

    Raises
    ------
    TypeError
        If `axis` is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.constraints import UnitNorm
    >>> UnitNorm()(np.array([[3.0, 0.0], [4.0, 0.0]])).round(3)
    array([[0.6, 0. ],
           [0.8, 0. ]])
    """

    name = "unit_norm"

    def __init__(self, axis: Any = 0) -> None:
        self.axis = _axis(axis)

    def _range(self) -> tuple[float, float, float]:
        return 1.0, 1.0, 1.0


class NonNeg(Constraint):
    """Negative weights become 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.constraints import NonNeg
    >>> NonNeg()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    name = "non_neg"

    def __call__(self, w: Any) -> Array:
        return np.maximum(_copy(w), 0)

    def lower(self, program: Program, tensor: int, shape: Sequence[int]) -> None:
        if type(self) not in _CLASSES:
            return super().lower(program, tensor, shape)
        return program.non_negative(tensor)


class WeightClip(Constraint):
    """Weights within [-clip_value, clip_value], as BinaryConnect holds those that it rounds (Courbariaux, Bengio and
    David, 2015).

    Parameters
    ----------
    clip_value : float, default 1.0
        More than 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.constraints import WeightClip
    >>> WeightClip()(np.array([-1.5, 0.5]))
    array([-1. ,  0.5])
    """

    name = "weight_clip"

    def __init__(self, clip_value: float = 1.0) -> None:
        self.clip_value = number("clip_value", clip_value, "(0, inf)")

    def __call__(self, w: Any) -> Array:
        return np.clip(_copy(w), -self.clip_value, self.clip_value)

    def lower(self, program: Program, tensor: int, shape: Sequence[int]) -> None:
        if type(self) not in _CLASSES:
            return super().lower(program, tensor, shape)
        return program.clip_constraint(tensor, self.clip_value)


_CLASSES: tuple[type[Constraint], ...] = (MaxNorm, MinMaxNorm, NonNeg, UnitNorm, WeightClip)
_TABLE: dict[str, Callable[..., Constraint]] = {cls.name: cls for cls in _CLASSES}


def get(identifier: Any) -> Constraint | None:
    """The constraint that `identifier` stands for.

    Parameters
    ----------
    identifier : str, dict, Constraint, subclass of Constraint or None
        A dict is what ``get_config`` returns; None is none.

    Returns
    -------
    Constraint or None

    Raises
    ------
    ValueError
        For an unknown name, with the closest known one.
    TypeError
        For anything else.

    Examples
    --------
    >>> from fastnn import constraints
    >>> constraints.get("max_norm")
    MaxNorm(max_value=2.0, axis=0)
    """
    return None if identifier is None else find(identifier, Constraint, _TABLE)


def serialize(constraint: Constraint) -> dict[str, Any]:
    """The configuration of a constraint.

    Examples
    --------
    >>> from fastnn import constraints
    >>> constraints.serialize(constraints.UnitNorm())
    {'name': 'unit_norm', 'axis': 0}
    """
    return constraint.get_config()


def deserialize(config: dict[str, Any]) -> Constraint | None:
    """The constraint of a configuration.

    Examples
    --------
    >>> from fastnn import constraints
    >>> constraints.deserialize({"name": "max_norm", "max_value": 3.0, "axis": 0})
    MaxNorm(max_value=3.0, axis=0)
    """
    return get(config)
