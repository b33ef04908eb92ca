"""compile, fit, evaluate and the steps on single batches."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn import callbacks, layers, losses, metrics, optimizers


def classes(n=60, n_in=5, outputs=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_in)), rng.integers(0, outputs, n)


def classifier(
    optimizer="adam", seed=1, watched=("accuracy",), hidden=9, outputs=4, dtype="float64", dropout=0.0
):
    stack = [layers.Dense(hidden, activation="tanh")] + ([layers.Dropout(dropout)] if dropout else [])
    model = fnn.Sequential([*stack, layers.Dense(outputs, activation="softmax")], seed=seed, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(watched))
    return model


def regressor(optimizer="sgd", loss="mse", seed=1, outputs=1, dtype="float64", watched=()):
    model = fnn.Sequential(
        [layers.Dense(6, activation="gelu"), layers.Dense(outputs)], seed=seed, dtype=dtype
    )
    model.compile(optimizer, loss, metrics=list(watched))
    return model


def assert_same_weights(a, b):
    for left, right in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def row_losses(model, x, y):
    p = model.predict(x)
    return -np.log(p[np.arange(len(y)), y])


# ---- what fit does ----


def test_history_holds_every_epoch():
    x, y = classes()
    history = classifier().fit(x, y, epochs=3, verbose=0)
    assert isinstance(history, callbacks.History)
    assert history.epoch == [0, 1, 2]
    assert list(history.history) == ["loss", "accuracy"]
    assert all(
        len(values) == 3 and all(type(value) is float for value in values)
        for values in history.history.values()
    )


def test_initial_epoch_counts_from_where_it_says():
    x, y = classes()
    assert classifier().fit(x, y, epochs=5, initial_epoch=3, verbose=0).epoch == [3, 4]


def test_initial_epoch_at_the_end_trains_nothing():
    x, y = classes()
    model = classifier()
    model.build((5,))
    before = model.get_weights()
    history = model.fit(x, y, epochs=2, initial_epoch=2, verbose=0)
    assert history.epoch == []
    assert history.history == {}
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_learns():
    x, y = fnn.datasets.load_digits()[0]
    model = fnn.Sequential(
        [
            layers.Flatten(),
            layers.Rescaling(1 / 16),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ],
        seed=0,
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=8, verbose=0)
    assert history.history["accuracy"][-1] > 0.93
    assert history.history["loss"][-1] < history.history["loss"][0] / 3


@pytest.mark.parametrize(
    ("n", "batch_size"), [(60, 60), (60, 59), (60, 1), (60, 7), (1, 32), (33, 32), (5, 1000)]
)
def test_fit_is_a_series_of_train_on_batch(n, batch_size):
    x, y = classes(n)
    one, two = classifier("nadam"), classifier("nadam")
    history = one.fit(x, y, epochs=2, batch_size=batch_size, shuffle=False, verbose=0)
    for epoch in range(2):
        total = 0.0
        for start in range(0, n, batch_size):
            part = slice(start, start + batch_size)
            loss, _ = two.train_on_batch(x[part], y[part])
            total += loss * len(y[part])
        assert history.history["loss"][epoch] == pytest.approx(total / n, rel=1e-12)
    assert_same_weights(one, two)


def test_train_on_batch_returns_what_was_before_the_step():
    x, y = classes()
    model = classifier(optimizers.SGD(0.5))
    model.build((5,))
    before = model.evaluate(x, y)
    np.testing.assert_allclose(model.train_on_batch(x, y), before, rtol=1e-12)
    assert model.evaluate(x, y)[0] < before[0]
    named = model.train_on_batch(x, y, return_dict=True)
    assert list(named) == ["loss", "accuracy"]


def test_a_step_is_learning_rate_times_gradient():
    x, y = classes()
    weight = np.random.default_rng(0).uniform(0, 2, len(x))
    model = classifier(optimizers.SGD(0.25))
    model.build((5,))
    before, gradients = model.get_weights(), model.gradients(x, y, sample_weight=weight)
    model.train_on_batch(x, y, sample_weight=weight)
    for w, g, now in zip(before, gradients, model.get_weights(), strict=True):
        np.testing.assert_allclose(now, w - 0.25 * g, rtol=1e-12, atol=1e-15)


def test_the_learning_rate_may_change_between_calls():
    x, y = classes()
    model = classifier(optimizers.SGD(0.25))
    model.train_on_batch(x, y)
    before = model.get_weights()
    model.optimizer.learning_rate = 0.0
    model.train_on_batch(x, y)
    for w, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, w)


def test_the_learning_rate_may_be_changed_by_a_callback():
    class Halve(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate /= 2

    x, y = classes()
    one, two = classifier(optimizers.SGD(0.5)), classifier(optimizers.SGD(0.5))
    one.fit(x, y, epochs=3, batch_size=60, shuffle=False, verbose=0, callbacks=[Halve()])
    for rate in (0.5, 0.25, 0.125):
        two.optimizer.learning_rate = rate
        two.train_on_batch(x, y)
    assert_same_weights(one, two)


def test_fit_goes_on_where_it_stopped():
    x, y = classes()
    one, two = classifier("adam", dropout=0.3), classifier("adam", dropout=0.3)
    one.fit(x, y, epochs=4, batch_size=16, verbose=0)
    two.fit(x, y, epochs=1, batch_size=16, verbose=0)
    two.predict(x)
    two.evaluate(x, y)
    two.gradients(x, y)
    two.fit(x, y, epochs=4, initial_epoch=1, batch_size=16, verbose=0)
    assert_same_weights(one, two)


def test_a_larger_batch_after_a_smaller_one():
    x, y = classes(600)
    model, twin = classifier(), classifier()
    for each, order in ((model, (8, 600, 8)), (twin, (8, 600, 8))):
        for size in order:
            if each is twin:
                each._workspaces.clear()
            each.fit(x, y, batch_size=size, shuffle=False, verbose=0)
    assert_same_weights(model, twin)


def test_compile_starts_the_optimizer_afresh_and_keeps_the_weights():
    x, y = classes()
    model, fresh = classifier(), classifier()
    model.fit(x, y, epochs=2, verbose=0, shuffle=False)
    fresh.build((5,))
    fresh.set_weights(model.get_weights())
    model.compile("adam", "sparse_categorical_crossentropy")
    for each in (model, fresh):
        each.fit(x, y, epochs=2, verbose=0, shuffle=False)
    assert_same_weights(model, fresh)


@pytest.mark.parametrize("first", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("second", ["adam", "sgd", "adadelta"])
def test_an_optimizer_assigned_later_is_the_one_that_trains(first, second):
    x, y = classes()
    model, compiled = classifier(first), classifier(first)
    for each in (model, compiled):
        each.fit(x, y, shuffle=False, verbose=0)
    model.optimizer = optimizers.get(second)
    compiled.compile(second, "sparse_categorical_crossentropy")
    for each in (model, compiled):
        each.fit(x, y, epochs=2, shuffle=False, verbose=0)
    assert_same_weights(model, compiled)


def test_layers_frozen_between_fits_stay():
    x, y = classes()
    model = classifier()
    model.fit(x, y, verbose=0)
    model.layers[0].trainable = False
    kept, other = model.layers[0].kernel.copy(), model.layers[1].kernel.copy()
    model.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.layers[0].kernel, kept)
    assert (model.layers[1].kernel != other).any()
    model.layers[0].trainable = True
    model.fit(x, y, verbose=0)
    assert (model.layers[0].kernel != kept).any()


@pytest.mark.parametrize(
    "optimizer", ["adam", "adamw", optimizers.SGD(0.1, weight_decay=0.1), "lion", "nadam"], ids=str
)
def test_all_layers_frozen_changes_nothing(optimizer):
    x, y = classes()
    model = classifier(optimizer)
    model.build((5,))
    before = model.get_weights()
    for layer in model.layers:
        layer.trainable = False
    history = model.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(history.history["loss"], model.evaluate(x, y)[0], rtol=1e-12)


def test_a_model_without_parameters_can_be_fit():
    model = fnn.Sequential([layers.Activation("tanh")])
    model.compile("adam", "mse", metrics=["mae"])
    x = np.linspace(-1, 1, 12).reshape(4, 3)
    history = model.fit(x, x, verbose=0)
    assert history.history["loss"][0] == pytest.approx(((np.tanh(x) - x) ** 2).mean(), rel=1e-5)


# ---- shuffling ----


class Seen(layers.PythonLayer):
    """Keeps the rows that pass while training."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def forward(self, x, training):
        if training:
            self.rows.extend(x[:, 0].tolist())
        return x

    def backward(self, dy):
        return dy


def orders(seed, epochs=3, shuffle=True, calls=1):
    seen = Seen()
    model = fnn.Sequential([seen, layers.Dense(1)], seed=seed)
    model.compile("sgd", "mse")
    for _ in range(calls):
        model.fit(
            np.arange(40.0)[:, None] / 64,
            np.zeros(40),
            epochs=epochs,
            batch_size=16,
            shuffle=shuffle,
            verbose=0,
        )
    return (np.array(seen.rows) * 64).astype(int).reshape(-1, 40)


def test_each_epoch_has_its_own_order_of_all_rows():
    found = orders(0)
    assert len({tuple(order) for order in found}) == 3
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(40), (3, 1)))


def test_orders_repeat_by_seed():
    np.testing.assert_array_equal(orders(4), orders(4))
    assert (orders(4) != orders(5)).any()


def test_a_second_fit_goes_on_with_new_orders():
    np.testing.assert_array_equal(orders(4, epochs=2, calls=2), orders(4, epochs=4))


def test_without_shuffle_rows_come_in_order():
    np.testing.assert_array_equal(orders(0, shuffle=False), np.tile(np.arange(40), (3, 1)))


def test_models_without_seed_differ_and_with_seed_repeat():
    x, y = classes()
    weights = []
    for seed in (7, 7, 8, None, None):
        model = classifier(seed=seed, dropout=0.2)
        model.fit(x, y, epochs=2, batch_size=16, verbose=0)
        weights.append(model.layers[0].kernel)
    np.testing.assert_array_equal(weights[0], weights[1])
    for i, j in ((0, 2), (0, 3), (3, 4)):
        assert (weights[i] != weights[j]).any()


def test_no_seed_can_be_repeated_from_the_seed_attribute():
    x, y = classes()
    one = classifier(seed=None)
    one.fit(x, y, verbose=0)
    two = classifier(seed=one.seed)
    two.fit(x, y, verbose=0)
    assert_same_weights(one, two)


# ---- dropout ----


class Kept(Seen):
    def forward(self, x, training):
        if training:
            self.rows.append(x.copy())
        return x


def dropped(rate, seed=0, own=None, epochs=2, n=64, batch_size=32, n_threads=None):
    kept = Kept()
    model = fnn.Sequential(
        [layers.Dropout(rate, seed=own), kept, layers.Dropout(rate, seed=own), layers.Dense(1)], seed=seed
    )
    model.compile(optimizers.SGD(0.0), "mse")
    model.fit(
        np.ones((n, 50)),
        np.zeros(n),
        epochs=epochs,
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        n_threads=n_threads,
    )
    np.testing.assert_array_equal(model.predict(np.ones((3, 50))), model.predict(np.ones((3, 50))))
    return np.array(kept.rows)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_rate_and_scales_the_rest(rate):
    rows = dropped(rate, n=640)
    assert abs((rows == 0).mean() - rate) < 0.01
    np.testing.assert_allclose(rows[rows != 0], 1 / (1 - rate), rtol=1e-6)


def test_dropout_masks_differ_by_step_and_repeat_by_seed():
    rows = dropped(0.5)
    assert len({step.tobytes() for step in rows}) == 4
    np.testing.assert_array_equal(rows, dropped(0.5, n_threads=3))
    assert (rows != dropped(0.5, seed=1)).any()
    np.testing.assert_array_equal(dropped(0.5, seed=1, own=9), dropped(0.5, seed=2, own=9))


# ---- weights of samples and classes ----


def test_sample_weights_are_those_of_keras():
    x, y = classes()
    weight = np.random.default_rng(2).uniform(0, 3, len(x))
    model = classifier(optimizers.SGD(0.0))
    model.build((5,))
    expected = (weight * row_losses(model, x, y)).sum() / len(x)
    assert model.evaluate(x, y, sample_weight=weight)[0] == pytest.approx(expected, rel=1e-12)
    history = model.fit(x, y, sample_weight=weight, batch_size=16, verbose=0)
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-12)


def test_metrics_are_not_weighted():
    x, y = classes()
    model = classifier(optimizers.SGD(0.0))
    plain = model.evaluate(x, y)
    weighted = model.evaluate(x, y, sample_weight=np.arange(60))
    assert weighted[1] == plain[1]
    assert weighted[0] != plain[0]


@pytest.mark.parametrize("shape", [(60,), (60, 1)])
@pytest.mark.parametrize("kind", [int, bool, np.float32, np.float64])
def test_sample_weights_of_any_dtype(kind, shape):
    x, y = classes()
    weight = (np.arange(60) % 3 > 0).astype(kind)
    one, two = classifier(), classifier()
    one.fit(x, y, sample_weight=weight.reshape(shape), verbose=0)
    two.fit(x, y, sample_weight=weight.astype(float).tolist(), verbose=0)
    assert_same_weights(one, two)


def test_weight_zero_is_as_if_the_row_had_no_loss():
    x, y = classes()
    weight = (np.arange(60) < 30).astype(float)
    one, two = classifier(optimizers.SGD(0.5)), classifier(optimizers.SGD(0.25))
    one.train_on_batch(x, y, sample_weight=weight)
    two.train_on_batch(x[:30], y[:30])
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


CLASS_WEIGHT = {0: 0.5, 2: 3.0, 3: 0}


@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_are_sample_weights_of_labels(weighted):
    x, y = classes()
    sample = np.random.default_rng(1).uniform(0.1, 2, len(x)) if weighted else None
    by_class = np.array([CLASS_WEIGHT.get(int(label), 1.0) for label in y]) * (
        1 if sample is None else sample
    )
    one, two = classifier(), classifier()
    first = one.fit(x, y, class_weight=CLASS_WEIGHT, sample_weight=sample, epochs=2, verbose=0)
    second = two.fit(x, y, sample_weight=by_class, epochs=2, verbose=0)
    assert first.history == second.history
    assert_same_weights(one, two)


def test_class_weights_of_one_hot_rows_and_of_binary_targets():
    x, y = classes()
    rows = np.eye(4)[y]
    one, two = (fnn.Sequential([layers.Dense(4, activation="softmax")], seed=0) for _ in range(2))
    for each in (one, two):
        each.compile("adam", "categorical_crossentropy")
    one.fit(x, rows, class_weight=CLASS_WEIGHT, verbose=0)
    two.fit(x, rows, sample_weight=[CLASS_WEIGHT.get(int(label), 1.0) for label in y], verbose=0)
    assert_same_weights(one, two)
    y = (y > 1).astype(int)
    one, two = (fnn.Sequential([layers.Dense(1, activation="sigmoid")], seed=0) for _ in range(2))
    for each in (one, two):
        each.compile("adam", "binary_crossentropy")
    one.fit(x, y, class_weight={0: 2, 1: 0.5}, verbose=0)
    two.fit(x, y, sample_weight=np.where(y, 0.5, 2), verbose=0)
    assert_same_weights(one, two)


# ---- validation ----


@pytest.mark.parametrize("split", [0.25, 0.1, 0.33])
def test_validation_split_keeps_the_last_samples(split):
    x, y = classes()
    weight = np.random.default_rng(1).uniform(0.1, 2, len(x))
    first = int(60 * (1 - split))
    one, two = classifier(), classifier()
    a = one.fit(x, y, validation_split=split, sample_weight=weight, epochs=2, verbose=0)
    b = two.fit(
        x[:first],
        y[:first],
        sample_weight=weight[:first],
        epochs=2,
        verbose=0,
        validation_data=(x[first:], y[first:], weight[first:]),
    )
    assert a.history == b.history
    assert list(a.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert_same_weights(one, two)
    assert a.history["val_loss"][-1] == one.evaluate(x[first:], y[first:], sample_weight=weight[first:])[0]


def test_validation_data_changes_nothing_else_and_wins_over_the_split():
    x, y = classes()
    xv, yv = classes(seed=5, n=31)
    one, two = classifier(dropout=0.2), classifier(dropout=0.2)
    history = one.fit(x, y, validation_data=(xv, yv), validation_split=0.5, epochs=2, verbose=0)
    two.fit(x, y, epochs=2, verbose=0)
    assert_same_weights(one, two)
    assert [history.history["val_loss"][-1], history.history["val_accuracy"][-1]] == two.evaluate(xv, yv)


def test_validation_is_without_class_weights():
    x, y = classes()
    model = classifier()
    history = model.fit(x, y, class_weight=CLASS_WEIGHT, validation_data=(x, y), verbose=0)
    assert history.history["val_loss"][0] == model.evaluate(x, y)[0]


# ---- evaluate and metrics ----


@pytest.mark.parametrize("n", [1, 2, 1023, 1024, 1025, 2500])
def test_evaluate_is_what_numpy_says(n):
    x, y = classes(n)
    model = classifier()
    model.build((5,))
    loss, accuracy = model.evaluate(x, y)
    assert loss == pytest.approx(row_losses(model, x, y).mean(), rel=1e-12)
    assert accuracy == pytest.approx((model.predict(x).argmax(axis=1) == y).mean(), rel=1e-12)
    assert model.test_on_batch(x, y) == [loss, accuracy]
    assert model.evaluate(x, y, return_dict=True) == {"loss": loss, "accuracy": accuracy}


def test_evaluate_without_metrics_is_a_float():
    model = regressor()
    x = classes()[0]
    assert type(model.evaluate(x, x[:, 0])) is float
    assert model.metrics_names == ["loss"]


# last activation, loss, targets, metrics
WATCHED = {
    "sparse": (
        "softmax",
        losses.SparseCategoricalCrossentropy(),
        "labels",
        [
            "accuracy",
            "sparse_categorical_accuracy",
            metrics.SparseTopKCategoricalAccuracy(k=2),
            "auc",
            "precision",
            "recall",
            "f1_score",
        ],
    ),
    "sparse logits": (
        "linear",
        losses.SparseCategoricalCrossentropy(from_logits=True),
        "labels",
        ["accuracy", "sparse_categorical_accuracy", metrics.SparseTopKCategoricalAccuracy(k=3)],
    ),
    "categorical": (
        "softmax",
        losses.CategoricalCrossentropy(label_smoothing=0.1),
        "rows",
        [
            "accuracy",
            "categorical_accuracy",
            metrics.TopKCategoricalAccuracy(k=2),
            "auc",
            "precision",
            "recall",
            metrics.F1Score(average="macro"),
            "mse",
            "mae",
        ],
    ),
    "categorical logits": (
        "linear",
        losses.CategoricalCrossentropy(from_logits=True),
        "rows",
        ["accuracy", "mse", "mae", "root_mean_squared_error"],
    ),
    "binary": (
        "sigmoid",
        losses.BinaryCrossentropy(),
        "binary",
        ["accuracy", metrics.BinaryAccuracy(threshold=0.4), "auc", "precision", "recall", "f1_score", "mse"],
    ),
    "binary logits": (
        "linear",
        losses.BinaryCrossentropy(from_logits=True),
        "binary",
        [metrics.BinaryAccuracy(threshold=0.2), "mse", "mae"],
    ),
    "probabilities": ("sigmoid", losses.CategoricalCrossentropy(), "rows", ["accuracy", "mse", "auc"]),
    "regression": (
        "linear",
        losses.Huber(),
        "real",
        ["mse", "mae", metrics.RootMeanSquaredError(), "r2_score"],
    ),
}


@pytest.mark.parametrize("outputs", [1, 4, 33])
@pytest.mark.parametrize("name", WATCHED)
def test_metrics_are_those_of_the_predictions(name, outputs):
    """In fit with learning rate 0 and in evaluate, over several batches, with sample weights in the loss."""
    last, loss, kind, watched = WATCHED[name]
    if outputs == 1 and kind in ("labels", "rows"):
        outputs = 2
    rng = np.random.default_rng(3)
    n = 1200
    x = rng.normal(size=(n, 6))
    y = {
        "labels": rng.integers(0, outputs, n),
        "rows": np.eye(outputs)[rng.integers(0, outputs, n)],
        "binary": rng.integers(0, 2, (n, outputs)),
        "real": rng.normal(size=(n, outputs)),
    }[kind]
    if kind == "binary" and outputs > 1:
        watched = [metrics.BinaryAccuracy(threshold=0.4), *watched[2:]] if name == "binary" else watched
    watched = [
        m for m in watched if not (isinstance(m, metrics.SparseTopKCategoricalAccuracy) and m.k >= outputs)
    ]
    model = fnn.Sequential(
        [layers.Dense(8, activation="tanh"), layers.Dense(outputs, activation=last)], seed=2, dtype="float64"
    )
    model.compile(optimizers.SGD(0.0), loss, metrics=watched)
    history = model.fit(x, y, batch_size=77, verbose=0, sample_weight=rng.uniform(0, 2, n))
    evaluated = model.evaluate(x, y, return_dict=True)
    assert list(history.history) == list(evaluated) == model.metrics_names
    p = model.predict(x)
    assert evaluated["loss"] == pytest.approx(loss(y, p), rel=1e-9)
    for metric, metric_name in zip(model.metrics, model.metrics_names[1:], strict=True):
        expected = metric(y, p)
        assert evaluated[metric_name] == pytest.approx(expected, rel=1e-9, abs=1e-12), metric_name
        assert history.history[metric_name][0] == pytest.approx(expected, rel=1e-9, abs=1e-12), metric_name


def test_metrics_of_the_same_name_are_told_apart():
    model = fnn.Sequential([layers.Dense(4, activation="softmax")])
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=[
            "accuracy",
            "accuracy",
            metrics.SparseTopKCategoricalAccuracy(k=2),
            metrics.SparseTopKCategoricalAccuracy(k=3),
        ],
    )
    x, y = classes()
    history = model.fit(x, y, verbose=0)
    assert len(history.history) == 5
    assert len(set(model.metrics_names)) == 5


def test_accuracy_is_the_kind_that_suits_the_model():
    for last, loss, outputs, kind in (
        ("softmax", "sparse_categorical_crossentropy", 3, metrics.SparseCategoricalAccuracy),
        ("softmax", "categorical_crossentropy", 3, metrics.CategoricalAccuracy),
        ("sigmoid", "binary_crossentropy", 1, metrics.BinaryAccuracy),
    ):
        model = fnn.Sequential([fnn.Input((2,)), layers.Dense(outputs, activation=last)])
        model.compile("sgd", loss, metrics=["accuracy"])
        assert type(model.metrics[0]) is kind


def test_metrics_follow_a_layer_that_is_added_later():
    model = fnn.Sequential([fnn.Input((5,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["accuracy"])
    model.add(layers.Dense(3))
    assert type(model.metrics[0]) is metrics.CategoricalAccuracy


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "binary_crossentropy"])
def test_one_output_takes_flat_targets_and_columns(loss):
    x = classes()[0]
    y = (x[:, 0] > 0).astype(float)
    one, two = (fnn.Sequential([layers.Dense(1, activation="sigmoid")], seed=0) for _ in range(2))
    for each, target in ((one, y), (two, y[:, None])):
        each.compile("adam", loss)
        each.fit(x, target, verbose=0)
    assert_same_weights(one, two)


def test_labels_of_any_integer_kind():
    x, y = classes()
    expected = classifier()
    expected.fit(x, y, verbose=0)
    for labels in (
        y.astype(np.uint8),
        y.astype(np.float32),
        y[:, None],
        y.tolist(),
        y.astype(">i2"),
        np.repeat(y, 2)[::2],
    ):
        model = classifier()
        model.fit(x, labels, verbose=0)
        assert_same_weights(model, expected)


@pytest.mark.parametrize("source", [np.uint8, np.int16, np.float16, np.float32, np.int64, bool])
def test_fit_takes_inputs_of_any_dtype(source):
    x = np.random.default_rng(0).integers(0, 2, (60, 5)).astype(source)
    y = classes()[1]
    one, two = classifier(dtype="float32"), classifier(dtype="float32")
    one.fit(x, y, verbose=0, batch_size=16)
    two.fit(x.astype(np.float32), y, verbose=0, batch_size=16)
    assert_same_weights(one, two)


def test_fit_takes_lists_and_leaves_inputs_alone():
    x, y = classes()
    kept = x.copy()
    x.flags.writeable = y.flags.writeable = False
    one, two = classifier(), classifier()
    one.fit(x, y, verbose=0)
    two.fit(x.tolist(), y.tolist(), verbose=0, validation_split=0.0)
    assert_same_weights(one, two)
    np.testing.assert_array_equal(x, kept)


def test_fit_takes_memory_mapped_files(tmp_path):
    x, y = classes()
    np.save(tmp_path / "x.npy", x)
    one, two = classifier(), classifier()
    one.fit(np.load(tmp_path / "x.npy", mmap_mode="r"), y, verbose=0)
    two.fit(x, y, verbose=0)
    assert_same_weights(one, two)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_fit_takes_frames(library):
    frames = pytest.importorskip(library)
    x, y = classes()
    frame = frames.DataFrame({f"c{i}": x[:, i] for i in range(x.shape[1])})
    series = frames.Series(y)
    one, two = classifier(), classifier()
    one.fit(frame, series, sample_weight=frames.Series(np.ones(60)), validation_split=0.2, verbose=0)
    two.fit(x, y, sample_weight=np.ones(60), validation_split=0.2, verbose=0)
    assert_same_weights(one, two)
    np.testing.assert_array_equal(one.predict(frame), two.predict(x))
    assert one.evaluate(frame, series) == two.evaluate(x, y)


def test_a_loss_of_the_users_own_trains_as_the_one_built_in():
    class Squares(losses.Loss):
        name = "squares"

        def call(self, y_true, y_pred):
            return ((y_pred - y_true) ** 2).mean(axis=1)

        def gradient(self, y_true, y_pred):
            return 2 * (y_pred - y_true) / y_true.shape[1]

    x, _ = classes()
    y, weight = x[:, :3] ** 2, np.random.default_rng(0).uniform(0, 2, 60)
    one, two = regressor("adam", Squares(), outputs=3), regressor("adam", "mse", outputs=3)
    a = one.fit(x, y, sample_weight=weight, epochs=3, batch_size=16, verbose=0)
    b = two.fit(x, y, sample_weight=weight, epochs=3, batch_size=16, verbose=0)
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-10)
    for left, right in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9)


# ---- callbacks and output ----


class Recorder(callbacks.Callback):
    def __init__(self, calls=None, name=""):
        super().__init__()
        self.calls, self.name = [] if calls is None else calls, name

    def on_train_begin(self, logs=None):
        self.calls.append((self.name, "train begin"))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append((self.name, "begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append((self.name, "end", epoch, tuple(logs)))

    def on_train_end(self, logs=None):
        self.calls.append((self.name, "train end", tuple(logs)))

    def close(self):
        self.calls.append((self.name, "close"))


def test_callbacks_are_called_in_order():
    x, y = classes()
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    calls = []
    first, second = Recorder(calls, "a"), Recorder(calls, "b")
    model = classifier()
    model.fit(x, y, epochs=2, batch_size=25, validation_data=(x, y), verbose=0, callbacks=[first, second])
    expected = [
        ("train begin",),
        ("begin", 0),
        ("end", 0, names),
        ("begin", 1),
        ("end", 1, names),
        ("train end", names),
        ("close",),
    ]
    assert calls == [(who, *call) for call in expected for who in "ab"]
    assert first.model is model
    assert first.params == {"epochs": 2, "steps": 3, "samples": 60, "batch_size": 25, "verbose": 0}


def test_stop_training_ends_after_the_epoch():
    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    x, y = classes()
    model, recorder = classifier(), Recorder()
    assert model.fit(x, y, epochs=9, verbose=0, callbacks=[Stop(), recorder]).epoch == [0, 1]
    assert ("", "train end", ("loss", "accuracy")) in recorder.calls
    assert model.fit(x, y, epochs=2, verbose=0).epoch == [0, 1]


@pytest.mark.parametrize(
    "where", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end", "on_progress"]
)
def test_an_error_in_a_callback_comes_through_and_close_is_called(where):
    class Fails(callbacks.Callback):
        pass

    def fail(self, *_):
        raise OSError("disk full")

    setattr(Fails, where, fail)
    x, y = classes(60000)
    model, recorder = classifier(hidden=64), Recorder()
    with pytest.raises(OSError, match="disk full"):
        model.fit(x, y, batch_size=2, epochs=3, verbose=0, callbacks=[Fails(), recorder])
    assert recorder.calls[-1] == ("", "close")
    assert len(model.fit(x[:50], y[:50], verbose=0).epoch) == 1


def test_progress_counts_rows_of_an_epoch():
    class Progress(callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_progress(self, rows, loss):
            self.seen.append((rows, loss))

    x, y = classes(60000)
    progress = Progress()
    classifier(hidden=64).fit(x, y, batch_size=2, epochs=1, verbose=0, callbacks=[progress])
    rows = [r for r, _ in progress.seen]
    assert rows
    assert rows == sorted(rows)
    assert all(0 < r <= 60000 and r % 2 == 0 for r in rows)
    assert all(np.isfinite(loss) and 0 < loss < 10 for _, loss in progress.seen)


def test_a_callback_may_predict_evaluate_and_set_weights():
    class Restore(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.predict(x)
            assert self.model.evaluate(x, y)[0] > 0
            if epoch == 0:
                self.best = self.model.get_weights()
            else:
                self.model.set_weights(self.best)

    x, y = classes()
    model, twin = classifier(), classifier()
    model.fit(x, y, epochs=3, shuffle=False, verbose=0, callbacks=[Restore()])
    twin.fit(x, y, shuffle=False, verbose=0)
    assert_same_weights(model, twin)


def test_verbose_0_prints_nothing(capfd):
    x, y = classes()
    model = classifier()
    model.fit(x, y, epochs=2, validation_split=0.2, verbose=0)
    model.evaluate(x, y)
    model.predict(x)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_verbose_prints_a_table(verbose, capsys):
    x, y = classes()
    history = classifier().fit(x, y, epochs=3, validation_split=0.2, verbose=verbose)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 4
    assert lines[0].split() == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "rows/s"]
    assert lines[3].split()[:2] == ["3/3", f"{history.history['loss'][2]:.4f}"]
    assert len({len(line) for line in lines}) == 1
    assert (verbose == 2) == (err == "")
