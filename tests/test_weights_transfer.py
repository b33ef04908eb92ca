"""Weights carried over between models."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn.weights import transfer


def network(classes=3, units=6, seed=0, names=("hidden", "head"), dtype="float32"):
    return fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(units, activation="relu", name=names[0]),
                           fnn.layers.Dropout(0.5),
                           fnn.layers.Dense(classes, activation="softmax", name=names[1])], seed=seed, dtype=dtype)


def entries(found):
    return [(entry.source, entry.target) for entry in found]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


def test_everything():
    old, new = network(seed=0), network(seed=1)
    report = transfer(old, new)
    assert same(old, new)
    assert entries(report.carried) == [(name, name) for name in
                                       ("hidden.kernel", "hidden.bias", "head.kernel", "head.bias")]
    assert not report.left_out
    assert report.n_params == old.count_params()


def test_from_a_file_and_from_arrays(tmp_path):
    old, path = network(seed=0), tmp_path / "old.safetensors"
    old.save(path)
    for source in (path, str(path), dict(old._named_weights())):
        new = network(seed=1)
        transfer(source, new)
        assert same(old, new)


def test_the_weights_are_copies():
    old, new = network(seed=0), network(seed=1)
    transfer(old, new)
    old.layers[0].kernel[...] = 0
    assert new.layers[0].kernel.any()


def test_without_strict_what_fits_is_carried():
    old, new = network(classes=5, seed=0), network(classes=3, seed=1)
    head = new.layers[2].kernel.copy()
    report = transfer(old, new, strict=False)
    assert np.array_equal(new.layers[0].kernel, old.layers[0].kernel)
    assert np.array_equal(new.layers[2].kernel, head)
    assert [(e.source, e.source_shape, e.target_shape, e.reason) for e in report.left_out] == [
        ("head.kernel", (6, 5), (6, 3), "the shapes differ"), ("head.bias", (5,), (3,), "the shapes differ")]
    assert "head.kernel (6, 5) -> (6, 3): the shapes differ" in repr(report)


def test_named_layers():
    old, new = network(classes=5, seed=0), network(classes=3, seed=1)
    report = transfer(old, new, ["hidden"])
    assert len(report.carried) == 2 and not report.left_out
    assert np.array_equal(new.layers[0].kernel, old.layers[0].kernel)


def test_paired_names():
    old, new = network(seed=0), network(seed=1, names=("first", "second"))
    report = transfer(old, new, {"hidden": "first", "head": "second"})
    assert same(old, new)
    assert entries(report.carried)[0] == ("hidden.kernel", "first.kernel")
    assert "hidden.kernel -> first.kernel (4, 6)" in repr(report)


def test_weights_without_counterpart_are_reported_in_both_directions():
    old, new = network(seed=0, names=("hidden", "old")), network(seed=1, names=("hidden", "new"))
    report = transfer(old, new, strict=False)
    assert [(e.source, e.target, e.reason) for e in report.left_out] == [
        ("old.kernel", None, "the target has no such weight"), ("old.bias", None, "the target has no such weight"),
        (None, "new.kernel", "the source has no such weight"), (None, "new.bias", "the source has no such weight")]


def test_pruned_weights_stay_at_zero():
    old, new = network(seed=0), network(seed=1)
    fnn.weights.prune(new, 0.5)
    masks = new.layers[0].masks["kernel"].copy()
    transfer(old, new)
    assert not new.layers[0].kernel[~masks].any()
    assert np.array_equal(new.layers[0].kernel[masks], old.layers[0].kernel[masks])


def test_between_dtypes():
    old, new = network(dtype="float64"), network(seed=1)
    transfer(old, new)
    assert np.array_equal(new.layers[0].kernel, old.layers[0].kernel.astype(np.float32))


def test_in_a_callback():
    old, new = network(seed=0), network(seed=1)
    new.compile("sgd", "sparse_categorical_crossentropy")

    class Carry(fnn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            transfer(old, self.model)

    new.fit(np.ones((4, 4)), np.zeros(4), epochs=1, verbose=0, callbacks=[Carry()])
    assert same(old, new)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"layers": ["hiden"]}, ValueError, r"no layer of the (source|target) with weights is named 'hiden'\. "
                                        r"Did you mean 'hidden'\? Known: hidden, head"),
    ({"layers": {"hidden": "dropout"}}, ValueError, "no layer of the target with weights is named 'dropout'"),
    ({"layers": {"hidden": "hidden", "head": "hidden"}}, ValueError, "two layers of the source have one target"),
    ({"layers": []}, ValueError, "layers must name at least one layer"),
    ({"layers": "hidden"}, TypeError, "layers must be a list or a mapping of names"),
    ({"layers": [1]}, TypeError, "layers must hold names of layers; received 1"),
    ({"strict": "yes"}, TypeError, "strict must be True or False; received 'yes'"),
    ({"layers": ["head"]}, ValueError, r"nothing matches; the target is unchanged. Left out:\n"
                                       r"  head.kernel \(6, 5\) -> \(6, 3\): the shapes differ"),
    ({}, ValueError, "not all weights match, and strict=True; the target is unchanged"),
])
def test_refused(options, error, message):
    old, new = network(classes=5, seed=0), network(classes=3, seed=1)
    before = new.get_weights()
    with pytest.raises(error, match=message):
        transfer(old, new, **options)
    assert all(np.array_equal(a, b) for a, b in zip(before, new.get_weights(), strict=True))


def test_nothing_in_common():
    with pytest.raises(ValueError, match="nothing matches"):
        transfer(network(names=("a", "b")), network(names=("c", "d")), strict=False)


def test_nothing_changes_where_one_value_is_not_finite():
    old, new = network(seed=0), network(seed=1)
    before = new.get_weights()
    old.layers[2].kernel[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"head\.kernel of the source must be finite"):
        transfer(old, new)
    assert all(np.array_equal(a, b) for a, b in zip(before, new.get_weights(), strict=True))


@pytest.mark.parametrize(("source", "error", "message"), [
    (3, TypeError, "source must be a fastnn.Sequential, the path of a model's file, or a mapping"),
    ({"kernel": np.ones(3)}, ValueError, "names such as 'dense.kernel'; received 'kernel'"),
    (fnn.Sequential([fnn.layers.Dense(2)]), ValueError, "no weights before it is built"),
])
def test_no_source(source, error, message):
    with pytest.raises(error, match=message):
        transfer(source, network())


def test_no_target():
    with pytest.raises(TypeError, match=r"target must be a fastnn\.Sequential; received 'a'"):
        transfer(network(), "a")
    with pytest.raises(ValueError, match="no weights before it is built"):
        transfer(network(), fnn.Sequential([fnn.layers.Dense(2)]))
