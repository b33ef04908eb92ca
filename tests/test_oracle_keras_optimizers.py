"""The optimizers that are not elementwise, and the options that all of them take, against Keras 3; RAdam against torch.

Criteria, and what the fixture changes in Keras, are those of `test_oracle_keras`.
"""

import numpy as np
import pytest
from test_oracle_keras import (  # noqa: F401
    RATE,
    compile_both,
    dense,
    fit_both,
    keras,
    pair,
    pytestmark,
    same_logs,
    same_weights,
    samples,
    stack,
    targets,
)

import fastnn as fnn

OPTIMIZERS = {
    "ftrl": ("Ftrl", {}),
    "ftrl all": ("Ftrl", {"learning_rate_power": -0.75, "initial_accumulator_value": 0.01, "beta": 0.5,
                          "l1_regularization_strength": 2.0**-7, "l2_regularization_strength": 0.1,
                          "l2_shrinkage_regularization_strength": 0.01, "weight_decay": 0.03}),
    "ftrl without power": ("Ftrl", {"learning_rate_power": 0.0}),
    "lamb": ("Lamb", {}),
    "lamb all": ("Lamb", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.03}),
    "adafactor": ("Adafactor", {}),
    "adafactor all": ("Adafactor", {"beta_2_decay": -0.6, "epsilon_1": 1e-6, "epsilon_2": 0.5, "clip_threshold": 0.7,
                                    "relative_step": False, "weight_decay": 0.03}),
    "muon": ("Muon", {}),
    "muon all": ("Muon", {"adam_beta_1": 0.8, "adam_beta_2": 0.95, "adam_weight_decay": 0.03, "epsilon": 1e-3,
                          "weight_decay": 0.02, "muon_a": 3.0, "muon_b": -3.2, "muon_c": 1.2, "adam_lr_ratio": 0.5,
                          "momentum": 0.8, "ns_steps": 3, "nesterov": False, "rms_rate": None}),
    "muon without decay": ("Muon", {"weight_decay": None, "adam_weight_decay": None, "rms_rate": 0.1}),
    "muon excluded": ("Muon", {"exclude_layers": ["out"]}),
}
# The longer sides of the kernels are squares: Keras takes their roots in float32 for Muon.
LAYERS = [dense(9, "tanh"), dense(16, "tanh"), dense(4, "softmax", name="out")]
LOSS = ("SparseCategoricalCrossentropy", {})


def both(keras, optimizer, arguments, rate=RATE, layers=LAYERS):  # noqa: F811
    ours, theirs = pair(keras, (6,), layers)
    compile_both(keras, ours, theirs, (optimizer, arguments), LOSS, rate=rate)
    return ours, theirs


@pytest.mark.parametrize("n", [128, 117], ids=["whole batches", "short last batch"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_200_steps(keras, optimizer, n):  # noqa: F811
    ours, theirs = both(keras, *optimizer, rate=2.0**-2 if optimizer[0] == "Ftrl" else RATE)
    start = ours.get_weights()
    logs = fit_both(ours, theirs, samples(n), targets("sparse", n, 4), epochs=25)
    assert theirs.optimizer.iterations == 200
    for end, begin in zip(theirs.get_weights(), start, strict=True):
        assert np.linalg.norm(end - begin) > 1e-2 * np.linalg.norm(begin)
    same_weights(ours, theirs)
    same_logs(*logs)


@pytest.mark.parametrize("name", ["Ftrl", "Lamb", "Adafactor", "Muon", "ScheduleFreeAdamW"])
def test_defaults(keras, name):  # noqa: F811
    ours, theirs = (getattr(library.optimizers, name)().get_config() for library in (fnn, keras))
    for argument, value in ours.items():
        if argument == "learning_rate":
            assert value == pytest.approx(theirs[argument], rel=1e-7)  # float32 in Keras
        elif argument != "name":
            assert value == theirs[argument], argument


def with_old_momentum(keras):  # noqa: F811
    """Keras' class, which keeps `momentum.value` as the old momentum. On torch that is no copy, and has the new one's
    numbers once it is needed; here a step puts a new tensor in its place, as other backends do."""
    import torch

    class ScheduleFreeAdamW(keras.optimizers.ScheduleFreeAdamW):
        def assign_sub(self, variable, value):
            with torch.no_grad():
                variable._value = variable.value - value

    return ScheduleFreeAdamW


@pytest.mark.parametrize("arguments", [{}, {"warmup_steps": 30, "epsilon": 1e-3},
                                       {"weight_decay": 0.03, "beta_1": 0.7}], ids=["plain", "warm-up", "decay"])
def test_schedule_free(keras, arguments):  # noqa: F811
    """Keras leaves the model where gradients are taken; what is predicted with follows from that and the optimizer."""
    ours, theirs = pair(keras, (6,), LAYERS)
    ours.compile(fnn.optimizers.ScheduleFreeAdamW(RATE, **arguments), "sparse_categorical_crossentropy")
    theirs.compile(with_old_momentum(keras)(RATE, **arguments), "sparse_categorical_crossentropy")
    x, y = samples(117), targets("sparse", 117, 4)
    ours.fit(x, y, batch_size=16, epochs=25, shuffle=False, verbose=0)
    theirs.fit(x, y, batch_size=16, epochs=25, shuffle=False, verbose=0)
    beta, fast = theirs.optimizer.beta_1, theirs.optimizer._momentums
    theirs.set_weights([(at - (1 - beta) * z.value.detach().numpy()) / beta
                        for at, z in zip(theirs.get_weights(), fast, strict=True)])
    same_weights(ours, theirs)


OPTIONS = {
    "clipnorm": {"clipnorm": 2.0**-5},
    "clipvalue": {"clipvalue": 2.0**-8},
    "global_clipnorm": {"global_clipnorm": 2.0**-4},
    "ema": {"use_ema": True},
    "ema overwrites": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7},
    "accumulation": {"gradient_accumulation_steps": 3},
    "accumulation ema": {"gradient_accumulation_steps": 3, "use_ema": True, "ema_momentum": 0.75,
                         "ema_overwrite_frequency": 4},
    "accumulation clipnorm": {"gradient_accumulation_steps": 2, "clipnorm": 2.0**-5, "weight_decay": 0.03},
    "accumulation clipvalue": {"gradient_accumulation_steps": 2, "clipvalue": 2.0**-8},
    "accumulation global_clipnorm ema": {"gradient_accumulation_steps": 5, "global_clipnorm": 2.0**-4, "use_ema": True},
}
PLAIN = {"SGD": {"momentum": 0.9}, "RMSprop": {}, "Adagrad": {}, "Adadelta": {}, "Adam": {}, "AdamW": {}, "Adamax": {},
         "Nadam": {}, "Lion": {}, "Ftrl": {}, "Lamb": {}, "Adafactor": {}, "Muon": {}}
COMBINATIONS = [pytest.param(name, PLAIN[name] | OPTIONS[option], id=f"{name} {option}")
                for name in PLAIN for option in OPTIONS
                if name in ("Adam", "Muon") or option == "accumulation global_clipnorm ema"]


@pytest.mark.parametrize(("name", "arguments"), COMBINATIONS)
def test_options(keras, name, arguments):  # noqa: F811
    """200 batches, the last one of each epoch shorter."""
    rate = {"Adadelta": 1.0, "Ftrl": 2.0**-2}.get(name, RATE)
    ours, theirs = both(keras, name, arguments, rate)
    logs = fit_both(ours, theirs, samples(117), targets("sparse", 117, 4), epochs=25)
    same_weights(ours, theirs)
    same_logs(*logs)


def test_options_change_something(keras):  # noqa: F811
    ends = []
    for arguments in [{}, *OPTIONS.values()]:
        ours, _ = both(keras, "Adam", arguments)
        ours.fit(samples(117), targets("sparse", 117, 4), batch_size=16, epochs=2, shuffle=False, verbose=0)
        ends.append(ours.get_weights()[0])
    assert len({end.tobytes() for end in ends}) == len(ends)


@pytest.mark.parametrize("by", ["names", "arrays"])
@pytest.mark.parametrize("name", ["AdamW", "SGD", "Lamb", "Muon"])
def test_excluded_from_weight_decay(keras, name, by):  # noqa: F811
    ours, theirs = both(keras, name, {"weight_decay": 0.5})
    for model in (ours, theirs):
        if by == "names":
            model.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma"])
        else:
            model.optimizer.exclude_from_weight_decay(var_list=[model.layers[1].kernel, model.layers[0].bias])
    fit_both(ours, theirs, samples(117), targets("sparse", 117, 4), epochs=5)
    same_weights(ours, theirs)


def test_second_fit_after_an_average(keras):  # noqa: F811
    """The first fit leaves the average in the model, the second goes on from there."""
    ours, theirs = both(keras, "Adam", {"use_ema": True, "ema_momentum": 0.9})
    for epochs in (2, 3):
        fit_both(ours, theirs, samples(117), targets("sparse", 117, 4), epochs=epochs)
    same_weights(ours, theirs)


@pytest.mark.parametrize("name", ["Adafactor", "Lamb", "Muon"])
def test_convolution(keras, name):  # noqa: F811
    """Kernels of four dimensions: a stack of matrices for Adafactor, Adam's for Muon."""
    layers = [("Conv2D", (5, 3), {"activation": "tanh"}), ("Conv2D", (3, 2), {"activation": "tanh"}),
              ("Flatten", (), {}), dense(4, "softmax")]
    ours, theirs = pair(keras, (7, 6, 2), layers)
    compile_both(keras, ours, theirs, (name, {"weight_decay": 0.03}), LOSS, rate=RATE)
    x = np.random.default_rng(0).normal(size=(40, 7, 6, 2))
    fit_both(ours, theirs, x, targets("sparse", 40, 4), epochs=10)
    same_weights(ours, theirs)


def test_factored_moments_of_a_stack_of_matrices(keras):  # noqa: F811
    """Adafactor takes the last two dimensions of a kernel of four: seen where such a kernel is trained alone."""
    from fastnn import reference

    rng = np.random.default_rng(0)
    param, shape = rng.normal(size=(3, 2, 5, 4)), (3, 2, 5, 4)
    theirs = keras.Variable(param)
    optimizer = keras.optimizers.Adafactor(learning_rate=RATE)
    rows, cols = np.zeros(shape[:-1]), np.zeros((3, 2, 4))
    for step in range(1, 51):
        grad = rng.normal(size=shape)
        optimizer.apply([keras.ops.convert_to_tensor(grad)], [theirs])
        reference.adafactor_step(param, grad, rows, cols, step, learning_rate=RATE)
    np.testing.assert_allclose(param, np.asarray(theirs.value.detach()), rtol=1e-9)


@pytest.mark.parametrize("arguments", [{}, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.03}],
                         ids=["plain", "all"])
def test_radam_is_that_of_torch(arguments):
    import torch

    ours = stack(fnn, (6,), LAYERS, dtype="float64", seed=0)
    ours.compile(fnn.optimizers.RAdam(RATE, **arguments), "sparse_categorical_crossentropy")
    weights = [torch.tensor(weight, requires_grad=True) for weight in ours.get_weights()]
    theirs = torch.optim.RAdam(weights, lr=RATE, betas=(arguments.get("beta_1", 0.9), arguments.get("beta_2", 0.999)),
                               eps=arguments.get("epsilon", 1e-7), weight_decay=arguments.get("weight_decay", 0.0),
                               decoupled_weight_decay=True)
    x, y = samples(128), targets("sparse", 128, 4)
    ours.fit(x, y, batch_size=16, epochs=25, shuffle=False, verbose=0)
    for step in range(200):
        rows = slice(step % 8 * 16, step % 8 * 16 + 16)
        hidden = torch.tensor(x[rows])
        for kernel, bias in zip(weights[0:4:2], weights[1:4:2], strict=True):
            hidden = torch.tanh(hidden @ kernel + bias)
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(hidden @ weights[4] + weights[5], torch.tensor(y[rows])).backward()
        theirs.step()
    for a, b in zip(ours.get_weights(), weights, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-9, atol=1e-11)
