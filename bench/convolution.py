"""Convolutions beside torch: forward and gradients of single layers, and steps of a small network, in turns.

    python bench/convolution.py --threads 1 2

torch runs eagerly, each layer in the faster of its two memory formats; its calls allocate their results, fastnn's here
do not, as in the engine. The fastest turn of each counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from common import fastest

from fastnn import Sequential, layers
from fastnn._kernels import calls
from fastnn._kernels.dispatch import ACTIVATIONS
from fastnn._kernels.program import aligned_zeros, row_stride
from fastnn.windows import window

# samples, (height, width, channels), kernel size, filters, padding
LAYERS = (
    (128, (28, 28, 1), 3, 32, "valid"),
    (128, (13, 13, 32), 3, 64, "valid"),
    (128, (14, 14, 32), 3, 64, "same"),
    (64, (32, 32, 3), 3, 32, "same"),
    (128, (7, 7, 64), 3, 128, "same"),
    (128, (14, 14, 64), 1, 128, "valid"),
)
BATCH = 128
Call = Callable[[], Any]


def images(n: int, size: int) -> np.ndarray:
    """Samples that lie as those in the engine's arena."""
    whole = aligned_zeros(n * row_stride(size, 4), "float32").reshape(n, -1)
    whole[:, :size] = np.random.default_rng(0).standard_normal((n, size), dtype=np.float32)
    return whole[:, :size]


def of_fastnn(case: tuple, n_threads: int) -> dict[str, Call]:
    n, shape, k, filters, padding = case
    place = window(shape, (k, k), (1, 1), padding)
    x, dx = images(n, np.prod(shape)), images(n, np.prod(shape))
    y, dz = (images(n, place.out_height * place.out_width * filters) for _ in range(2))
    kernel, g = (aligned_zeros(k * k * shape[2] * filters, "float32").reshape(-1, filters) for _ in range(2))
    kernel[...] = np.random.default_rng(0).standard_normal(kernel.shape) / len(kernel) ** 0.5
    bias, sums = np.ones(filters, "float32"), np.empty(filters, "float32")
    wt = aligned_zeros(calls.transposed_size(4, *kernel.shape), "float32")
    scratch = aligned_zeros(n_threads * calls.conv_scratch(4, place), "float32").reshape(n_threads, -1)

    def forward() -> None:
        calls.conv_forward(place, x, kernel, bias, ACTIVATIONS["relu"], 0.0, None, y, scratch, n_threads)

    def backward() -> None:
        calls.conv_kernel_grad(place, x, dz, g, sums, scratch, n_threads)
        if shape[2] > 3:        # a first layer needs no gradient of its input
            calls.transpose(kernel, wt, n_threads)
            calls.conv_input_grad(place, filters, dz, wt, dx, scratch, n_threads)

    return {"forward": forward, "backward": backward}


def of_torch(case: tuple, channels_last: bool) -> dict[str, Call]:
    import torch

    n, shape, k, filters, padding = case
    form = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(n, shape[2], *shape[:2]).contiguous(memory_format=form).requires_grad_(shape[2] > 3)
    layer = torch.nn.Conv2d(shape[2], filters, k, padding=padding).to(memory_format=form)
    y = layer(x)
    dy, wanted = torch.randn_like(y), [*layer.parameters(), *([x] if shape[2] > 3 else [])]

    def forward() -> None:
        with torch.no_grad():
            torch.relu_(layer(x))

    return {"forward": forward, "backward": lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)}


def net_of_fastnn(x: np.ndarray, y: np.ndarray, n_threads: int) -> Call:
    model = Sequential([layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
                        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
                        layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    return lambda: model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0, n_threads=n_threads)


def net_of_torch(x: np.ndarray, y: np.ndarray, channels_last: bool) -> Call:
    import torch
    from torch import nn

    form = torch.channels_last if channels_last else torch.contiguous_format
    model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(),
                          nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10))
    model = model.to(memory_format=form)
    samples = torch.tensor(x.transpose(0, 3, 1, 2).copy()).contiguous(memory_format=form)
    labels = torch.tensor(y)
    optimizer, loss = torch.optim.Adam(model.parameters(), fused=True), nn.CrossEntropyLoss()

    def steps() -> None:
        for i in range(0, len(x), BATCH):
            optimizer.zero_grad()
            loss(model(samples[i:i + BATCH]), labels[i:i + BATCH]).backward()
            optimizer.step()

    return steps


def line(what: str, best: dict[str, float], n: int = 1) -> str:
    theirs = min(best["torch"], best["torch, channels last"])
    return f"{what:44s} {best['fastnn'] / n * 1e3:8.2f} ms {theirs / n * 1e3:8.2f} ms {theirs / best['fastnn']:6.2f}x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=5, help="for each line")
    arguments = parser.parse_args()
    import torch

    rng = np.random.default_rng(0)
    x, y = rng.random((4 * BATCH, 28, 28, 1), dtype=np.float32), rng.integers(10, size=4 * BATCH)
    for n_threads in arguments.threads:
        torch.set_num_threads(n_threads)
        print(f"{f'{n_threads} threads':44s} {'fastnn':>11s} {'torch':>11s}")
        for case in LAYERS:
            n, (height, width, channels), k, filters, padding = case
            ours, theirs, last = of_fastnn(case, n_threads), of_torch(case, False), of_torch(case, True)
            for part in ours:
                best = fastest({"fastnn": ours[part], "torch": theirs[part], "torch, channels last": last[part]},
                               arguments.seconds)
                shape = f"{n} of {height}x{width}x{channels}, {k}x{k}, {filters} {padding}"
                print(line(f"{shape}, {part}", best), flush=True)
        best = fastest({"fastnn": net_of_fastnn(x, y, n_threads), "torch": net_of_torch(x, y, False),
                        "torch, channels last": net_of_torch(x, y, True)}, 2 * arguments.seconds)
        print(line("step of a network of 2 Conv2D and 2 Dense", best, 4), flush=True)


if __name__ == "__main__":
    main()
