"""SparseDense: every output is connected with some inputs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import constraints, initializers
from fastnn._kernels.program import Program
from fastnn.inputs import check_count
from fastnn.layers.base import Layer, Parameter, _described, checked_weight, parameter_property
from fastnn.layers.dense import Dense
from fastnn.layers.weighted import WeightedLayer
from fastnn.named import number
from fastnn.sparse import Pattern, entries_of, random_pattern

__all__ = ["SparseDense"]

Array = NDArray[Any]
Shape = tuple[int, ...]
DENSITIES = "density, epsilon, pattern or kernel"
OF_MATRICES = initializers.Identity, initializers.Orthogonal


class SparseDense(WeightedLayer):
    """A :class:`Dense` layer whose kernel is sparse: ``y = activation(x @ kernel + bias)``.

    Only the entries of the kernel exist, as numbers to train, gradients, and moments of the optimizer. Where they are
    does not change in training; `set_structure` moves them between epochs or batches.

    Exactly one of `density`, `epsilon`, `pattern` and `kernel` says where they are.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, Activation or None, default None
    density : float, optional
        Share of all ``n_inputs * units`` connections that exist, in (0, 1]; drawn at random with the model's seed.
    epsilon : float, optional
        Erdos-Renyi: ``epsilon * (n_inputs + units)`` connections, but no more than there can be (Mocanu et al., 2018).
    pattern : Pattern, scipy.sparse matrix or ndarray of bool, shape (n_inputs, units), optional
        The positions. Stored zeros count, values do not.
    kernel : scipy.sparse matrix, shape (n_inputs, units), optional
        The positions and the initial values.
    use_bias : bool, default True
    kernel_initializer : str or Initializer, default "glorot_uniform"
        Variances follow from the mean numbers of connections of an output and of an input, ``nnz / units`` and ``nnz /
        n_inputs``, in place of those of a dense layer (Evci, Ioannou, Keskin and Dauphin, 2022).
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties on the weights: of the kernel on its entries.
    activity_regularizer : str or Regularizer, optional
        Penalty on the outputs over the number of samples: `L1`, `L2` or `L1L2`.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What the weights are brought back to after each step. Norms of columns are those of matrices: of a sparse kernel
        `NonNeg`, or a constraint of your own, which gets the entries, (nnz,).
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    kernel : scipy.sparse.csr_array (n_inputs, units)
        Once the model is built: its ``data`` is a live view of the model's parameters, ``weights["kernel"]`` (nnz,).
        Assign a matrix of the same positions, or (nnz,) values, to overwrite it. Take it anew where positions have
        changed: an older one keeps its positions, and its data may be the weights at the new ones.
    bias : ndarray (units,) or None
    pattern : Pattern
        The positions, once the model is built.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or an unknown name, or a matrix is not well formed; when it is
        built, if the shape of a matrix does not fit.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.SparseDense(50, "relu", density=0.1), fnn.layers.Dense(3)], seed=0)
    >>> model.build((20,))
    >>> kernel = model.layers[0].kernel
    >>> kernel.shape, kernel.nnz, model.count_params()
    ((20, 50), 100, 303)
    """

    bias = parameter_property("bias", "ndarray (units,), or None without bias: live view; assign to overwrite it.")

    def __init__(self, units: int, activation: Any = None, density: float | None = None, epsilon: float | None = None,
                 pattern: Any = None, kernel: Any = None, use_bias: bool = True,
                 kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
                 kernel_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
                 kernel_constraint: Any = None, bias_constraint: Any = None, name: str | None = None,
                 trainable: bool = True) -> None:
        super().__init__(activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
                         bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, name, trainable)
        self.units = check_count("units", units)
        given = [argument for argument, value in (("density", density), ("epsilon", epsilon), ("pattern", pattern),
                                                  ("kernel", kernel)) if value is not None]
        if len(given) != 1:
            raise ValueError(f"one of {DENSITIES} is needed; received {' and '.join(given) or 'none'}")
        self.density = None if density is None else number("density", density, "(0, 1]")
        self.epsilon = None if epsilon is None else number("epsilon", epsilon, "(0, inf)")
        self._pattern: Pattern | None = None
        self._values: Array | None = None  # of a given kernel
        self._awaited: tuple[int, int] | None = None  # shape of positions that a file has
        if _is_shape(pattern):
            self._awaited = check_count("pattern[0]", pattern[0]), check_count("pattern[1]", pattern[1])
        elif not (pattern is None and kernel is None):
            self._pattern, self._values = entries_of(kernel if pattern is None else pattern, given[0], pattern is None)
            if kernel is not None and self._values is None:
                raise TypeError(f"kernel must be a scipy.sparse matrix, with values; received {kernel!r}")
            _not_empty(self._pattern, given[0])
        self._given = self._pattern
        shape = self._pattern.shape if self._pattern is not None else self._awaited
        if shape is not None and shape[1] != self.units:
            raise ValueError(f"{given[0]} has {shape[1]} columns; the layer has {self.units} units")
        of_numbers("kernel_initializer", self.kernel_initializer)
        refuse_norms(self)
        self._take_values()

    # ---- positions and values ---------------------------------------------------------------------------------

    @property
    def pattern(self) -> Pattern:
        if self._pattern is None:
            raise AttributeError(f"layer {self.name or type(self).__name__!r} has no pattern before it is built: "
                                 "call model.build(input_shape) or model.fit(...)")
        return self._pattern

    @property
    def kernel(self) -> Any:
        """scipy.sparse.csr_array (n_inputs, units): live view until positions change; assign to overwrite it."""
        if not self.built:
            raise AttributeError(f"layer {self.name or type(self).__name__!r} has no kernel before it is built: "
                                 "call model.build(input_shape) or model.fit(...)")
        return self.pattern.matrix(self.weights["kernel"])

    @kernel.setter
    def kernel(self, value: Any) -> None:
        if hasattr(value, "tocsr"):
            pattern, value = entries_of(value, "kernel")
            if not pattern.equals(self.pattern):
                raise ValueError(f"kernel must have the positions of the layer's, {self.pattern!r}; received others, "
                                 f"{pattern!r}: use set_structure to change them")
        self.set_parameter("kernel", value)

    def set_structure(self, pattern: Any, values: ArrayLike, kept: ArrayLike | None = None) -> None:
        """Give the kernel other entries. What the optimizer remembers of those that stay goes with them; of new ones it
        knows nothing.

        With as many entries as before, it can be done wherever callbacks are called; with more or fewer, not between
        the batches of an epoch.

        Parameters
        ----------
        pattern : Pattern, scipy.sparse matrix or ndarray of bool, shape (n_inputs, units)
        values : array_like, shape (nnz,)
            All values, in the order of the pattern.
        kept : array_like of int, shape (nnz,), optional
            For each entry its place among those of before, of which it is the continuation; -1: it is new. Default: by
            position.

        Raises
        ------
        TypeError, ValueError
            If the shape of an array is not right or a value is not finite; nothing has changed then.
        """
        new = _not_empty(Pattern.of(pattern), "pattern")
        if not self.built:
            raise ValueError(f"layer {self.name!r} is not built: call model.build(input_shape) first")
        old = self.pattern
        if new.shape != old.shape:
            raise ValueError(f"pattern must have the shape {old.shape}; received {new.shape}")
        numbers = checked_weight(values, np.empty(new.nnz, self.weights["kernel"].dtype), f"{self.name}.kernel")
        places = new.places_in(old) if kept is None else _checked_places(kept, new.nnz, old.nnz)
        self._model()._set_structure([(self, new, numbers, places)])

    def to_dense(self) -> Dense:
        """A new :class:`Dense` layer of the same weights, with zeros where no entries are, to stand in a new model."""
        dense = Dense(**{argument: getattr(self, argument) for argument in inspect.signature(Dense).parameters
                         if argument not in ("name", "tied_to", "transposed")})
        dense.learning_rate_multiplier = self._multiplier
        dense.weights = {"kernel": self.kernel.toarray()}
        if self.use_bias:
            dense.weights["bias"] = self.bias.copy()
        return dense

    @classmethod
    def from_dense(cls, layer: Dense, threshold: float | None = None, sparsity: float | None = None) -> SparseDense:
        """A new layer of the largest weights of a built :class:`Dense` layer, to stand in a new model.

        Parameters
        ----------
        layer : Dense
        threshold : float, optional
            Weights whose magnitude is above it stay.
        sparsity : float, optional
            The share of the kernel that goes, in [0, 1): the smallest magnitudes, of equal ones the last; one at least
            stays. Without both, weights stay that are not zero.

        Raises
        ------
        TypeError, ValueError
            If an argument is not allowed, no weight is above the threshold, or the layer has a constraint of norms.

        Examples
        --------
        >>> import fastnn as fnn
        >>> model = fnn.Sequential([fnn.layers.Dense(10, "relu")], seed=0)
        >>> model.build((20,))
        >>> layer = fnn.layers.SparseDense.from_dense(model.layers[0], sparsity=0.9)
        >>> small = fnn.Sequential([fnn.Input((20,)), layer])
        >>> small.layers[0].kernel.nnz
        20
        """
        if not isinstance(layer, Dense) or not layer.built:
            raise TypeError(f"a built Dense layer was expected; received {layer!r}")
        if threshold is not None and sparsity is not None:
            raise ValueError(f"one of threshold and sparsity may be given; received {threshold!r} and {sparsity!r}")
        kernel = np.asarray(layer.kernel)
        stays = np.abs(kernel) > number("threshold", 0.0 if threshold is None else threshold, "[0, inf)")
        if sparsity is not None:
            n = max(1, kernel.size - round(number("sparsity", sparsity, "[0, 1)") * kernel.size))
            stays = np.zeros(kernel.size, np.bool_)
            stays[np.argsort(-np.abs(kernel), axis=None, kind="stable")[:n]] = True
            stays = stays.reshape(kernel.shape)
        sparse = cls._like(layer, Pattern.of(stays))
        sparse._values = kernel[stays]
        sparse._take_values()
        if layer.bias is not None:
            sparse.weights["bias"] = layer.bias.copy()
        return sparse

    @classmethod
    def _like(cls, layer: Dense, pattern: Pattern) -> SparseDense:
        """A layer without a name and weights that is otherwise like a dense one."""
        refuse_norms(layer)
        arguments = {argument: getattr(layer, argument) for argument in inspect.signature(cls).parameters
                     if argument not in ("name", "density", "epsilon", "pattern", "kernel")}
        if isinstance(layer.kernel_initializer, OF_MATRICES):  # nothing is drawn: the values are there
            del arguments["kernel_initializer"]
        sparse = cls(**arguments, pattern=pattern)
        sparse.learning_rate_multiplier = layer.learning_rate_multiplier
        return sparse

    # ---- what a layer defines ---------------------------------------------------------------------------------

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 1:
            raise ValueError(f"SparseDense takes samples of one dimension; received shape {input_shape}. "
                             "Put fastnn.layers.Flatten() before it")
        known = self._given.shape if self._given is not None else self._awaited
        if known is not None and known[0] != input_shape[0]:
            raise ValueError(f"the kernel of layer {self.name!r} has {known[0]} rows; its input has {input_shape[0]} "
                             "features")
        return (self.units,)

    def _shape(self, input_shape: tuple[int, ...]) -> tuple[int, int]:
        return input_shape[0], self.units

    def _count(self, input_shape: tuple[int, ...]) -> int:
        """How many entries the kernel has for samples of this shape."""
        shape = self._shape(input_shape)
        if self._pattern is not None and self._pattern.shape == shape:
            return self._pattern.nnz
        if self.epsilon is not None:
            return max(1, round(min(math.prod(shape), self.epsilon * sum(shape))))
        return max(1, round(self.density * math.prod(shape))) if self.density is not None else 0

    def join(self, input_shape: tuple[int, ...], before: Mapping[str, tuple[Layer, tuple[int, ...]]]) -> None:
        shape = self._shape(input_shape)
        if self._pattern is not None and self._pattern.shape == shape:
            return
        if self._awaited is not None:
            raise ValueError(f"the positions of the kernel of layer {self.name!r} are in the file of its model: read "
                             "it with fastnn.load_model")
        try:
            self._pattern = random_pattern(shape, self._count(input_shape), (self._model().seed, 2, len(before)))
        except ValueError as error:
            raise ValueError(f"the kernel of layer {self.path!r}: {error}") from None

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        nnz = self._count(input_shape)
        initializer = _OfEntries(self.kernel_initializer, *_fans(nnz, self._shape(input_shape)))
        kernel = Parameter((nnz,), initializer, True, self.kernel_regularizer, self.kernel_constraint)
        bias = Parameter((self.units,), self.bias_initializer, True, self.bias_regularizer, self.bias_constraint)
        return {"kernel": kernel} | ({"bias": bias} if self.use_bias else {})

    @property
    def fans(self) -> tuple[float, float]:
        """Mean numbers of connections of an output and of an input."""
        return _fans(self.pattern.nnz, self.pattern.shape)

    def buffers(self) -> dict[str, Array]:
        return {"kernel.indptr": self.pattern.indptr, "kernel.indices": self.pattern.indices}

    def expect_buffers(self, input_shape: tuple[int, ...],
                       shape_of: Callable[[str], Shape]) -> tuple[dict[str, tuple[str, Shape]], dict[str, Shape]]:
        indices = shape_of("kernel.indices")
        nnz = indices[0] if len(indices) == 1 else 0
        return ({"kernel.indptr": ("int64", (input_shape[0] + 1,)), "kernel.indices": ("int32", (nnz,))},
                {"kernel": (nnz,)})

    def check_buffers(self, input_shape: tuple[int, ...], buffers: Mapping[str, Array]) -> None:
        self._buffered(input_shape, buffers)

    def set_buffers(self, input_shape: tuple[int, ...], buffers: Mapping[str, Array]) -> None:
        pattern = self._buffered(input_shape, buffers)
        if self.built:
            nothing = np.zeros(pattern.nnz, self.weights["kernel"].dtype)
            self._model()._set_structure([(self, pattern, nothing, np.full(pattern.nnz, -1))])
        self._pattern = pattern

    def _buffered(self, input_shape: tuple[int, ...], buffers: Mapping[str, Array]) -> Pattern:
        try:
            pattern = Pattern(self._shape(input_shape), buffers["kernel.indptr"], buffers["kernel.indices"], copy=False)
            return _not_empty(pattern, "it")
        except ValueError as error:
            raise ValueError(f"the kernel of layer {self.path!r}: {error}") from None

    def _model(self) -> Any:
        owner = self._owner
        while isinstance(owner, Layer):
            owner = owner._owner
        return owner

    def _take_values(self) -> None:
        if self._values is not None:
            assert self._pattern is not None
            like = np.empty(self._pattern.nnz, np.float64 if self._values.dtype.kind != "f" else self._values.dtype)
            self.weights = {"kernel": checked_weight(self._values, like, "kernel")}

    def release(self) -> None:
        super().release()
        self._pattern = self._given
        self._take_values()

    # ---- configuration ------------------------------------------------------------------------------------------

    def _argument(self, name: str) -> Any:
        """The values of a kernel are weights, and its positions too large for a configuration: it has their shape."""
        if name == "kernel":
            return None
        if name == "pattern":
            given = self._given.shape if self._given is not None else self._awaited
            return None if given is None else list(given)
        return getattr(self, name)

    def get_config(self) -> dict[str, Any]:
        names = inspect.signature(type(self)).parameters
        config = {name: _described(self._argument(name)) for name in names}
        config |= {"trainable": self._trainable, "name": self.name or None}
        return config | ({"learning_rate_multiplier": self._multiplier} if self._multiplier != 1 else {})

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters
        shown = [(name, self._argument(name), parameter.default) for name, parameter in parameters.items()]
        arguments = ", ".join(f"{name}={value!r}" for name, value, default in shown
                              if value != default and not (name == "name" and not value))
        return f"{type(self).__name__}({arguments})"

    def lower_product(self, program: Program, source: int, kind: int, alpha: float) -> int:
        return program.sparse_dense(source, self.pattern._index, kind, alpha, self._tensor(program, "kernel"),
                                    self._tensor(program, "bias"), self.trainable)


# Both are live: what is assigned to the kernel goes to the weights, and set_structure changes the pattern.
SparseDense.arguments -= {"kernel", "pattern"}


class _OfEntries(initializers.Initializer):
    """An initializer of the entries of a sparse kernel, whose units have so many connections on average."""

    name = "of_entries"

    def __init__(self, initializer: initializers.Initializer, fan_in: float, fan_out: float) -> None:
        self.initializer, self.fan_in, self.fan_out = initializer, fan_in, fan_out
        self.seed = initializer.seed

    def draw(self, rng: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
        if isinstance(self.initializer, initializers.VarianceScaling):
            return self.initializer.draw_for(rng, shape, self.fan_in, self.fan_out)
        return self.initializer.draw(rng, shape)


def refuse_norms(layer: Layer) -> None:
    constraint = getattr(layer, "kernel_constraint", None)
    if isinstance(constraint, constraints.MinMaxNorm):
        of = f" of layer {layer.path!r}" if layer.path else ""
        raise ValueError(f"kernel_constraint{of} must not be of norms, which are those of dense kernels; received "
                         f"{constraint!r}")


def of_numbers(name: str, initializer: initializers.Initializer) -> initializers.Initializer:
    """The initializer, if it is one for a vector of entries."""
    if isinstance(initializer, OF_MATRICES):
        raise ValueError(f"{name} must be one for numbers that do not depend on one another; received "
                         f"{initializer!r}, which is for matrices")
    return initializer


def _fans(nnz: int, shape: tuple[int, int]) -> tuple[float, float]:
    return nnz / shape[1], nnz / shape[0]


def _is_shape(pattern: Any) -> bool:
    return isinstance(pattern, (list, tuple)) and len(pattern) == 2 and all(isinstance(size, int) for size in pattern)


def _not_empty(pattern: Pattern, name: str) -> Pattern:
    if not pattern.nnz:
        raise ValueError(f"{name} has no entries; at least one is needed")
    return pattern


def _checked_places(kept: ArrayLike, nnz: int, old: int) -> NDArray[np.int64]:
    places = np.asarray(kept)
    if places.dtype.kind not in "iu" or places.shape != (nnz,):
        raise ValueError(f"kept must be {nnz} integers; received {places.dtype} of shape {places.shape}")
    if nnz and not (places.min() >= -1 and places.max() < old):
        raise ValueError(f"kept must be in [-1, {old}), places among the {old} entries of before; received "
                         f"{places.min()} to {places.max()}")
    return places.astype(np.int64, copy=False)
