"""Carrying weights over from one model to another, by the names of layers, checked before anything changes."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.layers.base import checked_weight
from fastnn.layers.sparse_dense import SparseDense
from fastnn.model import Sequential
from fastnn.saving import load_model
from fastnn.sparse import Pattern

__all__ = ["Entry", "TransferReport", "checked_copy", "checked_name", "named_weights", "transfer"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Entry:
    """A weight that a transfer looked at.

    Attributes
    ----------
    source, target : str or None
        Its name there, ``layer.weight``; None where it has no counterpart.
    source_shape, target_shape : tuple of int or None
    reason : str
        Why it was left out; empty if it was carried over.
    """

    source: str | None
    target: str | None
    source_shape: tuple[int, ...] | None
    target_shape: tuple[int, ...] | None
    reason: str = ""

    def __str__(self) -> str:
        names = " -> ".join(dict.fromkeys(name for name in (self.source, self.target) if name is not None))
        shapes = " -> ".join(dict.fromkeys(str(s) for s in (self.source_shape, self.target_shape) if s is not None))
        return f"{names} {shapes}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, repr=False)
class TransferReport:
    """What a transfer carried over and what it left out.

    Attributes
    ----------
    carried, left_out : tuple of Entry
        Each with ``source``, ``target``, ``source_shape``, ``target_shape`` and ``reason``.
    """

    carried: tuple[Entry, ...]
    left_out: tuple[Entry, ...]

    @property
    def n_params(self) -> int:
        """Numbers that were carried over."""
        return sum(math.prod(entry.target_shape or ()) for entry in self.carried)

    def __repr__(self) -> str:
        return "\n".join([
            f"carried over: {len(self.carried)} weights, {self.n_params:,} numbers",
            *(f"  {entry}" for entry in self.carried),
            f"left out: {len(self.left_out)} weights",
            *(f"  {entry}" for entry in self.left_out)])


def transfer(source: Sequential | str | os.PathLike[str] | Mapping[str, ArrayLike], target: Sequential,
             layers: Sequence[str] | Mapping[str, str] | None = None, strict: bool = True) -> TransferReport:
    """Copy weights into a model, between layers of the same name, or of names that you pair.

    Everything is checked first: on an error `target` is unchanged. The optimizer of `target` keeps its state;
    compile it again to start afresh. Weights that pruning holds at zero in `target` stay there.

    Parameters
    ----------
    source : Sequential, path, or mapping of str to array
        A built model, a file that `Sequential.save` wrote, or arrays by the names ``layer.weight``
        (``"dense.kernel"``).
    target : Sequential
        A built model.
    layers : list of str, or mapping of str to str, optional
        Names of the layers to carry over; a mapping goes from names in `source` to names in `target`. The
        name of a layer that holds others stands for all of them. Default: all.
    strict : bool, default True
        Whether each weight of these layers must find a counterpart of its shape, in both directions. False
        leaves out what does not fit, and the report says why.

    Returns
    -------
    TransferReport

    Raises
    ------
    ValueError
        If nothing matches, a name in `layers` is unknown, a value is not finite, or, with `strict`, a weight
        has no counterpart or another shape.
    TypeError
        If an argument is of another type.

    Examples
    --------
    >>> import fastnn as fnn
    >>> def network(classes):
    ...     return fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(8, activation="relu", name="hidden"),
    ...                            fnn.layers.Dense(classes, activation="softmax", name="head")])
    >>> old, new = network(5), network(3)
    >>> fnn.weights.transfer(old, new, strict=False)
    carried over: 2 weights, 40 numbers
      hidden.kernel (4, 8)
      hidden.bias (8,)
    left out: 2 weights
      head.kernel (8, 5) -> (8, 3): the shapes differ
      head.bias (5,) -> (3,): the shapes differ
    """
    if not isinstance(strict, (bool, np.bool_)):
        raise TypeError(f"strict must be True or False; received {strict!r}")
    own = named_weights(target, "target")
    if isinstance(source, (str, os.PathLike)):
        source = load_model(source, compile=False)
    given = _arrays(source)
    pairs = _paired_names(layers, given, own)
    apart = _apart(pairs, _patterns(source), _patterns(target))
    return checked_copy(target, given, own, pairs, _selected(layers, own), bool(strict), apart)


def named_weights(model: Any, what: str) -> dict[str, Array]:
    """The weights of a built model by the names ``layer.weight``."""
    if not isinstance(model, Sequential):
        raise TypeError(f"{what} must be a fastnn.Sequential; received {model!r}")
    return dict(model._named_weights())


def checked_copy(model: Sequential, given: Mapping[str, Any], own: Mapping[str, Array],
                 pairs: Mapping[str, str], wanted: Iterable[str], strict: bool,
                 apart: Collection[str] = ()) -> TransferReport:
    """Copy ``given[source]`` to ``own[target]`` for the `pairs` of their names, and report.

    `wanted` are the weights of the model that should find a source; `apart` sources whose entries stand elsewhere than
    those of their target.
    """
    carried, left_out, values = [], [], []
    for source, name in pairs.items():
        shape = np.shape(given[source])
        if name not in own:
            left_out.append(Entry(source, None, shape, None, "the target has no such weight"))
        elif shape != own[name].shape:
            left_out.append(Entry(source, name, shape, own[name].shape, "the shapes differ"))
        elif source in apart:
            left_out.append(Entry(source, name, shape, shape, "the positions of their entries differ"))
        else:
            carried.append(Entry(source, name, shape, shape))
            values.append((own[name], checked_weight(given[source], own[name], f"{source} of the source")))
    taken = set(pairs.values())
    left_out += [Entry(None, name, None, own[name].shape, "the source has no such weight")
                 for name in wanted if name not in taken]
    if not carried or (strict and left_out):
        what = "nothing matches" if not carried else "not all weights match, and strict=True"
        entries = "\n".join(f"  {entry}" for entry in left_out)
        raise ValueError(f"{what}; the target is unchanged. Left out:\n{entries}")
    with model._exclusively("a transfer of weights", from_callback=True):
        for weight, value in values:
            weight[...] = value
        model._apply_mask()
    return TransferReport(tuple(carried), tuple(left_out))


def _patterns(model: Any) -> dict[str, Pattern]:
    """Those of a model's sparse kernels, by name."""
    leaves = model._leaves() if isinstance(model, Sequential) else ()
    return {f"{leaf.path}.kernel": leaf.pattern for leaf in leaves if isinstance(leaf, SparseDense)}


def _apart(pairs: Mapping[str, str], given: Mapping[str, Pattern], own: Mapping[str, Pattern]) -> set[str]:
    """Sparse kernels whose entries stand elsewhere than those of their target."""
    return {source for source, name in pairs.items() if source in given and name in own
            and not given[source].equals(own[name])}


def _arrays(source: Any) -> dict[str, Any]:
    if isinstance(source, Sequential):
        return named_weights(source, "source")
    if not isinstance(source, Mapping):
        raise TypeError("source must be a fastnn.Sequential, the path of a model's file, or a mapping of names to "
                        f"arrays; received {source!r}")
    for name in source:
        if not isinstance(name, str) or "." not in name:
            raise ValueError(f"a source's weights must have names such as 'dense.kernel'; received {name!r}")
    return dict(source)


def _checked_layers(layers: Any) -> dict[str, str] | None:
    """Names in the source to names in the target."""
    if layers is None:
        return None
    if isinstance(layers, (str, bytes)) or not isinstance(layers, (Sequence, Mapping)):
        raise TypeError(f"layers must be a list or a mapping of names of layers, or None; received {layers!r}")
    pairs = dict(layers) if isinstance(layers, Mapping) else {name: name for name in layers}
    for name in (*pairs, *pairs.values()):
        if not isinstance(name, str):
            raise TypeError(f"layers must hold names of layers; received {name!r}")
    if not pairs:
        raise ValueError(f"layers must name at least one layer, or be None for all; received {layers!r}")
    if len(set(pairs.values())) != len(pairs):
        raise ValueError(f"two layers of the source have one target in {layers!r}")
    return pairs


def _paired_names(layers: Any, given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, str]:
    pairs = _checked_layers(layers)
    if pairs is None:
        return {name: name for name in given}
    found: dict[str, str] = {}
    for source, target in pairs.items():
        _inside(target, own, "target")
        found |= {name: target + name[len(source):] for name in _inside(source, given, "source")}
    return found


def _selected(layers: Any, own: Mapping[str, Any]) -> list[str]:
    """Names of the target's weights that should find a source."""
    pairs = _checked_layers(layers)
    if pairs is None:
        return list(own)
    return [name for target in pairs.values() for name in _inside(target, own, "target")]


def _inside(layer: str, names: Iterable[str], what: str) -> list[str]:
    """The names of a layer's weights."""
    inside = [name for name in names if name.startswith(f"{layer}.")]
    if not inside:
        layers = dict.fromkeys(name.rpartition(".")[0] for name in names)
        checked_name(layer, layers, f"layer of the {what} with weights")
    return inside


def checked_name(name: str, known: Iterable[str], what: str) -> str:
    """`name`, which must be among those known."""
    known = list(known)
    if name not in known:
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no {what} is named {name!r}.{hint} Known: {', '.join(known) or 'none'}")
    return name
