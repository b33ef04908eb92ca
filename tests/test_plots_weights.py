"""Plots of weights: what stands behind the artists."""

import builtins
import copy
import time

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers
from fastnn.weights.images import binned

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

plot = fnn.weights.plot
RNG = np.random.default_rng(0)
NAN = float("nan")


@pytest.fixture(autouse=True)
def _state():
    before = dict(matplotlib.rcParams)
    yield
    pyplot.close("all")
    assert dict(matplotlib.rcParams) == before


def model_of(*members, shape=(6,)):
    return fnn.Sequential([fnn.Input(shape), *members], seed=0)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


SMALL = model_of(layers.Dense(8, name="first"), layers.Dropout(0.1), layers.Dense(3, name="last"))
NESTED = model_of(layers.Residual([layers.Dense(6, name="inner")], name="block"), layers.Dense(2, name="out"))


# ---- layers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["last", 2, -1, np.int64(2), SMALL.layers[2]])
def test_layers_by_name_index_and_object(layer):
    assert plot.heatmap(SMALL, layer).get_title() == "last: 8 x 3"


def test_layers_inside_containers():
    assert plot.heatmap(NESTED, "block.inner").get_title() == "block.inner: 6 x 6"
    assert plot.heatmap(NESTED, NESTED.layers[0].sublayers[0]).get_title() == "block.inner: 6 x 6"
    assert len(plot.histograms(NESTED)) == 2


@pytest.mark.parametrize(("layer", "error", "says"), [
    ("frist", ValueError, "Did you mean 'first'"), (3, ValueError, r"\[-3, 2\]"), (1.5, TypeError, r"received 1\.5"),
    (True, TypeError, "received True"), (layers.Dense(3), ValueError, "no layer of the model"),
    ("dropout", ValueError, r"\(Dropout\) has no kernel; layers with one: first, last"),
])
def test_unknown_layers(layer, error, says):
    for draw in (plot.heatmap, plot.pattern, plot.degrees, plot.weight_vectors):
        with pytest.raises(error, match=says):
            draw(SMALL, layer)
    assert not pyplot.get_fignums()


@pytest.mark.parametrize("name", ["heatmap", "tiles", "histograms", "pattern", "degrees", "singular_values",
                                  "weight_vectors", "pruning", "activations"])
def test_models_that_are_none(name):
    rest = {"pruning": (SMALL,), "activations": (0, np.ones((3, 6)))}.get(name, (0,))
    for model, error, says in ((fnn.Sequential([layers.Dense(3)]), ValueError, "before it is built"),
                               ("model", TypeError, "Sequential")):
        with pytest.raises(error, match=says):
            getattr(plot, name)(model, *rest)
    assert not pyplot.get_fignums()


def test_models_without_kernels():
    model = model_of(layers.Activation("relu"))
    for draw in (plot.histograms, plot.singular_values, plot.tiles):
        with pytest.raises(ValueError, match="no layer with a kernel"):
            draw(model)


def test_names_are_no_mathematics():
    model = model_of(layers.Dense(4, name=r"a$\x$b"), layers.Dense(4, name="c$"))
    report = plot.pruning(model, model)
    for ax in (*plot.histograms(model), plot.heatmap(model, 0), plot.singular_values(model), *report,
               plot.confusion_matrix([0, 1], [0, 1], [r"$\y$", "$5 $6"]), plot.importance([1.0], [r"$\z$"])):
        ax.figure.canvas.draw()


# ---- heatmap -----------------------------------------------------------------------------------------------


def test_small_kernels_are_drawn_as_they_are():
    kernel = SMALL.layers[0].kernel
    figure, given = pyplot.subplots()
    ax = plot.heatmap(SMALL, 0, ax=given)
    image = ax.images[0]
    assert ax is given and pyplot.get_fignums() == [figure.number]
    assert np.array_equal(image.get_array(), kernel.astype(np.float64))
    assert image.get_clim() == (-np.abs(kernel).max(), np.abs(kernel).max())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("unit", "input")
    assert ax.get_xlim() == (-0.5, 7.5) and ax.get_ylim() == (5.5, -0.5)
    assert image.get_interpolation() == "nearest" and image.cmap(0.5)[:3] == pytest.approx((247 / 255,) * 3)
    assert plot.heatmap(SMALL, 0, limit=2.0).images[0].get_clim() == (-2, 2)


def test_large_kernels_are_binned_and_ticks_count_units():
    model = model_of(layers.Dense(1001), shape=(777,))
    ax = plot.heatmap(model, 0)
    image = ax.images[0]
    rows, columns = image.get_array().shape
    step = -(-1001 // columns)
    assert rows < 777 and columns < 1001 and f"a cell is {step} x {step}" in ax.get_title()
    assert np.allclose(image.get_array(), binned(model.layers[0].kernel, rows, columns)[0])
    assert image.get_extent() == [-0.5, columns * step - 0.5, rows * step - 0.5, -0.5]
    assert ax.get_xlim() == (-0.5, 1000.5) and ax.get_ylim() == (776.5, -0.5)
    ax.figure.canvas.draw()
    box = ax.get_window_extent()
    assert box.width >= columns and box.height >= rows     # no cell is lost


def test_sparse_kernels_are_drawn_like_dense_ones():
    sparse = model_of(layers.SparseDense(900, density=0.01), shape=(700,))
    dense = model_of(layers.Dense(900), shape=(700,))
    dense.layers[0].kernel = sparse.layers[0].kernel.toarray()
    one, other = (plot.heatmap(model, 0).images[0] for model in (sparse, dense))
    assert np.allclose(one.get_array(), other.get_array()) and one.get_clim() == pytest.approx(other.get_clim())


@pytest.mark.parametrize("layer", [layers.Dense(400), layers.SparseDense(400, density=0.5)])
def test_what_is_not_finite_is_grey_and_counted(layer):
    model = model_of(copy.deepcopy(layer), shape=(500,))
    weights = model.layers[0].weights["kernel"].reshape(-1)
    weights[0], weights[-1] = NAN, np.inf
    for draw in (plot.heatmap,):
        ax = draw(model, 0)
        assert "2 not finite (grey)" in ax.get_title()
        shown = ax.images[0].get_array()
        assert np.ma.getmaskarray(np.ma.masked_invalid(shown)).sum() == 2 and np.isfinite(ax.images[0].get_clim()).all()
    assert "2 not finite" in plot.histograms(model)[0].get_title()
    assert labels(plot.singular_values(model)) == [f"{model.layers[0].name}: not finite"]
    with pytest.raises(ValueError, match="not finite"):
        plot.weight_vectors(model, 0)


def test_all_nan_all_zero_and_one_unit():
    model = model_of(layers.Dense(1))
    for value in (NAN, 0.0, 0.5):
        model.layers[0].weights["kernel"][...] = value
        for draw in (plot.heatmap, plot.tiles, plot.pattern, plot.degrees, plot.histograms, plot.singular_values):
            pyplot.close("all")
            draw(model, 0, **({"shape": (2, 3)} if draw is plot.tiles else {}))
            pyplot.gcf().canvas.draw()
        with pytest.raises(ValueError, match=r"at least 3 units|not finite"):
            plot.weight_vectors(model, 0)
    assert plot.heatmap(model, 0).images[0].get_clim() == (-0.5, 0.5)


def test_layers_of_all_kinds():
    image = model_of(layers.Conv2D(5, 3), layers.Flatten(), layers.Dense(4), shape=(8, 8, 2))
    assert plot.heatmap(image, 0).get_title() == "conv2d: 18 x 5"
    table = model_of(layers.Embedding(7, 3), layers.Flatten(), layers.Dense(2), shape=(2,))
    ax = plot.heatmap(table, 0)
    assert ax.images[0].get_array().shape == (7, 3) and ax.get_ylabel() == "category"
    assert len(plot.weight_vectors(table, 0).collections[0].get_offsets()) == 7
    encoder = layers.Dense(3)
    tied = model_of(encoder, layers.Dense(6, tied_to=encoder))
    assert np.array_equal(plot.heatmap(tied, 1).images[0].get_array(), plot.heatmap(tied, 0).images[0].get_array().T)


@pytest.mark.parametrize("layer", [layers.BinaryDense(9), layers.TernaryDense(9)])
def test_packed_layers_show_what_they_stand_for(layer):
    model = model_of(copy.deepcopy(layer), shape=(70,))
    packed = model.pack()
    assert np.array_equal(plot.heatmap(packed, 0).images[0].get_array(), model.layers[0].rounded_kernel)


# ---- tiles -------------------------------------------------------------------------------------------------


def test_tiles_of_the_model_s_input():
    model = model_of(layers.Flatten(), layers.Rescaling(0.5), layers.Dense(10), shape=(4, 6))
    ax = plot.tiles(model)
    image = ax.images[0].get_array()
    assert ax.get_title() == "dense: 10 units, 4 x 6 inputs each"
    assert image.shape == (3 * 4 + 2, 4 * 6 + 3, 3) and (image[4] == 255).all() and (image[10:, 14:] == 255).all()
    kernel = model.layers[2].kernel[:, 5].reshape(4, 6)
    place = np.unravel_index(np.abs(kernel).argmax(), (4, 6))
    assert image[5 + place[0], 7 + place[1]].tolist() in ([5, 48, 97], [103, 0, 31])     # the darkest
    assert plot.tiles(model, shape=(6, 4)).images[0].get_array().shape[0] == 3 * 6 + 2
    assert "4 of 10 units" in plot.tiles(model, most=4).get_title()


def test_tiles_of_colour_of_convolutions_and_of_sparse_layers():
    colour = model_of(layers.Flatten(), layers.SparseDense(4, density=0.5), shape=(5, 5, 3))
    assert plot.tiles(colour).get_title() == "sparse_dense: 4 units, 5 x 5 x 3 inputs each"
    convolution = model_of(layers.Conv2D(4, 3), shape=(8, 8, 1))
    assert plot.tiles(convolution).get_title() == "conv2d: 4 units, 3 x 3 inputs each"
    with pytest.raises(ValueError, match="6 inputs are no square"):
        plot.tiles(SMALL)
    with pytest.raises(ValueError, match="10 numbers"):
        plot.tiles(SMALL, shape=(2, 5))


# ---- histograms --------------------------------------------------------------------------------------------


def test_histograms():
    axes = plot.histograms(SMALL, bins=10)
    for ax, layer in zip(axes, (SMALL.layers[0], SMALL.layers[2]), strict=True):
        counts, edges = np.histogram(layer.kernel.astype(np.float64), 10)
        assert np.array_equal(ax.patches[0].get_data().values, counts)
        assert np.allclose(ax.patches[0].get_data().edges, edges)
        assert f"std {layer.kernel.std():.2g}" in ax.get_title() and ax.get_xlabel() == "weight"
    assert len(plot.histograms(SMALL, "last")) == len(plot.histograms(SMALL, [2])) == 1


def test_pruned_weights_are_left_out():
    model = model_of(layers.Dense(20), shape=(20,))
    fnn.weights.prune(model, 0.75)
    assert plot.histograms(model)[0].patches[0].get_data().values.sum() == 100
    assert plot.pattern(model, 0).get_title() == "dense: 25 % of 20 x 20 connections"


# ---- sparsity ----------------------------------------------------------------------------------------------


def test_pattern():
    model = model_of(layers.SparseDense(12, density=0.3), shape=(9,))
    ax = plot.pattern(model, 0)
    assert np.array_equal(ax.images[0].get_array(), model.layers[0].kernel.toarray() != 0)
    assert ax.images[0].get_clim() == (0, 1) and len(ax.figure.axes) == 1
    large = model_of(layers.SparseDense(1000, density=0.02), shape=(1000,))
    ax = plot.pattern(large, 0)
    shares = ax.images[0].get_array()
    step = -(-1000 // shares.shape[0])
    there = large.layers[0].kernel.toarray() != 0
    assert np.allclose(shares, binned(there, *shares.shape)[0])
    assert f"a cell is {step} x {step}" in ax.get_title() and ax.images[0].get_clim() == (0, shares.max())


def test_degrees():
    model = model_of(layers.SparseDense(30, density=0.1), shape=(20,))
    there = model.layers[0].kernel.toarray() != 0
    for ax, found in zip(plot.degrees(model, 0), (there.sum(axis=1), there.sum(axis=0)), strict=True):
        data = ax.patches[0].get_data()
        assert data.values.sum() == len(found)
        assert np.array_equal(data.values, np.histogram(found, data.edges)[0])
        assert ax.get_lines()[0].get_xdata()[0] == found.mean()
    assert plot.degrees(SMALL, 0)[0].get_figure().get_suptitle() == "first: 100 % of 6 x 8 connections"
    assert all(tick == round(tick) for ax in plot.degrees(SMALL, 0) for tick in ax.get_xticks())


def test_pruning():
    before = model_of(layers.Dense(30, name="a"), layers.Dense(10, name="b"), shape=(20,))
    after = copy.deepcopy(before)
    fnn.weights.prune(after, 0.9, layers=["a"])
    for pruned in (after, after.sparsify(layers=["a"])):
        bars, weights = plot.pruning(before, pruned)
        assert [round(float(bar.get_width()), 3) for bar in bars.patches] == [0.1, 1.0]
        assert [text.get_text().strip() for text in bars.texts] == ["10.0 %", "100.0 %"]
        assert [tick.get_text() for tick in bars.get_yticklabels()] == ["a", "b"]
        assert [patch.get_data().values.sum() for patch in weights.patches] == [900, 360]
        assert labels(weights) == ["before: 900", "after: 360"]
    with pytest.raises(ValueError, match="a, b and first, last"):
        plot.pruning(before, SMALL)


def test_large_sparse_layers_are_fast():
    model = model_of(layers.SparseDense(100_000, density=0.5), shape=(3,))
    start = time.perf_counter()
    for draw in (plot.pattern, plot.heatmap, plot.degrees, plot.weight_vectors, plot.singular_values, plot.histograms):
        draw(model, 0)
    for number in pyplot.get_fignums():
        for ax in pyplot.figure(number).axes:
            assert sum(image.get_array().size for image in ax.images) <= 500 * 500
            assert sum(len(dots.get_offsets()) for dots in ax.collections) <= 2000
    assert time.perf_counter() - start < 5


# ---- singular values and planes ----------------------------------------------------------------------------


def test_singular_values():
    model = model_of(layers.Dense(4, use_bias=False), layers.Dense(3, use_bias=False), shape=(4,))
    model.set_weights([np.diag([8.0, 4.0, 2.0, 0.0]), np.eye(4, 3)])
    ax = plot.singular_values(model)
    one, other = ax.get_lines()
    assert np.allclose(one.get_ydata(), [8, 4, 2]) and one.get_xdata().tolist() == [1, 2, 3]
    assert np.allclose(other.get_ydata(), 1) and ax.get_yscale() == "log"
    assert labels(ax) == ["dense: rank 3 of 4, condition inf", "dense_1: rank 3 of 3, condition 1"]
    kernel = SMALL.layers[0].kernel
    assert np.allclose(plot.singular_values(SMALL, "first").get_lines()[0].get_ydata(),
                       np.linalg.svd(kernel, compute_uv=False), rtol=1e-4)


def test_singular_values_of_many(monkeypatch):
    monkeypatch.setattr("fastnn.weights.plot.projections.WHOLE", 100)
    model = model_of(layers.Dense(150), layers.SparseDense(120, density=0.1), shape=(200,))
    ax = plot.singular_values(model)
    for line, layer in zip(ax.get_lines(), model.layers, strict=True):
        kernel = layer.kernel if isinstance(layer, layers.Dense) else layer.kernel.toarray()
        assert np.allclose(line.get_ydata(), np.linalg.svd(kernel, compute_uv=False)[:100], rtol=1e-4)
    assert labels(ax)[0] == "dense: 100 largest of 150"


def test_weight_vectors():
    kernel = SMALL.layers[0].kernel.T.astype(np.float64)
    ax = plot.weight_vectors(SMALL, 0)
    points = ax.collections[0].get_offsets()
    centred = kernel - kernel.mean(axis=0)
    assert np.allclose(np.abs(points), np.abs(centred @ np.linalg.svd(centred)[2][:2].T))
    assert np.allclose(ax.collections[0].get_array(), np.linalg.norm(kernel, axis=1))
    shares = np.linalg.svd(centred, compute_uv=False) ** 2
    assert ax.get_xlabel() == f"component 1 ({100 * shares[0] / shares.sum():.0f} % of the variance)"
    wide = model_of(layers.Dense(3000), shape=(4,))
    assert len(plot.weight_vectors(wide, 0, most=50).collections[0].get_offsets()) == 50
    with pytest.raises(ValueError, match="method must be 'pca' or 'tsne'"):
        plot.weight_vectors(SMALL, 0, "umap")


def test_activations_and_their_classes():
    x, y = RNG.normal(size=(60, 6)), RNG.integers(0, 3, 60)
    ax = plot.activations(SMALL, "first", x, y)
    assert labels(ax) == ["0", "1", "2"] and [len(dots.get_offsets()) for dots in ax.collections] == \
        np.bincount(y).tolist()
    outputs = next(iter(fnn.weights.layer_outputs(SMALL, x)))[1].astype(np.float64)
    centred = outputs - outputs.mean(axis=0)
    plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    assert np.allclose(np.abs(ax.collections[1].get_offsets()), np.abs(plane[y == 1]), atol=1e-5)
    assert labels(plot.activations(SMALL, 0, x, np.eye(3)[y])) == ["0", "1", "2"]
    assert labels(plot.activations(SMALL, 0, x, np.array(["a", "b"])[y % 2])) == ["a", "b"]
    amounts = plot.activations(SMALL, 0, x, x[:, 0])
    assert np.array_equal(amounts.collections[0].get_array(), x[:, 0]) and len(amounts.figure.axes) == 2
    assert plot.activations(SMALL, 0, x, most=20).get_title() == "first: its outputs for 20 of 60 samples"
    image = model_of(layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1), shape=(6, 6, 1))
    for i in range(3):
        assert len(plot.activations(image, i, RNG.normal(size=(9, 6, 6, 1))).collections[0].get_offsets()) == 9


@pytest.mark.parametrize(("arguments", "says"), [
    ((NESTED, "block.inner", np.ones((3, 6))), "inside 'block'.*give 'block'"),
    ((SMALL, 0, np.ones((3, 5))), r"\(5,\)"), ((SMALL, 0, np.ones((2, 6))), "at least 3 samples"),
    ((SMALL, 0, np.ones((4, 6)), [1, 2]), "4 entries"),
    ((SMALL, 0, np.ones((99, 6)), [str(i) for i in range(99)]), "99 different classes; at most 60"),
    ((SMALL, 0, np.full((4, 6), NAN)), "NaN"),
])
def test_activations_refuse(arguments, says):
    with pytest.raises(ValueError, match=says):
        plot.activations(*arguments)
    assert not pyplot.get_fignums()


def test_activations_of_labels_that_are_none():
    with pytest.raises(TypeError, match="y must hold classes or numbers"):
        plot.activations(SMALL, 0, np.ones((4, 6)), [None] * 4)


def test_activations_of_unknown_y_are_grey():
    x, y = RNG.normal(size=(30, 6)), np.arange(30) % 3.0
    y[:5] = NAN
    ax = plot.activations(SMALL, 0, x, y)
    assert [len(dots.get_offsets()) for dots in ax.collections] == [5, 8, 8, 9]
    assert labels(ax) == ["not finite", "0.0", "1.0", "2.0"]


def test_activations_of_sparse_samples():
    sparse = pytest.importorskip("scipy.sparse")
    x = RNG.normal(size=(40, 6)) * (RNG.random((40, 6)) < 0.4)
    for most in (40, 20):
        dense, same = (plot.activations(SMALL, 0, rows, most=most).collections[0].get_offsets()
                       for rows in (x, sparse.csr_array(x)))
        assert np.allclose(dense, same, atol=1e-5)


def test_large_layers_have_their_plane_from_two_vectors(monkeypatch):
    model = model_of(layers.Dense(30), shape=(40,))
    whole = plot.weight_vectors(model, 0)
    monkeypatch.setattr("fastnn.weights.plot.projections.FEW", 10)
    two = plot.weight_vectors(model, 0)
    assert np.allclose(*(np.abs(ax.collections[0].get_offsets()) for ax in (whole, two)))
    assert whole.get_xlabel() == two.get_xlabel()


def test_pictures_stand_upright_whatever_the_settings_say():
    with matplotlib.rc_context({"image.origin": "lower"}):
        for draw in (plot.heatmap, plot.pattern, lambda model, layer: plot.tiles(model, layer, (2, 3))):
            assert draw(SMALL, 0).images[0].origin == "upper"
        assert plot.confusion_matrix([0, 1], [0, 1]).images[0].origin == "upper"


@pytest.mark.filterwarnings("error")
def test_weights_that_ran_away_are_drawn():
    model = fnn.Sequential([fnn.Input((4,)), layers.Dense(3)], dtype="float64")
    model.layers[0].kernel = RNG.normal(size=(4, 3)) * 1e200
    assert "std inf" in plot.histograms(model)[0].get_title()
    plot.weight_vectors(model, 0).figure.canvas.draw()


@pytest.mark.parametrize(("name", "arguments", "says"), [
    ("tiles", (0, 8), r"shape must be \(height, width.*received 8"),
    ("histograms", (5.5,), r"layers must be.*received 5\.5"),
])
def test_what_is_no_list(name, arguments, says):
    with pytest.raises(TypeError, match=says):
        getattr(plot, name)(SMALL, *arguments)


def test_axes_of_a_table_are_categories():
    model = fnn.Sequential([fnn.Input((2,)), layers.Embedding(5, 4)], seed=0)
    for draw in (plot.heatmap, plot.pattern):
        ax = draw(model, 0)
        assert (ax.get_ylabel(), ax.get_xlabel()) == ("category", "dimension")


def test_long_names_are_cut():
    model = fnn.Sequential([fnn.Input((3,)), layers.Dense(2, name="x" * 120)], seed=0)
    assert plot.heatmap(model, 0).get_title().startswith("x" * 47 + "…: 3 x 2")


def test_tsne():
    pytest.importorskip("sklearn")
    x = np.concatenate([RNG.normal(size=(10, 6)), RNG.normal(size=(10, 6)) + 50])
    ax = plot.activations(SMALL, 0, x, method="tsne")
    points = np.asarray(ax.collections[0].get_offsets())
    assert ax.get_xlabel() == "t-SNE 1" and points.shape == (20, 2) and np.isfinite(points).all()
    near = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(20)
    assert ((near.argmin(axis=1) < 10) == (np.arange(20) < 10)).mean() > 0.8


def test_tsne_without_scikit_learn(monkeypatch):
    found = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.split(".")[0] == "sklearn":
            raise ImportError(name)
        return found(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'fastnn\[sklearn\].*method="pca"'):
        plot.weight_vectors(SMALL, 0, "tsne")
