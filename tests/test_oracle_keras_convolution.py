"""Convolution and pooling beside Keras 3 (on torch, in float64, as tests/test_oracle_keras.py has it) and torch."""

import numpy as np
import pytest
from test_oracle_keras import MISSING, RATE, compile_both, keras, near, pair, same_weights  # noqa: F401

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.filterwarnings("default"),
]


def layer(name, *arguments, **keywords):
    return name, arguments, keywords


HEAD = [layer("Flatten"), layer("Dense", 3, activation="softmax")]
STACKS = {
    "valid": ((8, 7, 2), [layer("Conv2D", 4, 3, activation="tanh"), layer("MaxPooling2D"), *HEAD]),
    "same": ((8, 7, 2), [layer("Conv2D", 4, (2, 3), padding="same", activation="relu"), layer("AveragePooling2D", 2),
                         *HEAD]),
    "strides": ((9, 8, 2), [layer("Conv2D", 3, (3, 2), (2, 3), use_bias=False), layer("Activation", "gelu"), *HEAD]),
    "strides same": ((9, 8, 1), [layer("Conv2D", 3, 4, 3, "same"), layer("Conv2D", 5, 2, 2, "SAME", activation="elu"),
                                 *HEAD]),
    "pools same": ((7, 8, 2), [layer("MaxPooling2D", 3, 2, "same"), layer("Conv2D", 3, 1),
                               layer("AveragePooling2D", (2, 3), padding="same"), *HEAD]),
    "pools overlapping": ((9, 9, 1), [layer("Conv2D", 3, 2), layer("MaxPooling2D", (3, 2), 1),
                                      layer("AveragePooling2D", 3, strides=(2, 1)), *HEAD]),
    "global": ((6, 5, 2), [layer("Conv2D", 4, 3, activation="silu"), layer("GlobalAveragePooling2D"),
                           layer("Dense", 3, activation="softmax")]),
    "global max": ((6, 5, 2), [layer("Conv2D", 4, 3), layer("GlobalMaxPooling2D", keepdims=True), *HEAD]),
    "softmax over filters": ((5, 5, 2), [layer("Conv2D", 4, 2, activation="softmax"), layer("Conv2D", 3, 2),
                                         layer("Activation", "softmax"), *HEAD]),
    "1D": ((11, 2), [layer("Conv1D", 4, 3, activation="tanh"), layer("MaxPooling1D"), layer("Conv1D", 3, 2, 2, "same"),
                     layer("GlobalAveragePooling1D"), layer("Dense", 3, activation="softmax")]),
    "1D causal": ((11, 2), [layer("Conv1D", 4, 4, padding="causal", activation="tanh"),
                            layer("AveragePooling1D", 3, 2, "same"),
                            layer("Conv1D", 3, 3, 2, "causal"), layer("GlobalMaxPooling1D"),
                            layer("Dense", 3, activation="softmax")]),
    "1D pools": ((10, 2), [layer("AveragePooling1D", 2), layer("Conv1D", 3, 1), layer("MaxPooling1D", 2, 1, "same"),
                           *HEAD]),
    "batch normalization": ((8, 7, 2), [layer("Conv2D", 4, 3, use_bias=False), layer("BatchNormalization"),
                                        layer("Activation", "relu"), layer("MaxPooling2D"), *HEAD]),
    "reshape": ((12,), [layer("Reshape", (2, -1, 2)), layer("Conv2D", 3, 2, activation="tanh"), layer("Reshape", (-1,)),
                        layer("Dense", 3, activation="softmax")]),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_200_steps_are_those_of_keras(keras, name):  # noqa: F811
    shape, stack = STACKS[name]
    ours, theirs = pair(keras, shape, stack)
    compile_both(keras, ours, theirs, optimizer=("SGD", {"momentum": 0.5}), loss=("SparseCategoricalCrossentropy", {}))
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(16, *shape)), rng.integers(0, 3, 16)
    assert ours.output_shape == theirs.output_shape[1:]
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), rtol=1e-9, atol=1e-12)
    for _ in range(200):
        assert ours.train_on_batch(x, y) == near(float(theirs.train_on_batch(x, y)))
    same_weights(ours, theirs)


@pytest.mark.parametrize(("padding", "strides"), [("valid", 1), ("valid", 2), ("same", 1)])
def test_kernels_are_those_of_torch(padding, strides):
    torch = pytest.importorskip("torch")
    from fastnn import kernels

    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.standard_normal(s) for s in ((3, 9, 8, 5), (3, 3, 5, 7), (7,)))
    their_x, their_kernel, their_bias = (torch.tensor(a, requires_grad=True) for a in (
        x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1), bias))
    y = kernels.conv2d_forward(x, kernel, bias, strides=strides, padding=padding)
    their_y = torch.nn.functional.conv2d(their_x, their_kernel, their_bias, stride=strides, padding=padding)
    np.testing.assert_allclose(y, their_y.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-12, atol=1e-12)
    dy = rng.standard_normal(y.shape)
    their_y.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    dx, dkernel, dbias = kernels.conv2d_backward(dy, x, kernel, strides=strides, padding=padding)
    np.testing.assert_allclose(dx, their_x.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(dkernel, their_kernel.grad.numpy().transpose(2, 3, 1, 0), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(dbias, their_bias.grad.numpy(), rtol=1e-11, atol=1e-11)


def test_ties_go_where_torch_puts_them():
    torch = pytest.importorskip("torch")
    from fastnn import kernels

    x = np.random.default_rng(0).integers(0, 3, (4, 9, 8, 5)).astype(float)
    their_x = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y = kernels.max_pooling2d_forward(x, 3, 2)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    torch.nn.functional.max_pool2d(their_x, 3, 2).backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    got = kernels.max_pooling2d_backward(dy, x, y, 3, 2)
    np.testing.assert_allclose(got, their_x.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-14, atol=1e-14)
