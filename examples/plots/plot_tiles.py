"""
What the first layer looks at
=============================

The weights that lead into a unit have the shape of an image: what the unit reacts to (red), and what it is
inhibited by (blue).
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16),
                        fnn.layers.Dense(36, "relu", kernel_regularizer=fnn.regularizers.L2(1e-2)),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=60, verbose=0)

# %%
# With a decay of weights, what tells nothing is white: the pixels at the rim.
ax = fnn.weights.plot.tiles(model)
