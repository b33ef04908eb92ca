"""
Fashion-MNIST: normalization, dropout, a schedule
=================================================

The network of :ref:`sphx_glr_gallery_fashion_mnist.py` with what keeps it from learning by heart: batch normalization,
dropout, and a learning rate that rises for a while and then falls to zero. You see how they are put together, how a
schedule is made, and how normalization is folded into the weights once training is over. With 30 epochs
(`bench/reproductions/fashion_mnist_bn.py`) it reaches 0.913.
"""

import time

import matplotlib.pyplot as plt  # pip install "fastnn[viz]"
import numpy as np

import fastnn as fnn
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Flatten, Rescaling

(x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist()  # Debian, Ubuntu: apt-get install dataset-fashion-mnist
EPOCHS, BATCH = 8, 128

# %%
# A ``Dense`` before a normalization needs no bias: the mean is taken away again.

hidden = [layer for _ in range(2)
          for layer in (Dense(512, use_bias=False), BatchNormalization(), Activation("relu"), Dropout(0.2))]
model = fnn.Sequential([Flatten(), Rescaling(1 / 255), *hidden, Dense(10, activation="softmax")], seed=0)

steps = EPOCHS * -(-len(x) // BATCH)
rate = fnn.schedules.CosineDecay(0.0, steps - 500, warmup_target=2e-3, warmup_steps=500)
model.compile(fnn.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])

# %%
# A monitor records how the weights move. It changes no bit of the training.

monitor = fnn.weights.WeightMonitor()
begin = time.perf_counter()
history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=2, validation_data=(x_test, y_test),
                    callbacks=[monitor])
print(f"{EPOCHS} epochs in {time.perf_counter() - begin:.1f} s; test accuracy {model.evaluate(x_test, y_test)[1]:.4f}")

# %%
# Dropout makes training harder than the test, so that the test's loss may lie below. The learning rate is that of the
# schedule.

fnn.weights.plot.curves(history)
plt.show()

# %%
# How far an epoch moves each weight, in parts of its size: less and less, as the rate falls.

fnn.weights.plot.updates(monitor)
plt.show()

# %%
# For predictions, normalization is a factor and a shift, which the weights can take over:

fused = model.fuse()
difference = np.abs(fused.predict(x_test) - model.predict(x_test)).max()
print(f"fused: {fused.count_params():,} parameters instead of {model.count_params():,}, "
      f"probabilities equal to {difference:.1g}")
