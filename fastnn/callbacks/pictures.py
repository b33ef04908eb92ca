"""Kernels as small pictures: tiles where they look at images, else blocks of the matrix."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.layers import Layer, SparseDense

__all__ = ["View", "kernel_shape", "view_of"]

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
        if self.tile is None:
            return _blocks(layer, self.side)
        columns = _columns(layer, self.units)
        return np.ascontiguousarray(columns.T, np.float64).reshape(len(self.units), *self.tile)

    def picture(self, values: Array, limit: float) -> tuple[Pixels, bytes | None]:
        """Of what `of` has returned, in colours of -limit to limit: pixels, and their palette where they have one."""
        pixels, colours = painted(values if self.tile is None else grid(values), limit)
        return enlarged(pixels, self.side, self.tile is None), colours


def view_of(model: Any, layer: Layer, side: int, image_shape: tuple[int, ...] | None = None) -> View:
    """Tiles for the first kernel of a model of images, and for convolutions of such, as many as fit; else the matrix.

    ValueError if the layer has no kernel, or its inputs are no images of the shape that is asked for.
    """
    from fastnn.weights.images import tile_shape  # weights know of callbacks

    shape = kernel_shape(layer)
    if shape is None:
        others = ", ".join(leaf.path for leaf in model._leaves() if kernel_shape(leaf) is not None) or "none"
        raise ValueError(f"layer {layer.path!r} ({type(layer).__name__}) has no kernel to look at; layers that have: "
                         f"{others}")
    given = image_shape
    if image_shape is None and len(shape) == 2 and len(model.input_shape) > 1 \
            and math.prod(model.input_shape) == shape[0]:
        image_shape = model.input_shape
    tile: tuple[int, ...] | None = None
    try:
        tile = tile_shape(shape, image_shape) if image_shape is not None or len(shape) == 4 else None
    except ValueError:
        if given is not None:
            raise
    if tile is None or max(tile[:2]) > side:
        return View(None, np.empty(0, np.intp), side)
    n = min(shape[-1], math.prod(max(side // (length + 1), 1) for length in tile[:2]))
    return View(tile, np.linspace(0, shape[-1] - 1, n).astype(np.intp), side)


def kernel_shape(layer: Layer) -> tuple[int, ...] | None:
    if isinstance(layer, SparseDense):
        return layer.pattern.shape
    kernel = layer.weights.get("kernel")
    return None if kernel is None or kernel.ndim < 2 else kernel.shape


def _columns(layer: Layer, units: NDArray[np.intp]) -> Array:
    if isinstance(layer, SparseDense):
        return layer.kernel[:, units].toarray()
    kernel = layer.weights["kernel"]
    return kernel.reshape(-1, kernel.shape[-1])[:, units]


def _blocks(layer: Layer, side: int) -> NDArray[np.float64]:
    from fastnn.weights.images import binned

    if not isinstance(layer, SparseDense):
        kernel = layer.weights["kernel"]
        return binned(kernel.reshape(-1, kernel.shape[-1]), side, side)[0]
    pattern, values = layer.pattern, layer.weights["kernel"]
    # The same means without the zeros, which can be more than memory holds.
    shape = pattern.shape
    steps = [-(-n // side) for n in shape]
    rows, columns = (-(-n // step) for n, step in zip(shape, steps, strict=True))
    areas = [np.diff(np.append(np.arange(0, n, step), n)) for n, step in zip(shape, steps, strict=True)]
    place = pattern.rows() // steps[0] * columns + pattern.indices // steps[1]
    finite = np.isfinite(values)
    sums = np.bincount(place[finite], values[finite].astype(np.float64), rows * columns).reshape(rows, columns)
    return sums / np.outer(*areas)


def grid(tiles: Array) -> NDArray[np.float64]:
    """Tiles (n, height, width[, 3]) side by side in about as many rows as columns, NaN between them."""
    n, height, width = tiles.shape[:3]
    columns = math.ceil(math.sqrt(n * height / width))
    columns = min(n, max(columns, 1))
    rows = -(-n // columns)
    result = np.full((rows * columns, height + 1, width + 1, *tiles.shape[3:]), np.nan)
    result[:n, :height, :width] = tiles
    result = result.reshape(rows, columns, *result.shape[1:]).swapaxes(1, 2)
    return result.reshape(rows * (height + 1), columns * (width + 1), *tiles.shape[3:])[:-1, :-1]


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
