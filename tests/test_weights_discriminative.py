"""Learning rates by depth, and layers that are frozen."""

import subprocess
import sys

import numpy as np
import pytest

import fastnn as fnn
from fastnn.layers import Dense, Dropout, Residual
from fastnn.weights import discriminative


def network():
    return fnn.Sequential([fnn.Input((4,)), Dense(6, activation="relu"), Dropout(0.1),
                           Residual(Dense(6, activation="tanh")), Dense(3)], seed=0, dtype="float64")


def test_multipliers_by_depth():
    model = network()
    assert discriminative(model) == pytest.approx({"dense": 2.6**-2, "residual": 1 / 2.6, "dense_1": 1.0})
    assert [layer.learning_rate_multiplier for layer in model.layers] == pytest.approx([2.6**-2, 1, 1 / 2.6, 1])
    assert set(discriminative(model, 1).values()) == {1.0}


def test_vectors_go_with_the_kernel_before_them():
    class Scale(fnn.layers.PythonLayer):
        def add_weights(self, input_shape):
            return {"scale": (input_shape, "ones")}

    model = fnn.Sequential([fnn.Input((4,)), Dense(6), Scale(), Dense(3)])
    assert discriminative(model, 2) == {"dense": 0.5, "scale": 0.5, "dense_1": 1.0}


def test_a_step_of_sgd_is_so_much_shorter():
    x, y = np.ones((8, 4)), np.ones((8, 3))
    steps = []
    for factor in (1, 4):
        model = network()
        model.compile(fnn.optimizers.SGD(0.01), "mse")
        discriminative(model, factor)
        before = model.get_weights()
        model.train_on_batch(x, y)
        steps.append([after - old for after, old in zip(model.get_weights(), before, strict=True)])
    for same, slow, share in zip(*steps, [1 / 16, 1 / 16, 1 / 4, 1 / 4, 1, 1], strict=True):
        np.testing.assert_allclose(slow, same * share, rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize(("factor", "error"), [(0, ValueError), (-1, ValueError), ("a", TypeError),
                                               (float("nan"), ValueError)])
def test_refused(factor, error):
    model = network()
    with pytest.raises(error, match="factor must be"):
        discriminative(model, factor)
    assert {layer.learning_rate_multiplier for layer in model.layers} == {1.0}


def test_not_built():
    with pytest.raises(ValueError, match="no weights before it is built"):
        discriminative(fnn.Sequential([Dense(3)]))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_frozen_layer_has_no_optimizer_state_in_memory():
    """64 MiB of parameters; two blocks of Adam's state would be 128 more."""
    script = """
import numpy as np, fastnn as fnn
def resident():
    with open("/proc/self/smaps_rollup") as file:
        return int(next(line for line in file if line.startswith("Rss")).split()[1]) / 1024
x = np.ones((16, 4096), np.float32)
model = fnn.Sequential([fnn.Input((4096,)), fnn.layers.Dense(4096, activation="relu", trainable=False),
                        fnn.layers.Dense(2, activation="softmax")], seed=0)
model.compile("adam", "sparse_categorical_crossentropy")
model.evaluate(x, np.zeros(16))
before = resident()
model.train_on_batch(x, np.zeros(16))
print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 32
