"""Keras 3 on its torch backend as oracle: the same weights, data and order of batches give the same run.

Everything here is float64. Criterion for arrays of parameters (`same_weights`): the norm of the difference is
at most 1e-9 of the array's norm, and so is the relative difference of every element that is larger than 1e-3
of the array's largest. Numbers (losses, metrics) are equal to relative 1e-9, absolute 1e-12.

Learning rates are powers of two, because Keras may keep them in float32.

Keras as it comes cannot be held to 1e-9: on torch its type promotion makes float32 of float64 in matmul and
other ops whatever floatx says (keras-team/keras issue 23704), and its runs are 1e-9 to 1e-7 off. The fixture
`keras` therefore changes one entry of Keras' promotion table to what it is on TensorFlow: float64 stays
float64. Keras' formulas are not touched. `test_promotion_is_what_the_fixture_corrects` fails when Keras no
longer needs it.
"""

import importlib.util
import os
import warnings

import numpy as np
import pytest

import fastnn as fnn

MISSING = [name for name in ("keras", "torch") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.filterwarnings("default"),  # Keras' and torch's warnings are not ours
]

TOLERANCE = 1e-9
RATE = 2.0**-6


@pytest.fixture(scope="module")
def keras():
    """Keras, imported by the first test: it takes ten seconds and loads an OpenMP runtime of its own."""
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        module = pytest.importorskip("keras")
    if module.backend.backend() != "torch":
        pytest.skip(f"keras was imported with the {module.backend.backend()} backend before")
    from keras.src.backend.common import dtypes

    floatx, threads = module.config.floatx(), torch.get_num_threads()
    promoted = dtypes.BIT64_TO_BIT32_DTYPE["float64"]
    module.config.set_floatx("float64")
    module.config.set_dtype_policy("float64")  # which models before may have fixed
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    torch.set_num_threads(1)  # arrays are tiny
    yield module
    module.config.set_floatx(floatx)
    module.config.set_dtype_policy(floatx)
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = promoted
    torch.set_num_threads(threads)


# ------------------------------------------------------------------------------------------------ helpers


def near(value):
    return pytest.approx(value, rel=TOLERANCE, abs=1e-12)


def same_weights(ours, theirs):
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert a.dtype == b.dtype == np.float64
        assert np.all(np.isfinite(b))
        assert np.linalg.norm(a - b) <= TOLERANCE * np.linalg.norm(b)
        large = np.abs(b) > 1e-3 * np.abs(b).max()
        assert np.max(np.abs(a - b)[large] / np.abs(b)[large]) <= TOLERANCE


def same_logs(ours, theirs):
    """Keras sorts the names, fastnn has the loss first and the metrics in the order they were given."""
    assert sorted(ours) == sorted(theirs)
    for name, values in theirs.items():
        assert ours[name] == near(np.asarray(values, dtype=np.float64)), name


def stack(library, shape, layers, **options):
    """A model of `library` (fastnn or keras); `layers` are (class name, arguments, keywords)."""
    made = [getattr(library.layers, name)(*arguments, **keywords) for name, arguments, keywords in layers]
    return library.Sequential([library.Input(shape), *made], **options)


def dense(units, activation=None, **keywords):
    return "Dense", (units,), {"activation": activation, **keywords}


def pair(keras, shape, layers, keras_layers=None):
    """The same model in both libraries, with random weights, biases among them."""
    ours = stack(fnn, shape, layers, dtype="float64", seed=0)
    theirs = stack(keras, shape, keras_layers or layers)
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=w.shape) / np.sqrt(w.shape[0]) for w in theirs.get_weights()]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


def compile_both(keras, ours, theirs, optimizer=("SGD", {}), loss=("MeanSquaredError", {}), metrics=(),
                 rate=RATE):
    """Optimizer and loss by class name and arguments, metrics by string."""
    for library, model in ((fnn, ours), (keras, theirs)):
        name, arguments = optimizer
        model.compile(optimizer=getattr(library.optimizers, name)(learning_rate=rate, **arguments),
                      loss=getattr(library.losses, loss[0])(**loss[1]), metrics=list(metrics))


def fit_both(ours, theirs, *data, **options):
    """History dictionaries of the same `fit`."""
    options = {"batch_size": 16, "epochs": 1, "shuffle": False, "verbose": 0} | options
    return ours.fit(*data, **options).history, theirs.fit(*data, **options).history


def samples(n, n_features=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_features))


def targets(kind, n, columns, seed=5):
    """Targets of a `kind`: sparse labels, one-hot rows, bits or real numbers."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, columns, n)
    return {"sparse": labels, "onehot": np.eye(columns)[labels], "real": rng.normal(size=(n, columns)),
            "bits": rng.integers(0, 2, (n, columns)) * 1.0}[kind]


def test_promotion_is_what_the_fixture_corrects(keras, monkeypatch):
    from keras.src.backend.common import dtypes

    one = np.ones((1, 1))
    assert keras.backend.standardize_dtype(keras.ops.matmul(one, one).dtype) == "float64"
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float32")
    assert keras.backend.standardize_dtype(keras.ops.matmul(one, one).dtype) == "float32"


# --------------------------------------------------------------------------------------------- optimizers

OPTIMIZERS = {
    "sgd": ("SGD", {}),
    "sgd decay": ("SGD", {"weight_decay": 0.03}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "momentum decay": ("SGD", {"momentum": 0.9, "weight_decay": 0.03}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "nesterov without momentum": ("SGD", {"nesterov": True}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop momentum": ("RMSprop", {"rho": 0.8, "momentum": 0.5}),
    "rmsprop centered": ("RMSprop", {"centered": True}),
    "rmsprop all": ("RMSprop", {"centered": True, "momentum": 0.5, "epsilon": 1e-3, "weight_decay": 0.03}),
    "adagrad": ("Adagrad", {}),
    "adagrad all": ("Adagrad", {"initial_accumulator_value": 0.01, "epsilon": 1e-3, "weight_decay": 0.03}),
    "adadelta": ("Adadelta", {}),
    "adadelta all": ("Adadelta", {"rho": 0.9, "epsilon": 1e-3, "weight_decay": 0.03}),
    "adam": ("Adam", {}),
    "adam constants": ("Adam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    "adam decay": ("Adam", {"weight_decay": 0.03}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "adamw": ("AdamW", {}),
    "adamw amsgrad": ("AdamW", {"weight_decay": 0.03, "amsgrad": True}),
    "adamax": ("Adamax", {}),
    "adamax all": ("Adamax", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.03}),
    "nadam": ("Nadam", {}),
    "nadam all": ("Nadam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.03}),
    "lion": ("Lion", {}),
    "lion all": ("Lion", {"beta_1": 0.8, "beta_2": 0.95, "weight_decay": 0.03}),
}


@pytest.mark.parametrize("n", [128, 117], ids=["whole batches", "short last batch"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_200_steps(keras, optimizer, n):
    """25 epochs of 8 batches of 16, the last of them of 5 rows where n is 117."""
    ours, theirs = pair(keras, (6,), [dense(7, "tanh"), dense(4, "softmax")])
    start = ours.get_weights()
    compile_both(keras, ours, theirs, optimizer, ("SparseCategoricalCrossentropy", {}),
                 rate=1.0 if optimizer[0] == "Adadelta" else RATE)
    logs = fit_both(ours, theirs, samples(n), targets("sparse", n, 4), epochs=25)
    assert theirs.optimizer.iterations == 200
    for end, begin in zip(theirs.get_weights(), start, strict=True):
        assert np.linalg.norm(end - begin) > 1e-2 * np.linalg.norm(begin)
    same_weights(ours, theirs)
    same_logs(*logs)


@pytest.mark.parametrize("name", sorted({name for name, _ in OPTIMIZERS.values()}))
def test_optimizer_defaults(keras, name):
    ours, theirs = (getattr(library.optimizers, name)().get_config() for library in (fnn, keras))
    for argument, value in ours.items():
        if argument == "learning_rate":
            assert value == pytest.approx(theirs[argument], rel=1e-7)  # float32 in Keras
        elif argument != "name":
            assert value == theirs[argument], argument


def test_state_goes_on_in_a_second_fit_with_another_learning_rate(keras):
    ours, theirs = pair(keras, (6,), [dense(7, "tanh"), dense(4, "softmax")])
    compile_both(keras, ours, theirs, ("Nadam", {}), ("SparseCategoricalCrossentropy", {}))
    x, y = samples(50), targets("sparse", 50, 4)
    fit_both(ours, theirs, x, y, epochs=2)
    ours.optimizer.learning_rate = theirs.optimizer.learning_rate = 2.0**-9
    fit_both(ours, theirs, x, y, epochs=4, initial_epoch=1)
    same_weights(ours, theirs)


def test_frozen_layer_neither_learns_nor_decays(keras):
    ours, theirs = pair(keras, (6,), [dense(7, "tanh", trainable=False), dense(5, "relu"), dense(4)])
    compile_both(keras, ours, theirs, ("AdamW", {"weight_decay": 0.1}))
    fit_both(ours, theirs, samples(50), targets("real", 50, 4), epochs=5)
    same_weights(ours, theirs)


def test_train_on_batch(keras):
    ours, theirs = pair(keras, (6,), [dense(7, "tanh"), dense(3)])
    compile_both(keras, ours, theirs, ("Adam", {}), metrics=["mae"])
    weight = np.random.default_rng(3).uniform(size=16)
    for step in range(10):
        batch = samples(16, seed=step), targets("real", 16, 3, seed=step)
        theirs.reset_metrics()  # Keras goes on averaging over calls
        assert ours.train_on_batch(*batch, sample_weight=weight) == near(
            [float(value) for value in theirs.train_on_batch(*batch, sample_weight=weight)])
    same_weights(ours, theirs)


# ---------------------------------------------------------------------------------- losses and activations

LAST = {  # loss, arguments, activations of the last layer, kind of targets, columns
    "sparse": ("SparseCategoricalCrossentropy", {}, ("softmax", "sigmoid", "softplus"), "sparse", 4),
    "sparse logits": ("SparseCategoricalCrossentropy", {"from_logits": True}, (None,), "sparse", 4),
    "categorical": ("CategoricalCrossentropy", {}, ("softmax", "sigmoid", "softplus"), "onehot", 4),
    "categorical smooth": ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ("softmax", "sigmoid"),
                           "onehot", 4),
    "categorical logits": ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, (None,),
                           "onehot", 4),
    "binary": ("BinaryCrossentropy", {}, ("sigmoid", "hard_sigmoid", "softmax"), "bits", 3),
    "binary smooth": ("BinaryCrossentropy", {"label_smoothing": 0.1}, ("sigmoid", "softmax"), "bits", 3),
    "binary logits": ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, (None,),
                      "bits", 3),
    "binary one column": ("BinaryCrossentropy", {}, ("sigmoid", "hard_sigmoid"), "bits", 1),
    "mse": ("MeanSquaredError", {}, (None, "tanh"), "real", 3),
    "mae": ("MeanAbsoluteError", {}, (None, "tanh"), "real", 3),
    "huber": ("Huber", {}, (None, "tanh"), "real", 3),
    "huber delta": ("Huber", {"delta": 0.3}, (None, "tanh"), "real", 3),
    "poisson": ("Poisson", {}, ("softplus",), "bits", 3),
}
LOSSES = [pytest.param(*row[:2], last, *row[3:], own_layer, id=f"{name} {last} {'layer' * own_layer}".strip())
          for name, row in LAST.items() for last in row[2] for own_layer in (False, True)[:1 + bool(last)]]


@pytest.mark.parametrize(("loss", "arguments", "last", "kind", "columns", "own_layer"), LOSSES)
def test_loss(keras, loss, arguments, last, kind, columns, own_layer):
    """20 steps, the activation before the loss being Dense's or an Activation layer's."""
    def layers(activation):
        if own_layer:
            return [dense(7, "tanh"), dense(columns), ("Activation", (activation,), {})]
        return [dense(7, "tanh"), dense(columns, activation)]

    ours, theirs = pair(keras, (6,), layers(last), layers(with_exact_derivative(keras, last)))
    compile_both(keras, ours, theirs, loss=(loss, arguments), rate=2.0**-3)
    logs = fit_both(ours, theirs, samples(58), targets(kind, 58, columns), epochs=5)
    same_weights(ours, theirs)
    same_logs(*logs)


def test_smooth_sparse_labels_are_smooth_onehot_rows(keras):
    """Keras smooths one-hot rows only."""
    ours, theirs = pair(keras, (6,), [dense(7, "tanh"), dense(4, "softmax")])
    labels = targets("sparse", 58, 4)
    ours.compile(fnn.optimizers.SGD(RATE), fnn.losses.SparseCategoricalCrossentropy(label_smoothing=0.1))
    theirs.compile(keras.optimizers.SGD(RATE), keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    options = {"batch_size": 16, "epochs": 5, "shuffle": False, "verbose": 0}
    same_logs(ours.fit(samples(58), labels, **options).history,
              theirs.fit(samples(58), np.eye(4)[labels], **options).history)
    same_weights(ours, theirs)


@pytest.mark.parametrize(("loss", "arguments", "kind"), [
    ("SparseCategoricalCrossentropy", {}, "sparse"), ("CategoricalCrossentropy", {}, "onehot"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.3}, "onehot"), ("BinaryCrossentropy", {}, "bits"),
    ("BinaryCrossentropy", {"label_smoothing": 0.3}, "bits"), ("MeanSquaredError", {}, "real"),
    ("MeanAbsoluteError", {}, "real"), ("Huber", {"delta": 0.7}, "real"), ("Poisson", {}, "bits")])
def test_loss_called(keras, loss, arguments, kind):
    """Of predictions that are no distribution, some of them 0 and 1."""
    y, p = targets(kind, 40, 5), np.random.default_rng(0).uniform(size=(40, 5))
    p[:5], p[5] = np.eye(5), 1.0
    weight = np.random.default_rng(1).uniform(size=40)
    ours, theirs = (getattr(library.losses, loss)(**arguments) for library in (fnn, keras))
    assert ours(y, p) == near(float(theirs(y, p)))
    assert ours(y, p, weight) == near(float(theirs(y, p, weight)))


NAMES = ["linear", "relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "softplus", "softsign",
         "hard_sigmoid", "relu6", "exponential", "gelu", "silu", "swish", "mish", "softmax", "log_softmax"]
WITH_ARGUMENTS = {
    "leaky_relu(0.4)": ("leaky_relu", {"negative_slope": 0.4}, fnn.activations.LeakyReLU(0.4)),
    "elu(0.5)": ("elu", {"alpha": 0.5}, fnn.activations.ELU(0.5)),
    "gelu(tanh)": ("gelu", {"approximate": True}, fnn.activations.GELU(approximate=True)),
}


def with_exact_derivative(keras, name):
    """torch's hard_sigmoid has the float32 number 1/6 as derivative in float64 too, 3e-8 off."""
    return (lambda x: keras.ops.clip(x / 6 + 0.5, 0.0, 1.0)) if name == "hard_sigmoid" else name


def activation_pair(keras, name):
    if name in NAMES:
        return name, name
    function, arguments, ours = WITH_ARGUMENTS[name]
    return ours, lambda x: getattr(keras.activations, function)(x, **arguments)


@pytest.mark.parametrize("name", [*NAMES, *WITH_ARGUMENTS])
def test_activation(keras, name):
    """20 steps of a model that has it inside Dense, as a layer, and last."""
    def layers(activation):
        return [dense(9, activation), dense(8), ("Activation", (activation,), {}), dense(3, activation)]

    our_name, their_name = activation_pair(keras, name)
    ours, theirs = pair(keras, (6,), layers(our_name), layers(with_exact_derivative(keras, their_name)))
    compile_both(keras, ours, theirs, rate=2.0**-10 if name in ("exponential", "log_softmax") else RATE)
    x = samples(58) / 2
    assert ours.predict(x) == near(theirs.predict(x, verbose=0))
    logs = fit_both(ours, theirs, x, targets("real", 58, 3), epochs=5)
    same_weights(ours, theirs)
    same_logs(*logs)


@pytest.mark.parametrize("name", [*NAMES, *WITH_ARGUMENTS])
def test_activation_over_a_wide_range(keras, name):
    x = np.concatenate([np.linspace(-30, 30, 601), np.geomspace(1e-12, 1, 50), -np.geomspace(1e-12, 1, 50)])
    x = x.reshape(1, -1)
    our_name, their_name = activation_pair(keras, name)
    theirs = keras.activations.get(their_name)(keras.ops.convert_to_tensor(x))
    values = keras.ops.convert_to_numpy(theirs)
    # torch's gelu is 0.5 * x * (1 + erf(x / sqrt(2))), which cancels for negative x.
    tail = 1e-14 if name.startswith("gelu") else 0
    assert fnn.activations.get(our_name)(x) == pytest.approx(values, rel=TOLERANCE, abs=tail)


# ------------------------------------------------------------------------------------------------ weights

WEIGHTED = {
    "sparse": ("SparseCategoricalCrossentropy", "softmax", "sparse", 4, {0: 2.0, 3: 0.25}),
    "onehot": ("CategoricalCrossentropy", "softmax", "onehot", 4, {1: 0.0, 2: 3.0}),
    "binary": ("BinaryCrossentropy", "sigmoid", "bits", 1, {0: 0.5, 1: 4.0}),
    "multi-label": ("BinaryCrossentropy", "sigmoid", "bits", 3, {0: 0.5, 2: 4.0}),
}


@pytest.mark.parametrize("by", ["sample", "class"])
@pytest.mark.parametrize(("loss", "last", "kind", "columns", "by_class"), WEIGHTED.values(), ids=WEIGHTED)
def test_weights(keras, loss, last, kind, columns, by_class, by):
    """Of samples or classes: in the loss, not in the metrics; with a short batch and weights of 0."""
    n = 58
    weight = np.random.default_rng(2).uniform(0, 3, n)
    weight[::5] = 0
    options = {"sample_weight": weight} if by == "sample" else {"class_weight": by_class}
    ours, theirs = pair(keras, (6,), [dense(7, "tanh"), dense(columns, last)])
    compile_both(keras, ours, theirs, ("Adam", {}), (loss, {}), ["accuracy"])
    x, y = samples(n), targets(kind, n, columns)
    logs = fit_both(ours, theirs, x, y, epochs=5, **options)
    same_weights(ours, theirs)
    same_logs(*logs)
    assert ours.evaluate(x, y, sample_weight=weight) == near(
        theirs.evaluate(x, y, sample_weight=weight, verbose=0))


# ---------------------------------------------------------------------------- history, evaluate, predict

LOGGED = {
    "sparse": ("SparseCategoricalCrossentropy", "softmax", "sparse", 7,
               ["accuracy", "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy"]),
    "onehot": ("CategoricalCrossentropy", "softmax", "onehot", 7,
               ["acc", "categorical_accuracy", "top_k_categorical_accuracy", "auc", "precision", "recall",
                "mse"]),
    "binary": ("BinaryCrossentropy", "sigmoid", "bits", 1,
               ["accuracy", "binary_accuracy", "AUC", "Precision", "Recall", "mae"]),
    "regression": ("MeanSquaredError", None, "real", 3,
                   ["mse", "mae", "mean_squared_error", "root_mean_squared_error", "r2_score"]),
}


def metric_names(keras, names):
    """Keras knows some metrics by the names of their classes only."""
    return [getattr(keras.metrics, KERAS_CLASSES[name])(name=name) if name in KERAS_CLASSES else name
            for name in names]


KERAS_CLASSES = {"auc": "AUC", "precision": "Precision", "recall": "Recall", "r2_score": "R2Score",
                 "root_mean_squared_error": "RootMeanSquaredError"}


def logged_pair(keras, loss, last, columns, metrics):
    ours, theirs = pair(keras, (6,), [dense(7, "tanh"), dense(columns, last)])
    ours.compile(fnn.optimizers.Adam(RATE), getattr(fnn.losses, loss)(), metrics=list(metrics))
    theirs.compile(keras.optimizers.Adam(RATE), getattr(keras.losses, loss)(),
                   metrics=metric_names(keras, metrics))
    return ours, theirs


@pytest.mark.parametrize(("loss", "last", "kind", "columns", "metrics"), LOGGED.values(), ids=LOGGED.keys())
def test_history_and_validation(keras, loss, last, kind, columns, metrics):
    """Values of every epoch, under the same names."""
    x, y = samples(90), targets(kind, 90, columns)
    weight = np.random.default_rng(2).uniform(size=90)
    ours, theirs = logged_pair(keras, loss, last, columns, metrics)
    same_logs(*fit_both(ours, theirs, x, y, epochs=3))
    same_logs(*fit_both(ours, theirs, x, y, epochs=3, sample_weight=weight, validation_split=0.3))
    held_out = samples(41, seed=7), targets(kind, 41, columns, seed=8), np.linspace(0, 2, 41)
    same_logs(*fit_both(ours, theirs, x, y, epochs=3, validation_data=held_out[:2]))
    same_logs(*fit_both(ours, theirs, x, y, epochs=3, validation_data=held_out))
    same_weights(ours, theirs)


@pytest.mark.parametrize(("loss", "last", "kind", "columns", "metrics"), LOGGED.values(), ids=LOGGED.keys())
def test_evaluate_and_predict(keras, loss, last, kind, columns, metrics):
    ours, theirs = logged_pair(keras, loss, last, columns, metrics)
    x, y = samples(77), targets(kind, 77, columns)
    values = ours.evaluate(x, y)
    assert isinstance(values, list)
    assert values == near(theirs.evaluate(x, y, verbose=0))
    same_logs(ours.evaluate(x, y, return_dict=True), theirs.evaluate(x, y, verbose=0, return_dict=True))
    theirs.reset_metrics()
    assert ours.test_on_batch(x, y) == near([float(value) for value in theirs.test_on_batch(x, y)])
    for predicted in (ours.predict(x), ours.predict_on_batch(x), ours(x)):
        assert (predicted.shape, predicted.dtype) == ((77, columns), np.float64)
        assert predicted == near(theirs.predict(x, verbose=0))
    ours, theirs = logged_pair(keras, loss, last, columns, [])
    assert isinstance(ours.evaluate(x, y), float)
    assert ours.evaluate(x, y) == near(theirs.evaluate(x, y, verbose=0))


@pytest.mark.parametrize("shape", ["(n,)", "(n, 1)"])
@pytest.mark.parametrize(("loss", "last", "kind", "columns"), [
    ("SparseCategoricalCrossentropy", "softmax", "sparse", 4), ("BinaryCrossentropy", "sigmoid", "bits", 1),
    ("MeanSquaredError", None, "real", 1)])
def test_targets_of_one_column(keras, loss, last, kind, columns, shape):
    ours, theirs = pair(keras, (6,), [dense(7, "tanh"), dense(columns, last)])
    compile_both(keras, ours, theirs, loss=(loss, {}), metrics=["accuracy"] if last else ["mae"])
    y = targets(kind, 40, columns).reshape((40,) if shape == "(n,)" else (40, 1))
    same_logs(*fit_both(ours, theirs, samples(40), y, epochs=2))
    same_weights(ours, theirs)


def test_layers_of_other_kinds(keras):
    """Images of uint8 through Flatten, Rescaling, Dense without bias, Activation; Dropout when predicting."""
    layers = [("Rescaling", (1 / 127.5,), {"offset": -1.0}), ("Flatten", (), {}), dense(9, use_bias=False),
              ("Activation", ("gelu",), {}), ("Rescaling", (0.5,), {}), dense(4, "softmax")]
    x = np.random.default_rng(0).integers(0, 256, (58, 5, 4)).astype(np.uint8)
    y = targets("sparse", 58, 4)
    ours, theirs = pair(keras, (5, 4), layers)
    compile_both(keras, ours, theirs, ("RMSprop", {}), ("SparseCategoricalCrossentropy", {}), ["accuracy"])
    same_logs(*fit_both(ours, theirs, x, y, epochs=5))
    same_weights(ours, theirs)
    layers.insert(4, ("Dropout", (0.5,), {}))
    ours, theirs = pair(keras, (5, 4), layers)
    assert ours.predict(x) == near(theirs.predict(x, verbose=0))


def test_gradients(keras):
    """The step of plain gradient descent with learning rate 1."""
    ours, theirs = pair(keras, (6,), [dense(7, "silu"), dense(5, "mish"), dense(4, "softmax")])
    compile_both(keras, ours, theirs, loss=("SparseCategoricalCrossentropy", {}), rate=1.0)
    x, y = samples(58), targets("sparse", 58, 4)
    before, weight = theirs.get_weights(), np.random.default_rng(2).uniform(size=58)
    gradients = ours.gradients(x, y, sample_weight=weight)
    theirs.train_on_batch(x, y, sample_weight=weight)
    for gradient, a, b in zip(gradients, before, theirs.get_weights(), strict=True):
        assert np.linalg.norm(gradient - (a - b)) <= TOLERANCE * np.linalg.norm(gradient)


# ------------------------------------------------------------------------------------------------ metrics

METRICS = {  # kind of targets, columns, class, arguments
    "sparse accuracy": ("sparse", 7, "SparseCategoricalAccuracy", {}),
    "sparse top 2": ("sparse", 7, "SparseTopKCategoricalAccuracy", {"k": 2}),
    "sparse top 5": ("sparse", 7, "SparseTopKCategoricalAccuracy", {}),
    "accuracy": ("onehot", 7, "CategoricalAccuracy", {}),
    "top 2": ("onehot", 7, "TopKCategoricalAccuracy", {"k": 2}),
    "top 5": ("onehot", 7, "TopKCategoricalAccuracy", {}),
    "binary accuracy": ("bits", 1, "BinaryAccuracy", {}),
    "binary accuracy above 0.3": ("bits", 1, "BinaryAccuracy", {"threshold": 0.3}),
    "binary accuracy of columns": ("bits", 3, "BinaryAccuracy", {}),
    "mse": ("real", 3, "MeanSquaredError", {}),
    "mae": ("real", 3, "MeanAbsoluteError", {}),
    "rmse": ("real", 3, "RootMeanSquaredError", {}),
    "r2": ("real", 1, "R2Score", {}),
    "r2 of columns": ("real", 3, "R2Score", {}),
    "auc": ("bits", 1, "AUC", {}),
    "auc, 50 thresholds": ("bits", 1, "AUC", {"num_thresholds": 50}),
    "auc, 2 thresholds": ("bits", 1, "AUC", {"num_thresholds": 2}),
    "auc of columns": ("onehot", 3, "AUC", {}),
    "precision": ("bits", 1, "Precision", {}),
    "precision of columns": ("onehot", 3, "Precision", {}),
    "precision above 0.3": ("bits", 3, "Precision", {"thresholds": 0.3}),
    "recall": ("bits", 1, "Recall", {}),
    "recall of columns": ("onehot", 3, "Recall", {}),
    "recall above 0.3": ("bits", 3, "Recall", {"thresholds": 0.3}),
    "f1 macro": ("onehot", 4, "F1Score", {"average": "macro"}),
    "f1 micro": ("onehot", 4, "F1Score", {"average": "micro"}),
    "f1 weighted": ("onehot", 4, "F1Score", {"average": "weighted"}),
    "f1 above 0.3": ("bits", 3, "F1Score", {"average": "macro", "threshold": 0.3}),
    "f1 of one column": ("bits", 1, "F1Score", {"average": "macro", "threshold": 0.5}),
}


@pytest.mark.parametrize(("kind", "columns", "name", "arguments"), METRICS.values(), ids=METRICS.keys())
def test_metric(keras, kind, columns, name, arguments):
    """Called with weights and without, and by the compiled evaluation of a model that changes nothing."""
    y, p = targets(kind, 203, columns), np.random.default_rng(0).uniform(size=(203, columns))
    weight = np.random.default_rng(1).integers(0, 128, 203) / 64  # Keras' AUC adds weights in float32
    ours, theirs = (getattr(library.metrics, name)(**arguments) for library in (fnn, keras))
    # Keras adds 1e-7 to each of F1's four divisors, three of which are at most 1.
    close = (lambda value: pytest.approx(value, abs=1e-6)) if name == "F1Score" else near
    assert ours.name == theirs.name.rstrip("_0123456789")  # Keras numbers its objects: auc_1
    theirs.update_state(y, p)
    expected = float(theirs.result())
    assert expected != 0
    assert ours(y, p) == close(expected)
    model = fnn.Sequential([fnn.Input((columns,)), fnn.layers.Activation("linear")], dtype="float64")
    model.compile("sgd", "sparse_categorical_crossentropy" if kind == "sparse" else "mse", metrics=[ours])
    assert model.evaluate(p, y)[1] == close(expected)
    theirs.reset_state()
    theirs.update_state(y, p, sample_weight=weight)
    assert ours(y, p, weight) == close(float(theirs.result()))


def test_metrics_of_extreme_predictions(keras):
    """Predictions exactly 0, 1 and on thresholds."""
    p = np.concatenate([[0.0, 1.0, 0.5, 0.5, 0.0, 1.0], np.arange(200) / 199])[:, None]
    y = np.random.default_rng(0).integers(0, 2, p.shape) * 1.0
    for name in ("AUC", "Precision", "Recall", "BinaryAccuracy"):
        ours, theirs = (getattr(library.metrics, name)() for library in (fnn, keras))
        assert ours(y, p) == near(float(theirs(y, p))), name


# ------------------------------------------------------------------------------------------- initializers

RANDOM = ["RandomNormal", "RandomUniform", "TruncatedNormal", "GlorotUniform", "GlorotNormal", "HeUniform",
          "HeNormal", "LecunUniform", "LecunNormal"]
SHAPES = [(120, 25), (25, 120), (1500,), (3, 3, 8, 30), (5, 12, 40), (2, 3, 2, 5, 40)]


@pytest.mark.parametrize("shape", [(), *SHAPES], ids=str)
def test_fans(keras, shape):
    from keras.src.initializers.random_initializers import compute_fans

    assert fnn.initializers.compute_fans(shape) == compute_fans(shape)


def same_distribution(ours, theirs, bounded):
    from scipy.stats import ks_2samp

    assert ours.shape == theirs.shape
    assert ks_2samp(ours.ravel(), theirs.ravel()).pvalue > 1e-3  # seeds are fixed
    if bounded:
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.02)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", RANDOM)
def test_random_initializer(keras, name, shape):
    """The same distribution (Kolmogorov and Smirnov's test) with the same limits."""
    ours = getattr(fnn.initializers, name)(seed=1)(shape, "float64")
    theirs = keras.ops.convert_to_numpy(getattr(keras.initializers, name)(seed=1)(shape))
    same_distribution(ours, theirs, bounded=name != "RandomNormal")


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
def test_variance_scaling(keras, mode, distribution):
    shape = (3, 3, 8, 30)
    ours = fnn.initializers.VarianceScaling(0.7, mode, distribution, seed=1)(shape, "float64")
    theirs = keras.initializers.VarianceScaling(0.7, mode, distribution, seed=1)(shape)
    same_distribution(ours, keras.ops.convert_to_numpy(theirs), bounded=distribution != "untruncated_normal")


@pytest.mark.parametrize("name", ["Zeros", "Ones", "Constant", "Orthogonal", "VarianceScaling", *RANDOM])
def test_initializer_defaults(keras, name):
    ours, theirs = (getattr(library.initializers, name)().get_config() for library in (fnn, keras))
    assert {argument: theirs[argument] for argument in ours if argument not in ("name", "seed")} == {
        argument: value for argument, value in ours.items() if argument not in ("name", "seed")}


@pytest.mark.parametrize(("name", "arguments"), [
    ("Zeros", {}), ("Ones", {}), ("Constant", {"value": 0.3}), ("Identity", {"gain": 2.0})])
def test_fixed_initializer(keras, name, arguments):
    ours, theirs = (getattr(library.initializers, name)(**arguments) for library in (fnn, keras))
    assert np.array_equal(ours((4, 6), "float64"), keras.ops.convert_to_numpy(theirs((4, 6))))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 3, 2, 5), (2, 2, 30)])
def test_orthogonal(keras, shape):
    """Columns, or rows where there are fewer of them, are orthogonal and of length `gain`."""
    for made in (fnn.initializers.Orthogonal(1.5, seed=1)(shape, "float64"),
                 keras.ops.convert_to_numpy(keras.initializers.Orthogonal(1.5, seed=1)(shape))):
        assert made.shape == shape
        matrix = made.reshape(-1, shape[-1])
        gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        assert gram == pytest.approx(1.5**2 * np.eye(len(gram)), abs=1e-12)
