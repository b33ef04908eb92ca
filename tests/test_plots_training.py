"""Plots of trainings: what stands behind the artists."""

import builtins
import subprocess
import sys

import numpy as np
import pytest

import fastnn as fnn
from fastnn.lr_finder import LRCurve

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

plot = fnn.weights.plot
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4))
Y = X[:, 0] * X[:, 1]
NAN = float("nan")
LOSSES = {"loss": [1.0, 0.5, 0.3], "val_loss": [0.9, 0.6, 0.7]}


@pytest.fixture(autouse=True)
def _state():
    """No plot changes a setting."""
    before = dict(matplotlib.rcParams)
    yield
    pyplot.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture(scope="module")
def trained():
    model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(8, "relu"), fnn.layers.Dense(1)], seed=0)
    model.compile(fnn.optimizers.Adam(fnn.schedules.ExponentialDecay(0.1, 3, 0.5)), "mse", metrics=["mae"])
    monitor = fnn.weights.WeightMonitor(X[:32], Y[:32], histogram_bins=16)
    history = model.fit(X, Y, epochs=6, validation_split=0.25, batch_size=24, verbose=0, callbacks=[monitor])
    return model, history, monitor


def labelled(ax):
    return {line.get_label(): line for line in ax.get_lines()}


# ---- curves ------------------------------------------------------------------------------------------------


def test_curves_have_the_numbers_of_the_history(trained):
    _, history, _ = trained
    axes = history.plot()
    assert [ax.get_title() for ax in axes] == ["loss", "mae", "learning rate"]
    for ax, name in zip(axes[:2], ("loss", "mae"), strict=True):
        lines = labelled(ax)
        for label, key in (("training", name), ("validation", f"val_{name}")):
            assert lines[label].get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
            assert lines[label].get_ydata().tolist() == history.history[key]
        assert ax.get_xlabel() == "epoch" and ax.get_ylabel() == name
        assert all(tick == round(tick) for tick in ax.get_xticks())
    # Three steps an epoch, the rate halves every three: that of the last step of each epoch.
    assert np.allclose(axes[2].get_lines()[0].get_ydata(), 0.1 * 0.5 ** ((np.arange(1, 7) * 3 - 1) / 3))
    assert axes[2].get_yscale() == "log"


def test_rates_go_on_with_the_schedule(trained):
    model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(1)], seed=0)
    model.compile(fnn.optimizers.SGD(fnn.schedules.ExponentialDecay(0.1, 3, 0.5)), "mse")
    model.fit(X, Y, epochs=2, batch_size=32, verbose=0)
    history = model.fit(X, Y, epochs=2, batch_size=32, verbose=0)
    assert np.allclose(history.plot("learning_rate").get_lines()[0].get_ydata(), 0.1 * 0.5 ** (np.array([8, 11]) / 3))


@pytest.mark.parametrize(("name", "values", "best"), [
    ("loss", [3.0, 1.0, 2.0], 2), ("accuracy", [0.1, 0.9, 0.8], 2), ("mae", [3.0, 1.0, 2.0], 2),
    ("r2_score", [1, 2, 3], 3),
    ("accuracy", [0.5, NAN, 0.4], 1), ("loss", [NAN, NAN, NAN], None), ("of_my_own", [1.0, 2.0, 3.0], None),
])
def test_the_best_epoch_is_marked(name, values, best):
    ax = plot.curves({name: values})
    marks = [line for label, line in labelled(ax).items() if label.startswith("best")]
    assert [line.get_xdata()[0] for line in marks] == ([] if best is None else [best])
    assert all(line.get_ydata()[0] == values[best - 1] for line in marks)


def test_validation_decides_what_is_best():
    assert "best: 0.6 in epoch 2" in labelled(plot.curves(LOSSES))


def test_metrics_are_chosen_by_name():
    ax = plot.curves(LOSSES | {"accuracy": [0.1, 0.2, 0.3]}, metrics="val_accuracy")
    assert ax.get_title() == "accuracy"
    assert len(plot.curves(LOSSES | {"mae": [1, 2, 3]}, ["mae", "loss"])) == 2


def test_losses_of_many_sizes_have_a_logarithmic_axis():
    assert plot.curves({"loss": [1000.0, 1.0, 0.1]}).get_yscale() == "log"
    assert plot.curves(LOSSES).get_yscale() == "linear"


def test_one_epoch_is_seen():
    ax = plot.curves({"loss": [0.5], "learning_rate": [0.1]}, "loss")
    line = labelled(ax)["training"]
    assert line.get_marker() == "o" and line.get_xdata().tolist() == [1]
    assert ax.get_xlim() == pytest.approx((0.1, 1.9)) and [t for t in ax.get_xticks() if 0.1 < t < 1.9] == [1]


def test_epochs_of_a_run_that_goes_on():
    history = fnn.callbacks.History()
    history.epoch, history.history = [4, 5], {"loss": [0.4, 0.3], "late": [0.5]}
    axes = history.plot()
    assert labelled(axes[0])["training"].get_xdata().tolist() == [5, 6]
    assert np.array_equal(labelled(axes[1])["training"].get_ydata(), [NAN, 0.5], equal_nan=True)


@pytest.mark.parametrize(("history", "metrics", "error", "says"), [
    (fnn.callbacks.History(), None, ValueError, "history is empty"), ({}, None, ValueError, "empty"),
    ({"loss": []}, None, ValueError, "empty"), (3, None, TypeError, "received 3"),
    (LOSSES, "los", ValueError, "Did you mean 'loss'"), (LOSSES, [], ValueError, "empty list"),
    ({"loss": [[1.0]]}, None, ValueError, r"\(1, 1\)"), (LOSSES, 5, TypeError, "metrics must be a name.*received 5"),
    ({"loss": ["a"]}, None, TypeError, r"history\['loss'\] must be a list of numbers; received \['a'\]"),
])
def test_curves_refuse(history, metrics, error, says):
    with pytest.raises(error, match=says):
        plot.curves(history, metrics)
    assert not pyplot.get_fignums()


class Sometimes(fnn.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch % 2 == 0:
            logs["half"] = float(epoch)


def test_logs_of_some_epochs_stand_at_these(tmp_path):
    model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    history = model.fit(X, Y, epochs=6, verbose=0, callbacks=[Sometimes()])
    again = fnn.callbacks.History()
    again.set_state(history.get_state())
    for known in (history, again):
        assert known.history["half"] == [0, 2, 4] and known.epochs_of("half") == [0, 2, 4]
        assert known.epochs_of("loss") == list(range(6))
        line = labelled(plot.curves(known, "half"))["training"]
        assert np.array_equal(line.get_ydata(), [0, NAN, 2, NAN, 4, NAN], equal_nan=True)
        assert line.get_marker() == "o"
    with pytest.raises(ValueError, match="epoch"):
        again.set_state(history.get_state() | {"epochs.1": np.array([-1.0, 1, 2])})


def test_empty_columns_are_left_out():
    assert plot.curves({"loss": [1.0, 2.0], "z": []}).get_ylabel() == "loss"
    assert np.isnan(labelled(plot.curves({"loss": [1.0, None]}))["training"].get_ydata()[1])


def test_losses_at_the_ends_of_the_numbers():
    ax = plot.curves({"loss": [1e308, 1e-308]})
    low, high = ax.get_ylim()
    assert 0 < low <= 1e-306 and 1e306 <= high < np.inf


def test_a_dark_style_can_be_read():
    model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(2)], seed=0)
    with matplotlib.style.context("dark_background"):
        lines = plot.curves({"loss": [2.0, 1.0]}).get_lines()
        assert lines[-1].get_color() == "white"
        assert plot.histograms(model)[0].get_lines()[0].get_color() == "white"


def test_axes_that_cannot_be_drawn_on_are_refused():
    figure = pyplot.figure()
    gone = figure.add_subplot()
    gone.remove()
    for ax in (figure.add_subplot(projection="3d"), gone, figure):
        with pytest.raises(ValueError, match="Axes of two dimensions in a figure"):
            plot.curves({"loss": [2.0, 1.0]}, ax=ax)


# ---- axes ------------------------------------------------------------------------------------------------


def test_panels_go_where_they_are_told():
    history = LOSSES | {"accuracy": [0.1, 0.2, 0.3]}
    figure, given = pyplot.subplots(1, 2)
    assert list(plot.curves(history, ax=given)) == list(given)
    assert plot.curves(LOSSES, ax=given[0]) is given[0]
    inside = plot.curves(history, ax=given[1])
    assert len(inside) == 2 and all(ax.figure is figure for ax in inside) and not given[1].axison
    assert pyplot.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match="2 of them"):
        plot.curves(history, ax=[given[0]])
    with pytest.raises(ValueError, match="give 2 Axes"):
        plot.curves(history, ax=figure.add_axes((0, 0, 1, 1)))


def test_a_figure_without_pyplot_stays_without():
    from matplotlib.figure import Figure

    plot.curves(LOSSES, ax=Figure().subplots())
    assert not pyplot.get_fignums()


def test_importing_fastnn_imports_no_matplotlib():
    said = subprocess.run([sys.executable, "-c", "import sys, fastnn; print('matplotlib' in sys.modules)"],
                          capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_without_matplotlib(monkeypatch):
    found = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return found(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    for draw in (lambda: plot.curves(LOSSES), lambda: plot.confusion_matrix([0], [0])):
        with pytest.raises(ImportError, match=r'pip install "fastnn\[viz\]"'):
            draw()


# ---- learning rates ----------------------------------------------------------------------------------------


def test_learning_rates():
    rates = np.logspace(-5, 0, 60)
    curve = LRCurve(rates, 2 - np.sin(np.linspace(0, 3, 60)), diverged=True)
    ax = plot.learning_rates(curve)
    lines = labelled(ax)
    assert lines["smoothed"].get_ydata().tolist() == curve.smoothed.tolist()
    assert lines["loss of a batch"].get_xdata().tolist() == rates.tolist()
    assert lines[f"valley: {curve.valley:.1e}"].get_xdata() == [curve.valley]
    assert ax.get_xscale() == "log" and ax.get_ylabel() == "loss" and "ran away" in ax.get_title()
    assert curve.plot(ax) is ax
    with pytest.raises(ValueError, match="no steps"):
        plot.learning_rates(LRCurve(np.empty(0), np.empty(0)))
    with pytest.raises(TypeError, match="lr_find"):
        plot.learning_rates([1.0])


# ---- monitor ---------------------------------------------------------------------------------------------


def test_the_monitor_counts_weights(trained):
    model, _, monitor = trained
    weight = model.layers[0].kernel
    low, high, counts = monitor.histograms["dense.kernel"][-1]
    assert (low, high) == (weight.min(), weight.max())
    assert counts.tolist() == fnn.reference.histogram(weight, low, high, 16).tolist()
    assert {name: len(found) for name, found in monitor.histograms.items()} == dict.fromkeys(monitor.weights, 6)


def test_the_monitor_remembers_histograms(trained):
    model, _, monitor = trained
    state = monitor.get_state()
    assert all(array.dtype == np.float64 for array in state.values() if isinstance(array, np.ndarray))
    again = fnn.weights.WeightMonitor(histogram_bins=16)
    again.set_model(model)
    again.set_state(state)
    for name, found in monitor.histograms.items():
        for one, other in zip(found, again.histograms[name], strict=True):
            assert one[:2] == other[:2] and np.array_equal(one.counts, other.counts)
    with pytest.raises(ValueError, match="not what it remembers"):
        again.set_state(state | {"histograms.dense.kernel": np.zeros(3)})


def test_histograms_go_on_with_a_run(tmp_path):
    def fit(*callbacks):
        model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(3), fnn.layers.Dense(1)], seed=0)
        model.compile("adam", "mse")
        monitor = fnn.weights.WeightMonitor(histogram_bins=8)
        model.fit(X, Y, epochs=4, verbose=0, callbacks=[monitor, *callbacks])
        return monitor

    def stop(epoch, logs):
        if epoch == 2:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(fnn.callbacks.BackupAndRestore(tmp_path / "run"), fnn.callbacks.LambdaCallback(on_epoch_begin=stop))
    whole, again = fit(), fit(fnn.callbacks.BackupAndRestore(tmp_path / "run"))
    for name, found in whole.histograms.items():
        assert [one.counts.tolist() for one in found] == [one.counts.tolist() for one in again.histograms[name]]


def test_a_ridge_for_each_epoch(trained):
    _, _, monitor = trained
    ax = plot.ridge(monitor, "dense.kernel")
    assert len(ax.collections) == 6 and ax.get_title() == "dense.kernel: distribution over epochs"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["1", "2", "3", "4", "5", "6"]
    low, high, counts = monitor.histograms["dense.kernel"][-1]
    points = ax.collections[-1].get_paths()[0].vertices     # the last epoch, in front, on the ground
    assert np.isclose(points[:, 0].min(), low) and np.isclose(points[:, 0].max(), high)
    heights = np.unique(points[:, 1])
    assert np.allclose(heights, np.unique(np.append(counts / counts.max() * heights.max(), 0)))
    zorders = [one.get_zorder() for one in ax.collections]
    assert zorders == sorted(zorders)
    few = plot.ridge(monitor, "dense.kernel", most=3)
    assert [tick.get_text() for tick in few.get_yticklabels()] == ["2", "4", "6"]


def test_ridges_of_constant_weights_and_of_nan():
    model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(2, trainable=False), fnn.layers.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    monitor = fnn.weights.WeightMonitor(histogram_bins=5)
    model.layers[0].weights["kernel"][...] = 0.5
    model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[monitor])
    low, high, counts = monitor.histograms["dense.kernel"][0]
    assert low < 0.5 < high and high - low < 0.01 and counts.sum() == 4
    assert len(plot.ridge(monitor, "dense.bias").collections) == 1


@pytest.mark.parametrize(("values", "counted"), [
    ([NAN, NAN], 0), ([0.0, 5e-324], 2), ([-1e308, 1e308, 0.0], 1), ([1.0, 1.0 + 2e-16], 2), ([NAN, np.inf, 2.0], 1),
])
def test_a_training_is_not_lost_for_a_histogram(values, counted):
    low, high, counts = fnn.weights.monitor._histogram(np.array(values), 4)
    assert np.isfinite([low, high]).all() and low < high and counts.sum() == counted


@pytest.mark.parametrize(("saved", "then"), [(6, 10), (6, 0), (0, 6)])
def test_a_run_goes_on_with_as_many_bins(tmp_path, saved, then):
    class Save(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.save(tmp_path / "run.safetensors")

    def fit(bins, **options):
        model = fnn.Sequential([fnn.layers.Dense(3), fnn.layers.Dense(1)], seed=0)
        model.compile("adam", "mse")
        monitor = fnn.weights.WeightMonitor(histogram_bins=bins)
        model.fit(X, Y, epochs=2, verbose=0, **{"callbacks": [monitor, Save()]} | options)
        return monitor

    whole = fit(saved)
    with pytest.raises(ValueError, match=f"histograms of {saved} bins, and cannot go on with histogram_bins={then}"):
        fit(then, resume=tmp_path / "run.safetensors")
    again = fit(saved, resume=tmp_path / "run.safetensors")
    assert {name: len(found) for name, found in again.histograms.items()} == {
        name: len(found) for name, found in whole.histograms.items()}


def test_updates_a_step(trained):
    _, _, monitor = trained
    ax = monitor.plot()
    lines = labelled(ax)
    assert list(lines) == ["dense.kernel", "dense_1.kernel", "1e-3: usual for a step"]
    for name in ("dense.kernel", "dense_1.kernel"):
        assert np.allclose(lines[name].get_ydata(), np.array(monitor.weights[name]["update_ratio"]) / 3)
        assert lines[name].get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert ax.get_yscale() == "log" and ax.get_ylabel() == "update / weight, per step"
    assert set(lines["1e-3: usual for a step"].get_ydata()) == {1e-3}
    assert "dense.bias" in labelled(plot.updates(monitor, ["dense.bias"]))


def test_updates_refuse_no_weights(trained):
    for weights, error, says in (([], ValueError, "empty list"), (5, TypeError, "weights must be names.*received 5")):
        with pytest.raises(error, match=says):
            plot.updates(trained[2], weights)


def test_updates_of_line_searches_are_those_of_epochs():
    model, monitor = fnn.Sequential([fnn.layers.Dense(1)], seed=0), fnn.weights.WeightMonitor()
    model.compile(fnn.optimizers.LBFGS(max_iter=2), "mse")
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[monitor])
    assert (monitor.params["steps"], monitor.params["batch_size"]) == (2, len(X))
    lines = labelled(monitor.plot())
    assert list(lines) == ["dense.kernel"]
    assert np.allclose(lines["dense.kernel"].get_ydata(), monitor.weights["dense.kernel"]["update_ratio"])


def test_gradients_of_a_monitor(trained):
    _, _, monitor = trained
    ax = plot.gradients(monitor)
    assert labelled(ax)["dense.kernel"].get_ydata().tolist() == monitor.weights["dense.kernel"]["gradient_norm"]
    assert ax.get_ylabel() == "norm of the gradient" and ax.get_xlabel() == "epoch"


def test_gradients_of_a_report(trained):
    model = fnn.Sequential([fnn.Input((4,)), *(fnn.layers.Dense(8, "sigmoid") for _ in range(5)),
                            fnn.layers.Dense(1)], seed=0)
    model.compile("adam", "mse")
    report = fnn.weights.diagnose_gradients(model, X, Y)
    ax = report.plot()
    assert [bar.get_height() for bar in ax.patches] == [row.gradient_rms for row in report.layers]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [row.name for row in report.layers]
    assert ax.get_lines()[0].get_ydata().tolist() == [row.weight_gradient_norm for row in report.layers]
    assert report.verdict in ax.get_title() and f"{report.ratio:.3g}" in ax.get_title() and ax.get_yscale() == "log"
    assert ax.get_ylim()[0] < min(row.gradient_rms for row in report.layers)


def test_monitors_are_refused(trained):
    _, _, monitor = trained
    nothing, plain = fnn.weights.WeightMonitor(), fnn.weights.WeightMonitor()
    for draw in (lambda: plot.ridge(nothing, "dense.kernel"), lambda: plot.updates(nothing),
                 lambda: plot.gradients(nothing)):
        with pytest.raises(ValueError, match="recorded nothing"):
            draw()
    plain.epochs, plain.weights = [0], {"dense.kernel": {"update_ratio": [0.0]}}
    with pytest.raises(ValueError, match="histogram_bins"):
        plot.ridge(plain, "dense.kernel")
    with pytest.raises(ValueError, match=r"WeightMonitor\(x, y\)"):
        plot.gradients(plain)
    with pytest.raises(ValueError, match=r"Did you mean 'dense\.kernel'"):
        plot.ridge(monitor, "dense.kernl")
    with pytest.raises(ValueError, match="no weight of the monitor"):
        plot.updates(monitor, ["other"])
    with pytest.raises(TypeError, match="WeightMonitor"):
        plot.updates([1])
    with pytest.raises(ValueError, match="histogram_bins"):
        fnn.weights.WeightMonitor(histogram_bins=-1)
    assert plot.updates(plain).get_ylabel() == "update / weight, per epoch"     # and zeros have no logarithm
