"""L-BFGS: the trajectory of scipy on the NumPy twin and of scikit-learn, what it leaves, what it refuses."""

import math
import signal
import threading
from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize

import fastnn as fnn
from fastnn import callbacks, layers, reference
from fastnn.optimizers import LBFGS


def classifier(optimizer=None, dtype="float64", hidden=7, regularizer=None, seed=1):
    model = fnn.Sequential([fnn.Input((6,)), layers.Dense(hidden, activation="tanh", kernel_regularizer=regularizer),
                            layers.Dense(4, activation="softmax")], seed=seed, dtype=dtype)
    model.compile(optimizer or LBFGS(), "sparse_categorical_crossentropy")
    return model


def data(n=150, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6)), rng.integers(0, 4, n)


class Twin:
    """Mean loss and gradient of the classifier in NumPy, over one vector of all weights."""

    def __init__(self, model, x, y, l2=0.0):
        self.shapes, self.x, self.y, self.l2 = [w.shape for w in model.get_weights()], x, y, l2

    def weights(self, vector):
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(vector, ends), self.shapes, strict=True)]

    def __call__(self, vector):
        w1, b1, w2, b2 = self.weights(vector)
        hidden = reference.dense_forward(self.x, w1, b1, "tanh")
        logits = reference.dense_forward(hidden, w2, b2)
        losses, dlogits = reference.softmax_crossentropy(logits, self.y)
        dhidden, dw2, db2 = reference.dense_backward(dlogits / len(self.x), hidden, w2)
        _, dw1, db1 = reference.dense_backward(dhidden, self.x, w1, hidden, "tanh", need_dx=False)
        loss = losses.mean() + self.l2 * np.sum(w1**2)
        return loss, np.concatenate([a.ravel() for a in (dw1 + 2 * self.l2 * w1, db1, dw2, db2)])


def vector_of(model):
    return np.concatenate([w.ravel() for w in model.get_weights()])


@pytest.mark.parametrize("l2", [0.0, 0.01])
@pytest.mark.parametrize("history", [10, 3])
def test_is_scipy_on_the_twin(l2, history):
    x, y = data()
    model = classifier(LBFGS(max_iter=1, history_size=history), regularizer=fnn.regularizers.L2(l2) if l2 else None)
    twin, start, wanted = Twin(model, x, y, l2), vector_of(model), []
    minimize(twin, start, jac=True, method="L-BFGS-B", callback=lambda v: wanted.append(v.copy()),
             options={"maxiter": 25, "gtol": 1e-5, "ftol": 2.2e-9, "maxcor": history, "maxls": 20})
    found = []
    model.fit(x, y, epochs=25, verbose=0, callbacks=[
        callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: found.append(vector_of(model)))])
    assert len(found) == len(wanted) == 25
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8 * np.abs(b).max())
    np.testing.assert_allclose(model.history.history["loss"][-1], twin(wanted[-1])[0], rtol=1e-9)


def test_is_that_of_scikit_learn():
    networks = pytest.importorskip("sklearn.neural_network")
    x, y = data()
    model = classifier(LBFGS(max_iter=30))
    theirs = networks.MLPClassifier((7,), "tanh", solver="lbfgs", alpha=0.0, max_iter=1, warm_start=True, tol=1e-5)
    w1, b1, w2, b2 = model.get_weights()
    warned = partial(pytest.warns, UserWarning, match="failed to converge")
    with warned():
        theirs.fit(x, y)
    theirs.coefs_, theirs.intercepts_, theirs.max_iter = [w1.copy(), w2.copy()], [b1.copy(), b2.copy()], 30
    with warned():
        theirs.fit(x, y)
    model.fit(x, y, verbose=0)
    w1, b1, w2, b2 = model.get_weights()
    for a, b in zip([w1, w2, b1, b2], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(x), theirs.predict_proba(x), rtol=1e-5, atol=1e-7)


def test_it_converges_and_stops():
    x = np.random.default_rng(0).normal(size=(80, 3))
    y = x @ [1.0, -2.0, 0.5] + 3
    model = fnn.Sequential([layers.Dense(1)], seed=0, dtype="float64")
    model.compile(LBFGS(max_iter=3), "mse", metrics=["mae"])
    history = model.fit(x, y, epochs=100, verbose=0)
    assert len(history.epoch) < 20
    assert history.history["loss"][-1] < 1e-8
    assert sorted(history.history) == ["loss", "mae"]
    np.testing.assert_allclose(model.layers[0].kernel[:, 0], [1.0, -2.0, 0.5], atol=1e-4)
    again = model.fit(x, y, epochs=100, verbose=0)
    assert len(again.epoch) == 1


@pytest.mark.parametrize("n_threads", [1, 2])
def test_bits_do_not_depend_on_threads_or_epochs(n_threads):
    x, y = data(300)
    one, many = classifier(LBFGS(max_iter=24), "float32", 65), classifier(LBFGS(max_iter=6), "float32", 65)
    one.fit(x, y, verbose=0, n_threads=1)
    many.fit(x, y, epochs=4, verbose=0, n_threads=n_threads)
    assert np.array_equal(vector_of(one), vector_of(many))


def test_frozen_layers_stay_and_pruned_weights_stay_zero():
    x, y = data()
    model = classifier()
    model.layers[0].trainable = False
    before = model.layers[0].kernel.copy()
    fnn.weights.prune(model, 0.5, layers=["dense_1"])
    zeros = model.layers[1].kernel == 0
    loss = model.evaluate(x, y)
    model.fit(x, y, verbose=0)
    assert np.array_equal(model.layers[0].kernel, before)
    assert zeros.any() and np.all(model.layers[1].kernel[zeros] == 0)
    assert model.evaluate(x, y) < loss


def test_nothing_to_train():
    x, y = data()
    model = classifier()
    for layer in model.layers:
        layer.trainable = False
    before = vector_of(model)
    model.fit(x, y, verbose=0)
    assert np.array_equal(vector_of(model), before)


def test_callbacks_of_batches_are_called_after_each_iteration():
    x, y = data()
    model, told = classifier(LBFGS(max_iter=5)), []
    call = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: told.append((batch, logs["loss"])))
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[call], validation_data=(x, y))
    assert [batch for batch, _ in told] == [*range(5)] * 2
    losses = [loss for _, loss in told]
    assert losses == sorted(losses, reverse=True)
    assert history.history["loss"] == [losses[4], losses[9]]
    np.testing.assert_allclose(history.history["val_loss"], history.history["loss"], rtol=1e-12)


def test_early_stopping():
    x, y = data(40)
    model = classifier(LBFGS(max_iter=1))
    stopping = callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    history = model.fit(x, y, epochs=200, verbose=0, validation_data=data(40, seed=5), callbacks=[stopping])
    assert len(history.epoch) < 100
    assert model.evaluate(*data(40, seed=5)) == pytest.approx(min(history.history["val_loss"]), rel=1e-12)


def test_an_interrupt_leaves_the_best_weights():
    x, y = data(20_000)
    model = classifier(LBFGS(max_iter=10**6, tol=0.0, ftol=0.0), hidden=64)
    losses = []

    def note(batch, logs):
        losses.append(logs["loss"])
        if batch == 2:
            threading.Timer(0.02, signal.raise_signal, [signal.SIGINT]).start()

    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0, callbacks=[callbacks.LambdaCallback(on_train_batch_end=note)])
    assert model.evaluate(x, y) <= min(losses) * (1 + 1e-12)
    assert not any("_minimize" in thread.name for thread in threading.enumerate())
    assert model._search is None
    model.fit(x[:100], y[:100], verbose=0)


def test_a_loss_that_is_not_finite():
    model = fnn.Sequential([layers.Dense(1)], seed=0, dtype="float64")
    model.compile(LBFGS(), "mse")
    model.build((1,))
    before = vector_of(model)
    with pytest.raises(fnn.DivergenceError, match="line search"):
        model.fit(np.full((4, 1), 1e200), np.ones(4), verbose=0)
    assert np.array_equal(vector_of(model), before)


@pytest.mark.parametrize(("layer", "message"), [
    (lambda: layers.Dropout(0.5), "class Dropout changes while it trains"),
    (layers.BatchNormalization, "class BatchNormalization changes while it trains"),
    (lambda: layers.Dense(3, kernel_constraint="non_neg"), "knows no constraints"),
])
def test_layers_refused(layer, message):
    model = fnn.Sequential([layer(), layers.Dense(1)], seed=0)
    model.compile(LBFGS(), "mse")
    with pytest.raises(ValueError, match=message):
        model.fit(np.ones((4, 2)), np.ones(4), verbose=0)


def test_other_uses_refused(tmp_path):
    x, y = data()
    model = classifier()
    with pytest.raises(ValueError, match="call fit"):
        model.train_on_batch(x, y)
    with pytest.raises(ValueError, match="received a stream"):
        model.fit(lambda: iter([(x, y)]), verbose=0)
    with pytest.raises(ValueError, match="cannot go on from a file"):
        model.fit(x, y, verbose=0, resume=tmp_path / "run.safetensors")
    with pytest.raises(TypeError, match="has no learning_rate"):
        model.optimizer.learning_rate = 0.1
    with pytest.raises(TypeError, match="has no weight_decay"):
        model.optimizer.weight_decay = 0.1


@pytest.mark.parametrize("arguments", [{"max_iter": 0}, {"tol": -1.0}, {"ftol": math.nan}, {"history_size": 0},
                                       {"max_line_search": 0}])
def test_values_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        LBFGS(**arguments)


def test_saved_with_the_model(tmp_path):
    x, y = data()
    model = classifier(LBFGS(max_iter=3, history_size=4))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert np.array_equal(vector_of(model), vector_of(again))
    again.fit(x, y, verbose=0)


def test_options_of_the_others_are_refused():
    for options in ({"clipnorm": 1}, {"learning_rate": 0.1}, {"gradient_accumulation_steps": 2}):
        message = f"LBFGS has no argument '{next(iter(options))}'.*Allowed: max_iter, tol, ftol"
        with pytest.raises(TypeError, match=message):
            LBFGS(**options)
    with pytest.raises(TypeError, match=r"no argument 'maxiter'. Did you mean 'max_iter'\?"):
        LBFGS(maxiter=3)
    assert fnn.optimizers.get(LBFGS(max_iter=3).get_config()).get_config() == LBFGS(3).get_config()
    assert "unknown" not in repr(LBFGS())
