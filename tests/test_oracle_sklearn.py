"""scikit-learn as oracle: metrics, and the perceptron's forward pass and training from the same weights.

Everything is float64; numbers are equal to relative 1e-9, absolute 1e-12.
"""

import importlib.util
import warnings

import numpy as np
import pytest

import fastnn as fnn

pytestmark = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="not installed: sklearn")

N, CLASSES = 301, 5


def near(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12)


@pytest.fixture(scope="module")
def metrics():
    return pytest.importorskip("sklearn.metrics")


@pytest.fixture(scope="module")
def networks():
    return pytest.importorskip("sklearn.neural_network")


@pytest.fixture
def labelled():
    """Labels, scores that know something of them, and weights."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, N)
    scores = rng.uniform(size=(N, CLASSES)) + np.eye(CLASSES)[labels] * 0.3
    return labels, scores / scores.sum(axis=1, keepdims=True), rng.uniform(0, 2, N)


def compiled(metric, loss, y, scores):
    """The metric of a model that changes nothing, as the engine computes it."""
    model = fnn.Sequential([fnn.Input(scores.shape[1:]), fnn.layers.Rescaling(1.0)], dtype="float64")
    model.compile("sgd", loss, metrics=[metric])
    return model.evaluate(scores, y)[1]


# ------------------------------------------------------------------------------------------------ metrics


@pytest.mark.parametrize("num_thresholds", [200, 50])
def test_auc_is_exact_where_scores_are_as_coarse_as_the_thresholds(metrics, num_thresholds):
    rng = np.random.default_rng(0)
    bins = num_thresholds - 1
    scores = (rng.integers(0, bins, (N, 1)) + 0.5) / bins
    y = (rng.uniform(size=(N, 1)) < scores) * 1.0
    weight = rng.uniform(0, 2, N)
    ours = fnn.metrics.AUC(num_thresholds=num_thresholds)
    assert ours(y, scores) == near(metrics.roc_auc_score(y, scores))
    assert ours(y, scores, weight) == near(metrics.roc_auc_score(y, scores, sample_weight=weight))
    assert compiled(ours, "mse", y, scores) == near(metrics.roc_auc_score(y, scores))


def test_auc_of_fine_scores(metrics):
    """Within the area of the curve's steps in a bin."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=20_000)
    y = (rng.uniform(size=scores.shape) < scores) * 1.0
    exact = metrics.roc_auc_score(y, scores)
    assert fnn.metrics.AUC()(y, scores) == pytest.approx(exact, abs=1e-4)
    assert fnn.metrics.AUC(num_thresholds=20_001)(y, scores) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_scores_of_classes(metrics, labelled, name, average):
    """From integer labels and from one-hot rows."""
    labels, scores, weight = labelled
    theirs = getattr(metrics, f"{name}_score")
    predicted = scores.argmax(axis=1)
    cls = {"precision": fnn.metrics.Precision, "recall": fnn.metrics.Recall, "f1": fnn.metrics.F1Score}[name]
    expected = theirs(labels, predicted, average=average)
    assert cls(average=average)(labels, scores) == near(expected)
    assert cls(average=average)(labels, scores, weight) == near(
        theirs(labels, predicted, average=average, sample_weight=weight))
    assert compiled(cls(average=average), "sparse_categorical_crossentropy", labels, scores) == near(expected)
    if name == "f1":
        assert cls(average=average)(np.eye(CLASSES)[labels], scores) == near(expected)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_scores_of_many_labels(metrics, name, average):
    """Columns that are on or off independently; among them one never on and one never called."""
    rng = np.random.default_rng(1)
    y, scores, weight = rng.integers(0, 2, (N, 4)) * 1.0, rng.uniform(size=(N, 4)), rng.uniform(0, 2, N)
    y[:, 1], scores[:, 2] = 0, 0.1
    cls = {"precision": fnn.metrics.Precision, "recall": fnn.metrics.Recall, "f1": fnn.metrics.F1Score}[name]
    ours = cls(0.4, average=average) if name != "f1" else cls(average, 0.4)

    def expected(**options):
        return getattr(metrics, f"{name}_score")(y, scores > 0.4, average=average, zero_division=0, **options)

    assert ours(y, scores) == near(expected())
    assert ours(y, scores, weight) == near(expected(sample_weight=weight))
    assert compiled(ours, "mse", y, scores) == near(expected())


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_scores_of_two_classes(metrics, name):
    rng = np.random.default_rng(1)
    y, scores = rng.integers(0, 2, N), rng.uniform(size=N)
    cls = {"precision": fnn.metrics.Precision, "recall": fnn.metrics.Recall, "f1": fnn.metrics.F1Score}[name]
    expected = getattr(metrics, f"{name}_score")(y, scores > 0.5)
    assert cls()(y, scores) == near(expected)
    assert compiled(cls(), "binary_crossentropy", y, scores[:, None]) == near(expected)


def test_accuracies(metrics, labelled):
    labels, scores, weight = labelled
    predicted = scores.argmax(axis=1)
    for options, arguments in (({}, ()), ({"sample_weight": weight}, (weight,))):
        exact = near(metrics.accuracy_score(labels, predicted, **options))
        assert fnn.metrics.SparseCategoricalAccuracy()(labels, scores, *arguments) == exact
        assert fnn.metrics.CategoricalAccuracy()(np.eye(CLASSES)[labels], scores, *arguments) == exact
        for k in (1, 2, 3):
            top = near(metrics.top_k_accuracy_score(labels, scores, k=k, **options))
            sparse = fnn.metrics.SparseTopKCategoricalAccuracy(k)
            onehot = fnn.metrics.TopKCategoricalAccuracy(k)
            assert sparse(labels, scores, *arguments) == top
            assert onehot(np.eye(CLASSES)[labels], scores, *arguments) == top


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize(("ours", "theirs"), [
    ("R2Score", "r2_score"), ("MeanSquaredError", "mean_squared_error"),
    ("MeanAbsoluteError", "mean_absolute_error")])
def test_regression(metrics, ours, theirs, columns):
    """With a mean far from 0, where sums of squares would cancel."""
    rng = np.random.default_rng(2)
    y = rng.normal(1e4, 2, (N, columns))
    p, weight = y + rng.normal(size=y.shape), rng.uniform(0, 2, N)
    metric, function = getattr(fnn.metrics, ours)(), getattr(metrics, theirs)
    assert metric(y, p) == near(function(y, p))
    assert metric(y, p, weight) == near(function(y, p, sample_weight=weight))
    assert compiled(metric, "mse", y, p) == near(function(y, p))


def test_r2_of_constant_targets(metrics):
    y = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 2.0]])
    p = np.array([[1.0, 2.0, 0.5], [1.0, 1.0, 2.0]])
    assert fnn.metrics.R2Score()(y, p) == near(metrics.r2_score(y, p))


def test_crossentropy(metrics, labelled):
    labels, scores, weight = labelled
    ours = fnn.losses.SparseCategoricalCrossentropy()
    assert ours(labels, scores) == near(metrics.log_loss(labels, scores))
    # Keras divides by the number of samples, scikit-learn by the sum of their weights.
    assert ours(labels, scores, weight) / weight.mean() == near(
        metrics.log_loss(labels, scores, sample_weight=weight))


# ------------------------------------------------------------------------------------------- perceptrons

ACTIVATIONS = {"identity": "linear", "relu": "relu", "tanh": "tanh", "logistic": "sigmoid"}
TRAINED = {  # what MLPClassifier is told, the same for fastnn
    "sgd": ({"solver": "sgd", "momentum": 0.0}, fnn.optimizers.SGD(2.0**-5)),
    "momentum": ({"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False},
                 fnn.optimizers.SGD(2.0**-5, momentum=0.9)),
    "nesterov": ({"solver": "sgd", "momentum": 0.9},
                 fnn.optimizers.SGD(2.0**-5, momentum=0.9, nesterov=True)),
    "adam": ({"solver": "adam"}, fnn.optimizers.Adam(2.0**-5, epsilon=1e-8)),
}


def fit(estimator, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        return estimator.fit(x, y)


def data(n, outputs):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 6))
    return x, rng.integers(0, outputs, n)


def parameters(estimator):
    return [a for layer in zip(estimator.coefs_, estimator.intercepts_, strict=True) for a in layer]


def twin(estimator, last):
    """A model with the estimator's weights."""
    hidden = ACTIVATIONS[estimator.activation]
    sizes = [w.shape[1] for w in estimator.coefs_]
    model = fnn.Sequential([fnn.Input((estimator.coefs_[0].shape[0],)),
                            *(fnn.layers.Dense(size, activation=hidden) for size in sizes[:-1]),
                            fnn.layers.Dense(sizes[-1], activation=last)], dtype="float64")
    model.set_weights(parameters(estimator))
    return model


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward(networks, activation):
    """Class probabilities of three and of two classes, and a regression."""
    options = {"hidden_layer_sizes": (9, 7), "activation": activation, "max_iter": 3, "random_state": 0}
    x, y = data(100, 3)
    three = fit(networks.MLPClassifier(**options), x, y)
    assert twin(three, "softmax").predict(x) == near(three.predict_proba(x))
    two = fit(networks.MLPClassifier(**options), x, y > 0)
    assert twin(two, "sigmoid").predict(x)[:, 0] == near(two.predict_proba(x)[:, 1])
    real = fit(networks.MLPRegressor(**options), x, x[:, :2] * 3)
    assert twin(real, None).predict(x) == near(real.predict(x))


@pytest.mark.parametrize("n", [96, 90], ids=["whole batches", "short last batch"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("options", "optimizer"), TRAINED.values(), ids=TRAINED.keys())
def test_training(networks, options, optimizer, classes, n):
    """20 epochs of 6 batches of 16: weights equal to 1e-9 of their arrays' norms; losses of the epochs."""
    x, y = data(n, classes)
    estimator = networks.MLPClassifier((9,), activation="tanh", alpha=0, batch_size=16, shuffle=False,
                                       learning_rate_init=2.0**-5, max_iter=1, tol=0, n_iter_no_change=1000,
                                       warm_start=True, random_state=0, **options)
    fit(estimator, x, y)
    model = twin(estimator, "sigmoid" if classes == 2 else "softmax")
    model.compile(fnn.optimizers.get(optimizer.get_config()),
                  "binary_crossentropy" if classes == 2 else "sparse_categorical_crossentropy")
    history = model.fit(x, y, batch_size=16, epochs=20, shuffle=False, verbose=0).history
    start = len(estimator.loss_curve_)
    fit(estimator.set_params(max_iter=20), x, y)  # warm: keeps the weights, begins with a new optimizer
    assert history["loss"] == near(estimator.loss_curve_[start:])
    for a, b in zip(model.get_weights(), parameters(estimator), strict=True):
        assert np.linalg.norm(a - b) <= 1e-9 * np.linalg.norm(b)
