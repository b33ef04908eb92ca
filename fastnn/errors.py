"""Errors of fastnn that are more than a wrong argument."""

__all__ = ["DivergenceError", "ModelFormatError"]


class DivergenceError(ArithmeticError):
    """The loss of a batch was NaN or infinite; the weights are those from before that batch.

    Attributes
    ----------
    epoch, batch : int
        Where it happened, counted from 1.
    """

    def __init__(self, message: str, epoch: int, batch: int) -> None:
        super().__init__(message)
        self.epoch, self.batch = epoch, batch

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.epoch, self.batch)


class ModelFormatError(ValueError):
    """A model file that is damaged, foreign, of an unknown version, or does not fit together."""
