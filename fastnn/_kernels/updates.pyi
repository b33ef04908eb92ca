from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from typing_extensions import disjoint_base

_Array = np.ndarray[Any, np.dtype[Any]]

@disjoint_base
class Whole:
    clipnorm: float
    global_clipnorm: float
    def __init__(
        self,
        table: _Array,
        directions: Sequence[str],
        size: int,
        dtype: str,
        nr: int,
        zeros: Callable[[int, Any], _Array],
    ) -> None: ...

def step_tensor(
    direction: str,
    kind: int,
    param: _Array,
    grad: _Array,
    slots: Sequence[_Array],
    hyper: Sequence[float],
    learning_rate: float,
    weight_decay: float,
    step: int,
    n_threads: int,
    zeros: Callable[[int, Any], _Array],
) -> None: ...
