"""A page that tells of a training: `fastnn.report`."""

from fastnn.reports.document import report

__all__ = ["report"]
