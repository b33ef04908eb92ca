"""Regularizers: penalties on weights and outputs that are added to the loss, with the formulas of Keras 3.

A regularizer is called with an array and returns its penalty. Given to a layer as ``kernel_regularizer`` or
``bias_regularizer``, the penalty of the weights before each step is part of the loss that is reported and minimised;
as ``activity_regularizer``, so is that of the layer's outputs over the number of samples. The compiled engine computes
penalties and gradients of the classes here; one of your own is called once a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import kernels
from fastnn._kernels.program import Program
from fastnn.named import Named, find, number, one_of

__all__ = ["Regularizer", "L1", "L2", "L1L2", "OrthogonalRegularizer", "get", "serialize", "deserialize"]

Array = NDArray[Any]

NOT_NEGATIVE = "[0, inf)"


def _real(x: ArrayLike) -> Array:
    """`x` as an array of float32 or float64."""
    a = np.asarray(x)
    if a.dtype.kind not in "biuf":
        raise TypeError(f"x must be an array of real numbers; received dtype {a.dtype}")
    return a if a.dtype.char in "fd" and a.dtype.isnative else a.astype(np.float64)


class Regularizer(Named):
    """Base of the regularizers; for one of your own define ``__call__`` and ``gradient``.

    A regularizer written in Python is called once a step for each weight it is given to, under the GIL; as
    ``activity_regularizer`` it is refused.

    Examples
    --------
    The penalty ``sum(log(1 + w ** 2))``:

    >>> import numpy as np
    >>> import fastnn as fnn
    >>> class Cauchy(fnn.regularizers.Regularizer):
    ...     name = "cauchy"
    ...     def __init__(self, factor=0.01):
    ...         self.factor = factor
    ...     def __call__(self, x):
    ...         return self.factor * np.log1p(x ** 2).sum()
    ...     def gradient(self, x):
    ...         return self.factor * 2 * x / (1 + x ** 2)
    >>> float(Cauchy(1.0)(np.zeros(3)))
    0.0
    """

    def __call__(self, x: Any) -> float:
        """The penalty of an array."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, x)")

    def gradient(self, x: Any) -> Array:
        """Derivative of the penalty with respect to each element of `x`."""
        raise NotImplementedError(f"{type(self).__name__} must define gradient(self, x)")

    def check(self, shape: Sequence[int]) -> None:
        """ValueError where the regularizer cannot be put on weights of `shape`."""

    def lower(self, program: Program, tensor: int, shape: Sequence[int]) -> None:
        """Give the engine's program the penalty of one of its tensors."""
        program.python_penalty(tensor, shape, self)


class L1L2(Regularizer):
    """``l1 * sum(abs(x)) + l2 * sum(x ** 2)`` (Zou and Hastie, "Regularization and variable selection via the elastic
    net", 2005).

    The derivative of the absolute value is taken as 0 at 0.

    Parameters
    ----------
    l1 : float, default 0.0
        At least 0.
    l2 : float, default 0.0
        At least 0. The string ``"l1_l2"`` stands for 0.01 in both.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.regularizers import L1L2
    >>> L1L2(l1=0.5, l2=0.25)(np.array([1.0, -2.0]))
    2.75
    """

    name = "l1_l2"

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = number("l1", l1, NOT_NEGATIVE), number("l2", l2, NOT_NEGATIVE)

    def __call__(self, x: Any) -> float:
        return kernels.l1_l2_penalty(_real(x), self.l1, self.l2)

    def gradient(self, x: Any) -> Array:
        x = np.ascontiguousarray(_real(x))
        grad = np.zeros_like(x)
        kernels.l1_l2_penalty(x, self.l1, self.l2, grad=grad)
        return grad

    def lower(self, program: Program, tensor: int, shape: Sequence[int]) -> None:
        if type(self) not in _CLASSES:  # a subclass may compute anything
            return super().lower(program, tensor, shape)
        return program.penalty(tensor, self.l1, self.l2)


class L1(L1L2):
    """``l1 * sum(abs(x))``, which drives weights to exactly zero where it can (Tibshirani, "Regression shrinkage and
    selection via the lasso", 1996).

    Parameters
    ----------
    l1 : float, default 0.01
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.regularizers import L1
    >>> L1(0.5)(np.array([1.0, -2.0])), L1(0.5).gradient(np.array([1.0, -2.0]))
    (1.5, array([ 0.5, -0.5]))
    """

    name = "l1"

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """``l2 * sum(x ** 2)``, also known as ridge or Tikhonov regularization (Hoerl and Kennard, 1970).

    With optimizers that scale gradients, such as Adam, it is not the same as a `weight_decay`, which they apply beside
    the gradient (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019).

    Parameters
    ----------
    l2 : float, default 0.01
        At least 0.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.regularizers import L2
    >>> L2(0.5)(np.array([1.0, -2.0])), L2(0.5).gradient(np.array([1.0, -2.0]))
    (2.5, array([ 1., -2.]))
    """

    name = "l2"

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


class OrthogonalRegularizer(Regularizer):
    """`factor` times the mean of ``abs(u @ v)`` over the pairs of rows (or columns) of a kernel, as unit vectors.

    It costs a product of the kernel with its own transpose, and one more for the gradient, in every step (Brock et
    al., "Neural photo editing with introspective adversarial networks", 2017, has the idea; the formula is that of
    Keras). A kernel with a single row (column) has the penalty 0.

    Parameters
    ----------
    factor : float, default 0.01
        At least 0.
    mode : {"rows", "columns"}, default "rows"
        What is to become orthogonal.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range, and for arrays that have not two dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.regularizers import OrthogonalRegularizer
    >>> OrthogonalRegularizer(1.0)(np.array([[3.0, 0.0], [4.0, 3.0]]))
    0.8
    """

    name = "orthogonal"

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = number("factor", factor, NOT_NEGATIVE)
        self.mode = one_of("mode", mode, ("rows", "columns"))

    def __call__(self, x: Any) -> float:
        return kernels.orthogonal_penalty(_real(x), self.factor, self.mode)

    def gradient(self, x: Any) -> Array:
        x = np.ascontiguousarray(_real(x))
        grad = np.zeros_like(x)
        kernels.orthogonal_penalty(x, self.factor, self.mode, grad=grad)
        return grad

    def check(self, shape: Sequence[int]) -> None:
        if len(shape) != 2:
            raise ValueError(f"OrthogonalRegularizer takes weights of two dimensions; received shape {tuple(shape)}")

    def lower(self, program: Program, tensor: int, shape: Sequence[int]) -> None:
        if type(self) not in _CLASSES:
            return super().lower(program, tensor, shape)
        n = shape[self.mode == "columns"]
        return program.orthogonal_penalty(tensor, self.mode == "columns", self.factor / max(1, n * (n - 1) / 2))


_CLASSES: tuple[type[Regularizer], ...] = (L1, L2, L1L2, OrthogonalRegularizer)
_TABLE: dict[str, Callable[..., Regularizer]] = {
    "l1": L1, "l2": L2,
    # As Keras documents the string; its constructor's defaults would make it do nothing.
    "l1_l2": lambda **arguments: L1L2(**arguments) if arguments else L1L2(0.01, 0.01),
    "orthogonal": OrthogonalRegularizer, "orthogonal_regularizer": OrthogonalRegularizer,
}


def get(identifier: Any) -> Regularizer | None:
    """The regularizer that `identifier` stands for.

    Parameters
    ----------
    identifier : str, dict, Regularizer, subclass of Regularizer or None
        A dict is what ``get_config`` returns; None is none.

    Returns
    -------
    Regularizer or None

    Raises
    ------
    ValueError
        For an unknown name, with the closest known one.
    TypeError
        For anything else.

    Examples
    --------
    >>> from fastnn import regularizers
    >>> regularizers.get("l2")
    L2(l2=0.01)
    """
    return None if identifier is None else find(identifier, Regularizer, _TABLE)


def for_activity(identifier: Any) -> Regularizer | None:
    """The same for a layer's outputs; of these the engine knows the penalties that are sums over single numbers."""
    regularizer = get(identifier)
    if regularizer is not None and type(regularizer) not in (L1, L2, L1L2):
        raise ValueError(f"activity_regularizer must be L1, L2 or L1L2; received {regularizer!r}")
    return regularizer


def serialize(regularizer: Regularizer) -> dict[str, Any]:
    """The configuration of a regularizer.

    Examples
    --------
    >>> from fastnn import regularizers
    >>> regularizers.serialize(regularizers.L1(0.5))
    {'name': 'l1', 'l1': 0.5}
    """
    return regularizer.get_config()


def deserialize(config: dict[str, Any]) -> Regularizer | None:
    """The regularizer of a configuration.

    Examples
    --------
    >>> from fastnn import regularizers
    >>> regularizers.deserialize({"name": "l1_l2", "l1": 0.5, "l2": 0.25})
    L1L2(l1=0.5, l2=0.25)
    """
    return get(config)
