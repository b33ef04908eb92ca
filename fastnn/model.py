"""Sequential: a stack of layers, lowered to a program of the engine."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import losses
from fastnn._kernels import program as engine
from fastnn._kernels.dispatch import DTYPES
from fastnn._kernels.door import Exclusive
from fastnn._kernels.threads import effective_n_threads
from fastnn.callbacks.base import Callback, CallbackList, checked_callbacks
from fastnn.inputs import (
    as_features,
    as_labels,
    as_targets,
    check_count,
    check_indices,
    check_seed,
    check_shape,
    check_size,
    combined_weights,
)
from fastnn.kernels import mask_weights
from fastnn.layers.base import Layer, checked_weight, unique_name
from fastnn.layers.custom import PythonLayer
from fastnn.layers.dense import Dense
from fastnn.layers.flatten import Flatten
from fastnn.layers.input import Input
from fastnn.layers.sparse_dense import SparseDense
from fastnn.sparse import Pattern
from fastnn.sparse_inputs import Csr, as_csr, is_sparse
from fastnn.streams import Reader, Stream, as_stream
from fastnn.training import Trainer, begun

__all__ = ["Sequential"]

Array = NDArray[Any]
# A layer, its new pattern, all values, and the places among the old entries of those that stay, -1 for new ones.
Structure = tuple[SparseDense, Pattern, Array, NDArray[np.int64]]
ALIGNMENT = 64
REFUSAL = ("{{}} was called {}; one training at a time is allowed for a model, and nothing that changes what is "
           "trained")
INSIDE = REFUSAL.format("inside a callback of the model's own training")
ELSEWHERE = REFUSAL.format("while the model is being trained in another call")
ON_PROBABILITIES = losses.CategoricalCrossentropy, losses.BinaryCrossentropy


class Sequential(Trainer):
    """A model whose layers follow one another.

    Parameters
    ----------
    layers : list of Layer, optional
        The first entry may be an `Input` with the shape of a sample.
    seed : int, optional
        Makes initial weights, shuffling and dropout repeatable; None draws a new one.
    dtype : {"float32", "float64"}, default "float32"
        Of the parameters and of all arithmetic.
    name : str, optional

    Attributes
    ----------
    layers : list of Layer
    built : bool
        Whether the parameters exist; they do once the shape of a sample is known.
    seed : int
    metadata : dict
        Notes of the user's own, saved with the model; whatever JSON can hold.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or not allowed.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), (x_test, y_test) = fnn.datasets.load_digits()
    >>> model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16),
    ...                         fnn.layers.Dense(64, activation="relu"),
    ...                         fnn.layers.Dense(10, activation="softmax")], seed=0)
    >>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> history = model.fit(x, y, epochs=10, verbose=0)
    >>> loss, accuracy = model.evaluate(x_test, y_test)
    >>> accuracy > 0.85
    True
    """

    def __init__(self, layers: Sequence[Layer | Input] | None = None, *, seed: int | None = None,
                 dtype: str = "float32", name: str | None = None) -> None:
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ValueError(f"dtype must be 'float32' or 'float64'; received {dtype!r}")
        seed = check_seed(seed)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string or None; received {name!r}")
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise TypeError(f"layers must be a list of layers; received {layers!r}")
        self._dtype = dtype
        self.seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1) if seed is None else seed
        self.name = name or "sequential"
        self._layers: list[Layer] = []
        self._family: list[Layer] = []          # the layers and all those inside them
        self._indices: list[tuple[str, Array, int]] = []
        self._input_shape: tuple[int, ...] | None = None
        self.built = False
        self.metadata: dict[str, Any] = {}
        self._new_locks()
        self._flat = np.empty(0, dtype)
        self._mask: Array | None = None
        self._reset_engine()
        super().__init__()
        try:
            for layer in layers or ():
                self.add(layer)
        except BaseException:
            for layer in self._layers:
                layer.release()
            raise

    @property
    def layers(self) -> list[Layer]:
        """The layers, in a new list: it is `add` that changes a model."""
        return list(self._layers)

    def _leaves(self) -> list[Layer]:
        """The layers that are no containers, in the order of `get_weights`."""
        return [layer for layer in self._family if not layer.sublayers]

    @property
    def dtype(self) -> str:
        """Of the parameters and of all arithmetic."""
        return self._dtype

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape of an input sample, or None before it is known."""
        return self._input_shape

    # ---- structure ----------------------------------------------------------------------------------------

    def add(self, layer: Layer | Input) -> None:
        """Append a layer. In a built model the weights of the layers before it are kept.

        Raises
        ------
        TypeError, ValueError
            If it is not a layer, stands in a model already, or does not fit the layer before it.
        """
        if isinstance(layer, Input):
            if self._layers or self.input_shape:
                raise ValueError("Input may only stand first, once; give it before all layers")
            self._input_shape = layer.shape
            return
        if not isinstance(layer, Layer):
            raise TypeError(f"a layer or Input was expected; received {layer!r}")
        if layer._owner is not None:
            raise ValueError(f"layer {layer.name!r} belongs to a model already; make a new one for this place")
        names = [other.name for other in self.layers]
        old_name = layer.name
        if layer.name in names:
            raise ValueError(f"two layers are named {layer.name!r}; names must be unique in a model")
        with self._exclusively("add"):
            shape = self.output_shape if self.input_shape else None
            layer.name = layer.name or unique_name(layer.default_name(), names)
            layer._owner = self
            self._layers.append(layer)
            self._family = [member for layer in self._layers for member in layer.family()]
            try:
                if shape is not None:
                    layer.compute_output_shape(shape)
                    self._allocate()
            except BaseException:
                self._layers.pop()
                self._family = [member for layer in self._layers for member in layer.family()]
                layer._owner, layer.name = None, old_name
                raise

    def _set_layers(self, layers: Sequence[Layer]) -> None:
        """Replace the layers of a built model by such that this model's layers became; weights that they have stay."""
        self._layers = list(layers)
        self._family = [member for layer in self._layers for member in layer.family()]
        self._allocate()

    def build(self, input_shape: Sequence[int]) -> None:
        """Create the parameters for samples of `input_shape` (without the batch).

        Raises
        ------
        TypeError, ValueError
            If the shape is not a tuple of positive integers, does not suit a layer, or the model is built for
            another one.
        """
        if self.built and input_shape == self.input_shape:
            return
        shape = check_shape("input_shape", input_shape)
        if self.built and shape != self.input_shape:
            raise ValueError(f"the model is built for samples of shape {self.input_shape}; received {shape}")
        with self._building:
            if self.built:
                return
            if not self.layers:
                raise ValueError("the model has no layers; add one first")
            self._output_shape_of(shape)
            known, self._input_shape = self._input_shape, shape
            try:
                self._allocate()
            except BaseException:
                self._input_shape = known
                raise

    def _allocate(self) -> None:
        """One flat block for all parameters, a view of it for each; old values are kept, new ones initialized."""
        assert self.input_shape is not None
        offset = 0
        plan = []
        step = ALIGNMENT // np.dtype(self.dtype).itemsize
        before: dict[str, tuple[Layer, tuple[int, ...]]] = {}
        for leaf, leaf_shape in self._walk(self.input_shape):
            leaf.check_dtype(self.dtype)
            leaf.join(leaf_shape, before)
            before[leaf.path] = leaf, leaf_shape
            for name, spec in leaf.parameters(leaf_shape).items():
                spec.check(f"{leaf.path}.{name}")
                if self.optimizer is not None:
                    self.optimizer._check_parameter(f"{leaf.path}.{name}", spec.constraint)
                plan.append((leaf, name, spec.shape, spec.initializer, offset))
                offset += -(-math.prod(spec.shape) // step) * step
        check_size(f"a model of {len(plan)} parameter arrays", offset)
        flat = engine.aligned_zeros(offset, self.dtype)
        views = []
        for index, (layer, name, size, initializer, start) in enumerate(plan):
            view = flat[start:start + math.prod(size)].reshape(size)
            if name in layer.weights and layer.weights[name].shape == size:
                old = layer.weights[name]
                view[...] = old if old.dtype == view.dtype else checked_weight(old, view, f"{layer.path}.{name}")
            else:
                rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, 0, index))))
                view[...] = initializer(size, self.dtype, rng)
            views.append((layer, name, start, view))
        shape = self.input_shape
        for layer in self.layers:
            layer.build(shape)
            shape = layer.output_shape
        for layer, name, start, view in views:
            layer.weights[name], layer._offsets[name] = view, start
        self._flat, self._mask = flat, None
        self._indices = self._index_columns(self.input_shape)
        self._reset_engine()
        if any(leaf._masks for leaf in self._leaves()):
            self._mask_block()
        self._reset_optimizer()
        self._metrics = None
        self.built = True

    def _walk(self, shape: tuple[int, ...]) -> Iterator[tuple[Layer, tuple[int, ...]]]:
        """The leaves for samples of `shape`, each with the shape of its input."""
        for layer in self._layers:
            yield from layer.walk(shape)
            shape = tuple(layer.compute_output_shape(shape))

    def _index_columns(self, shape: tuple[int, ...]) -> list[tuple[str, Array, int]]:
        """The paths of layers that look up columns of the model's input, the columns, and the rows there are."""
        found: list[tuple[str, Array, int]] = []
        columns: Array | None = np.arange(math.prod(shape))
        for layer in self._layers:
            columns = layer.trace(shape, columns, found)
            shape = tuple(layer.compute_output_shape(shape))
        return found

    def _check_indices(self, rows: Array, name: str, shape: tuple[int, ...]) -> None:
        for path, columns, limit in self._indices if self.built else self._index_columns(shape):
            check_indices(rows, name, path, columns, limit)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of an output sample."""
        if self.input_shape is None:
            raise ValueError("the model is not built: call build(input_shape), or fit it")
        return self._output_shape_of(self.input_shape)

    def _output_shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.built and shape == self.input_shape:
            return self._layers[-1].output_shape
        for layer in self._layers:
            shape = tuple(layer.compute_output_shape(shape))
        return shape

    @property
    def n_outputs(self) -> int:
        return math.prod(self.output_shape)

    def _new_locks(self) -> None:
        self._busy = threading.Lock()           # held by the call that changes the model
        self._holder: int | None = None         # the thread of that call, while a callback of its may run
        self._building = threading.RLock()

    def _exclusively(self, what: str, from_callback: bool = False) -> AbstractContextManager[None]:
        """Refuse a second call that changes the model while one is running, but for what a callback may do."""
        inside = self._holder == threading.get_ident()
        if inside and from_callback:
            return nullcontext()
        return Exclusive(self._busy, INSIDE if inside else ELSEWHERE, what)

    # ---- programs -------------------------------------------------------------------------------------------

    def _reset_engine(self) -> None:
        self._inference: dict[bool, engine.Pool] = {}   # for samples that are sparse or not, as those of _training
        self._training: tuple[Any, int, list[tuple[Layer, bool, float]], dict[bool, engine.Pool]] | None = None
        self._workspaces: dict[Any, engine.Runner] = {}
        self._grad: Array | None = None

    def _lower(self, training: bool, loss: losses.Loss | None = None, inputs: bool = False,
               sparse: bool = False) -> engine.Program:
        rules, lazy = {}, False
        if training and self.optimizer is not None:
            named = [(leaf.path, name, weight) for leaf in self._leaves() for name, weight in leaf.weights.items()]
            offsets = [offset for leaf in self._leaves() for offset in leaf._offsets.values()]
            rules, lazy = dict(zip(offsets, self.optimizer._rules_of(named), strict=True)), self.optimizer.lazy
        return lowered(self._layers, self.dtype, training, loss, inputs, rules, sparse, lazy)

    def _predicting(self, sparse: bool = False) -> engine.Pool:
        pools = self._inference
        pool = pools.get(sparse)
        if pool is None:
            pool = pools[sparse] = engine.Pool(self._lower(training=False, sparse=sparse), self._flat)
        return pool

    def _evaluating(self, sparse: bool = False) -> engine.Pool:
        """Over the program of the compiled loss and optimizer and of the layers that are trainable now, for samples
        that are sparse or not."""
        optimizer, found = self.optimizer, self._training
        revision = optimizer._revision if optimizer is not None else 0
        if found is None or found[0] is not optimizer or found[1] != revision or _changed(found[2]):
            flags = [(layer, layer._trainable, layer._multiplier) for layer in self._family]
            self._workspaces.clear()
            self._training = found = optimizer, revision, flags, {}
        pools = found[3]
        pool = pools.get(sparse)
        if pool is None:
            program = self._lower(training=True, loss=self._loss, sparse=sparse)
            pool = pools[sparse] = engine.Pool(program, self._flat)
        return pool

    def _check_gradients(self) -> None:
        """ValueError if a layer has none."""
        for leaf in self._leaves():
            if leaf.predicts_only:
                raise ValueError(f"layer {leaf.path!r} ({type(leaf).__name__}) is for prediction alone and has no "
                                 "gradients; train the model that it was made of")

    def _gradient_block(self) -> Array:
        if self._grad is None:
            self._grad = engine.aligned_zeros(self._flat.size, self.dtype, skew=320)
            for layer in self._family:
                if isinstance(layer, PythonLayer):
                    layer._set_gradients({name: self._grad[start:start + weight.size].reshape(weight.shape)
                                       for (name, weight), start in zip(layer.weights.items(),
                                                                        layer._offsets.values(), strict=True)})
        return self._grad

    def _workspace(self, kind: str, rows: int, sparse: bool = False) -> engine.Runner:
        """A runner over a workspace for `rows` rows, kept for the next call that needs no more."""
        program, key = self._evaluating(sparse).program, "sparse " + kind if sparse else kind
        found = self._workspaces.get(key)
        if found is None or found.work.max_rows < rows:
            self._check_gradients()
            state = self._optimizer_state() if kind == "train" else None
            need_grad = (state is None or state.needs_whole_gradients or program.has_python
                         or program.keeps_gradients or program.two_phases(rows, 1))
            work = engine.Workspace(program, self._flat, rows, self._gradient_block() if need_grad else None,
                                    () if state is None else state.slots, self._mask)
            found = self._workspaces[key] = engine.Runner(work)
        return found

    # ---- prediction -----------------------------------------------------------------------------------------

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = 0,
                callbacks: Sequence[Callback] | None = None, *, n_threads: int | None = None) -> Array:
        """Outputs for samples.

        Rows are computed independently of one another: the result is the same to the bit for any batch size and
        any number of threads. Many threads may call it on one model.

        Parameters
        ----------
        x : array-like (n, ...), or stream
            Samples, in any real dtype, order and strides, or a sparse matrix; or chunks of them, as `fit` takes them,
            with or without y.
        batch_size, verbose : ignored
            Accepted for code written for Keras; the engine chooses its pieces itself. Only callbacks with methods
            for batches of predictions are told of batches of `batch_size` (32 by default).
        callbacks : list of Callback, optional
            Their ``on_predict_`` methods are called.
        n_threads : int, optional

        Returns
        -------
        ndarray (n, n_outputs)
            Of the model's dtype.

        Raises
        ------
        TypeError, ValueError
            If `x` has another dtype kind, rank or number of features than the model, is empty or not finite.
        """
        threads = effective_n_threads(n_threads)
        stream = None if type(x) is np.ndarray else as_stream(x, chunks_are_tuples=False)
        if stream is not None:
            out = self._predict_stream(stream, check_count("batch_size", batch_size or 32), threads, callbacks)
        else:
            rows, shape = self._samples(x, "x")
            if not self.built:
                self.build(shape)
            if callbacks is None:
                out = self._predicting(isinstance(rows, Csr)).predict(rows, threads)
            else:
                out = self._predict_telling([rows], len(rows), check_count("batch_size", batch_size or 32), threads,
                                            callbacks)
        shape = self._layers[-1].output_shape
        return out if len(shape) == 1 else out.reshape(len(out), *shape)

    def _predict_stream(self, stream: Stream, batch: int, threads: int, callbacks: Sequence[Callback] | None) -> Array:
        def prepare(arrays: list[Array], first: int) -> tuple[Array, tuple[int, ...]]:
            return self._samples(arrays[0], f"x of the stream from row {first} on")

        with Reader(stream, prepare, batch, needs_targets=False) as reader:
            self.build(begun(reader))
            return self._predict_telling((rows for rows, _ in reader.epoch()), None, batch, threads, callbacks)

    def _predict_telling(self, parts: Iterable[Array], n: int | None, batch: int, threads: int,
                         callbacks: Sequence[Callback] | None) -> Array:
        """The same with calls of `callbacks`, in batches if any of them asks for batches."""
        params = {"samples": n, "steps": None if n is None else -(-n // batch)}
        outputs: list[Array] = []
        with CallbackList(checked_callbacks(callbacks), self, params) as calls:
            asked = calls.asks("on_predict_batch_begin") or calls.asks("on_predict_batch_end")
            calls.call("on_predict_begin", {})
            for rows in parts:
                pool = self._predicting(isinstance(rows, Csr))
                if not asked:
                    outputs.append(pool.predict(rows, threads))
                    continue
                for start in range(0, len(rows), batch):
                    calls.call("on_predict_batch_begin", len(outputs), {})
                    outputs.append(pool.predict(rows[start:start + batch], threads))
                    calls.call("on_predict_batch_end", len(outputs) - 1, {"outputs": outputs[-1]})
            calls.call("on_predict_end", {})
        return np.concatenate(outputs)

    def predict_on_batch(self, x: Any) -> Array:
        """Outputs for one batch; the same as `predict`."""
        return self.predict(x)

    __call__ = predict_on_batch

    def fuse(self) -> Sequential:
        """A new model for prediction, without noise and without batch normalization that has a kernel beside it.

        With ``a = gamma / sqrt(moving_variance + epsilon)`` and ``b = beta - moving_mean * a``, a linear Dense or
        convolution before the normalization takes ``kernel * a`` and ``bias * a + b``; a Dense or unpadded convolution
        behind it takes ``a[:, None] * kernel`` and ``bias + b @ kernel``. Dropout and its like do nothing in
        predictions and do not stand in the way; they are left out. Predictions are equal but for rounding.
        Normalizations without such a neighbour stay, as do those beside kernels that several layers share. This model
        stays as it is; the new one has an optimizer that has done no steps.

        Returns
        -------
        Sequential

        Raises
        ------
        ValueError
            If the model is not built.

        Examples
        --------
        >>> import numpy as np
        >>> import fastnn as fnn
        >>> from fastnn.layers import Activation, BatchNormalization, Dense, Dropout
        >>> model = fnn.Sequential([fnn.Input((4,)), Dense(8, use_bias=False), BatchNormalization(), Activation("relu"),
        ...                         Dropout(0.2), Dense(3)], seed=0)
        >>> fused = model.fuse()
        >>> fused
        <Sequential 'sequential': Dense, Activation, Dense>
        >>> np.allclose(fused.predict(np.eye(4)), model.predict(np.eye(4)), atol=1e-6)
        True
        """
        from fastnn.fusing import fused

        self._named_weights()
        return fused(self)

    def sparsify(self, threshold: float | None = None, sparsity: float | None = None, *,
                 layers: Sequence[Layer | str] | None = None) -> Sequential:
        """A new model in which Dense layers are `SparseDense` layers of their largest weights.

        It goes on where this model stands: the optimizer keeps what it knows of the weights that stay, and of the
        others nothing is left. Masks of pruned weights end with them. This model stays as it is.

        Parameters
        ----------
        threshold : float, optional
            Weights whose magnitude is above it stay. Default: those that are not zero, as `fastnn.weights.prune` leaves
            them.
        sparsity : float, optional
            In place of a threshold: the share of each kernel that goes, in [0, 1), the smallest magnitudes.
        layers : list of Layer or str, optional
            Layers or their names; sparse ones lose weights too. Default: with `sparsity` all that can, otherwise those
            of which at least 80 % goes, from where on a sparse layer is the faster one. Layers in containers and those
            that share a kernel with others cannot.

        Returns
        -------
        Sequential

        Raises
        ------
        TypeError, ValueError
            If the model is not built, an argument is not allowed, no layer can become sparser, or one that would has a
            constraint of norms.

        Examples
        --------
        >>> import fastnn as fnn
        >>> model = fnn.Sequential([fnn.Input((20,)), fnn.layers.Dense(100, "relu"), fnn.layers.Dense(3)], seed=0)
        >>> report = fnn.weights.prune(model, 0.9, layers=["dense"])
        >>> sparse = model.sparsify()
        >>> sparse
        <Sequential 'sequential': SparseDense, Dense>
        >>> sparse.layers[0].kernel.nnz, sparse.count_params()
        (200, 603)
        """
        from fastnn.sparsifying import sparsified

        return sparsified(self, threshold, sparsity, layers)

    def _exchange_layers(self, new: Mapping[Any, Layer]) -> None:
        """Layers of a built model give place to others with equally many numbers in each weight; what the optimizer
        knows of these it knows then too."""
        optimizer, metrics, state = self._state_of, self._metrics, self._state
        shapes = [weight.shape for leaf in self._leaves() for weight in leaf.weights.values()]
        for old, layer in new.items():
            layer.name, layer._owner, layer._named_by_model = old.name, self, old._named_by_model
            old.release()
        self._set_layers([new.get(layer, layer) for layer in self._layers])
        self._metrics = metrics
        if state is None or optimizer is None or optimizer is not self.optimizer:
            return
        fresh = self._optimizer_state()
        fresh.step, fresh.memory[...] = state.step, state.memory
        placed = [(weight.shape, leaf._offsets[name]) for leaf in self._leaves()
                  for name, weight in leaf.weights.items()]
        for kind, block, known in zip(optimizer._blocks(), fresh.blocks, state.blocks, strict=True):
            for before, (after, start) in zip(shapes, placed, strict=True):
                used = optimizer._used_size(kind, before)
                if used == optimizer._used_size(kind, after):
                    block[start:start + used] = known[start:start + used]

    def pack(self) -> Sequential:
        """A new model for prediction whose weights of few values are bits, 64 in a word.

        `PackedDense` layers take the place of `BinaryDense` and `TernaryDense` ones: 32 times smaller in memory and in
        files than float32, ternary ones 16 times. An activation of two values ("sign", "binary_step") right before such
        a layer becomes part of it, and its products are then counted instead of multiplied, with XNOR and popcount.
        Other inputs, as those of the first layer, are multiplied as before. Noise is left out, all other layers stay as
        they are. Predictions have the same bits as those of this model, which stays as it is. Layers that changed have
        no penalties any more, which the loss of `evaluate` is without.

        Returns
        -------
        Sequential

        Raises
        ------
        ValueError
            If the model is not built, or has no layer that can be packed.

        Examples
        --------
        >>> import numpy as np
        >>> import fastnn as fnn
        >>> from fastnn.layers import Activation, BatchNormalization, BinaryDense
        >>> model = fnn.Sequential([fnn.Input((4,)), BinaryDense(64), BatchNormalization(), Activation("sign"),
        ...                         BinaryDense(3)], seed=0)
        >>> packed = model.pack()
        >>> packed
        <Sequential 'sequential': PackedDense, BatchNormalization, PackedDense>
        >>> np.array_equal(packed.predict(np.eye(4)), model.predict(np.eye(4)))
        True
        """
        from fastnn.packing import packed

        self._named_weights()
        return packed(self)

    # ---- weights --------------------------------------------------------------------------------------------

    def _named_weights(self) -> list[tuple[str, Array]]:
        if not self.built:
            raise ValueError("the model has no weights before it is built: call build(input_shape), or fit it")
        return [(f"{leaf.path}.{name}", weight) for leaf in self._leaves() for name, weight in leaf.weights.items()]

    def get_weights(self) -> list[Array]:
        """Copies of all parameters: layer by layer, the kernel before the bias.

        Raises
        ------
        ValueError
            If the model is not built.
        """
        return [weight.copy() for _, weight in self._named_weights()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Overwrite all parameters, in the order of `get_weights`; on an error none is changed.

        The optimizer keeps its slots, and an average of the weights that it makes (``use_ema``, `ScheduleFreeAdamW`)
        goes on with those before: `compile` again to start afresh from the new ones.

        Raises
        ------
        TypeError, ValueError
            If the number of arrays, a shape or a dtype is not right, or a value is not finite.
        """
        named = self._named_weights()
        if not hasattr(weights, "__iter__"):
            raise TypeError(f"weights must be a list of arrays, as get_weights returns; received {weights!r}")
        weights = list(weights)
        if len(weights) != len(named):
            raise ValueError(f"the model has {len(named)} weights: {', '.join(name for name, _ in named)}; "
                             f"received {len(weights)} arrays")
        with self._exclusively("set_weights", from_callback=True):
            checked = [checked_weight(value, old, name) for value, (name, old) in zip(weights, named, strict=True)]
            for (_, old), new in zip(named, checked, strict=True):
                old[...] = new
            self._apply_mask()

    def _mask_block(self) -> Array:
        """uint8, 0 where pruning holds a number of the flat block at zero; made on first use, of the layers' masks."""
        if self._mask is None:
            self._mask = np.ones(self._flat.size, np.uint8)
            for leaf in self._leaves():
                for name, start in leaf._offsets.items():
                    weight = leaf.weights[name]
                    view = self._mask[start:start + weight.size].reshape(weight.shape)
                    if name in leaf._masks:
                        view[...] = leaf._masks[name]
                    leaf._masks[name] = view
            self._workspaces.clear()
        return self._mask

    def _hold(self, layer: Layer, masks: Mapping[str, Array]) -> None:
        """Hold weights of a layer at zero where a mask is False; the optimizer forgets what it knew of these."""
        with self._exclusively("pruning", from_callback=True):
            self._mask_block()
            for name, mask in masks.items():
                layer._masks[name][...] = mask
                mask_weights(layer.weights[name], mask)
            self._forget(layer, masks)

    def _forget(self, layer: Layer, masks: Mapping[str, Array]) -> None:
        """What the optimizer remembers of masked weights is as in the beginning."""
        if self._state is None or self._state_of is None:
            return
        for name, mask in masks.items():
            part = slice(layer._offsets[name], layer._offsets[name] + mask.size)
            for block, (kind, value) in zip(self._state.blocks, self._state_of._blocks().items(), strict=True):
                if self._state_of._used_size(kind, mask.shape) == mask.size:  # a number for each weight
                    block[part][~mask.ravel()] = value or 0.0

    def _set_structure(self, changes: Sequence[Structure]) -> None:
        """Other entries for kernels of `SparseDense` layers; see there."""
        with self._exclusively("set_structure", from_callback=True):
            if self._search is not None:
                raise ValueError("L-BFGS remembers all weights: what they are cannot change before fit has returned")
            if all(pattern.nnz == layer.pattern.nnz for layer, pattern, _, _ in changes):
                self._move_entries(changes)
            else:
                self._resize(changes)
            self._apply_mask()

    def _move_entries(self, changes: Sequence[Structure]) -> None:
        """As many as before, in their place."""
        blocks: list[tuple[Array, float | None]] = [] if self._mask is None else [(self._mask, 1)]
        if self._before is not None:
            blocks.append((self._before, None))
        for layer, pattern, values, places in changes:
            part = slice(layer._offsets["kernel"], layer._offsets["kernel"] + pattern.nnz)
            for block, fill in blocks + [(block, fill) for block, fill, used in self._memory((pattern.nnz,))
                                         if used == pattern.nnz]:
                block[part] = _moved(block[part], places, values if fill is None else fill)
            layer.weights["kernel"][...] = values
            if self._running is not None:
                self._running.work.program.replace_index(layer._offsets["kernel"], pattern._index)
            layer._pattern = pattern
        # No program may go on with an index of before, but for the one that is running.
        self._inference, self._training = {}, None
        self._workspaces.clear()

    def _resize(self, changes: Sequence[Structure]) -> None:
        """More or fewer than before, in new blocks of memory for all weights."""
        if self._running is not None:
            raise ValueError("the number of connections cannot change between the batches of an epoch, only where an "
                             "epoch begins or ends")
        if self._swapped:
            raise ValueError("the number of connections cannot change while averages stand in the weights' place")
        optimizer, metrics, state = self.optimizer, self._metrics, self._state
        old = [(leaf, name, start, leaf.weights[name].shape) for leaf in self._leaves()
               for name, start in leaf._offsets.items()]
        moved = {layer: (values, places) for layer, _, values, places in changes}
        for layer, pattern, values, places in changes:
            if "kernel" in layer._masks:
                layer._masks["kernel"] = _moved(layer._masks["kernel"], places, 1)
            layer._pattern, layer.weights["kernel"] = pattern, values
        self._allocate()
        self._metrics = metrics
        if state is None or optimizer is None or optimizer is not self._state_of:
            return
        new = self._optimizer_state()
        new.step, new.memory[...] = state.step, state.memory
        for (kind, fill), block, old_block in zip(optimizer._blocks().items(), new.blocks, state.blocks, strict=True):
            for leaf, name, start, shape in old:
                part = old_block[start:start + optimizer._used_size(kind, shape)]
                if name == "kernel" and leaf in moved:
                    values, places = moved[leaf]
                    part = _moved(part, places, values if fill is None else fill) if part.size == shape[0] else part[:0]
                block[leaf._offsets[name]:leaf._offsets[name] + part.size] = part

    def _memory(self, shape: tuple[int, ...]) -> list[tuple[Array, float | None, int]]:
        """The optimizer's blocks, what they begin with (None: the parameter), the numbers for a weight of `shape`."""
        if self._state is None or self._state_of is None:
            return []
        return [(block, fill, self._state_of._used_size(kind, shape)) for block, (kind, fill) in
                zip(self._state.blocks, self._state_of._blocks().items(), strict=True)]

    def _apply_mask(self) -> None:
        if self._mask is not None:
            mask_weights(self._flat, self._mask.view(np.bool_))

    def _release_masks(self) -> None:
        with self._exclusively("remove_pruning", from_callback=True):
            for leaf in self._leaves():
                self._forget(leaf, leaf.masks)
            self._mask = None
            for leaf in self._leaves():
                leaf._masks = {}
            self._workspaces.clear()

    def count_params(self) -> int:
        """Number of parameters."""
        return sum(weight.size for _, weight in self._named_weights())

    # ---- description ----------------------------------------------------------------------------------------

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print a table of the layers, with shapes and numbers of parameters.

        Parameters
        ----------
        print_fn : callable, default print
            Called once with the whole text.
        """
        rows = [("Layer (type)", "Output Shape", "Param #")]
        for layer in self._family:
            shape = str((None, *layer.output_shape)) if layer.built else "?"
            count = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
            rows.append((f"{'  ' * layer.depth}{layer.name} ({type(layer).__name__})", shape, count))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
        rule = "-" * len(lines[0])
        size = np.dtype(self.dtype).itemsize
        trained = sum(leaf.count_trained() for leaf in self._leaves())
        total = sum(layer.count_params() for layer in self.layers)
        counts = [f"{label} params: {count:,} ({_bytes(count * size)})" for label, count in
                  (("Total", total), ("Trainable", trained), ("Non-trainable", total - trained))]
        print_fn("\n".join([f'Model: "{self.name}"', rule, lines[0], rule, *lines[1:], rule, *counts]))

    def get_config(self) -> dict[str, Any]:
        """The structure, without weights, in a form that JSON can hold."""
        return {"name": self.name, "dtype": self.dtype, "seed": self.seed,
                "input_shape": None if self.input_shape is None else list(self.input_shape),
                "layers": [{"class_name": type(layer).__name__, "config": layer.get_config()}
                           for layer in self.layers]}

    def save(self, path: Any, *, include_optimizer: bool = True) -> None:
        """Write the model to one safetensors file: configuration, weights, optimizer.

        The file is written beside `path`, forced to disk and renamed: a crash leaves either the old file or the
        new one. See :func:`fastnn.load_model`.

        Parameters
        ----------
        path : str or os.PathLike
        include_optimizer : bool, default True
            Whether the optimizer's slots are kept, so that training can go on; in ``on_epoch_end`` and
            ``on_train_batch_end`` of a callback also where `fit` stands, for ``fit(..., resume=path)``.

        Raises
        ------
        ValueError
            If the model is not built.
        OSError
            If the file cannot be written; what was at `path` is unharmed.
        """
        from fastnn.saving import save_model

        save_model(self, path, include_optimizer=include_optimizer)

    def _repr_html_(self) -> str:
        from fastnn.notebooks import model_html

        return model_html(self)

    def __repr__(self) -> str:
        return f"<Sequential {self.name!r}: {', '.join(type(layer).__name__ for layer in self.layers) or 'no layers'}>"

    # ---- what training needs --------------------------------------------------------------------------------

    def _data(self, x: Any, y: Any, sample_weight: Any, class_weight: Any = None,
              names: tuple[str, str] = ("x", "y"), shape: tuple[int, ...] | None = None,
              part: bool = False) -> tuple[engine.Data, tuple[int, ...]]:
        """Checked arrays for the compiled loss and metrics, and the shape of a sample. Does not build the model."""
        if y is None:
            raise ValueError(f"{names[1]} is needed: received None")
        rows, shape = self._samples(x, names[0], shape)
        output_shape = self._layers[-1].output_shape if self.built else self._output_shape_of(shape)
        n, n_outputs, loss = len(rows), math.prod(output_shape), self._loss
        labels = targets = weight = None
        if loss.sparse:
            labels = as_labels(y, n, n_outputs, names[1])
        else:
            targets = as_targets(y, n, output_shape, self._dtype, isinstance(loss, ON_PROBABILITIES), names[1])
        if sample_weight is not None or class_weight is not None:
            weight = combined_weights(sample_weight, class_weight, labels, targets, n, n_outputs, part)
        return engine.Data(rows, labels, targets, weight, n_outputs), shape

    def _samples(self, x: Any, name: str, shape: tuple[int, ...] | None = None) -> tuple[Any, tuple[int, ...]]:
        """Checked rows for the engine, and the shape of a sample."""
        shape = self._input_shape or shape
        if type(x) is not np.ndarray and is_sparse(x):
            first = next((layer for layer in self._layers if not isinstance(layer, Flatten)), None)
            if first is not None and not isinstance(first, Dense):
                raise TypeError(f"{name} is a sparse matrix, which goes to a Dense layer; the first layer is of class "
                                f"{type(first).__name__}: put a Dense layer first, or give {name}.toarray()")
            csr = as_csr(x, name, self._dtype, shape)
            return csr, (csr.cols,)
        rows, shape = as_features(x, shape, name, self._dtype)
        if self._indices or not self.built:
            self._check_indices(rows, name, shape)
        return rows, shape

    def _built_data(self, x: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> engine.Data:
        """The same, and the model is built for it."""
        data, shape = self._data(x, y, sample_weight, class_weight)
        if not self.built:
            self.build(shape)
        return data

    # ---- copies ---------------------------------------------------------------------------------------------

    def __copy__(self) -> Sequential:
        """A model has its layers for itself: a shallow copy would share them."""
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: everything but locks and compiled programs; the optimizer's slots as arrays."""
        left_out = ("_busy", "_holder", "_building", "_flat", "_mask", "_inference", "_training", "_workspaces",
                    "_grad", "_state", "_run", "_search", "_running", "_before")
        state = {key: value for key, value in self.__dict__.items() if key not in left_out}
        if self._state is not None:
            state["_optimizer"] = self._state.step, self._state.memory, self._state.blocks
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        optimizer = state.pop("_optimizer", None)
        self.__dict__.update(state)
        for layer in self._layers:
            layer._owner = self
        self._new_locks()
        self._mask = None
        self._reset_engine()
        self._state = self._run = self._search = self._running = self._before = None
        if self.built:
            self._allocate()
        if optimizer is not None:
            new = self._optimizer_state()
            new.step = optimizer[0]
            new.memory[...] = optimizer[1]
            for slot, old in zip(new.blocks, optimizer[2], strict=True):
                slot[...] = old


def _moved(part: Array, places: NDArray[np.int64], fresh: Any) -> Array:
    """What a part of a block has for other entries: for those that stay what it had, for new ones `fresh`."""
    new, is_new = part[places], places < 0
    new[is_new] = fresh[is_new] if isinstance(fresh, np.ndarray) else fresh
    return new


def lowered(layers: Sequence[Layer], dtype: str, training: bool, loss: losses.Loss | None = None,
            inputs: bool = False, rules: dict[int, int] | None = None, sparse: bool = False,
            lazy: bool = False) -> engine.Program:
    """The program of built layers that follow one another, and of a loss behind the last of them. `inputs`: whether
    the gradient with respect to what goes in is wanted too; `rules`: which of the optimizer's rules a parameter at an
    offset of the flat block is under, where it is not the first; `sparse`: whether samples are; `lazy`: whether the
    optimizer is."""
    program = engine.Program(dtype, layers[0].n_inputs, rules, sparse, lazy)
    last = layers[-1]
    kernel, absorbs = loss.kernel(last.output_activation) if loss is not None else (None, False)
    buffer = 0
    for layer in layers:
        buffer = layer.lower(program, buffer, training, absorbs and layer is last)
    if not program.ops or program.ops[-1].target != buffer:
        buffer = program.affine(buffer, 1.0, 0.0)
    program.finish(training, None if loss is None else loss if kernel is None
                   else (kernel, float(loss.param), not absorbs), inputs)
    return program


def _changed(flags: list[tuple[Layer, bool, float]]) -> bool:
    for layer, trainable, multiplier in flags:
        if layer._trainable is not trainable or layer._multiplier != multiplier:
            return True
    return False


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} GB"

