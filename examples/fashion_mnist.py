"""
Fashion-MNIST: a dense network
==============================

60,000 images of clothes, ten classes, a network of 784-512-512-10 that takes them as bytes. You see what a few epochs
reach, when the network begins to learn by heart, what it mistakes for what, and how its hidden layer sorts the images.
"""

import time

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"

import fastnn as fnn

NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
(x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist()  # Debian, Ubuntu: apt-get install dataset-fashion-mnist

# %%
# Training
# --------

model = fnn.Sequential([
    fnn.layers.Flatten(),
    fnn.layers.Rescaling(1 / 255),
    fnn.layers.Dense(512, activation="relu", name="first"),
    fnn.layers.Dense(512, activation="relu", name="second"),
    fnn.layers.Dense(10, activation="softmax", name="classes"),
], seed=0)
model.compile(fnn.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
begin = time.perf_counter()
history = model.fit(x, y, batch_size=128, epochs=8, verbose=2, validation_data=(x_test, y_test))
print(f"8 epochs in {time.perf_counter() - begin:.1f} s on at most {fnn.get_num_threads()} threads; "
      f"test accuracy {model.evaluate(x_test, y_test)[1]:.4f}")

# %%
# The loss of the training images falls faster than that of the test images, more so with every epoch: the network
# begins to learn by heart. What helps: see :ref:`sphx_glr_gallery_fashion_mnist_bn.py`.

fnn.weights.plot.curves(history)
plt.show()

# %%
# What is mistaken for what
# -------------------------
# Shirts for T-shirts, pullovers and coats.

fnn.weights.plot.confusion_matrix(y_test, model.predict(x_test).argmax(axis=1), NAMES)
plt.show()

# %%
# Inside
# ------
# The outputs of the second layer for 2,000 test images, 512 numbers each, projected onto two:

fnn.weights.plot.activations(model, "second", x_test[:2000], y_test[:2000], method="pca")
plt.show()

# %%
# And the weights of the first layer, unit by unit:

fnn.weights.plot.tiles(model, "first")
plt.show()
