"""Sparse evolutionary training of Fashion-MNIST beside the dense network of the same shape.

784-1000-1000-1000-10 with 20 * (n_in + n_out) connections a layer, 5 % of all, as Mocanu et al. (2018) and Curci et al.
(2021) have it. With `small`, 5,000 images, epsilon 13, 400 epochs and SGD, after the published comparison. Both
networks have the same optimizer, schedule, dropout and epochs; the sparse one has AllReLU. Each has the learning rate
that did best on 10,000 training images held out (dense: 0.9094 with 0.001, 0.9056 with 0.003; SET: 0.9023 with 0.001,
0.9080 with 0.003, 0.9043 with 0.01).

Needs the data: apt-get install dataset-fashion-mnist (Debian, Ubuntu), or a folder with its four IDX files.

Run: python bench/reproductions/set_fashion_mnist.py [small] [FOLDER]
Ten minutes on two cores; small: half an hour.
"""

import sys
import time

import numpy as np

import fastnn as fnn
from fastnn.layers import Dense, Dropout, SparseDense

FULL = {"epsilon": 20, "epochs": 30, "batch": 128, "dropout": 0.1, "samples": 60_000, "seeds": 3,
        "rate": {"dense": 0.001, "SET": 0.003}}
SMALL = {"epsilon": 13, "epochs": 400, "batch": 40, "dropout": 0.3, "samples": 5_000, "seeds": 3,
         "rate": {"dense": 0.01, "SET": 0.01}}


def network(epsilon: float | None, dropout: float, seed: int) -> fnn.Sequential:
    """Three hidden layers; dense without epsilon."""
    layers = []
    for i in range(3):
        if epsilon is None:
            layers.append(Dense(1000, "relu", kernel_initializer="he_uniform"))
        else:
            activation = fnn.activations.AllReLU(0.6, i)
            layers.append(SparseDense(1000, activation, epsilon=epsilon, kernel_initializer="he_uniform"))
        layers.append(Dropout(dropout))
    return fnn.Sequential([fnn.Input((784,)), *layers, Dense(10, "softmax")], seed=seed)


class Test(fnn.callbacks.Callback):
    """Accuracy on the test images after each epoch."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.accuracy = x, y, []

    def on_epoch_end(self, epoch, logs=None):
        self.accuracy.append(self.model.evaluate(self.x, self.y)[1])


def main() -> None:
    arguments = sys.argv[1:]
    plan = SMALL if "small" in arguments else FULL
    root = next((argument for argument in arguments if argument != "small"), None)
    try:
        (x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist(root)
    except FileNotFoundError as error:
        sys.exit(str(error))
    best = {"dense": [], "SET": []}
    for seed in range(plan["seeds"]):
        chosen = np.random.default_rng(seed).permutation(len(x))[:plan["samples"]]
        train, test = x[chosen].reshape(-1, 784) / 255, x_test.reshape(-1, 784) / 255
        mean, deviation = train.mean(axis=0), train.std(axis=0)
        deviation[deviation == 0] = 1
        train, test = (((part - mean) / deviation).clip(-10, 10).astype(np.float32) for part in (train, test))
        for kind in best:
            model = network(plan["epsilon"] if kind == "SET" else None, plan["dropout"], seed)
            steps = plan["epochs"] * -(-len(train) // plan["batch"])
            rate = plan["rate"][kind]
            if plan is FULL:
                optimizer = fnn.optimizers.AdamW(fnn.schedules.CosineDecay(rate, steps), weight_decay=0.01)
            else:
                optimizer = fnn.optimizers.SGD(rate, momentum=0.9, weight_decay=2e-4)
            model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
            watch, start = Test(test, y_test), time.perf_counter()
            model.fit(train, y[chosen], batch_size=plan["batch"], epochs=plan["epochs"], verbose=0,
                      callbacks=[fnn.callbacks.SET(0.3), watch] if kind == "SET" else [watch])
            seconds = (time.perf_counter() - start) / plan["epochs"]
            best[kind].append(max(watch.accuracy))
            print(f"{kind}, seed {seed}: {model.count_params():,} weights, {seconds:.2f} s an epoch with its test, "
                  f"test accuracy {watch.accuracy[-1]:.4f}, at best {max(watch.accuracy):.4f}", flush=True)
    for kind, found in best.items():
        print(f"{kind}: mean of the best {np.mean(found):.4f}")


if __name__ == "__main__":
    main()
