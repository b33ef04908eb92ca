"""``preset="auto"``: networks for tables that are good before anything is tuned.

Network and settings are RealMLP-TD-S, see `fastnn.sklearn._realmlp`. Two things differ from the paper: the epoch that
is kept is the one with the lowest validation loss, for classes too, where the paper counts errors, of which a small
table has too few to tell epochs apart; and of a table of few rows none are held out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import check_X_y, validate_data

from fastnn import activations, losses, optimizers
from fastnn.callbacks.base import Logs
from fastnn.errors import DivergenceError
from fastnn.losses import Loss
from fastnn.schedules import CosLog4
from fastnn.sklearn._network import Network, Samples
from fastnn.sklearn._parameters import HIDDEN_ACTIVATIONS, hidden_sizes, per_layer
from fastnn.sklearn._progress import Progress
from fastnn.sklearn._realmlp import Shape, TableNetwork, realmlp
from fastnn.sklearn._tables import TableEncoder, as_frame, is_frame
from fastnn.sklearn._task import Objective, Task

if TYPE_CHECKING:
    from fastnn.sklearn._mlp import BaseMLP

__all__ = ["checked_table", "fit_table"]

Array = NDArray[Any]

# What takes the place of scikit-learn's defaults, for classes and for numbers.
CLASSES: dict[str, Any] = {
    "hidden_layer_sizes": (256, 256, 256), "activation": "selu", "learning_rate_init": 0.04, "max_iter": 256,
    "beta_2": 0.95, "batch_size": 256, "validation_fraction": 0.2, "alpha": 0.0}
NUMBERS = CLASSES | {"activation": "mish", "learning_rate_init": 0.07}
# What it leaves no choice in.
FIXED = ("solver", "learning_rate", "optimizer", "loss", "batch_norm", "density", "warm_start")

SMOOTHING = 0.1     # of class labels
FEW = 50            # rows below which none are held out: a fifth of them would tell nothing
SMALL = 1000        # rows up to which data of float64 are trained on in float64, which costs little then


@dataclass
class Settings:
    """The estimator's parameters, the preset's in the place of scikit-learn's defaults."""

    hidden: list[tuple[int, Any, float, float]]     # units, activation, dropout, alpha
    alpha: float                                    # of the last layer
    learning_rate: float
    beta_2: float
    epochs: int
    batch_size: int
    validation_fraction: float

    @classmethod
    def of(cls, estimator: BaseMLP, numbers: bool) -> Settings:
        given = estimator.get_params(deep=False)
        usual = {name: argument.default for name, argument in inspect.signature(type(estimator)).parameters.items()}
        for name in FIXED:
            if not _same(given[name], usual[name]):
                raise ValueError(f"preset='auto' leaves no choice of {name}: {usual[name]!r}, the default, is allowed; "
                                 f"received {given[name]!r}")
        own = {name: value if _same(given[name], usual[name]) else given[name]
               for name, value in (NUMBERS if numbers else CLASSES).items()}
        sizes = hidden_sizes(own["hidden_layer_sizes"])
        kinds = [activations.get(HIDDEN_ACTIVATIONS.get(kind, kind) if isinstance(kind, str) else kind)
                 for kind in per_layer("activation", own["activation"], len(sizes), "hidden layer")]
        rates = per_layer("dropout", given["dropout"], len(sizes), "hidden layer")
        *alphas, alpha = per_layer("alpha", own["alpha"], len(sizes) + 1, "layer")
        return cls(list(zip(sizes, kinds, rates, alphas, strict=True)), alpha, own["learning_rate_init"], own["beta_2"],
                   own["max_iter"], own["batch_size"], own["validation_fraction"])


def _same(value: Any, usual: Any) -> bool:
    """Whether a parameter has its default, as a scalar of numpy too, which grids have."""
    return isinstance(value, (str, Real, np.bool_, tuple, NoneType)) and bool(value == usual)


@dataclass
class Rows:
    """Some of the rows of a table, with their targets and weights."""

    X: Any
    y: Any
    targets: Array              # as the estimator encodes y
    weight: Array | None
    index: NDArray[np.intp]     # which of them

    @classmethod
    def of(cls, estimator: BaseMLP, X: Any, y: Any, sample_weight: Any, first: bool) -> Rows:
        """Those of weight zero are none."""
        X = checked_table(estimator, X, reset=first)
        n = X.shape[0]
        _, y = check_X_y(np.zeros((n, 1)), y, multi_output=True, y_numeric=is_regressor(estimator),
                         estimator=estimator)
        targets = estimator._encode(X, y, first, not first)
        weight = estimator._weights(sample_weight, X, targets)
        return cls(X, y, targets, weight, np.arange(n) if weight is None else np.flatnonzero(weight))

    @property
    def n(self) -> int:
        return len(self.index)

    def split(self, fraction: float, random: np.random.RandomState, by_class: bool) -> tuple[Rows, Rows | None]:
        """What is trained on and what is held out, by class where all classes have enough rows."""
        if self.n < FEW or fraction == 0:
            return self, None
        labels = self.chosen_targets.ravel() if by_class else None
        if labels is not None:
            counts = np.unique(labels, return_counts=True)[1]
            if counts.min() < 2 or len(counts) > fraction * self.n:
                labels = None
        parts = train_test_split(self.index, test_size=fraction, random_state=random, stratify=labels)
        train, held = (replace(self, index=np.sort(part)) for part in parts)
        return train, held

    @property
    def chosen_targets(self) -> Array:
        return self.targets[self.index]

    @property
    def chosen_weights(self) -> Array | None:
        return None if self.weight is None else self.weight[self.index]

    def scored(self, wanted: bool) -> tuple[Any, Any]:
        """The rows of X and y, for scorers."""
        return (_safe_indexing(self.X, self.index), self.y[self.index]) if wanted else (None, None)


class Targets:
    """What the networks are trained to give.

    Attributes
    ----------
    kind : {"binary", "multiclass", "multilabel", None}
        None: numbers, which are standardised.
    loss : Loss
        Of one network: what epochs are judged by.
    center, scale : ndarray (n_outputs,) or None
    """

    def __init__(self, rows: Rows, kind: str | None, n_outputs: int, n_ens: int, dtype: str) -> None:
        self.kind, self.n_outputs, self.n_ens, self.dtype = kind, n_outputs, n_ens, dtype
        self.center = self.scale = None
        self.loss: Loss
        if kind is None:
            self.last, self.loss = "linear", losses.MeanSquaredError()
            values = rows.chosen_targets.astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                self.center = np.average(values, axis=0, weights=rows.chosen_weights)
                spread = np.sqrt(np.average((values - self.center) ** 2, axis=0, weights=rows.chosen_weights))
            if not np.isfinite(spread).all():
                raise ValueError("y is too large to be standardised: the mean of its squares must be finite in "
                                 f"float64; received values up to {np.abs(values).max():g}")
            self.scale = np.where(spread > 0, spread, 1.0)
        elif kind == "multiclass":
            self.last, self.loss = "softmax", losses.SparseCategoricalCrossentropy(label_smoothing=SMOOTHING)
        else:
            self.last, self.loss = "sigmoid", losses.BinaryCrossentropy(label_smoothing=SMOOTHING)

    @property
    def objective(self) -> Objective:
        """The sum of the networks' losses, of which their mean is reported.

        Of several softmaxes side by side, each row is one distribution to the loss, which has a k-th of each of k
        networks: it is the sum of their losses, and k * log(k).
        """
        k = self.n_ens
        if self.kind == "multiclass" and k > 1:
            return Objective(losses.CategoricalCrossentropy(), ratio=1 / k)
        return Objective(self.loss, factor=float(k), ratio=1 / k)

    def offsets(self, n: int) -> Array | None:
        """What is added to the reported loss of each of n samples."""
        return np.full(n, -np.log(self.n_ens)) if self.kind == "multiclass" and self.n_ens > 1 else None

    def of(self, rows: Rows) -> Array:
        """Targets of one network."""
        if self.kind == "multiclass":
            return rows.chosen_targets
        if self.center is None or self.scale is None:
            return rows.chosen_targets.astype(self.dtype)
        return ((rows.chosen_targets - self.center) / self.scale).astype(self.dtype)

    def of_all(self, rows: Rows) -> Array:
        """Targets of all networks, side by side."""
        own = self.of(rows)
        if self.n_ens == 1:
            return own
        if self.kind == "multiclass":
            own = np.eye(self.n_outputs, dtype=self.dtype)[own] * (1 - SMOOTHING) + SMOOTHING / self.n_outputs
        return np.tile(own, (1, self.n_ens)).astype(self.dtype)


@dataclass
class TableTask(Task):
    """held : encoded rows, targets and weights by which epochs are judged, or None"""

    held: tuple[Array, Array, Array | None] | None = None
    judge: Callable[..., float] | None = None


class TableProgress(Progress):
    """Keeps the epoch with the lowest validation loss, the last one of several; nothing ends training early."""

    lowest = np.inf

    def _score(self, logs: Logs) -> None:
        super()._score(logs)
        estimator, task = self.estimator, self.task
        assert isinstance(task, TableTask)
        if task.held is None or task.judge is None:
            return
        x, targets, weight = task.held
        outputs = self.model.outputs(x, task.threads)
        # A loss divides by the number of rows, the curves by the sum of the weights.
        total = 1.0 if weight is None else float(weight.mean())
        loss = logs["val_loss"] = task.judge(targets, outputs, weight) / total
        score = estimator._own_score(outputs, targets, weight)
        assert estimator.validation_scores_ is not None
        estimator.validation_scores_.append(score)
        if loss <= self.lowest:
            self.lowest, self.best, estimator.best_validation_score_ = loss, self.model._flat.copy(), score

    def _compare(self, logs: Logs) -> None:
        estimator = self.estimator
        if estimator.validation_scores_ is None:
            estimator.best_loss_ = min(estimator.loss_curve_)
        elif estimator.verbose:
            print(f"Validation score: {estimator.validation_scores_[-1]:f}")

    def _stop_or_slow_down(self) -> None:
        pass


# ---- fit ------------------------------------------------------------------------------------------------------


def checked_table(estimator: BaseMLP, X: Any, reset: bool) -> Any:
    """X with the features that the estimator knows, or learns if `reset`; arrays are numbers then."""
    if is_frame(X):
        as_frame(X)     # refused in our words
        validate_data(estimator, X, skip_check_array=True, reset=reset)
        return X
    return validate_data(estimator, X, dtype="numeric", ensure_all_finite="allow-nan", reset=reset)


def fit_table(estimator: BaseMLP, X: Any, y: Any, sample_weight: Any, given: tuple[Any, Any, Any]) -> None:
    """`fit` with ``preset="auto"``; `given` are X, y and weights of a validation set, or None."""
    settings = Settings.of(estimator, is_regressor(estimator))
    rows, held = _rows(estimator, X, y, sample_weight, given, settings)
    kind, n_outputs, n_ens = estimator._labels_kind(), estimator.n_outputs_, estimator.n_ens
    dtype = "float32" if rows.n > SMALL or getattr(X, "dtype", None) == np.float32 else "float64"
    encoder = TableEncoder(dtype=dtype).fit(rows.X, rows.weight)
    targets = Targets(rows, kind, n_outputs, n_ens, dtype)
    batch = min(settings.batch_size, rows.n)
    hidden = [(*layer, alpha / 2 / batch) for *layer, alpha in settings.hidden]
    shape = Shape(encoder.n_numbers, encoder.n_levels, hidden, (n_outputs, targets.last, settings.alpha / 2 / batch),
                  n_ens)
    network = realmlp(shape, estimator._random_state.randint(np.iinfo(np.int32).max), dtype, TableNetwork)
    network.reference = float(batch)
    if targets.center is not None and targets.scale is not None:
        estimator.target_mean_, estimator.target_scale_ = targets.center, targets.scale
    rates = CosLog4(settings.learning_rate, settings.epochs * -(-rows.n // batch))
    network.compile(optimizers.Adam(rates, estimator.beta_1, settings.beta_2, estimator.epsilon,
                                    clipnorm=estimator.clipnorm), targets.objective.loss)
    task = _task(estimator, network, encoder, targets, rows, held)
    _begin(estimator, encoder, network, n_layers=len(hidden) + 2, validates=held is not None)
    try:
        estimator._epochs(network, task, batch, settings.epochs, kind=TableProgress)
    except DivergenceError as error:
        raise ValueError(str(error)) from error
    _take(estimator, network.joined())


def _begin(estimator: BaseMLP, encoder: TableEncoder, network: TableNetwork, n_layers: int, validates: bool) -> None:
    """The attributes of a fit that begins."""
    estimator.encoder_ = encoder
    estimator.n_iter_ = estimator.t_ = 0
    estimator.n_layers_ = n_layers
    _, estimator.out_activation_ = estimator._objective(estimator.n_outputs_)
    estimator.loss_curve_, estimator.history_ = [], {}
    estimator._begin_stopping_rule(validates)
    _take(estimator, network)


def _take(estimator: BaseMLP, network: Network) -> None:
    """The network is the estimator's, its kernels and biases what scikit-learn calls coefficients."""
    estimator.model_, estimator._made_of = network, estimator._recipe()
    estimator.coefs_, estimator.intercepts_ = (list(views) for views in network.views())


def _rows(estimator: BaseMLP, X: Any, y: Any, sample_weight: Any, given: tuple[Any, Any, Any],
          settings: Settings) -> tuple[Rows, Rows | None]:
    """What is trained on and what is held out."""
    rows = Rows.of(estimator, X, y, sample_weight, first=True)
    estimator.n_outputs_ = estimator._n_outputs
    estimator._random_state = check_random_state(estimator.random_state)
    X_val, y_val, weight_val = given
    if X_val is not None:
        return rows, Rows.of(estimator, X_val, y_val, weight_val, first=False)
    by_class = estimator._labels_kind() in ("binary", "multiclass")
    return rows.split(settings.validation_fraction, estimator._random_state, by_class)


def _task(estimator: BaseMLP, network: TableNetwork, encoder: TableEncoder, targets: Targets, rows: Rows,
          held: Rows | None) -> TableTask:
    scorers = estimator._scorers()
    wanted = bool(scorers) or estimator._has_skl_callbacks
    objective = targets.objective
    samples = Samples(encoder.transform(rows.X, rows.index), targets.of_all(rows), rows.chosen_weights,
                      objective.factor, network.n_outputs, targets.offsets(rows.n))
    task = TableTask(*rows.scored(wanted), rows.chosen_weights, samples, objective, estimator._threads(),
                     estimator._own_score, scorers)
    if held is not None:
        task.held = encoder.transform(held.X, held.index), targets.of(held), held.chosen_weights
        task.judge = targets.loss
        (task.X_val, task.y_val), task.weight_val = held.scored(wanted), held.chosen_weights
    return task
