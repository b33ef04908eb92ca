"""What a WeightMonitor or diagnose_gradients saw: distributions, updates and gradients of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.inputs import check_count
from fastnn.named import listed
from fastnn.optimizers import LBFGS
from fastnn.weights.gradients import GradientReport
from fastnn.weights.plot.figure import CYCLE, GUIDE, epochs, legend, library, log_limits, new_axes, plain, style
from fastnn.weights.transfer import checked_name

if TYPE_CHECKING:
    from fastnn.weights.monitor import WeightMonitor

__all__ = ["gradients", "ridge", "updates"]

Axes = Any
Array = NDArray[np.float64]

USUAL = 1e-3        # of a step, norm of the update over the norm of the weights
OVERLAP = 1.9       # height of a ridge in distances between two


def _recorded(monitor: Any) -> WeightMonitor:
    if not all(hasattr(monitor, name) for name in ("epochs", "weights", "histograms")):
        raise TypeError(f"monitor must be a WeightMonitor; received {monitor!r}")
    if not monitor.epochs:
        raise ValueError("the monitor has recorded nothing: give it to fit, callbacks=[monitor], and train")
    return monitor


def ridge(monitor: WeightMonitor, weight: str, *, most: int = 25, ax: Axes = None) -> Axes:
    """Draw how the distribution of a weight changed: a ridge for each epoch, the last in front.

    Each ridge is as high as the others, whatever its highest count.

    Parameters
    ----------
    monitor : WeightMonitor
        Trained with, and made with ``histogram_bins``.
    weight : str
        As ``"dense.kernel"``.
    most : int, default 25
        Ridges; of more epochs some are drawn, at even distances.
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
        If the monitor has recorded no histograms, or there is no such weight.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(8)], seed=0)
    >>> model.compile("adam", "mse")
    >>> monitor = fnn.weights.WeightMonitor(histogram_bins=20)
    >>> history = model.fit(np.ones((8, 3)), np.ones((8, 8)), epochs=4, verbose=0, callbacks=[monitor])
    >>> ax = fnn.weights.plot.ridge(monitor, "dense.kernel")
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['1', '2', '3', '4']
    """
    monitor = _recorded(monitor)
    if not monitor.histograms:
        raise ValueError("the monitor has no histograms: make it with WeightMonitor(histogram_bins=64)")
    found = monitor.histograms[checked_name(weight, monitor.histograms, "weight of the monitor")]
    numbers = np.array(monitor.epochs[-len(found):]) + 1
    step = -(-len(found) // check_count("most", most))
    chosen = np.arange((len(found) - 1) % step, len(found), step)
    ax = new_axes(ax)
    colours = library().colormaps["viridis"](np.linspace(0.9, 0.1, len(chosen)))
    for place, (i, colour) in enumerate(zip(chosen, colours, strict=True)):
        low, high, counts = found[i]
        edges = np.linspace(low, high, len(counts) + 1)
        heights = OVERLAP * counts / max(1, counts.max())
        x = np.concatenate([[low], (edges[1:] + edges[:-1]) / 2, [high]])
        y = np.concatenate([[0.0], heights, [0.0]])
        base = len(chosen) - 1 - place
        ax.fill_between(x, base, base + y, facecolor=colour, edgecolor="w", linewidth=0.7, zorder=2 + place)
    step = -(-len(chosen) // 13)
    places = range((len(chosen) - 1) % step, len(chosen), step)
    ax.set_yticks([len(chosen) - 1 - place for place in places],
                  [str(numbers[chosen[place]]) for place in places])
    ax.axvline(0, color=GUIDE, linewidth=0.8, linestyle=":", zorder=1)
    ax.set_ylim(-0.3, len(chosen) - 0.9 + OVERLAP)
    ax.set_xlabel("weight")
    ax.set_ylabel("epoch")
    ax.set_title(f"{plain(weight)}: distribution over epochs")
    return ax


def _names(monitor: WeightMonitor, weights: Sequence[str] | None) -> list[str]:
    """Those asked for, else the kernels; biases begin at zero, where ratios mean little."""
    if weights is None:
        kernels = [name for name in monitor.weights if name.endswith((".kernel", ".embeddings"))]
        return kernels or list(monitor.weights)
    given = listed("weights", weights, "names of weights, or None for all kernels")
    if not given:
        raise ValueError("weights must name at least one, or be None for all kernels; received an empty list")
    return [checked_name(name, monitor.weights, "weight of the monitor") for name in given]


def _lines(ax: Axes, monitor: WeightMonitor, names: Sequence[str], figure: str, scale: float) -> Array:
    numbers = np.array(monitor.epochs) + 1
    drawn = []
    for i, name in enumerate(names):
        values = np.array(monitor.weights[name][figure], np.float64) * scale
        positive = np.where(values > 0, values, np.nan)     # zero has no logarithm
        n = len(positive)                                   # a layer may have joined late
        ax.plot(numbers[-n:], positive, label=plain(name), marker="o" if n <= 20 else None, markersize=3, **style(i))
        drawn.append(positive)
    epochs(ax, numbers)
    return np.concatenate([*drawn, []])


def updates(monitor: WeightMonitor, weights: Sequence[str] | None = None, *, ax: Axes = None) -> Axes:
    """Draw how large updates are beside the weights that they change, on a logarithmic axis.

    Where the number of steps of an epoch is known, it is the epoch's ratio divided by them, which is a step's at least;
    the line at 1e-3 is a usual size of that: far above it a training is rough, far below it slow. The line searches of
    `LBFGS`, which ends where it likes, are drawn by epoch, without a line.

    Parameters
    ----------
    monitor : WeightMonitor
        Trained with.
    weights : list of str, optional
        As ``["dense.kernel"]``; all kernels by default.
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
        If the monitor has recorded nothing, or there is no such weight.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(8)], seed=0)
    >>> model.compile("adam", "mse")
    >>> monitor = fnn.weights.WeightMonitor()
    >>> history = model.fit(np.ones((8, 3)), np.ones((8, 8)), epochs=4, verbose=0, callbacks=[monitor])
    >>> ax = fnn.weights.plot.updates(monitor)
    >>> ax.get_ylabel(), ax.get_yscale()
    ('update / weight, per step', 'log')
    """
    monitor = _recorded(monitor)
    names, steps = _names(monitor, weights), monitor.params.get("steps")
    if isinstance(getattr(monitor.model, "optimizer", None), LBFGS):
        steps = None
    ax = new_axes(ax)
    values = _lines(ax, monitor, names, "update_ratio", 1 / (steps or 1))
    shown = np.append(values, USUAL) if steps else values
    if steps:
        ax.axhline(USUAL, color=GUIDE, linewidth=1, linestyle="--", label="1e-3: usual for a step")
    log_limits(ax, shown)
    ax.set_ylabel("update / weight, per step" if steps else "update / weight, per epoch")
    over = f"\n(an epoch's change over its {steps} steps)" if steps else ""
    ax.set_title(f"size of updates beside the weights{over}")
    legend(ax, len(names) + 1)
    return ax


def gradients(report: GradientReport | WeightMonitor, *, ax: Axes = None) -> Axes:
    """Draw the gradients of the layers: of a report as bars, of a monitor over the epochs.

    Parameters
    ----------
    report : GradientReport or WeightMonitor
        What `diagnose_gradients` returned: the root mean square of the gradient of each layer's outputs, which should
        be of one size from the first layer to the last, and the norm of that of its weights. Or a monitor made with
        samples `x` and `y`: the norms of its kernels' gradients.
    ax : matplotlib.axes.Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Gradients of zero, which have no logarithm, are missing.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `report` is something else, or the monitor has recorded no gradients.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> x = np.random.default_rng(0).normal(size=(32, 3))
    >>> model = fnn.Sequential([fnn.Input((3,)), fnn.layers.Dense(8, "relu"), fnn.layers.Dense(8, "relu"),
    ...                         fnn.layers.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> ax = fnn.weights.plot.gradients(fnn.weights.diagnose_gradients(model, x, x.sum(axis=1)))
    >>> ax.get_title().splitlines()[0]
    'gradients by layer: healthy'
    """
    if isinstance(report, GradientReport):
        return _report(report, new_axes(ax))
    monitor = _recorded(report)
    names = [name for name in _names(monitor, None) if "gradient_norm" in monitor.weights[name]]
    if not names:
        raise ValueError("the monitor has recorded no gradients: make it with samples and targets, WeightMonitor(x, y)")
    ax = new_axes(ax)
    log_limits(ax, _lines(ax, monitor, names, "gradient_norm", 1.0))
    ax.set_ylabel("norm of the gradient")
    ax.set_title("gradients of kernels at the end of epochs")
    legend(ax, len(names))
    return ax


def _report(report: GradientReport, ax: Axes) -> Axes:
    if not report.layers:
        raise ValueError("the report has no layers: the model has no layer with weights before its last")
    x = np.arange(len(report.layers))
    sizes, norms = (np.array([getattr(row, name) for row in report.layers], np.float64)
                    for name in ("gradient_rms", "weight_gradient_norm"))
    ax.bar(x, np.where(sizes > 0, sizes, np.nan), 0.6, color=CYCLE[0], label="outputs: root mean square")
    ax.plot(x, np.where(norms > 0, norms, np.nan), "D", color=CYCLE[1], markersize=6, markeredgecolor="w",
            label="weights: norm")
    log_limits(ax, np.concatenate([sizes, norms]))
    names = [plain(row.name) for row in report.layers]
    ax.set_xticks(x, names, rotation=0 if sum(map(len, names)) < 50 else 90)
    ax.set_xlim(-0.6, len(x) - 0.4)
    ax.set_xlabel("layer, from the input on")
    ax.set_ylabel("gradient of the loss")
    ax.set_title(f"gradients by layer: {report.verdict}\n(first over last: {report.ratio:.3g})")
    ax.legend(fontsize="small")
    return ax
