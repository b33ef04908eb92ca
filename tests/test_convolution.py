"""Convolution and pooling: kernels over more than one block of positions, layers, what they refuse."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fastnn as fnn
from fastnn import kernels, layers, reference

# Samples of many positions, cut into blocks; samples of few, several in a block; one position each; one channel, whose
# patches are turned; patches that are read in place. (samples, height, width, channels), kernel size, filters, place
SHAPES = {
    "many positions": ((3, 21, 23, 5), (3, 3), 7, {}),
    "many positions same": ((2, 20, 19, 3), (2, 5), 40, {"padding": "same"}),
    "few positions": ((33, 4, 5, 6), (3, 2), 70, {"padding": "same", "strides": 2}),
    "one position": ((300, 3, 4, 2), (3, 4), 33, {}),
    "one channel": ((5, 28, 27, 1), (3, 5), 35, {}),
    "one channel same": ((40, 9, 8, 1), (4, 3), 6, {"padding": "same"}),
    "one channel by 2": ((5, 28, 27, 1), (3, 5), 35, {"strides": (2, 1)}),
    "one channel, one position": ((70, 4, 3, 1), (4, 3), 5, {}),
    "one pixel": ((3, 17, 17, 20), (1, 1), 34, {}),
    "one row": ((4, 1, 300, 3), (1, 7), 5, {"strides": 3}),
    "one row, one channel": ((4, 1, 300, 1), (1, 7), 5, {"padding": "same"}),
    "many channels": ((2, 5, 4, 300), (3, 3), 9, {}),
    "larger than the sample": ((3, 2, 2, 4), (5, 5), 8, {"padding": "same"}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", SHAPES)
def test_convolution_is_exact_on_integers(case, dtype):
    shape, size, filters, place = SHAPES[case]
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.integers(-2, 3, s).astype(dtype)
                       for s in (shape, (*size, shape[3], filters), (filters,)))  # fmt: skip
    y = reference.conv2d_forward(x, kernel, bias, "relu", **place)
    dy = rng.integers(-2, 3, y.shape).astype(dtype)
    gradients = reference.conv2d_backward(dy, x, kernel, y, "relu", **place)
    for threads in (1, 2, 3, 8):
        assert np.array_equal(kernels.conv2d_forward(x, kernel, bias, "relu", n_threads=threads, **place), y)
        got = kernels.conv2d_backward(dy, x, kernel, y, "relu", n_threads=threads, **place)
        for a, b in zip(got, gradients, strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("case", SHAPES)
def test_samples_and_threads_do_not_change_a_bit(case):
    shape, size, filters, place = SHAPES[case]
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(s, dtype=np.float32) for s in (shape, (*size, shape[3], filters)))
    y = kernels.conv2d_forward(x, kernel, None, "gelu", n_threads=1, **place)
    one_by_one = [kernels.conv2d_forward(x[i:i + 1], kernel, None, "gelu", **place) for i in range(len(x))]
    assert np.concatenate(one_by_one).tobytes() == y.tobytes()
    dy = rng.standard_normal(y.shape, dtype=np.float32)
    want = kernels.conv2d_backward(dy, x, kernel, n_threads=1, **place)
    for threads in (2, 3, 4, 8):
        got = kernels.conv2d_backward(dy, x, kernel, n_threads=threads, **place)
        assert [a.tobytes() for a in got] == [a.tobytes() for a in want]


def test_convolution_stores_the_input_of_the_activation():
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.standard_normal(s) for s in ((2, 6, 7, 3), (3, 3, 3, 5), (5,)))
    plain = kernels.conv2d_forward(x, kernel, bias)
    for name in ("gelu", "softmax", "relu"):
        z = np.empty_like(plain)
        y = kernels.conv2d_forward(x, kernel, bias, name, z=z)
        assert np.array_equal(z, plain)
        assert np.array_equal(y, kernels.conv2d_forward(x, kernel, bias, name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pooling_of_what_is_not_finite(dtype):
    x = np.array([[np.nan, 1], [np.inf, -np.inf]], dtype).reshape(1, 2, 2, 1)
    for places in (x, x[:, ::-1], x[:, :, ::-1], x[:, ::-1, ::-1]):
        assert np.isnan(kernels.max_pooling2d_forward(places)).all()
    low = np.full((1, 2, 2, 1), -np.inf, dtype)
    assert np.array_equal(kernels.max_pooling2d_forward(low), low[:, :1, :1])
    dx = kernels.max_pooling2d_backward(np.ones((1, 1, 1, 1), dtype), low, low[:, :1, :1])
    assert dx.reshape(-1).tolist() == [1, 0, 0, 0]


# ------------------------------------------------------------------------------------------------- layers

IMAGE, SEQUENCE = (7, 6, 3), (13, 3)
CLASSIFIER = [layers.Flatten, lambda: layers.Dense(3, activation="softmax")]

# Each a stack of layers, the shape of its samples
STACKS = {
    "valid": (lambda: [layers.Conv2D(4, 3, activation="gelu")], IMAGE),
    "same": (lambda: [layers.Conv2D(4, (2, 3), padding="same", activation="tanh")], IMAGE),
    "strides": (lambda: [layers.Conv2D(4, (3, 2), strides=(2, 3), activation="selu")], IMAGE),
    "strides same": (lambda: [layers.Conv2D(4, (3, 4), 2, "same", activation="mish")], IMAGE),
    "no bias": (lambda: [layers.Conv2D(4, 2, use_bias=False), layers.Activation("relu")], IMAGE),
    "one pixel": (lambda: [layers.Conv2D(5, 1, activation="silu"), layers.Conv2D(2, 1)], IMAGE),
    "whole image": (lambda: [layers.Conv2D(5, (7, 6), activation="elu")], IMAGE),
    "one channel": (lambda: [layers.Reshape((7, 18, -1)), layers.Conv2D(3, (2, 5), activation="tanh"),
                             layers.Conv2D(1, 2), layers.Conv2D(2, 2)], IMAGE),
    "deep": (lambda: [layers.Conv2D(5, 3, padding="same", activation="leaky_relu"),
                      layers.Conv2D(33, 2, activation="softplus"),
                      layers.Conv2D(2, (3, 1), activation="gelu_tanh")], IMAGE),
    "softmax over filters": (lambda: [layers.Conv2D(4, 3, activation="softmax"), layers.Conv2D(2, 2),
                                      layers.Activation("log_softmax")], IMAGE),
    "max": (lambda: [layers.Conv2D(4, 2, activation="gelu"), layers.MaxPooling2D(), layers.Dropout(0.0)], IMAGE),
    "max overlapping": (lambda: [layers.Conv2D(4, 2, activation="tanh"), layers.MaxPooling2D(3, 2, "same")], IMAGE),
    "max first": (lambda: [layers.MaxPooling2D((2, 3), 1), layers.Conv2D(4, 2)], IMAGE),
    "average": (lambda: [layers.Conv2D(4, 2, activation="sigmoid"), layers.AveragePooling2D(2)], IMAGE),
    "average same": (lambda: [layers.Conv2D(4, 2), layers.AveragePooling2D((3, 2), 2, padding="same")], IMAGE),
    "pooled twice": (lambda: [layers.Conv2D(4, 2, padding="same"), layers.AveragePooling2D((2, 1)),
                              layers.MaxPooling2D(2, 1), layers.Activation("gelu")], IMAGE),
    "global": (lambda: [layers.Conv2D(4, 2, activation="gelu"), layers.GlobalAveragePooling2D()], IMAGE),
    "global max": (lambda: [layers.Conv2D(4, 2, activation="gelu"), layers.GlobalMaxPooling2D(keepdims=True)], IMAGE),
    "dense first": (lambda: [layers.Flatten(), layers.Dense(24, activation="tanh"), layers.Reshape((4, 3, 2)),
                             layers.Conv2D(3, 2, activation="gelu")], IMAGE),
    "dense, pooled": (lambda: [layers.Flatten(), layers.Dense(24, activation="gelu"), layers.Reshape((4, 3, 2)),
                               layers.MaxPooling2D()], IMAGE),
    "1D": (lambda: [layers.Conv1D(4, 3, activation="gelu"), layers.MaxPooling1D(), layers.Conv1D(2, 2)], SEQUENCE),
    "1D causal": (lambda: [layers.Conv1D(4, 3, padding="causal", activation="tanh"), layers.AveragePooling1D(3, 2),
                           layers.Conv1D(5, 2, 2, "causal")], SEQUENCE),
    "1D same": (lambda: [layers.Conv1D(4, 4, 3, "same", activation="relu"), layers.GlobalAveragePooling1D()], SEQUENCE),
    "1D global max": (lambda: [layers.Conv1D(4, 5, activation="tanh"), layers.GlobalMaxPooling1D()], SEQUENCE),
    "residual": (lambda: [layers.Residual([layers.Conv2D(3, 3, padding="same", activation="gelu"),
                                           layers.Conv2D(3, 3, padding="same")]), layers.MaxPooling2D()], IMAGE),
    "batch normalization": (lambda: [layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization(),
                                     layers.Activation("relu"), layers.MaxPooling2D(),
                                     layers.LayerNormalization()], IMAGE),
    "dropout": (lambda: [layers.Conv2D(4, 3, activation="gelu"), layers.Dropout(0.3), layers.Conv2D(2, 2),
                         layers.Dropout(0.2), layers.MaxPooling2D()], IMAGE),
    "penalties": (lambda: [layers.Conv2D(70, 3, activation="tanh", kernel_regularizer="l1_l2", bias_regularizer="l2",
                                         activity_regularizer=fnn.regularizers.L2(1e-3),
                                         kernel_constraint=fnn.constraints.MaxNorm(2.0, axis=[0, 1, 2])),
                           layers.Conv2D(2, 2, activity_regularizer="l2")], IMAGE),
    "residual of pooling": (lambda: [layers.Conv2D(3, 2, activation="gelu"),
                                     layers.Residual([layers.MaxPooling2D(3, 1, "same"), layers.Conv2D(3, 1)])], IMAGE),
}  # fmt: skip


def model_of(name, dtype="float64", **options):
    stack, shape = STACKS[name]
    model = fnn.Sequential([*stack(), *(make() for make in CLASSIFIER)], seed=3, dtype=dtype)
    model.compile(options.get("optimizer", "sgd"), "sparse_categorical_crossentropy")
    model.build(shape)
    rng = np.random.default_rng(0)
    model.set_weights([abs(rng.normal(size=w.shape)) if "variance" in key else
                       rng.normal(size=w.shape) / np.sqrt(max(1, w[..., 0].size))
                       for layer in model.layers for key, w in named_weights(layer)])
    return model


def named_weights(layer):
    """Of a layer or of those inside it, in the order of get_weights."""
    for leaf in layer.family():
        yield from leaf.weights.items()


def data_of(name, n, dtype="float64"):
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, *STACKS[name][1])).astype(dtype), rng.integers(0, 3, n)


@pytest.mark.parametrize("name", STACKS)
def test_gradients(name):
    """Against central differences, in 3 random directions and along some parameters of each array."""
    model = model_of(name)
    x, y = data_of(name, 5)
    weight = np.random.default_rng(2).uniform(0, 2, 5)
    gradients, kept = model.gradients(x, y, sample_weight=weight), model.get_weights()
    rng = np.random.default_rng(3)
    trained = ["moving" not in key for layer in model.layers for key, _ in named_weights(layer)]
    directions = [[rng.normal(size=w.shape) * t for w, t in zip(kept, trained, strict=True)] for _ in range(3)]
    for i, w in enumerate(kept):
        for at in rng.choice(w.size, min(w.size, 6) * trained[i], replace=False):
            directions.append([np.zeros_like(v) for v in kept])
            directions[-1][i].reshape(-1)[at] = 1
    scale = max(np.abs(g).max() for g in gradients)
    assert scale > 1e-3
    for direction in directions:
        length = np.sqrt(sum((d**2).sum() for d in direction))
        ends = []
        for sign in (1, -1):
            model.set_weights([w + sign * 1e-5 * d / length for w, d in zip(kept, direction, strict=True)])
            ends.append(model.evaluate(x, y, sample_weight=weight))
        want = (ends[0] - ends[1]) / 2e-5
        got = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True)) / length
        assert abs(got - want) <= 1e-6 * max(scale, abs(want))


@pytest.mark.parametrize("name", STACKS)
def test_gradients_of_inputs(name):
    model = model_of(name)
    x, y = data_of(name, 3)
    gradient = model.input_gradients(x, y)
    assert gradient.shape == x.shape
    rng = np.random.default_rng(4)
    for _ in range(5):
        step = rng.normal(size=x.shape)
        step *= 1e-5 / np.linalg.norm(step)
        want = (model.evaluate(x + step, y) - model.evaluate(x - step, y)) / 2
        assert abs((gradient * step).sum() - want) <= 1e-6 * max(np.abs(gradient).max() * 1e-5, abs(want))


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_keep_the_promises(name, dtype):
    """The same bits for any number of threads, and for rows predicted one by one."""
    x, y = data_of(name, 75, dtype)
    runs = []
    for threads in (1, 2, 3, 4, 8):
        model = model_of(name, dtype, optimizer="adam")
        model.fit(x, y, epochs=2, batch_size=37, verbose=0, n_threads=threads)
        runs.append([w.tobytes() for w in model.get_weights()] + [model.predict(x, n_threads=threads).tobytes()])
    assert all(run == runs[0] for run in runs)
    alone = np.concatenate([model.predict(x[i:i + 1]) for i in range(len(x))])
    assert alone.tobytes() == runs[0][-1]


@pytest.mark.parametrize("name", STACKS)
def test_layers_are_saved_and_copied(name, tmp_path):
    model = model_of(name, "float32")
    x, _ = data_of(name, 4, "float32")
    model.save(tmp_path / "model.safetensors")
    for other in (fnn.load_model(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other.predict(x), model.predict(x))
        assert other.get_config() == model.get_config()
        assert [repr(layer) for layer in other.layers] == [repr(layer) for layer in model.layers]


def test_kernels_are_live_views():
    model = fnn.Sequential([layers.Conv2D(2, (2, 1), use_bias=False)])
    model.build((2, 2, 1))
    model.layers[0].kernel = np.array([[1, 10], [2, 20]]).reshape(2, 1, 1, 2)
    assert model.predict([[[[1], [2]], [[3], [4]]]]).tolist() == [[[[7, 70], [10, 100]]]]
    model.layers[0].kernel[1] = 0
    assert model.predict([[[[1], [2]], [[3], [4]]]]).tolist() == [[[[1, 10], [2, 20]]]]
    assert model.layers[0].bias is None
    assert model.count_params() == 4


def test_batches_larger_than_a_piece():
    """More rows than go through all ops at a time, of samples that are evaluated in parts too."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1500, 6, 5, 2)), rng.integers(0, 2, 1500)
    model = fnn.Sequential([layers.Conv2D(3, 2, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
                            layers.Dense(2, activation="softmax")], seed=0, dtype="float64")
    model.compile("sgd", "sparse_categorical_crossentropy")
    loss = model.evaluate(x, y)
    p = model.predict(x)
    assert loss == pytest.approx(-np.log(p[np.arange(1500), y]).mean(), rel=1e-12)
    whole = model.gradients(x, y)
    parts = [model.gradients(x[i:i + 300], y[i:i + 300]) for i in range(0, 1500, 300)]
    for a, b in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(a, np.mean(b, axis=0), rtol=1e-10, atol=1e-14)


def test_frozen_convolutions_do_not_move():
    model = model_of("deep")
    x, y = data_of("deep", 20)
    model.layers[1].trainable = False
    before = model.get_weights()
    model.fit(x, y, epochs=1, batch_size=10, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [True, True, False, False, True, True, True, True]


REFUSED = {
    "filters": (lambda: layers.Conv2D(0, 3), ValueError, r"filters must be in \[1, .*received 0"),
    "kernel size": (lambda: layers.Conv2D(1, (3, 3, 3)), ValueError, r"kernel_size .* 2 of them; received \(3, 3, 3\)"),
    "kernel size of 1D": (lambda: layers.Conv1D(1, (3, 3)), ValueError, "kernel_size must be an integer or 1 of them"),
    "kernel size 0": (lambda: layers.Conv2D(1, (3, 0)), ValueError, "kernel_size must be in .*received 0"),
    "kernel size float": (lambda: layers.Conv2D(1, 3.0), TypeError, "kernel_size must be an integer; received 3.0"),
    "strides": (lambda: layers.Conv2D(1, 3, strides=-1), ValueError, "strides must be in .*received -1"),
    "padding": (lambda: layers.Conv2D(1, 3, padding="full"), ValueError, "'valid' or 'same'; received 'full'"),
    "causal images": (lambda: layers.Conv2D(1, 3, padding="causal"), ValueError, "'same'; received 'causal'"),
    "padding number": (lambda: layers.Conv1D(1, 3, padding=1), ValueError, "'valid' or 'same' or 'causal'; received 1"),
    "channels first": (lambda: layers.Conv2D(1, 3, data_format="channels_first"), ValueError, "channels_last"),
    "dilation": (lambda: layers.Conv2D(1, 3, dilation_rate=2), ValueError, "dilation_rate must be 1; received 2"),
    "groups": (lambda: layers.Conv2D(2, 3, groups=2), ValueError, "groups must be 1; received 2"),
    "activation": (lambda: layers.Conv2D(2, 3, activation="rleu"), ValueError, "relu"),
    "bias": (lambda: layers.Conv2D(2, 3, use_bias=1), TypeError, "use_bias must be True or False"),
    "pool size": (lambda: layers.MaxPooling2D(0), ValueError, "pool_size must be in"),
    "pool strides": (lambda: layers.AveragePooling1D(2, (1, 1)), ValueError, "strides must be an integer or 1 of them"),
    "pool padding": (lambda: layers.MaxPooling1D(padding="causal"), ValueError, "'valid' or 'same'; received 'causal'"),
    "keepdims": (lambda: layers.GlobalMaxPooling2D(keepdims=1), TypeError, "keepdims must be True or False"),
    "target shape": (lambda: layers.Reshape(3), TypeError, "tuple of integers; received 3"),
    "two unknown": (lambda: layers.Reshape((-1, -1)), ValueError, r"one may be -1; received \(-1, -1\)"),
    "target of zero": (lambda: layers.Reshape((0, 2)), ValueError, r"positive integers.*received \(0, 2\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_arguments(case):
    attempt, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        attempt()


REFUSED_SHAPES = {
    "rank": (layers.Conv2D(1, 3), (28, 28), r"Conv2D takes samples of shape \(height, width, channels\); received "
                                            r"\(28, 28\). Put fastnn.layers.Reshape\(\(28, 28, 1\)\) before it"),
    "flat": (layers.Conv2D(1, 3), (784,), r"\(height, width, channels\); received \(784,\)$"),
    "images": (layers.Conv1D(1, 3), (28, 28, 1), r"Conv1D takes samples of shape \(steps, channels\)"),
    "pooled rank": (layers.MaxPooling2D(), (28, 28), r"MaxPooling2D takes samples .*Reshape\(\(28, 28, 1\)\)"),
    "pooled steps": (layers.GlobalAveragePooling1D(), (5,),
                     r"\(steps, channels\); received \(5,\). .*Reshape\(\(5, 1\)\)"),
    "too large": (layers.Conv2D(1, (3, 5)), (4, 4, 1), "width 5 does not fit into samples of width 4"),
    "pool too large": (layers.AveragePooling2D(3), (2, 4, 1), "height 3 does not fit into samples of height 2"),
    "too long": (layers.Conv1D(1, 5), (4, 2), "width 5 does not fit into samples of width 4"),
    "elements": (layers.Reshape((3, 5)), (16,), r"shape \(16,\) cannot take the shape \(3, 5\): they have 16 elements"),
    "rest": (layers.Reshape((3, -1)), (16,), r"cannot take the shape \(3, -1\)"),
    "memory": (layers.Conv2D(2**31 - 1, 1000), (2**15, 2**15, 2**10), "more than can be addressed"),
}


@pytest.mark.parametrize("case", REFUSED_SHAPES)
def test_refused_shapes(case):
    layer, shape, message = REFUSED_SHAPES[case]
    with pytest.raises(ValueError, match=message):
        fnn.Sequential([layer]).build(shape)


def test_images_of_another_shape_are_refused():
    model = fnn.Sequential([layers.Conv2D(1, 3)])
    model.build((5, 5, 1))
    with pytest.raises(ValueError, match=r"samples of shape \(5, 5\); the model takes \(5, 5, 1\)"):
        model.predict(np.zeros((2, 5, 5)))


# ---------------------------------------------------------------------------------- beside other parts of fastnn


def test_names_are_those_of_keras():
    made = fnn.Sequential([layers.Conv2D(2, 2), layers.MaxPooling2D(1), layers.Conv2D(1, 1),
                           layers.GlobalAveragePooling2D(), layers.Reshape((1, 1)), layers.Conv1D(1, 1)])
    made.build((3, 3, 1))
    assert [layer.name for layer in made.layers] == ["conv2d", "max_pooling2d", "conv2d_1",
                                                     "global_average_pooling2d", "reshape", "conv1d"]


def test_batch_normalization_is_folded_into_convolutions():
    model = model_of("batch normalization", "float64")
    x, _ = data_of("batch normalization", 5)
    fused = model.fuse()
    assert [type(layer).__name__ for layer in fused.layers[:2]] == ["Conv2D", "Activation"]
    assert fused.layers[0].use_bias
    np.testing.assert_allclose(fused.predict(x), model.predict(x), rtol=1e-12)


def test_filters_are_pruned():
    model = model_of("deep", "float32")
    x, y = data_of("deep", 30, "float32")
    fnn.weights.prune(model, 0.5, "structured")
    dead = (model.layers[1].kernel == 0).all(axis=(0, 1, 2))
    assert 15 <= dead.sum() <= 17
    model.fit(x, y, epochs=1, verbose=0)
    assert np.array_equal((model.layers[1].kernel == 0).all(axis=(0, 1, 2)), dead)
    fnn.weights.prune(model, 0.9, "magnitude", scope="global")
    assert fnn.weights.sparsity_report(model).sparsity >= 0.85


def test_weights_of_torch_are_loaded():
    """Its kernels are (filters, channels, height, width), and it flattens channels first."""
    rng = np.random.default_rng(0)
    model = model_of("valid")
    state = {"0.weight": rng.normal(size=(4, 3, 3, 3)), "0.bias": rng.normal(size=4),
             "2.weight": rng.normal(size=(3, 80)), "2.bias": rng.normal(size=3)}
    fnn.weights.load_pytorch(model, state)
    assert np.array_equal(model.layers[0].kernel, state["0.weight"].transpose(2, 3, 1, 0))
    x, _ = data_of("valid", 2)
    maps = kernels.conv2d_forward(x, state["0.weight"].transpose(2, 3, 1, 0).copy(), state["0.bias"], "gelu")
    scores = maps.transpose(0, 3, 1, 2).reshape(2, -1) @ state["2.weight"].T + state["2.bias"]
    np.testing.assert_allclose(model.predict(x), kernels.activation_forward(scores, "softmax"), rtol=1e-10)


@pytest.mark.parametrize(("threads", "most"), [(1, 1.0), (2, 0.6), (3, 0.45), (4, 0.35), (8, 0.25)])
def test_units_of_convolutions_are_shared(threads, most):
    """Few and long: the part of the work that a thread may have."""
    model = fnn.Sequential([fnn.Input((28, 28, 1)), layers.Conv2D(32, 3), layers.MaxPooling2D(), layers.Conv2D(64, 3),
                            layers.MaxPooling2D(), layers.Flatten(), layers.Dense(128), layers.Dense(10)], seed=0)
    model.compile("sgd", "mse")
    runner = model._workspace("gradients", 4)
    cols, starts = runner.cut_units(threads)
    longest, again = runner.share_units(threads, cols)
    assert np.array_equal(starts, again)
    assert longest <= most * runner.share_units(1, cols)[0]
