"""Pieces of HTML, and what notebooks show of models, histories and tables."""

import math
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from html_checks import Page

import fastnn as fnn
from fastnn.callbacks import History
from fastnn.html import Html, bars, figure, page, sparkline, table, tag
from fastnn.layers import Dense, Dropout, Residual
from fastnn.notebooks import LiveTable, duration, memory

HOSTILE = "<script>alert(1)</script>\"'&"


def trained(**how):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    model = fnn.Sequential([Dense(8, "relu"), Dropout(0.1), Dense(1)], seed=0, **how)
    model.compile("adam", "mse", metrics=["mae"])
    return model, model.fit(x, x[:, 0], epochs=7, verbose=0, validation_data=(x, x[:, 0])), x


def test_plain_strings_are_escaped_and_markup_is_not():
    assert tag("p", HOSTILE, Html("<i>so</i>"), title=HOSTILE) == (
        '<p title="&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;">&lt;script&gt;alert(1)&lt;/script&gt;'
        "&quot;&#x27;&amp;<i>so</i></p>")
    assert tag("a", 3, class_="x", aria_label="y", id=None) == '<a class="x" aria-label="y">3</a>'


def test_tables_escape_headers_and_cells():
    found = Page(page(HOSTILE, table((HOSTILE, "b"), [(HOSTILE, (HOSTILE, "bad"))], label=HOSTILE)))
    assert found.rows == [[HOSTILE, "b"], [HOSTILE, HOSTILE]]
    assert [given["class"] for name, given in found.tags if name == "td"] == ["bad"]


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5000"), (1e-4, "1.00e-04"), (0.0, "0.0000"), (3e8, "3.00e+08"),
                                             (math.nan, "nan"), (-math.inf, "-inf"), (1234.5, "1234.5000")])
def test_numbers_are_those_of_the_table_of_fit(value, text):
    assert figure(value) == text


def test_sizes_and_times_have_three_digits_and_no_exponents():
    sizes = [memory(n) for n in (1000, 1023, 1024, 1023 * 1024, 1024**2 - 1, 1500 * 1024**3)]
    assert sizes == ["1000 B", "1023 B", "1 KB", "1023 KB", "1 MB", "1500 GB"]
    times = [duration(s) for s in (1e-4, 0.9994, 0.9996, 1.25, 119.6, 3599, 7190, 7210, 1e6)]
    assert times == ["0.1 ms", "999 ms", "1 s", "1.25 s", "2.0 min", "1 h 0 min", "2 h 0 min", "2 h 0 min",
                     "277 h 47 min"]


def test_sparklines():
    found = sparkline([[1.0, math.nan, 0.0], [0.5, 0.5, 0.5]])
    assert found.count("<polyline") == 2
    assert 'points="2.0,2.0 118.0,22.0"' in found  # NaN is left out
    assert 'points="2.0,12.0 60.0,12.0 118.0,12.0"' in found
    assert len(sparkline([list(range(100_000))])) < 5000
    assert "no numbers" in sparkline([[math.nan]])
    assert 'width="80"' in bars(0.5)


def test_a_model_shows_its_layers():
    model, _, _ = trained(name=HOSTILE)
    model.layers[0].trainable = False
    found = Page(model._repr_html_())
    assert found.rows == [["Layer", "Type", "Activation", "Output shape", "Parameters"],
                          ["dense (frozen)", "Dense", "relu", "8", "40"], ["dropout", "Dropout", "", "8", "0"],
                          ["dense_1", "Dense", "", "1", "9"]]
    assert HOSTILE in found.text
    assert "49 parameters, 40 of them not trained; 196 B in float32" in found.text
    assert "optimizer adam, learning rate 0.001; loss mean_squared_error" in found.text


@pytest.mark.parametrize("model", [fnn.Sequential(), fnn.Sequential([Residual([Dense(3)]), Dense(2)])],
                         ids=["empty", "unbuilt"])
def test_a_model_that_is_not_built(model):
    found = Page(model._repr_html_())
    assert "not built" in found.text
    assert "not compiled" in found.text
    if model.layers:
        assert found.rows[2] == ["\u2003dense", "Dense", "", "?", "?"]


def test_schedules_are_told():
    model = fnn.Sequential([Dense(1)])
    model.compile(fnn.optimizers.SGD(fnn.schedules.ExponentialDecay(0.1, 10, 0.5)), "mse")
    assert "ExponentialDecay" in Page(model._repr_html_()).text
    model.compile(fnn.optimizers.LBFGS(), "mse")
    assert "optimizer lbfgs; loss" in Page(model._repr_html_()).text


def test_a_history_shows_its_best_epochs_and_curves():
    _, history, _ = trained()
    found = Page(history._repr_html_())
    for name, values in history.history.items():
        first, best, epoch, last, _ = found.row(name)
        assert (first, best, last) == (figure(values[0]), figure(min(values)), figure(values[-1]))
        assert int(epoch) == np.argmin(values) + 1
    assert history.diagnose() in found.text
    assert sum(name == "svg" for name, _ in found.tags) == 2
    assert "7 epochs in" in found.text and "ms" in found.text


def test_a_history_of_other_names():
    history = History()
    assert "no epochs" in history._repr_html_()
    history.history, history.epoch = {"loss": [math.nan, 2.0], HOSTILE: [1.0, 2.0], "accuracy": [0.5, 0.4]}, [0, 1]
    found = Page(history._repr_html_())
    assert found.row("loss")[:4] == ["nan", "2.0000", "2", "2.0000"]
    assert found.row(HOSTILE)[:4] == ["1.0000", "", "", "2.0000"]  # nobody knows whether more of it is better
    assert found.row("accuracy")[:3] == ["0.5000", "0.5000", "1"]
    history.history["auc"] = [0.7]  # came late
    assert Page(history._repr_html_()).row("auc")[:4] == ["0.7000", "0.7000", "2", "0.7000"]


def test_statistics_and_gradients_show_their_tables():
    model, _, x = trained()
    found = Page(fnn.weights.statistics(model, x)._repr_html_())
    assert found.row("dense.kernel")[0] == "4x8"
    report = fnn.weights.diagnose_gradients(model, x, x[:, 0])
    assert f"gradients: {report.verdict}" in Page(report._repr_html_()).text


def test_seconds_of_epochs_are_kept():
    _, history, _ = trained()
    assert len(history.seconds) == 7 and all(0 < seconds < 60 for seconds in history.seconds)
    copy = History()
    copy.set_state(history.get_state())
    assert copy.seconds == history.seconds
    old = {name: value for name, value in history.get_state().items() if name != "seconds"}
    copy.set_state(old)
    assert np.isnan(copy.seconds).all() and len(copy.seconds) == 7
    assert copy.history == history.history
    with pytest.raises(ValueError, match="a history holds"):
        copy.set_state(history.get_state() | {"seconds": 3.0})


# ---- fit in a notebook ---------------------------------------------------------------------------------------


@pytest.fixture
def kernel(monkeypatch):
    """A notebook as `fit` sees it: what was displayed, in order, in each place."""
    places = []

    def display(data, raw, display_id):
        assert raw and display_id
        places.append([data])
        return SimpleNamespace(update=lambda data, raw: places[-1].append(data))

    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return places


def test_fit_fills_one_table(kernel, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    model = fnn.Sequential([Dense(1)], seed=0)
    model.compile("adam", "mse", metrics=["mae"])
    history = model.fit(x, x[:, 0], epochs=150, validation_data=(x, x[:, 0]))
    assert len(kernel) == 1
    assert capsys.readouterr() == ("", "")
    found = Page(kernel[0][-1]["text/html"])
    assert found.rows[0] == ["epoch", "loss", "mae", "val_loss", "val_mae", "seconds", "rows/s"]
    assert len(found.rows) == 101
    assert "50 epochs before these" in found.text
    assert found.row("150/150")[0] == figure(history.history["loss"][-1])
    assert kernel[0][-1]["text/plain"] == "<training: 150 of 150 epochs>"
    assert len(kernel[0]) < 100
    model.fit(x, x[:, 0], verbose=2)
    assert "mae" in capsys.readouterr().out and len(kernel) == 1
    model.fit(x, x[:, 0], verbose=0)
    assert len(kernel) == 1


def test_an_interrupted_fit_leaves_its_table(kernel):
    class Interrupt(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    x = np.ones((8, 2))
    model = fnn.Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse")
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, np.ones(8), epochs=9, callbacks=[Interrupt()])
    assert [row[0] for row in Page(kernel[0][-1]["text/html"]).rows] == ["epoch", "1/9", "2/9"]


def test_the_bar_is_there_inside_an_epoch(kernel):
    live = LiveTable(3)
    live.progress("Epoch 1/3", 0.25, HOSTILE)
    found = Page(kernel[0][0]["text/html"])
    assert HOSTILE in found.text
    assert [given["width"] for name, given in found.tags if name == "rect"] == ["160", "40"]
    live.progress("Epoch 1/3", None, "a stream, whose end nobody knows")
    live.close()
    assert "stream" not in kernel[0][-1]["text/html"]


def test_a_table_that_cannot_be_shown_costs_no_training(kernel, monkeypatch):
    def broken(*arguments, **options):
        raise OSError("the kernel is gone")

    monkeypatch.setattr(sys.modules["IPython.display"], "display", broken)
    model = fnn.Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="cannot be shown any more.*the kernel is gone") as said:
        history = model.fit(np.ones((8, 2)), np.ones(8), epochs=3)
    assert len(said) == 1 and len(history.epoch) == 3


NOTEBOOK = """
{hidden}
import warnings
import numpy as np
import fastnn as fnn
x = np.random.default_rng(0).normal(size=(500, 4))
model = fnn.Sequential([fnn.layers.Dense(8, "relu"), fnn.layers.Dense(1)], seed=0)
model.compile("adam", "mse")
with warnings.catch_warnings():
    warnings.simplefilter("error")
    history = model.fit(x, x[:, 0], epochs=5)
history
"""
INTERRUPTED = """
import os, signal, threading
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    model.fit(x, x[:, 0], epochs=10**7)
except KeyboardInterrupt:
    print("interrupted, with outputs of shape", model.predict(x).shape)
"""


@pytest.mark.slow
@pytest.mark.parametrize("hidden", ["", "import sys; sys.modules['ipywidgets'] = None"], ids=["widgets", "no widgets"])
def test_a_real_notebook(hidden, tmp_path, monkeypatch):
    nbclient, nbformat = (pytest.importorskip(name) for name in ("nbclient", "nbformat"))
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    new = nbformat.v4
    notebook = new.new_notebook(cells=[new.new_code_cell(NOTEBOOK.format(hidden=hidden)),
                                       new.new_code_cell("model"), new.new_code_cell(INTERRUPTED)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zmq and its like
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3",
                                resources={"metadata": {"path": str(tmp_path)}}).execute()
    fit, shown, interrupted = (cell.outputs for cell in notebook.cells)
    assert [output.output_type for output in fit] == ["display_data", "execute_result"]  # nothing on stderr
    assert [row[0] for row in Page(fit[0].data["text/html"]).rows] == ["epoch", *(f"{i}/5" for i in range(1, 6))]
    assert "5 epochs" in Page(fit[1].data["text/html"]).text
    assert Page(shown[0].data["text/html"]).row("dense")[:3] == ["Dense", "relu", "8"]
    assert [output.output_type for output in interrupted] == ["display_data", "stream"]
    assert interrupted[1].text == "interrupted, with outputs of shape (500, 1)\n"
