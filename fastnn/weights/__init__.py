"""Everything one does with weights besides training them: carry them over, load, understand them."""

from fastnn.weights.transfer import TransferReport, transfer

__all__ = [
    "TransferReport",
    "transfer",
]
