"""Fashion-MNIST with batch normalization, dropout and a cosine schedule: 784-512-512-10, 30 epochs.

Needs the data: apt-get install dataset-fashion-mnist (Debian, Ubuntu), or a folder with its four IDX files.

Run: python bench/reproductions/fashion_mnist_bn.py [FOLDER]
"""

import sys
import time

import numpy as np

import fastnn as fnn
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, Flatten, Rescaling

EPOCHS, BATCH = 30, 128


def main() -> None:
    root = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        (x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist(root)
    except FileNotFoundError as error:
        sys.exit(str(error))
    hidden = [layer for _ in range(2)
              for layer in (Dense(512, use_bias=False), BatchNormalization(), Activation("relu"), Dropout(0.2))]
    model = fnn.Sequential([Flatten(), Rescaling(1 / 255), *hidden, Dense(10, activation="softmax")], seed=0)
    steps = EPOCHS * -(-len(x) // BATCH)
    rate = fnn.schedules.CosineDecay(0.0, steps - 500, warmup_target=2e-3, warmup_steps=500)
    model.compile(fnn.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, validation_data=(x_test, y_test))
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(x_test, y_test)
    print(f"{EPOCHS} epochs in {seconds:.1f} s on at most {fnn.get_num_threads()} threads; "
          f"test loss {loss:.4f}, accuracy {accuracy:.4f}")

    fused = model.fuse()
    difference = np.abs(fused.predict(x_test) - model.predict(x_test)).max()
    print(f"fused: {fused.count_params():,} parameters instead of {model.count_params():,}, "
          f"probabilities equal to {difference:.1g}")


if __name__ == "__main__":
    main()
