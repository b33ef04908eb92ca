"""
Confusion matrix
================

How often each digit was taken for which. Colours are shares of the true class, numbers are counts.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=15, verbose=0)

# %%
# Probabilities are taken as they come from ``predict``.
ax = fnn.weights.plot.confusion_matrix(y_test, model.predict(x_test))
