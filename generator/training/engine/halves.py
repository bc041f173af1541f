"""Work on an array that two threads share."""

from collections.abc import Callable
from concurrent.futures import Executor

__all__ = ["in_halves"]

# Elements of an update that are worth a second thread.
WORTH_THREADS = 1 << 17


def in_halves(work: Callable[[slice], None], size: int, width: int = 1, *, step: int, helper: Executor | None) -> None:
    """Do the work on all places from 0 to ``size``, large work on two slices of them at the same time.

    Parameters
    ----------
    work
        What to do with a slice; on two of them it makes the bits that it makes on one.
    size, width
        Places, and the elements of one.
    step
        The first slice ends at a multiple of it.
    helper
        Where the first slice is worked on; None: there is one slice.
    """
    half = size // 2 // step * step if helper and size * width >= WORTH_THREADS else 0
    begun = helper.submit(work, slice(0, half)) if helper and half else None
    work(slice(half, size))
    if begun:
        begun.result()
