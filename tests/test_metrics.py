"""Metrics: values by hand and by scikit-learn and Keras, and the compiled update against its NumPy twin."""

import os

import numpy as np
import pytest

import fastnn as fnn

NAMES = ["accuracy", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy",
         "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy", "mean_squared_error",
         "mean_absolute_error", "root_mean_squared_error", "r2_score", "auc", "precision", "recall",
         "f1_score"]  # fmt: skip


def scores(n, c, seed=0):
    """Predictions of c classes, labels that they often hit, and weights."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, c, n)
    z = rng.normal(size=(n, c)) + 1.5 * np.eye(c)[label]
    soft = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return soft.astype(np.float32), label, rng.random(n)


def binary(n, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    return p.astype(np.float32), (rng.random(n) < p).astype(int), rng.random(n)


# -------------------------------------------------------------------------------------------------- values


def test_accuracies():
    pred = [[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5]]
    assert fnn.metrics.SparseCategoricalAccuracy()([1, 2, 2], pred) == pytest.approx(2 / 3)
    assert fnn.metrics.SparseCategoricalAccuracy()([[1], [2], [2]], pred) == pytest.approx(2 / 3)
    assert fnn.metrics.SparseCategoricalAccuracy()([1, 2, 2], pred, [1, 2, 1]) == 0.5
    assert fnn.metrics.CategoricalAccuracy()(np.eye(3)[[1, 2, 2]], pred) == pytest.approx(2 / 3)
    assert fnn.metrics.BinaryAccuracy()([[1, 0], [1, 1]], [[0.9, 0.6], [0.7, 0.2]], [1, 3]) == 0.5
    assert fnn.metrics.BinaryAccuracy(threshold=0.6)([1, 0], [0.6, 0.6]) == 0.5


def test_of_equal_predictions_the_first_counts():
    tie = [[0.2, 0.4, 0.4], [0.2, 0.4, 0.4]]
    assert fnn.metrics.SparseCategoricalAccuracy()([1, 2], tie) == 0.5
    assert fnn.metrics.CategoricalAccuracy()([[0, 1, 1], [0, 0, 1]], tie) == 0.5


def test_top_k_counts_strictly_larger_predictions():
    pred = np.array([[0.4, 0.3, 0.2, 0.1], [0.3, 0.3, 0.3, 0.1]])
    for k, want in [(1, 0.5), (2, 0.5), (3, 1.0), (9, 1.0)]:
        assert fnn.metrics.SparseTopKCategoricalAccuracy(k=k)([2, 2], pred) == want
        assert fnn.metrics.TopKCategoricalAccuracy(k=k)(np.eye(4)[[2, 2]], pred) == want


def test_errors_of_regression():
    y, p, w = [[0.0, 0.0], [1.0, 1.0]], [[1.0, 3.0], [1.0, 0.0]], [1.0, 3.0]
    assert fnn.metrics.MeanSquaredError()(y, p, w) == pytest.approx((5 + 3 * 0.5) / 4)
    assert fnn.metrics.MeanAbsoluteError()(y, p, w) == pytest.approx((2 + 3 * 0.5) / 4)
    assert fnn.metrics.RootMeanSquaredError()(y, p, w) == pytest.approx(((5 + 3 * 0.5) / 4) ** 0.5)


def test_r2():
    r2 = fnn.metrics.R2Score()
    assert r2([1.0, 4.0, 3.0], [2.0, 4.0, 4.0]) == pytest.approx(4 / 7)
    assert r2([[1.0, 2.0], [2.0, 2.0]], [[1.0, 2.0], [2.0, 2.0]]) == 1.0  # the second column is constant
    assert r2([2.0, 2.0], [1.0, 2.0]) == 0.0
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=50), rng.normal(size=50)
    assert r2(y + 1e8, p + 1e8) == pytest.approx(r2(y, p), rel=1e-6)


def test_precision_recall_f1_of_one_output():
    y, p = [0, 1, 1, 1, 0], [0.9, 0.2, 0.8, 0.7, 0.5]  # 0.5 is not above the threshold: tp 2, fp 1, fn 1
    assert fnn.metrics.Precision()(y, p) == pytest.approx(2 / 3)
    assert fnn.metrics.Recall()(y, p) == pytest.approx(2 / 3)
    assert fnn.metrics.F1Score()(y, p) == pytest.approx(2 / 3)
    assert fnn.metrics.Precision(thresholds=0.75)(y, p) == 0.5
    assert fnn.metrics.Recall(thresholds=0.75)(y, p) == pytest.approx(1 / 3)
    assert fnn.metrics.Precision()(y, p, [1, 1, 3, 1, 1]) == pytest.approx(4 / 5)
    assert fnn.metrics.Precision()([0, 1], [0.1, 0.2]) == 0.0
    assert fnn.metrics.F1Score()([0, 0], [0.1, 0.2]) == 0.0


def test_auc():
    auc = fnn.metrics.AUC()
    assert auc([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]) == 0.75
    assert auc([0, 1], [0.2, 0.8]) == 1.0
    assert auc([1, 0], [0.2, 0.8]) == 0.0
    assert auc([1, 0], [0.5, 0.5]) == 0.5
    assert auc([1, 0], [7.0, -1.0]) == 1.0
    assert auc([1, 1], [0.2, 0.8]) == 0.0  # no negatives: no curve
    assert fnn.metrics.AUC(num_thresholds=2)([0, 1], [0.2, 0.8]) == 0.5


def test_auc_counts_above_each_threshold():
    p, y, w = binary(300)
    p[:100] = np.round(p[:100] * 199) / np.float32(199)  # on the thresholds themselves
    # as bins are found: p > i / 199 in the dtype of p, written without a division
    above = p[:, None] * np.float32(199) > np.arange(1, 199)
    above = np.column_stack([np.ones(300), above, np.zeros(300)])
    true, false = (w * y) @ above / (w * y).sum(), (w * (1 - y)) @ above / (w * (1 - y)).sum()
    want = np.sum((false[:-1] - false[1:]) * (true[:-1] + true[1:])) / 2
    assert fnn.metrics.AUC()(y, p, w) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_scikit_learn_has_the_same_scores(average, weighted):
    sk = pytest.importorskip("sklearn.metrics")
    soft, label, weight = scores(200, 5)
    w = weight if weighted else None
    called = soft.argmax(axis=1)
    for metric, want in [(fnn.metrics.Precision, sk.precision_score), (fnn.metrics.Recall, sk.recall_score),
                         (fnn.metrics.F1Score, sk.f1_score)]:  # fmt: skip
        expected = want(label, called, average=average, sample_weight=w)
        assert metric(average=average)(label, soft, w) == pytest.approx(expected)
        hot = np.eye(5)[label]
        expected = want(hot, soft > 0.3, average=average, sample_weight=w, zero_division=0)
        option = "threshold" if metric is fnn.metrics.F1Score else "thresholds"
        assert metric(average=average, **{option: 0.3})(hot, soft, w) == pytest.approx(expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_scikit_learn_has_the_same_r2_and_nearly_the_same_auc(weighted):
    sk = pytest.importorskip("sklearn.metrics")
    p, y, weight = binary(2000)
    p, w = p.astype(np.float64), weight if weighted else None
    assert fnn.metrics.R2Score()(y, p, w) == pytest.approx(sk.r2_score(y, p, sample_weight=w), rel=1e-9)
    assert fnn.metrics.AUC()(y, p, w) == pytest.approx(sk.roc_auc_score(y, p, sample_weight=w), abs=2e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
@pytest.mark.parametrize("weighted", [False, True])
def test_keras_has_the_same_values(weighted):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", exc_type=ImportError)
    soft, label, w = scores(300, 6)
    hot = np.eye(6, dtype=np.float32)[label]
    p, y, _ = binary(300)
    p[:50] = np.round(p[:50] * 199) / 199
    p, y = p[:, None], y[:, None].astype(np.float32)
    weight = w.astype(np.float32) if weighted else None
    for name, options, true, pred in [
        ("AUC", {}, y, p), ("AUC", {"num_thresholds": 20}, y, p), ("AUC", {}, hot, soft),
        ("Precision", {}, y, p), ("Precision", {}, hot, soft), ("Recall", {"thresholds": 0.3}, y, p),
        ("F1Score", {"average": "macro"}, hot, soft), ("F1Score", {"average": "micro"}, hot, soft),
        ("F1Score", {"average": "weighted"}, hot, soft),
        ("F1Score", {"average": "macro", "threshold": 0.4}, hot, soft),
        ("R2Score", {}, hot, soft), ("MeanSquaredError", {}, hot, soft), ("MeanAbsoluteError", {}, hot, soft),
        ("RootMeanSquaredError", {}, hot, soft), ("CategoricalAccuracy", {}, hot, soft),
        ("SparseCategoricalAccuracy", {}, label, soft), ("BinaryAccuracy", {"threshold": 0.3}, hot, soft),
        ("TopKCategoricalAccuracy", {"k": 2}, hot, soft.round(1)),
        ("SparseTopKCategoricalAccuracy", {"k": 2}, label, soft.round(1)),
    ]:  # fmt: skip
        theirs = getattr(keras.metrics, name)(**options)
        theirs.update_state(true, pred, sample_weight=weight)
        want = float(keras.ops.convert_to_numpy(theirs.result()))
        ours = getattr(fnn.metrics, name)(**options)
        assert ours(true, pred, weight) == pytest.approx(want, rel=2e-6, abs=1e-6), ours


# --------------------------------------------------------------------------------------- state, and kernels


@pytest.mark.parametrize("name", NAMES)
def test_a_state_takes_rows_in_any_pieces(name):
    soft, label, w = scores(60, 5)
    sparse = name in ("accuracy", "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy")
    y = label if sparse else np.eye(5)[label]
    metric = fnn.metrics.get(name).resolve(sparse, 5)
    state = np.zeros(metric.state_size(5))
    for a, b in [(0, 1), (1, 1), (1, 20), (20, 60)]:
        fnn.metrics.metric_update(metric.kind, state, y[a:b], soft[a:b], w[a:b], metric.param)
    assert metric.result(state) == pytest.approx(metric(y, soft, w), rel=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "n_outputs", "names"), [
    ("sparse_categorical_crossentropy", 7,
     ["accuracy", "sparse_top_k_categorical_accuracy", "auc", "precision", "recall", "f1_score"]),
    ("sparse_categorical_crossentropy", 37,
     ["accuracy", "sparse_top_k_categorical_accuracy", "auc", "precision", "f1_score"]),
    ("categorical_crossentropy", 7,
     ["accuracy", "top_k_categorical_accuracy", "auc", "precision", "recall", "f1_score", "mse"]),
    ("binary_crossentropy", 1, ["accuracy", "auc", "precision", "recall", "f1_score"]),
    ("mse", 3, ["mse", "mae", "root_mean_squared_error", "r2_score"]),
])  # fmt: skip
def test_compiled_updates_equal_their_twin(loss, n_outputs, names, dtype):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(101, 4)).astype(dtype)
    label = rng.integers(0, max(n_outputs, 2), 101)
    y = {"sparse_categorical_crossentropy": label, "mse": rng.normal(size=(101, n_outputs)) + 100,
         "binary_crossentropy": label[:, None]}.get(loss)  # fmt: skip
    y = np.eye(n_outputs)[label] if y is None else y
    last = {"mse": "linear", "binary_crossentropy": "sigmoid"}.get(loss, "softmax")
    model = fnn.Sequential([fnn.layers.Dense(n_outputs, activation=last)], seed=0, dtype=dtype)
    model.compile(optimizer="sgd", loss=loss, metrics=names)
    got = model.evaluate(x, y, batch_size=17, verbose=0, return_dict=True)
    pred = model.predict(x, verbose=0)
    for name in names:
        metric = fnn.metrics.get(name, loss, n_outputs)
        assert got[name] == pytest.approx(metric(y, pred), rel=1e-6 if dtype == "float32" else 1e-10), name


# --------------------------------------------------------------------------------------------------- faces


@pytest.mark.parametrize("name", NAMES)
def test_names_classes_instances_and_configurations(name):
    metric = fnn.metrics.get(name)
    assert metric.name == name
    assert type(fnn.metrics.get(type(metric))) is type(metric)
    assert type(fnn.metrics.get(type(metric).__name__)) is type(metric)
    assert fnn.metrics.get(metric) is metric
    assert fnn.metrics.get(fnn.metrics.serialize(metric)).get_config() == metric.get_config()


@pytest.mark.parametrize("metric", [
    fnn.metrics.BinaryAccuracy(threshold=0.25, name="strict"),
    fnn.metrics.TopKCategoricalAccuracy(k=3),
    fnn.metrics.AUC(num_thresholds=50),
    fnn.metrics.Precision(thresholds=0.75, average="macro", name="precision_75"),
    fnn.metrics.F1Score(average="weighted", threshold=0.1),
])  # fmt: skip
def test_parameters_survive_the_configuration(metric):
    again = fnn.metrics.deserialize(fnn.metrics.serialize(metric))
    assert again is not metric
    assert again.get_config() == metric.get_config()
    assert again.name == metric.name


@pytest.mark.parametrize(("loss", "n_outputs", "want"), [
    ("sparse_categorical_crossentropy", 10, "SparseCategoricalAccuracy"),
    ("categorical_crossentropy", 10, "CategoricalAccuracy"),
    ("binary_crossentropy", 1, "BinaryAccuracy"),
    ("mse", 1, "BinaryAccuracy"),
    ("binary_crossentropy", 3, "CategoricalAccuracy"),
])  # fmt: skip
def test_accuracy_is_resolved_as_in_keras(loss, n_outputs, want):
    for identifier, name in [("accuracy", "accuracy"), ("acc", "acc"), (fnn.metrics.Accuracy, "accuracy"),
                             (fnn.metrics.Accuracy(name="mine"), "mine")]:  # fmt: skip
        metric = fnn.metrics.get(identifier, loss, n_outputs)
        assert (type(metric).__name__, metric.name) == (want, name)


def test_resolving_leaves_the_given_instance_alone():
    given = fnn.metrics.Precision()
    resolved = fnn.metrics.get(given, "sparse_categorical_crossentropy", 3)
    assert resolved is not given
    assert (resolved.sparse, given.sparse) == (True, False)
    assert (resolved.kind, given.kind) == ("confusion_sparse", "confusion")


def test_refusals():
    with pytest.raises(ValueError, match="Did you mean 'accuracy'"):
        fnn.metrics.get("acuracy")
    for wrong in (None, 3, fnn.metrics.Metric, {"k": 5}):
        with pytest.raises(TypeError, match="metric must be"):
            fnn.metrics.get(wrong)
    with pytest.raises(ValueError, match="takes targets that are rows of numbers; received integer labels"):
        fnn.metrics.get("categorical_accuracy", "sparse_categorical_crossentropy", 3)
    with pytest.raises(ValueError, match="takes targets that are integer labels; received rows of numbers"):
        fnn.metrics.get("sparse_categorical_accuracy", "mse", 3)
    with pytest.raises(ValueError, match=r"k must be an integer in \[1, 2147483647\]; received 0"):
        fnn.metrics.TopKCategoricalAccuracy(k=0)
    with pytest.raises(ValueError, match=r"num_thresholds must be an integer in \[2, 1048576\]; received 1$"):
        fnn.metrics.AUC(num_thresholds=1)
    with pytest.raises(ValueError, match=r"num_thresholds must be .*; received 1180591620717411303424"):
        fnn.metrics.AUC(num_thresholds=2**70)
    with pytest.raises(ValueError, match=r"average must be .*'macro' or .*; received 'mean'"):
        fnn.metrics.F1Score(average="mean")
    with pytest.raises(TypeError, match="threshold must be a number"):
        fnn.metrics.Precision(thresholds=[0.2, 0.5])
    with pytest.raises(TypeError, match="name must be a string"):
        fnn.metrics.AUC(name=3)
    with pytest.raises(ValueError, match=r"y_true must have shape \(2, 1\)"):
        fnn.metrics.MeanSquaredError()([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"labels must be integers in \[0, 2\)"):
        fnn.metrics.Accuracy()([0, 5], [[0.5, 0.5], [0.5, 0.5]])
