"""A replica of a training: one learner of several, in a process of its own."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generator.errors import DrnError
from generator.scale.gloo import Gloo, rendezvous
from generator.spec.schema import Spec
from generator.training.engine.exchange import Exchange
from generator.training.engine.learner import Learner
from generator.training.run.generated import Generated
from generator.training.run.loop import prefetch
from generator.training.run.rows import load_training, training_batches
from generator.training.run.train import Result, TrainOptions, train

__all__ = ["Replica", "follow"]


class Replica:
    """What a Ray actor holds. Rank 0 trains as `train` does, and writes; the others follow it, and write nothing.

    Parameters
    ----------
    rank, size
        Which replica, of how many.
    """

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size
        self._store: Any = None
        self._exchange: Gloo | None = None
        self._stopping = threading.Event()
        self._at: tuple[int, float, float] | None = None
        self._notes: list[str] = []

    def host(self) -> tuple[str, int]:
        """Open the store of the team on this node; return its address."""
        import ray

        address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self._store = rendezvous(address, 0, first=True)
        return address, self._store.port

    def train(
        self, address: tuple[str, int], spec: Spec, data: Path, run: Path, options: TrainOptions
    ) -> Result | DrnError | None:
        """Train to the end; return the `Result` of rank 0, or the error of drn that ended it, else None."""
        store = self._store or rendezvous(*address, first=False)
        self._exchange = Gloo(self._rank, self._size, store)
        self._exchange.stopping = self._stopping.is_set()
        try:
            if self._rank:
                follow(spec, data, self._exchange, options)
                return None
            return train(
                spec, data, run, options, exchange=self._exchange, progress=self._progress, note=self._notes.append
            )
        except DrnError as error:
            return error

    def stop(self) -> None:
        """Have all replicas stop after the update under way."""
        self._stopping.set()
        if self._exchange:
            self._exchange.stopping = True

    def news(self) -> tuple[tuple[int, float, float] | None, list[str]]:
        """Return what is new: iteration, loss and speed; and notes."""
        notes, self._notes[:] = list(self._notes), []
        return self._at, notes

    def _progress(self, *at: Any) -> None:
        self._at = at


def follow(spec: Spec, data: Path, exchange: Exchange, options: TrainOptions) -> Learner:
    """Make the updates that the first learner makes in `train` with the same arguments, and write nothing.

    Weights, history and iteration are the first learner's from the start.
    """
    rows, worth = load_training(data, spec, fitted=options.mix_from is not None)
    spec = spec.in_iterations(len(rows["label"]))
    made = Generated.of(spec)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in made.shapes.items()}
    learner = made.learner(zeros, threads=options.threads, exchange=exchange)
    learner.align()
    batches = training_batches(spec, rows, order=options.order, tables=list(learner.tables), worth=worth)
    end = options.end(spec.solver.max_iter)
    flushing: Sequence[int] = (spec.solver.snapshot, spec.solver.test_interval)
    with prefetch(batches, learner.iteration * spec.solver.iter_size) as coming:
        while learner.iteration < end and not learner.stopped:
            learner.step(coming)
            if any(learner.iteration % interval == 0 for interval in flushing):
                learner.flush()  # as the first does: a flushed row is rounded
    return learner
