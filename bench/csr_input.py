"""Sparse samples: an epoch, and predictions, beside scikit-learn's MLP on the same CSR matrix.

    python bench/csr_input.py --threads 1 2
    python bench/csr_input.py --check            # what the door costs of a call of predict

20,000 samples of 100,000 columns, 50 of them not zero, through Dense(256, relu) to 10 classes in batches of 128. Epochs
take turns and the fastest of each counts; scikit-learn, whose epochs are long, has one turn unless --turns says more.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from common import machine
from scipy import sparse

import fastnn as fnn
from fastnn import layers, optimizers
from fastnn.sparse_inputs import as_csr

BATCH = 128


def data(n: int, cols: int, per_row: int, seed: int = 0) -> tuple[sparse.csr_array, np.ndarray]:
    """Rows of TF-IDF's kind, of unit length, and classes that a few columns tell."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, cols - per_row + 1, (n, per_row), dtype=np.int32)
    indices.sort(axis=1)
    indices += np.arange(per_row, dtype=np.int32)      # no column twice in a row
    values = rng.random((n, per_row), dtype=np.float32) + 0.5
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    x = sparse.csr_array((values.ravel(), indices.ravel(), np.arange(0, n * per_row + 1, per_row)), shape=(n, cols))
    return x, (indices[:, 0] * 10 // (cols // per_row + 1)).clip(0, 9)


def model_of(cols: int, units: int, optimizer: optimizers.Optimizer) -> fnn.Sequential:
    model = fnn.Sequential([fnn.Input((cols,)), layers.Dense(units, activation="relu"),
                            layers.Dense(10, activation="softmax")], seed=0)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def scikit_learn(x: sparse.csr_array, y: np.ndarray, units: int, part: int) -> tuple[float, Any]:
    """Seconds of an epoch, by one on the first `part` of the samples, whose steps are like all others; the model."""
    from sklearn.neural_network import MLPClassifier

    theirs = MLPClassifier((units,), batch_size=BATCH, random_state=0)
    theirs.partial_fit(x[:BATCH], y[:BATCH], classes=np.arange(10))
    n = part - part % BATCH
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        took = seconds(lambda: theirs.partial_fit(x[:n], y[:n]))
    return took * len(y) / n, theirs


def epoch(model: fnn.Sequential, x: sparse.csr_array, y: np.ndarray, threads: int, turns: int) -> float:
    """Seconds."""
    def fit(rows: int) -> float:
        return seconds(lambda: model.fit(x[:rows], y[:rows], batch_size=BATCH, verbose=0, n_threads=threads))

    fit(10 * BATCH)
    return min(fit(len(y)) for _ in range(turns))


def check_cost(x: sparse.csr_array, model: fnn.Sequential, threads: int, turns: int) -> float:
    """Print what the door costs of predict, whose seconds are returned."""
    whole = min(seconds(lambda: model.predict(x, n_threads=threads)) for _ in range(turns))
    door = min(seconds(lambda: as_csr(x, dtype="float32")) for _ in range(turns))
    print(f"{threads} threads: predict {whole * 1e3:.2f} ms, of which the door {door * 1e3:.3f} ms, "
          f"{100 * door / whole:.2f} %")
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--cols", type=int, default=100_000)
    parser.add_argument("--per-row", type=int, default=50)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--part", type=int, default=2560, help="samples of scikit-learn's epoch, which is scaled up")
    parser.add_argument("--check", action="store_true", help="only what the door costs")
    arguments = parser.parse_args()
    for name, value in machine().items():
        print(f"- {name}: {value}")
    x, y = data(arguments.rows, arguments.cols, arguments.per_row)
    if arguments.check:
        for threads in arguments.threads:
            check_cost(x, model_of(arguments.cols, arguments.units, optimizers.Adam()), threads, 3 * arguments.turns)
        return
    theirs, peer = min((scikit_learn(x, y, arguments.units, arguments.part) for _ in range(arguments.turns)),
                       key=lambda found: found[0])
    their_predict = min(seconds(lambda: peer.predict_proba(x)) for _ in range(arguments.turns))
    print(f"scikit-learn: an epoch {theirs:.2f} s, predict_proba {their_predict * 1e3:.0f} ms")
    for optimizer in (optimizers.LazyAdam(), optimizers.Adam()):
        model = model_of(arguments.cols, arguments.units, optimizer)
        for threads in arguments.threads:
            took = epoch(model, x, y, threads, arguments.turns)
            print(f"{type(optimizer).__name__}, {threads} threads: an epoch {took:.3f} s, {theirs / took:.1f}x")
    for threads in arguments.threads:
        print(f"predict_proba is {their_predict / check_cost(x, model, threads, 3 * arguments.turns):.1f}x slower")
    parts = [x[i:i + 500] for i in range(0, 5000, 500)]
    equal = all((model.predict(part) == model.predict(part.toarray())).all() for part in parts)
    print("predict equals that of the dense matrix to the bit, 5000 samples:", equal)


if __name__ == "__main__":
    main()
