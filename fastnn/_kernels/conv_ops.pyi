from typing_extensions import disjoint_base

from fastnn._kernels.ops import DenseOp, Op

@disjoint_base
class ConvOp(DenseOp):
    def __init__(
        self,
        source: int,
        target: int,
        window: tuple[int, ...],
        filters: int,
        activation: int,
        alpha: float,
        kernel: int,
        kernel_offset: int,
        bias: int,
        bias_offset: int,
        trainable: bool,
    ) -> None: ...

@disjoint_base
class PoolOp(Op):
    def __init__(self, source: int, target: int, kind: int, window: tuple[int, ...]) -> None: ...
