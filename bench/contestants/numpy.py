"""The reference in plain NumPy."""

from __future__ import annotations

import itertools
import math

import numpy as np

from contestants import Call, batches, parameters, repeated
from fastnn import reference
from fastnn.reference_training import ReferenceMLP
from fastnn.works import Work


def epoch(work: Work, n_threads: int) -> Call:
    mlp, (x, y) = ReferenceMLP.from_model(work.model()), work.data()
    rng = np.random.default_rng(0) if work.steps > 1 else None
    return repeated(lambda: mlp.train_epoch(x, y, work.batch, rng), work.epochs)


def train_on_batch(work: Work, n_threads: int) -> Call:
    mlp, pairs = ReferenceMLP.from_model(work.model()), batches(work, np.asarray)

    def call() -> None:
        for x, y in pairs:
            mlp.step(x, y)

    return call


def forward(work: Work, n_threads: int) -> Call:
    (layer,), (x, _) = work.model().layers, work.data()
    kernel, bias = layer.kernel.copy(), layer.bias.copy()
    return repeated(lambda: reference.dense_forward(x, kernel, bias, work.last), work.steps)


def update(work: Work, n_threads: int) -> Call:
    """As `reference.adam_step`, with one array for all that lies between."""
    param, grad = parameters(work)
    m, v, t = (np.zeros_like(param) for _ in range(3))
    steps = itertools.count(1)

    def step() -> None:
        n = next(steps)
        np.subtract(grad, m, out=t)
        np.multiply(t, 1 - 0.9, out=t)
        np.add(m, t, out=m)
        np.multiply(grad, grad, out=t)
        np.subtract(t, v, out=t)
        np.multiply(t, 1 - 0.999, out=t)
        np.add(v, t, out=v)
        np.sqrt(v, out=t)
        np.add(t, 1e-7, out=t)
        np.divide(m, t, out=t)
        np.multiply(t, 1e-3 * math.sqrt(1 - 0.999**n) / (1 - 0.9**n), out=t)
        np.subtract(param, t, out=param)

    return repeated(step, work.steps)
