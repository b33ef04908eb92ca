"""MLPRegressor."""

from __future__ import annotations

from typing import Any, ClassVar

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
    """MLPRegressor."""

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
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(f"loss='poisson' needs y >= 0; received {y.min()}")
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
        if self.loss == "poisson":
            return Objective(losses.Poisson(), float(n_outputs), is_poisson=True), "exp"
        loss = losses.get(self.loss)
        if loss.sparse:
            raise ValueError(f"loss={self.loss!r} is for class labels; numbers need 'squared_error' or 'huber'")
        return Objective(loss), "identity"

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
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
