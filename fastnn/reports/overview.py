"""One picture of all the kernels of a model: `fastnn inspect --plot`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.layers.base import Layer
from fastnn.model import Sequential
from fastnn.reports.pictures import new_figure, usual_style, write_picture
from fastnn.weights.plot.select import kernel_of, layers_with_kernels

__all__ = ["overview"]

MOST_LAYERS = 8
LARGEST_SVD = 1500  # shorter side; a decomposition of 1500 x 1500 takes half a second


def overview(model: Sequential, kind: str) -> bytes:
    """A row for each layer with a kernel: its colours, a histogram, its singular values; above them the units of the
    first one as images, where the model's input is one."""
    with usual_style():
        return _drawn(model, layers_with_kernels(model), kind)


def _drawn(model: Sequential, layers: Sequence[Layer], kind: str) -> bytes:
    from fastnn.weights import plot

    shown = layers[:MOST_LAYERS]
    images = len(model.input_shape or ()) > 1
    figure = new_figure(12.0, 3.2 * len(shown) + 4.2 * images + 0.6)
    figure.get_layout_engine().set(wspace=0.05)
    left_out = f", the first {len(shown)} of {len(layers)} layers with kernels" if len(layers) > len(shown) else ""
    figure.suptitle(f"{' '.join(model.name.split())[:60]}: {model.count_params():,} parameters{left_out}",
                    parse_math=False)
    grid = figure.add_gridspec(len(shown) + images, 3, height_ratios=[1.3] * images + [1.0] * len(shown))
    if images:
        _draw(figure.add_subplot(grid[0, :]), plot.tiles, model, shown[0])
    for row, layer in enumerate(shown, images):
        colours = figure.add_subplot(grid[row, 0])
        _draw(colours, plot.heatmap, model, layer)
        colours.set_aspect("auto")  # as high as the scale beside it
        _draw(figure.add_subplot(grid[row, 1]), plot.histograms, model, [layer])
        _draw(figure.add_subplot(grid[row, 2]), plot.singular_values if _decomposable(layer) else None, model, [layer])
    return write_picture(figure, kind, 110)


def _decomposable(layer: Layer) -> bool:
    shape = kernel_of(layer).shape
    return min(math.prod(shape[:-1]), shape[-1]) <= LARGEST_SVD


def _draw(axes: Any, draw: Any, *arguments: Any) -> None:
    """A plot in its place, or why there is none."""
    try:
        if draw is None:
            raise ValueError(f"no singular values:\nthe shorter side is above {LARGEST_SVD:,}")
        draw(*arguments, ax=axes)
        title = axes.get_title()
        if axes.get_legend() is not None:  # of one line, and wider than these axes
            title = axes.get_legend_handles_labels()[1][0]
            axes.get_legend().remove()
        axes.set_title(title.replace(": ", "\n", 1), fontsize=9)
    except (ValueError, np.linalg.LinAlgError) as error:
        axes.clear()
        axes.set_axis_off()
        axes.text(0.5, 0.5, str(error), ha="center", va="center", wrap=True, color="0.35", fontsize=9,
                  transform=axes.transAxes, parse_math=False)
