"""History: what `fit` returns."""

from __future__ import annotations

from fastnn.callbacks.base import Callback, Logs

__all__ = ["History"]


class History(Callback):
    """What `fit` returns: loss and metrics of every epoch.

    Attributes
    ----------
    history : dict of str to list of float
        ``"loss"``, the metrics' names, and the same with ``val_`` before them.
    epoch : list of int
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4f}" for name, values in self.history.items())
        return f"<History of {len(self.epoch)} epochs{': last ' + last if last else ''}>"
