"""The epoch runner below the models: rates of batches, beginning in the middle, calls after batches."""

import numpy as np
import pytest

import fastnn as fnn

ROWS, BATCH = 100, 16
STEPS = -(-ROWS // BATCH)


def compiled(dtype="float64"):
    model = fnn.Sequential([fnn.layers.Dense(8, activation="relu"), fnn.layers.Dropout(0.3), fnn.layers.Dense(3)],
                           seed=5, dtype=dtype)
    model.build((6,))
    model.compile("adam", "mse", metrics=["mae"])
    return model


def runner_and_data(model):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(ROWS, 6)).astype(model.dtype), rng.normal(size=(ROWS, 3)).astype(model.dtype)
    return model._workspace("train", BATCH), model._built_data(x, y, None)


def run(model, rates=1e-2, order=None, n_threads=1, **given):
    runner, data = runner_and_data(model)
    index = np.random.default_rng(1).permutation(ROWS).astype(np.int64) if order is None else order
    return runner.train(data, model._optimizer_state(), index, BATCH, rates, model.seed, n_threads, **given)


def test_a_rate_for_each_batch():
    """Steps of rate 0 change nothing but the optimizer's moments, those before it are as with the one rate."""
    one, many, part = compiled(), compiled(), compiled()
    run(one, 1e-2)
    run(many, np.full(STEPS, 1e-2))
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), many.get_weights(), strict=True))
    run(part, np.where(np.arange(STEPS) < 2, 1e-2, 0.0))
    stopped = compiled()
    with_two = []

    def stop(done, loss_sum):
        with_two.append(done)
        if done == 2:
            raise StopIteration

    assert run(stopped, 1e-2, each=stop)[1] == 2
    assert with_two == [1, 2]
    assert all(np.array_equal(a, b) for a, b in zip(part.get_weights(), stopped.get_weights(), strict=True))


@pytest.mark.parametrize("rates", [np.ones(STEPS, np.float32), np.ones(STEPS + 1), np.ones((STEPS, 2))[:, 0]])
def test_rates_of_another_kind_are_refused(rates):
    with pytest.raises(ValueError, match="one for each of 7 batches"):
        run(compiled(), rates)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("first", [1, 3, STEPS - 1])
def test_an_epoch_in_two_parts_is_the_epoch(first, n_threads):
    whole, parts = compiled(), compiled()
    state = np.zeros(2)
    expected = run(whole, n_threads=n_threads, metrics=[("mae", 0.0, state)])
    states = np.zeros(2)

    def stop(done, loss_sum):
        if done == first:
            raise StopIteration

    loss_sum, done, *_ = run(parts, n_threads=n_threads, metrics=[("mae", 0.0, states)], each=stop)
    assert done == first
    found = run(parts, n_threads=n_threads, metrics=[("mae", 0.0, states)], first=first, loss_sum=loss_sum)
    assert found == expected
    assert np.array_equal(state, states)
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), parts.get_weights(), strict=True))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_calls_after_batches(n_threads):
    """They come every so often, with what was done; a rate that one returns and weights that it writes count."""
    calls = []
    model = compiled()
    run(model, n_threads=n_threads, each=lambda done, loss_sum: calls.append((done, loss_sum)), every=3)
    assert [done for done, _ in calls] == [3, 6]
    assert 0 < calls[0][1] < calls[1][1]

    written, plain = compiled(), compiled()

    def write(done, loss_sum):
        written.layers[2].kernel[...] *= 0.5
        return 0.0

    run(written, n_threads=n_threads, each=write)
    run(plain, np.where(np.arange(STEPS) < 1, 1e-2, 0.0), n_threads=n_threads)
    assert np.array_equal(written.layers[2].kernel, plain.layers[2].kernel * 0.5**STEPS)


def test_weights_written_in_a_call_reach_the_input_gradient():
    def train(write):
        model = compiled()

        def set_kernel(done, loss_sum):
            if done == 1:
                write(model.layers[2].kernel)
            elif done == 2:
                raise StopIteration

        run(model, each=set_kernel)
        return model.layers[0].kernel.copy()

    def zero(kernel):
        kernel[...] = 0

    def keep(kernel):
        pass

    assert not np.array_equal(train(zero), train(keep))


def test_an_error_in_a_call_is_raised_and_leaves_whole_steps():
    model = compiled()

    def each(done, loss_sum):
        raise KeyError("here")

    with pytest.raises(KeyError, match="here"):
        run(model, each=each)
    assert model._optimizer_state().step == 1


def test_gradients_as_in_training():
    """With dropout the gradient is that of the masked network, the mask that of the first step."""
    model = compiled()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 6)), rng.normal(size=(20, 3))
    plain, masked = model.gradients(x, y), model.gradients(x, y, training=True)
    assert not np.allclose(plain[0], masked[0])
    before = [weight.copy() for weight in model.get_weights()]
    model.compile(fnn.optimizers.SGD(1.0), "mse")
    model.train_on_batch(x, y)
    steps = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
    assert all(np.allclose(a, b, rtol=1e-12, atol=1e-14) for a, b in zip(masked, steps, strict=True))


def test_tensors_are_registered_once_and_grouped_by_multiplier():
    from fastnn._kernels.program import Program

    program = Program("float32", 4)
    assert [program.tensor(0, (4, 3)), program.tensor(64, (3,), 0.5), program.tensor(0, (4, 3))] == [0, 1, 0]
    assert program.groups == [(1.0, 0), (0.5, 0)]


def test_penalties_scaled_for_each_batch():
    """Twice the penalty is that of twice the factor, in loss, gradient and what the runner says of it."""
    def penalized(l2, scale):
        model = fnn.Sequential([fnn.layers.Dense(3, kernel_regularizer=fnn.regularizers.L2(l2))], seed=0,
                               dtype="float64")
        model.compile("sgd", "mse")
        model.build((6,))
        result = run(model, penalty_scales=np.full(STEPS, scale))
        return result[0], model._workspace("train", BATCH).penalty_sum, *model.get_weights()

    one, other = penalized(0.25, 2.0), penalized(0.5, 1.0)
    assert one[1] > 0
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    assert penalized(0.5, 0.0)[1] == 0
    with pytest.raises(ValueError, match="penalty_scales must be float64 numbers, one for each of 7 batches"):
        run(compiled(), penalty_scales=np.ones(3))
