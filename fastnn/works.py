"""The named works of the benchmarks: networks, batches, data, and how a training step is timed."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._kernels.teams import counts as thread_counts
from fastnn.callbacks import Callback
from fastnn.layers import Dense
from fastnn.model import Sequential
from fastnn.reference_training import ReferenceMLP

__all__ = ["MORE_WORKS", "WORKS", "Work", "blas_threads", "fastnn_seconds", "numpy_seconds", "thread_counts",
           "threads_can_be_set"]


@dataclass(frozen=True)
class Work:
    """A network of `sizes` (inputs, hidden layers, outputs), in float32, and what is done with it.

    Attributes
    ----------
    name : str
    sizes : tuple of int
    batch : int
        Rows of a step.
    steps : int
        Of a call that is timed, or of an epoch of it.
    large : bool
        Whether a step takes hundredths of seconds or more.
    activation, last : str
        Of the hidden layers and of the last one.
    loss, optimizer : str
    mode : {"epoch", "train_on_batch", "forward", "update"}
        Whole epochs in one call, shuffled where they have more than one step; a call for each batch; outputs of one
        batch, again and again; the optimizer alone, on ``sizes[0]`` parameters.
    epochs : int
        Of a call that is timed.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    steps: int
    large: bool = False
    activation: str = "relu"
    last: str = "softmax"
    loss: str = "sparse_categorical_crossentropy"
    optimizer: str = "adam"
    mode: str = "epoch"
    epochs: int = 1

    @property
    def label(self) -> str:
        """The name, with the batch where it says nothing of it."""
        return self.name if self.mode in ("forward", "update") else f"{self.name}, batch {self.batch}"

    @property
    def flops(self) -> int:
        """Of the matrix products of a step: forward, kernel gradients, and input gradients but the first."""
        products = [a * b for a, b in itertools.pairwise(self.sizes)]
        forward = 2 * self.batch * sum(products)
        return forward if self.mode == "forward" else 3 * forward - 2 * self.batch * sum(products[:1])

    def data(self) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Normal samples (rows, inputs), and random labels or normal targets (rows, outputs)."""
        rng = np.random.default_rng(0)
        rows = self.batch if self.mode == "forward" else self.steps * self.batch
        x = rng.standard_normal((rows, self.sizes[0]), dtype=np.float32)
        if self.loss == "sparse_categorical_crossentropy":
            return x, rng.integers(self.sizes[-1], size=rows)
        return x, rng.standard_normal((rows, self.sizes[-1]), dtype=np.float32)

    def model(self) -> Sequential:
        """The network, built and compiled."""
        hidden = [Dense(units, activation=self.activation) for units in self.sizes[1:-1]]
        model = Sequential([*hidden, Dense(self.sizes[-1], activation=self.last)], seed=0)
        model.build((self.sizes[0],))
        model.compile(self.optimizer, self.loss)
        return model


WORKS = (
    Work("20-64-64-2", (20, 64, 64, 2), 32, 2000),
    Work("54-100-7", (54, 100, 7), 200, 400),
    Work("784-128-10", (784, 128, 10), 32, 300),
    Work("64x11-10", (64,) * 11 + (10,), 64, 300),
    Work("784-512-512-10", (784, 512, 512, 10), 128, 60),
    Work("1024-4096-4096-1000", (1024, 4096, 4096, 1000), 256, 6, large=True),
)

_regression = functools.partial(Work, last="linear", loss="mean_squared_error")

MORE_WORKS = (
    # the toy of SimpleChains.jl, and the table of KANN: an epoch of 60,000 digits
    _regression("4-32-16-4 tanh", (4, 32, 16, 4), 10_000, 1, activation="tanh", epochs=100),
    Work("784-64-10 RMSprop", (784, 64, 10), 64, 938, optimizer="rmsprop"),
    # value networks of reinforcement learning
    _regression("8-256-256-4 on batches", (8, 256, 256, 4), 64, 100, mode="train_on_batch"),
    _regression("4-64-64-2 on batches", (4, 64, 64, 2), 64, 100, mode="train_on_batch"),
    *(_regression(f"512-512 forward, batch {rows}", (512, 512), rows, 100, last="relu", mode="forward")
      for rows in (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    Work("Adam on 1 M", (1_000_000,), 1, 20, mode="update"),
    Work("Adam on 20 M", (20_000_000,), 1, 2, large=True, mode="update"),
)


class _Stopwatch(Callback):
    """Keeps the shortest epoch and ends training when its time is up."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.best = seconds, float("inf")

    def on_train_begin(self, logs: Any = None) -> None:
        self.end = time.perf_counter() + self.seconds

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        if epoch:  # the first one also sets up
            self.best = min(self.best, now - self.start)
            self.model.stop_training = now > self.end


def fastnn_seconds(work: Work, n_threads: int | None = None, seconds: float = 1.0) -> float:
    """Time of a training step: the best epoch's within about `seconds`, shuffling included."""
    x, y = work.data()
    watch = _Stopwatch(seconds)
    work.model().fit(x, y, batch_size=work.batch, epochs=1_000_000, verbose=0, callbacks=[watch],
                     n_threads=n_threads)
    return watch.best / work.steps


def numpy_seconds(work: Work, most: int = 1, seconds: float = 1.0) -> float:
    """The same of :class:`~fastnn.reference_training.ReferenceMLP`, on the best number of threads to `most`.

    Each number takes about `seconds`. Where threadpoolctl is not installed NumPy keeps its default number.
    """
    x, y = work.data()
    mlp, rng = ReferenceMLP.from_model(work.model()), np.random.default_rng(0)
    best = float("inf")
    for n in thread_counts(most) if threads_can_be_set() else [None]:
        with blas_threads(n):
            best = min(best, _best(lambda: mlp.train_epoch(x, y, work.batch, rng), seconds))
    return best / work.steps


def threads_can_be_set() -> bool:
    """Whether threadpoolctl is there to set the number of threads of NumPy's BLAS."""
    return importlib.util.find_spec("threadpoolctl") is not None


def blas_threads(n: int | None) -> AbstractContextManager[Any]:
    """NumPy's BLAS on `n` threads; None leaves them as they are."""
    return nullcontext() if n is None else importlib.import_module("threadpoolctl").threadpool_limits(n)


def _best(epoch: Callable[[], Any], seconds: float) -> float:
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        epoch()
        best = min(best, time.perf_counter() - start)
    return best
