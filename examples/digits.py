"""Train on the digits that come with fastnn, save the model, load it again and look at some predictions.

Run: python examples/digits.py        (about a second)
"""

import tempfile
from pathlib import Path

import numpy as np

import fastnn as fnn


def main() -> None:
    (x, y), (x_test, y_test) = fnn.datasets.load_digits()  # uint8 (1437, 8, 8), labels 0 to 9
    model = fnn.Sequential(
        [
            fnn.layers.Flatten(),
            fnn.layers.Rescaling(1 / 16),
            fnn.layers.Dense(128, activation="relu"),
            fnn.layers.Dropout(0.2),
            fnn.layers.Dense(10, activation="softmax"),
        ],
        seed=0,
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=20, validation_split=0.1, verbose=2)
    model.summary()

    loss, accuracy = model.evaluate(x_test, y_test)
    print(f"test loss {loss:.4f}, accuracy {accuracy:.4f}")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.safetensors"
        model.save(path)
        same = fnn.load_model(path)
        print(f"{path.stat().st_size:,} bytes; equal predictions: "
              f"{np.array_equal(same.predict(x_test), model.predict(x_test))}")

    probabilities = model.predict(x_test[:5])
    print("predicted", probabilities.argmax(axis=1), "true", y_test[:5])


if __name__ == "__main__":
    main()
