"""MLPRegressor."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from fastnn import losses
from fastnn.sklearn._mlp import BaseMLP
from fastnn.sklearn._parameters import CONSTRAINTS, loss_constraint
from fastnn.sklearn._task import Objective

__all__ = ["MLPRegressor"]

Array = NDArray[Any]


class MLPRegressor(RegressorMixin, BaseMLP):
    """scikit-learn's multi-layer perceptron for numbers, trained by fastnn.

    Parameters, defaults, attributes and random numbers are those of ``sklearn.neural_network.MLPRegressor``, with the
    same weights for the same `random_state` but for rounding. What follows `max_fun` it does not have.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, str or Loss, default "squared_error"
        Half the squared error, half the Poisson deviance of counts behind an exponential, or what :mod:`fastnn.losses`
        has for numbers.
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
    target_mean_, target_scale_ : ndarray (n_outputs,)
        Of the targets, which ``preset="auto"`` standardises: a prediction is ``target_scale_ * output + target_mean_``.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    ValueError, TypeError
        In `fit`, for what scikit-learn refuses, and where the training diverges.

    Examples
    --------
    >>> from fastnn.sklearn import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(200, 8, random_state=0)
    >>> model = MLPRegressor(solver="lbfgs", tol=0.01, max_iter=500, random_state=0).fit(X, y)
    >>> model.predict(X).shape
    (200,)
    >>> model.score(X, y) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS | {
        "loss": loss_constraint("squared_error", "poisson")}

    def __init__(self, loss: Any = "squared_error", hidden_layer_sizes: Any = (100,), activation: Any = "relu",
                 *, solver: Any = "adam", alpha: Any = 0.0001, batch_size: Any = "auto",
                 learning_rate: Any = "constant", learning_rate_init: Any = 0.001, power_t: Any = 0.5,
                 max_iter: Any = 200, shuffle: Any = True, random_state: Any = None, tol: Any = 1e-4,
                 verbose: Any = False, warm_start: Any = False, momentum: Any = 0.9, nesterovs_momentum: Any = True,
                 early_stopping: Any = False, validation_fraction: Any = 0.1, beta_1: Any = 0.9, beta_2: Any = 0.999,
                 epsilon: Any = 1e-8, n_iter_no_change: Any = 10, max_fun: Any = 15000, preset: Any = "sklearn",
                 dropout: Any = 0.0, batch_norm: Any = False, density: Any = 1.0, optimizer: Any = None,
                 clipnorm: Any = None, scoring: Any = None, callbacks: Any = None, n_jobs: Any = None,
                 n_ens: Any = 1) -> None:
        self.loss = loss
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
        if y.dtype.kind not in "biuf":
            raise TypeError(f"y has dtype {y.dtype}; numbers are allowed")
        if not np.isfinite(y).all():
            raise ValueError("y contains None, NaN or infinity; only finite numbers are allowed")
        if self._is_poisson and y.min() < 0:
            raise ValueError(f"loss={self.loss!r} needs y >= 0; received {y.min()}")
        rows = y[:, None] if y.ndim == 1 else y
        if not first and rows.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {rows.shape[1]} columns; the network has {self.n_outputs_} outputs")
        self._columns = rows.shape[1]
        return rows

    @property
    def _n_outputs(self) -> int:
        return self._columns

    def _objective(self, n_outputs: int) -> tuple[Objective, str]:
        if self.loss == "squared_error":
            return Objective(losses.MeanSquaredError(), n_outputs / 2, 1 / n_outputs), "identity"
        if self._is_poisson:
            return Objective(losses.Poisson(), float(n_outputs), is_poisson=True), "exp"
        loss = losses.get(self.loss)
        if loss.sparse or isinstance(loss, (losses.CategoricalCrossentropy, losses.BinaryCrossentropy)):
            raise ValueError(f"loss={self.loss!r} is for classes; numbers need 'squared_error', 'mean_absolute_error', "
                             "'huber' or 'poisson'")
        return Objective(loss), "identity"

    @property
    def _is_poisson(self) -> bool:
        return self.loss == "poisson" or isinstance(self.loss, losses.Poisson)

    def _class_weights(self, y: Array) -> Array | None:
        return None

    def _own_score(self, outputs: Array, targets: Array, weight: Array | None) -> float:
        return float(r2_score(targets, outputs, sample_weight=weight))

    # ---- scikit-learn's methods -----------------------------------------------------------------------------

    @available_if(lambda estimator: estimator._check_solver())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One epoch over X and y; the optimizer goes on from where the last call left it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        self
        """
        with self._exclusively("partial_fit"):
            return self._fit(X, y, sample_weight, (None, None, None), incremental=True)

    def predict(self, X: Any) -> Array:
        """Predicted targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X)
        if "encoder_" in self.__dict__:     # in float64: float32 has no room for targets far from 0
            outputs = outputs.astype(np.float64) * self.target_scale_ + self.target_mean_
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
