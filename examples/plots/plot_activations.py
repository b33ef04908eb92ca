"""
Samples as a hidden layer sees them
===================================

The outputs of a hidden layer for samples, in the plane of their largest variance: classes come apart.
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=15, verbose=0)

# %%
# ``method="tsne"`` lays neighbours side by side instead.
ax = fnn.weights.plot.activations(model, "dense_1", x_test, y_test)
