"""What the benchmarks share: the machine's description, fair rounds, the works by name, how a time is written."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from contestants import installed

import fastnn as fnn
from fastnn.works import MORE_WORKS, WORKS

BY_NAME = {work.name: work for work in (*WORKS, *MORE_WORKS)}
THREADS = (1, 2)
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib", "optax")
REST = 0.05  # seconds

Entry = TypeVar("Entry", bound=Hashable)
Result = TypeVar("Result")


def machine() -> dict[str, str]:
    """What a figure needs beside it to mean anything."""
    config = fnn.show_config(mode="dicts")
    assert config is not None
    facts = {
        "cpu": f"{config['cpu']}, {fnn.get_num_threads()} threads by default",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "fastnn": f"{config['fastnn']}, {config['instruction set']}, OpenMP {config['openmp']}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
    return facts | {package: found for package in PACKAGES if (found := installed(package))}


def interleaved(calls: dict[Entry, Callable[[], Result]], rounds: int, rest: float = REST) -> dict[Entry, list[Result]]:
    """What each call returned, `rounds` times after a first one.

    All calls are made in every round, each round beginning with another one, so that a slow moment of the machine
    meets all of them. Between two the machine rests: pools of threads go on spinning for some milliseconds after
    their work, on the core that the next call needs.
    """
    entries = list(calls)
    results: dict[Entry, list[Result]] = {entry: [] for entry in entries}
    for turn in range(1 + rounds):
        for entry in entries[turn % len(entries):] + entries[:turn % len(entries)]:
            time.sleep(rest)
            result = calls[entry]()
            if turn:
                results[entry].append(result)
    return results


def timed(call: Callable[[], object]) -> Callable[[], tuple[float, float]]:
    """The same call, which returns its seconds by the wall and of the CPU."""
    def seconds() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        return time.perf_counter() - wall, time.process_time() - cpu

    return seconds


def duration(seconds: list[float]) -> str:
    """Their median and, in brackets, the minimum; as milliseconds from 10 ms on, with three digits or more."""
    median = statistics.median(seconds)
    unit, scale = ("ms", 1e3) if median >= 0.01 else ("us", 1e6)
    digits = 2 if median * scale < 10 else 1 if median * scale < 100 else 0
    return f"{median * scale:.{digits}f} ({min(seconds) * scale:.{digits}f}) {unit}"


def fastest(contestants: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Seconds of the fastest call of each, all of them in turns."""
    best, end = dict.fromkeys(contestants, float("inf")), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in contestants.items():
            call()      # its threads and caches, not those of the one before
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    return best
