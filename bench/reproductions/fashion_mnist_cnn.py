"""Fashion-MNIST with a small convolutional network: two Conv2D with pooling, two Dense, ten epochs.

Needs the data: apt-get install dataset-fashion-mnist (Debian, Ubuntu), or a folder with its four IDX files.

Run: python bench/reproductions/fashion_mnist_cnn.py [FOLDER]
"""

import sys
import time

import fastnn as fnn

EPOCHS, BATCH = 10, 128


def main() -> None:
    root = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        (x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist(root)
    except FileNotFoundError as error:
        sys.exit(str(error))
    model = fnn.Sequential(
        [
            fnn.layers.Rescaling(1 / 255),
            fnn.layers.Reshape((28, 28, 1)),
            fnn.layers.Conv2D(32, 3, activation="relu", kernel_initializer="he_normal"),
            fnn.layers.MaxPooling2D(),
            fnn.layers.Conv2D(64, 3, activation="relu", kernel_initializer="he_normal"),
            fnn.layers.MaxPooling2D(),
            fnn.layers.Flatten(),
            fnn.layers.Dropout(0.3),
            fnn.layers.Dense(128, activation="relu", kernel_initializer="he_normal"),
            fnn.layers.Dense(10, activation="softmax"),
        ],
        seed=0,
    )
    model.compile(fnn.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, validation_data=(x_test, y_test))
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(x_test, y_test)
    print(f"{EPOCHS} epochs in {seconds:.1f} s on at most {fnn.get_num_threads()} threads; "
          f"test loss {loss:.4f}, accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
