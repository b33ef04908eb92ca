"""The structure of Sequential models, their weights, and predict."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn import initializers, layers


def two_layers(**arguments):
    return fnn.Sequential(
        [layers.Dense(3, activation="relu", name="hidden"), layers.Dense(2, name="out")],
        **{"seed": 0} | arguments,
    )


def manual(model, x):
    """What two_layers computes, in NumPy."""
    k1, b1, k2, b2 = model.get_weights()
    return np.maximum(x @ k1 + b1, 0) @ k2 + b2


# ---- building ----


def test_build_creates_the_parameters():
    model = two_layers()
    assert not model.built
    model.build((4,))
    assert model.built
    assert model.input_shape == (4,)
    assert model.output_shape == (2,)
    assert model.n_outputs == 2
    assert [w.shape for w in model.get_weights()] == [(4, 3), (3,), (3, 2), (2,)]
    assert all(layer.built for layer in model.layers)
    assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2


def test_input_builds_at_once_and_layers_may_be_added():
    model = fnn.Sequential([fnn.Input((4,)), layers.Dense(3, name="hidden")], seed=0)
    assert model.built
    kernel = model.get_weights()[0]
    model.add(layers.Dense(2))
    np.testing.assert_array_equal(model.get_weights()[0], kernel)
    assert model.output_shape == (2,)
    assert model.predict(np.ones((5, 4))).shape == (5, 2)


def test_the_same_weights_however_the_model_was_built():
    built = two_layers()
    built.build((4,))
    fed = two_layers()
    fed.predict(np.ones((1, 4)))
    grown = fnn.Sequential([fnn.Input((4,))], seed=0)
    grown.add(layers.Dense(3, activation="relu", name="hidden"))
    grown.add(layers.Dense(2, name="out"))
    for model in (fed, grown):
        for a, b in zip(model.get_weights(), built.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_build_again_with_the_same_shape_changes_nothing():
    model = two_layers()
    model.build((4,))
    before = model.get_weights()
    model.build((4,))
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"built for samples of shape \(4,\); received \(5,\)"):
        model.build((5,))


def test_a_layer_added_to_a_trained_model_keeps_the_others():
    model = two_layers()
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(20, 4))
    model.fit(x, x[:, :2], verbose=0)
    kept, before = model.get_weights(), model.predict(x)
    model.add(layers.Activation("tanh"))
    np.testing.assert_array_equal(
        model.predict(x), np.asarray(fnn.kernels.activation_forward(before, "tanh"))
    )
    model.add(layers.Dense(5))
    for a, b in zip(model.get_weights(), kept, strict=False):
        np.testing.assert_array_equal(a, b)
    model.fit(x, np.ones((20, 5)), verbose=0)


def test_names_are_made_unique():
    model = fnn.Sequential(
        [
            layers.Dense(2),
            layers.Dense(2),
            layers.Activation("relu"),
            layers.Dense(2, name="dense_5"),
            layers.Dense(2),
        ]
    )
    names = [layer.name for layer in model.layers]
    assert names[:4] == ["dense", "dense_1", "activation", "dense_5"]
    assert len(set(names)) == 5


def test_names_given_twice_are_refused():
    model = two_layers()
    with pytest.raises(ValueError, match="two layers are named 'hidden'"):
        model.add(layers.Dense(2, name="hidden"))
    assert len(model.layers) == 2


def test_a_layer_belongs_to_one_place():
    layer = layers.Dense(2)
    model = fnn.Sequential([layer])
    for other in (model, fnn.Sequential()):
        with pytest.raises(ValueError, match="belongs to a model already"):
            other.add(layer)
    assert len(model.layers) == 1


@pytest.mark.parametrize("wrong", ["dense", None, 3, layers.Dense])
def test_only_layers_may_be_added(wrong):
    with pytest.raises(TypeError, match="a layer or Input was expected"):
        fnn.Sequential([wrong])


def test_input_stands_first_and_once():
    with pytest.raises(ValueError, match="only stand first"):
        fnn.Sequential([layers.Dense(2), fnn.Input((3,))])
    with pytest.raises(ValueError, match="only stand first"):
        fnn.Sequential([fnn.Input((3,)), fnn.Input((3,))])


def test_a_layer_that_does_not_fit_is_refused_and_the_model_stays():
    model = fnn.Sequential([fnn.Input((2, 3))])
    with pytest.raises(ValueError, match="Flatten"):
        model.add(layers.Dense(2))
    assert model.layers == []
    model.add(layers.Flatten())
    model.add(layers.Dense(2))
    assert model.predict(np.ones((1, 2, 3))).shape == (1, 2)


def test_a_layer_whose_initializer_fails_is_not_added():
    class Fails(initializers.Initializer):
        name = "fails"

        def __call__(self, shape, dtype="float32", rng=None):
            raise RuntimeError("no numbers today")

    model = fnn.Sequential([fnn.Input((4,)), layers.Dense(3)], seed=0)
    before = model.get_weights()
    with pytest.raises(RuntimeError, match="no numbers"):
        model.add(layers.Dense(2, kernel_initializer=Fails()))
    assert len(model.layers) == 1
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    model.add(layers.Dense(2))
    assert model.predict(np.ones((1, 4))).shape == (1, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"dtype": "float16"},
        {"dtype": "int"},
        {"dtype": 32},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": "0"},
        {"seed": 2**63},
        {"seed": True},
    ],
)
def test_arguments_of_sequential(arguments):
    with pytest.raises((TypeError, ValueError), match="received"):
        fnn.Sequential([], **arguments)


def test_a_model_without_layers_says_so():
    with pytest.raises(ValueError, match="no layers"):
        fnn.Sequential().build((3,))
    with pytest.raises(ValueError, match="no layers"):
        fnn.Sequential().predict(np.ones((2, 3)))
    model = fnn.Sequential([fnn.Input((3,))])
    with pytest.raises(ValueError, match="no layers"):
        model.predict(np.ones((2, 3)))


def test_what_needs_a_built_model_says_so():
    model = two_layers()
    for call in (
        model.get_weights,
        lambda: model.set_weights([]),
        model.count_params,
        lambda: model.output_shape,
    ):
        with pytest.raises(ValueError, match=r"not built|before it is built"):
            call()
    with pytest.raises(AttributeError, match="before it is built"):
        _ = model.layers[0].kernel


# ---- summary and configuration ----


def test_summary_is_a_table(capsys):
    model = two_layers(name="digits")
    model.layers[0].trainable = False
    model.build((1000,))
    assert model.summary() is None
    text = capsys.readouterr().out
    assert 'Model: "digits"' in text
    for part in (
        "hidden (Dense)",
        "out (Dense)",
        "(None, 3)",
        "(None, 2)",
        "3,003",
        "Total params: 3,011",
        "Trainable params: 8",
        "Non-trainable params: 3,003",
    ):
        assert part in text, part
    lines = []
    model.summary(print_fn=lines.append)
    assert "\n".join(lines) + "\n" == text


def test_summary_of_an_unbuilt_model(capsys):
    two_layers().summary()
    assert "unbuilt" in capsys.readouterr().out
    fnn.Sequential().summary()


def test_repr_names_the_layers():
    assert repr(two_layers()) == "<Sequential 'sequential': Dense, Dense>"


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dense(3),
        layers.Dense(3, "gelu_tanh", False, "he_normal", name="x", trainable=False),
        layers.Dropout(0.3),
        layers.Activation("softmax"),
        layers.Flatten(),
        layers.Rescaling(2.0, 1.0),
        layers.Dense(
            2,
            kernel_initializer=initializers.Constant(0.5),
            bias_initializer=initializers.RandomNormal(seed=3),
        ),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_made_again_from_their_configuration(layer):
    config = layer.get_config()
    again = layers.get(type(layer).__name__, config)
    assert type(again) is type(layer)
    assert again.get_config() == config


def test_layers_of_a_model_are_made_again_from_its_configuration():
    import json

    model = fnn.Sequential(
        [
            layers.Flatten(),
            layers.Rescaling(1 / 255),
            layers.Dense(3, activation="leaky_relu"),
            layers.Dropout(0.5),
            layers.Dense(2, activation="softmax"),
        ],
        seed=3,
        dtype="float64",
    )
    model.build((2, 2))
    config = json.loads(json.dumps(model.get_config()))
    assert config["seed"] == 3
    assert config["dtype"] == "float64"
    assert config["input_shape"] == [2, 2]
    again = fnn.Sequential(
        [layers.get(entry["class_name"], entry["config"]) for entry in config["layers"]],
        seed=3,
        dtype="float64",
    )
    again.build((2, 2))
    assert again.get_config() == model.get_config()
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- weights ----


def test_get_weights_are_copies_in_order():
    model = two_layers()
    model.build((4,))
    weights = model.get_weights()
    for got, live in zip(
        weights,
        (model.layers[0].kernel, model.layers[0].bias, model.layers[1].kernel, model.layers[1].bias),
        strict=True,
    ):
        np.testing.assert_array_equal(got, live)
        got[...] = 7
        assert (live != 7).all()


def test_layers_without_bias_have_none():
    model = fnn.Sequential([layers.Dense(3, use_bias=False), layers.Dense(2)])
    model.build((4,))
    assert model.layers[0].bias is None
    assert [w.shape for w in model.get_weights()] == [(4, 3), (3, 2), (2,)]
    with pytest.raises(ValueError, match="no parameter 'bias'"):
        model.layers[0].bias = np.ones(3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_have_the_dtype_of_the_model(dtype):
    model = two_layers(dtype=dtype)
    model.build((4,))
    assert {w.dtype for w in model.get_weights()} == {np.dtype(dtype)}
    assert model.predict(np.ones((2, 4))).dtype == dtype
    assert model.predict(np.ones((2, 4), np.float16)).dtype == dtype
    model.compile("adam", "mse")
    assert {g.dtype for g in model.gradients(np.ones((2, 4)), np.ones((2, 2)))} == {np.dtype(dtype)}


def test_set_weights_takes_any_numbers_of_the_right_shape():
    model = two_layers()
    model.build((4,))
    rng = np.random.default_rng(0)
    values = [
        np.asfortranarray(rng.normal(size=(4, 3))),
        [0, 1, 2],
        rng.integers(0, 5, (3, 2)),
        np.ones(2, np.float16),
    ]
    model.set_weights(values)
    for a, b in zip(model.get_weights(), values, strict=True):
        np.testing.assert_array_equal(a, np.asarray(b, np.float32))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda w: w[:3], ValueError, "4 weights.*received 3"),
        (lambda w: [*w, w[0]], ValueError, "4 weights.*received 5"),
        (lambda w: [w[0].T, *w[1:]], ValueError, r"\(4, 3\); received \(3, 4\)"),
        (lambda w: [w[0], w[1][:, None], *w[2:]], ValueError, r"\(3,\); received \(3, 1\)"),
        (lambda w: [*w[:3], np.array([0, np.nan])], ValueError, "finite"),
        (lambda w: [*w[:3], np.array([0, 1e300])], ValueError, "finite"),
        (lambda w: [*w[:3], np.array([0, 1j])], TypeError, "complex"),
        (lambda w: [*w[:3], np.array(["a", "b"])], TypeError, "dtype"),
        (lambda w: [*w[:3], None], TypeError, "dtype"),
    ],
)
def test_set_weights_refuses_and_changes_nothing(change, error, match):
    model = two_layers()
    model.build((4,))
    before = model.get_weights()
    with pytest.raises(error, match=match):
        model.set_weights(change([w + 1 for w in before]))
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_live_views_are_used_by_the_next_call():
    model = two_layers(dtype="float64")
    model.compile(fnn.optimizers.SGD(0.0), "mse")
    x = np.random.default_rng(0).normal(size=(30, 4))
    for _ in range(3):
        model.predict(x)
        kernel = model.layers[0].kernel
        kernel *= 1.5
        model.layers[1].bias[1] += 1
        np.testing.assert_allclose(model.predict(x), manual(model, x), rtol=1e-12)
        expected = ((manual(model, x) - x[:, :2]) ** 2).mean()
        assert model.evaluate(x, x[:, :2]) == pytest.approx(expected, rel=1e-12)
        assert model.fit(x, x[:, :2], verbose=0).history["loss"][0] == pytest.approx(expected, rel=1e-12)
        assert model.train_on_batch(x, x[:, :2]) == pytest.approx(expected, rel=1e-12)


def test_views_stay_live_through_training():
    model = two_layers()
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(30, 4))
    model.fit(x, x[:, :2], verbose=0)
    kernel = model.layers[0].kernel
    model.fit(x, x[:, :2], verbose=0)
    np.testing.assert_array_equal(kernel, model.get_weights()[0])
    assert model.layers[0].kernel is kernel


def test_assignment_copies_after_a_check():
    model = two_layers()
    model.build((4,))
    new = np.arange(12.0).reshape(4, 3)
    model.layers[0].kernel = new
    new[:] = 0
    np.testing.assert_array_equal(model.get_weights()[0], np.arange(12.0).reshape(4, 3))
    for wrong in (np.ones((3, 4)), np.full((4, 3), np.inf), 1.0):
        with pytest.raises(ValueError, match="received"):
            model.layers[0].kernel = wrong
    np.testing.assert_array_equal(model.get_weights()[0], np.arange(12.0).reshape(4, 3))
    with pytest.raises(TypeError, match="received"):
        model.layers[0].kernel = [["a"] * 3] * 4


def test_parameters_do_not_overlap_and_are_aligned():
    model = fnn.Sequential([layers.Dense(units) for units in (1, 33, 3, 65)], seed=0)
    model.build((5,))
    views = [w for layer in model.layers for w in layer.weights.values()]
    for i, view in enumerate(views):
        assert view.ctypes.data % 64 == 0
        view[...] = i
    for i, view in enumerate(views):
        assert (view == i).all()


def test_seeds_repeat_and_layers_differ():
    def kernels(seed):
        model = fnn.Sequential([layers.Dense(8), layers.Dense(8)], seed=seed)
        model.build((8,))
        return model.layers[0].kernel, model.layers[1].kernel

    for a, b in zip(kernels(5), kernels(5), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (kernels(5)[0] != kernels(6)[0]).any()
    assert (kernels(5)[0] != kernels(5)[1]).any()
    assert (kernels(None)[0] != kernels(None)[0]).any()


def test_default_initializers_are_glorot_uniform_and_zeros():
    model = fnn.Sequential([layers.Dense(200)], seed=0)
    model.build((100,))
    limit = np.sqrt(6 / 300)
    assert np.abs(model.layers[0].kernel).max() <= limit
    assert model.layers[0].kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    assert not model.layers[0].bias.any()


def test_gradients_come_in_the_order_of_the_weights():
    model = fnn.Sequential([layers.Dense(3, use_bias=False), layers.Dropout(0.5), layers.Dense(2)], seed=0)
    model.compile("adam", "mse")
    x = np.ones((5, 4))
    gradients = model.gradients(x, np.ones((5, 2)))
    assert [g.shape for g in gradients] == [w.shape for w in model.get_weights()]
    kept = [g.copy() for g in gradients]
    model.gradients(2 * x, np.ones((5, 2)))
    for a, b in zip(gradients, kept, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- predict ----


@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 300, 1000])
def test_predict_is_what_numpy_says(n):
    model = two_layers(dtype="float64")
    x = np.random.default_rng(n).normal(size=(n, 4))
    np.testing.assert_allclose(model.predict(x), manual(model, x), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x))
    np.testing.assert_array_equal(model(x), model.predict(x))


def test_predict_returns_an_array_of_its_own():
    model = two_layers()
    x = np.ones((3, 4), np.float32)
    first = model.predict(x)
    kept = first.copy()
    model.predict(x * 2)
    np.testing.assert_array_equal(first, kept)
    assert first.flags.writeable


def test_predict_of_layers_that_compute_nothing():
    x = np.arange(12).reshape(2, 2, 3)
    np.testing.assert_array_equal(fnn.Sequential([layers.Flatten()]).predict(x), x.reshape(2, 6))
    np.testing.assert_array_equal(fnn.Sequential([layers.Dropout(0.5)]).predict(x), x)
    np.testing.assert_array_equal(fnn.Sequential([layers.Activation("linear")]).predict(x), x)
    np.testing.assert_array_equal(fnn.Sequential([layers.Rescaling(2, 1)]).predict(x), 2 * x + 1)
    np.testing.assert_array_equal(
        fnn.Sequential([layers.Dropout(0.5), layers.Flatten()]).predict(x), x.reshape(2, 6)
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16])
def test_images_are_flattened_row_by_row(dtype, order):
    x = np.asarray(np.random.default_rng(0).integers(0, 255, (10, 4, 5, 3)), dtype=dtype, order=order)
    model = fnn.Sequential(
        [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)], seed=0, dtype="float64"
    )
    expected = (x.astype(np.float64) / 255).reshape(10, 60)
    got = model.predict(x)
    np.testing.assert_allclose(got, expected @ model.layers[2].kernel, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(
        model.predict(x[:, ::-1, ::-1]), model.predict(np.ascontiguousarray(x[:, ::-1, ::-1]))
    )


def test_large_images_of_bytes_stay_bytes():
    import tracemalloc

    x = np.zeros((4000, 28, 28), np.uint8)
    model = fnn.Sequential(
        [layers.Flatten(), layers.Rescaling(1 / 255), layers.Dense(10, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x[:64], np.zeros(64, int), verbose=0)
    tracemalloc.start()
    model.fit(x, np.zeros(4000, int), verbose=0)
    model.predict(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes


@pytest.mark.parametrize(
    ("n_in", "units"), [(1, 1), (1, 33), (33, 1), (65, 257), (257, 1000), (3, 16), (16, 17)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_odd_sizes(dtype, n_in, units):
    rng = np.random.default_rng(0)
    model = fnn.Sequential([layers.Dense(units, activation="relu"), layers.Dense(n_in)], seed=0, dtype=dtype)
    model.compile("adam", "mse")
    x = rng.integers(-3, 3, (67, n_in)).astype(dtype)
    model.build((n_in,))
    model.set_weights([rng.integers(-3, 3, w.shape) for w in model.get_weights()])
    k1, b1, k2, b2 = (w.astype(np.float64) for w in model.get_weights())
    hidden = np.maximum(x @ k1 + b1, 0)
    np.testing.assert_array_equal(model.predict(x), hidden @ k2 + b2)
    model.fit(x, x, batch_size=13, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
