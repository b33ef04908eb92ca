"""Kernels as small pictures: tiles where they look at images, else blocks of the matrix."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.layers import Layer

__all__ = ["SHADES", "View", "view_of"]

Array = NDArray[Any]
Pixels = NDArray[np.uint8]

SHADES = 127        # of each sign; the last colour is for what is not finite


class View(NamedTuple):
    """What is shown of a kernel.

    tile : shape of the image that each unit looks at, or None for the matrix as it is
    units : the columns that are shown as tiles
    side : most rows and columns of the picture of the matrix
    """

    tile: tuple[int, ...] | None
    units: NDArray[np.intp]
    side: int

    def of(self, layer: Layer) -> NDArray[np.float64]:
        """(n, *tile) of tiles, or the blocks' means (at most side, at most side)."""
        from fastnn.weights.plot.matrices import block_means
        from fastnn.weights.plot.select import kernel_of

        kernel = kernel_of(layer)
        matrix = kernel if hasattr(kernel, "tocsr") else kernel.reshape(-1, kernel.shape[-1])
        if self.tile is None:
            return block_means(matrix, self.side, self.side)[0]
        columns = matrix[:, self.units]
        columns = columns.toarray() if hasattr(columns, "tocsr") else columns
        return np.ascontiguousarray(columns.T, np.float64).reshape(len(self.units), *self.tile)

    def picture(self, values: Array, limit: float) -> tuple[Pixels, bytes | None]:
        """Of what `of` has returned, in colours of -limit to limit: pixels, and their palette where they have one."""
        from fastnn.weights.images import grid

        pixels, colours = painted(values if self.tile is None else grid(values), limit)
        return enlarged(pixels, self.side, self.tile is None), colours


def view_of(model: Any, layer: Layer, side: int, image_shape: tuple[int, ...] | None = None) -> View:
    """Tiles for the first kernel of a model of images, and for convolutions of such, as many as fit; else the matrix.

    ValueError if the layer has no kernel, or its inputs are no images of the shape that is asked for.
    """
    from fastnn.weights.images import tile_shape  # weights know of callbacks
    from fastnn.weights.plot.matrices import input_image
    from fastnn.weights.plot.select import kernel_of, layers_with_kernels

    layers_with_kernels(model, layer)
    shape = kernel_of(layer).shape
    wanted = image_shape or (input_image(model, layer) if len(shape) == 2 else None)
    tile: tuple[int, ...] | None = None
    if wanted is not None or (len(shape) == 4 and shape[2] in (1, 3)):
        tile = tile_shape(shape, wanted)
    if tile is None or max(tile[:2]) > side:
        return View(None, np.empty(0, np.intp), side)
    n = min(shape[-1], math.prod(max(side // (length + 1), 1) for length in tile[:2]))
    return View(tile, np.linspace(0, shape[-1] - 1, n).astype(np.intp), side)


def painted(values: Array, limit: float) -> tuple[Pixels, bytes | None]:
    """A matrix in blue for -limit, white for 0, red for limit, grey for what is not finite, as places in a palette; or
    an image (height, width, 3) around a middle grey."""
    finite = np.isfinite(values)
    parts = (np.where(finite, values, 0.0) / (limit or 1.0)).clip(-1.0, 1.0)
    if values.ndim == 3:
        return np.where(finite, np.rint(127.5 + 127.5 * parts), 255.0).astype(np.uint8), None
    return np.where(finite, np.rint(parts * SHADES) + SHADES, 2 * SHADES + 1).astype(np.uint8), palette()


def palette() -> bytes:
    from fastnn.weights.images import COLOURS, GREY

    shades = COLOURS[np.rint(np.linspace(0, len(COLOURS) - 1, 2 * SHADES + 1)).astype(np.intp)]
    return shades.tobytes() + bytes(GREY)


def enlarged(pixels: Pixels, side: int, square: bool) -> Pixels:
    """Every pixel a block of pixels, so that the longer side of the picture, or both if it may be distorted, has up to
    `side` of them."""
    factors = [max(1, side // n) for n in pixels.shape[:2]]
    if not square:
        factors = [min(factors)] * 2
    return np.repeat(np.repeat(pixels, factors[0], axis=0), factors[1], axis=1)
