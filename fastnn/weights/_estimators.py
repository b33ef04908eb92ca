"""A trained model as scikit-learn's tools see an estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.model import Sequential

__all__ = ["fitted_estimator"]

Array = NDArray[Any]


def fitted_estimator(model: Sequential, shape: tuple[int, ...], n_threads: int | None) -> Any:
    """A classifier for losses on labels, else a regressor; samples of `shape` are flat rows to it, and its `score` is
    minus the compiled loss. The classes are made here since scikit-learn may not be installed."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Fitted:
        def fit(self, rows: Array, y: Array) -> Any:
            raise NotImplementedError("the model is trained already")

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def samples(self, rows: Array) -> Array:
            return np.asarray(rows).reshape(-1, *shape)

        def outputs(self, rows: Array) -> Array:
            return model.predict(self.samples(rows), n_threads=n_threads)

        def score(self, rows: Array, y: Array) -> float:
            found = model.evaluate(self.samples(rows), y, return_dict=True, n_threads=n_threads)
            assert isinstance(found, dict)
            return -found["loss"]

    class Regressor(Fitted, RegressorMixin, BaseEstimator):  # type: ignore[misc]
        def predict(self, rows: Array) -> Array:
            outputs = self.outputs(rows)
            return outputs[:, 0] if outputs.shape[1:] == (1,) else outputs

    class Classifier(Fitted, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        classes_ = np.arange(max(2, model.n_outputs))

        def predict_proba(self, rows: Array) -> Array:
            outputs = self.outputs(rows)
            return np.hstack([1 - outputs, outputs]) if model.n_outputs == 1 else outputs

        def predict(self, rows: Array) -> Array:
            return self.predict_proba(rows).argmax(axis=1)

    labels = model._loss.sparse or (model._loss.name == "binary_crossentropy" and model.n_outputs == 1)
    return Classifier() if labels else Regressor()
