"""The network of ``preset="auto"``: RealMLP-TD-S, one or several side by side.

(Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
2024.) The paper's neural tangent parametrization, ``z = W x / sqrt(n) + b`` with standard normal W and b, is here a
kernel of variance 1 / n that learns at 1 / sqrt(n) of the learning rate, which is the same under Adam. Biases, to which
the paper gives 0.1 of it, learn at that rate too: 0.06 for the n = 256 of hidden layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from numpy.typing import NDArray

from fastnn import regularizers
from fastnn.initializers import RandomNormal
from fastnn.layers import (
    Activation,
    Columns,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    Input,
    Layer,
    Reshape,
    Scale,
)
from fastnn.sklearn._network import Network

__all__ = ["Shape", "TableNetwork", "realmlp"]

Array = NDArray[Any]
AnyNetwork = TypeVar("AnyNetwork", bound=Network)

SCALE_RATE = 6.0            # times the learning rate: the front scaling layer's
EMBEDDED = 8                # numbers for a category of a column with many


class Shape(NamedTuple):
    """What the layers follow from.

    n_numbers, n_levels : columns of numbers, and behind them integers for embeddings with so many rows
    hidden : units, activation, dropout and L2 penalty of each hidden layer
    last : those of the last one
    """

    n_numbers: int
    n_levels: Sequence[int]
    hidden: Sequence[tuple[int, Any, float, float]]
    last: tuple[int, str, float]
    n_ens: int = 1


class TableNetwork(Network):
    """The networks of a `Shape` while they are trained, each for itself, their outputs side by side.
    """

    shape: Shape

    def outputs(self, x: Array, threads: int) -> Array:
        """The mean over the networks, (n, n_outputs)."""
        return super().outputs(x, threads).reshape(len(x), self.shape.n_ens, -1).mean(axis=1)

    def joined(self) -> Network:
        """For prediction: one network whose outputs these are."""
        network = realmlp(self.shape, self.seed, self.dtype, Network)
        network._flat[...] = self._flat
        network.reference = self.reference
        return network


def realmlp(shape: Shape, seed: int, dtype: str, kind: type[AnyNetwork]) -> AnyNetwork:
    """A built network; where it is no `TableNetwork`, its output is the mean over the networks side by side."""
    n_inputs = shape.n_numbers + len(shape.n_levels)
    units, last, n_ens = shape.hidden[-1][0] if shape.hidden else n_inputs, shape.last[1], shape.n_ens
    layers: list[Layer | Input] = [Input((n_inputs,))]
    if n_ens == 1:
        layers += [*_hidden(shape), _last(shape, units, last)]
    else:
        ends = [[Columns(range(i * units, (i + 1) * units)), _last(shape, units, "linear")] for i in range(n_ens)]
        layers += [Concatenate([_hidden(shape) for _ in range(n_ens)]), Concatenate(ends),
                   Reshape((n_ens, shape.last[0])), Activation(last)]
        layers += [] if issubclass(kind, TableNetwork) else [GlobalAveragePooling1D()]
    network = kind(layers, seed=seed, dtype=dtype, name="table")
    network.build((n_inputs,))
    for leaf in network._leaves():
        if isinstance(leaf, Embedding):
            leaf.embeddings[0] = 0.0        # what was not seen says nothing
    if isinstance(network, TableNetwork):
        network.shape = shape
    return network


def _hidden(shape: Shape) -> list[Layer]:
    """All layers of a network but the last one."""
    layers, n = _front(shape), shape.n_numbers + EMBEDDED * len(shape.n_levels)
    for units, activation, rate, penalty in shape.hidden:
        dense = Dense(units, activation, kernel_initializer=RandomNormal(stddev=n**-0.5),
                      bias_initializer=RandomNormal(stddev=1.0), kernel_regularizer=_l2(penalty))
        dense.learning_rate_multiplier = n**-0.5
        layers += [dense, Dropout(rate)] if rate else [dense]
        n = units
    return layers


def _front(shape: Shape) -> list[Layer]:
    """Embeddings, and the layer that learns what to listen to."""
    scale = Scale()
    scale.learning_rate_multiplier = SCALE_RATE
    if not shape.n_levels:
        return [scale]
    branches: list[Any] = [Columns(slice(0, shape.n_numbers))] if shape.n_numbers else []
    for j, n_levels in enumerate(shape.n_levels):
        branches.append([Columns(shape.n_numbers + j), Embedding(n_levels, EMBEDDED, RandomNormal(stddev=1.0)),
                         Flatten()])
    return [Concatenate(branches), scale]


def _last(shape: Shape, n: int, activation: str) -> Layer:
    """Zeros at first. One output for two classes stands for the difference of two, which moves twice as fast."""
    units, last, penalty = shape.last
    dense = Dense(units, activation, kernel_initializer="zeros", kernel_regularizer=_l2(penalty))
    dense.learning_rate_multiplier = (2.0 if last == "sigmoid" else 1.0) * n**-0.5
    return dense


def _l2(penalty: float) -> regularizers.L2 | None:
    return regularizers.L2(penalty) if penalty else None
