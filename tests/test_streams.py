"""Streams: the same bits as the concatenated arrays, whatever the chunks; memory; threads that end."""

import gc
import itertools
import os
import signal
import threading
import time
import weakref

import numpy as np
import pytest

import fastnn as fnn
from fastnn import streams
from fastnn.streams import Stream, as_stream, buffered, checked_chunks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1000, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 1000)
Y = RNG.normal(size=(1000, 2))
WEIGHTS = RNG.random(1000)


def cut(*arrays, sizes):
    """Chunks whose numbers of rows repeat `sizes`."""
    start = 0
    for size in itertools.cycle(sizes):
        if start >= len(arrays[0]):
            return
        yield tuple(array[start:start + size] for array in arrays)
        start += size


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "fastnn-reader"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not readers()


# ------------------------------------------------------------------------------------------------ chunks and buffers


@pytest.mark.parametrize("sizes", [[1], [7, 130, 1], [1000], [64], [999, 0, 1], [0, 3]])
@pytest.mark.parametrize(("rows", "multiple"), [(64, 32), (50, 32), (None, 32), (2000, 1), (1, 1)])
def test_buffers_hold_the_rows_in_order(sizes, rows, multiple):
    parts = list(buffered(checked_chunks(cut(X, LABELS, sizes=sizes), True), rows, multiple))
    lengths = [len(x) for x, _ in parts]
    assert len(set(lengths[:-1])) <= 1 and all(n % multiple == 0 for n in lengths[:-1])
    assert lengths[0] == min(1000, {64: 64, 50: 64, None: 1000, 2000: 2000, 1: 1}[rows])
    np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), X)
    np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), LABELS)
    assert parts[0][0].dtype == np.float32


def test_the_size_of_a_buffer_does_not_depend_on_chunks(monkeypatch):
    monkeypatch.setattr(streams, "BUFFER_BYTES", 300 * 24)
    for sizes in ([1], [900, 100], [33]):
        lengths = [len(x) for x, in buffered(checked_chunks(cut(X, sizes=sizes), False), None, 16)]
        assert lengths == [288, 288, 288, 136]


def test_chunks_of_other_dtypes_lose_nothing():
    parts = [np.arange(5, dtype=np.int8).reshape(5, 1), np.full((5, 1), 1000, np.int16), np.full((5, 1), 0.5)]
    (found,), = buffered(checked_chunks(parts, False), 100, 1)
    np.testing.assert_array_equal(found, np.concatenate(parts))


def test_one_memory_may_serve_all_chunks():
    def chunks():
        x = np.empty((100, 6), np.float32)
        for start in range(0, 1000, 100):
            x[:] = X[start:start + 100]
            yield x, LABELS[start:start + 100]

    (x, _), = buffered(checked_chunks(chunks(), True), None, 1)
    np.testing.assert_array_equal(x, X)


BAD_CHUNKS = [
    ([(X,)], r"chunk 1 of the stream must be \(x, y\) or .* received a tuple of 1"),
    ([X], "received a ndarray|x of chunk 1"),
    ([(X, LABELS), (X, LABELS, WEIGHTS, X)], "chunk 2 of the stream must be .* received a tuple of 4"),
    ([(X, LABELS[:5])], r"x of chunk 1 has 1000 samples, but y has shape \(5,\)"),
    ([(X[0], LABELS)], r"x of chunk 1 must have at least two dimensions.*received shape \(6,\)"),
    ([(X, LABELS), (X[:, :3], LABELS)], r"x of chunk 2 has rows of shape \(3,\); those of the chunks before had \(6,"),
    ([(X, LABELS), (X, LABELS, WEIGHTS)], "chunk 2 has x, y, sample_weight; the chunks before had x, y"),
    ([(X, Y), (X, LABELS)], "y of chunk 2 has rows of shape"),
    ([(X, 3)], "y has shape"),
]


@pytest.mark.parametrize(("chunks", "text"), BAD_CHUNKS)
def test_bad_chunks_are_refused(chunks, text):
    with pytest.raises(ValueError, match=text):
        list(checked_chunks(chunks, True))
    with pytest.raises(TypeError, match="x of chunk 2 has dtype"):
        list(checked_chunks([(X, LABELS), (X.astype(str), LABELS)], True))


def test_columns_of_targets_may_lack_their_dimension():
    chunks = [(X, WEIGHTS), (X, WEIGHTS[:, None]), (X, WEIGHTS)]
    (_, y), = buffered(checked_chunks(chunks, True), None, 1)
    np.testing.assert_array_equal(y, np.tile(WEIGHTS, 3))


@pytest.mark.parametrize("x", [X, [[1.0, 2.0]], [1.0], None, "text", {"a": 1}, b"ab", (X, LABELS), [], np.float32(3),
                               range(3), memoryview(X)])
def test_what_is_no_stream(x):
    assert as_stream(x) is None


def test_what_is_a_stream():
    for x in (lambda: [(X, Y)], iter([(X, Y)]), ((x, y) for x, y in [(X, Y)]), [(X, Y)], {1: (X, Y)}.values()):
        assert isinstance(as_stream(x), Stream)
    stream = Stream([(X, Y)])
    assert as_stream(stream) is stream
    assert as_stream([(X, Y)], chunks_are_tuples=False) is None
    assert Stream(iter([])).once and not Stream([]).once and not Stream(lambda: []).once
    assert "buffer_rows=5" in repr(Stream([], buffer_rows=5))


@pytest.mark.parametrize(("arguments", "error", "text"), [
    ((3,), TypeError, "a stream needs a function that returns an iterable, or an iterable; received 3"),
    (([], 0), ValueError, "buffer_rows must be in"),
    (([], 2.0), TypeError, "buffer_rows must be an integer"),
    (([], None, -1), ValueError, "read_ahead must be in"),
])
def test_bad_streams_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        Stream(*arguments)


# --------------------------------------------------------------------------------------------------- the reading thread


def numbers(n, log):
    try:
        for i in range(n):
            log.append(i)
            yield np.full((10, 1), i)
    finally:
        log.append("closed")


def reader(source, **options):
    stream = Stream(source, **{"buffer_rows": 10} | options)
    return streams.Reader(stream, lambda arrays, first: (int(arrays[0][0, 0]), first), 1, needs_targets=False)


@pytest.mark.parametrize("read_ahead", [0, 1, 3])
def test_a_bounded_number_of_buffers_is_read_ahead(read_ahead):
    log = []
    with reader(lambda: numbers(20, log), read_ahead=read_ahead) as reading:
        assert reading.start() == (0, 0)
        for i, piece in enumerate(reading.epoch()):
            assert piece == (i, 10 * i)
            assert max(j for j in log if j != "closed") <= i + read_ahead + 1
        assert reading.rows == 200
        assert list(reading.epoch()) == [(i, 10 * i) for i in range(20)]    # the function is called again
    assert log.count("closed") == 2


@pytest.mark.parametrize("read_ahead", [0, 1, 3])
def test_an_early_end_closes_the_source(read_ahead):
    log = []
    with reader(lambda: numbers(20, log), read_ahead=read_ahead) as reading:
        for piece in reading.epoch():
            if piece[0] == 5:
                break
    assert not readers()
    gc.collect()
    assert log[-1] == "closed" and len(log) < 15


@pytest.mark.parametrize("read_ahead", [0, 1, 3])
def test_errors_of_the_source_come_after_what_was_read(read_ahead):
    def chunks():
        yield from (np.full((10, 1), i) for i in range(4))
        raise LookupError("the disk is gone")

    seen = []
    with (pytest.raises(LookupError, match="the disk is gone") as caught,
          reader(chunks, read_ahead=read_ahead) as reading):
        for piece in reading.epoch():
            seen.append(piece[0])
    assert seen == [0, 1, 2, 3] and caught.traceback[-1].name == "chunks"
    assert not readers()


def test_an_iterator_of_the_caller_is_not_closed():
    log = []
    source = numbers(20, log)
    with reader(source, read_ahead=0) as reading:
        next(reading.epoch())
    assert "closed" not in log and next(source)[0, 0] == 1


def test_buffers_are_let_go():
    alive = weakref.WeakSet()

    class Piece:
        def __init__(self, arrays):
            self.arrays = arrays
            alive.add(self)

    most = 0
    stream = Stream(lambda: numbers(50, []), buffer_rows=10)
    with streams.Reader(stream, lambda arrays, first: Piece(arrays), 1, needs_targets=False) as reading:
        for _piece in reading.epoch():
            most = max(most, len(alive))
    assert most <= 4


# ----------------------------------------------------------------------------------------- fit, evaluate and predict


def new_model(loss="sparse_categorical_crossentropy", metrics=("accuracy",), dtype="float32", optimizer="adam", seed=3):
    outputs = fnn.layers.Dense(3, "softmax") if loss.startswith("sparse") else fnn.layers.Dense(2)
    model = fnn.Sequential([fnn.layers.Dense(20, "relu"), fnn.layers.Dropout(0.1), outputs], seed=seed, dtype=dtype)
    model.compile(optimizer, loss, metrics=list(metrics))
    return model


def same_state(a, b):
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(a._state.slots, b._state.slots, strict=True):
        np.testing.assert_array_equal(one, other)
    assert a._state.step == b._state.step


def both(arrays, sizes, buffer_rows=96, loss="sparse_categorical_crossentropy", metrics=("accuracy",), dtype="float32",
         **options):
    """The same training on arrays and on a stream of them."""
    options = {"batch_size": 32, "epochs": 2, "verbose": 0, "shuffle": False} | options
    by_array, by_stream = (new_model(loss, metrics, dtype) for _ in range(2))
    x, y, *weight = arrays
    ours = by_array.fit(x, y, sample_weight=weight[0] if weight else None, **options)
    stream = Stream(lambda: cut(*arrays, sizes=sizes), buffer_rows=buffer_rows)
    theirs = by_stream.fit(stream, **options)
    assert ours.history == theirs.history
    same_state(by_array, by_stream)
    return by_array, by_stream


@pytest.mark.parametrize("sizes", [[1], [7, 130, 1], [1000], [0, 64]])
@pytest.mark.parametrize("batch_size", [1000, 32, 7])
def test_fit_gives_the_bits_of_concatenated_arrays(sizes, batch_size):
    both((X, LABELS), sizes, batch_size=batch_size)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_and_targets(dtype, n_threads):
    both((X, Y, WEIGHTS), [130, 3], loss="mse", metrics=["mae", "r2_score"], dtype=dtype, n_threads=n_threads)


def test_class_weights_and_zero_weights():
    """A buffer all of whose weights are 0 is as good as a batch of such rows."""
    order = np.argsort(LABELS, kind="stable")
    both((X[order], LABELS[order]), [100], class_weight={0: 0.0, 1: 2.0})
    both((X, LABELS, np.where(np.arange(1000) < 500, 0.0, 1.0)), [100])


@pytest.mark.parametrize("read_ahead", [0, 1])
@pytest.mark.parametrize(("weights", "options"), [([np.zeros(1000)], {}), ([], {"class_weight": {0: 0, 1: 0, 2: 0}})])
def test_weights_that_are_all_zero(weights, options, read_ahead):
    """The end of the pass is where it is known."""
    stream = Stream(lambda: cut(X, LABELS, *weights, sizes=[300]), 64, read_ahead)
    model = new_model()
    text = "the stream's weights are zero for all 1000 samples; at least one weight must be positive"
    with pytest.raises(ValueError, match=text):
        model.fit(stream, verbose=0, **options)
    if not options:
        with pytest.raises(ValueError, match=text):
            model.evaluate(stream)
        with pytest.raises(ValueError, match=text):
            model.fit(X, LABELS, verbose=0, validation_data=stream)
    model.fit(X, LABELS, verbose=0)


@pytest.mark.parametrize("options", [{"gradient_accumulation_steps": 3}, {"global_clipnorm": 0.1},
                                     {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 5}])
def test_options_of_optimizers_know_no_buffers(options):
    models = [new_model(optimizer=fnn.optimizers.Adam(fnn.schedules.CosineDecay(0.01, 60), **options)) for _ in "ab"]
    models[0].fit(X, LABELS, epochs=2, shuffle=False, verbose=0)
    models[1].fit(Stream(lambda: cut(X, LABELS, sizes=[130]), 64), epochs=2, shuffle=False, verbose=0)
    same_state(*models)


def test_shuffled_in_one_buffer_as_arrays_are():
    both((X, LABELS), [130], buffer_rows=1000, shuffle=True)
    both((X, LABELS), [130], buffer_rows=None, shuffle=True, epochs=3)


def test_shuffled_within_buffers():
    seen = []

    class Watch(fnn.layers.PythonLayer):
        def compute_output_shape(self, input_shape):
            return input_shape

        def forward(self, x, training):
            if training:
                seen.append(x[:, 0].copy())
            return x

        def backward(self, dy):
            return dy

    def run(sizes):
        seen.clear()
        model = fnn.Sequential([Watch(), fnn.layers.Dense(1)], seed=1)
        model.compile("sgd", "mse")
        rows = np.arange(1000, dtype=np.float32)[:, None]
        model.fit(Stream(lambda: cut(rows / 1000, rows / 1000, sizes=sizes), buffer_rows=256), batch_size=32, epochs=2,
                  verbose=0)
        return np.concatenate(seen), model.get_weights()

    order, weights = run([77])
    epochs = order.reshape(2, 1000)
    assert not np.array_equal(*epochs)
    for epoch in epochs:
        for start in range(0, 1000, 256):
            part = epoch[start:start + 256]
            np.testing.assert_allclose(np.sort(part), np.arange(start, start + len(part)) / 1000, rtol=1e-6)
            assert (np.diff(part) < 0).any()
    again = run([1, 500])       # other chunks, the same order
    np.testing.assert_array_equal(order, again[0])
    np.testing.assert_array_equal(weights[0], again[1][0])


def test_schedules_and_validation():
    schedule = fnn.schedules.CosineDecay(0.01, 60)
    by_array, by_stream = (new_model(optimizer=fnn.optimizers.Adam(schedule)) for _ in range(2))
    options = {"batch_size": 32, "epochs": 2, "verbose": 0, "shuffle": False}
    ours = by_array.fit(X, LABELS, validation_data=(X[:300], LABELS[:300], WEIGHTS[:300]), **options)
    theirs = by_stream.fit(Stream(lambda: cut(X, LABELS, sizes=[70]), buffer_rows=100),
                           validation_data=Stream(lambda: cut(X[:300], LABELS[:300], WEIGHTS[:300], sizes=[9]), 11),
                           **options)
    assert ours.history == theirs.history and "val_accuracy" in theirs.history
    same_state(by_array, by_stream)


def test_evaluate_and_predict_give_the_bits_of_arrays(monkeypatch):
    monkeypatch.setattr(streams, "BUFFER_BYTES", 100)
    x, labels = np.tile(X, (4, 1)), np.tile(LABELS, 4)
    weights = np.random.default_rng(1).random(4000)
    model = new_model()
    model.fit(X, LABELS, verbose=0)
    wanted, outputs = model.evaluate(x, labels, sample_weight=weights), model.predict(x)
    for sizes in ([1500], [1], [7, 300]):
        assert model.evaluate(lambda sizes=sizes: cut(x, labels, weights, sizes=sizes)) == wanted
        for parts in ((x,), (x, labels), (x, labels, weights)):
            np.testing.assert_array_equal(model.predict(cut(*parts, sizes=sizes)), outputs)
        np.testing.assert_array_equal(model.predict(part for part, in cut(x, sizes=sizes)), outputs)
    assert model.evaluate(lambda: cut(x, labels, weights, sizes=[99]), return_dict=True)["loss"] == wanted[0]
    assert model.evaluate(list(cut(x, labels, weights, sizes=[99]))) == wanted


def test_predict_builds_and_keeps_shapes():
    model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Dense(2)], seed=0)
    images = RNG.normal(size=(50, 2, 3)).astype(np.float32)
    found = model.predict(lambda: iter([images[:20], images[20:]]))
    np.testing.assert_array_equal(found, model.predict(images))


@pytest.mark.parametrize("read_ahead", [0, 1])
def test_a_generator_is_empty_in_the_second_epoch(read_ahead):
    """As in Keras: a warning, and training ends."""
    model = new_model()
    with pytest.warns(UserWarning, match="gave no samples in epoch 2.*a function that returns"):
        history = model.fit(Stream(cut(X, LABELS, sizes=[100]), read_ahead=read_ahead), epochs=5, verbose=0)
    assert history.epoch == [0]
    assert new_model().fit(cut(X, LABELS, sizes=[100]), verbose=0).epoch == [0]


def test_epochs_of_one_length_or_another():
    """The function is asked anew for each epoch."""
    calls = []

    def chunks():
        calls.append(1)
        return cut(X[:100 * len(calls)], LABELS[:100 * len(calls)], sizes=[60])

    model = new_model()
    model.fit(chunks, epochs=3, verbose=0, batch_size=50)
    assert len(calls) == 3 and model._state.step == 2 + 4 + 6


def test_progress_and_table(capsys):
    model = new_model()
    model.fit(lambda: cut(X, LABELS, sizes=[100]), epochs=2, verbose=2,
              validation_data=lambda: cut(X, LABELS, sizes=[9]))
    out = capsys.readouterr().out
    assert "1/2" in out and "2/2" in out and "val_loss" in out
    model.fit(lambda: cut(X, LABELS, sizes=[100]), epochs=2, verbose=1)


def test_callbacks_know_the_samples_once_they_were_seen():
    seen = []

    class Watch(fnn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append((self.params["samples"], self.params["steps"]))

        def on_epoch_end(self, epoch, logs=None):
            seen.append((self.params["samples"], self.params["steps"]))
            self.model.stop_training = epoch == 1

    new_model().fit(lambda: cut(X, LABELS, sizes=[100]), epochs=9, batch_size=64, verbose=0, callbacks=[Watch()])
    assert seen == [(None, None), (1000, 16), (1000, 16), (1000, 16)]


REFUSED = [
    ({"x": lambda: []}, ValueError, "the stream gave no samples"),
    ({"x": lambda: [(X[:0], LABELS[:0])]}, ValueError, "the stream gave no samples"),
    ({"x": lambda: 3}, TypeError, "must return an iterable of chunks; received 3"),
    ({"x": lambda: [(X, LABELS)], "y": LABELS}, ValueError, "y comes with the chunks of a stream"),
    ({"x": lambda: [(X, LABELS)], "sample_weight": WEIGHTS}, ValueError, "sample_weight comes with the chunks"),
    ({"x": lambda: [(X, LABELS)], "validation_split": 0.1}, ValueError, "validation_split is for arrays"),
    ({"x": lambda: [(X, LABELS)], "validation_data": cut(X, LABELS, sizes=[10]), "epochs": 2}, ValueError,
     "validation_data can be read only once, but there are 2 epochs"),
    ({"x": lambda: [(X, LABELS)], "validation_data": lambda: [(X[:, :2], LABELS)]}, ValueError,
     r"validation x .*samples of shape \(2,\)"),
    ({"x": lambda: [(X, LABELS + 7)]}, ValueError, "y of the stream from row 0 on contains the label"),
    ({"x": lambda: [(np.full((5, 6), np.nan), LABELS[:5])]}, ValueError, "x of the stream from row 0 on contains NaN"),
]


@pytest.mark.parametrize(("arguments", "error", "text"), REFUSED)
def test_what_fit_refuses(arguments, error, text):
    model = new_model()
    if "label" not in text and "NaN" not in text:
        model.build((6,))
    before = model.get_weights() if model.built else None
    with pytest.raises(error, match=text):
        model.fit(**{"verbose": 0} | arguments)
    if before is None:
        assert not model.built
    else:
        np.testing.assert_array_equal(model.get_weights()[0], before[0])


@pytest.mark.parametrize("read_ahead", [0, 1])
def test_errors_in_the_middle(read_ahead):
    """Training ends at the error, with the weights after the last step before it; the model can go on."""
    def chunks():
        yield X[:640], LABELS[:640]
        raise OSError("unplugged")

    model, other = new_model(), new_model()
    with pytest.raises(OSError, match="unplugged"):
        model.fit(Stream(chunks, 64, read_ahead), shuffle=False, verbose=0)
    other.fit(X[:640], LABELS[:640], shuffle=False, verbose=0)
    same_state(model, other)
    model.fit(X, LABELS, verbose=0)
    bad = X.copy()
    bad[700, 2] = np.inf
    with pytest.raises(ValueError, match=r"x of the stream from row 640 on contains NaN or infinity.*in row 60"):
        model.fit(Stream(lambda: [(bad, LABELS)], 64, read_ahead), shuffle=False, verbose=0)
    with pytest.raises(OSError, match="unplugged"):
        model.evaluate(chunks)
    with pytest.raises(OSError, match="unplugged"):
        model.predict(chunks)


@pytest.mark.parametrize("read_ahead", [0, 1])
def test_ctrl_c_in_the_source_and_in_callbacks(read_ahead):
    def chunks():
        yield X[:320], LABELS[:320]
        raise KeyboardInterrupt

    model = new_model()
    with pytest.raises(KeyboardInterrupt):
        model.fit(Stream(chunks, 32, read_ahead), verbose=0)
    assert model._state.step == 10

    class Stop(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(Stream(lambda: cut(X, LABELS, sizes=[9]), 32, read_ahead), verbose=0, callbacks=[Stop()])
    model.fit(X, LABELS, verbose=0)


def test_divergence_counts_batches_of_the_stream():
    model = new_model("mse", [], optimizer=fnn.optimizers.SGD(fnn.schedules.PiecewiseConstantDecay([11], [1e-3, 1e30])))
    with pytest.raises(fnn.DivergenceError) as caught:
        model.fit(Stream(lambda: cut(X, Y, sizes=[50]), 64), batch_size=32, verbose=0, shuffle=False)
    assert caught.value.batch in (13, 14)
    assert np.isfinite(model.get_weights()[0]).all()


class Batches(fnn.callbacks.Callback):
    """Writes down all it is told of batches."""

    def __init__(self, stop_after=None, save_after=None, path=None):
        super().__init__()
        self.seen, self.stop_after, self.save_after, self.path = [], stop_after, save_after, path

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(("end", batch, dict(logs)))
        ended = sum(entry[0] == "end" for entry in self.seen)
        if ended == self.stop_after:
            self.model.stop_training = True
        if ended == self.save_after:
            self.model.save(self.path)

    def on_test_batch_begin(self, batch, logs=None):
        self.seen.append(("test begin", batch))

    def on_test_batch_end(self, batch, logs=None):
        self.seen.append(("test end", batch, dict(logs)))

    def on_predict_batch_end(self, batch, logs=None):
        self.seen.append(("predict", batch, logs["outputs"].tolist()))


def test_callbacks_of_batches_are_told_the_same():
    told = []
    x, labels = np.tile(X, (3, 1)), np.tile(LABELS, 3)
    for stream in (False, True):
        model, watch = new_model(), Batches()
        train = (Stream(lambda: cut(X, LABELS, sizes=[33]), 64),) if stream else (X, LABELS)
        test = (Stream(lambda: cut(x, labels, sizes=[700]), 100),) if stream else (x, labels)
        model.fit(*train, batch_size=32, epochs=2, shuffle=False, verbose=0, callbacks=[watch],
                  validation_data=test[0] if stream else test)
        model.evaluate(*test, callbacks=[watch])
        model.predict(test[0], batch_size=150, callbacks=[watch])
        told.append(watch.seen)
    assert told[0] == told[1]
    assert sum(entry[0] == "end" for entry in told[0]) == 2 * 32


@pytest.mark.parametrize("after", [1, 2, 3, 32, 33])
def test_training_stops_after_a_batch(after):
    """In the middle of a buffer or at its end."""
    by_array, by_stream = new_model(), new_model()
    options = {"batch_size": 32, "epochs": 3, "shuffle": False, "verbose": 0}
    ours = by_array.fit(X, LABELS, callbacks=[Batches(after)], **options)
    theirs = by_stream.fit(Stream(lambda: cut(X, LABELS, sizes=[50]), 64), callbacks=[Batches(after)], **options)
    assert ours.history == theirs.history and by_stream._state.step == after
    same_state(by_array, by_stream)
    assert not readers()


@pytest.mark.parametrize("after", [1, 2, 3, 31, 32, 33, 63, 64])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_run_on_a_stream_goes_on(after, shuffle, tmp_path):
    def fit(model, watch, **more):
        return model.fit(Stream(lambda: cut(X, LABELS, sizes=[50]), 64), batch_size=32, epochs=2, shuffle=shuffle,
                         verbose=0, callbacks=[watch], **more)

    whole, path = new_model(), tmp_path / "run.safetensors"
    history = fit(whole, Batches(save_after=after, path=path))
    again = new_model()
    assert fit(again, Batches(), resume=path).history == history.history
    same_state(whole, again)


@pytest.mark.parametrize("read_ahead", [0, 1])
@pytest.mark.parametrize("waits", [False, True])
def test_ctrl_c_while_training_and_while_waiting(waits, read_ahead):
    """The main thread trains, or waits for a source that is slower than it."""
    def chunks():
        while True:
            time.sleep(0.05 if waits else 0.0)
            yield X, LABELS

    model = new_model()
    model.build((6,))
    alarm = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    alarm.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        model.fit(Stream(chunks, 5000, read_ahead), batch_size=10, verbose=0)
    alarm.join()
    assert time.perf_counter() - start < 5
    assert not readers() and np.isfinite(model.get_weights()[0]).all()
    model.fit(X, LABELS, verbose=0)


def test_a_read_that_never_returns_is_left_behind(monkeypatch):
    monkeypatch.setattr(streams, "CLOSING_SECONDS", 0.1)
    reading, release = threading.Event(), threading.Event()

    def chunks():
        yield X, LABELS
        reading.set()
        release.wait()

    class Stop(fnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert reading.wait(60)
            self.model.stop_training = True

    model = new_model()
    model.fit(Stream(chunks, 500), verbose=0, callbacks=[Stop()])
    assert readers() and readers()[0].daemon
    release.set()
    readers()[0].join()


def test_a_stream_of_other_frames():
    pandas = pytest.importorskip("pandas")
    frame, by_array, by_stream = pandas.DataFrame(X), new_model(), new_model()
    parts = [(frame[:300], pandas.Series(LABELS[:300])), (frame[300:], pandas.Series(LABELS[300:]))]
    by_array.fit(X, LABELS, shuffle=False, verbose=0)
    by_stream.fit(parts, shuffle=False, verbose=0)
    same_state(by_array, by_stream)
