"""What an estimator does between epochs: curves, the stopping rule, scikit-learn's callbacks."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastnn.callbacks import Callback
from fastnn.callbacks.base import Logs

if TYPE_CHECKING:
    from fastnn.errors import DivergenceError
    from fastnn.sklearn._mlp import BaseMLP
    from fastnn.sklearn._task import Task

__all__ = ["Progress"]

Array = NDArray[Any]

SMALLEST_RATE = 1e-6    # at which learning_rate="adaptive" stops


class Progress(Callback):
    """Keeps an estimator's attributes up to date, epoch by epoch, and says when training is over.

    Attributes
    ----------
    best : ndarray or None
        The parameters after the epoch with the best validation score.
    """

    def __init__(self, estimator: BaseMLP, task: Task, incremental: bool, root: Any) -> None:
        super().__init__()
        self.estimator, self.task, self.incremental, self.root = estimator, task, incremental, root
        self.best: Array | None = None
        self.context: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self.root is not None:
            self.context = self.root.subcontext(task_name="epoch")
            self.context.call_on_fit_task_begin(estimator=self.estimator)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        assert logs is not None
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += self.task.samples.n
        logs["loss"] = estimator.loss_ = self.task.reported(logs["loss"], self.model.penalty_sum / self.task.samples.n)
        if "val_loss" in logs:
            logs["val_loss"] = self.task.reported_validation(logs["val_loss"], self.model._penalty())
        estimator.loss_curve_.append(estimator.loss_)
        self._score(logs)
        for name, value in logs.items():
            estimator.history_.setdefault(name, []).append(value)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        self._compare(logs)
        self._stop_or_slow_down()
        if self.context is not None:
            self._tell()

    def _score(self, logs: Logs) -> None:
        """The scores that were asked for, on all samples and on the validation set."""
        logs.update(self.task.scores(self.estimator))

    def _compare(self, logs: Logs) -> None:
        """Whether the epoch was better than those before it, by tol."""
        estimator = self.estimator
        if self.task.validation is not None:
            better = self._is_best_score(logs)
        if not estimator.early_stopping:
            best = np.inf if estimator.best_loss_ is None else estimator.best_loss_
            better = not estimator.loss_ > best - estimator.tol
            estimator.best_loss_ = min(best, estimator.loss_)
        estimator._no_improvement_count = 0 if better else estimator._no_improvement_count + 1

    def _is_best_score(self, logs: Logs) -> bool:
        estimator = self.estimator
        first = next(iter(self.task.scorers), None)
        score = self.task.validation_score(self.model) if first is None else logs[f"val_{first}"]
        if estimator.validation_scores_ is None:
            estimator.validation_scores_ = []
        estimator.validation_scores_.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:f}")
        best = -np.inf if estimator.best_validation_score_ is None else estimator.best_validation_score_
        if score > best:
            estimator.best_validation_score_ = score
            self.best = self.model._flat.copy() if estimator.early_stopping else None
        return not score < best + estimator.tol

    def _stop_or_slow_down(self) -> None:
        estimator = self.estimator
        plain = estimator.optimizer is None and estimator.solver == "sgd"
        if plain and estimator.learning_rate == "invscaling":
            self.model.optimizer.learning_rate = estimator.learning_rate_init / (estimator.t_ + 1) ** estimator.power_t
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            what = "Validation score" if estimator.early_stopping else "Training loss"
            said = (f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} "
                    "consecutive epochs.")
            if not (plain and estimator.learning_rate == "adaptive"):
                said += " Stopping."
                self.model.stop_training = True
            elif self.model.optimizer.learning_rate <= SMALLEST_RATE:
                said += " Learning rate too small. Stopping."
                self.model.stop_training = True
            else:
                self.model.optimizer.learning_rate /= 5.0
                said += f" Setting learning rate to {self.model.optimizer.learning_rate:f}"
                estimator._no_improvement_count = 0
            if estimator.verbose:
                print(said)
        if not self.model.stop_training and not self.incremental and estimator.n_iter_ == estimator.max_iter:
            warnings.warn(f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the "
                          "optimization hasn't converged yet.", ConvergenceWarning, stacklevel=2)

    def _tell(self) -> None:
        """scikit-learn's callbacks of the end of the epoch; they may stop the training."""
        task = self.task
        stop = self.context.call_on_fit_task_end(
            estimator=self.estimator, X=task.X, y=task.y, metadata={"sample_weight": task.sample_weight},
            reconstruction_attributes={})    # the estimator has all of them already
        self.model.stop_training = self.model.stop_training or bool(stop)

    def on_divergence(self, error: DivergenceError) -> bool:
        """With early stopping the best epoch is kept, as scikit-learn does; its score of others is NaN."""
        if not self.estimator.early_stopping:
            return False
        self.estimator.n_iter_ += 1
        self.estimator.loss_curve_.append(np.nan)
        self.estimator.validation_scores_ = [*(self.estimator.validation_scores_ or ()), np.nan]
        warnings.warn(f"Training stopped: {error}", ConvergenceWarning, stacklevel=2)
        return True
