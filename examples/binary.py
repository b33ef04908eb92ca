"""
Binary weights: a bit for each connection
=========================================

A network whose weights are -1 and 1, trained by rounding real numbers in every step (Courbariaux, Bengio and David,
"BinaryConnect", 2015) and packed in the end: 64 weights in a word, for predictions that are the same to the bit. You
see what that costs in accuracy, what it saves, and the real numbers behind the bits.

`bench/reproductions/binary_connect.py` trains a larger network beside one of real numbers.
"""

import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn
from fastnn.layers import Activation, BatchNormalization, BinaryDense, Dense, Flatten, Rescaling

(x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist()  # Debian, Ubuntu: apt-get install dataset-fashion-mnist
EPOCHS, BATCH = 4, 100

# %%
# Sums of hundreds of weights of size 1 are large: each layer is followed by a normalization. ``sign`` makes the inputs
# of the next layer binary, too, whose products are then counted instead of multiplied.


def network(dense, activation):
    hidden = [layer for _ in range(2)
              for layer in (dense(512), BatchNormalization(momentum=0.9), Activation(activation))]
    model = fnn.Sequential([Flatten(), Rescaling(1 / 127.5, -1), *hidden, dense(10), BatchNormalization(momentum=0.9),
                            Activation("softmax")], seed=0)
    rate = fnn.schedules.CosineDecay(2e-3, EPOCHS * -(-len(x) // BATCH))
    model.compile(fnn.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


models = {
    "real weights, relu": network(lambda units: Dense(units, use_bias=False), "relu"),
    "binary weights, sign": network(lambda units: BinaryDense(units, use_bias=False), "sign"),
}
histories = {}
for name, model in models.items():
    begin = time.perf_counter()
    histories[name] = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, validation_data=(x_test, y_test))
    print(f"{name:21} test accuracy {model.evaluate(x_test, y_test)[1]:.4f}   {time.perf_counter() - begin:.1f} s")

# %%

fig, ax = plt.subplots()
for name, history in histories.items():
    ax.plot(range(1, EPOCHS + 1), history.history["val_accuracy"], "o-", label=name)
ax.set(xlabel="epoch", ylabel="accuracy of the test images", title="Fashion-MNIST, 784-512-512-10",
       xticks=range(1, EPOCHS + 1))
ax.legend()
plt.show()

# %%
# The numbers behind the bits
# ---------------------------
# Only their signs count, and most of them are near zero, where a step may turn a -1 into a 1. That is why the learning
# rate decays to zero: weights would still flip in the end.

binary = models["binary weights, sign"]
fnn.weights.plot.histograms(binary)
plt.show()

# %%
# Packed
# ------
# The packed model is for prediction alone, and gives the same bits.

packed = binary.pack()
print(packed)
with tempfile.TemporaryDirectory() as folder:
    sizes = []
    for model in (binary, packed):
        model.save(path := Path(folder) / "model.safetensors", include_optimizer=False)
        sizes.append(path.stat().st_size)
seconds = []
for model in (models["real weights, relu"], packed):
    model.predict(x_test)
    begin = time.perf_counter()
    for _ in range(10):
        outputs = model.predict(x_test)
    seconds.append((time.perf_counter() - begin) / 10)
print(f"file: {sizes[0] / 1e3:,.0f} kB unpacked, {sizes[1] / 1e3:,.0f} packed")
print(f"10,000 predictions: {seconds[0] * 1e3:.0f} ms with real weights, {seconds[1] * 1e3:.0f} packed")
print("predictions of the packed model equal to the bit:", np.array_equal(outputs, binary.predict(x_test)))
