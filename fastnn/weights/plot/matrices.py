"""Matrices of weights: heatmaps, images of units, histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.inputs import check_count
from fastnn.layers import Flatten, Rescaling
from fastnn.model import Sequential
from fastnn.named import number
from fastnn.weights.images import binned, mosaic, painted, tile_shape
from fastnn.weights.plot.figure import (
    CYCLE,
    bounds,
    cells_of,
    diverging_map,
    ink,
    library,
    new_axes,
    panels,
    pixels,
    plain,
    thousands,
)
from fastnn.weights.plot.select import kernel_of, layer_of, layers_with_kernels, matrix_of, shown

__all__ = ["block_means", "heatmap", "histograms", "input_image", "tiles"]

Axes = Any
Array = NDArray[Any]

MOST_TILES = 144


def heatmap(model: Sequential, layer: Any, *, limit: float | None = None, ax: Axes = None) -> Axes:
    """Draw a kernel as colours: blue below zero, white at zero, red above.

    Of kernels with more rows or columns than there are pixels a cell is the mean of a block, which the title tells;
    the ticks count the kernel's own rows and columns. A convolution's kernel is the matrix (window, filters).

    Parameters
    ----------
    model : Sequential
        A built model.
    layer : str, int or Layer
        A name or path, an index in ``model.layers``, or the layer.
    limit : float, optional
        Absolute value of the darkest colours; that of the largest cell by default.
    ax : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Cells with numbers that are not finite are grey; the title counts these.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If the model is not built, or has no such layer, or the layer no kernel.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((64,)), fnn.layers.Dense(10)], seed=0)
    >>> ax = fnn.weights.plot.heatmap(model, "dense")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('unit', 'input')
    """
    name, matrix = matrix_of(model, layer)
    limit = None if limit is None else number("limit", limit, "(0, inf)")
    ax = new_axes(ax)
    cells, block = block_means(matrix, *pixels(ax, matrix.shape))
    if limit is None:
        limit = float(np.max(np.abs(cells), initial=0.0, where=np.isfinite(cells))) or 1.0
    image = cells_of(ax, cells, block, matrix.shape, cmap=diverging_map(), vmin=-limit, vmax=limit)
    ax.get_figure().colorbar(image, ax=ax, label="weight" if block == (1, 1) else "mean weight")
    bad = int(np.count_nonzero(~np.isfinite(shown(matrix))))
    title = f"{plain(name)}: {thousands(matrix.shape[0])} x {thousands(matrix.shape[1])}"
    title += "" if block == (1, 1) else f", a cell is {block[0]} x {block[1]}"
    ax.set_title(title + (f"\n{thousands(bad)} not finite (grey)" if bad else ""))
    label_axes(ax, model, layer)
    return ax


def label_axes(ax: Axes, model: Sequential, layer: Any) -> None:
    """What rows and columns of a kernel are."""
    rows, columns = ("category", "dimension") if "embeddings" in layer_of(model, layer).weights else ("input", "unit")
    ax.set_xlabel(columns)
    ax.set_ylabel(rows)


def block_means(matrix: Any, rows: int, columns: int) -> tuple[Array, tuple[int, int]]:
    """`binned`, with NaN wherever a number of the block is not finite; the missing entries of a sparse matrix, which
    is never made dense, are zeros."""
    if hasattr(matrix, "tocsr"):
        entries = matrix.tocoo()
        cells, block = sums(entries.row, entries.col, matrix.shape, rows, columns, entries.data)
        bad = [place[~np.isfinite(entries.data)] for place in (entries.row, entries.col)]
    else:
        cells, block = binned(matrix, rows, columns)
        bad = list(np.nonzero(~np.isfinite(matrix)))
    cells[bad[0] // block[0], bad[1] // block[1]] = np.nan     # one is enough: it is they that one looks for
    return cells, block


def sums(row: Array, column: Array, shape: tuple[int, int], rows: int, columns: int,
         values: Array | None = None) -> tuple[Array, tuple[int, int]]:
    """Means over blocks of a sparse matrix of its finite values, or, without them, the share that exists."""
    block = -(-shape[0] // rows), -(-shape[1] // columns)
    size = -(-shape[0] // block[0]), -(-shape[1] // block[1])
    place = row // block[0] * np.int64(size[1]) + column // block[1]
    counts = np.outer(*(np.diff(np.append(np.arange(0, n, step), n)) for n, step in zip(shape, block, strict=True)))
    if values is None:
        return np.bincount(place, minlength=counts.size).reshape(size) / counts, block
    finite = np.isfinite(values)
    total = np.bincount(place[finite], values[finite].astype(np.float64), counts.size).reshape(size)
    counts = counts - np.bincount(place[~finite], minlength=counts.size).reshape(size)
    return np.divide(total, counts, out=np.full(size, np.nan), where=counts > 0), block


def tiles(model: Sequential, layer: Any = None, shape: Sequence[int] | None = None, *, most: int = MOST_TILES,
          ax: Axes = None) -> Axes:
    """Draw what each unit of a layer looks at, as images.

    Each image is divided by its own largest absolute value: blue numbers are negative, red ones positive; images of
    three channels have their own colours around grey.

    Parameters
    ----------
    model : Sequential
        A built model.
    layer : str, int or Layer, optional
        The first with a kernel by default.
    shape : tuple of int, optional
        Of an input image, ``(height, width)`` or ``(height, width, 3)``. By default that of the model's input where
        only `Flatten` and `Rescaling` stand before the layer, else a square.
    most : int, default 144
        Units to draw, the first of them.
    ax : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If the model is not built or has no such layer, or no image has as many numbers as the layer has inputs.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((8, 8)), fnn.layers.Flatten(), fnn.layers.Dense(16)], seed=0)
    >>> fnn.weights.plot.tiles(model).get_title()
    'dense: 16 units, 8 x 8 inputs each'
    """
    found = layers_with_kernels(model, layer)[0]
    kernel, most = kernel_of(found), check_count("most", most)
    image_shape = input_image(model, found) if shape is None and kernel.ndim == 2 else shape
    size = tile_shape(kernel.shape, image_shape)
    units = kernel.shape[-1]
    kernel = kernel[:, :most].toarray() if hasattr(kernel, "tocsr") else kernel[..., :most]
    ax, gap = new_axes(ax), max(1, max(size[:2]) // 12)
    drawn, there = (mosaic(numbers, size, gap=gap) for numbers in (kernel, np.ones(kernel.shape)))
    image = painted(drawn)
    image[np.isnan(there).reshape(*there.shape[:2], -1)[..., 0]] = 255
    ax.imshow(image, interpolation="nearest", origin="upper")
    ax.set_axis_off()
    some = f"{thousands(units)} units" if units <= most else f"{most} of {thousands(units)} units"
    ax.set_title(f"{plain(found.path)}: {some}, {' x '.join(map(str, size))} inputs each")
    return ax


def input_image(model: Sequential, layer: Any) -> tuple[int, ...] | None:
    """The shape of the model's input where it is an image that reaches the layer as it is, and the layer looks at it
    with one weight a pixel."""
    for before in model.layers:
        if before is layer:
            if "embeddings" in layer.weights:
                return None
            shape = model.input_shape or ()
            fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
            return shape if fits else None
        if not isinstance(before, (Flatten, Rescaling)):
            break
    return None


@np.errstate(over="ignore", invalid="ignore")   # of weights of a training that diverged
def histograms(model: Sequential, layers: Any = None, *, bins: int = 50, ax: Any = None) -> Any:
    """Draw how the weights of each kernel are distributed, without those that pruning or sparsity took away.

    Parameters
    ----------
    model : Sequential
        A built model.
    layers : list of str, int or Layer, optional
        All with kernels by default.
    bins : int, default 50
    ax : matplotlib.axes.Axes or array of them, optional
        One for each layer, or one in whose place they are drawn; a new figure by default.

    Returns
    -------
    ndarray of matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If the model is not built, or has no such layer, or a layer no kernel.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((8,)), fnn.layers.Dense(16), fnn.layers.Dense(1)], seed=0)
    >>> axes = fnn.weights.plot.histograms(model)
    >>> [ax.get_title().splitlines()[0] for ax in axes]
    ['dense', 'dense_1']
    """
    chosen, bins = layers_with_kernels(model, layers), check_count("bins", bins)
    axes = panels(ax, len(chosen))
    for axis, layer in zip(axes, chosen, strict=True):
        weights = standing(layer)
        finite = weights[np.isfinite(weights)].astype(np.float64)
        counts, edges = np.histogram(finite, bins, bounds(finite))
        axis.stairs(counts, edges, fill=True, color=CYCLE[0])
        axis.axvline(0, color=ink(), linewidth=0.8)
        notes = f"mean {finite.mean():.2g}, std {finite.std():.2g}" if finite.size else "no finite weights"
        bad = weights.size - finite.size
        notes += f", {thousands(bad)} not finite" if bad else ""
        axis.set_title(f"{plain(layer.path)}\n{notes}", fontsize="medium")
        axis.set_xlabel("weight")
        axis.set_ylabel("count")
        axis.xaxis.set_major_locator(library().ticker.MaxNLocator(4))
        axis.yaxis.set_major_locator(library().ticker.MaxNLocator(5, integer=True))
    return axes


def standing(layer: Any) -> Array:
    """The weights of a layer's kernel that exist and are not pruned, flat."""
    kernel, mask = kernel_of(layer), layer.masks.get("kernel")
    return shown(kernel) if mask is None else np.asarray(kernel)[mask]
