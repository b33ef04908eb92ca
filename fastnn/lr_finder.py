"""The learning-rate range test: a short training with growing rates, and what its losses suggest."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._kernels.threads import effective_n_threads
from fastnn.inputs import check_count
from fastnn.model import Sequential
from fastnn.named import number
from fastnn.optimizers import LBFGS

__all__ = ["LRCurve", "lr_find"]

Floats = NDArray[np.float64]

SMOOTHING = 0.98    # weight of the mean so far, as in fastai
DIVERGED = 4.0      # times the best smoothed loss


@dataclass(frozen=True, eq=False)
class LRCurve:
    """What `lr_find` saw.

    Attributes
    ----------
    rates, losses : float64 ndarray (n,)
        Learning rate and loss of each batch; n is less than the steps asked for if the loss ran away.
    smoothed : float64 ndarray (n,)
        Mean of the losses up to each, weighted by ``0.98**age`` and corrected for its start.
    diverged : bool
        Whether the loss ran away.
    valley, steepest : float or None
        A rate in the middle of the longest fall of the smoothed loss, and the one where it falls fastest in the
        logarithm of the rate; None where it never falls.
    suggestion : float or None
        `valley`.
    """

    rates: Floats
    losses: Floats
    diverged: bool = field(default=False)

    @cached_property
    def smoothed(self) -> Floats:
        mean = _Mean()
        return np.array([mean.add(loss) for loss in self.losses.tolist()])

    def _middle(self) -> slice:
        """Without the first tenth, in which the mean has hardly begun, and the last 5, in which the loss runs away."""
        n = len(self.rates)
        return slice(n // 10, n - 5 if n > 20 else n)

    @cached_property
    def valley(self) -> float | None:
        part = self._middle()
        rates, losses = self.rates[part], self.smoothed[part]
        falls = np.ones(len(losses), dtype=np.intp)     # length of the longest falling subsequence that ends here
        for i in range(1, len(losses)):
            higher = losses[:i] > losses[i]
            if higher.any():
                falls[i] = falls[:i][higher].max() + 1
        if not len(falls) or falls.max() < 2:
            return None
        end, length = int(falls.argmax()), int(falls.max())
        return float(rates[end - length // 2])

    @cached_property
    def steepest(self) -> float | None:
        part = self._middle()
        rates, losses = self.rates[part], self.smoothed[part]
        slopes = np.diff(losses) / np.diff(np.log(rates))
        return float(rates[slopes.argmin()]) if len(slopes) and slopes.min() < 0 else None

    @property
    def suggestion(self) -> float | None:
        return self.valley

    def plot(self, ax: Any = None) -> Any:
        """Draw smoothed loss over rate, with the suggestions.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed: ``pip install "fastnn[viz]"``.
        """
        from fastnn.weights.plot import learning_rates

        return learning_rates(self, ax=ax)

    def __repr__(self) -> str:
        found = "none" if self.suggestion is None else f"{self.suggestion:.2e}"
        return (f"<LRCurve of {len(self.rates)} steps from {self.rates[0]:.0e} to {self.rates[-1]:.0e}: "
                f"suggestion {found}>" if len(self.rates) else "<LRCurve of no steps>")


def lr_find(model: Sequential, x: Any, y: Any, start: float = 1e-7, end: float = 10.0, steps: int = 100,
            batch_size: int = 32, *, sample_weight: Any = None, class_weight: Mapping[int, float] | None = None,
            shuffle: bool = True, stop_when_diverged: bool = True, n_threads: int | None = None) -> LRCurve:
    """Train a copy of a model for some steps with ever larger learning rates (Smith, 2017).

    The rate of step i is ``start * (end / start)**(i / (steps - 1))``. The losses are smoothed as in fastai; the test
    ends early where the smoothed loss is above 4 times its best, or a loss is not finite. The model itself, its
    optimizer's state and its generator stay as they are, whatever happens; for that time there is a copy of its
    weights and slots.

    Parameters
    ----------
    model : Sequential
        Compiled; with the optimizer whose rate is to be chosen. It need not be built.
    x, y, sample_weight, class_weight
        As for `Sequential.fit`.
    start, end : float, default 1e-7 and 10
        Above 0, `end` above `start`.
    steps : int, default 100
        At least 2; samples are taken again where they do not suffice.
    batch_size : int, default 32
    shuffle : bool, default True
    stop_when_diverged : bool, default True
    n_threads : int, optional

    Returns
    -------
    LRCurve

    Raises
    ------
    TypeError, ValueError
        If the model is not compiled, its optimizer has no learning rate (`LBFGS`), its weights are not finite, or an
        argument is not allowed.
    RuntimeError
        If the model is being trained in another thread.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.datasets.load_digits()
    >>> model = fnn.Sequential([fnn.layers.Flatten(), fnn.layers.Rescaling(1 / 16),
    ...                         fnn.layers.Dense(32, "relu"), fnn.layers.Dense(10, "softmax")], seed=0)
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> curve = fnn.lr_find(model, x, y)
    >>> 1e-4 < curve.suggestion < 1
    True
    >>> model.built
    False
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a fastnn.Sequential; received {model!r}")
    if isinstance(model.optimizer, LBFGS):
        raise ValueError("lr_find looks for a learning rate, which LBFGS has not: its line search finds the length of "
                         "each step")
    start = number("start", start, "(0, inf)")
    end = number("end", end, f"({start!r}, inf)")
    steps = check_count("steps", steps, low=2)
    batch_size = check_count("batch_size", batch_size)
    threads = effective_n_threads(n_threads)
    with model._exclusively("lr_find", from_callback=True):
        twin = copy.deepcopy(model)
    data = twin._built_data(x, y, sample_weight, class_weight)
    twin._check_weights()
    rates = start * (end / start) ** (np.arange(steps) / (steps - 1))
    watch = _Watch(steps, DIVERGED if stop_when_diverged else math.inf)
    batch = min(batch_size, data.n)
    rows = np.diff(np.arange(0, data.n + batch, batch).clip(max=data.n))    # of each batch of an epoch
    while not watch.over:
        done = len(watch.losses)
        some = np.resize(rates[done:], len(rows))       # those behind the last step are not used
        watch.begin(rows)
        index = twin._shuffled(data.n) if shuffle and batch < data.n else None
        _, _, nonfinite, overflow = twin._workspace("train", batch, data.sparse).train(
            data, twin._optimizer_state(), index, batch, some, twin.seed, threads, (), None, each=watch, every=1)
        if nonfinite or overflow:
            watch.over = watch.diverged = True
    n = len(watch.losses)
    return LRCurve(rates[:n], np.array(watch.losses), watch.diverged)


class _Mean:
    """A mean that forgets, corrected for its start at 0."""

    def __init__(self) -> None:
        self.sum, self.n = 0.0, 0

    def add(self, loss: float) -> float:
        self.sum = SMOOTHING * self.sum + (1.0 - SMOOTHING) * loss
        self.n += 1
        return self.sum / (1.0 - SMOOTHING**self.n)


class _Watch:
    """The loss of each batch, and whether it is time to stop."""

    def __init__(self, steps: int, limit: float) -> None:
        self.steps, self.limit = steps, limit
        self.losses: list[float] = []
        self.over = self.diverged = False
        self.mean, self.best = _Mean(), math.inf

    def begin(self, rows: NDArray[np.int64]) -> None:
        """An epoch of batches of so many rows."""
        self.rows, self.sum = rows, 0.0

    def __call__(self, done: int, loss_sum: float) -> None:
        loss = (loss_sum - self.sum) / int(self.rows[done - 1])
        self.sum = loss_sum
        self.losses.append(loss)
        smoothed = self.mean.add(loss)
        self.best = min(self.best, smoothed)
        self.diverged = smoothed > self.limit * self.best
        self.over = self.diverged or len(self.losses) >= self.steps
        if self.over:
            raise StopIteration
