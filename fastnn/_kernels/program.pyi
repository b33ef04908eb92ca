from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from typing_extensions import disjoint_base

from fastnn._kernels.dispatch import DTYPES as DTYPES
from fastnn._kernels.dispatch import LAST_ELEMENTWISE as LAST_ELEMENTWISE
from fastnn._kernels.dispatch import LAST_FROM_OUTPUT as LAST_FROM_OUTPUT
from fastnn._kernels.dispatch import LOSSES as LOSSES
from fastnn._kernels.dispatch import METRICS as METRICS
from fastnn._kernels.dispatch import OPTIMIZERS as OPTIMIZERS
from fastnn._kernels.ops import Op
from fastnn._kernels.ops import errors as errors
from fastnn._kernels.sparse_ops import Index
from fastnn._kernels.teams import Tuner

_Array = np.ndarray[Any, np.dtype[Any]]
_MetricSpec = tuple[str, float, _Array]
_Rule = tuple[str, Sequence[float], float, float]
_Tick = Callable[[int, float], object]

def row_stride(cols: int, itemsize: int) -> int: ...
def aligned_zeros(n: int, dtype: Any, skew: int = 0) -> _Array: ...

@disjoint_base
class Program:
    ops: list[Op]
    widths: list[int]
    groups: list[tuple[float, int]]
    tensor_table: _Array
    n_penalties: int
    n_extra: int
    n_inputs: int
    n_outputs: int
    dtype: str
    transposed_size: int
    work: float
    trains: bool
    keeps_gradients: bool
    has_python: bool
    sparse: bool
    lazy: bool
    def __init__(
        self,
        dtype: str,
        n_inputs: int,
        rules: dict[int, int] | None = None,
        sparse: bool = False,
        lazy: bool = False,
    ) -> None: ...
    def tensor(
        self, offset: int, shape: Sequence[int], multiplier: float = 1.0, trainable: bool = True
    ) -> int: ...
    def dense(
        self,
        source: int,
        n_out: int,
        activation: int,
        alpha: float,
        kernel: int,
        bias: int,
        trainable: bool,
        flip: bool = False,
    ) -> int: ...
    def rounded_dense(
        self,
        source: int,
        n_out: int,
        activation: int,
        alpha: float,
        kernel: int,
        bias: int,
        trainable: bool,
        values: int,
        threshold: float,
        stochastic: bool,
    ) -> int: ...
    def bits(self, source: int) -> int: ...
    def packed_dense(
        self,
        source: int,
        n_in: int,
        n_out: int,
        weights: int,
        inputs: int,
        words: _Array,
        constant: _Array,
        activation: int,
        alpha: float,
        bias: int,
    ) -> int: ...
    def conv(
        self,
        source: int,
        window: tuple[int, ...],
        filters: int,
        activation: int,
        alpha: float,
        kernel: int,
        bias: int,
        trainable: bool,
    ) -> int: ...
    def sparse_dense(
        self,
        source: int,
        index: Index,
        activation: int,
        alpha: float,
        kernel: int,
        bias: int,
        trainable: bool,
    ) -> int: ...
    def replace_index(self, kernel_offset: int, new: Index) -> None: ...
    def pool(self, source: int, kind: int, window: tuple[int, ...]) -> int: ...
    def activation(self, source: int, activation: int, alpha: float, last: int = 0) -> int: ...
    def dropout(
        self,
        source: int,
        rate: float,
        seed: int | None = None,
        scale: float = 0.0,
        offset: float = 0.0,
        other: float = 0.0,
    ) -> int: ...
    def gaussian(self, source: int, multiplies: bool, stddev: float, seed: int | None = None) -> int: ...
    def batch_norm(
        self,
        source: int,
        cols: int,
        momentum: float,
        epsilon: float,
        gamma: int,
        beta: int,
        mean: int,
        variance: int,
        trainable: bool,
    ) -> int: ...
    def row_norm(
        self, source: int, cols: int, centred: bool, epsilon: float, gamma: int, beta: int, trainable: bool
    ) -> int: ...
    def prelu(self, source: int, cols: int, alpha: int, trainable: bool) -> int: ...
    def srelu(self, source: int, cols: int, tensors: Sequence[int], trainable: bool) -> int: ...
    def scale(self, source: int, cols: int, scale: int, trainable: bool) -> int: ...
    def affine(self, source: int, scale: float, offset: float) -> int: ...
    def fork(self, source: int) -> int: ...
    def add(self, a: int, b: int) -> int: ...
    def concatenate(self, sources: Sequence[int], sizes: Sequence[int]) -> int: ...
    def columns(self, source: int, index: _Array) -> int: ...
    def embedding(self, source: int, limit: int, dim: int, table: int, trainable: bool, name: str) -> int: ...
    def python(
        self, source: int, n_out: int, layer: Any, tensors: Sequence[int], trainable: bool
    ) -> int: ...
    def penalty(self, tensor: int, l1: float, l2: float) -> None: ...
    def orthogonal_penalty(self, tensor: int, columns: bool, scale: float) -> None: ...
    def python_penalty(self, tensor: int, shape: Sequence[int], regularizer: Any) -> None: ...
    def norm_constraint(
        self, tensor: int, rows: int, cols: int, columns: bool, low: float, high: float, rate: float
    ) -> None: ...
    def non_negative(self, tensor: int) -> None: ...
    def clip_constraint(self, tensor: int, limit: float) -> None: ...
    def python_constraint(self, tensor: int, shape: Sequence[int], constraint: Any) -> None: ...
    def activity(self, source: int, l1: float, l2: float) -> int: ...
    def finish(self, training: bool, loss: Any = None, inputs: bool = False) -> None: ...
    def two_phases(self, rows: float, n_threads: int) -> bool: ...

@disjoint_base
class Workspace:
    program: Program
    max_rows: int
    nbytes: int
    def __init__(
        self,
        program: Program,
        param: _Array,
        max_rows: int,
        grad: _Array | None = None,
        slots: Sequence[_Array] = (),
        mask: _Array | None = None,
    ) -> None: ...

@disjoint_base
class Data:
    n: int
    n_classes: int
    keep: tuple[Any, _Array | None, _Array | None, _Array | None]
    def __init__(
        self,
        x: Any,
        labels: _Array | None = None,
        targets: _Array | None = None,
        weight: _Array | None = None,
        n_classes: int = 0,
    ) -> None: ...
    sparse: bool
    def part(self, first: int, last: int) -> Data: ...

@disjoint_base
class Optimizer:
    directions: tuple[str, ...]
    memory: _Array
    slots: tuple[_Array, ...]
    average: _Array | None
    accumulated: _Array | None
    needs_whole_gradients: bool
    step: int
    def __init__(
        self,
        rules: Sequence[_Rule],
        slots: Sequence[_Array],
        average: _Array | None = None,
        accumulated: _Array | None = None,
        clipnorm: float = 0,
        clipvalue: float = 0,
        global_clipnorm: float = 0,
        ema_momentum: float = 0,
        ema_overwrite_frequency: int = 0,
        accumulation_steps: int = 1,
    ) -> None: ...
    def set_rules(self, rules: Sequence[_Rule]) -> None: ...
    @property
    def blocks(self) -> tuple[_Array, ...]: ...

@disjoint_base
class Runner:
    work: Workspace
    def __init__(self, work: Workspace) -> None: ...
    def tuner(self, n_threads: int, rows: int) -> Tuner: ...
    def cut_units(self, n_threads: int) -> tuple[int, _Array]: ...
    def share_units(self, n_threads: int, cols: int) -> tuple[float, _Array]: ...
    def train(
        self,
        data: Data,
        optimizer: Optimizer,
        index: _Array | None,
        batch: int,
        rates: float | _Array,
        seed: int,
        n_threads: int,
        metrics: Sequence[_MetricSpec] = (),
        tick: _Tick | None = None,
        first: int = 0,
        loss_sum: float = 0.0,
        each: Callable[[int, float], float | None] | None = None,
        every: int = 1,
        penalty_scales: _Array | None = None,
    ) -> tuple[float, int, bool, bool]: ...
    @property
    def penalty_sum(self) -> float: ...
    def gradients(
        self, data: Data, seed: int, n_threads: int, training: bool = False, penalty_scale: float = 1.0
    ) -> tuple[float, bool]: ...
    def input_gradients(self, out: _Array) -> _Array: ...
    def last_batch(self, kernel_offset: int) -> tuple[_Array, _Array]: ...
    def evaluate(
        self, data: Data, n_threads: int, metrics: Sequence[_MetricSpec] = (), loss_sum: float = 0.0
    ) -> float: ...
    def predict(self, data: Data, out: _Array, n_threads: int) -> _Array: ...

@disjoint_base
class Pool:
    program: Program
    idle: list[Runner]
    def __init__(self, program: Program, param: _Array) -> None: ...
    def predict(self, x: Any, n_threads: int) -> _Array: ...
    def evaluate(
        self, data: Data, n_threads: int, metrics: Sequence[_MetricSpec] = (), loss_sum: float = 0.0
    ) -> float: ...

N_SLOTS: dict[str, int]
DIRECTIONS: tuple[str, ...]
TENSOR: np.dtype[np.void]

def metric_state_size(kind: str, param: float, n_outputs: int) -> int: ...
def of_loss(method: str, result: Any, shape: tuple[int, ...]) -> _Array: ...
