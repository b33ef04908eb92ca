"""Learning-rate schedules: their values, what they refuse, and that training and files follow them."""

import json
import math
import pickle

import numpy as np
import pytest

import fastnn as fnn
from fastnn import optimizers, schedules
from fastnn.reference_training import ReferenceMLP
from fastnn.schedules import (
    Constant,
    CosineDecay,
    CosineDecayRestarts,
    CosLog4,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
    Sequential,
    WarmUp,
)

CASES = [
    Constant(0.1),
    ExponentialDecay(0.1, 10, 0.9),
    ExponentialDecay(0.1, 7, 0.5, staircase=True),
    InverseTimeDecay(0.1, 10, 0.5),
    InverseTimeDecay(0.1, 10, 0.5, staircase=True),
    PolynomialDecay(0.1, 20, 0.01, power=2.0),
    PolynomialDecay(0.0, 20, 0.1),
    PolynomialDecay(0.1, 20, cycle=True),
    PiecewiseConstantDecay([10, 20], [0.3, 0.2, 0.1]),
    CosineDecay(0.1, 20, alpha=0.1),
    CosineDecay(0.01, 20, warmup_target=0.2, warmup_steps=5),
    CosineDecayRestarts(0.1, 10, t_mul=1.0, m_mul=0.9),
    CosineDecayRestarts(0.1, 10, t_mul=1.5, alpha=0.01),
    WarmUp(ExponentialDecay(0.1, 10, 0.9), 10, 0.01),
    OneCycle(0.1, 50),
    OneCycle(0.1, 50, three_phase=True, anneal_strategy="linear"),
    CosLog4(0.04, 50),
    Sequential([0.1, CosineDecay(0.1, 20), WarmUp(0.2, 5)], [10, 40]),
]
NAMES = [f"{case.name}-{i}" for i, case in enumerate(CASES)]
each = pytest.mark.parametrize("schedule", CASES, ids=NAMES)


class Halving(LearningRateSchedule):
    """Made for one step at a time, as Keras calls it."""

    def __init__(self, start, period=3):
        self.start, self.period = start, period

    def __call__(self, step):
        if step < self.period:
            return self.start
        return self.start * math.pow(0.5, step // self.period)


class Broadcast(LearningRateSchedule):
    def __init__(self, value=0.5):
        self.value = value

    def __call__(self, step):
        return self.value


@each
def test_arrays_are_as_single_steps(schedule):
    steps = np.arange(120)
    rates = schedule(steps)
    assert rates.dtype == np.float64 and rates.shape == steps.shape
    one = [schedule(int(step)) for step in steps]
    assert all(type(rate) is float for rate in one)
    np.testing.assert_array_equal(rates, one)
    np.testing.assert_array_equal(schedule(steps.reshape(2, 60)), rates.reshape(2, 60))
    np.testing.assert_array_equal(schedule(steps.astype(np.float32)), rates)
    assert schedule([]).shape == (0,)
    assert np.isfinite(rates).all() and (rates >= 0).all()
    assert np.isfinite(schedule(2**52))


@each
def test_configurations_make_equal_schedules(schedule):
    config = schedule.get_config()
    assert json.loads(json.dumps(config)) == config == schedules.serialize(schedule)
    for again in (schedules.get(config), schedules.deserialize(config), pickle.loads(pickle.dumps(schedule)),
                  schedules.get({"class_name": type(schedule).__name__, "config": config | {"name": None}})):
        assert type(again) is type(schedule) and repr(again) == repr(schedule)
        np.testing.assert_array_equal(again(np.arange(100)), schedule(np.arange(100)))
    assert eval(repr(schedule), vars(schedules)).get_config() == config
    assert schedules.get(schedule) is schedule


@each
@pytest.mark.parametrize("step", [-1, [3, -2], -0.5, math.nan, math.inf, [0, math.inf]])
def test_negative_steps_are_refused(schedule, step):
    with pytest.raises(ValueError, match="step must be finite and at least 0; received"):
        schedule(step)


@pytest.mark.parametrize("step", ["3", None, True, [None]])
def test_what_is_no_step_is_refused(step):
    with pytest.raises(TypeError, match="step must be a number or an array of numbers"):
        CASES[0](step)


ENDS = [
    (PolynomialDecay(0.1, 20, 0.01), 20, 0.01),
    (PiecewiseConstantDecay([10, 20], [0.3, 0.2, 0.1]), 21, 0.1),
    (CosineDecay(0.1, 20, alpha=0.1), 20, 0.01),
    (CosineDecay(0.0, 20, warmup_target=0.2, warmup_steps=5), 25, 0.0),
    (OneCycle(0.1, 50), 49, 0.1 / 25 / 1e4),
    (CosLog4(0.04, 50), 50, 0.0),
    (WarmUp(0.3, 10), 10, 0.3),
    (Sequential([0.1, PolynomialDecay(0.2, 10, 0.05)], [30]), 40, 0.05),
]


@pytest.mark.parametrize(("schedule", "end", "rate"), ENDS, ids=[case[0].name for case in ENDS])
def test_beyond_its_end_a_schedule_stays(schedule, end, rate):
    np.testing.assert_allclose(schedule([end, end + 1, end + 1000, 10**9]), rate, rtol=1e-12, atol=1e-17)


def test_restarts_begin_where_they_should():
    """floor(log(grown) / log(t_mul)) alone misses some of them by one step."""
    for t_mul in (1.0, 1.25, 1.5, 2.0, 3.0):
        schedule, start, length = CosineDecayRestarts(1.0, 64, t_mul=t_mul), 0.0, 64.0
        for _ in range(12):
            assert schedule(start) == pytest.approx(1.0, abs=1e-9)
            assert schedule(start + length / 2) == pytest.approx(0.5, abs=1e-9)
            start, length = start + length, length * t_mul


def test_coslog4_has_four_waves():
    rates = CosLog4(1.0, 15000)(np.arange(15001))
    turns = np.flatnonzero(np.diff(np.sign(np.diff(rates))) < 0)
    assert len(turns) == 4
    np.testing.assert_allclose(turns + 1, 1000 * (2 ** (np.arange(4) + 0.5) - 1), atol=1)
    np.testing.assert_allclose(rates[[0, 1000, 3000, 7000, 15000]], 0, atol=1e-12)


def test_sequential_counts_from_each_boundary():
    parts = [ExponentialDecay(0.1, 5, 0.5), Halving(0.4), CosineDecay(0.2, 10)]
    found = Sequential(parts, [7, 20])(np.arange(40))
    wanted = [parts[0](s) if s < 7 else parts[1](s - 7) if s < 20 else parts[2](s - 20) for s in range(40)]
    np.testing.assert_array_equal(found, wanted)


REFUSED = [
    (lambda: Constant(-0.1), ValueError, r"learning_rate must be in \[0, inf\); received -0.1"),
    (lambda: ExponentialDecay(0.1, 0, 0.9), ValueError, r"decay_steps must be in \(0, inf\); received 0"),
    (lambda: ExponentialDecay("0.1", 1, 0.9), TypeError, "initial_learning_rate must be a number"),
    (lambda: ExponentialDecay(0.1, 1, math.inf), ValueError, "decay_rate"),
    (lambda: ExponentialDecay(0.1, 1, 0.9, staircase=1), TypeError, "staircase must be True or False"),
    (lambda: InverseTimeDecay(0.1, 1, -1), ValueError, "decay_rate"),
    (lambda: PolynomialDecay(0.1, -5), ValueError, "decay_steps"),
    (lambda: PolynomialDecay(0.1, 5, power=-1), ValueError, "power"),
    (lambda: PiecewiseConstantDecay([1, 2], [1, 2]), ValueError, "one more than boundaries; received 2 and 2"),
    (lambda: PiecewiseConstantDecay([2, 2], [1, 2, 3]), ValueError, "larger than the one before"),
    (lambda: PiecewiseConstantDecay([2], [1, -2]), ValueError, r"values\[1\] must be in"),
    (lambda: PiecewiseConstantDecay("ab", [1, 2]), TypeError, "boundaries must be a list; received 'ab'"),
    (lambda: PiecewiseConstantDecay(3, [1, 2]), TypeError, "boundaries must be a list; received 3"),
    (lambda: CosineDecay(0.1, 10, alpha=1.5), ValueError, r"alpha must be in \[0, 1\]"),
    (lambda: CosineDecay(0.1, 10, warmup_steps=-1), ValueError, "warmup_steps"),
    (lambda: CosineDecayRestarts(0.1, 10, t_mul=0.5), ValueError, r"t_mul must be in \[1, inf\)"),
    (lambda: WarmUp("exponential", 10), TypeError, "schedule must be a number"),
    (lambda: WarmUp(0.1, 0), ValueError, "warmup_steps"),
    (lambda: OneCycle(0.1, 2.5), TypeError, "total_steps must be an integer"),
    (lambda: OneCycle(0.1, 3), ValueError, r"pct_start \* total_steps must be above 1.* received 0.3 \* 3"),
    (lambda: OneCycle(0.1, 30, pct_start=0.6, three_phase=True), ValueError, r"pct_start must be in \(0, 0.5\)"),
    (lambda: OneCycle(0.1, 30, anneal_strategy="cosine"), ValueError, "anneal_strategy must be 'cos' or 'linear'"),
    (lambda: CosLog4(0.1, 0), ValueError, "total_steps"),
    (lambda: Sequential([0.1], [3]), ValueError, "one more than boundaries"),
    (lambda: Sequential([0.1, "x"], [3]), TypeError, r"schedules\[1\] must be a number"),
    (lambda: schedules.get("cosine_decay"), TypeError, "initial_learning_rate"),
    (lambda: schedules.get(CosineDecay), TypeError, "initial_learning_rate"),
    (lambda: schedules.get({"name": "cosine_deca"}), ValueError, "unknown learning rate schedule.*'cosine_decay'"),
    (lambda: schedules.get(3), TypeError, "learning rate schedule must be"),
    (lambda: LearningRateSchedule()(3), NotImplementedError, "must define __call__"),
]


@pytest.mark.parametrize(("make", "error", "text"), REFUSED)
def test_bad_arguments_are_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()


# ----------------------------------------------------------------------------------------- optimizers and training


@pytest.mark.parametrize("cls", [cls for cls in optimizers._CLASSES if cls is not optimizers.LBFGS])
def test_optimizers_take_schedules(cls):
    schedule = CosineDecay(0.1, 10)
    optimizer = cls(learning_rate=schedule)
    assert optimizer.learning_rate is schedule
    assert optimizer.get_config()["learning_rate"] == schedule.get_config()
    again = optimizers.get(optimizer.get_config())
    assert repr(again) == repr(optimizer)
    np.testing.assert_array_equal(again.rates(3, 4), schedule(np.arange(3, 7)))
    assert cls(learning_rate=schedule.get_config()).learning_rate.get_config() == schedule.get_config()


def test_rates_of_a_number():
    optimizer = optimizers.SGD(0.5)
    np.testing.assert_array_equal(optimizer.rates(9, 3), [0.5] * 3)
    optimizer.learning_rate = 0.25
    np.testing.assert_array_equal(optimizer.rates(0, 3), [0.25] * 3)


def test_a_number_does_not_replace_a_schedule():
    """As in Keras; another schedule does, and takes the place of a number too."""
    optimizer = optimizers.SGD(CosineDecay(0.1, 10))
    with pytest.raises(TypeError, match=r"follows CosineDecay.* cannot be set to the number 0.1"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = Constant(0.3)
    assert optimizer.rates(0, 1)[0] == 0.3
    optimizer = optimizers.SGD(0.1)
    optimizer.learning_rate = Constant(0.3)
    assert optimizer.rates(0, 2).tolist() == [0.3, 0.3]
    with pytest.raises(TypeError, match="learning_rate must be a number"):
        optimizers.SGD("constant")


@pytest.mark.parametrize("schedule", [Halving(0.25), Broadcast(), Sequential([Halving(0.5), Broadcast()], [4])])
@pytest.mark.parametrize("n", [1, 9])
def test_schedules_of_users(schedule, n):
    rates = optimizers.SGD(schedule).rates(2, n)
    assert rates.dtype == np.float64 and rates.flags.c_contiguous
    flat = schedule if not isinstance(schedule, Sequential) else \
        (lambda s: schedule.schedules[0](s) if s < 4 else 0.5)
    np.testing.assert_array_equal(rates, [flat(s) for s in range(2, 2 + n)])


@pytest.mark.parametrize(("value", "text"), [(-0.5, "gave the learning rate -0.5 at step 3"), (math.nan, "nan"),
                                             (math.inf, "inf"), (np.ones(3), r"returned shape \(3,\)")])
def test_what_a_schedule_must_not_give(value, text):
    with pytest.raises(ValueError, match=text):
        optimizers.SGD(Broadcast(value)).rates(3, 4)


def _model(optimizer, **options):
    model = fnn.Sequential([fnn.Input((5,)), fnn.layers.Dense(7, "tanh"), fnn.layers.Dense(1)], seed=1,
                           dtype="float64", **options)
    model.compile(optimizer, "mse")
    return model


X = np.random.default_rng(0).normal(size=(50, 5))
Y = X.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("schedule", [CosineDecay(0.1, 30), Halving(0.1, 4), OneCycle(0.2, 30)])
@pytest.mark.parametrize("name", ["sgd", "adam", "nadam"])
def test_training_follows_the_schedule(schedule, name):
    """Batch by batch as if the rate were set by hand, across epochs, calls of fit and train_on_batch."""
    cls = type(optimizers.get(name))
    by_schedule, by_hand = _model(cls(schedule)), _model(cls(1.0))
    twin = ReferenceMLP.from_model(by_schedule)
    by_schedule.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    by_schedule.fit(X, Y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    by_schedule.train_on_batch(X, Y)
    step = 0
    for _ in range(3):
        for start in range(0, 50, 16):
            by_hand.optimizer.learning_rate = schedule(step)
            by_hand.train_on_batch(X[start:start + 16], Y[start:start + 16])
            twin.step(X[start:start + 16], Y[start:start + 16])
            step += 1
    by_hand.optimizer.learning_rate = schedule(step)
    by_hand.train_on_batch(X, Y)
    twin.step(X, Y)
    for a, b in zip(by_schedule.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(by_schedule.layers[0].kernel, twin.kernels[0], rtol=1e-9)


def test_divergence_names_the_rate_of_its_batch():
    model = _model(optimizers.SGD(PiecewiseConstantDecay([1], [0.01, 1e300])))
    with pytest.raises(fnn.DivergenceError, match=r"learning rate 1e\+300") as caught:
        model.fit(X, Y, batch_size=10, shuffle=False, verbose=0)
    assert caught.value.batch in (3, 4)


def test_saved_models_go_on_with_their_schedule(tmp_path):
    straight = _model(optimizers.Adam(Sequential([WarmUp(0.1, 3), OneCycle(0.2, 20)], [7])))
    straight.fit(X, Y, batch_size=16, epochs=4, verbose=0)
    model = _model(optimizers.Adam(Sequential([WarmUp(0.1, 3), OneCycle(0.2, 20)], [7])))
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    model = fnn.load_model(tmp_path / "m.safetensors")
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), straight.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_schedules_of_users_in_files(tmp_path):
    path = tmp_path / "m.safetensors"
    schedule = Sequential([Halving(0.25, 2), WarmUp(Halving(0.5), 4)], [10])
    _model(optimizers.SGD(schedule)).save(path)
    with pytest.raises(fnn.ModelFormatError, match="unknown learning rate schedule 'halving'"):
        fnn.load_model(path)
    loaded = fnn.load_model(path, custom_objects={"Halving": Halving}).optimizer.learning_rate
    assert repr(loaded) == repr(schedule)
    np.testing.assert_array_equal(loaded(np.arange(30)), schedule(np.arange(30)))
    assert fnn.load_model(path, compile=False).optimizer is None
