"""BackupAndRestore: a run of `fit` that was killed goes on as if nothing had happened."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import ClassVar

from fastnn.callbacks.base import Callback, Logs, count
from fastnn.callbacks.checkpoint import frequency
from fastnn.errors import ModelFormatError
from fastnn.files import StrPath, check_path
from fastnn.optimizers import LBFGS

__all__ = ["BackupAndRestore"]


class BackupAndRestore(Callback):
    """Save the state of `fit` as it goes, and go on from there when the same program is run again.

    A run that is killed at any moment and started again ends with the weights, to the bit, and the history of one
    that was never killed. The backup holds weights, the optimizer's state and learning rate, the order of the
    samples, the place in the epoch with its sums, which layers are trainable, and the memory of all callbacks
    (:meth:`Callback.get_state`). The program must give `fit` the same model, with the same layers trainable, data,
    batch size, and callbacks as far as they remember anything; what can be compared, is. `epochs` may be larger than
    before, and the seed is taken from the backup.

    Files are written in one step (:meth:`Sequential.save`); ``fastnn.load_model`` reads them too.

    Parameters
    ----------
    backup_dir : str or path-like
        A folder for this run alone; it is made where it is missing.
    save_freq : "epoch" or int, default "epoch"
        After every epoch, or after so many batches.
    double_checkpoint : bool, default False
        Whether to keep the backup before the last one too, for the case that the last one is damaged.
    delete_checkpoint : bool, default True
        Whether to remove the backup when training is complete. Without, the same program trained again finds
        nothing left to do.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    ModelFormatError
        A ValueError, as training begins: the backup is damaged, or of another model or training.
    OSError
        If a file cannot be written or read.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> def train(folder, interrupt):
    ...     model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    ...     model.compile("adam", "mse")
    ...     calls = [fnn.callbacks.BackupAndRestore(folder)]
    ...     if interrupt:
    ...         calls.append(fnn.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: 1 / (3 - epoch)))
    ...     return model.fit(np.eye(8), np.arange(8), batch_size=2, epochs=5, verbose=0, callbacks=calls).history
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         train(folder, interrupt=True)
    ...     except ZeroDivisionError:
    ...         resumed = train(folder, interrupt=False)
    ...     undisturbed = train(folder, interrupt=False)
    >>> len(resumed["loss"]), resumed == undisturbed
    (5, True)
    """

    remembers: ClassVar = {"batches_since": count}

    def __init__(self, backup_dir: StrPath, save_freq: str | int = "epoch", double_checkpoint: bool = False,
                 delete_checkpoint: bool = True) -> None:
        super().__init__()
        self.backup_dir = check_path("backup_dir", backup_dir)
        self.save_freq = frequency(save_freq)
        for name, flag in (("double_checkpoint", double_checkpoint), ("delete_checkpoint", delete_checkpoint)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name} must be True or False; received {flag!r}")
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self.batches_since = 0

    @property
    def _latest(self) -> str:
        return os.path.join(self.backup_dir, "latest.safetensors")

    @property
    def _previous(self) -> str:
        return os.path.join(self.backup_dir, "previous.safetensors")

    def asks(self, method: str) -> bool:
        return self.save_freq != "epoch" and super().asks(method)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if isinstance(self.model.optimizer, LBFGS):
            raise ValueError("BackupAndRestore cannot go on with LBFGS: what that remembers ends with the call of fit")
        self.batches_since = 0
        found = [path for path in (self._latest, self._previous) if os.path.exists(path)]
        for path in found:
            try:
                return self.model._resume_from(path)
            except ModelFormatError:
                if path == found[-1]:
                    raise

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.batches_since += 1
        if self.batches_since == self.save_freq:
            self.batches_since = 0
            self._save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save()

    def _save(self) -> None:
        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint:
            with suppress(FileNotFoundError):
                os.replace(self._latest, self._previous)
        self.model.save(self._latest)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint:
            for path in (self._latest, self._previous):
                with suppress(FileNotFoundError):
                    os.unlink(path)
            with suppress(OSError):  # other files are not ours to remove
                os.rmdir(self.backup_dir)
