"""The door for data: what users hand over becomes arrays that the engine may read without further checks.

X keeps its dtype and strides (60 000 images of uint8 stay 47 MB); labels, targets and weights are small and
become what the kernels read. Plain arrays of few numbers pass by a quick look (`_kernels/door.pyx`); the checks here
decide about all others, and word the errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._kernels.dispatch import SOURCES
from fastnn._kernels.door import (
    first_bad_index,
    first_nonfinite_row,
    plain_features,
    plain_labels,
    plain_targets,
    plain_weights,
)
from fastnn.named import integer

__all__ = ["all_finite", "as_features", "as_labels", "as_targets", "as_weights", "check_count", "class_weights",
           "combined_weights"]

Array = NDArray[Any]


def as_array(value: Any, name: str) -> Array:
    """`value` (array, frame, list) as an ndarray of a real numeric dtype in native byte order."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; fill it first, as in {name}.filled(0)")
    if hasattr(value, "tocsr"):
        raise TypeError(f"{name} is a scipy.sparse {type(value).__name__}; dense arrays are allowed: {name}.toarray()")
    if not isinstance(value, np.ndarray) and hasattr(value, "to_numpy"):
        value = value.to_numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} cannot be made an array: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}; floating-point, integer and boolean numbers are allowed")
    if array.dtype.str[1:] not in SOURCES:
        array = array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def check_finite(array: Array, name: str, dtype: str = "float64") -> None:
    """Refuse what is not finite in a 2-D array, or would not be in `dtype`, with the row that has it."""
    row = _nonfinite_row(array, dtype)
    if row >= 0:
        large = f" or a number too large for {dtype}" if array.dtype.itemsize > np.dtype(dtype).itemsize else ""
        raise ValueError(f"{name} contains NaN or infinity{large}, first in row {row}; only finite numbers are allowed")


def all_finite(array: Array) -> bool:
    """Whether all numbers of an array of at most two dimensions are finite."""
    return _nonfinite_row(array if array.ndim == 2 else array.reshape(1, -1), "float64") < 0


def _nonfinite_row(array: Array, dtype: str) -> int:
    if array.dtype.kind != "f" or not array.size:
        return -1
    return first_nonfinite_row(array, dtype)


def as_features(x: Any, shape: tuple[int, ...] | None = None, name: str = "x",
                dtype: str = "float64") -> tuple[Array, tuple[int, ...]]:
    """X as an array (n, features) that is finite in `dtype`, and the shape of a sample.

    Parameters
    ----------
    x : array-like (n, ...)
        Array, frame or list of real numbers.
    shape : tuple of int, optional
        The shape that a sample must have.
    name : str, default "x"
        What messages call it.
    dtype : {"float64", "float32"}
        What the values will be converted to.

    Returns
    -------
    rows : ndarray (n, prod(shape))
        A view of `x` wherever strides allow it.
    shape : tuple of int
    """
    if shape is not None and plain_features(x, shape, dtype):
        return x if x.ndim == 2 else x.reshape(len(x), -1), shape
    array = as_array(x, name)
    if array.ndim < 2:
        raise ValueError(f"{name} must have at least two dimensions, (samples, features); received shape {array.shape}")
    if shape is not None and array.shape[1:] != shape:
        raise ValueError(f"{name} has samples of shape {array.shape[1:]}; the model takes {shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: shape {array.shape}; at least one sample of one feature is needed")
    rows = array if array.ndim == 2 else array.reshape(len(array), -1)
    check_finite(rows, name, dtype)
    return rows, array.shape[1:]


def check_indices(rows: Array, name: str, layer: str, columns: Array, limit: int) -> None:
    """Refuse what is no integer in [0, limit) in these columns of X (n, features), which `layer` looks up."""
    for column in columns:
        values = rows[:, column]
        row = first_bad_index(values, limit)
        if row >= 0:
            raise ValueError(f"{name} contains {values[row]} in row {row}, column {column}; layer {layer!r} takes "
                             f"integers from 0 to {limit - 1}")


def _column(array: Array, name: str, n: int) -> Array:
    """(n,) from (n,) or (n, 1)."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape ({n},) or ({n}, 1); received {array.shape}")
    _check_length(array, name, n)
    return array


def _check_length(array: Array, name: str, n: int) -> None:
    if len(array) != n:
        raise ValueError(f"there are {n} samples, but {name} has {len(array)}")


def as_labels(y: Any, n: int, n_classes: int, name: str = "y") -> NDArray[np.int32]:
    """Integer labels in [0, n_classes), as int32 (n,); floats are allowed where they are whole numbers."""
    labels = plain_labels(y, n, n_classes)
    if labels is not None:
        return labels
    array = _column(as_array(y, name), name, n)
    allowed = f"integer labels from 0 to {n_classes - 1} are allowed (the model has {n_classes} outputs)"
    if array.dtype.kind == "f":
        check_finite(array[:, None], name)
        if (array != np.trunc(array)).any():
            at = int(np.argmax(array != np.trunc(array)))
            raise ValueError(f"{name} contains the fractional label {array[at]} in row {at}; {allowed}")
    low, high = array.min(), array.max()
    if low < 0 or high >= n_classes:
        at = int(np.argmax((array < 0) | (array >= n_classes)))
        raise ValueError(f"{name} contains the label {array[at]} in row {at}; {allowed}")
    return np.array(array, dtype=np.int32)  # a copy: what was checked must not change while training reads it


def as_targets(y: Any, n: int, output_shape: tuple[int, ...], dtype: str, probabilities: bool = False,
               name: str = "y") -> Array:
    """Target rows (n, n_outputs), contiguous, of the model's dtype; within [0, 1] for `probabilities`."""
    targets = plain_targets(y, n, output_shape, dtype, probabilities)
    if targets is not None:
        return targets
    array, n_outputs = as_array(y, name), math.prod(output_shape)
    if array.shape[1:] == output_shape or (array.ndim == 1 and n_outputs == 1):
        array = array.reshape(len(array), n_outputs)
    if array.ndim != 2 or array.shape[1] != n_outputs:
        raise ValueError(f"{name} must have shape ({n}, {n_outputs}), one column for each output; "
                         f"received {array.shape}")
    _check_length(array, name, n)
    check_finite(array, name, dtype)
    if probabilities and (array.min() < 0 or array.max() > 1):
        at = int(np.argmax(((array < 0) | (array > 1)).any(axis=1)))
        raise ValueError(f"{name} contains a value outside [0, 1] in row {at}; this loss takes probabilities")
    return np.array(array, dtype=dtype, order="C")


def as_weights(weight: Any, n: int, name: str = "sample_weight", part: bool = False) -> NDArray[np.float64]:
    """Finite weights >= 0, not all of them zero unless they are a `part` of more, as float64 (n,)."""
    weights = plain_weights(weight, n)
    if weights is not None:
        return weights
    array = np.array(_column(as_array(weight, name), name, n), dtype=np.float64)
    check_finite(array[:, None], name)
    if array.min() < 0:
        at = int(np.argmin(array))
        raise ValueError(f"{name} contains the negative weight {array[at]} in row {at}; weights >= 0 are allowed")
    if not (part or array.any()):
        raise ValueError(f"{name} is zero for all {n} samples; at least one weight must be positive")
    return array


def class_weights(class_weight: Mapping[int, float], labels: NDArray[np.intp], n_classes: int,
                  part: bool = False) -> NDArray[np.float64]:
    """The weight of each sample from the weight of its class; classes that are not named weigh 1."""
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight must be a dict of class: weight; received {type(class_weight).__name__}")
    table = np.ones(n_classes)
    for label, weight in class_weight.items():
        index = integer(label)
        if index is None or not 0 <= index < n_classes:
            raise ValueError(f"class_weight names the class {label!r}; allowed: 0 to {n_classes - 1}")
        if isinstance(weight, bool) or not isinstance(weight, Real) or not (weight >= 0 and math.isfinite(weight)):
            raise ValueError(f"class_weight gives class {label} the weight {weight!r}; finite numbers >= 0 are allowed")
        table[index] = weight
    return as_weights(table[labels], len(labels), "class_weight", part)


def combined_weights(sample_weight: Any, class_weight: Any, labels: Array | None, targets: Array | None, n: int,
                     n_outputs: int, part: bool = False) -> NDArray[np.float64] | None:
    """The product of sample and class weights, or None where neither is given."""
    weight = None if sample_weight is None else as_weights(sample_weight, n, part=part)
    if class_weight is None:
        return weight
    if labels is None:
        assert targets is not None
        labels = targets.argmax(axis=1) if n_outputs > 1 else (targets[:, 0] > 0.5).astype(np.intp)
    by_class = class_weights(class_weight, labels, max(2, n_outputs), part)
    return by_class if weight is None else as_weights(weight * by_class, n, "sample_weight * class_weight", part)


def check_count(name: str, value: Any, low: int = 1, high: int = 2**31 - 1) -> int:
    """An integer in [low, high]."""
    count = integer(value)
    if count is None:
        raise TypeError(f"{name} must be an integer; received {value!r}")
    if not low <= count <= high:
        raise ValueError(f"{name} must be in [{low}, {high}]; received {count}")
    return count


def check_seed(seed: Any) -> int | None:
    """None, or an integer that the counter-based generators take."""
    if seed is None:
        return None
    checked = integer(seed)
    if checked is None or not 0 <= checked < 2**63:
        raise ValueError(f"seed must be None or an integer in [0, 2**63); received {seed!r}")
    return checked


def check_shape(name: str, shape: Any) -> tuple[int, ...]:
    """A sample's shape: one or more positive integers whose product fits in memory."""
    if not isinstance(shape, Sequence) or isinstance(shape, (str, bytes)) or not shape:
        raise TypeError(f"{name} must be a tuple of positive integers; received {shape!r}")
    sizes = tuple(check_count(f"{name}[{i}]", size) for i, size in enumerate(shape))
    check_size(f"{name}={sizes}", *sizes)
    return sizes


def check_size(what: str, *sizes: int) -> int:
    """The product of `sizes` as elements of 8 bytes, which must be addressable."""
    size = math.prod(sizes)
    if size > 2**59:
        raise ValueError(f"{what} has {size} elements, more than can be addressed")
    return size
