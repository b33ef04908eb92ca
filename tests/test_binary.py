"""Layers of few values: what they multiply by, what they learn, packed models, files, bad input."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import safetensors.numpy

import fastnn as fnn
from fastnn import activations, kernels, layers, reference
from fastnn._kernels.teams import Team
from fastnn.layers import (
    Activation,
    BatchNormalization,
    BinaryDense,
    Dense,
    Dropout,
    Flatten,
    PackedDense,
    TernaryDense,
)

ROUNDED = {
    "sign": lambda units, **more: BinaryDense(units, **more),
    "01": lambda units, **more: BinaryDense(units, mode="01", **more),
    "ternary": lambda units, **more: TernaryDense(units, threshold=0.1, **more),
}
every_rounding = pytest.mark.parametrize("rounding", ROUNDED)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
UNIFORM = fnn.initializers.RandomUniform(-1, 1)


def samples(n, n_in, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_in)), rng.integers(classes, size=n)


def compiled(stack, dtype="float64", optimizer="adam", seed=3, shape=None):
    model = fnn.Sequential([*([fnn.Input(shape)] if shape else []), *stack], seed=seed, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def assert_same(got, want):
    for a, b in zip(got, want, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def dense_twin(model, kernels_of):
    """The same model of Dense layers, with these kernels in the place of rounded layers'."""
    stack = [Dense(layer.units, activation=layer.activation, use_bias=layer.use_bias)
             if isinstance(layer, layers.rounded.RoundedDense) else type(layer).from_config(layer.get_config())
             for layer in model.layers]
    twin = compiled(stack, model.dtype, shape=model.input_shape)
    for layer, own in zip(twin.layers, model.layers, strict=True):
        for name, weight in own.weights.items():
            layer.weights[name][...] = kernels_of.get(own, weight) if name == "kernel" else weight
    return twin


def spread(model, rng, scale=0.8):
    """Kernels, some of them beyond 1, and zeros among them."""
    for layer in model.layers:
        if isinstance(layer, layers.rounded.RoundedDense):
            kernel = rng.normal(scale=scale, size=layer.kernel.shape)
            layer.kernel = np.where(rng.random(kernel.shape) < 0.1, 0, kernel)
            layer.bias = rng.normal(size=layer.bias.shape)


# ------------------------------------------------------------------------------------------------- activations


@every_dtype
def test_rounding_activations(dtype):
    x = np.array([[-2, -1, -0.5, -0.4, -0.0, 0, 0.5, 0.6, 1, 3]], dtype)
    assert activations.sign(x).tolist() == [[-1, -1, -1, -1, 1, 1, 1, 1, 1, 1]]
    assert activations.binary_step(x).tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 1, 1]]
    assert activations.ternary(x).tolist() == [[-1, -1, 0, 0, 0, 0, 0, 1, 1, 1]]
    assert activations.Ternary(0.0)(x).tolist() == [[-1, -1, -1, -1, 0, 0, 1, 1, 1, 1]]
    for name in ("sign", "binary_step", "ternary"):
        assert activations.get(name).needs_input
        slope = kernels.activation_backward(np.full_like(x, 2), x, name)
        assert slope.tolist() == [[0, 2, 2, 2, 2, 2, 2, 2, 2, 0]]
        nan = np.full((1, 3), np.nan, dtype)
        assert np.isnan(activations.get(name)(nan)).all()


def test_ternary_activation_is_an_object_with_a_threshold():
    again = activations.get(activations.Ternary(0.3).get_config())
    assert again.threshold == again.alpha == 0.3
    with pytest.raises(ValueError, match=r"threshold must be in \[0, inf\); received -1"):
        activations.Ternary(-1)


@pytest.mark.parametrize("name", ["sign", "binary_step", "ternary"])
@pytest.mark.parametrize("as_layer", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_gradient_goes_straight_through_an_activation(name, as_layer, norm):
    """It is that of the model in which dz = dy where z is in [-1, 1], written down in NumPy."""
    x, y = samples(17, 6)
    first = [Dense(5)] if as_layer or norm else [Dense(5, activation=name)]
    first += [BatchNormalization()] if norm else []
    first += [Activation(name)] if as_layer or norm else []
    model = compiled([*first, Dense(3, activation="softmax")], shape=(6,))
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            layer.weights["moving_variance"][...] = 0.4
            layer.weights["gamma"][...] = [1, 0.5, -1, 2, 1]
    w, b = (model.layers[0].weights[part] for part in ("kernel", "bias"))
    z = x @ w + b
    inner = model.layers[1].weights["gamma"] / np.sqrt(0.4 + 0.001) if norm else np.ones(5)
    z = z * inner
    assert 0 < (np.abs(z) > 1).sum() < z.size
    hidden = activations.get(name)(z)
    v, c = (model.layers[-1].weights[part] for part in ("kernel", "bias"))
    logits = hidden @ v + c
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(17), y] -= 1
    dz = (p / 17) @ v.T * (np.abs(z) <= 1) * inner
    got = model.gradients(x, y)
    np.testing.assert_allclose(got[0], x.T @ dz, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got[1], dz.sum(axis=0), rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------------------------------ rounded layers


@every_rounding
@every_dtype
def test_outputs_and_gradients_are_those_of_the_rounded_kernel(rounding, dtype):
    """To the bit, but for zeros in the kernel's gradient where it is beyond 1."""
    x, y = samples(41, 23)
    make = ROUNDED[rounding]
    model = compiled([make(19, activation="tanh"), BatchNormalization(), make(9), Activation("sign"),
                      make(3, activation="softmax")], dtype, shape=(23,))
    spread(model, np.random.default_rng(1))
    rounded = [layer for layer in model.layers if isinstance(layer, layers.rounded.RoundedDense)]
    for layer in rounded:
        want = {"sign": np.where(layer.kernel >= 0, 1, -1), "01": layer.kernel >= 0,
                "ternary": np.where(np.abs(layer.kernel) > dtype_of(layer, 0.1), np.sign(layer.kernel), 0)}[rounding]
        assert np.array_equal(layer.rounded_kernel, want)
    twin = dense_twin(model, {layer: layer.rounded_kernel for layer in rounded})
    assert_same([model.predict(x)], [twin.predict(x)])
    assert model.evaluate(x, y, verbose=0) == twin.evaluate(x, y, verbose=0)
    for training in (False, True):
        want = twin.gradients(x, y, training=training)
        names = [(leaf, name) for leaf in model.layers for name in leaf.weights]
        got = model.gradients(x, y, training=training)
        for (leaf, name), one, other in zip(names, got, want, strict=True):
            if one is other is None:
                continue
            beyond = np.abs(leaf.weights[name]) > 1 if leaf in rounded and name == "kernel" else False
            assert np.array_equal(one, np.where(beyond, 0, other)), (leaf.name, name)
        assert (np.abs(rounded[0].kernel) > 1).any()


def dtype_of(layer, value):
    return layer.kernel.dtype.type(value)


@every_rounding
@pytest.mark.parametrize("stochastic", [False, True])
def test_training_is_that_of_the_definition(rounding, stochastic):
    """SGD in NumPy: round, gradient of the rounded kernel, step on the kernel, clip."""
    x, y = samples(32, 7)
    make = ROUNDED[rounding]
    model = compiled([make(6, activation="tanh", stochastic=stochastic, kernel_initializer=UNIFORM),
                      make(3, activation="softmax", stochastic=stochastic, kernel_initializer=UNIFORM)],
                     optimizer=fnn.optimizers.SGD(0.3), shape=(7,))
    w, b, v, c = model.get_weights()
    model.fit(x, y, epochs=4, batch_size=8, shuffle=False, verbose=0)
    values = {"sign": "sign", "01": "binary_step", "ternary": "ternary"}[rounding]

    def rounded(kernel, stream, step):
        if not stochastic:
            return model.layers[0].rounding(kernel)
        return reference.stochastic_round(kernel, values, seed=model.seed, stream=stream, step=step)

    for step in range(16):
        rows = slice(step % 4 * 8, step % 4 * 8 + 8)
        qw, qv = rounded(w, 1, step), rounded(v, 2, step)
        hidden = np.tanh(x[rows] @ qw + b)
        logits = hidden @ qv + c
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(8), y[rows]] -= 1
        p /= 8
        dz = (p @ qv.T) * (1 - hidden**2)
        for param, gradient in ((w, x[rows].T @ dz), (b, dz.sum(axis=0)), (v, hidden.T @ p), (c, p.sum(axis=0))):
            param -= 0.3 * gradient
        np.clip(w, -1, 1, out=w)
        np.clip(v, -1, 1, out=v)
    for got, want in zip(model.get_weights(), (w, b, v, c), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


@every_rounding
def test_random_rounding_keeps_the_mean(rounding):
    values = {"sign": "sign", "01": "binary_step", "ternary": "ternary"}[rounding]
    x = np.tile(np.linspace(-1.25, 1.25, 11), (20000, 1))
    drawn = kernels.stochastic_round(x, values, seed=5)
    assert set(np.unique(drawn)) == {"sign": {-1, 1}, "01": {0, 1}, "ternary": {-1, 0, 1}}[rounding]
    mean = np.clip(x[0], -1, 1)
    mean = (mean + 1) / 2 if rounding == "01" else mean
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=4 / np.sqrt(20000))
    assert np.array_equal(drawn[:, [0, -1]], np.tile(drawn[0, [0, -1]], (20000, 1)))
    assert not np.array_equal(drawn, kernels.stochastic_round(x, values, seed=5, step=1))
    assert not np.array_equal(drawn, kernels.stochastic_round(x, values, seed=5, stream=1))


def test_steps_draw_other_weights_and_predictions_none():
    x, _ = samples(16, 5)
    model = compiled([BinaryDense(4, stochastic=True), Dense(3, activation="softmax")], shape=(5,))
    assert_same([model.predict(x)], [model.predict(x)])
    want = x @ model.layers[0].rounded_kernel
    inner = fnn.Sequential([fnn.Input((5,)), BinaryDense(4, stochastic=True)], dtype="float64")
    inner.layers[0].kernel = model.layers[0].kernel
    np.testing.assert_allclose(inner.predict(x), want, rtol=1e-12)


def test_kernels_stay_within_bounds_only_where_asked():
    x, y = samples(64, 5)
    for constraint, inside in (("weight_clip", True), (fnn.constraints.WeightClip(0.5), True), (None, False)):
        model = compiled([BinaryDense(8, kernel_constraint=constraint, kernel_initializer=UNIFORM),
                          Dense(3, activation="softmax")], optimizer=fnn.optimizers.SGD(20.0), shape=(5,))
        model.fit(x, y, epochs=3, batch_size=16, verbose=0)
        limit = constraint.clip_value if isinstance(constraint, fnn.constraints.WeightClip) else 1
        assert (np.abs(model.layers[0].kernel).max() <= limit) == inside


def test_options_of_training_reach_the_numbers_that_are_rounded():
    x, y = samples(64, 5)
    model = compiled([BinaryDense(8, kernel_regularizer="l2", kernel_constraint=None), BatchNormalization(),
                      BinaryDense(3, activation="softmax", activity_regularizer="l2")],
                     optimizer=fnn.optimizers.Adam(0.01, clipnorm=1.0, use_ema=True, gradient_accumulation_steps=2,
                                                   weight_decay=0.01), shape=(5,))
    history = model.fit(x, y, epochs=8, batch_size=16, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert len(np.unique(model.layers[0].kernel)) > 2


@every_rounding
@pytest.mark.parametrize("stochastic", [False, True])
def test_no_bit_depends_on_the_team(rounding, stochastic):
    make, results = ROUNDED[rounding], []
    x, y = samples(70, 45)
    x = x.astype("float32")
    for groups, lanes in ((1, 1), (2, 1), (1, 2), (3, 1), (2, 2), (1, 4), (8, 1)):
        model = compiled([make(70, stochastic=stochastic), BatchNormalization(), Activation("sign"),
                          make(33, stochastic=stochastic, activation="relu", kernel_constraint=None),
                          make(3, activation="softmax")], "float32", shape=(45,))
        model._workspace("train", 70).tuner(groups * lanes, 70).fixed = Team(groups, lanes)
        threads = groups * lanes
        model.fit(x, y, epochs=3, batch_size=70, verbose=0, n_threads=threads)
        results.append([*model.get_weights(), model.predict(x, n_threads=threads),
                        model.pack().predict(x, n_threads=threads), *model.gradients(x, y, n_threads=threads),
                        *model.gradients(x, y, training=True, n_threads=threads)])
    for other in results[1:]:
        assert_same(other, results[0])


@every_rounding
def test_predictions_do_not_depend_on_other_rows(rounding):
    x, _ = samples(70, 130)
    model = fnn.Sequential([ROUNDED[rounding](67), Activation("sign"), ROUNDED[rounding](50)], seed=0)
    model.build((130,))
    for each in (model, model.pack()):
        whole = each.predict(x)
        assert_same([whole], [np.concatenate([each.predict(row[None]) for row in x])])


@every_rounding
def test_copies_files_and_descriptions(rounding, tmp_path):
    x, y = samples(40, 9)
    model = compiled([ROUNDED[rounding](8, stochastic=True, name="first"), BatchNormalization(),
                      ROUNDED[rounding](3, activation="softmax")], shape=(9,))
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    for other in (fnn.load_model(tmp_path / "m.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert repr(other.layers[0]) == repr(model.layers[0])
        assert_same(other.get_weights(), model.get_weights())
        once = copy.deepcopy(model)
        for each in (other, once):
            each.fit(x, y, epochs=2, verbose=0)
        assert_same(other.get_weights(), once.get_weights())


def test_fuse_leaves_rounded_layers_alone():
    x, y = samples(60, 9)
    model = compiled([BinaryDense(8), BatchNormalization(), Dense(3, activation="softmax")], shape=(9,))
    model.fit(x, y, epochs=2, verbose=0)
    fused = model.fuse()
    assert [type(layer) for layer in fused.layers] == [BinaryDense, Dense]
    np.testing.assert_allclose(fused.predict(x), model.predict(x), rtol=1e-9)
    assert_same([fused.pack().predict(x)], [fused.predict(x)])


def test_the_second_argument_is_the_activation():
    for kind in (BinaryDense, TernaryDense):
        assert kind(3, "softmax").activation.name == "softmax"


REFUSED = {
    "mode": (lambda: BinaryDense(3, mode="binary"), ValueError, "mode must be 'sign' or '01'; received 'binary'"),
    "stochastic": (lambda: BinaryDense(3, stochastic=1), TypeError, "stochastic must be True or False; received 1"),
    "units": (lambda: TernaryDense(0), ValueError, "units"),
    "threshold": (lambda: TernaryDense(3, threshold=-0.1), ValueError, r"threshold must be in \[0, inf\)"),
    "threshold text": (lambda: TernaryDense(3, threshold="0.1"), TypeError, "threshold must be a number"),
    "images": (lambda: BinaryDense(3).compute_output_shape((2, 2)), ValueError, "BinaryDense takes samples of one"),
    "clip": (lambda: fnn.constraints.WeightClip(0), ValueError, r"clip_value must be in \(0, inf\); received 0"),
    "tied": (lambda: fnn.Sequential([fnn.Input((3,)), BinaryDense(3, name="a"), Dense(3, tied_to="a")]), ValueError,
             "no Dense layer"),
    "values": (lambda: PackedDense(3, "01"), ValueError, "values must be one of 'sign', 'binary_step', 'ternary'"),
    "inputs": (lambda: PackedDense(3, inputs="ternary"), ValueError, "inputs must be one of None, 'sign'"),
    "no words": (lambda: PackedDense(3).words, AttributeError, "no words before it is built"),
    "not built": (lambda: fnn.Sequential([BinaryDense(3)]).pack(), ValueError, "before it is built"),
    "nothing to pack": (lambda: fnn.Sequential([fnn.Input((3,)), Dense(3)]).pack(), ValueError, "no BinaryDense"),
    "kernel": (lambda: BinaryDense(3).kernel, AttributeError, "has no kernel before it is built"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    attempt, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        attempt()


# -------------------------------------------------------------------------------------------- packed models


STACKS = {
    "float inputs": lambda make: [make(33, activation="relu"), make(5)],
    "signs": lambda make: [make(70, activation="sign"), make(64), BatchNormalization(), Activation("sign"),
                           make(5, activation="softmax")],
    "steps": lambda make: [Dense(65, activation="binary_step"), make(200, activation="tanh"),
                           Activation("binary_step"), make(130, activation="gelu")],
    "between": lambda make: [Activation("sign"), Dropout(0.2), layers.Reshape((2, 65)), Flatten(), make(3)],
    "of images": lambda make: [layers.Reshape((13, 10, 1)), layers.Conv2D(3, 3, activation="sign"), Flatten(), make(7)],
    "in containers": lambda make: [make(31), layers.Residual([Activation("sign"), make(8), Dense(31)]),
                                   layers.Concatenate([[Activation("sign"), make(3)], [make(4, activation="elu")]]),
                                   Activation("sign"), make(2)],
    "narrow": lambda make: [Activation("sign"), make(1), Activation("sign"), make(1)],
    "ternary inputs": lambda make: [Activation("ternary"), make(9)],
}


@every_rounding
@every_dtype
@pytest.mark.parametrize("stack", STACKS)
def test_packed_models_predict_the_same_bits(stack, rounding, dtype):
    x, _ = samples(29, 130, seed=1)
    model = fnn.Sequential([fnn.Input((130,)), *STACKS[stack](ROUNDED[rounding])], seed=0, dtype=dtype)
    for leaf in model._leaves():
        if isinstance(leaf, layers.rounded.RoundedDense):
            leaf.bias = np.random.default_rng(2).normal(size=leaf.units)
        if isinstance(leaf, BatchNormalization):
            leaf.weights["moving_mean"][...] = np.random.default_rng(3).normal(size=leaf.weights["gamma"].size)
    before = model.get_weights()
    packed = model.pack()
    assert not any(isinstance(leaf, layers.rounded.RoundedDense) for leaf in packed._leaves())
    assert_same([packed.predict(x)], [model.predict(x)])
    assert_same([packed.predict(x[:1])], [model.predict(x[:1])])
    assert_same(model.get_weights(), before)


def test_activations_of_two_values_become_part_of_packed_layers():
    model = fnn.Sequential([fnn.Input((65,)), *STACKS["signs"](ROUNDED["sign"])])
    packed = model.pack()
    assert [type(layer).__name__ for layer in packed.layers] == ["PackedDense", "PackedDense", "BatchNormalization",
                                                                 "PackedDense"]
    assert [layer.inputs for layer in packed.layers if isinstance(layer, PackedDense)] == [None, "sign", "sign"]
    assert [layer.name for layer in packed.layers] == [layer.name for layer in model.layers
                                                       if not isinstance(layer, Activation)]
    assert model.layers[0].activation.name == "sign"


def test_packed_models_evaluate_the_same():
    x, y = samples(300, 40)
    model = compiled([BinaryDense(70), BatchNormalization(), Activation("sign"), TernaryDense(3, activation="softmax")],
                     "float32", shape=(40,))
    model.fit(x, y, epochs=2, verbose=0)
    packed = model.pack()
    assert packed.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_layers_that_packing_changes_have_no_penalties():
    x, y = samples(50, 8)
    losses = []
    for penalty in ({}, {"kernel_regularizer": "l2", "bias_regularizer": "l1", "activity_regularizer": "l2"}):
        model = compiled([Dense(5, "sign", **penalty), BinaryDense(4, **penalty), BatchNormalization(),
                          Activation("sign"), TernaryDense(3, "softmax", **penalty)], "float32", shape=(8,))
        packed = model.pack()
        assert_same(packed.predict(x), model.predict(x))
        losses += [model.evaluate(x, y, verbose=0)[0], packed.evaluate(x, y, verbose=0)[0]]
    assert losses[0] == losses[1] == losses[3] < losses[2]
    model = compiled([Dense(5, kernel_regularizer="l2"), Activation("sign"), BinaryDense(3, "softmax")], shape=(8,))
    assert model.pack().evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_fit_refuses_a_packed_model_before_anything_is_shown(capfd):
    model = compiled([BinaryDense(3, "softmax")], shape=(8,)).pack()
    with pytest.raises(ValueError, match="for prediction alone"):
        model.fit(*samples(5, 8), verbose=1)
    assert capfd.readouterr() == ("", "")


def test_long_sums_are_exact():
    """Counts of bytes overflow after 31 words, and products are cut into blocks."""
    rng = np.random.default_rng(0)
    for n_in in (64 * 31, 64 * 31 + 1, 64 * 62 + 63, 20000):
        x = np.ones((3, n_in), np.float32)
        x[1] = -1
        x[2] = rng.choice([-1, 1], n_in)
        w = np.where(rng.random((40, n_in)) < 0.5, 1, -1).astype(np.float32)
        w[0], w[1] = 1, -1
        got = kernels.packed_dense_forward(x, kernels.pack_bits(w), inputs="sign")
        assert np.array_equal(got, x @ w.T)


@every_rounding
def test_packed_files_are_small_and_load(rounding, tmp_path):
    model = fnn.Sequential([fnn.Input((256,)), ROUNDED[rounding](512, use_bias=False), Activation("sign"),
                            ROUNDED[rounding](256)], seed=0)
    x, _ = samples(9, 256)
    packed = model.pack()
    model.save(tmp_path / "whole.safetensors")
    packed.save(tmp_path / "packed.safetensors")
    tensors = safetensors.numpy.load_file(tmp_path / "packed.safetensors")
    names = [layer.name for layer in packed.layers]
    assert set(tensors) == {f"layers.{names[0]}.words", f"layers.{names[1]}.words", f"layers.{names[1]}.bias"}
    words = sum(tensor.nbytes for name, tensor in tensors.items() if name.endswith("words"))
    assert words * (16 if rounding == "ternary" else 32) == 4 * 2 * 256 * 512
    loaded = fnn.load_model(tmp_path / "packed.safetensors")
    for other in (loaded, copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert_same([other.predict(x)], [model.predict(x)])
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "packed.safetensors").read_bytes()


def packed_model(values="sign"):
    model = fnn.Sequential([fnn.Input((70,)), ROUNDED["ternary" if values == "ternary" else "sign"](5)], seed=0)
    return model.pack()


def test_words_can_be_set_and_are_checked():
    packed = packed_model()
    layer = packed.layers[0]
    words = layer.words
    x = np.ones((1, 70))
    before = packed.predict(x)
    words[0] = 0
    assert_same([packed.predict(x)], [before])
    layer.words = words
    assert packed.predict(x)[0, 0] == -70
    for wrong, message in ((words[:4], r"\(5, 2\); received \(4, 2\)"), (words.astype(np.int64), "uint64")):
        with pytest.raises((ValueError, TypeError), match=message):
            layer.words = wrong
    words[3, 1] = 1 << 6
    with pytest.raises(ValueError, match="zero bits past the last of 70 inputs; received others for output 3"):
        layer.words = words
    ternary = packed_model("ternary").layers[0]
    words = ternary.words
    words[:, 4, 0] |= np.uint64(8)
    with pytest.raises(ValueError, match="both 1 and -1; received such a one for output 4"):
        ternary.words = words


@pytest.mark.parametrize("change", ["bits", "shape", "dtype", "missing", "both"])
def test_files_with_wrong_words_are_refused(change, tmp_path):
    packed = packed_model("ternary" if change == "both" else "sign")
    layer, path = packed.layers[0], tmp_path / "m.safetensors"
    if change == "bits":
        layer._words[2, 1] |= np.uint64(1 << 63)
    elif change == "shape":
        layer._words = layer._words[:, :1]
    elif change == "dtype":
        layer._words = layer._words.astype(np.float64)
    elif change == "missing":
        layer._words = None
    else:
        layer._words[:, 1, 0] = 1
    packed.save(path)
    message = {"bits": "zero bits past the last of 70 inputs", "both": "both 1 and -1"}.get(change, "words")
    with pytest.raises(fnn.ModelFormatError, match=message):
        fnn.load_model(path)


def test_packed_models_cannot_be_trained():
    x, y = samples(8, 6)
    model = compiled([BinaryDense(4), Dense(3, activation="softmax")], shape=(6,))
    packed = model.pack()
    packed.compile("adam", "sparse_categorical_crossentropy")
    for attempt in (lambda: packed.fit(x, y, verbose=0), lambda: packed.train_on_batch(x, y),
                    lambda: packed.gradients(x, y), lambda: packed.input_gradients(x, y)):
        with pytest.raises(ValueError, match=r"'binary_dense' \(PackedDense\) is for prediction alone"):
            attempt()
    assert packed.evaluate(x, y, verbose=0) > 0


def test_kernels_refuse_words():
    x, words = np.ones((2, 70), np.float32), np.zeros((3, 2), np.uint64)
    for more, error, message in (
        ({"words": words.astype(np.uint32)}, TypeError, "uint64; received dtype uint32"),
        ({"words": words[:, :1]}, ValueError, r"\(units, 2\); received \(3, 1\)"),
        ({"words": words + np.uint64(2**40)}, ValueError, "received others for output 0"),
        ({"values": "ternary"}, ValueError, r"\(2, units, 2\)"),
        ({"inputs": "ternary"}, ValueError, "inputs must be one of None, 'sign', 'binary_step'"),
        ({"values": "01"}, ValueError, "values must be one of 'sign'"),
        ({"bias": np.ones(2, np.float32)}, ValueError, r"bias must have the shape \(3,\)"),
    ):
        with pytest.raises(error, match=message):
            kernels.packed_dense_forward(**({"x": x, "words": words} | more))
    with pytest.raises(ValueError, match="values must be one of"):
        kernels.stochastic_round(x, "signs", seed=0)
