"""ModelCheckpoint: files of the model while it is trained."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from string import Formatter
from typing import TYPE_CHECKING, Any, ClassVar

from fastnn.callbacks.base import Logs, count, number_or_none
from fastnn.callbacks.functions import LambdaCallback
from fastnn.callbacks.monitor import Monitor
from fastnn.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from fastnn.files import StrPath, check_path
from fastnn.inputs import check_count
from fastnn.named import number

if TYPE_CHECKING:
    from fastnn.run import Run

__all__ = ["ModelCheckpoint", "frequency"]


class ModelCheckpoint(Monitor):
    """Save the model after epochs: after each, or after those that were the best so far; or after some batches.

    Files are written as :meth:`Sequential.save` writes them: a crash leaves the whole old one or the whole new one.

    Parameters
    ----------
    filepath : str or path-like
        May hold fields such as ``"{epoch:02d}-{val_loss:.2f}.safetensors"``: the epoch, counted from 1, and
        whatever the logs hold. All folders of the path that are missing are made as the first file is saved, as in
        Keras: a path that is mistyped is no error where it can be made.
    monitor : str, default "val_loss"
        What decides which epoch is best.
    verbose : {0, 1}, default 0
        1: say what is saved, and why.
    save_best_only : bool, default False
        Whether to save only after an epoch that is the best so far. Where `SwapEMAWeights` has validation done
        with the average of the weights and `monitor` is of validation, the file holds the average.
    save_weights_only : bool, default False
        Whether to leave the optimizer's state out; the file is that of ``save(..., include_optimizer=False)``.
    mode : {"auto", "min", "max"}, default "auto"
        Whether the monitored number should fall or rise; "auto" asks the metric.
    save_freq : "epoch" or int, default "epoch"
        A number: save after so many batches, and not after epochs; `filepath` may then hold ``{batch}`` too, counted
        from 1, and what is monitored is the epoch so far.
    initial_value_threshold : float, optional
        What the first epoch has to improve on; used with `save_best_only`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range, and for a field of `filepath` that the logs lack: as
        training begins, unless a callback of yours may add it.
    OSError
        If a file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     keep = fnn.callbacks.ModelCheckpoint(folder + "/{epoch}.safetensors", "loss", save_best_only=True)
    ...     history = model.fit(np.ones((4, 2)), np.ones(4), epochs=2, verbose=0, callbacks=[keep])
    ...     sorted(os.listdir(folder))
    ['1.safetensors', '2.safetensors']
    """

    doing = "every epoch is saved"
    remembers: ClassVar = {"best": number_or_none, "batches_since": count}

    def __init__(self, filepath: StrPath, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
                 save_weights_only: bool = False, mode: str = "auto", save_freq: str | int = "epoch",
                 initial_value_threshold: float | None = None) -> None:
        super().__init__(monitor, mode, verbose=verbose)
        self.filepath = check_path("filepath", filepath)
        self._fields = _fields(self.filepath)
        for name, flag in (("save_best_only", save_best_only), ("save_weights_only", save_weights_only)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name} must be True or False; received {flag!r}")
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = frequency(save_freq)
        self.batches_since, self._epoch = 0, 0
        if initial_value_threshold is not None:
            self.best = number("initial_value_threshold", initial_value_threshold, "(-inf, inf)")

    def asks(self, method: str) -> bool:
        return self.save_freq != "epoch" and super().asks(method)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        if self.model._run is not None:
            self._check_fields(self.model._run)

    def _check_fields(self, run: Run) -> None:
        """Refuse fields that no logs will have, unless a callback may put them there."""
        names = self.model.metrics_names
        if self.save_freq == "epoch" and run.plan["validation"] is not None:
            names = names + [f"val_{name}" for name in names]
        known = dict.fromkeys(names, 0.0) | ({} if self.save_freq == "epoch" else {"batch": 1})
        others = run.calls.callbacks
        if any(isinstance(callback, (LearningRateScheduler, ReduceLROnPlateau)) for callback in others):
            known["learning_rate"] = 0.0
        added = any(isinstance(callback, LambdaCallback) or not type(callback).__module__.startswith("fastnn.")
                    for callback in others)
        if not added or self._fields <= {"epoch", *known}:
            self._path(0, known)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.batches_since += 1
        if self.batches_since == self.save_freq:
            self.batches_since = 0
            self._save(self._epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: Logs) -> None:
        path = self._path(epoch, logs)
        if not self._wanted(epoch, logs, path):
            return
        if folder := os.path.dirname(path):
            os.makedirs(folder, exist_ok=True)
        with self.judged_weights(logs) if self.save_best_only else nullcontext():
            self.model.save(path, include_optimizer=not self.save_weights_only)

    def _path(self, epoch: int, logs: Logs) -> str:
        try:
            return self.filepath.format(epoch=epoch + 1, **logs)
        except (LookupError, ValueError) as error:
            raise ValueError(f"filepath {self.filepath!r} cannot be filled in: {error!r}; its fields may be epoch, "
                             f"{', '.join(logs)}") from None

    def _wanted(self, epoch: int, logs: Logs, path: str) -> bool:
        """Whether this epoch is to be saved; its value is then the best so far."""
        said = f"Epoch {epoch + 1}: saving model to {path}"
        if self.save_best_only and (value := self.value(logs)) is not None:
            best = "None" if self.best is None else f"{self.best:.5f}"
            if not self.better(value, self.best):
                if self.verbose:
                    print(f"Epoch {epoch + 1}: {self.monitor} did not improve from {best}")
                return False
            self.best = value
            said = f"Epoch {epoch + 1}: {self.monitor} improved from {best} to {value:.5f}, saving model to {path}"
        if self.verbose:
            print(said)
        return True


def _fields(filepath: str) -> set[str]:
    """The names in braces of a path."""
    try:
        found = {re.split(r"[.\[]", field)[0] for _, field, _, _ in Formatter().parse(filepath) if field is not None}
    except ValueError as error:
        raise ValueError(f"filepath {filepath!r} cannot be filled in: {error}; a brace that is none of a field is "
                         "written twice, as '{{'") from None
    if unnamed := [field for field in found if not field or field.isdigit()]:
        raise ValueError(f"filepath {filepath!r} has the field {{{unnamed[0]}}}; fields have names, such as {{epoch}}")
    return found


def frequency(save_freq: Any) -> str | int:
    """`save_freq`, checked."""
    if isinstance(save_freq, str) and save_freq == "epoch":
        return save_freq
    if isinstance(save_freq, str):
        raise ValueError(f"save_freq must be 'epoch' or a number of batches; received {save_freq!r}")
    return check_count("save_freq", save_freq)
