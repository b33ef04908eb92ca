"""Gradients of whole models in float64 against central differences of the loss."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers, losses

TOLERANCE = 1e-6
STEP = 1e-5

ACTIVATIONS = (
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "all_relu",
    "sigmoid",
    "hard_sigmoid",
    "tanh",
    "softplus",
    "softsign",
    "exponential",
    "softmax",
    "log_softmax",
)


class LogCosh(losses.Loss):
    """A user's loss on target rows."""

    name = "log_cosh"

    def call(self, y_true, y_pred):
        return np.log(np.cosh(y_pred - y_true)).mean(axis=1)

    def gradient(self, y_true, y_pred):
        return np.tanh(y_pred - y_true) / y_pred.shape[1]


class SquaredHinge(losses.Loss):
    """A user's loss on integer labels: every wrong class one below the right one."""

    name = "squared_hinge"
    sparse = True

    def margins(self, y_true, y_pred):
        right = y_pred[np.arange(len(y_true)), y_true][:, None]
        margin = np.maximum(0, 1 + y_pred - right)
        margin[np.arange(len(y_true)), y_true] = 0
        return margin

    def call(self, y_true, y_pred):
        return (self.margins(y_true, y_pred) ** 2).sum(axis=1)

    def gradient(self, y_true, y_pred):
        grad = 2 * self.margins(y_true, y_pred)
        grad[np.arange(len(y_true)), y_true] = -grad.sum(axis=1)
        return grad


class Swish(layers.PythonLayer):
    """A user's layer that keeps the shape: x * sigmoid(beta * x), with beta learned."""

    def add_weights(self, input_shape):
        return {"beta": (input_shape, "ones")}

    def forward(self, x, training):
        self.x = x.copy()
        self.gate = 1 / (1 + np.exp(-self.weights["beta"] * x))
        return x * self.gate

    def backward(self, dy):
        slope = self.gate * (1 - self.gate)
        self.gradients["beta"][...] = (dy * self.x**2 * slope).sum(axis=0)
        return dy * (self.gate + self.weights["beta"] * self.x * slope)


class Pairs(layers.PythonLayer):
    """A user's layer that changes the shape and has two parameters: (scale * x, x + shift) side by side."""

    def compute_output_shape(self, input_shape):
        return (2 * input_shape[0],)

    def add_weights(self, input_shape):
        return {"scale": (input_shape, "random_normal"), "shift": (input_shape, "zeros")}

    def forward(self, x, training):
        self.x = x.copy()
        return np.concatenate([x * self.weights["scale"], x + self.weights["shift"]], axis=1)

    def backward(self, dy):
        left, right = np.split(dy, 2, axis=1)
        self.gradients["scale"][...] = (left * self.x).sum(axis=0)
        self.gradients["shift"][...] = right.sum(axis=0)
        return left * self.weights["scale"] + right


# The last layer's activation, the loss, what the targets are.
LOSSES = {
    "sparse softmax": ("softmax", losses.SparseCategoricalCrossentropy(), "labels"),
    "sparse softmax smoothed": (
        "softmax",
        losses.SparseCategoricalCrossentropy(label_smoothing=0.1),
        "labels",
    ),
    "sparse logits": ("linear", losses.SparseCategoricalCrossentropy(from_logits=True), "labels"),
    "sparse logits smoothed": ("linear", losses.SparseCategoricalCrossentropy(True, 0.2), "labels"),
    "sparse probabilities": ("sigmoid", losses.SparseCategoricalCrossentropy(), "labels"),
    "sparse probabilities smoothed": (
        "exponential",
        losses.SparseCategoricalCrossentropy(False, 0.2),
        "labels",
    ),
    "softmax": ("softmax", losses.CategoricalCrossentropy(), "rows"),
    "softmax smoothed": ("softmax", losses.CategoricalCrossentropy(label_smoothing=0.1), "rows"),
    "softmax any targets": ("softmax", losses.CategoricalCrossentropy(), "unit"),
    "logits": ("linear", losses.CategoricalCrossentropy(from_logits=True), "rows"),
    "logits smoothed": ("linear", losses.CategoricalCrossentropy(True, 0.2), "rows"),
    "probabilities": ("sigmoid", losses.CategoricalCrossentropy(), "rows"),
    "probabilities smoothed": ("softplus", losses.CategoricalCrossentropy(False, 0.2), "rows"),
    "binary": ("sigmoid", losses.BinaryCrossentropy(), "unit"),
    "binary smoothed": ("sigmoid", losses.BinaryCrossentropy(label_smoothing=0.1), "unit"),
    "binary logits": ("linear", losses.BinaryCrossentropy(from_logits=True), "unit"),
    "binary logits smoothed": ("linear", losses.BinaryCrossentropy(True, 0.2), "unit"),
    "binary probabilities": ("softmax", losses.BinaryCrossentropy(), "unit"),
    "binary probabilities smoothed": ("softmax", losses.BinaryCrossentropy(False, 0.2), "unit"),
    "mse": ("linear", losses.MeanSquaredError(), "real"),
    "mae": ("linear", losses.MeanAbsoluteError(), "real"),
    "huber": ("linear", losses.Huber(), "real"),
    "huber narrow": ("linear", losses.Huber(delta=0.3), "real"),
    "poisson": ("exponential", losses.Poisson(), "unit"),
    "poisson of rates": ("softplus", losses.Poisson(), "unit"),
    "user": ("linear", LogCosh(), "real"),
    "user behind softmax": ("softmax", LogCosh(), "real"),
    "user sparse": ("linear", SquaredHinge(), "labels"),
}


def make_targets(kind, n, outputs, rng):
    if kind == "labels":
        return rng.integers(0, outputs, n)
    if kind == "rows":
        return rng.dirichlet(np.ones(outputs), n)
    if kind == "unit":
        return rng.random((n, outputs))
    return rng.normal(size=(n, outputs))


def make_model(stack, loss, seed=5):
    model = fnn.Sequential(stack, seed=seed, dtype="float64")
    model.compile("sgd", loss)
    return model


def randomize(model, shape, rng):
    """Weights of which none is zero, biases neither."""
    model.build(shape)
    model.set_weights(
        [rng.normal(size=w.shape) / np.sqrt(w.shape[0] if w.ndim == 2 else 4) for w in model.get_weights()]
    )


def numeric_gradients(model, x, y, weight):
    """Central differences, element by element, written through the live views."""
    result = []
    for layer in model.layers:
        for parameter in layer.weights.values():
            gradient = np.empty_like(parameter)
            for at in np.ndindex(parameter.shape):
                kept = parameter[at]
                parameter[at] = kept + STEP
                above = model.evaluate(x, y, sample_weight=weight)
                parameter[at] = kept - STEP
                below = model.evaluate(x, y, sample_weight=weight)
                parameter[at] = kept
                gradient[at] = (above - below) / (2 * STEP)
            result.append(gradient)
    return result


def check(model, x, y, weight=None):
    got, expected = model.gradients(x, y, sample_weight=weight), numeric_gradients(model, x, y, weight)
    scale = max(np.abs(g).max() for g in expected)
    assert scale > 1e-4, "the case says nothing: all gradients vanish"
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == np.float64
        assert np.abs(a - b).max() <= TOLERANCE * scale


def check_direction(model, x, y, weight=None, n_directions=3):
    """The derivative along random directions: for models too large for element by element."""
    rng = np.random.default_rng(11)
    kept, gradient = model.get_weights(), model.gradients(x, y, sample_weight=weight)
    for _ in range(n_directions):
        step = [rng.normal(size=w.shape) for w in kept]
        length = np.sqrt(sum((s**2).sum() for s in step))
        step = [s / length for s in step]
        losses_there = []
        for sign in (1, -1):
            model.set_weights([w + sign * STEP * s for w, s in zip(kept, step, strict=True)])
            losses_there.append(model.evaluate(x, y, sample_weight=weight))
        model.set_weights(kept)
        expected = (losses_there[0] - losses_there[1]) / (2 * STEP)
        got = sum((g * s).sum() for g, s in zip(gradient, step, strict=True))
        norm = np.sqrt(sum((g**2).sum() for g in gradient))
        assert abs(got - expected) <= TOLERANCE * max(
            norm / np.sqrt(sum(g.size for g in gradient)), abs(expected)
        )


def case(name, n=7, outputs=3, n_in=4, seed=0):
    last, loss, kind = LOSSES[name]
    rng = np.random.default_rng(seed)
    return last, loss, rng.normal(size=(n, n_in)), make_targets(kind, n, outputs, rng), rng


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_activation_in_dense(activation, loss_name):
    last, loss, x, y, rng = case(loss_name)
    model = make_model([layers.Dense(5, activation=activation), layers.Dense(3, activation=last)], loss)
    randomize(model, (4,), rng)
    check(model, x, y)


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_activation_layer(activation, loss_name):
    last, loss, x, y, rng = case(loss_name, seed=1)
    model = make_model(
        [layers.Dense(5), layers.Activation(activation), layers.Dense(3), layers.Activation(last)], loss
    )
    randomize(model, (4,), rng)
    check(model, x, y, rng.uniform(0, 2, len(x)))


@pytest.mark.parametrize("loss_name", ["mse", "mae", "huber", "huber narrow", "user"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("as_layer", [False, True])
def test_last_activation(as_layer, activation, loss_name):
    _, loss, x, y, rng = case(loss_name, seed=2)
    stack = (
        [layers.Dense(3), layers.Activation(activation)]
        if as_layer
        else [layers.Dense(3, activation=activation)]
    )
    model = make_model([layers.Dense(5, activation="tanh"), *stack], loss)
    randomize(model, (4,), rng)
    check(model, x, y)


@pytest.mark.parametrize("loss_name", ["sparse probabilities", "probabilities", "binary probabilities"])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "softplus", "exponential", "hard_sigmoid"])
@pytest.mark.parametrize("as_layer", [False, True])
def test_crossentropies_on_any_probabilities(as_layer, activation, loss_name):
    _, loss, x, y, rng = case(loss_name, seed=3)
    stack = [layers.Dense(3), layers.Activation(activation)] if as_layer else [layers.Dense(3, activation=activation)]
    model = make_model([layers.Dense(5, activation="tanh"), *stack], loss)
    randomize(model, (4,), rng)
    model.set_weights([w / 4 for w in model.get_weights()])
    check(model, x, y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("loss_name", LOSSES)
def test_bias_and_sample_weights(loss_name, use_bias, weighted):
    last, loss, x, y, rng = case(loss_name, seed=4)
    model = make_model(
        [
            layers.Dense(4, activation="tanh", use_bias=use_bias),
            layers.Dense(3, activation=last, use_bias=use_bias),
        ],
        loss,
    )
    randomize(model, (4,), rng)
    weight = rng.uniform(0, 3, len(x)) * (rng.random(len(x)) < 0.7) + np.eye(len(x))[0] if weighted else None
    check(model, x, y, weight)


@pytest.mark.parametrize("loss_name", ["mse", "huber", "binary", "binary logits", "user", "mae"])
def test_one_of_everything(loss_name):
    last, loss, x, y, rng = case(loss_name, n=1, outputs=1, n_in=1, seed=5)
    model = make_model([layers.Dense(1, activation="tanh"), layers.Dense(1, activation=last)], loss)
    randomize(model, (1,), rng)
    check(model, x, y)
    check(model, x, y[:, 0])


@pytest.mark.parametrize(
    ("n", "n_in", "hidden", "outputs"),
    [
        (1, 1, 33, 2),
        (3, 2, 1, 1),
        (17, 65, 33, 7),
        (33, 31, 257, 3),
        (129, 7, 65, 65),
        (5, 257, 9, 33),
        (64, 1, 1000, 2),
        (300, 15, 17, 16),
        (2, 100, 31, 257),
    ],
)
@pytest.mark.parametrize(
    "loss_name", ["sparse softmax smoothed", "logits", "binary", "mse", "user", "probabilities"]
)
def test_odd_sizes(loss_name, n, n_in, hidden, outputs):
    last, loss, x, y, rng = case(loss_name, n=n, n_in=n_in, outputs=outputs, seed=6)
    model = make_model(
        [
            layers.Dense(hidden, activation="gelu"),
            layers.Dense(hidden, activation="selu"),
            layers.Dense(outputs, activation=last),
        ],
        loss,
    )
    randomize(model, (n_in,), rng)
    check_direction(model, x, y, rng.uniform(0, 2, n))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_deep(activation):
    last, loss, x, y, rng = case("sparse softmax", n=33, n_in=9, seed=7)
    stack = [layers.Dense(9 + i, activation=activation) for i in range(6)]
    model = make_model([*stack, layers.Dense(3, activation=last)], loss)
    randomize(model, (9,), rng)
    model.set_weights([w / 3 for w in model.get_weights()])
    check_direction(model, x, y)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_two_activations_in_a_row(activation):
    _, loss, x, y, rng = case("mse", seed=8)
    model = make_model(
        [
            layers.Dense(5, activation="silu"),
            layers.Activation(activation),
            layers.Activation("tanh"),
            layers.Dense(3, activation="softplus"),
            layers.Activation("gelu_tanh"),
        ],
        loss,
    )
    randomize(model, (4,), rng)
    check(model, x, y)


@pytest.mark.parametrize(
    "parameters",
    [
        fnn.activations.LeakyReLU(negative_slope=0.01),
        fnn.activations.LeakyReLU(negative_slope=0.0),
        fnn.activations.ELU(alpha=2.5),
        fnn.activations.ELU(alpha=0.3),
        fnn.activations.GELU(approximate=True),
    ],
)
def test_parameters_of_activations(parameters):
    last, loss, x, y, rng = case("mse", seed=9)
    model = make_model(
        [
            layers.Dense(6, activation=parameters),
            layers.Dense(5),
            layers.Activation(parameters),
            layers.Dense(3, activation=last),
        ],
        loss,
    )
    randomize(model, (4,), rng)
    check(model, x, y)


@pytest.mark.parametrize("loss_name", LOSSES)
def test_rescaling_and_flatten(loss_name):
    last, loss, _, y, rng = case(loss_name, seed=10)
    x = rng.integers(0, 255, (7, 2, 3), dtype=np.uint8)
    model = make_model(
        [
            layers.Rescaling(1 / 100, offset=-1),
            layers.Flatten(),
            layers.Dense(4, activation="gelu"),
            layers.Rescaling(-0.7, offset=0.2),
            layers.Dense(3, activation=last),
        ],
        loss,
    )
    randomize(model, (2, 3), rng)
    check(model, x, y)


@pytest.mark.parametrize("loss_name", LOSSES)
def test_rescaling_and_flatten_last(loss_name):
    last, loss, x, y, rng = case(loss_name, seed=11)
    model = make_model(
        [
            layers.Dense(4, activation="gelu"),
            layers.Dense(3, activation=last),
            layers.Rescaling(0.9, offset=0.02),
            layers.Flatten(),
        ],
        loss,
    )
    randomize(model, (4,), rng)
    check(model, x, y)


@pytest.mark.parametrize(
    "loss_name",
    ["sparse softmax smoothed", "logits", "probabilities", "binary", "mse", "user", "user sparse"],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda last: [Swish(), layers.Dense(3, activation=last)],
        lambda last: [layers.Dense(4, activation="gelu"), Pairs(), layers.Dense(3, activation=last)],
        lambda last: [
            layers.Dense(4),
            Swish(),
            layers.Activation("tanh"),
            Pairs(),
            layers.Dense(3, activation=last),
        ],
        lambda last: [layers.Dense(3), Swish(), layers.Activation(last)],
    ],
    ids=["first", "middle", "two", "before the loss"],
)
def test_python_layers(make, loss_name):
    last, loss, x, y, rng = case(loss_name, seed=12)
    model = make_model(make(last), loss)
    randomize(model, (4,), rng)
    check(model, x, y, rng.uniform(0, 2, len(x)))


def test_python_layer_last():
    _, loss, x, y, rng = case("mse", outputs=4, seed=13)
    model = make_model([layers.Dense(2), Pairs()], loss)
    randomize(model, (4,), rng)
    check(model, x, y)


def test_python_layer_that_has_an_activation_of_its_own():
    """The loss takes over activations of the engine's layers alone."""

    class Softmax(layers.PythonLayer):
        def __init__(self):
            super().__init__()
            self.activation = fnn.activations.softmax

        def forward(self, x, training):
            e = np.exp(x - x.max(axis=1, keepdims=True))
            self.y = e / e.sum(axis=1, keepdims=True)
            return self.y

        def backward(self, dy):
            return self.y * (dy - (dy * self.y).sum(axis=1, keepdims=True))

    _, loss, x, y, rng = case("sparse softmax", seed=14)
    model = make_model([layers.Dense(3), Softmax()], loss)
    randomize(model, (4,), rng)
    p = model.predict(x)
    assert model.evaluate(x, y) == pytest.approx(-np.log(p[np.arange(len(y)), y]).mean(), rel=1e-9)
    check(model, x, y)


def test_dropout_is_off():
    last, loss, x, y, rng = case("sparse softmax", seed=15)
    plain = make_model([layers.Dense(5, activation="gelu"), layers.Dense(3, activation=last)], loss)
    dropped = make_model(
        [
            layers.Dropout(0.5),
            layers.Dense(5, activation="gelu"),
            layers.Dropout(0.5),
            layers.Dense(3, activation=last),
        ],
        loss,
    )
    randomize(plain, (4,), rng)
    dropped.build((4,))
    dropped.set_weights(plain.get_weights())
    check(dropped, x, y)
    for a, b in zip(dropped.gradients(x, y), plain.gradients(x, y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_frozen_layers_have_gradient_zero_and_do_not_disturb_the_others(frozen):
    last, loss, x, y, rng = case("sparse softmax", seed=16)
    model = make_model(
        [
            layers.Dense(5, activation="gelu"),
            layers.Dense(4, activation="tanh"),
            layers.Dense(3, activation=last),
        ],
        loss,
    )
    randomize(model, (4,), rng)
    full = model.gradients(x, y)
    for i in frozen:
        model.layers[i].trainable = False
    for i, gradient in enumerate(model.gradients(x, y)):
        expected = np.zeros_like(gradient) if i // 2 in frozen else full[i]
        np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 31, 200])
def test_same_bits_for_any_number_of_threads(dtype, n):
    rng = np.random.default_rng(17)
    x, y = rng.normal(size=(n, 33)).astype(dtype), rng.integers(0, 7, n)
    model = fnn.Sequential(
        [
            layers.Dense(65, activation="mish"),
            layers.Dense(129, activation="relu"),
            layers.Dense(7, activation="softmax"),
        ],
        seed=0,
        dtype=dtype,
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    one = model.gradients(x, y, n_threads=1)
    for threads in (2, 3, 5, 8):
        for a, b in zip(model.gradients(x, y, n_threads=threads), one, strict=True):
            np.testing.assert_array_equal(a, b)


def test_float32_gradients_are_near_float64():
    last, loss, x, y, rng = case("sparse softmax smoothed", n=40, seed=18)
    wide = make_model([layers.Dense(20, activation="silu"), layers.Dense(3, activation=last)], loss)
    randomize(wide, (4,), rng)
    narrow = fnn.Sequential([layers.Dense(20, activation="silu"), layers.Dense(3, activation=last)])
    narrow.compile("sgd", loss)
    narrow.build((4,))
    narrow.set_weights(wide.get_weights())
    for a, b in zip(narrow.gradients(x, y), wide.gradients(x, y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("layers", [
    lambda: [fnn.layers.Dense(4, activation="gelu"), fnn.layers.Dense(3)],
    lambda: [fnn.layers.Rescaling(0.5), fnn.layers.Dense(3, activation="tanh")],
    lambda: [fnn.layers.Activation("sigmoid")],
    lambda: [fnn.layers.Flatten()],
], ids=["dense", "rescaling", "activation", "flatten"])
def test_input_gradients_against_difference_quotients(layers, trainable):
    model = fnn.Sequential([fnn.Input((3,)), *layers()], seed=3, dtype="float64")
    model.build((3,))
    for layer in model.layers:
        layer.trainable = trainable
    model.compile("sgd", "mse")
    rng = np.random.default_rng(4)
    x, y, weight = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.uniform(size=5)
    found = model.input_gradients(x, y, weight)
    for place in np.ndindex(x.shape):
        losses = []
        for step in (1e-6, -1e-6):
            moved = x.copy()
            moved[place] += step
            losses.append(model.evaluate(moved, y, sample_weight=weight))
        assert abs((losses[0] - losses[1]) / 2e-6 - found[place]) <= 1e-6 * max(1, abs(found[place]))
