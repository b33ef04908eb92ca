"""Metrics: what to watch beside the loss, computed by the kernels while batches pass.

Each is a name (``"accuracy"``) and a class (``metrics.AUC``); wherever a metric is asked for, both work, and
so does an instance. A metric adds every batch to a small state and makes one number of it at the end, so an
epoch's figure is that of the whole epoch, not a mean over batches. The definitions are Keras 3's where a
class does not say otherwise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import losses
from fastnn.losses import as_labels, as_rows, as_weights
from fastnn.named import Named, find, number, one_of

__all__ = [
    "Metric",
    "Accuracy",
    "SparseCategoricalAccuracy",
    "CategoricalAccuracy",
    "BinaryAccuracy",
    "TopKCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "MeanSquaredError",
    "MeanAbsoluteError",
    "RootMeanSquaredError",
    "R2Score",
    "AUC",
    "Precision",
    "Recall",
    "F1Score",
    "get",
    "metric_update",
    "serialize",
    "deserialize",
]

Array = NDArray[Any]
State = NDArray[np.float64]

AVERAGES = ("micro", "macro", "weighted")
MAX_THRESHOLDS = 2**20  # 16 MiB of counts for each thread; float32 tells no more numbers in [0.5, 1] apart than 2**23


# ------------------------------------------------------------------------------ the kernels' NumPy twin


def _true_class(y_true: Array) -> Array:
    return y_true if y_true.ndim == 1 else np.argmax(y_true, axis=1)


def _targets_on(y_true: Array, y_pred: Array) -> Array:
    """Which targets are on, shape of `y_pred`; labels stand for their one-hot rows."""
    return y_true[:, None] == np.arange(y_pred.shape[1]) if y_true.ndim == 1 else y_true != 0


def _class_right(y_true: Array, y_pred: Array, param: float) -> Array:
    return np.argmax(y_pred, axis=1) == _true_class(y_true)


def _top_k_right(y_true: Array, y_pred: Array, param: float) -> Array:
    of_target = np.take_along_axis(y_pred, _true_class(y_true)[:, None], axis=1)
    return np.sum(y_pred > of_target, axis=1) < param


def _binary_right(y_true: Array, y_pred: Array, param: float) -> Array:
    return np.mean(y_true == (y_pred > y_pred.dtype.type(param)), axis=1)


def _squared_error(y_true: Array, y_pred: Array, param: float) -> Array:
    return np.asarray(np.mean((y_pred - y_true) ** 2, axis=1, dtype=np.float64))


def _absolute_error(y_true: Array, y_pred: Array, param: float) -> Array:
    return np.asarray(np.mean(np.abs(y_pred - y_true), axis=1, dtype=np.float64))


_ROW_VALUES: dict[str, Callable[[Array, Array, float], Array]] = {
    "accuracy_sparse": _class_right,
    "accuracy": _class_right,
    "accuracy_binary": _binary_right,
    "top_k_sparse": _top_k_right,
    "top_k": _top_k_right,
    "mse": _squared_error,
    "mae": _absolute_error,
}


def _add_r2(state: State, y_true: Array, y_pred: Array, weight: State, param: float) -> None:
    mean, deviation, residual = state[1:].reshape(3, -1)
    batch, seen = weight.sum(), state[0]
    if batch == 0:
        return
    y = y_true.astype(np.float64)
    batch_mean = weight @ y / batch
    shift = batch_mean - mean
    deviation += weight @ (y - batch_mean) ** 2 + shift**2 * (seen * batch / (seen + batch))
    mean += shift * (batch / (seen + batch))
    residual += weight @ (y - y_pred) ** 2
    state[0] += batch


def _add_confusion(state: State, y_true: Array, y_pred: Array, weight: State, param: float) -> None:
    on = _targets_on(y_true, y_pred)
    if np.isnan(param):
        called = np.argmax(y_pred, axis=1)[:, None] == np.arange(y_pred.shape[1])
    else:
        called = y_pred > y_pred.dtype.type(param)
    for counts, where in zip(state.reshape(3, -1), (on & called, ~on & called, on & ~called), strict=True):
        counts += weight @ where


def _add_auc(state: State, y_true: Array, y_pred: Array, weight: State, param: float) -> None:
    bins = int(param)
    which = np.clip(np.ceil(y_pred * y_pred.dtype.type(bins)) - 1, 0, bins - 1).astype(np.intp)
    which += np.where(_targets_on(y_true, y_pred), 0, bins)
    state += np.bincount(which.ravel(), np.repeat(weight, y_pred.shape[1]), minlength=2 * bins)


_STATE_UPDATES: dict[str, Callable[[State, Array, Array, State, float], None]] = {
    "r2": _add_r2,
    "confusion_sparse": _add_confusion,
    "confusion": _add_confusion,
    "auc": _add_auc,
}


def metric_update(kind: str, state: State, y_true: Array, y_pred: Array,
                  sample_weight: Array | None = None, param: float = 0.0) -> None:  # fmt: skip
    """Add rows to a metric's state: the reference of the compiled update that training runs.

    Parameters
    ----------
    kind : str
        A metric's `kind`. The accuracies and errors keep the weighted sum of what the rows are worth and the
        sum of their weights; ``"r2"`` the sum of weights and, for each column, mean and squared deviations of
        the targets and squared residuals; ``"confusion"`` true positives, false positives and false negatives
        of each column; ``"auc"`` weights of positives, then of negatives, in each of `param` bins of [0, 1].
    state : ndarray of float64, shape (size,)
        Changed in place; zeros before the first rows.
    y_true : ndarray, shape (n,) for labels, else (n, columns)
    y_pred : ndarray of float32 or float64, shape (n, columns)
        A bin or threshold is compared in this dtype.
    sample_weight : ndarray of float64, shape (n,), optional
        Default: 1 for each row.
    param : float, default 0
        Threshold (nan: the largest column of each row), k, or number of bins.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import metrics
    >>> state = np.zeros(2)
    >>> metrics.metric_update("accuracy_sparse", state, np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    >>> state
    array([1., 2.])
    """
    weight = np.ones(len(y_pred)) if sample_weight is None else sample_weight
    if kind in _ROW_VALUES:
        state += weight @ _ROW_VALUES[kind](y_true, y_pred, param), weight.sum()
    else:
        _STATE_UPDATES[kind](state, y_true, y_pred, weight, param)


# ------------------------------------------------------------------------------------------- the classes


def _ratio(a: Any, b: Any) -> Any:
    """a / b, 0 where b is 0"""
    return np.divide(a, b, out=np.zeros_like(np.asarray(b, dtype=np.float64)), where=np.asarray(b) != 0)


def _count(name: str, value: Any, low: int, high: int = 2**31 - 1) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or not low <= int(value) <= high:
        raise ValueError(f"{name} must be an integer in [{low}, {high}]; received {value!r}")
    return int(value)


class Metric(Named):
    """Base of the metrics.

    Attributes
    ----------
    name : str
        Its key in the history and in the progress bar.
    kind : str
        The kernels' name of its update.
    param : float
        What the update takes besides: threshold, k or number of bins.
    sparse : bool
        Whether it takes integer labels instead of target rows.
    direction : {"max", "min"}
        Whether larger or smaller values are better.
    """

    default_name: ClassVar[str]
    direction: ClassVar[str] = "max"
    kind: str
    param: float = 0.0
    sparse: bool = False

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string or None; received {name!r}")
        self.name = self.default_name if name is None else name  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        """``{"class_name": ..., argument: value, ...}``, from which ``get`` makes an equal object."""
        return {"class_name": type(self).__name__} | self._arguments()

    def resolve(self, sparse: bool, n_outputs: int) -> Metric:
        """The metric to compute for targets that are labels (`sparse`) or rows, and `n_outputs` columns.

        Raises
        ------
        ValueError
            If the metric cannot take such targets.
        """
        if sparse != self.sparse:
            kinds = ("rows of numbers", "integer labels")
            raise ValueError(f"metric {self.name!r} takes targets that are {kinds[self.sparse]}; "
                             f"received {kinds[sparse]}")
        return self

    def state_size(self, n_outputs: int) -> int:
        """Length of the state for `n_outputs` columns of predictions."""
        return 2

    def result(self, state: State) -> float:
        """The figure of a state."""
        total, weight = state.tolist()  # as Python's floats, which saves 2.6 us of every train_on_batch
        return total / weight if weight else 0.0

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The metric of these rows.

        Parameters
        ----------
        y_true : array_like, shape (n,) or (n, 1) for labels, else (n, columns), or (n,) for one column
        y_pred : array_like, shape (n, columns), or (n,) for one column
        sample_weight : array_like, shape (n,), optional
            Default: 1 for each row.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If shapes do not fit, labels are not integers in [0, columns), or the metric does not take such
            targets.
        """
        pred = as_rows("y_pred", y_pred)
        n, columns = pred.shape
        sparse = columns > 1 and np.shape(y_true) in ((n,), (n, 1))
        metric = self.resolve(sparse, columns)
        true = as_labels(y_true, n, columns) if sparse else as_rows("y_true", y_true, (n, columns))
        state = np.zeros(metric.state_size(columns))
        metric_update(metric.kind, state, true, pred, as_weights(sample_weight, n), metric.param)
        return metric.result(state)


class SparseCategoricalAccuracy(Metric):
    """Share of rows whose largest prediction is the label's; of equal ones the first counts.

    Parameters
    ----------
    name : str, optional
        Default: "sparse_categorical_accuracy".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.SparseCategoricalAccuracy()([0, 1], [[0.9, 0.1], [0.8, 0.2]])
    0.5
    """

    default_name = "sparse_categorical_accuracy"
    kind = "accuracy_sparse"
    sparse = True


class CategoricalAccuracy(Metric):
    """Share of rows whose largest prediction stands where the target row is largest; of equal ones the first
    counts.

    Parameters
    ----------
    name : str, optional
        Default: "categorical_accuracy".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.CategoricalAccuracy()([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2]])
    0.5
    """

    default_name = "categorical_accuracy"
    kind = "accuracy"


class BinaryAccuracy(Metric):
    """Share of elements for which ``prediction > threshold`` is the target, 0 or 1.

    Parameters
    ----------
    threshold : float, default 0.5
    name : str, optional
        Default: "binary_accuracy".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.BinaryAccuracy()([1, 0, 1, 1], [0.9, 0.2, 0.4, 0.6])
    0.75
    """

    default_name = "binary_accuracy"
    kind = "accuracy_binary"

    def __init__(self, threshold: float = 0.5, name: str | None = None) -> None:
        super().__init__(name)
        self.threshold = self.param = number("threshold", threshold, "(-inf, inf)")


class Accuracy(Metric):
    """The accuracy that fits the model: sparse for integer labels, binary for one output, else categorical.

    Parameters
    ----------
    name : str, optional
        Default: "accuracy".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.Accuracy()([0, 1], [[0.9, 0.1], [0.8, 0.2]])
    0.5
    >>> metrics.get("accuracy", loss="binary_crossentropy", n_outputs=1)
    BinaryAccuracy(threshold=0.5, name='accuracy')
    """

    default_name = "accuracy"

    def resolve(self, sparse: bool, n_outputs: int) -> Metric:
        if sparse:
            return SparseCategoricalAccuracy(name=self.name)
        return BinaryAccuracy(name=self.name) if n_outputs == 1 else CategoricalAccuracy(name=self.name)


class _TopK(Metric):
    def __init__(self, k: int = 5, name: str | None = None) -> None:
        super().__init__(name)
        self.k = _count("k", k, 1)
        self.param = float(self.k)


class TopKCategoricalAccuracy(_TopK):
    """Share of rows in which fewer than k predictions are larger than the one at the target row's largest.

    Parameters
    ----------
    k : int, default 5
    name : str, optional
        Default: "top_k_categorical_accuracy".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.TopKCategoricalAccuracy(k=2)([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.0, 0.95]])
    0.5
    """

    default_name = "top_k_categorical_accuracy"
    kind = "top_k"


class SparseTopKCategoricalAccuracy(_TopK):
    """Share of rows in which fewer than k predictions are larger than the label's.

    Parameters
    ----------
    k : int, default 5
    name : str, optional
        Default: "sparse_top_k_categorical_accuracy".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.SparseTopKCategoricalAccuracy(k=2)([2, 1], [[0.1, 0.9, 0.8], [0.05, 0.0, 0.95]])
    0.5
    """

    default_name = "sparse_top_k_categorical_accuracy"
    kind = "top_k_sparse"
    sparse = True


class MeanSquaredError(Metric):
    """``(p - t) ** 2``, its mean over columns and rows.

    Parameters
    ----------
    name : str, optional
        Default: "mean_squared_error".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]])
    5.0
    """

    default_name = "mean_squared_error"
    direction = "min"
    kind = "mse"


class MeanAbsoluteError(Metric):
    """``|p - t|``, its mean over columns and rows.

    Parameters
    ----------
    name : str, optional
        Default: "mean_absolute_error".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.MeanAbsoluteError()([[0.0, 0.0]], [[1.0, 3.0]])
    2.0
    """

    default_name = "mean_absolute_error"
    direction = "min"
    kind = "mae"


class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean of ``(p - t) ** 2`` over columns and rows.

    Parameters
    ----------
    name : str, optional
        Default: "root_mean_squared_error".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.RootMeanSquaredError()([[0.0, 0.0]], [[1.0, 7.0]])
    5.0
    """

    default_name = "root_mean_squared_error"

    def result(self, state: State) -> float:
        return float(np.sqrt(super().result(state)))


class R2Score(Metric):
    """``1 - sum((t - p) ** 2) / sum((t - mean(t)) ** 2)`` of each column, and the mean of those.

    A column of constant targets scores 1 where predictions are exact, else 0, as in scikit-learn.

    Parameters
    ----------
    name : str, optional
        Default: "r2_score".

    Examples
    --------
    >>> from fastnn import metrics
    >>> round(metrics.R2Score()([1.0, 4.0, 3.0], [2.0, 4.0, 4.0]), 4)
    0.5714
    """

    default_name = "r2_score"
    kind = "r2"

    def state_size(self, n_outputs: int) -> int:
        return 1 + 3 * n_outputs

    def result(self, state: State) -> float:
        _, deviation, residual = state[1:].reshape(3, -1)
        constant = np.where(residual == 0, 1.0, 0.0)
        return float(np.mean(np.where(deviation == 0, constant, 1 - _ratio(residual, deviation))))


class _OnTargets(Metric):
    """A metric that takes target rows, or labels as one-hot rows."""

    def resolve(self, sparse: bool, n_outputs: int) -> Metric:
        resolved = copy.copy(self)
        resolved.sparse = sparse
        return resolved


class AUC(_OnTargets):
    """Area under the receiver operating characteristic, by the trapezoid rule over evenly spaced thresholds.

    Every column is a binary prediction of its own and all are counted together; labels stand for their
    one-hot rows.

    Parameters
    ----------
    num_thresholds : int, default 200
        In [2, 1048576]. Thresholds are -eps, 1 / (num_thresholds - 1), 2 / (num_thresholds - 1), ..., 1 + eps.
    name : str, optional
        Default: "auc".

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.AUC()([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
    0.75
    """

    default_name = "auc"
    kind = "auc"

    def __init__(self, num_thresholds: int = 200, name: str | None = None) -> None:
        super().__init__(name)
        self.num_thresholds = _count("num_thresholds", num_thresholds, 2, MAX_THRESHOLDS)
        self.param = float(self.num_thresholds - 1)

    def state_size(self, n_outputs: int) -> int:
        return 2 * (self.num_thresholds - 1)

    def result(self, state: State) -> float:
        # Predictions above threshold i lie in the bins from i on; above the last one there are none.
        above = np.zeros((2, self.num_thresholds))
        above[:, :-1] = np.cumsum(state.reshape(2, -1)[:, ::-1], axis=1)[:, ::-1]
        true_rate, false_rate = _ratio(above, np.broadcast_to(above[:, :1], above.shape))
        return float(np.sum((false_rate[:-1] - false_rate[1:]) * (true_rate[:-1] + true_rate[1:])) / 2)


class _Confusion(_OnTargets):
    """A score of true positives, false positives and false negatives."""

    def __init__(self, threshold: float | None, average: str, name: str | None) -> None:
        super().__init__(name)
        self.average = one_of("average", average, AVERAGES)
        self._threshold = None if threshold is None else number("threshold", threshold, "(-inf, inf)")

    def _by_largest(self, sparse: bool, n_outputs: int) -> bool:
        """Whether, without a threshold, a row's prediction is its largest column."""
        return sparse

    def _score(self, true_positive: State, false_positive: State, false_negative: State) -> State:
        raise NotImplementedError

    @property
    def kind(self) -> str:  # type: ignore[override]
        return "confusion_sparse" if self.sparse else "confusion"

    def resolve(self, sparse: bool, n_outputs: int) -> Metric:
        resolved = super().resolve(sparse, n_outputs)
        by_default = np.nan if self._by_largest(sparse, n_outputs) else 0.5
        resolved.param = by_default if self._threshold is None else self._threshold
        return resolved

    def state_size(self, n_outputs: int) -> int:
        return 3 * n_outputs

    def result(self, state: State) -> float:
        counts = state.reshape(3, -1)
        if self.average == "micro":
            return float(self._score(*counts.sum(axis=1)))
        scores = self._score(*counts)
        if self.average == "macro":
            return float(np.mean(scores))
        support = counts[0] + counts[2]
        return float(_ratio(np.sum(scores * support), np.sum(support)))


class Precision(_Confusion):
    """``true positives / (true positives + false positives)``, 0 where nothing is called positive.

    A column is called positive where its prediction is above the threshold. With integer labels, which stand
    for one-hot rows, and no threshold, each row's largest column is: ``"micro"`` is then the accuracy.

    Parameters
    ----------
    thresholds : float, optional
        Default: 0.5, or the largest column where targets are integer labels.
    average : {"micro", "macro", "weighted"}, default "micro"
        Score of all columns counted together, mean of the columns' scores, or their mean weighted by each
        column's positives.
    name : str, optional
        Default: "precision".

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or not one of those allowed.

    Examples
    --------
    >>> from fastnn import metrics
    >>> round(metrics.Precision()([0, 1, 1, 1], [0.9, 0.2, 0.8, 0.7]), 4)
    0.6667
    """

    default_name = "precision"

    def __init__(self, thresholds: float | None = None, average: str = "micro",
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(thresholds, average, name)
        self.thresholds = self._threshold

    def _score(self, true_positive: State, false_positive: State, false_negative: State) -> State:
        return _ratio(true_positive, true_positive + false_positive)


class Recall(_Confusion):
    """``true positives / (true positives + false negatives)``, 0 where nothing is positive.

    A column is called positive where its prediction is above the threshold. With integer labels, which stand
    for one-hot rows, and no threshold, each row's largest column is: ``"micro"`` is then the accuracy.

    Parameters
    ----------
    thresholds : float, optional
        Default: 0.5, or the largest column where targets are integer labels.
    average : {"micro", "macro", "weighted"}, default "micro"
        Score of all columns counted together, mean of the columns' scores, or their mean weighted by each
        column's positives.
    name : str, optional
        Default: "recall".

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or not one of those allowed.

    Examples
    --------
    >>> from fastnn import metrics
    >>> round(metrics.Recall()([0, 1, 1, 1], [0.9, 0.2, 0.8, 0.7]), 4)
    0.6667
    """

    default_name = "recall"

    def __init__(self, thresholds: float | None = None, average: str = "micro",
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(thresholds, average, name)
        self.thresholds = self._threshold

    def _score(self, true_positive: State, false_positive: State, false_negative: State) -> State:
        return _ratio(true_positive, true_positive + false_negative)


class F1Score(_Confusion):
    """Harmonic mean of precision and recall, ``2 tp / (2 tp + fp + fn)``, 0 where there are no positives.

    Without a threshold each row's largest column is called positive, or, of one column, what is above 0.5.

    Parameters
    ----------
    average : {"micro", "macro", "weighted"}, default "macro"
        Score of all columns counted together, mean of the columns' scores, or their mean weighted by each
        column's positives.
    threshold : float, optional
        Call positive what is above it.
    name : str, optional
        Default: "f1_score".

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or not one of those allowed.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.F1Score()([0, 1, 1, 1], [0.9, 0.2, 0.8, 0.7])
    0.6666666666666666
    """

    default_name = "f1_score"

    def __init__(self, average: str = "macro", threshold: float | None = None,
                 name: str | None = None) -> None:  # fmt: skip
        super().__init__(threshold, average, name)
        self.threshold = self._threshold

    def _by_largest(self, sparse: bool, n_outputs: int) -> bool:
        return n_outputs > 1

    def _score(self, true_positive: State, false_positive: State, false_negative: State) -> State:
        return _ratio(2 * true_positive, 2 * true_positive + false_positive + false_negative)


_CLASSES: tuple[type[Metric], ...] = (
    Accuracy, SparseCategoricalAccuracy, CategoricalAccuracy, BinaryAccuracy,
    TopKCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    MeanSquaredError, MeanAbsoluteError, RootMeanSquaredError, R2Score, AUC, Precision, Recall, F1Score,
)
_TABLE: dict[str, type[Metric]] = {
    **{cls.default_name: cls for cls in _CLASSES},
    "acc": Accuracy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    **{cls.__name__: cls for cls in _CLASSES},
}


def get(identifier: Any, loss: Any = None, n_outputs: int | None = None) -> Metric:
    """The metric that `identifier` stands for.

    Parameters
    ----------
    identifier : str, dict, Metric or subclass of Metric
        A dict is what ``get_config`` returns. A metric asked for by a string bears that string as its name.
    loss : anything that :func:`fastnn.losses.get` takes, optional
    n_outputs : int, optional
        Columns of the model's output. Where both are given the metric returned is the one to compute behind
        them: "accuracy" becomes the sparse, binary or categorical one.

    Returns
    -------
    Metric

    Raises
    ------
    ValueError
        For an unknown name, with the closest known one; if the metric cannot take the targets of `loss`.
    TypeError
        For anything else.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.get("AUC")
    AUC(num_thresholds=200, name='AUC')
    >>> metrics.get("acc", loss="sparse_categorical_crossentropy", n_outputs=10)
    SparseCategoricalAccuracy(name='acc')
    """
    if isinstance(identifier, Mapping):
        arguments = dict(identifier)
        metric = type(find(arguments.pop("class_name", None), Metric, _TABLE))(**arguments)
    else:
        metric = find(identifier, Metric, _TABLE)
    if isinstance(identifier, str):
        metric.name = identifier  # type: ignore[misc]
    if loss is None or n_outputs is None:
        return metric
    return metric.resolve(losses.get(loss).sparse, n_outputs)


def serialize(metric: Metric) -> dict[str, Any]:
    """The configuration of a metric.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.serialize(metrics.AUC())
    {'class_name': 'AUC', 'num_thresholds': 200, 'name': 'auc'}
    """
    return metric.get_config()


def deserialize(config: Mapping[str, Any]) -> Metric:
    """The metric of a configuration.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.deserialize({"class_name": "Recall", "average": "macro"})
    Recall(thresholds=None, average='macro', name='recall')
    """
    return get(config)
