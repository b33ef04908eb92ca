"""Plots of weights, trainings and results. They need matplotlib, which is imported when the first one is drawn."""

from fastnn.weights.plot.matrices import heatmap, histograms, tiles
from fastnn.weights.plot.results import confusion_matrix, importance, residuals
from fastnn.weights.plot.training import curves, learning_rates

__all__ = [
    "confusion_matrix",
    "curves",
    "heatmap",
    "histograms",
    "importance",
    "learning_rates",
    "residuals",
    "tiles",
]
