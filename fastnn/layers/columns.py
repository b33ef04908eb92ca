"""Columns: some of the features."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._kernels.program import Program
from fastnn.layers.base import Layer
from fastnn.named import integer

__all__ = ["Columns"]


class Columns(Layer):
    """Selects features: ``y = x[..., indices]``.

    Columns that follow one another are read where they lie; nothing is copied.

    Parameters
    ----------
    indices : int, slice, or sequence of int
        Along the last axis; negative ones count from its end, and an index may stand there several times.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        If they are not integers or none; when it is built, if the input has no such column.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Columns([2, 0, 0])])
    >>> model.predict([[1.0, 2.0, 3.0]])
    array([[3., 1., 1.]], dtype=float32)
    >>> fnn.layers.Columns(slice(1, None)).compute_output_shape((4,))
    (3,)
    """

    def __init__(self, indices: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self.indices: slice | list[int] = _checked(indices)

    def selected(self, n: int) -> list[int]:
        """The indices among `n` columns, none of them negative."""
        if isinstance(self.indices, slice):
            chosen = list(range(n))[self.indices]
            if not chosen:
                raise ValueError(f"indices={self.indices} of {n} columns are none; at least one is needed")
            return chosen
        for index in self.indices:
            if not -n <= index < n:
                raise ValueError(f"indices contain {index}; the input has {n} columns, {-n} to {n - 1} are allowed")
        return [index % n for index in self.indices]

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*input_shape[:-1], len(self.selected(input_shape[-1])))

    def _flat(self, input_shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Of the outputs, as flat samples have them."""
        places = np.arange(math.prod(input_shape), dtype=np.int64).reshape(-1, input_shape[-1])
        return places[:, self.selected(input_shape[-1])].ravel()

    def trace(self, input_shape: tuple[int, ...], columns: NDArray[Any] | None, found: Any) -> NDArray[Any] | None:
        return None if columns is None else columns[self._flat(input_shape)]

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return program.columns(source, self._flat(self.input_shape))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if isinstance(self.indices, slice):
            config["indices"] = {"slice": [self.indices.start, self.indices.stop, self.indices.step]}
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        indices = config.get("indices")
        if isinstance(indices, dict):
            parts = indices.get("slice")
            if not isinstance(parts, list) or len(parts) != 3:
                raise ValueError(f"indices={indices!r}; integers or {{'slice': [start, stop, step]}} are allowed")
            indices = slice(*parts)
        return super().from_config(config | {"indices": indices})


def _checked(indices: Any) -> slice | list[int]:
    allowed = "an integer, a slice or a sequence of integers"
    if isinstance(indices, slice):
        parts = [part if part is None else _integer(part, allowed) for part in
                 (indices.start, indices.stop, indices.step)]
        if parts[2] == 0:
            raise ValueError("indices must not be a slice with step 0")
        return slice(*parts)
    if hasattr(indices, "__index__") and not getattr(indices, "shape", ()):
        return [_integer(indices, allowed)]
    if not isinstance(indices, Iterable) or isinstance(indices, (str, bytes, dict)):
        raise TypeError(f"indices must be {allowed}; received {indices!r}")
    chosen = [_integer(index, allowed) for index in indices]
    if not chosen:
        raise ValueError(f"indices must be at least one; received {indices!r}")
    return chosen


def _integer(value: Any, allowed: str) -> int:
    index = integer(value)
    if index is None:
        raise TypeError(f"indices must be {allowed}; received {value!r}")
    return index
