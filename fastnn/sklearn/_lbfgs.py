"""The solver "lbfgs": scipy's minimizer over all parameters, in float64, as scikit-learn runs it."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from fastnn.layers import BatchNormalization, Dropout
from fastnn.optimizers import LBFGS
from fastnn.schedules import LearningRateSchedule
from fastnn.sklearn._blas import sequential_blas
from fastnn.sklearn._network import Network, Samples
from fastnn.sklearn._task import Objective, Task

if TYPE_CHECKING:
    from fastnn.sklearn._mlp import BaseMLP

__all__ = ["Packed", "loss_and_gradient", "minimise", "refuse_of_epochs"]

Array = NDArray[Any]


class Packed:
    """The parameters of a network as one vector: kernels, then biases."""

    def __init__(self, network: Network) -> None:
        self.network = network
        names = [(layer, name) for name in ("kernel", "bias") for layer in network.dense]
        self.places = [(layer._offsets[name], layer.weights[name].size) for layer, name in names]

    def read(self, block: Array) -> Array:
        return np.concatenate([block[start:start + size] for start, size in self.places]).astype(np.float64, copy=False)

    def write(self, vector: Array) -> None:
        at = 0
        for start, size in self.places:
            self.network._flat[start:start + size] = vector[at:at + size]
            at += size


def loss_and_gradient(packed: Packed, samples: Samples, objective: Objective, threads: int,
                      vector: Array) -> tuple[float, Array]:
    """The loss as scikit-learn reports it, and the gradient that it follows, both where `vector` is."""
    packed.write(vector)
    total, penalty = packed.network.loss_and_gradient(samples, threads)
    return objective.reported(total, penalty, samples), packed.read(packed.network._gradient_block())


def refuse_of_epochs(estimator: BaseMLP, X_val: Any) -> None:
    """What needs epochs or a learning rate, of which lbfgs has none. scikit-learn ignores `early_stopping` too."""
    schedule = estimator.learning_rate if isinstance(estimator.learning_rate, LearningRateSchedule) else None
    for name, value in (("X_val", X_val), ("scoring", estimator._scorers() or None),
                        ("callbacks", estimator._own_callbacks() or None),
                        ("clipnorm", estimator.clipnorm), ("learning_rate as a schedule", schedule)):
        if value is not None:
            raise ValueError(f"solver='lbfgs' takes no {name}: it has neither epochs nor a learning rate; leave it "
                             "out, or use 'adam' or 'sgd'")


def minimise(estimator: BaseMLP, network: Network, task: Task) -> None:
    """All iterations; the estimator's attributes are up to date then."""
    for layer in network._leaves():
        if isinstance(layer, (BatchNormalization, Dropout)):
            raise ValueError(f"solver='lbfgs' needs the same loss for the same weights; {type(layer).__name__} changes "
                             "while it trains: use 'adam' or 'sgd'")
    packed = Packed(network)
    estimator.n_iter_ = 0

    def note(intermediate_result: Any) -> None:
        estimator.n_iter_ += 1
        estimator.loss_curve_.append(np.float64(intermediate_result.fun))
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {intermediate_result.fun:.8f}")

    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    own = estimator.optimizer
    if isinstance(own, LBFGS):
        options |= {"maxiter": own.max_iter, "gtol": own.tol, "ftol": own.ftol, "maxcor": own.history_size,
                    "maxls": own.max_line_search}
    with sequential_blas():
        found = minimize(partial(loss_and_gradient, packed, task.samples, task.objective, task.threads),
                         packed.read(network._flat), jac=True, method="L-BFGS-B", callback=note, options=options)
    packed.write(found.x)
    total, penalty = network.loss_and_gradient(task.samples, task.threads)
    estimator.loss_ = task.reported(total, penalty)
    estimator.n_iter_ = min(found.nit, options["maxiter"])
    network._workspaces.clear()     # which have room for all samples
    if found.status:
        warnings.warn(f"lbfgs failed to converge after {found.nit} iteration(s) (status={found.status}):\n"
                      f"{found.message}\n\nIncrease max_iter ({options['maxiter']}) or max_fun ({estimator.max_fun}), "
                      "or scale the data.", ConvergenceWarning, stacklevel=5)
