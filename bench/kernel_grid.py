"""The three products of a dense layer over a grid of shapes, in GFLOP/s, beside numpy.matmul.

python bench/kernel_grid.py [--shapes 128x784x512 ...] [--dtype float32] [--threads 1] [--rounds 7]
                             [--json FILE] [--write FILE]

Input gradients have W transposed beforehand, as the engine keeps it; biases, relu and column sums are fastnn's alone.
For each shape all calls and the multiply-adds of `peak.py` take turns; figures are those of the best round. A call
from Python takes about as long as a small product: what a product of 1 x 1 x 1 takes is taken off.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from common import REST, interleaved
from peak import peak_gflops
from report import Report

from fastnn._kernels import calls
from fastnn._kernels.dispatch import ACTIVATIONS, ISA
from fastnn._kernels.program import aligned_zeros, row_stride
from fastnn.works import blas_threads

SHAPES = (  # rows, n_in, n_out
    *((rows, 512, 512) for rows in (1, 2, 4, 8, 16)),
    (128, 784, 512), (256, 4096, 4096), (128, 512, 10), (200, 54, 100), (32, 20, 64), (64, 64, 64),
)
ONE = (1, 1, 1)
SERIES = 0.001  # seconds
Call = Callable[[], object]


def matrix(rows: int, cols: int, dtype: str) -> np.ndarray:
    """Normal numbers in a matrix whose rows lie as those in the engine's arena."""
    stride = row_stride(cols, np.dtype(dtype).itemsize)
    whole = aligned_zeros(rows * stride, dtype).reshape(rows, stride)
    whole[:, :cols] = np.random.default_rng(0).standard_normal((rows, cols))
    return whole[:, :cols]


def products(shape: tuple[int, int, int], dtype: str, n_threads: int) -> dict[tuple[str, str], Call]:
    """Calls by product and contestant; the names are those of fastnn's."""
    rows, n_in, n_out = shape
    x, dz, y, dx = (matrix(rows, cols, dtype) for cols in (n_in, n_out, n_out, n_in))
    w, g = (aligned_zeros(n_in * n_out, dtype).reshape(n_in, n_out) for _ in range(2))
    w[...] = np.random.default_rng(0).standard_normal(w.shape)
    bias, sums = np.ones(n_out, dtype), np.empty(n_out, dtype)
    wt = aligned_zeros(calls.transposed_size(w.itemsize, n_in, n_out), dtype)
    calls.transpose(w, wt, n_threads)
    x_, dz_, y_, dx_ = (np.ascontiguousarray(a) for a in (x, dz, y, dx))
    relu = ACTIVATIONS["relu"]
    return {
        ("forward", "fastnn"): lambda: calls.dense_forward(x, w, bias, relu, 0.0, None, y, n_threads),
        ("forward", "NumPy"): lambda: np.matmul(x_, w, out=y_),
        ("input gradient", "fastnn"): lambda: calls.dense_input_grad(dz, wt, dx, n_threads),
        ("input gradient", "NumPy"): lambda: np.matmul(dz_, w.T, out=dx_),
        ("kernel gradient", "fastnn"): lambda: calls.dense_kernel_grad(x, dz, g, sums, n_threads),
        ("kernel gradient", "NumPy"): lambda: np.matmul(x_.T, dz_, out=g),
    }


def best_seconds(call: Call) -> float:
    """Of a call: the best of some short series of calls, since long ones are interrupted more often."""
    def series(times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            call()
        return (time.perf_counter() - start) / times

    times = 1 + int(SERIES / min(series(3), series(3)))
    return min(series(times) for _ in range(5))


def measure(shape: tuple[int, int, int], dtype: str, n_threads: int, rounds: int) -> dict:
    """GFLOP/s of each product and contestant, and of the peak."""
    sized = {(key, size): partial(best_seconds, call) for size, n in ((shape, n_threads), (ONE, 1))
             for key, call in products(size, dtype, n).items()}
    peak = {("peak", ONE): partial(peak_gflops, n_threads, dtype, seconds=5 * SERIES)}
    with blas_threads(n_threads):
        found = interleaved(sized | peak, rounds, REST if n_threads > 1 else 0.0)
    flops = 2e-9 * np.prod(shape, dtype=float)
    rates = [{"product": key[0], "contestant": key[1], "gflops": flops / (min(times) - min(found[key, ONE])),
              "seconds": times, "seconds_of_one": found[key, ONE]}
             for (key, size), times in found.items() if size == shape]
    return {"shape": shape, "dtype": dtype, "threads": n_threads, "isa": ISA,
            "peak_gflops": max(filter(None, found["peak", ONE]), default=None), "rates": rates}


def cells(result: dict) -> list[str]:
    """A row of the table: of each product fastnn's rate, its part of the peak, and NumPy's rate."""
    rates, peak = [row["gflops"] for row in result["rates"]], result["peak_gflops"]
    row = [" x ".join(map(str, result["shape"])), str(result["threads"]), f"{peak:.0f}" if peak else "-"]
    for ours, numpy in zip(rates[::2], rates[1::2], strict=True):
        row += [f"**{ours:.1f}**", f"{ours / peak:.0%}" if peak else "-", f"{numpy:.1f}"]
    return row


def shape_of(text: str) -> tuple[int, int, int]:
    rows, n_in, n_out = map(int, text.split("x"))
    return rows, n_in, n_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", type=shape_of, default=SHAPES, metavar="ROWSxINxOUT")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    Report.add_arguments(parser)
    args = parser.parse_args()

    report = Report("kernel grid")
    report.head(f"GFLOP/s in {args.dtype} with {ISA}, of the best of rounds in which all took turns. "
                "Forward is with bias and relu, kernel gradient with that of the bias.")
    names = ("forward", "input gradient", "kernel gradient")
    report.table(["rows x in x out", "threads", "peak", *(f"{name}{column}" for name in names
                                                         for column in ("", ", of the peak", ", NumPy"))])
    for shape in args.shapes:
        for n_threads in args.threads:
            report.results.append(measure(shape, args.dtype, n_threads, args.rounds))
            report.row(cells(report.results[-1]))
    report.finish(args)


if __name__ == "__main__":
    main()
