"""Plots of what a model makes of samples: what stands behind the artists."""

from types import SimpleNamespace

import numpy as np
import pytest

import fastnn as fnn

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


def written(ax):
    return np.array([int(text.get_text()) for text in ax.texts])


def ticks(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


# ---- confusion matrix --------------------------------------------------------------------------------------


def test_confusion_matrix_counts_and_shares():
    true, predicted = RNG.integers(0, 4, 200), RNG.integers(0, 4, 200)
    counts = np.zeros((4, 4), int)
    np.add.at(counts, (true, predicted), 1)
    ax = plot.confusion_matrix(true, predicted)
    image = ax.images[0]
    assert np.array_equal(written(ax), counts.ravel())
    assert np.allclose(image.get_array(), counts / counts.sum(axis=1, keepdims=True))
    assert image.get_clim() == (0, 1)
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ["0", "1", "2", "3"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert ax.get_title() == f"{100 * np.trace(counts) / 200:.1f} % of 200 right"


@pytest.mark.parametrize(("true", "predicted", "labels", "counts"), [
    ([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], ["0", "1"], [1, 0, 1, 1]),
    ([0, 1, 1], [[0.1], [0.9], [0.4]], ["0", "1"], [1, 0, 1, 1]),
    ([True, False], [1.0, 0.0], ["0", "1"], [1, 0, 0, 1]),
    ([[0, 1], [1, 0]], [1, 1], ["0", "1"], [0, 1, 0, 1]),
    (["b", "a"], ["b", "b"], ["a", "b"], [0, 1, 0, 1]),
    ([3, 7], [7, 7], ["3", "7"], [0, 1, 0, 1]),
])
def test_confusion_matrix_takes(true, predicted, labels, counts):
    ax = plot.confusion_matrix(np.array(true), np.array(predicted))
    assert ticks(ax.xaxis) == labels and written(ax).tolist() == counts


def test_confusion_matrix_names_classes_that_do_not_occur():
    figure, given = pyplot.subplots()
    ax = plot.confusion_matrix([0, 2], [0, 2], names=["cat", "dog", "owl"], ax=given)
    assert ax is given and ticks(ax.yaxis) == ["cat", "dog", "owl"]
    assert written(ax).reshape(3, 3)[1].tolist() == [0, 0, 0]
    assert not ax.images[0].get_array()[1].any() and pyplot.get_fignums() == [figure.number]


@pytest.mark.filterwarnings("error")
def test_confusion_matrix_leaves_room_beside_long_names():
    ax = plot.confusion_matrix([0, 1], [0, 1], names=["a" * 400, "b"])
    ax.figure.canvas.draw()
    assert ticks(ax.xaxis) == ["a" * 23 + "…", "b"]


def test_confusion_matrix_of_many_classes_has_few_ticks_and_no_numbers():
    ax = plot.confusion_matrix(np.arange(50), np.arange(50))
    assert not ax.texts and ticks(ax.xaxis) == [str(i) for i in range(0, 50, 2)]
    assert np.array_equal(ax.images[0].get_array(), np.eye(50))


@pytest.mark.parametrize(("arguments", "error", "says"), [
    (([], []), ValueError, "0 and 0"), (([1, 2], [1]), ValueError, "2 and 1"),
    (([NAN], [1]), ValueError, "y_true.*NaN"),
    (([0, 1], [0, 1], ["a"]), ValueError, "2 classes 0, 1; received 1"), (([[[1]]], [1]), ValueError, r"\(1, 1, 1\)"),
    ((["a"], [1]), TypeError, "one kind"),
    (([3, 5, 7], np.eye(3)), ValueError, "y_true has classes from 3 to 7, but the columns of y_pred.*0 to 2"),
    ((np.eye(3), [3, 5, 7]), ValueError, "y_pred has classes from 3 to 7, but the columns of y_true"),
    (([3, 7], [0.2, 0.9]), ValueError, "classes 0 to 1"),
    (([[1, 0], [1, 1], [0, 0]], [0, 1, 1]), ValueError, "single one in each row"),
    (([[0.4, 0.6]], [1]), ValueError, "single one in each row"),
    (([0.5, 1.7, 2.2], [1.5, 0.7, 2.5]), ValueError, "received 0.5, which is none"),
    (([0, 1], [-1.5, 2.5]), ValueError, r"probabilities in \[0, 1\].*from -1.5 to 2.5.*y_pred >= 0"),
    (([0, 1], [0, 1], 5), TypeError, "names must be a list of names; received 5"),
])
def test_confusion_matrix_refuses(arguments, error, says):
    with pytest.raises(error, match=says):
        plot.confusion_matrix(*arguments)
    assert not pyplot.get_fignums()


# ---- residuals ---------------------------------------------------------------------------------------------


def test_residuals():
    true = RNG.normal(size=300)
    predicted = true + 0.1 * RNG.normal(size=300)
    first, second = plot.residuals(true, predicted[:, None])
    dots = first.get_lines()[0]
    assert np.array_equal(dots.get_xdata(), true) and np.array_equal(dots.get_ydata(), predicted)
    r2 = 1 - np.sum((true - predicted) ** 2) / np.sum((true - true.mean()) ** 2)
    assert first.get_title() == f"R2 = {r2:.3f}, RMSE = {np.sqrt(np.mean((true - predicted) ** 2)):.3g}"
    assert second.patches[0].get_data().values.sum() == 300
    assert np.isclose(second.get_lines()[1].get_xdata()[0], np.mean(predicted - true))
    assert (first.get_xlabel(), first.get_ylabel(), second.get_xlabel()) == ("true", "predicted", "predicted - true")


def r2_score(true, predicted):
    return fnn.metrics.R2Score()(true, predicted)


def test_r2_of_several_outputs_is_the_mean_of_theirs():
    true = RNG.normal(size=(200, 3)) * [1, 10, 100]
    predicted = true + RNG.normal(size=true.shape)
    first, _ = plot.residuals(true, predicted)
    each = [r2_score(true[:, i], predicted[:, i]) for i in range(3)]
    assert each[0] < 0.3 and each[2] > 0.99
    assert first.get_title().startswith(f"mean R2 = {np.mean(each):.3f}, ")
    assert first.get_title().startswith(f"mean R2 = {r2_score(true, predicted):.3f}, ")


def test_residuals_draw_some_of_many_and_outputs_in_colours():
    true = RNG.normal(size=(20_000, 2))
    first, second = plot.residuals(true, true + 1)
    lines = first.get_lines()[:2]
    assert all(len(line.get_xdata()) <= 2500 for line in lines) and lines[0].get_color() != lines[1].get_color()
    assert [text.get_text() for text in first.get_legend().get_texts()] == [
        f"output {i}: R2 = {r2_score(true[:, i], true[:, i] + 1):.3f}" for i in (0, 1)] + ["true = predicted"]
    assert second.patches[0].get_data().values.sum() == 40_000


def test_residuals_of_constants():
    first, _ = plot.residuals([1.0, 1.0], [1.0, 1.0])
    assert first.get_title() == "R2 = 1.000, RMSE = 0"
    assert np.isfinite(first.get_xlim()).all()


@pytest.mark.parametrize(("arguments", "error", "says"), [
    (([], []), ValueError, "one sample"), (([1, 2], [1]), ValueError, r"\(2,\) and \(1,\)"),
    (([NAN], [1]), ValueError, "y_true must be finite"), ((["a"], [1]), TypeError, "dtype"),
    (([[[1]]], [1]), ValueError, r"\(1, 1, 1\)"),
])
def test_residuals_refuse(arguments, error, says):
    with pytest.raises(error, match=says):
        plot.residuals(*arguments)


# ---- importance --------------------------------------------------------------------------------------------


def test_importance_is_sorted_with_whiskers():
    ax = plot.importance([0.1, -0.2, 0.7, 0.3], ["a", "b", "c", "d"], std=[0.01, 0.02, 0.03, 0.04], n=3)
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.3, 0.1]
    assert ticks(ax.yaxis) == ["c", "d", "a"]
    ends = [segment[:, 0] for segment in ax.collections[0].get_segments()]
    assert np.allclose(ends, [[0.67, 0.73], [0.26, 0.34], [0.09, 0.11]])
    assert ax.get_title() == "importance of features: the 3 largest of 4" and "standard deviation" in ax.get_xlabel()
    low, high = ax.get_ylim()
    assert low > high       # the largest on top


def test_importance_of_other_forms():
    bunch = SimpleNamespace(importances_mean=np.array([0.2, 0.5]), importances_std=np.array([0.1, 0.1]))
    assert ticks(plot.importance(bunch).yaxis) == ["1", "0"]
    assert ticks(plot.importance({"low": 0.1, "high": 0.9}).yaxis) == ["high", "low"]
    ax = plot.importance([NAN, 1.0, np.inf])
    assert len(ax.patches) == 1 and ax.get_title().endswith("2 not finite")
    name = "a very long name of a feature that nobody reads"
    assert len(ticks(plot.importance([1.0], [name]).yaxis)[0]) == 31


@pytest.mark.parametrize(("arguments", "error", "says"), [
    (([[1.0, 2.0]],), ValueError, r"\(1, 2\)"), (([],), ValueError, "one number a feature"),
    (([1.0, 2.0], ["a"]), ValueError, "2 features; received 1"),
    (([1.0], None, [1.0, 2.0]), ValueError, "std must be 1"),
    (([1.0, 2.0], 5), TypeError, "names must be a list of names; received 5"),
    (([1.0, 2.0], None, [-1.0, 1.0]), ValueError, "std must be at least 0; received -1"),
    (([NAN],), ValueError, "nothing to draw"), ((["a"],), TypeError, "number for each feature"),
])
def test_importance_refuses(arguments, error, says):
    with pytest.raises(error, match=says):
        plot.importance(*arguments)
    assert not pyplot.get_fignums()
