"""Many requests, one call: what waits while a batch is at work goes into the next."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic, TypeVar

__all__ = ["Batcher", "OverloadError"]

T = TypeVar("T")
R = TypeVar("R")


class OverloadError(Exception):
    """More requests wait than may; come again later."""


class Batcher(Generic[T, R]):
    """A function of a list, called for single items: it gets all that wait, in the order they came.

    Parameters
    ----------
    work
        Called in ``executor`` with the items of a batch; returns a result for each, or an exception to raise for it.
    executor
        Its threads.
    workers
        Batches at work at a time.
    largest
        Items in a batch.
    capacity
        Items that may wait; one more raises `OverloadError`.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        executor: Executor,
        *,
        workers: int = 1,
        largest: int = 64,
        capacity: int = 1024,
    ) -> None:
        self._work, self._executor, self._largest, self._capacity = work, executor, largest, capacity
        self._idle = workers
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()

    async def __call__(self, item: T) -> R:
        """Return the result for ``item``; an exception of ``work`` is raised for every item of its batch."""
        if len(self._waiting) >= self._capacity:
            raise OverloadError
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._begin()
        return await future

    def _begin(self) -> None:
        while self._idle and self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]
            self._idle -= 1
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._executor, self._work, [item for item, _ in batch])
            running.add_done_callback(partial(self._end, batch))

    def _end(self, batch: list[tuple[T, "asyncio.Future[R]"]], done: "asyncio.Future[Sequence[R | Exception]]") -> None:
        self._idle += 1
        failure = done.exception()
        results = [failure] * len(batch) if failure else done.result()
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # the client has gone, or its time was up
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._begin()
