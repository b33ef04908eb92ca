"""Models in files: one safetensors file with weights, configuration and the optimizer's state.

The header's metadata holds ``format``, ``version``, ``model`` (the configuration), ``training`` (what `compile`
was given, and where training stands), ``user`` (``model.metadata``) and ``sha256``; all but the first two and
the last are JSON. A file is data only: nothing in it is run, unpickled, or imported by name.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import inspect
import json
import math
import os
import re
import secrets
import stat
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn import losses, metrics, optimizers
from fastnn.errors import ModelFormatError
from fastnn.initializers import Initializer
from fastnn.inputs import check_count, check_shape
from fastnn.layers import registry
from fastnn.layers.base import Layer

if TYPE_CHECKING:
    from fastnn.model import Sequential

__all__ = ["load_model", "save_model"]

Array = NDArray[Any]
StrPath = str | os.PathLike[str]

FORMAT, VERSION = "fastnn", "1"
METADATA = {"format", "version", "model", "training", "user", "sha256"}
DTYPES = {"float32": "F32", "float64": "F64"}
ITEMSIZE = {"F32": 4, "F64": 8}
# A header of 2 MiB describes 2,400 dense layers or names 100,000 features; parsed it takes 45 MB at worst.
MAX_HEADER = 2 << 20
MAX_LAYERS = 10_000
MAX_RANK = 32
MAX_COUNT = 2**63 - 1
NO_CHECKSUM = "0" * 64
# Averages of squares and magnitudes; a negative one would make the next step NaN.
NEVER_NEGATIVE = {"velocity", "accumulator", "accumulated_grad", "accumulated_delta", "v", "v_hat", "u"}


# ---- saving -------------------------------------------------------------------------------------------------


def save_model(model: Sequential, path: StrPath, include_optimizer: bool = True) -> None:
    """Write a model to one safetensors file.

    The file is written beside `path` under a temporary name, forced to disk and renamed: whatever happens, the
    file at `path` is the whole old one or the whole new one. A symbolic link is followed, an existing file's
    mode kept. In a callback it saves the state between two epochs.

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
    tensors = {f"layers.{name}": weight for name, weight in model._named_weights()}
    if len(tensors) != len(model._named_weights()):
        raise ValueError(f"two weights of the model have the same name: {', '.join(tensors)}; rename a layer")
    training: dict[str, Any] = {"shuffles": model._shuffles, "optimizer": None}
    if model.loss is not None:
        training |= {"optimizer": _described(model.optimizer), "loss": _described(model.loss),
                     "metrics": [_described(metric) for metric in model.metrics], "state": None}
        if include_optimizer and model._state is not None:
            training["state"] = {"step": int(model._state.step), "memory": model._state.memory.tolist()}
            assert model.optimizer is not None
            for slot, block in zip(model.optimizer.slots, model._state.slots, strict=True):
                tensors[f"optimizer.{slot}"] = np.concatenate([part.ravel() for part in _parts(model, block)])
    for name, tensor in tensors.items():
        _check_values(name, tensor)
    texts = {"model": model.get_config(), "training": training, "user": model.metadata}
    metadata = {"format": FORMAT, "version": VERSION} | {key: _to_json(value) for key, value in texts.items()}
    write_file(path, _encode(tensors, metadata, model.dtype))


def _described(thing: Any) -> dict[str, Any]:
    return {"class_name": type(thing).__name__, "config": thing.get_config()}


def _parts(model: Sequential, block: Array) -> list[Array]:
    """Views of the parameters' places in a flat block of the engine, in the order of ``get_weights``."""
    return [block[layer._offsets[name]:layer._offsets[name] + weight.size].reshape(weight.shape)
            for layer in model.layers for name, weight in layer.weights.items()]


def _to_json(value: Any) -> str:
    def plain(thing: Any) -> Any:
        if isinstance(thing, np.generic):
            return thing.item()
        raise TypeError(f"a configuration must be made of what JSON can hold; received {thing!r}")

    return json.dumps(value, allow_nan=False, ensure_ascii=False, default=plain)


def _encode(tensors: Mapping[str, Array], metadata: dict[str, str], dtype: str) -> list[Any]:
    """The file in pieces."""
    header: dict[str, Any] = {"__metadata__": metadata | {"sha256": NO_CHECKSUM}}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": DTYPES[dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that tensors begin at multiples of 8
    if len(text) > MAX_HEADER:
        raise ValueError(f"the model's configuration and metadata take {len(text)} bytes; {MAX_HEADER} are allowed")
    little = np.dtype(dtype).newbyteorder("<")
    pieces = [struct.pack("<Q", len(text)), text,
              *(memoryview(np.ascontiguousarray(tensor, little)).cast("B") for tensor in tensors.values())]
    pieces[1] = text.replace(NO_CHECKSUM.encode(), _checksum(pieces).encode(), 1)
    return pieces


def _checksum(pieces: Iterable[Any]) -> str:
    """SHA-256 of the whole file, written as if its checksum were 64 zeros."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def write_file(path: StrPath, pieces: Iterable[Any]) -> None:
    """Replace or create the file at `path` in one step, durably."""
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    mode = _mode(target)
    _remove_strays(folder, name)
    temporary = os.path.join(folder, _temporary_name(name, secrets.token_hex(8)))
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with open(descriptor, "wb") as file:
            with suppress(OSError):  # file systems without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if mode is not None:
                os.fchmod(descriptor, mode)
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(descriptor)
            os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    folder_descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder_descriptor)
    finally:
        os.close(folder_descriptor)


def _mode(target: str) -> int | None:
    """Permissions of an existing file; a rename must not put a file in the place of anything else."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(found):
        raise OSError(errno.EINVAL, "not a regular file", target)
    return stat.S_IMODE(found)


def _temporary_name(name: str, token: str) -> str:
    return f".{name[:60]}.{token}.fastnn-tmp"


def _remove_strays(folder: str, name: str) -> None:
    """Remove what killed processes left behind; a file still being written is locked by its writer."""
    pattern = re.compile(re.escape(_temporary_name(name, "@")).replace("@", "[0-9a-f]{16}"))
    for entry in os.listdir(folder):
        if pattern.fullmatch(entry):
            stray = os.path.join(folder, entry)
            with suppress(OSError), open(stray, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(stray)


# ---- loading ------------------------------------------------------------------------------------------------


def load_model(path: StrPath, custom_objects: Mapping[str, type] | None = None, compile: bool = True) -> Sequential:
    """Read a model that :meth:`fastnn.Sequential.save` wrote.

    Training goes on as it would have in the model that was saved, to the bit.

    The file is read once, into memory. Its header is checked in full, then its configuration against its
    tensors, before anything is allocated for them; then a checksum of the whole file.

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
    source = os.fspath(path)
    if not stat.S_ISREG(os.stat(source).st_mode):
        raise ModelFormatError(f"{source}: not a regular file")
    try:
        # O_NONBLOCK: should a pipe take the file's place meanwhile, it reads as empty instead of blocking.
        with open(source, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            return _read(file, custom, compile)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ModelFormatError(f"{source}: {error}") from error


def _read(file: Any, custom: dict[str, type], compile: bool) -> Sequential:
    size = os.fstat(file.fileno()).st_size
    head = _read_header(file, size)
    header = _from_json(head[8:].decode("utf-8"), "header")
    metadata = _checked_metadata(header.pop("__metadata__", None))
    table = _checked_table(header, size - len(head))
    config, training, user = (_from_json(metadata[key], key) for key in ("model", "training", "user"))
    layers, dtype = _layers(config, custom), _text(config, "dtype")
    if dtype not in DTYPES:
        raise ValueError(f"the model's dtype is {_brief(dtype)}; 'float32' and 'float64' are allowed")
    input_shape = check_shape("input_shape", config.get("input_shape"))
    expected = _expected_weights(layers, input_shape)
    objects = _training_objects(training, custom) if compile else None
    slots = _expected_slots(table, training, objects, sum(map(math.prod, expected.values())))
    _compare(table, expected | slots, DTYPES[dtype])
    tensors = _read_tensors(file, head, metadata["sha256"], table, {*expected, *slots}, dtype)
    model = _new_model(config, layers)
    for layer in layers:
        layer.weights = {name: tensors[f"layers.{layer.name}.{name}"] for name in _parameter_names(layer, expected)}
    model.build(input_shape)
    model.metadata = user
    _resume(model, training, objects, {name: tensors[name] for name in slots})
    return model


def _read_header(file: Any, size: int) -> bytes:
    """The first 8 bytes and the header that they give the length of."""
    start = file.read(8)
    if len(start) < 8:
        raise ValueError(f"not a safetensors file, or a truncated one: {size} bytes; at least 8 are needed")
    (length,) = struct.unpack("<Q", start)
    if length > MAX_HEADER:
        raise ValueError(f"not a model file: its header is said to be {length} bytes long; {MAX_HEADER} are allowed")
    if length > size - 8:
        raise ValueError(f"truncated: the header is said to be {length} bytes long; {size - 8} bytes follow")
    head = start + file.read(length)
    if len(head) != 8 + length or head[8:9] != b"{":
        raise ValueError("not a safetensors file: its header does not begin with '{'")
    return head


def _from_json(text: str, what: str) -> dict[str, Any]:
    """The object that `text` holds: no name twice in an object, no NaN, no half characters."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            names = [name for name, _ in items]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"name {_brief(twice)} occurs twice; once is allowed")
        return found

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not allowed")

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {what} is not allowed JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"its {what} is a JSON {type(value).__name__}; an object is allowed")
    return value


def _checked_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"a safetensors file without the metadata \"format\": \"{FORMAT}\", so not a model of fastnn")
    if metadata.get("version") != VERSION:
        raise ValueError(f"format version {_brief(metadata.get('version'))}; this fastnn reads version {VERSION!r}")
    if metadata.keys() != METADATA:
        raise ValueError(f"metadata {_brief(sorted(metadata))}; {sorted(METADATA)} are allowed")
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise ValueError(f"metadata {name!r} is {_brief(value)}; a string is allowed")
    return metadata


def _checked_table(header: dict[str, Any], data_size: int) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """dtype, shape and first byte of each tensor; together they cover the data exactly, in any order."""
    table, spans = {}, []
    for name, entry in header.items():
        what = f"tensor {_brief(name)}"
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"{what} is described by {_brief(entry)}; dtype, shape and data_offsets are allowed")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in ITEMSIZE:
            raise ValueError(f"{what} has dtype {_brief(dtype)}; {', '.join(ITEMSIZE)} are allowed")
        if not _are_counts(shape) or len(shape) > MAX_RANK:
            raise ValueError(f"{what} has shape {_brief(shape)}; at most {MAX_RANK} integers >= 0 are allowed")
        if not _are_counts(offsets) or len(offsets) != 2:
            raise ValueError(f"{what} has data_offsets {_brief(offsets)}; two integers >= 0 are allowed")
        needed = math.prod(shape) * ITEMSIZE[dtype]
        if offsets[1] - offsets[0] != needed:
            raise ValueError(f"{what}: shape {_brief(shape)} of {dtype} takes {_brief(needed)} bytes; "
                             f"its data_offsets are {offsets}")
        table[name] = dtype, tuple(shape), offsets[0]
        spans.append((*offsets, name))
    end = 0
    for start, stop, name in sorted(spans):
        if start != end:
            raise ValueError(f"tensor {_brief(name)} begins at byte {start} of the data; {end} is allowed, "
                             "where the one before it ends")
        end = stop
    if end != data_size:
        raise ValueError(f"truncated or overlong: its tensors take {end} bytes; the file holds {data_size}")
    return table


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= MAX_COUNT for item in value)


def _layers(config: dict[str, Any], custom: dict[str, type]) -> list[Layer]:
    entries = config.get("layers")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_LAYERS:
        raise ValueError(f"the model's layers are {_brief(entries)}; a list of 1 to {MAX_LAYERS} is allowed")
    initializers = {cls.name: cls for cls in custom.values() if issubclass(cls, Initializer)}
    layers = []
    for entry in entries:
        class_name, arguments = _class_and_config(entry)
        _text(arguments, "name")
        for argument, value in arguments.items():
            if isinstance(value, dict) and value.get("name") in initializers:
                arguments[argument] = _construct(initializers[value["name"]], value)
        layers.append(registry.get(class_name, arguments, custom))
    if len({layer.name for layer in layers}) != len(layers):
        raise ValueError("two layers have the same name")
    return layers


def _class_and_config(entry: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(entry, dict) or entry.keys() != {"class_name", "config"} \
            or not isinstance(entry["class_name"], str) or not isinstance(entry["config"], dict):
        raise ValueError(f"an object is described by {_brief(entry)}; class_name and config are allowed")
    return entry["class_name"], entry["config"]


def _text(config: dict[str, Any], key: str) -> str:
    value = config.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is {_brief(value)}; a string that is not empty is allowed")
    return value


def _expected_weights(layers: Sequence[Layer], shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that the configuration calls for."""
    expected = {}
    for layer in layers:
        for name, (size, _) in layer.parameters(shape).items():
            expected[f"layers.{layer.name}.{name}"] = tuple(size)
        shape = tuple(layer.compute_output_shape(shape))
    return expected


def _parameter_names(layer: Layer, expected: Mapping[str, Any]) -> list[str]:
    prefix = f"layers.{layer.name}."
    return [name.removeprefix(prefix) for name in expected if name.startswith(prefix)]


def _training_objects(training: dict[str, Any], custom: dict[str, type]) -> tuple[Any, Any, list[Any]] | None:
    """Optimizer, loss and metrics; None for a model that was not compiled."""
    if training.get("optimizer") is None:
        return None
    watched = training.get("metrics")
    if not isinstance(watched, list):
        raise ValueError(f"the metrics are {_brief(watched)}; a list is allowed")
    return (_object(training["optimizer"], optimizers.Optimizer, optimizers._CLASSES, custom),
            _object(training.get("loss"), losses.Loss, losses._CLASSES, custom),
            [_object(entry, metrics.Metric, metrics._CLASSES, custom) for entry in watched])


def _object(entry: Any, base: type, classes: Sequence[type], custom: dict[str, type]) -> Any:
    class_name, config = _class_and_config(entry)
    known = {cls.__name__: cls for cls in classes} | custom
    cls = known.get(class_name)
    if cls is None or not issubclass(cls, base):
        raise ValueError(f"unknown {base.__name__.lower()} class {_brief(class_name)}; known: {', '.join(known)}. "
                         "Name classes of your own in custom_objects, or load with compile=False")
    return _construct(cls, config)


def _construct(cls: type, config: dict[str, Any]) -> Any:
    """An object from its ``get_config``, which may name what is no argument."""
    accepted = inspect.signature(cls).parameters
    return cls(**{key: value for key, value in config.items()
                  if key in accepted or key not in ("name", "class_name")})


def _expected_slots(table: Mapping[str, Any], training: dict[str, Any], objects: Any,
                    n_params: int) -> dict[str, tuple[int, ...]]:
    if objects is None:  # compile=False, or not compiled: slots are left where they are
        names = [name for name in table if name.startswith("optimizer.")] if training.get("optimizer") else []
    else:
        names = [f"optimizer.{slot}" for slot in objects[0].slots] if training.get("state") is not None else []
    return dict.fromkeys(names, (n_params,))


def _compare(table: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]], dtype: str) -> None:
    for problem, names in (("lacks", expected.keys() - table.keys()), ("has no place for", table.keys() - expected.keys())):
        if names:
            which = "the file lacks" if problem == "lacks" else "the configuration has no place for"
            raise ValueError(f"{which} tensor {', '.join(map(_brief, sorted(names)[:8]))}")
    for name, shape in expected.items():
        if table[name][:2] != (dtype, shape):
            found = table[name]
            raise ValueError(f"tensor {_brief(name)} is {found[0]} of shape {found[1]}; the configuration needs "
                             f"{dtype} of shape {shape}")


def _read_tensors(file: Any, head: bytes, checksum: str, table: Mapping[str, Any], names: Iterable[str],
                  dtype: str) -> dict[str, Array]:
    size = os.fstat(file.fileno()).st_size - len(head)
    data = np.empty(size, np.uint8)
    if file.readinto(data) != size or file.read(1):
        raise ValueError("the file changed while it was read")
    blank = head.replace(checksum.encode(), NO_CHECKSUM.encode())
    if len(checksum) != 64 or head.count(checksum.encode()) != 1 or _checksum([blank, data]) != checksum:
        raise ValueError("damaged: its content does not have the checksum that it was written with")
    little = np.dtype(dtype).newbyteorder("<")
    tensors = {}
    for name in names:
        _, shape, start = table[name]
        tensors[name] = np.frombuffer(data, little, math.prod(shape), start).reshape(shape)
        _check_values(name, tensors[name])
    return tensors


def _check_values(name: str, tensor: Array) -> None:
    if not np.isfinite(tensor).all():
        hint = "; without the optimizer's state it can be saved" if name.startswith("optimizer.") else ""
        raise ValueError(f"{name} contains NaN or infinity; only finite numbers are allowed{hint}")
    if name.startswith("optimizer.") and name.removeprefix("optimizer.") in NEVER_NEGATIVE and (tensor < 0).any():
        raise ValueError(f"{name} contains a negative number; at least 0 is allowed")


def _new_model(config: dict[str, Any], layers: list[Layer]) -> Sequential:
    from fastnn.model import Sequential

    return Sequential(layers, seed=check_count("seed", config.get("seed"), 0, MAX_COUNT), dtype=config["dtype"],
                      name=_text(config, "name"))


def _resume(model: Sequential, training: dict[str, Any], objects: Any, slots: Mapping[str, Array]) -> None:
    """Compile the model and put training where it stood."""
    model._shuffles = check_count("shuffles", training.get("shuffles"), 0, MAX_COUNT)
    if objects is None:
        return
    optimizer, loss, watched = objects
    model.compile(optimizer, loss, watched)
    saved = training.get("state")
    if saved is None:
        return
    if not isinstance(saved, dict):
        raise ValueError(f"the optimizer's state is {_brief(saved)}; an object is allowed")
    step, memory = check_count("step", saved.get("step"), 0, MAX_COUNT), saved.get("memory")
    state = model._optimizer_state()
    if not isinstance(memory, list) or len(memory) != len(state.memory) \
            or not all(isinstance(value, float) and 0 <= value <= 1 for value in memory):
        raise ValueError(f"the optimizer's memory is {_brief(memory)}; {len(state.memory)} floats in [0, 1] are allowed")
    state.step, state.memory[:] = step, memory
    for slot, block in zip(slots.values(), state.slots, strict=True):
        start = 0
        for part in _parts(model, block):
            part[...] = slot[start:start + part.size].reshape(part.shape)
            start += part.size


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
