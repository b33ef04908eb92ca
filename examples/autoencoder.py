"""
Autoencoder: 784 pixels in 32 numbers
=====================================

A network that shall give back its own input, but must pass it through 32 numbers, learns what images have in common.
Its decoder uses the kernels of the encoder, transposed (``tied_to``): half the weights, and a decoder that stays the
mirror of the encoder (Vincent et al., "Stacked denoising autoencoders", 2010).

You see how kernels are shared, how the numbers in the middle are read, and how much better they are than the best 32
that a linear method finds, principal components.
"""

import time

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn

NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
(x, _), (x_test, y_test) = fnn.datasets.load_fashion_mnist()  # Debian, Ubuntu: apt-get install dataset-fashion-mnist
x, x_test = (images.reshape(-1, 784).astype(np.float32) / 255 for images in (x, x_test))

# %%
# Tied kernels
# ------------
# ``tied_to`` names the layer whose kernel is used. The two layers in the middle have a kernel each, the two of the
# decoder nothing but biases.

Dense = fnn.layers.Dense
model = fnn.Sequential([
    fnn.Input((784,)),
    Dense(256, activation="relu", kernel_initializer="he_normal", name="encoder"),
    Dense(32, name="code"),
    Dense(256, activation="relu", tied_to="code", name="decoder"),
    Dense(784, activation="sigmoid", tied_to="encoder", name="pixels"),
], seed=0)
EPOCHS, BATCH = 10, 128
rate = fnn.schedules.CosineDecay(2e-3, EPOCHS * -(-len(x) // BATCH))
model.compile(fnn.optimizers.Adam(rate), "mse")
model.summary()
begin = time.perf_counter()
history = model.fit(x, x, batch_size=BATCH, epochs=EPOCHS, verbose=2, validation_data=(x_test, x_test))
print(f"{time.perf_counter() - begin:.1f} s")

# %%
# Principal components, the best that a linear encoder and decoder can do:

mean = x.mean(axis=0)
directions = np.linalg.eigh((x - mean).T @ (x - mean))[1][:, -32:]
linear = mean + (x_test - mean) @ directions @ directions.T
images = model.predict(x_test)
for name, found in (("32 principal components", linear), ("autoencoder with 32 numbers", images)):
    print(f"{name:28} mean squared error {np.mean((found - x_test) ** 2):.5f}")

# %%
# What is lost
# ------------

chosen = [np.flatnonzero(y_test == label)[0] for label in range(10)]
rows = {"image": x_test, "principal\ncomponents": linear, "autoencoder": images}
picture = np.vstack([np.hstack(values[chosen].reshape(-1, 28, 28)) for values in rows.values()])
fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
ax.set(xticks=14 + 28 * np.arange(10), yticks=14 + 28 * np.arange(3), title="784 pixels from 32 numbers")
ax.set_xticklabels(NAMES)
ax.set_yticklabels(rows)
ax.tick_params(length=0)
plt.show()

# %%
# The code
# --------
# Its first two principal components: nobody told the network the classes, and yet they lie apart.

fnn.weights.plot.activations(model, "code", x_test, y_test, method="pca")
plt.show()

# %%
# And the parts of images that the first layer looks for:

fnn.weights.plot.tiles(model, "encoder", shape=(28, 28))
plt.show()
