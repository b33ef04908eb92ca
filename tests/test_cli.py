"""The command line: what it trains, predicts and shows, and its errors of one line."""

import csv
import gzip
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from html_checks import Page

import fastnn as fnn
from fastnn import cli, cli_data
from fastnn.reference_training import ReferenceMLP
from fastnn.reports.overview import overview
from fastnn.works import WORKS, blas_threads, fastnn_seconds, numpy_seconds, thread_counts

FLOWERS = ["year", "length", "constant", "species"]
QUICK = ["--hidden", "16", "--epochs", "40", "--batch-size", "16"]


@pytest.fixture
def run(capsys):
    def call(*argv):
        code = cli.main([str(argument) for argument in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def fails(run):
    def call(*argv, match):
        code, _, err = run(*argv)
        assert code == 2
        assert re.fullmatch(r"fastnn: error: [^\n]+\n", err)
        assert re.search(match, err), err

    return call


def write_csv(path, header, rows):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if ".tsv" in path.name else ",")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture
def flowers(tmp_path):
    """Two classes by their year and their length; a constant column."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(120):
        late = i % 2
        rows.append([2000 + 3 * late + rng.normal(0, 0.5), rng.normal(5, 1), 7, ("early", "späte Art")[late]])
    return write_csv(tmp_path / "flowers.csv", FLOWERS, rows)


@pytest.fixture
def houses(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(50, 200, size=(200, 2))
    prices = 1000.5 * x[:, 0] - 200 * x[:, 1] + 300_000
    rows = np.column_stack([x, prices]).tolist()
    return write_csv(tmp_path / "houses.csv", ["area", "distance", "price"], rows)


# ---- train, predict, evaluate ------------------------------------------------------------------------------


def test_digits(run, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "REFERENCE_SECONDS", 0.1)
    path = tmp_path / "digits.safetensors"
    code, out, err = run("train", "--hidden", "32", "--epochs", "8", "--out", path, "--threads", 1)
    assert (code, err) == (0, "")
    assert "classification of 10 classes" in out
    assert "64-32-10, relu, 2,410 parameters, float32" in out
    assert float(re.search(r"^test +accuracy ([\d.]+)", out, re.M)[1]) > 0.85
    assert re.search(r"NumPy with its default threads takes [\d.]+ s: [\d.]+ times faster", out)
    assert len(re.findall(r"^ *\d/8 ", out, re.M)) == 8
    model = fnn.load_model(path)
    assert model.metadata["class_names"] == list("0123456789")
    (x, _), (x_test, y_test) = fnn.datasets.load_digits()
    assert model.predict(x).shape == (len(x), 10)  # raw pixels
    accuracy = model.evaluate(x_test, y_test, return_dict=True)["accuracy"]
    code, out, _ = run("evaluate", path)
    assert code == 0
    assert float(re.search(r"accuracy +([\d.]+)", out)[1]) == pytest.approx(accuracy, rel=1e-5)
    assert run("predict", path)[1].splitlines()[1:] == [str(i) for i in model.predict(x_test).argmax(axis=1)]


def test_training_is_repeatable(run, tmp_path, flowers):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("train", flowers, "--target", "species", *QUICK, "--seed", seed, "--out", tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_classes_in_a_csv(run, tmp_path, flowers):
    model, out_csv = tmp_path / "model.safetensors", tmp_path / "out.csv"
    code, out, _ = run("train", flowers, "--target", "species", *QUICK, "--out", model)
    assert code == 0
    assert "classification of 2 classes: the target is text" in out
    assert float(re.search(r"^validation +accuracy ([\d.]+)", out, re.M)[1]) > 0.9
    assert run("predict", model, flowers, "--out", out_csv)[0] == 0
    answers = read_csv(out_csv)
    assert answers[0] == ["species"]
    truth = [row[-1] for row in read_csv(flowers)]
    assert np.mean([a == b for a, b in zip(answers, ([t] for t in truth), strict=True)]) > 0.9
    assert run("predict", model, flowers, "--out", out_csv, "--probabilities")[0] == 0
    table = read_csv(out_csv)
    assert table[0] == ["early", "späte Art"]
    assert np.array(table[1:], float).sum(axis=1) == pytest.approx(1)
    assert "accuracy" in run("evaluate", model, flowers)[1]
    notes = fnn.load_model(model).metadata
    assert notes["feature_names"] == ["year", "length", "constant"]
    assert notes["target"] == "species"


def test_saved_model_takes_raw_rows(run, tmp_path, houses):
    model = tmp_path / "model.safetensors"
    code, out, _ = run("train", houses, "--target", "price", *QUICK, "--epochs", 100, "--out", model)
    assert code == 0
    assert "regression: the target has fractions" in out
    assert re.search("^units +the table is for targets scaled .* in real units$", out, re.M)
    assert float(re.search(r"r2_score ([\d.]+), mae", out)[1]) > 0.99
    rows = np.array(read_csv(houses)[1:], float)
    loaded = fnn.load_model(model)
    assert np.abs(loaded.predict(rows[:, :2])[:, 0] - rows[:, 2]).mean() < 3000
    code, out, _ = run("predict", model, houses)
    assert out.splitlines()[0] == "price"
    assert np.array(out.split()[1:], float) == pytest.approx(loaded.predict(rows[:, :2])[:, 0])


def test_columns_are_found_by_name(run, tmp_path, houses):
    model = tmp_path / "model.safetensors"
    run("train", houses, "--target", "price", *QUICK, "--out", model)
    rows = [[i, distance, area] for i, (area, distance, _) in enumerate(read_csv(houses)[1:])]
    swapped = write_csv(tmp_path / "s.tsv.gz", ["id", "distance", "area"], rows)
    assert run("predict", model, swapped)[1] == run("predict", model, houses)[1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
def test_npz_of_images(run, tmp_path, dtype):
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=150)
    x = rng.integers(0, 50, size=(150, 4, 4)) + 200 * (np.arange(4) == y[:, None])[:, None]
    np.savez(tmp_path / "d.npz", X=x.astype(dtype), labels=y)
    model = tmp_path / "m.safetensors"
    code, out, _ = run("train", tmp_path / "d.npz", *QUICK, "--out", model)
    assert code == 0
    assert "the target has 3 different integers (--task regression to override)" in out
    assert "units" not in out
    assert run("evaluate", model, tmp_path / "d.npz")[0] == 0
    assert np.mean(fnn.load_model(model).predict(x.astype(dtype)).argmax(axis=1) == y) > 0.95
    np.savez(tmp_path / "new.npz", X=x.astype(dtype))
    assert len(run("predict", model, tmp_path / "new.npz")[1].split()) == 151


def test_whole_floats_are_classes(run, tmp_path):
    y = np.arange(60) % 3 * 1.0
    np.savez(tmp_path / "d.npz", X=np.eye(3)[y.astype(int)], y=y)
    model = tmp_path / "m.safetensors"
    out = run("train", tmp_path / "d.npz", *QUICK, "--out", model)[1]
    assert "classification of 3 classes: the target has 3 different integers" in out
    assert run("predict", model, tmp_path / "d.npz")[1].split() == ["prediction", *map(str, y.astype(int))]
    out = run("train", tmp_path / "d.npz", *QUICK, "--task", "regression", "--out", model)[1]
    assert "regression: as asked" in out


def test_two_targets(run, tmp_path):
    x = np.random.default_rng(0).standard_normal((60, 3))
    np.savez(tmp_path / "d.npz", X=x, both=x[:, :2] * 5 + 1)
    model = tmp_path / "m.safetensors"
    assert "regression: the target has 2 columns" in run(
        "train", tmp_path / "d.npz", "--target", "both", "--hidden", "", "--out", model)[1]
    assert run("predict", model, tmp_path / "d.npz")[1].splitlines()[0] == "both_0,both_1"


def test_idx_folder(run, tmp_path):
    (x, y), (x_test, y_test) = fnn.datasets.load_digits()
    for stem, images, labels in (("train", x, y), ("t10k", x_test, y_test)):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            data = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            (tmp_path / f"{stem}-{kind}-ubyte").write_bytes(data)
    model = tmp_path / "m.safetensors"
    code, out, _ = run("train", tmp_path, "--hidden", "16", "--epochs", 2, "--dropout", 0.1, "--out", model,
                       "--validation-split", 0.1, "--optimizer", "sgd", "--learning-rate", 0.1)
    assert code == 0
    assert "1,293 rows to train on, 144 to validate, 360 to test" in out
    assert "test" in out
    assert "NumPy" not in out
    assert "rows        360 of the test set" in run("evaluate", model, tmp_path)[1]


def test_models_from_python(run, tmp_path, houses):
    x, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 3
    model = fnn.Sequential([fnn.layers.Dense(3, activation="softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    np.savez(tmp_path / "d.npz", X=x, y=y)
    assert run("evaluate", tmp_path / "m.safetensors", tmp_path / "d.npz")[0] == 0
    answers = run("predict", tmp_path / "m.safetensors", tmp_path / "d.npz")[1].split()
    assert answers == ["prediction", *map(str, model.predict(x).argmax(axis=1))]


# ---- inspect, bench, others --------------------------------------------------------------------------------


def test_inspect(run, tmp_path):
    model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2)], seed=0)
    model.layers[0].kernel = [[3.0, 0.0], [-4.0, 0.0], [0.0, 0.0]]
    model.save(tmp_path / "m.safetensors")
    code, out, _ = run("inspect", tmp_path / "m.safetensors")
    assert code == 0
    assert 'Model: "sequential"' in out
    row = next(line for line in out.splitlines() if line.startswith("dense.kernel"))
    assert row.split() == ["dense.kernel", "3x2", "-0.1667", "2.034", "-4", "3", "5", "66.7%", "5", "1"]
    assert next(line for line in out.splitlines() if line.startswith("dense.bias")).split()[-1] == "100.0%"


def test_bench(run, monkeypatch):
    monkeypatch.setattr("fastnn.works.WORKS", WORKS[:1])
    code, out, _ = run("bench", "--quick", "--threads", 1)
    assert code == 0
    assert f"fastnn {fnn.__version__}" in out
    assert f"NumPy {np.__version__}" in out
    assert re.search(r"20-64-64-2 +32 +[\d,]+ us +[\d,]+ us +[\d.]+ x", out)


def test_bench_without_threadpoolctl(run, monkeypatch):
    monkeypatch.setattr("fastnn.works.WORKS", WORKS[:1])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, _ = run("bench", "--quick", "--threads", 1)
    assert code == 0
    assert re.search("^NumPy +with its default threads", out, re.M)


def test_threads_of_numpy():
    pools = pytest.importorskip("threadpoolctl")
    assert [thread_counts(n) for n in (1, 2, 3, 8)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8]]
    with blas_threads(1):
        assert {pool["num_threads"] for pool in pools.threadpool_info() if pool["user_api"] == "blas"} == {1}
    assert numpy_seconds(WORKS[0], 2, 0.01) > 0


def test_works():
    assert {work.name: work.batch for work in WORKS} == {
        "20-64-64-2": 32, "54-100-7": 200, "784-128-10": 32, "64x11-10": 64, "784-512-512-10": 128,
        "1024-4096-4096-1000": 256}
    assert fastnn_seconds(WORKS[0], 1, 0.01) > 0
    assert numpy_seconds(WORKS[0], seconds=0.01) > 0


OPTIMIZERS = [
    fnn.optimizers.SGD(0.1), fnn.optimizers.SGD(0.1, momentum=0.9),
    fnn.optimizers.SGD(0.1, momentum=0.9, nesterov=True), fnn.optimizers.RMSprop(momentum=0.5, centered=True),
    fnn.optimizers.Adagrad(), fnn.optimizers.Adadelta(), fnn.optimizers.Adam(amsgrad=True),
    fnn.optimizers.AdamW(), fnn.optimizers.Adamax(), fnn.optimizers.Nadam(), fnn.optimizers.Lion(),
]


def test_full_batches(run, flowers, tmp_path):
    code, out, _ = run("train", flowers, "--target", "species", *QUICK, "--optimizer", "lbfgs", "--out", tmp_path / "m")
    assert code == 0
    assert "lbfgs, 20 iterations an epoch" in out


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.kind)
@pytest.mark.parametrize("classes", [4, None])
def test_numpy_trains_the_same_network(optimizer, activation, classes):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 7)), rng.integers(4, size=50) if classes else rng.standard_normal((50, 2))
    last = fnn.layers.Dense(4, activation="softmax") if classes else fnn.layers.Dense(2)
    model = fnn.Sequential([fnn.layers.Dense(8, activation=activation), last], seed=1, dtype="float64")
    model.build((7,))
    model.compile(optimizer.get_config(), "sparse_categorical_crossentropy" if classes else "mse")
    mlp = ReferenceMLP.from_model(model)
    history = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    losses = [mlp.train_epoch(x, y, 16) for _ in range(3)]
    assert losses == pytest.approx(history.history["loss"], rel=1e-12)
    for layer, kernel, bias in zip(model.layers, mlp.kernels, mlp.biases, strict=True):
        assert layer.kernel == pytest.approx(kernel, rel=1e-9, abs=1e-12)
        assert layer.bias == pytest.approx(bias, rel=1e-9, abs=1e-12)


FEW, MANY = np.arange(300) % 7, np.arange(300)
CLASSES, NUMBERS = cli_data.TASKS


@pytest.mark.parametrize(("y", "asked", "task"), [
    (FEW, None, CLASSES), (FEW > 3, None, CLASSES), (FEW.astype(str), None, CLASSES), (MANY, None, NUMBERS),
    (FEW[:4], None, NUMBERS), (FEW * 1.0, None, CLASSES), (FEW * 0.5, None, NUMBERS), (FEW[:, None], None, CLASSES),
    (np.ones((9, 2)), None, NUMBERS), (MANY, CLASSES, CLASSES), (FEW, NUMBERS, NUMBERS),
    (FEW * 1.0, CLASSES, CLASSES), (MANY * 1.0, None, NUMBERS), (FEW.astype("f2"), None, CLASSES),
], ids=range(14))
def test_tasks(y, asked, task):
    found, reason = cli_data.choose_task(y, asked)
    assert found == task
    whole = y.ndim == 1 and y.dtype.kind in "biuf" and (y == np.trunc(y)).all()
    other = NUMBERS if task == CLASSES else CLASSES
    assert (f"--task {other}" in reason) == bool((whole or y.shape == (300, 1)) and asked is None)


def test_classes():
    assert cli_data.class_names(np.array([10, 9, 9])) == ["9", "10"]
    assert cli_data.class_names(np.array([10.0, 9.0])) == ["9", "10"]
    assert cli_data.class_names(np.array([False, True])) == ["0", "1"]
    assert cli_data.class_names(np.array([1e20])) == ["100000000000000000000"]
    for value in (np.nan, np.inf, 0.5):
        with pytest.raises(ValueError, match=f"received {value}"):
            cli_data.class_names(np.array([1.0, value]))
    assert cli_data.class_labels(np.array([10, 9, 9]), ["9", "10"]).tolist() == [1, 0, 0]


def test_scaling_of_constant_and_huge_columns():
    scaling = cli_data.Scaling.of(np.array([[0.1, 0.0, 1e6], [0.1, 0.0, 1e6 + 1], [0.1, 0.0, 1e6 + 2]]))
    assert scaling.scale[:2].tolist() == [1.0, 1.0]
    assert scaling.scale[2] == pytest.approx(np.sqrt(2 / 3))
    with pytest.raises(ValueError, match="too large"):
        cli_data.Scaling.of(np.array([[1e308], [-1e308], [1e308]]))


# ---- reports, logs, pictures -------------------------------------------------------------------------------


@pytest.fixture
def viz():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")


@pytest.mark.usefixtures("viz")
def test_report_of_classes_and_of_numbers(run, tmp_path, flowers, houses):
    page, model = tmp_path / "page.html", tmp_path / "model.safetensors"
    code, out, err = run("train", flowers, "--target", "species", *QUICK, "--out", model, "--report", page)
    assert (code, err) == (0, "")
    assert re.search(rf"^saved .*\nreport +{re.escape(str(page))} \(\d+ KB\)$", out, re.M)
    found = Page(page.read_text(encoding="utf-8"))
    right = float(re.search(r"^validation +accuracy ([\d.]+)", out, re.M)[1])
    assert f"of 24 samples are classified right, {right:.2%}" in found.text
    assert found.row("späte Art") and found.row("year")
    assert found.row("Epochs") == ["40"]
    code, out, _ = run("train", houses, "--target", "price", *QUICK, "--out", model, "--report", page)
    assert code == 0
    found = Page(page.read_text(encoding="utf-8"))
    assert "answers in real units" in found.text
    assert float(found.row("price")[0]) == pytest.approx(float(found.row("r2_score")[0]), abs=1e-3)
    assert float(found.row("price")[1]) == pytest.approx(float(found.row("mae")[0]), rel=1e-3)  # in real units


@pytest.mark.usefixtures("viz")
def test_report_without_validation_rows(run, tmp_path, flowers):
    page = tmp_path / "page.html"
    assert run("train", flowers, "--target", "species", *QUICK, "--out", tmp_path / "m", "--report", page,
               "--validation-split", 0)[0] == 0
    assert "Answers" not in Page(page.read_text(encoding="utf-8")).text


@pytest.mark.usefixtures("viz")
def test_a_report_that_fails_does_not_lose_the_model(run, fails, tmp_path, flowers, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("of all things")

    monkeypatch.setattr(cli, "report", broken)
    model = tmp_path / "model.safetensors"
    fails("train", flowers, "--target", "species", *QUICK, "--out", model, "--report", tmp_path / "page.html",
          match=rf"no report was written: of all things; the model is saved in {re.escape(str(model))}")
    assert fnn.load_model(model).built


def test_reports_are_checked_before_training(fails, tmp_path, flowers, monkeypatch):
    pytest.importorskip("matplotlib")
    train = "train", flowers, "--target", "species", "--out", tmp_path / "model"
    fails(*train, "--report", tmp_path / "no" / "page.html", match="no such folder")
    fails(*train, "--report", tmp_path, match="not a regular file; the report cannot be saved there")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    fails(*train, "--report", tmp_path / "page.html", match=r'--report draws with matplotlib.*"fastnn\[viz\]"')
    assert not (tmp_path / "model").exists()


@pytest.mark.usefixtures("viz")
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_inspect_draws(run, tmp_path, suffix):
    model = fnn.Sequential([fnn.Input((6, 5)), fnn.layers.Flatten(), fnn.layers.Dense(4, "relu"), fnn.layers.Dense(1)],
                           seed=0, name="<$x^$>")
    model.save(tmp_path / "model")
    picture = tmp_path / f"kernels.{suffix}"
    code, out, err = run("inspect", tmp_path / "model", "--plot", picture)
    assert (code, err) == (0, "")
    assert re.search(rf"^picture +{re.escape(str(picture))}", out, re.M)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert picture.read_bytes().startswith(start)


@pytest.mark.usefixtures("viz")
def test_overview_has_a_row_for_each_kernel():
    layers = [fnn.layers.Dense(3) for _ in range(10)]
    model = fnn.Sequential([fnn.Input((4,)), *layers], seed=0)
    model.layers[1].kernel[0, 0] = np.nan
    data = overview(model, "svg").decode()
    assert len(re.findall(r'id="axes_\d+"', data)) >= 24  # 8 rows of 3, and their scales of colours
    with pytest.raises(ValueError, match="no layer with a kernel"):
        overview(fnn.Sequential([fnn.Input((4,)), fnn.layers.Flatten()]), "png")


def test_pictures_are_checked_before_work(fails, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    fails("inspect", "no model", "--plot", tmp_path / "a.gif", match="pictures are png, svg or pdf.*received 'gif'")
    fails("inspect", "no model", "--plot", tmp_path / "a", match="received 'none'")
    fails("inspect", "no model", "--plot", tmp_path / "no" / "a.png", match="no such folder")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    fails("inspect", "no model", "--plot", tmp_path / "a.png", match=r"--plot draws with matplotlib")


def test_nothing_of_the_command_is_written_over(run, fails, tmp_path, flowers):
    train = "train", flowers, "--target", "species", *QUICK
    before = flowers.read_bytes()
    fails(*train, "--out", flowers, match="the model would replace the data")
    fails(*train, "--out", tmp_path / "m", "--report", flowers, match="the report would replace the data")
    fails(*train, "--out", tmp_path / "m", "--report", tmp_path / "." / "m", match="the report would replace the model")
    assert not (tmp_path / "m").exists() and flowers.read_bytes() == before
    assert run(*train, "--out", tmp_path / "m")[0] == 0
    fails("predict", tmp_path / "m", flowers, "--out", tmp_path / "m", match="predictions would replace the model")
    fails("predict", tmp_path / "m", flowers, "--out", flowers, match="predictions would replace the data")
    assert flowers.read_bytes() == before


def test_tensorboard(run, fails, tmp_path, flowers, monkeypatch):
    pytest.importorskip("tensorboardX")
    train = "train", flowers, "--target", "species", *QUICK, "--out", tmp_path / "model"
    assert run(*train, "--tensorboard", tmp_path / "logs")[0] == 0
    assert [path.name for path in (tmp_path / "logs").rglob("events.out.tfevents*")]
    (tmp_path / "file").touch()
    fails(*train, "--tensorboard", tmp_path / "file", match="file")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    fails(*train, "--tensorboard", tmp_path / "other", match=r'tensorboardX.*"fastnn\[viz\]"')


# ---- errors ------------------------------------------------------------------------------------------------


def test_usage_errors(fails):
    fails(match="COMMAND")
    fails("trian", match="invalid choice")
    fails("train", "--epochs", "x", match="--epochs: must be an integer in .*; received 'x'")
    fails("train", "--nothing", match="unrecognized")
    fails("predict", match="MODEL")
    fails("train", "--hidden", "12,x", match="--hidden: must be integers with commas .* received '12,x'")
    fails("train", "--dropout", "x", match="--dropout: must be a number; received 'x'")


@pytest.mark.parametrize(("options", "match"), [
    (["--epochs", 0], "epochs"), (["--epochs", -1], "epochs"), (["--batch-size", 0], "batch-size"),
    (["--optimizer", "lbfgs", "--learning-rate", "0.1"], "LBFGS has no learning_rate"),
    (["--hidden", "0"], "units"), (["--learning-rate", "nan"], "learning_rate"), (["--dropout", 1], "rate"),
    (["--seed", -1], "seed"), (["--activation", "rellu"], "relu"), (["--optimizer", "adamm"], "adam"),
    (["--task", "x"], "choice"), (["--validation-split", 1], "validation-split"), (["--threads", 0], "threads"),
    (["--target", "x"], "labels of its own"),
], ids=str)
def test_options_out_of_range(fails, tmp_path, options, match):
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "say", lambda *text: printed.append(text))
        fails("train", "--out", tmp_path / "m", *options, match=match)
    assert printed == []
    assert os.listdir(tmp_path) == []


def test_data_errors(fails, tmp_path, flowers):
    out = ["--out", tmp_path / "m"]
    fails("train", tmp_path / "none.csv", *out, match=r"none\.csv: No such file")
    fails("train", flowers, *out, match="--target; its columns: year, length")
    fails("train", flowers, "--target", "specie", *out, match="did you mean 'species'")
    fails("train", flowers, "--target", "year", *out, match="species")  # text in a feature
    fails("train", flowers, "--target", "species", "--task", "regression", *out, match="text such as")
    fails("train", tmp_path, *out, match="train-images")
    (tmp_path / "bad.npz").write_bytes(b"PK")
    fails("train", tmp_path / "bad.npz", *out, match="NPZ")
    np.savez(tmp_path / "d.npz", X=np.ones((4, 2)))
    fails("train", tmp_path / "d.npz", *out, match="no targets")
    np.savez(tmp_path / "d.npz", X=np.array([[1.0], [np.nan], [2.0]]), y=[0, 1, 0])
    fails("train", tmp_path / "d.npz", *out, match="NaN")
    np.savez(tmp_path / "d.npz", X=np.ones((4, 2)), y=[0.5, 1, 0, 1])
    fails("train", tmp_path / "d.npz", "--task", "classification", *out, match=r"received 0\.5")
    (tmp_path / "bytes.csv").write_bytes(bytes(range(256)))
    fails("train", tmp_path / "bytes.csv", "--target", "x", *out, match=r"bytes\.csv")
    for y in (np.zeros(4), np.zeros(4, int), np.full(4, "rose")):
        np.savez(tmp_path / "d.npz", X=np.eye(4), y=y)
        fails("train", tmp_path / "d.npz", *out, match="two classes or more; every row has the class '(0|rose)'")
    np.savez(tmp_path / "d.npz", X=np.ones((4, 2)), y=np.full(4, "x" * 999))
    fails("train", tmp_path / "d.npz", "--task", "regression", *out, match=r"such as 'x{37}\.\.\.'$")
    assert not (tmp_path / "m").exists()


def test_output_errors_come_before_training(fails, tmp_path, flowers):
    for out in (tmp_path / "none" / "m", tmp_path, "/dev/null"):
        options = ["--target", "species", "--epochs", 10**9, "--out", out]
        fails("train", flowers, *options, match="folder|regular")


def test_model_errors(fails, run, tmp_path, flowers, houses):
    model = tmp_path / "m.safetensors"
    fails("inspect", model, match="No such file")
    model.write_bytes(b"x" * 100)
    for command in ("inspect", "predict", "evaluate"):
        fails(command, model, match="m.safetensors: not a")
    run("train", flowers, "--target", "species", "--epochs", 1, "--out", model)
    fails("predict", model, houses, match="no column 'year', which the model needs")
    fails("evaluate", model, houses, match="no column 'species'")
    fails("predict", model, match="shape")
    fails("predict", model, flowers, "--out", tmp_path / "none" / "o.csv", match="no such folder")
    fails("predict", model, flowers, "--out", os.devnull, match="the predictions cannot be saved there")
    other = write_csv(tmp_path / "other.csv", FLOWERS, [[1, 2, 3, "rose"]])
    fails("evaluate", model, other, match="class 'rose'")
    loaded = fnn.load_model(model)
    loaded.metadata["class_names"] = ["a"]
    loaded.save(model)
    fails("predict", model, flowers, match="class_names")
    run("train", houses, "--target", "price", "--epochs", 1, "--out", model)
    fails("predict", model, houses, "--probabilities", match="classification")


def test_divergence_is_an_error_of_one_line(fails, tmp_path, houses):
    options = ["--optimizer", "sgd", "--learning-rate", 1e30, "--out", tmp_path / "m"]
    fails("train", houses, "--target", "price", *options, match="learning rate")


def test_version_and_help(run):
    assert run("--version")[:2] == (0, f"fastnn {fnn.__version__}\n")
    code, out, _ = run("train", "--help")
    assert code == 0
    assert "--validation-split" in out


def test_as_a_process(tmp_path):
    command = [sys.executable, "-m", "fastnn"]
    for arguments, code, out, err in (
        (["--version"], 0, f"fastnn {fnn.__version__}\n", ""),
        (["inspect", "none"], 2, "", "fastnn: error: none: No such file or directory\n"),
    ):
        done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_bar_in_a_terminal(tmp_path):
    import pty
    import termios

    command = [sys.executable, "-m", "fastnn", "train", "--epochs", "3", "--out", str(tmp_path / "m")]
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        seen = b""
        with suppress(OSError):  # how Linux says that the terminal's last user has gone
            while part := os.read(master, 1 << 16):
                seen += part
    os.close(master)
    assert process.returncode == 0
    pieces = re.split(r"[\r\n]+", seen.decode())
    for epoch in "123":  # the bar, and the row that replaces it
        bar = rf"Epoch {epoch}/3: +\d+%\|.*/1\.44k "
        row = rf" +{epoch}/3( +\d\.\d{{4}}){{2}} +\d+\.\d\d +[\d,]+$"
        assert any(re.match(bar, piece) for piece in pieces)
        assert any(re.match(row, piece) for piece in pieces)
    assert any(piece.split() == ["epoch", "loss", "accuracy", "seconds", "rows/s"] for piece in pieces)


def test_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "fastnn", "train", "--epochs", "100000", "--out", str(tmp_path / "m")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not process.stdout.readline().startswith("  1/"):
            pass
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "fastnn: interrupted\n")
    assert os.listdir(tmp_path) == []
