"""Transfer on Fashion-MNIST: a network learns the first five classes from 30,000 images; its hidden layers then help
another one to tell the other five classes apart with 500 images, beside the same network that starts from scratch.

Needs the data: apt-get install dataset-fashion-mnist (Debian, Ubuntu), or a folder with its four IDX files.

Run: python examples/transfer.py [FOLDER]
"""

import sys
import time

import numpy as np

import fastnn as fnn

IMAGES = 500
DRAWS = 3  # of the 500 images and the initial weights


def network(seed: int) -> fnn.Sequential:
    model = fnn.Sequential(
        [
            fnn.Input((28, 28)),
            fnn.layers.Flatten(),
            fnn.layers.Rescaling(1 / 255),
            fnn.layers.Dense(512, activation="relu", kernel_initializer="he_normal", name="hidden_1"),
            fnn.layers.Dropout(0.3),
            fnn.layers.Dense(256, activation="relu", kernel_initializer="he_normal", name="hidden_2"),
            fnn.layers.Dropout(0.3),
            fnn.layers.Dense(5, activation="softmax", name="head"),
        ],
        seed=seed,
    )
    model.compile(fnn.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def tuned(model: fnn.Sequential, x, y) -> fnn.Sequential:
    """The head alone first, so that its random weights do not disturb what was carried over; then all layers, the
    lower ones at smaller learning rates."""
    for layer in model.layers[:-1]:
        layer.trainable = False
    model.fit(x, y, batch_size=32, epochs=10, verbose=0)
    for layer in model.layers:
        layer.trainable = True
    fnn.weights.discriminative(model, factor=2.6)
    model.compile(fnn.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=30, verbose=0)
    return model


def main() -> None:
    try:
        (x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist(sys.argv[1] if len(sys.argv) > 1 else None)
    except FileNotFoundError as error:
        sys.exit(str(error))
    start = time.perf_counter()
    first, first_test = y < 5, y_test < 5
    old = network(seed=0)
    old.fit(x[first], y[first], batch_size=128, epochs=5, verbose=0)
    accuracy = old.evaluate(x_test[first_test], y_test[first_test])[1]
    print(f"first five classes: test accuracy {accuracy:.4f} after {time.perf_counter() - start:.0f} s")

    x, y = x[~first], y[~first] - 5
    x_test, y_test = x_test[~first_test], y_test[~first_test] - 5
    found: dict[str, list[float]] = {"from scratch": [], "transferred": []}
    for draw in range(DRAWS):
        few = np.random.default_rng(draw).choice(len(x), IMAGES, replace=False)
        scratch = network(seed=draw + 1)
        scratch.fit(x[few], y[few], batch_size=32, epochs=40, verbose=0)
        new = network(seed=draw + 1)
        report = fnn.weights.transfer(old, new, layers=["hidden_1", "hidden_2"])
        if draw == 0:
            print(report)
        for name, model in (("from scratch", scratch), ("transferred", tuned(new, x[few], y[few]))):
            found[name].append(model.evaluate(x_test, y_test)[1])
    for name, values in found.items():
        print(f"other five classes, {IMAGES} images, {name}: test accuracy {np.mean(values):.4f} "
              f"({', '.join(f'{value:.4f}' for value in values)})")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
