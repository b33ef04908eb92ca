from typing_extensions import disjoint_base

@disjoint_base
class Team:
    n_threads: int
    n_groups: int
    n_lanes: int
    seconds: float
    def __init__(self, n_groups: int, n_lanes: int) -> None: ...

@disjoint_base
class Tuner:
    levels: list[list[Team]]
    best: Team
    fixed: Team | None
    steps: int
    def __init__(
        self, most: int, rows: int, work: float, kernel_bytes: float, forward: bool = False
    ) -> None: ...
    def level_seconds(self, level: int) -> float: ...
    def choose(self, left: int) -> Team: ...
    def note(self, team: Team, steps: int, seconds: float) -> int: ...

def counts(most: int) -> list[int]: ...
def shapes(n_threads: int, rows: int, columns_first: bool) -> list[Team]: ...
