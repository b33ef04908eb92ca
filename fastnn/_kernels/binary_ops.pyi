from typing import Any

import numpy as np
from typing_extensions import disjoint_base

from fastnn._kernels.ops import DenseOp, Op

_Array = np.ndarray[Any, np.dtype[Any]]

@disjoint_base
class RoundedOp(DenseOp):
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
        values: int,
        threshold: float,
        stochastic: bool,
        stream: int,
    ) -> None: ...

class BitsOp(Op):
    def __init__(self, source: int, target: int, n: int, itemsize: int) -> None: ...

@disjoint_base
class PackedOp(Op):
    def __init__(
        self,
        source: int,
        target: int,
        n_in: int,
        n_out: int,
        weights: int,
        inputs: int,
        words: _Array,
        constant: _Array,
        activation: int,
        alpha: float,
        bias: int,
        bias_offset: int,
    ) -> None: ...
