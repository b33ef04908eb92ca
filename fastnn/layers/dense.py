"""Dense: every output is connected with every input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._kernels.program import Program
from fastnn.inputs import check_count, check_size
from fastnn.layers.base import Layer, Parameter, parameter_property
from fastnn.layers.weighted import WeightedLayer

__all__ = ["Dense"]


class Dense(WeightedLayer):
    """Densely connected layer: ``y = activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, Activation or None, default None
        A name or object of :mod:`fastnn.activations`; None is linear.
    use_bias : bool, default True
    kernel_initializer : str or Initializer, default "glorot_uniform"
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties on the weights, from :mod:`fastnn.regularizers`: part of the loss.
    activity_regularizer : str or Regularizer, optional
        Penalty on the outputs over the number of samples: `L1`, `L2` or `L1L2`.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What the weights are brought back to after each step, from :mod:`fastnn.constraints`.
    name : str, optional
    trainable : bool, default True
    tied_to : Dense or str, optional
        A layer before this one in the model, or its path, whose kernel this layer uses: one array, whose gradient is
        the sum over both, and which is trained where the other layer is trainable. The bias is this layer's own.
        The kernel's initializer is not used then.
    transposed : bool, optional
        Whether to use that kernel transposed, as the decoder of an autoencoder does. None: in whichever way it
        fits, and transposed if both do.

    Attributes
    ----------
    kernel : ndarray (n_inputs, units)
        A live view of the model's parameters, once the model is built.
    bias : ndarray (units,) or None

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name; when it is built, if the layer that it
        is tied to does not stand before it, is tied itself, or has a kernel of another shape.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(3, activation="relu")], seed=0)
    >>> model.build((4,))
    >>> model.layers[0].kernel.shape, model.layers[0].bias.shape
    ((4, 3), (3,))

    An autoencoder with one kernel:

    >>> encoder = fnn.layers.Dense(2, activation="tanh")
    >>> model = fnn.Sequential([fnn.Input((5,)), encoder, fnn.layers.Dense(5, tied_to=encoder)])
    >>> model.layers[1].kernel.shape, model.count_params()
    ((2, 5), 17)
    """

    _own_kernel = parameter_property("kernel", "")
    bias = parameter_property("bias", "ndarray (units,), or None without bias: live view; assign to overwrite it.")

    def __init__(self, units: int, activation: Any = None, use_bias: bool = True,
                 kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 kernel_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
                 kernel_constraint: Any = None, bias_constraint: Any = None, name: str | None = None,
                 trainable: bool = True, tied_to: Any = None, transposed: bool | None = None) -> None:
        super().__init__(activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
                         bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, name, trainable)
        self.units = check_count("units", units)
        if tied_to is not None and not isinstance(tied_to, (Dense, str)):
            raise TypeError(f"tied_to must be a Dense layer or its path in the model; received {tied_to!r}")
        if not isinstance(transposed, (bool, type(None))):
            raise TypeError(f"transposed must be True, False or None; received {transposed!r}")
        if transposed is not None and tied_to is None:
            raise ValueError(f"transposed={transposed} says how to use the kernel of another layer; tied_to names none")
        if tied_to is not None and not (kernel_regularizer is None and kernel_constraint is None):
            raise ValueError("kernel_regularizer and kernel_constraint must be None in a tied layer; they belong to "
                             f"the layer that has the kernel; received {kernel_regularizer!r}, {kernel_constraint!r}")
        self.tied_to, self.transposed = tied_to, transposed
        self._tie: Dense | None = None  # found in the model, and whether its kernel is used transposed
        self._flip = False

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 1:
            raise ValueError(f"Dense takes samples of one dimension; received shape {input_shape}. "
                             "Put fastnn.layers.Flatten() before it")
        check_size(f"a kernel of {input_shape[0]} x {self.units}", input_shape[0], self.units)
        return (self.units,)

    def join(self, input_shape: tuple[int, ...], before: Mapping[str, tuple[Layer, tuple[int, ...]]]) -> None:
        if self.tied_to is None:
            return
        path = self.tied_to if isinstance(self.tied_to, str) else self.tied_to.path
        owner, owner_input = before.get(path, (None, ()))
        if not isinstance(owner, Dense) or (isinstance(self.tied_to, Dense) and owner is not self.tied_to):
            raise ValueError(f"layer {self.path!r} is tied to {path!r}, which is no Dense layer that stands before it "
                             f"in the model; there stand {', '.join(map(repr, before)) or 'no layers'}")
        if owner.tied_to is not None:
            raise ValueError(f"layer {self.path!r} is tied to {path!r}, which is tied itself: tie both to the layer "
                             "that has the kernel")
        shape, needed = (owner_input[0], owner.units), (input_shape[0], self.units)
        fits = {False: shape == needed, True: shape[::-1] == needed}
        if not (any(fits.values()) if self.transposed is None else fits[self.transposed]):
            allowed = {False: needed, True: needed[::-1], None: f"{needed} or {needed[::-1]}"}[self.transposed]
            raise ValueError(f"the kernel of layer {path!r} has shape {shape}; layer {self.path!r} is tied to it with "
                             f"transposed={self.transposed} and needs {allowed} for {needed[0]} inputs and {needed[1]} "
                             "units")
        self._tie, self._flip = owner, fits[True] if self.transposed is None else self.transposed

    @property
    def kernel(self) -> NDArray[Any]:
        """ndarray (n_inputs, units): live view; assign to overwrite it."""
        if self._tie is None or not self.built:
            return self._own_kernel
        return self._tie.kernel.T if self._flip else self._tie.kernel

    @kernel.setter
    def kernel(self, value: ArrayLike) -> None:
        if self._tie is None or not self.built:
            self._own_kernel = value
        elif self._flip:
            self._tie.kernel = np.transpose(value)
        else:
            self._tie.kernel = value

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if isinstance(self.tied_to, Dense):
            if not self.tied_to.path:
                raise ValueError(f"layer {self.name!r} is tied to a layer that has no name and stands in no model yet")
            config["tied_to"] = self.tied_to.path
        return config

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        parameters = self.kernel_and_bias(input_shape[0], self.units)
        if self.tied_to is not None:
            del parameters["kernel"]
        return parameters

    def lower_product(self, program: Program, source: int, kind: int, alpha: float) -> int:
        return program.dense(source, self.units, kind, alpha, (self._tie or self)._tensor(program, "kernel"),
                             self._tensor(program, "bias"), self.trainable, self._flip)
