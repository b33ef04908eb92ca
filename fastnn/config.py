"""What was built, and what this machine makes of it."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from fastnn._kernels import dispatch, threads
from fastnn.named import one_of
from fastnn.version import __version__

__all__ = ["show_config"]


def cpu_name() -> str:
    """The CPU's own name, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print what fastnn was built with and what it chose on this machine.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default "stdout"
        "dicts" returns the same as a dict instead of printing it.

    Raises
    ------
    ValueError
        For another mode.

    Examples
    --------
    >>> import fastnn as fnn
    >>> fnn.show_config(mode="dicts")["instruction set"] in ("avx512", "avx2", "baseline")
    True
    """
    one_of("mode", mode, ("stdout", "dicts"))
    openmp = threads.openmp_version()
    config = {
        "fastnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cpu": cpu_name(),
        "instruction set": dispatch.ISA,
        "instruction sets available": ", ".join(dispatch.available_levels()),
        "openmp": openmp or "not found when fastnn was built: everything runs on one thread",
        "threads": threads.get_num_threads(),
    }
    if mode == "dicts":
        return config
    width = max(map(len, config))
    print("\n".join(f"{key:<{width}}  {value}" for key, value in config.items()))
    return None
