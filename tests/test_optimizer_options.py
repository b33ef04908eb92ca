"""What the engine does with optimizers that need whole gradients and with the options of all: the NumPy twins, the
same bits for any number of threads, what users see, what is refused."""

import copy
import math
import signal
import threading
from contextlib import nullcontext

import numpy as np
import pytest

import fastnn as fnn
from fastnn import callbacks, layers, reference
from fastnn.optimizers import SGD, Adafactor, Adam, AdamW, Lamb, Muon, Nadam, ScheduleFreeAdamW
from fastnn.reference_training import ReferenceMLP


def classifier(optimizer, hidden=(33, 70), dtype="float64", seed=3, n_in=20):
    if isinstance(optimizer, fnn.optimizers.Optimizer):
        optimizer = optimizer.get_config()
    model = fnn.Sequential([fnn.Input((n_in,)), *(layers.Dense(n, activation="tanh") for n in hidden), layers.Dense(7)],
                           seed=seed, dtype=dtype)
    model.compile(optimizer, fnn.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def data(n=90, n_in=20, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_in)), rng.integers(0, 7, n)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


# ----------------------------------------------------------------------------------------------------- twins

WHOLE = [Lamb(0.02), Lamb(0.02, weight_decay=0.1), Adafactor(0.1), Adafactor(0.1, weight_decay=0.1, clip_threshold=0.5),
         Muon(0.02), Muon(0.02, nesterov=False, rms_rate=None, adam_lr_ratio=0.3, ns_steps=3),
         ScheduleFreeAdamW(0.02, warmup_steps=10), ScheduleFreeAdamW(0.02, weight_decay=0.1)]


@pytest.mark.parametrize("optimizer", WHOLE, ids=repr)
def test_steps_are_those_of_the_twin(optimizer):
    """Matrices of several panels and chunks, taller and wider ones."""
    model = classifier(optimizer, (150, 90))
    x, y = data(64)
    start = model.get_weights()
    twin = ReferenceMLP(start[::2], start[1::2], "tanh", "sparse_categorical_crossentropy", optimizer)
    for _ in range(12):
        loss = twin.step(x, y)
        assert model.train_on_batch(x, y) == pytest.approx(loss, rel=1e-9) or optimizer.kind == "schedule_free"
    wanted = [slots[2] for slots in twin._slots] if optimizer.kind == "schedule_free" else twin._params
    for a, b in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


class Stack(layers.PythonLayer):
    """The sum of a kernel of four dimensions times one of the input's features."""

    def add_weights(self, input_shape):
        return {"stack": ((3, 2, 70, 4), "random_normal")}

    def compute_output_shape(self, input_shape):
        return (1,)

    def forward(self, x, training):
        self.x = x
        return x[:, :1] * self.weights["stack"].sum()

    def backward(self, dy):
        self.gradients["stack"][...] = np.sum(dy * self.x[:, :1]) * np.arange(1680.0).reshape(3, 2, 70, 4) / 100
        return np.zeros_like(self.x)


def test_a_rate_by_another_name_is_refused():
    with pytest.raises(AttributeError, match="its attribute learning_rate; received lr"):
        fnn.optimizers.Adam().lr = 0.1


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_stacks_of_matrices(n_threads):
    """More than two dimensions are a stack of matrices for Adafactor, and Adam's for Muon."""
    for optimizer in (Adafactor(0.1), Muon(0.1, adam_weight_decay=None)):
        model = fnn.Sequential([fnn.Input((2,)), Stack()], seed=0, dtype="float64")
        model.compile(optimizer, "mse")
        param, slots = model.get_weights()[0], [np.zeros((3, 2, 70)), np.zeros((3, 2, 4))]
        if isinstance(optimizer, Muon):
            slots = [np.zeros_like(param), np.zeros_like(param)]
        for step in range(1, 5):
            x, y = np.random.default_rng(step).normal(size=(2, 5, 2))
            error = 2 * (x[:, :1] * param.sum() - y[:, :1]) / 5
            grad = np.sum(error * x[:, :1]) * np.arange(1680.0).reshape(param.shape) / 100
            model.train_on_batch(x, y[:, :1], n_threads=n_threads)
            if isinstance(optimizer, Muon):
                reference.adam_step(param, grad, *slots, step, learning_rate=0.1)
            else:
                reference.adafactor_step(param, grad, *slots, step, learning_rate=0.1)
            np.testing.assert_allclose(model.get_weights()[0], param, rtol=1e-9)


# ------------------------------------------------------------------------------------------- threads and bits

CASES = {
    "lamb": Lamb(0.02), "adafactor": Adafactor(0.1), "muon": Muon(0.02), "schedule-free": ScheduleFreeAdamW(0.01),
    "clipnorm": Adam(0.01, clipnorm=0.01), "clipvalue": SGD(0.1, clipvalue=1e-3),
    "global_clipnorm": SGD(0.1, global_clipnorm=0.1),
    "ema": Adam(0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=2),
    "accumulation": Nadam(0.01, gradient_accumulation_steps=3),
    "all": Lamb(0.01, weight_decay=0.1, clipnorm=0.1, use_ema=True, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_bits_do_not_depend_on_threads(name, dtype):
    x, y = data(100)
    models = []
    for n_threads in (1, 2, 3, 5):
        model = classifier(CASES[name], (150, 131), dtype)
        model.fit(x, y, batch_size=32, epochs=3, verbose=0, n_threads=n_threads)
        models.append(model)
    assert all(same(models[0], model) for model in models[1:])
    assert not np.array_equal(models[0].get_weights()[0], classifier(CASES[name], (150, 131), dtype).get_weights()[0])


@pytest.mark.parametrize("name", CASES)
def test_copies_go_on_alike(name):
    x, y = data()
    model = classifier(CASES[name])
    model.fit(x, y, batch_size=16, verbose=0)
    again = copy.deepcopy(model)
    for each in (model, again):
        each.fit(x, y, batch_size=16, epochs=2, verbose=0)
    assert same(model, again)


@pytest.mark.parametrize("name", CASES)
def test_calls_between_batches_change_nothing(name):
    """Schedule-free AdamW brings the weights to where users see them, and back."""
    x, y = data()
    plain, told, seen = classifier(CASES[name]), classifier(CASES[name]), []
    call = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(told.get_weights()))
    plain.fit(x, y, batch_size=16, epochs=2, verbose=0)
    told.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[call])
    assert same(plain, told)
    if name == "schedule-free":
        assert all(np.array_equal(a, b) for a, b in zip(seen[-1], told.get_weights(), strict=True))


# ------------------------------------------------------------------------------------------------ the options


def test_clipping_by_norm_is_by_array_and_by_all():
    x, y = data()
    plain = classifier(SGD(1.0))
    grads = plain.gradients(x, y)
    norms = [np.linalg.norm(g) for g in grads]
    limit = float(np.median(norms))
    whole = math.sqrt(sum(norm**2 for norm in norms))
    for name, scales in (("clipnorm", [min(1.0, limit / norm) for norm in norms]),
                         ("global_clipnorm", [min(1.0, limit / whole)] * len(norms))):
        model = classifier(SGD(1.0, **{name: limit}))
        before = model.get_weights()
        model.train_on_batch(x, y)
        for b, a, g, scale in zip(before, model.get_weights(), grads, scales, strict=True):
            np.testing.assert_allclose(b - a, g * scale, rtol=1e-9, atol=1e-14)
    model = classifier(SGD(1.0, clipvalue=1e-3))
    before = model.get_weights()
    model.train_on_batch(x, y)
    for b, a, g in zip(before, model.get_weights(), grads, strict=True):
        np.testing.assert_allclose(b - a, np.clip(g, -1e-3, 1e-3), rtol=1e-9, atol=1e-14)


def test_short_gradients_are_not_lengthened():
    x, y = data()
    plain, clipped, by_all = (classifier(SGD(0.1, **options))
                              for options in ({}, {"clipnorm": 1e6}, {"global_clipnorm": 1e6}))
    for model in (plain, clipped, by_all):
        model.fit(x, y, batch_size=30, verbose=0)
    assert same(plain, clipped)
    assert same(plain, by_all)


def test_accumulated_batches_are_one_large_batch():
    x, y = data(96)
    large, small = classifier(Adam(0.01)), classifier(Adam(0.01, gradient_accumulation_steps=4))
    large.fit(x, y, batch_size=32, epochs=3, shuffle=False, verbose=0)
    small.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(large.get_weights(), small.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_gradients_left_over_wait_for_the_next_epoch():
    x, y = data(48)
    model, before = classifier(SGD(0.1, gradient_accumulation_steps=4)), None
    ends = []
    before = model.get_weights()[0]
    for i in range(4):
        with pytest.warns(UserWarning, match="changed no weights: it had 3 batches.*a smaller batch_size") if i == 0 \
                else nullcontext():
            model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
        ends.append(model.get_weights()[0])
    assert np.array_equal(before, ends[0])
    assert not np.array_equal(ends[0], ends[1])
    assert model._state.step == 12


def test_the_average_is_what_fit_leaves():
    x, y = data(32)
    model, seen = classifier(SGD(0.1, use_ema=True, ema_momentum=0.75)), []
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[
        callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(model.get_weights()))])
    average = seen[0]
    for weights in seen[1:]:
        average = [0.75 * a + 0.25 * w for a, w in zip(average, weights, strict=True)]
    for a, b in zip(average, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_the_average_goes_on_where_weights_are_set_and_starts_afresh_with_compile():
    x, y = data(32)
    model = classifier(SGD(0.0, use_ema=True, ema_momentum=0.75))
    model.fit(x, y, batch_size=32, verbose=0)
    old, new = model.get_weights(), [weight + 1 for weight in model.get_weights()]
    for compiled_again, share in ((False, 0.25), (True, 1.0)):
        if compiled_again:
            model.compile(SGD(0.0, use_ema=True, ema_momentum=0.75), model.loss)
        model.set_weights(new)
        model.fit(x, y, batch_size=32, verbose=0)
        for a, b, c in zip(old, new, model.get_weights(), strict=True):
            np.testing.assert_allclose(c, a + share * (b - a), rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_frozen_layers_stay_and_learn_later(name):
    x, y = data()
    model = classifier(CASES[name])
    model.layers[1].trainable = False
    before = model.get_weights()
    model.fit(x, y, batch_size=16, verbose=0)
    after = model.get_weights()
    assert all(np.array_equal(before[i], after[i]) == (i in (2, 3)) for i in range(6))
    model.layers[1].trainable = True
    model.fit(x, y, batch_size=16, verbose=0)
    assert not np.array_equal(model.get_weights()[2], before[2])


@pytest.mark.parametrize("name", CASES)
def test_pruned_weights_stay_zero(name):
    x, y = data()
    model = classifier(CASES[name])
    model.fit(x, y, batch_size=16, verbose=0)
    fnn.weights.prune(model, 0.5)
    zeros = [mask == 0 for mask in (model.layers[0].kernel, model.layers[1].kernel)]
    assert all(mask.sum() > 100 for mask in zeros)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    assert all(np.all(layer.kernel[mask] == 0) for layer, mask in zip(model.layers, zeros, strict=False))


def test_a_layer_in_python_has_the_same_steps():
    class Python(fnn.layers.PythonLayer):
        def add_weights(self, input_shape):
            return {"kernel": ((input_shape[0], 3), "zeros"), "bias": ((3,), "zeros")}

        def compute_output_shape(self, input_shape):
            return (3,)

        def forward(self, x, training):
            self.x = x.copy()
            return x @ self.weights["kernel"] + self.weights["bias"]

        def backward(self, dy):
            self.gradients["kernel"][...] = self.x.T @ dy
            self.gradients["bias"][...] = dy.sum(axis=0)
            return dy @ self.weights["kernel"].T

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 3))
    for optimizer in CASES.values():
        models = []
        for layer in (Python(), layers.Dense(3)):
            model = fnn.Sequential([fnn.Input((5,)), layers.Dense(8, activation="tanh"), layer], seed=0,
                                   dtype="float64")
            model.compile(type(optimizer)(**{k: v for k, v in optimizer.get_config().items() if k != "name"}), "mse")
            model.set_weights([*model.get_weights()[:2], np.linspace(-1, 1, 24).reshape(8, 3), np.zeros(3)])
            model.fit(x, y, batch_size=8, epochs=2, verbose=0)
            models.append(model)
        for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


# ----------------------------------------------------------------------------------------- learning-rate multipliers


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01), Lamb(0.01), AdamW(0.01, weight_decay=0.1), Muon(0.01)],
                         ids=repr)
def test_a_multiplier_multiplies_the_step(optimizer):
    x, y = data()
    plain, slow = classifier(optimizer), classifier(optimizer)
    before = plain.get_weights()
    slow.layers[0].learning_rate_multiplier = 0.25
    slow.layers[1].learning_rate_multiplier = 0
    for model in (plain, slow):
        model.train_on_batch(x, y)
    for i, (b, p, s) in enumerate(zip(before, plain.get_weights(), slow.get_weights(), strict=True)):
        np.testing.assert_allclose(s - b, (p - b) * (0.25, 0.0, 1.0)[i // 2],
                                   rtol=1e-6 if optimizer.weight_decay else 1e-9, atol=1e-12)
    slow.layers[0].learning_rate_multiplier = slow.layers[1].learning_rate_multiplier = 1.0
    slow.set_weights(plain.get_weights())
    for model in (plain, slow):
        model.train_on_batch(x, y)
    assert same(plain, slow)


def test_multipliers_of_containers_and_files(tmp_path):
    x, y = data()
    inner = layers.Dense(20, activation="tanh")
    model = fnn.Sequential([fnn.Input((20,)), layers.Residual([inner]), layers.Dense(7)], seed=0, dtype="float64")
    model.compile("sgd", fnn.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.layers[0].learning_rate_multiplier = 0.5
    inner.learning_rate_multiplier = 0.5
    grads, before = model.gradients(x, y), model.get_weights()
    model.train_on_batch(x, y)
    np.testing.assert_allclose(before[0] - model.get_weights()[0], 0.01 * 0.25 * grads[0], rtol=1e-9)
    np.testing.assert_allclose(before[2] - model.get_weights()[2], 0.01 * grads[2], rtol=1e-9)
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    assert again.layers[0].learning_rate_multiplier == again.layers[0].sublayers[0].learning_rate_multiplier == 0.5
    assert "learning_rate_multiplier" not in again.layers[1].get_config()
    for each in (model, again):
        each.fit(x, y, verbose=0)
    assert same(model, again)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_multipliers_refused(value):
    with pytest.raises(ValueError, match=r"learning_rate_multiplier must be in \[0, inf\)"):
        layers.Dense(3).learning_rate_multiplier = value
    with pytest.raises(TypeError, match="learning_rate_multiplier must be a number"):
        layers.Dense(3).learning_rate_multiplier = "slow"


# ------------------------------------------------------------------------------------------ which rule takes which


def test_muon_takes_matrices_that_are_no_tables():
    model = fnn.Sequential([fnn.Input((3,)), layers.Embedding(5, 4), layers.Flatten(), layers.Dense(6, name="middle"),
                            layers.Dense(2, name="last")], seed=0)
    model.compile(Muon(exclude_layers=["^last/"]), "mse")
    model.fit(np.ones((4, 3), int), np.ones((4, 2)), verbose=0)
    used = {name: bool(np.any(model._state.slots[1][offset:offset + leaf.weights[name.split("/")[1]].size]))
            for leaf in model._leaves() for name, offset in ((f"{leaf.name}/{n}", o) for n, o in leaf._offsets.items())}
    assert used == {"embedding/embeddings": True, "middle/kernel": False, "middle/bias": True, "last/kernel": True,
                    "last/bias": True}


def test_what_is_excluded_from_decay():
    x, y = data()
    for names, arrays, wanted in ((["bias"], [], {1, 3, 5}), (["dense_1/kernel"], [], {2}), (["^dense/"], [], {0, 1}),
                                  ([], [0, 5], {0, 5}), (["kernel"], [1], {0, 1, 2, 4})):
        model = classifier("sgd")
        model.compile(SGD(1.0, weight_decay=0.5), model.loss)
        given = [model.layers[i // 2].weights[("kernel", "bias")[i % 2]] for i in arrays]
        model.optimizer.exclude_from_weight_decay(var_list=given, var_names=names)
        model.set_weights([np.ones_like(w) for w in model.get_weights()])
        grads, before = model.gradients(x, y), model.get_weights()
        model.train_on_batch(x, y)
        for i, (b, a, g) in enumerate(zip(before, model.get_weights(), grads, strict=True)):
            np.testing.assert_allclose(a, b * (1.0 if i in wanted else 0.5) - g, rtol=1e-9, atol=1e-12)
        assert fnn.optimizers.get(model.optimizer.get_config()).get_config() == model.optimizer.get_config()


def test_exclusions_come_before_training_and_name_parameters():
    x, y = data()
    model = classifier("adamw")
    with pytest.raises(TypeError, match="var_list must be parameters"):
        model.optimizer.exclude_from_weight_decay(var_list=["bias"])
    with pytest.raises(TypeError, match="var_names must be strings"):
        model.optimizer.exclude_from_weight_decay(var_names=[3])
    with pytest.raises(TypeError, match="var_names must be a list"):
        model.optimizer.exclude_from_weight_decay(var_names="bias")
    with pytest.raises(ValueError, match="no regular expression"):
        model.optimizer.exclude_from_weight_decay(var_names=["("])
    model.optimizer.exclude_from_weight_decay(var_list=[np.zeros(3)])
    with pytest.raises(ValueError, match="is no parameter of the model"):
        model.train_on_batch(x, y)
    model.optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.train_on_batch(x, y)
    with pytest.raises(ValueError, match="before the optimizer takes its first step"):
        model.optimizer.exclude_from_weight_decay(var_names=["bias"])


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"clipnorm": 0.0}, ValueError, r"clipnorm must be in \(0, inf\)"),
    ({"clipvalue": -1.0}, ValueError, r"clipvalue must be in \(0, inf\)"),
    ({"global_clipnorm": math.nan}, ValueError, r"global_clipnorm must be in \(0, inf\)"),
    ({"clipnorm": "1"}, TypeError, "clipnorm must be a number"),
    ({"clipnorm": 1.0, "clipvalue": 0.5}, ValueError, "only one of .* received clipnorm=1.0, clipvalue=0.5"),
    ({"use_ema": 1}, TypeError, "use_ema must be True or False"),
    ({"use_ema": True, "ema_momentum": 1.1}, ValueError, r"ema_momentum must be in \[0, 1\]"),
    ({"use_ema": True, "ema_overwrite_frequency": 0}, ValueError, "ema_overwrite_frequency must be in"),
    ({"use_ema": True, "ema_overwrite_frequency": 1.5}, TypeError, "ema_overwrite_frequency must be an integer"),
    ({"gradient_accumulation_steps": 1}, ValueError, r"gradient_accumulation_steps must be in \[2,"),
    ({"gradient_accumulation_steps": "2"}, TypeError, "gradient_accumulation_steps must be an integer"),
    ({"exclude_from_weight_decay": "bias"}, TypeError, "var_names must be a list"),
    ({"clip_norm": 1.0}, TypeError, r"has no argument 'clip_norm'. Did you mean 'clipnorm'\?"),
    ({"decay": 1.0}, TypeError, "has no argument 'decay'. .*Allowed: learning_rate"),
])
@pytest.mark.parametrize("cls", [SGD, Muon, AdamW])
def test_options_refused(cls, arguments, error, message):
    with pytest.raises(error, match=message):
        cls(**arguments)


@pytest.mark.parametrize(("cls", "arguments", "message"), [
    (Adafactor, {"beta_2_decay": 0.1}, "beta_2_decay"), (Adafactor, {"epsilon_1": -1.0}, "epsilon_1"),
    (Adafactor, {"epsilon_2": -1.0}, "epsilon_2"), (Adafactor, {"clip_threshold": 0.0}, "clip_threshold"),
    (Lamb, {"beta_1": 1.0}, "beta_1"), (Lamb, {"epsilon": -1.0}, "epsilon"),
    (Muon, {"momentum": 1.5}, "momentum"), (Muon, {"ns_steps": 0}, "ns_steps"), (Muon, {"rms_rate": 0.0}, "rms_rate"),
    (Muon, {"muon_a": math.inf}, "muon_a"), (Muon, {"adam_lr_ratio": -1.0}, "adam_lr_ratio"),
    (Muon, {"adam_beta_2": 1.0}, "adam_beta_2"), (Muon, {"exclude_layers": ["("]}, "regular expression"),
    (ScheduleFreeAdamW, {"beta_1": 0.0}, "beta_1"), (ScheduleFreeAdamW, {"warmup_steps": -1}, "warmup_steps"),
])
def test_values_refused(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.parametrize("optimizer", [*CASES.values(), *WHOLE], ids=repr)
def test_configurations_go_round(optimizer):
    config = optimizer.get_config()
    again = fnn.optimizers.get(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == config
    assert again._blocks() == optimizer._blocks()
    assert eval(repr(optimizer), vars(fnn.optimizers)).get_config() == config


# ------------------------------------------------------------------------------------------------------ signals


def test_an_interrupt_inside_muon_leaves_whole_steps():
    """Its products are long, and it stops between them: weights and momenta are those of the last step."""
    x, y = data(32, 500)
    model = classifier(Muon(0.01, ns_steps=500), (400, 300), "float32", n_in=500)
    model.build((500,))
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=32, epochs=10**6, verbose=0, shuffle=False)
    steps = model._state.step
    wanted = classifier(Muon(0.01, ns_steps=500), (400, 300), "float32", n_in=500)
    if steps:
        wanted.fit(x, y, batch_size=32, epochs=steps, verbose=0, shuffle=False)
        assert all(np.array_equal(a, b) for a, b in zip(model._state.slots, wanted._state.slots, strict=True))
    assert same(model, wanted)


def constrained(optimizer, built):
    model = fnn.Sequential([fnn.layers.Dense(3, kernel_constraint="max_norm", name="d")], seed=0)
    if built:
        model.build((4,))
    model.compile(optimizer, "mse")
    return model


def test_schedule_free_refuses_what_its_average_would_undo():
    refused = r"ScheduleFreeAdamW cannot keep constraints: .*; d\.kernel has MaxNorm"
    with pytest.raises(ValueError, match=refused):
        constrained(ScheduleFreeAdamW(), built=True)
    model = constrained(ScheduleFreeAdamW(), built=False)
    with pytest.raises(ValueError, match=refused):
        model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    assert not model.built
    model.compile(AdamW(), "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    free = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(3)], seed=0)
    free.compile(ScheduleFreeAdamW(), "mse")
    with pytest.raises(ValueError, match="cannot keep constraints"):
        free.add(fnn.layers.Dense(3, bias_constraint="non_neg"))
    assert len(free.layers) == 1
    with pytest.raises(ValueError, match=r"takes no ema_overwrite_frequency: .*; received 5"):
        ScheduleFreeAdamW(use_ema=True, ema_overwrite_frequency=5)
