"""TerminateOnNaN: a loss that is not finite ends training quietly."""

from __future__ import annotations

from fastnn.callbacks.base import Callback
from fastnn.errors import DivergenceError

__all__ = ["TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """End training when the loss becomes NaN or infinite, instead of raising :class:`fastnn.DivergenceError`.

    `fit` looks at the loss of every batch before it takes the step, with or without this callback. With it, a
    message is printed, the epoch ends there with NaN for all its numbers, validation is skipped, and `fit`
    returns. The weights are the finite ones that the error would have left: those from before the batch, or, if
    an update itself overflowed, those from before the epoch.

    Parameters
    ----------
    raise_error : bool, default False
        True: the error is raised as if the callback were not there; ``on_train_end`` is then not called.

    Raises
    ------
    TypeError
        If `raise_error` is no bool.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    >>> model.compile(fnn.optimizers.SGD(1e3), "mse")
    >>> x = np.arange(8.0)[:, None]
    >>> history = model.fit(x, x, epochs=99, verbose=0, callbacks=[fnn.callbacks.TerminateOnNaN()])
    Epoch 6, batch 1: invalid loss, terminating training
    >>> history.history["loss"][-1], bool(np.isfinite(model.get_weights()[0]).all())
    (nan, True)
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        if not isinstance(raise_error, bool):
            raise TypeError(f"raise_error must be True or False; received {raise_error!r}")
        self.raise_error = raise_error

    def on_divergence(self, error: DivergenceError) -> bool:
        if not self.raise_error:
            print(f"Epoch {error.epoch}, batch {error.batch}: invalid loss, terminating training")
        return not self.raise_error
