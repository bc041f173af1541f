"""Work done by threads: numpy, polars and HDF5 let go of the interpreter while they work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

from generator.jobs.cpus import available

__all__ = ["parallel_map", "prefetched"]

T = TypeVar("T")
R = TypeVar("R")

WORKERS = 4  # partitions of a log that are worked on, and so in memory, at a time, at most


def prefetched(values: Iterable[T]) -> Iterator[T]:
    """Yield the values, each made by a thread while the one before it is used."""
    iterator, end = iter(values), object()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        coming = pool.submit(next, iterator, end)
        while (value := coming.result()) is not end:
            coming = pool.submit(next, iterator, end)
            yield cast(T, value)


def parallel_map(work: Callable[[T], R], values: Sequence[T]) -> list[R]:
    """Return what ``work`` makes of each of the values, in their order; a few are worked on at a time."""
    if len(values) == 1:
        return [work(values[0])]
    with ThreadPoolExecutor(min(WORKERS, available()), thread_name_prefix="partition") as pool:
        return list(pool.map(work, values))
