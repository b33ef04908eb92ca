"""Schedules beside Keras' and torch's, and training that follows them, in float64."""

import warnings

import numpy as np
import pytest
from test_oracle_keras import TOLERANCE, dense, keras, pair, pytestmark, same_logs, same_weights  # noqa: F401

import fastnn as fnn

STEPS = np.arange(240)

CASES = [
    ("ExponentialDecay", (0.1, 30, 0.9), {}),
    ("ExponentialDecay", (0.1, 30, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 30, 0.5), {}),
    ("InverseTimeDecay", (0.1, 30, 0.5), {"staircase": True}),
    ("PolynomialDecay", (0.1, 100), {}),
    ("PolynomialDecay", (0.1, 100, 0.01), {"power": 0.5}),
    ("PolynomialDecay", (0.001, 100, 0.01), {"power": 2.0}),
    ("PolynomialDecay", (0.1, 30), {"cycle": True, "power": 3.0}),
    ("PiecewiseConstantDecay", ([50, 120, 121], [0.3, 0.2, 0.15, 0.1]), {}),
    ("CosineDecay", (0.1, 100), {}),
    ("CosineDecay", (0.1, 100, 0.05), {}),
    ("CosineDecay", (0.1, 100), {"warmup_steps": 20}),
    ("CosineDecay", (0.01, 100, 0.1), {"warmup_target": 0.2, "warmup_steps": 30}),
    ("CosineDecay", (0.01, 100), {"warmup_target": 0.2}),
    ("CosineDecayRestarts", (0.1, 16), {}),
    ("CosineDecayRestarts", (0.1, 16), {"t_mul": 1.0, "m_mul": 0.7}),
    ("CosineDecayRestarts", (0.1, 11), {"t_mul": 1.7, "m_mul": 1.1, "alpha": 0.05}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), CASES)
def test_rates(keras, name, arguments, options):  # noqa: F811
    ours = getattr(fnn.schedules, name)(*arguments, **options)
    theirs = getattr(keras.optimizers.schedules, name)(*arguments, **options)
    wanted = np.array([float(theirs(keras.ops.convert_to_tensor(float(step), dtype="float64"))) for step in STEPS])
    np.testing.assert_allclose(ours(STEPS), wanted, rtol=TOLERANCE, atol=1e-15)


@pytest.mark.parametrize(("name", "arguments", "options"), CASES)
def test_configurations_of_keras_are_understood(keras, name, arguments, options):  # noqa: F811
    theirs = keras.optimizers.schedules.serialize(getattr(keras.optimizers.schedules, name)(*arguments, **options))
    ours = getattr(fnn.schedules, name)(*arguments, **options)
    assert fnn.schedules.get(theirs).get_config() == ours.get_config()


@pytest.mark.parametrize(("name", "arguments", "options"), [CASES[0], CASES[7], CASES[8], CASES[12], CASES[15]])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "Nadam"])
def test_trajectories(keras, optimizer, name, arguments, options):  # noqa: F811
    """200 steps in 10 epochs."""
    ours, theirs = pair(keras, (4,), [dense(6, "tanh"), dense(2)])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 4)), rng.normal(size=(80, 2))
    logs = []
    for library, schedules, model in ((fnn, fnn.schedules, ours), (keras, keras.optimizers.schedules, theirs)):
        schedule = getattr(schedules, name)(*arguments, **options)
        model.compile(getattr(library.optimizers, optimizer)(learning_rate=schedule), "mse")
        logs.append(model.fit(x, y, batch_size=4, epochs=10, shuffle=False, verbose=0).history)
    same_logs(*logs)
    same_weights(ours, theirs)


def test_a_schedule_counts_batches_where_gradients_accumulate(keras):  # noqa: F811
    ours, theirs = pair(keras, (4,), [dense(6, "tanh"), dense(2)])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 4)), rng.normal(size=(80, 2))
    for library, schedules, model in ((fnn, fnn.schedules, ours), (keras, keras.optimizers.schedules, theirs)):
        optimizer = library.optimizers.SGD(schedules.CosineDecay(0.1, 30), momentum=0.9, gradient_accumulation_steps=4)
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    same_weights(ours, theirs)


def test_a_number_does_not_replace_a_schedule(keras):  # noqa: F811
    for library, schedules in ((fnn, fnn.schedules), (keras, keras.optimizers.schedules)):
        optimizer = library.optimizers.SGD(schedules.ExponentialDecay(0.1, 10, 0.9))
        with pytest.raises(TypeError, match="learning rate"):
            optimizer.learning_rate = 0.1


@pytest.mark.parametrize("options", [{}, {"anneal_strategy": "linear"}, {"pct_start": 0.45, "div_factor": 10.0},
                                     {"three_phase": True, "final_div_factor": 100.0},
                                     {"three_phase": True, "anneal_strategy": "linear", "pct_start": 0.25}])
def test_one_cycle_is_as_in_torch(options):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=100, cycle_momentum=False, **options)
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(100):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
    ours = fnn.schedules.OneCycle(0.3, total_steps=100, **options)(np.arange(100))
    np.testing.assert_allclose(ours, rates, rtol=TOLERANCE, atol=1e-15)
