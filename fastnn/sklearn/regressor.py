"""MLPRegressor."""

from __future__ import annotations

from typing import Any

from sklearn.base import RegressorMixin

from fastnn.sklearn._mlp import BaseMLP

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, BaseMLP):
    """MLPRegressor."""

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
