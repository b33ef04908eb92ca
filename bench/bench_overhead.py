"""Prints what calls from Python cost beyond their arithmetic, as Markdown.

python bench/bench_overhead.py [--threads 1 2] [--rounds 50]

Overhead is the time of a call less that of the arithmetic inside it:

- `train_on_batch`, `fit`: a step takes (time of an epoch of 80 batches - time of one of 40) / 40, on the same rows;
- `predict`, `evaluate` of 64 rows: the rows take (time of 5120 rows - time of 2560) / 40;
- `predict` of one row: no larger call does the same arithmetic, so overhead is the whole time of the call on a network
  of one weight.

All times are minima over rounds in which every call takes its turn: overhead is what a call costs where nothing else
disturbs it, and means on a machine that others use tell of the others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from common import THREADS, machine

import fastnn as fnn
from fastnn import layers

Call = Callable[[], object]

NETWORKS = {"1-1": (1, 1), "4-64-64-2": (4, 64, 64, 2), "8-256-256-4": (8, 256, 256, 4)}
BATCH, ROWS = 64, 1000
FIT_BATCH = 50  # divides ROWS


def network(sizes: tuple[int, ...]) -> fnn.Sequential:
    hidden = [layers.Dense(size, activation="relu") for size in sizes[1:-1]]
    model = fnn.Sequential([*hidden, layers.Dense(sizes[-1])], seed=0)
    model.compile("adam", "mse")
    model.build(sizes[:1])
    return model


def calls(sizes: tuple[int, ...], n_threads: int) -> dict[str, tuple[int, Call]]:
    """Calls by name, and how many of them make one timing."""
    model, rng = network(sizes), np.random.default_rng(0)
    x = np.tile(rng.normal(size=(BATCH, sizes[0])).astype("f4"), (80, 1))
    y = np.tile(rng.normal(size=(BATCH, sizes[-1])).astype("f4"), (80, 1))
    of = {"n_threads": n_threads}

    def fit(n: int, batch: int, shuffle: bool = False) -> Call:
        rows, answers = x[:n], y[:n]
        return lambda: model.fit(rows, answers, batch_size=batch, shuffle=shuffle, verbose=0, **of)

    def predict(n: int) -> Call:
        rows = x[:n]
        return lambda: model.predict(rows, **of)

    def evaluate(n: int) -> Call:
        rows, answers = x[:n], y[:n]
        return lambda: model.evaluate(rows, answers, **of)

    batch = x[:BATCH], y[:BATCH]
    return {
        "predict, 1 row": (100, predict(1)),
        "predict, 64 rows": (20, predict(BATCH)),
        "evaluate, 64 rows": (20, evaluate(BATCH)),
        "train_on_batch, 64 rows": (20, lambda: model.train_on_batch(*batch, **of)),
        "fit, 1 epoch of 1000 rows": (2, fit(ROWS, FIT_BATCH, shuffle=True)),
        "fit 40": (1, fit(40 * BATCH, BATCH)), "fit 80": (1, fit(80 * BATCH, BATCH)),
        "fit 40 of 50": (1, fit(40 * FIT_BATCH, FIT_BATCH)), "fit 80 of 50": (1, fit(80 * FIT_BATCH, FIT_BATCH)),
        "predict 40": (1, predict(40 * BATCH)), "predict 80": (1, predict(80 * BATCH)),
        "evaluate 40": (1, evaluate(40 * BATCH)), "evaluate 80": (1, evaluate(80 * BATCH)),
    }  # fmt: skip


def fastest(entries: dict[str, tuple[int, Call]], rounds: int) -> dict[str, float]:
    """Least microseconds of each call."""
    best = dict.fromkeys(entries, float("inf"))
    for _ in range(rounds):
        for name, (repeats, call) in entries.items():
            call()
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            best[name] = min(best[name], (time.perf_counter() - start) / repeats * 1e6)
    return best


def arithmetic(name: str, t: dict[str, float], smallest: dict[str, float]) -> float:
    """Microseconds of the arithmetic inside the call `name`."""
    if name == "predict, 1 row":
        return t[name] - smallest[name]
    if name.startswith("fit"):
        return (t["fit 80 of 50"] - t["fit 40 of 50"]) / 40 * ROWS / FIT_BATCH
    kind = "fit" if name.startswith("train") else name.split(",")[0]
    return (t[f"{kind} 80"] - t[f"{kind} 40"]) / 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", nargs="+", type=int, default=THREADS)
    parser.add_argument("--rounds", type=int, default=50)
    args = parser.parse_args()
    for key, value in machine().items():
        print(f"- {key}: {value}")
    print("\n| call | network | threads | time, us | arithmetic, us | overhead, us |\n|---|---|---|---|---|---|")
    for n_threads in args.threads:
        smallest: dict[str, float] = {}
        for name, sizes in NETWORKS.items():
            times = fastest(calls(sizes, n_threads), args.rounds)
            smallest = smallest or times
            for call in list(times)[:5]:
                inside = arithmetic(call, times, smallest)
                print(f"| {call} | {name} | {n_threads} | {times[call]:.1f} | {inside:.1f} | "
                      f"**{times[call] - inside:.1f}** |", flush=True)


if __name__ == "__main__":
    main()
