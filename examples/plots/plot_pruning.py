"""
Before and after pruning
========================

Which share of its connections each layer kept, and the distribution of the weights that are left.
"""

# %%
import copy

import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=15, verbose=0)
before = copy.deepcopy(model)
report = fnn.weights.prune(model, 0.8, scope="global")

# %%
# The smallest weights of all layers together went.
axes = fnn.weights.plot.pruning(before, model)
