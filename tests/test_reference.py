"""The NumPy twins against mathematics: derivatives by differences, optimizers on a bowl, known answers."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from kernel_table import ACTIVATIONS
from scipy import special, stats

from fastnn import reference

INPUT_SAVED = ("gelu", "gelu_tanh", "silu", "mish", "all_relu")


def numerical_gradient(function, x, step=1e-5):
    """Central differences of a function of an array to a number."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[i] += sign * step
            ends.append(function(moved))
        gradient[i] = (ends[0] - ends[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_derivative(name):
    rng = np.random.default_rng(0)
    x, dy = rng.uniform(-4, 7, (6, 7)), rng.standard_normal((6, 7))
    saved = x if name in INPUT_SAVED else reference.activation_forward(x, name)
    want = numerical_gradient(lambda x: np.sum(dy * reference.activation_forward(x, name)), x)
    np.testing.assert_allclose(reference.activation_backward(dy, saved, name), want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("place", [{}, {"strides": (2, 3)}, {"padding": "same"}, {"strides": 2, "padding": "same"}])
def test_derivatives_of_windows(place):
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.standard_normal((2, 5, 6, 3)), rng.standard_normal((3, 2, 3, 4)), rng.standard_normal(4)
    y = reference.conv2d_forward(x, kernel, bias, "tanh", **place)
    dy = rng.standard_normal(y.shape)
    dx, dkernel, dbias = reference.conv2d_backward(dy, x, kernel, y, "tanh", **place)

    def forward(x=x, kernel=kernel, bias=bias):
        return np.sum(dy * reference.conv2d_forward(x, kernel, bias, "tanh", **place))

    np.testing.assert_allclose(dx, numerical_gradient(forward, x), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(dkernel, numerical_gradient(lambda k: forward(kernel=k), kernel), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(dbias, numerical_gradient(lambda b: forward(bias=b), bias), rtol=1e-6, atol=1e-8)

    y = reference.max_pooling2d_forward(x, (2, 3), **place)
    dy = rng.standard_normal(y.shape)
    want = numerical_gradient(lambda x: np.sum(dy * reference.max_pooling2d_forward(x, (2, 3), **place)), x)
    np.testing.assert_allclose(reference.max_pooling2d_backward(dy, x, y, (2, 3), **place), want, rtol=1e-6, atol=1e-8)
    want = numerical_gradient(lambda x: np.sum(dy * reference.average_pooling2d_forward(x, (2, 3), **place)), x)
    got = reference.average_pooling2d_backward(dy, (5, 6), (2, 3), **place)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["leaky_relu", "elu"])
def test_activation_parameter(name):
    x, dy = np.linspace(-3, 3, 8).reshape(2, 4), np.ones((2, 4))
    y = reference.activation_forward(x, name, alpha=0.7)
    want = numerical_gradient(lambda x: reference.activation_forward(x, name, alpha=0.7).sum(), x)
    np.testing.assert_allclose(reference.activation_backward(dy, y, name, alpha=0.7), want, rtol=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_keeps_float32(name):
    x = np.linspace(-3, 3, 8, dtype=np.float32).reshape(2, 4)
    y = reference.activation_forward(x, name)
    assert y.dtype == np.float32
    assert reference.activation_backward(x, y, name).dtype == np.float32


def test_activations_at_known_points():
    x = np.array([[-1.0, 0.0, 1.0]])
    known = {
        "sigmoid": [1 / (1 + np.e), 0.5, np.e / (1 + np.e)],
        "softplus": [np.log1p(1 / np.e), np.log(2), np.log1p(np.e)],
        "hard_sigmoid": [1 / 3, 0.5, 2 / 3],
        "softsign": [-0.5, 0, 0.5],
        "gelu": [-special.ndtr(-1.0), 0, special.ndtr(1.0)],
        "selu": [1.0507009873554805 * 1.6732632423543772 * np.expm1(-1), 0, 1.0507009873554805],
        "softmax": np.exp(x[0]) / np.exp(x[0]).sum(),
    }
    for name, want in known.items():
        np.testing.assert_allclose(reference.activation_forward(x, name)[0], want, rtol=1e-14, err_msg=name)
    tanh_form = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(reference.activation_forward(x, "gelu_tanh"), tanh_form, rtol=1e-14)


def test_softmax_shifts_out_of_overflow():
    x = np.array([[1000.0, 1001.0], [-1001.0, -1000.0]])
    np.testing.assert_allclose(reference.activation_forward(x, "softmax"), [[0.26894142, 0.73105858]] * 2)
    np.testing.assert_allclose(np.exp(reference.activation_forward(x, "log_softmax")).sum(axis=1), 1)


# --------------------------------------------------------------------------------------------- dense layer


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dense_gradients(name):
    rng = np.random.default_rng(0)
    x, w, b, dy = (rng.standard_normal(shape) for shape in ((3, 4), (4, 5), 5, (3, 5)))
    z = np.empty((3, 5))
    y = reference.dense_forward(x, w, b, name, z=z)
    got = reference.dense_backward(dy, x, w, z if name in INPUT_SAVED else y, name)
    for i, gradient in enumerate(got):
        given = [x, w, b]

        def total(a, i=i, given=given):
            return np.sum(dy * reference.dense_forward(*given[:i], a, *given[i + 1 :], name))

        np.testing.assert_allclose(gradient, numerical_gradient(total, given[i]), rtol=1e-6, atol=1e-8)


# ------------------------------------------------------------------------------------------------- losses

LOSSES = {
    "softmax labels": (reference.softmax_crossentropy, "logits", "labels", {}),
    "softmax smoothed": (reference.softmax_crossentropy, "logits", "labels", {"label_smoothing": 0.2}),
    "softmax rows": (reference.softmax_crossentropy, "logits", "rows", {"label_smoothing": 0.2}),
    "sigmoid": (reference.sigmoid_binary_crossentropy, "logits", "rows", {"label_smoothing": 0.2}),
    "categorical labels": (reference.categorical_crossentropy, "rows", "labels", {"label_smoothing": 0.2}),
    "categorical rows": (reference.categorical_crossentropy, "rows", "rows", {}),
    "binary": (reference.binary_crossentropy, "rows", "rows", {"label_smoothing": 0.2}),
    "squares": (reference.mean_squared_error, "logits", "rows", {}),
    "absolute": (reference.mean_absolute_error, "logits", "rows", {}),
    "huber": (reference.huber, "logits", "rows", {"delta": 0.5}),
    "poisson": (reference.poisson, "rows", "rows", {}),
    "poisson of logarithms": (reference.poisson, "logits", "rows", {"log_input": True}),
}


@pytest.mark.parametrize("case", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_gradient(case, weighted):
    loss, pred, target, parameters = LOSSES[case]
    rng = np.random.default_rng(0)
    data = {"logits": rng.standard_normal((4, 5)), "rows": rng.dirichlet(np.ones(5), 4),
            "labels": rng.integers(0, 5, 4)}  # fmt: skip
    pred = rng.dirichlet(np.ones(5), 4) if pred == "rows" else data[pred]
    weight = rng.uniform(0, 2, 4) if weighted else None
    row_losses, grad = loss(pred, data[target], weight, **parameters)
    assert row_losses.shape == (4,)
    want = numerical_gradient(lambda p: loss(p, data[target], weight, **parameters)[0].sum(), pred, 1e-6)
    np.testing.assert_allclose(grad, want, rtol=1e-5, atol=1e-7)


def test_losses_from_logits_and_from_probabilities_agree():
    rng = np.random.default_rng(0)
    z, labels, rows = rng.standard_normal((6, 4)), rng.integers(0, 4, 6), rng.dirichlet(np.ones(4), 6)
    softmax, sigmoid = (reference.activation_forward(z, name) for name in ("softmax", "sigmoid"))
    for target in (labels, rows):
        from_logits = reference.softmax_crossentropy(z, target)[0]
        np.testing.assert_allclose(from_logits, reference.categorical_crossentropy(softmax, target)[0])
    from_logits = reference.sigmoid_binary_crossentropy(z, rows)[0]
    np.testing.assert_allclose(from_logits, reference.binary_crossentropy(sigmoid, rows)[0])


def test_clipped_probabilities_have_no_gradient():
    loss, grad = reference.binary_crossentropy(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(loss, -np.log(1e-7), rtol=1e-6)
    assert grad.tolist() == [[0, 0]]


def test_labels_are_one_hot_rows():
    rng = np.random.default_rng(0)
    z, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    for smoothing in (0.0, 0.3):
        for loss in (reference.softmax_crossentropy, reference.categorical_crossentropy):
            pred = reference.activation_forward(z, "softmax")
            sparse = loss(pred, labels, label_smoothing=smoothing)
            dense = loss(pred, np.eye(4)[labels], label_smoothing=smoothing)
            np.testing.assert_allclose(sparse[0], dense[0], rtol=1e-14)
            np.testing.assert_allclose(sparse[1], dense[1], rtol=1e-14)


# --------------------------------------------------------------------------------------------- optimizers

STEPS = {
    "sgd": lambda p, g, s, t: reference.sgd_step(p, g, learning_rate=0.1),
    "momentum": lambda p, g, s, t: reference.momentum_step(p, g, s[0], learning_rate=0.05),
    "nesterov": lambda p, g, s, t: reference.momentum_step(p, g, s[0], learning_rate=0.05, nesterov=True),
    "rmsprop": lambda p, g, s, t: reference.rmsprop_step(p, g, s[0], learning_rate=0.02),
    "rmsprop centered": lambda p, g, s, t: reference.rmsprop_step(p, g, s[0], s[1], s[2], momentum=0.5,
                                                                  learning_rate=0.01, epsilon=1e-3),
    "adagrad": lambda p, g, s, t: reference.adagrad_step(p, g, s[0], learning_rate=0.5),
    "adadelta": lambda p, g, s, t: reference.adadelta_step(p, g, s[0], s[1], learning_rate=1.0, epsilon=1e-2),
    "adam": lambda p, g, s, t: reference.adam_step(p, g, s[0], s[1], t, learning_rate=0.05),
    "amsgrad": lambda p, g, s, t: reference.adam_step(p, g, s[0], s[1], t, learning_rate=0.05, v_hat=s[2]),
    "adamw": lambda p, g, s, t: reference.adamw_step(p, g, s[0], s[1], t, learning_rate=0.05),
    "adamax": lambda p, g, s, t: reference.adamax_step(p, g, s[0], s[1], t, learning_rate=0.05),
    "nadam": lambda p, g, s, t: s[2].fill(
        reference.nadam_step(p, g, s[0], s[1], t, 1.0 if t == 1 else s[2].flat[0], learning_rate=0.05)),
    "lion": lambda p, g, s, t: reference.lion_step(p, g, s[0], learning_rate=0.01),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_optimizer_finds_the_bottom_of_a_bowl(name):
    """Minimum of sum(scale * p ** 2) / 2, at zero."""
    param, scale = np.array([1.0, -2.0, 3.0]), np.array([1.0, 2.0, 0.5])
    slots = [np.zeros(3) for _ in range(3)]
    for step in range(1, 601):
        STEPS[name](param, scale * param, slots, step)
    assert np.abs(param).max() < 0.05


@pytest.mark.parametrize("name", ["adam", "amsgrad", "adamw", "adamax"])
def test_first_step_of_adam_is_the_learning_rate(name):
    """Corrected for their start at zero, the averages' ratio is the gradient's sign, whatever its size."""
    param, grad = np.zeros(3), np.array([0.1, -1.0, 1e3])
    STEPS[name](param, grad, [np.zeros(3) for _ in range(3)], 1)
    np.testing.assert_allclose(param, -0.05 * np.sign(grad), rtol=2e-4)


def test_weight_decay_is_decoupled():
    param = np.array([2.0])
    reference.adam_step(param, np.zeros(1), np.zeros(1), np.zeros(1), 1, learning_rate=0.1, weight_decay=0.5)
    assert param.tolist() == [2.0 * (1 - 0.1 * 0.5)]


# --------------------------------------------------------------------------------------------------- rows


def test_philox_known_answers():
    """Vectors published with the generator (Random123, philox4x32 with 10 rounds)."""
    ones, pi = (0xFFFFFFFF,) * 4, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    for counter, key, words in ((ones, 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
                                (pi, 0x299F31D0A4093822, "d16cfe09 94fdcceb 5001e420 24126ea1")):  # fmt: skip
        assert " ".join(f"{int(word):08x}" for word in reference.rows.philox(counter, key)) == words


def test_dropout_keeps_its_share_and_the_mean():
    x = np.ones((300, 301))
    for rate in (0.0, 0.1, 0.5, 0.9):
        y = reference.dropout_forward(x, rate, seed=3)
        assert abs(np.mean(y == 0) - rate) < 0.006
        assert abs(y.mean() - 1) < 0.03
    one = reference.dropout_forward(x, 0.5, seed=3, step=1)
    other = reference.dropout_forward(x, 0.5, seed=3, stream=1)
    assert abs(np.mean((one == 0) == (other == 0)) - 0.5) < 0.01


NORMS = {
    "batch": (lambda x, g, b: reference.batch_normalization_forward(x, g, b)[0],
              lambda dy, x, g: reference.batch_normalization_backward(dy, x, x.mean(axis=0), x.var(axis=0), g)),
    "batch, given": (lambda x, g, b: reference.batch_normalization_forward(x, g, b, b, b + 2)[0],
                     lambda dy, x, g: reference.batch_normalization_backward(dy, x, B, B + 2, g, frozen=True)[:2]),
    "layer": (reference.layer_normalization_forward, reference.layer_normalization_backward),
    "rms": (lambda x, g, _: reference.rms_normalization_forward(x, g), reference.rms_normalization_backward),
    "prelu": (lambda x, g, _: reference.prelu_forward(x, g), reference.prelu_backward),
}  # fmt: skip
B = np.array([0.3, -0.2, 0.5, 1.0, -0.4])


@pytest.mark.parametrize("name", NORMS)
def test_normalization_gradients(name):
    forward, backward = NORMS[name]
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((4, 5)), rng.uniform(0.5, 2, 5), B.copy()]
    dy = rng.standard_normal((4, 5))
    for i, gradient in enumerate(backward(dy, *given[:2])):

        def total(v, i=i):
            return np.sum(dy * forward(*given[:i], v, *given[i + 1 :]))

        np.testing.assert_allclose(gradient, numerical_gradient(total, given[i].copy()), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    x = np.random.default_rng(0).standard_normal((500, 501))
    y = reference.alpha_dropout_forward(x, rate, seed=3)
    assert abs(y.mean()) < 0.01
    assert abs(y.var() - 1) < 0.02
    dy = reference.alpha_dropout_backward(np.ones_like(x), rate, seed=3)
    dropped = reference.dropout_forward(np.ones_like(x), rate, seed=3) == 0
    assert np.array_equal(dy == 0, dropped)
    assert len(np.unique(y[dropped])) == 1


def test_gaussian_numbers_are_normal_and_independent():
    g = reference.gaussian_noise_forward(np.zeros((800, 1001)), 1.0, seed=5)
    assert stats.kstest(g.ravel(), "norm").pvalue > 1e-3
    assert np.abs(g).max() > 4
    for other in (np.roll(g, 1, axis=0), np.roll(g, 1, axis=1), np.roll(g, 16, axis=1), np.abs(np.roll(g, 16, axis=1)),
                  reference.gaussian_noise_forward(np.zeros_like(g), 1.0, seed=5, step=1)):  # fmt: skip
        assert abs(np.corrcoef(g.ravel(), other.ravel())[0, 1]) < 0.005
    factor = reference.gaussian_dropout_forward(np.full_like(g, 2.0), 0.2, seed=5)
    np.testing.assert_allclose(factor, 2 * (1 + 0.5 * g))


def test_gather_rows_converts():
    x = np.array([[0, 255], [7, 9]], np.uint8)
    assert reference.gather_rows(x, np.array([1, 0, 1])).dtype == np.float32
    out = np.empty((1, 2))
    assert reference.gather_rows(x, np.array([0]), out=out) is out
    assert out.tolist() == [[0, 255]]


def test_examples():
    assert doctest.testmod(reference).failed == 0
