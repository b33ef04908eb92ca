from typing import Any

import numpy as np
from typing_extensions import disjoint_base

from fastnn._kernels.ops import DenseOp

_Array = np.ndarray[Any, np.dtype[Any]]

@disjoint_base
class Index:
    n_in: int
    n_out: int
    nnz: int
    def __init__(self, n_in: int, n_out: int, indptr: _Array, indices: _Array) -> None: ...
    def by_columns(self) -> tuple[_Array, _Array, _Array]: ...
    def places_in(self, other: Index) -> _Array: ...

@disjoint_base
class SparseDenseOp(DenseOp):
    index: Index
    def __init__(
        self,
        source: int,
        target: int,
        index: Index,
        activation: int,
        alpha: float,
        kernel: int,
        kernel_offset: int,
        bias: int,
        bias_offset: int,
        trainable: bool,
    ) -> None: ...
    def replace_index(self, new: Index, read: bool) -> None: ...
    def reserve(self, max_rows: int, itemsize: int) -> None: ...
