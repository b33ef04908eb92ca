"""
Gradients by layer
==================

What arrives of the gradient at each layer of a deep model of sigmoids before its first step: a thousandth of it
at the first. The printed report says what to change.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
layers = [fnn.layers.Dense(32, "sigmoid") for _ in range(6)]
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), *layers,
                        fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.build((8, 8))
report = fnn.weights.diagnose_gradients(model, x[:256], y[:256])
print(report)

# %%
# ``report.plot()`` draws the same.
ax = fnn.weights.plot.gradients(report)
