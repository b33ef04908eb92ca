"""The table and the progress bar that `fit` shows."""

from __future__ import annotations

import sys
import time
from typing import Any

from fastnn.callbacks.base import Callback, Logs

__all__ = ["ProgressBar"]


class ProgressBar(Callback):
    """A table with a row for each epoch and, inside an epoch, a bar with the loss and rows per second.

    Parameters
    ----------
    bar : bool, default True
        False prints the table alone.
    """

    def __init__(self, bar: bool = True) -> None:
        super().__init__()
        self.bar = bar
        self.progress: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.header_of: tuple[str, ...] = ()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.start = time.perf_counter()
        if self.bar:
            from tqdm.auto import tqdm

            self.progress = tqdm(total=self.params["samples"], desc=f"Epoch {epoch + 1}/{self.params['epochs']}",
                                 unit="row", unit_scale=True, leave=False)

    def on_progress(self, rows: int, loss: float) -> None:
        if self.progress is not None:
            self.progress.set_postfix(loss=f"{loss:.4f}", refresh=False)
            self.progress.update(rows - self.progress.n)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = time.perf_counter() - self.start
        self.close()
        logs = logs or {}
        if tuple(logs) != self.header_of:
            self.header_of = tuple(logs)
            print(" ".join([f"{'epoch':>7}", *(f"{name:>{_width(name)}}" for name in logs),
                            f"{'seconds':>8}", f"{'rows/s':>10}"]))
        rate = self.params["samples"] / max(seconds, 1e-9)
        print(" ".join([f"{epoch + 1:>3}/{self.params['epochs']:<3}",
                        *(f"{_figure(value):>{_width(name)}}" for name, value in logs.items()),
                        f"{seconds:>8.2f}", f"{rate:>10,.0f}"]))
        sys.stdout.flush()

    def close(self) -> None:
        if self.progress is not None:
            self.progress.close()
            self.progress = None


def _width(name: str) -> int:
    return max(9, len(name))


def _figure(value: float) -> str:
    return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"
