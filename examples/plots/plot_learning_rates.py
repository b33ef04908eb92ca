"""
Learning-rate finder
====================

``fnn.lr_find`` trains a copy of the model with ever larger rates. A good rate lies where the smoothed loss
falls; above it, it runs away.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
curve = fnn.lr_find(model, x, y, start=1e-5)
print(curve.suggestion)

# %%
# ``curve.plot()`` draws the same.
ax = fnn.weights.plot.learning_rates(curve)
