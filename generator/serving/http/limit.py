"""A time limit that costs a request no timer of its own."""

import asyncio
from types import TracebackType

__all__ = ["TimeLimit"]


class TimeLimit:
    """A context manager that raises TimeoutError in a task that is within it for too long.

    All tasks within it share one timer, that of the longest there: no two limits of a task may overlap.

    Parameters
    ----------
    seconds
        How long a task may be within it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._within: dict[asyncio.Task[object], float] = {}  # with their ends, soonest first
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        """Begin to count."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None:
            raise RuntimeError("a time limit is a task's")
        self._within[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        """Let the task go; TimeoutError if it was cancelled for being late."""
        task = asyncio.current_task()
        if task is None:
            return
        self._within.pop(task, None)
        if task in self._late:
            self._late.discard(task)
            if isinstance(error, asyncio.CancelledError):
                raise TimeoutError from error

    def _look(self) -> None:
        """Cancel the tasks that are late, and come again when the next one will be."""
        loop, self._timer = asyncio.get_running_loop(), None
        while self._within:
            task, end = next(iter(self._within.items()))
            if end > loop.time():
                self._timer = loop.call_at(end, self._look)
                return
            del self._within[task]
            self._late.add(task)
            task.cancel()
