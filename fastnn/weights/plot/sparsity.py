"""Which connections a layer has, how many its units have, and what pruning took away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.model import Sequential
from fastnn.weights.plot.figure import CYCLE, bounds, cells_of, library, new_axes, panels, pixels, plain, thousands
from fastnn.weights.plot.matrices import label_axes, sums
from fastnn.weights.plot.select import kernel_of, layers_with_kernels, matrix_of, shown

__all__ = ["degrees", "pattern", "pruning"]

Axes = Any
Array = NDArray[Any]


def _connections(model: Sequential, layer: Any) -> tuple[str, tuple[int, int], Array, Array]:
    """Path and shape of a kernel, and row and column of each weight that is there: entries of a sparse kernel, what is
    not zero of others."""
    name, matrix = matrix_of(model, layer)
    if hasattr(matrix, "tocsr"):
        entries = matrix.tocoo()
        return name, matrix.shape, entries.row, entries.col
    return name, matrix.shape, *np.nonzero(matrix)


def _summary(name: str, shape: tuple[int, int], n: int) -> str:
    share = 100 * n / (shape[0] * shape[1])
    return f"{plain(name)}: {share:.3g} % of {thousands(shape[0])} x {thousands(shape[1])}"


def pattern(model: Sequential, layer: Any, *, ax: Axes = None) -> Axes:
    """Draw where a kernel has connections: entries of sparse layers, weights that are not zero of others.

    Kernels with more rows or columns than pixels are drawn as the share of connections in blocks.

    Parameters
    ----------
    model : Sequential
        A built model.
    layer : str, int or Layer
        A name or path, an index in ``model.layers``, or the layer.
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
        If the model is not built, or has no such layer, or the layer no kernel.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((20,)), fnn.layers.SparseDense(50, density=0.1)], seed=0)
    >>> fnn.weights.plot.pattern(model, 0).get_title()
    'sparse_dense: 10 % of 20 x 50 connections'
    """
    name, shape, row, column = _connections(model, layer)
    ax = new_axes(ax)
    cells, block = sums(row, column, shape, *pixels(ax, shape))
    whole = block == (1, 1)
    image = cells_of(ax, cells, block, shape, cmap="Blues", vmin=0, vmax=1 if whole else float(cells.max()) or 1.0)
    title = f"{_summary(name, shape, len(row))} connections"
    if not whole:
        ax.get_figure().colorbar(image, ax=ax, label="share of connections")
        title += f"\na cell is {block[0]} x {block[1]}"
    ax.set_title(title)
    label_axes(ax, model, layer)
    return ax


def degrees(model: Sequential, layer: Any, *, ax: Any = None) -> Any:
    """Draw how many connections the inputs and the units of a layer have.

    Parameters
    ----------
    model : Sequential
        A built model.
    layer : str, int or Layer
        A sparse or pruned one, as a rule: in others all have all.
    ax : matplotlib.axes.Axes or two of them, optional
        One in whose place they are drawn; a new figure by default.

    Returns
    -------
    ndarray of two matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If the model is not built, or has no such layer, or the layer no kernel.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((20,)), fnn.layers.SparseDense(50, density=0.1)], seed=0)
    >>> axes = fnn.weights.plot.degrees(model, 0)
    >>> [ax.get_xlabel() for ax in axes]
    ['connections of an input', 'connections of a unit']
    """
    name, shape, row, column = _connections(model, layer)
    axes = panels(ax, 2)
    for axis, places, n, what in zip(axes, (row, column), shape, ("input", "unit"), strict=True):
        found = np.bincount(places, minlength=n)
        low, high = int(found.min()), int(found.max())
        edges = np.arange(low, high + 2 * (step := -(-(high - low + 1) // 40)), step) - 0.5
        axis.stairs(np.histogram(found, edges)[0], edges, fill=True, color=CYCLE[0])
        mean = float(found.mean())
        said = f"{mean:.3g}" if mean < 1000 else thousands(round(mean))
        if high - low < 4:
            axis.set_xlim(low - 2.5, high + 2.5)
        axis.axvline(mean, color=CYCLE[1], linestyle="--", label=f"mean {said}")
        alone = int(np.count_nonzero(found == 0))
        axis.set_title(f"{thousands(n)} {what}s" + (f", {thousands(alone)} without" if alone else ""))
        axis.set_xlabel(f"connections of {'an' if what == 'input' else 'a'} {what}")
        axis.set_ylabel(f"{what}s")
        for one in (axis.xaxis, axis.yaxis):
            one.set_major_locator(library().ticker.MaxNLocator(5, integer=True))
        axis.legend(fontsize="small")
    if ax is None:
        axes[0].get_figure().suptitle(f"{_summary(name, shape, len(row))} connections")
    return axes


def pruning(before: Sequential, after: Sequential, *, ax: Any = None) -> Any:
    """Draw which share of its connections each layer kept, and the weights before and after.

    Parameters
    ----------
    before, after : Sequential
        Built models with layers of the same names; `prune` works in place, so `before` is a ``copy.deepcopy``. Sparse
        layers may have taken the place of dense ones.
    ax : matplotlib.axes.Axes or two of them, optional
        One in whose place they are drawn; a new figure by default.

    Returns
    -------
    ndarray of two matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If a model is not built, or they have no layers with kernels in common.

    Examples
    --------
    >>> import copy
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((20,)), fnn.layers.Dense(50), fnn.layers.Dense(1)], seed=0)
    >>> before = copy.deepcopy(model)
    >>> report = fnn.weights.prune(model, 0.8)
    >>> axes = fnn.weights.plot.pruning(before, model)
    >>> [text.get_text().strip() for text in axes[0].texts]
    ['20.0 %', '20.0 %']
    """
    old, new = ({layer.path: _there(layer) for layer in layers_with_kernels(model)} for model in (before, after))
    names = [name for name in old if name in new]
    if not names:
        raise ValueError(f"the models have no layers with kernels of the same names: {', '.join(old)} and "
                         f"{', '.join(new)}")
    bars, weights = axes = panels(ax, 2, size=(3.6, 3.2))
    kept = [new[name].size / max(1, old[name].size) for name in names]
    bars.barh(range(len(names)), kept, color=CYCLE[0])
    bars.set_yticks(range(len(names)), list(map(plain, names)), fontsize=10 if len(names) <= 12 else 7)
    bars.set_ylim(len(names) - 0.4, -0.6)
    bars.set_xlim(0, max(1.0, *kept) * 1.2)
    if max(kept) <= 1:
        bars.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    for i, share in enumerate(kept):
        bars.text(share, i, f" {share:.1%}".replace("%", " %"), va="center", fontsize="small")
    bars.set_xlabel("share of connections kept")
    bars.set_title("kept, by layer")
    both = [np.concatenate([models[name] for name in names]) for models in (old, new)]
    both = [part[np.isfinite(part)].astype(np.float64) for part in both]
    edges = np.linspace(*bounds(np.concatenate(both)), 61)
    for i, (part, label) in enumerate(zip(both, ("before", "after"), strict=True)):
        weights.stairs(np.histogram(part, edges)[0], edges, fill=i == 1, color=CYCLE[i], alpha=1.0 if i == 0 else 0.6,
                       label=f"{label}: {thousands(part.size)}")
    weights.set_xlabel("weight")
    weights.set_ylabel("count")
    weights.set_title("weights that are not zero")
    weights.legend(fontsize="small")
    return axes


def _there(layer: Any) -> Array:
    weights = shown(kernel_of(layer))
    return weights[weights != 0]
