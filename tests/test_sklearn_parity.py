"""fastnn's estimators beside scikit-learn's: the same random state, the same curves and weights but for rounding."""

import importlib
import warnings
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7", reason="before 1.7 it has no sample weights here and one loss")

from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    make_multilabel_classification,
)

from fastnn.losses import Poisson
from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
              pytest.mark.filterwarnings("ignore:Array API")]
WEIGHTS = np.random.RandomState(0).uniform(0, 2, 2000)
RATES = {"solver": "sgd", "learning_rate_init": 0.1}


def scaled(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def data(name):
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return X / 16, y
    if name == "cancer":
        X, y = load_breast_cancer(return_X_y=True)
        return scaled(X), y
    if name == "multilabel":
        return make_multilabel_classification(n_samples=210, random_state=0)
    X, y = load_diabetes(return_X_y=True)
    counts = np.random.RandomState(0).poisson(2, (len(X), 2))
    return X, {"numbers": scaled(y), "three": np.c_[scaled(y), scaled(y) ** 2, -scaled(y)], "counts": counts[:, 0],
               "two counts": counts}[name]


CASES = {
    "digits": ("digits", {"max_iter": 8}, False),
    "digits weighted": ("digits", {"max_iter": 8, "alpha": 1.0}, True),
    "two classes, stopping": ("cancer", {"max_iter": 40, "early_stopping": True}, False),
    "stopping, weighted": ("digits", {"max_iter": 10, "early_stopping": True}, True),
    "not shuffled": ("cancer", {"max_iter": 5, "shuffle": False, "batch_size": 100}, False),
    "invscaling": ("digits", {"max_iter": 8, "learning_rate": "invscaling", "power_t": 0.1} | RATES, False),
    "adaptive": ("cancer", {"max_iter": 30, "learning_rate": "adaptive", "tol": 0.1, "momentum": 0,
                            "batch_size": 50} | RATES, False),
    "momentum": ("cancer", {"max_iter": 9, "nesterovs_momentum": False} | RATES, False),
    "numbers": ("numbers", {"max_iter": 20, "batch_size": 32}, False),
    "three numbers": ("three", {"max_iter": 20, "batch_size": 32, "alpha": 0.1}, False),
    "three, weighted": ("three", {"max_iter": 20, "alpha": 0.1, "activation": "tanh"}, True),
    "counts, weighted": ("counts", {"max_iter": 20, "loss": "poisson"}, True),
    "two counts": ("two counts", {"max_iter": 20, "loss": "poisson", "activation": "logistic"}, False),
    "several labels": ("multilabel", {"max_iter": 20, "batch_size": 17, "hidden_layer_sizes": (20, 10)}, False),
    "no hidden layer": ("cancer", {"max_iter": 9, "hidden_layer_sizes": ()}, False),
    "no hidden layer, logistic": ("digits", {"max_iter": 3, "hidden_layer_sizes": (), "activation": "logistic"}, False),
    "lbfgs": ("cancer", {"solver": "lbfgs", "max_iter": 12}, False),
    "lbfgs weighted": ("cancer", {"solver": "lbfgs", "max_iter": 12, "alpha": 1.0}, True),
    "lbfgs three": ("three", {"solver": "lbfgs", "max_iter": 12, "alpha": 0.1}, False),
    "lbfgs counts": ("counts", {"solver": "lbfgs", "max_iter": 12, "loss": "poisson"}, True),
}


def pair(name, parameters):
    """scikit-learn's estimator and ours."""
    kind = "MLPClassifier" if name in ("digits", "cancer", "multilabel") else "MLPRegressor"
    ours = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[kind]
    return getattr(neural_network, kind)(**parameters), ours(**parameters)


@pytest.mark.parametrize("case", CASES)
def test_same_curves_and_weights(case):
    name, parameters, weighted = CASES[case]
    X, y = data(name)
    theirs, ours = pair(name, {"random_state": 3, **parameters})
    for estimator in (theirs, ours):
        estimator.fit(X, y, sample_weight=WEIGHTS[:len(X)] if weighted else None)
    assert (ours.n_iter_, ours.t_, ours.out_activation_) == (theirs.n_iter_, theirs.t_, theirs.out_activation_)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    assert ours.loss_curve_[-1] == pytest.approx(ours.loss_)
    assert {type(loss) for loss in (ours.loss_, *ours.loss_curve_)} == {np.float64}
    for attribute in ("best_loss_", "validation_scores_", "best_validation_score_"):
        assert hasattr(ours, attribute) == hasattr(theirs, attribute)
    if parameters.get("solver") != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
        assert ours.best_loss_ == pytest.approx(theirs.best_loss_)
        assert ours._no_improvement_count == theirs._no_improvement_count
    if parameters.get("early_stopping"):
        np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["digits", "three"])
def test_same_partial_fit_and_warm_start(name, solver):
    X, y = data(name)
    theirs, ours = pair(name, {"random_state": 1, "solver": solver, "max_iter": 2, "warm_start": True})
    for estimator in (theirs, ours):
        estimator.fit(X, y)
        estimator.fit(X, y)
        estimator.set_params(warm_start=False)
        for part in range(3):
            estimator.partial_fit(X[part::3], y[part::3])
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-7, atol=1e-10)
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("changed", [{"alpha": 0.1}, {"activation": "tanh"}], ids=str)
def test_the_optimizer_goes_on_with_changed_parameters(solver, changed):
    X, y = data("cancer")
    theirs, ours = pair("cancer", {"random_state": 1, "solver": solver, "learning_rate_init": 0.05})
    for estimator in (theirs, ours):
        for part in range(3):
            estimator.partial_fit(X[part::3], y[part::3], classes=[0, 1])
        estimator.set_params(**changed).partial_fit(X, y)
        estimator.partial_fit(X, y)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}, {"shuffle": False}, {"solver": "lbfgs"}], ids=str)
def test_the_random_state_is_as_far(parameters):
    X, y = data("cancer")
    states = [np.random.RandomState(0) for _ in range(2)]
    for state, estimator in zip(states, pair("cancer", {"max_iter": 3, **parameters}), strict=True):
        estimator.set_params(random_state=state).fit(X[:150], y[:150])
        if not parameters:
            estimator.partial_fit(X[:100], y[:100]).partial_fit(X, y)
    assert states[0].rand() == states[1].rand()


def test_poisson_by_name_and_as_an_object():
    X, y = data("counts")
    one, other = (MLPRegressor(loss=loss, max_iter=3, random_state=0).fit(X, y) for loss in ("poisson", Poisson()))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_sparse_labels_come_back_sparse():
    X, y = data("multilabel")
    theirs, ours = (estimator.fit(X, sparse.csr_array(y)).predict(X)
                    for estimator in pair("multilabel", {"random_state": 0, "max_iter": 3}))
    assert type(ours) is type(theirs)
    assert (ours != theirs).nnz == 0


def test_one_class_is_scored():
    X, y = data("cancer")
    for estimator in (estimators := pair("cancer", {"random_state": 0, "max_iter": 3, "early_stopping": True})):
        estimator.fit(X, np.ones_like(y))
    assert estimators[1].validation_scores_ == estimators[0].validation_scores_


def test_batch_size_is_compared_with_what_is_trained_on():
    X, y = data("cancer")
    for estimator in pair("cancer", {"random_state": 0, "max_iter": 3, "early_stopping": True, "batch_size": 540}):
        with pytest.warns(UserWarning, match="It is going to be clipped"):
            estimator.fit(X, y)


# ---- scikit-learn's own tests, with our classes in the place of its -----------------------------------------------


def _swapped():
    with mock.patch.multiple(neural_network, MLPClassifier=MLPClassifier, MLPRegressor=MLPRegressor):
        module = importlib.import_module("sklearn.neural_network.tests.test_mlp")
        return importlib.reload(module)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    _theirs = _swapped()


class TestSwapped:
    """``sklearn/neural_network/tests/test_mlp.py``; none of its tests is left out."""


def _method(test):
    marked = staticmethod(test)
    marked.pytestmark = [*getattr(test, "pytestmark", []), pytest.mark.filterwarnings("default")]
    return marked


for _name, _test in vars(_theirs).items():
    if _name.startswith("test_"):
        setattr(TestSwapped, _name, _method(_test))


@pytest.fixture
def global_random_seed():
    return 42


def test_their_tests_are_ours():
    assert _theirs.MLPClassifier is MLPClassifier
    assert _theirs.MLPRegressor is MLPRegressor
    assert sum(name.startswith("test_") for name in vars(TestSwapped)) >= 40
