"""Steps of the optimizers, in place."""

from __future__ import annotations

import math

import numpy as np

from fastnn.reference.common import Array

__all__ = [
    "adadelta_step", "adagrad_step", "adam_step", "adamax_step", "adamw_step", "ftrl_step", "lion_step",
    "momentum_step", "nadam_step", "radam_step", "rmsprop_step", "schedule_free_adamw_step", "sgd_step",
]


def _decay(param: Array, learning_rate: float, weight_decay: float | None) -> None:
    if weight_decay:
        param -= param * (learning_rate * weight_decay)


def sgd_step(param: Array, grad: Array, *, learning_rate: float = 0.01, weight_decay: float | None = None,
             n_threads: int | None = None) -> None:
    """``param -= learning_rate * grad``.

    >>> p = np.ones(2)
    >>> sgd_step(p, np.array([1.0, -1.0]), learning_rate=0.5)
    >>> p
    array([0.5, 1.5])
    """
    _decay(param, learning_rate, weight_decay)
    param -= learning_rate * grad


def momentum_step(param: Array, grad: Array, velocity: Array, *, learning_rate: float = 0.01,
                  momentum: float = 0.9, nesterov: bool = False, weight_decay: float | None = None,
                  n_threads: int | None = None) -> None:
    """``velocity = momentum * velocity - learning_rate * grad``; the step is the velocity, or
    ``momentum * velocity - learning_rate * grad`` of the new velocity for Nesterov.

    >>> p, v = np.ones(1), np.zeros(1)
    >>> momentum_step(p, np.ones(1), v, learning_rate=0.5)
    >>> p, v
    (array([0.5]), array([-0.5]))
    """
    _decay(param, learning_rate, weight_decay)
    scaled = learning_rate * grad
    velocity *= momentum
    velocity -= scaled
    param += momentum * velocity - scaled if nesterov else velocity


def rmsprop_step(param: Array, grad: Array, velocity: Array, momentum_buffer: Array | None = None,
                 average: Array | None = None, *, learning_rate: float = 0.001, rho: float = 0.9,
                 momentum: float = 0.0, epsilon: float = 1e-7, weight_decay: float | None = None,
                 n_threads: int | None = None) -> None:
    """``velocity`` averages ``grad ** 2``; the step is ``grad / sqrt(velocity - average ** 2 + epsilon)``,
    the difference held at zero where it rounds below.

    >>> p, v = np.ones(1), np.zeros(1)
    >>> rmsprop_step(p, np.ones(1), v, learning_rate=0.1)
    >>> p.round(4), v.round(4)
    (array([0.6838]), array([0.1]))
    """
    _decay(param, learning_rate, weight_decay)
    velocity *= rho
    velocity += (1 - rho) * grad * grad
    variance: Array = velocity
    if average is not None:
        average *= rho
        average += (1 - rho) * grad
        variance = np.maximum(velocity - average * average, 0)
    step = learning_rate * grad / np.sqrt(variance + epsilon)
    if momentum_buffer is not None:
        momentum_buffer *= momentum
        momentum_buffer += step
        step = momentum_buffer
    param -= step


def adagrad_step(param: Array, grad: Array, accumulator: Array, *, learning_rate: float = 0.001,
                 epsilon: float = 1e-7, weight_decay: float | None = None,
                 n_threads: int | None = None) -> None:
    """``accumulator += grad ** 2``; the step is ``grad / sqrt(accumulator + epsilon)``.

    >>> p, a = np.ones(1), np.zeros(1)
    >>> adagrad_step(p, np.ones(1), a, learning_rate=0.5, epsilon=0.0)
    >>> p, a
    (array([0.5]), array([1.]))
    """
    _decay(param, learning_rate, weight_decay)
    accumulator += grad * grad
    param -= learning_rate * grad / np.sqrt(accumulator + epsilon)


def adadelta_step(param: Array, grad: Array, accumulated_grad: Array, accumulated_delta: Array, *,
                  learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
                  weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """The step is ``sqrt(accumulated_delta + epsilon) / sqrt(accumulated_grad + epsilon) * grad``, the two
    being averages of the squared steps and the squared gradients.

    >>> p, g2, d2 = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adadelta_step(p, np.ones(1), g2, d2, learning_rate=1.0)
    >>> p.round(6), g2.round(6), d2.round(9)
    (array([0.998586]), array([0.05]), array([1.e-07]))
    """
    _decay(param, learning_rate, weight_decay)
    accumulated_grad *= rho
    accumulated_grad += (1 - rho) * grad * grad
    step = np.sqrt(accumulated_delta + epsilon) * grad / np.sqrt(accumulated_grad + epsilon)
    accumulated_delta *= rho
    accumulated_delta += (1 - rho) * step * step
    param -= learning_rate * step


def adam_step(param: Array, grad: Array, m: Array, v: Array, step: int, *, learning_rate: float = 0.001,
              beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, v_hat: Array | None = None,
              weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """``param -= alpha * m / (sqrt(v) + epsilon)`` with
    ``alpha = learning_rate * sqrt(1 - beta_2 ** step) / (1 - beta_1 ** step)``; AMSGrad's maximum in `v_hat`.

    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adam_step(p, np.ones(1), m, v, 1)
    >>> p.round(6), m.round(6), v.round(6)
    (array([0.999]), array([0.1]), array([0.001]))
    """
    _decay(param, learning_rate, weight_decay)
    m += (grad - m) * (1 - beta_1)
    v += (grad * grad - v) * (1 - beta_2)
    if v_hat is not None:
        v = np.maximum(v_hat, v, out=v_hat)
    alpha = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    param -= alpha * m / (np.sqrt(v) + epsilon)


def adamw_step(param: Array, grad: Array, m: Array, v: Array, step: int, *, learning_rate: float = 0.001,
               beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, v_hat: Array | None = None,
               weight_decay: float = 0.004, n_threads: int | None = None) -> None:
    """Adam after ``param -= learning_rate * weight_decay * param``.

    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adamw_step(p, np.zeros(1), m, v, 1, learning_rate=0.5, weight_decay=0.5)
    >>> p
    array([0.75])
    """
    adam_step(param, grad, m, v, step, learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2,
              epsilon=epsilon, v_hat=v_hat, weight_decay=weight_decay)


def adamax_step(param: Array, grad: Array, m: Array, u: Array, step: int, *, learning_rate: float = 0.001,
                beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """``u = max(beta_2 * u, |grad|)``; the step is ``m / ((1 - beta_1 ** step) * (u + epsilon))``.

    >>> p, m, u = np.ones(1), np.zeros(1), np.zeros(1)
    >>> adamax_step(p, np.ones(1), m, u, 1)
    >>> p.round(6), m.round(6), u
    (array([0.999]), array([0.1]), array([1.]))
    """
    _decay(param, learning_rate, weight_decay)
    m += (grad - m) * (1 - beta_1)
    np.maximum(beta_2 * u, np.abs(grad), out=u)
    param -= learning_rate / (1 - beta_1**step) * m / (u + epsilon)


def nadam_step(param: Array, grad: Array, m: Array, v: Array, step: int, u_product: float = 1.0, *,
               learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
               epsilon: float = 1e-7, weight_decay: float | None = None,
               n_threads: int | None = None) -> float:
    """Adam with Nesterov's look-ahead: ``u_t = beta_1 * (1 - 0.5 * 0.96 ** t)`` weights the averages.
    Returns the product of the ``u_t`` so far, for the next step.

    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> round(nadam_step(p, np.ones(1), m, v, 1), 6), p.round(6)
    (0.468, array([0.998937]))
    """
    _decay(param, learning_rate, weight_decay)
    u = beta_1 * (1 - 0.5 * 0.96**step)
    u_next = beta_1 * (1 - 0.5 * 0.96 ** (step + 1))
    u_product *= u
    m += (grad - m) * (1 - beta_1)
    v += (grad * grad - v) * (1 - beta_2)
    m_hat = u_next / (1 - u_product * u_next) * m + (1 - u) / (1 - u_product) * grad
    param -= learning_rate * m_hat / (np.sqrt(v / (1 - beta_2**step)) + epsilon)
    return u_product


def lion_step(param: Array, grad: Array, m: Array, *, learning_rate: float = 0.001, beta_1: float = 0.9,
              beta_2: float = 0.99, weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """``param -= learning_rate * sign(beta_1 * m + (1 - beta_1) * grad)``, then `m` averages the gradient
    with `beta_2`.

    >>> p, m = np.ones(2), np.zeros(2)
    >>> lion_step(p, np.array([3.0, -0.1]), m, learning_rate=0.5)
    >>> p
    array([0.5, 1.5])
    """
    _decay(param, learning_rate, weight_decay)
    param -= learning_rate * np.sign(beta_1 * m + (1 - beta_1) * grad)
    m *= beta_2
    m += (1 - beta_2) * grad


def radam_step(param: Array, grad: Array, m: Array, v: Array, step: int, *, learning_rate: float = 0.001,
               beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
               weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """Adam's step times the rectification of its variance, once `v` averages the worth of more than 5 steps;
    ``learning_rate * m / (1 - beta_1 ** step)`` before that.

    >>> p, m, v = np.ones(1), np.zeros(1), np.zeros(1)
    >>> radam_step(p, np.ones(1), m, v, 1, learning_rate=0.25)
    >>> p.round(6)
    array([0.75])
    """
    _decay(param, learning_rate, weight_decay)
    m += (grad - m) * (1 - beta_1)
    v += (grad * grad - v) * (1 - beta_2)
    correction, longest = 1 - beta_2**step, 2 / (1 - beta_2) - 1
    length = longest - 2 * step * beta_2**step / correction
    rate = learning_rate / (1 - beta_1**step)
    if length > 5:
        rate *= math.sqrt(correction * (length - 4) * (length - 2) * longest
                          / ((longest - 4) * (longest - 2) * length))
        param -= rate * m / (np.sqrt(v) + epsilon)
    else:
        param -= rate * m


def ftrl_step(param: Array, grad: Array, accumulator: Array, linear: Array, *, learning_rate: float = 0.001,
              learning_rate_power: float = -0.5, l1_regularization_strength: float = 0.0,
              l2_regularization_strength: float = 0.0, l2_shrinkage_regularization_strength: float = 0.0,
              beta: float = 0.0, weight_decay: float | None = None, n_threads: int | None = None) -> None:
    """The parameter is where ``linear * p + l1 * |p| + curve * p ** 2 / 2`` is least; `linear` sums the gradients,
    each less what the growth of the curve takes back of the parameter. A learning rate of 0 changes nothing.

    >>> p, a, z = np.zeros(1), np.full(1, 0.25), np.zeros(1)
    >>> ftrl_step(p, np.ones(1), a, z, learning_rate=0.5, learning_rate_power=-1.0)
    >>> p, a, z
    (array([-0.4]), array([1.25]), array([1.]))
    """
    if learning_rate == 0:
        return
    _decay(param, learning_rate, weight_decay)
    before = accumulator**-learning_rate_power
    accumulator += grad * grad
    after = accumulator**-learning_rate_power
    linear += grad + 2 * l2_shrinkage_regularization_strength * param - (after - before) / learning_rate * param
    curve = (after + beta) / learning_rate + 2 * l2_regularization_strength
    inside = np.clip(linear, -l1_regularization_strength, l1_regularization_strength)
    np.divide(inside - linear, curve, out=param, where=curve != 0)


def schedule_free_adamw_step(param: Array, grad: Array, z: Array, v: Array, x: Array, step: int, *,
                             learning_rate: float = 0.0025, beta_1: float = 0.9, beta_2: float = 0.999,
                             epsilon: float = 1e-8, warmup_steps: int = 0, weight_decay: float | None = None,
                             n_threads: int | None = None) -> None:
    """`z` takes steps of the gradient over the root of `v`, `x` averages `z` over all steps, and
    ``param = (1 - beta_1) * z + beta_1 * x`` is where the gradient is taken.

    >>> p, z, v, x = np.ones(1), np.ones(1), np.zeros(1), np.ones(1)
    >>> schedule_free_adamw_step(p, np.ones(1), z, v, x, 1, learning_rate=0.5)
    >>> p, z, x
    (array([0.5]), array([0.5]), array([0.5]))
    """
    _decay(param, learning_rate, weight_decay)
    x += (param - (z + beta_1 * (x - z))) / beta_1
    v += (grad * grad - v) * (1 - beta_2)
    rate = learning_rate * min(1.0, step / warmup_steps) if warmup_steps else learning_rate
    z -= rate * grad / (np.sqrt(v / (1 - beta_2**step)) + epsilon)
    x += (z - x) / step
    param[...] = z + beta_1 * (x - z)
