"""What the command line makes of data: sources, tasks, classes, and scaling that ends up in the model."""

from __future__ import annotations

import csv
import gzip
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import datasets
from fastnn.datasets import quoted
from fastnn.layers import Dense

__all__ = ["DIGITS", "TASKS", "Data", "Scaling", "choose_task", "class_labels", "class_names", "read_data"]

Array = NDArray[Any]

DIGITS = "digits"
TASKS = ("classification", "regression")
MAX_CLASSES = 100  # more distinct integers than these are measurements


@dataclass
class Data:
    """Samples and targets as they stand in the source, and its test set where it has one."""

    x: Array
    y: Array | None
    target: str | None = None
    features: list[str] | None = None
    test: tuple[Array, Array] | None = None


def read_data(source: str, target: str | None, *, needs_target: bool = True) -> Data:
    """The digits of the package, a folder of IDX files, an NPZ archive, or a CSV table.

    A CSV's column `target` may be absent where it is not needed.
    """
    if source == DIGITS or os.path.isdir(source):
        (x, y), test = datasets.load_digits() if source == DIGITS else datasets.load_idx(source)
        return Data(x, y, test=test)
    if source.lower().endswith(".npz") or zipfile.is_zipfile(source):
        x, labels = datasets.load_npz(source, target if needs_target else None)
        if labels is None and needs_target:
            raise ValueError(f"{source}: no targets; name their array with --target")
        return Data(x, labels, target)
    return _read_table(source, target, needs_target)


def _read_table(source: str, target: str | None, needs_target: bool) -> Data:
    delimiter = "\t" if source.lower().removesuffix(".gz").endswith(".tsv") else ","
    columns = _columns(source, delimiter)
    if needs_target and target is None:
        raise ValueError(f"{source}: name the column to learn with --target; its columns: {some(columns)}")
    if not needs_target and target not in columns:
        target = None
    x, y, features = datasets.load_csv(source, target, delimiter=delimiter)
    return Data(x, y, target, features)


def _columns(path: str, delimiter: str) -> list[str]:
    """The names in the first line; its errors are left to the reader of the whole file."""
    opener: Any = gzip.open if path.lower().endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        return [name.strip() for name in next(csv.reader([file.readline()], delimiter=delimiter), [])]


def select_columns(data: Data, wanted: Sequence[str] | None, source: str) -> Array:
    """The features that a model was trained on, in its order; all where it knows no names."""
    if wanted is None or data.features is None or list(wanted) == data.features:
        return data.x
    position = {name: i for i, name in enumerate(data.features)}
    for name in wanted:
        if name not in position:
            close = get_close_matches(name, position, n=1)
            hint = f" (there is {close[0]!r})" if close else ""
            raise ValueError(f"{source}: no column {name!r}, which the model needs{hint}; "
                             f"its columns: {some(data.features)}")
    return data.x[:, [position[name] for name in wanted]]


def choose_task(y: Array, asked: str | None) -> tuple[str, str]:
    """The task for these targets, and why."""
    if y.ndim > 1 and y.shape[1] > 1:
        if asked == "classification":
            raise ValueError(f"classification needs one target a row; the targets have shape {y.shape}")
        return "regression", f"the target has {y.shape[1]} columns"
    if asked == "regression" and y.dtype.kind not in "biuf":
        raise ValueError(f"regression needs numbers; the target is text such as {quoted(str(y.flat[0]))}")
    if asked is not None:
        return asked, "as asked"
    if y.dtype.kind not in "biuf":
        return "classification", "the target is text"
    if not _whole(y).all():
        return "regression", "the target has fractions"
    values = len(np.unique(y))
    few = values <= min(MAX_CLASSES, max(2, len(y) // 2))
    task, other = TASKS if few else TASKS[::-1]
    return task, f"the target has {values} different integers (--task {other} to override)"


def _whole(values: Array) -> NDArray[np.bool_]:
    return np.isfinite(values) & (values == np.trunc(values))


def class_names(y: Array) -> list[str]:
    """The distinct classes, as text; numbers in the order of numbers."""
    values = np.unique(y)
    if values.dtype.kind not in "biufU":
        raise ValueError(f"classes must be integers or text; received dtype {values.dtype}")
    if values.dtype.kind == "U":
        return [str(value) for value in values]
    if not _whole(values).all():
        raise ValueError(f"classes must be integers or text; received {values[~_whole(values)][0]}")
    return [str(int(value)) for value in values]


def class_labels(y: Array, names: Sequence[str]) -> NDArray[np.int64]:
    """The position in `names` of the class of each row."""
    position = {name: i for i, name in enumerate(names)}
    found = class_names(y)
    for name in found:
        if name not in position:
            raise ValueError(f"the data has the class {quoted(name)}; the model knows {some(names)}")
    labels = np.unique(y.ravel(), return_inverse=True)[1]
    return np.array([position[name] for name in found], dtype=np.int64)[labels.ravel()]


def some(names: Sequence[str], most: int = 8) -> str:
    """The first few of `names`."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


@dataclass
class Scaling:
    """Columns to mean 0 and standard deviation 1, constant ones to 0: ``(x - mean) / scale``, float64."""

    mean: Array
    scale: Array

    @classmethod
    def of(cls, x: Array) -> Scaling:
        columns = x.reshape(len(x), -1).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = columns.mean(axis=0), columns.std(axis=0)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise ValueError("the data contains NaN, infinity, or numbers too large to be scaled")
        # The deviation of a constant column is what its mean lost to rounding.
        return cls(mean, np.where(scale > 1e-12 * np.abs(mean), scale, 1.0))

    def apply(self, x: Array) -> Array:
        return ((x.reshape(len(x), -1) - self.mean) / self.scale).reshape(x.shape)

    def move_into_input(self, layer: Dense) -> None:
        """Make the model's first dense layer take unscaled samples."""
        kernel = layer.kernel.astype(np.float64) / self.scale[:, None]
        layer.bias = layer.bias - self.mean @ kernel
        layer.kernel = kernel

    def move_into_output(self, layer: Dense) -> None:
        """Make the model's last layer, a linear one, give unscaled targets."""
        layer.kernel = layer.kernel * self.scale
        layer.bias = layer.bias * self.scale + self.mean
