"""SwapEMAWeights: look at the average of the weights instead of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.callbacks.base import Callback, Logs

__all__ = ["SwapEMAWeights"]


class SwapEMAWeights(Callback):
    """Evaluate, predict and save with the moving average of the weights (Polyak and Juditsky, 1992).

    The optimizer keeps the average with ``use_ema=True``. This callback puts it in the model's place while the
    model is validated, or evaluated or predicts with this callback, and the weights back afterwards. At the end of
    `fit` the average stays in the model, with or without this callback.

    Parameters
    ----------
    swap_on_epoch : bool, default False
        Whether to swap at the end of every epoch too, until the next begins, so that callbacks that stand behind
        this one see the average: `ModelCheckpoint` saves it after every epoch, say. `EarlyStopping` and
        ``ModelCheckpoint(save_best_only=True)`` that watch a number of validation keep the average that it is of
        without this too.

    Raises
    ------
    TypeError
        If `swap_on_epoch` is no bool.
    ValueError
        As it is used: if the optimizer keeps no average.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(fnn.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5), "mse")
    >>> swap = fnn.callbacks.SwapEMAWeights()
    >>> x, y = np.ones((1, 1)), np.ones(1)
    >>> history = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0, callbacks=[swap])
    >>> history.history["val_loss"][-1] == model.evaluate(x, y)
    True
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        if not isinstance(swap_on_epoch, bool):
            raise TypeError(f"swap_on_epoch must be True or False; received {swap_on_epoch!r}")
        self.swap_on_epoch = swap_on_epoch

    def get_state(self) -> dict[str, Any]:
        """Where in the parameters the averages are now."""
        return {"swapped": [[part.start, part.stop] for part in self.model._swapped] if self.model else []}

    def set_state(self, state: Mapping[str, Any]) -> None:
        swapped, size = state.get("swapped"), self.model._flat.size
        if state.keys() != {"swapped"} or not isinstance(swapped, list) or not all(
                isinstance(part, list) and len(part) == 2 and all(type(at) is int for at in part)
                and 0 <= part[0] <= part[1] <= size for part in swapped):
            raise ValueError(f"the state of SwapEMAWeights is {dict(state)}; parts of {size} parameters are allowed")
        self.model._swapped = [slice(*part) for part in swapped]

    def _put(self, average: bool) -> None:
        """The average, or the weights, in the model."""
        if not self.model.optimizer.use_ema:
            raise ValueError("SwapEMAWeights needs an optimizer that keeps an average: give it use_ema=True")
        if bool(self.model._swapped) != average:
            self.model._swap_average()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._put(average=False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._put(average=True)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._put(average=True)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._put(average=False)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._put(average=True)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._put(average=False)
