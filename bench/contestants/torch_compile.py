"""torch with its compiler: a whole step is one graph, from the gradients to the optimizer.

The optimizer is written out in it: compiled around the network alone, or around `torch.optim` as well, torch is slower.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call, grad

from contestants import Call, parameters, repeated
from contestants import torch as eager
from fastnn.works import Work

compiled = partial(torch.compile, dynamic=False)


def adam(n: Tensor, param: Tensor, g: Tensor, m: Tensor, v: Tensor) -> None:
    m.lerp_(g, 1 - 0.9)
    v.lerp_(g * g, 1 - 0.999)
    param.sub_(1e-3 * (1 - 0.999**n).sqrt() / (1 - 0.9**n) * m / (v.sqrt() + 1e-7))


def rmsprop(n: Tensor, param: Tensor, g: Tensor, v: Tensor) -> None:
    v.lerp_(g * g, 1 - 0.9)
    param.sub_(1e-3 * g / (v.sqrt() + 1e-7))


OPTIMIZERS = {"adam": (adam, 2), "rmsprop": (rmsprop, 1)}  # and their number of slots


def training_step(work: Work) -> eager.Step:
    net, criterion = eager.network(work), eager.LOSSES[work.loss]()
    params = {name: param.detach() for name, param in net.named_parameters()}
    rule, n_slots = OPTIMIZERS[work.optimizer]
    slots = {name: [torch.zeros_like(param) for _ in range(n_slots)] for name, param in params.items()}
    n = torch.zeros(())

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return criterion(functional_call(net, params, (x,)), y)

    @compiled
    def step(x: Tensor, y: Tensor) -> None:
        n.add_(1)
        for name, g in grad(loss)(params, x, y).items():
            rule(n, params[name], g, *slots[name])

    return step


epoch = partial(eager.epoch, training_step=training_step)
train_on_batch = partial(eager.train_on_batch, training_step=training_step)
forward = partial(eager.forward, network=lambda work: compiled(eager.network(work)))


def update(work: Work, n_threads: int) -> Call:
    param, g = map(torch.from_numpy, parameters(work))
    rule, n_slots = OPTIMIZERS[work.optimizer]
    slots, n = [torch.zeros_like(param) for _ in range(n_slots)], torch.zeros(())

    @compiled
    def step() -> None:
        n.add_(1)
        rule(n, param, g, *slots)

    return repeated(step, work.steps)
