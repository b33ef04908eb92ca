from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

def math(function: int, x: Array, out: Array, n_threads: int) -> None: ...
def activation_forward(kind: int, alpha: float, z: Array, y: Array, n_threads: int) -> None: ...
def activation_backward(
    kind: int, alpha: float, dy: Array, saved: Array, dz: Array, n_threads: int
) -> None: ...
def packed_size(itemsize: int, n_rows: int, n_cols: int) -> int: ...
def pack(w: Array, wp: Array, wt: Array | None, n_threads: int) -> None: ...
def dense_forward(
    x: Array,
    wp: Array,
    bias: Array | None,
    activation: int,
    alpha: float,
    z: Array | None,
    y: Array,
    n_threads: int,
) -> None: ...
def dense_input_grad(dz: Array, wt: Array, dx: Array, n_threads: int) -> None: ...
def dense_kernel_grad(x: Array, dz: Array, g: Array, sums: Array, n_threads: int) -> None: ...
def loss(
    kind: int,
    param: float,
    pred: Array,
    labels: Array | None,
    targets: Array | None,
    weight: Array | None,
    row_loss: Array,
    grad: Array,
    n_threads: int,
) -> None: ...
def update(
    kind: int,
    param: Array,
    grad: Array,
    slots: tuple[Array, ...],
    hyper: tuple[float, ...],
    learning_rate: float,
    weight_decay: float,
    step: int,
    memory: float,
    n_threads: int,
) -> float: ...
def gather(
    source: int,
    address: int,
    row_stride: int,
    col_stride: int,
    index: Array,
    out: Array,
    n_threads: int,
) -> None: ...
def dropout(
    x: Array, rate: float, seed: int, stream: int, step: int, y: Array, n_threads: int
) -> None: ...
