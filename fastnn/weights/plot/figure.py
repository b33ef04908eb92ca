"""Where plots are drawn and in which colours; matplotlib is imported here, when the first plot is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BAD", "CYCLE", "GUIDE", "MANY", "MARKERS", "bounds", "cells_of", "colour", "diverging_map", "epochs",
           "ink", "legend", "library", "log_limits", "new_axes", "panels", "pixels", "plain", "style", "thousands"]

Axes = Any

# Okabe and Ito's colours, which people with any colour blindness can tell apart; yellow, pale on white, is left out.
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Paul Tol's muted colours, for more classes.
MANY = ("#332288", "#88CCEE", "#CC6677", "#117733", "#DDCC77", "#AA4499", "#44AA99", "#882255", "#999933")
MARKERS = "osD^vP*X"
LONGEST = 48        # letters of a name
GUIDE, BAD = "0.45", "0.5"     # lines to compare with; what is not finite, as in images.GREY


def library(what: str = "plot") -> Any:
    """The module matplotlib, with the parts of it that plots use; `what` needs it."""
    try:
        import matplotlib
        import matplotlib.axes
        import matplotlib.colors
        import matplotlib.ticker
    except ImportError as error:
        raise ImportError(f'{what} draws with matplotlib, which is not installed: pip install "fastnn[viz]"'
                          ) from error
    return matplotlib


def new_axes(ax: Axes = None) -> Axes:
    """The axes given, or those of a new figure."""
    return panels(ax, 1)[0]


def panels(ax: Axes, n: int, size: tuple[float, float] = (3.3, 2.7)) -> NDArray[Any]:
    """Axes for `n` panels, two in a row, or three of many.

    They are those of a new figure where `ax` is None, `ax` itself where it is as many Axes, and drawn within its
    bounds where it is one. `size` is that of one of several panels, in inches.
    """
    if ax is not None and not _flat(ax):
        found = np.asarray(ax, dtype=object).ravel()
        if len(found) != n or not all(map(_flat, found)):
            raise ValueError(f"ax must be a matplotlib Axes of two dimensions in a figure, or {n} of them for so many "
                             f"panels; received {ax!r}")
        return found
    columns = min(n, 2 if n <= 8 else 3)
    rows = -(-n // columns)
    if ax is None:
        library()
        from matplotlib import pyplot

        inches = None if n == 1 else (max(6.4, size[0] * columns), max(3.2, size[1] * rows))
        _, grid = pyplot.subplots(rows, columns, squeeze=False, layout="constrained", figsize=inches)
    elif n == 1:
        return np.array([ax], dtype=object)
    else:
        spec = ax.get_subplotspec()
        if spec is None:
            raise ValueError(f"{n} panels can take the place of an Axes of a grid, as of pyplot.subplots(); received "
                             f"{ax!r}: give {n} Axes")
        ax.set_axis_off()
        box = ax.get_window_extent()
        if n == 2 and box.width < 1.6 * box.height:     # side by side they would be strips
            rows, columns = 2, 1
        grid = spec.subgridspec(rows, columns).subplots(squeeze=False)
    for empty in grid.flat[n:]:
        empty.set_axis_off()
    found = np.asarray(grid.ravel()[:n])
    return found


def _flat(ax: Any) -> bool:
    """Whether it is an Axes that can be drawn on, neither of three dimensions nor removed."""
    return isinstance(ax, library().axes.Axes) and ax.name != "3d" and ax.get_figure() is not None


def ink() -> str:
    """The colour of texts: black, or white in a dark style."""
    return str(library().rcParams["text.color"])


def colour(i: int, colours: Sequence[str] = CYCLE) -> str:
    """The colour of the i-th of some things; the last one is that of texts."""
    return (*colours, ink())[i % (len(colours) + 1)]


def style(i: int) -> dict[str, str]:
    """Colour and dashes of the i-th of some lines."""
    return {"color": colour(i), "linestyle": ("-", "--", ":", "-.")[i // (len(CYCLE) + 1) % 4]}


def legend(ax: Axes, n: int) -> None:
    """A legend of `n` entries, beside the axes where they would hide too much of them."""
    beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "fontsize": "x-small"} if n > 7 else {}
    ax.legend(**({"fontsize": "small"} | beside))


def diverging_map() -> Any:
    """The colours of `fastnn.weights.images.diverging` as a colour map."""
    from fastnn.weights.images import COLOURS

    return library().colors.ListedColormap(COLOURS / 255.0, name="fastnn diverging").with_extremes(bad=BAD)


def pixels(ax: Axes, shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of cells, of two pixels at least, that an Axes can show of a matrix of this shape beside a
    colour bar, at its figure's resolution."""
    box = ax.get_window_extent()
    most = [box.height / 2, 0.8 * box.width / 2]
    if _aspect(shape) == "equal":
        scale = min(size / n for size, n in zip(most, shape, strict=True))
        most = [scale * n for n in shape]
    return max(16, int(most[0])), max(16, int(most[1]))


def _aspect(shape: Sequence[int]) -> str:
    """Cells are squares unless the picture would be a strip."""
    return "equal" if 1 / 3 <= shape[0] / shape[1] <= 3 else "auto"


def cells_of(ax: Axes, cells: NDArray[Any], block: tuple[int, int], shape: tuple[int, ...], **how: Any) -> Any:
    """Draw cells, each a block of a matrix of this shape, on axes that count the matrix' own rows and columns."""
    rows, columns = cells.shape[0] * block[0], cells.shape[1] * block[1]
    image = ax.imshow(cells, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), interpolation="nearest",
                      origin="upper", aspect=_aspect(shape), **how)
    ax.set_xlim(-0.5, shape[1] - 0.5)
    ax.set_ylim(shape[0] - 0.5, -0.5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(library().ticker.MaxNLocator(6, integer=True))
    return image


def epochs(ax: Axes, numbers: Sequence[int] | NDArray[Any]) -> None:
    """Ticks of an axis of epochs, counted from 1, and its label."""
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(library().ticker.MaxNLocator("auto", integer=True, min_n_ticks=1))
    room = 0.9 if len(numbers) == 1 else min(0.9, 0.03 * (numbers[-1] - numbers[0]))
    ax.set_xlim(numbers[0] - room, numbers[-1] + room)


def log_limits(ax: Axes, values: NDArray[Any]) -> None:
    """A logarithmic vertical axis with room around what can be drawn on it, a decade at least."""
    drawn = values[np.isfinite(values) & (values > 0)]
    if drawn.size:
        low, high = math.log10(drawn.min()), math.log10(drawn.max())
        room = max(0.05 * (high - low), 0.5 * (1.0 - (high - low)))
        ax.set_ylim(10 ** max(low - room, -307.0), 10 ** min(high + room, 307.9))    # numbers of float64
    ax.set_yscale("log")    # after its limits, since it would look for some


def bounds(finite: NDArray[Any]) -> tuple[float, float]:
    """Least and largest of some numbers, apart where they are equal but for rounding."""
    if not finite.size:
        return -1.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    size = max(abs(low), abs(high))
    room = 0.0 if high - low > 1e-9 * size else 0.1 * size or 1.0
    return low - room, high + room


def plain(name: Any, most: int = LONGEST) -> str:
    """A user's name, in which a dollar is no sign of mathematics, cut where it would leave no room for the plot."""
    text = str(name)
    return (text if len(text) <= most else f"{text[:most - 1]}…").replace("$", r"\$")


def thousands(n: int) -> str:
    return f"{n:,}"
