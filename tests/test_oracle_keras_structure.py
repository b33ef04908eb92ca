"""Branches, tables and tied kernels beside Keras' functional models: float64, 200 steps, 1e-9.

Keras on torch is made to keep float64, as `test_oracle_keras.py` explains. Its layers stand in another order, so that
weights are paired layer by layer.
"""

import importlib.util
import os
import warnings

import numpy as np
import pytest

import fastnn as fnn
from fastnn.layers import BatchNormalization, Columns, Concatenate, Dense, Embedding, Flatten, Residual

MISSING = [name for name in ("keras", "torch") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.filterwarnings("default"),  # Keras' and torch's warnings are not ours
]

TOLERANCE = 1e-9
RATE = 2.0**-8  # Keras may keep it in float32
OPTIMIZERS = {"SGD": {"momentum": 0.875}, "Adam": {}, "RMSprop": {"global_clipnorm": 0.5},
              "AdamW": {"weight_decay": 0.0625}, "Adagrad": {"clipnorm": 0.25}}


@pytest.fixture(scope="module")
def keras():
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
    torch.set_num_threads(1)
    yield module
    module.config.set_floatx(floatx)
    module.config.set_dtype_policy(floatx)
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = promoted
    torch.set_num_threads(threads)


def residual(keras):
    ours = [Dense(8, activation="tanh"), Residual([Dense(12, activation="relu"), Dense(8)]),
            Residual(Dense(5, activation="gelu"), shortcut=Dense(5)), Dense(2)]
    layer, add = keras.layers.Dense, keras.layers.add
    x = keras.Input((6,))
    theirs = [layer(8, activation="tanh"), layer(12, activation="relu"), layer(8), layer(5, activation="gelu"),
              layer(5), layer(2)]
    y = theirs[0](x)
    y = add([y, theirs[2](theirs[1](y))])
    y = add([theirs[3](y), theirs[4](y)])
    return (6,), ours, theirs, keras.Model(x, theirs[5](y))


def table(keras):
    ours = [Concatenate([[Columns(range(3)), Dense(4, activation="relu")],
                         [Columns([3, 5]), Embedding(7, 3), Flatten()],
                         [Columns(4), Embedding(5, 2), Flatten()], Columns([1, 0])]),
            Dense(9, activation="silu"), Dense(2)]
    k = keras.layers
    x = keras.Input((6,))
    theirs = [k.Dense(4, activation="relu"), k.Embedding(7, 3), k.Embedding(5, 2), k.Dense(9, activation="silu"),
              k.Dense(2)]
    parts = [theirs[0](x[:, :3]), k.Flatten()(theirs[1](k.Concatenate()([x[:, 3:4], x[:, 5:6]]))),
             k.Flatten()(theirs[2](x[:, 4:5])), x[:, 1:2], x[:, 0:1]]
    return (6,), ours, theirs, keras.Model(x, theirs[4](theirs[3](k.Concatenate()(parts))))


def normalized(keras):
    ours = [Concatenate([[Columns(range(4)), BatchNormalization()], [Columns([4, 5]), Dense(3, activation="tanh")]]),
            Residual([BatchNormalization(), Dense(7, activation="relu")]), Dense(2)]
    k = keras.layers
    x = keras.Input((6,))
    theirs = [k.BatchNormalization(), k.Dense(3, activation="tanh"), k.BatchNormalization(),
              k.Dense(7, activation="relu"), k.Dense(2)]
    y = k.Concatenate()([theirs[0](x[:, :4]), theirs[1](x[:, 4:6])])
    return (6,), ours, theirs, keras.Model(x, theirs[4](k.add([y, theirs[3](theirs[2](y))])))


def tied(keras):
    class Transposed(keras.layers.Layer):
        def __init__(self, owner, activation):
            super().__init__()
            self.owner, self.activation = owner, keras.activations.get(activation)

        def build(self, input_shape):
            self.bias = self.add_weight(shape=(self.owner.kernel.shape[0],), initializer="zeros")

        def call(self, x):
            return self.activation(keras.ops.matmul(x, keras.ops.transpose(self.owner.kernel)) + self.bias)

        def get_weights(self):
            return [keras.ops.convert_to_numpy(self.bias)]

        def set_weights(self, weights):
            self.bias.assign(weights[0])

    first, second = Dense(5, activation="gelu", name="first"), Dense(3, activation="tanh")
    ours = [first, second, Dense(5, tied_to=second, activation="relu"), Dense(6, tied_to="first"), Dense(2)]
    one, two, last = (keras.layers.Dense(5, activation="gelu"), keras.layers.Dense(3, activation="tanh"),
                      keras.layers.Dense(2))
    x = keras.Input((6,))
    y = two(one(x))
    three, four = Transposed(two, "relu"), Transposed(one, None)
    return (6,), ours, [one, two, three, four, last], keras.Model(x, last(four(three(y))))


def same(a, b):
    assert a.dtype == np.float64
    assert np.linalg.norm(a - b) <= TOLERANCE * np.linalg.norm(b)
    large = np.abs(b) > 1e-3 * np.abs(b).max()
    assert np.max(np.abs(a - b)[large] / np.abs(b)[large]) <= TOLERANCE


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [residual, table, normalized, tied])
def test_200_steps(keras, make, optimizer):
    shape, layers, theirs, model = make(keras)
    ours = fnn.Sequential(layers, dtype="float64", seed=0)
    ours.build(shape)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(320, 6)), rng.normal(size=(320, 2))
    if make is table:
        x[:, 3:] = rng.integers(0, 5, (320, 3))
        x[:4, 3] = [5, 6, 6, 5]
    weights = [[np.abs(rng.normal(size=w.shape)) + 0.5 if len(layer.weights) == 4 else rng.normal(size=w.shape)
                / np.sqrt(w.shape[0]) for w in layer.get_weights()] for layer in theirs]
    for layer, values in zip(theirs, weights, strict=True):
        layer.set_weights(values)
    ours.set_weights([w for values in weights for w in values])
    options = OPTIMIZERS[optimizer]
    model.compile(getattr(keras.optimizers, optimizer)(learning_rate=RATE, **options), "mse")
    ours.compile(getattr(fnn.optimizers, optimizer)(learning_rate=RATE, **options), "mse")
    same(ours.predict(x), model.predict(x, verbose=0))
    fit = {"batch_size": 16, "epochs": 10, "shuffle": False, "verbose": 0}
    a, b = ours.fit(x, y, **fit).history["loss"], model.fit(x, y, **fit).history["loss"]
    assert a == pytest.approx(b, rel=TOLERANCE)
    for mine, other in zip(ours.get_weights(), [w for layer in theirs for w in layer.get_weights()], strict=True):
        same(mine, other)
    assert ours.count_params() == model.count_params()
