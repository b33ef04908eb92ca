"""
Transfer: 500 images and what another network knows
===================================================

A network learns to tell five classes of clothes apart, from 30,000 images. Its hidden layers then help another one with
the other five classes, of which there are but 500 images. You see how weights are carried over, how layers are frozen
and freed, how lower layers get smaller learning rates, and what it is worth beside a start from scratch.
"""

import time

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn

IMAGES, DRAWS = 500, 3  # everything is repeated with other images and other initial weights
(x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist()  # Debian, Ubuntu: apt-get install dataset-fashion-mnist


def network(seed):
    model = fnn.Sequential([
        fnn.Input((28, 28)),
        fnn.layers.Flatten(),
        fnn.layers.Rescaling(1 / 255),
        fnn.layers.Dense(512, activation="relu", kernel_initializer="he_normal", name="hidden_1"),
        fnn.layers.Dropout(0.3),
        fnn.layers.Dense(256, activation="relu", kernel_initializer="he_normal", name="hidden_2"),
        fnn.layers.Dropout(0.3),
        fnn.layers.Dense(5, activation="softmax", name="head"),
    ], seed=seed)
    model.compile(fnn.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# %%
# The first task
# --------------

first, first_test = y < 5, y_test < 5
old = network(seed=0)
begin = time.perf_counter()
old.fit(x[first], y[first], batch_size=128, epochs=5, verbose=0)
print(f"first five classes: test accuracy {old.evaluate(x_test[first_test], y_test[first_test])[1]:.4f}, "
      f"{time.perf_counter() - begin:.1f} s")

# %%
# The second one
# --------------
# The head alone first, so that its random weights do not disturb what was carried over. Then all layers, each at a rate
# 2.6 times smaller than that of the layer above it.


def tuned(model, x, y):
    for layer in model.layers[:-1]:
        layer.trainable = False
    before = model.fit(x, y, batch_size=32, epochs=10, verbose=0, validation_data=some)
    for layer in model.layers:
        layer.trainable = True
    fnn.weights.discriminative(model, factor=2.6)
    model.compile(fnn.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    after = model.fit(x, y, batch_size=32, epochs=30, verbose=0, validation_data=some)
    return before.history["val_accuracy"] + after.history["val_accuracy"]


x, y = x[~first], y[~first] - 5
x_test, y_test = x_test[~first_test], y_test[~first_test] - 5
some = x_test[::5], y_test[::5]  # for the curves
found, curves = ({"from scratch": [], "transferred": []} for _ in range(2))
for draw in range(DRAWS):
    few = np.random.default_rng(draw).choice(len(x), IMAGES, replace=False)
    scratch, new = network(seed=draw + 1), network(seed=draw + 1)
    history = scratch.fit(x[few], y[few], batch_size=32, epochs=40, verbose=0, validation_data=some)
    curves["from scratch"].append(history.history["val_accuracy"])
    report = fnn.weights.transfer(old, new, layers=["hidden_1", "hidden_2"])
    curves["transferred"].append(tuned(new, x[few], y[few]))
    for name, model in (("from scratch", scratch), ("transferred", new)):
        found[name].append(model.evaluate(x_test, y_test)[1])
print(report)
for name, values in found.items():
    print(f"other five classes, {IMAGES} images, {name}: mean test accuracy {np.mean(values):.4f} "
          f"({', '.join(f'{value:.3f}' for value in values)})")

# %%
# Each line a draw. To the left of the dotted line the transferred networks learn with frozen layers: what they have of
# their own is the head.

fig, ax = plt.subplots()
for (name, runs), color in zip(curves.items(), ("tab:gray", "tab:blue"), strict=True):
    lines = ax.plot(range(1, 41), np.transpose(runs), color=color)
    lines[0].set_label(name)
ax.axvline(10.5, color="black", linewidth=0.8, linestyle=":")
ax.set(xlabel="epoch", ylabel="accuracy of the test images", ylim=(0.6, None),
       title=f"Five new classes from {IMAGES} images")
ax.legend()
plt.show()
