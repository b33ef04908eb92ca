"""The table and the progress bar that `fit` shows."""

from __future__ import annotations

import sys
import time
from typing import Any

from fastnn.callbacks.base import Callback, Logs
from fastnn.html import figure
from fastnn.notebooks import LiveTable, in_notebook

__all__ = ["ProgressBar"]


class ProgressBar(Callback):
    """A table with a row for each epoch and, inside an epoch, a bar with the loss and rows per second.

    In a Jupyter notebook both are one table of HTML that fills while the model is trained.

    Parameters
    ----------
    bar : bool, default True
        False prints the table alone, as text in notebooks too.
    """

    def __init__(self, bar: bool = True) -> None:
        super().__init__()
        self.bar = bar
        self.progress: Any = None
        self.table: LiveTable | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.header_of: tuple[str, ...] = ()
        self.table = LiveTable(self.params["epochs"]) if self.bar and in_notebook() else None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.start = time.perf_counter()
        self.label = f"Epoch {epoch + 1}/{self.params['epochs']}"
        if self.bar and self.table is None:
            from tqdm import tqdm

            self.progress = tqdm(total=self.params["samples"], desc=self.label, unit="row", unit_scale=True,
                                 leave=False)

    def on_progress(self, rows: int, loss: float) -> None:
        if self.table is not None:
            total, seconds = self.params["samples"], max(time.perf_counter() - self.start, 1e-9)
            self.table.progress(self.label, rows / total if total else None,
                                f"{rows:,} rows, {rows / seconds:,.0f} rows/s, loss {figure(loss)}")
        elif self.progress is not None:
            self.progress.set_postfix(loss=f"{loss:.4f}", refresh=False)
            self.progress.update(rows - self.progress.n)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = time.perf_counter() - self.start
        rate = self.params["samples"] / max(seconds, 1e-9)
        logs = logs or {}
        if self.table is not None:
            self.table.add(logs, (f"{epoch + 1}/{self.params['epochs']}", f"{seconds:.2f}", f"{rate:,.0f}"))
            return
        self.close()
        if tuple(logs) != self.header_of:
            self.header_of = tuple(logs)
            print(" ".join([f"{'epoch':>7}", *(f"{name:>{_width(name)}}" for name in logs),
                            f"{'seconds':>8}", f"{'rows/s':>10}"]))
        print(" ".join([f"{epoch + 1:>3}/{self.params['epochs']:<3}",
                        *(f"{figure(value):>{_width(name)}}" for name, value in logs.items()),
                        f"{seconds:>8.2f}", f"{rate:>10,.0f}"]))
        sys.stdout.flush()

    def close(self) -> None:
        if self.table is not None:
            self.table.close()
        if self.progress is not None:
            self.progress.close()
            self.progress = None


def _width(name: str) -> int:
    return max(9, len(name))
