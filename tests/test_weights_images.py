"""Images of weights: blocks, tiles, colours."""

import numpy as np
import pytest

from fastnn.weights.images import COLOURS, binned, diverging, mosaic, painted, tile_shape

NAN = float("nan")


def test_small_matrices_stay_as_they_are():
    x = np.arange(6.0).reshape(2, 3)
    cells, block = binned(x, 2, 3)
    assert block == (1, 1)
    assert np.array_equal(cells, x)


def test_blocks_are_means_of_equal_blocks():
    x = np.random.default_rng(0).normal(size=(100, 70))
    cells, block = binned(x, 10, 10)
    assert block == (10, 7)
    assert np.allclose(cells, x.reshape(10, 10, 10, 7).mean(axis=(1, 3)))


def test_the_last_blocks_are_smaller():
    cells, block = binned(np.arange(7.0)[None], 1, 3)
    assert block == (1, 3)
    assert cells.tolist() == [[1.0, 4.0, 6.0]]


def test_a_fine_pattern_does_not_become_another():
    """Stripes of one column average to zero, where sampling would give all of one sign."""
    stripes = np.tile([1.0, -1.0], (10, 1000))
    assert not binned(stripes, 10, 100)[0].any()


def test_means_leave_out_what_is_not_finite():
    cells, _ = binned([[NAN, 2.0, NAN, np.inf]], 1, 2)
    assert cells[0, 0] == 2.0 and np.isnan(cells[0, 1])


@pytest.mark.parametrize(("arguments", "says"), [
    (([1.0, 2.0], 1, 1), r"two axes.*\(2,\)"), ((np.empty((0, 3)), 1, 1), "an entry"), (([[1.0]], 0, 1), "rows"),
])
def test_binned_refuses(arguments, says):
    with pytest.raises(ValueError, match=says):
        binned(*arguments)


@pytest.mark.parametrize(("kernel", "image", "shape"), [
    ((64, 5), None, (8, 8)), ((12, 5), None, (2, 2, 3)), ((3072, 2), None, (32, 32, 3)), ((6, 5), (2, 3), (2, 3)),
    ((6, 5), (2, 3, 1), (2, 3)), ((18, 5), (2, 3, 3), (2, 3, 3)), ((3, 5, 1, 8), None, (3, 5)),
    ((3, 5, 3, 8), (100, 100), (3, 5, 3)),
])
def test_tile_shapes(kernel, image, shape):
    assert tile_shape(kernel, image) == shape


@pytest.mark.parametrize(("kernel", "image", "says"), [
    ((7, 5), None, "7 inputs are no square"), ((7, 5), (2, 3), "6 numbers.*7 inputs"), ((7,), None, "received"),
    ((3, 3, 2, 8), None, r"\(3, 3, 2\)"), ((8, 5), (2, 2, 2), r"\(2, 2, 2\)"), ((8, 5), (8,), r"\(8,\)"),
])
def test_tile_shape_refuses(kernel, image, says):
    with pytest.raises(ValueError, match=says):
        tile_shape(kernel, image)


def test_tiles_stand_in_rows_with_gaps():
    kernel = np.arange(1.0, 21.0).reshape(4, 5)
    tiles = mosaic(kernel, (2, 2), columns=3, gap=2)
    assert tiles.shape == (2 * 2 + 2, 3 * 2 + 2 * 2)
    for unit in range(5):
        top, left = unit // 3 * 4, unit % 3 * 4
        image = kernel[:, unit].reshape(2, 2)
        assert np.array_equal(tiles[top:top + 2, left:left + 2], image / image.max())
    assert np.isnan(tiles[2:4]).all() and np.isnan(tiles[:, 2:4]).all() and np.isnan(tiles[4:, 8:]).all()


def test_tiles_of_zeros_and_of_what_is_not_finite():
    tiles = mosaic([[0.0, NAN, 5.0], [0.0, -3.0, np.inf]], (2, 1), gap=0, columns=3)
    assert np.array_equal(tiles, [[0, NAN, 1], [0, -1, NAN]], equal_nan=True)


def test_tiles_of_colour_and_of_convolutions():
    kernel = np.random.default_rng(0).normal(size=(2, 3, 3, 4))
    tiles = mosaic(kernel, tile_shape(kernel.shape))
    assert tiles.shape == (5, 7, 3)
    assert np.array_equal(tiles[3:, 4:], kernel[..., 3] / np.abs(kernel[..., 3]).max())
    assert np.array_equal(tiles, mosaic(kernel.reshape(18, 4), (2, 3, 3)), equal_nan=True)


def test_colours_are_centred_on_zero():
    pixels = diverging([[-4.0, 0.0, 2.0, NAN, np.inf]])
    assert pixels.shape == (1, 5, 3) and pixels.dtype == np.uint8
    assert pixels[0].tolist() == [COLOURS[0].tolist(), COLOURS[128].tolist(), COLOURS[192].tolist(), [128] * 3,
                                  [128] * 3]
    assert diverging([9.0], limit=1)[0].tolist() == COLOURS[-1].tolist()
    assert (diverging(np.zeros((2, 2))) == COLOURS[128]).all()
    assert diverging(np.empty(0)).shape == (0, 3)


def test_mosaics_become_pixels():
    assert painted([[1.0, NAN]]).tolist() == [[COLOURS[-1].tolist(), [128] * 3]]
    assert painted([[[1.0, NAN, -1.0]]]).tolist() == [[[255, 255, 0]]]
