"""What a training looks like from its curves, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["diagnosis"]

FEWEST = 5  # epochs from which a curve says anything
# Thresholds: a part of the level that is compared, and a part of the loss at the start, below which nothing matters.
RISES = 0.05, 0.01
FALLS = 0.02, 0.001
GAP = 0.5, 0.02
GROWS = 0.5, 0.1    # of the training loss, above its best: diverging
LEARNT = 0.5        # of the loss at the start: a training loss that stays above it is underfitting


class Curve(NamedTuple):
    """A loss, epoch by epoch; its ends are medians of `window` epochs, since curves are noisy."""

    values: NDArray[np.float64]
    window: int

    @property
    def last(self) -> float:
        return float(np.median(self.values[-min(3, self.window):]))

    @property
    def best(self) -> int:
        return int(np.argmin(self.values))

    @property
    def slope(self) -> float:
        """Of the straight line through the last epochs, an epoch."""
        return float(np.polyfit(np.arange(self.window), self.values[-self.window:], 1)[0])


def diagnosis(history: Mapping[str, Sequence[float]], epochs: Sequence[int], chance: float = -math.inf,
              diverged: tuple[int, int] | None = None) -> str:
    """The sentence.

    history, epochs : as of `History`
    chance : the loss of a model that knows nothing, if it is known
    diverged : epoch and batch, counted from 1, where the loss was not finite
    """
    loss, val_loss = (np.array(history.get(name, ()), np.float64) for name in ("loss", "val_loss"))
    bad = np.flatnonzero(~np.isfinite(loss))
    if diverged is not None:
        return "It is diverging: the loss became NaN or infinite in epoch {}, batch {}.".format(*diverged)
    if len(bad):
        return f"It is diverging: the loss became NaN or infinite in epoch {epochs[bad[0]] + 1}."
    if not len(loss):
        return "There are too few epochs to tell: none was completed."
    window = min(10, max(3, len(loss) // 4))
    start = max(float(loss[0]), chance)
    if _more(Curve(loss, window), start, GROWS):
        best = int(np.argmin(loss))
        return (f"It is diverging: loss was lowest in epoch {epochs[best] + 1} ({loss[best]:.4g}) and has grown to "
                f"{loss[-1]:.4g}.")
    if len(loss) < FEWEST:
        return (f"There are too few epochs to tell: {len(loss)}, of at least {FEWEST}; loss went from {loss[0]:.4g} to "
                f"{loss[-1]:.4g}.")
    finite = np.isfinite(val_loss)
    if not finite.any():
        return _without_validation(Curve(loss, window), start)
    val_loss[~finite] = val_loss[finite].max()
    return _with_validation(Curve(loss, window), Curve(val_loss, window), epochs, start)


def _exceeds(difference: float, level: float, start: float, threshold: tuple[float, float]) -> bool:
    return difference > threshold[0] * abs(level) + threshold[1] * abs(start)


def _more(curve: Curve, start: float, threshold: tuple[float, float]) -> bool:
    """Whether the curve ends above its lowest point by more than the threshold, and not because of one epoch."""
    lowest = float(curve.values.min())
    return _exceeds(min(curve.last, float(curve.values[-1])) - lowest, lowest, start, threshold)


def _falls(curve: Curve, start: float) -> bool:
    return _exceeds(-curve.slope * curve.window, curve.last, start, FALLS)


def _without_validation(loss: Curve, start: float) -> str:
    trend = "still falls" if _falls(loss, start) else "is flat"
    return (f"There is no validation data, so that overfitting cannot be seen: loss went from {loss.values[0]:.4g} to "
            f"{loss.values[-1]:.4g} and {trend} ({loss.slope:+.2g} an epoch).")


def _with_validation(loss: Curve, val: Curve, epochs: Sequence[int], start: float) -> str:
    best, gap = val.best, val.last - loss.last
    best_value, where = val.values[best], f"epoch {epochs[val.best] + 1}"
    slopes = f"loss changes by {loss.slope:+.2g} an epoch and val_loss by {val.slope:+.2g}"
    if _more(val, start, RISES):
        trend = "fell" if loss.values[-1] < loss.values[best] else "went"
        return (f"It looks like overfitting: val_loss was best in {where} ({best_value:.4g}) and has risen to "
                f"{val.values[-1]:.4g}, while loss {trend} from {loss.values[best]:.4g} to {loss.values[-1]:.4g}; the "
                f"gap is {gap:.4g}.")
    if _falls(val, start):
        return (f"It is still improving: val_loss was best in {where} of {epochs[-1] + 1} ({best_value:.4g}), and "
                f"{slopes}; more epochs may help.")
    if _exceeds(gap, val.last, start, GAP):
        return (f"It looks like overfitting: loss is {loss.last:.4g}, but val_loss {val.last:.4g} since about {where}; "
                f"the gap is {gap:.4g}.")
    if loss.last > LEARNT * start:
        return (f"It looks like underfitting: loss came down from {start:.4g} to {loss.last:.4g} only and stays there "
                f"with val_loss {val.last:.4g} (gap {gap:.4g}); {slopes}.")
    return (f"It looks like a good fit: val_loss was best in {where} ({best_value:.4g}) and is {val.last:.4g}, near "
            f"loss {loss.last:.4g} (gap {gap:.4g}); {slopes}.")
