"""LambdaCallback: a callback made of functions."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from fastnn.callbacks.base import FOR_BATCHES, Callback

__all__ = ["LambdaCallback"]

Function = Callable[..., Any]
NAMES = [name for name in vars(Callback) if name.startswith("on_")]


class LambdaCallback(Callback):
    """A callback made of functions, each of which stands for the method of that name.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with ``(epoch, logs)``.
    on_train_begin, on_train_end : callable, optional
        Called with ``(logs)``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called with ``(batch, logs)``.
    **functions
        Other methods of `Callback`, such as `on_test_end`.

    Raises
    ------
    TypeError
        For a name that `Callback` has not, and for what cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(1)], seed=0)
    >>> model.compile(fnn.optimizers.SGD(0.0), "mae")
    >>> tell = fnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))
    >>> history = model.fit(np.zeros((4, 2)), np.ones(4), verbose=0, callbacks=[tell])
    0 {'loss': 1.0}
    """

    def __init__(self, on_epoch_begin: Function | None = None, on_epoch_end: Function | None = None,
                 on_train_begin: Function | None = None, on_train_end: Function | None = None,
                 on_train_batch_begin: Function | None = None, on_train_batch_end: Function | None = None,
                 **functions: Function | None) -> None:
        super().__init__()
        functions = {"on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end,
                     "on_train_begin": on_train_begin, "on_train_end": on_train_end,
                     "on_train_batch_begin": on_train_batch_begin, "on_train_batch_end": on_train_batch_end,
                     **functions}
        for name, function in functions.items():
            if name not in NAMES:
                close = difflib.get_close_matches(name, NAMES, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise TypeError(f"Callback has no method {name!r}.{hint} Allowed: {', '.join(NAMES)}")
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function; received {function!r}")
            if function is not None:
                setattr(self, name, function)

    def asks(self, method: str) -> bool:
        return super().asks(method) or any(name in vars(self) for name in (method, FOR_BATCHES[method]))
