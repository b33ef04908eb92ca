"""What the benchmarks share: the machine's description, thread limits of other libraries, fair rounds."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from threadpoolctl import ThreadpoolController

import fastnn as fnn

THREADS = (1, 2)
Entry = tuple[str, int]  # a contestant and its number of threads
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")

# Independent chains of multiply-adds on whole vectors, enough of them to hide the latency of 4 or 5 cycles of
# two units. All loops over them are unrolled: an index that is no constant would put them into memory.
PEAK_SOURCE = """
#ifdef __AVX512F__
enum { BYTES = 64, CHAINS = 24 };
#else
enum { BYTES = 32, CHAINS = 12 };
#endif
#define EACH _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; i++)
typedef float vec __attribute__((vector_size(BYTES)));
double peak_flops(long rounds)
{
    vec a[CHAINS], sum = {0}, x = (vec){0} + 0.999f, y = (vec){0} + 1e-3f;
    EACH a[i] = (vec){0} + (float)i;
    for (long r = 0; r < rounds; r++) EACH a[i] = a[i] * x + y;
    EACH sum += a[i];
    volatile float used = sum[0];
    (void)used;
    return 2.0 * rounds * CHAINS * (BYTES / sizeof(float));
}
"""


def installed(package: str) -> str | None:
    """Version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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


@contextlib.contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """NumPy's BLAS and torch on `n` threads."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(pools().limit(limits=n))
        with contextlib.suppress(ImportError):
            import torch

            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(n)
        yield


@functools.cache
def pools() -> ThreadpoolController:
    """The thread pools of the libraries that are loaded; looking for them takes milliseconds."""
    for package in ("scipy.linalg", "sklearn", "torch"):
        with contextlib.suppress(ImportError):
            importlib.import_module(package)
    return ThreadpoolController()


REST = 0.05  # seconds


def interleaved(
    contestants: dict[Entry, Callable[[], object]], rounds: int, warmup: int = 1
) -> dict[Entry, list[float]]:
    """Seconds of each call, `rounds` times, on the entry's number of threads.

    All contestants run in every round, each round beginning with another one, so that a slow moment of the
    machine meets all of them. Between two the machine rests: pools of threads go on spinning for some
    milliseconds after their work, on the core that the next contestant needs.
    """
    entries = list(contestants)
    seconds: dict[Entry, list[float]] = {entry: [] for entry in entries}
    for turn in range(warmup + rounds):
        for entry in entries[turn % len(entries):] + entries[:turn % len(entries)]:
            time.sleep(REST)
            with limited_threads(entry[1]):
                start = time.perf_counter()
                contestants[entry]()
                end = time.perf_counter()
            if turn >= warmup:
                seconds[entry].append(end - start)
    return seconds


def median(values: list[float]) -> float:
    return statistics.median(values)


def peak_gflops(n_threads: int = 1, seconds: float = 0.5) -> float | None:
    """GFLOP/s that `n_threads` cores reach at once in float32 multiply-adds; None without a C compiler."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        flags = ["-O2", "-march=native", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
        try:
            subprocess.run([os.environ.get("CC", "cc"), *flags], input=PEAK_SOURCE, text=True, check=True,
                           capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        run = ctypes.CDLL(str(library)).peak_flops
    run.restype, run.argtypes = ctypes.c_double, [ctypes.c_long]
    best = 0.0
    with ThreadPoolExecutor(n_threads) as pool:
        stop = time.perf_counter() + seconds
        while time.perf_counter() < stop:
            start = time.perf_counter()
            done = sum(pool.map(run, [2_000_000] * n_threads))
            best = max(best, done / (time.perf_counter() - start) / 1e9)
    return best
