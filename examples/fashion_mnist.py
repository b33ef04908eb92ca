"""Fashion-MNIST with a 784-512-512-10 network: 60,000 images of uint8, converted while batches are gathered.

Needs the data: apt-get install dataset-fashion-mnist (Debian, Ubuntu), or a folder with its four IDX files.

Run: python examples/fashion_mnist.py [FOLDER]
"""

import sys
import time

import fastnn as fnn


def main() -> None:
    root = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        (x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist(root)
    except FileNotFoundError as error:
        sys.exit(str(error))
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
    start = time.perf_counter()
    model.fit(x, y, batch_size=128, epochs=10, validation_data=(x_test, y_test))
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(x_test, y_test)
    print(f"10 epochs in {seconds:.1f} s on at most {fnn.get_num_threads()} threads; "
          f"test loss {loss:.4f}, accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
