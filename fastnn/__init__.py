"""fastnn: dense neural networks, trained in compiled code on the CPU."""

try:
    import fastnn._kernels.dispatch  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "this is fastnn's source folder, whose modules are not compiled: leave it to import the installed package, "
        "or compile it in place with `pip install -e .`"
    ) from error

from fastnn import (
    activations,
    callbacks,
    constraints,
    datasets,
    errors,
    initializers,
    kernels,
    layers,
    losses,
    metrics,
    optimizers,
    reference,
    regularizers,
    schedules,
    sparse,
    weights,
)
from fastnn._kernels.threads import get_num_threads, set_num_threads
from fastnn.config import show_config
from fastnn.errors import DivergenceError, ModelFormatError
from fastnn.layers import Input
from fastnn.lr_finder import lr_find
from fastnn.model import Sequential
from fastnn.reports import report
from fastnn.saving import load_model
from fastnn.streams import Stream
from fastnn.version import __version__

__all__ = [
    "DivergenceError",
    "Input",
    "ModelFormatError",
    "Sequential",
    "Stream",
    "__version__",
    "activations",
    "callbacks",
    "constraints",
    "datasets",
    "errors",
    "get_num_threads",
    "initializers",
    "kernels",
    "layers",
    "load_model",
    "losses",
    "lr_find",
    "metrics",
    "optimizers",
    "reference",
    "schedules",
    "regularizers",
    "report",
    "set_num_threads",
    "show_config",
    "sparse",
    "weights",
]
