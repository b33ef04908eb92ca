"""
Histograms of weights
=====================

How the weights of each layer are distributed, with their mean and standard deviation.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=15, verbose=0)

# %%
# A list of names, as ``["dense", "dense_2"]``, chooses layers.
axes = fnn.weights.plot.histograms(model)
