"""
Importance of features
======================

How much the accuracy falls when a pixel's values are shuffled among the samples. (It needs scikit-learn.)
"""

# %%
import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()
model = fnn.Sequential([fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(64, "relu"),
                        fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x.reshape(-1, 64), y, epochs=15, verbose=0)
names = [f"row {i}, column {j}" for i in range(8) for j in range(8)]
result = fnn.weights.permutation_importance(model, x_test.reshape(-1, 64), y_test, n_repeats=5, seed=0)

# %%
# The whiskers are standard deviations over five shuffles.
ax = fnn.weights.plot.importance(result, names, n=15)
