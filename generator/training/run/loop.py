"""The loop of a run: updates, metrics, snapshots, until the last iteration or a signal."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from types import FrameType

from generator.spec.schema import Solver
from generator.training.engine.batches import Batch, Batches
from generator.training.engine.learner import Learner
from generator.training.run.metrics import MetricsLog
from generator.training.run.patience import Patience
from generator.training.run.snapshots import Snapshots
from generator.training.run.testing import Tester

__all__ = ["Loop", "Progress", "prefetch", "stop_signals"]

# Batches made at a time: handing one over costs two threads as much as making it.
PREFETCHED = 16

# Called with the iteration, the loss and the samples per second, at most ten times a second.
Progress = Callable[[int, float, float], None]


class Loop:
    """Updates from where the learner stands to ``end``.

    Parameters
    ----------
    solver
        The spec's solver: max_iter, display, snapshot, test_interval, iter_size, batch_size.
    learner, batches
        What is trained, and on what.
    end
        Iteration to stop at, ``max_iter`` or before.
    limit
        Seconds of the run, earlier parts included, after which it stops before ``end``; None: it does not.
    tester, snapshots, metrics
        What the run writes; ``tester`` None: no test passes.
    stopping
        Ends the loop early, by the losses of the test passes; None: it goes to its end.
    progress
        Called now and then.

    Attributes
    ----------
    loss
        Mean loss of the last metrics line.
    seconds
        Wall time of the run up to the last metrics line, earlier parts included.
    samples_per_second
        Rows trained a second in this part, test passes and snapshots left out.
    """

    def __init__(
        self,
        solver: Solver,
        learner: Learner,
        batches: Batches,
        *,
        end: int,
        limit: float | None = None,
        tester: Tester | None,
        snapshots: Snapshots,
        metrics: MetricsLog,
        progress: Progress | None,
        stopping: Patience | None = None,
    ) -> None:
        self._solver, self._learner, self._batches, self._tester = solver, learner, batches, tester
        self._snapshots, self._metrics, self._progress = snapshots, metrics, progress
        self._end, self._limit, self._stopping = end, limit, stopping
        self.loss, self.seconds, self.samples_per_second = metrics.loss, metrics.seconds, 0.0
        self._started = time.perf_counter() - metrics.seconds

    def run(self) -> int:
        """Run to the end; return 0, or the number of the signal that stopped it after a snapshot.

        Raises
        ------
        TrainingError
            If the loss, the gradients or, at a snapshot, a weight is not finite.
        """
        solver, learner = self._solver, self._learner
        first = learner.iteration
        busy = reported = shown = 0.0
        losses: list[float] = []
        with stop_signals() as stop, prefetch(self._batches, first * solver.iter_size) as batches:
            last = first >= self._end or self._late() or bool(self._stopping and self._stopping.over)
            while not last:
                clock = time.perf_counter()
                losses.append(learner.step(batches))
                now = time.perf_counter()
                busy += now - clock
                self.samples_per_second = self._samples(learner.iteration - first) / busy
                if self._progress and (now - shown > 0.1 or learner.iteration == self._end):
                    self._progress(learner.iteration, losses[-1], self.samples_per_second)
                    shown = now
                if learner.stopped:
                    stop.append(signal.SIGINT)
                # Asked once an update: a signal from here on stops the next one, which then has its snapshot.
                last = learner.iteration == self._end or self._late() or bool(stop)
                saving = last or self._at(solver.snapshot)
                if self._at(solver.snapshot) or self._at(solver.test_interval):
                    learner.flush()
                if saving:
                    self._snapshots.save_rows(learner)
                if last or self._at(solver.display) or self._at(solver.test_interval):
                    gained = self._report(losses, busy - reported)
                    losses, reported = [], busy
                    last = last or bool(self._stopping and self._stopping.over)
                    if not saving and (gained or last):  # a test pass has flushed the tables
                        saving = True
                        self._snapshots.save_rows(learner)
                if saving:
                    self._snapshots.save(learner)
            return stop[0] if stop else 0

    def _late(self) -> bool:
        return self._limit is not None and time.perf_counter() - self._started >= self._limit

    def _at(self, interval: int) -> bool:
        return self._learner.iteration % interval == 0

    def _samples(self, updates: int) -> int:
        return updates * self._solver.iter_size * self._solver.batch_size

    def _report(self, losses: list[float], busy: float) -> bool:
        """Write one line of metrics, of the updates since the last one; return whether a test pass was the best."""
        tested: dict[str, float] = {}
        if self._tester and (self._at(self._solver.test_interval) or self._learner.iteration == self._solver.max_iter):
            self._learner.flush()
            tested = self._tester.run()
        self.loss = sum(losses) / len(losses)
        self.seconds = time.perf_counter() - self._started
        self._metrics.write(
            {
                "iteration": self._learner.iteration,
                "loss": self.loss,
                "lr": float(f"{self._learner.rate:.7g}"),
                "samples_per_second": round(self._samples(len(losses)) / busy, 1),
                "seconds": round(self.seconds, 3),
                **tested,
            }
        )
        if not tested or self._stopping is None:
            return False
        return self._stopping.add(self._learner.iteration, tested["valid_loss"])


@contextmanager
def prefetch(batches: Batches, start: int) -> Iterator[Iterator[Batch]]:
    """Yield the batches from number ``start`` on, made by a thread, a few while those before them are used."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:

        def made() -> Iterator[Batch]:
            coming = pool.submit(batches.some, start, PREFETCHED)
            for number in count(start + PREFETCHED, PREFETCHED):
                ready = coming.result()
                coming = pool.submit(batches.some, number, PREFETCHED)
                yield from ready

        yield made()


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yield a list that the first SIGINT or SIGTERM is appended to; a second one acts as it would without us."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        restore()

    for number in before:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        restore()
