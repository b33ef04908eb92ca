"""EarlyStopping: end training when it no longer helps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks.base import Logs, count, number_or_none
from fastnn.callbacks.monitor import Monitor
from fastnn.inputs import check_count
from fastnn.named import number

__all__ = ["EarlyStopping"]


class EarlyStopping(Monitor):
    """End training after `patience` epochs without an improvement (Prechelt, 1998).

    Parameters
    ----------
    monitor : str, default "val_loss"
        ``"loss"``, a metric's name, or one of them with ``val_`` before it.
    min_delta : float, default 0
        Only what is better by more than this is an improvement.
    patience : int, default 0
        Epochs without improvement after which training ends.
    verbose : {0, 1}, default 0
        1: say when training ends, and from which epoch the weights are.
    mode : {"auto", "min", "max"}, default "auto"
        Whether the monitored number should fall or rise; "auto" asks the metric.
    baseline : float, optional
        Epochs count as improvements only if they beat this as well as all before them.
    restore_best_weights : bool, default False
        Whether the model ends with the weights of its best epoch, instead of those of its last one. The best
        epoch need not beat `baseline`. Where `SwapEMAWeights` has validation done with the average of the weights
        and `monitor` is of validation, they are the average of that epoch. Weights from before layers became sparse
        (``PruningSchedule(sparse_from=...)``) do not fit any more: then the best epoch is found anew, with a warning.
    start_from_epoch : int, default 0
        Epochs before this one are not looked at.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch, stopped_epoch : int
        Counted from 0; `stopped_epoch` is 0 if training was not ended.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Notes
    -----
    The first epoch never ends training, as in Keras.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    >>> model.compile(fnn.optimizers.SGD(0.0), "mse")
    >>> stop = fnn.callbacks.EarlyStopping("loss", patience=3)
    >>> history = model.fit(np.ones((4, 2)), np.ones(4), epochs=100, verbose=0, callbacks=[stop])
    >>> len(history.epoch), stop.best_epoch, stop.stopped_epoch
    (4, 0, 3)
    """

    doing = "training is not stopped early"
    remembers: ClassVar = {"best": number_or_none, "wait": count, "best_epoch": count, "stopped_epoch": count}

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0, patience: int = 0, verbose: int = 0,
                 mode: str = "auto", baseline: float | None = None, restore_best_weights: bool = False,
                 start_from_epoch: int = 0) -> None:
        super().__init__(monitor, mode, min_delta, verbose)
        self.patience = check_count("patience", patience, low=0)
        self.baseline = None if baseline is None else number("baseline", baseline, "(-inf, inf)")
        if not isinstance(restore_best_weights, bool):
            raise TypeError(f"restore_best_weights must be True or False; received {restore_best_weights!r}")
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = check_count("start_from_epoch", start_from_epoch, low=0)
        self._forget()

    def _forget(self) -> None:
        self.best = None
        self.wait = self.best_epoch = self.stopped_epoch = 0
        self.best_weights: list[NDArray[Any]] | None = None
        self._best_buffers: list[NDArray[Any]] = []  # which connections these are, in sparse layers

    def get_state(self) -> dict[str, Any]:
        weights = {f"best_weights.{i}": array for i, array in enumerate(self.best_weights or [])}
        # Files of runs hold no integers. These are exact in float64.
        buffers = {f"best_buffers.{i}": array.astype(np.float64) for i, array in enumerate(self._best_buffers)}
        return super().get_state() | weights | buffers

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state({name: value for name, value in state.items() if not isinstance(value, np.ndarray)})
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        leaves = self.model._leaves()
        # How many connections a sparse layer had then, its kernel tells.
        shapes = {f"best_weights.{i}": None if name == "kernel" and leaf.buffers() else leaf.weights[name].shape
                  for i, (leaf, name) in enumerate((leaf, name) for leaf in leaves for name in leaf.weights)}
        buffers = [array for leaf in leaves for array in leaf.buffers().values()]
        names = shapes.keys() | {f"best_buffers.{i}" for i in range(len(buffers))}
        if arrays and (arrays.keys() != names or any(shape not in (None, arrays[name].shape)
                                                     for name, shape in shapes.items())):
            raise ValueError("the best weights that EarlyStopping remembers are not those of this model")
        self.best_weights = [arrays[name] for name in shapes] if arrays else None
        self._best_buffers = [arrays[f"best_buffers.{i}"].astype(buffer.dtype) for i, buffer in enumerate(buffers)] \
            if arrays else []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self._outdated():
            self._warn(f"the best epoch is found anew from epoch {epoch + 1} on")
            self._forget()
        self.wait += 1
        if self.better(value, self.best):
            self.best = value
            self._keep(epoch, logs)
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _keep(self, epoch: int, logs: Logs | None) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            with self.judged_weights(logs):
                self.best_weights = self.model.get_weights()
            self._best_buffers = [array for leaf in self.model._leaves() for array in leaf.buffers().values()]

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self._outdated():
            self._warn("the weights are those of the last one. Put EarlyStopping before what makes layers sparse")
        elif self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self._restore_connections()
            self.model.set_weights(self.best_weights)

    def _outdated(self) -> bool:
        """Whether layers have become sparse since the best epoch: their kernels are vectors now."""
        return self.best_weights is not None and [array.ndim for array in self.best_weights] != [
            array.ndim for _, array in self.model._named_weights()]

    def _warn(self, consequence: str) -> None:
        warnings.warn(f"layers have become sparse since epoch {self.best_epoch + 1}, the best one, whose weights "
                      f"EarlyStopping kept: {consequence}", UserWarning, stacklevel=2)

    def _restore_connections(self) -> None:
        """Those of sparse layers, where they have moved since the best epoch."""
        best = iter(self._best_buffers)
        for leaf in self.model._leaves():
            now = leaf.buffers()
            then = dict(zip(now, best, strict=False))
            if len(then) == len(now) and not all(np.array_equal(then[name], now[name]) for name in now):
                leaf.set_buffers(leaf.input_shape, then)

