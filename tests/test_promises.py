"""What the engine promises: each row of the design's table, on whole models."""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers

THREADS = (1, 2, 3, 4, 8)


def classifier(
    hidden=(33, 65), outputs=7, activation="relu", dropout=0.0, seed=3, optimizer="adam", dtype="float32"
):
    stack = []
    for units in hidden:
        stack.append(layers.Dense(units, activation=activation))
        if dropout:
            stack.append(layers.Dropout(dropout))
    model = fnn.Sequential([*stack, layers.Dense(outputs, activation="softmax")], seed=seed, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def classes(n=203, n_in=31, outputs=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_in)).astype(np.float32), rng.integers(0, outputs, n)


def assert_same_weights(model, expected):
    for i, (a, b) in enumerate(zip(model.get_weights(), expected, strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"weight {i}")


# ---- same result for any thread count ----

FITS = {
    "relu": {"model": {}},
    "gelu and dropout": {"model": {"activation": "gelu", "dropout": 0.3}},
    "gelu_tanh": {"model": {"activation": "gelu_tanh", "hidden": (257, 1)}},
    "softmax inside": {"model": {"activation": "softmax"}},
    "one unit": {"model": {"hidden": (1, 1)}},
    "wide": {"model": {"hidden": (1000,)}, "data": {"n": 130}},
    "one feature": {"data": {"n_in": 1}},
    "batch of one": {"data": {"n": 40}, "fit": {"batch_size": 1}},
    "batch larger than the data": {"fit": {"batch_size": 1000}},
    "last batch of one": {"data": {"n": 129}, "fit": {"batch_size": 64}},
    "one sample": {"data": {"n": 1}},
    "float64": {"model": {"dtype": "float64", "dropout": 0.2}},
    "no shuffle": {"fit": {"shuffle": False}},
    "sample weights": {"weighted": True},
    "nadam": {"model": {"optimizer": "nadam"}},
    "nesterov": {"model": {"optimizer": fnn.optimizers.SGD(0.05, momentum=0.9, nesterov=True)}},
    "amsgrad": {"model": {"optimizer": fnn.optimizers.Adam(0.01, amsgrad=True)}},
    "adamw": {"model": {"optimizer": "adamw"}},
    "deep": {"model": {"hidden": (17,) * 11}, "data": {"n": 100}},
}


@pytest.mark.parametrize("name", FITS)
def test_fit_gives_the_same_bits_for_any_number_of_threads(name):
    what = FITS[name]
    x, y = classes(**what.get("data", {}))
    weight = np.random.default_rng(1).uniform(0, 2, len(x)) if what.get("weighted") else None
    results = {}
    for threads in THREADS:
        model = classifier(**what.get("model", {}))
        history = model.fit(
            x,
            y,
            epochs=3,
            verbose=0,
            sample_weight=weight,
            n_threads=threads,
            **{"batch_size": 50} | what.get("fit", {}),
        )
        results[threads] = model.get_weights(), history.history
    for threads in THREADS[1:]:
        for a, b in zip(results[threads][0], results[1][0], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"{threads} threads")
        assert results[threads][1] == results[1][1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_divided_among_lanes_give_the_same_bits(dtype):
    """Kernels of more than 8 MiB: threads divide columns instead of rows."""
    x, y = classes(n=70, n_in=1000)
    expected = None
    for threads in (1, 2, 3, 8):
        model = classifier(hidden=(1501, 801), activation="silu", dropout=0.1, dtype=dtype)
        model.fit(x, y, epochs=3, batch_size=40, verbose=0, n_threads=threads)
        expected = expected or model.get_weights()
        assert_same_weights(model, expected)
        np.testing.assert_array_equal(
            model.predict(x, n_threads=threads), model.predict(x[:, ::1], n_threads=1)
        )


def test_regression_with_python_parts_gives_the_same_bits():
    class Square(layers.PythonLayer):
        def forward(self, x, training):
            self.x = x.copy()
            return x * x

        def backward(self, dy):
            return 2 * dy * self.x

    x = np.random.default_rng(0).normal(size=(101, 9))
    expected = None
    for threads in THREADS:
        model = fnn.Sequential([layers.Dense(13, activation="tanh"), Square(), layers.Dense(1)], seed=0)
        model.compile("adam", "mse")
        model.fit(x, x[:, 0] ** 2, epochs=3, batch_size=32, verbose=0, n_threads=threads)
        expected = expected or model.get_weights()
        assert_same_weights(model, expected)


def test_more_threads_than_cores_work():
    x, y = classes()
    model = classifier()
    model.fit(x, y, epochs=2, verbose=0, n_threads=64)
    expected = classifier()
    expected.fit(x, y, epochs=2, verbose=0, n_threads=1)
    assert_same_weights(model, expected.get_weights())
    np.testing.assert_array_equal(model.predict(x, n_threads=64), model.predict(x, n_threads=1))


def test_evaluate_gives_the_same_bits_for_any_number_of_threads():
    x, y = classes(n=3001)
    model = classifier()
    model.build((31,))
    assert len({tuple(model.evaluate(x, y, n_threads=threads)) for threads in THREADS}) == 1


# ---- batch = row by row ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "softmax", "log_softmax"])
def test_predict_gives_the_same_bits_however_rows_are_batched(activation, dtype):
    x, _ = classes(n=300)
    model = classifier(hidden=(65, 33), activation=activation, dtype=dtype)
    model.build((31,))
    whole = model.predict(x, n_threads=1)
    for threads in THREADS:
        np.testing.assert_array_equal(model.predict(x, n_threads=threads), whole)
        for size in (1, 7, 128):
            if size > 1 or threads < 3:
                pieces = [model.predict(x[i : i + size], n_threads=threads) for i in range(0, len(x), size)]
                np.testing.assert_array_equal(np.concatenate(pieces), whole)


INPUTS = {
    "contiguous": lambda x: x,
    "fortran": np.asfortranarray,
    "every second row and column": lambda x: np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[::2, 1::2],
    "reversed": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "field of a packed record": lambda x: np.array(
        [(1, row) for row in x], dtype=[("skip", "i1"), ("x", x.dtype, (x.shape[1],))]
    )["x"],
    "list": lambda x: x.tolist(),
}


@pytest.mark.parametrize("layout", INPUTS)
@pytest.mark.parametrize("source", ["f4", "f8", "f2", "u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
def test_predict_gives_the_same_bits_for_any_layout_and_dtype(source, layout):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2 if source == "?" else 120, (301, 37))
    model = classifier(hidden=(19,))
    model.build((37,))
    x = INPUTS[layout](values.astype(source))
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(
            model.predict(x, n_threads=threads), model.predict(values.astype(np.float32), n_threads=1)
        )


def test_predict_of_broadcast_rows():
    model = classifier()
    row = classes(n=1)[0]
    assert len(np.unique(model.predict(np.broadcast_to(row, (500, 31)), n_threads=2), axis=0)) == 1


@pytest.mark.parametrize("threads", [2, 4])
def test_a_slow_thread_of_predict_is_not_overtaken(threads):
    """The last piece is divided into other rows than the pieces before it; a thread that is ahead must not
    write into rows that a slower one still reads. More threads than cores make some of them slow."""
    x, _ = classes(n=128 * threads * 3 + 37, n_in=64)
    model = classifier(hidden=(256, 256))
    model.build((64,))
    expected = model.predict(x, n_threads=1)
    for repeat in range(150):
        np.testing.assert_array_equal(
            model.predict(x, n_threads=threads), expected, err_msg=f"repeat {repeat}"
        )


# ---- Ctrl-C ----


def interrupted_after(seconds, call):
    """Seconds between the signal and the KeyboardInterrupt from `call`."""
    sent = []

    def send():
        time.sleep(seconds)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=send)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            call()
        return time.perf_counter() - sent[0]
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)


def prompt(call):
    """Interrupts are prompt: the best of three, since the machine may be busy."""
    waits = []
    for _ in range(3):
        waits.append(interrupted_after(0.25, call))
        if waits[-1] <= 0.1:
            return
    pytest.fail(f"KeyboardInterrupt came after {', '.join(f'{1e3 * wait:.0f} ms' for wait in waits)}")


LONG = {
    "small steps": {"hidden": (8,), "n": 20000, "n_in": 8, "batch_size": 16},
    "large steps": {"hidden": (2000, 2000), "n": 4000, "n_in": 500, "batch_size": 512},
    "huge batches": {"hidden": (1000,), "n": 40000, "n_in": 1000, "batch_size": 40000},
    "large layers and batches": {"hidden": (4096, 4096), "n": 1024, "n_in": 512, "batch_size": 1024},
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_in_fit(name, threads):
    what = LONG[name]
    x, y = classes(n=what["n"], n_in=what["n_in"])
    model = classifier(hidden=what["hidden"])
    model.build((what["n_in"],))
    prompt(lambda: model.fit(x, y, batch_size=what["batch_size"], epochs=10**6, verbose=0, n_threads=threads))
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.fit(x[:100], y[:100], verbose=0, n_threads=threads)
    assert np.isfinite(model.evaluate(x[:100], y[:100])[0])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", ["predict", "evaluate"])
def test_ctrl_c_in_predict_and_evaluate(call, threads):
    x, y = classes(n=1500, n_in=1500)
    x, y = np.broadcast_to(x[:, None], (1500, 40, 1500)).reshape(-1, 1500), np.repeat(y, 40)
    model = classifier(hidden=(1500, 1500, 1500))
    model.build((1500,))
    work = {
        "predict": lambda: [model.predict(x, n_threads=threads) for _ in range(50)],
        "evaluate": lambda: [model.evaluate(x, y, n_threads=threads) for _ in range(50)],
    }
    prompt(work[call])
    assert model.predict(x[:3]).shape == (3, 7)


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_in_evaluate_of_large_layers(threads):
    x, y = classes(n=1024, n_in=2048)
    model = classifier(hidden=(4096, 4096))
    model.build((2048,))
    prompt(lambda: [model.evaluate(x, y, n_threads=threads) for _ in range(50)])


def test_ctrl_c_leaves_the_weights_of_whole_steps():
    """The interrupted model is one of the models that whole steps pass through."""
    x, y = classes(n=4000)
    model = classifier(optimizer=fnn.optimizers.Nadam(1e-4))
    model.build((31,))
    interrupted_after(
        0.2, lambda: model.fit(x, y, batch_size=16, epochs=10**6, shuffle=False, verbose=0, n_threads=2)
    )
    steps = int(model._state.step)
    expected = classifier(optimizer=fnn.optimizers.Nadam(1e-4))
    whole, rest = divmod(steps, 250)
    if whole:
        expected.fit(x, y, batch_size=16, epochs=whole, shuffle=False, verbose=0)
    if rest:
        expected.fit(x[: rest * 16], y[: rest * 16], batch_size=16, shuffle=False, verbose=0)
    assert_same_weights(model, expected.get_weights())
    for each in (model, expected):
        each.fit(x[:160], y[:160], batch_size=16, shuffle=False, verbose=0)
    assert_same_weights(model, expected.get_weights())


def test_own_signal_handlers_are_called_and_go_on():
    x, y = classes(n=4000)
    called = []
    before = signal.signal(signal.SIGALRM, lambda *_: called.append(time.perf_counter()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        model = classifier()
        history = model.fit(x, y, batch_size=8, epochs=30, verbose=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert called
    assert len(history.epoch) == 30


# ---- fork ----


def run_python(code, timeout=60, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
    )


FORK = """
    import os, time
    import numpy as np
    import fastnn as fnn
    from fastnn import layers
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(600, 64)).astype("f4"), rng.integers(0, 5, 600)
    def make():
        model = fnn.Sequential([layers.Dense(128, "relu"), layers.Dense(5, "softmax")], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model
    def digest(model):
        return model.predict(x, n_threads=2).tobytes() + b"".join(w.tobytes() for w in model.get_weights())
    model = make()
    model.fit(x, y, epochs=1, batch_size=256, verbose=0, n_threads=2)
    model.predict(x, n_threads=2)
    twin = make()
    twin.fit(x, y, epochs=2, batch_size=256, verbose=0, n_threads=2)
    expected = digest(twin)
    for attempt in range(20):
        model.predict(x, n_threads=2)
        pid = os.fork()
        if pid == 0:
            if attempt % 2:
                model.predict(x, n_threads=2)
            model = make()
            model.fit(x, y, epochs=2, batch_size=256, verbose=0, n_threads=2)
            os._exit(0 if digest(model) == expected else 3)
        end = time.monotonic() + 15
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            if time.monotonic() > end:
                os.kill(pid, 9)
                raise SystemExit(f"child {attempt} hangs")
            time.sleep(0.002)
        assert status == 0, (attempt, status)
    model.fit(x, y, epochs=1, batch_size=256, verbose=0, n_threads=2)
    print("well")
"""


def test_forked_children_work_after_parallel_work():
    done = run_python(FORK)
    assert done.stdout == "well\n", done.stderr[-2000:]


def test_fork_from_another_thread_works():
    code = FORK.replace("    for attempt in range(20):", "    def work():\n     for attempt in range(5):")
    lines = textwrap.dedent(code).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(" for attempt"))
    end = next(i for i, line in enumerate(lines) if line.startswith("model.fit(x, y, epochs=1") and i > start)
    body = [" " + line for line in lines[start + 1 : end]]
    code = "\n".join(
        [
            *lines[: start + 1],
            *body,
            "import threading",
            "thread = threading.Thread(target=work)",
            "thread.start()",
            "thread.join()",
            *lines[end:],
        ]
    )
    done = run_python(code)
    assert done.stdout == "well\n", done.stderr[-2000:]


# ---- no global state ----


def test_nothing_global_changes():
    x, y = classes(n=2000)
    state = np.random.get_state()  # noqa: NPY002
    errors = np.geterr()
    affinity = os.sched_getaffinity(0)
    environment = dict(os.environ)
    handler = signal.getsignal(signal.SIGINT)
    printing = np.get_printoptions()
    model = classifier(dropout=0.5)
    with np.errstate(all="raise"):
        model.fit(x, y, epochs=2, verbose=0, n_threads=2)
        model.predict(x, n_threads=2)
        model.evaluate(x, y)
        assert set(np.geterr().values()) == {"raise"}
    after = np.random.get_state()  # noqa: NPY002
    assert after[0] == state[0]
    assert (after[1] == state[1]).all()
    assert after[2:] == state[2:]
    assert np.geterr() == errors
    assert os.sched_getaffinity(0) == affinity
    assert dict(os.environ) == environment
    assert signal.getsignal(signal.SIGINT) is handler
    assert np.get_printoptions() == printing


def test_floating_point_mode_stays():
    fegetround, fegetexcept = ctypes.CDLL(None).fegetround, ctypes.CDLL("libm.so.6").fegetexcept
    before = fegetround(), fegetexcept()
    model = classifier()
    model.fit(*classes(), verbose=0, n_threads=2)
    assert (fegetround(), fegetexcept()) == before
    tiny = np.array([5e-324, 2.0**-1060])
    assert (tiny * 1 != 0).all()
    assert (tiny + tiny == 2 * tiny).all()
    assert 2.0**-1070 * 1.0 != 0
    assert np.float32(1e-40) * np.float32(1) != 0


def test_thread_counts_of_others_stay():
    code = """
        import ctypes, glob, os
        import numpy as np
        import fastnn as fnn
        openmp = ctypes.CDLL("libgomp.so.1")
        openmp.omp_set_num_threads(5)
        model = fnn.Sequential([fnn.layers.Dense(200), fnn.layers.Dense(1)], seed=0)
        model.compile("adam", "mse")
        x = np.ones((500, 100), "f4")
        model.fit(x, np.ones(500), verbose=0, n_threads=2)
        model.predict(x, n_threads=3)
        assert openmp.omp_get_max_threads() == 5
        print("well")
    """
    done = run_python(code)
    assert done.stdout == "well\n", done.stderr[-2000:]


@pytest.mark.parametrize(
    "environment",
    [
        {"OMP_THREAD_LIMIT": "1"},
        {"OMP_THREAD_LIMIT": "3"},
        {"OMP_DYNAMIC": "true"},
        {"OMP_NUM_THREADS": "1"},
        {"OMP_PROC_BIND": "true"},
        {"OMP_WAIT_POLICY": "passive"},
        {"FASTNN_NUM_THREADS": "2"},
    ],
    ids=str,
)
def test_openmp_settings_do_not_change_results(environment):
    code = """
        import numpy as np, zlib
        import fastnn as fnn
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(200, 50)).astype("f4"), rng.integers(0, 4, 200)
        for threads in (1, 2, 4, 8):
            model = fnn.Sequential([fnn.layers.Dense(100, "relu"), fnn.layers.Dropout(0.2),
                                    fnn.layers.Dense(4, "softmax")], seed=0)
            model.compile("adam", "sparse_categorical_crossentropy")
            model.fit(x, y, epochs=2, verbose=0, batch_size=64, n_threads=threads)
            print(zlib.crc32(b"".join(w.tobytes() for w in model.get_weights())),
                  zlib.crc32(model.predict(x, n_threads=threads).tobytes()))
    """
    done = run_python(code, **environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == done.stdout.splitlines()[:1] * 4


# ---- concurrent use ----


def in_threads(n, work):
    """work(0), ..., work(n - 1), each in a thread of its own, started together; their results."""
    gate, results, failures = threading.Barrier(n), [None] * n, []

    def run(i):
        try:
            gate.wait()
            results[i] = work(i)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


@pytest.mark.parametrize("n_threads", [1, 2])
def test_many_threads_predict_on_one_model(n_threads):
    model = classifier(hidden=(128, 65))
    model.build((31,))
    parts = [classes(n=50 + 97 * i, seed=i)[0] for i in range(8)]
    expected = [model.predict(part, n_threads=1) for part in parts]
    results = in_threads(8, lambda i: [model.predict(parts[i], n_threads=n_threads) for _ in range(20)])
    for i, found in enumerate(results):
        for y in found:
            np.testing.assert_array_equal(y, expected[i])


def test_many_threads_predict_first_on_an_unbuilt_model():
    x, _ = classes()
    for seed in range(20):
        model = classifier(seed=seed)
        results = in_threads(6, lambda i, model=model: model.predict(x, n_threads=1))
        for found in results:
            np.testing.assert_array_equal(found, model.predict(x))


def test_many_threads_evaluate_one_model():
    model = classifier(hidden=(128, 65))
    model.build((31,))
    x, y = classes(n=3000)
    expected = model.evaluate(x, y)
    for found in in_threads(6, lambda i: [model.evaluate(x, y, n_threads=2) for _ in range(5)]):
        assert all(result == expected for result in found)


def test_two_fits_on_one_model_are_refused():
    x, y = classes(n=5000)
    model = classifier()
    model.build((31,))
    started = threading.Event()

    class Started(fnn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            started.set()

        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = done.is_set()

    done = threading.Event()
    first = threading.Thread(target=lambda: model.fit(x, y, epochs=10**6, verbose=0, callbacks=[Started()]))
    first.start()
    try:
        assert started.wait(10)
        for call in (
            lambda: model.fit(x, y, verbose=0),
            lambda: model.train_on_batch(x, y),
            lambda: model.gradients(x, y),
            lambda: model.compile("sgd", "mse"),
            lambda: model.set_weights(model.get_weights()),
            lambda: model.add(layers.Dense(2)),
        ):
            with pytest.raises(RuntimeError, match="one training at a time"):
                call()
        assert model.predict(x[:9]).shape == (9, 7)
        assert len(model.evaluate(x[:9], y[:9])) == 2
    finally:
        done.set()
        first.join()
    model.fit(x[:100], y[:100], verbose=0)


def test_independent_models_train_in_threads_as_alone():
    x, y = classes(n=1000)

    def train(i):
        model = classifier(hidden=(20 + i, 33), seed=i, dropout=0.1)
        model.fit(x, y, epochs=3, verbose=0, n_threads=1 + i % 2)
        return model.get_weights()

    alone = [train(i) for i in range(6)]
    for found, expected in zip(in_threads(6, train), alone, strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_python_layers_in_threads():
    class Slow(layers.PythonLayer):
        def forward(self, x, training):
            time.sleep(0.0005)
            return 2 * x

        def backward(self, dy):
            return 2 * dy

    x, _ = classes(n=300)

    def train(i):
        model = fnn.Sequential([layers.Dense(9), Slow(), layers.Dense(1)], seed=i)
        model.compile("adam", "mse")
        model.fit(x, x[:, 0], epochs=2, verbose=0, n_threads=1 + i % 2)
        return model.get_weights()

    alone = [train(i) for i in range(4)]
    for found, expected in zip(in_threads(4, train), alone, strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


# ---- divergence ----


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "optimizer",
    [
        "sgd",
        "adam",
        "nadam",
        "rmsprop",
        "adadelta",
        fnn.optimizers.SGD(0.01, momentum=0.9),
        fnn.optimizers.Adam(amsgrad=True),
    ],
    ids=str,
)
def test_divergence_leaves_the_weights_of_the_batches_before(optimizer, threads):
    """Batch 3 has targets whose squares are more than a double holds."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 5)), rng.normal(size=80)
    y[45] = 1e200

    def make():
        model = fnn.Sequential([layers.Dense(9, activation="tanh"), layers.Dense(1)], seed=0, dtype="float64")
        model.compile(optimizer, "mse")
        return model

    model, expected = make(), make()
    with pytest.raises(fnn.DivergenceError) as caught:
        model.fit(x, y, batch_size=20, shuffle=False, epochs=5, verbose=0, n_threads=threads)
    assert (caught.value.epoch, caught.value.batch) == (1, 3)
    assert "epoch 1" in str(caught.value)
    assert "batch 3 of 4" in str(caught.value)
    expected.fit(x[:40], y[:40], batch_size=20, shuffle=False, verbose=0)
    assert_same_weights(model, expected.get_weights())
    for each in (model, expected):
        each.fit(x[:40], y[:40], batch_size=20, shuffle=False, epochs=2, verbose=0)
    assert_same_weights(model, expected.get_weights())


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "gelu", "sigmoid", "softmax", "relu6"])
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
@pytest.mark.parametrize("rate", [1e10, 1e30, 1e38])
def test_huge_learning_rates_end_in_an_error_or_finite_weights(rate, loss, activation):
    x = np.random.default_rng(0).normal(size=(64, 8)) * 10
    model = fnn.Sequential(
        [layers.Dense(16, activation=activation), layers.Dense(16, activation=activation), layers.Dense(1)],
        seed=0,
    )
    model.compile(fnn.optimizers.SGD(rate), loss)
    with contextlib.suppress(fnn.DivergenceError):
        model.fit(x, x[:, 0] * 100, epochs=20, batch_size=16, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights()), "non-finite weights are left in the model"


def test_divergence_of_a_model_whose_layers_are_all_frozen_names_its_batch():
    model = fnn.Sequential([layers.Dense(1, trainable=False)], seed=0, dtype="float64")
    model.compile("sgd", "mse")
    y = np.zeros(40)
    y[15] = 1e200
    with pytest.raises(fnn.DivergenceError) as caught:
        model.fit(np.ones((40, 2)), y, batch_size=10, shuffle=False, verbose=0)
    assert (caught.value.epoch, caught.value.batch) == (1, 2)


def test_divergence_in_train_on_batch_and_gradients():
    x = np.ones((4, 2))
    model = fnn.Sequential([layers.Dense(1)], seed=0, dtype="float64")
    model.compile("sgd", "mse")
    model.build((2,))
    before = model.get_weights()
    for call in (model.train_on_batch, model.gradients):
        with pytest.raises(fnn.DivergenceError):
            call(x, np.full(4, 1e300))
        assert_same_weights(model, before)
    assert np.isfinite(model.train_on_batch(x, np.ones(4)))


def test_divergence_of_a_loss_written_in_python():
    class Broken(fnn.losses.Loss):
        name = "broken"

        def call(self, y_true, y_pred):
            return np.where(y_true[:, 0] > 5, np.nan, (y_pred - y_true)[:, 0] ** 2)

        def gradient(self, y_true, y_pred):
            return 2 * (y_pred - y_true)

    x, y = np.ones((40, 2)), np.zeros(40)
    y[25] = 6
    model, expected = (fnn.Sequential([layers.Dense(3), layers.Dense(1)], seed=0) for _ in range(2))
    for each in (model, expected):
        each.compile("adam", Broken())
    with pytest.raises(fnn.DivergenceError) as caught:
        model.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    assert (caught.value.epoch, caught.value.batch) == (1, 3)
    expected.fit(x[:20], y[:20], batch_size=10, shuffle=False, verbose=0)
    assert_same_weights(model, expected.get_weights())


def test_an_error_in_a_python_layer_comes_through_and_changes_nothing():
    class Fails(layers.PythonLayer):
        calls = 0

        def forward(self, x, training):
            Fails.calls += 1
            if Fails.calls == 3:
                raise ZeroDivisionError("third")
            return x

        def backward(self, dy):
            return dy

    x = np.ones((40, 3))
    model, expected = (fnn.Sequential([layers.Dense(3), Fails(), layers.Dense(1)], seed=0) for _ in range(2))
    for each in (model, expected):
        each.compile("adam", "mse")
    with pytest.raises(ZeroDivisionError, match="third"):
        model.fit(x, x[:, 0], batch_size=10, verbose=0, n_threads=2)
    expected.fit(x[:20], x[:20, 0], batch_size=10, verbose=0)
    assert_same_weights(model, expected.get_weights())
    model.fit(x, x[:, 0], verbose=0)


# ---- no allocation per step ----


class Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def training(steps, hidden=(33, 17), dropout=0.2):
    """A call that trains `steps` steps in one epoch, warmed up."""
    x, y = classes(n=64)
    rows = np.resize(np.arange(64), steps * 8)
    data = x[rows], y[rows]
    model = classifier(hidden=hidden, activation="gelu", dropout=dropout)
    model.fit(*data, batch_size=8, verbose=0, n_threads=2)
    return lambda: model.fit(*data, batch_size=8, shuffle=False, verbose=0, n_threads=2)


def test_python_memory_does_not_grow_with_steps():
    def peak_blocks(steps):
        call = training(steps)
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # 8 bytes of labels and 4 of their int32 copies a row are made by fit itself, before the first step.
    few, many = peak_blocks(10), peak_blocks(1000)
    assert many - few < 990 * 8 * 16


def test_native_memory_does_not_grow_with_steps():
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        pytest.skip("the C library has no mallinfo2")
    mallinfo2.restype = Mallinfo2
    call = training(1000)
    call()
    before = mallinfo2()
    for _ in range(20):
        call()
    after = mallinfo2()
    used = [info.uordblks + info.hblkhd for info in (before, after)]
    assert used[1] - used[0] < 64 * 1024, f"20 000 steps left {used[1] - used[0]} bytes allocated"


def test_page_faults_do_not_grow_with_steps():
    def faults(call):
        call()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        call()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    few, many = min(faults(training(10)) for _ in range(3)), min(faults(training(1000)) for _ in range(3))
    # A page for each 4 KiB that fit itself makes of 8 000 rows (labels, checks of x), and some for chance.
    assert many - few < 200
