"""Training: what `Sequential` does with data."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import losses, metrics, optimizers
from fastnn._kernels import program as engine
from fastnn._kernels.threads import effective_n_threads
from fastnn.callbacks.base import Callback, CallbackList, checked_callbacks
from fastnn.callbacks.history import History
from fastnn.callbacks.progress import ProgressBar
from fastnn.errors import DivergenceError
from fastnn.files import StrPath, check_path
from fastnn.inputs import all_finite, as_array, check_count
from fastnn.layers import Activation, Dense, Layer
from fastnn.metrics import Metric
from fastnn.named import number, one_of
from fastnn.run import Run, Spec
from fastnn.search import Search
from fastnn.sparse_inputs import as_csr, is_sparse, refuse_sparse
from fastnn.streams import Reader, Readers, Stream, as_stream

__all__ = ["Trainer"]

EVALUATION_ROWS = 1024  # of a piece of the engine's
REMEDY = "A smaller learning rate or scaled inputs are the usual remedies"

Array = NDArray[Any]
Feed = engine.Data | Reader  # all samples, or a stream of them


class Place(NamedTuple):
    """What one call of the engine trains on, and where in an epoch that is."""

    data: engine.Data
    batch: int          # rows of a batch
    batches: int        # of the epoch, before these data
    rows: int           # the same
    epoch: int          # from 1
    feed: Feed          # all of the epoch


class Trainer:
    """The training half of `Sequential`: compile, fit, evaluate, and steps on single batches."""

    seed: int
    built: bool
    _flat: Array
    _family: list[Layer]

    def __init__(self) -> None:
        self.optimizer: optimizers.Optimizer | None = None
        self.stop_training = False
        self.history: History | None = None
        self._compiled_loss: losses.Loss | None = None
        self._metric_identifiers: list[Any] = []
        self._metrics: list[Metric] | None = None
        self._state: engine.Optimizer | None = None
        self._state_of: optimizers.Optimizer | None = None
        self._swapped: list[slice] = []     # parts of the parameters that are where their averages were
        self._state_decay: float | None = None        # that the state's rules have
        self._shuffles = 0
        self._search: Search | None = None
        self._run: Run | None = None  # the call of fit that is under way
        self._running: engine.Runner | None = None  # the epoch that is under way
        self._before: Array | None = None  # the weights before it

    # ---- compile --------------------------------------------------------------------------------------------

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, *,
                metrics: Sequence[Any] | None = None) -> None:
        """Choose what to minimise, how, and what to watch. The optimizer starts afresh.

        Parameters
        ----------
        optimizer : str or Optimizer, default "rmsprop"
        loss : str or Loss
        metrics : list of str or Metric, optional
            ``"accuracy"`` means the kind that suits the loss. Metrics are not weighted by sample weights.

        Raises
        ------
        TypeError, ValueError
            For unknown names, with the closest known one, for a loss that does not suit the last layer, and for an
            optimizer that cannot keep the constraints of layers.
        """
        if loss is None:
            raise ValueError("compile needs a loss, such as loss='mse'; received None")
        if isinstance(metrics, (str, bytes, Mapping)) or (metrics is not None and not hasattr(metrics, "__iter__")):
            raise TypeError(f"metrics must be a list, such as ['accuracy']; received {metrics!r}")
        new_optimizer, new_loss, identifiers = optimizers.get(optimizer), losses.get(loss), list(metrics or ())
        if self.layers:
            _check_ending(new_loss, self.layers[-1])
        for leaf in self._leaves() if self.built else ():
            for name, spec in leaf.parameters(leaf.input_shape).items():
                new_optimizer._check_parameter(f"{leaf.path}.{name}", spec.constraint)
        resolved = self._resolve(identifiers, new_loss)
        with self._exclusively("compile"):
            self.optimizer, self._compiled_loss = new_optimizer, new_loss
            self._metric_identifiers, self._metrics = identifiers, resolved
            self._training = None
            self._reset_optimizer()

    def _resolve(self, identifiers: Sequence[Any], loss: losses.Loss) -> list[Metric] | None:
        """The metrics for the loss and the outputs; None, after a check of the names, before these are known."""
        if not self.built:
            for identifier in identifiers:
                metrics.get(identifier)
            return None
        return [metrics.get(identifier, loss, self.n_outputs) for identifier in identifiers]

    @property
    def loss(self) -> losses.Loss | None:
        """The compiled loss, or None."""
        return self._compiled_loss

    @property
    def _loss(self) -> losses.Loss:
        if self._compiled_loss is None:
            raise ValueError("the model is not compiled: call compile(optimizer, loss) first")
        return self._compiled_loss

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The compiled metrics; those that depend on the model's outputs are known once it is built."""
        if self._metrics is None:
            self._metrics = self._resolve(self._metric_identifiers, self._loss)
        if self._metrics is None:
            raise ValueError("the model is not built: call build(input_shape), or fit it")
        return tuple(self._metrics)

    @property
    def metrics_names(self) -> list[str]:
        """``"loss"`` and the names of the metrics, in the order of `evaluate`."""
        return _names(self.metrics)

    # ---- optimizer state ------------------------------------------------------------------------------------

    def _reset_optimizer(self) -> None:
        self._state, self._swapped = None, []
        self._workspaces.clear()

    def _optimizer_state(self) -> engine.Optimizer:
        """What the compiled optimizer remembers, made on first use, with its numbers of now."""
        optimizer = self.optimizer
        assert optimizer is not None
        if isinstance(optimizer, optimizers.LBFGS):
            raise ValueError("LBFGS takes many steps with all samples: call fit")
        if self._state_of is not optimizer:
            self._reset_optimizer()
        if self._state is None:
            self._evaluating()  # refuses what is excluded from weight decay and no parameter
            optimizer._used = True
            blocks = {}
            for i, (name, value) in enumerate(optimizer._blocks().items()):
                block = blocks[name] = engine.aligned_zeros(self._flat.size, self.dtype, skew=320 * (i + 2))
                # Pages of zeros that nobody writes to, as those of frozen layers, take no memory.
                if value is None:
                    block[...] = self._flat
                elif value:
                    block.fill(value)
            self._state = engine.Optimizer(optimizer._rules(), [blocks[slot] for slot in optimizer.slots],
                                           blocks.get("ema"), blocks.get("gradient_accumulator"),
                                           **optimizer._numbers())
            self._state_of, self._state_decay = optimizer, optimizer.weight_decay
        elif self._state_decay != optimizer.weight_decay:
            self._state.set_rules(optimizer._rules())
            self._state_decay = optimizer.weight_decay
        return self._state

    def _swap_average(self) -> None:
        """The averages in the model's place, and back."""
        swapped = self._swapped
        pairs = self._averaged(swapped or None)
        for _, weights, average in pairs:
            weights[...], average[...] = average.copy(), weights.copy()
        self._swapped = [] if swapped else [part for part, _, _ in pairs]

    def _swap_back(self) -> None:
        if self._swapped:
            self._swap_average()

    def _take_average(self) -> None:
        """Where the optimizer averages the parameters, the average is what training ends with."""
        self._swap_back()
        for _, weights, average in self._averaged():
            weights[...] = average
        self._apply_mask()

    def _averaged(self, parts: list[slice] | None = None) -> list[tuple[slice, Array, Array]]:
        """Parts of the flat parameters, by default those that are trained, and their averages; none before the first
        step."""
        state = self._state
        if state is None or state.average is None or not state.step:
            return []
        if parts is None:
            table = self._evaluating().program.tensor_table[["offset", "rows", "cols", "trainable"]].tolist()
            parts = [slice(offset, offset + rows * cols) for offset, rows, cols, trainable in table if trainable]
        return [(part, self._flat[part], state.average[part]) for part in parts]

    # ---- fit ------------------------------------------------------------------------------------------------

    def fit(self, x: Any, y: Any = None, batch_size: int | None = 32, epochs: int = 1, verbose: Any = "auto",
            callbacks: Sequence[Callback] | None = None, validation_split: float = 0.0,
            validation_data: Any = None, shuffle: bool = True,
            class_weight: Mapping[int, float] | None = None, sample_weight: Any = None, initial_epoch: int = 0,
            *, resume: StrPath | None = None, n_threads: int | None = None) -> History:
        """Train for some epochs.

        The whole of an epoch runs in compiled code. The resulting weights are the same to the bit for any number
        of threads. ``KeyboardInterrupt`` stops between two steps and leaves a model that can be used.

        Parameters
        ----------
        x : array-like (n, ...)
            Samples: arrays in any order, strides and real dtype (read-only and memory-mapped too), frames, lists.
            Integers and float16 are converted row by row as they are needed. Or a sparse matrix of scipy, as csr, csc
            or coo, which is never made dense; the first layer must be a `Dense`. Or a stream: a function that returns
            an iterable of chunks ``(x, y)`` or ``(x, y, sample_weight)``, such an iterable, or a `Stream`.
        y : array-like
            Integer labels (n,) for sparse losses, else target rows (n, n_outputs), or (n,) for one output. Not for
            streams.
        batch_size : int, default 32
            Rows of a step; the last batch of an epoch may be shorter.
        epochs : int, default 1
            Index of the epoch at which to stop, counting from 0.
        verbose : {"auto", 0, 1, 2}, default "auto"
            0: silent, 1 or "auto": table of epochs and progress bar, 2: table.
        callbacks : list of Callback, optional
        validation_split : float, default 0.0
            Part of the samples, the last ones, that is kept for validation; in [0, 1).
        validation_data : tuple (x, y) or (x, y, sample_weight), or stream, optional
            Wins over `validation_split`.
        shuffle : bool, default True
            Whether the samples take a new random order in each epoch (not where it is a single batch). Those of a
            stream do within each buffer, see `Stream`.
        class_weight : dict of int to float, optional
            Weight of each class in the loss; 1 for those not named.
        sample_weight : array-like (n,), optional
            Weight of each sample in the loss: finite, at least 0, not all 0.
        initial_epoch : int, default 0
        resume : str or path-like, optional
            A file that `save` wrote in a callback during such a call: training goes on where it stood then, in the
            middle of an epoch too, and ends with the same bits. Model, data, `batch_size`, `shuffle` and callbacks
            must be as they were.
        n_threads : int, optional
            At most this many threads (`fastnn.get_num_threads` by default); small models use fewer.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If the model is not compiled or an argument is not allowed; the model is then unchanged. A chunk of a
            stream is looked at when it has been read: the steps before it are done then.
        DivergenceError
            If the loss of a batch is not finite; the weights are those from before that batch.
        RuntimeError
            If the model is being trained already: in another thread, or by the call whose callback this is.
        """
        _ = self._loss  # refuses a model that is not compiled
        resume = None if resume is None else check_path("resume", resume)
        batch_size = check_count("batch_size", 32 if batch_size is None else batch_size)
        epochs = check_count("epochs", epochs)
        initial_epoch = check_count("initial_epoch", initial_epoch, low=0)
        one_of("verbose", verbose, ("auto", 0, 1, 2))
        if not isinstance(shuffle, (bool, np.bool_)):
            raise TypeError(f"shuffle must be True or False; received {shuffle!r}")
        split = number("validation_split", validation_split, "[0, 1)")
        threads = effective_n_threads(n_threads)
        with self._exclusively("fit"), Readers() as readers:
            stream = _stream(x, y, sample_weight, split)
            if validation_data is None and split:
                x, y, sample_weight, validation_data = _split(x, y, sample_weight, split, self.dtype)
            data: Feed
            if stream is None:
                data, shape = self._data(x, y, sample_weight, class_weight)
            else:
                data = self._reader(stream, batch_size, class_weight)
                readers.append(data)
                shape = begun(data)
            validation = None if validation_data is None else \
                self._validation(validation_data, shape, epochs - initial_epoch, readers)
            calls_of_user = checked_callbacks(callbacks)
            self.build(shape)
            self._check_gradients()
            history, size = History(), _size(data, batch_size)
            self.history = history
            if isinstance(self.optimizer, optimizers.LBFGS):    # all samples in each of its steps
                size |= {"steps": self.optimizer.max_iter, "batch_size": size["samples"]}
            shown = [] if verbose == 0 else [ProgressBar(bar=verbose != 2)]
            calls = CallbackList([*calls_of_user, history, *shown], self,
                                 {"epochs": epochs, "verbose": verbose} | size)
            self.stop_training = False
            plan = {"samples": _count(data), "batch_size": size["batch_size"], "shuffle": bool(shuffle),
                    "validation": None if validation is None else _count(validation)}
            run = self._run = Run(calls, plan, [layer._trainable for layer in self._family],
                                  sparse=any(_is_sparse(feed) for feed in (data, validation) if feed is not None))
            run.begin(initial_epoch, self._specs(self.metrics))
            try:
                if resume is not None:
                    self._resume_from(resume)
                if isinstance(self.optimizer, optimizers.LBFGS):
                    self._search = Search(self, self.optimizer, data, threads)  # type: ignore[arg-type]
                with calls:
                    self._fit(run, data, validation, range(initial_epoch, epochs), threads)
            finally:
                self._run = None
                self._end_search()
        return history

    def _fit(self, run: Run, data: Feed, validation: Feed | None, epochs: range, threads: int) -> None:
        """The epochs of a run, from its beginning or from where a saved one stood."""
        watched, before = self.metrics, self._state.step if self._state is not None else 0
        self._swap_back()
        self._call(run.calls, "on_train_begin", {})
        if run.saved is not None:  # an epoch that was begun is completed
            epochs = range(run.saved.epoch, max(run.saved.epoch + 1, epochs.stop))
        for epoch in epochs:
            if isinstance(data, Reader) and not _more(data, epoch):
                break
            run.begin(epoch, self._specs(watched))
            self._swap_back()  # what is about to be trained is there for all callbacks, wherever SwapEMAWeights stands
            self._call(run.calls, "on_epoch_begin", epoch, {})
            self._take_up(run)
            if run.logs is None:
                run.logs = self._validated_epoch(run, data, validation, watched, threads)
            self._tell_at_rest(run, "on_epoch_end", epoch, run.logs)
            if self.stop_training:
                break
        self._check_updates(before)
        self._take_average()
        self._end_search()
        self._call(run.calls, "on_train_end", run.logs or {})

    def _check_updates(self, before: int) -> None:
        """Warn if all batches since the step `before` were too few for one update."""
        wanted = self.optimizer and self.optimizer.gradient_accumulation_steps
        if not wanted or self._state is None or not before < self._state.step < before - before % wanted + wanted:
            return
        warnings.warn(f"fit changed no weights: it had {self._state.step - before} batches, and "
                      f"gradient_accumulation_steps={wanted} takes the gradients of {wanted} for one step; they wait "
                      "for the next call of fit. Train for more epochs, or with a smaller batch_size or "
                      "gradient_accumulation_steps", UserWarning, stacklevel=4)

    def _resume_from(self, path: StrPath) -> None:
        """Go on from a file as soon as the first epoch has begun; only `fit` and what it calls may ask for it."""
        from fastnn.saving import read_run

        assert self._run is not None
        if isinstance(self.optimizer, optimizers.LBFGS):
            raise ValueError("a run with LBFGS cannot go on from a file: what it remembers ends with the call of fit")
        self._run.saved = read_run(self, self._run, path)  # type: ignore[arg-type]

    def _take_up(self, run: Run) -> None:
        if run.saved is not None:
            saved, run.saved = run.saved, None
            self._allowed_to_change(run.set_state, saved)
            self._allowed_to_change(saved.restore, saved)
            if saved.lent:  # the callbacks that are told next see what they would have seen
                self._swap_average()

    def _run_at_rest(self) -> Run | None:
        """The run, where a callback is being told of the end of a batch or an epoch: what it saves can go on."""
        run = self._run
        return run if run is not None and run.at_rest and self._holder == threading.get_ident() else None

    def _tell_at_rest(self, run: Run, method: str, *arguments: Any) -> None:
        """All callbacks that do not know it yet: when a run goes on, some may."""
        run.at_rest, first, run.told = True, run.told, 0
        try:
            self._call(run.calls, method, *arguments, first=first)
        finally:
            run.at_rest = False

    def _validated_epoch(self, run: Run, data: Feed, validation: Feed | None, watched: Sequence[Metric],
                         threads: int) -> dict[str, float]:
        try:
            logs = self._guarded_epoch(data, run.plan["batch_size"], run.plan["shuffle"], threads, run, watched)
        except DivergenceError as error:
            if not run.calls.accept(error):
                raise
            self.stop_training = True
            return dict.fromkeys(_names(watched, validation is not None), math.nan)
        if isinstance(data, Reader):
            run.calls.params |= _size(data, run.plan["batch_size"])
        if validation is not None:
            self._call(run.calls, "on_test_begin", {})
            found = self._evaluate(validation, threads, watched, run.calls)
            self._call(run.calls, "on_test_end", found)
            logs |= {f"val_{name}": value for name, value in found.items()}
        return logs

    def _call(self, calls: CallbackList, method: str, *arguments: Any, first: int = 0) -> None:
        """A method of all callbacks, between epochs or batches."""
        self._allowed_to_change(calls.call, method, *arguments, first=first)

    def _allowed_to_change(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """A call that may change the weights, though the model is being trained."""
        self._holder = threading.get_ident()
        try:
            function(*arguments, **named)
        finally:
            self._holder = None

    def _guarded_epoch(self, data: Feed, batch_size: int, shuffle: bool, threads: int, run: Run,
                       watched: Sequence[Metric]) -> dict[str, float]:
        """An epoch after which weights and slots are finite, or the weights those from before it."""
        self._check_weights()
        self._before = self._flat.copy()
        try:
            logs = self._epoch(data, batch_size, shuffle, threads, watched, run)
            if not self._finite_slots():
                raise DivergenceError(f"the optimizer's slots became NaN or infinite in epoch {run.epoch + 1}",
                                      run.epoch + 1, run.batch)
        except BaseException as error:  # Ctrl-C too must leave a model that can be used
            if all_finite(self._flat) and self._finite_slots():
                raise
            self._flat[...] = self._before
            self._apply_mask()
            self._reset_optimizer()
            if not isinstance(error, DivergenceError):
                raise
            raise DivergenceError(f"{error}. The weights are those from before this epoch, the optimizer starts "
                                  f"afresh. {REMEDY}", error.epoch, error.batch) from None
        finally:
            self._before = None
        return logs

    def _check_weights(self) -> None:
        """Refuse to train from weights that are not finite."""
        if not all_finite(self._flat):
            name = next(name for name, weight in self._named_weights() if not np.isfinite(weight).all())
            raise ValueError(f"{name} contains NaN or infinity; training needs finite weights: set others, or make the "
                             "model anew")

    def _finite_slots(self) -> bool:
        return all(all_finite(block) for block in (self._state.blocks if self._state is not None else ()))

    def _epoch(self, data: Feed, batch_size: int, shuffle: bool, threads: int, watched: Sequence[Metric],
               run: Run) -> dict[str, float]:
        """An epoch, or what is left of it in a run that goes on."""
        if self._search is not None:
            return self._iterations(self._search, threads, watched, run)
        batches = rows = 0  # before the part
        for i, part in enumerate(parts(data)):
            batch = min(batch_size, part.n)
            done, goes_on = -(-part.n // batch), True
            if run.batch <= batches + done:
                index = self._epoch_order(part.n, batch, run, i) if shuffle else None
                place = Place(part, batch, batches, rows, run.epoch + 1, data)
                done, goes_on = self._part(place, index, threads, watched, run)
            batches, rows = batches + done, rows + min(done * batch, part.n)
            if not goes_on:
                break
        return _logs(run.loss_sum / rows, watched, run.specs)

    def _iterations(self, search: Search, threads: int, watched: Sequence[Metric], run: Run) -> dict[str, float]:
        """An epoch of L-BFGS."""
        assert isinstance(self.optimizer, optimizers.LBFGS)
        loss = search.best_loss
        for i in range(self.optimizer.max_iter):
            if search.over or self.stop_training:
                break
            self._call(run.calls, "on_train_batch_begin", i, {})
            loss = search.iterate()
            self._call(run.calls, "on_train_batch_end", i, {"loss": loss})
            run.calls.call("on_progress", search.data.n, loss)
        self.stop_training = self.stop_training or search.over
        if watched or not np.isfinite(loss):
            loss = self._evaluating(search.data.sparse).evaluate(search.data, threads, run.specs) / search.data.n
        return _logs(loss, watched, run.specs)

    def _end_search(self) -> None:
        if self._search is not None:
            search, self._search = self._search, None
            search.close()

    def _part(self, place: Place, index: NDArray[np.int64] | None, threads: int, watched: Sequence[Metric],
              run: Run) -> tuple[int, bool]:
        """The batches of a part that are left. Returns how many of the part are done, and whether training goes on."""
        asked = run.calls.asks("on_train_batch_begin") or run.calls.asks("on_train_batch_end")
        each = partial(self._between_batches, run, place, watched) if asked else None
        first = run.batch - place.batches
        if not self._before_batches(run, each, first):
            return first, False
        tick = partial(_progress, run.calls, place.batch, place.rows, place.rows + place.data.n)
        run.loss_sum, done = self._train(place.data, place.batch, index, threads, run.specs, tick, first, run.loss_sum,
                                         each, place)
        run.batch = place.batches + done
        return done, not (asked and self.stop_training)

    def _train(self, data: engine.Data, batch: int, index: NDArray[np.int64] | None, threads: int,
               specs: Sequence[Spec], tick: Any = None, first: int = 0, loss_sum: float = 0.0, each: Any = None,
               place: Place | None = None) -> tuple[float, int]:
        """One call of the engine. Returns the sum of losses, and how many batches of the part are done."""
        state, runner = self._optimizer_state(), self._workspace("train", batch, data.sparse)
        optimizer = self.optimizer
        assert optimizer is not None
        rates: Any = optimizer._learning_rate
        if not isinstance(rates, float):
            rates = np.concatenate([np.zeros(first), optimizer.rates(state.step, -(-data.n // batch) - first)])
        self._running = runner
        try:
            loss_sum, done, nonfinite, overflow = runner.train(data, state, index, batch, rates, self.seed, threads,
                                                               specs, tick, first, loss_sum, each, 1,
                                                               self._penalty_scales(data, batch, index))
        finally:
            self._running = None
        if nonfinite or overflow:
            _, _, before, _, epoch, feed = place or Place(data, batch, 0, 0, 1, data)
            last, total = done + nonfinite, _size(feed, batch)["steps"]
            where = f"epoch {epoch}, batch {before + last}" + (f" of {total}" if total else "")
            rate = f"(learning rate {_rate(rates, last - 1):g})"
            raise DivergenceError(
                f"the loss became NaN or infinite in {where} {rate}; the weights are those from before that batch. "
                f"{REMEDY}" if nonfinite else f"the update of {where} made weights NaN or infinite {rate}",
                epoch, before + last)
        return loss_sum, done

    def _penalty_scales(self, data: engine.Data, batch: int, index: NDArray[np.int64] | None) -> Array | None:
        """Factors of the weights' penalties in each of the batches that are about to come, for a subclass."""
        return None

    def _before_batches(self, run: Run, each: Callable[[int, float], Any] | None, first: int) -> bool:
        """What callbacks are told before the first batch of a part, or of what is left of one; False: no batches."""
        if first and self.stop_training:
            return False
        try:
            if each is not None:
                each(first, run.loss_sum)
        except StopIteration:
            return False
        return True

    def _between_batches(self, run: Run, place: Place, watched: Sequence[Metric], done: int,
                         loss_sum: float) -> float | None:
        """Called by the engine after every batch: the next one's learning rate, or None for that of the schedule."""
        run.batch, run.loss_sum = place.batches + done, loss_sum
        rows = min(done * place.batch, place.data.n)
        if done:
            self._tell_at_rest(run, "on_train_batch_end", run.batch - 1,
                               _logs(loss_sum / (place.rows + rows), watched, run.specs))
            if self.stop_training:
                raise StopIteration
        if rows < place.data.n and run.calls.asks("on_train_batch_begin"):
            self._call(run.calls, "on_train_batch_begin", run.batch, {})
        assert self.optimizer is not None
        rate = self.optimizer.learning_rate
        return rate if isinstance(rate, float) else None

    def _epoch_order(self, n: int, batch: int, run: Run, part: int) -> NDArray[np.int64] | None:
        """None for one batch: the order within it means nothing to its gradient."""
        return self._shuffled(n, run, part) if batch < n else None

    def _shuffled(self, n: int, run: Run | None = None, part: int = 0) -> NDArray[np.int64]:
        """A new order of n samples, or that of the epoch that goes on; the k-th of a model depends on its seed and k
        alone. Later parts of an epoch have orders of their own under the same k."""
        k = self._shuffles if run is None or run.order is None else run.order
        self._shuffles = max(self._shuffles, k + 1)
        if run is not None:
            run.order = k
        key = (self.seed, 1, k, part) if part else (self.seed, 1, k)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key))).permutation(n)


    def _reader(self, stream: Stream, multiple: int, class_weight: Any = None, names: tuple[str, str] = ("x", "y"),
                shape: tuple[int, ...] | None = None) -> Reader:
        """Parts of a stream, checked as arrays are."""

        def prepare(arrays: list[Array], first: int) -> tuple[engine.Data, tuple[int, ...]]:
            x, y, *weight = arrays
            where = f" of the stream from row {first} on"
            return self._data(x, y, weight[0] if weight else None, class_weight, (names[0] + where, names[1] + where),
                              shape, part=True)

        return Reader(stream, prepare, multiple)

    def _validation(self, validation_data: Any, shape: tuple[int, ...], epochs: int, readers: Readers) -> Feed:
        stream = None if isinstance(validation_data, tuple) else as_stream(validation_data)
        if stream is not None:
            if stream.once and epochs > 1:
                raise ValueError(f"validation_data can be read only once, but there are {epochs} epochs: give a "
                                 "function that returns it")
            reader = self._reader(stream, EVALUATION_ROWS, None, ("validation x", "validation y"), shape)
            readers.append(reader)
            begun(reader, "validation_data")
            return reader
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise ValueError("validation_data must be (x, y), (x, y, sample_weight) or a stream; received "
                             f"{type(validation_data).__name__}")
        x, y, *weight = validation_data
        return self._data(x, y, weight[0] if weight else None, names=("validation x", "validation y"), shape=shape)[0]

    # ---- evaluate -------------------------------------------------------------------------------------------

    def evaluate(self, x: Any, y: Any = None, batch_size: int | None = None, verbose: Any = 0,
                 sample_weight: Any = None, callbacks: Sequence[Callback] | None = None, return_dict: bool = False, *,
                 n_threads: int | None = None) -> float | list[float] | dict[str, float]:
        """Loss and metrics on samples.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`, streams among them.
        batch_size, verbose : ignored
            Accepted for code written for Keras; the result does not depend on batches.
        callbacks : list of Callback, optional
            Their ``on_test_`` methods are called.
        return_dict : bool, default False
        n_threads : int, optional

        Returns
        -------
        float, list of float, or dict
            The loss; with metrics a list, the loss first; with `return_dict` a dict by name.

        Raises
        ------
        TypeError, ValueError
            As for `fit`.
        """
        threads = effective_n_threads(n_threads)
        calls = None if callbacks is None else checked_callbacks(callbacks)
        stream = _stream(x, y, sample_weight)
        if stream is None:
            data = self._built_data(x, y, sample_weight)
            if calls is None:
                return _as_keras(self._evaluate(data, threads, self.metrics), return_dict)
            return self._told_evaluation(data, threads, calls, verbose, return_dict)
        with self._reader(stream, EVALUATION_ROWS) as reader:
            self.build(begun(reader))
            return self._told_evaluation(reader, threads, calls, verbose, return_dict)

    def _told_evaluation(self, data: Feed, threads: int, calls: list[Callback] | None, verbose: Any,
                         return_dict: bool) -> float | list[float] | dict[str, float]:
        if calls is None:
            return _as_keras(self._evaluate(data, threads, self.metrics), return_dict)
        params = {"verbose": verbose} | _size(data, EVALUATION_ROWS)
        with CallbackList(calls, self, params) as told:
            told.call("on_test_begin", {})
            logs = self._evaluate(data, threads, self.metrics, told)
            told.call("on_test_end", logs)
        return _as_keras(logs, return_dict)

    def _evaluate(self, data: Feed, threads: int, watched: Sequence[Metric],
                  calls: CallbackList | None = None) -> dict[str, float]:
        specs = self._specs(watched)
        asked = calls is not None and (calls.asks("on_test_batch_begin") or calls.asks("on_test_batch_end"))
        pool = self._evaluating(isinstance(data, engine.Data) and data.sparse)
        penalty = self._penalty() if pool.program.n_penalties else 0.0
        if isinstance(data, engine.Data) and not asked:
            return _logs(pool.evaluate(data, threads, specs) / data.n + penalty, watched, specs)
        loss_sum, rows, batch = 0.0, 0, 0
        for part in parts(data):
            pool = self._evaluating(part.sparse)
            for piece in _pieces(part) if asked else (part,):  # the engine's own pieces: the same bits as in one call
                if calls is not None and asked:
                    calls.call("on_test_batch_begin", batch, {})
                loss_sum = pool.evaluate(piece, threads, specs, loss_sum)
                rows += piece.n
                if calls is not None and asked:
                    calls.call("on_test_batch_end", batch, _logs(loss_sum / rows + penalty, watched, specs))
                    batch += 1
        return _logs(loss_sum / rows + penalty, watched, specs)

    def _penalty(self) -> float:
        """What the regularizers of weights that are trained add to the loss."""
        found = {leaf._offsets[name]: spec.regularizer(leaf.weights[name])
                 for leaf in self._leaves() if leaf.trainable
                 for name, spec in leaf.parameters(leaf.input_shape).items()
                 if spec.trainable and spec.regularizer is not None}
        return float(sum(found.values()))

    def _specs(self, watched: Sequence[Metric]) -> list[Spec]:
        """Metrics as the engine takes them, their states at the beginning."""
        if not watched:
            return []
        n_outputs = self.n_outputs
        return [(metric.kind, float(metric.param), np.zeros(metric.state_size(n_outputs))) for metric in watched]

    # ---- single batches -------------------------------------------------------------------------------------

    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None,
                       class_weight: Mapping[int, float] | None = None, return_dict: bool = False, *,
                       n_threads: int | None = None) -> float | list[float] | dict[str, float]:
        """One step on one batch.

        Returns
        -------
        float, list of float, or dict
            Loss and metrics of this batch before the step, in the form of `evaluate`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `fit`.
        DivergenceError
            If the loss is not finite (nothing has changed then), or the step makes weights NaN or infinite (they
            are, then: set weights from before it and compile again).
        """
        threads = effective_n_threads(n_threads)
        with self._exclusively("train_on_batch"):
            data = self._built_data(x, y, sample_weight, class_weight)
            watched = self.metrics
            specs = self._specs(watched)
            loss_sum, _ = self._train(data, data.n, None, threads, specs)
            logs = _logs(loss_sum / data.n, watched, specs)
        return _as_keras(logs, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None,
                      return_dict: bool = False) -> float | list[float] | dict[str, float]:
        """Loss and metrics on one batch; the same as `evaluate`."""
        return self.evaluate(x, y, sample_weight=sample_weight, return_dict=return_dict)

    def gradients(self, x: Any, y: Any, sample_weight: Any = None, training: bool = False, *,
                  n_threads: int | None = None) -> list[Array]:
        """Gradient of the mean loss of all samples with respect to each parameter.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`.
        training : bool, default False
            Whether layers act as in the first step of a training with all samples in one batch: with its dropout
            masks and the statistics of the batch.
        n_threads : int, optional

        Returns
        -------
        list of ndarray
            In the order and shapes of `get_weights`; zeros for layers that are not trainable.

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        DivergenceError
            If the loss is not finite.
        """
        threads = effective_n_threads(n_threads)
        with self._exclusively("gradients", from_callback=True):
            data = self._built_data(x, y, sample_weight)
            runner = self._workspace("gradients", data.n, data.sparse)
            block = self._gradient_block()
            block.fill(0)
            _, nonfinite = runner.gradients(data, self.seed, threads, bool(training))
            if nonfinite:
                raise DivergenceError("the loss is NaN or infinite, so that it has no gradient", 1, 1)
            for leaf in self._leaves():
                if not leaf.trainable:
                    for name, weight in leaf.weights.items():
                        block[leaf._offsets[name]:leaf._offsets[name] + weight.size] = 0
            return [block[leaf._offsets[name]:leaf._offsets[name] + weight.size].reshape(weight.shape).copy()
                    for leaf in self._leaves() for name, weight in leaf.weights.items()]

    def input_gradients(self, x: Any, y: Any, sample_weight: Any = None, training: bool = False, *,
                        n_threads: int | None = None) -> Array:
        """Gradient of the mean loss of all samples with respect to the samples: what in them the loss depends on.

        Parameters
        ----------
        x, y, sample_weight, training
            As for `gradients`.
        n_threads : int, optional

        Returns
        -------
        ndarray
            Of the shape of x and the model's dtype.

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        DivergenceError
            If the loss is not finite.

        Examples
        --------
        >>> import numpy as np
        >>> import fastnn as fnn
        >>> model = fnn.Sequential([fnn.Input((2,)), fnn.layers.Dense(1)], dtype="float64")
        >>> model.compile("sgd", "mse")
        >>> model.set_weights([np.array([[1.0], [3.0]]), np.zeros(1)])
        >>> model.input_gradients([[1.0, 0.0]], [0.0])
        array([[2., 6.]])
        """
        threads = effective_n_threads(n_threads)
        refuse_sparse(x, "input_gradients")
        with self._exclusively("input_gradients"):
            data = self._built_data(x, y, sample_weight)
            self._check_gradients()
            program = self._lower(training=True, loss=self._loss, inputs=True)
            runner = engine.Runner(engine.Workspace(program, self._flat, data.n, self._gradient_block()))
            _, nonfinite = runner.gradients(data, self.seed, threads, bool(training))
            if nonfinite:
                raise DivergenceError("the loss is NaN or infinite, so that it has no gradient", 1, 1)
            gradient = runner.input_gradients(np.empty((data.n, program.n_inputs), self.dtype))
        return gradient.reshape(data.n, *(self.input_shape or ()))

    if TYPE_CHECKING:
        # What Sequential provides.
        _workspaces: dict[Any, engine.Runner]
        _holder: int | None
        _training: Any

        @property
        def dtype(self) -> str: ...
        @property
        def input_shape(self) -> tuple[int, ...] | None: ...
        def _lower(self, training: bool, loss: losses.Loss | None = None, inputs: bool = False,
                   sparse: bool = False) -> engine.Program: ...
        @property
        def layers(self) -> list[Any]: ...
        def _leaves(self) -> list[Layer]: ...
        def _leaves(self) -> list[Layer]: ...
        @property
        def n_outputs(self) -> int: ...
        def build(self, input_shape: Sequence[int]) -> None: ...
        def _exclusively(self, what: str, from_callback: bool = False) -> AbstractContextManager[None]: ...
        def _data(self, x: Any, y: Any, sample_weight: Any, class_weight: Any = None,
                  names: tuple[str, str] = ("x", "y"), shape: tuple[int, ...] | None = None,
                  part: bool = False) -> tuple[engine.Data, tuple[int, ...]]: ...
        def _built_data(self, x: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> engine.Data: ...
        def _workspace(self, kind: str, rows: int, sparse: bool = False) -> engine.Runner: ...
        def _named_weights(self) -> list[tuple[str, Array]]: ...
        def _evaluating(self, sparse: bool = False) -> engine.Pool: ...
        def _check_gradients(self) -> None: ...
        def _gradient_block(self) -> Array: ...
        def _apply_mask(self) -> None: ...


def parts(data: Feed) -> Iterable[engine.Data]:
    """What the engine takes in one call each: all samples, or the buffers of a stream."""
    return (data,) if isinstance(data, engine.Data) else _weighed(data)


def _weighed(reader: Reader) -> Iterable[engine.Data]:
    """The parts of an epoch of a stream, of which some sample has a weight: what arrays are asked before, a stream can
    only tell at its end."""
    rows, weighed = 0, False
    for part, _ in reader.epoch():
        weight = part.keep[3]
        weighed = weighed or weight is None or bool(weight.any())
        rows += part.n
        yield part
    if not weighed:
        raise ValueError(f"the stream's weights are zero for all {rows} samples; at least one weight must be positive")


def _stream(x: Any, y: Any, sample_weight: Any, split: float = 0.0) -> Stream | None:
    """The stream that x is, with nothing beside it that streams do not have."""
    if type(x) is np.ndarray:   # as calls from Python loops have it
        return None
    stream = as_stream(x) if y is None or callable(x) or hasattr(x, "__next__") or isinstance(x, Stream) else None
    if stream is not None:
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(f"{name} comes with the chunks of a stream; received {name}={type(value).__name__}")
        if split:
            raise ValueError("validation_split is for arrays: nobody knows where the last part of a stream begins; "
                             "give validation_data")
    return stream


def begun(reader: Reader, name: str = "the stream") -> tuple[int, ...]:
    """Read the first part; the shape of a sample."""
    first = reader.start()
    if first is None:
        raise ValueError(f"{name} gave no samples")
    return first[1]


def _more(reader: Reader, epoch: int) -> bool:
    """Whether there are samples for this epoch: an iterator has them once."""
    if reader.reading is not None or reader.start() is not None:
        return True
    warnings.warn(f"the stream gave no samples in epoch {epoch + 1}, and training ends: an iterator gives them once, a "
                  "function that returns an iterable once an epoch", UserWarning, stacklevel=3)
    return False


def _pieces(data: engine.Data) -> Iterable[engine.Data]:
    return (data.part(start, min(start + EVALUATION_ROWS, data.n)) for start in range(0, data.n, EVALUATION_ROWS))


def _count(data: Feed) -> int | str:
    return data.n if isinstance(data, engine.Data) else "stream"


def _size(data: Feed, batch_size: int) -> dict[str, Any]:
    """Samples and batches of an epoch, and rows of a batch; None for a stream that has not been read to its end."""
    n = data.n if isinstance(data, engine.Data) else data.rows
    return {"samples": n, "steps": None if n is None else -(-n // batch_size), "batch_size": batch_size}


def _is_sparse(data: Feed) -> bool:
    """Of a stream: the first part, which has been read."""
    return bool((data if isinstance(data, engine.Data) else data.first[0]).sparse)


def _split(x: Any, y: Any, sample_weight: Any, split: float,
           dtype: str) -> tuple[Any, Any, Any, tuple[Any, Any, Any]]:
    """The first and the last samples of x, y and weights."""
    x, y = as_csr(x, "x", dtype) if is_sparse(x) else as_array(x, "x"), as_array(y, "y")
    if sample_weight is not None:
        sample_weight = as_array(sample_weight, "sample_weight")
    n = len(x) if len(x.shape) else 0
    first = int(n * (1.0 - split))
    if not 0 < first < n:
        raise ValueError(f"validation_split={split} of {n} samples leaves {first} for training and {n - first} "
                         "for validation; both need at least one")
    head = [None if a is None else a[:first] for a in (x, y, sample_weight)]
    tail = [None if a is None else a[first:] for a in (x, y, sample_weight)]
    return head[0], head[1], head[2], (tail[0], tail[1], tail[2])


def _check_ending(loss: losses.Loss, last: Layer) -> None:
    """Refuse a loss that cannot follow the model's last layer, and warn of one that hardly should."""
    kernel, _ = loss.kernel(last.output_activation)
    linear = isinstance(last, (Activation, Dense)) and last.output_activation == "linear"
    if linear and kernel in ("ce", "ce_sparse", "bce"):
        right = "sigmoid" if kernel == "bce" else "softmax"
        warnings.warn(f"{loss.name} takes probabilities, but the last layer is linear: end it with "
                      f"activation={right!r}, or give the loss from_logits=True", UserWarning, stacklevel=3)


def _unique_names(watched: Sequence[Metric]) -> list[str]:
    names: list[str] = []
    for metric in watched:
        same = sum(name == metric.name or name.startswith(f"{metric.name}_") for name in names)
        names.append(f"{metric.name}_{same}" if metric.name in names else metric.name)
    return names


def _names(watched: Sequence[Metric], validation: bool = False) -> list[str]:
    names = ["loss", *_unique_names(watched)]
    return names + [f"val_{name}" for name in names] if validation else names


def _progress(calls: CallbackList, batch: int, before: int, n: int, batches: int, loss_sum: float) -> None:
    rows = min(before + batches * batch, n)
    if rows:
        calls.call("on_progress", rows, loss_sum / rows)


def _rate(rates: Any, batch: int) -> float:
    return rates if isinstance(rates, float) else float(rates[batch])


def _logs(loss: float, watched: Sequence[Metric], specs: Sequence[Spec]) -> dict[str, float]:
    logs = {"loss": loss}
    if not watched:
        return logs
    for name, metric, (_, _, state) in zip(_unique_names(watched), watched, specs, strict=True):
        logs[name] = metric.result(state)
    return logs


def _as_keras(logs: dict[str, float], return_dict: bool) -> float | list[float] | dict[str, float]:
    if return_dict:
        return logs
    values = list(logs.values())
    return values if len(values) > 1 else values[0]
