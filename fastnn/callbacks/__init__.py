"""Callbacks: code that `fit`, `evaluate` and `predict` call; names, arguments and defaults of Keras 3."""

from fastnn.callbacks.averages import SwapEMAWeights
from fastnn.callbacks.backup import BackupAndRestore
from fastnn.callbacks.base import Callback, CallbackList
from fastnn.callbacks.checkpoint import ModelCheckpoint
from fastnn.callbacks.csv_logger import CSVLogger
from fastnn.callbacks.divergence import TerminateOnNaN
from fastnn.callbacks.freezing import Freezer, Unfreezer
from fastnn.callbacks.functions import LambdaCallback
from fastnn.callbacks.history import History
from fastnn.callbacks.movie import WeightMovie
from fastnn.callbacks.progress import ProgressBar
from fastnn.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from fastnn.callbacks.stopping import EarlyStopping
from fastnn.callbacks.tensorboard import TensorBoard
from fastnn.callbacks.topology import SET, NeuronPruning, RigL

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "Freezer",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "NeuronPruning",
    "ProgressBar",
    "ReduceLROnPlateau",
    "RigL",
    "SET",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
    "Unfreezer",
    "WeightMovie",
]
