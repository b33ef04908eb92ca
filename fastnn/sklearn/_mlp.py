"""What the two estimators have in common."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator

__all__ = ["BaseMLP"]


class BaseMLP(BaseEstimator):
    """Base of `MLPClassifier` and `MLPRegressor`.

    With ``preset="auto"`` the network and its training come from `fastnn.sklearn._tables.plan`:

        plan(X, y, task, estimator) -> Plan

    X : as the user gave it (frame, array); names and number of features are checked
    y : int32 labels (n,) ("binary", "multiclass"), or rows of the data's float dtype (n, n_outputs) ("multilabel",
        "regression")
    task : {"binary", "multiclass", "multilabel", "regression"}
    Plan : encoder (with transform(X) -> array for the network, which refuses what it cannot take), network (an unbuilt
        `Sequential`), loss, optimizer, batch_size, epochs, validation_fraction, restore_best (bool), and center, scale
        (n_outputs,) of the targets or None
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None,
            sample_weight_val: Any = None) -> BaseMLP:
        raise NotImplementedError
