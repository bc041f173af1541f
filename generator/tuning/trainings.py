"""The trainings of a run: data made for their windows, jobs handed to the engine, results taken from the journal."""

import math
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from generator.data.rewindowed import Rewindow, rewindow_folder, window_name
from generator.errors import DataError, TrainingError
from generator.jobs.cost import training_cost
from generator.jobs.workers import Engine
from generator.spec import Spec
from generator.tuning.history import Individual
from generator.tuning.identity import SPLITS
from generator.tuning.individual import RungJob, latency, rank, rows_in, seed_of, trained_as
from generator.tuning.journal import Journal
from generator.tuning.plan import COSTS, TuningPlan
from generator.tuning.selection import Point

__all__ = ["Step", "Trainings"]

FAILED = -1.0  # an accuracy below all others
Step = tuple[Individual, int]  # an individual, and the rung it is to be trained to


class Trainings:
    """What trains individuals from rung to rung, each step once: what the journal knows is taken from there.

    Parameters
    ----------
    plan, data, folder, cuts, engine, journal
        As of `generator.tuning.run.tune`.

    Attributes
    ----------
    after_each
        Called after each step that was not in the journal.
    count
        Individuals begun, earlier parts of the run included; ``fresh`` those of this part.
    seconds
        Wall time of the run, earlier parts included.
    work_seconds
        Seconds of the workers in this part.
    """

    def __init__(
        self,
        plan: TuningPlan,
        data: Path,
        folder: Path,
        cuts: Path,
        engine: Engine,
        journal: Journal,
    ) -> None:
        self.plan, self.data, self.folder, self.cuts = plan, data, folder, cuts
        self.engine, self.journal = engine, journal
        self.after_each: Callable[[], None] = _nothing
        self.count = self.fresh = 0
        self.work_seconds = 0.0
        self._rows: dict[str, int] = {}
        self._passes: list[float] = []
        self._started = time.monotonic() - journal.seconds
        self._sweeper = ThreadPoolExecutor(1, thread_name_prefix="sweep")
        self._sweeps: dict[str, Future[None]] = {}

    @property
    def seconds(self) -> float:
        """Wall time spent, earlier parts included."""
        return time.monotonic() - self._started

    @property
    def epochs(self) -> float:
        """Passes over the training rows made; the sum is exact, so that it does not depend on an order."""
        return math.fsum(self._passes)

    def close(self) -> None:
        """Wait until what was swept is gone."""
        self._sweeper.shutdown()

    def prepare(self, new: Sequence[Individual]) -> None:
        """Make the data for the ``new`` individuals, and give each the spec it is trained as.

        Raises
        ------
        DataError
            The data do not fit the specs.
        """
        self._rewindow([each.spec for each in new])
        for each in new:
            each.spec = self.seeded(each, each.hash)
        if "latency" in self.plan.objectives:
            for each in new:
                if each.hash not in self.journal.latencies:
                    self.journal.add("latency", self.seconds, hash=each.hash, milliseconds=latency(each.spec))

    def seeded(self, each: Individual, name: str) -> Spec:
        """Return the spec of an individual as it is trained, its seed from the run's and ``name``."""
        rows = self._rows[window_name(each.spec)]
        return trained_as(each.spec, seed_of(self.plan.seed, name), rows, self.plan.training.epochs)

    def _rewindow(self, specs: Iterable[Spec]) -> None:
        """Have the data for every window."""
        by_name = {window_name(spec): spec for spec in specs}
        for name in by_name:
            if name not in self._rows and (rows := rows_in(self.cuts / name)):
                self._rows[name] = rows
        missing = [name for name in by_name if name not in self._rows]
        jobs = [Rewindow(self.data, self.cuts / name, by_name[name], SPLITS) for name in missing]
        for outcome in self.engine.map(rewindow_folder, jobs):
            name = missing[outcome.index]
            if outcome.error is not None:
                raise DataError(f"the data for {name} cannot be made: {outcome.error}")
            self._rows[name] = rows_in(self.cuts / name)

    def passes(self, each: Individual, rung: int) -> float:
        """Return the passes over the training rows from the rung before to ``rung``."""
        solver, rows = each.spec.solver, self._rows[window_name(each.spec)]
        return self._part(rung) * solver.max_iter * solver.batch_size * solver.iter_size / rows

    def train(self, steps: Sequence[Step]) -> None:
        """Train to the rungs and rank there, what the journal does not know; the longest first.

        Raises
        ------
        TrainingError
            The machine failed, as on a full disk.
        """
        for each, rung in steps:
            self._take(each, rung)
        jobs = sorted(
            (step for step in steps if (step[0].hash, step[1]) not in self.journal.results),
            key=lambda step: (-self._cost(*step), step[0].number),
        )
        for each, _ in jobs:
            if (sweep := self._sweeps.pop(each.hash, None)) is not None:
                sweep.result()  # or the worker would find a folder that vanishes under it
        for outcome in self.engine.map(rank, [self._job(each, rung) for each, rung in jobs]):
            each, rung = jobs[outcome.index]
            if outcome.machine:
                raise TrainingError(
                    f"{self.folder}: stopped at individual {each.number}, for the machine fails: {outcome.error}; the "
                    "journal holds nothing of it: put that right, then go on with --resume"
                )
            score = outcome.value
            self.journal.add(
                "result",
                self.seconds,
                hash=each.hash,
                rung=rung,
                metrics=score.metrics if score else None,
                size=score.size if score else None,
                work=score.seconds if score else 0.0,
                error=outcome.error,
                tries=outcome.tries,
            )
            self.work_seconds += score.seconds if score else 0.0
            self.fresh += rung == 0
            self._take(each, rung)
            self.after_each()

    def _cost(self, each: Individual, rung: int) -> float:
        return training_cost(each.spec) * self._part(rung)

    def _part(self, rung: int) -> float:
        """Return the share of a training from the rung before to ``rung``."""
        return self.plan.rungs[rung] - (self.plan.rungs[rung - 1] if rung else 0.0)

    def _job(self, each: Individual, rung: int) -> RungJob:
        stops = [max(1, round(share * each.spec.solver.max_iter)) for share in self.plan.rungs]
        since = stops[rung - 1] if rung else 0
        return RungJob(each.spec, self.cuts / window_name(each.spec), self._work(each), since, stops[rung])

    def _work(self, each: Individual) -> Path:
        return self.folder / "work" / each.hash[:16]

    def _take(self, each: Individual, rung: int) -> None:
        """Take in what the journal knows of an individual at a rung."""
        record = self.journal.results.get((each.hash, rung))
        if record is None:
            return
        self._passes.append(self.passes(each, rung))
        self.count += rung == 0
        each.error = record["error"]
        if record["metrics"] is None:
            self.fail(each)
            return
        each.share = self.plan.rungs[rung]
        each.state = "complete" if each.share == 1.0 else "stopped"
        each.values = {**record["metrics"], "size": record["size"]}
        if each.hash in self.journal.latencies:
            each.values["latency"] = self.journal.latencies[each.hash]
        each.figures = tuple(float(each.values[name]) for name in self.plan.objectives)
        each.curve.append(self.point(each))
        if each.state == "complete":
            self.sweep(each)

    def fail(self, each: Individual) -> None:
        """Close an individual that could not be trained: worse than any other, at every rung to come."""
        each.state, each.values = "failed", None
        each.figures = tuple(math.inf if name in COSTS else FAILED for name in self.plan.objectives)
        each.curve += [self.point(each)] * (len(self.plan.rungs) - len(each.curve))
        self.sweep(each)

    def point(self, each: Individual) -> Point:
        """Return the figures of an individual, more being better."""
        signs = (-1 if name in COSTS else 1 for name in self.plan.objectives)
        return tuple(sign * figure for sign, figure in zip(signs, each.figures, strict=True))

    def sweep(self, each: Individual) -> None:
        """Remove the folder of an individual; if it is trained on after all, that starts anew, to the same weights."""
        # Twenty files and more, while a worker may be waiting for its next job: not here.
        if each.hash not in self._sweeps:
            self._sweeps[each.hash] = self._sweeper.submit(shutil.rmtree, self._work(each), ignore_errors=True)


def _nothing() -> None:
    pass
