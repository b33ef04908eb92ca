"""Estimators of scikit-learn's multi-layer perceptron over fastnn's engine (extra ``fastnn[sklearn]``).

`MLPClassifier` and `MLPRegressor` take the place of those of ``sklearn.neural_network``: the same parameters, defaults
and attributes, and what scikit-learn's do not have behind them.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("fastnn.sklearn needs scikit-learn 1.6 or later: pip install 'fastnn[sklearn]'") from error

from fastnn.sklearn.classifier import MLPClassifier
from fastnn.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
