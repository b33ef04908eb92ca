"""L-BFGS for a model: scipy's minimizer, an iteration at a time."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn._kernels import program as engine
from fastnn.errors import DivergenceError
from fastnn.layers import AlphaDropout, BatchNormalization, Dropout, GaussianDropout, GaussianNoise
from fastnn.optimizers import LBFGS

if TYPE_CHECKING:
    from fastnn.model import Sequential

__all__ = ["Search"]

Array = NDArray[Any]
CHANGING = Dropout, AlphaDropout, GaussianDropout, GaussianNoise, BatchNormalization


class Search:
    """The minimization of a model's loss on some data.

    scipy asks for losses until it is done, `fit` asks for one iteration after the other. So scipy runs in a thread of
    its own, which only ever waits or has the other one wait: losses are computed in the thread that calls `iterate`,
    where Ctrl-C arrives.

    Attributes
    ----------
    over : bool
        Whether there are no more iterations.
    message : str
        Why, in scipy's words.
    """

    def __init__(self, model: Sequential, optimizer: LBFGS, data: Any, threads: int) -> None:
        _refuse(model, data)
        self.model, self.data, self.threads = model, data, threads
        table = model._evaluating(data.sparse).program.tensor_table
        self.parts = [slice(int(row["offset"]), int(row["offset"] + row["rows"] * row["cols"]))
                      for row in table if row["trainable"]]
        self.best, self.best_loss = self._read(model._flat), np.inf
        self.over, self.message = not self.best.size, "nothing is trainable"
        self.options = {"maxiter": 2**31 - 1, "maxfun": 2**31 - 1, "gtol": optimizer.tol, "ftol": optimizer.ftol,
                        "maxcor": optimizer.history_size, "maxls": optimizer.max_line_search}
        self._asked: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._answers: SimpleQueue[tuple[float, Array] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._minimize, args=(self.best.astype(np.float64),), daemon=True)
        self._next: tuple[str, Any] | None = None
        if not self.over:
            self._thread.start()

    # ---- the thread of fit ----------------------------------------------------------------------------------

    def iterate(self) -> float:
        """One iteration; the model has its weights then. Returns its loss."""
        while True:
            what, value = self._next or self._asked.get()
            self._next = None
            if what == "loss":
                self._answers.put(self._loss(value))
            elif what == "iteration":
                x, loss = value
                self._write(x)
                self._look_ahead()
                return loss
            else:
                self._end(value)
                return self.best_loss

    def _look_ahead(self) -> None:
        """Whether that was the last iteration."""
        self._next = self._asked.get()
        if self._next[0] == "end":
            self._end(self._next[1])

    def _end(self, value: Any) -> None:
        self.over = True
        if isinstance(value, BaseException):
            raise value
        self.message = str(value)

    def _loss(self, x: Array) -> tuple[float, Array]:
        self._write(x)
        model = self.model
        runner = model._workspace("gradients", self.data.n, self.data.sparse)
        loss_sum, nonfinite = runner.gradients(self.data, model.seed, self.threads)
        loss = loss_sum / self.data.n
        if nonfinite or not np.isfinite(loss):
            raise DivergenceError("the loss became NaN or infinite in a line search; the weights are the best ones "
                                  "before it", 1, 1)
        if loss < self.best_loss:
            self.best, self.best_loss = self._read(model._flat), loss
        return loss, self._read(model._gradient_block()).astype(np.float64)

    def _read(self, block: Array) -> Array:
        return np.concatenate([block[part] for part in self.parts] or [block[:0]])

    def _write(self, x: Array) -> None:
        start = 0
        for part in self.parts:
            size = part.stop - part.start
            self.model._flat[part] = x[start:start + size]
            start += size

    def close(self) -> None:
        """Leave the best weights in the model, and give back the memory for all samples."""
        if self._thread.is_alive():
            self._answers.put(None)
            self._thread.join()
        self._write(self.best)
        self.model._workspaces.pop("sparse gradients" if self.data.sparse else "gradients", None)

    # ---- scipy's --------------------------------------------------------------------------------------------

    def _minimize(self, x: Array) -> None:
        from scipy.optimize import minimize

        try:
            found = minimize(self._ask, x, jac=True, method="L-BFGS-B", callback=self._tell, options=self.options)
            self._asked.put(("end", found.message))
        except BaseException as error:  # raised where the weights are
            self._asked.put(("end", error))

    def _ask(self, x: Array) -> tuple[float, Array]:
        self._asked.put(("loss", x.copy()))
        answer = self._answers.get()
        if answer is None:
            raise InterruptedError
        return answer

    def _tell(self, intermediate_result: Any) -> None:
        self._asked.put(("iteration", (intermediate_result.x.copy(), float(intermediate_result.fun))))


def _refuse(model: Sequential, data: Any) -> None:
    if not isinstance(data, engine.Data):
        raise ValueError("LBFGS needs all samples at once; received a stream")
    for leaf in model._leaves():
        if isinstance(leaf, CHANGING):
            raise ValueError(f"LBFGS needs the same loss for the same weights; layer {leaf.path!r} of class "
                             f"{type(leaf).__name__} changes while it trains")
        for name, parameter in leaf.parameters(leaf.input_shape).items():
            if parameter.constraint is not None and leaf.trainable:
                raise ValueError(f"LBFGS knows no constraints; {leaf.path}.{name} has {parameter.constraint!r}")
