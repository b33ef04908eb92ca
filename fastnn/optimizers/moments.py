"""Adam and its family: a mean of the gradient over the root of a mean of its squares."""

from __future__ import annotations

import inspect
from typing import Any, Unpack

from fastnn.constraints import Constraint
from fastnn.inputs import check_count
from fastnn.named import number
from fastnn.optimizers.base import NOT_NEGATIVE, RATE, Optimizer, Options, Rate, flag

__all__ = ["Moments", "Adam", "AdamW", "LazyAdam", "Adamax", "Nadam", "RAdam", "ScheduleFreeAdamW"]


class Moments(Optimizer):
    """What Adam's family shares: two decay rates and an epsilon that keeps the divisor from 0."""

    def __init__(self, learning_rate: Rate, beta_1: float, beta_2: float, epsilon: float,
                 weight_decay: float | None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_1 = number("beta_1", beta_1, RATE)
        self.beta_2 = number("beta_2", beta_2, RATE)
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.hyper = (self.beta_1, self.beta_2, self.epsilon)


class Adam(Moments):
    """Mean gradient over the root of its mean square, both corrected for their start at 0 (Kingma and Ba,
    2015; AMSGrad: Reddi, Kale and Kumar, 2018).

    ``m += (g - m) * (1 - beta_1)``; ``v += (g**2 - v) * (1 - beta_2)``;
    ``p -= alpha * m / (sqrt(v) + epsilon)``, ``alpha = lr * sqrt(1 - beta_2**t) / (1 - beta_1**t)``.
    AMSGrad: the largest ``v`` so far under the root.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0; added to the root.
    amsgrad : bool, default False
    weight_decay : float, optional
        At least 0.
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from fastnn.optimizers import Adam
    >>> optimizer = Adam(beta_1=0.8)
    >>> optimizer.learning_rate = 0.01
    >>> optimizer.learning_rate, optimizer.slots, optimizer.hyper
    (0.01, ('m', 'v'), (0.8, 0.999, 1e-07))
    """

    name = "adam"

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, amsgrad: bool = False, weight_decay: float | None = None,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)
        self.amsgrad = flag("amsgrad", amsgrad)
        self.kind = "amsgrad" if self.amsgrad else "adam"
        self.slots = ("m", "v", "v_hat") if self.amsgrad else ("m", "v")


class LazyAdam(Moments):
    """Adam that leaves rows alone which a batch does not name, as ``torch.optim.SparseAdam`` does.

    The kernel of the first layer, where samples are sparse, and the tables of :class:`~fastnn.layers.Embedding` get
    gradients for few of their rows. `Adam` moves the others too: their mean gradients decay and go on pushing. This
    optimizer changes of such an array only the rows that the batch has an entry for, and their ``m`` and ``v``; ``t``
    counts all steps. A step takes a time that grows with the entries of the batch, not with the number of columns.
    All other parameters take Adam's step, and with dense samples so does the first kernel.

    Rare columns learn faster than with Adam, whose ``v`` has forgotten their last gradient when the next one comes, and
    do not drift in between; where all columns occur in each batch there is no difference. A kernel that another layer
    is tied to takes Adam's steps. Regularizers on the kernels in question are refused, and of the options of
    `Optimizer` there is `clipvalue` alone: the others look at all rows. Weight decay is that of the rows which take a
    step.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0; added to the root.
    weight_decay : float, optional
        At least 0.
    clipvalue : float, optional
        Each element of the gradient is held in [-clipvalue, clipvalue]; above 0.

    Raises
    ------
    TypeError, ValueError
        For an argument that does not exist, of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.Input((4,)), fnn.layers.Dense(2)], seed=0)
    >>> model.compile(fnn.optimizers.LazyAdam(0.1), "mse")
    >>> before = model.layers[0].kernel.copy()
    >>> x = scipy.sparse.csr_array([[0.0, 3.0, 0.0, 0.0]])
    >>> loss = model.train_on_batch(x, [[1.0, 2.0]])
    >>> (model.layers[0].kernel != before).any(axis=1)
    array([False,  True, False, False])
    """

    name = "lazy_adam"
    kind = "adam"
    slots = ("m", "v")
    lazy = True

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None, clipvalue: float | None = None,
                 **unknown: Any) -> None:
        self._refuse(unknown)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, clipvalue=clipvalue)

    @classmethod
    def _arguments_of(cls) -> dict[str, Any]:
        # The keywords that it takes only to refuse them are no options.
        return {name: argument.default for name, argument in inspect.signature(cls).parameters.items()
                if argument.kind is not argument.VAR_KEYWORD}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    ``p -= lr * weight_decay * p``, then Adam's step.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
        At least 0.
    weight_decay : float, default 0.004
        At least 0.
    beta_1 : float, default 0.9
        In [0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        At least 0.
    amsgrad : bool, default False
    **options
        Of `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range.
    """

    name = "adamw"

    def __init__(self, learning_rate: Rate = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9,
                 beta_2: float = 0.999, epsilon: float = 1e-7, amsgrad: bool = False,
                 **options: Unpack[Options]) -> None:
        number("weight_decay", weight_decay, NOT_NEGATIVE)  # None, which other optimizers take, included
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **options)


class Adamax(Moments):
    """Adam with the largest recent gradient in place of the root mean square (Kingma and Ba, 2015).

    ``m += (g - m) * (1 - beta_1)``; ``u = max(beta_2 * u, |g|)``;
    ``p -= lr / (1 - beta_1**t) * m / (u + epsilon)``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
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

    name = kind = "adamax"
    slots = ("m", "u")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)


class Nadam(Moments):
    """Adam with Nesterov's look-ahead (Dozat, 2016).

    With ``u_t = beta_1 * (1 - 0.96**t / 2)`` and ``U_t = u_1 * ... * u_t``, m and v as Adam's:
    ``n = u_{t+1} * m / (1 - U_{t+1}) + (1 - u_t) * g / (1 - U_t)``;
    ``p -= lr * n / (sqrt(v / (1 - beta_2**t)) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
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

    name = kind = "nadam"
    slots = ("m", "v")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)


class RAdam(Moments):
    """Adam that trusts its mean square no earlier than it can (Liu et al., 2020; Keras has none).

    With ``b = 1 - beta_2**t``, ``L = 2 / (1 - beta_2) - 1`` and ``l = L - 2 * t * beta_2**t / b``, m and v as Adam's:
    ``p -= lr / (1 - beta_1**t) * m`` where ``l <= 5``; after that ``p -= lr / (1 - beta_1**t) * r * m / (sqrt(v) +
    epsilon)`` with ``r = sqrt(b * (l - 4) * (l - 2) * L / ((L - 4) * (L - 2) * l))``.

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

    name = kind = "radam"
    slots = ("m", "v")

    def __init__(self, learning_rate: Rate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **options)


class ScheduleFreeAdamW(Optimizer):
    """Adam's step without a schedule: what is predicted with is an average of all steps (Defazio et al., 2024).

    Gradients are taken at ``y = (1 - beta_1) * z + beta_1 * x``. With v as Adam's:
    ``z -= lr * min(1, t / warmup_steps) * g / (sqrt(v / (1 - beta_2**t)) + epsilon)``; ``x += (z - x) / t``.
    `weight_decay` acts on ``y``, and ``1 / beta_1`` of it on ``x``, as in Keras.

    The model's weights are ``x`` whenever Python sees them: after `fit`, in callbacks, in `predict` and in files.
    (Keras 3.15 leaves ``y`` there, from which ``x`` would have to be computed.) During an epoch they are ``y``. Weights
    that are set between two calls move ``x`` and leave ``z``: compile again to start afresh from them. Constraints and
    `ema_overwrite_frequency` are refused: they change ``y`` after a step, which is computed anew from ``x`` and ``z``.

    Parameters
    ----------
    learning_rate : float, default 0.0025
        At least 0.
    beta_1 : float, default 0.9
        In (0, 1).
    beta_2 : float, default 0.999
        In [0, 1).
    epsilon : float, default 1e-8
        At least 0.
    warmup_steps : int, default 0
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

    name = "schedule_free_adamw"
    kind = "schedule_free"
    slots = ("momentum", "velocity", "x")

    def __init__(self, learning_rate: Rate = 0.0025, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-8, warmup_steps: int = 0, weight_decay: float | None = None,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        if self.ema_overwrite_frequency is not None:
            raise ValueError("ScheduleFreeAdamW takes no ema_overwrite_frequency: its weights are an average of steps "
                             "already, which undoes what is written over them; received "
                             f"{self.ema_overwrite_frequency}. Leave it out, or use AdamW")
        self.beta_1 = number("beta_1", beta_1, "(0, 1)")
        self.beta_2 = number("beta_2", beta_2, RATE)
        self.epsilon = number("epsilon", epsilon, NOT_NEGATIVE)
        self.warmup_steps = check_count("warmup_steps", warmup_steps, 0)
        self.hyper = (self.beta_1, self.beta_2, self.epsilon, float(self.warmup_steps))

    @property
    def slot_init(self) -> tuple[float | None, ...]:
        return (None, 0.0, None)

    def _check_parameter(self, path: str, constraint: Constraint | None) -> None:
        if constraint is not None:
            raise ValueError("ScheduleFreeAdamW cannot keep constraints: the weights that are seen are an average of "
                             f"steps, not what a step leaves; {path} has {constraint!r}. Use Adam or AdamW")
