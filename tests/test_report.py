"""fnn.report: a page that is whole, escaped and right for each kind of task, and what it refuses."""

import sys

import numpy as np
import pytest
from html_checks import Page
from scipy import sparse

import fastnn as fnn
from fastnn.layers import Activation, BinaryDense, Dense, Embedding, Flatten, Rescaling
from fastnn.reports import findings, pictures
from fastnn.reports.findings import most_confused, per_class, per_target

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

HOSTILE = "<script>alert(1)</script>\"'& $x_1^{$"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6))


def network(n_outputs, activation=None, loss="mse", metrics=(), name="net", hidden=8):
    model = fnn.Sequential([Dense(hidden, "relu", name="hidden"), Dense(n_outputs, activation)], seed=0, name=name)
    model.compile(fnn.optimizers.Adam(0.02), loss, metrics=list(metrics))
    return model


@pytest.fixture
def made(tmp_path):
    """Trains a model, writes its page and reads it."""

    def make(model, y, x=X, validated=True, epochs=6, **options):
        history = model.fit(x, y, epochs=epochs, verbose=0, validation_data=(x, y) if validated else None)
        return page_of(model, history, x, y, **options)

    def page_of(*arguments, **options):
        path = tmp_path / "page.html"
        assert fnn.report(*arguments, path, **options) == str(path)
        assert path.stat().st_size < 1_500_000
        page = Page(path.read_text(encoding="utf-8"))
        page.drawn()
        assert "No picture" not in page.text
        return page

    make.page_of = page_of
    return make


# ---- tasks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one_hot", [False, True])
def test_classes(made, one_hot):
    y = X[:, :3].argmax(axis=1)
    loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    model = network(3, "softmax", loss, ["accuracy"])
    page = made(model, np.eye(3)[y] if one_hot else y, epochs=15)
    predicted = model.predict(X).argmax(axis=1)
    right = np.mean(predicted == y)
    assert f"{right * 300:.0f} of 300 samples are classified right, {right:.2%}" in page.text
    hits = np.sum((predicted == 1) & (y == 1))
    precision, recall = hits / np.sum(predicted == 1), hits / np.sum(y == 1)
    rows = {tuple(row) for row in page.rows}
    assert ("1", f"{np.sum(y == 1):,}", f"{precision:.3f}", f"{recall:.3f}",
            f"{2 * precision * recall / (precision + recall):.3f}") in rows
    assert page.row("accuracy")[0] == f"{right:.4f}"
    assert page.row("Epochs") == ["15"] and page.row("Batch size") == ["32"]
    assert page.row("Trained on") == ["300 samples"]
    assert model.history.diagnose() in page.text
    assert page.row("cpu") == [fnn.show_config(mode="dicts")["cpu"]]
    assert any(row[0].startswith("feature ") for row in page.rows)
    assert len(page.pictures) == 2 + 1 + 2 + 1


def test_binary(made):
    y = (X[:, 0] > 0).astype(float)
    model = network(1, "sigmoid", "binary_crossentropy", ["accuracy"])
    page = made(model, y, class_names=["no", HOSTILE], epochs=15)
    right = np.mean((model.predict(X)[:, 0] >= 0.5) == y)
    assert f"classified right, {right:.2%}" in page.text
    assert page.row(HOSTILE)[0] in ("no", f"{int(y.sum())}")
    logits = network(1, None, fnn.losses.BinaryCrossentropy(from_logits=True))
    page = made(logits, y, epochs=15)
    assert f"classified right, {np.mean((logits.predict(X)[:, 0] >= 0) == y):.2%}" in page.text


def test_several_labels_at_once(made):
    y = (X[:, :3] > 0).astype(float)
    model = network(3, "sigmoid", "binary_crossentropy")
    page = made(model, y, class_names=["a", "b", "c"], epochs=15)
    predicted = model.predict(X) >= 0.5
    assert f"All labels are right for {np.mean((predicted == y).all(axis=1)):.1%} of 300 samples" in page.text
    assert page.row("b")[0] == f"{int(y[:, 1].sum())}"
    assert "By label" in page.text


@pytest.mark.parametrize("columns", [1, 2])
def test_numbers(made, columns):
    y = np.column_stack([X[:, 0] * 3, np.sin(X[:, 1])])[:, :columns]
    model = network(columns, metrics=["mae", "r2_score"], hidden=32)
    page = made(model, y, class_names=["price", HOSTILE][:columns], epochs=20)
    predicted = model.predict(X).astype(float)
    error = predicted[:, 0] - y[:, 0].astype("f4")
    figures = 1 - np.mean(error**2) / y[:, 0].var(), np.abs(error).mean(), np.sqrt(np.mean(error**2)), error.mean()
    assert [float(cell) for cell in page.row("price")] == pytest.approx(figures, rel=2e-3, abs=1e-4)
    assert columns == 1 or page.row(HOSTILE)
    assert page.row("feature 0")


def test_probabilities_that_are_no_classes_are_numbers(made):
    """An autoencoder of grey pixels has binary crossentropy for its loss, too."""
    x = RNG.uniform(size=(100, 6))
    page = made(network(6, "sigmoid", "binary_crossentropy"), x, x)
    assert "R²" in page.text


def test_sparse_samples(made):
    x = sparse.random_array((200, 3000), density=0.01, format="csr", rng=np.random.default_rng(0), dtype=np.float64)
    y = np.asarray((x[:, [7]] + x[:, [8]]).toarray()[:, 0] > 0, dtype=int)
    x = sparse.csr_array(sparse.hstack([x[:, :5], sparse.csr_array(y[:, None] * 2.0), x[:, 6:]]))
    page = made(network(2, "softmax", "sparse_categorical_crossentropy"), y, x, epochs=20)
    assert "40 of 3,000, those that the outputs depend on most, were looked at" in page.text
    assert next(row[0] for row in page.rows if row[0].startswith("feature ")) == "feature 5"
    assert "Outputs of layers" in page.text


def test_streams(made):
    y = X[:, 0] * 2

    def chunks():
        for start in range(0, 300, 70):
            yield X[start:start + 70], y[start:start + 70]

    model = network(1)
    history = model.fit(chunks, epochs=3, verbose=0)
    page = made.page_of(model, history, chunks, None)
    assert page.row("Validation data") == ["300 samples of X_val"]
    assert page.row("loss")[0] == f"{model.evaluate(X, y):.4f}"


def test_images_show_what_is_wrong(made):
    x, y = RNG.integers(0, 255, size=(60, 6, 5), dtype=np.uint8), RNG.integers(0, 3, 60)
    model = fnn.Sequential([Flatten(), Rescaling(1 / 255), Dense(3, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    page = made(model, y, x)
    wrong = np.sum(model.predict(x).argmax(axis=1) != y)
    assert sum(given.get("alt", "").startswith("Sample ") for _, given in page.tags) == min(12, wrong)
    assert any(row[0].startswith("row ") and "column" in row[0] for row in page.rows)


def test_layers_of_other_kinds(made):
    """Integers that are looked up stay such; packed layers have no gradients."""
    x = RNG.integers(0, 5, size=(100, 3))
    model = fnn.Sequential([Embedding(5, 4), Flatten(), Dense(2, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    assert made(model, x[:, 0] % 2, x).row("feature 0")
    model = fnn.Sequential([BinaryDense(64), Activation("sign"), BinaryDense(2)], seed=0)
    model.compile("adam", "mse")
    wide = RNG.normal(size=(80, 50))
    history = model.fit(wide, wide[:, :2], verbose=0)
    packed = model.pack()
    packed.compile("adam", "mse")
    assert "40 of 50" in made.page_of(packed, history, wide, wide[:, :2]).text


def test_schedules_have_a_curve(made):
    model = network(1)
    model.compile(fnn.optimizers.SGD(fnn.schedules.ExponentialDecay(0.1, 10, 0.5)), "mse")
    page = made(model, X[:, 0])
    assert any(given.get("alt") == "Curve of learning_rate over epochs" for _, given in page.tags)


def test_inside_a_callback(made, tmp_path):
    class Report(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            fnn.report(self.model, None, X, X[:, 0], tmp_path / f"{epoch}.html")

    network(1).fit(X, X[:, 0], epochs=2, verbose=0, callbacks=[Report()])  # the history is told after it
    assert Page((tmp_path / "1.html").read_text(encoding="utf-8")).row("Epochs") == ["1 of 2"]


def test_estimators(made):
    sklearn = pytest.importorskip("fastnn.sklearn")
    names = np.array(["cold", "warm"])
    estimator = sklearn.MLPClassifier(max_iter=300, tol=0.01, random_state=0).fit(X, names[(X[:, 0] > 0).astype(int)])
    page = made.page_of(estimator.model_, None, X, (X[:, 0] > 0).astype(int), class_names=names)
    assert page.row("warm") and "classified right" in page.text
    with pytest.raises(TypeError, match="of an estimator give its model_"):
        made.page_of(estimator, None, X, X[:, 0])


def test_frames(made):
    pandas = pytest.importorskip("pandas")
    assert made(network(1), pandas.Series(X[:, 0]), pandas.DataFrame(X)).row("feature 0")


def test_many_classes(made):
    y = np.arange(300) % 60
    page = made(network(60, "softmax", "sparse_categorical_crossentropy"), y)
    assert "The 40 of 60 with the lowest F1" in page.text
    assert not any("Confusion" in given.get("alt", "") for _, given in page.tags)


def test_features_are_judged_by_rows_from_everywhere(made):
    """The first rows of sorted samples are of one class, in which no feature tells anything."""
    x = RNG.normal(size=(4000, 4))
    x = x[np.argsort(x[:, 0])]
    y = (x[:, 0] > 0).astype(int)
    model = network(2, "softmax", "sparse_categorical_crossentropy")
    order = RNG.permutation(len(x))
    history = model.fit(x[order], y[order], epochs=5, verbose=0)
    for rows in (x, sparse.csr_array(x)):
        page = made.page_of(model, history, rows, y)
        assert "on 500 samples of 4,000, drawn at random, where" in page.text
        assert "For 1,000 samples of 4,000, drawn at random; a dead unit" in page.text
        assert float(page.row("feature 0")[0]) > 0.5


def test_wrong_though_sure_goes_by_probabilities():
    """A large negative logit of another class makes nobody sure."""
    loss = fnn.losses.SparseCategoricalCrossentropy(from_logits=True)
    logits = np.array([[-9.0, 0.1, 0.0], [0.0, 2.0, 0.0], [5.0, 5.0, 5.0]])
    found = findings.Samples(None, np.zeros(3, int), logits, loss).sureness
    np.testing.assert_allclose(found, (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).max(axis=1))
    loss = fnn.losses.BinaryCrossentropy(from_logits=True)
    found = findings.Samples(None, np.zeros((3, 1)), np.array([[0.4], [-3.0], [0.0]]), loss).sureness
    assert np.argsort(-found).tolist() == [1, 0, 2] and found[2] == 0
    loss = fnn.losses.BinaryCrossentropy()
    np.testing.assert_allclose(findings.Samples(None, np.zeros((2, 1)), np.array([[0.1], [0.7]]), loss).sureness,
                               [0.4, 0.2])


def test_a_fit_that_goes_on_tells_its_epochs(made):
    model = network(1)
    history = model.fit(X, X[:, 0], initial_epoch=38, epochs=41, verbose=0)
    assert made.page_of(model, history, X, X[:, 0]).row("Epochs") == ["39 to 41"]
    history.params["epochs"] = 50
    assert made.page_of(model, history, X, X[:, 0]).row("Epochs") == ["39 to 41 of 50"]


def test_features_far_from_zero_do_not_hide_the_one_that_matters():
    x = RNG.normal(size=(600, 60)) + 2000
    x[:, 3] -= 2000
    y = (x[:, 3] > 0).astype(int)
    model = fnn.Sequential([fnn.layers.BatchNormalization(), Dense(16, "relu"), Dense(2, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=30, verbose=0)
    assert findings.permuted(model, findings.Samples.of(model, x, y, 1), 1).features[0] == 3


def test_a_style_of_the_user_does_not_reach_the_page(monkeypatch):
    seen = []
    with matplotlib.style.context("dark_background"):
        pictures.drawn(lambda ax: seen.append(ax.xaxis.label.get_color()), (2, 2), "alt")
        assert matplotlib.rcParams["text.color"] == "white"
    assert seen == ["black"]


@pytest.mark.filterwarnings("error")
def test_a_model_of_float64_that_ran_away(made):
    model = fnn.Sequential([fnn.Input((6,)), Dense(8), Dense(1)], seed=0, dtype="float64")
    model.compile(fnn.optimizers.SGD(10.0), "mse")
    with pytest.raises(fnn.DivergenceError):
        model.fit(X, X[:, 0], epochs=100, batch_size=300, verbose=0)
    assert "It is diverging" in made.page_of(model, None, X, X[:, 0]).text


def test_metrics_of_some_epochs(made):
    class Half(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch % 2 == 0:
                logs["mae"] = 9.0 - epoch

    model = network(1)
    history = model.fit(X, X[:, 0], epochs=6, verbose=0, callbacks=[Half()])
    history.history["z"] = []
    page = made.page_of(model, history, X, X[:, 0])
    assert page.row("mae")[:4] == ["9.0000", "5.0000", "5", "5.0000"]
    assert "z" not in [row[0] for row in page.rows]


def test_lbfgs_has_all_samples_in_a_batch(made):
    model = network(1)
    model.compile(fnn.optimizers.LBFGS(max_iter=4), "mse")
    assert made(model, X[:, 0], epochs=2).row("Batch size") == ["300"]
    assert model.history.params["steps"] == 4


# ---- parts that may be missing -------------------------------------------------------------------------------


def test_without_validation_samples_or_history(made, tmp_path):
    page = made(network(1), X[:, 0], validated=False)
    assert page.row("loss")[2:] != []
    assert "no validation data" in page.text
    model = network(1)
    history = model.fit(X, X[:, 0], epochs=2, verbose=0)
    page = made.page_of(model, history, None, None)
    assert "Answers" not in page.text and "Features" not in page.text
    model.save(tmp_path / "m.safetensors")
    page = made.page_of(fnn.load_model(tmp_path / "m.safetensors"), None, X, X[:, 0])
    assert "There is no history" in page.text and "Curves" not in page.text
    assert made.page_of(model, None, X, X[:, 0]).row("Epochs") == ["2"]  # the model's own
    assert made.page_of(model, {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0]}, X, X[:, 0]).row("Epochs") == ["2"]


def test_a_training_that_diverged_at_once(made):
    model = network(1)
    model.compile(fnn.optimizers.SGD(1e20), "mse")
    with pytest.raises(fnn.DivergenceError):
        model.fit(X, X[:, 0], epochs=5, verbose=0)
    for history in (None, model.history):
        assert "It is diverging: the loss became NaN or infinite in epoch 1" in made.page_of(
            model, history, X, X[:, 0]).text


def test_weights_that_are_nan_or_dead_are_told(made):
    model = network(2, "softmax", "sparse_categorical_crossentropy", ["accuracy"])
    y = (X[:, 0] > 0).astype(int)
    history = model.fit(X, y, epochs=2, verbose=0)
    model.layers[0].kernel[:, :5] = 0
    page = made.page_of(model, history, X, y)
    assert page.row("hidden.kernel")[0] == "5 of 8 units dead"
    assert ("td", {"class": "left bad"}) in page.tags
    model.layers[0].kernel[0, :3] = np.nan
    page = made.page_of(model, history, X, y)
    assert page.row("hidden.kernel")[0] == "3 NaN or infinite"
    assert "The outputs for 300 of 300 samples of X_val are NaN or infinite" in page.text
    assert "No output is a number" in page.text
    model.layers[0].kernel[...] = 0
    assert made.page_of(model, history, X, y).row("hidden.kernel")[0] == "all zero"


def test_some_outputs_that_are_no_numbers(made):
    model = network(1)
    history = model.fit(X, X[:, 0], epochs=2, verbose=0)
    model.layers[0].kernel[0, 0] = np.inf
    page = made.page_of(model, history, X, X[:, 0])
    bad = np.sum(~np.isfinite(model.predict(X)))
    assert 100 < bad < 200
    assert f"The outputs for {bad} of 300 samples of X_val are NaN or infinite" in page.text
    assert np.isfinite([float(cell) for cell in page.row("target")]).all()


def test_pruned_weights_are_no_alarm(made):
    model = network(1)
    history = model.fit(X, X[:, 0], epochs=2, verbose=0)
    fnn.weights.set_masks(model, {"hidden.kernel": np.arange(6)[:, None] % 2 == np.arange(8) % 2})
    assert made.page_of(model, history, X, X[:, 0]).row("hidden.kernel")[0] == "sparse, 50% zeros"


# ---- names ---------------------------------------------------------------------------------------------------


def test_names_are_escaped_everywhere(made):
    model = network(2, "softmax", "sparse_categorical_crossentropy", name=HOSTILE)
    model.layers[0].name = "<script>$^{$<script>"
    model.metadata = {"class_names": [HOSTILE, "b\N{SNOWMAN}"], "feature_names": [HOSTILE, *"bcdef"]}
    page = made(model, (X[:, 0] > 0).astype(int), title=HOSTILE, note=HOSTILE)
    assert page.text.count("<script>alert(1)</script>") > 5
    assert page.row("Model")[0].startswith(HOSTILE)
    assert any(row[0] == HOSTILE for row in page.rows)
    assert page.row("<script>$^{$<script>.kernel")


def test_names_of_metadata_that_do_not_fit_are_left_out(made):
    model = network(2, "softmax", "sparse_categorical_crossentropy")
    model.metadata = {"class_names": ["a"], "feature_names": 3}
    assert made(model, (X[:, 0] > 0).astype(int)).row("feature 0")


def test_the_page_needs_no_network_and_no_scripts(made, tmp_path):
    made(network(1), X[:, 0])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n<html lang=\"en\">")
    assert "http://" not in text and "https://" not in text and "url(" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert 'name="viewport"' in text


def test_nothing_of_matplotlib_is_left_behind(made):
    before = dict(matplotlib.rcParams), pyplot.get_fignums(), matplotlib.get_backend()
    made(network(1), X[:, 0])
    assert (dict(matplotlib.rcParams), pyplot.get_fignums(), matplotlib.get_backend()) == before


# ---- what is refused -----------------------------------------------------------------------------------------


def test_bad_input_is_told_before_any_work(tmp_path, monkeypatch):
    model = network(1)
    path = tmp_path / "page.html"
    with pytest.raises(ValueError, match="not built, so that it was never trained"):
        fnn.report(model, None, X, X[:, 0], path)
    history = model.fit(X, X[:, 0], epochs=2, verbose=0)
    with pytest.raises(ValueError, match="history has no epochs: the model was never trained"):
        fnn.report(model, fnn.callbacks.History(), X, X[:, 0], path)
    with pytest.raises(TypeError, match="history must be what fit returns"):
        fnn.report(model, [1.0], X, X[:, 0], path)
    with pytest.raises(TypeError, match=r"history\['x'\] must be a list of numbers; received 'a'"):
        fnn.report(model, {"loss": [1.0], "x": "a"}, X, X[:, 0], path)
    with pytest.raises(ValueError, match="no epochs of 'loss', only of 'accuracy'"):
        fnn.report(model, {"accuracy": [1.0]}, X, X[:, 0], path)
    with pytest.raises(OSError, match="too long"):
        fnn.report(model, history, X, X[:, 0], tmp_path / ("x" * 300))
    with pytest.raises(ValueError, match=r"path must be a path.*without zero bytes"):
        fnn.report(model, history, X, X[:, 0], "a\0b")
    with pytest.raises(TypeError, match="model must be a fastnn"):
        fnn.report("model", history, X, X[:, 0], path)
    other = network(3)
    with pytest.raises(ValueError, match=r"history is that of another model.*outputs \(3,\)"):
        fnn.report(model, other.fit(X, X[:, :3], verbose=0), X, X[:, 0], path)
    uncompiled = fnn.Sequential([fnn.Input((6,)), Dense(1)])
    with pytest.raises(ValueError, match="not compiled"):
        fnn.report(uncompiled, None, X, X[:, 0], path)
    with pytest.raises(ValueError, match="X_val has samples of shape"):
        fnn.report(model, history, X[:, :3], X[:, 0], path)
    with pytest.raises(ValueError, match="y_val"):
        fnn.report(model, history, X, X[:5, 0], path)
    with pytest.raises(ValueError, match="y_val is needed"):
        fnn.report(model, history, X, None, path)
    with pytest.raises(ValueError, match="y_val was given without X_val"):
        fnn.report(model, history, None, X[:, 0], path)
    with pytest.raises(ValueError, match="feature_names must be 6 names"):
        fnn.report(model, history, X, X[:, 0], path, feature_names=["a"])
    with pytest.raises(TypeError, match="class_names must be a list"):
        fnn.report(model, history, X, X[:, 0], path, class_names="a")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="no such folder"):
        fnn.report(model, history, X, X[:, 0], tmp_path / "no" / "page.html")
    with pytest.raises(ValueError, match="not a regular file; the report cannot be saved there"):
        fnn.report(model, history, X, X[:, 0], tmp_path)
    with pytest.raises(TypeError, match="path"):
        fnn.report(model, history, X, X[:, 0], 3)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'report draws with matplotlib, .*"fastnn\[viz\]"'):
        fnn.report(model, history, X, X[:, 0], path)


# ---- figures -------------------------------------------------------------------------------------------------


def test_figures_of_classes():
    true, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 1])
    counts, figures = per_class(true, predicted, 4)
    assert counts.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(figures, [[3, 2 / 3, 2 / 3, 2 / 3], [2, 1 / 3, 1 / 2, 2 / 5], [1, np.nan, 0, 0],
                                         [0, np.nan, np.nan, np.nan]])
    assert most_confused(counts, 2) == [(0, 1, 1), (1, 0, 1)]
    assert most_confused(np.eye(3, dtype=np.int64)) == []


def test_figures_of_numbers():
    true = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    found = per_target(true, true + np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 3.0]]))
    np.testing.assert_allclose(found, [[0.5, 1 / 3, np.sqrt(1 / 3), 1 / 3], [np.nan, 1, np.sqrt(3), 1]])


def test_features_are_few_enough_for_the_time(monkeypatch):
    x = RNG.normal(size=(100, 200))
    model = network(1)
    model.fit(x, x[:, 77] * 3, epochs=60, verbose=0)
    samples = findings.Samples.of(model, x, x[:, 77] * 3, 1)
    found = findings.permuted(model, samples, 1)
    assert found.features[0] == 77
    assert (len(found.features), found.of, found.rows) == (findings.CANDIDATES, 200, 100)
    again = findings.permuted(model, samples, 1)
    np.testing.assert_array_equal(found.mean, again.mean)
    monkeypatch.setattr(findings, "SECONDS", 0.0)
    assert len(findings.permuted(model, samples, 1).features) == 1
