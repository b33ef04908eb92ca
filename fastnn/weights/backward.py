"""Gradients with respect to what goes into layers, pulled back by the engine through any part of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._kernels import program as engine
from fastnn.errors import DivergenceError
from fastnn.layers.base import Layer
from fastnn.losses import Loss
from fastnn.model import Sequential, lowered

__all__ = ["loss_gradient", "pulled_back", "training_outputs"]

Array = NDArray[Any]


class _Pairing(Loss):
    """Outputs times targets, summed: its gradient is the targets. It keeps the outputs."""

    name = "pairing"

    def __init__(self, logits: bool = False) -> None:
        self.logits = logits

    def kernel(self, last_activation: str) -> tuple[str | None, bool]:
        return None, self.logits and last_activation in ("softmax", "sigmoid")

    def call(self, y_true: Array, y_pred: Array) -> Array:
        self.outputs = y_pred.copy()
        with np.errstate(all="ignore"):  # the engine refuses what is not finite
            return np.sum(y_true * y_pred, axis=1)

    def gradient(self, y_true: Array, y_pred: Array) -> Array:
        return y_true


def training_outputs(model: Sequential, layer: Layer, x: Array, n_threads: int) -> Array:
    """Outputs (n, n_outputs) of a layer for x (n, n_inputs) in the first step of a training: with the statistics of the
    batch, dropout and noise."""
    loss = _Pairing()
    targets = np.zeros((len(x), layer.n_outputs), model.dtype)
    _run(model, [layer], loss, engine.Data(x, None, targets, None, layer.n_outputs), n_threads, True, inputs=False)
    return loss.outputs


def pulled_back(model: Sequential, layers: Sequence[Layer], x: Array, dy: Array, n_threads: int, *,
                logits: bool = False, training: bool = False) -> Array:
    """The gradient with respect to x (n, n_inputs) of the sum of outputs times dy (n, n_outputs), and of penalties on
    activities; outputs are those of `layers`, which follow one another in `model`. `logits`: without a softmax or
    sigmoid at their end; `training`: as in `training_outputs`."""
    targets = np.ascontiguousarray(dy, dtype=model.dtype)
    data = engine.Data(x, None, targets, None, dy.shape[1])
    return _gradient(_run(model, layers, _Pairing(logits), data, n_threads, training), model, data.n)


def loss_gradient(model: Sequential, layers: Sequence[Layer], x: Array, data: engine.Data, n_threads: int, *,
                  training: bool = False) -> Array:
    """The gradient with respect to x (n, n_inputs) of each sample's loss, for the last layers of `model` and the
    targets of `data`."""
    _, labels, targets, weight = data.keep
    data = engine.Data(x, labels, targets, weight, data.n_classes)
    return _gradient(_run(model, layers, model._loss, data, n_threads, training), model, data.n)


def _run(model: Sequential, layers: Sequence[Layer], loss: Loss, data: engine.Data, n_threads: int, training: bool,
         inputs: bool = True) -> engine.Runner:
    """A runner that has gone through `layers`, forward and backward."""
    if inputs:
        model._check_gradients()
    program = lowered(layers, model.dtype, True, loss, inputs)
    runner = engine.Runner(engine.Workspace(program, model._flat, data.n, model._gradient_block()))
    _, nonfinite = runner.gradients(data, model.seed, n_threads, training)
    if nonfinite:
        raise DivergenceError("the loss is NaN or infinite, so that it has no gradient", 1, 1)
    return runner


def _gradient(runner: engine.Runner, model: Sequential, n: int) -> Array:
    gradient = runner.input_gradients(np.empty((n, runner.work.program.n_inputs), model.dtype))
    gradient *= n  # the engine's loss is the samples' mean
    return gradient
