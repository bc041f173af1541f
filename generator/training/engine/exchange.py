"""What learners that train one net together ask of whatever connects them."""

from typing import Any, Protocol

import numpy.typing as npt

from generator.training.engine.batches import Batch

__all__ = ["Exchange"]


class Exchange(Protocol):
    """One of ``size`` learners, each with the same batches, weights and history, that make every update together.

    Attributes
    ----------
    size
        Learners.
    stopping
        Whether this learner was asked to stop; all stop after the same update.
    """

    size: int
    stopping: bool

    def shard(self, batch: Batch) -> tuple[Batch, float]:
        """Return this learner's rows of a batch, and their share of its labels."""
        ...

    def all_reduce(self, array: npt.NDArray[Any]) -> None:
        """Make ``array`` the sum of the learners' arrays, in place, the same bits everywhere."""
        ...

    def broadcast(self, array: npt.NDArray[Any]) -> None:
        """Make ``array`` that of the first learner, in place."""
        ...
