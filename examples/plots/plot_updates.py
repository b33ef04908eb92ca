"""
Size of updates
===============

How much a step changes the weights, beside their size. About 1e-3 is usual; far above it a training is rough,
far below it slow.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
monitor = fnn.weights.WeightMonitor(x[:256], y[:256], histogram_bins=60)
history = model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])

# %%
# ``monitor.plot()`` draws the same.
ax = fnn.weights.plot.updates(monitor)
