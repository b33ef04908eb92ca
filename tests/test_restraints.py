"""Regularizers and constraints in training: the loss, the gradient, the update, and what does not change a bit."""

import copy
import pickle

import numpy as np
import pytest

import fastnn as fnn
from fastnn import constraints, regularizers
from fastnn.layers import (
    Activation,
    ActivityRegularization,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNormalization,
    MaxPooling2D,
    PReLU,
    Residual,
)
from fastnn.regularizers import L1, L1L2, L2, OrthogonalRegularizer

THREADS = (1, 2, 3, 4, 8)


class Cauchy(regularizers.Regularizer):
    """A user's regularizer."""

    name = "cauchy"

    def __init__(self, factor=0.01):
        self.factor = factor

    def __call__(self, x):
        return self.factor * np.log1p(x**2).sum()

    def gradient(self, x):
        return self.factor * 2 * x / (1 + x**2)


class Between(constraints.Constraint):
    """A user's constraint."""

    name = "between"

    def __init__(self, low=-0.2, high=0.2):
        self.low, self.high = low, high

    def __call__(self, w):
        return np.clip(w, self.low, self.high)


REGULARIZERS = {
    "l1": L1(0.02),
    "l2": L2(0.03),
    "both": L1L2(0.02, 0.03),
    "rows": OrthogonalRegularizer(0.7),
    "columns": OrthogonalRegularizer(0.7, "columns"),
    "own": Cauchy(0.1),
}
CONSTRAINTS = {
    "max": constraints.MaxNorm(0.7),
    "max of rows": constraints.MaxNorm(0.7, axis=1),
    "max of all": constraints.MaxNorm(0.7, axis=None),
    "min max": constraints.MinMaxNorm(0.6, 0.9, 0.5),
    "unit": constraints.UnitNorm(),
    "non negative": constraints.NonNeg(),
    "own": Between(),
}


def data(n=40, features=9, outputs=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, features)), rng.normal(size=(n, outputs))


def build(*layers, shape=(9,), dtype="float64", optimizer="adam", loss="mse"):
    model = fnn.Sequential([fnn.Input(shape), *layers], seed=0, dtype=dtype)
    model.compile(optimizer, loss)
    return model


def wide(**keywords):
    """Kernels of more than one granule both ways."""
    return build(Dense(90, "tanh", **keywords), Dense(3), shape=(70,))


def randomized(model, seed=1):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) * 0.5 for w in model.get_weights()])
    return model


# ---- loss --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REGULARIZERS)
def test_the_loss_has_the_penalty_before_the_step(case):
    regularizer = REGULARIZERS[case]
    vector = case not in ("rows", "columns")
    with_penalty = randomized(wide(kernel_regularizer=regularizer, bias_regularizer=regularizer if vector else None))
    without = randomized(wide())
    x, y = data(features=70)
    kernel, bias = with_penalty.layers[0].kernel.copy(), with_penalty.layers[0].bias.copy()
    penalty = regularizer(kernel) + (regularizer(bias) if vector else 0)
    assert penalty > 0.01
    want = without.evaluate(x, y) + penalty
    assert with_penalty.evaluate(x, y) == pytest.approx(want, rel=1e-13)
    assert with_penalty.test_on_batch(x, y) == pytest.approx(want, rel=1e-13)
    assert with_penalty.train_on_batch(x, y) == pytest.approx(want, rel=1e-13)


def test_the_loss_of_an_epoch_weighs_batches_by_their_rows():
    model = randomized(wide(kernel_regularizer=L2(0.1)))
    twin = copy.deepcopy(model)
    x, y = data(n=40, features=70)
    loss = model.fit(x, y, batch_size=16, shuffle=False, verbose=0).history["loss"][0]
    losses = [twin.train_on_batch(x[i:i + 16], y[i:i + 16]) for i in (0, 16, 32)]
    assert loss == pytest.approx((16 * losses[0] + 16 * losses[1] + 8 * losses[2]) / 40, rel=1e-13)


def test_validation_has_it_too():
    model = randomized(wide(kernel_regularizer=L2(0.1)))
    x, y = data(features=70)
    history = model.fit(x, y, epochs=1, verbose=0, validation_data=(x, y)).history
    assert history["val_loss"][0] == pytest.approx(model.evaluate(x, y), rel=1e-14)


def test_activities_are_summed_over_a_row_and_averaged_over_rows():
    model = randomized(build(Dense(5, "tanh", activity_regularizer=L1L2(0.2, 0.3)), Dense(3)))
    x, y = data()
    activities = np.tanh(x @ model.layers[0].kernel + model.layers[0].bias)
    penalty = (0.2 * np.abs(activities).sum() + 0.3 * (activities**2).sum()) / len(x)
    want = ((model.predict(x) - y) ** 2).mean() + penalty
    assert model.evaluate(x, y) == pytest.approx(want, rel=1e-13)
    assert model.train_on_batch(x, y) == pytest.approx(want, rel=1e-13)


def test_sample_weights_do_not_weigh_penalties():
    model = randomized(build(Dense(3, activity_regularizer=L2(0.3), kernel_regularizer=L2(0.1))))
    x, y = data()
    weight = np.linspace(0, 2, len(x))
    out = model.predict(x)
    want = (weight * ((out - y) ** 2).mean(axis=1)).mean() + 0.3 * (out**2).sum() / len(x)
    want += 0.1 * (model.layers[0].kernel ** 2).sum()
    assert model.evaluate(x, y, sample_weight=weight) == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"])
def test_a_regularized_ending_is_not_taken_over_by_the_loss(loss):
    activation = "sigmoid" if loss == "binary_crossentropy" else "softmax"
    plain = randomized(build(Dense(3, activation), loss=loss))
    model = randomized(build(Dense(3, activation, activity_regularizer=L2(0.5)), loss=loss))
    x, _ = data()
    y = np.arange(len(x)) % 3
    y = y if loss.startswith("sparse") else np.eye(3)[y]
    penalty = 0.5 * (model.predict(x) ** 2).sum() / len(x)
    assert model.evaluate(x, y) == pytest.approx(plain.evaluate(x, y) + penalty, rel=1e-9)


def test_the_layer_of_its_own():
    x, y = data()
    model = randomized(build(Dense(5), Activation("tanh"), ActivityRegularization(0.2, 0.3), Dense(3)))
    twin = randomized(build(Dense(5), Activation("tanh"), Dense(3)))
    hidden = np.tanh(x @ model.layers[0].kernel + model.layers[0].bias)
    penalty = (0.2 * np.abs(hidden).sum() + 0.3 * (hidden**2).sum()) / len(x)
    assert model.evaluate(x, y) == pytest.approx(twin.evaluate(x, y) + penalty, rel=1e-13)
    assert model.get_config()["layers"][2]["config"] == {"l1": 0.2, "l2": 0.3, "name": "activity_regularization"}


# ---- gradient ----------------------------------------------------------------------------------------------


def check_gradients(model, x, y, step=1e-5):
    flat = np.concatenate([g.ravel() for g in model.gradients(x, y)])
    weights = model.get_weights()
    sizes = np.cumsum([w.size for w in weights])[:-1]
    start = np.concatenate([w.ravel() for w in weights])
    trained = np.concatenate([np.full(w.size, not name.startswith("moving"))
                              for layer in model._leaves() for name, w in layer.weights.items()])
    for i in np.random.default_rng(0).choice(np.flatnonzero(trained), min(trained.sum(), 60), replace=False):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved[i] += sign * step
            model.set_weights([part.reshape(w.shape) for part, w in zip(np.split(moved, sizes), weights, strict=True)])
            ends.append(model.evaluate(x, y))
        assert flat[i] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-7), i
    model.set_weights(weights)


@pytest.mark.parametrize("case", REGULARIZERS)
def test_gradients_of_weights(case):
    vector = case not in ("rows", "columns")
    regularizer = REGULARIZERS[case]
    model = wide(kernel_regularizer=regularizer, bias_regularizer=regularizer if vector else None)
    check_gradients(randomized(model), *data(features=70))


@pytest.mark.parametrize("where", ["inside", "end", "softmax", "linear end", "layer", "residual", "dropout"])
def test_gradients_of_activities(where):
    penalty = L1L2(0.2, 0.3)
    x, y = data()
    layers = {
        "inside": [Dense(5, "gelu", activity_regularizer=penalty), Dense(3, "tanh", activity_regularizer=penalty),
                   Dense(3)],
        "end": [Dense(5, "relu"), Dense(3, "tanh", activity_regularizer=penalty)],
        "softmax": [Dense(5, "tanh"), Dense(3, "softmax", activity_regularizer=penalty)],
        "linear end": [Dense(3, activity_regularizer=penalty)],
        "layer": [Dense(5), Activation("silu"), ActivityRegularization(0.2, 0.3), Dense(3)],
        "residual": [Dense(5, "tanh"), Residual([ActivityRegularization(0.1, 0.2), Dense(5, "tanh",
                     activity_regularizer=penalty)]), ActivityRegularization(0.3), Dense(3)],
        "dropout": [Dense(5, "tanh", activity_regularizer=penalty), Dropout(0.5), Dense(3)],
    }  # fmt: skip
    check_gradients(randomized(build(*layers[where])), x, y)


def test_gradients_of_an_embedding():
    model = build(Embedding(50, 7, embeddings_regularizer="l2"), Flatten(), Dense(3), shape=(4,))
    x = np.random.default_rng(0).integers(0, 50, (40, 4))
    check_gradients(randomized(model), x, data()[1])


@pytest.mark.parametrize("where", ["batch", "layer", "prelu", "prelu of images"])
def test_gradients_of_normalizing_layers(where):
    penalty = L1L2(0.2, 0.3)
    vectors = {"gamma_regularizer": penalty, "beta_regularizer": penalty}
    layers = {
        "batch": [Dense(90, activity_regularizer=penalty), BatchNormalization(**vectors), Activation("relu"),
                  ActivityRegularization(0.1), Dropout(0.5), ActivityRegularization(0.1, 0.1), Dense(3)],
        "layer": [Dense(90), LayerNormalization(**vectors), ActivityRegularization(0.1), Dense(3)],
        "prelu": [Dense(90), PReLU(alpha_regularizer=penalty), Dense(3)],
        "prelu of images": [PReLU(alpha_regularizer=penalty), Flatten(), Dense(3)],
    }  # fmt: skip
    images = where == "prelu of images"
    model = build(*layers[where], shape=(10, 15, 7) if images else (9,))
    x, y = data()
    x = np.random.default_rng(0).normal(size=(40, 10, 15, 7)) if images else x
    randomized(model)
    for name, value in model.layers[1].weights.items():
        if name == "moving_variance":
            value[...] = np.abs(value) + 0.5
    check_gradients(model, x, y)


def convolutional(dtype="float64"):
    options = {"kernel_regularizer": L1L2(0.02, 0.03), "bias_regularizer": L2(0.1), "activity_regularizer": L2(0.01),
               "kernel_constraint": constraints.MaxNorm(0.1, axis=[0, 1, 2]), "bias_constraint": "non_neg"}
    return build(Conv2D(70, 3, activation="tanh", **options), MaxPooling2D(2), Conv2D(6, 2, **options), Flatten(),
                 Dense(3), shape=(9, 8, 5), dtype=dtype)  # fmt: skip


def test_gradients_of_filters():
    x = np.random.default_rng(0).normal(size=(12, 9, 8, 5))
    check_gradients(randomized(convolutional()), x, data(n=12)[1])


def test_filters_are_constrained_and_no_bit_depends_on_threads():
    x, y = np.random.default_rng(0).normal(size=(40, 9, 8, 5)), data()[1]
    results = []
    for threads in THREADS:
        model = convolutional("float32")
        losses = model.fit(x, y, epochs=2, batch_size=16, verbose=0, n_threads=threads).history["loss"]
        results.append((losses, [w.tobytes() for w in model.get_weights()]))
    assert all(result == results[0] for result in results)
    norms = np.sqrt((model.layers[0].kernel ** 2).sum(axis=(0, 1, 2)))
    assert norms.max() <= 0.1 + 1e-6  # 0.38 without the constraint
    assert (model.layers[2].bias >= 0).all()


def test_normalizing_layers_have_penalties_and_constraints():
    x, y = data()
    options = {"gamma_regularizer": L2(0.5), "beta_constraint": constraints.NonNeg(),
               "gamma_constraint": constraints.MaxNorm(1.0)}
    model = build(Dense(90), BatchNormalization(**options), Activation("tanh"), LayerNormalization(**options),
                  PReLU(alpha_constraint="non_neg"), Dense(3))
    losses = model.fit(x, y, epochs=3, batch_size=16, verbose=0).history["loss"]
    assert losses[2] < losses[0]
    for layer in (model.layers[1], model.layers[3]):
        assert np.linalg.norm(layer.gamma) <= 1 + 1e-6
        assert (layer.beta >= 0).all()
    assert (model.layers[4].alpha >= 0).all()
    plain = build(Dense(90), BatchNormalization(), Activation("tanh"), LayerNormalization(), PReLU(), Dense(3))
    plain.set_weights(model.get_weights())
    penalty = sum(0.5 * (model.layers[i].gamma ** 2).sum() for i in (1, 3))
    assert model.evaluate(x, y) == pytest.approx(plain.evaluate(x, y) + penalty, rel=1e-13)


def test_frozen_weights_have_no_penalty_but_their_activities_do():
    x, y = data()
    frozen = randomized(build(Dense(5, "tanh", kernel_regularizer=L2(0.5), trainable=False), Dense(3)))
    plain = randomized(build(Dense(5, "tanh"), Dense(3)))
    assert frozen.evaluate(x, y) == plain.evaluate(x, y)
    assert frozen.train_on_batch(x, y) == plain.train_on_batch(x, y)
    frozen = randomized(build(Dense(5, "tanh", activity_regularizer=L2(0.5), trainable=False), Dense(3)))
    assert frozen.evaluate(x, y) > randomized(plain).evaluate(x, y) + 0.1


# ---- constraints -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CONSTRAINTS)
def test_weights_are_constrained_after_the_step(case):
    constraint = CONSTRAINTS[case]
    x, y = data(features=70)
    vector = case != "max of rows"
    model = randomized(wide(kernel_constraint=constraint, bias_constraint=constraint if vector else None))
    plain = randomized(wide())
    model.train_on_batch(x, y)
    plain.train_on_batch(x, y)
    np.testing.assert_allclose(model.layers[0].kernel, constraint(plain.layers[0].kernel), rtol=1e-13, atol=1e-15)
    if vector:
        np.testing.assert_allclose(model.layers[0].bias, constraint(plain.layers[0].bias), rtol=1e-13, atol=1e-15)
    assert np.array_equal(model.layers[1].kernel, plain.layers[1].kernel)


def test_the_next_step_sees_the_constrained_kernel():
    """In the input gradient too, which reads a transposed copy."""
    middle = Dense(30, "tanh", kernel_constraint=constraints.MaxNorm(0.1))
    model = randomized(build(Dense(20, "tanh"), middle, Dense(3)))
    twin = copy.deepcopy(model)
    x, y = data(n=24)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for i in range(0, 24, 8):
        twin.train_on_batch(x[i:i + 8], y[i:i + 8])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin.get_weights(), strict=True))


def test_frozen_weights_are_not_constrained():
    x, y = data()
    model = randomized(build(Dense(5, kernel_constraint=constraints.UnitNorm(), trainable=False), Dense(3)))
    before = model.layers[0].kernel.copy()
    model.train_on_batch(x, y)
    assert np.array_equal(model.layers[0].kernel, before)


@pytest.mark.parametrize("case", CONSTRAINTS)
def test_weights_of_zero_stay_finite(case):
    model = wide(kernel_constraint=CONSTRAINTS[case])
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    x, y = data(features=70)
    model.fit(x, y, epochs=2, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


# ---- the same bits -----------------------------------------------------------------------------------------


def with_everything(dtype="float32"):
    first = {"kernel_regularizer": OrthogonalRegularizer(0.1), "bias_regularizer": Cauchy(),
             "activity_regularizer": "l1", "kernel_constraint": constraints.MaxNorm(0.9), "bias_constraint": Between()}
    middle = {"kernel_regularizer": L1L2(1e-3, 1e-3), "bias_regularizer": "l2",
              "kernel_constraint": constraints.MinMaxNorm(0.2, 0.8, 0.5, axis=1)}
    last = {"kernel_regularizer": OrthogonalRegularizer(0.1, "columns"),
            "kernel_constraint": constraints.MaxNorm(2, None)}
    return build(Dense(150, "tanh", **first), Dense(130, "relu", **middle), Dense(3, **last), shape=(75,), dtype=dtype)


def everything(threads, dtype="float32"):
    model = with_everything(dtype)
    x, y = data(n=100, features=75)
    history = model.fit(x, y, epochs=3, batch_size=32, verbose=0, n_threads=threads)
    return model, history.history["loss"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(dtype):
    one, losses = everything(1, dtype)
    for n in THREADS[1:]:
        model, others = everything(n, dtype)
        assert others == losses
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), one.get_weights(), strict=True))


def test_train_on_batch_is_the_step_of_fit():
    model, twin = with_everything(), with_everything()
    x, y = data(n=100, features=75)
    model.fit(x, y, epochs=3, batch_size=32, shuffle=False, verbose=0)
    for _ in range(3):
        for i in range(0, 100, 32):
            twin.train_on_batch(x[i:i + 32], y[i:i + 32])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin.get_weights(), strict=True))


@pytest.mark.parametrize("optimizer", [
    fnn.optimizers.Adam(global_clipnorm=0.05), fnn.optimizers.SGD(0.1, clipvalue=1e-3), fnn.optimizers.Muon(),
    fnn.optimizers.Adam(gradient_accumulation_steps=2), fnn.optimizers.Adam(use_ema=True)], ids=lambda o: o.name)
def test_options_of_optimizers_see_whole_gradients_with_penalties(optimizer):
    def make(regularizer, threads):
        model = randomized(build(Dense(90, "tanh", kernel_regularizer=regularizer), Dense(3), shape=(70,),
                                 optimizer=fnn.optimizers.get(optimizer.get_config())))
        x, y = data(n=48, features=70)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, n_threads=threads)
        return model.get_weights()

    orthogonal, plain = make(OrthogonalRegularizer(5.0), 1), make(None, 1)
    assert not np.array_equal(orthogonal[0], plain[0])
    for threads in (2, 3):
        again = make(OrthogonalRegularizer(5.0), threads)
        assert all(np.array_equal(a, b) for a, b in zip(orthogonal, again, strict=True))
    # Two ways to the same penalty: one in the units, one written in Python.
    class Same(L2):
        name = "same"

    for a, b in zip(make(L2(0.25), 1), make(Same(0.25), 2), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_ridge_regression_by_lbfgs():
    x, y = data(n=200, outputs=1)
    model = build(Dense(1, use_bias=False, kernel_regularizer=L2(0.3)), optimizer=fnn.optimizers.LBFGS())
    model.fit(x, y, epochs=50, verbose=0)
    want = np.linalg.solve(x.T @ x / 200 + 0.3 * np.eye(9), x.T @ y / 200)
    np.testing.assert_allclose(model.layers[0].kernel, want, rtol=1e-4, atol=1e-6)


# ---- names, files, errors ----------------------------------------------------------------------------------


def test_arguments_of_dense():
    layer = Dense(3, kernel_regularizer="l2", bias_regularizer=L1, activity_regularizer={"name": "l1", "l1": 0.5},
                  kernel_constraint="max_norm", bias_constraint=constraints.NonNeg())
    config = layer.get_config()
    assert config["kernel_regularizer"] == {"name": "l2", "l2": 0.01}
    assert config["kernel_constraint"] == {"name": "max_norm", "max_value": 2.0, "axis": 0}
    again = Dense.from_config(config)
    assert again.get_config() == config
    assert repr(again.activity_regularizer) == "L1(l1=0.5)"


def test_files_and_copies_keep_them(tmp_path):
    model, _ = everything(1)
    x, y = data(n=100, features=75)
    model.save(tmp_path / "model.safetensors")
    same = fnn.load_model(tmp_path / "model.safetensors", custom_objects={"Cauchy": Cauchy, "Between": Between})
    for other in (same, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.evaluate(x, y) == model.evaluate(x, y)
        again = copy.deepcopy(model)
        for m in (again, other):
            m.fit(x, y, epochs=1, verbose=0)
        assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), other.get_weights(), strict=True))


class Wrong(Cauchy):
    def __init__(self, what="raises"):
        super().__init__()
        self.what = what

    def gradient(self, x):
        if self.what == "raises":
            raise KeyError("mine")
        return np.zeros(3)


class Bad(constraints.Constraint):
    name = "bad"

    def __init__(self, value=None):
        self.value = value

    def __call__(self, w):
        return self.value if self.value is not None else w * np.nan


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"kernel_regularizer": Wrong()}, KeyError, "mine"),
    ({"kernel_regularizer": Wrong("shape")}, ValueError, r"gradient of Wrong must return .* \(9, 40\); .* \(3,\)"),
    ({"kernel_constraint": Bad()}, ValueError, "Bad must return finite numbers"),
    ({"kernel_constraint": Bad(3)}, ValueError, r"Bad must return real numbers of shape \(9, 40\); .* \(\)"),
])  # fmt: skip
def test_errors_of_user_code_arrive(arguments, error, message, threads):
    model = build(Dense(40, **arguments), Dense(3))
    x, y = data()
    with pytest.raises(error, match=message):
        model.fit(x, y, verbose=0, n_threads=threads)
    assert all(np.isfinite(w).all() for w in model.get_weights())


class FailingConstraint(constraints.Constraint):
    name = "failing"

    def __init__(self, calls=0):
        self.calls = calls

    def __call__(self, w):
        self.calls -= 1
        if self.calls == 0:
            raise KeyError("mine")
        return w * 0.5


class FailingPenalty(Cauchy):
    def __init__(self, calls=0):
        super().__init__()
        self.calls = calls

    def gradient(self, x):
        self.calls -= 1
        if self.calls == 0:
            raise KeyError("mine")
        return super().gradient(x)


def test_what_errors_of_restraints_leave_behind():
    """A penalty's: the weights of the last whole step. A constraint's: those after the step, without the constraint."""
    x, y = data()
    for make, steps, factor in ((FailingPenalty, 2, 1.0), (FailingConstraint, 3, 0.5)):
        role = "kernel_regularizer" if make is FailingPenalty else "kernel_constraint"
        failing, other = (build(Dense(5, "tanh", **{role: make(calls)}, bias_constraint="non_neg"), Dense(3))
                          for calls in (3, 0))
        with pytest.raises(KeyError, match="mine"):
            failing.fit(x, y, batch_size=4, verbose=0, shuffle=False)
        other.fit(x[:4 * steps], y[:4 * steps], batch_size=4, verbose=0, shuffle=False)
        failing.layers[0].kernel *= factor
        for a, b in zip(failing.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert failing._state.step == other._state.step == steps


def test_averages_are_of_weights_before_their_constraints():
    """And the weights that they take the place of are constrained again, as in Keras."""
    x, target = data()

    def make(**options):
        model = build(Dense(5, kernel_constraint=FailingConstraint()), Dense(3))
        model.compile(fnn.optimizers.SGD(0.0, use_ema=True, ema_momentum=0.5, **options), "mse")
        return model

    model = make()
    kernel = model.layers[0].kernel.copy()
    model.fit(x, target, batch_size=len(x), verbose=0)
    np.testing.assert_array_equal(model.layers[0].kernel, kernel)
    model = make(ema_overwrite_frequency=1)
    model.train_on_batch(x, target)
    np.testing.assert_array_equal(model.layers[0].kernel, kernel * 0.5)


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Dense(3, kernel_regularizer="l3"), ValueError, "unknown regularizer 'l3'"),
    (lambda: Dense(3, kernel_regularizer=0.1), TypeError, "regularizer must be"),
    (lambda: Dense(3, kernel_constraint="norm"), ValueError, "unknown constraint 'norm'"),
    (lambda: Dense(3, activity_regularizer="orthogonal"), ValueError, "activity_regularizer must be L1, L2 or L1L2"),
    (lambda: Dense(3, activity_regularizer=Cauchy()), ValueError, "activity_regularizer must be L1, L2 or L1L2"),
    (lambda: ActivityRegularization(l1=-1), ValueError, "l1"),
    (lambda: build(Dense(3, bias_regularizer="orthogonal")), ValueError, "two dimensions"),
    (lambda: build(Conv2D(3, 2, kernel_regularizer="orthogonal"), Flatten(), Dense(3), shape=(4, 4, 1)), ValueError,
     "two dimensions"),
    (lambda: build(Conv2D(3, 2, kernel_constraint=constraints.MaxNorm(axis=1)), Flatten(), Dense(3), shape=(4, 4, 1)),
     ValueError, "first or the last dimensions"),
    (lambda: build(Dense(3, bias_constraint=constraints.MaxNorm(axis=1))), ValueError, "axis"),
    (lambda: build(Dense(3, "softmax", activity_regularizer="l2"),
                   loss=fnn.losses.CategoricalCrossentropy(from_logits=True)), ValueError, "from_logits"),
])  # fmt: skip
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
