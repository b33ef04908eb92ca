from typing import Final

LEVELS: Final[tuple[str, ...]]
ISA: Final[str]
DTYPES: Final[dict[str, int]]
SOURCES: Final[dict[str, int]]
FUNCTIONS: Final[dict[str, int]]
ACTIVATIONS: Final[dict[str, int]]
LAST_FROM_OUTPUT: Final[int]
LAST_ELEMENTWISE: Final[int]
POOLINGS: Final[dict[str, int]]
LOSSES: Final[dict[str, int]]
OPTIMIZERS: Final[dict[str, int]]
METRICS: Final[dict[str, int]]

def available_levels() -> tuple[str, ...]: ...
def panel_width(dtype: str) -> int: ...
