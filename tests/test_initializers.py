"""Initializers: distributions, fans, determinism, configurations and what they refuse."""

import math

import numpy as np
import pytest

from fastnn import initializers
from fastnn.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    compute_fans,
)

RANDOM = [
    RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling, GlorotUniform, GlorotNormal, HeUniform,
    HeNormal, LecunUniform, LecunNormal, Orthogonal,
]  # fmt: skip
ALL = [Zeros, Ones, Constant, Identity, *RANDOM]
SHAPE = (400, 250)
TRUNCATED_BOUND = 2 / 0.87962566103423978  # in standard deviations after truncation


def assert_moments(values, mean, stddev):
    """Within 5 standard errors; the kurtosis of each of the distributions is at most 3."""
    n = values.size
    assert abs(values.mean() - mean) < 5 * stddev / math.sqrt(n)
    assert abs(values.std() - stddev) < 5 * stddev / math.sqrt(2 * n)


def draw(initializer, shape=SHAPE, dtype="float64"):
    return initializer(shape, dtype=dtype, rng=np.random.default_rng(1))


def test_constants():
    assert np.array_equal(Zeros()((2, 3)), np.zeros((2, 3)))
    assert np.array_equal(Ones()((2, 3)), np.ones((2, 3)))
    assert np.array_equal(Constant(-2.5)((2, 3)), np.full((2, 3), -2.5))
    assert np.array_equal(Identity(3.0)((2, 3)), 3 * np.eye(2, 3))


def test_random_normal():
    values = draw(RandomNormal(mean=2.0, stddev=0.3))
    assert_moments(values, 2.0, 0.3)
    assert np.abs(values - 2.0).max() > 1.0


def test_random_uniform():
    values = draw(RandomUniform(-1.0, 3.0))
    assert_moments(values, 1.0, 4 / math.sqrt(12))
    assert values.min() >= -1
    assert values.max() < 3


def test_truncated_normal_is_cut_at_two_standard_deviations():
    values = draw(TruncatedNormal(mean=1.0, stddev=0.5))
    assert_moments(values, 1.0, 0.5 * 0.87962566103423978)
    assert 0.99 < np.abs(values - 1.0).max() <= 1.0


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform", "normal"])
@pytest.mark.parametrize("shape", [SHAPE, (5, 4, 100, 50)])
def test_variance_scaling(mode, distribution, shape):
    fan_in, fan_out = compute_fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    stddev = math.sqrt(0.7 / fan)
    values = draw(VarianceScaling(0.7, mode, distribution), shape)
    assert_moments(values, 0.0, stddev)
    bound = {"uniform": math.sqrt(3), "untruncated_normal": math.inf}.get(distribution, TRUNCATED_BOUND)
    assert np.abs(values).max() <= bound * stddev


@pytest.mark.parametrize(
    ("cls", "variance", "uniform"),
    [
        (GlorotUniform, 2 / 650, True), (GlorotNormal, 2 / 650, False), (HeUniform, 2 / 400, True),
        (HeNormal, 2 / 400, False), (LecunUniform, 1 / 400, True), (LecunNormal, 1 / 400, False),
    ],
)  # fmt: skip
def test_named_scalings(cls, variance, uniform):
    values, stddev = draw(cls()), math.sqrt(variance)
    assert_moments(values, 0.0, stddev)
    largest = math.sqrt(3) if uniform else TRUNCATED_BOUND
    assert 0.99 * largest * stddev < np.abs(values).max() <= largest * stddev


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((7,), (7, 7)), ((7, 3), (7, 3)), ((5, 7, 3), (35, 15)), ((3, 3, 16, 32), (144, 288)),
     ((2, 3, 4, 5, 6), (120, 144))],
)  # fmt: skip
def test_fans(shape, fans):
    assert compute_fans(shape) == fans


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 5), (5, 1), (3, 2, 4), (2, 2, 9)])
@pytest.mark.parametrize("gain", [1.0, -0.5])
def test_orthogonal(shape, gain):
    matrix = draw(Orthogonal(gain), shape).reshape(-1, shape[-1])
    small = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, gain**2 * np.eye(min(matrix.shape)), atol=1e-14)


def test_orthogonal_has_no_preferred_sign():
    # without the sign fix, LAPACK's Q of a 1x1 matrix is always 1
    rng = np.random.default_rng(0)
    assert {float(Orthogonal()((1, 1), rng=rng)[0, 0]) for _ in range(50)} == {-1.0, 1.0}


@pytest.mark.parametrize("cls", RANDOM)
def test_seed_generator_and_fresh_entropy(cls):
    shape = (6, 5)
    one, same, other = (cls(seed=seed)(shape) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    seeded = cls(seed=3)
    assert np.array_equal(seeded(shape), seeded(shape))

    rng = np.random.default_rng(5)
    first, second = cls()(shape, rng=rng), cls()(shape, rng=rng)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, cls()(shape, rng=np.random.default_rng(5)))
    assert not np.array_equal(cls()(shape), cls()(shape))


def test_own_seed_wins_over_the_generator():
    rng = np.random.default_rng(5)
    before = rng.bit_generator.state
    assert np.array_equal(HeNormal(seed=3)((4, 4), rng=rng), HeNormal(seed=3)((4, 4)))
    assert rng.bit_generator.state == before


def test_numpys_global_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    GlorotUniform()((4, 4))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32])
def test_shape_and_dtype(cls, dtype):
    values = cls()((4, 3), dtype=dtype)
    assert values.shape == (4, 3)
    assert values.dtype == np.dtype(dtype)
    assert values.flags.c_contiguous
    assert values.flags.writeable


@pytest.mark.parametrize("cls", [cls for cls in ALL if cls not in (Identity, Orthogonal)])
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), [2, 3], (np.int64(2), 3)])
def test_shapes_of_any_rank(cls, shape):
    assert cls()(shape).shape == tuple(shape)


@pytest.mark.parametrize("cls", RANDOM)
def test_float32_is_float64_rounded(cls):
    assert np.array_equal(draw(cls(), (6, 5), "float32"), draw(cls(), (6, 5), "float64").astype("float32"))


@pytest.mark.parametrize("cls", ALL)
def test_names_classes_and_instances(cls):
    assert type(initializers.get(cls.name)) is cls
    assert type(initializers.get(cls)) is cls
    instance = cls()
    assert initializers.get(instance) is instance


@pytest.mark.parametrize(
    "initializer",
    [*[cls() for cls in ALL], *[cls(seed=3) for cls in RANDOM],
     Constant(2.0), Identity(0.5), Orthogonal(2.0, 7), RandomNormal(1.0, 0.1, 2),
     RandomUniform(0.0, 1.0, 2), TruncatedNormal(1.0, 0.1, 2),
     VarianceScaling(2.0, "fan_avg", "uniform", 4)],
    ids=repr,
)  # fmt: skip
def test_config_round_trip(initializer):
    config = initializers.serialize(initializer)
    again = initializers.deserialize(config)
    assert type(again) is type(initializer)
    assert again.get_config() == config
    assert np.array_equal(draw(again, (4, 3)), draw(initializer, (4, 3)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VarianceScaling(0.0), r"scale must be in \(0, inf\); received 0.0"),
        (lambda: VarianceScaling(math.inf), "scale must be in"),
        (lambda: VarianceScaling(mode="fan"), "mode must be 'fan_in', 'fan_out' or 'fan_avg'; received 'fan'"),
        (lambda: VarianceScaling(distribution="cauchy"), "distribution must be .* received 'cauchy'"),
        (lambda: RandomNormal(stddev=-1.0), "stddev must be in"),
        (lambda: TruncatedNormal(stddev=math.nan), "stddev must be in"),
        (lambda: RandomUniform(1.0, 0.0), "maxval must be at least minval=1.0; received 0.0"),
        (lambda: Constant(math.nan), "value must be in"),
        (lambda: GlorotUniform(seed=-1), "seed must be None or an integer of at least 0; received -1"),
        (lambda: Identity()((2, 2, 2)), r"identity needs a shape of 2 dimensions; received \(2, 2, 2\)"),
        (lambda: Orthogonal()((5,)), r"orthogonal needs a shape of at least 2 dimensions; received \(5,\)"),
        (lambda: Zeros()((2, -1)), r"sizes of at least 0; received \(2, -1\)"),
        (lambda: Zeros()((2,), dtype="int32"), "dtype must be float32 or float64; received int32"),
        (lambda: initializers.get("glorot_unifrom"), "Did you mean 'glorot_uniform'"),
    ],
)
def test_values_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant("1"), "value must be a number"),
        (lambda: RandomNormal(mean=None), "mean must be a number"),
        (lambda: HeNormal(seed=1.5), "seed must be None or an integer"),
        (lambda: HeNormal(seed=True), "seed must be None or an integer"),
        (lambda: Zeros()(3), "shape must be a sequence of integers; received 3"),
        (lambda: Zeros()((2.0, 3)), "shape must be a sequence of integers"),
        (lambda: HeNormal()((2, 3), rng=42), "rng must be a numpy.random.Generator or None; received 42"),
        (lambda: initializers.get(None), "initializer must be a name"),
        (lambda: initializers.get(3), "initializer must be a name"),
    ],
)
def test_types_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_a_users_initializer():
    class Ramp(initializers.Initializer):
        name = "ramp"

        def draw(self, rng, shape):
            return np.arange(math.prod(shape), dtype=float).reshape(shape)

    assert np.array_equal(initializers.get(Ramp)((2, 3)), np.arange(6).reshape(2, 3))
