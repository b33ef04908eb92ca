"""CSVLogger: a line of a file for every epoch."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import IO, Any

from fastnn.callbacks.base import Callback, Logs, count
from fastnn.files import StrPath, check_path

__all__ = ["CSVLogger"]


class CSVLogger(Callback):
    """Write loss and metrics of every epoch to a CSV file, as it ends.

    The columns are ``epoch``, counted from 0, and the names in alphabetical order; without validation there are
    columns for it all the same, filled with ``NA``, as Keras has them.

    Parameters
    ----------
    filename : str or path-like
    separator : str, default ","
        One character.
    append : bool, default False
        Whether to add to a file that is there, instead of replacing it. A header is written only to an empty one.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    OSError
        If the file cannot be written; `fit` raises it before it trains.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    >>> model.compile(fnn.optimizers.SGD(0.0), "mae")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "log.csv")
    ...     _ = model.fit(np.zeros((4, 2)), np.ones(4), epochs=2, verbose=0, callbacks=[fnn.callbacks.CSVLogger(path)])
    ...     with open(path) as file:
    ...         print(file.read())
    epoch,loss,val_loss
    0,1.0,NA
    1,1.0,NA
    <BLANKLINE>
    """

    def __init__(self, filename: StrPath, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = check_path("filename", filename)
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator must be one character; received {separator!r}")
        if not isinstance(append, bool):
            raise TypeError(f"append must be True or False; received {append!r}")
        self.sep, self.append = separator, append
        self._file: IO[str] | None = None
        self._columns: list[str] | None = None
        self._end: int | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.close()
        self._columns, self._end = None, None
        self._file = open(self.filename, "a", newline="", encoding="utf-8")  # noqa: SIM115

    def get_state(self) -> dict[str, Any]:
        """The columns, and the size of the file with the rows that are written; null before the first of them."""
        return {"columns": self._columns, "end": self._end}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Rows that were written after the state was taken will be written again, over the old ones."""
        columns, end = state.get("columns"), state.get("end")
        if state.keys() != {"columns", "end"} or (columns is None) != (end is None):
            raise ValueError(f"the state of CSVLogger holds {dict(state)}; columns and end are allowed")
        if columns is not None and not (isinstance(columns, list) and all(isinstance(name, str) for name in columns)):
            raise ValueError(f"the columns of CSVLogger are {columns!r}; names are allowed")
        self._columns, self._end = columns, None if end is None else count("end", end)
        if self._file is not None and self._end is not None:
            self._cut(self._end)

    def _cut(self, end: int) -> None:
        assert self._file is not None
        self._file.truncate(min(end, self._file.tell()))
        self._file.seek(0, os.SEEK_END)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        assert self._file is not None
        logs = logs or {}
        if self._columns is None:
            names = sorted(logs)
            if not any(name.startswith("val_") for name in names):
                names += [f"val_{name}" for name in names]
            self._columns = ["epoch", *names]
            if not self.append:
                self._cut(0)
        if self._file.tell() == 0:
            self._write(self._columns)
        values: dict[str, Any] = {"epoch": epoch, **logs}
        self._write([values.get(name, "NA") for name in self._columns])
        self._end = self._file.tell()

    def _write(self, row: list[Any]) -> None:
        csv.writer(self._file, delimiter=self.sep).writerow(row)  # type: ignore[arg-type]
        self._file.flush()  # type: ignore[union-attr]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
