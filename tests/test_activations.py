"""Activations: values, names, configurations and what they refuse."""

import math

import numpy as np
import pytest
from scipy import special

from fastnn import activations
from fastnn.activations import ELU, GELU, Activation, AllReLU, LeakyReLU

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# name -> the function in NumPy and SciPy
FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * special.expit(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "all_relu": lambda x: np.where(x > 0, x, -0.6 * x),
    "sigmoid": special.expit,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(0, x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
    "softmax": lambda x: special.softmax(x, axis=-1),
    "log_softmax": lambda x: special.log_softmax(x, axis=-1),
}
PLAIN = [name for name in FORMULAS if name != "gelu_tanh"]


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-14)])
def test_values(name, dtype, tolerance):
    x = np.linspace(-9, 9, 7 * 23).reshape(7, 23).astype(dtype)
    y = activations.get(name)(x)
    assert y.dtype == x.dtype
    wanted = FORMULAS[name](x.astype("float64"))
    np.testing.assert_allclose(y, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("tanh", ()), *[(name, shape) for name in ("tanh", "softmax") for shape in ((5,), (0, 4), (2, 3, 4))]],
)
def test_any_shape(name, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    y = activations.get(name)(x)
    assert y.shape == shape
    np.testing.assert_allclose(y, FORMULAS[name](x) if x.size else x, rtol=1e-13)


def test_input_is_left_alone_whatever_its_layout():
    x = np.random.default_rng(0).standard_normal((6, 8))
    kept = x.copy()
    for view in (x.T, x[::2, ::3], x[:, 1:4]):
        np.testing.assert_array_equal(activations.relu(view), np.maximum(view, 0))
    assert np.array_equal(x, kept)


@pytest.mark.parametrize("x", [[-1, 0, 2], np.array([-1, 0, 2]), np.array([-1, 0, 2], "float16")])
def test_other_input_becomes_float32(x):
    y = activations.relu(x)
    assert y.dtype == np.float32
    assert y.tolist() == [0, 0, 2]


def test_parameters():
    x = np.array([-2.0, 3.0])
    np.testing.assert_allclose(LeakyReLU(0.5)(x), [-1, 3])
    np.testing.assert_allclose(ELU(alpha=2.0)(x), [2 * math.expm1(-2), 3])
    np.testing.assert_allclose(GELU(approximate=True)(x), FORMULAS["gelu_tanh"](x), rtol=1e-13)


@pytest.mark.parametrize("name", FORMULAS)
def test_names_classes_and_instances(name):
    activation = activations.get(name)
    assert activation.name == name
    assert activations.get(activation) is activation
    if name != "gelu_tanh":
        assert activations.get(type(activation)).get_config() == activation.get_config()
        assert activations.get(getattr(activations, name)) is getattr(activations, name)
        assert getattr(activations, name).get_config() == activation.get_config()


def test_other_names():
    assert activations.get(None) is activations.linear
    assert activations.get("swish").name == "silu"
    assert activations.swish is activations.silu
    assert activations.get("gelu_tanh").approximate


def test_which_derivatives_come_from_what():
    needs_input = {name for name in FORMULAS if activations.get(name).needs_input}
    assert needs_input == {"gelu", "gelu_tanh", "silu", "mish", "all_relu"}
    assert {name for name in FORMULAS if activations.get(name).rowwise} == {"softmax", "log_softmax"}
    assert len({activations.get(name).kind for name in FORMULAS}) == len(FORMULAS)


@pytest.mark.parametrize(
    "activation",
    [*[getattr(activations, name) for name in PLAIN], LeakyReLU(0.01), ELU(0.5), GELU(approximate=True),
     AllReLU(0.5, layer=3)],
    ids=repr,
)
def test_config_round_trip(activation):
    config = activations.serialize(activation)
    again = activations.deserialize(config)
    assert type(again) is type(activation)
    assert (again.name, again.kind, again.alpha) == (activation.name, activation.kind, activation.alpha)
    assert again.get_config() == config


def test_slopes_of_all_relu_alternate():
    x = np.array([-2.0, 0.0, 3.0])
    slopes = [AllReLU(0.75, layer).alpha for layer in range(4)]
    assert slopes == [-0.75, 0.75, -0.75, 0.75]
    assert AllReLU(0.75)(x).tolist() == [1.5, 0, 3]
    assert AllReLU(0.75, layer=1)(x).tolist() == [-1.5, 0, 3]
    with pytest.raises(ValueError, match=r"layer must be .*received -1"):
        AllReLU(layer=-1)
    with pytest.raises(ValueError, match=r"negative_slope must be in \[0, inf\)"):
        AllReLU(-0.6)


def test_config_of_parameters():
    assert LeakyReLU(0.1).get_config() == {"name": "leaky_relu", "negative_slope": 0.1}
    assert ELU(0.1).get_config() == {"name": "elu", "alpha": 0.1}
    assert activations.relu.get_config() == {"name": "relu"}


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_values_refused(value):
    with pytest.raises(ValueError, match=r"negative_slope must be in \[0, inf\)"):
        LeakyReLU(value)
    with pytest.raises(ValueError, match=r"alpha must be in \[0, inf\)"):
        ELU(value)


def test_types_refused():
    with pytest.raises(TypeError, match="negative_slope must be a number"):
        LeakyReLU("0.1")
    with pytest.raises(TypeError, match="approximate must be True or False; received 'tanh'"):
        GELU("tanh")


@pytest.mark.parametrize(("name", "close"), [("rellu", "relu"), ("reul", "relu"), ("sigmoyd", "sigmoid")])
def test_unknown_name_suggests_the_close_one(name, close):
    with pytest.raises(ValueError, match=rf"unknown activation '{name}'. Did you mean '{close}'\?"):
        activations.get(name)


@pytest.mark.parametrize("identifier", [3, np.tanh, {}, {"alpha": 1.0}, int, Activation])
def test_other_things_refused(identifier):
    with pytest.raises(TypeError, match="activation must be a name"):
        activations.get(identifier)
