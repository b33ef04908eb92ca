"""L-BFGS: full batches, a line search, and the curvature of the last steps; scipy's."""

from __future__ import annotations

import inspect
from typing import Any

from fastnn.inputs import check_count
from fastnn.named import number
from fastnn.optimizers.base import NOT_NEGATIVE, Optimizer

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Limited-memory BFGS over all trainable parameters, with all samples in each step (Liu and Nocedal, 1989; Byrd,
    Lu, Nocedal and Zhu, 1995: ``scipy.optimize.minimize(method="L-BFGS-B")``).

    For small data and small networks, which it takes to a minimum in tens of steps, without a learning rate.
    An epoch of `fit` is `max_iter` iterations, each with one or a few computations of loss and gradient; callbacks for
    batches are called after each iteration. Penalties count; ``batch_size`` and ``shuffle`` mean nothing. Training ends
    where it converges. Whatever ends it, Ctrl-C too, the model has the best weights that were seen.

    Its memory belongs to one call of `fit`: a second call begins anew from the weights, and so does a model that is
    loaded. Layers that act at random or on statistics of a batch while they train, constraints, streams and
    `train_on_batch` are refused. It has none of the options of `Optimizer`, such as clipping.

    Parameters
    ----------
    max_iter : int, default 20
        Iterations of an epoch; at least 1.
    tol : float, default 1e-5
        Converged where no element of the gradient is larger; at least 0.
    ftol : float, default 2.2e-9
        Converged where an iteration lowers the loss by less than this part of it; at least 0.
    history_size : int, default 10
        Steps that are remembered; at least 1.
    max_line_search : int, default 20
        Computations of the loss in a line search; at least 1.

    Raises
    ------
    TypeError, ValueError
        For an argument that does not exist, of another type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> x = np.linspace(-2, 2, 50)[:, None]
    >>> model = fnn.Sequential([fnn.layers.Dense(8, activation="tanh"), fnn.layers.Dense(1)], seed=0, dtype="float64")
    >>> model.compile(fnn.optimizers.LBFGS(max_iter=50), "mse")
    >>> history = model.fit(x, np.sin(2 * x), epochs=10, verbose=0)
    >>> history.history["loss"][-1] < 1e-3
    True
    """

    name = kind = "lbfgs"

    def __init__(self, max_iter: int = 20, tol: float = 1e-5, ftol: float = 2.2e-9, history_size: int = 10,
                 max_line_search: int = 20, **unknown: Any) -> None:
        self._refuse(unknown)
        super().__init__(1.0)
        self.max_iter = check_count("max_iter", max_iter)
        self.tol = number("tol", tol, NOT_NEGATIVE)
        self.ftol = number("ftol", ftol, NOT_NEGATIVE)
        self.history_size = check_count("history_size", history_size)
        self.max_line_search = check_count("max_line_search", max_line_search)

    @classmethod
    def _arguments_of(cls) -> dict[str, Any]:
        # The keywords that it takes only to refuse them are no options.
        return {name: argument.default for name, argument in inspect.signature(cls).parameters.items()
                if argument.kind is not argument.VAR_KEYWORD}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("learning_rate", "weight_decay") and hasattr(self, "max_iter"):
            raise TypeError(f"LBFGS has no {name}: its line search finds the length of each step, and penalties "
                            "are those of the layers")
        super().__setattr__(name, value)
