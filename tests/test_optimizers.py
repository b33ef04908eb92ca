"""Optimizers: their formulas step by step, what they refuse, and their configurations."""

import math

import numpy as np
import pytest

from fastnn import kernels, optimizers, reference
from fastnn.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Ftrl, Lion, Nadam, RAdam, RMSprop

N_STEPS = 50
ALL = [SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, Lion, RAdam, Ftrl]
CASES = [
    SGD(0.05),
    SGD(0.05, momentum=0.9),
    SGD(0.05, momentum=0.9, nesterov=True),
    RMSprop(0.01),
    RMSprop(0.01, rho=0.8, momentum=0.7),
    RMSprop(0.01, centered=True),
    RMSprop(0.01, rho=0.8, momentum=0.7, centered=True),
    Adagrad(0.1),
    Adadelta(0.5),
    Adam(0.01),
    Adam(0.01, beta_1=0.0, beta_2=0.0),
    Adam(0.01, beta_2=0.9, amsgrad=True),
    AdamW(0.01, weight_decay=0.1),
    Adamax(0.01),
    Nadam(0.01),
    Lion(0.01),
    SGD(0.05, weight_decay=0.1),
    Nadam(0.01, weight_decay=0.1),
    RAdam(0.01),
    RAdam(0.01, beta_2=0.9, weight_decay=0.1),
    RAdam(0.01, beta_2=0.6),
    Ftrl(0.1),
    Ftrl(0.1, learning_rate_power=-0.8, initial_accumulator_value=0.0, beta=0.5),
    Ftrl(0.1, l1_regularization_strength=0.5, l2_regularization_strength=0.1,
         l2_shrinkage_regularization_strength=0.01, weight_decay=0.1),
    Ftrl(0.1, learning_rate_power=0.0),
]


# The formulas, one update per function: o the optimizer, p, g and slots s arrays, t the step from 1.
# Each returns the new parameters and the new slots.
def sgd(o, p, g, s, t):
    return p - o.learning_rate * g, []


def momentum(o, p, g, s, t):
    v = o.momentum * s[0] - o.learning_rate * g
    return p + v, [v]


def nesterov(o, p, g, s, t):
    v = o.momentum * s[0] - o.learning_rate * g
    return p + o.momentum * v - o.learning_rate * g, [v]


def rmsprop(o, p, g, s, t):
    new = [o.rho * s[0] + (1 - o.rho) * g**2]
    variance = new[0]
    if o.centered:
        new.append(o.rho * s[1] + (1 - o.rho) * g)
        variance = variance - new[1] ** 2
    step = o.learning_rate * g / np.sqrt(variance + o.epsilon)
    if o.momentum:
        step = o.momentum * s[-1] + step
        new.append(step)
    return p - step, new


def adagrad(o, p, g, s, t):
    a = s[0] + g**2
    return p - o.learning_rate * g / np.sqrt(a + o.epsilon), [a]


def adadelta(o, p, g, s, t):
    a = o.rho * s[0] + (1 - o.rho) * g**2
    d = np.sqrt(s[1] + o.epsilon) * g / np.sqrt(a + o.epsilon)
    return p - o.learning_rate * d, [a, o.rho * s[1] + (1 - o.rho) * d**2]


def adam(o, p, g, s, t):
    m = s[0] + (g - s[0]) * (1 - o.beta_1)
    v = s[1] + (g**2 - s[1]) * (1 - o.beta_2)
    new = [m, v, np.maximum(s[2], v)] if o.amsgrad else [m, v]
    alpha = o.learning_rate * math.sqrt(1 - o.beta_2**t) / (1 - o.beta_1**t)
    return p - alpha * m / (np.sqrt(new[-1]) + o.epsilon), new


def adamax(o, p, g, s, t):
    m = s[0] + (g - s[0]) * (1 - o.beta_1)
    u = np.maximum(o.beta_2 * s[1], np.abs(g))
    return p - o.learning_rate * m / ((1 - o.beta_1**t) * (u + o.epsilon)), [m, u]


def nadam(o, p, g, s, t):
    u = [o.beta_1 * (1 - 0.5 * 0.96**i) for i in range(1, t + 2)]
    m = s[0] + (g - s[0]) * (1 - o.beta_1)
    v = s[1] + (g**2 - s[1]) * (1 - o.beta_2)
    n = u[t] * m / (1 - math.prod(u)) + (1 - u[t - 1]) * g / (1 - math.prod(u[:t]))
    return p - o.learning_rate * n / (np.sqrt(v / (1 - o.beta_2**t)) + o.epsilon), [m, v]


def lion(o, p, g, s, t):
    p = p - o.learning_rate * np.sign(o.beta_1 * s[0] + (1 - o.beta_1) * g)
    return p, [o.beta_2 * s[0] + (1 - o.beta_2) * g]


def radam(o, p, g, s, t):
    m, v = s[0] + (g - s[0]) * (1 - o.beta_1), s[1] + (g**2 - s[1]) * (1 - o.beta_2)
    longest = 2 / (1 - o.beta_2) - 1
    length = longest - 2 * t * o.beta_2**t / (1 - o.beta_2**t)
    step = o.learning_rate * m / (1 - o.beta_1**t)
    if length > 5:
        r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
        step = step * r * math.sqrt(1 - o.beta_2**t) / (np.sqrt(v) + o.epsilon)
    return p - step, [m, v]


def ftrl(o, p, g, s, t):
    power, rate = -o.learning_rate_power, o.learning_rate
    if rate == 0:
        return p, s
    a = s[0] + g**2
    z = s[1] + g + 2 * o.l2_shrinkage_regularization_strength * p - (a**power - s[0] ** power) / rate * p
    l1 = o.l1_regularization_strength
    moved = -np.sign(z) * np.maximum(np.abs(z) - l1, 0)
    return moved / ((o.beta + a**power) / rate + 2 * o.l2_regularization_strength), [a, z]


FORMULAS = {
    "sgd": sgd, "momentum": momentum, "nesterov": nesterov, "rmsprop": rmsprop, "rmsprop_centered": rmsprop,
    "adagrad": adagrad, "adadelta": adadelta, "adam": adam, "amsgrad": adam, "adamax": adamax, "nadam": nadam,
    "lion": lion, "radam": radam, "ftrl": ftrl, "ftrl_power": ftrl,
}  # fmt: skip


def run_formula(optimizer, param, grads):
    p = param.copy()
    slots = [np.full_like(p, value) for value in optimizer.slot_init]
    for t, g in enumerate(grads, 1):
        p -= optimizer.learning_rate * (optimizer.weight_decay or 0) * p
        p, slots = FORMULAS[optimizer.kind](optimizer, p, g, slots, t)
    return p, slots


def run_kernel(optimizer, param, grads, n_threads=None, steps=kernels):
    o, p = optimizer, param.copy()
    slots = [np.full_like(p, value) for value in o.slot_init]
    named = dict(zip(o.slots, slots, strict=True))
    common = {"learning_rate": o.learning_rate, "weight_decay": o.weight_decay, "n_threads": n_threads}
    product = 1.0
    for t, g in enumerate(grads, 1):
        if isinstance(o, SGD) and not slots:
            steps.sgd_step(p, g, **common)
        elif isinstance(o, SGD):
            steps.momentum_step(p, g, *slots, momentum=o.momentum, nesterov=o.nesterov, **common)
        elif isinstance(o, RMSprop):
            steps.rmsprop_step(p, g, named["velocity"], named.get("momentum"), named.get("average"),
                               rho=o.rho, momentum=o.momentum, epsilon=o.epsilon, **common)
        elif isinstance(o, Adagrad):
            steps.adagrad_step(p, g, *slots, epsilon=o.epsilon, **common)
        elif isinstance(o, Adadelta):
            steps.adadelta_step(p, g, *slots, rho=o.rho, epsilon=o.epsilon, **common)
        elif isinstance(o, Lion):
            steps.lion_step(p, g, *slots, beta_1=o.beta_1, beta_2=o.beta_2, **common)
        elif isinstance(o, Ftrl):
            others = {name: value for name, value in o.get_config().items() if "regul" in name or "power" in name}
            steps.ftrl_step(p, g, *slots, beta=o.beta, **others, **common)
        else:
            common |= {"beta_1": o.beta_1, "beta_2": o.beta_2, "epsilon": o.epsilon}
            if isinstance(o, Adamax):
                steps.adamax_step(p, g, *slots, t, **common)
            elif isinstance(o, RAdam):
                steps.radam_step(p, g, *slots, t, **common)
            elif isinstance(o, Nadam):
                product = steps.nadam_step(p, g, *slots, t, product, **common)
            else:
                step = steps.adamw_step if isinstance(o, AdamW) else steps.adam_step
                step(p, g, named["m"], named["v"], t, v_hat=named.get("v_hat"), **common)
    return p, slots


def problem(shape=(7, 13), dtype="float64", n_steps=N_STEPS):
    """Parameters and gradients of sizes from 1e-3 to 1e3, away from the zeros where signs are rounding."""
    rng = np.random.default_rng(0)
    sizes = 10 ** rng.uniform(-3, 3, shape)
    grads = [(sizes * rng.standard_normal(shape)).astype(dtype) for _ in range(n_steps)]
    return rng.standard_normal(shape).astype(dtype), grads


@pytest.mark.parametrize("steps", [kernels, reference], ids=["kernels", "reference"])
@pytest.mark.parametrize("optimizer", CASES, ids=repr)
def test_steps_are_the_formulas(optimizer, steps):
    param, grads = problem()
    wanted, wanted_slots = run_formula(optimizer, param, grads)
    got, got_slots = run_kernel(optimizer, param, grads, steps=steps)
    largest = np.abs(wanted).max()
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12 * largest)
    for g, w in zip(got_slots, wanted_slots, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-11, atol=1e-12 * np.abs(w).max())


@pytest.mark.parametrize("optimizer", CASES, ids=repr)
def test_kernel_in_float32(optimizer):
    param, grads = problem(dtype="float32", n_steps=10)
    wanted, _ = run_formula(optimizer, param.astype("float64"), [g.astype("float64") for g in grads])
    got, _ = run_kernel(optimizer, param, grads)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("optimizer", CASES, ids=repr)
def test_bits_do_not_depend_on_threads(optimizer):
    param, grads = problem((50_003,), "float32", n_steps=2)
    one = run_kernel(optimizer, param, grads, n_threads=1)[0]
    for n_threads in (2, 3):
        assert np.array_equal(one, run_kernel(optimizer, param, grads, n_threads=n_threads)[0])


@pytest.mark.parametrize("optimizer", CASES, ids=repr)
def test_zero_learning_rate_moves_nothing(optimizer):
    frozen = optimizers.get(optimizer.get_config() | {"learning_rate": 0.0})
    param, grads = problem(n_steps=3)
    assert np.array_equal(run_kernel(frozen, param, grads)[0], param)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_centered_rmsprop_survives_a_settled_gradient(dtype):
    # E[g^2] - E[g]^2 tends to zero; rounding alone makes it negative for one element in fourteen
    g = np.logspace(0, 6, 2000).astype(dtype)
    param, _ = run_kernel(RMSprop(rho=0.5, centered=True), np.zeros_like(g), [g] * 100)
    assert np.isfinite(param).all()


def test_lion_stands_still_where_the_average_is_zero():
    param = np.ones(5)
    assert np.array_equal(run_kernel(Lion(), param, [np.zeros(5)])[0], param)


def test_first_step_is_corrected():
    # from slots of zero, g over its own size is left
    for kernel in (kernels.adam_step, kernels.adamax_step):
        p = np.zeros(1)
        kernel(p, np.array([2.0]), np.zeros(1), np.zeros(1), 1, learning_rate=0.5, epsilon=0.0)
        np.testing.assert_allclose(p, [-0.5], rtol=1e-15)


def test_ten_millionth_step_needs_no_correction():
    # averages that have settled at g, g**2 and |g|
    g, step, common = np.array([2.0]), 10_000_000, {"learning_rate": 0.5, "epsilon": 0.0}
    p = np.zeros(3)
    kernels.adam_step(p[:1], g, g.copy(), g**2, step, **common)
    kernels.adamax_step(p[1:2], g, g.copy(), g.copy(), step, **common)
    product = kernels.nadam_step(p[2:], g, g.copy(), g**2, step, 1e-300, **common)
    np.testing.assert_allclose(p, -0.5, rtol=1e-14)
    assert product == pytest.approx(0.9e-300, rel=1e-15)


def test_ftrl_keeps_what_never_had_a_gradient():
    optimizer = Ftrl(0.1, initial_accumulator_value=0.0)
    param, _ = run_kernel(optimizer, np.ones(5), [np.zeros(5)] * 3)
    assert np.array_equal(param, np.ones(5))


def test_ftrl_makes_zeros():
    param, grads = problem((1000,), n_steps=20)
    param, _ = run_kernel(Ftrl(0.1, l1_regularization_strength=50.0), param, grads)
    assert 0.2 < np.mean(param == 0) < 0.9


def test_schedule_free_averages_what_moves():
    (param, grads), rate = problem(n_steps=30), 0.01
    y, z, v, x = param.copy(), param.copy(), np.zeros_like(param), param.copy()
    want_z, want_v, fast = param.copy(), np.zeros_like(param), []
    for t, g in enumerate(grads, 1):
        want_v += (g**2 - want_v) * 0.001
        want_z = want_z - rate * min(1, t / 10) * g / (np.sqrt(want_v / (1 - 0.999**t)) + 1e-8)
        fast.append(want_z)
        kernels.schedule_free_adamw_step(y, g, z, v, x, t, learning_rate=rate, warmup_steps=10)
        np.testing.assert_allclose(x, np.mean(fast, axis=0), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(y, 0.1 * z + 0.9 * x, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(z, want_z, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cls", ALL)
def test_names_classes_and_instances(cls):
    assert type(optimizers.get(cls.name)) is cls
    assert type(optimizers.get(cls)) is cls
    instance = cls()
    assert optimizers.get(instance) is instance


@pytest.mark.parametrize("optimizer", CASES + [cls() for cls in ALL], ids=repr)
def test_config_round_trip(optimizer):
    config = optimizers.serialize(optimizer)
    again = optimizers.deserialize(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == config
    assert (again.kind, again.hyper, again.slots, again.slot_init) == (
        optimizer.kind, optimizer.hyper, optimizer.slots, optimizer.slot_init)
    assert config["learning_rate"] == optimizer.learning_rate


@pytest.mark.parametrize("optimizer", CASES, ids=repr)
def test_slots_and_their_first_values(optimizer):
    assert len(optimizer.slots) == len(set(optimizer.slots)) == len(optimizer.slot_init)
    first = getattr(optimizer, "initial_accumulator_value", 0.0)
    assert optimizer.slot_init == tuple(first if slot == "accumulator" else 0.0 for slot in optimizer.slots)


def test_defaults_are_keras():
    assert [cls().learning_rate for cls in ALL] == [0.01] + [0.001] * 10
    assert AdamW().weight_decay == 0.004
    assert Adam().weight_decay is None
    assert Adam().hyper == Adamax().hyper == Nadam().hyper == (0.9, 0.999, 1e-7)
    assert Lion().hyper == (0.9, 0.99)
    assert RMSprop().hyper == (0.9, 0.0, 1e-7)
    assert Adadelta().hyper == (0.95, 1e-7)
    assert Ftrl().hyper == (-0.5, 0.0, 0.0, 0.0, 0.0)
    assert Ftrl().slot_init == (0.1, 0.0)


def test_learning_rate_is_checked_when_set():
    optimizer = Adam()
    optimizer.learning_rate = 0.5
    assert optimizer.learning_rate == optimizer.get_config()["learning_rate"] == 0.5
    with pytest.raises(ValueError, match=r"learning_rate must be in \[0, inf\); received -1.0"):
        optimizer.learning_rate = -1.0
    assert optimizer.learning_rate == 0.5


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        *[(cls, {"learning_rate": value}, r"learning_rate must be in \[0, inf\)")
          for cls in ALL for value in (-1e-9, math.nan, math.inf)],
        *[(cls, {"weight_decay": value}, r"weight_decay must be in \[0, inf\)")
          for cls in ALL for value in (-0.1, math.nan)],
        *[(cls, {beta: value}, rf"{beta} must be in [\[(]0, 1\)")
          for cls in (Adam, AdamW, Adamax, Nadam, Lion, RAdam) for beta in ("beta_1", "beta_2")
          for value in (-0.1, 1.0, math.nan)],
        *[(cls, {"epsilon": value}, r"epsilon must be in \[0, inf\)")
          for cls in (RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, RAdam) for value in (-1e-7, math.inf)],
        *[(cls, {"rho": value}, r"rho must be in \[0, 1\)")
          for cls in (RMSprop, Adadelta) for value in (-0.1, 1.0)],
        *[(cls, {"momentum": value}, r"momentum must be in \[0, 1\]")
          for cls in (SGD, RMSprop) for value in (-0.1, 1.1)],
        (Lion, {"beta_1": 0.0}, r"beta_1 must be in \(0, 1\); received 0.0"),
        *[(cls, {"initial_accumulator_value": -1.0}, "initial_accumulator_value") for cls in (Adagrad, Ftrl)],
        (Ftrl, {"learning_rate_power": 0.1}, r"learning_rate_power must be in \(-inf, 0\]; received 0.1"),
        *[(Ftrl, {name: -0.1}, rf"{name} must be in \[0, inf\)")
          for name in ("l1_regularization_strength", "l2_regularization_strength",
                       "l2_shrinkage_regularization_strength", "beta")],
    ],
)  # fmt: skip
def test_values_refused(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [(Adam, {"learning_rate": "0.1"}), (Adam, {"beta_1": None}), (Adam, {"epsilon": True}),
     (Adam, {"amsgrad": 1}), (SGD, {"nesterov": "yes"}), (RMSprop, {"centered": 0}),
     (SGD, {"momentum": 0.5j}), (AdamW, {"weight_decay": None}), (Adam, {"learning_rate": [0.1]})],
)  # fmt: skip
def test_types_refused(cls, arguments):
    with pytest.raises(TypeError, match=f"{next(iter(arguments))} must be"):
        cls(**arguments)


def test_numpy_scalars_are_numbers():
    assert Adam(np.float32(0.5), beta_1=np.float64(0.25)).hyper[0] == 0.25
    assert SGD(np.int64(1)).learning_rate == 1.0


@pytest.mark.parametrize(("name", "close"), [("adm", "adam"), ("Adamm", "adam"), ("rms_prob", "rmsprop")])
def test_unknown_name_suggests_the_close_one(name, close):
    with pytest.raises(ValueError, match=rf"unknown optimizer '{name}'. Did you mean '{close}'\?"):
        optimizers.get(name)


@pytest.mark.parametrize("identifier", [None, 3, {}, {"learning_rate": 0.1}, int, optimizers.Optimizer])
def test_other_things_refused(identifier):
    with pytest.raises(TypeError, match="optimizer must be a name"):
        optimizers.get(identifier)


def test_unknown_argument_in_a_config_refused():
    with pytest.raises(TypeError, match="beta1"):
        optimizers.get({"name": "adam", "beta1": 0.9})
