"""PythonLayer: a layer that its user writes with NumPy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn import initializers
from fastnn._kernels.program import Program
from fastnn.inputs import check_shape
from fastnn.layers.base import Layer, Parameter

__all__ = ["PythonLayer"]

Array = NDArray[Any]


class PythonLayer(Layer):
    """Base of layers written in Python: ``forward`` and ``backward`` on NumPy arrays.

    It joins the same program as all others; the engine takes the GIL for it alone, and one thread calls it with
    the whole batch. Subclasses define

    - ``forward(x, training)``: the output (rows, \\*output_shape) for x (rows, \\*input_shape). `training` says
      that ``backward`` follows for the same batch: what that needs is to be kept then, and only then, since
      ``predict`` may run in another thread meanwhile;
    - ``backward(dy)``: the gradient with respect to x, after writing the gradients of the parameters, zeros until
      then, into ``self.gradients[name][...]``;
    - ``compute_output_shape(input_shape)``, where it is not the input's shape;
    - ``add_weights(input_shape)``, where there are parameters: a dict of name to (shape, initializer).

    The arrays are read-only views of the engine's memory, valid until the method returns.

    Parameters
    ----------
    name : str, optional
    trainable : bool, default True

    Examples
    --------
    A layer that multiplies every feature by a number that is learned:

    >>> import numpy as np
    >>> import fastnn as fnn
    >>> class Scale(fnn.layers.PythonLayer):
    ...     def add_weights(self, input_shape):
    ...         return {"scale": (input_shape, "ones")}
    ...     def forward(self, x, training):
    ...         if training:
    ...             self.x = x.copy()
    ...         return x * self.weights["scale"]
    ...     def backward(self, dy):
    ...         self.gradients["scale"][...] = (dy * self.x).sum(axis=0)
    ...         return dy * self.weights["scale"]
    >>> model = fnn.Sequential([Scale(), fnn.layers.Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(np.ones((8, 2)), np.ones(8), epochs=3, verbose=0)
    >>> history.history["loss"][2] < history.history["loss"][0]
    True
    """

    fixed_once_built: ClassVar[bool] = False

    def __init__(self, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.gradients: Mapping[str, Array] = {}

    def _set_gradients(self, views: dict[str, Array]) -> None:
        # Read-only: `gradients[name] = value` would train nothing, where `gradients[name][...] = value` does.
        self.gradients = MappingProxyType(views)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"gradients": {}}

    def add_weights(self, input_shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Name, shape and initializer of each parameter."""
        return {}

    def forward(self, x: Array, training: bool) -> Array:
        """The output for x of shape ``(rows, *input_shape)``."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, x, training)")

    def backward(self, dy: Array) -> Array:
        """The gradient with respect to x for dy of shape ``(rows, *output_shape)``."""
        raise NotImplementedError(f"{type(self).__name__} must define backward(self, dy)")

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        return {name: Parameter(check_shape(f"shape of {name}", shape), initializers.get(initializer))
                for name, (shape, initializer) in self.add_weights(input_shape).items()}

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        tensors = [self._tensor(program, name) for name in self._offsets]
        return program.python(source, self.n_outputs, _Calls(self), tensors, self.trainable)


class _Calls:
    """What the engine calls: the layer's methods, with samples in their own shape instead of flat."""

    def __init__(self, layer: PythonLayer) -> None:
        self.layer = layer

    def forward(self, x: Array, training: bool) -> Array:
        y = self.layer.forward(x.reshape(len(x), *self.layer.input_shape), training)
        return self._flat(y, len(x), self.layer.output_shape, "forward")

    def backward(self, dy: Array) -> Array:
        dx = self.layer.backward(dy.reshape(len(dy), *self.layer.output_shape))
        return self._flat(dx, len(dy), self.layer.input_shape, "backward")

    def _flat(self, result: Any, rows: int, shape: tuple[int, ...], method: str) -> Array:
        result = np.asarray(result)
        if result.shape != (rows, *shape) or result.dtype.kind not in "biuf":
            raise ValueError(f"{method} of layer {self.layer.name!r} must return real numbers of shape "
                             f"{(rows, *shape)}; received {result.dtype} of shape {result.shape}")
        return result.reshape(rows, math.prod(shape))
