"""What a report says of a model on samples that it was not trained on, as numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fastnn import activations, losses
from fastnn.inputs import as_array, as_labels, as_targets
from fastnn.model import Sequential
from fastnn.sparse_inputs import Csr, as_csr, is_sparse, joined
from fastnn.streams import as_stream, checked_chunks
from fastnn.weights.plot.select import some

__all__ = ["Importances", "Samples", "most_confused", "per_class", "per_target", "permuted"]

Array = NDArray[Any]

ROWS = 100_000          # of a stream
IMPORTANCE_ROWS = 500
CANDIDATES = 40         # features that are permuted
REPEATS = 3
SECONDS = 5.0           # for all of them


@dataclass
class Samples:
    """Samples with answers, and the model's.

    x : as the model takes them, (n, ...), or Csr
    y : labels (n,), or targets (n, n_outputs)
    outputs : (n, n_outputs)
    loss : the model's
    """

    x: Any
    y: Array
    outputs: Array
    loss: losses.Loss

    @classmethod
    def of(cls, model: Sequential, x: Any, y: Any, n_threads: int | None) -> Samples:
        """Checked: errors name X_val and y_val."""
        if as_stream(x) is not None and y is None:
            x, y = _gathered(x)
        model._data(x, y, None, names=("X_val", "y_val"))
        rows = as_csr(x, "X_val", model.dtype) if is_sparse(x) else as_array(x, "X_val")
        outputs = model.predict(rows, n_threads=n_threads).reshape(len(rows), -1)
        if model._loss.sparse:
            known: Array = as_labels(y, len(rows), model.n_outputs)
        else:
            known = as_targets(y, len(rows), model.output_shape, model.dtype)
        return cls(rows, known, outputs, model._loss)

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def finite(self) -> NDArray[np.bool_]:
        """(n,): whether the outputs are numbers."""
        return np.asarray(np.isfinite(self.outputs).all(axis=1))

    @cached_property
    def task(self) -> str:
        """One of "classes", "labels" (several at once), "numbers"."""
        if isinstance(self.loss, (losses.SparseCategoricalCrossentropy, losses.CategoricalCrossentropy)):
            return "classes"
        if isinstance(self.loss, losses.BinaryCrossentropy) and np.isin(self.y, (0, 1)).all():
            return "classes" if self.outputs.shape[1] == 1 else "labels"
        return "numbers"

    @property
    def n_classes(self) -> int:
        return max(2, self.outputs.shape[1])

    @cached_property
    def true(self) -> Array:
        """The class of each sample, or what is on."""
        if self.task == "labels":
            return self.y > 0.5
        return self.y if self.y.ndim == 1 else self._classes(self.y, 0.5)

    @cached_property
    def predicted(self) -> Array:
        threshold = 0.0 if getattr(self.loss, "from_logits", False) else 0.5
        return self.outputs >= threshold if self.task == "labels" else self._classes(self.outputs, threshold)

    @property
    def sureness(self) -> Array:
        """(n,): how far the largest probability is above that of no opinion, which grows with it."""
        chances = self.outputs
        if getattr(self.loss, "from_logits", False):
            chances = activations.get(self.loss._activation)(chances)   # type: ignore[attr-defined]
        return np.asarray(np.abs(chances - (0.5 if chances.shape[1] == 1 else 0)).max(axis=1))

    @staticmethod
    def _classes(rows: Array, threshold: float) -> Array:
        return (rows[:, 0] >= threshold).astype(np.int64) if rows.shape[1] == 1 else rows.argmax(axis=1)


def _gathered(stream: Any) -> tuple[Any, Array]:
    """The first rows of a stream."""
    found = as_stream(stream)
    assert found is not None
    chunks, rows = [], 0
    for chunk in checked_chunks(found.open()[0], True):
        chunks.append(chunk[:2])
        rows += len(chunk[1])
        if rows >= ROWS:
            break
    if not chunks:
        raise ValueError("X_val is a stream without samples")
    x, y = zip(*chunks, strict=True)
    return joined([part.copy() for part in x]) if isinstance(x[0], Csr) else np.concatenate(x), np.concatenate(y)


# ---- answers -------------------------------------------------------------------------------------------------


def per_class(true: Array, predicted: Array, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts (classes, classes), true ones in rows; and support, precision, recall, F1 (classes, 4), NaN where a
    quotient has no denominator. Rows of bool: each column is a class that is on or off, and the counts are empty."""
    if true.dtype == np.bool_:
        counts = np.empty((0, 0), np.int64)
        hit, support, said = (np.count_nonzero(rows, axis=0) for rows in (true & predicted, true, predicted))
    else:
        counts = np.bincount(true.astype(np.int64) * n + predicted, minlength=n * n).reshape(n, n)
        hit, support, said = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        figures = np.array([support, hit / said, hit / support, 2 * hit / (said + support)], np.float64).T
    return counts, figures


def most_confused(counts: NDArray[np.int64], most: int = 10) -> list[tuple[int, int, int]]:
    """True class, predicted class and how often, the most frequent first."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    return [(int(i), int(j), int(wrong[i, j])) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
            if wrong[i, j]]


def per_target(true: Array, predicted: Array) -> NDArray[np.float64]:
    """R2, mean absolute error, root of the mean square, mean of predicted - true, for each column."""
    true, error = true.astype(np.float64), predicted.astype(np.float64) - true
    square = np.mean(error**2, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(true.var(axis=0) > 0, 1 - square / true.var(axis=0), np.nan)
    return np.array([r2, np.mean(np.abs(error), axis=0), np.sqrt(square), error.mean(axis=0)]).T


# ---- features ------------------------------------------------------------------------------------------------


@dataclass
class Importances:
    """By how much the loss rises where a feature's values are shuffled.

    features : their places, those that matter most first
    mean, std : (features,), over shuffles
    rows : samples that were used, drawn at random where there are more
    of : features that there are
    """

    features: list[int]
    mean: Array
    std: Array
    rows: int
    of: int


def permuted(model: Sequential, samples: Samples, n_threads: int | None) -> Importances | None:
    """The importance of as many features as time allows; None where the loss is not finite."""
    index, x = some(len(samples), IMPORTANCE_ROWS), samples.x
    n, shape, y = len(index), x.shape[1:], samples.y[index]
    rows = sparse.csr_array((x.values, x.indices, x.indptr), shape=x.shape)[index] if isinstance(x, Csr) \
        else x[index].reshape(n, -1)
    candidates, found, start = _candidates(model, rows), {}, time.perf_counter()

    def loss(changed: Any) -> float:
        given = changed if sparse.issparse(changed) else changed.reshape(n, *shape)
        figures = model.evaluate(given, y, return_dict=True, n_threads=n_threads)
        assert isinstance(figures, dict)
        return figures["loss"]

    if n < 2 or not np.isfinite(before := loss(rows)):
        return None
    for feature in candidates:
        found[feature] = [loss(changed) - before for changed in _shuffled(rows, feature)]
        if time.perf_counter() - start > SECONDS:
            break
    mean = np.array([np.mean(rises) for rises in found.values()])
    order = np.argsort(-mean, kind="stable")
    std = np.array([np.std(rises) for rises in found.values()])
    return Importances(np.array(list(found))[order].tolist(), mean[order], std[order], n, rows.shape[1])


def _candidates(model: Sequential, rows: Any) -> list[int]:
    """The features that are worth a look: all, or those whose spread times their gradients, or, where there are none,
    times the weights behind them, are largest."""
    features = rows.shape[1]
    if features <= CANDIDATES:
        return list(range(features))
    if not sparse.issparse(rows):
        from fastnn.weights.importance import gradients_of_outputs

        size = np.std(rows, axis=0, dtype=np.float64)
        with suppress(ValueError, TypeError):  # layers for predictions alone have no gradients
            size *= np.abs(gradients_of_outputs(model, rows.astype(model.dtype))).sum(axis=0)
    else:
        mean, square = (np.asarray(part.mean(axis=0, dtype=np.float64)).ravel() for part in (rows, rows.power(2)))
        size = np.sqrt(np.maximum(square - mean**2, 0.0))
        kernel = getattr(model.layers[0], "kernel", None)
        if isinstance(kernel, np.ndarray) and len(kernel) == features:
            size *= np.linalg.norm(kernel, axis=1)
    return np.argsort(-np.nan_to_num(size), kind="stable")[:CANDIDATES].tolist()


def _shuffled(rows: Any, feature: int) -> Iterator[Any]:
    """The rows with the values of a column in other orders; the same array, changed, each time."""
    generator = np.random.default_rng(feature)
    if not sparse.issparse(rows):
        changed = rows.copy()
        for _ in range(REPEATS):
            changed[:, feature] = generator.permutation(rows[:, feature])
            yield changed
        return
    column = rows[:, [feature]].toarray()[:, 0]
    for _ in range(REPEATS):
        difference = generator.permutation(column) - column
        at = np.flatnonzero(difference)
        yield sparse.csr_array(rows + sparse.csr_array(
            (difference[at], (at, np.full(len(at), feature))), shape=rows.shape, dtype=rows.dtype))
