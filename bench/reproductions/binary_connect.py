"""BinaryConnect on Fashion-MNIST: 784-1024x3-10 with weights of -1 and 1, beside the same network of real numbers.

Courbariaux, Bengio and David, "BinaryConnect: training deep neural networks with binary weights during propagations",
2015. The binary network is packed in the end: a bit for each weight, and the same predictions.

Needs the data: apt-get install dataset-fashion-mnist (Debian, Ubuntu), or a folder with its four IDX files.

Run: python bench/reproductions/binary_connect.py [FOLDER]
"""

import os
import sys
import tempfile
import time

import numpy as np

import fastnn as fnn
from fastnn.layers import Activation, BatchNormalization, BinaryDense, Dense, Flatten, Rescaling

EPOCHS, BATCH = 10, 100


def train(name, dense, x, y, x_test, y_test) -> fnn.Sequential:
    hidden = [layer for _ in range(3) for layer in (dense(1024), BatchNormalization(momentum=0.9), Activation("relu"))]
    model = fnn.Sequential([Flatten(), Rescaling(1 / 127.5, -1), *hidden, dense(10), BatchNormalization(momentum=0.9),
                            Activation("softmax")], seed=0)
    steps = EPOCHS * -(-len(x) // BATCH)
    rate = fnn.schedules.CosineDecay(1e-3, steps)
    model.compile(fnn.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    seconds = time.perf_counter() - start
    print(f"{name}: test accuracy {accuracy:.4f} after {EPOCHS} epochs, {seconds:.1f} s", flush=True)
    return model


def main() -> None:
    root = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        (x, y), (x_test, y_test) = fnn.datasets.load_fashion_mnist(root)
    except FileNotFoundError as error:
        sys.exit(str(error))
    train("float", lambda units: Dense(units, use_bias=False), x, y, x_test, y_test)
    binary = train("binary", lambda units: BinaryDense(units, use_bias=False), x, y, x_test, y_test)

    packed = binary.pack()
    same = np.array_equal(packed.predict(x_test), binary.predict(x_test))
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for name, model in (("binary", binary), ("packed", packed)):
            path = os.path.join(folder, f"{name}.safetensors")
            model.save(path, include_optimizer=False)
            sizes.append(os.path.getsize(path))
    print(f"packed: {sizes[1] / 1e6:.2f} MB instead of {sizes[0] / 1e6:.2f}; "
          f"predictions {'equal to the bit' if same else 'differ'}")


if __name__ == "__main__":
    main()
