"""What optimizers and their options cost: a step with each of them against one with Adam, in turns.

    python bench/optimizer_costs.py --threads 1 2

Each variant trains for a few steps at a time, all in turns, until the time is up; its fastest turn counts.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from fastnn import Sequential
from fastnn.layers import Dense
from fastnn.optimizers import SGD, Adafactor, Adam, Ftrl, Lamb, Lion, Muon, RAdam, ScheduleFreeAdamW

STEPS = 8  # of a turn: few enough that other processes leave some turns alone

VARIANTS = {
    "Adam": Adam(),
    "SGD": SGD(),
    "Lion": Lion(),
    "RAdam": RAdam(),
    "Ftrl": Ftrl(),
    "ScheduleFreeAdamW": ScheduleFreeAdamW(),
    "Lamb": Lamb(),
    "Adafactor": Adafactor(),
    "Muon": Muon(),
    "Adam, clipvalue": Adam(clipvalue=1.0),
    "Adam, clipnorm": Adam(clipnorm=1.0),
    "Adam, global_clipnorm": Adam(global_clipnorm=1.0),
    "Adam, use_ema": Adam(use_ema=True),
    "Adam, gradient_accumulation_steps=4": Adam(gradient_accumulation_steps=4),
}


def measure(names: list[str], sizes: list[int], batch: int, n_threads: int, seconds: float) -> dict[str, float]:
    """The shortest step of each variant."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS * batch, sizes[0]), dtype=np.float32)
    y = rng.integers(sizes[-1], size=len(x))
    models = {}
    for name in names:
        models[name] = Sequential([*(Dense(n, activation="relu") for n in sizes[1:-1]),
                                   Dense(sizes[-1], activation="softmax")], seed=0)
        models[name].compile(VARIANTS[name], "sparse_categorical_crossentropy")
        models[name].fit(x, y, batch_size=batch, epochs=10, verbose=0, n_threads=n_threads)
    best, end = dict.fromkeys(names, float("inf")), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(x, y, batch_size=batch, verbose=0, n_threads=n_threads)
            best[name] = min(best[name], (time.perf_counter() - start) / STEPS)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="784-512-512-10", help="inputs, hidden layers and outputs")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=20.0, help="for each number of threads")
    parser.add_argument("--only", default="", help="variants whose name has this in it, beside the first")
    options = parser.parse_args()
    names = [name for i, name in enumerate(VARIANTS) if i == 0 or options.only in name]
    for n_threads in options.threads:
        print(f"{options.sizes}, batch {options.batch}, {n_threads} thread{'s' * (n_threads > 1)}")
        best = measure(names, [int(n) for n in options.sizes.split("-")], options.batch, n_threads, options.seconds)
        for name, step in best.items():
            print(f"  {name:<38} {step * 1e6:9.1f} us  {100 * (step / best[names[0]] - 1):+6.1f} %")


if __name__ == "__main__":
    main()
