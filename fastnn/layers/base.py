"""What every layer is: shapes, parameters, configuration, and how it joins the program."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._kernels.program import Program
from fastnn.constraints import Constraint
from fastnn.initializers import Initializer
from fastnn.kernels import mask_weights
from fastnn.named import number
from fastnn.regularizers import L1L2, Regularizer

__all__ = ["Layer", "Parameter"]

Array = NDArray[Any]
Shape = tuple[int, ...]


class Parameter(NamedTuple):
    """What a layer asks of the model for one of its arrays.

    `trainable` is False for state, such as moving averages: saved with the weights, but nothing that an
    optimizer changes.
    """

    shape: tuple[int, ...]
    initializer: Initializer
    trainable: bool = True
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None

    def check(self, path: str) -> None:
        """ValueError if the regularizer or the constraint does not suit the shape; `path` is the parameter's."""
        for restraint in (self.regularizer, self.constraint):
            try:
                if restraint is not None:
                    restraint.check(self.shape)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None


class Layer:
    """Base of all layers.

    Parameters
    ----------
    name : str, optional
        Unique in a model; made from the class's name where it is None.
    trainable : bool, default True
        Whether training changes the layer's parameters.

    Attributes
    ----------
    path : str
        The name, behind those of the containers that the layer stands in: ``"residual.dense"``.
    sublayers : tuple of Layer
        The layers that a container is made of.
    built : bool
    input_shape, output_shape : tuple of int
        Shapes of one sample, once built.
    weights : dict of str to ndarray
        Views of the model's parameters, live: what is written to them is used by the next call.
    learning_rate_multiplier : float
        Of the optimizer's learning rate, for the layer's parameters and those of layers in it; 1.0 at first, at least
        0, may be set at any time. Small ones in front are called discriminative learning rates (Howard and Ruder,
        2018).
    """

    fixed_once_built: ClassVar[bool] = True
    predicts_only: ClassVar[bool] = False  # has no gradients
    arguments: ClassVar[frozenset[str]] = frozenset()  # of the constructor, those that shapes and programs follow from

    def __init_subclass__(cls) -> None:
        cls.arguments = frozenset(inspect.signature(cls).parameters) - {"trainable", "name"}

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"name must be a string that is not empty and has no slash; received {name!r}")
        self.name: str = name or ""
        self.trainable = trainable
        self.learning_rate_multiplier = 1.0
        self.built = False
        self.input_shape: tuple[int, ...] = ()
        self.output_shape: tuple[int, ...] = ()
        self.weights: dict[str, Array] = {}
        self._offsets: dict[str, int] = {}
        self._masks: dict[str, Array] = {}
        self._owner: Any = None
        self._named_by_model = not name

    @property
    def trainable(self) -> bool:
        # The layer's own flag is kept in a frozen container: it counts again when that is trainable again.
        return self._trainable and (not isinstance(self._owner, Layer) or self._owner.trainable)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"trainable must be True or False; received {value!r}")
        self._trainable = bool(value)

    @property
    def learning_rate_multiplier(self) -> float:
        return self._multiplier

    @learning_rate_multiplier.setter
    def learning_rate_multiplier(self, value: float) -> None:
        self._multiplier = number("learning_rate_multiplier", value, "[0, inf)")

    @property
    def _rate(self) -> float:
        """The multiplier times those of the containers around the layer."""
        return self._multiplier * (self._owner._rate if isinstance(self._owner, Layer) else 1.0)

    @property
    def path(self) -> str:
        if not isinstance(self._owner, Layer):
            return self.name
        return f"{self._owner.path or self._owner.default_name()}.{self.name}"

    @property
    def depth(self) -> int:
        """The number of containers around the layer."""
        return 1 + self._owner.depth if isinstance(self._owner, Layer) else 0

    # ---- what a layer defines ----------------------------------------------------------------------------

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of an output sample for an input sample's shape."""
        return input_shape

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        """The parameters by name, in the order of ``get_weights``: those that are trained first."""
        return {}

    @property
    def sublayers(self) -> tuple[Layer, ...]:
        return ()

    def walk(self, input_shape: tuple[int, ...]) -> Iterator[tuple[Layer, tuple[int, ...]]]:
        """The layers that are no containers, in the order of ``get_weights``, each with the shape of its input."""
        yield self, tuple(input_shape)

    def buffers(self) -> dict[str, Array]:
        """Arrays of integers that say what the parameters are, such as the positions of sparse ones; saved beside
        them."""
        return {}

    def expect_buffers(self, input_shape: tuple[int, ...],
                       shape_of: Callable[[str], Shape]) -> tuple[dict[str, tuple[str, Shape]], dict[str, Shape]]:
        """For a file that has arrays of these shapes, () for none, under the layer's names: the buffers that it must
        have, with their dtypes and shapes, and the shapes of parameters that follow from them."""
        return {}, {}

    def check_buffers(self, input_shape: tuple[int, ...], buffers: Mapping[str, Array]) -> None:
        """ValueError where the buffers of a file are not allowed."""

    def set_buffers(self, input_shape: tuple[int, ...], buffers: Mapping[str, Array]) -> None:
        """Take the buffers of a file; parameters and slots follow."""

    def join(self, input_shape: tuple[int, ...], before: Mapping[str, tuple[Layer, tuple[int, ...]]]) -> None:
        """Look up other layers: `before` has those that stand before this one in the model, with the shapes of their
        inputs, by path."""

    def check_dtype(self, dtype: str) -> None:
        """ValueError where the layer cannot compute in the model's dtype."""

    def trace(self, input_shape: tuple[int, ...], columns: Array | None,
              found: list[tuple[str, Array, int]]) -> Array | None:
        """Follow columns of the model's input: `columns` (n_inputs,) are those that the layer's inputs are copies
        of, the result (n_outputs,) those of its outputs; None where they are computed. A layer that takes
        integers in [0, n) only adds its path, its columns and n to `found`."""
        return None

    @property
    def output_activation(self) -> str:
        """Name of the activation that the layer ends with and that a loss may take over."""
        return "linear"

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        """Add the layer's ops to the program and return the buffer that holds its output.

        `training` is False for a program that only predicts. `absorbed` says that the loss takes over the
        layer's activation.
        """
        raise NotImplementedError

    # ---- what all layers share ------------------------------------------------------------------------------

    @classmethod
    def default_name(cls) -> str:
        """The class's name in snake case."""
        return snake_case(cls.__name__)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Fix the shapes and the arguments; the model then gives the parameters their place."""
        self.input_shape = tuple(input_shape)
        self.output_shape = tuple(self.compute_output_shape(self.input_shape))
        self.built = True

    def _tensor(self, program: Program, name: str) -> int:
        """The program's number of a parameter, or -1 if the layer has none of that name."""
        if name not in self._offsets:
            return -1
        shape, spec = self.weights[name].shape, self.parameters(self.input_shape)[name]
        trained = self.trainable and spec.trainable
        tensor = program.tensor(self._offsets[name], shape, self._rate, trained)
        for restraint in (spec.regularizer, spec.constraint):
            if trained and restraint is not None:
                restraint.lower(program, tensor, shape)
        return tensor

    def _regularized(self, program: Program, target: int, training: bool) -> int:
        """The same buffer, with the penalty of the layer's ``activity_regularizer``."""
        regularizer = getattr(self, "activity_regularizer", None)
        if training and isinstance(regularizer, L1L2):
            program.activity(target, regularizer.l1, regularizer.l2)
        return target

    def family(self) -> Iterator[Layer]:
        """The layer and all those inside it."""
        yield self
        for layer in self.sublayers:
            yield from layer.family()

    def release(self) -> None:
        """Undo what joining a model did, for a model that came to nothing."""
        self._owner = None
        self.name = "" if self._named_by_model else self.name
        for layer in self.family():
            layer.built, layer.weights, layer._offsets, layer._masks = False, {}, {}, {}

    @property
    def masks(self) -> dict[str, Array]:
        """Read-only arrays of bool in the parameters' shapes, False where pruning holds a weight at zero; empty for a
        model that was never pruned."""
        shown = {name: mask.view(np.bool_) for name, mask in self._masks.items()}
        for mask in shown.values():
            mask.flags.writeable = False
        return shown

    def set_parameter(self, name: str, value: ArrayLike) -> None:
        """Copy `value` into a parameter; it must have the parameter's shape and be finite. Pruned weights stay zero."""
        if name not in self.weights:
            known = ", ".join(self.weights) or "none yet: the layer is not built"
            raise ValueError(f"layer {self.name!r} has no parameter {name!r}; its parameters: {known}")
        self.weights[name][...] = checked_weight(value, self.weights[name], f"{self.name}.{name}")
        if name in self._masks:
            mask_weights(self.weights[name], self.masks[name])

    def count_params(self) -> int:
        """Number of the layer's parameters."""
        return sum(weight.size for layer in self.family() for weight in layer.weights.values())

    def count_trained(self) -> int:
        """Number of those that training changes by gradients."""
        if not (self.trainable and self.built):
            return 0
        specs = self.parameters(self.input_shape)
        return sum(weight.size for name, weight in self.weights.items() if specs[name].trainable)

    @property
    def n_inputs(self) -> int:
        return math.prod(self.input_shape)

    @property
    def n_outputs(self) -> int:
        return math.prod(self.output_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments in a form that JSON can hold."""
        arguments = inspect.signature(type(self)).parameters
        config = {argument: _described(getattr(self, argument)) for argument in arguments}
        if "trainable" in config:
            config["trainable"] = self._trainable
        config |= {"name": self.name or None} if "name" in config else {}
        return config | ({"learning_rate_multiplier": self._multiplier} if self._multiplier != 1 else {})

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """A new layer from what ``get_config`` returned."""
        arguments = dict(config)
        multiplier = arguments.pop("learning_rate_multiplier", 1.0)
        layer = cls(**arguments)
        layer.learning_rate_multiplier = multiplier
        return layer

    def __setattr__(self, name: str, value: Any) -> None:
        # Programs and shapes follow from the arguments; a change would be saved, but not trained.
        if self.__dict__.get("built") and self.fixed_once_built and name in self.arguments:
            raise AttributeError(f"{name} of layer {self.name!r} is fixed once the layer is built; make a new layer")
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: without the model, which takes its layers along itself."""
        return self.__dict__ | {"_owner": None}

    def __repr__(self) -> str:
        shown = []
        for argument, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, argument)
            if value != parameter.default and not (argument == "name" and not value):
                shown.append(f"{argument}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def described_layer(layer: Layer) -> dict[str, Any]:
    """Class, arguments, name and own flag of a layer: from these `fastnn.layers.registry.new` makes an equal one."""
    return {"class_name": type(layer).__name__, "config": layer.get_config(), "name": layer.name,
            "trainable": layer._trainable}


def _described(value: Any) -> Any:
    if isinstance(value, Layer):
        return described_layer(value)
    if isinstance(value, list):
        return [_described(item) for item in value]
    return value.get_config() if hasattr(value, "get_config") else value


def snake_case(name: str) -> str:
    """As Keras makes it: PReLU is p_re_lu, Conv2D conv2d."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def unique_name(name: str, taken: list[str]) -> str:
    """`name`, with a number where it is taken."""
    candidates = [name] + [f"{name}_{i}" for i in range(1, len(taken) + 1)]
    return next(candidate for candidate in candidates if candidate not in taken)


def checked_weight(value: ArrayLike, like: Array, what: str) -> Array:
    """`value` as an array that may be copied into the parameter `like`."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} must be real numbers; received dtype {array.dtype}")
    if array.shape != like.shape:
        raise ValueError(f"{what} has shape {like.shape}; received {array.shape}")
    with np.errstate(over="ignore"):
        array = array.astype(like.dtype)
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite in {like.dtype}; received NaN or infinity")
    return array


def parameter_property(name: str, doc: str) -> property:
    """A property over ``weights[name]``: the live view to read, a checked copy to write."""

    def read(self: Layer) -> Array | None:
        if not self.built:
            raise AttributeError(f"layer {self.name or type(self).__name__!r} has no {name} before it is built: "
                                 "call model.build(input_shape) or model.fit(...)")
        return self.weights.get(name)

    def write(self: Layer, value: ArrayLike) -> None:
        self.set_parameter(name, value)

    return property(read, write, doc=doc)
