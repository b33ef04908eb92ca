from collections.abc import Sequence
from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Restraint:
    tensor: int
    def __init__(self, tensor: int, rows: int, cols: int) -> None: ...

@disjoint_base
class OrthogonalPenalty(Restraint):
    def __init__(self, tensor: int, rows: int, cols: int, columns: bool, scale: float) -> None: ...

@disjoint_base
class PythonPenalty(Restraint):
    def __init__(self, tensor: int, shape: Sequence[int], regularizer: Any) -> None: ...

@disjoint_base
class NormConstraint(Restraint):
    def __init__(
        self, tensor: int, rows: int, cols: int, columns: bool, low: float, high: float, rate: float
    ) -> None: ...

class NonNegative(Restraint): ...

@disjoint_base
class ClipConstraint(Restraint):
    def __init__(self, tensor: int, rows: int, cols: int, limit: float) -> None: ...

@disjoint_base
class PythonConstraint(Restraint):
    def __init__(self, tensor: int, shape: Sequence[int], constraint: Any) -> None: ...
