"""Plots of weights, trainings and results. They need matplotlib, which is imported when the first one is drawn."""

from fastnn.weights.plot.matrices import heatmap, histograms, tiles
from fastnn.weights.plot.monitoring import gradients, ridge, updates
from fastnn.weights.plot.projections import activations, singular_values, weight_vectors
from fastnn.weights.plot.results import confusion_matrix, importance, residuals
from fastnn.weights.plot.sparsity import degrees, pattern, pruning
from fastnn.weights.plot.training import curves, learning_rates

__all__ = [
    "activations",
    "confusion_matrix",
    "curves",
    "degrees",
    "gradients",
    "heatmap",
    "histograms",
    "importance",
    "learning_rates",
    "pattern",
    "pruning",
    "residuals",
    "ridge",
    "singular_values",
    "tiles",
    "updates",
    "weight_vectors",
]
