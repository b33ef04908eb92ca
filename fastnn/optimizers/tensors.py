"""Optimizers that look at a whole parameter array at once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Unpack

from fastnn.inputs import check_count
from fastnn.named import number
from fastnn.optimizers.base import NOT_NEGATIVE, RATE, Optimizer, Options, Rate, Rule, flag, patterns_of
from fastnn.optimizers.moments import Moments

__all__ = ["Lamb", "Adafactor", "Muon"]


class Lamb(Moments):
    """Adam's direction, each parameter array in steps in proportion to its norm (You et al., 2020).

    m and v as Adam's; ``u = m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)``;
    ``p -= lr * norm(p) / norm(u) * u``, the ratio 1 where a norm is 0.

    Parameters
    ----------
    learning_rate : float, default 0.001
        At least 0.
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    weight_decay : float, optional
        At least 0.
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "lamb"
    slots = ("momentum", "velocity")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)


class Adafactor(Optimizer):
    """A mean square of each row and each column of a matrix in place of all elements' (Shazeer and Stern, 2018).

    With ``b = 1 - t**beta_2_decay`` and ``s = g**2 + epsilon_1``: ``r = b * r + (1 - b) * mean(s)`` over each row,
    ``c`` likewise over each column, ``v = r / mean(r) * c``; ``v = b * v + (1 - b) * s`` for what is no matrix.
    ``u = g / sqrt(v)``; ``p -= a * u / max(1, rms(u) / clip_threshold)`` with
    ``a = max(epsilon_2, rms(p)) * min(lr, 1 / sqrt(t))``. Of more than two dimensions the last two are the matrix.

    Parameters
    ----------
    learning_rate : float, default 0.001
        At least 0.
    beta_2_decay : float, default -0.8
        At most 0.
    epsilon_1 : float, default 1e-30
        At least 0.
    epsilon_2 : float, default 1e-3
        At least 0.
    clip_threshold : float, default 1.0
        Above 0.
    relative_step : bool, default True
        Accepted as in Keras, where it changes nothing either: the rate never exceeds ``1 / sqrt(t)``.
    weight_decay : float, optional
        At least 0.
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "adafactor"
    # A matrix keeps its rows' averages in the first and its columns' in the second, anything else v in the first.
    slots = ("r", "c")

    def __init__(self, learning_rate: Rate = 0.001, beta_2_decay: float = -0.8, epsilon_1: float = 1e-30,
                 epsilon_2: float = 1e-3, clip_threshold: float = 1.0, relative_step: bool = True,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_2_decay = number("beta_2_decay", beta_2_decay, "(-inf, 0]")
        self.epsilon_1 = number("epsilon_1", epsilon_1, NOT_NEGATIVE)
        self.epsilon_2 = number("epsilon_2", epsilon_2, NOT_NEGATIVE)
        self.clip_threshold = number("clip_threshold", clip_threshold, "(0, inf)")
        self.relative_step = flag("relative_step", relative_step)
        self.hyper = (self.beta_2_decay, self.epsilon_1, self.epsilon_2, self.clip_threshold)

    def _used_size(self, block: str, shape: tuple[int, ...]) -> int:
        if block not in self.slots:
            return super()._used_size(block, shape)
        if len(shape) < 2:
            return math.prod(shape) if block == "r" else 0
        return math.prod(shape[:-1]) if block == "r" else math.prod(shape[:-2]) * shape[-1]


class Muon(Optimizer):
    """Steps along the orthogonal matrix nearest to the averaged gradient (Jordan et al., 2024; Liu et al., 2025).

    For matrices ``m = momentum * m + g``, ``u = g + momentum * m`` (``u = m`` without Nesterov), and `ns_steps` times
    ``u = a * u + (b * A + c * A @ A) @ u`` with ``A = u @ u.T``, from ``u / (norm(u) + 1e-7)`` on;
    ``p -= lr * rms_rate * sqrt(max(rows, columns)) * u``. Everything else takes Adam's steps.

    Parameters
    ----------
    learning_rate : float, default 0.001
        At least 0.
    adam_beta_1 : float, default 0.9
        In [0, 1).
    adam_beta_2 : float, default 0.999
        In [0, 1).
    adam_weight_decay : float, optional, default 0.004
        At least 0; of the parameters under Adam.
    epsilon : float, default 1e-7
        At least 0; of Adam.
    weight_decay : float, optional, default 0.004
        At least 0; of the matrices.
    exclude_layers : list of str, optional
        Regular expressions: where one is found in ``"layer/parameter"``, Adam is used. The last layer belongs here.
    exclude_embeddings : bool, default True
        Whether Adam is used where the path has "embedding" in it.
    muon_a, muon_b, muon_c : float, default 3.4445, -4.7750, 2.0315
    adam_lr_ratio : float, default 1
        Adam's learning rate over that of the matrices; at least 0.
    momentum : float, default 0.95
        In [0, 1].
    ns_steps : int, default 5
        At least 1.
    nesterov : bool, default True
    rms_rate : float, optional, default 0.2
        Above 0; None: the step is ``lr * u``.
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = kind = "muon"
    slots = ("momentum", "velocity")

    def __init__(self, learning_rate: Rate = 0.001, adam_beta_1: float = 0.9, adam_beta_2: float = 0.999,
                 adam_weight_decay: float | None = 0.004, epsilon: float = 1e-7, weight_decay: float | None = 0.004,
                 exclude_layers: Sequence[str] | None = None, exclude_embeddings: bool = True, muon_a: float = 3.4445,
                 muon_b: float = -4.7750, muon_c: float = 2.0315, adam_lr_ratio: float = 1.0, momentum: float = 0.95,
                 ns_steps: int = 5, nesterov: bool = True, rms_rate: float | None = 0.2,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.adam_beta_1 = number("adam_beta_1", adam_beta_1, RATE)
        self.adam_beta_2 = number("adam_beta_2", adam_beta_2, RATE)
        self.adam_weight_decay = (None if adam_weight_decay is None
                                  else number("adam_weight_decay", adam_weight_decay, NOT_NEGATIVE))
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.exclude_layers = patterns_of("exclude_layers", exclude_layers)
        self.exclude_embeddings = flag("exclude_embeddings", exclude_embeddings)
        self.muon_a = number("muon_a", muon_a, "(-inf, inf)")
        self.muon_b = number("muon_b", muon_b, "(-inf, inf)")
        self.muon_c = number("muon_c", muon_c, "(-inf, inf)")
        self.adam_lr_ratio = number("adam_lr_ratio", adam_lr_ratio, NOT_NEGATIVE)
        self.momentum = number("momentum", momentum, "[0, 1]")
        self.ns_steps = check_count("ns_steps", ns_steps)
        self.nesterov = flag("nesterov", nesterov)
        self.rms_rate = None if rms_rate is None else number("rms_rate", rms_rate, "(0, inf)")
        self.hyper = (self.momentum, float(self.nesterov), float(self.ns_steps), self.muon_a, self.muon_b,
                      self.muon_c, self.rms_rate or 0.0)

    def _rules(self) -> list[Rule]:
        adam = self.adam_beta_1, self.adam_beta_2, self.epsilon
        decay = float(self.adam_weight_decay or 0.0)
        return [*super()._rules(), ("adam", adam, decay, self.adam_lr_ratio), ("adam", adam, 0.0, self.adam_lr_ratio)]

    def _rule_of(self, path: str, name: str, shape: tuple[int, ...]) -> int:
        full = f"{path}/{name}"
        with_adam = (len(shape) != 2 or (self.exclude_embeddings and "embedding" in full.lower())
                     or any(re.search(pattern, full) for pattern in self.exclude_layers))
        return super()._rule_of(path, name, shape) + 2 * with_adam
