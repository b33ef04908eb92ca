"""Everything one does with weights besides training them: carry them over, load, prune, understand them."""

from fastnn.weights import plot
from fastnn.weights.discriminative import discriminative
from fastnn.weights.gradients import GradientReport, LayerGradients, diagnose_gradients
from fastnn.weights.importance import (
    connection_weights,
    gradient_x_input,
    importance,
    permutation_importance,
)
from fastnn.weights.loading import load_keras, load_pytorch
from fastnn.weights.monitor import WeightMonitor
from fastnn.weights.prune import (
    PruningSchedule,
    SparsityReport,
    prune,
    remove_pruning,
    set_masks,
    sparsity_report,
)
from fastnn.weights.shrink import shrink
from fastnn.weights.statistics import (
    LayerStatistics,
    Statistics,
    WeightStatistics,
    layer_outputs,
    spectral_norm,
    statistics,
)
from fastnn.weights.transfer import TransferReport, transfer

__all__ = [
    "GradientReport",
    "LayerGradients",
    "LayerStatistics",
    "PruningSchedule",
    "SparsityReport",
    "Statistics",
    "TransferReport",
    "WeightMonitor",
    "WeightStatistics",
    "connection_weights",
    "diagnose_gradients",
    "discriminative",
    "gradient_x_input",
    "importance",
    "layer_outputs",
    "load_keras",
    "load_pytorch",
    "permutation_importance",
    "plot",
    "prune",
    "remove_pruning",
    "set_masks",
    "shrink",
    "sparsity_report",
    "spectral_norm",
    "statistics",
    "transfer",
]
