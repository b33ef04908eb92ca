"""Models in files: one safetensors file with weights, configuration and the optimizer's state.

Tensors are ``layers.LAYER.WEIGHT`` (``layers.CONTAINER.LAYER.WEIGHT`` for layers inside others) and, flat over all
parameters, ``optimizer.SLOT``. The record beside them holds ``version``, ``model`` (the configuration), ``training``
(what `compile` was given, and where training stands) and ``user`` (``model.metadata``). A file is data only: nothing
in it is run, unpickled, or imported by name.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastnn._safetensors import MAX_COUNT, Header, Table, brief, encode, read_header, read_tensors
from fastnn.descriptions import described_model, described_object, differences, new_model, new_training_objects
from fastnn.errors import ModelFormatError
from fastnn.files import StrPath, check_path, write_file
from fastnn.inputs import check_count, check_shape
from fastnn.layers.base import Layer
from fastnn.run import Run, Saved

if TYPE_CHECKING:
    from fastnn.model import Sequential

__all__ = ["load_model", "read_run", "save_model"]

Array = NDArray[Any]
Shape = tuple[int, ...]
Buffers = tuple[Layer, Shape, Table]  # of a layer: the shape of its input, and its tensors by names of its own

VERSION = "1"
NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # Windows has none
PARTS = ("model", "training", "user")
RUN = "run."  # tensors of a run of `fit`
SHOWN = 3  # differences that an error names
SETTINGS = ("learning_rate", "weight_decay")  # of an optimizer, which callbacks may change
# Averages of squares and magnitudes; a negative one would make the next step NaN.
NEVER_NEGATIVE = {f"optimizer.{slot}" for slot in
                  ("velocity", "accumulator", "accumulated_grad", "accumulated_delta", "v", "v_hat", "u", "r", "c")}


# ---- saving ------------------------------------------------------------------------------------------------


def save_model(model: Sequential, path: StrPath, include_optimizer: bool = True) -> None:
    """Write a model to one safetensors file.

    The file is written beside `path` under a temporary name, forced to disk and renamed: whatever happens,
    the file at `path` is the whole old one or the whole new one. A symbolic link is followed, an existing
    file's mode kept. The same model gives the same bytes. In ``on_epoch_end`` and ``on_train_batch_end`` of a
    callback it saves, with the optimizer, where `fit` stands, for ``fit(..., resume=path)``.

    Parameters
    ----------
    model : Sequential
        A built model; its ``metadata`` (a dict that JSON can hold) is saved too.
    path : str or path-like
    include_optimizer : bool, default True
        Whether to save the optimizer's slots and step, so that training can go on as if it had not stopped.

    Raises
    ------
    TypeError, ValueError
        If the model is not built, a weight is not finite, or a configuration cannot be written as JSON.
    OSError
        If the file cannot be written; what was at `path` is unharmed.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(3)], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     model.save(path)
    ...     same = fnn.load_model(path)
    >>> np.array_equal(model.predict(np.ones((1, 2))), same.predict(np.ones((1, 2))))
    True
    """
    path, named = check_path("path", path), model._named_weights()
    tensors = {f"layers.{name}": weight for name, weight in named}
    if len(tensors) != len(named):
        raise ValueError(f"two weights would have the same name among {', '.join(tensors)}; rename a layer")
    for leaf in model._leaves():
        tensors |= {f"layers.{leaf.path}.{name}": array for name, array in leaf.buffers().items()}
    if not isinstance(model.metadata, dict):
        raise TypeError(f"metadata must be a dict; received {model.metadata!r}")
    training: dict[str, Any] = {"shuffles": model._shuffles, "optimizer": None}
    if model.loss is not None:
        training |= {"optimizer": described_object(model.optimizer), "loss": described_object(model.loss),
                     "metrics": [described_object(metric) for metric in model.metrics], "state": None}
        if include_optimizer and model._state is not None:
            training["state"] = {"step": int(model._state.step), "memory": model._state.memory.tolist()}
            tensors |= _slots(model)
    tensors |= {f"masks.{leaf.path}.{name}": mask for leaf in model._leaves() for name, mask in leaf.masks.items()}
    for name, tensor in tensors.items():
        _check_values(name, tensor)
    if include_optimizer and (run := model._run_at_rest()) is not None:
        training["run"], arrays = run.get_state(model.stop_training, [layer._trainable for layer in model._family])
        tensors |= {RUN + name: array for name, array in arrays.items()}
    record = {"version": VERSION, "model": described_model(model), "training": training,
              "user": model.metadata}
    write_file(path, encode(record, tensors))


def _slots(model: Sequential) -> dict[str, Array]:
    """The optimizer's slots, each flat over all parameters."""
    assert model.optimizer is not None and model._state is not None
    return {f"optimizer.{name}": np.concatenate(_parts(model, name, block))
            for name, block in zip(model.optimizer._blocks(), model._state.blocks, strict=True)}


def _parts(model: Sequential, name: str, block: Array) -> list[Array]:
    """Views of what each parameter uses of the block `name` of the optimizer, in the order of ``get_weights``."""
    assert model.optimizer is not None
    return [block[layer._offsets[weight]:layer._offsets[weight] + model.optimizer._used_size(name, array.shape)]
            for layer in model._leaves() for weight, array in layer.weights.items()]


# ---- loading -----------------------------------------------------------------------------------------------


def load_model(path: StrPath, custom_objects: Mapping[str, type] | None = None,
               compile: bool = True) -> Sequential:
    """Read a model that :meth:`fastnn.Sequential.save` wrote.

    Training goes on as it would have in the model that was saved, to the bit.

    The file is read once, into memory. Its header is checked in full, then its configuration against its
    tensors, before anything is allocated for them; then a checksum of both.

    Parameters
    ----------
    path : str or path-like
    custom_objects : mapping of str to class, optional
        Layers, losses, metrics, optimizers and initializers of your own, by the names of their classes.
    compile : bool, default True
        Whether to compile the model as it was, and to take up the optimizer's state.

    Returns
    -------
    Sequential
        Its ``metadata`` is that of the saved model.

    Raises
    ------
    ModelFormatError
        A ValueError: the file is truncated, damaged, foreign, of an unknown version, inconsistent, or needs
        classes that `custom_objects` does not name.
    FileNotFoundError, OSError
        If the file cannot be read.
    TypeError
        If `custom_objects` is no mapping of names to classes.
    """
    custom = dict(custom_objects or {})
    for name, cls in custom.items():
        if not isinstance(name, str) or not isinstance(cls, type):
            raise TypeError(f"custom_objects must map names to classes; received {name!r}: {cls!r}")
    with _opened(path) as file:
        return _read(file, custom, compile)


@contextmanager
def _opened(path: StrPath) -> Iterator[BinaryIO]:
    """The file; what is found wrong with it becomes a ModelFormatError that names it."""
    source = check_path("path", path)
    if not stat.S_ISREG(os.stat(source).st_mode):
        raise ModelFormatError(f"{source}: not a regular file")
    try:
        # NONBLOCK: should a pipe take the file's place meanwhile, it reads as empty instead of blocking.
        with open(source, "rb", opener=lambda name, flags: os.open(name, flags | NONBLOCK)) as file:
            yield file
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ModelFormatError(f"{source}: {error}") from error


def _read(file: BinaryIO, custom: dict[str, type], compile: bool) -> Sequential:
    header = read_header(file)
    config, training, user = _checked_record(header.record)
    model = new_model(config, custom)
    input_shape = check_shape("input_shape", config.get("input_shape"))
    places, buffers = _places(model, input_shape, header.table)
    objects = new_training_objects(training, custom) if compile else None
    masks = _mask_names(header.table, places)
    shapes = {name: shape for name, (_, _, shape) in places.items()}
    slots = _slot_shapes(header.table, training, objects, list(shapes.values()))
    needed = _needed(shapes, masks, slots, model.dtype) | _buffer_table(buffers)
    tensors = _checked_tensors(file, header, needed, "run" in training)
    for layer, shape, table in buffers:
        layer.set_buffers(shape, _own(layer, table, tensors))
    for name, (layer, weight, _) in places.items():
        layer.weights[weight] = tensors[name]  # the model copies them into its own block as it is built
    for name, weight_name in masks.items():
        layer, weight, _ = places[weight_name]
        layer._masks[weight] = _as_mask(tensors[name])
    model.build(input_shape)
    model.metadata = user
    _resume(model, training, objects, [tensors[name] for name in slots])
    return model


def _mask_names(table: Mapping[str, Any], weights: Iterable[str]) -> dict[str, str]:
    """The tensors of masks and whose they are, if the file has any: it then has those of all weights."""
    masks = {f"masks.{name.removeprefix('layers.')}": name for name in weights}
    return masks if any(name in table for name in masks) else {}


def _needed(weights: Mapping[str, tuple[int, ...]], masks: Mapping[str, str], slots: Mapping[str, tuple[int, ...]],
            dtype: str) -> Table:
    """The tensors that a file must hold."""
    return ({name: (dtype, shape) for name, shape in weights.items()}
            | {name: ("bool", weights[of]) for name, of in masks.items()}
            | {name: (dtype, shape) for name, shape in slots.items()})


def _checked_tensors(file: BinaryIO, header: Header, needed: Table, with_run: bool) -> dict[str, Array]:
    """All tensors of a file, if they are those that it needs, and those of a run."""
    table = {name: entry for name, entry in header.table.items() if not (with_run and name.startswith(RUN))}
    _compare(table, needed)
    tensors = read_tensors(file, header)
    for name in table:
        _check_values(name, tensors[name])
    return tensors


def _checked_record(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Configuration, state of training, and the user's metadata."""
    if record.get("version") != VERSION:
        raise ValueError(f"format version {brief(record.get('version'))}; this fastnn reads {VERSION!r}")
    if record.keys() != {"version", *PARTS}:
        raise ValueError(f"its record has {brief(sorted(record))}; {sorted(('version', *PARTS))} are allowed")
    for part in PARTS:
        if not isinstance(record[part], dict):
            raise ValueError(f"its {part} is {brief(record[part])}; an object is allowed")
    return [record[part] for part in PARTS]


def _places(model: Sequential, shape: Shape, table: Table) -> tuple[dict[str, tuple[Layer, str, Shape]], list[Buffers]]:
    """The tensors that the configuration calls for: whose they are, and their shapes; and the buffers of layers."""
    places, buffers = {}, []
    for leaf, leaf_shape in model._walk(shape):
        def shape_of(name: str, prefix: str = f"layers.{leaf.path}.") -> Shape:
            return table[prefix + name][1] if prefix + name in table else ()

        expected, shapes = leaf.expect_buffers(leaf_shape, shape_of)
        if expected:
            buffers.append((leaf, leaf_shape, expected))
        for weight, spec in leaf.parameters(leaf_shape).items():
            places[f"layers.{leaf.path}.{weight}"] = leaf, weight, tuple(shapes.get(weight, spec.shape))
    return places, buffers


def _own(leaf: Layer, names: Iterable[str], tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors of a layer, by names of its own."""
    return {name: tensors[f"layers.{leaf.path}.{name}"] for name in names}


def _buffer_table(buffers: Sequence[Buffers]) -> Table:
    return {f"layers.{leaf.path}.{name}": entry for leaf, _, table in buffers for name, entry in table.items()}


def _slot_shapes(table: Mapping[str, Any], training: dict[str, Any], objects: Any,
                 sizes: Sequence[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The optimizer's tensors, for parameters of these shapes."""
    if objects is None:  # with compile=False they are passed over
        return {name: table[name][1] for name in table if name.startswith("optimizer.")} if training.get(
            "optimizer") else {}
    if training.get("state") is None:
        return {}
    return {f"optimizer.{name}": (sum(objects[0]._used_size(name, shape) for shape in sizes),)
            for name in objects[0]._blocks()}


def _compare(table: Mapping[str, Any], needed: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """Refuse tensors that are not those of the configuration."""
    missing, extra = sorted(needed.keys() - table.keys()), sorted(table.keys() - needed.keys())
    if missing or extra:
        what = "needs" if missing else "has no place for"
        raise ValueError(f"the configuration {what} tensor {', '.join(map(brief, (missing or extra)[:8]))}")
    for name, (dtype, shape) in needed.items():
        found_dtype, found_shape = table[name]
        if (found_dtype, found_shape) != (dtype, shape):
            raise ValueError(f"tensor {brief(name)} is {found_dtype} of shape {brief(found_shape)}; the "
                             f"configuration needs {dtype} of shape {shape}")


def _check_values(name: str, tensor: Array) -> None:
    if not np.isfinite(tensor).all():
        hint = "; without the optimizer's state it can be saved" if name.startswith("optimizer.") else ""
        raise ValueError(f"{name} contains NaN or infinity; only finite numbers are allowed{hint}")
    if name in NEVER_NEGATIVE and (tensor < 0).any():
        raise ValueError(f"{name} contains a negative number; at least 0 is allowed")


def _as_mask(tensor: Array) -> Array:
    return tensor.view(np.uint8) != 0


def _resume(model: Sequential, training: dict[str, Any], objects: Any, slots: Sequence[Array]) -> None:
    """Compile the model and put training where it stood."""
    model._shuffles = check_count("shuffles", training.get("shuffles"), 0, MAX_COUNT)
    if objects is None:
        return
    optimizer, loss, watched = objects
    model.compile(optimizer, loss, metrics=watched)
    if training.get("state") is not None:
        _set_optimizer_state(model, training["state"], slots)


def _set_optimizer_state(model: Sequential, saved: Any, slots: Sequence[Array]) -> None:
    if not isinstance(saved, dict):
        raise ValueError(f"the optimizer's state is {brief(saved)}; an object is allowed")
    step, memory = check_count("step", saved.get("step"), 0, MAX_COUNT), saved.get("memory")
    state = model._optimizer_state()
    if not isinstance(memory, list) or len(memory) != len(state.memory) \
            or not all(isinstance(value, float) and 0 <= value <= 1 for value in memory):
        raise ValueError(f"the optimizer's memory is {brief(memory)}; "
                         f"{len(state.memory)} floats in [0, 1] are allowed")
    state.step, state.memory[:] = step, memory
    assert model.optimizer is not None
    for slot, name, block in zip(slots, model.optimizer._blocks(), state.blocks, strict=True):
        start = 0
        for part in _parts(model, name, block):
            part[...] = slot[start:start + part.size]
            start += part.size


# ---- runs of fit that go on ----------------------------------------------------------------------------------


def read_run(model: Sequential, run: Run, path: StrPath) -> Saved:
    """The state of a run that was saved in a callback, checked to be of this model and a training like `run`.

    Nothing of the model changes before ``restore`` of what is returned is called with it.
    """
    with _opened(path) as file:
        header = read_header(file)
        config, training, user = _checked_record(header.record)
        model._optimizer_state()  # from now on the optimizer describes itself as it did in the file
        _compare_descriptions(model, config, training)
        if not isinstance(training.get("state"), dict):
            raise ValueError("it has no optimizer's state, without which no run can go on")
        assert model.input_shape is not None
        weights, buffers = _places(model, model.input_shape, header.table)
        masks = _mask_names(header.table, weights)
        shapes = {name: shape for name, (_, _, shape) in weights.items()}
        slots = _slot_shapes(header.table, training, (model.optimizer,), list(shapes.values()))
        needed = _needed(shapes, masks, slots, model.dtype) | _buffer_table(buffers)
        tensors = _checked_tensors(file, header, needed, True)
        for leaf, leaf_shape, table in buffers:
            leaf.check_buffers(leaf_shape, _own(leaf, table, tensors))
        arrays = {name.removeprefix(RUN): array for name, array in tensors.items() if name.startswith(RUN)}
        seed = check_count("seed", config.get("seed"), 0, MAX_COUNT)
        shuffles = check_count("shuffles", training.get("shuffles"), 0, MAX_COUNT)

        def restore(saved: Saved) -> None:
            assert model.optimizer is not None
            for setting in SETTINGS:
                value = training["optimizer"]["config"].get(setting)
                if value != _as_json(model.optimizer.get_config()[setting]):
                    setattr(model.optimizer, setting, value)
            for layer, trainable in zip(model._family, saved.trainable, strict=True):
                layer.trainable = trainable
            for leaf, leaf_shape, table in buffers:
                leaf.set_buffers(leaf_shape, _own(leaf, table, tensors))
            if model._mask is not None and not masks:
                model._release_masks()
            for mask, name in masks.items():
                leaf, weight, _ = weights[name]
                model._hold(leaf, {weight: _as_mask(tensors[mask])})
            for name, (leaf, weight, _) in weights.items():
                leaf.weights[weight][...] = tensors[name]
            _set_optimizer_state(model, training["state"], [tensors[name] for name in slots])
            model.seed, model._shuffles, model.metadata, model.stop_training = seed, shuffles, user, saved.stop

        saved = Saved.checked(training.get("run"), arrays, run, len(model._family), restore)
        _compare_trainable(model, saved, run)
        return saved


def _compare_descriptions(model: Sequential, config: dict[str, Any], training: dict[str, Any]) -> None:
    """Refuse the run of another model, or of one compiled otherwise; callbacks may have changed the rest."""
    for what, saved, here in [
        ("model", config | {"seed": model.seed}, described_model(model)),
        ("optimizer", training.get("optimizer"), described_object(model.optimizer)),
        ("loss", training.get("loss"), described_object(model.loss)),
        ("metrics", training.get("metrics"), [described_object(metric) for metric in model.metrics]),
    ]:
        path = what if isinstance(here, list) else ""
        # A layer's name stands among its arguments too.
        if found := list(dict.fromkeys(differences(_steady(saved), _steady(_as_json(here)), path))):
            raise ValueError(f"it is of another {what}: {_first(found)}. Make the same one, or remove the file to "
                             "begin anew")


def _compare_trainable(model: Sequential, saved: Saved, run: Run) -> None:
    """Refuse a program that froze other layers before `fit`; a model loaded from the file has its layers as they are
    there."""
    at_first, at_last, here_now = (_in_force(model, flags) for flags in (
        saved.trainable_at_first, saved.trainable, run.trainable_at_first))
    if here_now in (at_first, at_last):
        return
    found = [f"layer {layer.path!r} began with trainable={there} in the file, {here} here" for layer, there, here in
             zip(model._family, at_first, here_now, strict=True) if there != here]
    raise ValueError(f"{_first(found)}. Set it before fit as it was, or remove the file to begin anew")


def _in_force(model: Sequential, own: list[bool]) -> list[bool]:
    """Whether layers with these flags of their own are trained: nothing in a frozen container is. Files written before
    own flags were kept hold this, and compare equal."""
    found: dict[Any, bool] = {}
    for layer, flag in zip(model._family, own, strict=True):  # containers before what is in them
        found[layer] = flag and found.get(layer._owner, True)
    return list(found.values())


def _first(found: list[str]) -> str:
    return "; ".join(found[:SHOWN]) + (f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _steady(value: Any) -> Any:
    """A description without what may change while a model is trained."""
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items() if key not in ("trainable", *SETTINGS)}
    return [_steady(item) for item in value] if isinstance(value, list) else value


def _as_json(value: Any) -> Any:
    """`value` as it comes back from a file."""
    return json.loads(json.dumps(value, default=np.generic.item))
