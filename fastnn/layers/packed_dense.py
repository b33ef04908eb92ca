"""PackedDense: a dense layer for prediction, with 64 weights in a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import activations
from fastnn._kernels.dispatch import ACTIVATIONS
from fastnn._kernels.program import Program
from fastnn.initializers import Zeros
from fastnn.inputs import check_count, check_size
from fastnn.kernels.packed import BINARY, MOST_INPUTS, VALUES, arranged_words, check_words
from fastnn.layers.base import Layer, Parameter, parameter_property
from fastnn.layers.weighted import ActivatedLayer

__all__ = ["PackedDense"]

Array = NDArray[Any]
Shape = tuple[int, ...]


class PackedDense(ActivatedLayer):
    """A :class:`BinaryDense` or :class:`TernaryDense` layer packed for prediction; ``model.pack()`` makes it.

    Where its inputs are rounded to two values, products are counted, 64 at a time (Rastegari, Ordonez, Redmon and
    Farhadi, "XNOR-Net", 2016). Other inputs are multiplied by weights that are unpacked for the call. Outputs have the
    bits of those of the layer that was packed.

    It has no gradients: a model with such a layer predicts and evaluates, but cannot be trained.

    Parameters
    ----------
    units : int
        Number of outputs.
    values : {"sign", "binary_step", "ternary"}, default "sign"
        What bits stand for: 1 or -1, 1 or 0, and two of them for 1, 0 or -1.
    inputs : {None, "sign", "binary_step"}, default None
        The activation that the inputs go through first. None: they are taken as they are.
    activation : str, Activation or None, default None
    use_bias : bool, default True
    name : str, optional

    Attributes
    ----------
    words : ndarray of uint64 (units, ceil(n_inputs / 64)), or (2, units, ceil(n_inputs / 64)) for "ternary"
        Bit ``i % 64`` of word ``i // 64`` belongs to input i, once the model is built: zeros at first. A copy; assign
        to overwrite them.
    bias : ndarray (units,) or None

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.BinaryDense(3)], seed=0)
    >>> model.layers[0].kernel = [[0.3, -0.2, 0.0], [-0.9, 0.1, 0.7]]
    >>> packed = model.pack()
    >>> packed.layers[0].words
    array([[1],
           [2],
           [3]], dtype=uint64)
    >>> packed.predict([[1.0, 0.5]])
    array([[ 0.5, -0.5,  1.5]], dtype=float32)
    """

    predicts_only = True
    bias = parameter_property("bias", "ndarray (units,), or None without bias: live view; assign to overwrite it.")

    def __init__(self, units: int, values: str = "sign", inputs: str | None = None, activation: Any = None,
                 use_bias: bool = True, name: str | None = None) -> None:
        super().__init__(name=name)
        self.units = check_count("units", units)
        for argument, value, allowed in (("values", values, VALUES), ("inputs", inputs, (None, *BINARY))):
            if value not in allowed:
                raise ValueError(f"{argument} must be one of {', '.join(map(repr, allowed))}; received {value!r}")
        if not isinstance(use_bias, bool):
            raise TypeError(f"use_bias must be True or False; received {use_bias!r}")
        self.values, self.inputs, self.use_bias = values, inputs, use_bias
        self.activation = activations.get(activation)
        self._words: Array | None = None

    @property
    def words(self) -> Array:
        if self._words is None:
            raise AttributeError(f"layer {self.name or type(self).__name__!r} has no words before it is built: "
                                 "call model.build(input_shape)")
        return self._words.copy()

    @words.setter
    def words(self, words: ArrayLike) -> None:
        if not self.built:
            raise AttributeError(f"layer {self.name or type(self).__name__!r} has no words before it is built: "
                                 "call model.build(input_shape)")
        self._words = check_words(f"{self.name}.words", words, self.n_inputs, self.units, self.values).copy()
        self._model()._reset_engine()

    def _model(self) -> Any:
        owner = self._owner
        while isinstance(owner, Layer):
            owner = owner._owner
        return owner

    def _words_shape(self, input_shape: Shape) -> Shape:
        return *([2] if self.values == "ternary" else []), self.units, -(-input_shape[0] // 64)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"PackedDense takes samples of one dimension; received shape {input_shape}. "
                             "Put fastnn.layers.Flatten() before it")
        if self.inputs is not None and input_shape[0] > MOST_INPUTS:
            raise ValueError(f"PackedDense takes at most {MOST_INPUTS} inputs that it rounds; received "
                             f"{input_shape[0]}")
        check_size(f"words of {input_shape[0]} x {self.units} weights", *self._words_shape(input_shape))
        return (self.units,)

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        if self._words is None:
            self._words = np.zeros(self._words_shape(self.input_shape), np.uint64)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        return {"bias": Parameter((self.units,), Zeros(), False)} if self.use_bias else {}

    # ---- files ------------------------------------------------------------------------------------------------

    def buffers(self) -> dict[str, Array]:
        return {} if self._words is None else {"words": self._words}

    def expect_buffers(self, input_shape: Shape,
                       shape_of: Callable[[str], Shape]) -> tuple[dict[str, tuple[str, Shape]], dict[str, Shape]]:
        return {"words": ("uint64", self._words_shape(input_shape))}, {}

    def check_buffers(self, input_shape: Shape, buffers: Mapping[str, Array]) -> None:
        check_words(f"{self.path}.words", buffers["words"], input_shape[0], self.units, self.values)

    def set_buffers(self, input_shape: Shape, buffers: Mapping[str, Array]) -> None:
        self.check_buffers(input_shape, buffers)
        self._words = np.array(buffers["words"], np.uint64)

    # ---- programs ---------------------------------------------------------------------------------------------

    def lower_product(self, program: Program, source: int, kind: int, alpha: float) -> int:
        assert self._words is not None
        panels, constant = arranged_words(self._words, self.n_inputs, self.values, self.inputs)
        return program.packed_dense(program.bits(source) if self.inputs else source, self.n_inputs, self.units,
                                    ACTIVATIONS[self.values], ACTIVATIONS[self.inputs or "linear"], panels, constant,
                                    kind, alpha, self._tensor(program, "bias"))
