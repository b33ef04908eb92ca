"""Every loss, every metric and every initializer of fastnn beside Keras', over runs of 200 steps in float64."""

import numpy as np
import pytest
from test_oracle_keras import (  # noqa: F401
    LAST,
    METRICS,
    RANDOM,
    compile_both,
    dense,
    fit_both,
    keras,
    pair,
    pytestmark,
    same_logs,
    same_weights,
    samples,
    targets,
)

import fastnn as fnn

WATCHED = {"sparse": ["accuracy"], "onehot": ["categorical_accuracy", "mse"],
           "bits": ["binary_accuracy", "mae"], "real": ["mse", "mae"]}


@pytest.mark.parametrize(("loss", "arguments", "last", "kind", "columns"), LAST.values(), ids=LAST.keys())
def test_200_steps_of_every_loss(keras, loss, arguments, last, kind, columns):  # noqa: F811
    """50 epochs of 4 batches of 16, the last of them of 10 rows, with metrics."""
    ours, theirs = pair(keras, (6,), [dense(7, "tanh"), dense(columns, last[0])])
    compile_both(keras, ours, theirs, ("SGD", {"momentum": 0.5}), (loss, arguments), WATCHED[kind])
    logs = fit_both(ours, theirs, samples(58), targets(kind, 58, columns), epochs=50)
    assert theirs.optimizer.iterations == 200
    same_weights(ours, theirs)
    same_logs(*logs)


def test_nothing_is_left_out():
    """A loss, metric or initializer that is added must be compared too."""
    assert {row[0] for row in LAST.values()} == {cls.__name__ for cls in fnn.losses._CLASSES}
    metrics = {cls.__name__ for cls in fnn.metrics._CLASSES}
    assert {row[2] for row in METRICS.values()} | {"Accuracy"} == metrics
    fixed = {"Zeros", "Ones", "Constant", "Identity", "Orthogonal", "VarianceScaling"}
    assert set(RANDOM) | fixed == {cls.__name__ for cls in fnn.initializers._CLASSES}


@pytest.mark.parametrize("name", ["uniform", "normal", "zero", "one", "glorot_uniform", "HeNormal", "orthogonal"])
def test_names_of_initializers(keras, name):  # noqa: F811
    ours, theirs = fnn.initializers.get(name), keras.initializers.get(name)
    assert type(ours).__name__ == type(theirs).__name__


@pytest.mark.parametrize("name", RANDOM)
def test_moments_of_initializers(keras, name):  # noqa: F811
    """Of a large dense kernel: mean, deviation, and the fourth moment over the square of the second."""
    ours = getattr(fnn.initializers, name)(seed=3)((700, 300), "float64")
    theirs = keras.ops.convert_to_numpy(getattr(keras.initializers, name)(seed=3)((700, 300)))
    deviation = theirs.std()
    assert abs(ours.mean() - theirs.mean()) < 0.02 * deviation
    assert ours.std() == pytest.approx(deviation, rel=0.01)
    assert np.mean((ours / ours.std()) ** 4) == pytest.approx(np.mean((theirs / deviation) ** 4), rel=0.03)
