"""torch in eager mode, its optimizers fused or else in their form for many tensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from contestants import Call, batches, parameters, repeated
from fastnn.works import Work

LAYERS = {"relu": nn.ReLU, "tanh": nn.Tanh, "linear": nn.Identity, "softmax": nn.Identity}
LOSSES = {"sparse_categorical_crossentropy": nn.CrossEntropyLoss, "mean_squared_error": nn.MSELoss}
OPTIMIZERS = {"adam": partial(torch.optim.Adam, lr=1e-3, eps=1e-7, fused=True),
              "rmsprop": partial(torch.optim.RMSprop, lr=1e-3, alpha=0.9, eps=1e-7, foreach=True)}
Step = Callable[[torch.Tensor, torch.Tensor], None]


def network(work: Work) -> nn.Sequential:
    """The softmax at its end is the loss's."""
    activations = [*[work.activation] * (len(work.sizes) - 2), work.last]
    pairs = zip(itertools.pairwise(work.sizes), activations, strict=True)
    return nn.Sequential(*(part for sizes, name in pairs for part in (nn.Linear(*sizes), LAYERS[name]())))


def training_step(work: Work) -> Step:
    net, criterion = network(work), LOSSES[work.loss]()
    optimizer = OPTIMIZERS[work.optimizer](net.parameters())

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        criterion(net(x), y).backward()
        optimizer.step()

    return step


def epoch(work: Work, n_threads: int, training_step: Callable[[Work], Step] = training_step) -> Call:
    step, (x, y) = training_step(work), map(torch.from_numpy, work.data())

    def call() -> None:
        for rows in torch.randperm(len(x)).split(work.batch):
            step(x[rows], y[rows])

    return repeated(call if work.steps > 1 else lambda: step(x, y), work.epochs)


def train_on_batch(work: Work, n_threads: int, training_step: Callable[[Work], Step] = training_step) -> Call:
    step, pairs = training_step(work), batches(work, torch.from_numpy)

    def call() -> None:
        for x, y in pairs:
            step(x, y)

    return call


def forward(work: Work, n_threads: int, network: Callable[[Work], Callable] = network) -> Call:
    net, x = network(work), torch.from_numpy(work.data()[0])
    return repeated(torch.inference_mode()(lambda: net(x)), work.steps)


def update(work: Work, n_threads: int) -> Call:
    param, grad = map(torch.from_numpy, parameters(work))
    param.grad = grad
    return repeated(OPTIMIZERS[work.optimizer]([param]).step, work.steps)
