"""Prune a Fashion-MNIST network to a tenth of its weights while it is trained, then to a quarter of its neurons.

Needs the data: apt-get install dataset-fashion-mnist (Debian, Ubuntu), or a folder with its four IDX files.

Run: python bench/reproductions/pruning.py [FOLDER]        (less than a minute on two cores)
"""

import copy
import sys
import time

import numpy as np

import fastnn as fnn

EPOCHS, BATCH = 6, 128


def network() -> fnn.Sequential:
    model = fnn.Sequential(
        [
            fnn.layers.Flatten(),
            fnn.layers.Rescaling(1 / 255),
            fnn.layers.Dense(512, activation="relu"),
            fnn.layers.Dense(512, activation="relu"),
            fnn.layers.Dense(10, activation="softmax"),
        ],
        seed=0,
    )
    model.compile(fnn.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    root = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        (x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist(root)
    except FileNotFoundError as error:
        sys.exit(str(error))
    start = time.perf_counter()
    steps = -(-len(x) // BATCH) * EPOCHS

    dense = network()
    dense.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    sparse, narrow = copy.deepcopy(dense), copy.deepcopy(dense)
    for model in (dense, sparse, narrow):  # as many epochs again for each, at a smaller rate
        model.optimizer.learning_rate = 3e-4
    dense.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    accuracy = dense.evaluate(x_test, y_test)[1]
    print(f"dense: {dense.count_params():,} weights, test accuracy {accuracy:.4f}")

    # The smallest weights of all layers together, quickly at first; the last epochs repair what is left.
    schedule = fnn.weights.PruningSchedule(0.9, end_step=steps * 2 // 3, scope="global")
    sparse.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[schedule])
    print(fnn.weights.sparsity_report(sparse))
    print(f"90 % pruned: test accuracy {sparse.evaluate(x_test, y_test)[1]:.4f}, dense {accuracy:.4f}")

    # Whole neurons: a smaller dense network with the same predictions.
    schedule = fnn.weights.PruningSchedule(0.75, end_step=steps * 2 // 3, method="structured", scope="global")
    narrow.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[schedule])
    small = fnn.weights.shrink(narrow)
    difference = np.abs(small.predict(x_test) - narrow.predict(x_test)).max()
    units = "-".join(str(layer.units) for layer in small.layers if isinstance(layer, fnn.layers.Dense))
    print(f"a quarter of the neurons, 784-{units}: {small.count_params():,} weights, "
          f"test accuracy {small.evaluate(x_test, y_test)[1]:.4f}; predictions differ by {difference:.1e}")
    print(f"{time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
