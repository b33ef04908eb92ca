"""JAX and optax: an epoch is one compiled call that shuffles and scans over its steps.

Parameters and the optimizer's state are donated, so that XLA updates them in place. The order of the rows is an argsort
of random bits: `jax.random.permutation` sorts several times over, which would be half of an epoch of small networks.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import optax

from contestants import Call, batches, parameters, repeated
from fastnn.works import Work

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "linear": lambda z: z, "softmax": lambda z: z}
LOSSES = {"sparse_categorical_crossentropy": optax.softmax_cross_entropy_with_integer_labels,
          "mean_squared_error": lambda pred, y: jnp.square(pred - y)}
OPTIMIZERS = {"adam": partial(optax.adam, 1e-3, eps=1e-7), "rmsprop": partial(optax.rmsprop, 1e-3, decay=0.9, eps=1e-7)}


def outputs(work: Work, params: list, x: jax.Array) -> jax.Array:
    """Of the last layer; a softmax there is the loss's."""
    activations = [*[work.activation] * (len(params) - 1), work.last]
    for (kernel, bias), name in zip(params, activations, strict=True):
        x = ACTIVATIONS[name](x @ kernel + bias)
    return x


def weights(work: Work) -> list:
    return [tuple(map(jnp.array, (layer.kernel, layer.bias))) for layer in work.model().layers]


class Training:
    """The state of a training, and a step that makes the next one."""

    def __init__(self, work: Work) -> None:
        self.work, self.optimizer = work, OPTIMIZERS[work.optimizer]()
        params = weights(work)
        self.state = params, self.optimizer.init(params)

    def loss(self, params: list, x: jax.Array, y: jax.Array) -> jax.Array:
        return LOSSES[self.work.loss](outputs(self.work, params, x), y).mean()

    def step(self, state: tuple, x: jax.Array, y: jax.Array) -> tuple:
        params, memory = state
        updates, memory = self.optimizer.update(jax.grad(self.loss)(params, x, y), memory, params)
        return optax.apply_updates(params, updates), memory


def epoch(work: Work, n_threads: int) -> Call:
    training, (x, y) = Training(work), map(jnp.array, work.data())

    @partial(jax.jit, donate_argnums=0)
    def whole(state: tuple, key: jax.Array, x: jax.Array, y: jax.Array) -> tuple:
        if work.steps == 1:
            return training.step(state, x, y), key
        key, now = jax.random.split(key)
        order = jnp.argsort(jax.random.bits(now, len(x)), stable=False).reshape(work.steps, work.batch)
        state, _ = jax.lax.scan(lambda state, rows: (training.step(state, x[rows], y[rows]), None), state, order)
        return state, key

    key = jax.random.key(0)

    def call() -> None:
        nonlocal key
        for _ in range(work.epochs):
            training.state, key = whole(training.state, key, x, y)
        jax.block_until_ready(training.state)

    return call


def train_on_batch(work: Work, n_threads: int) -> Call:
    training, pairs = Training(work), batches(work, jnp.array)
    step = jax.jit(training.step, donate_argnums=0)

    def call() -> None:
        for x, y in pairs:
            training.state = step(training.state, x, y)
        jax.block_until_ready(training.state)

    return call


def forward(work: Work, n_threads: int) -> Call:
    params, x = weights(work), jnp.array(work.data()[0])
    predict = jax.jit(partial(outputs, work))
    return repeated(lambda: predict(params, x).block_until_ready(), work.steps)


def update(work: Work, n_threads: int) -> Call:
    param, grad = map(jnp.array, parameters(work))
    optimizer = OPTIMIZERS[work.optimizer]()
    state = param, optimizer.init(param)

    @partial(jax.jit, donate_argnums=0)
    def step(state: tuple, grad: jax.Array) -> tuple:
        param, memory = state
        updates, memory = optimizer.update(grad, memory)
        return optax.apply_updates(param, updates), memory

    def call() -> None:
        nonlocal state
        for _ in range(work.steps):
            state = step(state, grad)
        jax.block_until_ready(state)

    return call
