"""Pictures of a report: drawn on figures of their own, without pyplot, and put into the page."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.html import Html, picture, tag

__all__ = ["FORMATS", "beside", "drawn", "new_figure", "picture_format", "short", "tile",
           "usual_style", "write_picture"]

FORMATS = ("png", "svg", "pdf")
LARGEST_SVG = 120_000   # bytes; above it a picture of pixels is smaller
DPI = 150


def picture_format(path: str) -> str:
    """What the suffix of a path stands for."""
    suffix = os.path.splitext(path)[1].lower().lstrip(".")
    if suffix not in FORMATS:
        raise ValueError(f"{path}: pictures are {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, which the suffix tells; "
                         f"received {suffix or 'none'!r}")
    return suffix


def new_figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def usual_style() -> AbstractContextManager[None]:
    """In it, figures look the same whatever style a user chose, as one with white letters for dark notebooks."""
    import matplotlib.style

    return matplotlib.style.context("default")


def write_picture(figure: Any, kind: str, dpi: int = DPI) -> bytes:
    """The bytes of a figure; letters that no font has become boxes without a warning."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()


def drawn(draw: Callable[..., Any], size: tuple[float, float], *alts: str) -> list[Html]:
    """A picture for each of the texts that stand for them, which `draw` makes on as many axes: each has a figure of
    its own, so that they find their place side by side or below one another. Why not, where it cannot."""
    try:
        with usual_style():
            figures = [new_figure(*size) for _ in alts]
            draw(*(figure.add_subplot() for figure in figures))
            return [_shown(figure, alt) for figure, alt in zip(figures, alts, strict=True)]
    except (ValueError, np.linalg.LinAlgError) as error:
        return [tag("p", f"No picture: {error}", class_="soft")]


def _shown(figure: Any, alt: str) -> Html:
    data, kind = write_picture(figure, "svg"), "svg+xml"
    if len(data) > LARGEST_SVG:
        data, kind = write_picture(figure, "png"), "png"
    return picture(data, kind, alt, round(96 * figure.get_size_inches()[0]))


def beside(*pictures: Html) -> Html:
    """Pictures side by side, as many as there is room for."""
    return tag("div", *pictures, class_="pictures")


def short(name: Any, most: int = 80) -> str:
    """A name in a line, cut where it is longer."""
    text = " ".join(str(name).split())
    return text if len(text) <= most else f"{text[:most - 1]}…"


def tile(image: NDArray[Any], title: str) -> Callable[[Any], None]:
    """Draws an image (height, width) or (height, width, 3) with a line above it."""

    def draw(axes: Any) -> None:
        low, high = float(image.min()), float(image.max())
        axes.imshow((image - low) / ((high - low) or 1.0), cmap="gray", interpolation="nearest",
                    origin="upper")
        axes.set_axis_off()
        axes.set_title(title, fontsize=9, parse_math=False)

    return draw
