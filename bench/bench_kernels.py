"""Every public kernel against its NumPy twin, at 1 and 2 threads, from the table that the tests use.

pytest bench/bench_kernels.py [-k dense_forward] [--benchmark-json FILE]
"""

import numpy as np
import pytest
from common import THREADS
from kernel_table import KERNELS

from fastnn.works import blas_threads

SHAPE = (128, 512, 512)  # rows, n_in, n_out


def outputs(kernel, result):
    """Keywords with arrays for the results, so that no contestant allocates them."""
    if kernel.out == "out":
        return {"out": result}
    return {"grad": result[1]} if kernel.out == "grad" else {}


@pytest.mark.parametrize("n_threads", THREADS, ids=lambda n: f"{n}-threads")
@pytest.mark.parametrize("contestant", ["fastnn", "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.benchmark(min_rounds=5, max_time=0.05, warmup=True, warmup_iterations=3)
def test_kernel(benchmark, kernel, dtype, contestant, n_threads):
    function = kernel.kernel if contestant == "fastnn" else kernel.twin
    args, kwargs = kernel.make(SHAPE, np.dtype(dtype))
    kwargs["n_threads"] = n_threads
    with blas_threads(n_threads):
        kwargs |= outputs(kernel, function(*args, **kwargs))
        benchmark.group = f"{kernel.name} {dtype}, {n_threads} threads"
        benchmark(function, *args, **kwargs)
