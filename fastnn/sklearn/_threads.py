"""How many threads a fit or a prediction may use."""

from __future__ import annotations

import os
from typing import Any

from joblib.parallel import get_active_backend

from fastnn._kernels.threads import effective_n_threads, get_num_threads

__all__ = ["threads_of"]


def threads_of(n_jobs: Any) -> int:
    """``n_jobs`` in joblib's sense; None is what fastnn uses where a call names none.

    Workers of joblib share the CPUs among themselves. Its processes find their part in OMP_NUM_THREADS, which fastnn
    heeds. Its threads find nothing, and are given one each.
    """
    if n_jobs is None:
        nested = getattr(get_active_backend()[0], "nesting_level", 0)
        return 1 if nested and "OMP_NUM_THREADS" not in os.environ else effective_n_threads(None)
    return effective_n_threads(int(n_jobs)) if n_jobs > 0 else max(1, get_num_threads() + 1 + int(n_jobs))
