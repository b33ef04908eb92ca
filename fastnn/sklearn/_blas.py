"""One thread for the BLAS of scipy while the engine's own threads work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["sequential_blas"]

_lock = threading.Lock()
_users = 0
_limit: Any = None


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()   # looks through all loaded libraries, which takes most of a millisecond


@contextmanager
def sequential_blas() -> Iterator[None]:
    """scipy's minimizer works on vectors too short for a second thread, which waits for the CPUs that the engine's
    threads have: with two pools on two busy cores a fit took ten times as long. The limit is the process's; the first
    fit sets it and the last one that ends takes it back."""
    global _users, _limit
    with _lock:
        if not _users:
            _limit = _controller().limit(limits="sequential_blas_under_openmp")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _limit.restore_original_limits()
