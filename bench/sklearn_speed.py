"""Times of `fit`, fastnn's estimators beside scikit-learn's: the same parameters, data and number of epochs.

    python bench/sklearn_speed.py                       # every work, in turns, minima of 5
    python bench/sklearn_speed.py --works digits lbfgs --repeats 9 --threads 1
    python bench/sklearn_speed.py --threads 1 --clock cpu   # on a busy machine: seconds of the processor
    python bench/sklearn_speed.py --scores              # mean test scores over 5 seeds instead

Each contestant fits in turn, so that a noisy minute hits both, and after a rest: OpenBLAS' threads look for work for
some time after the last product, on cores that the next one needs. Fashion-MNIST is that of
`fastnn.datasets.load_fashion_mnist`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import fastnn.sklearn
from fastnn.datasets import load_fashion_mnist

Data = tuple[Any, Any]
REST = 0.2  # seconds


def digits() -> Data:
    return load_digits(return_X_y=True)


def table() -> Data:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50_000, 54))
    return X, (X @ rng.normal(size=(54, 7)) + rng.normal(size=(50_000, 7))).argmax(axis=1)


def numbers() -> Data:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 8))
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=20_000)


def cancer() -> Data:
    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def images() -> Data:
    """Fashion-MNIST, as numbers from 0 to 1."""
    (X, y), _ = load_fashion_mnist()
    return X.reshape(len(X), -1) / 255.0, y


# By name: the estimator, the data, the parameters.
WORKS: dict[str, tuple[str, Callable[[], Data], dict[str, Any]]] = {
    "Fashion-MNIST": ("MLPClassifier", images, {"max_iter": 4}),
    "digits": ("MLPClassifier", digits, {"max_iter": 40}),
    "50,000 x 54, 7 classes": ("MLPClassifier", table, {"max_iter": 5}),
    "20,000 x 8, numbers": ("MLPRegressor", numbers, {"max_iter": 10}),
    "breast cancer, lbfgs": ("MLPClassifier", cancer, {"solver": "lbfgs", "max_iter": 60}),
    "digits, lbfgs": ("MLPClassifier", digits, {"solver": "lbfgs", "max_iter": 40}),
}


def fit(module: Any, name: str, X: Any, y: Any, parameters: dict[str, Any], clock: Callable[[], float]) -> float:
    """Seconds of one fit."""
    estimator = getattr(module, name)(random_state=0, tol=0.0, n_iter_no_change=10_000, **parameters)
    time.sleep(REST)
    begin = clock()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
    return clock() - begin


def scores(seeds: int = 5) -> None:
    """Mean test scores of estimators with scikit-learn's defaults, behind a StandardScaler."""
    print("| data | scikit-learn | fastnn | difference |\n| --- | --- | --- | --- |")
    loaders = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits,
               "diabetes": load_diabetes, "Fashion-MNIST": None}
    for label, load in loaders.items():
        X, y = images() if load is None else load(return_X_y=True)
        name = "MLPRegressor" if label == "diabetes" else "MLPClassifier"
        parameters = {"max_iter": 5} if load is None else {}
        found = []
        for module in (neural_network, fastnn.sklearn):
            found.append([])
            for seed in range(seeds):
                parts = train_test_split(X.astype(np.float32), y, random_state=seed)
                model = make_pipeline(StandardScaler(), getattr(module, name)(random_state=seed, **parameters))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(parts[0], parts[2])
                found[-1].append(100 * model.score(parts[1], parts[3]))
        theirs, ours = np.mean(found, axis=1)
        print(f"| {label} | {theirs:.2f} | {ours:.2f} | {ours - theirs:+.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="*")
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="for both; by default each chooses")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--scores", action="store_true")
    chosen = parser.parse_args()
    if chosen.scores:
        scores()
        return
    clock = time.perf_counter if chosen.clock == "wall" else time.process_time
    print("| work | dtype | scikit-learn | fastnn | faster by |\n| --- | --- | --- | --- | --- |")
    for label, (name, make, parameters) in WORKS.items():
        if chosen.works and label not in chosen.works:
            continue
        X, y = make()
        for dtype in chosen.dtypes:
            rows = X.astype(dtype)
            target = y.astype(dtype) if y.dtype.kind == "f" else y
            times = [[], []]
            own = parameters if chosen.threads is None else parameters | {"n_jobs": chosen.threads}
            for _ in range(chosen.repeats):
                with threadpool_limits(chosen.threads):
                    times[0].append(fit(neural_network, name, rows, target, parameters, clock))
                times[1].append(fit(fastnn.sklearn, name, rows, target, own, clock))
            theirs, ours = map(min, times)
            print(f"| {label} | {dtype} | {theirs * 1e3:.0f} ms | **{ours * 1e3:.0f} ms** | {theirs / ours:.1f}x |",
                  flush=True)


if __name__ == "__main__":
    main()
