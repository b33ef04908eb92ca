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

__all__ = ["loss_gradient", "pulled_back"]

Array = NDArray[Any]


class _Pairing(Loss):
    """Outputs times targets, summed: its gradient is the targets."""

    name = "pairing"

    def __init__(self, logits: bool) -> None:
        self.logits = logits

    def kernel(self, last_activation: str) -> tuple[str | None, bool]:
        return None, self.logits and last_activation in ("softmax", "sigmoid")

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return np.sum(y_true * y_pred, axis=1)

    def gradient(self, y_true: Array, y_pred: Array) -> Array:
        return y_true


def pulled_back(model: Sequential, layers: Sequence[Layer], x: Array, dy: Array, n_threads: int,
                logits: bool = False) -> Array:
    """The gradient with respect to x (n, n_inputs) of the sum of outputs times dy (n, n_outputs), for outputs of
    `layers`, which follow one another in `model`. `logits`: without a softmax or sigmoid at their end."""
    loss, targets = _Pairing(logits), np.ascontiguousarray(dy, dtype=model.dtype)
    return _input_gradient(model, layers, loss, engine.Data(x, None, targets, None, dy.shape[1]), n_threads)


def loss_gradient(model: Sequential, layers: Sequence[Layer], x: Array, data: engine.Data, n_threads: int) -> Array:
    """The gradient with respect to x (n, n_inputs) of each sample's loss, for the last layers of `model` and the
    targets of `data`."""
    _, labels, targets, weight = data.keep
    return _input_gradient(model, layers, model._loss, engine.Data(x, labels, targets, weight, data.n_classes),
                           n_threads)


def _input_gradient(model: Sequential, layers: Sequence[Layer], loss: Loss, data: engine.Data, n_threads: int) -> Array:
    program = lowered(layers, model.dtype, True, loss, inputs=True)
    runner = engine.Runner(engine.Workspace(program, model._flat, data.n, model._gradient_block()))
    _, nonfinite = runner.gradients(data, model.seed, n_threads)
    if nonfinite:
        raise DivergenceError("the loss is NaN or infinite, so that it has no gradient", 1, 1)
    gradient = runner.input_gradients(np.empty((data.n, program.n_inputs), model.dtype))
    gradient *= data.n  # the engine's loss is the samples' mean
    return gradient
