"""Layers by name, for configurations that are read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.layers.activation import Activation
from fastnn.layers.base import Layer
from fastnn.layers.dense import Dense
from fastnn.layers.dropout import Dropout
from fastnn.layers.flatten import Flatten
from fastnn.layers.rescaling import Rescaling

__all__ = ["get"]

LAYERS: dict[str, type[Layer]] = {cls.__name__: cls for cls in (Activation, Dense, Dropout, Flatten, Rescaling)}


def get(class_name: str, config: dict[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Layer:
    """The layer of class `class_name` with the configuration `config`.

    Parameters
    ----------
    class_name : str
    config : dict
        What the layer's ``get_config`` returned.
    custom_objects : mapping of str to class, optional
        Layers of the user's own by the names of their classes.

    Raises
    ------
    ValueError
        If the class is unknown.
    """
    known = LAYERS | dict(custom_objects or {})
    if class_name not in known:
        raise ValueError(f"unknown layer class {class_name!r}; known: {', '.join(sorted(known))}. "
                         "Name classes of your own in custom_objects")
    return known[class_name].from_config(config)
