"""Shrinking: dead neurons are removed from a model, and its predictions stay what they were."""

from __future__ import annotations

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
              "GaussianDropout", "GaussianNoise", "PReLU", "Rescaling", "SReLU"}


@dataclass
class _Stage:
    """A layer of the model, with the weights and masks that are left of it."""

    layer: Layer
    weights: dict[str, Array]
    masks: dict[str, Array]
    shared: bool  # another layer uses its kernel, or it that of another one

    @classmethod
    def of(cls, layer: Layer, owners: Sequence[Layer]) -> _Stage:
        return cls(layer, {name: weight.copy() for name, weight in layer.weights.items()},
                   {name: mask.copy() for name, mask in layer.masks.items()},
                   layer in owners or getattr(layer, "tied_to", None) is not None)

    def keep(self, kept: Array, axis: int = -1, only: str = "") -> None:
        """Leave some columns (or rows) of the weights, or of one of them."""
        for arrays in (self.weights, self.masks):
            for name in arrays:
                if (not only or name == only) and arrays[name].shape[axis] == len(kept):  # not a slope for all
                    arrays[name] = np.compress(kept, arrays[name], axis=axis)

    def rebuilt(self) -> Layer:
        """A new layer of the size that is left."""
        config = self.layer.get_config()
        if "kernel" in self.weights and isinstance(self.layer, Dense):
            config |= {"units": self.weights["kernel"].shape[1], "use_bias": "bias" in self.weights}
        new = type(self.layer).from_config(config)
        new.name, new.trainable = self.layer.name, self.layer._trainable
        return new


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
    part = _assembled(stages, (n_inputs,), dtype, 0)
    result: Array = part.predict(np.zeros((1, n_inputs), dtype))[0]
    return result


def _assembled(stages: list[_Stage], input_shape: tuple[int, ...], dtype: str, seed: int, name: str | None = None
               ) -> Sequential:
    model = Sequential([Input(input_shape), *(stage.rebuilt() for stage in stages)], dtype=dtype, seed=seed, name=name)
    for stage, layer in zip(stages, model.layers, strict=True):
        for key, weight in stage.weights.items():
            layer.set_parameter(key, weight)
        for old, new in zip(_inner(stage.layer), _inner(layer), strict=True):
            for key, weight in old.weights.items():
                new.set_parameter(key, weight)
    return model


def _inner(layer: Layer) -> list[Layer]:
    """What a container is made of, all the way down."""
    return list(layer.family())[1:]


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
            behind.masks["bias"] |= shift != 0
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
    assert model.input_shape is not None
    owners = [leaf._tie for leaf in model._leaves() if isinstance(leaf, Dense) and leaf._tie is not None]
    stages = [_Stage.of(layer, owners) for layer in model.layers]
    pairs, blocked = _pairs(stages)
    if strict:
        _check_blocked(stages, blocked)
    while sum(_shrink_pair(stages, first, last, model.dtype) for first, last in pairs):
        pass  # what is removed in one layer may leave neurons of its neighbours dead
    return _finished(model, stages)


def _finished(model: Sequential, stages: list[_Stage]) -> Sequential:
    small = _assembled(stages, model.input_shape or (), model.dtype, model.seed, model.name)
    for stage, layer in zip(stages, small.layers, strict=True):
        for inner, masks in ((layer, stage.masks), *((new, old.masks) for old, new in
                                                    zip(_inner(stage.layer), _inner(layer), strict=True))):
            if masks:
                small._hold(inner, masks)
    small.metadata = dict(model.metadata)
    if model.loss is not None:
        optimizer = model.optimizer
        assert optimizer is not None
        small.compile(type(optimizer)(**optimizer._arguments()), model.loss, metrics=model._metric_identifiers)
    return small
