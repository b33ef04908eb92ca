"""Convolution and pooling: kernels over more than one block of positions, layers, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import kernels, reference

# Samples of many positions, cut into blocks; samples of few, several in a block; one position each; one channel, whose
# patches are turned; patches that are read in place. (samples, height, width, channels), kernel size, filters, place
SHAPES = {
    "many positions": ((3, 21, 23, 5), (3, 3), 7, {}),
    "many positions same": ((2, 20, 19, 3), (2, 5), 40, {"padding": "same"}),
    "few positions": ((33, 4, 5, 6), (3, 2), 70, {"padding": "same", "strides": 2}),
    "one position": ((300, 3, 4, 2), (3, 4), 33, {}),
    "one channel": ((5, 28, 27, 1), (3, 5), 35, {}),
    "one channel same": ((40, 9, 8, 1), (4, 3), 6, {"padding": "same"}),
    "one channel by 2": ((5, 28, 27, 1), (3, 5), 35, {"strides": (2, 1)}),
    "one channel, one position": ((70, 4, 3, 1), (4, 3), 5, {}),
    "one pixel": ((3, 17, 17, 20), (1, 1), 34, {}),
    "one row": ((4, 1, 300, 3), (1, 7), 5, {"strides": 3}),
    "one row, one channel": ((4, 1, 300, 1), (1, 7), 5, {"padding": "same"}),
    "many channels": ((2, 5, 4, 300), (3, 3), 9, {}),
    "larger than the sample": ((3, 2, 2, 4), (5, 5), 8, {"padding": "same"}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", SHAPES)
def test_convolution_is_exact_on_integers(case, dtype):
    shape, size, filters, place = SHAPES[case]
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.integers(-2, 3, s).astype(dtype)
                       for s in (shape, (*size, shape[3], filters), (filters,)))  # fmt: skip
    y = reference.conv2d_forward(x, kernel, bias, "relu", **place)
    dy = rng.integers(-2, 3, y.shape).astype(dtype)
    gradients = reference.conv2d_backward(dy, x, kernel, y, "relu", **place)
    for threads in (1, 2, 3, 8):
        assert np.array_equal(kernels.conv2d_forward(x, kernel, bias, "relu", n_threads=threads, **place), y)
        got = kernels.conv2d_backward(dy, x, kernel, y, "relu", n_threads=threads, **place)
        for a, b in zip(got, gradients, strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("case", SHAPES)
def test_samples_and_threads_do_not_change_a_bit(case):
    shape, size, filters, place = SHAPES[case]
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(s, dtype=np.float32) for s in (shape, (*size, shape[3], filters)))
    y = kernels.conv2d_forward(x, kernel, None, "gelu", n_threads=1, **place)
    one_by_one = [kernels.conv2d_forward(x[i:i + 1], kernel, None, "gelu", **place) for i in range(len(x))]
    assert np.concatenate(one_by_one).tobytes() == y.tobytes()
    dy = rng.standard_normal(y.shape, dtype=np.float32)
    want = kernels.conv2d_backward(dy, x, kernel, n_threads=1, **place)
    for threads in (2, 3, 4, 8):
        got = kernels.conv2d_backward(dy, x, kernel, n_threads=threads, **place)
        assert [a.tobytes() for a in got] == [a.tobytes() for a in want]


def test_convolution_stores_the_input_of_the_activation():
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.standard_normal(s) for s in ((2, 6, 7, 3), (3, 3, 3, 5), (5,)))
    plain = kernels.conv2d_forward(x, kernel, bias)
    for name in ("gelu", "softmax", "relu"):
        z = np.empty_like(plain)
        y = kernels.conv2d_forward(x, kernel, bias, name, z=z)
        assert np.array_equal(z, plain)
        assert np.array_equal(y, kernels.conv2d_forward(x, kernel, bias, name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pooling_of_what_is_not_finite(dtype):
    x = np.array([[np.nan, 1], [np.inf, -np.inf]], dtype).reshape(1, 2, 2, 1)
    for places in (x, x[:, ::-1], x[:, :, ::-1], x[:, ::-1, ::-1]):
        assert np.isnan(kernels.max_pooling2d_forward(places)).all()
    low = np.full((1, 2, 2, 1), -np.inf, dtype)
    assert np.array_equal(kernels.max_pooling2d_forward(low), low[:, :1, :1])
    dx = kernels.max_pooling2d_backward(np.ones((1, 1, 1, 1), dtype), low, low[:, :1, :1])
    assert dx.reshape(-1).tolist() == [1, 0, 0, 0]
