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
    """scikit-learn's multi-layer perceptron for classes, trained by fastnn.

    Parameters, defaults, attributes and random numbers are those of ``sklearn.neural_network.MLPClassifier``, with the
    same weights for the same `random_state` but for rounding. What follows `max_fun` it does not have.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default (100,)
        Units of the hidden layers; ``()`` for none.
    activation : str, Activation or list of them, default "relu"
        Of the hidden layers: ``"identity"``, ``"logistic"``, or what :mod:`fastnn.activations` has. A list has one for
        each.
    solver : {"adam", "sgd", "lbfgs"}, default "adam"
    alpha : float or list of float, default 0.0001
        The loss of a batch is added ``alpha / 2`` times the sum of the squared kernels over the sum of the sample
        weights. A list has one for each layer, the last one too.
    batch_size : int or "auto", default "auto"
        ``"auto"`` is ``min(200, n_samples)``. Not for lbfgs.
    learning_rate : {"constant", "invscaling", "adaptive"} or LearningRateSchedule, default "constant"
        The strings are for ``solver="sgd"``: constant, or ``learning_rate_init / (t + 1) ** power_t`` after t samples,
        or a fifth where the loss (or the validation score) has not improved. A schedule of :mod:`fastnn.schedules` is
        for sgd and adam, and takes the place of `learning_rate_init`.
    learning_rate_init : float, default 0.001
    power_t : float, default 0.5
    max_iter : int, default 200
        Epochs; for lbfgs iterations.
    shuffle : bool, default True
        Whether samples take a new order in each epoch.
    random_state : int, RandomState or None, default None
        Makes initial weights, the validation set and the orders of samples those of scikit-learn for the same number.
    tol : float, default 1e-4
        What an epoch must improve the loss (or the validation score) by; for lbfgs the largest element of the gradient.
    verbose : bool or int, default False
        Whether to print a line an epoch.
    warm_start : bool, default False
        Whether `fit` goes on from the weights there are.
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
        Both for ``solver="sgd"``.
    early_stopping : bool, default False
        Whether to stop by the score of a validation set, and keep the best epoch's weights.
    validation_fraction : float, default 0.1
        Part of the samples that early stopping takes, unless `fit` is given `X_val`.
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        For ``solver="adam"``.
    n_iter_no_change : int or inf, default 10
        Epochs without improvement that are allowed.
    max_fun : int, default 15000
        Computations of the loss that lbfgs may do.
    loss : str or Loss, default "log_loss"
        Cross-entropy, or what :mod:`fastnn.losses` has; the categorical ones are for three classes or more.
    class_weight : dict, "balanced" or None, default None
        Weights by class, multiplied into the sample weights; ``"balanced"``: ``n / (n_classes * n of the class)``.
    preset : {"sklearn", "auto"}, default "sklearn"
        ``"auto"`` encodes tables and chooses network and training itself, see the documentation of estimators.
    dropout : float or list of float, default 0.0
        Rate behind the hidden layers, in [0, 1).
    batch_norm : bool or list of bool, default False
        Whether batch normalization stands between a hidden layer and its activation.
    density : float or list of float, default 1.0
        Share of the connections of hidden layers that exist, in (0, 1]; below 1 their ``coefs_`` are scipy.sparse.
    optimizer : str, Optimizer or None, default None
        Of :mod:`fastnn.optimizers`; takes the place of `solver`. A name takes the learning rate of the parameters
        here; an object stays as it is, `LBFGS` with its own `max_iter` and `tol` too.
    clipnorm : float or None, default None
        The gradient of each kernel and bias is shortened to this norm.
    scoring : str, callable, list of them or None, default None
        Scores of scikit-learn's that are computed after each epoch; see ``history_``. Early stopping goes by the first.
    callbacks : Callback, list of Callback or None, default None
        Of :mod:`fastnn.callbacks`; ``history`` and the network as they know them. scikit-learn's are for
        ``set_callbacks``.
    n_jobs : int or None, default None
        Threads; None: what `fastnn.get_num_threads` says, in threads of joblib one; -1: all. No result depends on it.
    n_ens : int, default 1
        Networks that are trained at once and averaged, for ``preset="auto"``.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
    coefs_ : list of ndarray (n_inputs, n_outputs)
        Kernels. They are the network's memory: what is written to them, or assigned, counts.
    intercepts_ : list of ndarray (n_outputs,)
        Biases, likewise.
    model_ : Sequential
        The network.
    loss_, best_loss_, loss_curve_ : float, float or None, list of float
        Of the epochs, penalties included; lbfgs has no `best_loss_`.
    validation_scores_, best_validation_score_ : list of float or None, float or None
        Of the epochs where there is a validation set; not for lbfgs.
    history_ : dict of str to list of float
        ``"loss"``, ``"val_loss"`` where there is a validation set, and scores by name.
    n_iter_, t_ : int
        Epochs (lbfgs: iterations) of the last call, and samples that were trained on.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    ValueError, TypeError
        In `fit`, for what scikit-learn refuses, and where the training diverges.

    Notes
    -----
    The loss is computed from what goes into the last layer's softmax or sigmoid. scikit-learn clips probabilities to
    ``[eps, 1 - eps]`` before their logarithm: its curves lie below these where outputs saturate. Gradients are
    the same.

    Examples
    --------
    >>> from fastnn.sklearn import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(max_iter=300, learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> model.predict(X[:3])
    array([0, 0, 0])
    >>> model.score(X, y) > 0.95
    True
    """

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
            if kind != "multiclass" and (loss.sparse or isinstance(loss, losses.CategoricalCrossentropy)):
                raise ValueError(f"loss={self.loss!r} is for three classes or more; y is {kind}: 'log_loss' and losses "
                                 "of single outputs, such as 'mean_squared_error', are allowed")
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
        for label, weight in zip(self.classes_, weights, strict=True):
            if not 0 <= weight < np.inf:
                raise ValueError(f"class_weight gives class {label} the weight {weight}; finite numbers >= 0 are "
                                 "allowed")
        return weights[numbers]

    def _own_score(self, outputs: Array, targets: Array, weight: Array | None) -> float:
        if targets.ndim == 1:
            right = outputs.argmax(axis=1) == targets
        elif self._labels.kind == "multiclass":
            right = outputs.argmax(axis=1) == targets.argmax(axis=1)
        else:
            right = (((outputs > 0.5) & (len(self.classes_) > 1)) == (targets > 0.5)).all(axis=1)
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
        with self._exclusively("partial_fit"):
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
        if "encoder_" in self.__dict__ and self.n_ens > 1:
            return self._log_odds(self._outputs(X))
        hidden = self.transform(X)
        last = self.model_.dense[-1]
        logits = kernels.dense_forward(hidden, last.kernel, last.bias, n_threads=self._threads())
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def _log_odds(self, outputs: Array) -> Array:
        """What softmax or sigmoid make the mean probabilities of several networks of."""
        least = np.finfo(outputs.dtype).tiny
        logits = np.log(np.maximum(outputs, least))
        if self._labels.kind != "multiclass":
            logits -= np.log(np.maximum(1 - outputs, least))
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
