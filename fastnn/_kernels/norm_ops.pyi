from collections.abc import Sequence

from typing_extensions import disjoint_base

from fastnn._kernels.ops import Op

@disjoint_base
class VectorsOp(Op):
    cols: int
    inner: int
    def __init__(
        self,
        source: int,
        target: int,
        n: int,
        cols: int,
        first: int,
        first_offset: int,
        second: int,
        second_offset: int,
        trainable: bool,
    ) -> None: ...

@disjoint_base
class BatchNormOp(VectorsOp):
    def __init__(
        self,
        source: int,
        target: int,
        n: int,
        cols: int,
        momentum: float,
        epsilon: float,
        gamma: int,
        gamma_offset: int,
        beta: int,
        beta_offset: int,
        mean_offset: int,
        variance_offset: int,
        trainable: bool,
    ) -> None: ...
    def absorb(self, op: Op) -> bool: ...

@disjoint_base
class RowNormOp(VectorsOp):
    def __init__(
        self,
        source: int,
        target: int,
        n: int,
        cols: int,
        centred: bool,
        epsilon: float,
        gamma: int,
        gamma_offset: int,
        beta: int,
        beta_offset: int,
        trainable: bool,
    ) -> None: ...

class PReluOp(VectorsOp):
    def __init__(
        self, source: int, target: int, n: int, cols: int, alpha: int, alpha_offset: int, trainable: bool
    ) -> None: ...

@disjoint_base
class SReluOp(VectorsOp):
    def __init__(
        self,
        source: int,
        target: int,
        n: int,
        cols: int,
        tensors: Sequence[int],
        offsets: Sequence[int],
        trainable: bool,
    ) -> None: ...

class ScaleOp(VectorsOp):
    def __init__(
        self, source: int, target: int, n: int, cols: int, scale: int, scale_offset: int, trainable: bool
    ) -> None: ...
