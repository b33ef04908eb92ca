"""Weights from files of other libraries, without these libraries; tests/test_oracle_weights.py has them."""

import builtins
import re

import numpy as np
import pytest
import safetensors.numpy

import fastnn as fnn
from fastnn.errors import ModelFormatError
from fastnn.weights import load_keras, load_pytorch


def network(units=5, names=(None, None), classes=3, n_inputs=4):
    return fnn.Sequential([fnn.Input((n_inputs,)), fnn.layers.Dense(units, activation="relu", name=names[0]),
                           fnn.layers.Dense(classes, name=names[1])], seed=0)


def state(units=5, names=("0", "2"), classes=3, n_inputs=4):
    rng = np.random.default_rng(0)
    shapes = {f"{names[0]}.weight": (units, n_inputs), f"{names[0]}.bias": (units,),
              f"{names[1]}.weight": (classes, units), f"{names[1]}.bias": (classes,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def written(tensors, tmp_path):
    safetensors.numpy.save_file(tensors, tmp_path / "state.safetensors")
    return tmp_path / "state.safetensors"


def is_state(model, tensors, names=("0", "2")):
    for name, layer in zip(names, model.layers, strict=True):
        assert np.array_equal(layer.kernel, tensors[f"{name}.weight"].T)
        assert np.array_equal(layer.bias, tensors[f"{name}.bias"])
    return True


@pytest.mark.parametrize("names", [("0", "2"), ("2", "10"), ("fc1", "fc2"), ("net.0.linear", "net.12.linear")])
def test_numbers_give_the_order_in_a_file(names, tmp_path):
    model, tensors = network(units=3), state(units=3, names=names, n_inputs=4)
    report = load_pytorch(model, written(tensors, tmp_path))
    assert is_state(model, tensors, names)
    assert len(report.carried) == 4 and not report.left_out


def test_a_state_dict_has_an_order():
    model, tensors = network(units=3, n_inputs=3), state(units=3, n_inputs=3, names=("hidden", "another"))
    load_pytorch(model, tensors)
    assert is_state(model, tensors, ("hidden", "another"))


def test_shapes_that_fit_in_one_way_only_give_the_order_in_a_file(tmp_path):
    tensors = state(names=("z", "a"))
    model = network()
    load_pytorch(model, written(tensors, tmp_path))
    assert is_state(model, tensors, ("z", "a"))


def test_an_order_that_is_not_known_is_refused(tmp_path):
    tensors = state(units=3, n_inputs=3, names=("z", "a"))
    model = network(units=3, n_inputs=3)
    with pytest.raises(ValueError, match="does not keep the order of modules, and 2 of them fit layer 'dense'"):
        load_pytorch(model, written(tensors, tmp_path))
    load_pytorch(model, written(tensors, tmp_path), {"z": "dense", "a": "dense_1"})
    assert is_state(model, tensors, ("z", "a"))


def test_equal_names_win_over_the_order():
    model, tensors = network(units=3, n_inputs=3, names=("b", "a")), state(units=3, n_inputs=3, names=("a", "b"))
    load_pytorch(model, tensors)
    assert is_state(model, tensors, ("b", "a"))


def test_named_modules_alone():
    model, tensors = network(classes=3), state(classes=7)
    head = model.layers[1].kernel.copy()
    report = load_pytorch(model, tensors, {"0": "dense"})
    assert [entry.target for entry in report.carried] == ["dense.kernel", "dense.bias"]
    assert np.array_equal(model.layers[0].kernel, tensors["0.weight"].T)
    assert np.array_equal(model.layers[1].kernel, head)


def test_without_strict():
    report = load_pytorch(network(classes=3), state(classes=7), strict=False)
    assert [str(entry) for entry in report.left_out] == [
        "2.weight -> dense_1.kernel (5, 7) -> (5, 3): the shapes differ",
        "2.bias -> dense_1.bias (7,) -> (3,): the shapes differ"]


def test_a_layer_without_bias():
    model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(5, use_bias=False), fnn.layers.Dense(3)])
    tensors = state()
    with pytest.raises(ValueError, match=re.escape("0.bias (5,): the target has no such weight")):
        load_pytorch(model, tensors)
    del tensors["0.bias"]
    assert len(load_pytorch(model, tensors).carried) == 3


def test_half_precision(tmp_path):
    tensors = {name: value.astype(np.float16) for name, value in state().items()}
    model = network()
    load_pytorch(model, written(tensors, tmp_path))
    assert is_state(model, tensors)


@pytest.mark.parametrize(("source", "layers", "error", "message"), [
    (3, None, TypeError, "source must be the path of a safetensors file or a state_dict; received 3"),
    (state(), ["0"], TypeError, "layers must be a mapping from each module's name to a layer's; received"),
    (state(), {"1": "dense"}, ValueError, "no module is named '1'. Known: 0, 2"),
    (state(), {"0": "dens"}, ValueError, "no layer of the model is named 'dens'. Did you mean 'dense'?"),
    ({"0.weight": np.ones((5, 4))}, None, ValueError, "1 modules cannot be paired with 2 layers: the source has 0; "
                                                      "the model has dense, dense_1. Give layers="),
    (state(units=7), None, ValueError, "not all weights match, and strict=True; the target is unchanged"),
    ({**state(), "2.bias": np.array([0, np.inf, 0])}, None, ValueError, "2.bias of the source must be finite"),
])
def test_refused(source, layers, error, message):
    model = network()
    before = model.get_weights()
    with pytest.raises(error, match=re.escape(message)):
        load_pytorch(model, source, layers)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_no_safetensors_file(tmp_path):
    path = tmp_path / "state.safetensors"
    with pytest.raises(FileNotFoundError):
        load_pytorch(network(), path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelFormatError, match=r"state\.safetensors: "):
        load_pytorch(network(), path)


# ---- Keras' layout, written here ---------------------------------------------------------------------------


def keras_file(path, layers):
    """`layers`: path of the group to Keras' name of the layer and its arrays."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_group("vars")
        for group, (name, arrays) in layers.items():
            variables = file.create_group(f"layers/{group}/vars")
            variables.attrs["name"] = name
            for i, array in enumerate(arrays):
                variables[str(i)] = array
    return path


def keras_layers(**replaced):
    rng = np.random.default_rng(0)
    return {"dense": ("first", [rng.normal(size=(4, 5)), rng.normal(size=5)]), "dropout": ("dropout", []),
            "dense_1": ("second", [rng.normal(size=(5, 3)), rng.normal(size=3)])} | replaced


def test_classes_and_numbers_pair_layers(tmp_path):
    layers = keras_layers()
    model = network(names=("any", "name"))
    report = load_keras(model, keras_file(tmp_path / "k.weights.h5", layers))
    for ours, theirs in zip(model.get_weights(), layers["dense"][1] + layers["dense_1"][1], strict=True):
        assert np.array_equal(ours, theirs.astype(np.float32))
    assert str(report.carried[0]) == "dense.0 -> any.kernel (4, 5)"
    assert not report.left_out


def test_names_of_keras_pair_layers(tmp_path):
    layers = {f"sequential/layers/{name}": value for name, value in keras_layers().items()}
    path, model = keras_file(tmp_path / "k.weights.h5", layers), network()
    with pytest.raises(ValueError, match=r"nothing matches|not all weights match"):
        load_keras(model, path)
    report = load_keras(model, str(path), {"second": "dense_1"})
    assert [entry.target for entry in report.carried] == ["dense_1.kernel", "dense_1.bias"]
    assert np.array_equal(model.layers[1].bias, layers["sequential/layers/dense_1"][1][1].astype(np.float32))


@pytest.mark.parametrize(("layers", "options", "error", "message"), [
    ({"dense_1": ("second", [np.ones((5, 7)), np.ones(7)])}, {}, ValueError, "dense_1.0 -> dense_1.kernel (5, 7) -> "
                                                                          "(5, 3): the shapes differ"),
    ({"dense_2": ("third", [np.ones((3, 7))])}, {}, ValueError, "dense_2.0 (3, 7): the target has no"),
    ({"dense_1": ("second", [np.ones((5, 3))])}, {}, ValueError, "dense_1.bias (3,): the source has no such weight"),
    ({"dense": ("first", [np.full((4, 5), np.nan), np.ones(5)])}, {}, ValueError, "must be finite"),
    ({}, {"layers": {"third": "dense"}}, ValueError, "no layer of the file is named 'third'"),
    ({}, {"layers": {"first": "third"}}, ValueError, "no layer of the model is named 'third'"),
    ({}, {"layers": "first"}, TypeError, "layers must be a mapping from each layer of the file's name"),
])
def test_keras_refused(layers, options, error, message, tmp_path):
    path, model = keras_file(tmp_path / "k.weights.h5", keras_layers(**layers)), network()
    before = model.get_weights()
    with pytest.raises(error, match=re.escape(message)):
        load_keras(model, path, **options)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_no_keras_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "k.weights.h5"
    with pytest.raises(FileNotFoundError):
        load_keras(network(), path)
    with pytest.raises(TypeError, match="path must be a path, as a string or path-like; received 3"):
        load_keras(network(), 3)
    path.write_bytes(b"no HDF5")
    with pytest.raises(ModelFormatError, match="not an HDF5 file"):
        load_keras(network(), path)
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")
    with pytest.raises(ModelFormatError, match="it has no group 'layers'"):
        load_keras(network(), path)


def test_links_into_other_files_are_not_followed(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["0"] = np.ones((4, 5))
    path = keras_file(tmp_path / "k.weights.h5", keras_layers())
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "0")
    with pytest.raises(ModelFormatError, match="must be arrays of this file"):
        load_keras(network(), path)


def test_large_promises_of_a_small_file_are_not_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = keras_file(tmp_path / "k.weights.h5", keras_layers())
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(64, 64))
    with pytest.raises(ValueError, match="the shapes differ"):
        load_keras(network(), path)


def test_without_h5py(monkeypatch, tmp_path):
    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest: (_ for _ in ()).throw(ImportError(name))
                        if name == "h5py" else real(name, *rest))
    with pytest.raises(ImportError, match=r"pip install 'fastnn\[h5\]'"):
        load_keras(network(), tmp_path / "k.weights.h5")


def test_a_name_without_a_module_is_shown_as_it_is():
    model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(3)], seed=0)
    with pytest.raises(ValueError, match=r"\n  a \(2,\): the target has no such weight|\n  a -> "):
        load_pytorch(model, {"a": np.zeros(2)})
    report = load_pytorch(model, {"weight": np.ones((3, 4)), "bias": np.zeros(3)})
    assert [entry.source for entry in report.carried] == ["weight", "bias"]
