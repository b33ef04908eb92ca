"""The rate of multiply-adds that cores reach: what every figure is a percentage of."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker import cores

from fastnn._kernels.dispatch import ISA

# Independent chains of multiply-adds on whole vectors, enough of them to hide the latency of 4 or 5 cycles of
# two units. All loops over them are unrolled: an index that is no constant would put them into memory.
SOURCE = """
#define EACH _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; i++)
typedef T vec __attribute__((vector_size(BYTES)));
double peak_flops(long rounds)
{
    vec a[CHAINS], sum = {0}, x = (vec){0} + (T)0.999, y = (vec){0} + (T)1e-3;
    EACH a[i] = (vec){0} + (T)i;
    for (long r = 0; r < rounds; r++) EACH a[i] = a[i] * x + y;
    EACH sum += a[i];
    volatile T used = sum[0];
    (void)used;
    return 2.0 * rounds * CHAINS * (BYTES / sizeof(T));
}
"""
CTYPES = {"float32": "float", "float64": "double"}
# Of the instruction set that fastnn uses, not of the machine: FASTNN_ISA=avx2 is held against what AVX2 can do.
FLAGS = {
    "baseline": ["-DBYTES=16", "-DCHAINS=12"],
    "avx2": ["-DBYTES=32", "-DCHAINS=12", "-mavx2", "-mfma"],
    "avx512": ["-DBYTES=64", "-DCHAINS=24", "-mavx512f"],
}
ROUNDS = 500_000  # one or two milliseconds


@functools.cache
def compiled(dtype: str) -> Callable[[int], float] | None:
    """A function of a number of rounds that returns the operations done; None without a C compiler."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        flags = ["-O2", *FLAGS[ISA], f"-DT={CTYPES[dtype]}", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
        try:
            subprocess.run([os.environ.get("CC", "cc"), *flags], input=SOURCE, text=True, check=True,
                           capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        run = ctypes.CDLL(str(library)).peak_flops
    run.restype, run.argtypes = ctypes.c_double, [ctypes.c_long]
    return run


def peak_gflops(n_threads: int = 1, dtype: str = "float32", seconds: float = 0.3) -> float | None:
    """GFLOP/s that `n_threads` cores reach at once, the best moment of some; None without a C compiler.

    Several threads are sent to their own cores: Linux leaves them on one for longer than a moment.
    """
    run, best = compiled(dtype), 0.0
    if run is None:
        return None
    homes = [{cpu} for cpu in cores()[:n_threads]] if n_threads > 1 else [cores()]
    together = threading.Barrier(len(homes))

    def share(home: Collection[int]) -> tuple[float, float, float]:
        os.sched_setaffinity(0, home)
        together.wait()
        start = time.perf_counter()
        return run(ROUNDS), start, time.perf_counter()

    with ThreadPoolExecutor(len(homes)) as pool:
        stop = time.perf_counter() + seconds
        while time.perf_counter() < stop:
            done, starts, ends = zip(*pool.map(share, homes), strict=True)
            best = max(best, sum(done) / (max(ends) - min(starts)) / 1e9)
    return best
