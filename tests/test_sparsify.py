"""Dense models that become sparse: the same function, the same training from there on."""

import copy
import doctest

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers
from fastnn.layers import Dense, Dropout, SparseDense


def data(n=96, n_in=12, classes=3):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, n_in)), rng.integers(classes, size=n)


def dense_model(optimizer="adam", **kwargs):
    model = fnn.Sequential([fnn.Input((12,)), Dense(20, "tanh", **kwargs), Dropout(0.2), Dense(15, "relu"),
                            Dense(3, "softmax")], seed=0, dtype="float64")
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model, epochs=2, **kwargs):
    return model.fit(*data(), epochs=epochs, batch_size=16, verbose=0, **kwargs)


OPTIMIZERS = {
    "adam": lambda: fnn.optimizers.Adam(0.01),
    "momentum": lambda: fnn.optimizers.SGD(0.05, momentum=0.9, weight_decay=1e-3),
    "rmsprop": lambda: fnn.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "adagrad": lambda: fnn.optimizers.Adagrad(0.05),
    "ema": lambda: fnn.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "accumulating": lambda: fnn.optimizers.Adam(0.01, gradient_accumulation_steps=4),
    "clipped": lambda: fnn.optimizers.Adam(0.01, clipnorm=0.5),
    "schedule free": lambda: fnn.optimizers.ScheduleFreeAdamW(0.01),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_pruned_model_goes_on_as_before(name):
    """Masked weights and weights that are not there are the same to everything but rounding."""
    model = dense_model(OPTIMIZERS[name]())
    fit(model)
    fnn.weights.prune(model, 0.85, layers=["dense", "dense_1"])
    fit(model, 1)
    sparse = model.sparsify()
    assert [type(layer).__name__ for layer in sparse.layers] == ["SparseDense", "Dropout", "SparseDense", "Dense"]
    assert [layer.name for layer in sparse.layers] == [layer.name for layer in model.layers]
    assert sparse.layers[0].kernel.nnz == round(0.15 * 12 * 20)
    np.testing.assert_array_equal(sparse.layers[0].kernel.toarray(), model.layers[0].kernel)
    x, _ = data()
    np.testing.assert_allclose(sparse.predict(x), model.predict(x), rtol=1e-12)
    # Dropout draws what its number in the program and the step say.
    want, got = fit(model, 3).history["loss"], fit(sparse, 3).history["loss"]
    np.testing.assert_allclose(got, want, rtol=1e-9)
    for a, b in zip(sparse.layers, model.layers, strict=True):
        if isinstance(a, SparseDense):
            np.testing.assert_allclose(a.kernel.toarray(), b.kernel, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("optimizer", ["adafactor", "muon", "lamb"])
def test_optimizers_of_matrices_begin_afresh_for_what_became_sparse(optimizer):
    model = dense_model(optimizer)
    fit(model)
    sparse = model.sparsify(sparsity=0.5, layers=["dense_1"])
    assert np.isfinite(fit(sparse).history["loss"]).all()
    assert sparse._state.step == 24


def test_the_model_stays_as_it_is():
    model = dense_model()
    fit(model)
    weights = model.get_weights()
    sparse = model.sparsify(0.1)
    assert isinstance(sparse, fnn.Sequential) and sparse is not model
    for a, b in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_which_layers():
    model = dense_model()
    assert all(isinstance(layer, (Dense, Dropout)) for layer in model.sparsify().layers)
    assert [layer.kernel.nnz for layer in model.sparsify(sparsity=0.75).layers if isinstance(layer, SparseDense)] \
        == [60, 75, 11]
    fnn.weights.prune(model, 0.5)
    assert not any(isinstance(layer, SparseDense) for layer in model.sparsify().layers)
    one = model.sparsify(layers=[model.layers[2]])
    assert [type(layer).__name__ for layer in one.layers] == ["Dense", "Dropout", "SparseDense", "Dense"]
    assert one.layers[2].kernel.nnz == 150
    # a model that is sparse becomes sparser
    again = one.sparsify(sparsity=0.9, layers=["dense_1"])
    assert again.layers[2].kernel.nnz == 30
    kept = np.abs(one.layers[2].kernel.data)
    assert np.abs(again.layers[2].kernel.data).min() >= np.sort(kept)[-30]
    assert one.sparsify(sparsity=0.1, layers=["dense_1"]).layers[2].kernel.nnz == 150


def test_one_weight_stays():
    model = dense_model(kernel_initializer="zeros")
    sparse = model.sparsify(layers=["dense"])
    assert sparse.layers[0].kernel.nnz == 1
    assert model.sparsify(sparsity=0.9999, layers=["dense"]).layers[0].kernel.nnz == 1


def test_arguments_and_flags_go_along():
    model = dense_model(kernel_regularizer="l1", kernel_constraint="non_neg", use_bias=False, trainable=False)
    model.layers[0].learning_rate_multiplier = 0.5
    layer = model.sparsify(0.1, layers=["dense"]).layers[0]
    assert isinstance(layer, SparseDense) and not layer.trainable and layer.bias is None
    assert layer.learning_rate_multiplier == 0.5
    assert layer.kernel_regularizer.get_config()["name"] == "l1"
    assert layer.activation.name == "tanh"


def test_files_and_copies(tmp_path):
    sparse = dense_model()
    fit(sparse)
    sparse = sparse.sparsify(sparsity=0.8)
    sparse.save(tmp_path / "model.safetensors")
    x, _ = data()
    for other in (fnn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(sparse)):
        np.testing.assert_array_equal(other.predict(x), sparse.predict(x))


def test_layers_that_share_or_stand_inside_others_stay_dense():
    encoder = Dense(6, "tanh", name="encoder")
    model = fnn.Sequential([fnn.Input((12,)), encoder, layers.Residual([Dense(6)]), Dense(12, tied_to=encoder),
                            Dense(12, name="last")], seed=0)
    assert [type(layer).__name__ for layer in model.sparsify(sparsity=0.5).layers] == [
        "Dense", "Residual", "Dense", "SparseDense"]
    with pytest.raises(ValueError, match="'encoder' is no Dense or SparseDense layer that can become sparser"):
        model.sparsify(sparsity=0.5, layers=[encoder])


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"threshold": 0.1, "sparsity": 0.5}, ValueError, "one of threshold and sparsity"),
    ({"sparsity": 1.0}, ValueError, r"sparsity must be in \[0, 1\)"),
    ({"threshold": -1}, ValueError, r"threshold must be in \[0, inf\)"),
    ({"layers": "dense"}, TypeError, "layers must be a list"),
    ({"layers": ["dense_9"]}, ValueError, "dense, dense_1, dense_2"),
    ({"layers": []}, ValueError, "sparsify needs a Dense or SparseDense layer .* There are dense, dense_1, dense_2"),
])  # fmt: skip
def test_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        dense_model().sparsify(**arguments)


def test_a_model_that_cannot_become_sparse_is_refused():
    model = fnn.Sequential([fnn.Input((12,)), layers.Residual([Dense(12)])])
    for arguments in ({}, {"sparsity": 0.5}):
        with pytest.raises(ValueError, match="There are none"):
            model.sparsify(**arguments)


@pytest.mark.parametrize("initializer", ["orthogonal", "identity"])
def test_initializers_of_matrices_are_left_behind(initializer):
    model = fnn.Sequential([fnn.Input((12,)), Dense(12, kernel_initializer=initializer)], seed=0)
    for layer in (SparseDense.from_dense(model.layers[0]), model.sparsify(layers=["dense"]).layers[0]):
        assert isinstance(layer.kernel_initializer, fnn.initializers.GlorotUniform)
        np.testing.assert_array_equal(layer.weights["kernel"], model.layers[0].kernel[model.layers[0].kernel != 0])


@pytest.mark.parametrize("constraint", ["max_norm", "unit_norm", "min_max_norm"])
def test_constraints_of_norms_are_refused_by_name(constraint):
    model = dense_model(kernel_constraint=constraint)
    schedule = fnn.weights.PruningSchedule(0.9, end_step=90, sparse_from=0.8)
    for act in (lambda: model.sparsify(sparsity=0.5), lambda: SparseDense.from_dense(model.layers[0]),
                lambda: fit(model, callbacks=[schedule])):
        with pytest.raises(ValueError, match="kernel_constraint of layer 'dense' must not be of norms"):
            act()
    fit(model, callbacks=[fnn.weights.PruningSchedule(0.9, end_step=9, sparse_from=0.8, layers=["dense_1"])])
    assert isinstance(model.layers[2], SparseDense)


def test_refused_before_it_is_built():
    with pytest.raises(ValueError, match="before it is built"):
        fnn.Sequential([Dense(3)]).sparsify()


def test_example():
    finder = doctest.DocTestFinder()
    runner = doctest.DocTestRunner()
    for test in finder.find(fnn.Sequential.sparsify, "sparsify", globs={"fnn": fnn}):
        assert runner.run(test).failed == 0
