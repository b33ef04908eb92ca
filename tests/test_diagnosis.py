"""history.diagnose(): made-up curves, and two trainings that are what they are."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn.callbacks import History

T = np.arange(40.0)


def noise(size, seed=0):
    return 1 + size * np.random.default_rng(seed).standard_normal(len(T))


VERDICTS = {
    "overfitting": "It looks like overfitting",
    "underfitting": "It looks like underfitting",
    "good": "It looks like a good fit",
    "diverging": "It is diverging",
    "improving": "It is still improving",
    "few": "There are too few epochs to tell",
    "blind": "There is no validation data",
}

CURVES = {
    "validation rises again": ("overfitting", np.exp(-T / 8), 0.5 + 0.5 * np.exp(-T / 5) + 0.01 * T),
    "validation rises a little, noisily": ("overfitting", np.exp(-T / 8) * noise(0.02),
                                           (0.5 + 0.5 * np.exp(-T / 3) + 0.004 * T) * noise(0.01)),
    "a wide gap": ("overfitting", 0.02 + np.exp(-T / 4), 0.4 + 0.6 * np.exp(-T / 4)),
    "both stay high": ("underfitting", 0.9 + 0.1 * np.exp(-T / 3), 0.92 + 0.1 * np.exp(-T / 3)),
    "both stay high, noisily": ("underfitting", (0.9 + 0.1 * np.exp(-T / 3)) * noise(0.002),
                                (0.92 + 0.1 * np.exp(-T / 3)) * noise(0.004, 1)),
    "both low and flat": ("good", 0.1 + 0.9 * np.exp(-T / 4), 0.12 + 0.9 * np.exp(-T / 4)),
    "both low and flat, noisily": ("good", (0.1 + 0.9 * np.exp(-T / 4)) * noise(0.002),
                                   (0.12 + 0.9 * np.exp(-T / 4)) * noise(0.01, 1)),
    "training above validation, as with dropout": ("good", 0.2 + 0.8 * np.exp(-T / 4), 0.12 + 0.8 * np.exp(-T / 4)),
    "next to nothing, doubled": ("good", 1e-7 + np.exp(-T), 1e-7 + np.exp(-T) + 1e-9 * T),
    "one bad epoch": ("good", 0.1 + 0.9 * np.exp(-T / 4), 0.12 + 0.9 * np.exp(-T / 4) + (len(T) - 2 == T)),
    "both still fall": ("improving", 1 - 0.02 * T, 1.05 - 0.02 * T),
    "both fall ever more slowly": ("improving", 1 / (1 + T / 10), 0.01 + 1 / (1 + T / 10)),
    "training falls first": ("improving", np.exp(-T / 10), np.exp(-T / 12)),
    "training rises": ("diverging", 0.5 + (T / 20) ** 4, 0.5 + (T / 20) ** 4),
    "training explodes": ("diverging", np.exp(T), np.exp(T)),
    "not a number": ("diverging", np.where(T < 39, np.exp(-T), np.nan), np.where(T < 39, np.exp(-T), np.nan)),
    "two epochs": ("few", [1.0, 0.5], [1.0, 0.6]),
    "none": ("few", [], []),
    "three epochs that explode": ("diverging", [1.0, 1e3, 1e9], [1.0, 1e3, 1e9]),
    "no validation, falling": ("blind", 1 - 0.02 * T, None),
    "no validation, flat": ("blind", 0.1 + 0.9 * np.exp(-T / 4), None),
    "validation that is infinite": ("blind", np.exp(-T / 4), np.full(40, np.inf)),
    "validation once infinite": ("good", 0.1 + 0.9 * np.exp(-T / 4),
                                 np.where(T == 37, np.inf, 0.12 + 0.9 * np.exp(-T / 4))),
    "negative losses": ("good", -1 + np.exp(-T / 4), -0.9 + np.exp(-T / 4)),
}


def diagnose(loss, val_loss=None):
    history = History()
    history.epoch = list(range(len(loss)))
    history.history = {"loss": list(map(float, loss))}
    if val_loss is not None:
        history.history["val_loss"] = list(map(float, val_loss))
    return history.diagnose()


@pytest.mark.parametrize("name", CURVES)
def test_made_up_curves(name):
    verdict, loss, val_loss = CURVES[name]
    said = diagnose(loss, val_loss)
    assert said.startswith(VERDICTS[verdict]), said
    assert said.endswith(".")
    assert "\n" not in said


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", CURVES)
def test_the_unit_of_the_loss_means_nothing(name, scale):
    verdict, loss, val_loss = CURVES[name]
    loss = scale * np.array(loss)
    assert diagnose(loss, None if val_loss is None else scale * np.array(val_loss)).startswith(VERDICTS[verdict])


def test_numbers_are_those_of_the_curves():
    val_loss = [1.0, 0.8, 0.7, 0.8, 0.9, 1.0]
    assert diagnose([1.0, 0.6, 0.4, 0.2, 0.1, 0.05], val_loss) == (
        "It looks like overfitting: val_loss was best in epoch 3 (0.7) and has risen to 1, while loss fell from 0.4 to "
        "0.05; the gap is 0.8.")
    assert "went from 1 to 0.22 and still falls (-0.02 an epoch)" in diagnose(1 - 0.02 * T)
    assert "of 40 (0.27)" in diagnose(1 - 0.02 * T, 1.05 - 0.02 * T)


def test_epochs_are_named_as_the_table_names_them():
    history = History()
    history.epoch = list(range(10, 16))
    history.history = {"loss": [1.0, 0.6, 0.4, 0.2, 0.1, 0.05], "val_loss": [1.0, 0.8, 0.7, 0.8, 0.9, 1.0]}
    assert "best in epoch 13 " in history.diagnose()


def noisy_labels(n, rng):
    x = rng.normal(size=(n, 20))
    return x, np.where(rng.random(n) < 0.2, 1, 0) ^ (x[:, 0] > 0)


def test_a_large_network_on_little_data_overfits():
    rng = np.random.default_rng(0)
    model = fnn.Sequential([fnn.layers.Dense(200, activation="relu"), fnn.layers.Dense(2, activation="softmax")],
                           seed=0)
    model.compile(fnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    history = model.fit(*noisy_labels(100, rng), validation_data=noisy_labels(400, rng), epochs=40, verbose=0)
    assert history.diagnose().startswith(VERDICTS["overfitting"])


def test_a_straight_line_cannot_tell_rings_apart():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2))
    y = (x**2).sum(axis=1) > 1.4
    model = fnn.Sequential([fnn.layers.Dense(1, activation="sigmoid")], seed=0)
    model.compile(fnn.optimizers.Adam(0.05), "binary_crossentropy")
    history = model.fit(x, y, validation_split=0.3, epochs=30, verbose=0)
    assert history.diagnose().startswith(VERDICTS["underfitting"])


def test_what_is_learnt_is_measured_against_knowing_nothing():
    """The first epoch brings the loss most of the way: flat after it, but far below log(10)."""
    model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(10, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = History()
    history.set_model(model)
    history.epoch = list(range(10))
    history.history = {"loss": [0.31] + [0.3] * 9, "val_loss": [0.32] * 10}
    assert history.diagnose().startswith(VERDICTS["good"])
    history.set_model(None)
    assert history.diagnose().startswith(VERDICTS["underfitting"])


def test_an_error_of_divergence_is_remembered():
    x = np.arange(8.0)[:, None]
    model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    model.compile(fnn.optimizers.SGD(1e3), "mse")
    with pytest.raises(fnn.DivergenceError) as error:
        model.fit(x, x, epochs=99, batch_size=2, verbose=0)
    assert model.history.diagnose() == (f"It is diverging: the loss became NaN or infinite in epoch "
                                        f"{error.value.epoch}, batch {error.value.batch}.")
