"""Losses: names and parameters over the kernels that compute value and gradient in one pass.

Each is a name (``"huber"``) and a class (``losses.Huber``); wherever a loss is asked for, both work, and so
does an instance. The formulas are Keras 3's; the loss of a batch is the mean of weight times row loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import reference
from fastnn.named import Named, find, number

__all__ = [
    "Loss",
    "SparseCategoricalCrossentropy",
    "CategoricalCrossentropy",
    "BinaryCrossentropy",
    "MeanSquaredError",
    "MeanAbsoluteError",
    "Huber",
    "Poisson",
    "get",
    "serialize",
    "deserialize",
]

Rows = NDArray[np.float64]


def as_rows(name: str, value: ArrayLike, shape: tuple[int, int] | None = None) -> NDArray[Any]:
    """`value` as floating rows, of `shape` where given; (n,) stands for (n, 1)."""
    rows = np.asarray(value)
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if rows.ndim == 1:
        rows = rows[:, None]
    if rows.ndim != 2 or (shape is not None and rows.shape != shape):
        allowed = "(rows, columns) or (rows,)" if shape is None else f"{shape}"
        raise ValueError(f"{name} must have shape {allowed}; received {np.shape(value)}")
    return rows


def as_labels(y_true: ArrayLike, n_rows: int, n_classes: int) -> NDArray[np.int64]:
    """`y_true` as `n_rows` integers in [0, n_classes); (n, 1) stands for (n,), 2.0 for 2."""
    given = np.asarray(y_true)
    if given.shape not in ((n_rows,), (n_rows, 1)):
        raise ValueError(f"labels must have shape ({n_rows},) or ({n_rows}, 1); received {given.shape}")
    labels = given.reshape(n_rows).astype(np.int64)
    wrong = np.flatnonzero((labels != given.reshape(n_rows)) | (labels < 0) | (labels >= n_classes))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"labels must be integers in [0, {n_classes}); row {row} has {given.flat[row]}")
    return labels


def as_weights(sample_weight: ArrayLike | None, n_rows: int) -> Rows:
    """`sample_weight` as `n_rows` numbers; None is one for each."""
    if sample_weight is None:
        return np.ones(n_rows)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n_rows,):
        raise ValueError(f"sample_weight must have shape ({n_rows},); received {weights.shape}")
    return weights


class Loss(Named):
    """Base of the losses, and of yours.

    A loss of your own derives from this class and writes `call` and `gradient` in NumPy; training calls them
    with the batch's targets and the model's outputs.

    Attributes
    ----------
    name : str
        What messages and tables call it.
    sparse : bool
        Whether targets are integer labels instead of rows of numbers. Default: False.
    param : float
        What the kernel takes besides: label smoothing or Huber's delta.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import losses
    >>> class Quartic(losses.Loss):
    ...     name = "quartic"
    ...
    ...     def call(self, y_true, y_pred):
    ...         return np.mean((y_pred - y_true) ** 4, axis=1)
    ...
    ...     def gradient(self, y_true, y_pred):
    ...         return 4 * (y_pred - y_true) ** 3 / y_true.shape[1]
    >>> Quartic()([[0.0, 0.0]], [[1.0, 2.0]])
    8.5
    """

    name: ClassVar[str] = "loss"
    sparse: ClassVar[bool] = False
    param: float = 0.0

    def kernel(self, last_activation: str) -> tuple[str | None, bool]:
        """How training computes this loss behind a last layer with `last_activation`.

        Returns
        -------
        loss : str or None
            The kernel's name; None for a loss written in Python.
        absorbs : bool
            Whether the kernel takes the last layer's activation into itself, and so works on its input.
        """
        return None, False

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Loss of each row, shape (n,).

        Parameters
        ----------
        y_true : ndarray, shape (n, columns), or (n,) where the loss is `sparse`
        y_pred : ndarray, shape (n, columns)
        """
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred)")

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        """Derivative of ``call(y_true, y_pred).sum()`` with respect to `y_pred`, shape (n, columns)."""
        raise NotImplementedError(f"{type(self).__name__} must define gradient(y_true, y_pred)")

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean over the rows of weight times row loss, computed in float64.

        Parameters
        ----------
        y_true : array_like, shape (n, columns), or (n,) where the loss is `sparse` or has one column
        y_pred : array_like, shape (n, columns), or (n,) for one column
        sample_weight : array_like, shape (n,), optional
            Default: 1 for each row.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If shapes do not fit, or labels are not integers in [0, columns).
        """
        pred = as_rows("y_pred", y_pred).astype(np.float64)
        n, columns = pred.shape
        true = as_labels(y_true, n, columns) if self.sparse else as_rows("y_true", y_true, (n, columns))
        return float(np.mean(self.call(true, pred) * as_weights(sample_weight, n)))


class _KernelLoss(Loss):
    """A loss that the kernels know: `_twin` is the function of fastnn.reference, `_options` its keywords."""

    _twin: ClassVar[str]

    def _options(self) -> dict[str, float]:
        return {}

    def call(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        return self._evaluate(y_true, y_pred)[0]

    def gradient(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> NDArray[Any]:
        return self._evaluate(y_true, y_pred)[1]

    def _evaluate(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return getattr(reference, self._twin)(y_pred, y_true, **self._options())


class _Crossentropy(_KernelLoss):
    """`_kinds` are the kernels on logits and on probabilities, `_twins` their names in fastnn.reference."""

    _activation: ClassVar[str]
    _kinds: ClassVar[tuple[str, str]]
    _twins: ClassVar[tuple[str, str]]

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        if not isinstance(from_logits, (bool, np.bool_)):
            raise TypeError(f"from_logits must be True or False; received {from_logits!r}")
        self.from_logits = bool(from_logits)
        self.label_smoothing = self.param = number("label_smoothing", label_smoothing, "[0, 1]")

    @property
    def _twin(self) -> str:  # type: ignore[override]
        return self._twins[0 if self.from_logits else 1]

    def _options(self) -> dict[str, float]:
        return {"label_smoothing": self.label_smoothing}

    def kernel(self, last_activation: str) -> tuple[str | None, bool]:
        on_logits, on_probabilities = self._kinds
        if self.from_logits and last_activation != "linear":
            raise ValueError(f"{self.name} with from_logits=True needs a last layer without activation; "
                             f"received {last_activation!r}. Drop the activation, or from_logits=True.")
        if self.from_logits:
            return on_logits, False
        absorbs = last_activation == self._activation
        return (on_logits if absorbs else on_probabilities), absorbs


class SparseCategoricalCrossentropy(_Crossentropy):
    """``-log(p[label])`` of each row.

    Behind a softmax layer, and with ``from_logits=True``, it is computed from the logits and finite for any
    finite ones. Other probabilities are divided by their row's sum and clipped to [1e-7, 1 - 1e-7].

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits instead of probabilities.
    label_smoothing : float, default 0
        In [0, 1]. The label's one-hot row ``t`` becomes
        ``t * (1 - label_smoothing) + label_smoothing / columns`` (Szegedy et al., 2016).

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or not in its range.

    Examples
    --------
    >>> from fastnn import losses
    >>> loss = losses.SparseCategoricalCrossentropy()
    >>> round(loss([0, 1], [[0.5, 0.5], [0.2, 0.8]]), 4)
    0.4581
    """

    name = "sparse_categorical_crossentropy"
    sparse = True
    _activation = "softmax"
    _kinds = ("softmax_ce_sparse", "ce_sparse")
    _twins = ("softmax_crossentropy", "categorical_crossentropy")


class CategoricalCrossentropy(_Crossentropy):
    """``-sum(t * log(p))`` of each row, for target rows ``t``.

    Behind a softmax layer, and with ``from_logits=True``, it is computed from the logits and finite for any
    finite ones. Other probabilities are divided by their row's sum and clipped to [1e-7, 1 - 1e-7].

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits instead of probabilities.
    label_smoothing : float, default 0
        In [0, 1]. Targets become
        ``t * (1 - label_smoothing) + label_smoothing / columns`` (Szegedy et al., 2016).

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or not in its range.

    Examples
    --------
    >>> from fastnn import losses
    >>> loss = losses.CategoricalCrossentropy(from_logits=True)
    >>> round(loss([[0.0, 1.0]], [[0.0, 2.0]]), 4)
    0.1269
    """

    name = "categorical_crossentropy"
    _activation = "softmax"
    _kinds = ("softmax_ce", "ce")
    _twins = ("softmax_crossentropy", "categorical_crossentropy")


class BinaryCrossentropy(_Crossentropy):
    """``-t * log(p) - (1 - t) * log(1 - p)``, its mean over the columns of each row.

    Behind a sigmoid layer, and with ``from_logits=True``, it is computed from the logits as
    ``max(z, 0) - z * t + log1p(exp(-|z|))``. Other probabilities are clipped to [1e-7, 1 - 1e-7].

    Parameters
    ----------
    from_logits : bool, default False
        Whether predictions are logits instead of probabilities.
    label_smoothing : float, default 0
        In [0, 1]. Targets become ``t * (1 - label_smoothing) + label_smoothing / 2``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or not in its range.

    Examples
    --------
    >>> from fastnn import losses
    >>> loss = losses.BinaryCrossentropy()
    >>> round(loss([0, 1], [0.1, 0.6]), 4)
    0.3081
    """

    name = "binary_crossentropy"
    _activation = "sigmoid"
    _kinds = ("sigmoid_bce", "bce")
    _twins = ("sigmoid_binary_crossentropy", "binary_crossentropy")


class MeanSquaredError(_KernelLoss):
    """``(p - t) ** 2``, its mean over the columns of each row.

    Examples
    --------
    >>> from fastnn import losses
    >>> losses.MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]])
    5.0
    """

    name = "mean_squared_error"
    _twin = "mean_squared_error"

    def kernel(self, last_activation: str) -> tuple[str | None, bool]:
        return "mse", False


class MeanAbsoluteError(_KernelLoss):
    """``|p - t|``, its mean over the columns of each row; its derivative at zero is zero.

    Examples
    --------
    >>> from fastnn import losses
    >>> losses.MeanAbsoluteError()([[0.0, 0.0]], [[1.0, 3.0]])
    2.0
    """

    name = "mean_absolute_error"
    _twin = "mean_absolute_error"

    def kernel(self, last_activation: str) -> tuple[str | None, bool]:
        return "mae", False


class Huber(_KernelLoss):
    """With ``d = p - t``: ``d ** 2 / 2`` where ``|d| <= delta``, ``delta * |d| - delta ** 2 / 2`` beyond; its
    mean over the columns of each row (Huber, 1964).

    Parameters
    ----------
    delta : float, default 1
        Greater than 0.

    Raises
    ------
    TypeError, ValueError
        If `delta` is not a number or not positive.

    Examples
    --------
    >>> from fastnn import losses
    >>> losses.Huber(delta=2.0)([[0.0, 0.0]], [[1.0, 3.0]])
    2.25
    """

    name = "huber"
    _twin = "huber"

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = self.param = number("delta", delta, "(0, inf)")

    def _options(self) -> dict[str, float]:
        return {"delta": self.delta}

    def kernel(self, last_activation: str) -> tuple[str | None, bool]:
        return "huber", False


class Poisson(_KernelLoss):
    """``p - t * log(p + 1e-7)`` for rates ``p`` of counts ``t``, its mean over the columns of each row: the negative
    log-likelihood but for what does not depend on ``p``.

    Behind a last layer with the activation ``"exponential"`` it is computed from what goes into it, as
    ``exp(z) - t * z`` with the gradient ``exp(z) - t``.

    Examples
    --------
    >>> from fastnn import losses
    >>> round(losses.Poisson()([[1.0, 3.0]], [[1.0, 2.0]]), 4)
    0.4603
    """

    name = "poisson"
    _twin = "poisson"

    def kernel(self, last_activation: str) -> tuple[str | None, bool]:
        absorbs = last_activation == "exponential"
        return ("exp_poisson" if absorbs else "poisson"), absorbs


_CLASSES: tuple[type[Loss], ...] = (
    SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy,
    MeanSquaredError, MeanAbsoluteError, Huber, Poisson,
)
_TABLE: dict[str, type[Loss]] = {
    **{cls.name: cls for cls in _CLASSES},
    "bce": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
}


def get(identifier: Any) -> Loss:
    """The loss that `identifier` stands for.

    Parameters
    ----------
    identifier : str, dict, Loss or subclass of Loss
        A dict is what ``get_config`` returns.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        For an unknown name, with the closest known one.
    TypeError
        For anything else.

    Examples
    --------
    >>> from fastnn import losses
    >>> losses.get("mse")
    MeanSquaredError()
    >>> losses.get({"name": "huber", "delta": 0.5})
    Huber(delta=0.5)
    """
    return find(identifier, Loss, _TABLE)


def serialize(loss: Loss) -> dict[str, Any]:
    """The configuration of a loss.

    Examples
    --------
    >>> from fastnn import losses
    >>> losses.serialize(losses.Huber())
    {'name': 'huber', 'delta': 1.0}
    """
    return loss.get_config()


def deserialize(config: Mapping[str, Any]) -> Loss:
    """The loss of a configuration.

    Examples
    --------
    >>> from fastnn import losses
    >>> losses.deserialize({"name": "binary_crossentropy", "label_smoothing": 0.1})
    BinaryCrossentropy(from_logits=False, label_smoothing=0.1)
    """
    return get(config)
