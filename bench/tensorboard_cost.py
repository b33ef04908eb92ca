"""What the TensorBoard callback costs of an epoch of 784-512-512-10 with samples of Fashion-MNIST's shape.

    python bench/tensorboard_cost.py --threads 1 2

Epochs without it, with scalars and histograms of all weights in each, and with pictures and embeddings besides, in
turns; medians. Pictures and embeddings are meant for every fifth epoch, and a fifth of what they cost is their part.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import numpy as np
from common import machine

import fastnn as fnn

N, EVERY = 60_000, 5


class Clock(fnn.callbacks.Callback):
    """Seconds of each epoch, with what the callbacks before it in the list do at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None) -> None:
        self.seconds.append(time.perf_counter() - self.start)


class InTurns(fnn.callbacks.TensorBoard):
    """One that writes nothing in the first of three epochs, no pictures and embeddings in the second, all in the
    third; and the seconds that takes."""

    def on_train_begin(self, logs=None) -> None:
        super().on_train_begin(logs)
        self.projector, self.seconds = self._projector, []

    def on_epoch_end(self, epoch, logs=None) -> None:
        self.image_freq, self._projector = (1, self.projector) if epoch % 3 == 2 else (0, None)
        start = time.perf_counter()
        if epoch % 3:
            super().on_epoch_end(epoch, logs)
        self.seconds.append(time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=10, help="of each kind")
    arguments = parser.parse_args()
    for name, fact in machine().items():
        print(f"{name}: {fact}")
    rng = np.random.default_rng(0)
    x, y = rng.random((N, 28, 28), np.float32), rng.integers(0, 10, N)
    for threads in arguments.threads:
        model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Dense(512, "relu"), fnn.layers.Dense(512, "relu"),
                                fnn.layers.Dense(10, "softmax")], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            board = InTurns(folder, histogram_freq=1, image_freq=1, embeddings_freq=1, embeddings_data=x[:1000],
                            embeddings_metadata=y[:1000], n_threads=threads)
            model.fit(x, y, batch_size=128, epochs=3 * (arguments.epochs + 1), verbose=0, callbacks=[board, clock],
                      n_threads=threads)
        plain, some, whole = (statistics.median(clock.seconds[3 + kind::3]) for kind in range(3))
        _, spent, spent_whole = (statistics.median(board.seconds[3 + kind::3]) for kind in range(3))
        more = (spent_whole - spent) / EVERY
        print(f"{threads} threads: an epoch {plain * 1e3:.0f} ms; with scalars and histograms {some * 1e3:.0f} ms, of "
              f"which the callback {spent * 1e3:.1f} ms, {spent / plain:.1%}; with pictures and embeddings "
              f"{whole * 1e3:.0f} ms, which every {EVERY} epochs is {more * 1e3:.1f} ms an epoch, {more / plain:.1%}",
              flush=True)


if __name__ == "__main__":
    main()
