"""The data of one call of `fit`, and what is measured on it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from fastnn._kernels import program as engine
from fastnn.losses import Loss
from fastnn.sklearn._network import Network, Samples

__all__ = ["Objective", "Orders", "Task"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Objective:
    """A loss of scikit-learn's in terms of the engine's, which are means over the outputs.

    What is minimised is factor * the engine's loss; what is reported is ratio * that + the mean of the samples'
    offsets. scikit-learn reports half the mean squared error over outputs, but follows the gradient of its sum.
    """

    loss: Loss
    factor: float = 1.0
    ratio: float = 1.0
    is_poisson: bool = False

    def offsets(self, targets: Array) -> Array | None:
        """What the engine's loss of each sample leaves out, since no output has a part in it."""
        if not self.is_poisson:
            return None
        targets = targets.astype(np.float64)
        return np.mean(xlogy(targets, targets) - targets, axis=1)

    def reported(self, total: float, penalty: float, samples: Samples) -> float:
        return np.float64((total - penalty) * self.ratio + samples.offset + penalty)


@dataclass
class Task:
    """What training needs besides the network.

    X, y : as the caller would score them, and sample_weight
    samples : what is trained on
    validation : samples for the stopping rule, or None, and their X, y and weights
    scorers : by name, called with (estimator, X, y) after each epoch, and weights where they take them
    score : (outputs, encoded targets, weights) -> float, the estimator's own score
    """

    X: Any
    y: Any
    sample_weight: Array | None
    samples: Samples
    objective: Objective
    threads: int
    score: Callable[[Array, Array, Array | None], float]
    scorers: Mapping[str, Any] = field(default_factory=dict)
    validation: Samples | None = None
    X_val: Any = None
    y_val: Any = None
    weight_val: Array | None = None

    def scores(self, estimator: Any) -> dict[str, float]:
        """Of all samples and of the validation set, which are called ``val_...``."""
        sets = [("", self.X, self.y, self.sample_weight)]
        if self.X_val is not None:
            sets.append(("val_", self.X_val, self.y_val, self.weight_val))
        return {part + name: scorer(estimator, X, y, **({} if weight is None or not _takes_weights(scorer) else
                                                        {"sample_weight": weight}))
                for name, scorer in self.scorers.items() for part, X, y, weight in sets}

    def reported(self, total: float, penalty: float) -> float:
        """The loss of the epoch in scikit-learn's terms."""
        return self.objective.reported(total, penalty, self.samples)

    def reported_validation(self, total: float, penalty: float) -> float:
        assert self.validation is not None
        return self.objective.reported(total, penalty, self.validation)

    def validation_score(self, network: Network) -> float:
        """NaN where the network's outputs are not finite."""
        samples = self.validation
        assert samples is not None
        outputs = network.outputs(samples.x, self.threads)
        if not np.isfinite(outputs).all():
            return float("nan")
        return float(self.score(outputs, samples.y, samples.weight))

    @property
    def validation_data(self) -> engine.Data | None:
        return None if self.validation is None else self.validation.data


def _takes_weights(scorer: Any) -> bool:
    """Whether a function, or the metric in a scorer of scikit-learn, has an argument for them."""
    try:
        return "sample_weight" in inspect.signature(getattr(scorer, "_score_func", scorer)).parameters
    except ValueError:      # a builtin without a signature
        return False


class Orders:
    """The orders of epochs: each shuffles that before it, as scikit-learn does."""

    def __init__(self, n: int, random_state: np.random.RandomState) -> None:
        self.index, self.random_state = np.arange(n, dtype=np.int64), random_state

    def __call__(self) -> NDArray[np.int64]:
        self.index = self.index[self.random_state.permutation(len(self.index))]
        return self.index
