"""Shrinking: dead neurons are removed from a model, and its predictions stay what they were."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.layers import Activation, Dense, Flatten, Input
from fastnn.layers.base import Layer
from fastnn.layers.registry import LAYERS
from fastnn.model import Sequential
from fastnn.weights.prune import _built

__all__ = ["shrink"]

Array = NDArray[Any]

# Layers each of whose outputs is computed, when the model predicts, from the one input of the same place. Their weights
# have one number for each.
ONE_TO_ONE = {"Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dropout",
              "GaussianDropout", "GaussianNoise", "PReLU", "Rescaling", "SReLU", "Scale"}


@dataclass
class _Stage:
    """A layer of the model, with the weights and masks that are left of it."""

    layer: Layer
    weights: dict[str, Array]
    masks: dict[str, Array]
    shared: bool  # another layer uses its kernel, or it that of another one

    @classmethod
    def of(cls, layer: Layer, owners: Sequence[Layer]) -> _Stage:
        shared = layer in owners or getattr(layer, "tied_to", None) is not None
        return cls(layer, dict(layer.weights), layer.masks, shared)

    def keep(self, kept: Array, axis: int = -1, only: str = "") -> None:
        """Leave some columns (or rows) of the weights, or of one of them."""
        for arrays in (self.weights, self.masks):
            for name in arrays:
                if (not only or name == only) and arrays[name].shape[axis] == len(kept):  # not a slope for all
                    arrays[name] = np.compress(kept, arrays[name], axis=axis)

    def settle(self, layer: Layer) -> Layer:
        """Give what is left to `layer`, a copy of this one. A model that takes it builds it anew."""
        if _is_plain(self):
            vars(layer).update(units=self.weights["kernel"].shape[1], use_bias="bias" in self.weights)
        layer.weights, layer._masks = dict(self.weights), dict(self.masks)
        return layer


def _is_plain(stage: _Stage) -> bool:
    """A Dense whose kernel is its own."""
    return type(stage.layer) is Dense and not stage.shared


def _is_one_to_one(layer: Layer) -> bool:
    if isinstance(layer, Activation):
        return not layer.activation.rowwise
    if isinstance(layer, Flatten):
        return len(layer.input_shape) == 1
    return type(layer).__name__ in ONE_TO_ONE and type(layer) is LAYERS.get(type(layer).__name__)


def _outputs(stages: list[_Stage], n_inputs: int, dtype: str) -> Array:
    """What the stages give for an input of zeros: where no weight leads into a neuron, what they always give."""
    layers = [stage.settle(copy.deepcopy(stage.layer)) for stage in stages]
    part = Sequential([Input((n_inputs,)), *layers], dtype=dtype, seed=0)
    result: Array = part.predict(np.zeros((1, n_inputs), dtype))[0]
    return result


def _shrink_pair(stages: list[_Stage], first: int, last: int, dtype: str) -> bool:
    """Remove the dead neurons of a Dense before the next one; whether there were any."""
    before, behind = stages[first], stages[last]
    incoming, outgoing = before.weights["kernel"], behind.weights["kernel"]
    unused, constant = np.asarray(~outgoing.any(axis=1)), np.asarray(~incoming.any(axis=0))
    dead = unused | constant
    if dead.all():
        dead[0] = False  # a layer has one neuron at least
    if not dead.any():
        return False
    folded = dead & ~unused
    if folded.any():
        values = _outputs(stages[first:last], len(incoming), dtype)
        shift = values[folded].astype(np.float64) @ outgoing[folded].astype(np.float64)
        old = behind.weights.get("bias", np.zeros(outgoing.shape[1]))
        behind.weights["bias"] = (old + shift).astype(dtype)
        if "bias" in behind.masks:
            behind.masks["bias"] = behind.masks["bias"] | (shift != 0)
        elif behind.masks:
            behind.masks["bias"] = np.ones(outgoing.shape[1], np.bool_)
    for stage in stages[first:last]:
        stage.keep(~dead)
    behind.keep(~dead, axis=0, only="kernel")
    return True


def _pairs(stages: list[_Stage]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Each Dense with the next one, where only layers stand between them that work one to one; and each other Dense
    with the layer that is in the way, maybe itself."""
    pairs, blocked = [], []
    for first, stage in enumerate(stages[:-1]):
        if not isinstance(stage.layer, Dense):
            continue
        if not _is_plain(stage) or stage.layer.activation.rowwise:
            blocked.append((first, first))
            continue
        for last in range(first + 1, len(stages)):
            if _is_plain(stages[last]):
                pairs.append((first, last))
            elif _is_one_to_one(stages[last].layer):
                continue
            else:
                blocked.append((first, last))
            break
    return pairs, blocked


def _check_blocked(stages: list[_Stage], blocked: list[tuple[int, int]]) -> None:
    for first, last in blocked:
        dead = int((~stages[first].weights["kernel"].any(axis=0)).sum()) if "kernel" in stages[first].weights else 0
        if dead:
            layer, obstacle = stages[first].layer, stages[last].layer
            why = f"{type(obstacle).__name__} {obstacle.name!r} behind it takes all of them together"
            if first == last:
                why = "its kernel is shared" if stages[first].shared else "its own softmax takes all of them together"
            elif stages[last].shared:
                why = f"the kernel of {obstacle.name!r} behind it is shared"
            raise ValueError(f"layer {layer.name!r} has {dead} dead neurons that cannot be removed, since {why}. With "
                             "strict=False they stay")


def shrink(model: Sequential, strict: bool = True) -> Sequential:
    """A smaller model with equal predictions: dead neurons of its Dense layers are removed.

    A neuron is dead if all weights that lead out of it are zero, and then it is dropped; or if all that lead into it
    are, and then its constant output is added to the biases of the next layer (which gets some if it had none). Layers
    between two Dense that work on each number alone (activations, BatchNormalization, PReLU, dropout and noise) become
    narrower with them. Inputs and outputs of the model stay, and so does one neuron of every layer.

    Predictions are equal up to rounding. The new model has the masks of the old one, and is compiled as that was, with
    an optimizer that starts afresh; the old one is unchanged.

    Parameters
    ----------
    model : Sequential
        Built.
    strict : bool, default True
        Whether to refuse a model with dead neurons in front of a layer that takes all of them together (softmax,
        LayerNormalization, a container, a shared kernel ...); otherwise these stay.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        If it is not a built model, or as `strict` says.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((8,)), fnn.layers.Dense(16, "relu"), fnn.layers.Dense(2)], seed=0)
    >>> report = fnn.weights.prune(model, 0.75, "structured")
    >>> small = fnn.weights.shrink(model)
    >>> small.layers[0].units, model.count_params(), small.count_params()
    (4, 178, 46)
    >>> x = np.random.default_rng(0).normal(size=(5, 8))
    >>> np.allclose(small.predict(x), model.predict(x), atol=1e-6)
    True
    """
    model = _built(model)
    if not isinstance(strict, (bool, np.bool_)):
        raise TypeError(f"strict must be True or False; received {strict!r}")
    small = copy.deepcopy(model)  # with all that layers have beside weights, such as positions
    owners = [leaf._tie for leaf in small._leaves() if isinstance(leaf, Dense) and leaf._tie is not None]
    stages = [_Stage.of(layer, owners) for layer in small.layers]
    pairs, blocked = _pairs(stages)
    if strict:
        _check_blocked(stages, blocked)
    while sum(_shrink_pair(stages, first, last, model.dtype) for first, last in pairs):
        pass  # what is removed in one layer may leave neurons of its neighbours dead
    small._set_layers([stage.settle(stage.layer) for stage in stages])
    if model.loss is not None:
        optimizer = model.optimizer
        assert optimizer is not None
        small.compile(type(optimizer)(**optimizer._arguments()), model.loss, metrics=model._metric_identifiers)
    return small
