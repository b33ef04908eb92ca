"""Numbers that describe the weights of a model, and what its layers make of samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import svds

from fastnn._kernels import program as engine
from fastnn._kernels.threads import effective_n_threads
from fastnn.inputs import as_features
from fastnn.layers.base import Layer
from fastnn.model import Sequential
from fastnn.notebooks import tables_html
from fastnn.weights.transfer import named_weights

__all__ = ["LayerStatistics", "Statistics", "WeightStatistics", "describe", "layer_outputs", "layer_statistics",
           "spectral_norm", "statistics", "table"]

Array = NDArray[Any]

NEAR_ZERO = 0.01  # of the root mean square
BLOCK = 8192      # numbers, 64 KiB in float64: larger temporaries go back to the system and are mapped anew, page by
                  # page, which took 4 ms for 784 x 512
EXACT_SVD = 64    # shorter sides at which the whole decomposition takes no longer than Lanczos' iteration


@dataclass(frozen=True)
class WeightStatistics:
    """Of one array of weights.

    Attributes
    ----------
    name : str
        ``layer.weight``.
    shape : tuple of int
    mean, std, min, max : float
    norm : float
        Square root of the sum of squares.
    near_zero : float
        Part of the numbers that are at most a hundredth of their root mean square; 1 if all are 0.
    spectral_norm : float or None
        Largest singular value of an array of two or more dimensions, seen as the matrix (..., outputs).
    dead_units : int or None
        Columns of such a matrix that are all zero: outputs that no input reaches.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    std: float
    min: float
    max: float
    norm: float
    near_zero: float
    spectral_norm: float | None
    dead_units: int | None


@dataclass(frozen=True)
class LayerStatistics:
    """Of a layer's outputs for samples.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of one output sample.
    mean, std, min, max : float
    dead_units : int
        Outputs (channels, along the last axis) that are the same number for every sample: a ReLU that is 0
        everywhere, a sigmoid that is saturated everywhere.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    std: float
    min: float
    max: float
    dead_units: int


@dataclass(frozen=True, repr=False)
class Statistics:
    """What `statistics` found; printed it is a table.

    Attributes
    ----------
    weights : tuple of WeightStatistics
        In the order of ``get_weights``.
    layers : tuple of LayerStatistics
        Empty where no samples were given.
    """

    weights: tuple[WeightStatistics, ...]
    layers: tuple[LayerStatistics, ...]

    def __repr__(self) -> str:
        return "\n\n".join(table(rows, 2) for rows in self._tables())

    def _repr_html_(self) -> str:
        return tables_html(self._tables(), 2)

    def _tables(self) -> list[list[tuple[str, ...]]]:
        names = ("mean", "std", "min", "max", "norm")
        rows: list[tuple[str, ...]] = [("weight", "shape", *names, "near 0", "spectral norm", "dead units")]
        for w in self.weights:
            rows.append((w.name, _sizes(w.shape), *(f"{getattr(w, name):.4g}" for name in names),
                         f"{w.near_zero:.1%}", "" if w.spectral_norm is None else f"{w.spectral_norm:.4g}",
                         "" if w.dead_units is None else f"{w.dead_units}"))
        tables = [rows]
        if self.layers:
            rows = [("outputs of", "shape", *names[:4], "dead units")]
            rows += [(row.name, _sizes(row.shape), *(f"{getattr(row, name):.4g}" for name in names[:4]),
                      f"{row.dead_units}") for row in self.layers]
            tables.append(rows)
        return tables


def statistics(model: Sequential, x: Any = None, *, n_threads: int | None = None) -> Statistics:
    """Statistics of all weights and, with samples, of all layers' outputs.

    Parameters
    ----------
    model : Sequential
        A built model.
    x : array-like (n, ...), optional
        At least two samples; some hundred are enough.
    n_threads : int, optional

    Returns
    -------
    Statistics
        ``weights`` and ``layers``; its ``repr`` is a table. Weights that are NaN or infinite have means and norms that
        are so too: it is they that one looks for.

    Raises
    ------
    TypeError, ValueError
        If the model is not built, or `x` is not as for `predict`, or a single sample.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(3, activation="relu")])
    >>> model.set_weights([np.array([[1.0, -1.0, 0.0], [1.0, -1.0, 2.0]]), np.zeros(3)])
    >>> fnn.weights.statistics(model, np.array([[1.0, 2.0], [2.0, 2.0]]))
    weight        shape    mean    std  min  max   norm  near 0  spectral norm  dead units
    dense.kernel  2x3    0.3333  1.106   -1    2  2.828   16.7%          2.613           0
    dense.bias    3           0      0    0    0      0  100.0%
    <BLANKLINE>
    outputs of  shape  mean    std  min  max  dead units
    dense       3       2.5  1.803    0    4           2
    """
    weights = tuple(describe(name, weight) for name, weight in named_weights(model, "model").items())
    return Statistics(weights, () if x is None else layer_statistics(model, x, n_threads))


@np.errstate(invalid="ignore", over="ignore")  # weights may be infinite
def describe(name: str, weight: Array, spectral: bool = True) -> WeightStatistics:
    """The statistics of one array, computed in float64; `spectral`: its spectral norm, too."""
    blocks = [weight.reshape(-1)[i:i + BLOCK] for i in range(0, weight.size, BLOCK)]
    total = square = variance = 0.0
    near_zero = 0
    for block in blocks:
        wide = block.astype(np.float64)
        total += float(wide.sum())
        square += float(np.vdot(wide, wide))
    mean, least = total / weight.size, NEAR_ZERO * math.sqrt(square / weight.size)
    for block in blocks:
        wide = block.astype(np.float64)
        near_zero += int(np.count_nonzero(np.abs(wide) <= least))
        wide -= mean
        variance += float(np.vdot(wide, wide))
    matrix = weight.reshape(-1, weight.shape[-1]) if weight.ndim > 1 else None
    return WeightStatistics(
        name, weight.shape, mean, math.sqrt(variance / weight.size), float(weight.min()), float(weight.max()),
        math.sqrt(square), near_zero / weight.size,
        spectral_norm(matrix) if spectral and matrix is not None else None,
        None if matrix is None else int(np.count_nonzero(~matrix.any(axis=0))))


def spectral_norm(matrix: ArrayLike) -> float:
    """The largest singular value of a matrix; NaN where the matrix is not finite.

    By decomposition of small matrices, else by Lanczos' iteration from a fixed start, until it is known to a
    relative 1e-6: 0.04 s for 784 x 512.

    Parameters
    ----------
    matrix : array-like (rows, columns)

    Raises
    ------
    ValueError
        If it is no matrix.

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.weights.spectral_norm([[3.0, 0.0], [0.0, -4.0]])
    4.0
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"spectral_norm takes a matrix; received shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        return math.nan
    if min(matrix.shape) <= EXACT_SVD:
        return float(np.linalg.norm(matrix, 2))
    if not matrix.any():
        return 0.0
    start = np.random.default_rng(0).normal(size=min(matrix.shape))
    return float(svds(matrix, k=1, tol=1e-6, v0=start, return_singular_vectors=False)[0])


def layer_outputs(model: Sequential, x: Any, *, n_threads: int | None = None) -> Iterator[tuple[Layer, Array]]:
    """Each layer of a model with its outputs for samples, as `predict` computes them.

    Parameters
    ----------
    model : Sequential
        A built model.
    x : array-like (n, ...)
    n_threads : int, optional

    Yields
    ------
    layer : Layer
    outputs : ndarray (n, ...)

    Raises
    ------
    TypeError, ValueError
        If the model is not built, or `x` is not as for `predict`.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Rescaling(2.0), fnn.layers.Activation("relu")])
    >>> for layer, outputs in fnn.weights.layer_outputs(model, [[1.0, -1.0]]):
    ...     print(layer.name, outputs)
    rescaling [[ 2. -2.]]
    activation [[2. 0.]]
    """
    named_weights(model, "model")
    rows, _ = as_features(x, model.input_shape, "x", model.dtype)
    threads = effective_n_threads(n_threads)
    for layer in model.layers:
        program = engine.Program(model.dtype, layer.n_inputs)
        buffer = layer.lower(program, 0, False, False)
        if not program.ops:
            program.affine(buffer, 1.0, 0.0)
        program.finish(False)
        rows = engine.Pool(program, model._flat).predict(rows, threads)
        yield layer, rows.reshape(len(rows), *layer.output_shape)


@np.errstate(invalid="ignore", over="ignore")
def layer_statistics(model: Sequential, x: Any, n_threads: int | None = None) -> tuple[LayerStatistics, ...]:
    """Of the outputs of each layer for samples."""
    found = []
    for layer, outputs in layer_outputs(model, x, n_threads=n_threads):
        if len(outputs) < 2:
            raise ValueError("x must have at least two samples, or every unit would look dead; received "
                             f"{len(outputs)}")
        units = outputs.reshape(-1, outputs.shape[-1])
        low, high = units.min(axis=0), units.max(axis=0)
        found.append(LayerStatistics(layer.name, layer.output_shape, float(units.mean(dtype=np.float64)),
                                     float(units.std(dtype=np.float64)), float(low.min()), float(high.max()),
                                     int(np.count_nonzero(low == high))))
    return tuple(found)


def table(rows: Sequence[Sequence[str]], n_left: int) -> str:
    """Columns of text, the first `n_left` of them to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:<{width}}" if i < n_left else f"{cell:>{width}}"
                               for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                     for row in rows)


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
