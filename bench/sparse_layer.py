"""A step of a sparse layer beside those of a dense one: forward, both gradients and Adam.

    python bench/sparse_layer.py --threads 1 2

What one layer takes is the difference between steps of networks with 1 and with `LAYERS` + 1 of them, behind a trained
PReLU that makes the first one's input gradient needed; networks take turns, and the fastest turn of each counts. Beside
them: the same step with scipy's products and NumPy, and, where torch is installed, with its CSR tensors and with dense
ones under a mask, of as many layers one after the other, so that each finds its weights as far away as one in a network
does.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse

from fastnn import Sequential
from fastnn.layers import Dense, PReLU, SparseDense
from fastnn.sparse import random_pattern

LAYERS = 4
STEPS = 4  # of a turn: few enough that other processes leave some turns alone


def network(n: int, batch: int, layers: int, density: float | None, n_threads: int) -> Callable[[], float]:
    """Seconds of a step of a network of `layers` such layers."""
    def layer() -> Dense | SparseDense:
        return Dense(n, "relu") if density is None else SparseDense(n, "relu", density=density)

    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS * batch, n), dtype=np.float32)
    y = rng.standard_normal((len(x), n), dtype=np.float32)
    model = Sequential([PReLU(), *[layer() for _ in range(layers)]], seed=0)
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=batch, epochs=20, verbose=0, n_threads=n_threads)

    def step() -> float:
        start = time.perf_counter()
        model.fit(x, y, batch_size=batch, verbose=0, n_threads=n_threads)
        return (time.perf_counter() - start) / STEPS

    return step


def scipy_step(n: int, batch: int, density: float) -> Callable[[], float]:
    """A step of one such layer with scipy's products and NumPy. scipy has none for the gradient of entries: they are
    gathered in pieces. Nor can it multiply by a transpose as fast as by the matrix: there are two of them."""
    rng = np.random.default_rng(0)
    pattern = random_pattern((n, n), round(density * n * n), 0)
    kernel = pattern.matrix(rng.standard_normal(pattern.nnz, dtype=np.float32))
    turned, order = kernel.T.tocsr(), pattern.matrix(np.arange(pattern.nnz)).T.tocsr().data
    x, dy = (rng.standard_normal((batch, n), dtype=np.float32) for _ in range(2))
    rows, cols, gradient = pattern.rows(), pattern.indices, np.empty(pattern.nnz, np.float32)
    m, v = np.zeros_like(gradient), np.zeros_like(gradient)

    def step() -> float:
        start = time.perf_counter()
        xt = np.ascontiguousarray(x.T)  # rows of a batch side by side suit scipy
        y = np.maximum(turned @ xt, 0)
        dz = np.ascontiguousarray(dy.T) * (y > 0)
        _ = np.ascontiguousarray((kernel @ dz).T)
        for k in range(0, pattern.nnz, 4096):
            np.einsum("kr,kr->k", xt[rows[k:k + 4096]], dz[cols[k:k + 4096]], out=gradient[k:k + 4096])
        m[...] += (gradient - m) * 0.1
        v[...] += (gradient * gradient - v) * 0.001
        kernel.data -= m * 1e-3 / (np.sqrt(v) + 1e-7)
        turned.data[...] = kernel.data[order]
        return time.perf_counter() - start

    return step


def torch_step(n: int, batch: int, density: float, n_threads: int) -> Callable[[], float]:
    """The same with torch's CSR tensors, whose gradient of the entries is a sampled product, and its fused Adam."""
    import torch

    torch.set_num_threads(n_threads)
    torch.sparse.check_sparse_tensor_invariants.disable()
    pattern = random_pattern((n, n), round(density * n * n), 0)
    kernel = pattern.matrix(np.random.default_rng(0).standard_normal(pattern.nnz, dtype=np.float32))
    order = torch.from_numpy(pattern.matrix(np.arange(pattern.nnz)).T.tocsr().data)

    def tensor(matrix: scipy.sparse.csr_array) -> torch.Tensor:
        return torch.sparse_csr_tensor(*(torch.from_numpy(np.array(part)) for part in (matrix.indptr, matrix.indices,
                                                                                       matrix.data)), matrix.shape)

    weights, turned = tensor(kernel), tensor(kernel.T.tocsr())
    x, dy = torch.randn(batch, n), torch.randn(batch, n)
    values = weights.values().clone().requires_grad_()
    adam = torch.optim.Adam([values], fused=True)

    def step() -> float:
        start = time.perf_counter()
        xt = x.T.contiguous()
        y = torch.relu(turned @ xt)
        dz = dy.T * (y > 0)
        _ = (weights @ dz).T.contiguous()
        values.grad = torch.sparse.sampled_addmm(weights, xt, dz.T.contiguous(), beta=0.0).values()
        adam.step()
        with torch.no_grad():
            weights.values().copy_(values)
            turned.values().copy_(values[order])
        return time.perf_counter() - start

    return step


def masked_step(n: int, batch: int, density: float, n_threads: int) -> Callable[[], float]:
    """The same with torch's dense tensors and a mask."""
    import torch

    torch.set_num_threads(n_threads)
    pattern = random_pattern((n, n), round(density * n * n), 0)
    mask = torch.from_numpy(pattern.matrix(np.ones(pattern.nnz, np.float32)).toarray())
    kernel = (torch.randn(n, n) * mask).requires_grad_()
    x, dy = torch.randn(batch, n), torch.randn(batch, n)
    adam = torch.optim.Adam([kernel], fused=True)

    def step() -> float:
        start = time.perf_counter()
        with torch.no_grad():
            weights = kernel * mask
            dz = dy * (torch.relu(x @ weights) > 0)
            _ = dz @ weights.T
            kernel.grad = (x.T @ dz).mul_(mask)
        adam.step()
        return time.perf_counter() - start

    return step


def one_by_one(layers: list[Callable[[], float]]) -> Callable[[], float]:
    """Seconds that one of them takes, all of them in turns."""
    return lambda: sum(step() for step in layers) / len(layers)


def fastest(calls: dict[str, Callable[[], float]], seconds: float) -> dict[str, float]:
    """The shortest of each, all of them in turns."""
    best, end = dict.fromkeys(calls, float("inf")), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            best[name] = min(best[name], call())
    return best


def measure(n: int, batch: int, sparsities: Sequence[float], n_threads: int, seconds: float,
            others: bool) -> list[tuple[str, ...]]:
    calls: dict[str, Callable[[], float]] = {}
    for layers in (1, LAYERS + 1):
        calls[f"dense {layers}"] = network(n, batch, layers, None, n_threads)
        for sparsity in sparsities:
            calls[f"{sparsity} {layers}"] = network(n, batch, layers, 1 - sparsity, n_threads)
    for sparsity in sparsities if others else ():
        calls[f"{sparsity} scipy"] = one_by_one([scipy_step(n, batch, 1 - sparsity) for _ in range(LAYERS)])
        if importlib.util.find_spec("torch"):
            for name, make in (("torch", torch_step), ("masked", masked_step)):
                calls[f"{sparsity} {name}"] = one_by_one([make(n, batch, 1 - sparsity, n_threads)
                                                          for _ in range(LAYERS)])
    best = fastest(calls, seconds)

    def layer(name: str) -> float:
        return (best[f"{name} {LAYERS + 1}"] - best[f"{name} 1"]) / LAYERS

    dense = layer("dense")
    rows = [("dense", f"{dense * 1e6:.0f}", "", "", "", "")]
    for sparsity in sparsities:
        own = layer(str(sparsity))
        beside = [best.get(f"{sparsity} {name}") for name in ("scipy", "torch", "masked")]
        rows.append((f"{sparsity:.0%} sparse", f"{own * 1e6:.0f}", f"{dense / own:.2f}x",
                     *("" if other is None else f"{other / own:.1f}x" for other in beside)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.8, 0.9, 0.95, 0.99])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=20.0, help="for each number of threads")
    parser.add_argument("--no-others", action="store_true", help="without the others")
    options = parser.parse_args()
    for n_threads in options.threads:
        print(f"{options.units} x {options.units}, batch {options.batch}, {n_threads} thread{'s' * (n_threads > 1)}")
        print(f"{'layer':<14}{'us':>8}{'dense':>10}{'scipy':>10}{'torch':>10}{'masked':>10}")
        for name, *figures in measure(options.units, options.batch, options.sparsity, n_threads, options.seconds,
                                      not options.no_others):
            print(f"{name:<14}" + "".join(f"{figure:>{width}}" for figure, width in zip(figures, (8, 10, 10, 10, 10),
                                                                                     strict=True)))


if __name__ == "__main__":
    main()
