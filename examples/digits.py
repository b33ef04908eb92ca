"""
Digits: train, look, save
=========================

The first steps: a network learns handwritten digits in a fraction of a second, from 1,437 images that come inside the
package. You see how a model is built, trained and tested, how its weights are looked at, and how it goes to a file and
back.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn

(x, y), (x_test, y_test) = fnn.datasets.load_digits()  # uint8 images (1437, 8, 8), values 0 to 16; labels 0 to 9

# %%
# The model is a stack of layers. Images stay bytes in memory and are converted while batches are gathered.

model = fnn.Sequential([
    fnn.layers.Flatten(),
    fnn.layers.Rescaling(1 / 16),
    fnn.layers.Dense(128, activation="relu"),
    fnn.layers.Dropout(0.2),
    fnn.layers.Dense(10, activation="softmax"),
], seed=0)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, batch_size=32, epochs=20, validation_split=0.1, verbose=2)
model.summary()

# %%
# The test images were written by people whose hand the training images do not show.

loss, accuracy = model.evaluate(x_test, y_test)
print(f"test loss {loss:.4f}, accuracy {accuracy:.4f}")

# %%
# How training went: loss and accuracy, of the images it trains on and of those held out.

fnn.weights.plot.curves(history)
plt.show()

# %%
# Which digits are mistaken for which:

predicted = model.predict(x_test).argmax(axis=1)
fnn.weights.plot.confusion_matrix(y_test, predicted)
plt.show()

# %%
# What the hidden units look for, each as an image of its weights: blue pixels speak against it, red ones for it.

fnn.weights.plot.tiles(model)
plt.show()

# %%
# A file holds all there is, the state of the optimizer too, and the predictions of the loaded model are the same bits.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.safetensors"
    model.save(path)
    same = fnn.load_model(path)
    print(f"{path.stat().st_size:,} bytes; equal predictions: "
          f"{np.array_equal(same.predict(x_test), model.predict(x_test))}")
