"""Those who do the works: fastnn, its NumPy reference, and the libraries that are installed.

A contestant is a module with a function for each mode of a work that it takes part in. That function takes the work
and a number of threads and returns a call which does the work once: ``work.epochs`` epochs, or ``work.steps`` steps.
All hold their data in arrays of their own kind beforehand, and a call ends when its last result is there. What a work
consists of (activations, losses, optimizers, shuffling) is the same for all, but not their random numbers.
"""

from __future__ import annotations

import functools
import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from fastnn.works import Work

Call = Callable[[], object]
ALL_MODES = ("epoch", "train_on_batch", "forward", "update")


@dataclass(frozen=True)
class Contestant:
    module: str
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    modes: tuple[str, ...] = ALL_MODES
    optimizers: tuple[str, ...] = ("adam", "rmsprop")

    def lacks(self) -> str:
        """What must be installed first, or nothing."""
        packages = [package for package in self.packages if not installed(package)]
        programs = [program for program in self.programs if not shutil.which(program)]
        return ", ".join([*packages, *programs])

    def takes(self, work: Work) -> bool:
        return work.mode in self.modes and work.optimizer in self.optimizers

    def enter(self, work: Work, n_threads: int) -> Call:
        module = importlib.import_module(f"contestants.{self.module}")
        return getattr(module, work.mode)(work, n_threads)


CONTESTANTS = {
    "fastnn": Contestant("fastnn"),
    "NumPy": Contestant("numpy"),
    "scikit-learn": Contestant("scikit_learn", ("scikit-learn",), modes=ALL_MODES[:3], optimizers=("adam",)),
    "torch": Contestant("torch", ("torch",)),
    "torch.compile": Contestant("torch_compile", ("torch",), ("g++",)),
    "JAX": Contestant("jax", ("jax", "optax")),
}


def installed(package: str) -> str | None:
    """Version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def repeated(call: Call, times: int) -> Call:
    def calls() -> None:
        for _ in range(times):
            call()

    return call if times == 1 else calls


def batches(work: Work, convert: Callable[[np.ndarray], object]) -> list[tuple]:
    """(x, y) of each step, as arrays that `convert` makes."""
    return [tuple(map(convert, pair)) for pair in zip(*(np.split(a, work.steps) for a in work.data()), strict=True)]


def parameters(work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and gradient (n,) for an optimizer alone."""
    rng = np.random.default_rng(0)
    draw = functools.partial(rng.standard_normal, work.sizes[0], dtype=np.float32)
    return draw(), draw()
