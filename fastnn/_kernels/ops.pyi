from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from typing_extensions import disjoint_base

from fastnn._kernels.dispatch import LAST_ELEMENTWISE as LAST_ELEMENTWISE
from fastnn._kernels.dispatch import LAST_FROM_OUTPUT as LAST_FROM_OUTPUT

_Array = np.ndarray[Any, np.dtype[Any]]

errors: Final[dict[int, BaseException]]

@disjoint_base
class Op:
    source: int
    target: int
    sources: tuple[int, ...]
    n_in: int
    n_out: int
    trainable: bool
    def __init__(self, source: int, target: int, n_in: int, n_out: int, trainable: bool = False) -> None: ...
    def join_below(self, below: DenseOp) -> None: ...

@disjoint_base
class DenseOp(Op):
    def __init__(
        self,
        source: int,
        target: int,
        n_in: int,
        n_out: int,
        activation: int,
        alpha: float,
        kernel: int,
        kernel_offset: int,
        bias: int,
        bias_offset: int,
        trainable: bool,
    ) -> None: ...
    flip: bool
    owner: DenseOp | None
    users: list[DenseOp]
    def tie(self, owner: DenseOp, flip: bool) -> None: ...

class CsrDenseOp(DenseOp):
    def __init__(self, *arguments: Any) -> None: ...

@disjoint_base
class ActivationOp(Op):
    def __init__(
        self, source: int, target: int, n: int, activation: int, alpha: float, last: int = 0
    ) -> None: ...

@disjoint_base
class DropoutOp(Op):
    def __init__(
        self,
        source: int,
        target: int,
        n: int,
        rate: float,
        scale: float,
        offset: float,
        other: float,
        stream: int,
        seed: int | None = None,
    ) -> None: ...

@disjoint_base
class GaussianOp(Op):
    def __init__(
        self,
        source: int,
        target: int,
        n: int,
        multiplies: bool,
        stddev: float,
        stream: int,
        seed: int | None = None,
    ) -> None: ...

@disjoint_base
class AffineOp(Op):
    def __init__(self, source: int, target: int, n: int, scale: float, offset: float) -> None: ...

class ForkOp(Op):
    def __init__(self, source: int, target: int, n: int) -> None: ...

@disjoint_base
class AddOp(Op):
    copies: bool
    def __init__(self, a: int, b: int, target: int, n: int) -> None: ...
    def share_gradient(self) -> None: ...

@disjoint_base
class ConcatOp(Op):
    def __init__(
        self, sources: Sequence[int], sizes: Sequence[int], copied: Sequence[bool], target: int, groups: int
    ) -> None: ...

@disjoint_base
class ColumnsOp(Op):
    view: bool
    def __init__(self, source: int, target: int, n_in: int, index: _Array) -> None: ...

@disjoint_base
class EmbeddingOp(Op):
    def __init__(
        self,
        source: int,
        target: int,
        n_in: int,
        table: int,
        offset: int,
        limit: int,
        dim: int,
        trainable: bool,
        name: str,
    ) -> None: ...
    def error(self, row: int, column: int) -> ValueError: ...

@disjoint_base
class ActivityOp(Op):
    def __init__(self, source: int, n: int, l1: float, l2: float) -> None: ...

@disjoint_base
class PythonOp(Op):
    def __init__(
        self,
        source: int,
        target: int,
        n_in: int,
        n_out: int,
        layer: Any,
        tensors: Sequence[int],
        trainable: bool,
    ) -> None: ...
