"""Prices from a table of numbers and categories: embeddings beside categories as numbers and as one-hot columns.

The table is made here: 20,000 sales of flats in 400 streets of 12 districts, with size, age, floor and heating. A
street has its own level and its own premium for size; many streets have few sales.

Run: python examples/tabular_embeddings.py        (some seconds)
"""

import time

import numpy as np

import fastnn as fnn
from fastnn.layers import Columns, Concatenate, Dense, Embedding, Flatten, Residual

N, STREETS, DISTRICTS, HEATINGS = 20_000, 400, 12, 5
Table = np.ndarray


def sales(rng: np.random.Generator) -> tuple[Table, Table]:
    """Size, age, floor, street, district, heating; and the logarithm of the price."""
    popular = rng.dirichlet(np.full(STREETS, 0.5))
    street = rng.choice(STREETS, N, p=popular)
    district_of = rng.integers(0, DISTRICTS, STREETS)
    level = rng.normal(0, 0.3, DISTRICTS)[district_of] + rng.normal(0, 0.15, STREETS)
    premium = rng.normal(0.8, 0.15, STREETS)
    size, age, floor = rng.normal(size=N), rng.exponential(size=N), rng.integers(0, 10, N) / 5
    heating = rng.integers(0, HEATINGS, N)
    price = (level[street] + premium[street] * size - 0.1 * age + 0.05 * floor + rng.normal(0, 0.1, HEATINGS)[heating]
             + rng.normal(0, 0.1, N))
    return np.column_stack([size, age, floor, street, district_of[street], heating]), price


def body() -> list[fnn.layers.Layer]:
    return [Dense(64, activation="relu"), Residual([Dense(64, activation="relu"), Dense(64)]), Dense(1)]


def one_hot(x: Table) -> Table:
    parts = [np.eye(n, dtype=np.float32)[x[:, c].astype(int)] for c, n in ((3, STREETS), (4, DISTRICTS), (5, HEATINGS))]
    return np.hstack([x[:, :3].astype(np.float32), *parts])


def as_numbers(x: Table) -> Table:
    return x / [1, 1, 1, STREETS, DISTRICTS, HEATINGS]


def main() -> None:
    x, y = sales(np.random.default_rng(0))
    embeddings = Concatenate([
        Columns(range(3)),
        [Columns(3), Embedding(STREETS, 6, name="street"), Flatten()],
        [Columns(4), Embedding(DISTRICTS, 3, name="district"), Flatten()],
        [Columns(5), Embedding(HEATINGS, 2, name="heating"), Flatten()],
    ], name="table")
    contestants = {
        "categories as numbers": (as_numbers(x), body()),
        "one-hot columns": (one_hot(x), body()),
        "embeddings": (x, [embeddings, *body()]),
    }
    train, test = slice(0, 16_000), slice(16_000, None)
    print(f"noise alone: RMSE 0.100; predicting the mean: {y.std():.3f}")
    for name, (features, layers) in contestants.items():
        model = fnn.Sequential(layers, seed=0)
        model.compile(fnn.optimizers.AdamW(0.002, weight_decay=0.01), "mse")
        start = time.perf_counter()
        model.fit(features[train], y[train], batch_size=128, epochs=15, verbose=0)
        seconds = time.perf_counter() - start
        loss = model.evaluate(features[test], y[test])
        print(f"{name:22} RMSE {loss**0.5:.3f}   {model.count_params():6,} parameters   {seconds:.1f} s")

    table = model.layers[0].sublayers[2].embeddings
    near = np.linalg.norm(table - table[0], axis=1).argsort()[1:4]
    print(f"streets whose rows of the table are nearest to that of street 0: {near}")


if __name__ == "__main__":
    main()
