"""The script behind the table of what initializers do to the variance in deep stacks."""

import runpy
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "make_variance_table.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="no documentation beside the tests")


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize(("activation", "initializer", "each"), [
    ("relu", "he_normal", 1.0), ("relu", "glorot_uniform", 0.5), ("relu", "orthogonal", 0.5),
    ("relu", "orthogonal, gain 2 ** 0.5", 1.0), ("selu", "lecun_normal", 1.0),
    ("relu", "random_normal, stddev 0.1", 64 * 0.1**2 / 2)])
def test_factor_of_a_layer(script, activation, initializer, each):
    """He's theory: the variance of a signal is multiplied by fan_in * var(w) / 2 in each layer with ReLU."""
    forward, backward = script["profile"](activation, initializer, width=64, depth=12, seeds=6)
    assert forward[0] == backward[0] == 1
    assert forward[-1] ** (1 / 11) == pytest.approx(each, rel=0.1)
    assert backward[-1] ** (1 / 11) == pytest.approx(each, rel=0.12)


def test_sigmoids_lose_gradients(script):
    _, backward = script["profile"]("sigmoid", "glorot_uniform", width=64, depth=6, seeds=2)
    assert np.all(backward[1:] < 0.1 * backward[:-1])


def test_the_page_has_a_row_for_each(script):
    text = (SCRIPT.parent / "initializers.md").read_text(encoding="utf-8")
    rows = text.split(script["BEGIN"])[1].split(script["END"])[0]
    for activation in script["ACTIVATIONS"]:
        for initializer in script["INITIALIZERS"]:
            assert f"\n| {activation} | {initializer} | " in rows
