"""Weights of other libraries' files: PyTorch's state_dict in safetensors, Keras 3's .weights.h5."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import ModelFormatError
from fastnn.files import check_path
from fastnn.layers import Flatten
from fastnn.layers.base import snake_case
from fastnn.model import Sequential
from fastnn.weights.transfer import TransferReport, checked_copy, checked_name, named_weights

__all__ = ["load_keras", "load_pytorch"]

Array = NDArray[Any]
Modules = dict[str, dict[str, Any]]  # the arrays of each module or layer, by name

# PyTorch's name of a parameter, and what Keras calls it: the first that a layer has.
PYTORCH = {"weight": ("kernel", "gamma", "embeddings", "alpha", "scale"), "bias": ("bias", "beta"),
           "running_mean": ("moving_mean",), "running_var": ("moving_variance",)}
COUNTER = "num_batches_tracked"  # of a batch normalization; nothing here needs it
# (out, in), (out, in, width), (out, in, height, width) to (..., in, out)
KERNEL_AXES = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0)}
SPATIAL = ("Conv", "MaxPooling", "AveragePooling")


# ---- PyTorch -----------------------------------------------------------------------------------------------


def load_pytorch(model: Sequential, source: str | os.PathLike[str] | Mapping[str, ArrayLike],
                 layers: Mapping[str, str] | None = None, strict: bool = True) -> TransferReport:
    """Copy the weights of a PyTorch model into a built model of the same structure.

    Kernels are transposed from PyTorch's (out, in, ...) to (..., in, out); what belongs to the pixels of an image
    that convolutions made and `Flatten` flattened is reordered, since PyTorch puts channels first. ``weight``,
    ``bias``, ``running_mean`` and ``running_var`` become what the layer calls them: ``kernel``, ``gamma``,
    ``embeddings``, ``moving_mean`` ...; ``num_batches_tracked`` is passed over.

    Modules are paired with the layers that have weights, in this order of preference: as `layers` says; by
    name, if all names agree; by order. The order is that of a ``state_dict``. A safetensors file does not keep
    it: there, names that differ in numbers only (``0``, ``2``, ``10``; ``fc1``, ``fc2``) give the order, else
    shapes that fit in one way only, else it is an error that asks for `layers`.

    Parameters
    ----------
    model : Sequential
        A built model. Numbers that are no weights are its own: PyTorch's batch normalization has
        ``epsilon=1e-5`` and ``momentum=0.9`` in Keras' words.
    source : path, or mapping of str to array
        A safetensors file, or ``module.state_dict()`` (tensors on the CPU, arrays).
    layers : mapping of str to str, optional
        Names of modules (``"encoder.0"``) to names of layers; others are left alone.
    strict : bool, default True
        Whether each weight of the paired modules and layers must find a counterpart of its shape.

    Returns
    -------
    TransferReport

    Raises
    ------
    ValueError
        If modules and layers cannot be paired, nothing matches, a value is not finite, or, with `strict`,
        something does not fit. The model is unchanged.
    ModelFormatError
        A ValueError: the file is no safetensors file.
    TypeError
        If an argument is of another type.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(2, activation="relu"), fnn.layers.Dense(1)])
    >>> state = {"0.weight": np.ones((2, 3)), "0.bias": np.zeros(2), "2.weight": np.ones((1, 2)),
    ...          "2.bias": np.zeros(1)}
    >>> fnn.weights.load_pytorch(model, state)
    carried over: 4 weights, 11 numbers
      0.weight -> dense.kernel (3, 2)
      0.bias -> dense.bias (2,)
      2.weight -> dense_1.kernel (2, 1)
      2.bias -> dense_1.bias (1,)
    left out: 0 weights
    """
    own = named_weights(model, "model")
    tensors: dict[str, Any]
    if isinstance(source, (str, os.PathLike)):
        tensors, ordered = _safetensors(source), False
    elif isinstance(source, Mapping):
        tensors, ordered = dict(source), True
    else:
        raise TypeError(f"source must be the path of a safetensors file or a state_dict; received {source!r}")
    modules = _grouped({name: np.asarray(tensor) for name, tensor in tensors.items()
                        if name.rpartition(".")[2] != COUNTER})
    places = _grouped(own)
    paired = _named_pairs(layers, modules, places, "module") or _by_name_or_order(modules, places, ordered)
    images = _flattened_images(model)
    given, pairs = {}, {}
    for module, layer in paired.items():
        for parameter, tensor in modules[module].items():
            known = PYTORCH.get(parameter, ())
            name = next((name for name in known if name in places[layer]), parameter)
            source_name = f"{module}.{parameter}" if module else parameter
            given[source_name] = _rearranged(name, tensor, images.get(layer))
            pairs[source_name] = f"{layer}.{name}"
    wanted = [f"{layer}.{name}" for layer in paired.values() for name in places[layer]]
    return checked_copy(model, given, own, pairs, wanted, strict)


def _safetensors(path: str | os.PathLike[str]) -> dict[str, Array]:
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, TypeError, KeyError) as error:  # dtypes that NumPy has not
        raise ModelFormatError(f"{os.fspath(path)}: {error}") from error


def _grouped(arrays: Mapping[str, Any]) -> Modules:
    modules: Modules = {}
    for name, array in arrays.items():
        if not isinstance(name, str):
            raise TypeError(f"weights must have strings as names; received {name!r}")
        module, _, parameter = name.rpartition(".")
        modules.setdefault(module, {})[parameter] = array
    return modules


def _named_pairs(layers: Any, modules: Modules, places: Modules, what: str) -> dict[str, str] | None:
    if layers is None:
        return None
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers must be a mapping from each {what}'s name to a layer's; received {layers!r}")
    return {checked_name(module, modules, what): checked_name(layer, places, "layer of the model")
            for module, layer in layers.items()}


def _by_name_or_order(modules: Modules, places: Modules, ordered: bool) -> dict[str, str]:
    if modules.keys() == places.keys():
        return {name: name for name in modules}
    listing = f"the source has {', '.join(modules) or 'none'}; the model has {', '.join(places)}"
    if len(modules) != len(places):
        raise ValueError(f"{len(modules)} modules cannot be paired with {len(places)} layers: {listing}. Give "
                         "layers={module: layer}")
    if ordered:
        return dict(zip(modules, places, strict=True))
    if len({re.sub(r"\d+", "0", name) for name in modules}) == 1:
        by_number = sorted(modules, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
        return dict(zip(by_number, places, strict=True))
    pairs = {}
    for layer, weights in places.items():
        fitting = [name for name, tensors in modules.items() if _sizes(tensors) == _sizes(weights)]
        if len(fitting) != 1:
            raise ValueError(f"the file does not keep the order of modules, and {len(fitting)} of them fit layer "
                             f"{layer!r}: {listing}. Give layers={{module: layer}}")
        pairs[fitting[0]] = layer
    return pairs


def _sizes(arrays: Mapping[str, Array]) -> list[tuple[int, ...]]:
    """Shapes whichever way kernels are transposed."""
    return sorted(tuple(array.shape[axis] for axis in KERNEL_AXES[array.ndim]) if name == "weight" and
                  array.ndim in KERNEL_AXES else array.shape for name, array in arrays.items())


def _rearranged(name: str, array: Array, image: tuple[int, ...] | None) -> Array:
    """A weight as the layer has it: kernels with their outputs last, and what belongs to the pixels of a flattened
    `image` (..., channels) with its channels last."""
    if name == "kernel" and array.ndim in KERNEL_AXES:
        array = array.transpose(KERNEL_AXES[array.ndim])
    if image is None or array.ndim > 2 or array.shape[0] != math.prod(image):
        return array
    *field, channels = image
    by_channel = array.reshape(channels, *field, *array.shape[1:])
    return np.moveaxis(by_channel, 0, len(field)).reshape(array.shape)


def _flattened_images(model: Sequential) -> dict[str, tuple[int, ...]]:
    """Shape of the image (..., channels) whose pixels are the inputs of a layer, where convolutions made it."""
    images, spatial, image = {}, False, None
    for layer in model.layers:
        spatial = spatial or type(layer).__name__.startswith(SPATIAL)
        if isinstance(layer, Flatten) and spatial and len(layer.input_shape) > 1:
            image = layer.input_shape
        if layer.weights and image is not None:
            images[layer.name] = image
        if "kernel" in layer.weights:
            image = None
    return images


# ---- Keras -------------------------------------------------------------------------------------------------


def load_keras(model: Sequential, path: str | os.PathLike[str], layers: Mapping[str, str] | None = None,
               strict: bool = True) -> TransferReport:
    """Copy the weights of a Keras 3 model, saved by its ``save_weights``, into a built model.

    Needs h5py: ``pip install 'fastnn[h5]'``. Keras files number the layers of each class apart (``dense``,
    ``dense_1``, ``batch_normalization``), whatever they are called: the k-th `Dense` here takes the weights of
    the k-th ``Dense`` there.

    Parameters
    ----------
    model : Sequential
        A built model.
    path : str or path-like
        A ``.weights.h5`` file.
    layers : mapping of str to str, optional
        Keras' names of layers (``layer.name``) to the names of layers here; others are left alone. Reaches
        layers inside nested models too.
    strict : bool, default True
        Whether each weight of the paired layers must find a counterpart of its shape.

    Returns
    -------
    TransferReport

    Raises
    ------
    ValueError
        If nothing matches, a name is unknown, a value is not finite, or, with `strict`, something does not fit.
        The model is unchanged.
    ModelFormatError
        A ValueError: the file is none of Keras 3's weights.
    ImportError
        If h5py is not installed.
    TypeError
        If an argument is of another type.
    """
    own = named_weights(model, "model")
    path = check_path("path", path)
    places = _grouped(own)
    with _hdf5(path) as file:
        found = dict(_layers_of(file, "layers"))
        if layers is None:
            names, wanted_layers = _by_class(model, found), list(places)
        else:
            by_name = {str(group.attrs.get("name", inner)): inner for inner, group in found.items()}
            named = _named_pairs(layers, {name: {} for name in by_name}, places, "layer of the file")
            names = {by_name[theirs]: ours for theirs, ours in (named or {}).items()}
            wanted_layers = list(names.values())
        given, pairs = {}, {}
        for inner, group in found.items():
            if inner in names or layers is None:
                parameters = list(places.get(names.get(inner, ""), {}))
                for position, dataset in enumerate(_datasets(group)):
                    given[f"{inner}.{position}"] = dataset
                    parameter = parameters[position] if position < len(parameters) else str(position)
                    pairs[f"{inner}.{position}"] = f"{names.get(inner, inner)}.{parameter}"
        wanted = [f"{layer}.{name}" for layer in wanted_layers for name in places[layer]]
        return checked_copy(model, given, own, pairs, wanted, strict)


@contextmanager
def _hdf5(path: str | os.PathLike[str]) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise ImportError("load_keras reads HDF5 through h5py, which is not installed: pip install 'fastnn[h5]'"
                          ) from error
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ModelFormatError(f"{os.fspath(path)}: not an HDF5 file: {error}") from error
    with file:
        if not isinstance(_inside(file, "layers"), h5py.Group):
            raise ModelFormatError(f"{os.fspath(path)}: not a file of Keras 3's save_weights: it has no group 'layers'")
        yield file


def _inside(group: Any, name: str) -> Any:
    """A member of a group, none of what lies in another file: reading a file must not read a second one."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        return None
    member = group[name]
    if isinstance(member, h5py.Dataset) and (member.external or member.is_virtual):
        return None
    return member


def _layers_of(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The variables of all layers under ``path``, by their path below the first ``layers/``."""
    import h5py

    for name in _inside(group, path) or ():
        layer = _inside(group[path], name)
        if not isinstance(layer, h5py.Group):
            continue
        if isinstance(variables := _inside(layer, "vars"), h5py.Group):
            yield name, variables
        for inner, group_inside in _layers_of(layer, "layers"):
            yield f"{name}/{inner}", group_inside


def _datasets(variables: Any) -> list[Any]:
    """The arrays of a layer in the order of its weights; they are read when their shapes have been compared."""
    import h5py

    found = [_inside(variables, str(i)) for i in range(len(variables))]
    if not all(isinstance(item, h5py.Dataset) for item in found):
        raise ModelFormatError(f"{variables.name}: variables must be arrays of this file named 0, 1, ...; "
                               f"received {', '.join(variables)}")
    return found


def _by_class(model: Sequential, found: Mapping[str, Any]) -> dict[str, str]:
    """Keras' names of the groups, class and number, to the names of the model's layers."""
    names: dict[str, str] = {}
    for layer in model.layers:
        stem = snake_case(type(layer).__name__)
        k = sum(re.fullmatch(rf"{stem}(_\d+)?", name) is not None for name in names)
        names[f"{stem}_{k}" if k else stem] = layer.name
    return names
