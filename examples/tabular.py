"""
A table with categories: embeddings
===================================

Prices of flats from numbers (size, age, floor) and categories (street, district, heating). A network can take a
category as a number, as a column of zeros and ones for each value, or as a row of a table that it learns: an embedding.
You see how the branches of a network take a column each, what each way is worth, and what the table of streets knows in
the end.
"""

import time

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn
from fastnn.layers import Columns, Concatenate, Dense, Embedding, Flatten, Residual

# %%
# The table
# ---------
# 20,000 sales, made here so that we know the truth: each of the 400 streets has a level and a premium for size of its
# own. Many streets have few sales.

N, STREETS, DISTRICTS, HEATINGS = 20_000, 400, 12, 5
rng = np.random.default_rng(0)
street = rng.choice(STREETS, N, p=rng.dirichlet(np.full(STREETS, 0.5)))
district_of = rng.integers(0, DISTRICTS, STREETS)
level = rng.normal(0, 0.3, DISTRICTS)[district_of] + rng.normal(0, 0.15, STREETS)
premium = rng.normal(0.8, 0.15, STREETS)
size, age, floor = rng.normal(size=N), rng.exponential(size=N), rng.integers(0, 10, N) / 5
heating = rng.integers(0, HEATINGS, N)
y = (level[street] + premium[street] * size - 0.1 * age + 0.05 * floor + rng.normal(0, 0.1, HEATINGS)[heating]
     + rng.normal(0, 0.1, N))  # the logarithm of the price; the last term is noise that nobody can predict
x = np.column_stack([size, age, floor, street, district_of[street], heating])

# %%
# Three ways to say "street"
# --------------------------
# ``Concatenate`` sends the samples through branches and puts what comes out side by side.

embeddings = Concatenate([
    Columns(range(3)),
    [Columns(3), Embedding(STREETS, 6, name="street"), Flatten()],
    [Columns(4), Embedding(DISTRICTS, 3, name="district"), Flatten()],
    [Columns(5), Embedding(HEATINGS, 2, name="heating"), Flatten()],
], name="table")
categories = {3: STREETS, 4: DISTRICTS, 5: HEATINGS}
one_hot = np.hstack([x[:, :3], *(np.eye(n)[x[:, column].astype(int)] for column, n in categories.items())])
contestants = {
    "categories as numbers": (x / [1, 1, 1, STREETS, DISTRICTS, HEATINGS], []),
    "one-hot columns": (one_hot.astype(np.float32), []),
    "embeddings": (x, [embeddings]),
}

train, test = slice(0, 16_000), slice(16_000, None)
predictions = {}
print(f"noise alone: RMSE 0.100; predicting the mean: {y.std():.3f}")
for name, (features, first) in contestants.items():
    model = fnn.Sequential([*first, Dense(64, activation="relu"),
                            Residual([Dense(64, activation="relu"), Dense(64)]), Dense(1)], seed=0)
    model.compile(fnn.optimizers.AdamW(0.002, weight_decay=0.01), "mse")
    begin = time.perf_counter()
    model.fit(features[train], y[train], batch_size=128, epochs=15, verbose=0)
    seconds = time.perf_counter() - begin
    predictions[name] = model.predict(features[test])[:, 0]
    rmse = np.sqrt(np.mean((predictions[name] - y[test]) ** 2))
    print(f"{name:22} RMSE {rmse:.3f}   {model.count_params():6,} parameters   {seconds:.1f} s")

# %%
# What is left to explain
# -----------------------
# The residuals of the network with embeddings are hardly more than the noise.

fnn.weights.plot.residuals(y[test], predictions["embeddings"])
plt.show()

# %%
# What the tables know
# --------------------
# Six numbers for each street and three for each district, learned from prices alone. The best linear function of them
# gives the true levels of streets, which the network never saw: fitted to streets with at least 20 sales, it holds for
# the others too, as far as few sales can tell.

streets, districts = (model.layers[0].sublayers[i].embeddings for i in (2, 5))
rows = np.hstack([streets, districts[district_of], np.ones((STREETS, 1))])
sales = np.bincount(street[train], minlength=STREETS)
often = sales >= 20
read = rows @ np.linalg.lstsq(rows[often], level[often], rcond=None)[0]
for name, which in (("at least 20 sales", often), ("fewer", ~often)):
    print(f"{which.sum()} streets with {name}: correlation {np.corrcoef(read[which], level[which])[0, 1]:.3f}")

fig, ax = plt.subplots()
points = ax.scatter(level, read, c=np.log10(1 + sales), s=12)
ax.axline((0, 0), slope=1, color="gray", linewidth=1)
ax.set(xlabel="true level of the street", ylabel="read from the tables", title="400 streets")
fig.colorbar(points, label="log10 of sales")
plt.show()
