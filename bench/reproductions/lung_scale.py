"""Train a network with 3 x 300,000 hidden units, 31.6 million connections, as sparse evolutionary training grows it.

The data are drawn at random in the shape of the `lung` set of gene expressions: 3,312 features, 5 classes, 135 samples.
With all its connections the network would have 181 thousand million of them.

Run: python bench/reproductions/lung_scale.py [UNITS [EPOCHS]]        (2 GB; seconds an epoch)
"""

import resource
import sys
import time

import numpy as np

import fastnn as fnn

EPSILON, ZETA, BATCH = 20, 0.3, 2


def lung_like(n: int = 203, n_features: int = 3312, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Samples around a centre for each class, which differs from the others in some features."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=n)
    centres = rng.standard_normal((classes, n_features)) * (rng.random((classes, n_features)) < 0.1)
    return (centres[labels] + rng.standard_normal((n, n_features))).astype(np.float32), labels


class Clock(fnn.callbacks.Callback):
    """Says how long each epoch took, with the evolution before it."""

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        print(f"epoch {epoch + 1}: {now - self.began:.2f} s, loss {logs['loss']:.4f}, accuracy {logs['accuracy']:.3f}")
        self.began = now


def main() -> None:
    units = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    x, y = lung_like()
    hidden = [
        fnn.layers.SparseDense(units, fnn.activations.AllReLU(0.6, layer), epsilon=EPSILON) for layer in range(3)
    ]
    model = fnn.Sequential([fnn.Input((3312,)), *hidden, fnn.layers.Dense(5, "softmax")], seed=0)
    print(f"{model.count_params():,} weights")
    model.compile(fnn.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:135], y[:135], batch_size=BATCH, epochs=epochs, verbose=0,
              callbacks=[fnn.callbacks.SET(ZETA), Clock()])
    print(f"test accuracy {model.evaluate(x[135:], y[135:])[1]:.3f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
