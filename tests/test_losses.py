"""Losses: values by hand, gradients by finite differences, extreme logits, and the faces over the kernels."""

import math
import os

import numpy as np
import pytest

import fastnn as fnn

NAMES = ["sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy",
         "mean_squared_error", "mean_absolute_error", "huber", "poisson"]  # fmt: skip
RNG = np.random.default_rng(0)


def logits(n, c):
    return 4 * RNG.normal(size=(n, c))


def probabilities(n, c):
    return 0.01 + 0.98 * RNG.random((n, c))


def labels(n, c):
    return RNG.integers(0, c, n)


def distribution(n, c):
    return RNG.dirichlet(np.ones(c), n)


# kernel, what makes predictions, what makes targets, options
CASES = [
    ("softmax_crossentropy", logits, labels, {}),
    ("softmax_crossentropy", logits, labels, {"label_smoothing": 0.1}),
    ("softmax_crossentropy", logits, distribution, {}),
    ("softmax_crossentropy", logits, distribution, {"label_smoothing": 0.1}),
    ("sigmoid_binary_crossentropy", logits, probabilities, {}),
    ("sigmoid_binary_crossentropy", logits, probabilities, {"label_smoothing": 0.1}),
    ("categorical_crossentropy", probabilities, labels, {}),
    ("categorical_crossentropy", probabilities, labels, {"label_smoothing": 0.1}),
    ("categorical_crossentropy", probabilities, distribution, {"label_smoothing": 0.1}),
    ("binary_crossentropy", probabilities, probabilities, {"label_smoothing": 0.1}),
    ("mean_squared_error", logits, logits, {}),
    ("mean_absolute_error", logits, logits, {}),
    ("huber", logits, logits, {"delta": 1.5}),
    ("poisson", probabilities, probabilities, {}),
    ("poisson", logits, probabilities, {"log_input": True}),
]
IDS = [f"{name}-{target.__name__}{'-' + next(iter(options)) if options else ''}"
       for name, _, target, options in CASES]  # fmt: skip


@pytest.fixture(params=CASES, ids=IDS)
def case(request):
    name, make_pred, make_target, options = request.param
    kernel, twin = getattr(fnn.kernels, name), getattr(fnn.reference, name)

    def make(n, c, dtype=np.float64):
        target = make_target(n, c)
        return make_pred(n, c).astype(dtype), target if target.ndim == 1 else target.astype(dtype)

    return kernel, twin, make, options


# ------------------------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("c", [1, 2, 3, 10, 33])
def test_gradient_is_the_slope_of_the_value(case, c):
    kernel, _, make, options = case
    pred, target = make(4, c)
    weight = np.array([1.0, 0.25, 0.0, 3.0])
    _, grad = kernel(pred, target, weight, **options)
    h, numeric = 1e-5, np.empty_like(pred)
    for place in np.ndindex(pred.shape):
        up, down = pred.copy(), pred.copy()
        up[place] += h
        down[place] -= h
        numeric[place] = (kernel(up, target, weight, **options)[0].sum()
                          - kernel(down, target, weight, **options)[0].sum()) / (2 * h)  # fmt: skip
    scale = max(np.abs(numeric).max(), 1e-3)
    np.testing.assert_allclose(grad, numeric, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_tail_equals_the_twin(case, dtype):
    kernel, twin, make, options = case
    for c in [*range(1, 71), 129, 1000]:
        pred, target = make(3, c, dtype)
        weight = np.array([0.5, 1.0, 2.0])
        value, grad = kernel(pred, target, weight, **options)
        target64 = target if target.ndim == 1 else target.astype(np.float64)
        want_value, want_grad = twin(pred.astype(np.float64), target64, weight, **options)
        # in float32 the clip of probabilities is at 1 - 1.19e-7, a loss of 1.2e-7 instead of 1e-7
        tolerance = 3e-6 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(value, want_value, rtol=tolerance, atol=tolerance / 10)
        np.testing.assert_allclose(grad, want_grad, rtol=tolerance, atol=tolerance * np.abs(want_grad).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_do_not_depend_on_each_other(case, dtype):
    kernel, _, make, options = case
    pred, target = make(9, 13, dtype)
    value, grad = kernel(pred, target, **options)
    for n_threads in (1, 2, 3):
        again = kernel(pred, target, n_threads=n_threads, **options)
        assert (again[0] == value).all()
        assert (again[1] == grad).all()
    for r in range(9):
        one_value, one_grad = kernel(pred[r : r + 1], target[r : r + 1], **options)
        assert one_value[0] == value[r]
        assert (one_grad[0] == grad[r]).all()


def test_values_by_hand():
    value, grad = fnn.kernels.softmax_crossentropy(np.log([[1.0, 2.0, 5.0]]), np.array([1]))
    np.testing.assert_allclose(value, [-math.log(0.25)])
    np.testing.assert_allclose(grad, [[0.125, -0.75, 0.625]])
    value, grad = fnn.kernels.sigmoid_binary_crossentropy(np.log([[3.0, 1.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(value, [(math.log(4 / 3) + math.log(2)) / 2])
    np.testing.assert_allclose(grad, [[-0.125, 0.25]])
    value, grad = fnn.kernels.huber(np.array([[0.5, -3.0]]), np.zeros((1, 2)), delta=1.0)
    np.testing.assert_allclose(value, [(0.125 + 2.5) / 2])
    np.testing.assert_allclose(grad, [[0.25, -0.5]])
    value, grad = fnn.kernels.mean_absolute_error(np.array([[2.0, 1.0]]), np.array([[1.0, 1.0]]))
    np.testing.assert_array_equal(value, [0.5])
    np.testing.assert_array_equal(grad, [[0.5, 0.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("c", [2, 10, 40])
@pytest.mark.parametrize("rows", [False, True])
def test_extreme_logits_of_softmax(dtype, smoothing, c, rows):
    big = float(np.float32(3e38))
    z = np.full((4, c), -big, dtype)
    z[0, 1] = big  # far from the label, which is 0
    z[1, 0] = big
    z[2] = big
    z[3], z[3, 0] = 0, 20
    target = np.eye(c, dtype=dtype)[[0] * 4] if rows else np.zeros(4, int)
    value, grad = fnn.kernels.softmax_crossentropy(z, target, label_smoothing=smoothing)
    spread = smoothing / c
    others = (c - 1) * math.exp(-20)
    want = [2 * big * (1 - smoothing + spread * (c - 1)), 2 * big * spread * (c - 1), math.log(c),
            20 * spread * (c - 1) + math.log1p(others)]  # fmt: skip
    np.testing.assert_allclose(value, want, rtol=1e-6)
    assert np.isfinite(grad).all()
    if smoothing == 0:
        np.testing.assert_allclose(grad[3, 0], -others / (1 + others), rtol=1e-6)
        np.testing.assert_allclose(grad[0], np.eye(c)[1] - np.eye(c)[0], atol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_extreme_logits_of_sigmoid(dtype, smoothing):
    big = float(np.float32(3e38))
    z = np.array([[big], [-big], [big], [-big], [25], [-25]], dtype)
    t = np.array([[0], [1], [1], [0], [1], [0]], dtype)
    value, grad = fnn.kernels.sigmoid_binary_crossentropy(z, t, label_smoothing=smoothing)
    wrong, right = 1 - smoothing / 2, smoothing / 2
    tail = 25 * right + math.log1p(math.exp(-25))
    np.testing.assert_allclose(value, [big * wrong] * 2 + [big * right] * 2 + [tail] * 2, rtol=1e-6)
    assert np.isfinite(grad).all()
    if smoothing == 0:
        slope = math.exp(-25) / (1 + math.exp(-25))
        np.testing.assert_allclose(grad[4:, 0], [-slope, slope], rtol=1e-6)


def test_softmax_against_high_precision():
    mpmath = pytest.importorskip("mpmath")
    z = np.array([[3e38, 3e38, -3e38, 1.0], [12.0, -7.0, 11.5, 0.25]], np.float32)
    value, grad = fnn.kernels.softmax_crossentropy(z, np.array([2, 1]))
    with mpmath.workdps(60):
        for row, label, got, slope in zip(z, (2, 1), value, grad, strict=True):
            terms = [mpmath.mpf(float(x)) for x in row]
            total = sum(mpmath.exp(x - max(terms)) for x in terms)
            assert got == pytest.approx(float(max(terms) - terms[label] + mpmath.log(total)), rel=1e-6)
            want = [float(mpmath.exp(x - max(terms)) / total) - (j == label) for j, x in enumerate(terms)]
            np.testing.assert_allclose(slope, want, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipped_probabilities_have_no_gradient(dtype):
    value, grad = fnn.kernels.categorical_crossentropy(np.array([[0.0, 1.0]], dtype), np.array([0]))
    np.testing.assert_allclose(value, [-math.log(1e-7)], rtol=1e-6)
    np.testing.assert_array_equal(grad, [[0, 0]])
    value, grad = fnn.kernels.binary_crossentropy(np.array([[0.0, 0.5]], dtype), np.ones((1, 2), dtype))
    np.testing.assert_allclose(value, [(-math.log(1e-7) + math.log(2)) / 2], rtol=1e-6)
    np.testing.assert_allclose(grad, [[0, -1]])


def test_a_nan_stays_one(case):
    kernel, _, make, options = case
    pred, target = make(2, 21)
    pred[0, 17] = np.nan
    value, _ = kernel(pred, target, **options)
    assert np.isnan(value[0])
    assert np.isfinite(value[1])


# --------------------------------------------------------------------------------------------------- faces


@pytest.mark.parametrize("name", NAMES)
def test_names_classes_instances_and_configurations(name):
    loss = fnn.losses.get(name)
    assert loss.name == name
    assert type(fnn.losses.get(type(loss))) is type(loss)
    assert fnn.losses.get(loss) is loss
    assert fnn.losses.get(fnn.losses.serialize(loss)).get_config() == loss.get_config()


@pytest.mark.parametrize("loss", [
    fnn.losses.SparseCategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
    fnn.losses.CategoricalCrossentropy(label_smoothing=0.1),
    fnn.losses.BinaryCrossentropy(from_logits=True),
    fnn.losses.Huber(delta=0.5),
])  # fmt: skip
def test_parameters_survive_the_configuration(loss):
    again = fnn.losses.deserialize(fnn.losses.serialize(loss))
    assert again is not loss
    assert again.get_config() == loss.get_config()
    assert again.param == loss.param


def test_short_names():
    assert type(fnn.losses.get("mse")) is fnn.losses.MeanSquaredError
    assert type(fnn.losses.get("mae")) is fnn.losses.MeanAbsoluteError
    assert type(fnn.losses.get("bce")) is fnn.losses.BinaryCrossentropy


def test_refusals():
    with pytest.raises(ValueError, match="Did you mean 'categorical_crossentropy'"):
        fnn.losses.get("categorical_crossentropi")
    for wrong in (None, 3, fnn.losses.Loss):
        with pytest.raises(TypeError, match="loss must be"):
            fnn.losses.get(wrong)
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\]; received 1\.5"):
        fnn.losses.BinaryCrossentropy(label_smoothing=1.5)
    with pytest.raises(TypeError, match="from_logits must be True or False"):
        fnn.losses.BinaryCrossentropy(from_logits="yes")
    with pytest.raises(ValueError, match=r"delta must be in \(0, inf\)"):
        fnn.losses.Huber(delta=0)
    loss = fnn.losses.SparseCategoricalCrossentropy()
    with pytest.raises(ValueError, match=r"labels must be integers in \[0, 2\); row 1 has 2"):
        loss([0, 2], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(ValueError, match=r"labels must have shape \(2,\)"):
        loss([0], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(ValueError, match=r"y_true must have shape \(1, 2\)"):
        fnn.losses.MeanSquaredError()([[1.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(2,\)"):
        fnn.losses.MeanSquaredError()([1.0, 2.0], [1.0, 2.0], [1.0])


@pytest.mark.parametrize(("loss", "activation", "want"), [
    ("sparse_categorical_crossentropy", "softmax", ("softmax_ce_sparse", True)),
    ("sparse_categorical_crossentropy", "sigmoid", ("ce_sparse", False)),
    ("categorical_crossentropy", "softmax", ("softmax_ce", True)),
    ("categorical_crossentropy", "relu", ("ce", False)),
    ("binary_crossentropy", "sigmoid", ("sigmoid_bce", True)),
    ("binary_crossentropy", "softmax", ("bce", False)),
    (fnn.losses.SparseCategoricalCrossentropy(from_logits=True), "linear", ("softmax_ce_sparse", False)),
    (fnn.losses.CategoricalCrossentropy(from_logits=True), "linear", ("softmax_ce", False)),
    (fnn.losses.BinaryCrossentropy(from_logits=True), "linear", ("sigmoid_bce", False)),
    ("mse", "softmax", ("mse", False)),
    ("mae", "linear", ("mae", False)),
    ("huber", "linear", ("huber", False)),
    ("poisson", "softplus", ("poisson", False)),
    ("poisson", "exponential", ("exp_poisson", True)),
])  # fmt: skip
def test_kernel_behind_a_last_layer(loss, activation, want):
    assert fnn.losses.get(loss).kernel(activation) == want


def test_logits_behind_an_activation_are_refused():
    with pytest.raises(ValueError, match="received 'softmax'"):
        fnn.losses.CategoricalCrossentropy(from_logits=True).kernel("softmax")


def test_a_call_is_the_mean_of_weighted_rows():
    loss = fnn.losses.MeanSquaredError()
    assert loss([1.0, 2.0], [2.0, 4.0]) == 2.5
    assert loss([1.0, 2.0], [2.0, 4.0], sample_weight=[1.0, 0.5]) == 1.5
    z = [[3e38, -3e38]]
    assert fnn.losses.SparseCategoricalCrossentropy(from_logits=True)([1], z) == pytest.approx(6e38)
    assert fnn.losses.CategoricalCrossentropy()([[0, 1]], [[1.0, 3.0]]) == pytest.approx(-math.log(0.75))


def test_label_smoothing_is_a_softer_target():
    pred = distribution(5, 4)
    hot = np.eye(4)[labels(5, 4)]
    smooth = fnn.losses.CategoricalCrossentropy(label_smoothing=0.2)(hot, pred)
    assert smooth == pytest.approx(fnn.losses.CategoricalCrossentropy()(hot * 0.8 + 0.05, pred))
    smooth = fnn.losses.BinaryCrossentropy(label_smoothing=0.2)(hot, pred)
    assert smooth == pytest.approx(fnn.losses.BinaryCrossentropy()(hot * 0.8 + 0.1, pred))


def test_value_and_gradient_of_a_face():
    y, p = np.array([[1.0, 0.0]]), np.array([[0.5, 2.0]])
    np.testing.assert_allclose(fnn.losses.Huber().call(y, p), [(0.125 + 1.5) / 2])
    np.testing.assert_allclose(fnn.losses.Huber().gradient(y, p), [[-0.25, 0.5]])


class Quartic(fnn.losses.Loss):
    name = "quartic"

    def call(self, y_true, y_pred):
        return np.mean((y_pred - y_true) ** 4, axis=1)

    def gradient(self, y_true, y_pred):
        return 4 * (y_pred - y_true) ** 3 / y_true.shape[1]


def test_a_loss_of_your_own():
    loss = fnn.losses.get(Quartic)
    assert loss.kernel("linear") == (None, False)
    assert loss([[0.0, 0.0]], [[1.0, 2.0]]) == 8.5
    with pytest.raises(NotImplementedError, match="must define call"):
        fnn.losses.Loss()([1.0], [1.0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
@pytest.mark.parametrize("weighted", [False, True])
def test_keras_has_the_same_values(weighted):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", exc_type=ImportError)
    n, c = 50, 6
    weight = RNG.random(n).astype(np.float32) if weighted else None
    label, soft = labels(n, c), distribution(n, c).astype(np.float32)
    hot, z = np.eye(c, dtype=np.float32)[label], logits(n, c).astype(np.float32)
    for name, options, y, p in [
        ("SparseCategoricalCrossentropy", {}, label, soft),
        ("SparseCategoricalCrossentropy", {"from_logits": True}, label, z),
        ("CategoricalCrossentropy", {"label_smoothing": 0.1}, hot, soft),
        ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, hot, z),
        ("BinaryCrossentropy", {"label_smoothing": 0.1}, hot, soft),
        ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, hot, z),
        ("MeanSquaredError", {}, soft, z),
        ("MeanAbsoluteError", {}, soft, z),
        ("Huber", {"delta": 0.5}, soft, z),
        ("Poisson", {}, hot, soft),
    ]:
        want = float(getattr(keras.losses, name)(**options)(y, p, sample_weight=weight))
        assert getattr(fnn.losses, name)(**options)(y, p, weight) == pytest.approx(want, rel=3e-6)
