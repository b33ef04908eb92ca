"""Sparse samples: the bits of dense ones, in the memory of the non-zeros, and nothing that is none."""

import os
import subprocess
import sys

import numpy as np
import pytest
from fuzz_csr import fuzz
from scipy import sparse

import fastnn as fnn
from fastnn import layers, optimizers
from fastnn._kernels.dispatch import ISA
from fastnn.sparse_inputs import as_csr, check_structure

N, COLS, CLASSES = 203, 700, 5


def samples(n=N, cols=COLS, density=0.03, dtype="float32", seed=0):
    """Sorted rows, some of them empty, and labels."""
    rng = np.random.default_rng(seed)
    x = sparse.random_array((n, cols), density=density, rng=rng, dtype=np.float64,
                            data_sampler=rng.standard_normal).tocsr().astype(dtype)
    x.sort_indices()
    return x, rng.integers(0, CLASSES, n)


def classifier(optimizer="adam", hidden=(33, 17), dtype="float32", seed=3, **options):
    model = fnn.Sequential([*[layers.Dense(units, activation="tanh" if i else "relu", **(options if not i else {}))
                              for i, units in enumerate(hidden)], layers.Dense(CLASSES, activation="softmax")],
                           seed=seed, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- as dense ----

EXACT = {
    "adam": {}, "one unit": {"hidden": (1,)}, "wide": {"hidden": (600,)}, "no bias": {"use_bias": False},
    "float64": {"dtype": "float64"}, "gelu": {"activation": "gelu"}, "regularized": {"kernel_regularizer": "l2"},
    "constrained": {"kernel_constraint": "max_norm"}, "activity": {"activity_regularizer": "l2"},
    "clipped": {"optimizer": optimizers.Adam(global_clipnorm=0.1)},
    "accumulated": {"optimizer": optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2, use_ema=True)},
    "muon": {"optimizer": optimizers.Muon()}, "adafactor": {"optimizer": optimizers.Adafactor()},
}


@pytest.mark.parametrize("name", EXACT)
def test_fit_gives_the_bits_of_dense_samples(name):
    options = dict(EXACT[name])
    hidden = options.pop("hidden", (33, 17))
    optimizer, dtype = options.pop("optimizer", "adam"), options.pop("dtype", "float32")
    activation = options.pop("activation", "relu")
    x, y = samples(dtype=dtype)
    histories, weights = [], []
    for data in (x.toarray(), x):
        model = fnn.Sequential([layers.Dense(hidden[0], activation=activation, **options),
                                *[layers.Dense(units, activation="tanh") for units in hidden[1:]],
                                layers.Dense(CLASSES, activation="softmax")], seed=1, dtype=dtype)
        model.compile(optimizers.get(optimizers.get(optimizer).get_config()), "sparse_categorical_crossentropy",
                      metrics=["accuracy"])
        found = model.fit(data, y, batch_size=32, epochs=2, verbose=0, validation_split=0.2,
                          sample_weight=np.linspace(0.5, 2, len(y)), class_weight={1: 2.0})
        histories.append(found.history)
        weights.append([*model.get_weights(), model.predict(data), model.evaluate(data, y)])
    assert histories[0] == histories[1]
    assert_same(*weights)


def test_long_rows_and_batches_are_summed_in_the_blocks_of_dense_products():
    rng = np.random.default_rng(0)
    x = sparse.csr_array((rng.random((1500, 1300)) < 0.6) * rng.normal(size=(1500, 1300)).astype("float32"))
    y = rng.integers(0, CLASSES, 1500)
    found = []
    for data in (x, x.toarray()):
        model = classifier()
        found.append([model.train_on_batch(data, y)[0], *model.gradients(data, y), *model.get_weights()])
    assert_same(*found)


@pytest.mark.parametrize("optimizer", ["adam", "lazy_adam"])
@pytest.mark.parametrize("hidden", [(33,), (1,), (600, 8)])
@pytest.mark.parametrize("batch", [1, 32, 500])
def test_the_same_bits_for_any_number_of_threads(optimizer, hidden, batch):
    x, y = samples(n=40 if batch == 1 else N)
    found = []
    for threads in (1, 2, 3, 4, 8):
        model = classifier(optimizer, hidden)
        model.fit(x, y, batch_size=batch, epochs=2, verbose=0, n_threads=threads)
        found.append([*model.get_weights(), model.predict(x, n_threads=threads)])
        assert_same(found[0], found[-1])


def test_predict_gives_the_same_bits_for_any_batching():
    x, _ = samples(n=700)
    model = classifier()
    whole = model.predict(x)
    assert_same([whole], [np.concatenate([model.predict(x[i:i + 7]) for i in range(0, 700, 7)])])
    assert_same([whole], [model.predict(x.toarray())])


def test_formats_widths_and_dtypes():
    x, _ = samples()
    model = classifier()
    expected = model.predict(x)
    wide = x.copy()
    wide.indptr, wide.indices = x.indptr.astype(np.int64), x.indices.astype(np.int64)
    over = x.copy()     # more memory than entries
    over.indices, over.data = np.append(x.indices, 10**6).astype(np.int32), np.append(x.data, np.nan).astype("float32")
    for other in (wide, over, x.tocsc(), x.tocoo(), sparse.csr_matrix(x), x.astype("float64")):
        assert_same([expected], [model.predict(other)])
    counts = x.copy()
    counts.data = np.arange(x.nnz) % 200
    expected = model.predict(counts.astype("float32"))
    for dtype in ("uint8", "int16", "int64", "float64"):
        assert_same([expected], [model.predict(counts.astype(dtype))])


def test_unsorted_and_duplicate_columns_are_summed():
    x, _ = samples()
    order = np.concatenate([np.random.default_rng(1).permutation(np.arange(a, b))
                            for a, b in zip(x.indptr, x.indptr[1:], strict=False)])
    indices = np.repeat(x.indices[order], 2)
    data = np.repeat(x.data[order] / 2, 2)
    twice = sparse.csr_array((data, indices, 2 * x.indptr), shape=x.shape)
    model = classifier()
    np.testing.assert_allclose(model.predict(twice), model.predict(x), atol=1e-6)
    np.testing.assert_allclose(model.gradients(twice, np.zeros(N, int))[0], model.gradients(x, np.zeros(N, int))[0],
                               atol=1e-6)


def test_samples_without_an_entry():
    x = sparse.csr_array((20, COLS), dtype="float32")
    model = classifier()
    assert_same([model.predict(x)], [model.predict(np.zeros((20, COLS), "float32"))])
    for optimizer in ("adam", "lazy_adam"):
        ours, theirs = classifier(optimizer), classifier("adam")
        ours.fit(x, np.zeros(20, int), verbose=0)
        theirs.fit(x.toarray(), np.zeros(20, int), verbose=0)
        assert_same(ours.get_weights(), theirs.get_weights())


def test_streams_of_sparse_chunks():
    x, y = samples()
    ours, theirs = classifier(), classifier()

    def chunks():
        for i in range(0, N, 30):
            yield x[i:i + 30], y[i:i + 30]

    stream = fnn.Stream(chunks, buffer_rows=64)
    a = ours.fit(stream, batch_size=32, epochs=2, shuffle=False, verbose=0, validation_data=chunks)
    b = theirs.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0, validation_data=(x, y))
    assert a.history == b.history
    assert_same([*ours.get_weights(), ours.predict(stream)], [*theirs.get_weights(), theirs.predict(x)])
    assert ours.evaluate(chunks) == theirs.evaluate(x, y)
    with pytest.raises(ValueError, match="x of chunk 2 is dense; those of the chunks before were sparse"):
        ours.fit(lambda: [(x[:5], y[:5]), (x[5:9].toarray(), y[5:9])], verbose=0)


def test_validation_data_may_be_dense_and_the_other_way_round():
    x, y = samples()
    found = []
    for train, val in ((x, x), (x, x.toarray()), (x.toarray(), x)):
        model = classifier()
        found.append(model.fit(train, y, verbose=0, validation_data=(val, y)).history)
    assert found[0] == found[1] == found[2]


def test_autoencoder_with_a_tied_kernel():
    x, _ = samples(n=60, cols=90, density=0.1)
    found = []
    for optimizer in ("adam", "lazy_adam"):
        for data in (x, x.toarray()):
            encoder = layers.Dense(7, activation="tanh")
            model = fnn.Sequential([fnn.Input((90,)), encoder, layers.Dense(90, tied_to=encoder)], seed=0)
            model.compile(optimizer, "mse")
            model.fit(data, x.toarray(), epochs=2, verbose=0)
            found.append(model.get_weights())
    for other in found[1:]:
        assert_same(found[0], other)


def test_lbfgs_pickle_and_learning_rates():
    import pickle

    x, y = samples()
    found = []
    for data in (x, x.toarray()):
        model = classifier(optimizers.LBFGS(max_iter=5))
        model.fit(data, y, epochs=2, verbose=0)
        found.append([*model.get_weights(), *pickle.loads(pickle.dumps(model)).predict(data)])
    assert_same(*found)
    curves = [fnn.lr_find(classifier(), data, y, steps=20).losses for data in (x, x.toarray())]
    assert_same([curves[0]], [curves[1]])


def test_a_run_goes_on(tmp_path):
    x, y = samples()
    path = tmp_path / "backup"

    def fit(epochs, **named):
        model = classifier(optimizers.LazyAdam(0.01))
        model.fit(x, y, epochs=epochs, verbose=0, **named)
        return model.get_weights()

    class Stop(fnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                self.model.save(path)
                self.model.stop_training = True

    fit(3, callbacks=[Stop()])
    assert_same(fit(3), fit(3, resume=path))


# ---- lazy steps ----

def lazy_twin(kernel, bias, x, y, steps, lr, clip=None):
    """LazyAdam in NumPy on one linear layer and mse, all samples in each step."""
    kernel, bias = kernel.astype(float), bias.astype(float)
    named = np.unique(x.indices)
    dense = x.toarray().astype(float)
    moments = [[np.zeros_like(w), np.zeros_like(w)] for w in (kernel, bias)]
    for t in range(1, steps + 1):
        dz = 2 * (dense @ kernel + bias - y) / y.size
        alpha = lr * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for w, g, rows, (m, v) in zip((kernel, bias), (dense.T @ dz, dz.sum(axis=0)), (named, slice(None)), moments,
                                      strict=True):
            g = g if clip is None else g.clip(-clip, clip)
            m[rows] += (g - m)[rows] * 0.1
            v[rows] += (g * g - v)[rows] * 0.001
            w[rows] -= alpha * m[rows] / (np.sqrt(v[rows]) + 1e-7)
    return [kernel, bias]


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_lazy_adam_is_its_twin(clip):
    x, _ = samples(n=40, cols=60, dtype="float64")
    y = np.random.default_rng(1).normal(size=(40, 3))
    model = fnn.Sequential([fnn.Input((60,)), layers.Dense(3)], seed=0, dtype="float64")
    model.compile(optimizers.LazyAdam(0.01, clipvalue=clip), "mse")
    expected = lazy_twin(*model.get_weights(), x, y, 50, 0.01, clip)
    model.fit(x, y, batch_size=40, epochs=50, verbose=0)
    for a, b in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_lazy_adam_leaves_other_rows_and_their_moments_alone():
    x, y = samples(density=0.01)
    model = classifier(optimizers.LazyAdam(0.1))
    model.fit(x[:50], y[:50], verbose=0)
    before = [model.layers[0].kernel.copy(), *[slot.copy() for slot in model._state.slots]]
    model.fit(x[50:], y[50:], verbose=0)
    unseen = np.setdiff1d(np.arange(COLS), x[50:].indices)
    assert len(unseen)
    size = model.layers[0].kernel.size
    start = model.layers[0]._offsets["kernel"]
    for old, new in zip(before, [model.layers[0].kernel, *model._state.slots], strict=True):
        old, new = (a if a.ndim == 2 else a[start:start + size].reshape(-1, 33) for a in (old, new))
        np.testing.assert_array_equal(old[unseen], new[unseen])
        assert (old != new).any()


def test_lazy_adam_is_adam_where_every_batch_names_all_columns_and_where_samples_are_dense():
    rng = np.random.default_rng(0)
    x, y = rng.random((96, 40)).astype("float32") + 0.1, rng.integers(0, CLASSES, 96)
    found = []
    for optimizer, data in (("adam", x), ("lazy_adam", x), ("lazy_adam", sparse.csr_array(x))):
        model = classifier(optimizer)
        model.fit(data, y, epochs=3, verbose=0)
        found.append(model.get_weights())
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_lazy_adam_of_a_table(threads):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 50, (80, 3)), rng.integers(0, CLASSES, 80)
    x[x % 5 == 0] = 1

    def model_of(optimizer):
        model = fnn.Sequential([layers.Embedding(50, 9), layers.Flatten(), layers.Dense(CLASSES, activation="softmax")],
                               seed=0)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        return model

    lazy, whole = model_of("lazy_adam"), model_of("adam")
    lazy.build((3,))
    first = lazy.layers[0].embeddings.copy()
    for model in (lazy, whole):
        model.train_on_batch(x, y, n_threads=threads)
    assert_same(lazy.get_weights(), whole.get_weights())        # in the first step nothing decays
    assert (lazy.layers[0].embeddings[::5] == first[::5]).all()
    lazy.fit(x, y, epochs=3, batch_size=16, verbose=0, n_threads=threads)
    whole.fit(x, y, epochs=3, batch_size=16, verbose=0)
    assert (lazy.layers[0].embeddings != whole.layers[0].embeddings).any()
    again = model_of("lazy_adam")
    again.train_on_batch(x, y)
    again.fit(x, y, epochs=3, batch_size=16, verbose=0, n_threads=1)
    assert_same(lazy.get_weights(), again.get_weights())


def test_lazy_adam_with_masks_and_constraints():
    x, y = samples()
    model = classifier(optimizers.LazyAdam(0.1), kernel_constraint="non_neg")
    model.build((COLS,))
    fnn.weights.prune(model, 0.5)
    zeros = model.layers[0].kernel == 0
    model.fit(x, y, verbose=0)
    assert (model.layers[0].kernel[zeros] == 0).all() and model.layers[0].kernel.min() >= 0


def test_what_lazy_adam_refuses():
    x, y = samples()
    model = classifier("lazy_adam", kernel_regularizer="l2")
    with pytest.raises(ValueError, match=f"regularizer of a kernel of {COLS} rows .* lazy"):
        model.fit(x, y, verbose=0)
    model.fit(x.toarray(), y, verbose=0)
    with pytest.raises(TypeError, match="LazyAdam has no argument 'global_clipnorm'"):
        optimizers.LazyAdam(global_clipnorm=1.0)


def test_lazy_adam_is_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (64, 1))
    y = rng.normal(size=(64, 4))
    model = fnn.Sequential([layers.Embedding(30, 4), layers.Flatten()], seed=0, dtype="float64")
    model.build((1,))
    theirs = torch.nn.Embedding(30, 4, sparse=True, dtype=torch.float64)
    theirs.weight.data = torch.tensor(model.layers[0].embeddings.copy())
    steps = torch.optim.SparseAdam(theirs.parameters(), lr=0.01, eps=1e-7)
    model.compile(optimizers.LazyAdam(0.01), "mse")
    for _ in range(200):
        rows = rng.integers(0, 64, 7)
        steps.zero_grad()
        torch.nn.functional.mse_loss(theirs(torch.tensor(x[rows, 0])), torch.tensor(y[rows])).backward()
        steps.step()
        model.train_on_batch(x[rows], y[rows])
    np.testing.assert_allclose(model.layers[0].embeddings, theirs.weight.detach().numpy(), rtol=1e-9)


# ---- what is refused ----

def spoiled(change, kind="csr"):
    x = samples(n=12, cols=9, density=0.4)[0].asformat(kind)
    change(x)
    return x


def set_shape(shape):
    return lambda x: setattr(x, "_shape", shape)


def put(name, value, at=3):
    return lambda x: getattr(x, name).__setitem__(at, value)


REFUSED = {
    "column too large": (put("indices", 9), "x contains column 9 in row [01] \\(entry 3 of its indices\\);"),
    "negative column": (put("indices", -1), "x contains column -1 in row"),
    "indptr decreases": (put("indptr", 0), "x.indptr decreases from [0-9]+ to 0 in row 2"),
    "indptr begins late": (put("indptr", 1, 0), "x.indptr begins with 1"),
    "indptr ends late": (put("indptr", 10**6, -1), "x.indptr ends with 1000000; there are"),
    "NaN": (put("data", np.nan), "x contains NaN, infinity .* first in row [01] \\(entry 3 of its data\\)"),
    "too few rows": (set_shape((11, 9)), "x.indptr has 13 numbers; a matrix of 11 rows has 12"),
    "other features": (set_shape((12, 10)), "x has samples of shape \\(10,\\); the model takes \\(9,\\)"),
    "no samples": (set_shape((0, 9)), "x is empty"),
    "one dimension": (set_shape((12,)), "x must have two dimensions"),
    "short data": (lambda x: setattr(x, "data", x.data[:2]), "x.indptr ends with"),
    "float indices": (lambda x: setattr(x, "indices", x.indices * 1.0), "x.indices must be a vector of integers"),
    "no indices": (lambda x: setattr(x, "indices", None), "x.indices must be a vector of integers; received NoneType"),
    "complex data": (lambda x: setattr(x, "data", x.data * 1j), "x.data has dtype complex"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    change, match = REFUSED[name]
    model = classifier(hidden=(4,))
    model.build((9,))
    before = model.get_weights()
    x, y = spoiled(change), np.zeros(12, int)
    for call in (lambda: model.predict(x), lambda: model.fit(x, y, verbose=0), lambda: model.evaluate(x, y),
                 lambda: model.train_on_batch(x, y), lambda: model.gradients(x, y),
                 lambda: model.fit(samples(n=12, cols=9)[0], y, verbose=0, validation_data=(x, y))):
        with pytest.raises((TypeError, ValueError), match=match.replace("x", "(validation )?x", 1)):
            call()
    assert_same(model.get_weights(), before)


def test_refused_before_scipy_converts_it():
    y = np.zeros(12, int)
    for change, kind, match in (
            (put("indices", 12), "csc", "x contains row 12 in column"), (put("indptr", -5), "csc", "decreases"),
            (lambda x: x.coords[0].__setitem__(2, 10**6), "coo", "x.row contains 1000000 \\(entry 2\\)"),
            (lambda x: x.coords[1].__setitem__(2, -7), "coo", "x.col contains -7")):
        with pytest.raises(ValueError, match=match):
            classifier(hidden=(4,)).fit(spoiled(change, kind), y, verbose=0)
    for kind in ("lil", "dok", "bsr", "dia"):
        with pytest.raises(TypeError, match=f"format '{kind}'; csr, csc and coo are allowed"):
            classifier(hidden=(4,)).predict(samples(n=9, cols=9)[0].asformat(kind))


def test_layers_and_calls_that_need_dense_samples():
    x, y = samples()
    refusal = "goes to a Dense layer; the first layer is of class"
    for first in (layers.Dropout(0.5), layers.BatchNormalization(), layers.Embedding(9, 2), layers.Rescaling(0.1)):
        model = fnn.Sequential([first, layers.Flatten(), layers.Dense(CLASSES)])
        model.compile("adam", "mse")
        with pytest.raises(TypeError, match=f"{refusal} {type(first).__name__}"):
            model.fit(x, y, verbose=0)
        assert not model.built
    model = classifier()
    model.build((COLS,))
    with pytest.raises(TypeError, match="input_gradients takes dense arrays"):
        model.input_gradients(x, y)
    with pytest.raises(TypeError, match="dense arrays are allowed"):
        model.fit(x, sparse.csr_array(np.eye(N)), verbose=0)


def test_structures_in_order():
    x = samples(n=5, cols=30, density=0.5)[0]
    indptr, indices = check_structure(x.indptr, x.indices, *x.shape, "w", in_order=True)
    assert indptr.dtype == np.int64 and indices.dtype == x.indices.dtype
    x.indices[1] = x.indices[0]
    with pytest.raises(ValueError, match=f"w contains column {x.indices[0]} behind column {x.indices[0]} in row 0"):
        check_structure(x.indptr, x.indices, *x.shape, "w", in_order=True)


def test_columns_that_change_during_training_do_no_harm():
    x, y = samples()
    model = classifier("lazy_adam")

    class Spoil(fnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            x.indices[:] = 2**31 - 1 if batch % 2 else -(2**31)
            x.indptr[:] = 2**31 - 1

    model.fit(x, y, verbose=0, callbacks=[Spoil()])
    assert np.isfinite(model.get_weights()[0]).all()


def test_rows_without_pointers_are_refused():
    nothing = np.empty(0, np.int64)
    for call in (lambda: fnn.kernels.csr_dense_forward(np.ones(0), nothing, nothing, np.ones((2, 3))),
                 lambda: fnn.kernels.csr_dense_kernel_grad(np.ones(0), nothing, nothing, np.ones((0, 3)), 2)):
        with pytest.raises(ValueError, match="indptr has 0 numbers"):
            call()


def test_a_slice_of_rows_is_a_view():
    rows = as_csr(samples()[0])
    part = rows[20:50]
    assert part.shape == (30, COLS) and part.indices is rows.indices and part.nnz == part.copy().nnz
    assert len(rows[5:5]) == len(rows[9:3]) == 0


@pytest.mark.parametrize("seed", range(3))
def test_fuzz(seed):
    refused, handled = fuzz(1500, seed)
    assert refused > 300 and handled > 300


# ---- memory ----

SCRIPT = """
import numpy as np
from scipy import sparse
import fastnn as fnn

def anonymous(kind):
    return int(open("/proc/self/status").read().split(kind)[1].split()[0])

n, cols, per_row, units = {n}, {cols}, {per_row}, 16
rng = np.random.default_rng(0)
indices = rng.integers(0, cols, n * per_row, dtype=np.int32)
x = sparse.csr_array((rng.random(n * per_row, dtype=np.float32), indices, np.arange(0, n * per_row + 1, per_row)),
                     shape=(n, cols))
y = rng.integers(0, 4, n)
model = fnn.Sequential([fnn.Input((cols,)), fnn.layers.Dense(units, "relu"), fnn.layers.Dense(4, "softmax")], seed=0)
model.compile("{optimizer}", "sparse_categorical_crossentropy")
before = anonymous("VmRSS:")
model.fit(x, y, batch_size=1024, verbose=0, validation_split=0.05)
model.predict(x)
print(anonymous("VmHWM:") - before, model.count_params())
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux' figures")
@pytest.mark.parametrize("optimizer", ["adam", "lazy_adam"])
def test_memory_is_that_of_the_non_zeros(optimizer):
    """1,000,000 x 200,000, which would take 800 GB dense: 240 MB of samples, and what is added to them."""
    n, per_row = 1_000_000, 30
    script = SCRIPT.format(n=n, cols=200_000, per_row=per_row, optimizer=optimizer)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    added, params = map(int, done.stdout.split())
    # Slots, the copy from before an epoch; a permutation, two places and an output of each row.
    assert added < (5 * params * 4 + n * 100) / 1024 + 50_000


def test_instruction_sets_agree_but_for_rounding():
    if ISA == "baseline":
        pytest.skip("there is no lower one")
    script = ("import numpy as np, fastnn as fnn\nfrom scipy import sparse\nrng = np.random.default_rng(0)\n"
              "x = sparse.random_array((50, 300), density=0.1, rng=rng).tocsr()\n"
              "model = fnn.Sequential([fnn.layers.Dense(37), fnn.layers.Dense(2)], seed=0)\n"
              "model.compile('lazy_adam', 'mse')\nmodel.fit(x, np.ones((50, 2)), verbose=0)\n"
              "print(*model.predict(x).ravel())")
    found = [np.array(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                                     env=os.environ | {"FASTNN_ISA": isa}).stdout.split(), float)
             for isa in ("baseline", ISA)]
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-5)
