"""What notebooks show of models, histories and tables, and the table of `fit` that fills while it trains."""

from __future__ import annotations

import importlib
import math
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import metrics, optimizers
from fastnn.html import Html, bars, figure, notebook, sparkline, table, tag

if TYPE_CHECKING:
    from fastnn.callbacks.history import History
    from fastnn.model import Sequential

__all__ = ["LiveTable", "best_epoch", "compiled", "curves_table", "duration", "history_html", "in_notebook",
           "layer_rows", "memory", "model_html", "shown_shape", "tables_html"]

MOST_ROWS = 100     # of the table that fills
REFRESH = 0.2       # seconds between two pictures of it


# ---- models and histories ------------------------------------------------------------------------------------


def model_html(model: Sequential) -> str:
    """`summary`, with activations and what the model is compiled for."""
    size = np.dtype(model.dtype).itemsize
    lines = [compiled(model) or "not compiled"]
    if model.built:
        total, trained = model.count_params(), sum(leaf.count_trained() for leaf in model._leaves())
        held = f", {total - trained:,} of them not trained" if trained < total else ""
        lines.insert(0, f"{total:,} parameters{held}; {memory(total * size)} in {model.dtype}")
    else:
        lines.insert(0, "not built: shapes and parameters are known once the shape of a sample is")
    name = tag("p", tag("strong", f"{type(model).__name__} “{model.name}”"))
    body = table(("Layer", "Type", "Activation", "Output shape", "Parameters"), layer_rows(model), 3)
    return notebook(name, body, *(tag("p", line) for line in lines))


def layer_rows(model: Sequential) -> list[tuple[Any, ...]]:
    """Name, type, activation, output shape, parameters of each layer."""
    rows = []
    for layer in model._family:
        name = f"{chr(0x2003) * layer.depth}{layer.name}" + ("" if layer.trainable else " (frozen)")
        activation = getattr(getattr(layer, "activation", None), "name", "")
        rows.append((name, type(layer).__name__, "" if activation == "linear" else activation,
                     shown_shape(layer.output_shape) if layer.built else "?",
                     f"{layer.count_params():,}" if layer.built else "?"))
    return rows or [("no layers", "", "", "", "")]


def compiled(model: Sequential) -> str:
    """Optimizer, loss and metrics in a line; empty where there are none."""
    optimizer, loss = model.optimizer, model.loss
    if optimizer is None or loss is None:
        return ""
    rate, how = optimizer._learning_rate, ""
    if not isinstance(optimizer, optimizers.LBFGS):
        how = f", learning rate {rate:g}" if isinstance(rate, float) else f", {rate!r}"
    return f"optimizer {optimizer.name}{how}; loss {loss.name}"


def memory(n_bytes: float) -> str:
    for unit in ("B", "KB", "MB"):
        if n_bytes < 1023.5:
            return f"{_digits(n_bytes)} {unit}"
        n_bytes /= 1024
    return f"{_digits(n_bytes)} GB"


def duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{_digits(seconds * 1e3)} ms"
    if seconds < 119.5:
        return f"{_digits(seconds)} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 59.95 else "{} h {} min".format(*divmod(round(minutes), 60))


def _digits(value: float) -> str:
    """Three digits, or all those before the point."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def shown_shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "1"


def best_epoch(history: Any, name: str, values: Sequence[float]) -> int | None:
    """The index of the best finite value; None where none is finite, or it is not known whether more is better."""
    direction = _direction(history, name.removeprefix("val_"))
    finite = [i for i, value in enumerate(values) if math.isfinite(value)]
    if not finite or direction not in ("min", "max"):
        return None
    return (min if direction == "min" else max)(finite, key=values.__getitem__)


def _direction(history: Any, name: str) -> str | None:
    """Whether a number should rise ("max") or fall ("min"), where that is known."""
    if name == "loss" or name.endswith("_loss"):
        return "min"
    model = getattr(history, "model", None)
    compiled = zip(model.metrics_names[1:], model.metrics, strict=False) if model is not None else ()
    try:
        return str((dict(compiled).get(name) or metrics.get(name)).direction)
    except ValueError:  # no metric's name
        return None


def curves_table(history: History) -> Html:
    """A row for each metric: first, best, last, and its curve beside that of validation."""
    known, rows = history.history, []
    for name, values in known.items():
        if not values or (name.startswith("val_") and known.get(name[4:])):
            continue
        both = [(name, values)] + ([(f"val_{name}", known[f"val_{name}"])] if known.get(f"val_{name}") else [])
        drawn = sparkline([curve for _, curve in both])
        for label, curve in both:
            best = best_epoch(history, label, curve)
            epochs = history.epochs_of(label)
            last = figure(curve[-1]), "" if math.isfinite(curve[-1]) else "bad"
            rows.append((label, figure(curve[0]), "" if best is None else figure(curve[best]),
                         "" if best is None or best >= len(epochs) else epochs[best] + 1, last, drawn))
            drawn = Html("")
    return table(("", "first", "best", "in epoch", "last", "curve"), rows)


def history_html(history: History) -> str:
    n = len(history.epoch)
    if not n or not history.history:
        return notebook(tag("p", "History of no epochs"))
    said = f"{n} epoch{'s' * (n > 1)}"
    seconds = [second for second in history.seconds if math.isfinite(second)]
    if seconds:
        said += f" in {duration(sum(seconds))}"
    dashed = "; dashed: validation" if any(name.startswith("val_") for name in history.history) else ""
    return notebook(tag("p", said + dashed), curves_table(history), tag("p", history.diagnose()))


def tables_html(tables: Sequence[Sequence[Sequence[str]]], left: int, lines: Sequence[str] = ()) -> str:
    """Tables of text, headers first, and lines below them."""
    return notebook(*(table(rows[0], rows[1:], left) for rows in tables), *(tag("p", line) for line in lines))


# ---- the table that fills ------------------------------------------------------------------------------------


def in_notebook() -> bool:
    """Whether output goes to a kernel of Jupyter's, where pictures of the same place replace one another."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


class LiveTable:
    """The rows of epochs and a bar, in one place of a notebook: no widgets, and nothing is left but the table."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.rows: list[tuple[Mapping[str, float], tuple[str, ...]]] = []
        self.line: Html | None = None
        self.place: Any = None
        self.shown_at, self.pending = -math.inf, False

    def progress(self, label: str, part: float | None, words: str) -> None:
        """What the running epoch has done; `part` None where its end is not known."""
        drawn = [bars(part), " "] if part is not None else []
        self.line = tag("p", f"{label} ", *drawn, words)
        self.show()

    def add(self, logs: Mapping[str, float], cells: tuple[str, ...]) -> None:
        """An epoch: its number, what was measured, its seconds and rates."""
        self.rows.append((dict(logs), cells))
        self.line = None
        self.show()

    def close(self) -> None:
        self.line = None
        if self.pending or self.place is not None:
            self.show(last=True)

    def show(self, last: bool = False) -> None:
        now = time.perf_counter()
        self.pending = True
        if self.shown_at == math.inf or (not last and now - self.shown_at < REFRESH):
            return
        self.shown_at, self.pending = now, False
        data = {"text/html": self.html(), "text/plain": f"<training: {len(self.rows)} of {self.epochs} epochs>"}
        try:
            if self.place is None:
                self.place = importlib.import_module("IPython.display").display(data, raw=True, display_id=True)
            else:
                self.place.update(data, raw=True)
        except Exception as error:
            self.shown_at = math.inf  # a training is worth more than its table
            warnings.warn(f"the table of fit cannot be shown any more: {error!r}; verbose=2 prints it as text",
                          UserWarning, stacklevel=2)

    def html(self) -> str:
        names = list(dict.fromkeys(name for logs, _ in self.rows[-MOST_ROWS:] for name in logs))
        rows = [(cells[0], *(figure(logs[name]) if name in logs else "" for name in names), *cells[1:])
                for logs, cells in self.rows[-MOST_ROWS:]]
        left_out = len(self.rows) - len(rows)
        parts = [tag("p", f"{left_out:,} epochs before these")] if left_out else []
        if rows:
            parts.append(table(("epoch", *names, "seconds", "rows/s"), rows, 0))
        return notebook(*parts, *([self.line] if self.line else []))
