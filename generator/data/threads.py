"""Work done by threads: numpy, polars and HDF5 let go of the interpreter while they work."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeAlias, TypeVar, cast

from generator.jobs.cpus import available

__all__ = ["Progress", "ahead", "counted", "parallel_map", "prefetched", "unwatched"]

T = TypeVar("T")
R = TypeVar("R")

# Called with the name of a stage, what is done of it, and its total, which may be an estimate.
Progress: TypeAlias = Callable[[str, float, float | None], None]

WORKERS = 4  # partitions of a log that are worked on, and so in memory, at a time, at most


def unwatched(_name: str, _done: float, _total: float | None) -> None:
    """Drop the progress: nobody watches."""


def counted(progress: Progress, name: str, total: float | None) -> Callable[[int], None]:
    """Return what adds to the count of a stage that several threads work at, and tells ``progress``."""
    lock, done = Lock(), 0

    def add(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            progress(name, done, total)

    return add


def prefetched(values: Iterable[T]) -> Iterator[T]:
    """Yield the values, each made by a thread while the one before it is used."""
    iterator, end = iter(values), object()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        coming = pool.submit(next, iterator, end)
        while (value := coming.result()) is not end:
            coming = pool.submit(next, iterator, end)
            yield cast(T, value)


def ahead(work: Callable[[T], R], values: Iterable[T], threads: int) -> Iterator[tuple[T, R]]:
    """Yield each of the values with what ``work`` makes of it, in order; the next ``threads`` are made meanwhile."""
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        begun: deque[tuple[T, Future[R]]] = deque()
        for value in values:
            begun.append((value, pool.submit(work, value)))
            if len(begun) > threads:
                first, made = begun.popleft()
                yield first, made.result()
        for first, made in begun:
            yield first, made.result()


def parallel_map(work: Callable[[T], R], values: Sequence[T]) -> list[R]:
    """Return what ``work`` makes of each of the values, in their order; a few are worked on at a time."""
    if len(values) == 1:
        return [work(values[0])]
    with ThreadPoolExecutor(min(WORKERS, available()), thread_name_prefix="partition") as pool:
        return list(pool.map(work, values))
