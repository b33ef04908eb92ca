"""Models as names and arguments, the way files hold them, and back.

A class is looked up among fastnn's own and those that the caller names; nothing is imported by its name.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence, Set
from typing import TYPE_CHECKING, Any

from fastnn import losses, metrics, optimizers
from fastnn._safetensors import MAX_COUNT, brief
from fastnn.constraints import Constraint
from fastnn.initializers import Initializer
from fastnn.inputs import check_count
from fastnn.layers import registry
from fastnn.layers.base import Layer, described_layer
from fastnn.regularizers import Regularizer
from fastnn.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from fastnn.model import Sequential

__all__ = ["described_model", "described_object", "differences", "new_model", "new_training_objects"]

MAX_LAYERS = 10_000
OF_WEIGHTS = Initializer, Regularizer, Constraint
LAYER_KEYS = frozenset({"name", "trainable"})


def described_model(model: Sequential) -> dict[str, Any]:
    """``get_config`` of a model, with each layer's name and whether it is trained."""
    return model.get_config() | {"layers": [described_layer(layer) for layer in model.layers]}


def described_object(thing: Any) -> dict[str, Any]:
    return {"class_name": type(thing).__name__, "config": thing.get_config()}


def differences(saved: Any, here: Any, path: str = "") -> Iterator[str]:
    """What differs between two descriptions, with its path: ``"layers[0].units is 5 in the file, 6 here"``."""
    if isinstance(saved, dict) and isinstance(here, dict):
        same_class = saved.get("class_name") == here.get("class_name")
        for key in sorted(saved.keys() | here.keys()) if same_class else ["class_name"]:
            # The arguments of an object are named as if they were its own, as in Python.
            inner = path if key == "config" else f"{path}.{_shown_key(key)}".lstrip(".")
            if key in saved and key in here:
                yield from differences(saved[key], here[key], inner)
            else:
                there, value = ("in the file", saved[key]) if key in saved else ("here", here[key])
                yield f"{inner or key} is {brief(value)} {there} only"
    elif isinstance(saved, list) and isinstance(here, list):
        if len(saved) != len(here):
            yield f"{path or 'it'} has {len(saved)} entries in the file, {len(here)} here"
        for i, (one, other) in enumerate(zip(saved, here, strict=False)):
            yield from differences(one, other, f"{path}[{i}]")
    elif saved != here:
        yield f"{path or 'it'} is {brief(saved)} in the file, {brief(here)} here"


def _shown_key(key: str) -> str:
    return key if key.isidentifier() and len(key) <= 40 else brief(key)


def new_model(config: dict[str, Any], custom: dict[str, type]) -> Sequential:
    """The model without weights: nothing of its size is allocated."""
    from fastnn.model import Sequential

    entries = config.get("layers")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_LAYERS:
        raise ValueError(f"the model's layers are {brief(entries)}; a list of 1 to {MAX_LAYERS} is allowed")
    seed = check_count("seed", config.get("seed"), 0, MAX_COUNT)
    return Sequential([_layer(entry, custom) for entry in entries], seed=seed, dtype=_text(config, "dtype"),
                      name=_text(config, "name"))


def _layer(entry: Any, custom: dict[str, type]) -> Layer:
    class_name, config = _class_and_config(entry, LAYER_KEYS)
    classes = {name: cls for name, cls in custom.items() if issubclass(cls, Layer)}
    layer = registry.get(class_name, {key: _argument(value, custom) for key, value in config.items()}, classes)
    if not isinstance(entry["trainable"], bool):
        raise ValueError(f"trainable is {brief(entry['trainable'])}; true and false are allowed")
    layer.name, layer.trainable = _text(entry, "name"), entry["trainable"]
    return layer


def _argument(value: Any, custom: dict[str, type]) -> Any:
    """An argument with the layers and the user's initializers, regularizers and constraints described in it."""
    if isinstance(value, list):
        return [_argument(item, custom) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"class_name", "config"} | LAYER_KEYS:
        return _layer(value, custom)
    own = [cls for cls in custom.values() if issubclass(cls, OF_WEIGHTS) and cls.name == value.get("name")]
    return _construct(own[-1], value) if own else value


def _class_and_config(entry: Any, more: Set[str] = frozenset()) -> tuple[str, dict[str, Any]]:
    keys = {"class_name", "config"} | more
    if not isinstance(entry, dict) or entry.keys() != keys or not isinstance(entry["config"], dict):
        raise ValueError(f"an object is described by {brief(entry)}; {sorted(keys)} are allowed")
    return _text(entry, "class_name"), entry["config"]


def _text(config: dict[str, Any], key: str) -> str:
    value = config.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is {brief(value)}; a string that is not empty is allowed")
    return value


def new_training_objects(training: dict[str, Any],
                         custom: dict[str, type]) -> tuple[Any, Any, list[Any]] | None:
    """Optimizer, loss and metrics; None for a model that was not compiled."""
    if training.get("optimizer") is None:
        return None
    watched = training.get("metrics")
    if not isinstance(watched, list):
        raise ValueError(f"the metrics are {brief(watched)}; a list is allowed")
    schedules = {cls.name: cls for cls in custom.values() if issubclass(cls, LearningRateSchedule)}
    if schedules:
        training = training | {"optimizer": _with_objects(training["optimizer"], schedules)}
    return (_object(training["optimizer"], optimizers.Optimizer, optimizers._CLASSES, custom),
            _object(training.get("loss"), losses.Loss, losses._CLASSES, custom),
            [_object(entry, metrics.Metric, metrics._CLASSES, custom) for entry in watched])


def _with_objects(config: Any, classes: dict[str, type]) -> Any:
    """A configuration in which those of `classes`, however deep inside, have become objects."""
    if isinstance(config, list):
        return [_with_objects(value, classes) for value in config]
    if not isinstance(config, dict):
        return config
    config = {key: _with_objects(value, classes) for key, value in config.items()}
    cls = classes.get(str(config.get("name")))
    return config if cls is None else _construct(cls, config)


def _object(entry: Any, base: type, classes: Sequence[type], custom: dict[str, type]) -> Any:
    class_name, config = _class_and_config(entry)
    known = {cls.__name__: cls for cls in classes} | custom
    cls = known.get(class_name)
    if cls is None or not issubclass(cls, base):
        names = ", ".join(known)
        raise ValueError(f"unknown {base.__name__.lower()} class {brief(class_name)}; known: {names}. "
                         "Name classes of your own in custom_objects, or load with compile=False")
    return _construct(cls, config)


def _construct(cls: type, config: dict[str, Any]) -> Any:
    """An object from its ``get_config``, which may name what is no argument."""
    accepted = inspect.signature(cls).parameters
    return cls(**{key: value for key, value in config.items()
                  if key in accepted or key not in ("name", "class_name")})
