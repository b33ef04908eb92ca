"""Bad input is refused at the door: errors say what was received and what is allowed, nothing has changed."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers

N, FEATURES, CLASSES = 12, 4, 3


def good():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, FEATURES)), rng.integers(0, CLASSES, N)


def make(
    loss="sparse_categorical_crossentropy", built=True, outputs=CLASSES, last="softmax", dtype="float32"
):
    model = fnn.Sequential(
        [layers.Dense(5, activation="relu"), layers.Dropout(0.1), layers.Dense(outputs, activation=last)],
        seed=0,
        dtype=dtype,
    )
    model.compile("adam", loss, metrics=["accuracy"])
    if built:
        x, y = good()
        if outputs != CLASSES or loss != "sparse_categorical_crossentropy":
            y = np.ones((N, outputs)) / outputs
        model.fit(x, y, verbose=0)
    return model


def state_of(model):
    """Everything that training reads and writes, as bytes."""
    state = model._state
    return (
        [w.tobytes() for w in model.get_weights()],
        [slot.tobytes() for slot in state.slots] if state else None,
        state and state.step,
        model._shuffles,
        model.input_shape,
        [layer.name for layer in model.layers],
        [layer.trainable for layer in model.layers],
    )


def refused(model, call, match, errors=(TypeError, ValueError)):
    """`call` raises an error whose message has all parts of `match`, and the model is as it was."""
    before = state_of(model) if model.built else None
    with pytest.raises(errors) as caught:
        call()
    message = str(caught.value)
    for part in [match] if isinstance(match, str) else match:
        assert part in message, f"{part!r} is not in {message!r}"
    if before is None:
        assert (model.built, model.input_shape) == (False, None), "the refused call has built the model"
    else:
        assert state_of(model) == before
    model.predict(good()[0])


# ---- X ----


def spoiled(value, at=(7, 2), dtype=np.float64):
    x = good()[0].astype(dtype)
    x[at] = value
    return x


class Indexable:
    def __array__(self, *_, **__):
        raise ValueError("not today")


BAD_X = {
    "one dimension": (lambda: np.ones(FEATURES), ["two dimensions", "(4,)"]),
    "a number": (lambda: 3.0, ["two dimensions", "()"]),
    "None": (lambda: None, "x"),
    "three dimensions": (lambda: np.ones((N, FEATURES, 1)), ["(4, 1)", "(4,)"]),
    "too many features": (lambda: np.ones((N, FEATURES + 1)), ["(5,)", "(4,)"]),
    "too few features": (lambda: np.ones((N, FEATURES - 1)), ["(3,)", "(4,)"]),
    "no features": (lambda: np.ones((N, 0)), "(0,)"),
    "empty": (lambda: np.ones((0, FEATURES)), ["empty", "(0, 4)"]),
    "empty list": (lambda: [], "(0,)"),
    "nan": (lambda: spoiled(np.nan), ["NaN", "row 7"]),
    "infinity": (lambda: spoiled(-np.inf), ["infinity", "row 7"]),
    "nan in the last element": (lambda: spoiled(np.nan, (N - 1, FEATURES - 1)), ["NaN", "row 11"]),
    "nan in float32": (lambda: spoiled(np.nan, dtype=np.float32), ["NaN", "row 7"]),
    "infinity in float16": (lambda: spoiled(np.inf, dtype=np.float16), ["infinity", "row 7"]),
    "nan in Fortran order": (lambda: np.asfortranarray(spoiled(np.nan)), ["NaN", "row 7"]),
    "nan reversed": (lambda: spoiled(np.nan)[::-1, ::-1], ["NaN", "row 4"]),
    "nan big-endian": (lambda: spoiled(np.nan).astype(">f8"), ["NaN", "row 7"]),
    "too large for float32": (lambda: spoiled(1e300), ["float32", "row 7"]),
    "too large for float32 as long double": (
        lambda: spoiled(1e300, dtype=np.longdouble),
        ["float32", "row 7"],
    ),
    "complex": (lambda: np.ones((N, FEATURES), complex), ["complex128", "allowed"]),
    "object": (lambda: np.ones((N, FEATURES), object), ["object", "allowed"]),
    "strings": (lambda: np.full((N, FEATURES), "1.0"), ["<U3", "allowed"]),
    "bytes": (lambda: np.full((N, FEATURES), b"1.0"), ["S3", "allowed"]),
    "dates": (lambda: np.zeros((N, FEATURES), "datetime64[s]"), ["datetime64", "allowed"]),
    "records": (lambda: np.zeros((N, FEATURES), [("a", float)]), "allowed"),
    "ragged list": (lambda: [[1.0] * FEATURES, [1.0]], "x cannot be made an array"),
    "a string": (lambda: "data.csv", "allowed"),
    "a dict": (lambda: {"a": [1, 2]}, "allowed"),
    "masked": (lambda: np.ma.masked_array(good()[0], good()[0] > 0), "mask"),
    "what fails to be an array": (lambda: Indexable(), "x cannot be made an array"),
}


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict", "train_on_batch", "gradients"])
@pytest.mark.parametrize("name", BAD_X)
def test_bad_x(name, call):
    build, match = BAD_X[name]
    model, y = make(), good()[1]
    arguments = {"fit": {"verbose": 0}}.get(call, {})
    targets = () if call == "predict" else (y,)
    refused(model, lambda: getattr(model, call)(build(), *targets, **arguments), match)


@pytest.mark.parametrize(
    "name", [name for name in BAD_X if "features" not in name and "dimensions" not in name]
)
def test_bad_x_does_not_build_the_model(name):
    for method, y in (("fit", [good()[1]]), ("predict", []), ("evaluate", [good()[1]])):
        model = make(built=False)
        refused(
            model, lambda model=model, method=method, y=y: getattr(model, method)(BAD_X[name][0](), *y), []
        )


def test_scipy_sparse_y():
    sparse = pytest.importorskip("scipy.sparse")
    model = make()
    refused(model, lambda: model.fit(good()[0], sparse.csr_matrix(good()[1]), verbose=0), ["sparse", "toarray"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finite_extremes_of_the_dtype_are_allowed(dtype):
    model = make(dtype=dtype)
    top = np.finfo(dtype).max
    assert model.predict(spoiled(top, dtype=dtype)).shape == (N, CLASSES)


# ---- y ----


def labels(value, dtype=None, at=5):
    y = good()[1].astype(dtype or np.asarray(value).dtype)
    y[at] = value
    return y


BAD_LABELS = {
    "None": (lambda: None, "y"),
    "too few": (lambda: good()[1][:-1], ["12", "11"]),
    "too many": (lambda: np.zeros(N + 1, int), ["12", "13"]),
    "empty": (lambda: np.zeros(0, int), ["12", "0"]),
    "a number": (lambda: 1, "()"),
    "one-hot rows": (lambda: np.eye(CLASSES)[good()[1]], ["(12,)", "(12, 3)"]),
    "too large": (lambda: labels(3), ["label 3", "row 5", "0 to 2"]),
    "far too large": (lambda: labels(2**40), ["row 5", "0 to 2"]),
    "wraps in 32 bits": (lambda: labels(2**32), ["row 5", "0 to 2"]),
    "wraps from unsigned": (lambda: labels(2**64 - 1, np.uint64), ["row 5", "0 to 2"]),
    "negative": (lambda: labels(-1), ["label -1", "row 5", "0 to 2"]),
    "negative int8": (lambda: labels(-1, np.int8), ["label -1", "row 5"]),
    "fractional": (lambda: labels(1.5), ["1.5", "row 5", "integer"]),
    "nan": (lambda: labels(np.nan), ["NaN", "row 5"]),
    "infinity": (lambda: labels(np.inf), ["infinity", "row 5"]),
    "huge float": (lambda: labels(1e300), "row 5"),
    "complex": (lambda: good()[1].astype(complex), ["complex128", "allowed"]),
    "object": (lambda: good()[1].astype(object), ["object", "allowed"]),
    "strings": (lambda: np.array(["a"] * N), ["<U1", "allowed"]),
    "masked": (lambda: np.ma.masked_array(good()[1], good()[1] > 0), "mask"),
}


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "gradients"])
@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels(name, call):
    build, match = BAD_LABELS[name]
    model, x = make(), good()[0]
    arguments = {"fit": {"verbose": 0}}.get(call, {})
    refused(model, lambda: getattr(model, call)(x, build(), **arguments), match)


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "gradients"])
def test_bad_labels_and_weights_do_not_build_the_model(call):
    x, y = good()
    model = make(built=False)
    refused(model, lambda: getattr(model, call)(x, labels(7)), ["label 7", "row 5"])
    model = make(built=False)
    refused(model, lambda: getattr(model, call)(x, y, sample_weight=weights(-1)), ["-1", "row 6"])


def test_bad_validation_data_do_not_build_the_model():
    model = make(built=False)
    refused(
        model, lambda: model.fit(*good(), validation_data=(good()[0], labels(7)), verbose=0), "validation y"
    )


def test_features_that_no_layer_takes_do_not_build_the_model():
    model = make(built=False)
    refused(model, lambda: model.fit(np.ones((N, 2, 2)), good()[1], verbose=0), "Flatten")


def rows(value, at=(5, 1)):
    y = np.full((N, CLASSES), 0.25)
    y[at] = value
    return y


BAD_ROWS = {
    "labels": (lambda: good()[1], ["(12, 3)", "(12,)"]),
    "too few columns": (lambda: np.ones((N, 2)), ["(12, 3)", "(12, 2)"]),
    "three dimensions": (lambda: np.ones((N, CLASSES, 1)), ["(12, 3)", "(12, 3, 1)"]),
    "too few": (lambda: np.ones((N - 1, CLASSES)), ["12", "11"]),
    "empty": (lambda: np.ones((0, CLASSES)), ["12", "0"]),
    "nan": (lambda: rows(np.nan), ["NaN", "row 5"]),
    "infinity": (lambda: rows(np.inf), ["infinity", "row 5"]),
    "too large for float32": (lambda: rows(1e300), []),
    "complex": (lambda: rows(1).astype(complex), ["complex128", "allowed"]),
    "object": (lambda: rows(1).astype(object), ["object", "allowed"]),
    "strings": (lambda: rows(1).astype(str), "allowed"),
    "None": (lambda: None, "y"),
}


@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy", "binary_crossentropy"])
@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_target_rows(name, loss):
    build, match = BAD_ROWS[name]
    model, x = make(loss), good()[0]
    refused(model, lambda: model.fit(x, build(), verbose=0), match)


@pytest.mark.parametrize("value", [-0.1, 1.1])
@pytest.mark.parametrize("loss", ["categorical_crossentropy", "binary_crossentropy"])
def test_targets_that_are_no_probabilities(loss, value):
    model, x = make(loss), good()[0]
    refused(model, lambda: model.fit(x, rows(value), verbose=0), ["[0, 1]", "row 5"])


# ---- weights ----


def weights(value, at=6):
    weight = np.ones(N)
    weight[at] = value
    return weight


BAD_WEIGHTS = {
    "negative": (lambda: weights(-1), ["-1", "row 6", ">= 0"]),
    "nan": (lambda: weights(np.nan), ["NaN", "row 6"]),
    "infinity": (lambda: weights(np.inf), ["infinity", "row 6"]),
    "all zero": (lambda: np.zeros(N), "zero"),
    "too few": (lambda: np.ones(N - 1), ["12", "11"]),
    "two columns": (lambda: np.ones((N, 2)), "(12, 2)"),
    "a number": (lambda: 2.0, "()"),
    "empty": (lambda: [], ["12", "0"]),
    "strings": (lambda: ["a"] * N, "allowed"),
    "object": (lambda: np.ones(N, object), ["object", "allowed"]),
    "complex": (lambda: np.ones(N, complex), ["complex128", "allowed"]),
}


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "gradients"])
@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_sample_weights(name, call):
    build, match = BAD_WEIGHTS[name]
    model = make()
    arguments = {"fit": {"verbose": 0}}.get(call, {})
    refused(model, lambda: getattr(model, call)(*good(), sample_weight=build(), **arguments), match)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({3: 1.0}, ["3", "0 to 2"]),
        ({-1: 1.0}, ["-1", "0 to 2"]),
        ({"cat": 1.0}, ["cat", "0 to 2"]),
        ({0.5: 1.0}, ["0.5", "0 to 2"]),
        ({0: -1}, ["-1", ">= 0"]),
        ({0: np.nan}, "nan"),
        ({0: np.inf}, "inf"),
        ({0: "a"}, "a"),
        ({0: None}, "None"),
        ([1, 1, 1], ["dict", "list"]),
        ("balanced", ["dict", "str"]),
        ({0: 0, 1: 0, 2: 0}, "zero"),
        ({0: 1j}, "1j"),
    ],
)
def test_bad_class_weights(given, match):
    model = make()
    refused(model, lambda: model.fit(*good(), class_weight=given, verbose=0), match)
    refused(model, lambda: model.train_on_batch(*good(), class_weight=given), match)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_of_the_model_that_are_not_finite(value):
    model = make()
    model.layers[0].kernel[1, 2] = value
    before = state_of(model)
    for call in (lambda: model.fit(*good(), verbose=0), lambda: model.train_on_batch(*good())):
        with pytest.raises((ValueError, fnn.DivergenceError), match="NaN or inf"):
            call()
        assert state_of(model) == before
    with pytest.raises(ValueError, match=r"^dense\.kernel contains NaN or infinity; training needs finite weights"):
        model.fit(*good(), verbose=0)


# ---- arguments of fit and its like ----


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"batch_size": 0}, ["batch_size", "[1,", "0"]),
        ({"batch_size": -3}, ["batch_size", "-3"]),
        ({"batch_size": 2.5}, ["batch_size", "2.5"]),
        ({"batch_size": 32.0}, ["batch_size", "32.0"]),
        ({"batch_size": "32"}, ["batch_size", "'32'"]),
        ({"batch_size": True}, ["batch_size", "True"]),
        ({"batch_size": 2**31}, ["batch_size", str(2**31)]),
        ({"batch_size": 2**70}, ["batch_size", str(2**70)]),
        ({"batch_size": np.nan}, "batch_size"),
        ({"epochs": 0}, ["epochs", "0"]),
        ({"epochs": -1}, ["epochs", "-1"]),
        ({"epochs": 1.5}, ["epochs", "1.5"]),
        ({"epochs": None}, ["epochs", "None"]),
        ({"epochs": "3"}, ["epochs", "'3'"]),
        ({"initial_epoch": -1}, ["initial_epoch", "-1"]),
        ({"initial_epoch": 0.5}, ["initial_epoch", "0.5"]),
        ({"verbose": 3}, ["verbose", "3"]),
        ({"verbose": "loud"}, ["verbose", "loud"]),
        ({"verbose": None}, "verbose"),
        ({"shuffle": "batch"}, ["shuffle", "batch"]),
        ({"shuffle": None}, ["shuffle", "None"]),
        ({"validation_split": 1.0}, ["validation_split", "[0, 1)", "1.0"]),
        ({"validation_split": -0.1}, ["validation_split", "-0.1"]),
        ({"validation_split": "0.1"}, "validation_split"),
        ({"validation_split": np.nan}, "validation_split"),
        ({"validation_split": 0.99}, ["validation_split", "12"]),
        ({"validation_data": good()[0]}, ["validation_data", "ndarray"]),
        ({"validation_data": (good()[0],)}, "validation_data"),
        ({"validation_data": (good()[0][:, :2], good()[1])}, ["validation x", "(2,)", "(4,)"]),
        ({"validation_data": (good()[0], good()[1] + 1)}, ["validation y", "label 3"]),
        ({"validation_data": (good()[0], good()[1][:3])}, ["12", "3"]),
        ({"validation_data": (*good(), -np.ones(N))}, "negative"),
        ({"callbacks": [print]}, ["Callback", "print"]),
        ({"callbacks": print}, "callbacks"),
        ({"callbacks": fnn.callbacks.History()}, "callbacks"),
        ({"n_threads": 0}, ["n_threads", "0"]),
        ({"n_threads": -1}, ["n_threads", "-1"]),
        ({"n_threads": 1.0}, ["n_threads", "1.0"]),
        ({"n_threads": 10**6}, ["n_threads", str(10**6)]),
        ({"n_threads": "all"}, ["n_threads", "all"]),
    ],
    ids=str,
)
def test_bad_arguments_of_fit(arguments, match):
    model = make()
    refused(model, lambda: model.fit(*good(), **{"verbose": 0} | arguments), match)


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, "2", 2000, True])
def test_bad_n_threads(n_threads):
    model = make()
    for call in (
        lambda: model.predict(good()[0], n_threads=n_threads),
        lambda: model.evaluate(*good(), n_threads=n_threads),
        lambda: model.train_on_batch(*good(), n_threads=n_threads),
        lambda: model.gradients(*good(), n_threads=n_threads),
    ):
        refused(model, call, ["n_threads", str(n_threads)])
    with pytest.raises((TypeError, ValueError), match="n_threads"):
        fnn.set_num_threads(n_threads)


def test_before_compile():
    model = fnn.Sequential([layers.Dense(CLASSES, activation="softmax")], seed=0)
    for call in (
        lambda: model.fit(*good()),
        lambda: model.evaluate(*good()),
        lambda: model.train_on_batch(*good()),
        lambda: model.test_on_batch(*good()),
        lambda: model.gradients(*good()),
    ):
        with pytest.raises(ValueError, match="not compiled: call compile"):
            call()
    refused(model, lambda: model.fit(*good()), "compile")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"optimizer": "adm", "loss": "mse"}, ["'adm'", "'adam'"]),
        ({"optimizer": "sdg", "loss": "mse"}, ["'sdg'", "'sgd'"]),
        ({"optimizer": 3, "loss": "mse"}, "3"),
        ({"optimizer": None, "loss": "mse"}, "None"),
        ({"optimizer": "adam", "loss": "msee"}, ["'msee'", "'mse'"]),
        ({"optimizer": "adam", "loss": None}, "None"),
        ({"optimizer": "adam", "loss": len}, "len"),
        ({"optimizer": "adam"}, "loss"),
        ({"optimizer": "adam", "loss": "categorical_crosentropy"}, "'categorical_crossentropy'"),
        ({"optimizer": "adam", "loss": "mse", "metrics": ["acuracy"]}, ["'acuracy'", "'accuracy'"]),
        ({"optimizer": "adam", "loss": "mse", "metrics": "accuracy"}, ["list", "'accuracy'"]),
        ({"optimizer": "adam", "loss": "mse", "metrics": [3]}, "3"),
        ({"optimizer": "adam", "loss": "mse", "metrics": 5}, "5"),
        (
            {"optimizer": "adam", "loss": "mse", "metrics": ["sparse_categorical_accuracy"]},
            "sparse_categorical_accuracy",
        ),
        (
            {"optimizer": "adam", "loss": fnn.losses.SparseCategoricalCrossentropy(from_logits=True)},
            ["from_logits", "softmax"],
        ),
    ],
    ids=str,
)
def test_bad_arguments_of_compile(arguments, match):
    model = make()
    before = model.optimizer, model.loss, model.metrics_names
    refused(model, lambda: model.compile(**arguments), match)
    assert (model.optimizer, model.loss, model.metrics_names) == before
    model.fit(*good(), verbose=0)


def test_unknown_metrics_are_refused_by_compile_of_an_unbuilt_model():
    model = make(built=False)
    refused(model, lambda: model.compile("adam", "mse", metrics=["acuracy"]), ["'acuracy'", "'accuracy'"])


# ---- arguments of layers and optimizers ----


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: layers.Dense(0), ["units", "0"]),
        (lambda: layers.Dense(-2), ["units", "-2"]),
        (lambda: layers.Dense(2.0), ["units", "2.0"]),
        (lambda: layers.Dense("3"), ["units", "'3'"]),
        (lambda: layers.Dense(True), ["units", "True"]),
        (lambda: layers.Dense(2**31), ["units", str(2**31)]),
        (lambda: layers.Dense(2**80), ["units", str(2**80)]),
        (lambda: layers.Dense(None), ["units", "None"]),
        (lambda: layers.Dense(2, activation="rellu"), ["'rellu'", "'relu'"]),
        (lambda: layers.Dense(2, activation=np.tanh), "tanh"),
        (lambda: layers.Dense(2, use_bias=1), ["use_bias", "1"]),
        (lambda: layers.Dense(2, kernel_initializer="glorot"), ["'glorot'", "glorot_"]),
        (lambda: layers.Dense(2, kernel_regularizer="l3"), ["'l3'", "l2"]),
        (lambda: layers.Dense(2, trainable="no"), ["trainable", "no"]),
        (lambda: layers.Dense(2, name=""), "name"),
        (lambda: layers.Dense(2, name=3), ["name", "3"]),
        (lambda: layers.Dense(2, name="a/b"), ["name", "a/b"]),
        (lambda: layers.Dropout(1.0), ["rate", "[0, 1)", "1.0"]),
        (lambda: layers.Dropout(-0.1), ["rate", "-0.1"]),
        (lambda: layers.Dropout(np.nan), ["rate", "nan"]),
        (lambda: layers.Dropout("0.5"), ["rate", "'0.5'"]),
        (lambda: layers.Dropout(0.5, seed=-1), ["seed", "-1"]),
        (lambda: layers.Dropout(0.5, seed=0.5), ["seed", "0.5"]),
        (lambda: layers.Rescaling(np.inf), ["scale", "inf"]),
        (lambda: layers.Rescaling(1, np.nan), ["offset", "nan"]),
        (lambda: layers.Rescaling("1/255"), ["scale", "1/255"]),
        (lambda: layers.Activation("gelly"), "'gelly'"),
        (lambda: layers.Activation(3), "3"),
        (lambda: fnn.Input(3), ["shape", "3"]),
        (lambda: fnn.Input(()), ["shape", "()"]),
        (lambda: fnn.Input((0,)), ["shape", "0"]),
        (lambda: fnn.Input((-3, 2)), ["shape", "-3"]),
        (lambda: fnn.Input((2.5,)), ["shape", "2.5"]),
        (lambda: fnn.Input("33"), ["shape", "33"]),
        (lambda: fnn.Input((None,)), ["shape", "None"]),
        (lambda: fnn.optimizers.SGD(-0.1), ["learning_rate", "-0.1"]),
        (lambda: fnn.optimizers.SGD(np.nan), "learning_rate"),
        (lambda: fnn.optimizers.SGD("0.1"), ["learning_rate", "'0.1'"]),
        (lambda: fnn.optimizers.Adam(beta_1=1.0), ["beta_1", "1.0"]),
        (lambda: fnn.optimizers.Adam(beta_2=-0.1), "beta_2"),
        (lambda: fnn.optimizers.Adam(epsilon=-1), ["epsilon", "-1"]),
        (lambda: fnn.optimizers.SGD(momentum=1.5), ["momentum", "1.5"]),
        (lambda: fnn.optimizers.AdamW(weight_decay=-1), ["weight_decay", "-1"]),
        (lambda: fnn.optimizers.RMSprop(rho=2), ["rho", "2"]),
        (lambda: fnn.losses.Huber(delta=0), ["delta", "0"]),
        (lambda: fnn.losses.BinaryCrossentropy(label_smoothing=2), "2"),
        (lambda: fnn.activations.LeakyReLU(negative_slope=np.nan), "nan"),
    ],
)
def test_bad_arguments_of_parts(build, match):
    with pytest.raises((TypeError, ValueError)) as caught:
        build()
    for part in [match] if isinstance(match, str) else match:
        assert part in str(caught.value)


ARRAY = np.array([1.0, 2.0])


@pytest.mark.parametrize(("build", "name"), [
    (lambda: layers.Dense(ARRAY), "units"),
    (lambda: layers.Conv2D(3, ARRAY), "kernel_size"),
    (lambda: layers.Conv2D(3, 2, data_format=ARRAY), "data_format"),
    (lambda: layers.Dropout(0.5, seed=ARRAY), "seed"),
    (lambda: layers.Columns([ARRAY]), "indices"),
    (lambda: fnn.Sequential(seed=ARRAY), "seed"),
    (lambda: fnn.Input((ARRAY,)), "shape"),
    (lambda: make().fit(*good(), epochs=ARRAY), "epochs"),
    (lambda: make().fit(*good(), batch_size=ARRAY), "batch_size"),
    (lambda: make().fit(*good(), verbose=ARRAY), "verbose"),
    (lambda: fnn.callbacks.EarlyStopping(patience=ARRAY), "patience"),
    (lambda: fnn.callbacks.EarlyStopping(verbose=ARRAY), "verbose"),
    (lambda: fnn.callbacks.EarlyStopping(mode=ARRAY), "mode"),
    (lambda: fnn.regularizers.OrthogonalRegularizer(mode=ARRAY), "mode"),
    (lambda: fnn.kernels.orthogonal_penalty(np.eye(2), mode=ARRAY), "mode"),
    (lambda: fnn.initializers.GlorotUniform(seed=ARRAY), "seed"),
    (lambda: fnn.initializers.VarianceScaling(mode=ARRAY), "mode"),
    (lambda: fnn.initializers.VarianceScaling(distribution=ARRAY), "distribution"),
    (lambda: fnn.metrics.F1Score(average=ARRAY), "average"),
    (lambda: fnn.schedules.OneCycle(0.1, ARRAY), "total_steps"),
    (lambda: fnn.schedules.OneCycle(0.1, 30, anneal_strategy=ARRAY), "anneal_strategy"),
    (lambda: fnn.weights.prune(make(), 0.5, scope=ARRAY), "scope"),
    (lambda: fnn.weights.PruningSchedule(0.5, method=ARRAY, end_step=9), "method"),
    (lambda: fnn.weights.importance(make(), ARRAY), "method"),
    (lambda: fnn.show_config(mode=ARRAY), "mode"),
])  # fmt: skip
def test_arrays_in_the_place_of_a_number_or_a_name(build, name):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}.* must be .*; received.*array\(\[1., 2.\]\)"):
        build()


def test_integers_and_names_of_numpy_are_taken():
    assert layers.Dense(np.int64(3)).units == layers.Dense(np.array(3)).units == 3
    assert fnn.callbacks.EarlyStopping(mode=np.str_("min"), verbose=np.int8(1)).mode == "min"
    assert fnn.initializers.GlorotUniform(seed=np.uint8(7)).seed == 7


@pytest.mark.parametrize("path", [None, 1, b"x", ""])
def test_paths_that_are_none(path):
    model = make()
    for name, call in (
        ("path", lambda: model.save(path)),
        ("path", lambda: fnn.load_model(path)),
        ("resume", lambda: model.fit(*good(), verbose=0, resume=path)),
        ("path", lambda: fnn.datasets.load_npz(path)),
        ("path", lambda: fnn.datasets.load_csv(path)),
        ("path", lambda: fnn.datasets.read_idx(path)),
        ("root", lambda: fnn.datasets.load_idx(path)),
        ("path", lambda: fnn.weights.load_keras(model, path)),
    ):
        if name != "resume" or path is not None:
            refused(model, call, [f"{name} must be a path", f"received {path!r}"])


def test_learning_rates_set_later_are_checked():
    model = make()
    for wrong in (-1, np.nan, np.inf, "fast", None):
        refused(model, lambda wrong=wrong: setattr(model.optimizer, "learning_rate", wrong), "learning_rate")


# ---- sizes ----


def test_sizes_that_overflow_are_refused_before_anything_is_allocated():
    for build in (
        lambda: fnn.Sequential([fnn.Input((2**31 - 1,)), layers.Dense(2**31 - 1)]),
        lambda: fnn.Sequential([fnn.Input((2**31 - 1, 2**31 - 1)), layers.Flatten(), layers.Dense(2)]),
    ):
        with pytest.raises(ValueError, match="more than can be addressed"):
            build()


def test_parameters_that_overflow_together_are_refused():
    """Each kernel of 2**58 elements could be addressed, all of them not."""
    model = fnn.Sequential([layers.Dense(2**29) for _ in range(40)])
    with pytest.raises((ValueError, MemoryError)):
        model.build((2**29,))
    assert not model.built
    assert not any(layer.built for layer in model.layers)


def test_a_layer_too_large_for_memory_leaves_the_model_as_it_was():
    """2**60 bytes: more than any machine maps."""
    model = fnn.Sequential([fnn.Input((2**27,)), layers.Activation("relu")])
    with pytest.raises((MemoryError, ValueError)):
        model.add(layers.Dense(2**31 - 1, kernel_initializer="zeros"))
    assert len(model.layers) == 1, "the layer that could not be allocated was added"
    assert model.output_shape == (2**27,)
    assert model.get_weights() == []


# ---- what users write ----


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("forward", lambda x: x[:, :1]),
        ("forward", lambda x: None),
        ("forward", lambda x: x[:-1]),
        ("forward", lambda x: "abc"),
        ("backward", lambda x: x.T),
        ("backward", lambda x: 1.0),
        ("backward", lambda x: None),
    ],
)
def test_python_layers_that_return_something_else(method, result, threads):
    class Wrong(layers.PythonLayer):
        def forward(self, x, training):
            return result(x) if method == "forward" else x

        def backward(self, dy):
            return result(dy) if method == "backward" else dy

    x = good()[0]
    model = fnn.Sequential([layers.Dense(3), Wrong(), layers.Dense(1)], seed=0)
    model.compile("adam", "mse")
    model.build((FEATURES,))
    before = model.get_weights()
    with pytest.raises((TypeError, ValueError), match=r"wrong|shape"):
        model.fit(x, x[:, 0], verbose=0, n_threads=threads)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", ["call", "gradient"])
@pytest.mark.parametrize("result", [lambda p: 1.0, lambda p: None, lambda p: p[:3], lambda p: p.T])
def test_python_losses_that_return_something_else(method, result):
    class Wrong(fnn.losses.Loss):
        name = "wrong"

        def call(self, y_true, y_pred):
            return result(y_pred) if method == "call" else (y_pred - y_true)[:, 0] ** 2

        def gradient(self, y_true, y_pred):
            return result(y_pred) if method == "gradient" else 2 * (y_pred - y_true)

    x = good()[0]
    model = fnn.Sequential([layers.Dense(2)], seed=0)
    model.compile("adam", Wrong())
    model.build((FEATURES,))
    before = model.get_weights()
    with pytest.raises((TypeError, ValueError), match="shape"):
        model.fit(x, x[:, :2], verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", ["forward", "backward", "call", "gradient"])
def test_what_users_forgot_to_write_is_named(method):
    layer = type(
        "Half", (layers.PythonLayer,), {} if method == "forward" else {"forward": lambda self, x, training: x}
    )()
    half_loss = type(
        "HalfLoss",
        (fnn.losses.Loss,),
        {} if method == "call" else {"call": lambda self, y_true, y_pred: y_pred[:, 0]},
    )()
    model = fnn.Sequential(
        [layers.Dense(1), layer] if method in ("forward", "backward") else [layers.Dense(1)], seed=0
    )
    model.compile("adam", "mse" if method in ("forward", "backward") else half_loss)
    x = good()[0]
    with pytest.raises(NotImplementedError, match=method):
        model.fit(x, x[:, 0], verbose=0)
