"""Containers and embeddings: shapes, names, gradients, files, and what the engine makes of branches."""


import copy
import pickle
import tracemalloc

import numpy as np
import pytest

import fastnn as fnn
from fastnn.layers import (
    Activation,
    BatchNormalization,
    Columns,
    Concatenate,
    Dense,
    Embedding,
    Flatten,
    LayerNormalization,
    PythonLayer,
    Rescaling,
    Residual,
)

THREADS = (1, 2, 3, 4, 8)
STEP = 1e-5


class Twice(PythonLayer):
    """A user's layer, which needs the whole batch."""

    def add_weights(self, input_shape):
        return {"scale": (input_shape, "ones")}

    def forward(self, x, training):
        if training:
            self.x = x.copy()
        return 2 * x * self.weights["scale"]

    def backward(self, dy):
        self.gradients["scale"][...] = (2 * dy * self.x).sum(axis=0)
        return 2 * dy * self.weights["scale"]


def table_branches():
    return [[Columns(range(5)), Dense(7, activation="relu")], [Columns([5, 7]), Embedding(9, 4), Flatten()],
            [Columns(6), Embedding(5, 3), Flatten(), Dense(2, activation="gelu")]]


# Layers for samples of 8 columns, of which the last three are integers in [0, 5).
STACKS = {
    "residual": lambda: [Dense(6), Residual([Dense(9, activation="relu"), Dense(6)])],
    "residual on the input": lambda: [Residual([Dense(9, activation="tanh"), Dense(8, activation="relu")])],
    "residual with a shortcut": lambda: [Dense(6, activation="gelu"),
                                         Residual([Dense(9, activation="silu"), Dense(5)], shortcut=Dense(5))],
    "residual behind an activation": lambda: [Dense(6, activation="relu"), Residual(Dense(6, activation="gelu")),
                                              Residual(Dense(6, activation="relu")), Dense(4, activation="mish")],
    "residual in a residual": lambda: [Residual([Dense(5), Residual([Dense(5, activation="tanh")]), Dense(8)]),
                                       Residual(Residual(Dense(8, activation="sigmoid")))],
    "residual that ends with softmax": lambda: [Residual([Dense(8, activation="softmax")])],
    "residual of an activation": lambda: [Dense(6), Residual(Activation("gelu")), Residual(Rescaling(2.0))],
    "residual around a user's layer": lambda: [Dense(6), Residual([Twice(), Dense(6, activation="relu")])],
    "concatenate": lambda: [Dense(6, activation="relu"),
                            Concatenate([Dense(3, activation="gelu"), [], [Dense(5), Dense(4, activation="relu")]])],
    "concatenate of identities": lambda: [Dense(3, activation="tanh"), Concatenate([[], [], Rescaling(0.5), []])],
    "concatenate of residuals": lambda: [Dense(4), Concatenate([Residual(Dense(4, activation="relu")), Dense(2),
                                                              Residual([Dense(3), Dense(4)], shortcut=Dense(4))])],
    "concatenate in concatenate": lambda: [Dense(4), Concatenate([Concatenate([Dense(2), [], Dense(3)]), Dense(2)])],
    "residual around concatenate": lambda: [Dense(4), Residual(Concatenate([Dense(1, activation="relu"), Dense(3)]))],
    "columns": lambda: [Dense(6, activation="relu"), Columns([5, 0, 0, 3])],
    "columns in a row": lambda: [Dense(6, activation="gelu"), Columns(slice(2, 5))],
    "columns of branches": lambda: [Dense(6), Concatenate([Columns([1, 2]), Columns([2, 3, 4]), Columns([5, 0]), []])],
    "residual of columns": lambda: [Dense(6), Residual(Columns(range(6))), Residual(Columns([5, 4, 3, 2, 1, 0]))],
    "embedding": lambda: [Columns([5, 6, 7]), Embedding(5, 4), Flatten()],
    "table": lambda: [Concatenate(table_branches())],
    "table and residual": lambda: [Concatenate(table_branches()), Dense(6, activation="relu"),
                                   Residual([Dense(6, activation="relu"), Dense(6)])],
    "normalized numbers": lambda: [Concatenate([[Columns(range(5)), BatchNormalization()],
                                                [Columns([5, 7]), Embedding(9, 4), Flatten()]]),
                                   Dense(6), Residual([BatchNormalization(), Activation("relu"), Dense(6)]),
                                   LayerNormalization()],
    "regularized": lambda: [Concatenate([Columns(range(5)),
                                         [Columns(6), Embedding(5, 3, embeddings_regularizer="l2"), Flatten()]]),
                            Residual(Dense(8, kernel_regularizer="l1", activity_regularizer="l2"))],
    "user's layer in a branch": lambda: [Dense(4), Concatenate([Twice(), Dense(2)])],
}


def data(n=40, seed=0, outputs=3, dtype="float64"):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(dtype)
    x[:, 5:] = rng.integers(0, 5, (n, 3))
    return x, rng.normal(size=(n, outputs)).astype(dtype)


def make(name, seed=1, dtype="float64", optimizer="adam", outputs=3):
    model = fnn.Sequential([*STACKS[name](), Dense(outputs)], seed=seed, dtype=dtype)
    model.compile(optimizer, "mse")
    return model


def randomize(model, shape=(8,), seed=0):
    rng = np.random.default_rng(seed)
    model.build(shape)
    model.set_weights([rng.normal(size=w.shape) / np.sqrt(w.shape[0] if w.ndim == 2 else 4)
                       for w in model.get_weights()])
    for leaf in model._leaves():
        if isinstance(leaf, BatchNormalization):
            leaf.weights["moving_variance"][...] = rng.uniform(0.5, 2, leaf.input_shape)


def check_gradients(model, x, y, tolerance=1e-6):
    """Against central differences, element by element; zeros for what is not trained."""
    got = iter(model.gradients(x, y))
    worst = scale = 0.0
    for leaf in model._leaves():
        for parameter, weight in leaf.weights.items():
            gradient = next(got)
            if not (leaf.trainable and leaf.parameters(leaf.input_shape)[parameter].trainable):
                assert not gradient.any()
                continue
            for at in np.ndindex(weight.shape):
                kept = weight[at]
                losses = []
                for step in (STEP, -STEP):
                    weight[at] = kept + step
                    losses.append(model.evaluate(x, y))
                weight[at] = kept
                expected = (losses[0] - losses[1]) / (2 * STEP)
                worst, scale = max(worst, abs(gradient[at] - expected)), max(scale, abs(expected))
    assert scale > 1e-4
    assert worst <= tolerance * scale


@pytest.mark.parametrize("name", STACKS)
def test_gradients(name):
    model = make(name)
    randomize(model)
    check_gradients(model, *data(11))


@pytest.mark.parametrize("name", ["residual on the input", "concatenate", "table", "embedding",
                                  "residual of an activation"])
def test_gradients_with_respect_to_the_samples(name):
    """Several branches read them; integers that are looked up have none."""
    model = make(name)
    randomize(model)
    x, y = data(5)
    got = model.input_gradients(x, y)
    looked_up = {column for _, columns, _ in model._indices for column in columns}
    for at in np.ndindex(x.shape):
        if at[1] in looked_up:
            assert got[at] == 0
            continue
        there = [x.copy(), x.copy()]
        there[0][at] += STEP
        there[1][at] -= STEP
        above, below = (model.evaluate(changed[at[0]:at[0] + 1], y[at[0]:at[0] + 1]) for changed in there)
        assert got[at] * len(x) == pytest.approx((above - below) / (2 * STEP), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("frozen", ["first", "middle", "inner"])
def test_gradients_beside_frozen_layers(name, frozen):
    model = make(name)
    randomize(model)
    inner = [layer for layer in model._family if layer.depth]
    chosen = {"first": model.layers[:1], "middle": model.layers[-2:-1], "inner": inner[::2]}[frozen]
    for layer in chosen:
        layer.trainable = False
    check_gradients(model, *data(11))


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(name, dtype):
    x, y = data(301, dtype=dtype)
    results = []
    for threads in THREADS:
        model = make(name, dtype=dtype)
        history = model.fit(x, y, epochs=2, batch_size=64, verbose=0, n_threads=threads)
        results.append([*model.get_weights(), model.predict(x, n_threads=threads), np.array(history.history["loss"])])
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", STACKS)
def test_predictions_do_not_depend_on_other_rows(name):
    x, _ = data(150, dtype="float32")
    model = make(name, dtype="float32")
    whole = model.predict(x)
    for rows in (slice(0, 1), slice(7, 20), slice(149, 150)):
        np.testing.assert_array_equal(model.predict(x[rows]), whole[rows])


# ---- names, files, copies ----------------------------------------------------------------------------------


def weights_equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


def test_names_are_unique_in_a_container_and_paths_in_a_model():
    model = fnn.Sequential([fnn.Input((4,)), Dense(4), Residual([Dense(4), Dense(4, name="mine"), Dense(4)]),
                            Residual([Dense(4), Residual([Dense(4)])])])
    paths = [leaf.path for leaf in model._leaves()]
    assert paths == ["dense", "residual.dense", "residual.mine", "residual.dense_1", "residual_1.dense",
                     "residual_1.residual.dense"]
    assert [name for name, _ in model._named_weights()][2:4] == ["residual.dense.kernel", "residual.dense.bias"]
    with pytest.raises(ValueError, match=r"residual\.mine\.kernel has shape"):
        model.set_weights([np.zeros((2, 2)) if i == 4 else w for i, w in enumerate(model.get_weights())])


@pytest.mark.parametrize("name", [name for name in STACKS if "user's" not in name])
def test_files_copies_and_pickles(tmp_path, name):
    x, y = data()
    model = make(name)
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.safetensors")
    others = [fnn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(model), copy.copy(model),
              pickle.loads(pickle.dumps(model))]
    for other in others:
        assert weights_equal(model, other)
        assert [leaf.path for leaf in other._leaves()] == [leaf.path for leaf in model._leaves()]
        assert other.get_config() == model.get_config()
        np.testing.assert_array_equal(other.predict(x), model.predict(x))
    model.fit(x, y, epochs=2, verbose=0)
    for other in others:
        other.fit(x, y, epochs=2, verbose=0)
        assert weights_equal(model, other)
    fresh = fnn.Sequential([type(layer).from_config(layer.get_config()) for layer in model.layers], seed=model.seed,
                           dtype="float64")
    fresh.build((8,))
    fresh.set_weights(model.get_weights())
    np.testing.assert_array_equal(fresh.predict(x), model.predict(x))


def test_flags_of_nested_layers_are_kept_by_files_and_copies(tmp_path):
    model = fnn.Sequential([fnn.Input((3,)), Residual([Dense(3, name="a"), Dense(3, name="b", trainable=False)])])
    model.layers[0].trainable = False
    model.save(tmp_path / "model.safetensors")
    loaded = fnn.load_model(tmp_path / "model.safetensors")
    for other in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [layer.trainable for layer in other.layers[0].sublayers] == [False, False]
        other.layers[0].trainable = True
        assert [layer.trainable for layer in other.layers[0].sublayers] == [True, False]


def test_a_layer_of_the_user_inside_a_container_is_loaded_with_custom_objects(tmp_path):
    model = make("user's layer in a branch")
    model.build((8,))
    model.save(tmp_path / "model.safetensors")
    other = fnn.load_model(tmp_path / "model.safetensors", custom_objects={"Twice": Twice})
    assert weights_equal(model, other)
    with pytest.raises(fnn.ModelFormatError, match="unknown layer class 'Twice'"):
        fnn.load_model(tmp_path / "model.safetensors")


def test_names_in_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model = make("table and residual")
    model.build((8,))
    model.save(tmp_path / "model.safetensors")
    names = safetensors.load_file(tmp_path / "model.safetensors").keys()
    assert {"layers.concatenate.embedding.embeddings", "layers.concatenate.embedding_1.embeddings",
            "layers.concatenate.dense.kernel", "layers.residual.dense_1.bias", "layers.dense.kernel"} <= set(names)


def test_summary_counts_what_is_inside_once():
    model = make("residual with a shortcut")
    model.build((8,))
    text = []
    model.summary(print_fn=text.append)
    block, shortcut = 6 * 9 + 9 + 9 * 5 + 5, 6 * 5 + 5
    row = next(line.split() for line in text[0].splitlines() if "(Residual)" in line)
    assert row == ["residual", "(Residual)", "(None,", "5)", str(block + shortcut)]
    total = sum(w.size for w in model.get_weights())
    assert model.count_params() == total == sum(layer.count_params() for layer in model.layers)
    assert f"Total params: {total}" in text[0]
    assert "\n  dense_1 (Dense)" in text[0]
    model.layers[1].trainable = False
    model.summary(print_fn=text.append)
    assert f"Non-trainable params: {block + shortcut}" in text[1]


def test_a_frozen_container_keeps_its_weights():
    x, y = data()
    model = make("table and residual")
    model.build((8,))
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(x, y, epochs=2, verbose=0)
    n = len(model.layers[0].sublayers[1].weights) and sum(len(leaf.weights) for leaf in model.layers[0].family())
    for i, (a, b) in enumerate(zip(before, model.get_weights(), strict=True)):
        assert np.array_equal(a, b) == (i < n)
    model.layers[0].trainable = True
    model.fit(x, y, epochs=1, verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_freezer_takes_paths():
    model = make("residual")
    model.fit(*data(), verbose=0, callbacks=[fnn.callbacks.Freezer("residual.dense_1")])
    assert [layer.trainable for layer in model.layers[1].family()] == [True, True, False]
    with pytest.raises(ValueError, match=r"Did you mean 'residual\.dense"):
        model.fit(*data(), verbose=0, callbacks=[fnn.callbacks.Freezer("residual.dens")])


def test_adding_to_a_built_model_keeps_weights_inside_containers():
    model = fnn.Sequential([fnn.Input((3,)), Residual(Dense(3))], seed=0)
    before = model.get_weights()
    model.add(Residual(Dense(3)))
    for a, b in zip(before, model.get_weights(), strict=False):
        np.testing.assert_array_equal(a, b)


# ---- what the engine makes of it ---------------------------------------------------------------------------


def test_branches_lie_in_their_target():
    """A table of numbers and categories costs a copy of none of its columns but those that are selected by a list."""
    model = make("table")
    model.build((8,))
    program = model._lower(training=True, loss=model.loss)
    concat = next(op for op in program.ops if type(op).__name__ == "ConcatOp")
    assert all(program._place(source)[0] == concat.target for source in concat.sources)
    views = [op.view for op in program.ops if type(op).__name__ == "ColumnsOp"]
    assert views == [True, False, True]


def test_the_gradient_of_a_residual_block_is_not_copied():
    model = make("residual")
    model.build((8,))
    program = model._lower(training=True, loss=model.loss)
    add = next(op for op in program.ops if type(op).__name__ == "AddOp")
    assert not add.copies
    assert program._place(add.source, True)[0] == add.target


def test_steps_allocate_nothing():
    x, y = data(64)
    model = make("table and residual")
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    runner, state = model._workspace("train", 8), model._optimizer_state()
    inputs = model._built_data(x, y, None)
    runner.train(inputs, state, None, 8, 1e-3, 0, 1)
    longer = model._built_data(np.tile(x, (20, 1)), np.tile(y, (20, 1)), None)
    tracemalloc.start()
    runner.train(inputs, state, None, 8, 1e-3, 0, 1)
    few = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    runner.train(longer, state, None, 8, 1e-3, 0, 1)
    many = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert many <= few + 1000


# ---- embeddings --------------------------------------------------------------------------------------------


def test_embedding_is_a_dense_layer_on_one_hot_rows():
    """Same products, same optimizer steps: rows that a batch does not name take theirs with a gradient of zero."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 7, (100, 1)), rng.normal(size=(100, 2))
    for optimizer in ("sgd", "adam", "adamw", "rmsprop", "adagrad", fnn.optimizers.SGD(0.1, momentum=0.9)):
        table = fnn.Sequential([Embedding(7, 3), Flatten(), Dense(2)], seed=0, dtype="float64")
        dense = fnn.Sequential([Dense(3, use_bias=False), Dense(2)], seed=0, dtype="float64")
        table.build((1,))
        dense.build((7,))
        dense.set_weights(table.get_weights())
        for model, inputs in ((table, x), (dense, np.eye(7)[x[:, 0]])):
            model.compile(optimizer if isinstance(optimizer, str) else type(optimizer)(**{
                k: v for k, v in optimizer.get_config().items() if k != "name"}), "mse")
            model.fit(inputs, y, batch_size=16, epochs=3, verbose=0)
        for a, b in zip(table.get_weights(), dense.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("limit", "dim", "columns"), [(1, 1, 1), (3, 700, 2), (5000, 17, 1), (40, 33, 5), (2, 16, 3)])
def test_embedding_agrees_with_numpy(limit, dim, columns, dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(0, limit, (70, columns))
    model = fnn.Sequential([Embedding(limit, dim)], seed=0, dtype=dtype)
    model.compile("sgd", "mse")
    model.build((columns,))
    table = model.layers[0].embeddings
    np.testing.assert_array_equal(model.predict(x), table[x])
    y = rng.normal(size=(70, columns, dim)).astype(dtype)
    expected = np.zeros_like(table)
    np.add.at(expected, x, 2 * (table[x] - y) / y.size)
    got = model.gradients(x, y)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4 if dtype == "float32" else 1e-12,
                               atol=1e-9 if dtype == "float32" else 1e-17)


@pytest.mark.parametrize("threads", THREADS)
def test_large_table_has_the_same_bits_for_any_number_of_threads(threads):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20_000, (500, 3)), rng.normal(size=(500, 1)).astype(np.float32)
    results = []
    for n in (1, threads):
        model = fnn.Sequential([Embedding(20_000, 24), Flatten(), Dense(1)], seed=0)
        model.compile("adam", "mse")
        model.fit(x, y, batch_size=100, epochs=2, verbose=0, n_threads=n)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


BAD_INDICES = [(-1, "int64"), (9, "int32"), (200, "uint8"), (2.5, "float64"), (np.float32(0.25), "float32"),
               (9, "float16"), (0.5, "float16"), (2**40, "int64"), (1e30, "float32"), (-0.5, "float64"),
               (2**63, "uint64")]


@pytest.mark.parametrize(("bad", "dtype"), BAD_INDICES)
@pytest.mark.parametrize("built", [False, True])
def test_indices_are_checked_before_anything_changes(bad, dtype, built):
    x = np.ones((30, 8), dtype=dtype)
    x[17, 7] = bad
    model = make("table")
    if built:
        model.build((8,))
        before = model.get_weights()
    message = r"contains .* in row 17, column 7; layer 'concatenate.embedding' takes integers from 0 to 8"
    for call in (lambda: model.predict(x), lambda: model.fit(x, np.zeros((30, 3)), verbose=0),
                 lambda: model.evaluate(x, np.zeros((30, 3))), lambda: model.train_on_batch(x, np.zeros((30, 3))),
                 lambda: model.gradients(x, np.zeros((30, 3))),
                 lambda: model.fit(x[:5], np.zeros((5, 3)), validation_data=(x, np.zeros((30, 3))), verbose=0)):
        with pytest.raises(ValueError, match=message):
            call()
        assert model.built == built
        if built:
            assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_good_indices_of_any_dtype_and_layout():
    x = np.zeros((12, 8))
    x[:, 5:] = np.arange(12)[:, None] % 5
    model = make("table")
    expected = model.predict(x)
    for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32",
                  "float64"):
        other = x.astype(dtype)
        for array in (other, np.asfortranarray(other), np.repeat(other, 2, axis=0)[::2], other.tolist()):
            np.testing.assert_array_equal(model.predict(array), expected)
    x[3, 5] = -0.0
    model.predict(x)


def test_computed_indices_are_checked_by_the_kernel():
    """Where other layers stand before it, the batch with the bad number changes nothing."""
    model = fnn.Sequential([Rescaling(2.0), Embedding(5, 3), Flatten(), Dense(1)], seed=0)
    model.compile("sgd", "mse")
    x, y = np.tile([[0.0], [1.0], [2.0], [0.5]], (5, 1)), np.ones(20)
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for bad in (0.3, -1.0, 3.0, 1e30):
        x[9] = bad
        for threads in (1, 2):
            expected = copy.deepcopy(model)
            expected.fit(x[:8], y[:8], batch_size=4, shuffle=False, verbose=0)
            with pytest.raises(ValueError, match=r"layer 'embedding' takes integers from 0 to 4; received another "
                                                 r"number in row 1 of a batch, column 0 of its input"):
                model.fit(x, y, batch_size=4, shuffle=False, verbose=0, n_threads=threads)
            assert weights_equal(model, expected)
            for call in (lambda: model.predict(x), lambda: model.evaluate(x, y)):
                with pytest.raises(ValueError, match="layer 'embedding' takes integers"):
                    call()


# ---- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make_layer", "error", "message"), [
    (lambda: Residual([]), ValueError, "at least one layer; received an empty list"),
    (lambda: Residual("dense"), TypeError, "must be a layer or a list of layers; received 'dense'"),
    (lambda: Residual([3]), TypeError, "Residual takes layers; received 3"),
    (lambda: Residual([fnn.Input((3,))]), TypeError, "takes layers; received Input"),
    (lambda: Residual([Dense(1, name="a"), Dense(1, name="a")]), ValueError, "two layers are named 'a'"),
    (lambda: Residual([Dense(1)], shortcut=7), TypeError, "shortcut must be a layer or a list of layers; received 7"),
    (lambda: Concatenate([]), ValueError, "branches with at least one layer; received \\[\\]"),
    (lambda: Concatenate([[], []]), ValueError, "branches with at least one layer"),
    (lambda: Concatenate(Dense(1)), TypeError, "branches must be a list of layers and lists of layers"),
    (lambda: Concatenate([Dense(1), 5]), TypeError, r"branches\[1\] must be a layer or a list of layers; received 5"),
    (lambda: Columns([]), ValueError, "at least one; received"),
    (lambda: Columns("ab"), TypeError, "an integer, a slice or a sequence of integers; received 'ab'"),
    (lambda: Columns([0.5]), TypeError, "received 0.5"),
    (lambda: Columns(True), TypeError, "received True"),
    (lambda: Columns([True, False]), TypeError, "received True"),
    (lambda: Columns(slice(0, 3, 0)), ValueError, "step 0"),
    (lambda: Columns(slice(0.5)), TypeError, "received 0.5"),
    (lambda: Columns(None), TypeError, "received None"),
    (lambda: Embedding(0, 3), ValueError, r"input_dim must be in \[1"),
    (lambda: Embedding(3, 0), ValueError, r"output_dim must be in \[1"),
    (lambda: Embedding(3.0, 2), TypeError, "input_dim must be an integer; received 3.0"),
    (lambda: Embedding(2**31 - 1, 2**31 - 1), ValueError, "more than can be addressed"),
    (lambda: Embedding(3, 2, embeddings_initializer="unifrom"), ValueError, "uniform"),
])
def test_arguments_are_checked(make_layer, error, message):
    with pytest.raises(error, match=message):
        make_layer()


@pytest.mark.parametrize(("stack", "message"), [
    (lambda: [Residual(Dense(3))], r"outputs of shape \(3,\), but its input has shape \(4,\).*shortcut=Dense\(3\)"),
    (lambda: [Residual(Dense(3), shortcut=Dense(2))],
     r"outputs of shape \(3,\), but its shortcut's output has shape \(2,\)"),
    (lambda: [Columns([4])], "indices contain 4; the input has 4 columns, -4 to 3 are allowed"),
    (lambda: [Columns([-5])], "indices contain -5"),
    (lambda: [Columns(slice(4, None))], r"slice\(4, None, None\) of 4 columns are none"),
    (lambda: [Concatenate([Columns([0]), Embedding(3, 2)])], r"outputs of shapes \(1,\), \(4, 2\); .*Flatten\(\)"),
    (lambda: [Embedding(2**24 + 1, 1)], "input_dim must be at most 16777216 in float32"),
])
def test_shapes_are_checked(stack, message):
    with pytest.raises(ValueError, match=message):
        fnn.Sequential([fnn.Input((4,)), *stack()]).predict(np.zeros((1, 4)))
    model = fnn.Sequential(stack())
    with pytest.raises(ValueError, match=message):
        model.predict(np.zeros((1, 4)))


def test_a_table_that_is_too_long_is_refused_when_the_model_is_built():
    for layer in (Embedding(2**24 + 2, 1), Residual([Embedding(2**24 + 2, 1), Flatten()])):
        with pytest.raises(ValueError, match=r"input_dim must be at most 16777216 in float32.* received 16777218"):
            fnn.Sequential([layer]).build((1,))


def test_a_layer_stands_in_one_place():
    layer = Dense(4)
    with pytest.raises(ValueError, match="stands twice in Residual"):
        Residual([layer, layer])
    block = Residual(layer)
    for place in (lambda: Residual(layer), lambda: fnn.Sequential([layer]), lambda: Concatenate([layer])):
        with pytest.raises(ValueError, match="dense' belongs to a model"):
            place()
    fnn.Sequential([block])
    with pytest.raises(ValueError, match="'residual' belongs"):
        fnn.Sequential([block])


def test_a_container_that_came_to_nothing_takes_no_layers():
    layer = Dense(4)
    with pytest.raises(TypeError):
        Residual([layer, 3])
    Residual([layer])


def test_a_failed_model_releases_its_containers():
    block = Residual([Dense(4)])
    with pytest.raises(ValueError, match="shape"):
        fnn.Sequential([fnn.Input((4,)), block, Residual(Dense(3))])
    model = fnn.Sequential([fnn.Input((4,)), block])
    assert model.count_params() == 20


def test_slices_and_ranges_of_columns():
    x = np.arange(12.0).reshape(2, 6)
    for indices in (slice(1, 4), slice(None, None, 2), slice(None, None, -1), range(3), [-1, 0], np.array([2, 3]), 4,
                    -2):
        model = fnn.Sequential([Columns(indices)], dtype="float64")
        wanted = x[:, [indices]] if isinstance(indices, int) else x[:, indices]
        np.testing.assert_array_equal(model.predict(x), wanted)
        again = Columns.from_config(model.layers[0].get_config())
        assert again.get_config() == model.layers[0].get_config()
    with pytest.raises(ValueError, match="allowed"):
        Columns.from_config({"indices": {"slice": [1]}})


def test_an_empty_branch_is_the_input():
    model = fnn.Sequential([fnn.Input((3,)), Concatenate([[], Dense(2)])], seed=0)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert np.array_equal(model.predict(x)[:, :3], x)
    assert model.output_shape == (5,)
