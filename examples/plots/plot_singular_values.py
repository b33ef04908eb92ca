"""
Singular values
===============

The singular values of each kernel, with its rank and condition. Where they fall steeply, fewer units would do.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=15, verbose=0)

# %%
# The last values of the first layer fall steeply: some combinations of its inputs hardly count.
ax = fnn.weights.plot.singular_values(model)
