"""Matrices as images, without a plotting library: blocks of equal size, tiles of units, colours around zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.inputs import check_count
from fastnn.named import listed

__all__ = ["binned", "diverging", "grid", "mosaic", "painted", "tile_shape"]

Array = NDArray[Any]
Pixels = NDArray[np.uint8]

GREY = 128, 128, 128
# ColorBrewer's RdBu from blue to red, which people with any colour blindness can tell apart.
_ANCHORS = np.array([(5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
                     (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31)], np.float64)
_HALF = 128     # colours on each side of zero, which has its own
COLOURS = np.rint(np.stack([np.interp(np.linspace(0, 10, 2 * _HALF + 1), np.arange(11), channel)
                            for channel in _ANCHORS.T], axis=1)).astype(np.uint8)
COLOURS.flags.writeable = False


def binned(matrix: ArrayLike, rows: int, columns: int) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Means of blocks of a matrix, so few that they can be drawn.

    Parameters
    ----------
    matrix : array-like (n, m)
    rows, columns : int
        Most that the result may have.

    Returns
    -------
    cells : float64 ndarray
        The mean of the finite entries of each block, NaN where there are none. The last blocks may be smaller.
    block : tuple of int
        Rows and columns of a block, 1 where the matrix is small enough.

    Raises
    ------
    TypeError, ValueError
        If `matrix` has not two axes, or `rows` or `columns` is not a positive integer.

    Examples
    --------
    >>> cells, block = binned([[1, 3, 5], [1, 3, 5]], 2, 2)
    >>> cells.tolist(), block
    ([[2.0, 5.0], [2.0, 5.0]], (1, 2))
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"matrix must have two axes and an entry; received an array of shape {values.shape}")
    most = check_count("rows", rows), check_count("columns", columns)
    block = tuple(-(-n // limit) for n, limit in zip(values.shape, most, strict=True))
    finite = np.isfinite(values)
    sums, counts = np.where(finite, values, 0.0), finite.astype(np.float64)
    for axis, step in enumerate(block):
        if step > 1:
            starts = np.arange(0, values.shape[axis], step)
            sums, counts = (np.add.reduceat(part, starts, axis=axis) for part in (sums, counts))
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0), (block[0], block[1])


def tile_shape(kernel_shape: Sequence[int], image_shape: Sequence[int] | None = None) -> tuple[int, ...]:
    """The shape of the images that the units of a layer look at.

    Parameters
    ----------
    kernel_shape : tuple of int
        ``(in, units)``, or ``(height, width, channels, units)`` of a convolution.
    image_shape : tuple of int, optional
        ``(height, width)`` or ``(height, width, channels)`` of the layer's inputs; without it a square is tried, of
        one channel or three.

    Returns
    -------
    tuple of int
        ``(height, width)`` or ``(height, width, 3)``.

    Raises
    ------
    ValueError
        If no image has as many numbers as the layer has inputs, or its channels are neither 1 nor 3.

    Examples
    --------
    >>> tile_shape((784, 512)), tile_shape((3072, 10)), tile_shape((600, 8), (20, 30))
    ((28, 28), (32, 32, 3), (20, 30))
    """
    if len(kernel_shape) == 4:
        image_shape = kernel_shape[:3]
    elif len(kernel_shape) != 2:
        raise ValueError("tiles need a kernel of shape (in, units) or (height, width, channels, units); received "
                         f"{tuple(kernel_shape)}")
    n = math.prod(kernel_shape[:-1])
    if image_shape is None:
        side, side3 = math.isqrt(n), math.isqrt(n // 3)
        shape: tuple[int, ...] = (side, side) if side * side == n else (side3, side3, 3)
        if math.prod(shape) != n:
            raise ValueError(f"{n} inputs are no square image, of one channel or three: give its shape, "
                             "(height, width) or (height, width, 3)")
        return shape
    shape = tuple(check_count("an entry of the image's shape", size)
                  for size in listed("shape", image_shape, "(height, width) or (height, width, 3)"))
    if len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
        raise ValueError(f"an image has the shape (height, width) or (height, width, 3); received {shape}")
    if math.prod(shape) != n:
        raise ValueError(f"an image of shape {shape} has {math.prod(shape)} numbers; the layer has {n} inputs")
    return shape


def mosaic(kernel: ArrayLike, image_shape: Sequence[int], columns: int | None = None, gap: int = 1) -> Array:
    """The kernels of units as images side by side.

    Parameters
    ----------
    kernel : array-like (in, units) or (height, width, channels, units)
    image_shape : tuple of int
        Of one unit, as from `tile_shape`.
    columns : int, optional
        Images in a row; about as many as rows by default.
    gap : int, default 1
        Pixels between two images.

    Returns
    -------
    ndarray (height, width) or (height, width, 3)
        In [-1, 1]: each image is divided by its own largest absolute value. Gaps, and what is not finite, are NaN.

    Raises
    ------
    TypeError, ValueError
        If the shapes do not fit, or `columns` or `gap` is no allowed count.

    Examples
    --------
    >>> mosaic([[1, 4], [-2, 4]], (1, 2))
    array([[ 0.5, -1. ,  nan,  1. ,  1. ]])
    """
    values = np.asarray(kernel, dtype=np.float64)
    shape = tile_shape(values.shape, image_shape)
    columns = math.ceil(math.sqrt(values.shape[-1])) if columns is None else check_count("columns", columns)
    gap = check_count("gap", gap, low=0)
    images = np.where(np.isfinite(values), values, np.nan).reshape(-1, values.shape[-1])
    largest = np.max(np.abs(images), axis=0, initial=0.0, where=np.isfinite(images))
    return grid((images / np.where(largest > 0, largest, 1.0)).T.reshape(-1, *shape), columns, gap)


def grid(tiles: Array, columns: int | None = None, gap: int = 1) -> Array:
    """Images (n, height, width[, 3]) side by side, in about a square unless `columns` says how many in a row; NaN
    between them."""
    n, height, width = tiles.shape[:3]
    columns = min(n, columns or max(1, math.ceil(math.sqrt(n * height / width))))
    rows = -(-n // columns)
    result = np.full((rows * columns, height + gap, width + gap, *tiles.shape[3:]), np.nan)
    result[:n, :height, :width] = tiles
    result = result.reshape(rows, columns, *result.shape[1:]).swapaxes(1, 2)
    result = result.reshape(rows * (height + gap), columns * (width + gap), *tiles.shape[3:])
    return result[:len(result) - gap, :result.shape[1] - gap]


def diverging(values: ArrayLike, limit: float | None = None) -> Pixels:
    """Numbers as colours: blue below zero, white at zero, red above, grey where they are not finite.

    Parameters
    ----------
    values : array-like
    limit : float, optional
        Absolute value of the darkest colours; the largest there is by default.

    Returns
    -------
    uint8 ndarray (..., 3)

    Examples
    --------
    >>> diverging([-1, 0, 1, float("nan")]).tolist()
    [[5, 48, 97], [247, 247, 247], [103, 0, 31], [128, 128, 128]]
    """
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    if limit is None:
        limit = float(np.max(np.abs(values), initial=0.0, where=finite))
    parts = np.where(finite, values, 0.0) / (limit or 1.0)
    pixels = COLOURS[np.rint(parts.clip(-1, 1) * _HALF).astype(np.intp) + _HALF]
    pixels[~finite] = GREY
    return pixels


def painted(tiles: ArrayLike) -> Pixels:
    """A mosaic as an image: one channel in diverging colours, three as colours around a middle grey.

    Parameters
    ----------
    tiles : array-like (height, width) or (height, width, 3)
        As from `mosaic`, in [-1, 1].

    Returns
    -------
    uint8 ndarray (height, width, 3)
        Gaps are grey in one channel and white in three.

    Examples
    --------
    >>> painted([[0.0]]).shape, painted([[[1.0, 0.0, -1.0]]]).tolist()
    ((1, 1, 3), [[[255, 128, 0]]])
    """
    values = np.asarray(tiles, dtype=np.float64)
    if values.ndim == 2:
        return diverging(values, 1.0)
    return np.rint(np.where(np.isfinite(values), 127.5 + 127.5 * values, 255.0)).astype(np.uint8)
