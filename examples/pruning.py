"""
Pruning: nine tenths of the weights go
======================================

Most weights of a trained network can go at little cost, if they go gradually and the others are trained meanwhile. Here
a Fashion-MNIST network loses 90 % of its weights, and a copy of it three quarters of its neurons, which makes it a
smaller dense network. You see the schedule at work, what it leaves of each layer, and what either costs in accuracy.
"""

import copy
import time

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn

EPOCHS, BATCH = 4, 128
(x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist()  # Debian, Ubuntu: apt-get install dataset-fashion-mnist

# %%
# A trained network, and two copies of it. All of them are trained for as many epochs again, at a smaller rate.

dense = fnn.Sequential([
    fnn.layers.Flatten(),
    fnn.layers.Rescaling(1 / 255),
    fnn.layers.Dense(300, activation="relu", name="first"),
    fnn.layers.Dense(300, activation="relu", name="second"),
    fnn.layers.Dense(10, activation="softmax", name="classes"),
], seed=0)
dense.compile(fnn.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
begin = time.perf_counter()
dense.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
dense.optimizer.learning_rate = 3e-4
start = copy.deepcopy(dense)
sparse, narrow = copy.deepcopy(dense), copy.deepcopy(dense)

dense.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
accuracy = dense.evaluate(x_test, y_test)[1]
print(f"dense: {dense.count_params():,} weights, test accuracy {accuracy:.4f}")

# %%
# Weights
# -------
# The smallest of all layers together, many at first and fewer later (Zhu and Gupta, 2017). The last third of the steps
# repairs what is left.

steps = EPOCHS * -(-len(x) // BATCH)
schedule = fnn.weights.PruningSchedule(0.9, end_step=steps * 2 // 3, scope="global")
sparse.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[schedule])
print(fnn.weights.sparsity_report(sparse))
print(f"90 % pruned: test accuracy {sparse.evaluate(x_test, y_test)[1]:.4f}, dense {accuracy:.4f}")

# %%
# What went were weights near zero; those that stay grew:

fnn.weights.plot.pruning(start, sparse)
plt.show()

# %%
# What the units of the first layer still look at: the middle of the images.

fnn.weights.plot.tiles(sparse, "first")
plt.show()

# %%
# Neurons
# -------
# Whole neurons instead, those with the smallest weights, and then a model without them: less arithmetic, the same
# predictions.

schedule = fnn.weights.PruningSchedule(0.75, end_step=steps * 2 // 3, method="structured", scope="global")
narrow.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[schedule])
small = fnn.weights.shrink(narrow)
difference = np.abs(small.predict(x_test) - narrow.predict(x_test)).max()
units = "-".join(str(layer.units) for layer in small.layers if isinstance(layer, fnn.layers.Dense))
print(f"a quarter of the neurons, 784-{units}: {small.count_params():,} weights, "
      f"test accuracy {small.evaluate(x_test, y_test)[1]:.4f}; predictions differ by {difference:.1e}")
print(f"{time.perf_counter() - begin:.0f} seconds")
