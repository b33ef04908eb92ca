"""MLPClassifier."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from fastnn import kernels, losses
from fastnn.sklearn._labels import Labels
from fastnn.sklearn._mlp import BaseMLP
from fastnn.sklearn._parameters import CONSTRAINTS, loss_constraint
from fastnn.sklearn._task import Objective

__all__ = ["MLPClassifier"]

Array = NDArray[Any]


class MLPClassifier(ClassifierMixin, BaseMLP):
    """MLPClassifier."""

    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS | {
        "loss": loss_constraint("log_loss"), "class_weight": [dict, StrOptions({"balanced"}), None]}

    def __init__(self, hidden_layer_sizes: Any = (100,), activation: Any = "relu", *, solver: Any = "adam",
                 alpha: Any = 0.0001, batch_size: Any = "auto", learning_rate: Any = "constant",
                 learning_rate_init: Any = 0.001, power_t: Any = 0.5, max_iter: Any = 200, shuffle: Any = True,
                 random_state: Any = None, tol: Any = 1e-4, verbose: Any = False, warm_start: Any = False,
                 momentum: Any = 0.9, nesterovs_momentum: Any = True, early_stopping: Any = False,
                 validation_fraction: Any = 0.1, beta_1: Any = 0.9, beta_2: Any = 0.999, epsilon: Any = 1e-8,
                 n_iter_no_change: Any = 10, max_fun: Any = 15000, loss: Any = "log_loss", class_weight: Any = None,
                 preset: Any = "sklearn", dropout: Any = 0.0, batch_norm: Any = False, density: Any = 1.0,
                 optimizer: Any = None, clipnorm: Any = None, scoring: Any = None, callbacks: Any = None,
                 n_jobs: Any = None, n_ens: Any = 1) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.loss = loss
        self.class_weight = class_weight
        self.preset = preset
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.density = density
        self.optimizer = optimizer
        self.clipnorm = clipnorm
        self.scoring = scoring
        self.callbacks = callbacks
        self.n_jobs = n_jobs
        self.n_ens = n_ens

    # ---- targets --------------------------------------------------------------------------------------------

    def _encode(self, X: Any, y: Any, first: bool, incremental: bool) -> Array:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._labels = Labels.of(y)
            self.classes_ = self._labels.classes
        else:
            classes = unique_labels(y)
            if self.warm_start:
                if set(classes) != set(self.classes_):
                    raise ValueError("warm_start can only be used where `y` has the same classes as in the previous "
                                     f"call to fit. Previously got {self.classes_}, `y` has {classes}")
            elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
                raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' "
                                 f"has {classes}.")
        encoded = self._labels.encode(y)
        return encoded[:, None] == 1 if self._labels.kind == "binary" else encoded

    @property
    def _n_outputs(self) -> int:
        return self._labels.n_outputs

    def _labels_kind(self) -> str | None:
        return self._labels.kind

    def _objective(self, n_outputs: int) -> tuple[Objective, str]:
        kind = self._labels.kind
        last = "softmax" if kind == "multiclass" else "logistic"
        if self.loss != "log_loss":
            loss = losses.get(self.loss)
            if loss.sparse and kind != "multiclass":
                raise ValueError(f"loss={self.loss!r} is for three classes or more; y is {kind}: 'log_loss' is allowed")
            return Objective(loss), last
        if kind == "multiclass":
            return Objective(losses.SparseCategoricalCrossentropy()), last
        return Objective(losses.BinaryCrossentropy(), factor=float(n_outputs)), last

    def _class_weights(self, y: Array) -> Array | None:
        if self.class_weight is None:
            return None
        if y.ndim == 2 and y.shape[1] > 1:
            raise ValueError("class_weight is for one class a sample; y has several labels")
        numbers = y.ravel().astype(np.intp)
        present = np.unique(numbers)
        weights = np.ones(len(self.classes_))
        weights[present] = compute_class_weight(self.class_weight, classes=self.classes_[present],
                                                y=self.classes_[numbers])
        return weights[numbers]

    def _own_score(self, outputs: Array, targets: Array, weight: Array | None) -> float:
        if targets.ndim == 1:
            right = outputs.argmax(axis=1) == targets
        elif self._labels.kind == "multiclass":
            right = outputs.argmax(axis=1) == targets.argmax(axis=1)
        else:
            right = ((outputs > 0.5) == (targets > 0.5)).all(axis=1)
        return float(np.average(right, weights=weight))

    # ---- scikit-learn's methods -----------------------------------------------------------------------------

    @available_if(lambda estimator: estimator._check_solver())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """One epoch over X and y; the optimizer goes on from where the last call left it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional
        classes : array-like of shape (n_classes,), optional
            All classes there will be; needed in the first call.

        Returns
        -------
        self
        """
        self._validate_params()
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = unique_labels(classes)
            self._labels = Labels.of(y) if type_of_target(y).startswith("multilabel") else Labels(self.classes_)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                             f"{self.classes_!r}")
        return self._fit(X, y, sample_weight, (None, None, None), incremental=True)

    def predict(self, X: Any) -> Any:
        """The classes of samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), or indicator rows (n_samples, n_classes)
        """
        outputs = self._outputs(X)
        return self._labels.decode(outputs)

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the classes, in the order of ``classes_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of `predict_proba`."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def decision_function(self, X: Any) -> Array:
        """What goes into the last layer's softmax or sigmoid.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) for two classes, else (n_samples, n_classes)
        """
        hidden = self.transform(X)
        last = self.model_.dense[-1]
        logits = kernels.dense_forward(hidden, last.kernel, last.bias, n_threads=self._threads())
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
