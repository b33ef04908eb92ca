"""scikit-learn's checks of estimators, and what fastnn's have beyond scikit-learn's."""

import copy
import importlib.util
import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

import fastnn as fnn
from fastnn.sklearn import MLPClassifier, MLPRegressor
from fastnn.sklearn._threads import threads_of

pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
              pytest.mark.filterwarnings("ignore:Array API")]
BOTH = [MLPClassifier(), MLPRegressor()]
X, Y = load_digits(return_X_y=True)
X /= 16
IRIS, KINDS = load_iris(return_X_y=True)


def classifier(**parameters):
    return MLPClassifier(**{"hidden_layer_sizes": (30,), "max_iter": 10, "random_state": 0, **parameters})


# ---- scikit-learn's checks ----------------------------------------------------------------------------------


@estimator_checks.parametrize_with_checks([*BOTH, MLPClassifier(density=0.5)])
@pytest.mark.filterwarnings("default")
def test_check_estimator(estimator, check):
    check(estimator)


OTHERS = ["check_param_validation", "check_dataframe_column_names_consistency", "check_inplace_ensure_writeable",
          "check_set_output_transform"]
FRAMES = [(f"check_set_output_transform_{library}", library) for library in ("pandas", "polars")
          if importlib.util.find_spec(library)]


@pytest.mark.parametrize("name", [*OTHERS, *(name for name, _ in FRAMES)])
@pytest.mark.parametrize("estimator", BOTH, ids=lambda estimator: type(estimator).__name__)
@pytest.mark.filterwarnings("default")
def test_checks_that_scikit_learn_runs_on_itself(estimator, name):
    getattr(estimator_checks, name)(type(estimator).__name__, clone(estimator))


# ---- parameters beyond scikit-learn's -----------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [
    {"dropout": 0.2},
    {"batch_norm": True},
    {"density": 0.3},
    {"hidden_layer_sizes": (40, 20), "activation": ["selu", "gelu"], "alpha": [0, 1e-3, 0.1], "dropout": [0, 0.1]},
    {"optimizer": "lion"},
    {"optimizer": fnn.optimizers.AdamW(0.01), "clipnorm": 1.0},
    {"class_weight": "balanced"},
    {"loss": "mean_squared_error"},
    {"loss": fnn.losses.CategoricalCrossentropy(label_smoothing=0.1)},
    {"learning_rate": fnn.schedules.CosineDecay(0.01, 225)},
    {"solver": "lbfgs", "density": 0.3},
], ids=str)
def test_parameters(parameters):
    parameters = {"learning_rate_init": 0.01, "max_iter": 25} | parameters
    model = classifier(**parameters).fit(X, Y)
    assert model.score(X, Y) > 0.94
    again = classifier(**parameters).fit(X, Y)
    for one, other in zip(model.model_.get_weights(), again.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    logits = model.decision_function(X)
    np.testing.assert_allclose(np.exp(logits - logits.max(1, keepdims=True)) /
                               np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True),
                               model.predict_proba(X), atol=1e-12)


def test_the_network_is_a_sequential(tmp_path):
    model = classifier(dropout=0.2, activation="gelu").fit(X.astype("float32"), Y)
    assert isinstance(model.model_, fnn.Sequential)
    np.testing.assert_array_equal(model.model_.predict(X), model.predict_proba(X))
    model.model_.fit(X, Y, verbose=0)
    model.model_.save(tmp_path / "digits.safetensors")
    loaded = fnn.load_model(tmp_path / "digits.safetensors")
    np.testing.assert_array_equal(loaded.predict(X.astype("float32")), model.predict_proba(X.astype("float32")))


def test_threads_change_no_bit():
    one, two = (classifier(n_jobs=n).fit(X, Y) for n in (1, 2))
    np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])


def test_class_weight_is_a_sample_weight():
    weights = {0: 3.0, 1: 0.5}
    one = classifier(class_weight=weights).fit(X, Y)
    other = classifier().fit(X, Y, sample_weight=np.where(Y == 0, 3.0, np.where(Y == 1, 0.5, 1.0)))
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])


def test_validation_set_and_scores():
    model = classifier(scoring=["accuracy", "neg_log_loss"], early_stopping=True, n_iter_no_change=3, max_iter=60)
    model.fit(X[400:], Y[400:], X_val=X[:400], y_val=Y[:400])
    assert set(model.history_) == {"loss", "val_loss", "accuracy", "val_accuracy", "neg_log_loss", "val_neg_log_loss"}
    assert all(len(curve) == model.n_iter_ for curve in model.history_.values())
    assert model.validation_scores_ == model.history_["val_accuracy"]
    assert model.score(X[:400], Y[:400]) == model.best_validation_score_ == max(model.validation_scores_)
    with pytest.raises(ValueError, match="X_val needs y_val"):
        model.fit(X, Y, X_val=X)


def test_scores_are_weighted():
    rng = np.random.default_rng(0)
    weight, weight_val = rng.uniform(size=len(X)), rng.uniform(size=400)
    seen = []

    def plain(estimator, rows, labels):
        seen.append(len(rows))
        return 0.5

    model = classifier(max_iter=2, scoring=["accuracy", plain], class_weight={0: 4.0, 1: 0.5})
    model.fit(X, Y, weight, X_val=X[:400], y_val=Y[:400], sample_weight_val=weight_val)
    by_class = np.where(Y == 0, 4.0, np.where(Y == 1, 0.5, 1.0))
    assert model.history_["accuracy"][-1] == pytest.approx(model.score(X, Y, weight * by_class))
    assert model.validation_scores_[-1] == pytest.approx(model.score(X[:400], Y[:400], weight_val * by_class[:400]))
    assert seen == [len(X), 400] * 2
    own = classifier(max_iter=3, early_stopping=True).fit(X, Y, weight).validation_scores_
    np.testing.assert_allclose(classifier(max_iter=3, early_stopping=True, scoring="accuracy").fit(
        X, Y, weight).validation_scores_, own)


def test_scores_have_names_of_their_own():
    def loss(estimator, rows, labels):
        return 0.0

    def val_accuracy(estimator, rows, labels):
        return 0.0

    for scoring in (["accuracy", "accuracy"], loss, ["accuracy", val_accuracy], [val_accuracy, "accuracy"]):
        with pytest.raises(ValueError, match="scoring needs one name for each score"):
            classifier(scoring=scoring).fit(X, Y)
    metrics = [make_scorer(f1_score, average="macro"), make_scorer(accuracy_score)]
    assert {"f1_score", "accuracy_score"} < set(classifier(max_iter=2, scoring=metrics).fit(X, Y).history_)


@pytest.mark.parametrize("preset", ["sklearn", "auto"])
def test_scores_of_frames(preset):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(IRIS, columns=list("abcd"))
    options = {"preset": preset, "max_iter": 2, "scoring": "accuracy", "early_stopping": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        history = classifier(**options).fit(table, KINDS).history_
        classifier(**options).fit(table, KINDS, X_val=table, y_val=KINDS)
    assert history == classifier(**options).fit(IRIS, KINDS).history_


def test_callbacks_of_both_libraries():
    seen = []
    watcher = fnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    model = classifier(callbacks=[watcher]).fit(X, Y)
    assert seen == model.loss_curve_
    theirs = pytest.importorskip("sklearn.callback")
    monitor = theirs.ScoringMonitor(scoring=["accuracy"])
    model = classifier(max_iter=3, scoring="accuracy").set_callbacks(monitor).fit(X, Y)
    scores = monitor.get_logs().data
    assert [row["accuracy"] for row in scores][1:] == pytest.approx(model.history_["accuracy"])


def test_kernels_are_live():
    model = classifier().fit(X, Y)
    before = model.predict_proba(X)
    model.coefs_[0] *= 0.5
    assert not np.array_equal(model.predict_proba(X), before)
    model.coefs_ = [np.zeros(coef.shape) for coef in model.coefs_]
    model.intercepts_[1] = np.arange(10.0)
    np.testing.assert_allclose(model.predict(X), 9)
    assert model.coefs_[0] is model.model_.layers[0].kernel
    model.coefs_ = tuple(np.ones(coef.shape) for coef in model.coefs_)
    np.testing.assert_allclose(model.predict(X), 9)
    assert model.coefs_[0] is model.model_.layers[0].kernel
    model.intercepts_ = model.intercepts_[:1]
    with pytest.raises(ValueError, match="intercepts_ must have 2 arrays; received 1"):
        model.predict(X)
    model.intercepts_ = list(model.model_.views()[1])
    model.coefs_[0] = np.zeros((3, 3))
    with pytest.raises(ValueError, match=r"coefs_\[0\] must have shape \(64, 30\); received \(3, 3\)"):
        model.predict(X)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
                         ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_copies_go_on(copied, density):
    model = classifier(density=density).fit(X, Y)
    other = copied(model)
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    for each in (model, other):
        each.partial_fit(X[:500], Y[:500])
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert other.coefs_[1] is other.model_.layers[-1].kernel


def test_partial_fit_keeps_what_the_optimizer_knows():
    model = classifier(shuffle=False, batch_size=len(X))
    for _ in range(5):
        model.partial_fit(X, Y, classes=range(10))
    assert model.model_._optimizer_state().step == 5
    whole = classifier(shuffle=False, batch_size=len(X), max_iter=5).fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], whole.coefs_[0])


def test_a_network_made_anew_keeps_what_it_learned():
    model = classifier(batch_norm=True, optimizer="adafactor").fit(X, Y)
    fnn.weights.prune(model.model_, 0.5)
    model.model_.layers[0].trainable = False
    before, parts = model.predict_proba(X), model.model_.get_weights()
    model.set_params(alpha=0.1, dropout=0.2).partial_fit(X, Y)
    assert model.model_._optimizer_state().step == 11 * 9
    np.testing.assert_array_equal(model.coefs_[0], parts[0])
    assert np.all(model.coefs_[1][parts[-2] == 0] == 0)
    assert np.abs(model.predict_proba(X) - before).mean() < 0.02


def test_partial_fit_after_lbfgs():
    model = classifier(solver="lbfgs").fit(X, Y)
    losses = [model.set_params(solver="adam").partial_fit(X, Y).loss_ for _ in range(2)]
    assert losses[1] < losses[0] == model.loss_curve_[-2]


# ---- data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2], sparse.csr_array,
                                    sparse.csc_matrix], ids=["fortran", "strided", "csr", "csc"])
def test_layouts_change_no_bit(change):
    changed = change(X)
    if isinstance(changed, np.ndarray):
        changed.flags.writeable = False
    one, other = classifier().fit(X, Y), classifier().fit(changed, Y)
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(changed))


@pytest.mark.parametrize("format_", ["csr", "csc"])
def test_sparse_matrices_out_of_range(format_):
    bad = sparse.csr_array(X).asformat(format_)
    bad.indices[3] = 10_000
    with pytest.raises(ValueError, match=r"10000|< "):
        classifier().fit(bad, Y)
    with pytest.raises(ValueError, match=r"10000|< "):
        classifier().fit(X, Y).predict(bad)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_dtypes_are_kept(dtype, solver):
    model = MLPRegressor(max_iter=5, solver=solver).fit(IRIS.astype(dtype), KINDS)
    assert model.predict(IRIS.astype(dtype)).dtype == dtype
    assert {array.dtype.name for array in model.coefs_ + model.intercepts_} == {dtype}


@pytest.mark.parametrize("dtype", [">f8", ">f4", "longdouble", "float16", "uint8", ">i4"])
def test_other_dtypes_are_converted(dtype):
    model, changed = classifier().fit(X, Y), (X * 16).astype(dtype)
    for method in (model.predict, model.predict_proba, model.transform, model.decision_function):
        np.testing.assert_array_equal(method(changed), method(changed.astype("float64")))
    np.testing.assert_array_equal(model.model_.predict(changed), model.predict_proba(changed))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames(library):
    module = pytest.importorskip(library)
    columns = {f"f{i}": IRIS[:, i] for i in range(4)}
    frame = module.table(columns) if library == "pyarrow" else module.DataFrame(columns)
    model = MLPClassifier(max_iter=5, random_state=0).fit(frame, KINDS)
    if library != "pyarrow":
        assert list(model.feature_names_in_) == list(columns)
    plain = MLPClassifier(max_iter=5, random_state=0).fit(IRIS, KINDS)
    np.testing.assert_array_equal(model.predict_proba(frame), plain.predict_proba(IRIS))


# ---- errors -------------------------------------------------------------------------------------------------


def test_divergence_is_told_in_its_epoch():
    model = MLPRegressor(solver="sgd", learning_rate_init=1e3, activation="identity", max_iter=1000, random_state=0)
    with pytest.raises(ValueError, match=r"Solver produced non-finite parameter weights.*epoch"):
        model.fit(IRIS * 100, KINDS)
    assert model.n_iter_ < 50


@pytest.mark.parametrize(("parameters", "message"), [
    ({"activation": "rellu"}, "The 'activation' parameter"),
    ({"alpha": [0.1]}, "alpha must be one value or a list of 2"),
    ({"dropout": [0.1, 0.2]}, "dropout must be one value or a list of 1"),
    ({"n_jobs": 0}, "The 'n_jobs' parameter"),
    ({"solver": "lbfgs", "dropout": 0.1}, "Dropout changes while it trains"),
    ({"loss": "poissson"}, "The 'loss' parameter"),
], ids=str)
def test_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        classifier(**parameters).fit(X, Y)


@pytest.mark.parametrize("solver", [{"solver": "lbfgs"}, {"optimizer": "lbfgs"}], ids=str)
@pytest.mark.parametrize("parameters", [{"scoring": "accuracy"}, {"callbacks": [fnn.callbacks.Callback()]},
                                        {"clipnorm": 1.0}, {"learning_rate": fnn.schedules.CosineDecay(0.01, 225)}],
                         ids=str)
def test_what_lbfgs_has_no_use_for(solver, parameters):
    with pytest.raises(ValueError, match=f"'lbfgs' takes no {next(iter(parameters))}"):
        classifier(**solver, **parameters).fit(X, Y)
    with pytest.raises(ValueError, match="'lbfgs' takes no X_val"):
        classifier(**solver).fit(X, Y, X_val=X, y_val=Y)


def test_an_lbfgs_object_has_its_own_parameters():
    model = classifier(optimizer=fnn.optimizers.LBFGS(max_iter=2), max_iter=50).fit(X, Y)
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert classifier(optimizer=fnn.optimizers.LBFGS(max_iter=20, tol=10.0)).fit(X, Y).n_iter_ == 0


@pytest.mark.parametrize(("parameters", "message"), [
    ({"density": [0]}, r"density\[0\] must be a float in the range \(0.0, 1.0\]; received 0"),
    ({"alpha": [0.1, -1]}, r"alpha\[1\] must be .*; received -1"),
    ({"dropout": [None]}, r"dropout\[0\] must be .*; received None"),
    ({"batch_norm": ["x"]}, r"batch_norm\[0\] must be .*; received 'x'"),
    ({"activation": ["rellu"]}, r"activation\[0\] must be .*; received 'rellu'"),
    ({"callbacks": [3]}, r"callbacks\[0\] must be an instance of .*Callback'; received 3"),
    *(({"hidden_layer_sizes": sizes}, "hidden_layer_sizes takes integers") for sizes in (
        (2.5,), (True,), True, ("a",), np.array([3.0]))),
], ids=str)
@pytest.mark.parametrize("preset", ["sklearn", "auto"])
def test_elements_of_lists(parameters, message, preset):
    with pytest.raises((ValueError, TypeError), match=message):
        classifier(preset=preset, **parameters).fit(X, Y)


@pytest.mark.parametrize("preset", ["sklearn", "auto"])
@pytest.mark.parametrize(("y", "error", "message"), [
    (np.full(150, "2020-01-01", "M8[D]"), TypeError, r"y has dtype datetime64\[D\]; numbers are allowed"),
    (["1", "2", "3"] * 50, TypeError, r"y has dtype <U1; numbers are allowed"),
    ([None] * 150, ValueError, "y contains None, NaN or infinity"),
], ids=str)
def test_targets_that_are_no_numbers(y, error, message, preset):
    with pytest.raises(error, match=message):
        MLPRegressor(preset=preset, max_iter=2).fit(IRIS, y)


@pytest.mark.parametrize("changed", [{"hidden_layer_sizes": (30, 20)}, {"hidden_layer_sizes": 31}, {"density": 0.5}],
                         ids=str)
def test_training_goes_on_with_the_same_layers(changed):
    model = classifier(max_iter=2, warm_start=True).fit(IRIS, KINDS)
    model.set_params(**changed)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="are not those of the network that is trained on"):
            method(IRIS, KINDS)
    assert model.set_params(warm_start=False).fit(IRIS, KINDS).n_iter_ == 2
    assert model.set_params(density=[*[changed.get("density", 1.0)] * (model.n_layers_ - 2)]).partial_fit(IRIS, KINDS)


def test_labels_of_another_kind():
    rows = np.eye(3, dtype=int)[KINDS]
    model = classifier(max_iter=2).fit(IRIS, KINDS)
    with pytest.raises(ValueError, match=r"y must be one of 3 classes for each sample; received shape \(150, 3\)"):
        model.partial_fit(IRIS, rows)
    with pytest.raises(ValueError, match=r"y must be indicator rows of 3 columns"):
        model.fit(IRIS, rows).partial_fit(IRIS, KINDS)


def test_weights_that_say_nothing():
    first = np.eye(1, len(X))[0]
    for parameters, weight in (({}, first * 0), ({"class_weight": dict.fromkeys(range(10), 0)}, None),
                               ({"class_weight": {Y[0]: 0}}, first), ({"early_stopping": True}, first),
                               ({"preset": "auto", "class_weight": {Y[0]: 0}}, first)):
        with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero number"):
            classifier(**parameters).fit(X, Y, sample_weight=weight)
    with pytest.raises(ValueError, match=r"finite sum in float64; the largest is 1e\+308"):
        classifier().fit(X, Y, sample_weight=np.full(len(X), 1e308))
    with pytest.raises(ValueError, match=r"class_weight gives class 3 the weight -1\.0"):
        classifier(class_weight={3: -1}).fit(X, Y)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        classifier().fit(X, Y, sample_weight=-np.ones(len(X)))
    for loss in ("poisson", fnn.losses.Poisson()):
        with pytest.raises(ValueError, match="y >= 0"):
            MLPRegressor(loss=loss).fit(X, -Y.astype(float))


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy", "bce"])
def test_losses_of_another_task(loss):
    with pytest.raises(ValueError, match="is for classes; numbers need 'squared_error'"):
        MLPRegressor(loss=loss).fit(X, Y / 10)
    if loss == "bce":
        return
    for labels in (Y > 4, np.eye(10, dtype=int)[Y]):
        with pytest.raises(ValueError, match=r"is for three classes or more; y is (binary|multilabel)"):
            classifier(loss=fnn.losses.get(loss)).fit(X, labels)


def test_numbers_too_large_for_float32():
    model = classifier().fit(X.astype("float32"), Y)
    assert model.predict_proba(X).dtype == "float32"
    for large in (X * 1e300, sparse.csr_array(X * 1e300)):
        with pytest.raises(ValueError, match="too large for float32"):
            model.predict_proba(large)


def test_one_training_at_a_time():
    refused = []

    def again(*unused):
        for method in (model.fit, model.partial_fit):
            with pytest.raises(RuntimeError, match="is being trained in another call"):
                method(X, Y)
            refused.append(method)

    model = classifier(max_iter=2, callbacks=fnn.callbacks.LambdaCallback(on_epoch_end=again))
    model.fit(X, Y)
    assert len(refused) == 4
    assert model.n_iter_ == 2
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X * np.nan, Y)
    assert pickle.loads(pickle.dumps(model.set_params(callbacks=None))).partial_fit(X, Y).n_iter_ == 1


# ---- the rest of scikit-learn -------------------------------------------------------------------------------


def test_scikit_learns_tools():
    chain = make_pipeline(StandardScaler(), classifier(max_iter=3))
    assert cross_val_score(chain, IRIS, KINDS, cv=3).shape == (3,)
    search = GridSearchCV(classifier(max_iter=3), {"alpha": [0.0, 1.0]}, cv=2).fit(IRIS, KINDS)
    assert set(search.best_params_) == {"alpha"}
    model = classifier(max_iter=30).fit(IRIS, KINDS)
    assert CalibratedClassifierCV(classifier(max_iter=5), cv=2).fit(IRIS, KINDS).predict_proba(IRIS).shape == (150, 3)
    assert permutation_importance(model, IRIS, KINDS, n_repeats=1).importances.shape == (4, 1)
    assert "MLPClassifier" in model._repr_html_()
    assert model.set_output(transform="default").transform(IRIS).shape == (150, 30)
    assert list(model.get_feature_names_out()[:2]) == ["mlpclassifier0", "mlpclassifier1"]


def test_threads_of_joblib():
    inside = joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(threads_of)(None) for _ in range(2))
    assert inside == [1, 1]
    assert threads_of(None) == fnn.get_num_threads()
    assert (threads_of(1), threads_of(-1)) == (1, fnn.get_num_threads())


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_fits_side_by_side(backend):
    models = [classifier(max_iter=3, alpha=alpha) for alpha in (0.0, 1.0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(model.fit)(X, Y) for model in models)
    for model, alone in zip(fitted, models, strict=True):
        np.testing.assert_array_equal(model.coefs_[0], clone(alone).fit(X, Y).coefs_[0])
