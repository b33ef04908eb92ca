from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn._kernels.sparse_ops import Index

_Array = np.ndarray[Any, np.dtype[Any]]

def math(function: int, x: _Array, out: _Array, n_threads: int) -> None: ...
def activation_forward(kind: int, alpha: float, z: _Array, y: _Array, n_threads: int) -> None: ...
def activation_backward(
    kind: int, alpha: float, dy: _Array, saved: _Array, dz: _Array, n_threads: int
) -> None: ...
def transposed_size(itemsize: int, n_in: int, n_out: int) -> int: ...
def transpose(w: _Array, wt: _Array, n_threads: int) -> None: ...
def dense_forward(
    x: _Array,
    w: _Array,
    bias: _Array | None,
    activation: int,
    alpha: float,
    z: _Array | None,
    y: _Array,
    n_threads: int,
) -> None: ...
def dense_input_grad(dz: _Array, wt: _Array, dx: _Array, n_threads: int) -> None: ...
def dense_kernel_grad(x: _Array, dz: _Array, g: _Array, sums: _Array, n_threads: int) -> None: ...
def conv_scratch(itemsize: int, window: tuple[int, ...]) -> int: ...
def conv_forward(
    window: tuple[int, ...],
    x: _Array,
    kernel: _Array,
    bias: _Array | None,
    activation: int,
    alpha: float,
    z: _Array | None,
    y: _Array,
    scratch: _Array,
    n_threads: int,
) -> None: ...
def conv_input_grad(
    window: tuple[int, ...],
    filters: int,
    dz: _Array,
    wt: _Array,
    dx: _Array,
    scratch: _Array,
    n_threads: int,
) -> None: ...
def conv_kernel_grad(
    window: tuple[int, ...],
    x: _Array,
    dz: _Array,
    g: _Array,
    sums: _Array,
    scratch: _Array,
    n_threads: int,
) -> None: ...
def pool_forward(kind: int, window: tuple[int, ...], x: _Array, y: _Array, n_threads: int) -> None: ...
def pool_backward(
    kind: int,
    window: tuple[int, ...],
    dy: _Array,
    x: _Array | None,
    y: _Array | None,
    dx: _Array,
    n_threads: int,
) -> None: ...
def sparse_forward(
    index: Index,
    x: _Array,
    values: _Array,
    bias: _Array | None,
    activation: int,
    alpha: float,
    z: _Array | None,
    y: _Array,
    n_threads: int,
) -> None: ...
def sparse_backward(
    index: Index,
    x: _Array,
    dz: _Array,
    values: _Array,
    dx: _Array | None,
    grad: _Array,
    sums: _Array,
    n_threads: int,
) -> None: ...
def loss(
    kind: int,
    param: float,
    pred: _Array,
    labels: _Array | None,
    targets: _Array | None,
    weight: _Array | None,
    row_loss: _Array,
    grad: _Array,
    n_threads: int,
) -> None: ...
def update(
    kind: int,
    param: _Array,
    grad: _Array,
    slots: tuple[_Array, ...],
    hyper: tuple[float, ...],
    learning_rate: float,
    weight_decay: float,
    step: int,
    memory: float,
    n_threads: int,
) -> float: ...
def penalty(l1: float, l2: float, w: _Array, grad: _Array | None, n_threads: int) -> float: ...
def norms(low: float, high: float, rate: float, columns: bool, w: _Array, n_threads: int) -> None: ...
def mask(w: _Array, keep: _Array, n_threads: int) -> None: ...
def orthogonal(scale: float, columns: bool, w: _Array, grad: _Array | None, n_threads: int) -> float: ...
def histogram(x: _Array, low: float, high: float, bins: int, out: _Array, n_threads: int) -> None: ...
def extent(x: _Array, out: _Array, n_threads: int) -> None: ...
def gather(
    source: int,
    address: int,
    row_stride: int,
    col_stride: int,
    index: _Array,
    out: _Array,
    n_threads: int,
) -> None: ...
def affine(x: _Array, scale: float, offset: float, y: _Array, n_threads: int) -> None: ...
def dropout(
    x: _Array,
    rate: float,
    scale: float,
    offset: float,
    other: float,
    seed: int,
    stream: int,
    step: int,
    y: _Array,
    n_threads: int,
) -> None: ...
def gaussian(
    x: _Array,
    multiplies: bool,
    stddev: float,
    seed: int,
    stream: int,
    step: int,
    y: _Array,
    n_threads: int,
) -> None: ...
def round_randomly(
    values: int, x: _Array, seed: int, stream: int, step: int, y: _Array, n_threads: int
) -> None: ...
def pack_bits(x: _Array, count: bool, words: _Array, n_threads: int) -> None: ...
def packed_constant(
    n_in: int, n_out: int, weights: int, inputs: int, words: _Array, constant: _Array
) -> None: ...
def packed_scratch(itemsize: int, n_in: int) -> int: ...
def packed_forward(
    n_in: int,
    weights: int,
    inputs: int,
    words: _Array,
    constant: _Array,
    x: _Array,
    bias: _Array | None,
    activation: int,
    alpha: float,
    y: _Array,
    scratch: _Array | None,
    n_threads: int,
) -> None: ...
def batch_normalize(
    x: _Array,
    gamma: _Array | None,
    beta: _Array | None,
    mean: _Array,
    variance: _Array,
    epsilon: float,
    measure: bool,
    scratch: _Array,
    y: _Array,
    n_threads: int,
) -> None: ...
def batch_normalize_backward(
    dy: _Array,
    x: _Array,
    gamma: _Array | None,
    mean: _Array,
    variance: _Array,
    epsilon: float,
    frozen: bool,
    scratch: _Array,
    dx: _Array,
    dgamma: _Array,
    dbeta: _Array,
    n_threads: int,
) -> None: ...
def row_normalize(
    x: _Array,
    gamma: _Array | None,
    beta: _Array | None,
    centred: bool,
    epsilon: float,
    statistics: _Array | None,
    y: _Array,
    n_threads: int,
) -> None: ...
def row_normalize_backward(
    dy: _Array,
    x: _Array,
    gamma: _Array | None,
    centred: bool,
    statistics: _Array,
    dx: _Array,
    dgamma: _Array,
    dbeta: _Array | None,
    n_threads: int,
) -> None: ...
def prelu_forward(x: _Array, alpha: _Array, y: _Array, n_threads: int) -> None: ...
def prelu_backward(
    dy: _Array, x: _Array, alpha: _Array, dx: _Array, dalpha: _Array, n_threads: int
) -> None: ...
def srelu_forward(x: _Array, vectors: Sequence[_Array], y: _Array, n_threads: int) -> None: ...
def srelu_backward(
    dy: _Array, x: _Array, vectors: Sequence[_Array], dx: _Array, sums: Sequence[_Array], n_threads: int
) -> None: ...
def random_positions(seed: int, stream: int, n: int, count: int, positions: _Array, gone: _Array) -> None: ...
def compress_rows(positions: _Array, indptr: _Array, cols: int, indices: _Array) -> None: ...
def free_positions(indptr: _Array, cols: int, indices: _Array, ranks: _Array) -> None: ...
def merge_pattern(
    indptr: _Array,
    cols: int,
    indices: _Array,
    kept: _Array,
    positions: _Array,
    new_indptr: _Array,
    new_indices: _Array,
    origin: _Array,
) -> None: ...
def drop_smallest(values: _Array, sign: int, count: int, counts: _Array, kept: _Array) -> None: ...
def csr_forward(x: Any, w: _Array, bias: _Array | None, y: _Array, n_threads: int) -> None: ...
def csr_kernel_grad(x: Any, dz: _Array, g: _Array, n_threads: int) -> None: ...
def scatter(dy: _Array, index: _Array, out: _Array, n_threads: int) -> None: ...
