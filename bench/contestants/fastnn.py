"""fastnn: `fit`, `train_on_batch`, `predict`, and the kernel of the optimizer."""

from __future__ import annotations

import itertools

import numpy as np

from contestants import Call, batches, parameters, repeated
from fastnn.kernels import adam_step
from fastnn.works import Work


def epoch(work: Work, n_threads: int) -> Call:
    model, (x, y) = work.model(), work.data()
    return lambda: model.fit(x, y, batch_size=work.batch, epochs=work.epochs, shuffle=work.steps > 1, verbose=0,
                             n_threads=n_threads)


def train_on_batch(work: Work, n_threads: int) -> Call:
    model, pairs = work.model(), batches(work, np.asarray)

    def call() -> None:
        for x, y in pairs:
            model.train_on_batch(x, y, n_threads=n_threads)

    return call


def forward(work: Work, n_threads: int) -> Call:
    model, (x, _) = work.model(), work.data()
    return repeated(lambda: model.predict(x, n_threads=n_threads), work.steps)


def update(work: Work, n_threads: int) -> Call:
    param, grad = parameters(work)
    m, v, step = np.zeros_like(param), np.zeros_like(param), itertools.count(1)
    return repeated(lambda: adam_step(param, grad, m, v, next(step), n_threads=n_threads), work.steps)
