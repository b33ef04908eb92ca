"""Those who train the named works: fastnn, its NumPy reference, and the libraries that are installed.

Each is a function of a work and a number of threads that returns a call which trains one epoch, of
``work.steps`` steps, shuffled, in float32, by Adam at its default learning rate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from common import installed

from fastnn.reference_training import ReferenceMLP
from fastnn.works import Work

Epoch = Callable[[], object]


def fastnn(work: Work, n_threads: int) -> Epoch:
    model, (x, y) = work.model(), work.data()
    return lambda: model.fit(x, y, batch_size=work.batch, epochs=1, verbose=0, n_threads=n_threads)


def numpy(work: Work, n_threads: int) -> Epoch:
    mlp, (x, y), rng = ReferenceMLP.from_model(work.model()), work.data(), np.random.default_rng(0)
    return lambda: mlp.train_epoch(x, y, work.batch, rng)


def scikit_learn(work: Work, n_threads: int) -> Epoch:
    from sklearn.neural_network import MLPClassifier

    x, y = work.data()
    mlp = MLPClassifier(work.sizes[1:-1], solver="adam", alpha=0.0, batch_size=work.batch, random_state=0)
    return lambda: mlp.partial_fit(x, y, classes=np.arange(work.sizes[-1]))


def torch(work: Work, n_threads: int) -> Epoch:
    import torch as t

    x, y = (t.from_numpy(a) for a in work.data())
    layers = [t.nn.Linear(a, b) for a, b in zip(work.sizes, work.sizes[1:], strict=False)]
    net = t.nn.Sequential(*(part for layer in layers for part in (layer, t.nn.ReLU())))[:-1]
    optimizer = t.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    loss = t.nn.CrossEntropyLoss()

    def epoch() -> None:
        for rows in t.randperm(len(x)).split(work.batch):
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimizer.step()

    return epoch


CONTESTANTS: dict[str, Callable[[Work, int], Epoch]] = {"fastnn": fastnn, "NumPy": numpy}
if installed("scikit-learn"):
    CONTESTANTS["scikit-learn"] = scikit_learn
if installed("torch"):
    CONTESTANTS["torch"] = torch


def flops(work: Work) -> int:
    """Of the matrix products of a step: forward, kernel gradients, and input gradients but the first."""
    products = [a * b for a, b in zip(work.sizes, work.sizes[1:], strict=False)]
    return 2 * work.batch * (3 * sum(products) - products[0])
