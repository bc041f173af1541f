"""Where the work is done: jobs handed to processes, their outcomes as they come; the dead and the hung are replaced."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from generator.errors import in_words
from generator.jobs.cpus import ONE_THREAD, available

__all__ = ["TRIES", "Engine", "Outcome", "Processes", "Reply", "answer"]

J = TypeVar("J")
R = TypeVar("R")

TRIES = 2  # how often a job is begun whose worker is lost


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What became of a job: its ``value``, or the ``error`` that kept it from one.

    ``index`` is the job's place among the jobs, ``tries`` how often it was begun. ``machine`` says that the error is
    none of the job's, as on a full disk: on a sound machine there may be a value.
    """

    index: int
    value: R | None
    error: str | None
    tries: int
    machine: bool = False


class Reply(NamedTuple):
    """What a worker sends back for a job: `Outcome` without its place."""

    value: Any
    error: str | None = None
    machine: bool = False


class Engine(Protocol):
    """What runs jobs. A function must give the same answer wherever and in whatever order its jobs run."""

    def map(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[Outcome[R]]:
        """Yield the outcome of ``function`` for each of ``jobs`` as it comes, in any order.

        ``function`` is importable by name; jobs and values can be sent between processes. An exception of the
        function is an outcome; a job whose worker is lost is begun once more.
        """
        ...

    def close(self) -> None:
        """Stop all work."""
        ...


class Processes:
    """An `Engine` of processes on this machine, each with one thread, started when first needed.

    Parameters
    ----------
    workers
        Processes at most; 0: one for each core.
    timeout
        Seconds after which a worker that has not answered is taken for hung, and killed.
    """

    def __init__(self, workers: int = 0, timeout: float = 3600.0) -> None:
        self.workers = workers or available()
        self._timeout = timeout
        self._idle: list[_Worker] = []

    def map(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[Outcome[R]]:
        """As `Engine.map`; the jobs are begun in order."""
        waiting = deque((index, 1) for index in range(len(jobs)))
        busy: dict[Connection, _Worker] = {}
        outcomes: list[Outcome[R]] = []
        try:
            while waiting or busy or outcomes:
                while waiting and len(busy) < self.workers:
                    worker = self._idle.pop() if self._idle else _Worker()
                    worker.begin(function, jobs[waiting[0][0]], *waiting.popleft(), time.monotonic() + self._timeout)
                    busy[worker.connection] = worker
                # Handed over only now, so that no worker waits for what is done with them.
                yield from outcomes
                outcomes = []
                if not busy:
                    continue
                patience = max(0.0, min(worker.deadline for worker in busy.values()) - time.monotonic())
                ready = multiprocessing.connection.wait(list(busy), patience)
                for connection, worker in list(busy.items()):
                    if connection in ready:
                        answer, lost = worker.answer()
                    elif worker.deadline <= time.monotonic():
                        answer, lost = None, f"no answer in {self._timeout:g} s"
                    else:
                        continue
                    del busy[connection]
                    if answer is not None:
                        self._idle.append(worker)
                        outcomes.append(Outcome(worker.index, answer.value, answer.error, worker.tries, answer.machine))
                        continue
                    worker.kill()
                    if worker.tries < TRIES:
                        waiting.append((worker.index, worker.tries + 1))
                    else:
                        error = f"its worker was lost, {TRIES} times: {lost}"
                        outcomes.append(Outcome(worker.index, None, error, worker.tries))
        finally:
            for worker in busy.values():
                worker.kill()

    def close(self) -> None:
        """Stop the processes."""
        while self._idle:
            self._idle.pop().kill()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class _Worker:
    """One process and the job it is at."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        before = {name: os.environ.get(name) for name in ONE_THREAD}
        os.environ.update(ONE_THREAD)
        try:
            self._process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        theirs.close()
        self.index, self.tries, self.deadline = 0, 0, 0.0

    def begin(self, function: Callable[..., Any], job: object, index: int, tries: int, deadline: float) -> None:
        """Send a job."""
        self.index, self.tries, self.deadline = index, tries, deadline
        with contextlib.suppress(OSError):  # it died since its last job: the answer will say so
            self.connection.send((function, job))

    def answer(self) -> tuple[Reply | None, str]:
        """Return the answer; or, if the worker died, None and how."""
        try:
            return Reply(*self.connection.recv()), ""
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            return None, f"killed by signal {-code}" if code < 0 else f"it exited with status {code}"

    def kill(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def answer(function: Callable[[Any], Any], job: object) -> Reply:
    """Return what ``function`` makes of ``job``, or the error in words and whether the machine is to blame for it."""
    try:
        return Reply(function(job))
    except Exception as error:  # the boundary of the worker: whatever it was, it is the job's outcome
        return Reply(None, in_words(error), _of_the_machine(error))


def _of_the_machine(error: BaseException | None) -> bool:
    """Say whether an error is, or was caused by, one of the system's: a full disk, too many open files, no memory."""
    if error is None or isinstance(error, (OSError, MemoryError)):
        return error is not None
    return _of_the_machine(error.__cause__)


def _serve(connection: Connection) -> None:
    """Reply jobs until the parent is gone."""
    os.setpgid(0, 0)  # a Ctrl-C on the terminal is the parent's affair
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while True:
        try:
            function, job = connection.recv()
        except EOFError:
            return
        connection.send(answer(function, job))


def _die_with_parent() -> None:
    """End this process as soon as its parent is gone, be it killed: a resumed run must not meet its old workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
