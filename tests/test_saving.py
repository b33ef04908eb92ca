"""Model files: round trips, exact resume, refusal of everything that is not one, and crash-safe writing."""

import fcntl
import hashlib
import json
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import safetensors.numpy

import fastnn as fnn
from fastnn import _safetensors, files
from fastnn.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Lion,
    Muon,
    Nadam,
    RAdam,
    RMSprop,
    ScheduleFreeAdamW,
)

OPTIMIZERS = [
    SGD(0.05), SGD(0.05, momentum=0.9), SGD(0.05, momentum=0.9, nesterov=True),
    RMSprop(momentum=0.5, centered=True),
    Adagrad(), Adadelta(), Adam(), Adam(amsgrad=True), AdamW(), Adamax(), Nadam(), Lion(), RAdam(),
    Ftrl(), ScheduleFreeAdamW(0.01), Lamb(), Adafactor(), Muon(clipnorm=0.1), AdamW(exclude_from_weight_decay=["bias"]),
    Adam(use_ema=True, ema_overwrite_frequency=3, gradient_accumulation_steps=4, global_clipnorm=0.1),
    Nadam(gradient_accumulation_steps=2),
]


def make(dtype="float32", optimizer="adam", metrics=("accuracy",)):
    layers = [fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16), fnn.layers.Dense(7, activation="gelu"),
              fnn.layers.Dropout(0.2), fnn.layers.Dense(5, activation=fnn.activations.LeakyReLU(0.1)),
              fnn.layers.Dense(10, activation="softmax")]
    model = fnn.Sequential(layers, seed=3, dtype=dtype, name="digits")
    if isinstance(optimizer, fnn.optimizers.Optimizer):
        optimizer = optimizer.get_config()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def same(a, b):
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


@pytest.fixture(scope="module")
def digits():
    (x, y), _ = fnn.datasets.load_digits()
    return x[:200], y[:200]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small trained model's file, as bytes."""
    model = fnn.Sequential([fnn.layers.Dense(3, activation="relu"), fnn.layers.Dense(2)], seed=0)
    model.compile("adam", "mse")
    model.fit(np.eye(4), np.eye(4)[:, :2], epochs=2, verbose=0)
    path = tmp_path_factory.mktemp("small") / "m.safetensors"
    model.save(path)
    return path.read_bytes()


def split(blob):
    """The header with the record in the place of the metadata, and the data."""
    (length,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8:8 + length])
    header["__metadata__"] = json.loads(header["__metadata__"]["fastnn"])
    return header, blob[8 + length:]


def text(value):
    return json.dumps(value, ensure_ascii=False)


def checksum(header, data):
    """That of a record and of tensors, described as they may be: where they have no place, they are empty."""
    record = {key: value for key, value in header["__metadata__"].items() if key != "sha256"}
    digest = hashlib.sha256(text(record).encode())
    for name in sorted(header.keys() - {"__metadata__"}):
        with suppress(TypeError, ValueError, KeyError):
            digest.update(data[slice(*header[name]["data_offsets"])])
    return digest.hexdigest()


def join(header, data, *, sign=True):
    """A file of this header, with a right checksum, so that only what is tested can be refused."""
    if not isinstance(header, bytes):
        if isinstance(record := header.get("__metadata__"), dict):
            if sign:
                record["sha256"] = checksum(header, data)
            header = header | {"__metadata__": {"fastnn": text(record)}}
        header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def refused(tmp_path, blob, match=None):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(blob)
    with pytest.raises(fnn.ModelFormatError, match=match) as caught:
        fnn.load_model(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000


# ---- round trips -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(tmp_path, digits, dtype):
    x, y = digits
    model = make(dtype)
    model.fit(x, y, epochs=1, verbose=0)
    model.metadata = {"classes": ["eins", "\N{GREEK SMALL LETTER BETA}"], "nested": {"a": [1.5, None]}}
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(str(tmp_path / "m.safetensors"))
    assert again.get_config() == model.get_config()
    assert same(model, again)
    assert again.metadata == model.metadata
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.loss.get_config() == model.loss.get_config()
    assert again.metrics_names == model.metrics_names
    assert np.array_equal(again.predict(x), model.predict(x))
    assert again.evaluate(x, y) == model.evaluate(x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_safetensors_reads_the_same_arrays(tmp_path, digits, dtype):
    model = make(dtype)
    model.fit(*digits, epochs=1, verbose=0)
    model.save(tmp_path / "m.safetensors")
    tensors = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    assert set(tensors) == {*(f"layers.{name}.{w}" for name in ("dense", "dense_1", "dense_2") for w in
                              ("kernel", "bias")), "optimizer.m", "optimizer.v"}
    assert np.array_equal(tensors["layers.dense.kernel"], model.layers[2].kernel)
    assert tensors["optimizer.m"].shape == (model.count_params(),)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_training_goes_on_bitwise(tmp_path, digits, optimizer):
    whole, first = make(optimizer=optimizer), make(optimizer=optimizer)
    whole.fit(*digits, epochs=4, verbose=0)
    first.fit(*digits, epochs=2, verbose=0)
    first.save(tmp_path / "m.safetensors")
    second = fnn.load_model(tmp_path / "m.safetensors")
    second.fit(*digits, epochs=2, verbose=0, n_threads=1)
    assert same(whole, second)
    for model, name in ((whole, "whole"), (second, "second")):
        model.save(tmp_path / name)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "second").read_bytes()


def test_save_in_a_callback_is_a_checkpoint(tmp_path, digits):
    class Checkpoint(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.save(tmp_path / "m.safetensors")

    whole = make()
    whole.fit(*digits, epochs=3, verbose=0, callbacks=[Checkpoint()])
    resumed = fnn.load_model(tmp_path / "m.safetensors")
    resumed.fit(*digits, epochs=3, initial_epoch=2, verbose=0)
    assert same(whole, resumed)


def test_without_optimizer_state(tmp_path, digits):
    model = make()
    model.fit(*digits, epochs=1, verbose=0)
    model.save(tmp_path / "m.safetensors", include_optimizer=False)
    again = fnn.load_model(tmp_path / "m.safetensors")
    assert same(model, again)
    assert again.optimizer.name == "adam"
    assert again._state is None
    names = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    assert not any(name.startswith("optimizer") for name in names)


def test_uncompiled_and_compile_false(tmp_path, digits):
    model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2)])
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    assert again.loss is None
    assert same(model, again)
    model = make()
    model.fit(*digits, epochs=1, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors", compile=False)
    assert again.loss is None
    assert same(model, again)


def test_unbuilt_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="built"):
        fnn.Sequential([fnn.layers.Dense(2)]).save(tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == []


def test_weights_of_any_bits(tmp_path):
    model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2, use_bias=False)])
    tiny = np.float32(1e-45)
    model.set_weights([np.array([[-0.0, tiny], [3.4e38, -tiny], [0.0, 1.0]], np.float32)])
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    assert again.layers[0].kernel.tobytes() == model.layers[0].kernel.tobytes()


def test_names_that_hide_the_checksum(tmp_path):
    model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2, name="0" * 64)], name="0" * 64)
    model.metadata = {"0" * 64: "0" * 64}
    model.save(tmp_path / "m.safetensors")
    assert fnn.load_model(tmp_path / "m.safetensors").metadata == model.metadata


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_save_refuses_weights_that_load_would(tmp_path, bad):
    model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2)])
    model.layers[0].kernel[1, 1] = bad
    with pytest.raises(ValueError, match=r"layers\.dense\.kernel contains NaN"):
        model.save(tmp_path / "m.safetensors")


@pytest.mark.parametrize("metadata", [{"x": object()}, {"x": float("nan")}, {"x": "\ud800"}, [1]])
def test_save_refuses_metadata_that_json_cannot_hold(tmp_path, metadata):
    model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2)])
    model.metadata = metadata
    with pytest.raises((TypeError, ValueError)):
        model.save(tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == []


def test_save_refuses_a_header_too_large_to_load(tmp_path):
    model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2)])
    model.metadata = {"x": "y" * _safetensors.MAX_HEADER}
    with pytest.raises(ValueError, match="are allowed"):
        model.save(tmp_path / "m.safetensors")


# ---- custom objects ----------------------------------------------------------------------------------------


class Scale(fnn.layers.PythonLayer):
    def __init__(self, factor, name=None):
        super().__init__(name=name)
        self.factor = factor

    def add_weights(self, input_shape):
        return {"scale": (input_shape, "ones")}

    def forward(self, x, training):
        self.x = x.copy()
        return x * self.weights["scale"] * self.factor

    def backward(self, dy):
        self.gradients["scale"][...] = (dy * self.x).sum(axis=0) * self.factor
        return dy * self.weights["scale"] * self.factor


class Nameless(fnn.layers.PythonLayer):
    def __init__(self):
        super().__init__()

    def forward(self, x, training):
        return x

    def backward(self, dy):
        return dy


class Ramp(fnn.initializers.Initializer):
    name = "ramp"

    def draw(self, rng, shape):
        return np.linspace(0, 1, int(np.prod(shape))).reshape(shape)


class Quartic(fnn.losses.Loss):
    name = "quartic"

    def __init__(self, factor=1.0):
        self.factor = factor

    def call(self, y_true, y_pred):
        return self.factor * np.mean((y_pred - y_true) ** 4, axis=1)

    def gradient(self, y_true, y_pred):
        return self.factor * 4 * (y_pred - y_true) ** 3 / y_true.shape[1]


class MyError(fnn.metrics.MeanAbsoluteError):
    pass


class MyAdam(fnn.optimizers.Adam):
    pass


CUSTOM = {cls.__name__: cls for cls in (Scale, Nameless, Ramp, Quartic, MyError, MyAdam)}


def custom_model():
    dense = fnn.layers.Dense(2, kernel_initializer=Ramp())
    model = fnn.Sequential([Nameless(), Scale(0.5), dense, Nameless()], seed=0)
    model.compile(MyAdam(0.01), Quartic(2.0), metrics=[MyError()])
    return model


def test_custom_objects(tmp_path):
    x, y = np.random.default_rng(0).standard_normal((8, 3)), np.zeros((8, 2))
    model, whole = custom_model(), custom_model()
    whole.fit(x, y, epochs=4, verbose=0)
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors", custom_objects=CUSTOM)
    assert [layer.name for layer in again.layers] == ["nameless", "scale", "dense", "nameless_1"]
    assert again.loss.factor == 2.0
    again.fit(x, y, epochs=2, verbose=0)
    assert same(whole, again)


@pytest.mark.parametrize("missing", sorted(CUSTOM))
def test_custom_objects_are_needed(tmp_path, missing):
    model = custom_model()
    model.build((3,))
    model.save(tmp_path / "m.safetensors")
    known = {name: cls for name, cls in CUSTOM.items() if name != missing}
    with pytest.raises(fnn.ModelFormatError, match=f"(?i){missing}"):
        fnn.load_model(tmp_path / "m.safetensors", custom_objects=known)


def test_custom_objects_of_another_kind(tmp_path, small):
    (tmp_path / "m.safetensors").write_bytes(small)
    with pytest.raises(TypeError, match="custom_objects"):
        fnn.load_model(tmp_path / "m.safetensors", custom_objects={"Scale": Scale(1.0)})


# ---- refusals ----------------------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        fnn.load_model(tmp_path / "none.safetensors")


def test_small_file_loads(tmp_path, small):
    header, data = split(small)
    (tmp_path / "m.safetensors").write_bytes(join(header, data))
    fnn.load_model(tmp_path / "m.safetensors")


def test_truncated_at_every_byte(tmp_path, small):
    for length in range(len(small)):
        refused(tmp_path, small[:length])


def test_one_bit_flipped_at_every_byte(tmp_path, small):
    rng = random.Random(0)
    for at in range(len(small)):
        blob = bytearray(small)
        blob[at] ^= 1 << rng.randrange(8)
        refused(tmp_path, bytes(blob))


LENGTHS = [b"", b"\0" * 7, b"\0" * 8, struct.pack("<Q", 2**63), struct.pack("<Q", 2**64 - 1),
           struct.pack("<Q", 2) + b"{", struct.pack("<Q", 100) + b"{}", struct.pack("<Q", 2) + b"{}",
           struct.pack(">Q", 2) + b"{}", b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x07builtin.",
           b"PK\x03\x04" + b"\0" * 99]


@pytest.mark.parametrize("blob", LENGTHS, ids=range(len(LENGTHS)))
def test_lengths_and_foreign_files(tmp_path, blob):
    refused(tmp_path, blob)


HEADERS = [b"[]", b"null", b"{}{}", b"{}\0\0", b"\xef\xbb\xbf{}", b'{"a":"\\ud800"}', b'{"\xff":1}',
           b"{" + b" " * 99, b'{"a":' * 100_000, b"[" * 100_000, b'{"a":' + b"[" * 100_000,
           b'{"a":NaN}', b'{"a":1e999}',
           b'{"a":' + b"9" * 5000 + b"}", b'{"a":1,"a":1}', b" {}", b"{}"]


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_headers_that_are_not_json_objects(tmp_path, header):
    refused(tmp_path, join(header, b""))


def test_header_beyond_the_limit(tmp_path):
    refused(tmp_path, join(b"{" + b" " * _safetensors.MAX_HEADER + b"}", b""), "are allowed")


def test_duplicate_tensor_names(tmp_path, small):
    header, data = split(small)
    entry = json.dumps(header["layers.dense.bias"])
    for other in (entry, entry.replace("F32", "I32"), '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'):
        twice = json.dumps(header)[:-1] + f', "layers.dense.bias": {other}}}'
        refused(tmp_path, join(twice.encode(), data), "occurs twice")


CHANGES = [
    {"more": 1}, *({"dtype": dtype} for dtype in ("I32", "f32", "O", "BOOL", "BF16", "", None, 3, ["F32"])),
    *({"shape": shape} for shape in (
        [-3], [3.0], ["3"], [True] * 3, [1e3], 3, None, "3", {}, [3, 2], [2**64 - 1, 0], [2, 2**64 - 2],
        [2**62, 2**62], [2**40], [1] * 200, [[3]], [3, 0])),
    *({"data_offsets": offsets} for offsets in (
        [12, 0], [0, 24], [0], [0, 12, 24], [-12, 0], [0.0, 12.0], ["0", "12"], [False, 12], None, 12,
        [2**64, 2**64 + 12], [10**30, 10**30 + 12])),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: json.dumps(change)[:40])
def test_entries(tmp_path, small, change):
    header, data = split(small)
    header["layers.dense.bias"] |= change
    refused(tmp_path, join(header, data), "layers.dense.bias|begins at byte")


@pytest.mark.parametrize("entry", [{"dtype": "F32"}, {}, [], None, "F32", 3])
def test_entries_of_another_form(tmp_path, small, entry):
    header, data = split(small)
    header["layers.dense.bias"] = entry
    refused(tmp_path, join(header, data), "is described by")


def shift(header, name, by):
    header[name]["data_offsets"] = [value + by for value in header[name]["data_offsets"]]


@pytest.mark.parametrize("by", [-4, 4])
def test_overlaps_and_holes(tmp_path, small, by):
    header, data = split(small)
    last = max(header.keys() - {"__metadata__"}, key=lambda name: header[name]["data_offsets"])
    shift(header, last, by)
    refused(tmp_path, join(header, data[:by] if by < 0 else data + b"\0" * by), "begins at byte")


def test_trailing_bytes(tmp_path, small):
    header, data = split(small)
    for tail in (b"\0", b"PK\x05\x06" + b"\0" * 18, b"%PDF-1.4"):
        refused(tmp_path, join(header, data + tail), "overlong")


def test_many_empty_tensors(tmp_path, small):
    header, data = split(small)
    for i in range(20_000):
        header[f"e{i}"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    refused(tmp_path, join(header, data), "no place for")


NAMES = ["", "a\0b", "../../x", "layers.dense", "x" * 10**6, "optimizer.x", "layers..bias"]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:20])
def test_names_of_tensors(tmp_path, small, name):
    header, data = split(small)
    header[name] = header.pop("layers.dense.bias")
    refused(tmp_path, join(header, data))


RECORDS = [
    {"version": "2"}, {"version": 1}, {"version": None}, {"sha256": ""}, {"sha256": "0"}, {"sha256": 0},
    {"sha256": None}, {"sha256": "0" * 64}, {"more": "x"},
    *({part: value} for part in ("model", "training", "user") for value in ({}, [], "{}", 3, None)
      if (part, value) != ("user", {})),
]


@pytest.mark.parametrize("change", RECORDS, ids=text)
def test_records(tmp_path, small, change):
    header, data = split(small)
    for key, value in change.items():
        if value is None:
            del header["__metadata__"][key]
        else:
            header["__metadata__"][key] = value
    refused(tmp_path, join(header, data, sign="sha256" not in change))


SPELLINGS = {
    "whole": ["", "[]", "null", "{", "[" * 100_000, '{"a": 1, "a": 1}'],
    "end": ["} ", "}}", "} {}"], ": ": [":"], "1.0": ["1e0", "1.00"], "beta_1": [r"\u0062eta_1"],
    "0.001": ["1e999", "NaN", "1e-3"],
}


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, news in SPELLINGS.items() for new in news],
                         ids=lambda part: part[:20])
def test_spellings_of_the_record(tmp_path, small, old, new):
    header, data = split(small)
    record = text(header["__metadata__"])
    other = {"whole": new, "end": record[:-1] + new}.get(old, record.replace(old, new))
    assert other != record
    header["__metadata__"] = {"fastnn": other}
    refused(tmp_path, join(json.dumps(header).encode(), data), "record")


def test_metadata(tmp_path, small):
    header, data = split(small)
    record = text(header["__metadata__"])
    for metadata in (None, [], "x", {}, {"format": "pt"}, {"fastnn": None}, {"fastnn": {}}, {"fastnn": 3},
                     {"fastnn": record, "more": "x"}):
        refused(tmp_path, join(json.dumps(header | {"__metadata__": metadata}).encode(), data), "metadata")
    del header["__metadata__"]
    refused(tmp_path, join(header, data), "metadata")


def at(tree, path, value):
    for key in path[:-1]:
        tree = tree[key]
    if value is ...:
        del tree[path[-1]]
    else:
        tree[path[-1]] = value


DENSE = ("layers", 0, "config")
CONFIGS = [
    *((("layers",), value) for value in ([], None, {}, "x", [1], [[]], [{}], ...)),
    *((("layers", 0, "class_name"), value) for value in ("os.system", "Dens", [], None)),
    (("layers", 0, "config"), None), (("layers", 0, "name"), ""), (("layers", 0, "name"), "dense_1"),
    (("layers", 0, "name"), "other"), (("layers", 0, "name"), ...), (("layers", 0, "trainable"), 1),
    (("layers", 0, "more"), 1),
    *(((*DENSE, "units"), value) for value in (2**40, 10**400, 4, 0, -3, True, 3.0, "3", None, ..., [3])),
    *(((*DENSE, "activation"), value) for value in ("rellu", {"name": "relu", "x": 1}, {}, 3, ["relu"])),
    ((*DENSE, "use_bias"), False), ((*DENSE, "use_bias"), 1), ((*DENSE, "kernel_initializer"), "x"),
    ((*DENSE, "kernel_initializer"), {"name": "constant", "value": 10**400}),
    ((*DENSE, "kernel_constraint"), {}),
    ((*DENSE, "more"), 1), ((*DENSE, "name"), "a/b"),
    *((("input_shape",), value) for value in
      (None, [], [5], [4, 1], [2**40], [-4], [4.0], [True], "4", {}, 4, ...)),
    *((("dtype",), value) for value in ("float64", "float16", "F32", None, 3, [], ...)),
    *((("seed",), value) for value in (None, -1, 2**63, 1.5, True, "1", ...)),
    *((("name",), value) for value in (None, 3, "", ...)),
]


@pytest.mark.parametrize(("path", "value"), CONFIGS, ids=str)
def test_configurations(tmp_path, small, path, value):
    header, data = split(small)
    at(header["__metadata__"]["model"], path, value)
    refused(tmp_path, join(header, data))


TRAINING = [
    *((("shuffles",), value) for value in (-1, 2**63, 1.5, None, True, "1", ...)),
    *((("optimizer",), value) for value in ({}, [], "adam", 3, {"class_name": "Adamm", "config": {}},
                                           {"class_name": "os.system", "config": {}},
                                           {"class_name": "Adamax", "config": {}})),
    *((("optimizer", "config", "learning_rate"), value) for value in (-1, "x", None, True, [], 10**400)),
    (("optimizer", "config", "beta_1"), 1.0), (("optimizer", "config", "more"), 1),
    (("optimizer", "config", "amsgrad"), True),
    *((("loss",), value) for value in
      (None, {}, {"class_name": "eval", "config": {}}, {"class_name": "Adam", "config": {}}, ...)),
    *((("metrics",), value) for value in (None, {}, "mae", ["mae"], [{"class_name": "AUC"}], ...)),
    *((("state",), value) for value in (None, 3, [], {}, ...)),
    *((("state", "step"), value) for value in (-1, 2**63, 1.5, None, True, "1", ...)),
    *((("state", "memory"), value) for value in
      ([], [1.0], [1, 1], [2.0, 1.0], [-1.0, 1.0], ["1", "1"], None, "xx", ...)),
]


@pytest.mark.parametrize(("path", "value"), TRAINING, ids=str)
def test_training_metadata(tmp_path, small, path, value):
    header, data = split(small)
    at(header["__metadata__"]["training"], path, value)
    refused(tmp_path, join(header, data))


def with_first_value(blob, name, value):
    header, data = split(blob)
    start = header[name]["data_offsets"][0]
    return join(header, data[:start] + np.float32(value).tobytes() + data[start + 4:])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["layers.dense.kernel", "optimizer.m", "optimizer.v"])
def test_tensors_that_are_not_finite(tmp_path, small, name, value):
    refused(tmp_path, with_first_value(small, name, value), f"{name} contains NaN")


def test_negative_squares(tmp_path, small):
    refused(tmp_path, with_first_value(small, "optimizer.v", -1e-9), "negative")


def test_missing_tensors(tmp_path, small):
    header, data = split(small)
    for name in sorted(header.keys() - {"__metadata__"}):
        rest, pieces, offset = {"__metadata__": header["__metadata__"]}, [], 0
        for other, entry in header.items():
            if other not in ("__metadata__", name):
                piece = data[slice(*entry["data_offsets"])]
                rest[other] = entry | {"data_offsets": [offset, offset + len(piece)]}
                pieces.append(piece)
                offset += len(piece)
        refused(tmp_path, join(rest, b"".join(pieces)), f"needs tensor '{name}'")


def test_small_file_does_not_allocate(tmp_path):
    """A network of 16 TB whose tensors are not there."""
    layer = {"class_name": "Dense", "name": "d", "trainable": True, "config": {"units": 2**21}}
    config = {"name": "m", "dtype": "float32", "seed": 0, "input_shape": [2**21], "layers": [layer]}
    record = {"version": "1", "model": config, "training": {"shuffles": 0}, "user": {}}
    tracemalloc.start()
    refused(tmp_path, join({"__metadata__": record}, b""), "needs tensor")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_not_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(fnn.ModelFormatError, match="not a regular file"):
            fnn.load_model(path)


def test_loading_opens_nothing_else_and_imports_nothing(tmp_path, small):
    (tmp_path / "m.safetensors").write_bytes(small)
    code = ("import sys, fastnn\n"
            "seen = []\n"
            "sys.addaudithook(lambda event, args: seen.append((event, args[0])) if event in "
            "('open', 'import', 'exec', 'pickle.find_class', 'subprocess.Popen') else None)\n"
            "fastnn.load_model(sys.argv[1])\n"
            "assert {event for event, _ in seen} == {'open'}, seen\n"
            "assert {str(name) for _, name in seen} == {sys.argv[1]}, seen\n")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.safetensors")], check=True)


# ---- writing -----------------------------------------------------------------------------------------------


@pytest.fixture
def model():
    return fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2)], seed=0)


def test_new_file_respects_umask(tmp_path, model):
    old = os.umask(0o027)
    try:
        model.save(tmp_path / "m.safetensors")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(tmp_path / "m.safetensors").st_mode) == 0o640


def test_existing_mode_is_kept(tmp_path, model):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")
    path.chmod(0o604)
    model.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    fnn.load_model(path)


def test_symlink_is_followed(tmp_path, model):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far/m.safetensors")
    model.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "far") == ["m.safetensors"]
    assert same(fnn.load_model(tmp_path / "link"), model)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
def test_errors_leave_the_old_file_alone(tmp_path, model, monkeypatch, error, call):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_order_of_writing(tmp_path, model, monkeypatch):
    calls = []

    def spied(name, real):
        def spy(*args):
            calls.append(name)
            return real(*args)
        return spy

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, spied(name, getattr(os, name)))
    model.save(tmp_path / "m.safetensors")
    assert calls == ["fsync", "replace", "fsync"]


def test_paths_that_cannot_be_written(tmp_path, model):
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "none" / "m.safetensors")
    with pytest.raises(IsADirectoryError):
        model.save(tmp_path)
    with pytest.raises(OSError, match="not a regular file"):
        model.save("/dev/null")
    assert not os.path.isfile("/dev/null")


def test_long_names(tmp_path, model):
    path = tmp_path / ("m" * 255)
    model.save(path)
    assert same(fnn.load_model(path), model)


def test_strays_are_removed_but_not_a_file_being_written(tmp_path, model):
    path = tmp_path / "m.safetensors"
    stray, busy = (tmp_path / files.temporary_name(path.name, digit * 16) for digit in "ab")
    foreign = tmp_path / files.temporary_name("other", "c" * 16)
    for name in (stray, busy, foreign):
        name.write_bytes(b"part")
    with open(busy, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        model.save(path)
    assert sorted(os.listdir(tmp_path)) == sorted(name.name for name in (busy, foreign, path))


def test_without_locks(tmp_path, model, monkeypatch):
    """As on Windows, where nothing tells a stray from a file being written."""
    monkeypatch.setattr(files, "fcntl", None)
    path = tmp_path / "m.safetensors"
    stray = tmp_path / files.temporary_name(path.name, "a" * 16)
    stray.write_bytes(b"part")
    for _ in range(2):
        model.save(path)
    assert same(fnn.load_model(path), model)
    assert sorted(os.listdir(tmp_path)) == sorted([stray.name, path.name])


SAVER = """
import sys, fastnn as fnn
model = fnn.Sequential([fnn.Input((300,)), fnn.layers.Dense(300)], seed=0)
model.save(sys.argv[1])
print("saved", flush=True)
value = 0
while True:
    value += 1
    model.layers[0].kernel[...] = value
    model.save(sys.argv[1])
"""


def test_kill_while_saving_leaves_a_whole_file(tmp_path):
    path, rng = tmp_path / "m.safetensors", random.Random(0)
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"saved\n"
            time.sleep(rng.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
        fnn.load_model(path)
    fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2)]).save(path)
    assert os.listdir(tmp_path) == ["m.safetensors"]
