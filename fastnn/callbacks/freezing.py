"""Freezer and Unfreezer: layers that stop or start to learn at some epoch."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import ClassVar

from fastnn.callbacks.base import Callback, Logs, flag
from fastnn.inputs import check_count

__all__ = ["Freezer", "Unfreezer"]

Layers = str | int | Sequence[str | int]


class Freezer(Callback):
    """Set ``trainable = False`` of some layers before an epoch.

    The engine takes what follows from it into account from that epoch on: frozen layers cost no gradient. What
    the optimizer keeps for their weights stays, and is used again if they are unfrozen.

    Parameters
    ----------
    layers : str, int, or a list of them
        Names of layers, paths of those inside containers, or indices in ``model.layers``, from the end too.
    epoch : int, default 0
        The epoch, counted from 0, before which it happens, once.

    Raises
    ------
    TypeError, ValueError
        For an argument of another type or out of its range, and, as training begins, for a layer that the model
        has not.

    Examples
    --------
    A new head is trained for two epochs, then the whole network.

    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(3, name="body"), fnn.layers.Dense(1, name="head")], seed=0)
    >>> model.compile("adam", "mse")
    >>> stages = [fnn.callbacks.Freezer("body"), fnn.callbacks.Unfreezer("body", epoch=2)]
    >>> history = model.fit(np.ones((4, 2)), np.ones(4), epochs=4, verbose=0, callbacks=stages)
    >>> model.layers[0].trainable
    True
    """

    trainable: ClassVar[bool] = False
    remembers: ClassVar = {"done": flag}

    def __init__(self, layers: Layers, epoch: int = 0) -> None:
        super().__init__()
        self.layers: list[str | int] = [layers] if isinstance(layers, (str, int)) else list(layers)
        if not self.layers or not all(isinstance(key, (str, int)) and not isinstance(key, bool)
                                      for key in self.layers):
            raise TypeError(f"layers must be names or indices of layers; received {layers!r}")
        self.epoch = check_count("epoch", epoch, low=0)
        self.done = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.done = False
        for key in self.layers:
            self._layer(key)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if epoch >= self.epoch and not self.done:
            self.done = True
            for key in self.layers:
                self._layer(key).trainable = self.trainable

    def _layer(self, key: str | int):  # type: ignore[no-untyped-def]
        layers = self.model.layers
        if isinstance(key, int):
            if not -len(layers) <= key < len(layers):
                raise ValueError(f"the model has {len(layers)} layers; received index {key}")
            return layers[key]
        paths = {layer.path: layer for layer in self.model._family}
        if key not in paths:
            close = difflib.get_close_matches(key, paths, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"the model has no layer {key!r}.{hint} Its layers: {', '.join(paths)}")
        return paths[key]


class Unfreezer(Freezer):
    """Set ``trainable = True`` of some layers before an epoch; the counterpart of `Freezer`.

    Parameters
    ----------
    layers : str, int, or a list of them
        Names of layers, paths of those inside containers, or indices in ``model.layers``, from the end too.
    epoch : int, default 0
        The epoch, counted from 0, before which it happens, once.

    Raises
    ------
    TypeError, ValueError
        As `Freezer`.
    """

    trainable = True
