"""`GridSearchCV(n_jobs=2)` beside the same fits by two processes of one thread each, which know nothing of joblib.

    python bench/sklearn_search.py

Eighty fits on 20,000 x 54 numbers of 7 classes: 40 penalties, 2 folds. Both have their processes before the clock
starts; searches and pairs of processes take turns, and the fastest turn of each counts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import warnings
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from fastnn.sklearn import MLPClassifier

ALPHAS = np.logspace(-6, 1, 40)
FOLDS = StratifiedKFold(2)
JOBS = 2


def data() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(20_000, 54, n_informative=20, n_classes=7, random_state=0)
    return X.astype(np.float32), y


def classifier(n_jobs: int | None) -> MLPClassifier:
    return MLPClassifier(max_iter=60, n_iter_no_change=60, random_state=0, n_jobs=n_jobs)


def side_by_side(half: int, turns: int, start: Barrier, times: Queue[tuple[int, float]]) -> None:
    """Every second of the fits that the search makes, in a process of its own."""
    X, y = data()
    work = [(alpha, *fold) for alpha in ALPHAS for fold in FOLDS.split(X, y)][half::JOBS]
    for turn in range(turns):
        start.wait()
        begin = time.perf_counter()
        for alpha, train, test in work:
            clone(classifier(1)).set_params(alpha=alpha).fit(X[train], y[train]).score(X[test], y[test])
        times.put((turn, time.perf_counter() - begin))
        start.wait()


def searched(X: np.ndarray, y: np.ndarray, backend: str) -> float:
    begin = time.perf_counter()
    search = GridSearchCV(classifier(None), {"alpha": ALPHAS}, cv=FOLDS, n_jobs=JOBS, refit=False, error_score="raise")
    with joblib.parallel_config(backend), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    os.environ["PYTHONWARNINGS"] = "ignore"    # of all processes to come: no fit converges
    X, y = data()
    context: Any = multiprocessing.get_context("spawn")
    start, times = context.Barrier(JOBS + 1), context.Queue()
    processes = [context.Process(target=side_by_side, args=(half, turns, start, times)) for half in range(JOBS)]
    for process in processes:
        process.start()
    found: dict[str, list[float]] = {"two processes": [], "loky": [], "threading": []}
    for backend in ("loky", "threading"):
        searched(X, y, backend)
    for _ in range(turns):
        for backend in ("loky", "threading"):
            found[backend].append(searched(X, y, backend))
        start.wait()
        found["two processes"].append(max(times.get()[1] for _ in range(JOBS)))
        start.wait()
    for process in processes:
        process.join()
    for name, seconds in found.items():
        print(f"{name:<16}{min(seconds):.2f} s, median {sorted(seconds)[turns // 2]:.2f} s")


if __name__ == "__main__":
    main()
