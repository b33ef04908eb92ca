"""
Pattern of a sparse layer
=========================

Where a sparse layer has connections, after a training that moved the weakest of them each epoch.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16),
                        fnn.layers.SparseDense(128, "relu", density=0.15), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
evolve = fnn.callbacks.SET(zeta=0.3)
history = model.fit(x, y, epochs=15, verbose=0, callbacks=[evolve])

# %%
# Pale rows are pixels that are left with few connections.
ax = fnn.weights.plot.pattern(model, "sparse_dense")
