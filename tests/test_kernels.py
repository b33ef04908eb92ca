"""The compiled kernels: exact on integers, near their twins, within their buffers, the same for any split."""

from __future__ import annotations

import copy
import ctypes
import doctest
import inspect
import itertools
import mmap
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from kernel_table import KERNELS, Kernel, tolerance
from scipy import special

from fastnn import kernels, reference
from fastnn._kernels.dispatch import ACTIVATIONS, FUNCTIONS, ISA, available_levels, panel_width

DTYPES = ("float32", "float64")
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def arrays(value):
    """The arrays in a result: of one array, of a tuple with None and numbers among them, of nothing."""
    items = value if isinstance(value, tuple) else (value,)
    return [np.asarray(item) for item in items if item is not None]


def call(function, args, kwargs, **more):
    """Results of a call, and the arguments as it left them."""
    args, kwargs = copy.deepcopy(args), copy.deepcopy(kwargs)
    result = arrays(function(*args, **kwargs, **more))
    return result + [a for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]


def assert_same_bits(got, want, what=""):
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes(), what


def with_arrays(args, kwargs, change, skip=()):
    """The arguments with `change` applied to every array but those in `skip`."""
    def changed(key, value):
        return change(value) if isinstance(value, np.ndarray) and key not in skip else value

    return tuple(changed(*item) for item in enumerate(args)), {k: changed(k, v) for k, v in kwargs.items()}


def output(kernel: Kernel, result, make):
    """Keywords that give `kernel` arrays from `make(shape, dtype)` for its results."""
    if kernel.out == "grad":
        return {"grad": make(result[1].shape, result[1].dtype)}
    if kernel.out == "out":
        if isinstance(result, tuple):
            return {"out": tuple(make(a.shape, a.dtype) for a in result)}
        return {"out": make(result.shape, result.dtype)}
    return {}


# ------------------------------------------------------------------------- (a) integers: the error is zero


def exact_shapes():
    """(rows, n_in, n_out): each length alone through all tails, then a sample of all three from the edges."""
    shapes = [shape for n in range(71) for shape in ((n, 5, 7), (3, n, 9), (4, 6, n))]
    edges = (*range(4), *range(5, 10), *range(12, 18), 27, 28, 29, 31, 32, 33, 47, 48, 49, 63, 64, 65, 70)
    triples = list(itertools.product(edges, repeat=3))
    shapes += [triples[i] for i in np.random.default_rng(0).choice(len(triples), 1800, replace=False)]
    # past one block of rows (256 and up to 13 more) and of the reduction (32 KiB / vector bytes), 4 vectors wide
    return [*shapes, (270, 3, 33), (5, 530, 17), (530, 9, 5), (2, 1030, 3), (1030, 2, 3), (3, 4, 600), (2, 2050, 129),
            (4, 1030, 200), (1, 300, 300)]


@every_dtype
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_dense_is_exact_on_integers(dtype, threads):
    rng = np.random.default_rng(1)
    shapes = exact_shapes()
    for rows, n_in, n_out in shapes if threads == 1 else shapes[threads::5]:
        x = rng.integers(-4, 5, (rows, n_in)).astype(dtype)
        w = rng.integers(-4, 5, (n_in, n_out)).astype(dtype)
        dy = rng.integers(-4, 5, (rows, n_out)).astype(dtype)
        b = rng.integers(-4, 5, n_out).astype(dtype)
        z = x @ w + b
        got_z = np.empty_like(z)
        y = kernels.dense_forward(x, w, b, "relu", n_threads=threads, z=got_z)
        without_z = kernels.dense_forward(x, w, b, "relu", n_threads=threads)
        dz = dy * (z > 0)
        dx, dw, db = kernels.dense_backward(dy, x, w, y, "relu", n_threads=threads)
        for got, want in ((got_z, z), (y, np.maximum(z, 0)), (without_z, y), (dx, dz @ w.T), (dw, x.T @ dz),
                          (db, dz.sum(axis=0))):  # fmt: skip
            assert np.array_equal(got, want), (rows, n_in, n_out)


# ------------------------------------------------------------------------------- (b) against the NumPy twins


@every_kernel
@every_dtype
def test_kernel_agrees_with_its_twin(kernel, dtype):
    rtol = tolerance(kernel.tolerance, dtype)
    for shape in ((1, 1, 1), (3, 5, 7), (19, 33, 70), (64, 17, 16), (2, 300, 129)):
        args, kwargs = kernel.make(shape, dtype)
        for got, want in zip(call(kernel.kernel, args, kwargs), call(kernel.twin, args, kwargs), strict=True):
            assert got.dtype == want.dtype
            # A sum's error follows the size of its terms, not of what is left of them: 129 terms around 20 that
            # cancel to 0.5 differ by 1e-5 between two orders in float32. The largest sum stands for the terms.
            scale = np.abs(want).max(initial=1.0) if kernel.tolerance == "sum" else 1.0
            np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * scale, err_msg=f"{shape}")


@every_kernel
@every_dtype
def test_empty_batches_and_layers(kernel, dtype):
    for shape in ((0, 5, 7), (3, 0, 7)):
        args, kwargs = kernel.make(shape, dtype)
        for got, want in zip(call(kernel.kernel, args, kwargs), call(kernel.twin, args, kwargs), strict=True):
            atol = tolerance(kernel.tolerance, dtype)
            np.testing.assert_allclose(got, want, rtol=atol, atol=atol)


@every_dtype
def test_losses_from_logits_are_stable_at_the_range_of_float32(dtype):
    big = 3e38
    pred = np.array([[big, -big, 0], [-big, big, 1], [big, big, big], [-big, -big, -big]], dtype)
    labels = np.array([1, 1, 0, 2])
    loss, grad = kernels.softmax_crossentropy(pred, labels)
    np.testing.assert_allclose(loss, [2 * float(dtype_max(pred)), 0, np.log(3), np.log(3)], rtol=1e-6)
    want = np.array([[1, -1, 0], [0, 0, 0], [-2 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, -2 / 3]])
    np.testing.assert_allclose(grad, want, rtol=1e-6, atol=1e-7)
    loss, grad = kernels.sigmoid_binary_crossentropy(pred, (pred > 0).astype(dtype))
    assert np.isfinite(loss).all()
    assert np.isfinite(grad).all()
    assert abs(loss[2]) < 1e-6


def dtype_max(pred):
    return np.abs(pred).max()


# ----------------------------------------------------------------------------------- (c) error of functions


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_within_4_ulp_in_float32(name):
    """Every 997th float there is, 4.3 million of them, and what a double gives."""
    x = np.arange(0, 2**32, 997, dtype=np.uint64).astype(np.uint32).view(np.float32)
    got = getattr(kernels, name)(x, n_threads=1).astype(np.float64)
    with np.errstate(all="ignore"):
        want = (special.erf if name == "erf" else getattr(np, name))(x.astype(np.float64))
        rounded = want.astype(np.float32)
    assert np.array_equal(np.isnan(got), np.isnan(want))
    largest = np.finfo(np.float32).max
    usual = np.isfinite(rounded) & np.isfinite(got)
    unit = np.spacing(np.abs(np.clip(rounded[usual], -largest, largest))).astype(np.float64)
    error = np.abs(got[usual] - want[usual]) / unit
    assert error.max(initial=0) <= 4, x[usual][error.argmax()]
    # infinities agree, but for values within 4 units of the largest number
    odd = ~usual & ~np.isnan(want)
    near_overflow = np.abs(np.abs(want[odd]) - largest) <= 4 * 2.0**104
    assert (near_overflow | (got[odd] == rounded[odd])).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_accurate_in_float64(name):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(100_000) * 10 ** rng.uniform(-8, 2, 100_000)
    x = np.abs(x) if name.startswith("log") else x
    want = (special.erf if name == "erf" else getattr(np, name))(x)
    np.testing.assert_allclose(getattr(kernels, name)(x), want, rtol=8 * np.finfo(np.float64).eps, atol=0)


@every_dtype
def test_functions_at_special_values(dtype):
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan], dtype)
    for name in FUNCTIONS:
        want = getattr(reference, name)(x)
        got = getattr(kernels, name)(x)
        assert np.array_equal(got, want, equal_nan=True), name
        assert np.array_equal(np.signbit(got[:4]), np.signbit(want[:4])) or name in ("log", "log1p"), name


# ---------------------------------------------------------------- (d) buffers, views, layouts


def guarded(array, at_end=True):
    """A copy of `array` that ends (or begins) where a page that must not be touched begins (or ends)."""
    if array.nbytes == 0:
        return array
    page = mmap.PAGESIZE
    size = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, size + page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    forbidden = ctypes.c_void_p(address + (size if at_end else 0))
    no_access = 0
    assert ctypes.CDLL(None).mprotect(forbidden, ctypes.c_size_t(page), no_access) == 0
    offset = size - array.nbytes if at_end else page
    copied = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copied[...] = array
    return copied


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
@every_kernel
@every_dtype
def test_nothing_outside_the_buffers_is_touched(kernel, dtype):
    lengths = (*range(1, 18), 31, 32, 33, 47, 65)
    for (i, n), at_end in itertools.product(enumerate(lengths), (True, False)):
        args, kwargs = kernel.make((1 + i % 4, lengths[-1 - i], n), dtype, seed=i)
        plain = call(kernel.kernel, args, kwargs)
        result = kernel.kernel(*copy.deepcopy(args), **copy.deepcopy(kwargs))
        args, kwargs = with_arrays(args, kwargs, partial(guarded, at_end=at_end))
        out = output(kernel, result, lambda shape, dtype, end=at_end: guarded(np.zeros(shape, dtype), end))
        got = arrays(kernel.kernel(*args, **kwargs, **out))
        got += [a for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        assert_same_bits(got, plain, f"{n}")


def offset_by_one(array):
    """The same values one element past an aligned address."""
    wide = np.zeros(array.size + 1, array.dtype)
    view = wide[1:].reshape(array.shape)
    view[...] = array
    return view


def offset_by_one_byte(array):
    """The same values at an address that is no multiple of the element's size."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def garbage(shape, dtype):
    """NaN, or for integers the value that is most out of range."""
    dtype = np.dtype(dtype)
    value = {"f": np.nan, "b": True}.get(dtype.kind) or np.iinfo(dtype).max
    return np.full(shape, value, dtype)


def spaced_rows(array):
    """Rows with garbage between them."""
    wide = garbage((2 * array.shape[0], *(n + 3 for n in array.shape[1:])), array.dtype)
    view = wide[(slice(None, None, 2), *(slice(1, n + 1) for n in array.shape[1:]))]
    view[...] = array
    return view


def spaced_elements(array):
    """Garbage between all elements."""
    view = garbage(tuple(3 * n for n in array.shape), array.dtype)[(slice(None, None, 3),) * array.ndim]
    view[...] = array
    return view


def read_only(array):
    view = array.copy()
    view.flags.writeable = False
    return view


def reversed_view(array):
    return np.ascontiguousarray(array[::-1])[::-1]


LAYOUTS = (offset_by_one, offset_by_one_byte, spaced_rows, spaced_elements, read_only, np.asfortranarray,
           reversed_view)  # fmt: skip


@every_kernel
@every_dtype
def test_layout_of_inputs_does_not_matter(kernel, dtype):
    for shape, layout in itertools.product(((3, 5, 7), (5, 18, 37)), LAYOUTS):
        skip = kernel.in_place if layout is not offset_by_one else ()
        args, kwargs = kernel.make(shape, dtype)
        plain = call(kernel.kernel, args, kwargs)
        args, kwargs = with_arrays(args, kwargs, layout, skip)
        got = arrays(kernel.kernel(*args, **kwargs))
        got += [np.ascontiguousarray(a) for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        assert_same_bits(got, plain, layout.__name__)


WRITES_ROWS = [k for k in KERNELS if k.out and k.function not in FUNCTIONS]


@pytest.mark.parametrize("kernel", WRITES_ROWS, ids=lambda k: k.name)
@every_dtype
def test_outputs_may_be_parts_of_wider_arrays(kernel, dtype):
    for shape in ((3, 5, 7), (5, 18, 37)):
        args, kwargs = kernel.make(shape, dtype)
        plain = kernel.kernel(*args, **kwargs)
        wide = []

        def part(shape, dtype, wide=wide):
            wide.append(np.full((2 * shape[0], shape[-1] + 3), 77, dtype))
            return wide[-1][::2, 1 : shape[-1] + 1] if len(shape) == 2 else np.empty(shape, dtype)

        given = output(kernel, plain, part)
        got = kernel.kernel(*args, **kwargs, **given)
        for a, b in zip(arrays(got), arrays(plain), strict=True):
            assert np.array_equal(a, b)
        for a in wide:
            a[::2, 1:-2] = 77
            assert (a == 77).all()


@every_dtype
def test_elementwise_kernels_work_in_place(dtype):
    for name in ("exp", "tanh", "erf"):
        x = np.linspace(-2, 2, 37, dtype=dtype)
        want = getattr(kernels, name)(x)
        assert getattr(kernels, name)(x, out=x) is x
        assert_same_bits([x], [want])
    for name in ("gelu", "softmax", "relu"):
        x = np.linspace(-2, 2, 36, dtype=dtype).reshape(4, 9)
        want = kernels.activation_forward(x, name)
        back = kernels.activation_backward(x, want, name)
        dy = x.copy()
        assert_same_bits([kernels.activation_backward(dy, want, name, out=dy)], [back])
        assert_same_bits([kernels.activation_forward(x, name, out=x)], [want])
    want = kernels.dropout_forward(x, 0.5, seed=1)
    assert_same_bits([kernels.dropout_forward(x, 0.5, seed=1, out=x)], [want])


def test_activations_take_any_number_of_dimensions():
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    for name in ("gelu", "softmax"):
        y = kernels.activation_forward(x, name)
        assert_same_bits([y[1]], [kernels.activation_forward(x[1], name)])
        assert_same_bits([y[1, 2]], [kernels.activation_forward(x[1, 2], name)])


def test_activation_instances_and_parameters():
    class Leaky:
        kind, alpha = ACTIVATIONS["leaky_relu"], 0.5

    x = np.array([[-2.0, 3.0]])
    assert kernels.activation_forward(x, Leaky()).tolist() == [[-1, 3]]
    assert kernels.activation_forward(x, "leaky_relu").tolist() == [[-0.4, 3]]
    assert kernels.activation_forward(x, "leaky_relu", alpha=0.25).tolist() == [[-0.5, 3]]
    assert kernels.dense_forward(x, np.eye(2), None, "leaky_relu", alpha=0.25).tolist() == [[-0.5, 3]]


@every_dtype
@pytest.mark.parametrize("name", ["gelu", "softmax", "relu", "linear"])
def test_dense_forward_stores_the_input_of_the_activation(dtype, name):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(dtype) for s in ((9, 20), (20, 37), 37))
    z = np.empty((9, 37), dtype)
    y = kernels.dense_forward(x, w, b, name, z=z)
    assert_same_bits([z, y], [kernels.dense_forward(x, w, b), kernels.dense_forward(x, w, b, name)])


@every_dtype
def test_dense_backward_without_an_input_gradient(dtype):
    kernel = next(k for k in KERNELS if k.name == "dense_backward-tanh")
    args, _ = kernel.make((9, 20, 37), dtype)
    _, dw, db = kernels.dense_backward(*args)
    nothing, dw_alone, db_alone = kernels.dense_backward(*args, need_dx=False)
    assert nothing is None
    assert_same_bits([dw_alone, db_alone], [dw, db])


# --------------------------------------------------------------- (e) the same bits for any split of the work


@every_kernel
@every_dtype
def test_number_of_threads_does_not_change_a_bit(kernel, dtype):
    for shape in ((67, 45, 83), (2, 300, 131)):
        args, kwargs = kernel.make(shape, dtype)
        one = call(kernel.kernel, args, kwargs, n_threads=1)
        for n in (2, 3, 4, 8, None):
            assert_same_bits(call(kernel.kernel, args, kwargs, n_threads=n), one, f"{shape}, {n} threads")


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k.rows], ids=lambda k: k.name)
@every_dtype
def test_a_batch_is_its_rows_one_by_one(kernel, dtype):
    rows = 41
    for cols, size in itertools.product((2, 7, 12, 53), (1, 7, 40)):
        args, kwargs = kernel.make((rows, 35, cols), dtype)
        batch = arrays(kernel.kernel(*args, **kwargs, n_threads=2))
        parts = []
        for lo in range(0, rows, size):
            split = tuple(a[lo : lo + size] if i in kernel.rows else a for i, a in enumerate(args))
            parts.append(arrays(kernel.kernel(*split, **kwargs, n_threads=1)))
        assert_same_bits([np.concatenate(part) for part in zip(*parts, strict=True)], batch,
                         f"{size} rows of {cols}")


# ------------------------------------------------------------------------------------ (f) bad arguments

F = np.ones((3, 4), np.float32)
W = np.ones((4, 5), np.float32)
V = np.ones(4, np.float32)
CONSTANT = read_only(F)
IMAGES = np.ones((1, 3, 4, 2), np.float32)

REFUSED = {
    "integers": (lambda: kernels.exp(np.arange(3)), TypeError, "float32 or float64; received dtype int64"),
    "half": (lambda: kernels.exp(F.astype(np.float16)), TypeError, "float16"),
    "complex": (lambda: kernels.exp(F.astype(complex)), TypeError, "complex128"),
    "objects": (lambda: kernels.exp(np.array([None])), TypeError, "object"),
    "strings": (lambda: kernels.exp(np.array(["1.0"])), TypeError, "<U3"),
    "byte order": (lambda: kernels.exp(F.astype(">f4")), TypeError, ">f4"),
    "mixed dtypes": (lambda: kernels.dense_forward(F, W.astype(np.float64)),
                     TypeError, "kernel must be float32"),
    "rank of x": (lambda: kernels.dense_forward(V, W), ValueError, r"x must have the shape \(rows, n_in\)"),
    "inner size": (lambda: kernels.dense_forward(F, W[:3]), ValueError, r"\(4, n_out\); received \(3, 5\)"),
    "bias": (lambda: kernels.dense_forward(F, W, V), ValueError, r"bias .* \(5,\); received \(4,\)"),
    "out list": (lambda: kernels.exp(F, out=[1.0]), TypeError, "numpy.ndarray or None; received list"),
    "out dtype": (lambda: kernels.exp(F, out=np.ones((3, 4))), TypeError, "out must be float32"),
    "out shape": (lambda: kernels.exp(F, out=F[:2].copy()), ValueError, r"\(3, 4\); received \(2, 4\)"),
    "out read-only": (lambda: kernels.exp(F, out=CONSTANT), ValueError, "writable"),
    "out strides": (lambda: kernels.exp(F, out=np.ones((3, 8), "f")[:, ::2]), ValueError, "C-contiguous"),
    "out columns": (lambda: kernels.dense_forward(F, W, out=np.ones((3, 10), "f")[:, ::2]),
                    ValueError, "contiguous"),
    "out is x": (lambda: kernels.dense_forward(F, np.eye(4, dtype="f"), out=F), ValueError, "overlap"),
    "out over x": (lambda: kernels.exp(V[:3], out=V[1:]), ValueError, "overlap"),
    "z is out": (lambda: kernels.dense_forward(F, W, out=(y := np.ones((3, 5), "f")), z=y),
                 ValueError, "overlap"),
    "grad is pred": (lambda: kernels.mean_squared_error(F, CONSTANT, grad=F), ValueError, "overlap"),
    "param is grad": (lambda: kernels.sgd_step(V, V), ValueError, "overlap"),
    "m is v": (lambda: kernels.adam_step(V, V + 1, (m := V * 0), m, 1), ValueError, "v must not overlap"),
    "activation": (lambda: kernels.activation_forward(F, "rleu"), ValueError, "did you mean 'relu'"),
    "activation type": (lambda: kernels.activation_forward(F, 3), TypeError, "name, an Activation or None"),
    "alpha": (lambda: kernels.activation_forward(F, "elu", alpha=-1.0), ValueError, "alpha"),
    "alpha NaN": (lambda: kernels.activation_forward(F, "elu", alpha=np.nan), ValueError, "alpha"),
    "saved": (lambda: kernels.activation_backward(F, F[:2], "relu"), ValueError, r"saved .* \(3, 4\)"),
    "no saved": (lambda: kernels.dense_backward(np.ones((3, 5), "f"), F, W, None, "relu"),
                 ValueError, "saved"),
    "backward out": (lambda: kernels.dense_backward(np.ones((3, 5), "f"), F, W, out=F), TypeError, "tuple"),
    "rank of images": (lambda: kernels.conv2d_forward(F, F), ValueError, r"x .* \(samples, height, width, channels\)"),
    "channels": (lambda: kernels.conv2d_forward(IMAGES, np.ones((2, 2, 3, 4), "f")),
                 ValueError, r"kernel .* \(height, width, 2, filters\); received \(2, 2, 3, 4\)"),
    "kernel too large": (lambda: kernels.conv2d_forward(IMAGES, np.ones((2, 5, 2, 1), "f")),
                         ValueError, "width 5 does not fit into samples of width 4"),
    "empty kernel": (lambda: kernels.conv2d_forward(IMAGES, np.ones((2, 2, 2, 0), "f")), ValueError, "not be empty"),
    "no channels": (lambda: kernels.max_pooling2d_forward(IMAGES[..., :0]), ValueError, "not empty; received"),
    "strides": (lambda: kernels.conv2d_forward(IMAGES, np.ones((2, 2, 2, 1), "f"), strides=0),
                ValueError, r"strides must be in \[1, .*received 0"),
    "three strides": (lambda: kernels.max_pooling2d_forward(IMAGES, 2, (1, 1, 1)),
                      ValueError, r"strides must be an integer or 2 of them; received \(1, 1, 1\)"),
    "stride text": (lambda: kernels.max_pooling2d_forward(IMAGES, 2, "1"), TypeError, "strides must be an integer"),
    "padding": (lambda: kernels.max_pooling2d_forward(IMAGES, padding="full"), ValueError, "'valid' or 'same'"),
    "pool size": (lambda: kernels.average_pooling2d_forward(IMAGES, 4), ValueError, "height 4 does not fit"),
    "pooled shape": (lambda: kernels.max_pooling2d_backward(IMAGES, IMAGES, IMAGES),
                     ValueError, r"dy .* \(1, 1, 2, 2\); received \(1, 3, 4, 2\)"),
    "convolved shape": (lambda: kernels.conv2d_backward(IMAGES, IMAGES, np.ones((2, 2, 2, 2), "f")),
                        ValueError, r"dy .* \(1, 2, 3, 2\)"),
    "conv not saved": (lambda: kernels.conv2d_backward(IMAGES, IMAGES, np.ones((1, 1, 2, 2), "f"), None, "relu"),
                       ValueError, "saved"),
    "no columns": (lambda: kernels.huber(F[:, :0], F[:, :0]), ValueError, "at least one column"),
    "labels float": (lambda: kernels.softmax_crossentropy(F, np.zeros(3)), TypeError, "integers"),
    "labels bool": (lambda: kernels.softmax_crossentropy(F, np.zeros(3, bool)), TypeError, "integers"),
    "labels high": (lambda: kernels.softmax_crossentropy(F, np.array([0, 4, 1])),
                    ValueError, r"\[0, 4\).*\[0, 4\]"),
    "labels low": (lambda: kernels.softmax_crossentropy(F, np.array([0, -1, 1])), ValueError, r"\[-1, 1\]"),
    "labels wide": (lambda: kernels.softmax_crossentropy(F, np.array([0, 2**32, 1])),
                    ValueError, "4294967296"),
    "labels few": (lambda: kernels.softmax_crossentropy(F, np.array([0, 1])),
                   ValueError, r"\(3,\); received \(2,\)"),
    "targets": (lambda: kernels.huber(F, F[:, :3]), ValueError, r"target .* \(3, 4\)"),
    "weights": (lambda: kernels.huber(F, F, np.array([1.0, -1.0, 1.0])), ValueError, "not negative"),
    "weights NaN": (lambda: kernels.huber(F, F, np.array([1.0, np.nan, 1.0])), ValueError, "finite"),
    "weights few": (lambda: kernels.huber(F, F, np.ones(2)), ValueError, r"\(3,\)"),
    "weights text": (lambda: kernels.huber(F, F, ["a", "b", "c"]), TypeError, "real numbers"),
    "smoothing": (lambda: kernels.softmax_crossentropy(F, [0, 1, 2], label_smoothing=1.5),
                  ValueError, r"\[0, 1\]"),
    "delta": (lambda: kernels.huber(F, F, delta=0.0), ValueError, r"\(0, inf\)"),
    "param list": (lambda: kernels.sgd_step([1.0], [1.0]), TypeError, "param must be a numpy.ndarray"),
    "param strided": (lambda: kernels.sgd_step(np.ones((3, 8))[:, :4], np.ones((3, 4))),
                      ValueError, "C-contiguous"),
    "grad shape": (lambda: kernels.sgd_step(np.ones(3), np.ones(4)), ValueError, r"grad .* \(3,\)"),
    "learning rate": (lambda: kernels.sgd_step(np.ones(3), np.ones(3), learning_rate=-1),
                      ValueError, "learning_rate"),
    "learning text": (lambda: kernels.sgd_step(np.ones(3), np.ones(3), learning_rate="a"),
                      TypeError, "learning_rate"),
    "beta": (lambda: kernels.lion_step(np.ones(3), np.ones(3), np.ones(3), beta_1=1.0),
             ValueError, r"\[0, 1\)"),
    "step 0": (lambda: kernels.adam_step(V * 1, V, V * 0, V * 0, 0), ValueError, "step"),
    "step float": (lambda: kernels.adam_step(V * 1, V, V * 0, V * 0, 1.5), TypeError, "integer"),
    "power": (lambda: kernels.ftrl_step(V * 1, V, V * 0, V * 0 + 1, learning_rate_power=0.5), ValueError,
              r"learning_rate_power must be in \(-inf, 0\]; received 0.5"),
    "beta 0": (lambda: kernels.schedule_free_adamw_step(V * 1, V, V * 1, V * 0, V * 2, 1, beta_1=0.0), ValueError,
               r"beta_1 must be in \(0, 1\)"),
    "decay": (lambda: kernels.sgd_step(V * 1, V, weight_decay=-0.1), ValueError, "weight_decay"),
    "no buffer": (lambda: kernels.rmsprop_step(V * 1, V, V * 0, momentum=0.9), ValueError, "momentum_buffer"),
    "index high": (lambda: kernels.gather_rows(F, [0, 3]), ValueError, r"index must be in \[0, 3\)"),
    "index low": (lambda: kernels.gather_rows(F, [-1]), ValueError, "index"),
    "index float": (lambda: kernels.gather_rows(F, [0.0]), TypeError, "integers"),
    "gather complex": (lambda: kernels.gather_rows(F.astype(complex), [0]), TypeError, "complex128"),
    "gather dtype": (lambda: kernels.gather_rows(F, [0], dtype=np.int32), TypeError, "float32 or float64"),
    "rate": (lambda: kernels.dropout_forward(F, 1.0, seed=0), ValueError, r"rate must be in \[0, 1\)"),
    "alpha rate": (lambda: kernels.alpha_dropout_forward(F, -0.1, seed=0), ValueError, r"rate must be in \[0, 1\)"),
    "gaussian rate": (lambda: kernels.gaussian_dropout_forward(F, 1.0, seed=0), ValueError, r"\[0, 1\)"),
    "stddev": (lambda: kernels.gaussian_noise_forward(F, -1.0, seed=0), ValueError, "stddev must be in"),
    "gamma": (lambda: kernels.batch_normalization_forward(F, V[:3]), ValueError, r"gamma .* \(4,\)"),
    "mean alone": (lambda: kernels.batch_normalization_forward(F, mean=V), ValueError, "both or neither"),
    "epsilon": (lambda: kernels.layer_normalization_forward(F, epsilon=-1), ValueError, "epsilon"),
    "norm in place": (lambda: kernels.rms_normalization_forward(F, out=F), ValueError, "overlap"),
    "norm out": (lambda: kernels.layer_normalization_backward(F, F, out=F), TypeError, r"\(dx, dgamma, dbeta\)"),
    "variance": (lambda: kernels.batch_normalization_backward(F, F, V.astype(float), V),
                 TypeError, "mean must be float32"),
    "alphas": (lambda: kernels.prelu_forward(F, V[:2]), ValueError, r"alpha .* \(4,\)"),
    "seed": (lambda: kernels.dropout_forward(F, 0.5, seed=-1), ValueError, "seed"),
    "seed float": (lambda: kernels.dropout_forward(F, 0.5, seed=0.5), TypeError, "seed"),
    "l2": (lambda: kernels.l1_l2_penalty(F, l2=-1), ValueError, r"l2 must be in \[0, inf\); received -1"),
    "penalty's grad": (lambda: kernels.l1_l2_penalty(F, l2=1, grad=F[:2].copy()), ValueError, r"grad .* \(3, 4\)"),
    "grad is the penalty's param": (lambda: kernels.l1_l2_penalty(F, l2=1, grad=F), ValueError, "overlap"),
    "mode": (lambda: kernels.orthogonal_penalty(F, mode="row"), ValueError, "'rows' or 'columns'; received 'row'"),
    "orthogonal vector": (lambda: kernels.orthogonal_penalty(V), ValueError, r"\(rows, columns\); received \(4,\)"),
    "norms": (lambda: kernels.norm_constraint(F, 2.0, 1.0), ValueError, r"max_value must be in \[2, inf\); received 1"),
    "norm's rate": (lambda: kernels.norm_constraint(F, rate=1.5), ValueError, r"rate must be in \[0, 1\]"),
    "norm's axis": (lambda: kernels.norm_constraint(F, axis=2), ValueError, r"axis must be in \[-2, 2\) .* received 2"),
    "norm in the middle": (lambda: kernels.norm_constraint(np.ones((2, 3, 4)), axis=1), ValueError,
                           "first or the last dimensions"),
    "norm's strides": (lambda: kernels.norm_constraint(np.ones((3, 8))[:, :4]), ValueError, "C-contiguous"),
    "mask's dtype": (lambda: kernels.mask_weights(F, np.ones((3, 4))), TypeError, "bool; received dtype float64"),
    "mask's shape": (lambda: kernels.mask_weights(F, np.ones((4, 3), bool)), ValueError, r"mask .* \(3, 4\)"),
    "empty range": (lambda: kernels.histogram(F, 1, 1), ValueError, r"low must be below high; received 1.0 and 1.0"),
    "range's end": (lambda: kernels.histogram(F, 0, np.inf), ValueError, "high must be in .* received inf"),
    "range too wide": (lambda: kernels.histogram(F, -1e308, 1e308), ValueError, "bins / .* received 64 bins of "),
    "range too narrow": (lambda: kernels.histogram(F, 0, 5e-324), ValueError, "must be finite and above 0"),
    "bins": (lambda: kernels.histogram(F, 0, 1, 0), ValueError, r"bins must be in \[1, 65537\); received 0"),
    "bins float": (lambda: kernels.histogram(F, 0, 1, 8.0), TypeError, "bins must be an integer"),
    "counts float": (lambda: kernels.histogram(F, 0, 1, 4, out=V), TypeError, "out must be int64; received float32"),
    "counts few": (lambda: kernels.histogram(F, 0, 1, out=np.ones(4, int)), ValueError, r"\(64,\); received \(4,\)"),
    "extent's out": (lambda: kernels.extent(F, out=np.ones(5, "f")), TypeError, "out must be float64"),
    "extent over x": (lambda: kernels.extent((a := np.ones(5)), out=a), ValueError, "overlap"),
    "no threads": (lambda: kernels.exp(F, n_threads=0), ValueError, "n_threads"),
    "half a thread": (lambda: kernels.exp(F, n_threads=1.5), TypeError, "n_threads"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    attempt, error, message = REFUSED[case]
    before = F.copy()
    with pytest.raises(error, match=message):
        attempt()
    assert np.array_equal(F, before)
    assert np.array_equal(V, np.ones(4))


# ----------------------------------------------------------------------------------------------- the module


def test_every_kernel_has_a_twin_with_the_same_arguments():
    assert kernels.__all__ == reference.__all__
    for name in kernels.__all__:
        ours, twin = (inspect.signature(getattr(module, name)).parameters for module in (kernels, reference))
        assert list(ours) == list(twin), name
        assert [p.default for p in ours.values()] == [p.default for p in twin.values()], name
        assert [p.kind for p in ours.values()] == [p.kind for p in twin.values()], name


def test_every_kernel_is_in_the_table():
    """Those on patterns are not: they count, and test_topology_kernels.py holds them to their twins exactly."""
    on_patterns = {"compressed_rows", "drop_smallest", "free_positions", "merge_pattern", "random_positions"}
    assert {k.function for k in KERNELS} == set(kernels.__all__) - on_patterns


def test_examples():
    assert doctest.testmod(kernels, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_panels_are_two_vectors_wide():
    vector = {"baseline": 16, "avx2": 32, "avx512": 64}[ISA]
    assert (panel_width("float32"), panel_width("float64")) == (vector // 2, vector // 4)


@pytest.mark.skipif("FASTNN_TEST_ISA" in os.environ, reason="is the run for another instruction set")
@pytest.mark.parametrize("isa", [isa for isa in available_levels() if isa != ISA])
def test_other_instruction_sets(isa):
    """What depends on the instruction set, once more with the kernels of another one."""
    environment = os.environ | {"FASTNN_ISA": isa, "FASTNN_TEST_ISA": isa}
    tests = "exact or twin or empty or stable or functions or outside or batch or panels"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__, "-k", tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
