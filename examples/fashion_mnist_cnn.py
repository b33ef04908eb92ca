"""
Fashion-MNIST: a small convolutional network
============================================

Two convolutions with pooling, then two dense layers: fewer weights than the dense network of
:ref:`sphx_glr_gallery_fashion_mnist.py`, and better after three epochs. You see how images get their channel, what
filters look like, and where the network fails.
"""

import time

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn

NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
(x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist()  # Debian, Ubuntu: apt-get install dataset-fashion-mnist

# %%
# Convolutions take images with channels: of shape (28, 28, 1), here made by ``Reshape``.

model = fnn.Sequential([
    fnn.layers.Rescaling(1 / 255),
    fnn.layers.Reshape((28, 28, 1)),
    fnn.layers.Conv2D(32, 3, activation="relu", kernel_initializer="he_normal", name="filters"),
    fnn.layers.MaxPooling2D(),
    fnn.layers.Conv2D(64, 3, activation="relu", kernel_initializer="he_normal"),
    fnn.layers.MaxPooling2D(),
    fnn.layers.Flatten(),
    fnn.layers.Dropout(0.3),
    fnn.layers.Dense(128, activation="relu", kernel_initializer="he_normal"),
    fnn.layers.Dense(10, activation="softmax"),
], seed=0)
model.compile(fnn.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
begin = time.perf_counter()
model.fit(x, y, batch_size=128, epochs=3, verbose=2, validation_data=(x_test, y_test))
print(f"{model.count_params():,} weights, 3 epochs in {time.perf_counter() - begin:.1f} s; "
      f"test accuracy {model.evaluate(x_test, y_test)[1]:.4f}")

# %%
# The 32 filters of the first layer: edges of all directions.

fnn.weights.plot.tiles(model, "filters")
plt.show()

# %%
# The mistakes that it is most sure of, with what it takes them for. With some of them one may side with the network.

probabilities = model.predict(x_test)
predicted = probabilities.argmax(axis=1)
certainty = np.where(predicted != y_test, probabilities.max(axis=1), 0)
fig, axes = plt.subplots(2, 6, figsize=(10, 4), layout="constrained")
for ax, i in zip(axes.flat, certainty.argsort()[::-1], strict=False):
    ax.imshow(x_test[i], cmap="gray_r")
    ax.set_title(f"{NAMES[predicted[i]]}\n(is: {NAMES[y_test[i]]})", fontsize=10)
    ax.axis("off")
plt.show()
