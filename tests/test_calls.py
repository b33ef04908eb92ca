"""Single calls: plain arrays pass a quick look, runners wait in pools; neither may change what a call does."""

import ctypes
import pickle
import sys
import threading
import time

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers
from fastnn._kernels import door
from fastnn.inputs import as_features, as_labels, as_targets, as_weights
from fastnn.losses import CategoricalCrossentropy

N, FEATURES, OUTPUTS = 12, 5, 3


class Careful(np.ndarray):
    """An array that the quick look leaves to the checks behind it."""


def careful(array):
    return np.asarray(array).view(Careful)


def regressor(*first, dtype="float32", loss="mse", outputs=OUTPUTS, activation=None):
    model = fnn.Sequential([*first, layers.Dense(33, "tanh"), layers.Dense(outputs, activation)], seed=0, dtype=dtype)
    model.compile("adam", loss)
    model.build((FEATURES,))
    return model


def classifier(dtype="float32"):
    return regressor(dtype=dtype, loss="sparse_categorical_crossentropy", activation="softmax")


def numbers(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(dtype)


X, Y, LABELS, WEIGHTS = numbers(N, FEATURES), numbers(N, OUTPUTS), np.arange(N) % OUTPUTS, numbers(N)


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- the quick look finds what the checks find ----

LAYOUTS = {
    "plain": lambda a: a,
    "fortran": np.asfortranarray,
    "every second": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("source", ["f4", "f8", "f2", "u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_labels_targets_and_weights_are_those_of_the_checks(dtype, source, layout):
    def arranged(a):
        return LAYOUTS[layout](a.astype(source))

    x, y, one = arranged(X * 100), arranged(Y), arranged(Y[:, 0])
    labels, weights = arranged(LABELS), arranged(WEIGHTS * 100)
    for array in (x, x.reshape(N, 1, FEATURES)):
        assert as_features(array, array.shape[1:], "x", dtype)[1] == array.shape[1:]
        assert_same(as_features(array, array.shape[1:], "x", dtype)[0],
                    as_features(careful(array), array.shape[1:], "x", dtype)[0])
    for array, shape in ((y, (OUTPUTS,)), (one, (1,)), (one.reshape(N, 1), (1,)), (y.reshape(N, 1, 3), (1, 3))):
        for probabilities in (False, True):
            found = as_targets(array, N, shape, dtype, probabilities)
            expected = as_targets(careful(array), N, shape, dtype, probabilities)
            assert found.dtype == expected.dtype == dtype
            assert found.flags.c_contiguous
            assert_same(found, expected)
    found, expected = as_labels(labels, N, OUTPUTS), as_labels(careful(labels), N, OUTPUTS)
    assert found.dtype == expected.dtype == np.int32
    assert_same(found, expected)
    if weights.any():
        found, expected = as_weights(weights, N), as_weights(careful(weights), N)
        assert found.dtype == expected.dtype == np.float64
        assert_same(found, expected)


def test_what_most_calls_hand_over_is_plain():
    """Else the tests of this file would compare the checks with themselves."""
    for dtype in ("float32", "float64"):
        for x in (X, X.astype("f4"), (X * 100).astype("u1"), np.asfortranarray(X)):
            assert door.plain_features(x, (FEATURES,), dtype)
        for y in (Y, Y.astype("f4")):
            for probabilities in (False, True):
                assert door.plain_targets(y, N, (OUTPUTS,), dtype, probabilities) is not None
        assert door.plain_targets(Y[:, 0].copy(), N, (1,), dtype, False) is not None
    for source in ("i8", "i4", "u1", "i2", "u8"):
        assert door.plain_labels(LABELS.astype(source), N, OUTPUTS) is not None
    assert door.plain_weights(WEIGHTS, N) is not None
    assert not door.plain_features(careful(X), (FEATURES,), "float32")


def test_labels_targets_and_weights_are_copies():
    for found, given in ((as_labels(LABELS.astype("i4"), N, OUTPUTS), LABELS), (as_weights(WEIGHTS, N), WEIGHTS),
                         (as_targets(Y, N, (OUTPUTS,), "float64"), Y)):
        assert not np.shares_memory(found, given)


def spoilt(array, value, at=-1):
    array = array.astype(np.result_type(array, type(value)))
    array.flat[at] = value
    return array


BAD_X = {
    "nan": spoilt(X, np.nan), "infinity": spoilt(X, -np.inf, 0), "nan in float32": spoilt(X, np.nan).astype("f4"),
    "too large": spoilt(X, 1e39), "nan behind a gap": np.repeat(spoilt(X, np.nan), 2, axis=0)[::2],
    "narrow": X[:, 1:], "wide": numbers(N, FEATURES + 1), "one row": X[0], "three dimensions": X[None],
    "empty": X[:0], "scalar": np.float64(1.0), "zero dimensions": np.array(1.0), "complex": X * 1j,
    "dates": np.zeros((N, FEATURES), "M8[s]"), "objects": X.astype(object), "strings": X.astype("U3"),
    "masked": np.ma.masked_array(X, X > 0.5), "records": np.zeros((N, FEATURES), [("a", "f4")]),
    "float16 with infinity": spoilt(X, np.inf).astype("f2"),
}
BAD_Y = {
    "nan": spoilt(Y, np.nan), "infinity": spoilt(Y, np.inf), "too large": spoilt(Y, 1e39), "narrow": Y[:, 1:],
    "flat": Y.ravel(), "short": Y[1:], "long": numbers(N + 1, OUTPUTS), "transposed": Y.T, "empty": Y[:0],
    "one column": Y[:, 0], "masked": np.ma.masked_array(Y, Y > 0.5), "complex": Y * 1j, "dates": Y.astype("M8[s]"),
}
BAD_PROBABILITIES = {"negative": spoilt(Y, -1e-9), "above one": spoilt(Y, 1 + 1e-15), "nan": spoilt(Y, np.nan),
                     "above one in float32": spoilt(Y, 1.5).astype("f4")}
BAD_LABELS = {
    "negative": spoilt(LABELS, -1), "too large": spoilt(LABELS, OUTPUTS), "fraction": spoilt(LABELS, 0.5),
    "negative int8": spoilt(LABELS, -1).astype("i1"), "huge": spoilt(LABELS, 2**32),
    "huge uint64": np.full(N, 2**64 - 1, "u8"), "short": LABELS[1:], "rows": Y, "empty": LABELS[:0],
    "nan": spoilt(LABELS, np.nan), "masked": np.ma.masked_array(LABELS, LABELS > 0), "strings": LABELS.astype("U1"),
}
BAD_WEIGHTS = {
    "negative": spoilt(WEIGHTS, -1e-300), "nan": spoilt(WEIGHTS, np.nan), "infinity": spoilt(WEIGHTS, np.inf),
    "zeros": np.zeros(N), "short": WEIGHTS[1:], "rows": Y, "dates": WEIGHTS.astype("M8[s]"),
}


def error_of(call):
    try:
        call()
    except Exception as error:
        return type(error), str(error)
    return None


BAD = [
    *((what, "x", value) for what, value in BAD_X.items()), *((what, "y", value) for what, value in BAD_Y.items()),
    *((what, "probabilities", value) for what, value in BAD_PROBABILITIES.items()),
    *((what, "labels", value) for what, value in BAD_LABELS.items()),
    *((what, "weights", value) for what, value in BAD_WEIGHTS.items()),
]  # fmt: skip


@pytest.mark.parametrize(("what", "argument", "value"), BAD, ids=[f"{a}-{w}" for w, a, _ in BAD])
def test_bad_arrays_are_refused_with_the_words_of_the_checks(argument, what, value):
    behind = value if isinstance(value, np.ma.MaskedArray) else careful(value)
    model = (classifier() if argument == "labels" else
             regressor(loss=CategoricalCrossentropy(), activation="softmax") if argument == "probabilities" else
             regressor())
    good_y = LABELS if argument == "labels" else Y
    before = model.get_weights()
    calls = {
        "x": lambda a: (lambda: model.predict(a), lambda: model.train_on_batch(a, good_y)),
        "weights": lambda a: (lambda: model.train_on_batch(X, good_y, sample_weight=a),),
    }.get(argument, lambda a: (lambda: model.train_on_batch(X, a), lambda: model.evaluate(X, a)))
    for _ in range(2):
        for quick, checked in zip(calls(value), calls(behind), strict=True):
            found = error_of(quick)
            assert found is not None
            assert found == error_of(checked)
    assert_same(model.get_weights(), before)
    model.train_on_batch(X, good_y)  # and it can be trained still


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 7, 500])
def test_calls_give_the_same_bits_whichever_way_arrays_come(rows, dtype):
    x, y, w = numbers(rows, FEATURES), numbers(rows, OUTPUTS, seed=1), numbers(rows, seed=2) + 0.1
    labels = np.arange(rows) % OUTPUTS
    for make, answers in ((regressor, y), (classifier, labels)):
        quick, checked = make(dtype=dtype), make(dtype=dtype)
        for _ in range(3):
            assert quick.train_on_batch(x, answers, sample_weight=w) == checked.train_on_batch(
                x.tolist(), careful(answers), sample_weight=w.tolist())
            assert quick.evaluate(x, answers) == checked.evaluate(careful(x), answers.tolist())
            np.testing.assert_array_equal(quick.predict(x), checked.predict(x.tolist()))
        assert_same(quick.get_weights(), checked.get_weights())


# ---- what the user writes to a weight counts at once ----

WRITES = {
    "element": lambda kernel: kernel.__setitem__((2, 1), 3.0),
    "all": lambda kernel: kernel.fill(0.25),
    "view": lambda kernel: kernel[1:3, ::2].__imul__(-2),
    "transposed": lambda kernel: kernel.T.__setitem__((slice(None), 0), 1.5),
    "memory": lambda kernel: memoryview(kernel).cast("B").cast(kernel.dtype.char).__setitem__(3, 7.0),
}


@pytest.mark.parametrize("rows", [1, 4, 64, 600])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("layer", [0, 1])
def test_writes_to_a_kernel_count_in_the_next_call(layer, write, rows):
    x, y = numbers(rows, FEATURES), numbers(rows, OUTPUTS, seed=1)
    calls = (lambda m: m.predict(x), lambda m: m.evaluate(x, y), lambda m: m.train_on_batch(x, y),
             lambda m: m.train_on_batch(x, y), lambda m: m.fit(x, y, verbose=0).history["loss"])
    written, told = regressor(), regressor()
    views = [weight for layer in written.layers for weight in layer.weights.values()]
    for call in calls:
        for model in (written, told):
            call(model)
        WRITES[write](written.layers[layer].kernel)
        told.set_weights(views)
        np.testing.assert_array_equal(call(written), call(told))
        assert_same(written.get_weights(), told.get_weights())


# ---- runners and their memory ----


def test_many_threads_predict_and_evaluate_one_model_over_and_over():
    model = regressor()
    parts = [numbers(rows, FEATURES, seed=rows, dtype="f4") for rows in (1, 2, 3, 17, 64, 129, 300, 1)]
    answers = [numbers(len(part), OUTPUTS, seed=9) for part in parts]
    expected = [(model.predict(x), model.evaluate(x, y)) for x, y in zip(parts, answers, strict=True)]
    wrong = []

    def work(i):
        for turn in range(300):
            at = (i + turn) % len(parts)
            outputs, loss = expected[at]
            if not ((model.predict(parts[at], n_threads=1 + turn % 2) == outputs).all()
                    and model.evaluate(parts[at], answers[at]) == loss):
                wrong.append((i, turn))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(model._predicting().idle) <= 16


def test_runners_of_large_batches_are_not_kept():
    model = fnn.Sequential([layers.Dense(3000), layers.Dense(2)], seed=0)
    model.build((FEATURES,))
    model.predict(numbers(1000, FEATURES), n_threads=2)
    assert not model._predicting().idle
    model.predict(numbers(1, FEATURES))
    assert len(model._predicting().idle) == 1


def test_calls_do_not_hold_on_to_their_arrays():
    model = regressor()
    x, y = X.copy(), Y.copy()
    for call in (lambda: model.predict(x), lambda: model.evaluate(x, y), lambda: model.train_on_batch(x, y),
                 lambda: model.gradients(x, y), lambda: model.fit(x, y, verbose=0)):
        call()
        assert sys.getrefcount(x) == 2
        assert sys.getrefcount(y) == 2


def test_pickles_do_not_grow_with_calls():
    model = regressor()
    before = len(pickle.dumps(model))
    model.predict(X)
    assert len(pickle.dumps(model)) == before


def test_memory_does_not_grow_with_calls():
    class Mallinfo2(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks",
                                                         "fsmblks", "uordblks", "fordblks", "keepcost")]

    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        pytest.skip("the C library has no mallinfo2")
    mallinfo2.restype = Mallinfo2
    model = regressor()
    x, y = X.astype("f4"), Y.astype("f4")

    def calls(n):
        for _ in range(n):
            model.predict(x)
            model.train_on_batch(x, y)
            model.evaluate(x, y)
            error_of(lambda: model.predict(x[:, 1:]))

    calls(1000)
    before, blocks = mallinfo2(), sys.getallocatedblocks()
    calls(10000)
    after = mallinfo2()
    assert sys.getallocatedblocks() - blocks < 500
    assert after.uordblks + after.hblkhd - before.uordblks - before.hblkhd < 64 * 1024


@pytest.mark.parametrize("threads", [1, 2])
def test_a_layer_in_python_may_call_another_model(threads):
    """It runs inside its own model's region, whose threads the other model must not take for its own."""
    other = regressor()

    class Asks(layers.PythonLayer):
        def forward(self, x, training):
            return x + other.predict(x)[:, :1] + other.predict(x, n_threads=1)[:, :1]

        def backward(self, dy):
            return dy

    x, y = numbers(600, FEATURES), numbers(600, OUTPUTS)
    model, alone = regressor(Asks()), regressor(Asks())
    model.fit(x, y, batch_size=300, epochs=2, verbose=0, n_threads=threads)
    alone.fit(x, y, batch_size=300, epochs=2, verbose=0, n_threads=1)
    assert_same(model.get_weights(), alone.get_weights())


# ---- time ----


@pytest.mark.parametrize("call", ["predict", "train_on_batch"])
def test_a_call_takes_microseconds(call):
    """1.4 and 5 us on a quiet machine; the best of many, since a busy one has quiet moments too."""
    model = fnn.Sequential([layers.Dense(1)], seed=0)
    model.compile("adam", "mse")
    x, y = np.ones((1, 1), "f4"), np.ones((1, 1), "f4")
    run = {"predict": lambda: model.predict(x, n_threads=1),
           "train_on_batch": lambda: model.train_on_batch(x, y, n_threads=1)}[call]
    times = []
    for _ in range(2000):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    assert min(times) < 20e-6
