"""What ends a fit before its end."""

from generator.errors import DrnError

__all__ = ["Stopped"]


class Stopped(DrnError):
    """A signal ended a training; what was done is kept.

    Attributes
    ----------
    signal
        Its number.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal
