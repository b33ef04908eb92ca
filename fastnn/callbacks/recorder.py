"""Recorder: a callback that only looks on, and never costs a training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from fastnn.callbacks.base import Callback

__all__ = ["Recorder", "needs"]


class Recorder(Callback):
    """Base of `TensorBoard` and `WeightMovie`: what fails in them is said once, and training goes on without."""

    remedy = ""

    def __init__(self) -> None:
        super().__init__()
        self._failed: set[str] = set()

    def _safely(self, record: Callable[..., Any], *arguments: Any, part: str = "") -> Any:
        """What a call returns that may fail, once: None from there on. With it ends the part that is named, or all."""
        if self._failed & {"", part}:
            return None
        try:
            return record(*arguments)
        except Exception as error:  # whatever it is, hours of training are worth more
            self._failed.add(part)
            if not part:
                self._abandon()
            warnings.warn(f"{type(self).__name__}{part and ' of ' + part} ends here, and training goes on without it: "
                          f"{type(error).__name__}: {error}. {self.remedy}", UserWarning, stacklevel=3)
            return None

    def _abandon(self) -> None:
        """Let go of what a failure has left behind; must not raise."""


def needs(callback: str, module: str, package: str) -> None:
    """ImportError with the remedy, unless `module` can be imported."""
    try:
        __import__(module)
    except ImportError as error:
        raise ImportError(f'{callback} needs {package}, which is not installed: pip install "fastnn[viz]"') from error
