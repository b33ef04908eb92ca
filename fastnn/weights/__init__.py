"""Everything one does with weights besides training them: carry them over, load, understand them."""

from fastnn.weights.loading import load_keras, load_pytorch
from fastnn.weights.transfer import TransferReport, transfer

__all__ = [
    "TransferReport",
    "load_keras",
    "load_pytorch",
    "transfer",
]
