"""Kernels that several layers use: products in both directions, summed gradients, one array in files and summaries."""

import copy
import pickle

import numpy as np
import pytest

import fastnn as fnn
from fastnn.layers import Activation, Concatenate, Dense, Dropout, Residual

THREADS = (1, 2, 3, 4, 8)
STEP = 1e-5


def autoencoder(activation="tanh", n=7, code=3, frozen=(), **kwargs):
    encoder = Dense(code, activation=activation, name="encoder")
    decoder = Dense(n, tied_to=encoder, name="decoder", **kwargs)
    for layer in (encoder, decoder):
        layer.trainable = layer.name not in frozen
    return [encoder, decoder]


def deep(activation):
    first, second = Dense(6, activation=activation, name="first"), Dense(4, activation=activation, name="second")
    return [first, second, Dense(6, tied_to=second, activation=activation), Dense(7, tied_to="first"),
            Dense(5, activation="relu"), Dense(7)]


def square(transposed):
    owner = Dense(7, activation="gelu", name="owner")
    return [owner, Dense(7, tied_to=owner, transposed=transposed, activation="relu"),
            Dense(7, tied_to="owner", transposed=not transposed, use_bias=False), Dense(7, tied_to=owner)]


def inside():
    block = Residual([Dense(5, activation="relu", name="in"), Dense(7, tied_to="block.in", name="out")], name="block")
    return [block, Concatenate([Dense(5, tied_to="block.in"), [Dense(2), Dense(4)], []]), Dense(7)]


STACKS = {
    "autoencoder": lambda: autoencoder(),
    "autoencoder with gelu": lambda: autoencoder("gelu"),
    "autoencoder with relu": lambda: autoencoder("relu"),
    "autoencoder with softmax": lambda: autoencoder("softmax"),
    "no bias": lambda: autoencoder(use_bias=False),
    "behind dropout": lambda: [Dense(4, name="a"), Dropout(0.0), Activation("silu"), Dense(7, tied_to="a")],
    "deep": lambda: deep("tanh"),
    "deep mish": lambda: deep("mish"),
    "square": lambda: square(True),
    "square, as it is first": lambda: square(False),
    "inside containers": inside,
    "owner frozen": lambda: autoencoder(frozen=("encoder",)),
    "user frozen": lambda: autoencoder(frozen=("decoder",)),
    "both frozen": lambda: [*autoencoder(frozen=("encoder", "decoder")), Dense(7)],
    "below frozen": lambda: [Dense(7, activation="relu"), *autoencoder(frozen=("encoder",))],
}


def make(name, dtype="float64", optimizer="adam", seed=1):
    model = fnn.Sequential(STACKS[name](), seed=seed, dtype=dtype)
    model.compile(optimizer, "mse")
    return model


def data(n=50, n_in=7, seed=0, dtype="float64"):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_in)).astype(dtype), rng.normal(size=(n, 7)).astype(dtype)


@pytest.mark.parametrize("name", STACKS)
def test_gradients(name):
    model = make(name)
    model.build((7,))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) / 2 for w in model.get_weights()])
    x, y = data(11)
    worst = scale = 0.0
    got = iter(model.gradients(x, y))
    for leaf in model._leaves():
        for weight in leaf.weights.values():
            gradient = next(got)
            if not leaf.trainable:
                assert not gradient.any()
                continue
            for at in np.ndindex(weight.shape):
                kept, losses = weight[at], []
                for step in (STEP, -STEP):
                    weight[at] = kept + step
                    losses.append(model.evaluate(x, y))
                weight[at] = kept
                expected = (losses[0] - losses[1]) / (2 * STEP)
                worst, scale = max(worst, abs(gradient[at] - expected)), max(scale, abs(expected))
    assert scale > 1e-4
    assert worst <= 1e-6 * scale


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(name, dtype):
    x, y = data(301, dtype=dtype)
    results = []
    for threads in THREADS:
        model = make(name, dtype=dtype)
        model.fit(x, y, epochs=2, batch_size=64, verbose=0, n_threads=threads)
        results.append([*model.get_weights(), model.predict(x, n_threads=threads),
                        np.array(model.evaluate(x, y, n_threads=threads))])
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (33, 17), (70, 129), (257, 64), (600, 48), (784, 31)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_are_exact_on_integers(shape, dtype):
    """Both layers, forward and back, through all tails."""
    rng = np.random.default_rng(0)
    n, code = shape
    for rows in (1, 2, 5, 40, 300):
        encoder = Dense(code)
        decoder = Dense(n, tied_to=encoder, activation="relu")
        model = fnn.Sequential([Dense(n, name="below"), encoder, decoder], dtype=dtype)
        model.compile("sgd", fnn.losses.MeanAbsoluteError())
        model.build((2,))
        for leaf in model._leaves():
            for weight in leaf.weights.values():
                weight[...] = rng.integers(-2, 3, weight.shape)
        x = rng.integers(-2, 3, (rows, 2)).astype(dtype)
        (below, b0, w, b1, b2) = [weight.astype("float64") for weight in model.get_weights()]
        h = x @ below + b0
        code_ = h @ w + b1
        expected = np.maximum(code_ @ w.T + b2, 0)
        np.testing.assert_array_equal(model.predict(x), expected.astype(dtype))
        got = model.gradients(x, np.full((rows, n), -1.0))
        dz = (expected > 0) * 1.0       # times 1 / (rows * n)
        dcode = dz @ w
        wanted = [x.T @ (dcode @ w.T), (dcode @ w.T).sum(axis=0), h.T @ dcode + dz.T @ code_, dcode.sum(axis=0),
                  dz.sum(axis=0)]
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a * (rows * n), b, rtol=1e-4 if dtype == "float32" else 1e-12,
                                       atol=(1e-4 if dtype == "float32" else 1e-11) * max(1.0, np.abs(b).max()))


def test_predictions_see_what_was_written_to_the_kernel():
    model = make("autoencoder")
    x, _ = data(140)
    model.predict(x)
    model.layers[0].kernel[...] = 2.0
    kernel, bias, last = model.get_weights()
    np.testing.assert_allclose(model.predict(x), np.tanh(x @ kernel + bias) @ kernel.T + last, rtol=1e-12)
    whole = model.predict(x)
    for rows in (slice(0, 1), slice(3, 40), slice(139, 140)):
        np.testing.assert_array_equal(model.predict(x[rows]), whole[rows])


def test_the_kernel_is_one_array():
    model = make("autoencoder")
    model.build((7,))
    encoder, decoder = model.layers
    assert decoder.weights.keys() == {"bias"}
    np.testing.assert_array_equal(decoder.kernel, encoder.kernel.T)
    assert np.shares_memory(decoder.kernel, encoder.kernel)
    decoder.kernel = np.arange(21.0).reshape(3, 7)
    np.testing.assert_array_equal(encoder.kernel, np.arange(21.0).reshape(3, 7).T)
    with pytest.raises(ValueError, match="has shape"):
        decoder.kernel = np.zeros((7, 3))
    assert model.count_params() == 7 * 3 + 3 + 7
    text = []
    model.summary(print_fn=text.append)
    assert "Total params: 31" in text[0]
    assert [w.shape for w in model.get_weights()] == [(7, 3), (3,), (7,)]
    model.set_weights([np.ones((7, 3)), np.zeros(3), np.zeros(7)])
    np.testing.assert_array_equal(decoder.kernel, np.ones((3, 7)))


@pytest.mark.parametrize("name", STACKS)
def test_files_copies_and_pickles(tmp_path, name):
    x, y = data()
    model = make(name)
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.safetensors")
    others = [fnn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    model.fit(x, y, epochs=2, verbose=0)
    for other in others:
        other.fit(x, y, epochs=2, verbose=0)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert other.get_config() == model.get_config()
        np.testing.assert_array_equal(other.predict(x), model.predict(x))
    for leaf in others[1]._leaves():
        if isinstance(leaf, Dense) and leaf._tie is not None:
            assert leaf._tie in others[1]._leaves()


def test_a_file_has_the_kernel_once(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model = make("autoencoder")
    model.build((7,))
    model.save(tmp_path / "model.safetensors")
    assert sorted(safetensors.load_file(tmp_path / "model.safetensors")) == [
        "layers.decoder.bias", "layers.encoder.bias", "layers.encoder.kernel"]


def test_frozen_owner_and_user():
    x, y = data()
    for frozen, changed in ((("encoder",), [False, False, True]), (("decoder",), [True, True, False]),
                            (("encoder", "decoder"), [False, False, False])):
        model = fnn.Sequential(autoencoder(frozen=frozen), seed=0)
        model.compile("sgd", "mse")
        model.build((7,))
        before = model.get_weights()
        model.fit(x, y, verbose=0)
        assert [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)] == changed


def test_owner_inside_a_container_is_found_by_its_path():
    model = make("inside containers")
    model.build((7,))
    assert [leaf._tie.path for leaf in model._leaves() if leaf._tie is not None] == ["block.in", "block.in"]


@pytest.mark.parametrize(("stack", "message"), [
    (lambda: [Dense(3, tied_to=Dense(3))], "is tied to '', which is no Dense layer that stands before it"),
    (lambda: [Dense(3), Dense(4, tied_to="encoder")], r"tied to 'encoder', which is no .*; there stand 'dense'"),
    (lambda: [Dense(4, tied_to="later"), Dense(4, name="later")], "there stand no layers"),
    (lambda: [Activation("relu"), Dense(4, tied_to="activation")], "tied to 'activation', which is no Dense layer"),
    (lambda: [Dense(3, name="a"), Dense(5, tied_to="a")],
     r"of layer 'a' has shape \(4, 3\); layer 'dense' is tied .* needs \(3, 5\) or \(5, 3\) for 3 inputs and 5 units"),
    (lambda: [Dense(3, name="a"), Dense(4, tied_to="a", transposed=False)], r"needs \(3, 4\)"),
    (lambda: [Dense(4, name="a"), Dense(3), Dense(4), Dense(3, tied_to="a", transposed=True)], r"needs \(3, 4\)"),
    (lambda: [Dense(4, name="a"), Dense(4, tied_to="a", name="b"), Dense(4, tied_to="b")], "'b', which is tied itself"),
    (lambda: [Dense(4, name="self", tied_to="self")], "there stand no layers"),
])
def test_ties_that_do_not_fit_are_refused(stack, message):
    with pytest.raises(ValueError, match=message):
        fnn.Sequential([fnn.Input((4,)), *stack()])
    model = fnn.Sequential(stack())
    with pytest.raises(ValueError, match=message):
        model.predict(np.zeros((2, 4)))
    assert not model.built


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="tied_to must be a Dense layer or its path in the model; received 3"):
        Dense(3, tied_to=3)
    with pytest.raises(TypeError, match="transposed must be True, False or None; received 1"):
        Dense(3, tied_to="a", transposed=1)
    with pytest.raises(ValueError, match="must be None in a tied layer"):
        Dense(3, tied_to="a", kernel_regularizer="l2")
    with pytest.raises(ValueError, match="tied_to names none"):
        Dense(3, transposed=True)
    with pytest.raises(ValueError, match="stands in no model yet"):
        Dense(3, tied_to=Dense(3)).get_config()


def test_shrink_leaves_shared_kernels_alone():
    encoder = Dense(6, activation="relu", name="encoder")
    model = fnn.Sequential([fnn.Input((7,)), Dense(5, activation="relu", name="first"), Dense(8, name="second"),
                            encoder, Dense(8, tied_to=encoder, name="decoder")], seed=0)
    model.layers[0].kernel[:, 1] = 0
    small = fnn.weights.shrink(model)
    x, _ = data(20)
    np.testing.assert_allclose(small.predict(x), model.predict(x), rtol=1e-5, atol=1e-6)
    assert [layer.units for layer in small.layers] == [4, 8, 6, 8]
    encoder.kernel[:, 2] = 0
    with pytest.raises(ValueError, match=r"layer 'encoder' has 1 dead neurons .* since its kernel is shared"):
        fnn.weights.shrink(model)
    model.layers[1].kernel[:, 3] = 0
    with pytest.raises(ValueError, match=r"'second' has 1 dead .* since the kernel of 'encoder' behind it is shared"):
        fnn.weights.shrink(model)
    small = fnn.weights.shrink(model, strict=False)
    np.testing.assert_allclose(small.predict(x), model.predict(x), rtol=1e-5, atol=1e-6)
    assert [layer.units for layer in small.layers] == [4, 8, 6, 8]
