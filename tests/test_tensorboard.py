"""TensorBoard: what is in the files, read by TensorBoard's own reader; what a failure costs, which is no training."""

import builtins
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import fastnn as fnn
from fastnn import callbacks, layers
from fastnn.callbacks import events, projector
from fastnn.callbacks.tensorboard import POINTS

pytest.importorskip("tensorboardX")
pytest.importorskip("PIL")


def data(n=80, shape=(6, 6), seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, *shape)).astype(np.float32), rng.integers(0, 3, n)


def network(first=None, optimizer="adam"):
    model = fnn.Sequential([layers.Flatten(), first or layers.Dense(8, "relu"), layers.Dense(5, "relu"),
                            layers.Dense(3, "softmax")], seed=1)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(board, model=None, epochs=3, **options):
    x, y = data()
    model = model or network()
    return model, model.fit(x, y, batch_size=16, epochs=epochs, verbose=0, validation_data=(x[:20], y[:20]),
                            **{"callbacks": [board]} | options)


def read(folder):
    """TensorBoard's own reader of a run, without limits."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = module.EventAccumulator(str(folder), dict.fromkeys(module.DEFAULT_SIZE_GUIDANCE, 0))
    return reader.Reload()


def scalars(reader, tag):
    return [(event.step, event.value) for event in reader.Scalars(tag)]


def records(folder):
    """The events of all files, by a reader of our own, which checks lengths and sums."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    found = []
    for path in sorted(folder.glob("events.*")):
        rest = path.read_bytes()
        while rest:
            n = int.from_bytes(rest[:8], "little")
            assert masked_crc32c(rest[:8]) == int.from_bytes(rest[8:12], "little")
            assert masked_crc32c(rest[12:12 + n]) == int.from_bytes(rest[12 + n:16 + n], "little")
            found.append(Event.FromString(rest[12:12 + n]))
            rest = rest[16 + n:]
    return found


def tags(folder):
    return {value.tag for event in records(folder) for value in event.summary.value}


# ---- what is written ----


def test_scalars_are_those_of_the_history_under_the_names_of_keras(tmp_path):
    _, history = fit(callbacks.TensorBoard(tmp_path, write_steps_per_second=True))
    train, validation = read(tmp_path / "train"), read(tmp_path / "validation")
    assert set(train.Tags()["scalars"]) == {"epoch_loss", "epoch_accuracy", "epoch_learning_rate",
                                            "epoch_steps_per_second"}
    assert set(validation.Tags()["scalars"]) == {"epoch_loss", "epoch_accuracy", "evaluation_loss_vs_iterations",
                                                 "evaluation_accuracy_vs_iterations"}
    for name in ("loss", "accuracy"):
        for reader, key in ((train, name), (validation, f"val_{name}")):
            expected = [(i, pytest.approx(value, rel=1e-6)) for i, value in enumerate(history.history[key])]
            assert scalars(reader, f"epoch_{name}") == expected
    assert scalars(train, "epoch_learning_rate") == [(i, pytest.approx(1e-3)) for i in range(3)]
    assert [step for step, _ in scalars(validation, "evaluation_loss_vs_iterations")] == [5, 10, 15]


@pytest.mark.parametrize(("freq", "steps"), [("batch", list(range(15))), (4, [0, 4, 8, 12])])
def test_batches(tmp_path, freq, steps):
    fit(callbacks.TensorBoard(tmp_path, update_freq=freq))
    reader = read(tmp_path / "train")
    assert [step for step, _ in scalars(reader, "batch_loss")] == steps
    assert [step for step, _ in scalars(reader, "batch_accuracy")] == steps


def test_rates_of_a_schedule_inside_the_epoch(tmp_path):
    model = network(optimizer=fnn.optimizers.SGD(fnn.schedules.ExponentialDecay(0.1, 1, 0.5)))
    fit(callbacks.TensorBoard(tmp_path), model)
    reader = read(tmp_path / "train")
    assert scalars(reader, "batch_learning_rate") == [(i, pytest.approx(0.1 * 0.5**i)) for i in range(15)]
    assert scalars(reader, "epoch_learning_rate") == [(i, pytest.approx(0.1 * 0.5**(5 * i + 4))) for i in range(3)]


def test_the_rate_is_that_of_the_epoch(tmp_path):
    board = callbacks.TensorBoard(tmp_path)
    fit(board, callbacks=[callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=100), board])
    assert [rate for _, rate in scalars(read(tmp_path / "train"), "epoch_learning_rate")] == [
        pytest.approx(rate) for rate in (1e-3, 1e-3, 5e-4)]


def test_histograms_count_all_weights(tmp_path):
    x, y = data()
    model, _ = fit(callbacks.TensorBoard(tmp_path, histogram_freq=2, gradient_data=(x[:30], y[:30])), epochs=4)
    events_of = {}
    for event in records(tmp_path / "train"):
        for value in event.summary.value:
            if value.HasField("histo"):
                events_of.setdefault(value.tag, []).append((event.step, value.histo))
    names = [f"{layer.name}/{name}" for layer in model.layers[1:] for name in ("kernel", "bias")]
    assert set(events_of) == {f"{name}/{what}" for name in names for what in ("histogram", "gradient")}
    for found in events_of.values():
        assert [step for step, _ in found] == [0, 2]
    model.fit(x, y, batch_size=16, epochs=5, initial_epoch=4, verbose=0, validation_data=(x[:20], y[:20]),
              callbacks=[callbacks.TensorBoard(tmp_path / "more", histogram_freq=4)])
    last = {value.tag: value.histo for event in records(tmp_path / "more" / "train") for value in event.summary.value
            if value.HasField("histo")}
    for name, weight in zip(names, model.get_weights(), strict=True):
        histo = last[f"{name}/histogram"]
        counts, edges = np.histogram(weight, 64, (weight.min(), weight.max()))
        assert sum(histo.bucket) == histo.num == weight.size
        assert np.array_equal(histo.bucket, counts) and np.allclose(histo.bucket_limit, edges[1:])
        assert histo.min == weight.min() and histo.max == weight.max()
        assert np.isclose(histo.sum, weight.sum(dtype=float), atol=1e-6)
        assert np.isclose(histo.sum_squares, (weight.astype(float) ** 2).sum())
    reader = read(tmp_path / "train")
    if "histograms" in reader.Tags():
        assert set(reader.Tags()["histograms"]) == set(events_of)


def test_weights_that_are_not_finite_are_counted(tmp_path):
    file = events.EventFile(str(tmp_path))
    for i, (values, finite) in enumerate([([1, np.nan, 2, np.inf], 2), ([np.nan], 0), ([3, 3, 3], 3), ([], 0),
                                          ([0, 1e-310], 2), ([-1e308, 0, 1e308], 1), ([1, 1 + 2e-16], 2)]):
        file.write(i, events.counted("w", "histogram", np.array(values, np.float32 if i < 4 else np.float64), None))
        found = records(tmp_path)[-1].summary.value if file.flush() is None and values else []
        histos = [value.histo for value in found if value.tag == "w/histogram"]
        others = [value.simple_value for value in found if value.tag == "w/not_finite/histogram"]
        assert sum(sum(histo.bucket) for histo in histos) == finite
        assert others == [n for n in [np.count_nonzero(~np.isfinite(values))] if n]
        assert all(np.all(np.diff([histo.min, *histo.bucket_limit]) > 0) for histo in histos)
    file.close()


def test_sparse_and_pruned_kernels_are_what_is_left_of_them(tmp_path):
    model = network(layers.SparseDense(8, "relu", density=0.25))
    model.build((6, 6))
    fnn.weights.prune(model, 0.4, layers=["dense"])
    fit(callbacks.TensorBoard(tmp_path, histogram_freq=1, image_freq=1), model, epochs=1)
    histos = {value.tag: value.histo for event in records(tmp_path / "train") for value in event.summary.value
              if value.HasField("histo")}
    assert histos["sparse_dense/kernel/histogram"].num == model.layers[1].kernel.nnz == 72
    assert histos["dense/kernel/histogram"].num == np.count_nonzero(model.layers[2].kernel) == 24
    assert "sparse_dense/kernel/image" in tags(tmp_path / "train")


def test_what_is_not_trained_has_no_gradients(tmp_path):
    x, y = data()
    model = fnn.Sequential([layers.Flatten(), layers.Dense(4, trainable=False), layers.BatchNormalization(),
                            layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    fit(callbacks.TensorBoard(tmp_path, histogram_freq=1, gradient_data=(x, y)), model, epochs=1)
    assert {tag for tag in tags(tmp_path / "train") if tag.endswith("gradient")} == {
        f"{name}/gradient" for name in ("batch_normalization/gamma", "batch_normalization/beta", "dense_1/kernel",
                                        "dense_1/bias")}


def test_pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    import io

    fit(callbacks.TensorBoard(tmp_path, histogram_freq=2, write_images=True))
    found = {}
    for event in records(tmp_path / "train"):
        for value in event.summary.value:
            if value.HasField("image"):
                found.setdefault(value.tag, []).append((event.step, value.image))
    assert {tag: [step for step, _ in pictures] for tag, pictures in found.items()} == {
        f"{name}/kernel/image": [0, 2] for name in ("dense", "dense_1", "dense_2")}
    for tag, size in (("dense", (299, 299)), ("dense_1", (300, 296)), ("dense_2", (300, 300))):
        picture = found[f"{tag}/kernel/image"][-1][1]
        opened = image.open(io.BytesIO(picture.encoded_image_string))
        assert (picture.width, picture.height) == opened.size
        assert max(opened.size) <= 300 < 300 + max(size) and min(opened.size) > 150
        assert len(opened.convert("RGB").getcolors(100_000)) > 10
    reader = read(tmp_path / "train")
    assert [event.step for event in reader.Images("dense/kernel/image")] == [0, 2]


def test_pictures_show_the_kernel():
    model = network()
    model.build((6, 6))
    from fastnn.callbacks.pictures import view_of

    model.layers[2].kernel[...] = np.linspace(-1, 1, 40).reshape(8, 5)
    view = view_of(model, model.layers[2], 16)
    pixels, palette = view.picture(view.of(model.layers[2]), 1.0)
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 3)[pixels]
    assert pixels.shape == (16, 15)
    assert colours[0, 0].tolist() == [5, 48, 97] and colours[-1, -1].tolist() == [103, 0, 31]
    tiles = view_of(model, model.layers[1], 64).of(model.layers[1])
    assert np.array_equal(tiles[3], model.layers[1].kernel[:, 3].reshape(6, 6))


def test_a_later_layer_looks_at_no_image_though_the_numbers_agree():
    from fastnn.callbacks.pictures import view_of

    model = fnn.Sequential([fnn.Input((6, 6)), layers.Flatten(), layers.Rescaling(2), layers.Dense(36),
                            layers.Dense(3)])
    assert view_of(model, model.layers[2], 64).tile == (6, 6) and view_of(model, model.layers[3], 64).tile is None


@pytest.mark.parametrize("shape", [(40, 30), (7, 5), (33, 64)])
def test_blocks_of_a_sparse_kernel_are_those_of_the_dense_matrix(shape):
    from fastnn.callbacks.pictures import view_of

    model = fnn.Sequential([fnn.Input(shape[:1]), layers.SparseDense(shape[1], density=0.3)], seed=0)
    view = view_of(model, model.layers[0], 16)
    dense = fnn.weights.images.binned(model.layers[0].kernel.toarray(), 16, 16)[0]
    assert np.allclose(view.of(model.layers[0]), dense, atol=1e-7)


def test_text_and_hyper_parameters(tmp_path):
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    fit(callbacks.TensorBoard(tmp_path, hparams={"width": np.int64(8), "kind": "a", "old": False,
                                                "large": 2**70}))
    text, = read(tmp_path / "train").Tensors("model")
    text = text.tensor_proto.string_val[0].decode()
    assert "| dense | Dense | (8,) | 296 |" in text and "Adam(learning_rate=0.001" in text
    reader = read(tmp_path)
    found = {tag: plugin.HParamsPluginData.FromString(reader.summary_metadata[tag].plugin_data.content)
             for tag in reader.PluginTagToContent("hparams")}
    start = found["_hparams_/session_start_info"].session_start_info.hparams
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.items()}
    assert values == {"optimizer": "Adam", "learning_rate": pytest.approx(1e-3), "schedule": "constant",
                      "batch_size": 16, "epochs": 3, "layers": "36-8-5-3", "parameters": 359, "seed": 1, "width": 8,
                      "kind": "a", "old": False, "large": 2.0**70}
    metrics = [(metric.name.group, metric.name.tag, metric.display_name)
               for metric in found["_hparams_/experiment"].experiment.metric_infos]
    assert metrics == [(group, f"epoch_{name}", f"{group} {name}") for group in ("validation", "train")
                       for name in ("loss", "accuracy")]
    assert found["_hparams_/session_end_info"].session_end_info.status == 1  # success


def test_the_optimizer_with_what_was_chosen():
    from fastnn.callbacks.tensorboard import _parameters

    said = {}

    class Look(callbacks.Callback):
        def on_train_begin(self, logs=None):
            said.update(_parameters(self.model))

    for optimizer, name, rate, schedule in (
        (fnn.optimizers.SGD(0.5, momentum=0.9), "SGD(momentum=0.9)", 0.5, "constant"),
        (fnn.optimizers.AdamW(fnn.schedules.CosineDecay(0.2, 9)), "AdamW", 0.2, "CosineDecay"),
        (fnn.optimizers.LBFGS(), "LBFGS", 0.0, "constant"),
        (fnn.optimizers.AdamW(0.1, clipnorm=2.0, use_ema=True, gradient_accumulation_steps=2,
                              exclude_from_weight_decay=["bias"]),
         "AdamW(clipnorm=2.0, use_ema=True, gradient_accumulation_steps=2, exclude_from_weight_decay=['bias'])", 0.1,
         "constant"),
        (fnn.optimizers.Muon(0.1, global_clipnorm=1.0), "Muon(global_clipnorm=1.0)", 0.1, "constant"),
    ):
        fit(None, network(optimizer=optimizer), callbacks=[Look()], epochs=1)
        assert (said["optimizer"], said["learning_rate"], said["schedule"]) == (name, rate, schedule)


def test_embeddings(tmp_path):
    config = pytest.importorskip("tensorboard.plugins.projector.projector_config_pb2")
    from google.protobuf import text_format
    from PIL import Image

    x, y = data(50)
    board = callbacks.TensorBoard(tmp_path, embeddings_freq=2, embeddings_data=x, embeddings_layer="dense",
                                  embeddings_metadata={"class": y, "name": [f"a\tb {i}" for i in range(50)]})
    model, _ = fit(board)
    found = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), config.ProjectorConfig())
    assert [entry.tensor_name for entry in found.embeddings] == ["dense", "dense epoch 00000", "dense epoch 00002"]
    assert found.embeddings[0].tensor_path == found.embeddings[2].tensor_path == "projector/dense-00002.tsv"
    for entry in found.embeddings:
        points = np.loadtxt(tmp_path / entry.tensor_path, delimiter="\t")
        assert points.shape == tuple(entry.tensor_shape) == (50, 8)
        labels = [line.split("\t") for line in (tmp_path / entry.metadata_path).read_text().splitlines()]
        assert labels == [["class", "name"], *([str(label), f"a b {i}"] for i, label in enumerate(y))]
        assert list(entry.sprite.single_image_dim) == [6, 6]
        with Image.open(tmp_path / entry.sprite.image_path) as sprite:
            assert sprite.size == (48, 48)
    outputs = dict(fnn.weights.layer_outputs(model, x))[model.layers[1]]
    assert np.allclose(np.loadtxt(tmp_path / "projector/dense-00002.tsv"), outputs, atol=1e-4 * np.abs(outputs).max())


def test_embeddings_are_of_a_bounded_number_of_samples(tmp_path):
    x, y = data(2500)
    fit(callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_data=x, embeddings_metadata=y), epochs=1)
    assert len((tmp_path / "projector/dense_1-00000.tsv").read_bytes().splitlines()) == POINTS
    labels = (tmp_path / "projector/metadata.tsv").read_text().splitlines()
    taken = np.linspace(0, 2499, POINTS).astype(int)
    assert labels == [str(label) for label in y[taken]]


def test_flat_rows_that_are_images(tmp_path):
    from PIL import Image

    x, y = data(30, (24,))
    model = fnn.Sequential([layers.Dense(5), layers.Dense(1200, "relu"), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    options = {"image_freq": 1, "embeddings_freq": 1, "embeddings_data": x}
    board = callbacks.TensorBoard(tmp_path, image_shape=(4, 6), **options)
    model.fit(x, y, verbose=0, callbacks=[board])
    shapes = {value.tag: (value.image.height, value.image.width) for event in records(tmp_path / "train")
              for value in event.summary.value if value.HasField("image")}
    assert shapes["dense/kernel/image"] == (14 * 21, 13 * 21)  # three rows of two tiles
    assert len(shapes) == 3
    with Image.open(tmp_path / "projector/sprite.png") as sprite:
        assert sprite.size == (36, 36)
    with pytest.raises(ValueError, match="24 inputs"):
        model.fit(x, y, verbose=0, callbacks=[callbacks.TensorBoard(tmp_path, image_shape=(5, 5), **options)])


def test_points_of_wide_layers_are_fewer(tmp_path, monkeypatch):
    monkeypatch.setattr("fastnn.callbacks.tensorboard.NUMBERS", 100)
    fit(callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_data=data()[0], embeddings_layer=1), epochs=1)
    assert len((tmp_path / "projector/dense-00000.tsv").read_bytes().splitlines()) == 12


def test_streams(tmp_path):
    x, y = data()
    model = network()
    model.fit(lambda: iter([(x[:50], y[:50]), (x[50:], y[50:])]), epochs=2, batch_size=16, verbose=0,
              validation_data=lambda: iter([(x, y)]), callbacks=[callbacks.TensorBoard(tmp_path, update_freq=1)])
    assert [step for step, _ in scalars(read(tmp_path / "train"), "batch_loss")] == list(range(10))
    assert [step for step, _ in scalars(read(tmp_path / "validation"), "epoch_loss")] == [0, 1]


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, 9.999996, 0.0])
def test_tables_of_numbers(scale):
    points = np.random.default_rng(0).normal(size=(20, 7)) * scale
    points.flat[0] = -abs(points).max()
    read_back = np.array([[float(cell) for cell in line.split("\t")] for line in
                          projector.tsv(points).decode().splitlines()])
    assert read_back.shape == points.shape
    assert np.allclose(read_back, points, rtol=0, atol=1e-4 * abs(points).max())
    assert projector.tsv([[np.nan, np.inf, 1.0]]) == b"+0.0000\t+0.0000\t+1.0000\n"


# ---- runs one after the other ----


def test_two_fits_with_one_callback(tmp_path):
    board = callbacks.TensorBoard(tmp_path)
    model, first = fit(board, epochs=2)
    _, second = fit(board, model, epochs=5, initial_epoch=2)
    values = first.history["loss"] + second.history["loss"]
    assert scalars(read(tmp_path / "train"), "epoch_loss") == [(i, pytest.approx(v, rel=1e-6))
                                                               for i, v in enumerate(values)]


def test_a_run_that_goes_on_from_a_file(tmp_path):
    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "run.safetensors")
            if epoch == 1 and self.params["epochs"] == 2:
                raise InterruptedError

    def boards():
        return [callbacks.TensorBoard(tmp_path / "logs", update_freq=1, write_steps_per_second=True), Stop()]

    def rate():
        return fnn.optimizers.SGD(fnn.schedules.ExponentialDecay(0.1, 1, 0.5))

    model, (x, y) = network(optimizer=rate()), data()
    with pytest.raises(InterruptedError):
        model.fit(x, y, epochs=2, verbose=0, callbacks=boards())
    model = network(optimizer=rate())
    model.fit(x, y, epochs=4, verbose=0, callbacks=boards(), resume=tmp_path / "run.safetensors")
    reader = read(tmp_path / "logs/train")
    losses = scalars(reader, "epoch_loss")  # the epoch that ended with the file is told of twice
    assert [step for step, _ in losses] == [0, 1, 1, 2, 3] and losses[1] == losses[2]
    assert dict(scalars(reader, "epoch_learning_rate")) == {i: pytest.approx(0.1 * 0.5**(3 * i + 2)) for i in range(4)}
    assert dict(scalars(reader, "batch_learning_rate")) == {i: pytest.approx(0.1 * 0.5**i) for i in range(12)}
    assert [step for step, _ in scalars(reader, "epoch_steps_per_second")] == [0, 1, 2, 3]
    assert [step for step, _ in scalars(reader, "batch_loss")] == list(range(12))


def test_weights_are_those_of_a_training_without_it(tmp_path):
    x, y = data()
    threads = threading.active_count()
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, image_freq=1, gradient_data=(x, y), embeddings_freq=1,
                                  embeddings_data=x)
    model, _ = fit(board)
    plain, _ = fit(board, callbacks=[])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), plain.get_weights(), strict=True))
    before = {path: path.stat().st_size for path in tmp_path.rglob("*")}
    model.train_on_batch(x[:4], y[:4])
    model.evaluate(x, y)
    assert {path: path.stat().st_size for path in tmp_path.rglob("*")} == before
    assert threading.active_count() == threads


def test_evaluate_writes_its_results(tmp_path):
    x, y = data()
    model, _ = fit(None, callbacks=[])
    model.evaluate(x, y, callbacks=[callbacks.TensorBoard(tmp_path)])
    assert tags(tmp_path / "validation") == {"evaluation_loss_vs_iterations", "evaluation_accuracy_vs_iterations"}


def test_lbfgs(tmp_path):
    model = network(optimizer=fnn.optimizers.LBFGS(max_iter=4))
    fit(callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq=1, write_steps_per_second=True), model, epochs=2)
    train = read(tmp_path / "train")
    assert [step for step, _ in scalars(train, "batch_loss")] == list(range(8))
    assert [step for step, _ in scalars(read(tmp_path / "validation"), "evaluation_loss_vs_iterations")] == [4, 8]
    assert all(value > 0 for _, value in scalars(train, "epoch_steps_per_second"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_writes_nothing(tmp_path):
    class Fork(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
                child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)

    board = callbacks.TensorBoard(tmp_path, update_freq=1)
    fit(board, callbacks=[board, Fork()])
    assert len(scalars(read(tmp_path / "train"), "batch_loss")) == 15


# ---- failures ----


@pytest.mark.parametrize("how", ["removed", "full", "partly full", "strange"])
def test_a_failure_costs_no_training(tmp_path, monkeypatch, how):
    class Fail(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch != 1:
                return
            if how == "removed":
                shutil.rmtree(tmp_path / "logs")
                return
            for file in board._files.values():
                file._file = Full(file._file, how)

    board = callbacks.TensorBoard(tmp_path / "logs", histogram_freq=1)
    with pytest.warns(UserWarning, match="TensorBoard ends here, and training goes on") as said:
        model, history = fit(board, callbacks=[board, Fail()], epochs=4)
    assert len(said) == 1 and len(history.epoch) == 4
    plain, _ = fit(board, callbacks=[], epochs=4)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), plain.get_weights(), strict=True))
    if how != "removed":
        assert [e.step for e in records(tmp_path / "logs/train") if any(
            value.tag == "epoch_loss" for value in e.summary.value)] == [0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(board)  # another training begins anew
    assert len(tags(tmp_path / "logs/train")) > 3


class Full:
    """A file on a disk that is full, after some bytes or at once."""

    def __init__(self, file, how):
        self.file, self.how, self.written = file, how, 0

    def write(self, data):
        if self.how == "strange":
            raise RuntimeError("what nobody thought of")
        if self.how == "partly full" and not self.written:
            self.written = self.file.write(data[:20])
            return self.written
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_file_that_may_not_grow(tmp_path):
    """The system itself refuses to write on, in the middle of a record."""
    pytest.importorskip("resource")
    code = f"""if True:
        import resource, sys
        sys.path[:0] = {sys.path!r}
        from test_tensorboard import callbacks, fit
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        _, history = fit(callbacks.TensorBoard({str(tmp_path)!r}, histogram_freq=1), epochs=20)
        print(len(history.epoch))
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout == "20\n", ran.stderr
    assert ran.stderr.count("TensorBoard ends here") == 1 and "File too large" in ran.stderr
    steps = [event.step for event in records(tmp_path / "train") if len(event.summary.value) == 6]
    assert steps == list(range(len(steps))) and 1 < len(steps) < 20


def test_embeddings_that_cannot_be_written(tmp_path):
    class Fail(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                shutil.rmtree(tmp_path / "projector")

    board = callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_data=data()[0])
    with pytest.warns(UserWarning, match="No such file"):
        _, history = fit(board, callbacks=[Fail(), board])
    assert len(history.epoch) == 3


@pytest.mark.parametrize(("part", "broken"), [
    ("histograms", "fastnn.callbacks.events.counted"), ("pictures", "fastnn.callbacks.tensorboard._picture"),
    ("embeddings", "fastnn.callbacks.projector.tsv"),
])
def test_a_failure_ends_its_part_alone(tmp_path, monkeypatch, part, broken):
    monkeypatch.setattr(broken, lambda *_: 1 / 0)
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, image_freq=1, embeddings_freq=1,
                                  embeddings_data=data()[0])
    with pytest.warns(UserWarning, match=f"TensorBoard of {part} ends here.*ZeroDivisionError") as said:
        fit(board)
    assert len(said) == 1
    found = tags(tmp_path / "train")
    assert ("dense/kernel/histogram" in found, "dense/kernel/image" in found) == (part != "histograms",
                                                                                part != "pictures")
    assert (tmp_path / "projector_config.pbtxt").exists() == (part != "embeddings")
    assert len(scalars(read(tmp_path / "train"), "epoch_loss")) == 3


def test_logs_that_are_no_numbers_are_left_out(tmp_path):
    class Note(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["note"], logs["extra"] = "text", epoch

    board = callbacks.TensorBoard(tmp_path)
    with pytest.warns(UserWarning, match="TensorBoard of the scalar 'note' ends here.*could not convert") as said:
        fit(board, callbacks=[Note(), board])
    assert len(said) == 1
    reader = read(tmp_path / "train")
    assert scalars(reader, "epoch_extra") == [(0, 0), (1, 1), (2, 2)] and len(scalars(reader, "epoch_loss")) == 3


def test_it_goes_on_where_layers_become_sparse(tmp_path):
    model = network()
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, image_freq=1, embeddings_freq=1,
                                  embeddings_data=data()[0], embeddings_layer=model.layers[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(board, model, epochs=4, callbacks=[
            fnn.weights.PruningSchedule(0.9, end_step=8, frequency=2, sparse_from=0.5), board])
    assert type(model.layers[1]) is layers.SparseDense
    reader = read(tmp_path / "train")
    assert [event.step for event in reader.Images("dense/kernel/image")] == list(range(4))
    assert (tmp_path / "projector/dense-00003.tsv").exists()


def test_long_names_of_layers(tmp_path):
    names = ["x" * 10_000, "x" * 9_999]
    assert len({projector._stem(name) for name in names}) == 2
    model = fnn.Sequential([layers.Flatten(), *(layers.Dense(3, "softmax", name=name) for name in names)])
    model.compile("adam", "sparse_categorical_crossentropy")
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_data=data()[0], embeddings_layer=name),
                model, epochs=1)
    assert len(list((tmp_path / "projector").glob("*-00000.tsv"))) == 2
    assert len(projector._stem("\N{CJK UNIFIED IDEOGRAPH-4E00}" * 300).encode()) < 240


def test_points_that_were_written_stay_readable(tmp_path, monkeypatch):
    class Full(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))

    board = callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_data=data()[0])
    with pytest.warns(UserWarning, match="TensorBoard of embeddings ends here.*full"):
        fit(board, callbacks=[Full(), board], epochs=4)
    found = (tmp_path / "projector_config.pbtxt").read_text()
    assert found.count("{\n") == found.count("\n}") == 3
    assert sorted(path.name for path in (tmp_path / "projector").glob("*.tsv")) == [
        "dense_1-00000.tsv", "dense_1-00001.tsv"]


def test_ctrl_c_leaves_whole_files(tmp_path):
    class Interrupt(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                os.kill(os.getpid(), signal.SIGINT)

    board = callbacks.TensorBoard(tmp_path, update_freq=1)
    with pytest.raises(KeyboardInterrupt):
        fit(board, callbacks=[board, Interrupt()])
    assert not board._files
    assert [step for step, _ in scalars(read(tmp_path / "train"), "batch_loss")] == [0, 1, 2, 3]
    assert "_hparams_/session_end_info" not in tags(tmp_path)


def test_divergence(tmp_path):
    x, y = data()
    model = network(optimizer=fnn.optimizers.SGD(1e30))
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, gradient_data=(x, y))
    fit(board, model, callbacks=[callbacks.TerminateOnNaN(), board])
    assert np.isnan(scalars(read(tmp_path / "train"), "epoch_loss")[0][1])
    with pytest.raises(fnn.DivergenceError):
        fit(board, network(optimizer=fnn.optimizers.SGD(1e30)))


def test_a_folder_that_cannot_be_made_stops_before_the_first_epoch(tmp_path):
    (tmp_path / "file").write_text("")
    model = network()
    with pytest.raises(OSError, match="file"):
        fit(callbacks.TensorBoard(tmp_path / "file" / "logs"), model)
    assert model._state is None


def test_missing_libraries(monkeypatch):
    def without(name):
        known = builtins.__import__

        def find(found, *arguments, **named):
            if found.split(".")[0] == name:
                raise ModuleNotFoundError(f"No module named {name!r}")
            return known(found, *arguments, **named)

        return find

    for module, package, options in (("tensorboardX", "tensorboardX", {}), ("PIL", "pillow", {"image_freq": 1})):
        with monkeypatch.context() as context:
            context.setattr(builtins, "__import__", without(module))
            with pytest.raises(ImportError, match=rf'{package}, which is not installed: pip install "fastnn\[viz\]"'):
                callbacks.TensorBoard(**options)


@pytest.mark.parametrize(("options", "error", "said"), [
    ({"log_dir": 3}, TypeError, "log_dir must be a path"),
    ({"log_dir": ""}, ValueError, "not empty"),
    ({"histogram_freq": -1}, ValueError, "histogram_freq must be in"),
    ({"histogram_freq": 1.5}, TypeError, "histogram_freq must be an integer"),
    ({"update_freq": "step"}, ValueError, "update_freq must be 'epoch' or 'batch'"),
    ({"update_freq": 0}, ValueError, "update_freq"),
    ({"profile_batch": (2, 5)}, ValueError, "profile_batch must be 0"),
    ({"write_graph": 1}, TypeError, "write_graph"),
    ({"embeddings_freq": 1}, ValueError, "need each other"),
    ({"embeddings_data": [[1]]}, ValueError, "need each other"),
    ({"embeddings_metadata": [1]}, ValueError, "labels of embeddings_data"),
    ({"gradient_data": [1]}, ValueError, r"gradient_data must be \(x, y\)"),
    ({"gradient_data": (1, 2)}, ValueError, "needs histogram_freq"),
    ({"image_shape": 5}, TypeError, "image_shape"),
    ({"hparams": [1]}, TypeError, "hparams must be a dict"),
    ({"hparams": {"a": [1]}}, TypeError, "'a'"),
    ({"hparams": {"a": float("nan")}}, ValueError, "finite.*'a': nan"),
    ({"hparams": {"a": 2**2000}}, ValueError, "finite.*'a'"),
    ({"n_threads": 0}, ValueError, "n_threads"),
    ({"n_threads": "a"}, TypeError, "n_threads"),
])
def test_bad_arguments(options, error, said):
    with pytest.raises(error, match=said):
        callbacks.TensorBoard(**options)


@pytest.mark.parametrize(("options", "error", "said"), [
    ({"embeddings_layer": "dens"}, ValueError, "'dens'.* Did you mean 'dense'"),
    ({"embeddings_layer": 9}, ValueError, "received 9"),
    ({"embeddings_layer": 1.5}, TypeError, "a name, an index or a layer"),
    ({"embeddings_layer": layers.Dense(3)}, ValueError, "no layer of the model"),
    ({"embeddings_data": np.zeros((4, 9))}, ValueError, "embeddings_data"),
    ({"embeddings_metadata": {"a b": range(80), "a\tb": range(80)}}, ValueError, "white space"),
    ({"embeddings_metadata": [1, 2]}, ValueError, "one label for each of the 80 samples"),
    ({"gradient_data": (np.zeros((4, 9)), [1] * 4), "histogram_freq": 1}, ValueError, "x"),
])
def test_what_does_not_suit_the_model_stops_before_the_first_epoch(tmp_path, options, error, said):
    board = callbacks.TensorBoard(tmp_path, **{"embeddings_freq": 1, "embeddings_data": data()[0]} | options)
    model = network()
    with pytest.raises(error, match=said):
        fit(board, model)
    assert model._state is None or not model._state.step


def test_importing_fastnn_imports_no_library_for_it():
    code = "import sys, fastnn; print([name for name in ('tensorboardX', 'PIL', 'matplotlib') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
