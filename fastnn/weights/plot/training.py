"""Curves of a training, and the learning-rate finder's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks.history import as_column
from fastnn.named import listed
from fastnn.notebooks import best_epoch
from fastnn.schedules import LearningRateSchedule
from fastnn.weights.plot.figure import CYCLE, GUIDE, epochs, ink, log_limits, new_axes, panels, plain
from fastnn.weights.transfer import checked_name

if TYPE_CHECKING:
    from fastnn.lr_finder import LRCurve

__all__ = ["curves", "learning_rates"]

Axes = Any
Array = NDArray[np.float64]

RATE = "learning_rate"
SPREAD = 100.0      # largest loss over the least from which on the axis is logarithmic


def curves(history: Any, metrics: str | Sequence[str] | None = None, *, ax: Any = None) -> Any:
    """Draw loss and metrics of a training over its epochs, with those of validation.

    The best epoch is marked in each panel: of validation where there is some; the lowest loss and errors, the highest
    of the other metrics. The learning rate has a panel of its own where the history has it, or the optimizer follows
    a schedule.

    Parameters
    ----------
    history : History or dict of str to list of float
        What `fit` returned, or its ``history``.
    metrics : str or list of str, optional
        ``"loss"``, metrics, ``"learning_rate"``; all by default.
    ax : matplotlib.axes.Axes or array of them, optional
        One for each panel, or one in whose place they are drawn; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes or ndarray of them
        One where there is one panel.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If the history is empty or has no such metric.

    Examples
    --------
    >>> import fastnn as fnn
    >>> ax = fnn.weights.plot.curves({"loss": [1.0, 0.5, 0.3], "val_loss": [0.9, 0.6, 0.7]})
    >>> ax.get_legend_handles_labels()[1]
    ['training', 'validation', 'best: 0.6 in epoch 2']
    """
    values, numbers = _read(history)
    names = _chosen(values, metrics)
    axes = panels(ax, len(names))
    for axis, name in zip(axes, names, strict=True):
        if name == RATE:
            _draw_rate(axis, numbers, values[name])
        else:
            _draw_curve(axis, numbers, name, values, history)
    return axes[0] if len(axes) == 1 else axes


def _read(history: Any) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """The lists of a history as arrays, and the epochs, counted from 1."""
    record = getattr(history, "history", history)
    if not isinstance(record, Mapping) or not all(isinstance(name, str) for name in record):
        raise TypeError(f"history must be the History that fit returns, or its dict of lists; received {history!r}")
    lists = {name: as_column(name, column) for name, column in record.items() if np.size(column)}
    n = max((column.size for column in lists.values()), default=0)
    if not n:
        raise ValueError("the history is empty: train the model with fit first")
    counted = getattr(history, "epoch", ())
    numbers = np.array(counted[-n:] if len(counted) >= n else range(n), np.int64)
    values = {}
    for name, column in lists.items():
        at = np.isin(numbers, history.epochs_of(name)) if hasattr(history, "epochs_of") else np.empty(0)
        if np.count_nonzero(at) != column.size:     # nobody knows: it may have come late
            at = np.arange(n) >= n - column.size
        values[name] = np.full(n, np.nan)
        values[name][at] = column
    if RATE not in values and (rates := _scheduled(history, n)) is not None:
        values[RATE] = rates
    return values, numbers + 1


def _scheduled(history: Any, n: int) -> Array | None:
    """The rates that a schedule gave for the last step of each epoch, or None where there is none or the number of
    steps is not known."""
    optimizer = getattr(getattr(history, "model", None), "optimizer", None)
    schedule, steps = getattr(optimizer, "learning_rate", None), getattr(history, "params", {}).get("steps")
    last = getattr(history, "last_step", None)
    if not isinstance(schedule, LearningRateSchedule) or not steps or last is None or last < n * steps:
        return None
    return np.asarray(schedule(last - 1 - steps * np.arange(n)[::-1]), np.float64)


def _chosen(values: Mapping[str, Array], metrics: str | Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(name.removeprefix("val_") for name in values if name != RATE))
    known += [RATE] if RATE in values else []
    if metrics is None:
        return known
    wanted = listed("metrics", metrics, "a name or names of metrics, or None for all")
    if not wanted:
        raise ValueError("metrics must name at least one, or be None for all; received an empty list")
    return [checked_name(str(name).removeprefix("val_"), known, "metric of the history") for name in wanted]


def _draw_curve(ax: Axes, numbers: Array | NDArray[np.int64], name: str, values: Mapping[str, Array],
                history: Any) -> None:
    both = [(values[key], label) for key, label in ((name, "training"), (f"val_{name}", "validation"))
            if key in values]
    for line, label in both:
        marker = "o" if len(numbers) <= 20 or np.isnan(line).any() else None     # a number alone has no line
        ax.plot(numbers, line, color=CYCLE[label == "validation"], marker=marker, markersize=3, label=label)
    judged = both[-1][0]
    best = best_epoch(history, name, judged.tolist())
    if best is not None:
        ax.axvline(numbers[best], color=GUIDE, linewidth=0.8, linestyle=":", zorder=0)
        ax.plot([numbers[best]], [judged[best]], "*", color=ink(), markersize=9, zorder=3,
                label=f"best: {judged[best]:.4g} in epoch {numbers[best]}")
    drawn = np.concatenate([line for line, _ in both])
    drawn = drawn[np.isfinite(drawn)]
    if name == "loss" and drawn.size and drawn.min() > 0 and drawn.max() > SPREAD * drawn.min():
        log_limits(ax, drawn)
    epochs(ax, numbers)
    ax.set_ylabel(plain(name))
    ax.set_title(plain(name))
    ax.legend(fontsize="small")


def _draw_rate(ax: Axes, numbers: Array | NDArray[np.int64], rates: Array) -> None:
    ax.plot(numbers, rates, color=CYCLE[2], marker="o" if len(numbers) <= 20 else None, markersize=3,
            label="learning rate")
    log_limits(ax, rates)
    epochs(ax, numbers)
    ax.set_ylabel("learning rate")
    ax.set_title("learning rate")


def learning_rates(curve: LRCurve, *, ax: Axes = None) -> Axes:
    """Draw the losses that `fastnn.lr_find` saw over the learning rates, smoothed, with its suggestions.

    Parameters
    ----------
    curve : LRCurve
    ax : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `curve` is something else, or has no steps.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> from fastnn.lr_finder import LRCurve
    >>> rates = np.logspace(-5, 0, 50)
    >>> ax = fnn.weights.plot.learning_rates(LRCurve(rates, np.cos(3 * rates)))
    >>> ax.get_xlabel(), ax.get_xscale()
    ('learning rate', 'log')
    """
    if not all(hasattr(curve, name) for name in ("rates", "smoothed", "valley", "steepest")):
        raise TypeError(f"curve must be what fastnn.lr_find returns; received {curve!r}")
    if not len(curve.rates):
        raise ValueError("the curve has no steps: the loss was not finite from the first on")
    ax = new_axes(ax)
    ax.plot(curve.rates, curve.losses, color="0.8", linewidth=1, label="loss of a batch")
    ax.plot(curve.rates, curve.smoothed, color=CYCLE[0], label="smoothed")
    for name, marker, colour in (("valley", "o", CYCLE[1]), ("steepest", "s", CYCLE[2])):
        rate = getattr(curve, name)
        if rate is not None:
            ax.plot([rate], [curve.smoothed[curve.rates == rate][0]], marker, color=colour, label=f"{name}: {rate:.1e}")
    low, high = float(curve.smoothed.min()), float(curve.smoothed[0])
    if math.isfinite(high - low) and high > low:
        ax.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low))
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    ax.set_title("learning-rate range test" + (", until the loss ran away" if curve.diverged else ""))
    ax.legend(fontsize="small")
    return ax
