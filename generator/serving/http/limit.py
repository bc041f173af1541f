"""A time limit that costs a request no timer of its own."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["TimeLimit"]

T = TypeVar("T")


class TimeLimit:
    """A time limit for the work of tasks; all of them share one timer, that of the one that began first.

    Parameters
    ----------
    seconds
        How long the work of a task may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: dict[asyncio.Task[object], float] = {}  # soonest first
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, work: Awaitable[T]) -> T:
        """Return the result of ``work``; TimeoutError if it takes too long. A task has one work at a time."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None:
            raise RuntimeError("a time limit is for the work of a task")
        self._ends[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look)
        try:
            return await work
        except asyncio.CancelledError as error:
            if task in self._late:
                raise TimeoutError from error
            raise
        finally:
            self._ends.pop(task, None)
            self._late.discard(task)

    def _look(self) -> None:
        """Cancel the tasks that are late, and come again when the next one will be."""
        loop, self._timer = asyncio.get_running_loop(), None
        while self._ends:
            task, end = next(iter(self._ends.items()))
            if end > loop.time():
                self._timer = loop.call_at(end, self._look)
                return
            del self._ends[task]
            self._late.add(task)
            task.cancel()
