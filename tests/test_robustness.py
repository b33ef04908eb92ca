"""What a program may do to a model, by mistake or in the middle of a call, without breaking it silently."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers, losses, optimizers

N, FEATURES, CLASSES = 64, 3, 4


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((N, FEATURES)).astype(np.float32)


@pytest.fixture
def y():
    return np.random.default_rng(1).standard_normal((N, 2)).astype(np.float32)


@pytest.fixture
def labels():
    return np.random.default_rng(2).integers(CLASSES, size=N, dtype=np.int32)


def classifier(optimizer="adam"):
    model = fnn.Sequential([layers.Dense(5, "relu"), layers.Dense(CLASSES, "softmax")], seed=0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def regressor(*first, optimizer="sgd", loss="mse", outputs=2, **options):
    model = fnn.Sequential([*first, layers.Dense(outputs)], seed=0, **options)
    model.compile(optimizer, loss)
    return model


def assert_same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_finite(model):
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


class At(fnn.callbacks.Callback):
    """Calls `action(model)` at the first call of `method`."""

    def __init__(self, method, action):
        super().__init__()
        self.action, self.done = action, False
        setattr(self, method, self.act)

    def act(self, *arguments):
        if not self.done:
            self.done = True
            self.action(self.model)


# ---- data that change during fit ---------------------------------------------------------------------------


def by_thread(action):
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


@pytest.mark.parametrize("run", [lambda action: action(), by_thread], ids=["callback", "thread"])
@pytest.mark.parametrize("what", ["labels", "targets", "weights"])
def test_answers_changed_after_fit_began_do_not_matter(x, y, labels, what, run):
    def trained(spoil):
        model = regressor() if what == "targets" else classifier()
        answers = (y if what == "targets" else labels).copy()
        weight = np.ones(N, np.float32)
        changed = weight if what == "weights" else answers
        value = 10**6 if what == "labels" else np.nan

        def change(model):
            run(lambda: changed.fill(value))

        history = model.fit(x, answers, sample_weight=weight, epochs=2, batch_size=16, verbose=0,
                            callbacks=[At("on_train_begin", change)] if spoil else None)
        return history.history["loss"], model.get_weights()

    (losses_seen, weights), (expected_losses, expected_weights) = trained(True), trained(False)
    assert losses_seen == expected_losses
    assert_same(weights, expected_weights)


# ---- what a model shows of itself --------------------------------------------------------------------------


@pytest.mark.parametrize("change", [lambda a: a.clear(), lambda a: a.pop(), lambda a: a.append(a[0])],
                         ids=["clear", "pop", "append"])
@pytest.mark.parametrize("attribute", ["metrics", "layers"])
def test_lists_of_a_model_are_copies(x, labels, attribute, change):
    model, twin = classifier(), classifier()
    for other in (model, twin):
        other.build((FEATURES,))
    with suppress(AttributeError):  # a tuple
        change(getattr(model, attribute))
    assert [metric.name for metric in model.metrics] == [metric.name for metric in twin.metrics]
    assert [layer.name for layer in model.layers] == [layer.name for layer in twin.layers]
    for other in (model, twin):
        other.fit(x, labels, verbose=0)
    assert_same(model.get_weights(), twin.get_weights())
    assert model.evaluate(x, labels) == twin.evaluate(x, labels)


@pytest.mark.parametrize(("attribute", "value"), [("dtype", "float64"), ("input_shape", (9,))])
def test_dtype_and_input_shape_are_read_only(x, attribute, value):
    model = regressor()
    for _ in range(2):
        before = getattr(model, attribute)
        with pytest.raises(AttributeError):
            setattr(model, attribute, value)
        assert getattr(model, attribute) == before
        model.build((FEATURES,))
    assert model.predict(x).shape == (N, 2)


ARGUMENTS = [
    (lambda: layers.Dense(3, "relu"), {"units": 5, "activation": fnn.activations.tanh, "use_bias": False}),
    (lambda: layers.Activation("relu"), {"activation": fnn.activations.tanh}),
    (lambda: layers.Dropout(0.5), {"rate": 0.1}),
    (lambda: layers.Rescaling(2.0), {"scale": 3.0, "offset": 1.0}),
]


@pytest.mark.parametrize(("make", "arguments"), ARGUMENTS, ids=["Dense", "Activation", "Dropout", "Rescaling"])
def test_arguments_of_a_built_layer_are_read_only(x, make, arguments):
    layer = make()
    model = regressor(layer)
    model.build((FEATURES,))
    before, config = model.predict(x), layer.get_config()
    for name, value in arguments.items():
        with pytest.raises(AttributeError, match="new layer"):
            setattr(layer, name, value)
    assert layer.get_config() == config
    np.testing.assert_array_equal(model.predict(x), before)
    layer.trainable = False


def test_history_is_that_of_the_last_fit(x, labels):
    model = classifier()
    for epochs in (2, 1):
        history = model.fit(x, labels, epochs=epochs, verbose=0)
        assert model.history is history
        assert len(model.history.history["loss"]) == epochs


# ---- subclasses that do not keep what the kernels count on -------------------------------------------------

PREAMBLE = """
    import numpy as np
    import fastnn as fnn
    from fastnn import layers, losses, metrics, optimizers
    rng = np.random.default_rng(0)
    x, y, labels = rng.normal(size=(512, 8)), rng.normal(size=(512, 6)), rng.integers(6, size=512)
    def fit(optimizer="adam", loss="mse", y=y, watched=()):
        model = fnn.Sequential([layers.Dense(64, "relu"), layers.Dense(6, "softmax")], seed=0)
        model.compile(optimizer, loss, metrics=list(watched))
        model.fit(x, y, verbose=0)
"""

SUBCLASSES = {
    "loss": """
        class Mine(losses.SparseCategoricalCrossentropy):
            sparse = False
        fit(loss=Mine(), y=np.eye(6)[labels])
    """,
    "metric": """
        class Mine(metrics.R2Score):
            def state_size(self, n_outputs):
                return 1
        fit(watched=[Mine()])
    """,
    "kind of metric": """
        class Mine(metrics.MeanSquaredError):
            kind = "r2"
        fit(watched=[Mine()])
    """,
    "kernel of loss": """
        class Mine(losses.MeanSquaredError):
            def kernel(self, last_activation):
                return "softmax_ce_sparse", False
        fit(loss=Mine())
    """,
    "slots": """
        class Mine(optimizers.Lion):
            slots = ()
        fit(Mine())
    """,
    "slot_init": """
        class Mine(optimizers.Adam):
            slot_init = ()
        fit(Mine())
    """,
    "kind of optimizer": """
        class Mine(optimizers.Adagrad):
            kind = "adadelta"
        fit(Mine())
    """,
}


@pytest.mark.parametrize("kind", SUBCLASSES)
def test_subclasses_that_mislead_the_kernels_are_refused(kind):
    code = textwrap.dedent(PREAMBLE) + textwrap.dedent(SUBCLASSES[kind])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ)
    assert done.returncode == 1, (done.returncode, done.stderr[-500:])
    assert done.stderr.strip().splitlines()[-1].startswith("ValueError: "), done.stderr


# ---- copies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
                         ids=["copy", "deepcopy", "pickle"])
def test_a_copy_of_a_model_is_independent(x, labels, duplicate):
    model, alone = classifier(), classifier()
    for other in (model, alone):
        other.fit(x, labels, verbose=0)
    twin, weights = duplicate(model), model.get_weights()
    assert_same(twin.get_weights(), weights)
    twin.layers[0].kernel = np.zeros((FEATURES, 5))
    twin.fit(x, labels, verbose=0)
    twin.layers[0].trainable = False
    twin.optimizer.learning_rate = 0.5
    twin.metadata["note"] = 1
    twin.add(layers.Dropout(0.1))
    assert_same(model.get_weights(), weights)
    assert len(model.layers) == 2
    assert model.layers[0].trainable
    assert model.metadata == {}
    for other in (model, alone):
        other.fit(x, labels, verbose=0)
    assert_same(model.get_weights(), alone.get_weights())


class Scale(layers.PythonLayer):
    """Keeps its input where it is training only."""

    def add_weights(self, input_shape):
        return {"scale": (input_shape, "ones")}

    def forward(self, x, training):
        if training:
            self.x = x.copy()
        return x * self.weights["scale"]

    def backward(self, dy):
        self.gradients["scale"][...] = (dy * self.x).sum(axis=0)
        return dy * self.weights["scale"]


def test_a_subclass_whose_slots_the_optimizer_sets_itself_trains(x, labels):
    class Mine(optimizers.Adam):
        slots = ()

    ours, plain = classifier(Mine()), classifier()
    for model in (ours, plain):
        model.fit(x, labels, verbose=0)
    assert_same(ours.get_weights(), plain.get_weights())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))],
                         ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("make", [lambda: layers.Dense(2, "tanh"), Scale, lambda: layers.Dropout(0.5)],
                         ids=["Dense", "PythonLayer", "Dropout"])
@pytest.mark.parametrize("built", [False, True])
def test_a_copy_of_a_layer_fits_into_another_model(x, y, built, make, duplicate):
    layer = make()
    model = regressor(layer)
    if built:
        model.fit(x, y, verbose=0)
    twin = duplicate(layer)
    assert twin.get_config() == layer.get_config()
    other = regressor(twin)
    other.fit(x, y, epochs=2, verbose=0)
    if built:
        weights = model.get_weights()
        other.set_weights([np.zeros_like(weight) for weight in weights])
        assert_same(model.get_weights(), weights)
    model.fit(x, y, verbose=0)


# ---- sums over many rows -----------------------------------------------------------------------------------


def test_bias_gradient_of_a_million_rows_in_float32():
    rows = np.ones((10**6, 1), np.float32)
    model = fnn.Sequential([layers.Dense(1, kernel_initializer="ones")])
    model.compile(optimizers.SGD(1.0), "mse")
    kernel, bias = model.gradients(rows, np.zeros(10**6))
    assert bias == pytest.approx(2, rel=1e-4)
    assert kernel == pytest.approx(2, rel=1e-4)
    model.fit(rows, np.zeros(10**6), batch_size=10**6, verbose=0)
    assert model.layers[0].bias == pytest.approx(-2, rel=1e-4)
    assert model.layers[0].kernel == pytest.approx(-1, rel=1e-4)


# ---- layers and losses written in Python -------------------------------------------------------------------


def test_gradients_of_a_python_layer_are_a_read_only_mapping(x, y):
    class Rebinding(Scale):
        def backward(self, dy):
            self.gradients["scale"] = (dy * self.x).sum(axis=0)
            return dy

    model = regressor(Rebinding())
    with pytest.raises(TypeError, match="assign"):
        model.fit(x, y, verbose=0)


class WritesX(Scale):
    def forward(self, x, training):
        x[...] = 0
        return x


class WritesDy(Scale):
    def backward(self, dy):
        dy *= 2
        return dy


class WritesPrediction(losses.Loss):
    name = "writes"

    def call(self, y_true, y_pred):
        y_pred -= y_true
        return (y_pred ** 2).mean(axis=1)

    def gradient(self, y_true, y_pred):
        return y_pred


@pytest.mark.parametrize("case", [(WritesX, "mse"), (WritesDy, "mse"), (Scale, WritesPrediction())],
                         ids=["x", "dy", "y_pred"])
def test_views_of_the_engine_are_read_only(x, y, case):
    first, loss = case
    model = regressor(layers.Dense(FEATURES), first(), loss=loss)
    with pytest.raises(ValueError, match="read-only"):
        model.fit(x, y, verbose=0)


class WritesOnce(Scale):
    calls = 0

    def backward(self, dy):
        self.calls += 1
        return super().backward(dy) if self.calls == 1 else dy * self.weights["scale"]


def test_a_gradient_that_backward_does_not_write_is_zero(x, y):
    model = regressor(WritesOnce())
    assert model.gradients(x, y)[0].any()
    assert not model.gradients(x, y)[0].any()
    layer = WritesOnce()
    model = regressor(layer)
    model.train_on_batch(x, y)
    after_first = layer.weights["scale"].copy()
    assert (after_first != 1).any()
    model.train_on_batch(x, y)
    model.fit(x, y, batch_size=16, verbose=0)
    np.testing.assert_array_equal(layer.weights["scale"], after_first)


def test_complex_outputs_are_refused(x, y):
    class Complex(layers.PythonLayer):
        def forward(self, x, training):
            return x * 1j

    class ComplexBackward(Scale):
        def backward(self, dy):
            return dy * 1j

    with pytest.raises((TypeError, ValueError), match="complex"):
        regressor(Complex()).predict(x)
    for make in (Complex, ComplexBackward):
        with pytest.raises((TypeError, ValueError), match="complex"):
            regressor(layers.Dense(FEATURES), make()).fit(x, y, verbose=0)


def test_gradients_of_a_frozen_python_layer_are_zeros(x, y):
    frozen = Scale(trainable=False)
    model = regressor(layers.Dense(FEATURES), frozen)
    kernel, bias, scale, *_ = model.gradients(x, y)
    assert not scale.any()
    assert kernel.any()
    assert bias.any()
    model.fit(x, y, verbose=0)
    assert (frozen.weights["scale"] == 1).all()


class Notes(Scale):
    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x, training):
        self.calls.append(training)
        return super().forward(x, training)

    def backward(self, dy):
        self.calls.append("backward")
        return super().backward(dy)


def test_training_is_true_where_backward_follows(x, y):
    notes = Notes()
    model = regressor(notes)
    model.build((FEATURES,))
    for call, backward in (("fit", True), ("train_on_batch", True), ("gradients", True), ("evaluate", False),
                           ("predict", False)):
        notes.calls.clear()
        getattr(model, call)(*((x, y) if call != "predict" else (x,)), **({"verbose": 0} if call == "fit" else {}))
        assert set(notes.calls) == ({True, "backward"} if backward else {False}), call


def test_gradients_go_through_a_layer_that_keeps_its_input_in_training(x, y):
    ours, plain = regressor(Scale()), regressor()
    plain.build((FEATURES,))
    ours.build((FEATURES,))
    ours.layers[1].kernel = plain.layers[0].kernel
    ours.evaluate(x[:5], y[:5])
    scale, kernel, bias = ours.gradients(x, y)
    expected = plain.gradients(x, y)
    np.testing.assert_allclose(kernel, expected[0], rtol=1e-5)
    np.testing.assert_allclose(bias, expected[1], rtol=1e-5)
    np.testing.assert_allclose(scale, (kernel * plain.layers[0].kernel).sum(axis=1), rtol=1e-4, atol=1e-6)


def test_predict_in_another_thread_does_not_disturb_backward(x, y):
    class Disturbed(Scale):
        def backward(self, dy):
            thread = threading.Thread(target=lambda: answers.append(model.predict(x[:7], n_threads=1)))
            thread.start()
            thread.join(10)
            return super().backward(dy)

    answers = []
    model, alone = regressor(Disturbed()), regressor(Scale())
    for other in (model, alone):
        other.fit(x, y, batch_size=16, verbose=0, n_threads=1)
    assert len(answers) == 4
    assert_same(model.get_weights(), alone.get_weights())


class WrongRows(losses.Loss):
    name = "wrong"

    def call(self, y_true, y_pred):
        return ((y_pred - y_true) ** 2).mean(axis=1, keepdims=True)

    def gradient(self, y_true, y_pred):
        return 2 * (y_pred - y_true) / y_true.shape[1]


class WrongGradient(WrongRows):
    def call(self, y_true, y_pred):
        return super().call(y_true, y_pred)[:, 0]

    def gradient(self, y_true, y_pred):
        return super().gradient(y_true, y_pred).mean(axis=1)


@pytest.mark.parametrize("loss", [WrongRows, WrongGradient])
def test_a_loss_that_returns_a_wrong_shape_is_named(x, y, loss):
    with pytest.raises(ValueError, match="loss") as caught:
        regressor(loss=loss()).fit(x, y, verbose=0)
    assert "layer" not in str(caught.value)


# ---- numbers that overflow ---------------------------------------------------------------------------------


def test_slots_that_overflow_stop_fit():
    rows = np.full((8, 1), 1e10, np.float32)  # gradients of 2e20, whose squares float32 cannot hold
    model = regressor(optimizer=optimizers.Adagrad(), outputs=1)
    with pytest.raises(fnn.DivergenceError):
        model.fit(rows, -rows, epochs=2, verbose=0)
    assert_finite(model)


def test_weights_that_overflow_stop_train_on_batch(x, y):
    model = regressor(optimizer=optimizers.SGD(1e38))
    with pytest.raises(fnn.DivergenceError):
        model.train_on_batch(x * 100, y * 100)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    model.compile("sgd", "mse")
    model.train_on_batch(x, y)
    assert_finite(model)


@pytest.mark.parametrize("method", ["on_train_begin", "on_epoch_begin", "on_epoch_end"])
def test_weights_that_a_callback_spoils_are_named(x, y, method):
    def spoil(model):
        model.layers[0].kernel[...] = np.nan

    with pytest.raises((ValueError, fnn.DivergenceError), match="weights") as caught:
        regressor().fit(x, y, epochs=3, verbose=0, callbacks=[At(method, spoil)])
    assert "batch 0" not in str(caught.value)


class Overflowing(losses.Loss):
    """Its gradient makes the weights infinite in one step; its value is finite all the same."""

    name = "overflowing"

    def call(self, y_true, y_pred):
        time.sleep(0.2)  # time for progress to be told
        return np.zeros(len(y_true))

    def gradient(self, y_true, y_pred):
        return np.full_like(y_pred, 1e30)


class Interrupting(Scale):
    def forward(self, x, training):
        if not np.isfinite(x).all():
            raise KeyboardInterrupt
        return x

    def backward(self, dy):
        return dy


def interrupt(model):
    raise KeyboardInterrupt


@pytest.mark.parametrize("by", ["callback", "layer"])
def test_an_interrupt_after_an_overflow_leaves_finite_weights(x, y, by):
    after = [layers.Dense(2), Interrupting(trainable=False)] if by == "layer" else []
    callbacks = [At("on_progress", interrupt)] if by == "callback" else []
    model = regressor(*after, optimizer=optimizers.SGD(1e30), loss=Overflowing())
    with pytest.raises((KeyboardInterrupt, fnn.DivergenceError)):  # whichever is seen first
        model.fit(x[:4], y[:4], batch_size=1, verbose=0, callbacks=callbacks)
    assert_finite(model)
    assert np.isfinite(model.predict(x)).all()


def test_a_scale_beyond_the_dtype_is_refused(x, y):
    for arguments in ((1e39,), (1.0, -1e39)):
        with pytest.raises(ValueError, match=r"finite in float32; received -?1e\+39"):
            regressor(layers.Rescaling(*arguments)).predict(x)
        with pytest.raises(ValueError, match=r"finite in float32; received -?1e\+39"):
            regressor(layers.Rescaling(*arguments)).fit(x, y, verbose=0)
    assert regressor(layers.Rescaling(1e39), dtype="float64").predict(x).shape == (N, 2)


# ---- messages ----------------------------------------------------------------------------------------------


def test_probabilities_expected_behind_a_linear_layer_are_warned_of(recwarn):
    model = fnn.Sequential([layers.Dense(3)])
    with pytest.warns(UserWarning, match="from_logits=True") as caught:
        model.compile("sgd", "sparse_categorical_crossentropy")
    assert "softmax" in str(caught[0].message)
    recwarn.clear()
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    classifier()
    assert not recwarn.list


@pytest.mark.parametrize("rest", [lambda layer: [object()], lambda layer: [layer],
                                  lambda layer: [layers.Dense(2), fnn.Input((3,))]],
                         ids=["no layer", "twice", "input last"])
def test_layers_of_a_failed_constructor_are_free_again(x, rest):
    layer = layers.Dense(3)
    with pytest.raises((TypeError, ValueError)):
        fnn.Sequential([layer, *rest(layer)])
    assert fnn.Sequential([layer]).predict(x).shape == (N, 3)


@pytest.mark.parametrize("first", [[], [fnn.Input((7,))]], ids=["unbuilt", "built"])
def test_layers_of_a_failed_constructor_fit_elsewhere(x, first):
    layer = layers.Dense(3)
    with pytest.raises(TypeError):
        fnn.Sequential([*first, layer, object()])
    model = fnn.Sequential([layers.Dense(4), layer])  # another name, another number of inputs
    assert model.predict(x).shape == (N, 3)
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]


@pytest.mark.parametrize(("make", "match"), [
    (lambda: fnn.Sequential(name=3), r"str.*received 3"),
    (lambda: fnn.Sequential(dtype=[]), r"float32.*received \[\]"),
    (lambda: fnn.Sequential(layers.Dense(3)), r"list.*received"),
], ids=["name", "dtype", "layers"])
def test_arguments_of_the_constructor_of_a_wrong_type(make, match):
    with pytest.raises((TypeError, ValueError), match=match):
        make()


@pytest.mark.parametrize("value", [None, 3])
def test_weights_that_are_no_list(value):
    model = regressor()
    model.build((FEATURES,))
    with pytest.raises((TypeError, ValueError), match=rf"(list|arrays).*received {value}"):
        model.set_weights(value)


# --------------------------------------------------------------------------------------- subnormal numbers


def subnormals_live():
    """Whether this thread computes with subnormal numbers."""
    return float(np.float32(1e-39) * np.ones(1, np.float32)[0]) > 0


class Watch(Scale):
    """Notes whether a layer in Python sees subnormal numbers."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, training):
        self.seen.append(subnormals_live())
        return super().forward(x, training)

    def backward(self, dy):
        self.seen.append(subnormals_live())
        return super().backward(dy)


class MeanSquares(losses.Loss):
    """The same of a loss in Python."""

    seen = ()

    def call(self, y_true, y_pred):
        self.seen = (*self.seen, subnormals_live())
        return ((y_pred - y_true) ** 2).mean(axis=1)

    def gradient(self, y_true, y_pred):
        return 2 * (y_pred - y_true) / y_pred.shape[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_floating_point_mode_is_left_alone(x, y, threads):
    watch, loss = Watch(), MeanSquares()
    model = regressor(watch, loss=loss)
    model.fit(x, y, verbose=0, epochs=3, n_threads=threads)
    model.evaluate(x, y, n_threads=threads)
    model.predict(x, n_threads=threads)
    assert len(watch.seen) > 10
    assert all(watch.seen)
    assert loss.seen
    assert all(loss.seen)
    assert subnormals_live()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(subnormals_live).result()


def test_subnormal_numbers_in_data_keep_their_values():
    half = np.arange(2**16, dtype=np.uint16).view(np.float16)
    half = half[np.isfinite(half)][:, None]
    for dtype in ("float32", "float64"):
        model = fnn.Sequential([layers.Dense(1, use_bias=False)], seed=0, dtype=dtype)
        model.build((1,))
        model.layers[0].kernel[...] = 1
        assert np.array_equal(model.predict(half), half.astype(dtype))
    assert model.predict(np.array([[1e-40]], np.float32)) == np.float64(np.float32(1e-40))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_of_dead_units_do_not_decay_into_subnormals(dtype):
    """They made steps of 4-64-64-2 a tenth slower."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 8)), rng.standard_normal((64, 1))
    model = regressor(layers.Dense(16, activation="relu"), optimizer="adam", outputs=1, dtype=dtype)
    model.fit(x, y, epochs=5, verbose=0)
    dead = model.layers[0]
    dead.bias[:8] = -100
    model.fit(x, y, epochs=12_000 if dtype == "float64" else 2_000, batch_size=64, verbose=0)
    for slot in model._state.slots:
        assert not ((np.abs(slot) < np.finfo(dtype).tiny) & (slot != 0)).any()
