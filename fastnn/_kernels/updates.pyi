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
