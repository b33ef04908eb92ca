"""Times of `fit`, fastnn's estimators beside scikit-learn's: the same parameters, data and number of epochs.

    python bench/sklearn_speed.py                       # every work, in turns, minima of 5
    python bench/sklearn_speed.py --works digits lbfgs --repeats 9 --threads 1

Each contestant fits in turn, so that a noisy minute hits both. Data that this machine has not (Fashion-MNIST is read
from `--fashion`, a folder with its four files) are left out.
"""

from __future__ import annotations

import argparse
import gzip
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_digits
from threadpoolctl import threadpool_limits

import fastnn.sklearn

Data = tuple[Any, Any]


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


def images(folder: str) -> Data | None:
    """60 000 images of Fashion-MNIST as numbers from 0 to 1, or as many of the same sizes that mean nothing."""
    path = Path(folder) / "train-images-idx3-ubyte.gz"
    if not path.exists():
        rng = np.random.default_rng(0)
        return rng.random((60_000, 784)), rng.integers(0, 10, 60_000)
    with gzip.open(path) as x, gzip.open(path.with_name("train-labels-idx1-ubyte.gz")) as y:
        return (np.frombuffer(x.read(), np.uint8, offset=16).reshape(-1, 784) / 255.0,
                np.frombuffer(y.read(), np.uint8, offset=8))


def works(fashion: str) -> dict[str, tuple[str, Callable[[], Data | None], dict[str, Any]]]:
    """By name: the estimator, the data, the parameters."""
    return {
        "fashion": ("MLPClassifier", lambda: images(fashion), {"max_iter": 2}),
        "digits": ("MLPClassifier", digits, {"max_iter": 40}),
        "table": ("MLPClassifier", table, {"max_iter": 5}),
        "numbers": ("MLPRegressor", numbers, {"max_iter": 10}),
        "lbfgs": ("MLPClassifier", cancer, {"solver": "lbfgs", "max_iter": 60}),
        "lbfgs digits": ("MLPClassifier", digits, {"solver": "lbfgs", "max_iter": 40}),
    }


def fit(module: Any, name: str, X: Any, y: Any, parameters: dict[str, Any]) -> float:
    """Seconds of one fit."""
    estimator = getattr(module, name)(random_state=0, tol=0.0, n_iter_no_change=10_000, **parameters)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="*")
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="for both; by default each chooses")
    parser.add_argument("--fashion", default="fashion-mnist")
    chosen = parser.parse_args()
    print("| work | dtype | scikit-learn | fastnn | faster by |\n| --- | --- | --- | --- | --- |")
    for label, (name, make, parameters) in works(chosen.fashion).items():
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
                    times[0].append(fit(neural_network, name, rows, target, parameters))
                times[1].append(fit(fastnn.sklearn, name, rows, target, own))
            theirs, ours = map(min, times)
            print(f"| {label} | {dtype} | {theirs * 1e3:.0f} ms | **{ours * 1e3:.0f} ms** | {theirs / ours:.1f}x |",
                  flush=True)


if __name__ == "__main__":
    main()
