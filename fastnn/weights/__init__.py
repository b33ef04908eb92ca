"""Everything one does with weights besides training them: carry them over, load, understand them."""

from fastnn.weights.loading import load_keras, load_pytorch
from fastnn.weights.monitor import WeightMonitor
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
    "LayerStatistics",
    "Statistics",
    "TransferReport",
    "WeightMonitor",
    "WeightStatistics",
    "layer_outputs",
    "load_keras",
    "load_pytorch",
    "spectral_norm",
    "statistics",
    "transfer",
]
