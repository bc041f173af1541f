"""What learners that train one net together ask of whatever connects them."""

from typing import Any, Protocol

import numpy.typing as npt

__all__ = ["Exchange"]


class Exchange(Protocol):
    """One of ``size`` learners, each with the same batches, weights and history, that make every update together.

    Attributes
    ----------
    rank, size
        Which learner this is, from 0, and how many there are; the rows of a batch are divided evenly.
    stopping
        Whether this learner was asked to stop; all stop after the same update.
    """

    rank: int
    size: int
    stopping: bool

    def all_reduce(self, array: npt.NDArray[Any]) -> None:
        """Make ``array`` the sum of the learners' arrays, in place, the same bits everywhere."""
        ...

    def broadcast(self, array: npt.NDArray[Any]) -> None:
        """Make ``array`` that of the first learner, in place."""
        ...
