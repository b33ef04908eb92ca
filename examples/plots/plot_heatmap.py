"""
Heatmap of a kernel
===================

Blue weights are negative, red ones positive. Each of the 64 pixels is a row here, each of
the 64 units a column.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=15, verbose=0)

# %%
# Kernels larger than the picture are drawn as means of blocks.
ax = fnn.weights.plot.heatmap(model, "dense")
