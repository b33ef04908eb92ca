"""SparseDense: patterns, what the engine makes of them, structures that change, files."""

import copy
import json
import pickle
import struct

import numpy as np
import pytest
import scipy.sparse

import fastnn as fnn
from fastnn import layers
from fastnn.layers import Dense, SparseDense
from fastnn.sparse import Pattern, random_pattern

rng = np.random.default_rng(0)
X = rng.standard_normal((150, 30))
LABELS = rng.integers(0, 4, 150)


def network(dtype="float32", optimizer="adam", seed=0, loss="sparse_categorical_crossentropy", **arguments):
    model = fnn.Sequential([SparseDense(70, "relu", density=0.1, **arguments), SparseDense(50, "gelu", epsilon=3),
                            layers.Dropout(0.2), SparseDense(4, "softmax", density=0.5)], seed=seed, dtype=dtype)
    model.compile(optimizer, loss)
    return model


def same(a, b):
    return all(np.array_equal(one, other) for one, other in zip(a, b, strict=True))


# ---- patterns ------------------------------------------------------------------------------------------------


def test_patterns_of_all_kinds_of_matrices():
    dense = rng.standard_normal((6, 9)) * (rng.random((6, 9)) < 0.4)
    want = Pattern.of(scipy.sparse.csr_array(dense))
    assert want.nnz == np.count_nonzero(dense)
    for kind in ("csr", "csc", "coo", "bsr", "dia", "lil", "dok"):
        for container in (scipy.sparse.csr_array, scipy.sparse.csr_matrix):
            matrix = container(dense).asformat(kind)
            if kind != "dia":  # which stores zeros too
                assert Pattern.of(matrix).equals(want), kind
    assert Pattern.of(dense != 0).equals(want)
    assert Pattern.of(want) is want
    assert np.array_equal(want.matrix(np.ones(want.nnz)).toarray(), dense != 0)
    assert np.array_equal(want.rows(), np.nonzero(dense)[0])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_rows_may_be_unsorted_and_duplicates_count_once(dtype):
    indptr, indices = np.array([0, 3, 4], dtype), np.array([2, 0, 2, 1], dtype)
    matrix = scipy.sparse.csr_array((np.array([1.0, 2.0, 3.0, 4.0]), indices, indptr), shape=(2, 3))
    matrix.has_canonical_format = True  # it is not
    layer = SparseDense(3, kernel=matrix)
    fnn.Sequential([fnn.Input((2,)), layer])
    assert np.array_equal(layer.kernel.toarray(), [[2, 0, 4], [0, 4, 0]])
    assert matrix.nnz == 4
    assert np.array_equal(matrix.indices, indices)


def test_matrices_may_have_room_behind_their_entries():
    for kind in (scipy.sparse.csr_array, scipy.sparse.csc_array):
        matrix = kind(np.eye(3))
        matrix.indices = np.append(matrix.indices, np.full(4, 99, matrix.indices.dtype))
        matrix.data = np.append(matrix.data, np.full(4, np.nan))
        assert np.array_equal(SparseDense(3, kernel=matrix)._values, np.ones(3))
        assert Pattern.of(matrix).indices.tolist() == [0, 1, 2]
        assert matrix.indices.size == 7


@pytest.mark.parametrize("dtype", ["float16", ">f8", ">i4", "longdouble", "bool"])
@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_values_of_any_type_of_real_numbers(kind, dtype):
    matrix = scipy.sparse.coo_array((np.array([1, 0, 1]), ([0, 1, 1], [0, 1, 0])), shape=(2, 2)).asformat(kind)
    matrix.data = matrix.data.astype(dtype)
    layer = SparseDense(2, kernel=matrix)
    fnn.Sequential([fnn.Input((2,)), layer])
    assert layer.kernel.toarray().tolist() == [[1, 0], [1, 0]]
    assert layer.kernel.nnz == 3


def test_duplicates_of_types_that_scipy_cannot_add_up():
    for dtype in ("float16", ">f4"):
        matrix = scipy.sparse.csr_array((np.ones(2, dtype), np.array([0, 0]), np.array([0, 2])), shape=(1, 2))
        assert SparseDense(2, kernel=matrix)._values == [2.0]


def test_values_of_a_pattern_do_not_matter():
    matrix = scipy.sparse.csr_array(np.array([[1j, 0], [np.nan, 2]]))
    assert Pattern.of(matrix).nnz == SparseDense(2, pattern=matrix)._pattern.nnz == 3


def test_pattern_copies_unless_told_otherwise():
    indptr, indices = np.array([0, 1, 2]), np.array([0, 1], np.int32)
    pattern = Pattern((2, 2), indptr, indices)
    indices[0] = 1
    assert pattern.indices[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        pattern.indices[0] = 1
    assert Pattern((2, 2), [0, 1, 2], (taken := np.array([0, 1], np.int32)), copy=False).indices is taken
    assert copy.deepcopy(pattern) is pattern
    assert pickle.loads(pickle.dumps(pattern)).equals(pattern)


@pytest.mark.parametrize(("shape", "indptr", "indices", "message"), [
    ((2, 3), [0, 2], [0, 1], "must have 3 numbers for 2 rows; received 2"),
    ((2, 3), [1, 2, 2], [0, 1], "must begin with 0; received 1"),
    ((2, 3), [0, 2, 1], [0, 1], "must not decrease; received 2 and 1 for row 1"),
    ((2, 3), [0, 1, 3], [0, 1], "must end with the number of indices, 2; received 3"),
    ((2, 3), [0, 1, 2], [0, 3], r"in \[0, 3\); received 3 as entry 1"),
    ((2, 3), [0, 1, 2], [-1, 0], r"in \[0, 3\); received -1 as entry 0"),
    ((2, 3), [0, 0, 2], [1, 1], "ascending, each once; received 1, then 1 in row 1"),
    ((2, 3), [0, 2, 2], [2, 0], "ascending, each once; received 2, then 0 in row 0"),
    ((2, 2**31), [0, 0, 0], [], "number of columns"),
    ((-1, 2), [0], [], "number of rows"),
])
def test_malformed_patterns_are_refused(shape, indptr, indices, message):
    with pytest.raises(ValueError, match=message):
        Pattern(shape, indptr, indices)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_matrices_of_a_broken_structure_are_refused(kind):
    matrix = scipy.sparse.random_array((5, 6), density=0.5, format=kind, rng=rng)
    if kind == "coo":
        matrix.coords[1][3] = 60
    else:
        matrix.indices[3] = 60
    with pytest.raises(ValueError, match="received 60 as entry 3"):
        SparseDense(6, pattern=matrix)
    if kind != "coo":
        matrix.indices[3] = 0
        matrix.indptr[2] = 10**6
        with pytest.raises(ValueError, match="must not decrease"):
            SparseDense(6, kernel=matrix)


def test_random_patterns_depend_on_the_seed_alone():
    pattern = random_pattern((40, 50), 333, 5)
    assert pattern.nnz == 333
    assert pattern.equals(random_pattern((40, 50), 333, 5))
    assert not pattern.equals(random_pattern((40, 50), 333, 6))
    assert random_pattern((3, 4), 12).nnz == 12


def test_places_in_another_pattern():
    old, new = (random_pattern((20, 30), 200, seed) for seed in (1, 2))
    keys = [np.asarray(p.rows(), np.int64) * 30 + p.indices for p in (old, new)]
    at = {key: i for i, key in enumerate(keys[0].tolist())}
    assert new.places_in(old).tolist() == [at.get(key, -1) for key in keys[1].tolist()]
    with pytest.raises(ValueError, match="one shape"):
        new.places_in(random_pattern((30, 20), 5, 0))


# ---- the layer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({}, "one of density, epsilon, pattern or kernel is needed; received none"),
    ({"density": 0.1, "epsilon": 3}, "received density and epsilon"),
    ({"density": 0.0}, r"density must be in \(0, 1\]; received 0.0"),
    ({"density": 1.5}, "density must be"),
    ({"epsilon": -1.0}, "epsilon must be"),
    ({"pattern": scipy.sparse.csr_array((3, 5))}, "no entries"),
    ({"pattern": np.ones((3, 4), bool)}, "4 columns; the layer has 5 units"),
    ({"kernel": scipy.sparse.csr_array([[np.nan, 1, 1, 1, 1]])}, "finite"),
    ({"density": 0.5, "kernel_initializer": "orthogonal"}, "which is for matrices"),
    ({"density": 0.5, "kernel_constraint": "max_norm"}, "must not be of norms"),
])
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SparseDense(5, **arguments)


def test_weights_out_of_the_range_of_the_model_are_refused():
    matrix = scipy.sparse.csr_array([[1e200, 0.0]])
    model = fnn.Sequential([fnn.Input((1,)), SparseDense(2, kernel=matrix)], dtype="float64")
    assert model.layers[0].kernel.data == 1e200
    dense = fnn.Sequential([fnn.Input((1,)), model.layers[0].to_dense()], dtype="float64")
    for layer in (SparseDense(2, kernel=matrix), SparseDense.from_dense(dense.layers[0])):
        with pytest.raises(ValueError, match=r"sparse_dense.kernel must be finite in float32"):
            fnn.Sequential([fnn.Input((1,)), layer])


@pytest.mark.parametrize("arguments", [{"pattern": [[1, 0]]}, {"kernel": np.ones((2, 5))}, {"density": "x"},
                                       {"pattern": np.ones((2, 5), int)},
                                       {"kernel": scipy.sparse.csr_array((2, 5), dtype=complex)}])
def test_arguments_of_another_type_are_refused(arguments):
    with pytest.raises(TypeError):
        SparseDense(5, **arguments)


def test_a_kernel_that_does_not_fit_is_refused():
    layer = SparseDense(5, pattern=np.ones((3, 5), bool))
    with pytest.raises(ValueError, match="of layer 'sparse_dense' has 3 rows; its input has 4 features"):
        fnn.Sequential([fnn.Input((4,)), layer])
    assert fnn.Sequential([fnn.Input((3,)), layer]).layers[0].name == "sparse_dense"
    with pytest.raises(ValueError, match=r"of layer 'sparse_dense': .* more than the 2\*\*53 positions"):
        fnn.Sequential([fnn.Input((2**31 - 1,)), SparseDense(2**31 - 1, density=1.0)])
    with pytest.raises(ValueError, match="one dimension"):
        fnn.Sequential([fnn.Input((4, 4)), SparseDense(5, density=0.5)])


def test_how_many_connections():
    model = fnn.Sequential([fnn.Input((200,)), SparseDense(100, epsilon=13), SparseDense(50, density=0.013),
                            SparseDense(3, epsilon=1e308), SparseDense(2, density=1e-9)])
    assert [layer.kernel.nnz for layer in model.layers] == [13 * 300, 65, 150, 1]


def test_the_kernel_is_a_live_view():
    model = network()
    model.build((30,))
    layer = model.layers[0]
    kernel = layer.kernel
    assert isinstance(kernel, scipy.sparse.csr_array)
    assert kernel.shape == (30, 70)
    assert np.shares_memory(kernel.data, model._flat)
    assert np.shares_memory(kernel.indices, layer.pattern.indices)
    kernel.data[:] = 0
    assert not model.get_weights()[0].any()
    layer.kernel = layer.kernel * 0 + layer.pattern.matrix(np.full(210, 2.0))
    assert (model.get_weights()[0] == 2).all()
    layer.kernel = np.arange(210)
    assert np.array_equal(layer.kernel.data, np.arange(210))
    with pytest.raises(ValueError, match="must have the positions of the layer's"):
        layer.kernel = scipy.sparse.eye_array(30, 70)
    with pytest.raises(ValueError, match="shape"):
        layer.kernel = np.ones(209)
    with pytest.raises(ValueError, match="finite"):
        layer.kernel = np.full(210, np.nan)
    model.set_weights(model.get_weights())
    assert model.count_params() == 210 + 70 + 360 + 50 + 100 + 4


def test_values_of_a_given_kernel():
    matrix = scipy.sparse.random_array((30, 20), density=0.2, rng=rng, format="csc")
    model = fnn.Sequential([fnn.Input((30,)), SparseDense(20, kernel=matrix)], dtype="float64")
    assert np.array_equal(model.layers[0].kernel.toarray(), matrix.toarray())
    np.testing.assert_allclose(model.predict(X), X @ matrix.toarray(), rtol=1e-12, atol=1e-12)


def test_initial_variance_follows_from_the_connections():
    model = fnn.Sequential([fnn.Input((400,)), SparseDense(300, density=0.05, kernel_initializer="he_normal")], seed=3)
    np.testing.assert_allclose(model.layers[0].kernel.data.std(), (2 / (0.05 * 400)) ** 0.5, rtol=0.05)


def test_dense_and_back():
    model = network("float64")
    model.build((30,))
    chain = [layer.to_dense() if isinstance(layer, SparseDense) else layers.Dropout(0.1) for layer in model.layers]
    dense = fnn.Sequential([fnn.Input((30,)), *chain], dtype="float64")
    np.testing.assert_allclose(dense.predict(X), model.predict(X), rtol=1e-12)
    back = fnn.Sequential([fnn.Input((30,)), *[SparseDense.from_dense(layer) if isinstance(layer, Dense) else
                                              layers.Dropout(0.1) for layer in dense.layers]], dtype="float64")
    assert same(back.get_weights(), model.get_weights())
    assert same([back.predict(X)], [model.predict(X)])
    layer = dense.layers[0]
    assert SparseDense.from_dense(layer, threshold=0.5)._pattern.nnz == (np.abs(layer.kernel) > 0.5).sum()
    kept = np.sort(np.abs(layer.kernel.ravel()))[-21:]
    assert np.array_equal(np.sort(np.abs(SparseDense.from_dense(layer, sparsity=0.99)._values)), kept)
    assert SparseDense.from_dense(layer, sparsity=0.99999)._pattern.nnz == 1
    layer.learning_rate_multiplier = 0.5
    sparse = SparseDense.from_dense(layer)
    assert sparse.learning_rate_multiplier == 0.5
    fnn.Sequential([fnn.Input((30,)), sparse], dtype="float64")
    assert sparse.to_dense().learning_rate_multiplier == 0.5
    with pytest.raises(ValueError, match="one of threshold and sparsity"):
        SparseDense.from_dense(layer, 0.1, 0.1)
    with pytest.raises(ValueError, match="no entries"):
        SparseDense.from_dense(layer, threshold=1e9)
    with pytest.raises(TypeError, match="built Dense"):
        SparseDense.from_dense(Dense(3))


# ---- training ------------------------------------------------------------------------------------------------


class Held(fnn.constraints.Constraint):
    """Holds a kernel at zero where it is not connected: a dense layer that trains as a sparse one does."""

    name = "held"

    def __init__(self, mask):
        self.mask = mask

    def __call__(self, w):
        return w * self.mask


@pytest.mark.parametrize("batch", [1, 5, 16, 50, 150])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_trains_as_a_dense_layer_with_a_mask(batch, optimizer):
    sparse = network("float64", optimizer)
    sparse.build((30,))
    chain = [Dense(70, "relu"), Dense(50, "gelu"), layers.Dropout(0.2), Dense(4, "softmax")]
    for layer, like in zip(chain, sparse.layers, strict=True):
        if isinstance(layer, Dense):
            layer.kernel_constraint = Held(like.pattern.matrix(np.ones(like.pattern.nnz)).toarray())
    dense = fnn.Sequential([fnn.Input((30,)), *chain], seed=0, dtype="float64")
    dense.compile(optimizer, "sparse_categorical_crossentropy")
    for layer, like in zip(chain, sparse.layers, strict=True):
        if isinstance(layer, Dense):
            layer.kernel, layer.bias = like.kernel.toarray(), like.bias
    one, other = (model.fit(X, LABELS, epochs=4, batch_size=batch, verbose=0) for model in (sparse, dense))
    np.testing.assert_allclose(one.history["loss"], other.history["loss"], rtol=1e-9)
    for layer, like in zip(chain, sparse.layers, strict=True):
        if isinstance(layer, Dense):
            np.testing.assert_allclose(like.kernel.toarray(), layer.kernel, rtol=1e-7, atol=1e-9)


OPTIMIZERS = ["sgd", "adam", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "lion", "ftrl", "lamb", "adafactor",
              "muon", "radam", "schedule_free_adamw", fnn.optimizers.SGD(0.01, 0.9, True),
              fnn.optimizers.Adam(clipnorm=0.1), fnn.optimizers.Adam(use_ema=True),
              fnn.optimizers.Adam(gradient_accumulation_steps=2), fnn.optimizers.AdamW(global_clipnorm=0.1)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_no_bit_depends_on_the_number_of_threads(optimizer, dtype):
    results = []
    for threads in (1, 2, 3):
        model = network(dtype, copy.deepcopy(optimizer), kernel_regularizer="l2")
        history = model.fit(X, LABELS, epochs=2, batch_size=40, verbose=0, n_threads=threads)
        results.append([*model.get_weights(), history.history["loss"], model.predict(X, n_threads=threads)])
        assert np.isfinite(results[-1][-1]).all()
    assert same(results[0], results[1])
    assert same(results[0], results[2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_narrow_and_wide_batches_predict_the_same_bits(dtype):
    model = network(dtype)
    model.build((30,))
    want = model.predict(X)
    for n in (1, 2, 3, 7, 8, 9, 31):
        assert same([np.concatenate([model.predict(X[i:i + n]) for i in range(0, 150, n)])], [want])
    assert same([want], [model.predict(X, n_threads=3)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("density", [0.02, 0.3])
def test_kernels_larger_than_the_blocks_they_are_cut_into(dtype, density):
    kernel = scipy.sparse.random_array((600, 300), density=density, rng=1, format="csr").astype(dtype)
    x, dy = (rng.standard_normal((140, n)).astype(dtype) for n in (600, 300))
    bias = rng.standard_normal(300).astype(dtype)
    y = fnn.kernels.sparse_dense_forward(x, kernel, bias)
    assert same(y, [fnn.kernels.sparse_dense_forward(row[None], kernel, bias)[0] for row in x])
    tolerance = 2000 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, fnn.reference.sparse_dense_forward(x, kernel, bias), atol=tolerance)
    for got, want in zip(fnn.kernels.sparse_dense_backward(dy, x, kernel),
                         fnn.reference.sparse_dense_backward(dy, x, kernel), strict=True):
        np.testing.assert_allclose(got, want, atol=tolerance)


@pytest.mark.parametrize("batch", [3, 40])
def test_frozen_layers_stay_and_pass_gradients_on(batch):
    model = network("float64")
    model.build((30,))
    model.layers[1].trainable = False
    before = model.get_weights()
    model.fit(X, LABELS, epochs=1, batch_size=batch, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [True, True, False, False, True, True]


@pytest.mark.parametrize("rows", [2, 20, 150])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "softmax"])
def test_gradients_are_difference_quotients(activation, rows):
    model = fnn.Sequential([SparseDense(12, activation, density=0.3, kernel_regularizer="l1_l2",
                                        use_bias=activation != "gelu"), layers.PReLU(),
                            SparseDense(3, activation, epsilon=2, activity_regularizer="l2")], seed=1, dtype="float64")
    model.compile("sgd", "mse")
    x, y = X[:rows], rng.standard_normal((rows, 3))
    model.build((30,))
    gradients = model.gradients(x, y)
    for weight, gradient in zip([w for _, w in model._named_weights()], gradients, strict=True):
        for place in np.random.default_rng(1).choice(weight.size, min(weight.size, 25), replace=False):
            losses, value = [], weight[place]
            for step in (1e-5, -1e-5):
                weight[place] = value + step
                losses.append(model.evaluate(x, y))
            weight[place] = value
            assert abs((losses[0] - losses[1]) / 2e-5 - gradient[place]) < 1e-6


def test_inside_containers():
    model = fnn.Sequential([layers.Residual([SparseDense(30, "relu", density=0.1), Dense(30)]),
                            layers.Concatenate([SparseDense(5, density=0.5), SparseDense(6, epsilon=2)]),
                            Dense(4, "softmax")], seed=0, dtype="float64")
    model.compile("adam", "sparse_categorical_crossentropy")
    other = copy.deepcopy(model)
    for each, threads in ((model, 1), (other, 2)):
        each.fit(X, LABELS, epochs=2, verbose=0, n_threads=threads)
    assert same(model.get_weights(), other.get_weights())


# ---- structures that change ------------------------------------------------------------------------------------


class Move(fnn.callbacks.Callback):
    """Replaces a tenth of each layer's connections, or changes how many there are."""

    def __init__(self, every_batch=False, factor=1.0):
        super().__init__()
        self.rng, self.every_batch, self.factor, self.moves = np.random.default_rng(1), every_batch, factor, 0

    def move(self):
        for layer in self.model.layers[:2]:
            old = layer.pattern
            keys = old.rows() * np.int64(old.shape[1]) + old.indices
            stay = self.rng.random(old.nnz) < 0.9
            wanted = round(old.nnz * self.factor)
            free = np.setdiff1d(np.arange(np.prod(old.shape)), keys)
            new = np.sort(np.concatenate([keys[stay], self.rng.choice(free, wanted - stay.sum(), replace=False)]))
            pattern = Pattern(old.shape, np.searchsorted(new, np.arange(old.shape[0] + 1) * old.shape[1]),
                              new % old.shape[1])
            places = pattern.places_in(old)
            values = np.where(places >= 0, layer.kernel.data[places], 0)
            layer.set_structure(pattern, values, places if self.moves % 2 else None)
            self.moves += 1

    def on_train_batch_end(self, batch, logs=None):
        if self.every_batch:
            self.move()

    def on_epoch_end(self, epoch, logs=None):
        if not self.every_batch:
            self.move()


@pytest.mark.parametrize("callback", [Move(), Move(True), Move(factor=1.3), Move(factor=0.95)],
                         ids=["epochs", "batches", "more", "fewer"])
@pytest.mark.parametrize("batch", [4, 40])
def test_no_bit_depends_on_threads_where_the_structure_changes(callback, batch):
    results = []
    for threads in (1, 2):
        model = network("float32", fnn.optimizers.Adam(use_ema=True))
        moves = copy.deepcopy(callback)
        model.fit(X, LABELS, epochs=3, batch_size=batch, verbose=0, n_threads=threads, callbacks=[moves],
                  validation_split=0.2)
        assert moves.moves
        results.append([*model.get_weights(), *model._state.blocks, model.layers[0].pattern.indices])
        assert np.isfinite(model.predict(X)).all()
    assert same(*results)


@pytest.mark.parametrize("nnz", [210, 150, 300])
def test_the_memory_of_what_stays_goes_with_it(nnz):
    model = network("float64", fnn.optimizers.Adam(use_ema=True))
    model.fit(X, LABELS, epochs=2, verbose=0)
    layer, old = model.layers[0], model.layers[0].pattern
    weights, blocks = model.get_weights(), [block.copy() for block in model._state.blocks]
    step, offsets = model._state.step, [dict(leaf._offsets) for leaf in model.layers]
    pattern = random_pattern(old.shape, nnz, 9)
    places, values = pattern.places_in(old), np.arange(1.0, nnz + 1)
    assert (places >= 0).any()
    layer.set_structure(pattern, values)
    assert same([layer.kernel.data, *model.get_weights()[1:]], [values, *weights[1:]])
    assert model._state.step == step
    fills = [values if fill is None else np.zeros(nnz) for fill in model._state_of._blocks().values()]
    for block, before, fill in zip(model._state.blocks, blocks, fills, strict=True):
        start, was = layer._offsets["kernel"], offsets[0]["kernel"]
        want = np.where(places >= 0, before[was:was + old.nnz][places], fill)
        assert np.array_equal(block[start:start + nnz], want)
        start, was = model.layers[3]._offsets["kernel"], offsets[3]["kernel"]
        assert np.array_equal(block[start:start + 100], before[was:was + 100])
    model.fit(X, LABELS, epochs=1, verbose=0)
    assert not np.array_equal(layer.kernel.data, values)


def test_the_number_of_connections_stays_within_an_epoch():
    with pytest.raises(ValueError, match="between the batches of an epoch"):
        network().fit(X, LABELS, verbose=0, callbacks=[Move(True, 1.1)])


def test_weights_from_before_an_epoch_come_back_where_they_belong():
    class Spoil(Move):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            self.model.optimizer.learning_rate = 1e38  # the next update overflows

    model = network("float32", fnn.optimizers.SGD(1e-9))
    model.build((30,))
    before = model.layers[0].kernel.toarray()
    with pytest.raises(fnn.DivergenceError, match="those from before this epoch"):
        model.fit(X, LABELS, batch_size=10, verbose=0, callbacks=[Spoil(True)],
                  class_weight=dict.fromkeys(range(4), 1e6))
    kernel = model.layers[0].kernel
    stayed = kernel.toarray() != 0
    assert stayed.any()
    assert np.array_equal(kernel.toarray()[stayed], before[stayed])


@pytest.mark.parametrize(("arguments", "message"), [
    ((np.ones((3, 70), bool), np.ones(210)), "must have the shape"),
    ((np.ones((30, 70), bool), np.ones(210)), "shape"),
    ((np.zeros((30, 70), bool), np.ones(0)), "no entries"),
    ((np.eye(30, 70, dtype=bool), np.full(30, np.inf)), "finite"),
    ((np.eye(30, 70, dtype=bool), np.ones(30), np.full(30, 210)), r"in \[-1, 210\)"),
    ((np.eye(30, 70, dtype=bool), np.ones(30), np.zeros(3, int)), "30 integers"),
])
def test_structures_that_are_not_allowed_change_nothing(arguments, message):
    model = network()
    with pytest.raises(ValueError, match="not built"):
        model.layers[0].set_structure(random_pattern((30, 70), 3), np.ones(3))
    model.build((30,))
    before, pattern = model.get_weights(), model.layers[0].pattern
    with pytest.raises(ValueError, match=message):
        model.layers[0].set_structure(*arguments)
    assert same(before, model.get_weights())
    assert model.layers[0].pattern is pattern


# ---- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_a_model_comes_back_from_its_file(tmp_path, factor):
    path = tmp_path / "model.safetensors"
    model = network("float64")
    model.fit(X, LABELS, epochs=2, verbose=0, callbacks=[Move(factor=factor)])
    model.save(path)
    again = fnn.load_model(path)
    for one, other in zip(model.layers, again.layers, strict=True):
        assert not isinstance(one, SparseDense) or one.pattern.equals(other.pattern)
    for each in (model, again):
        each.fit(X, LABELS, epochs=1, verbose=0)
    assert same(model.get_weights(), again.get_weights())
    assert same([model.predict(X)], [pickle.loads(pickle.dumps(again)).predict(X)])


def test_a_given_pattern_comes_back_from_the_file_alone(tmp_path):
    path = tmp_path / "model.safetensors"
    matrix = scipy.sparse.random_array((30, 4), density=0.4, rng=rng)
    model = fnn.Sequential([fnn.Input((30,)), SparseDense(4, kernel=matrix)], seed=0)
    model.save(path)
    assert same([fnn.load_model(path).predict(X)], [model.predict(X)])
    config = json.loads(json.dumps(model.layers[0].get_config()))
    assert config["pattern"] == [30, 4]
    with pytest.raises(ValueError, match="are in the file of its model"):
        fnn.Sequential([fnn.Input((30,)), SparseDense.from_config(config)])


@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_a_run_goes_on_with_the_structure_it_had(tmp_path, factor):
    path = tmp_path / "run.safetensors"

    class Save(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.save(path)

    class Seeded(Move):
        """Draws by the epoch, so that what it remembers is which epochs it has been told of."""

        def get_state(self):
            return {"draws": "by epoch"}

        def set_state(self, state):
            pass

        def on_epoch_end(self, epoch, logs=None):
            self.rng = np.random.default_rng(epoch)
            self.move()

    whole, part = network(), network()
    whole.fit(X, LABELS, epochs=4, verbose=0, callbacks=[Seeded(factor=factor), Save()])
    part.fit(X, LABELS, epochs=4, verbose=0, callbacks=[Seeded(factor=factor)], resume=path)
    assert same(whole.get_weights(), part.get_weights())
    assert part.layers[0].pattern.equals(whole.layers[0].pattern)


def rewritten(path, change):
    """The file with one tensor changed, its checksum made anew."""
    from fastnn import _safetensors

    with open(path, "rb") as file:
        header = _safetensors.read_header(file)
        tensors = {name: array.copy() for name, array in _safetensors.read_tensors(file, header).items()}
    change(tensors)
    path.write_bytes(_safetensors.encode(header.record, tensors))


@pytest.mark.parametrize(("name", "place", "value", "message"), [
    ("indptr", 0, 1, "begin with 0"), ("indptr", 3, 10**6, "must not decrease"), ("indptr", -1, 209, "must end with"),
    ("indices", 5, 70, r"in \[0, 70\)"), ("indices", 5, -1, r"in \[0, 70\)"), ("indices", 5, None, "ascending"),
])
def test_files_with_a_broken_structure_are_refused(tmp_path, name, place, value, message):
    path = tmp_path / "model.safetensors"
    model = network()
    model.build((30,))
    model.save(path)

    def change(tensors):
        array = tensors[f"layers.sparse_dense.kernel.{name}"]
        array[place] = array[place - 1] if value is None else value

    rewritten(path, change)
    with pytest.raises(fnn.ModelFormatError, match=message):
        fnn.load_model(path)


def test_files_with_tensors_of_other_sizes_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    model = network()
    model.build((30,))
    for name, array in [("kernel", np.ones(209, np.float32)), ("kernel.indptr", np.zeros(30, np.int64)),
                        ("kernel.indices", np.zeros(3, np.int32)), ("kernel.indices", np.zeros(210, np.int64)),
                        ("kernel.indices", np.zeros((210, 1), np.int32))]:
        model.save(path)
        rewritten(path, lambda tensors, name=name, array=array: tensors.update({f"layers.sparse_dense.{name}": array}))
        with pytest.raises(fnn.ModelFormatError):
            fnn.load_model(path)


def test_the_file_has_plain_arrays(tmp_path):
    path = tmp_path / "model.safetensors"
    model = network()
    model.build((30,))
    model.save(path)
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    prefix = "layers.sparse_dense."
    kinds = {name.removeprefix(prefix): (entry["dtype"], entry["shape"]) for name, entry in header.items()
             if name.startswith(prefix)}
    assert kinds == {"kernel": ("F32", [210]), "kernel.indptr": ("I64", [31]), "kernel.indices": ("I32", [210]),
                     "bias": ("F32", [70])}


# ---- with the rest of the package ------------------------------------------------------------------------------


def test_weights_are_carried_over_where_the_positions_are_the_same():
    model, same_seed, other = network(seed=1), network(seed=1), network(seed=2)
    for each in (model, same_seed, other):
        each.build((30,))
    model.fit(X, LABELS, verbose=0)
    fnn.weights.transfer(model, same_seed)
    assert same([model.predict(X)], [same_seed.predict(X)])
    before = other.get_weights()
    with pytest.raises(ValueError, match="the positions of their entries differ"):
        fnn.weights.transfer(model, other)
    assert same(before, other.get_weights())


def test_entries_are_pruned_as_weights_are():
    model = network()
    model.build((30,))
    fnn.weights.prune(model, 0.95, layers=[model.layers[0]])  # the positions without an entry count
    held = model.layers[0].kernel.data == 0
    assert held.sum() == 105
    model.fit(X, LABELS, verbose=0)
    assert np.array_equal(model.layers[0].kernel.data == 0, held)
    pattern = random_pattern((30, 70), 210, 4)
    places = pattern.places_in(model.layers[0].pattern)
    model.layers[0].set_structure(pattern, np.ones(210))
    assert np.array_equal(model.layers[0].kernel.data == 0, (places >= 0) & held[places])
    for method in ("structured", "2:4"):
        with pytest.raises(ValueError, match="SparseDense layers have none"):
            fnn.weights.prune(model, *([0.5] if method == "structured" else []), method=method,
                              layers=[model.layers[0]])


def test_the_diagnosis_knows_the_number_of_connections():
    model = fnn.Sequential([SparseDense(200, "relu", density=0.05, kernel_initializer="he_normal"), Dense(4)], seed=0)
    model.compile("sgd", "mse")
    model.build((300,))
    fans = model.layers[0].fans
    assert fans == (15.0, 10.0)
    report = fnn.weights.diagnose_gradients(model, rng.standard_normal((50, 300)), rng.standard_normal((50, 4)))
    assert "kernel_initializer" not in str(report)
