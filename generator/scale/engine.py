"""The engine of `drn tune` on Ray: a job is a task of one core."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from generator.jobs.cpus import ONE_THREAD
from generator.jobs.workers import TRIES, Outcome, Reply, answer
from generator.scale.cluster import first_line, remote

__all__ = ["RayTasks"]

J = TypeVar("J")
R = TypeVar("R")


class RayTasks:
    """An `Engine` of Ray tasks; be connected to Ray while it is used.

    Parameters
    ----------
    workers
        Tasks at a time; 0: as many as the cluster has room for.
    timeout
        Seconds after which a task that has begun and has not answered is taken for hung, and its process ended.
    """

    def __init__(self, workers: int = 0, timeout: float = 3600.0) -> None:
        self._workers, self._timeout = workers, timeout

    def map(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[Outcome[R]]:
        """As `Engine.map`; a task whose process or node is lost is begun once more."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        task = remote(_task, num_cpus=1, max_retries=0, runtime_env={"env_vars": ONE_THREAD})
        waiting = deque((index, 1) for index in range(len(jobs)))
        running: dict[Any, tuple[int, int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < (self._workers or len(jobs)):
                    index, tries = waiting.popleft()
                    running[task.remote(function, jobs[index], self._timeout)] = (index, tries)
                (reference, *_), _ = ray.wait(list(running), num_returns=1)
                index, tries = running.pop(reference)
                try:
                    found = Reply(*ray.get(reference))
                except RayTaskError as failed:  # not by the job, but around it: it could not be read there, say
                    found = Reply(None, f"{type(failed.cause).__name__}: {first_line(failed.cause)}")
                except RayError as lost:
                    if tries < TRIES:
                        waiting.append((index, tries + 1))
                        continue
                    found = Reply(None, f"its worker was lost, {TRIES} times: {first_line(lost)}")
                yield Outcome(index, found.value, found.error, tries, found.machine)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def close(self) -> None:
        """Nothing is left between two calls of `map`: the cluster keeps its own processes."""

    def __enter__(self) -> "RayTasks":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _task(function: Callable[[Any], Any], job: object, timeout: float) -> Reply:
    """Reply one job; a process that takes too long ends itself, for only here it is known when the job began."""
    alarm = threading.Timer(timeout, os._exit, (1,))
    alarm.daemon = True
    alarm.start()
    try:
        return answer(function, job)
    finally:
        alarm.cancel()
