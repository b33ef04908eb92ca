"""preset="auto" of the estimators: networks for tables."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.utils import estimator_checks

import fastnn as fnn
from fastnn.sklearn import MLPClassifier, MLPRegressor
from fastnn.sklearn import _auto as auto
from fastnn.sklearn._realmlp import TableNetwork

KINDS = {
    "binary": (MLPClassifier, lambda: load_breast_cancer(return_X_y=True)),
    "multiclass": (MLPClassifier, lambda: load_wine(return_X_y=True)),
    "multilabel": (MLPClassifier, lambda: (load_wine().data, np.eye(3, dtype=int)[load_wine().target])),
    "numbers": (MLPRegressor, lambda: load_diabetes(return_X_y=True)),
    "rows": (MLPRegressor, lambda: (load_wine().data[:, :9], load_wine().data[:, 9:])),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind, **options):
    cls, load = KINDS[kind]
    return cls(preset="auto", **({"random_state": 0, "max_iter": 6, "n_jobs": 1} | options)), *load()


# ---- scikit-learn's checks ------------------------------------------------------------------------------------

MORE_CHECKS = ("check_param_validation", "check_dataframe_column_names_consistency", "check_inplace_ensure_writeable",
               "check_set_output_transform", "check_set_output_transform_pandas", "check_set_output_transform_polars")


@estimator_checks.parametrize_with_checks([cls(preset="auto", n_jobs=1) for cls in (MLPClassifier, MLPRegressor)])
@pytest.mark.filterwarnings("ignore")
def test_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("name", MORE_CHECKS)
@pytest.mark.filterwarnings("ignore")
def test_more_checks(cls, name):
    getattr(estimator_checks, name)(cls.__name__, cls(preset="auto", n_jobs=1, max_iter=5))


# ---- what it gives ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("load", "least"), [(load_iris, 0.9), (load_wine, 0.93), (load_breast_cancer, 0.94),
                                             (load_diabetes, 0.3)])
def test_good_without_tuning(load, least):
    X, y = load(return_X_y=True)
    train, test, y_train, y_test = train_test_split(X, y, random_state=1)
    cls = MLPRegressor if load is load_diabetes else MLPClassifier
    assert cls(preset="auto", random_state=0).fit(train, y_train).score(test, y_test) > least


@every_kind
@pytest.mark.parametrize("n_ens", [1, 3])
def test_attributes(kind, n_ens):
    estimator, X, y = make(kind, n_ens=n_ens, dropout=0.1)
    estimator.fit(X, y)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == len(estimator.history_["val_loss"]) == 6
    best = int(np.argmin(estimator.history_["val_loss"]))
    assert estimator.best_validation_score_ == estimator.validation_scores_[best]
    assert len(estimator.coefs_) == 4 * n_ens and estimator.n_layers_ == 5
    assert estimator.transform(X).shape == (len(X), 256 * n_ens) == (len(X), len(estimator.get_feature_names_out()))
    outputs = estimator.model_.predict(estimator.encoder_.transform(X))
    if kind in ("numbers", "rows"):
        numbers = outputs * estimator.target_scale_ + estimator.target_mean_
        np.testing.assert_array_equal(numbers.reshape(y.shape), estimator.predict(X))
    else:
        np.testing.assert_array_equal(outputs, estimator.predict_proba(X)[:, -outputs.shape[1]:])
        order = np.argsort(estimator.decision_function(X).reshape(outputs.shape), axis=0)
        assert (np.diff(np.take_along_axis(outputs, order, axis=0), axis=0) >= -1e-12).all() or kind == "multiclass"
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict(X), estimator.predict(X))


@every_kind
def test_each_of_several_networks_learns_as_it_would_alone(kind, monkeypatch):
    made = []

    def noted(original, weights=None):
        def build(shape, seed, dtype, cls):
            network = original(shape, seed, dtype, cls)
            if cls is TableNetwork:
                if weights is not None:
                    network.set_weights(weights)
                made.append((network, network.get_weights()))
            return network
        return build

    options = {"hidden_layer_sizes": (7, 6), "validation_fraction": 0, "batch_size": 64, "shuffle": False}
    original = auto.realmlp
    monkeypatch.setattr(auto, "realmlp", noted(original))
    several, X, y = make(kind, n_ens=3, **options)
    X, y = X[:200], y[:200]
    several.fit(X, y)
    together, before = made.pop()
    for i in range(3):
        own = [*range(5 * i, 5 * i + 5), 15 + 2 * i, 16 + 2 * i]    # scale, two layers; the last layers come last
        monkeypatch.setattr(auto, "realmlp", noted(original, [before[j] for j in own]))
        make(kind, **options)[0].fit(X, y)
        alone, _ = made.pop()
        for j, weight in zip(own, alone.get_weights(), strict=True):
            np.testing.assert_allclose(together.get_weights()[j], weight, rtol=1e-7, atol=1e-9)


@every_kind
def test_the_loss_of_several_networks_is_their_mean(kind):
    options = {"validation_fraction": 0, "max_iter": 1, "learning_rate_init": 1e-300}
    one, X, y = make(kind, **options)
    several = make(kind, n_ens=3, **options)[0]
    assert several.fit(X, y).loss_ == pytest.approx(one.fit(X, y).loss_, rel=1e-6)


def test_the_best_epoch_is_kept():
    estimator, X, y = make("numbers", max_iter=40)
    train, val, y_train, y_val = train_test_split(X, y, random_state=0)
    estimator.fit(train, y_train, X_val=val, y_val=y_val)
    best = int(np.argmin(estimator.history_["val_loss"]))
    assert best < 39
    spread = y_train.std()
    found = np.mean((estimator.predict(val) - y_val) ** 2) / spread**2
    assert found == pytest.approx(estimator.history_["val_loss"][best], rel=1e-9)
    assert estimator.score(val, y_val) == pytest.approx(estimator.best_validation_score_, rel=1e-9)


@every_kind
def test_curves_do_not_depend_on_the_scale_of_weights(kind):
    curves = []
    for scale in (1, 5):
        estimator, X, y = make(kind, max_iter=2)
        curves.append(estimator.fit(X, y, np.full(len(X), float(scale))).history_)
    for name, curve in curves[0].items():
        np.testing.assert_allclose(curves[1][name], curve, rtol=1e-4)


def test_few_rows_are_all_trained_on():
    estimator, X, y = make("multiclass")
    assert estimator.fit(X[::4], y[::4]).validation_scores_ is None
    assert estimator.best_loss_ == min(estimator.loss_curve_)
    assert estimator.fit(X, y).validation_scores_ is not None


@pytest.mark.parametrize(("dtype", "n", "expected"), [
    ("float64", 442, "float64"), ("float32", 442, "float32"), ("float64", 1500, "float32")])
def test_dtypes(dtype, n, expected):
    estimator, X, y = make("numbers", hidden_layer_sizes=8, max_iter=1)
    X, y = np.resize(X, (n, 10)).astype(dtype), np.resize(y, n)
    assert estimator.fit(X, y).model_.dtype == expected == estimator.transform(X).dtype.name
    assert estimator.predict(X).dtype == np.float64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("scale", "offset"), [(1, 1e7), (1, 1e12), (1e39, 0), (1e150, 0), (1e-30, 0)])
def test_far_targets(dtype, scale, offset):
    estimator, X, y = make("numbers", max_iter=20, hidden_layer_sizes=32)
    X = X.astype(dtype)
    near = estimator.fit(X, y).score(X, y)
    far = make("numbers", max_iter=20, hidden_layer_sizes=32)[0].fit(X, y * scale + offset)
    assert far.score(X, y * scale + offset) == pytest.approx(near, abs=0.02)


def test_targets_that_cannot_be_standardised():
    estimator, X, y = make("numbers")
    with pytest.raises(ValueError, match="y is too large to be standardised"):
        estimator.fit(X, y * 1e300)


def test_threads_change_no_bit():
    predictions = []
    for threads in (1, 2):
        estimator, X, y = make("binary", n_jobs=threads, n_ens=2)
        predictions.append(estimator.fit(X, y).predict_proba(X))
    np.testing.assert_array_equal(*predictions)


def test_parameters_that_are_not_defaults_win():
    estimator, X, y = make("multiclass", hidden_layer_sizes=(9, 8), activation=["tanh", "logistic"], alpha=0.01,
                           batch_size=50, learning_rate_init=0.5, dropout=[0.0, 0.5], max_iter=2)
    model = estimator.fit(X, y).model_
    layers = [layer for layer in model.layers if isinstance(layer, (fnn.layers.Dense, fnn.layers.Dropout))]
    assert [getattr(layer, "units", None) for layer in layers] == [9, 8, None, 3]
    assert layers[0].activation.name == "tanh" and layers[1].activation.name == "sigmoid"
    assert layers[0].kernel_regularizer.l2 == pytest.approx(0.01 / 2 / 50) and len(estimator.loss_curve_) == 2


def test_scorers_see_the_units_of_the_targets():
    estimator, X, y = make("numbers", scoring=["r2", "neg_mean_absolute_error"], n_ens=2, max_iter=20)
    history = estimator.fit(X, y).history_
    np.testing.assert_allclose(history["val_r2"], estimator.validation_scores_, rtol=1e-9)
    best = int(np.argmin(history["val_loss"]))
    errors = {"neg_mean_absolute_error", "val_neg_mean_absolute_error"}
    assert errors < set(history) and -80 < history["val_neg_mean_absolute_error"][best] < -20


def test_a_table_with_categories():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pytest.importorskip("pyarrow")      # by which pandas hands its categories over
    rng = np.random.default_rng(0)
    n, effects = 1500, rng.normal(size=30)
    city, color, size = rng.integers(0, 30, n), rng.choice(["red", "green", "blue"], n), rng.normal(size=n)
    y = effects[city] + (color == "red") * size
    size[rng.random(n) < 0.05] = np.nan
    table = pd.DataFrame({"size": size, "city": [f"c{i}" for i in city], "color": pd.Categorical(color)})
    estimator = MLPRegressor(preset="auto", random_state=0, max_iter=40, hidden_layer_sizes=(64, 64)).fit(table, y)
    assert estimator.score(table, y) > 0.9
    assert list(estimator.feature_names_in_) == ["size", "city", "color"] and estimator.n_features_in_ == 3
    np.testing.assert_array_equal(estimator.predict(pl.from_pandas(table)), estimator.predict(table))
    with pytest.warns(UserWarning, match=r"none of the categories in columns \[1\]"):
        unseen = estimator.predict(table.assign(city="elsewhere").head(3))
    assert np.isfinite(unseen).all()
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(table[["city", "size", "color"]])


def test_weights_of_classes_and_samples():
    estimator, X, y = make("binary", class_weight={0: 0.0, 1: 1.0}, max_iter=30)
    assert (estimator.fit(X, y).predict(X) == 1).mean() > 0.95
    weight = (np.arange(len(y)) % 2).astype(float)
    estimator = make("binary", validation_fraction=0)[0]
    half = make("binary", validation_fraction=0)[0].fit(X[1::2], y[1::2])
    assert accuracy_score(half.predict(X), estimator.fit(X, y, weight).predict(X)) > 0.99


def test_callbacks_and_verbosity(capsys):
    seen = []
    callback = fnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["val_loss"]))
    estimator, X, y = make("binary", callbacks=callback, verbose=True)
    estimator.fit(X, y)
    assert seen == estimator.history_["val_loss"]
    assert "Validation score" in capsys.readouterr().out


# ---- what it refuses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("solver", "sgd"), ("optimizer", "lion"), ("density", 0.5),
                                             ("batch_norm", True), ("learning_rate", "adaptive"), ("warm_start", True)])
def test_what_it_chooses_itself(name, value):
    estimator, X, y = make("binary", **{name: value})
    with pytest.raises(ValueError, match=f"preset='auto' leaves no choice of {name}"):
        estimator.fit(X, y)


def test_defaults_as_a_grid_has_them():
    estimator, X, y = make("binary", density=1, solver=np.str_("adam"), warm_start=np.False_, alpha=np.float64(1e-4))
    np.testing.assert_array_equal(estimator.fit(X, y).coefs_[0], make("binary")[0].fit(X, y).coefs_[0])


def test_frames_that_are_none():
    pd = pytest.importorskip("pandas")
    estimator, X, y = make("binary")
    for table in (pd.DataFrame(X[:, :2], columns=["a", "a"]), pd.Series(X[:, 0])):
        with pytest.raises(ValueError, match="is no frame whose columns have different names"):
            estimator.fit(table, y)


def test_refused():
    estimator, X, y = make("binary")
    assert not hasattr(estimator, "partial_fit")
    with pytest.raises(ValueError, match="y_val and sample_weight_val need X_val"):
        estimator.fit(X, y, y_val=y)
    with pytest.raises(ValueError, match="X_val needs y_val"):
        estimator.fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="infinity"):
        estimator.fit(np.where(X > 1000, np.inf, X), y)
    with pytest.raises(ValueError, match="n_ens=2 needs preset='auto'"):
        MLPClassifier(n_ens=2).fit(X, y)


def test_from_one_preset_to_the_other():
    estimator, X, y = make("binary", max_iter=3)
    estimator.fit(X, y).set_params(preset="sklearn", max_iter=500)
    assert not hasattr(estimator.fit(X, y), "encoder_") and estimator.coefs_[0].shape == (30, 100)
    estimator.set_params(preset="auto", max_iter=3).fit(X, y)
    assert estimator.encoder_.n_outputs == 30
