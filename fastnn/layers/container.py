"""Container: what layers that are made of layers share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from fastnn._kernels.program import Program
from fastnn.layers.base import Layer, unique_name
from fastnn.layers.weighted import WeightedLayer

__all__ = ["Container", "ends"]

Array = NDArray[Any]
Shape = tuple[int, ...]
Chain = tuple[Layer, ...]
Found = list[tuple[str, Array, int]]


class Container(Layer):
    """Base of layers that apply several chains of layers to one input and combine their outputs.

    The layers inside have names that are unique in the container, and ``path`` names them in files and errors. With
    ``trainable=False`` a container freezes all of them; their own flags count again once it is True again.

    Parameters
    ----------
    chains : sequence of sequences of Layer
        An empty one passes its input on.
    name : str, optional
    trainable : bool, default True
    """

    def __init__(self, chains: Sequence[Sequence[Layer]], *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self._chains = tuple(tuple(chain) for chain in chains)
        self._adopt()

    def _adopt(self) -> None:
        """Own the layers and name those that have no name."""
        for layer in self.sublayers:
            if not isinstance(layer, Layer):
                raise TypeError(f"{type(self).__name__} takes layers; received {layer!r}")
            if layer._owner is not None:
                raise ValueError(f"layer {layer.path!r} belongs to a model or another layer already; make a new one "
                                 "for this place")
        times = Counter(id(layer) for layer in self.sublayers)
        if times and max(times.values()) > 1:
            raise ValueError(f"a layer stands twice in {type(self).__name__}; make a new one for each place")
        names = [layer.name for layer in self.sublayers if layer.name]
        for name, count in Counter(names).items():
            if count > 1:
                raise ValueError(f"two layers are named {name!r}; names must be unique in {type(self).__name__}")
        for layer in self.sublayers:
            if not layer.name:
                layer.name = unique_name(layer.default_name(), names)
                names.append(layer.name)
            layer._owner = self

    @property
    def sublayers(self) -> tuple[Layer, ...]:
        return tuple(layer for chain in self._chains for layer in chain)

    def combined_shape(self, input_shape: Shape, shapes: Sequence[Shape]) -> Shape:
        """Shape of an output sample, for those of the chains; refuses what cannot be combined."""
        raise NotImplementedError

    def combine(self, program: Program, buffers: Sequence[int], shapes: Sequence[Shape]) -> int:
        """Add the op that combines the outputs of the chains, and return its buffer."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.combined_shape(tuple(input_shape), [_end(chain, input_shape) for chain in self._chains])

    def walk(self, input_shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        for chain in self._chains:
            shape = tuple(input_shape)
            for layer in chain:
                yield from layer.walk(shape)
                shape = tuple(layer.compute_output_shape(shape))

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        for chain in self._chains:
            shape = self.input_shape
            for layer in chain:
                layer.build(shape)
                shape = layer.output_shape

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        buffers = []
        for i, chain in enumerate(self._chains):
            # A gradient is written to `source` by its last reader, which goes back first; the others add theirs.
            last = i + 1 == len(self._chains)
            buffer = source if last or not training else program.fork(source)
            for layer in chain:
                buffer = layer.lower(program, buffer, training, False)
            buffers.append(buffer)
        return self.combine(program, buffers, [_end(chain, self.input_shape) for chain in self._chains])

    def traced(self, input_shape: Shape, columns: Array | None, found: Found) -> list[Array | None]:
        """What `trace` finds for each chain."""
        ends = []
        for chain in self._chains:
            shape, end = tuple(input_shape), columns
            for layer in chain:
                end = layer.trace(shape, end, found)
                shape = tuple(layer.compute_output_shape(shape))
            ends.append(end)
        return ends

    def trace(self, input_shape: Shape, columns: Array | None, found: Found) -> Array | None:
        self.traced(input_shape, columns, found)
        return None

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        from fastnn.layers.registry import revived

        return super().from_config(revived(config))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for layer in self.sublayers:
            layer._owner = self


def as_chain(layers: Any, what: str) -> list[Layer]:
    """A layer or a list of layers, as a list."""
    if isinstance(layers, Layer):
        return [layers]
    if not isinstance(layers, (list, tuple)):
        raise TypeError(f"{what} must be a layer or a list of layers; received {layers!r}")
    return list(layers)


def _end(chain: Chain, shape: Shape) -> Shape:
    """Shape of a chain's output."""
    for layer in chain:
        shape = tuple(layer.compute_output_shape(shape))
    return tuple(shape)


def ends(layers: Sequence[Layer]) -> tuple[set[Layer], bool]:
    """The layers with a kernel whose outputs are those of a chain of layers, or become them with no other kernel
    between; and whether the chain's inputs do."""
    found: set[Layer] = set()
    for layer in reversed(layers):
        if isinstance(layer, Container):
            inner = [ends(chain) for chain in layer._chains]
            found = found.union(*(ends for ends, _ in inner))
            through = any(through for _, through in inner)
        else:
            through = not isinstance(layer, WeightedLayer)
            found |= set() if through else {layer}
        if not through:
            return found, False
    return found, True
