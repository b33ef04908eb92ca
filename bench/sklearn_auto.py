"""Scores of ``preset="auto"`` beside scikit-learn's MLP behind a StandardScaler, each with all its defaults, 5-fold.

    python bench/sklearn_auto.py                            # the 10,000 test images of Fashion-MNIST among the data
    python bench/sklearn_auto.py --fashion-rows 70000       # all of them
    python bench/sklearn_auto.py iris wine --n-ens 4

Accuracy of classes, R2 of diabetes; both get the same folds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import datasets, neural_network
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn.sklearn
from fastnn.datasets import load_fashion_mnist

DATA: dict[str, Callable[[], Any]] = {
    name: getattr(datasets, f"load_{name}") for name in ("iris", "wine", "breast_cancer", "digits", "diabetes")}


def load(name: str, fashion_rows: int) -> tuple[Any, Any]:
    if name in DATA:
        return DATA[name](return_X_y=True)
    (x, y), (x_test, y_test) = load_fashion_mnist()
    x, y = np.concatenate([x_test, x])[:fashion_rows], np.concatenate([y_test, y])[:fashion_rows]
    return x.reshape(len(x), -1).astype(np.float32), y


def measure(make: Callable[[], Any], X: Any, y: Any, folds: Any) -> tuple[list[float], float]:
    """Score of each fold, and seconds of all calls of fit."""
    scores, seconds = [], 0.0
    for train, test in folds.split(X, y):
        estimator, start = make(), time.perf_counter()
        estimator.fit(X[train], y[train])
        seconds += time.perf_counter() - start
        scores.append(float(estimator.score(X[test], y[test])))
    return scores, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*DATA, "fashion_mnist"], help="%(default)s")
    parser.add_argument("--fashion-rows", type=int, default=10_000)
    parser.add_argument("--n-ens", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    means: list[tuple[float, float]] = []
    print("| data | rows | scikit-learn | preset=\"auto\" | seconds |\n|---|---|---|---|---|")
    for name in given.names:
        X, y = load(name, given.fashion_rows)
        numbers = name == "diabetes"
        folds = (KFold if numbers else StratifiedKFold)(5, shuffle=True, random_state=0)
        theirs, ours = (getattr(module, "MLPRegressor" if numbers else "MLPClassifier")
                        for module in (neural_network, fastnn.sklearn))
        found = [measure(make, X, y, folds) for make in (
            lambda: make_pipeline(StandardScaler(), theirs(random_state=0)),  # noqa: B023
            lambda: ours(preset="auto", random_state=0, n_ens=given.n_ens, n_jobs=given.threads))]  # noqa: B023
        means.append(tuple(float(np.mean(scores)) for scores, _ in found))  # type: ignore[arg-type]
        shown = " | ".join(f"{np.mean(scores):.4f} +- {np.std(scores):.4f}" for scores, _ in found)
        print(f"| {name} | {len(X)} | {shown} | {found[0][1]:.1f}, {found[1][1]:.1f} |", flush=True)
    print("| mean | | " + " | ".join(f"{mean:.4f}" for mean in np.mean(means, axis=0)) + " | |")


if __name__ == "__main__":
    main()
