"""The search: generation by generation, ask, train what is new, tell; every step again the same from its journal."""

import hashlib
import math
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from generator.data.rewindowed import Rewindow, rewindow_folder, window_name
from generator.data.store.parts import parts_of
from generator.errors import DataError, TrainingError
from generator.jobs.cost import training_cost
from generator.jobs.fingerprints import add_content
from generator.jobs.workers import Engine
from generator.spec import spec_hash
from generator.tuning.history import Individual, State, Status
from generator.tuning.individual import RungJob, latency, rank, rows_in, seed_of, trained_as
from generator.tuning.journal import Journal
from generator.tuning.optuna_samplers import options
from generator.tuning.plan import COSTS, TuningPlan
from generator.tuning.sampler import Sampler, sampler_for
from generator.tuning.selection import capped, dominates, survivors

__all__ = ["Search", "identity_of"]

SPLITS = ("train.h5", "valid.h5")
FAILED = -1.0  # an accuracy below all others
BARREN = 100  # individuals drawn in a row without a new spec, at least, before a search ends


@dataclass
class Search:
    """A run of a plan; `run` runs it to its end.

    Attributes
    ----------
    history
        All individuals told, in order.
    trained
        Individuals trained, earlier parts included.
    work_seconds
        Seconds of the workers in this part.
    end
        Why the search ended.
    """

    plan: TuningPlan
    data: Path
    folder: Path
    cuts: Path
    engine: Engine
    journal: Journal
    progress: Callable[[Status], None] | None = None
    each_generation: Callable[["Search"], None] | None = None
    history: list[Individual] = field(default_factory=list)
    trained: int = 0
    work_seconds: float = 0.0
    end: str = ""

    def __post_init__(self) -> None:
        self._known: dict[str, Individual] = {}
        self._rows: dict[str, int] = {}
        self._passes: list[float] = []
        self._front: list[Individual] = []
        self._started = time.monotonic() - self.journal.seconds
        self._fresh = 0  # individuals trained in this part
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time spent, earlier parts included."""
        return time.monotonic() - self._started

    @property
    def epochs(self) -> float:
        """Passes over the training rows made; the sum is exact, so that it does not depend on an order."""
        return math.fsum(self._passes)

    def run(self) -> None:
        """Search until the budget is spent or nothing new is to be found.

        Raises
        ------
        DataError
            The data do not fit the specs.
        TrainingError
            All individuals of the first generation failed, or the machine did, as on a full disk.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="sweep") as self._sweeper:
            self._generations()

    def _generations(self) -> None:
        sampler = sampler_for(self.plan)
        generation = barren = 0
        while not self._over(generation):
            asked = self._ask(sampler, generation)
            self.journal.begin(generation, [each.hash for each in asked], self.seconds)
            new = [each for each in asked if each.first == each.number]
            self._train(new)
            for individual in asked:
                self._settle(individual)
            sampler.tell(asked)
            self.history += asked
            if generation == 0 and all(each.state == "failed" for each in asked):
                raise TrainingError(f"every individual of the first generation failed; the first: {asked[0].error}")
            barren = 0 if new else barren + len(asked)
            if barren >= max(BARREN, 5 * self.plan.genetic.population):
                self.end = f"the last {barren} individuals drawn were all known"
            if self.each_generation:
                self.each_generation(self)
            generation += 1

    def _over(self, generation: int) -> bool:
        """Say whether the search is to end before ``generation``, and in ``end`` why."""
        budget = self.plan.budget
        if not self.end and self._room() <= 0:
            spent = "trainings" if budget.trainings is not None and self.trained >= budget.trainings else "epochs"
            self.end = f"the {spent} of the budget are spent"
        # What was begun is in the journal, so that a resumed run begins the same generations whatever its clock says.
        late = budget.minutes is not None and self.seconds >= 60 * budget.minutes
        if not self.end and late and generation not in self.journal.begun:
            self.end = "the time of the budget is spent"
        return bool(self.end)

    def _room(self) -> int:
        """Return how many individuals may still be trained."""
        budget, epochs = self.plan.budget, self.plan.training.epochs
        room = self.plan.genetic.population
        if budget.trainings is not None:
            room = min(room, budget.trainings - self.trained)
        if budget.epochs is not None:
            left = budget.epochs - self.epochs
            room = min(room, math.floor(left / epochs + 1e-9)) if epochs else (room if left > 0 else 0)
        return room

    def _ask(self, sampler: Sampler, generation: int) -> list[Individual]:
        """Draw a generation; it ends early when no more of its individuals may be trained."""
        asked: list[Individual] = []
        room = self._room()
        while len(asked) < self.plan.genetic.population and room > 0:
            genome = sampler.ask()
            number = len(self.history) + len(asked)
            genes = self.plan.space.express(genome)
            spec = self.plan.space.spec(genes)
            name = spec_hash(spec)
            known = self._known.get(name)
            individual = Individual(number, generation, genome, genes, name, spec, known.first if known else number)
            if known is None:
                self._known[name] = individual
                room -= 1
            asked.append(individual)
        return asked

    def _train(self, new: Sequence[Individual]) -> None:
        """Make the data for the ``new`` individuals and train them, rung by rung."""
        self._rewindow(new)
        for each in new:
            seed = seed_of(self.plan.seed, each.hash)
            each.spec = trained_as(each.spec, seed, self._rows[window_name(each.spec)], self.plan.training.epochs)
        if "latency" in self.plan.objectives:
            for each in new:
                if each.hash not in self.journal.latencies:
                    self.journal.add("latency", self.seconds, hash=each.hash, milliseconds=latency(each.spec))
        stopping = self.plan.training.early_stopping
        alive, ranked = list(new), []
        for rung, share in enumerate(self.plan.rungs):
            self._rank(alive, rung)
            alive = [each for each in alive if each.state != "failed"]
            if stopping and share < 1 and alive:
                points = [self._point(each) for each in alive]
                going_on = [alive[index] for index in survivors(points, stopping.keep)]
                ranked.append((share, alive, points))
                for each in alive:
                    if each not in going_on:
                        self._done(each, "stopped")
                alive = going_on
        for share, there, points in reversed(ranked):
            self._cap(share, there, points)

    def _rewindow(self, new: Sequence[Individual]) -> None:
        """Have the data for every window of ``new``."""
        specs = {window_name(each.spec): each.spec for each in new}
        for name in specs:
            if name not in self._rows and (rows := rows_in(self.cuts / name)):
                self._rows[name] = rows
        missing = [name for name in specs if name not in self._rows]
        jobs = [Rewindow(self.data, self.cuts / name, specs[name], SPLITS) for name in missing]
        for outcome in self.engine.map(rewindow_folder, jobs):
            name = missing[outcome.index]
            if outcome.error is not None:
                raise DataError(f"the data for {name} cannot be made: {outcome.error}")
            self._rows[name] = rows_in(self.cuts / name)

    def _rank(self, alive: Sequence[Individual], rung: int) -> None:
        """Train the ``alive`` up to ``rung`` and rank them, those the journal does not know; the longest first."""
        for each in alive:
            self._take(each, rung)
        jobs = sorted(
            (each for each in alive if (each.hash, rung) not in self.journal.results),
            key=lambda each: (-training_cost(each.spec), each.number),
        )
        outcomes = self.engine.map(rank, [self._job(each, rung) for each in jobs])
        for outcome in outcomes:
            each, score = jobs[outcome.index], outcome.value
            if outcome.machine:
                raise TrainingError(
                    f"{self.folder}: stopped at individual {each.number}, for the machine fails: {outcome.error}; the "
                    "journal holds nothing of it: put that right, then go on with --resume"
                )
            found = {"metrics": score.metrics, "size": score.size} if score else {"metrics": None, "size": None}
            work_seconds = score.seconds if score else 0.0
            self.journal.add(
                "result",
                self.seconds,
                hash=each.hash,
                rung=rung,
                **found,
                work=work_seconds,
                error=outcome.error,
                tries=outcome.tries,
            )
            self.work_seconds += work_seconds
            self._fresh += rung == 0
            self._take(each, rung)
            if self.progress:
                self.progress(self.status())

    def _job(self, each: Individual, rung: int) -> RungJob:
        stops = [max(1, round(share * each.spec.solver.max_iter)) for share in self.plan.rungs]
        run = self.folder / "work" / each.hash[:16]
        return RungJob(each.spec, self.cuts / window_name(each.spec), run, stops[rung - 1] if rung else 0, stops[rung])

    def _take(self, each: Individual, rung: int) -> None:
        """Take in what the journal knows of an individual at a rung."""
        record = self.journal.results.get((each.hash, rung))
        if record is None:
            return
        before = self.plan.rungs[rung - 1] if rung else 0.0
        solver, rows = each.spec.solver, self._rows[window_name(each.spec)]
        passes = solver.max_iter * solver.batch_size * solver.iter_size / rows
        self._passes.append((self.plan.rungs[rung] - before) * passes)
        self.trained += rung == 0
        each.error = record["error"]
        if record["metrics"] is None:
            self._done(each, "failed")
            return
        each.state, each.share = "complete", self.plan.rungs[rung]
        each.values = {**record["metrics"], "size": record["size"]}
        if each.hash in self.journal.latencies:
            each.values["latency"] = self.journal.latencies[each.hash]
        each.told = self._figures(each)
        if each.share == 1.0:
            self._done(each, "complete")

    def _figures(self, each: Individual) -> tuple[float, ...]:
        """Return one figure an objective; of a failed individual, worse than any other's."""
        if each.values is None:
            return tuple(math.inf if name in COSTS else FAILED for name in self.plan.objectives)
        return tuple(float(each.values[name]) for name in self.plan.objectives)

    def _point(self, each: Individual) -> tuple[float, ...]:
        signs = (-1 if name in COSTS else 1 for name in self.plan.objectives)
        return tuple(sign * figure for sign, figure in zip(signs, self._figures(each), strict=True))

    def _done(self, each: Individual, state: State) -> None:
        """Close an individual; its folder goes."""
        each.state = state
        if state == "failed":
            each.values, each.told = None, ()
            each.told = self._figures(each)
        elif state == "complete":
            point = self._point(each)
            if not any(dominates(self._point(other), point) for other in self._front):
                self._front = [other for other in self._front if not dominates(point, self._point(other))] + [each]
        # Twenty files and more, while a worker may be waiting for its next job: not here.
        self._sweeper.submit(shutil.rmtree, self.folder / "work" / each.hash[:16], ignore_errors=True)

    def _cap(self, share: float, there: Sequence[Individual], points: Sequence[tuple[float, ...]]) -> None:
        """Have those of ``there`` who were given up after ``share`` worth less than those that dominated them then."""
        accuracies = [index for index, name in enumerate(self.plan.objectives) if name not in COSTS]
        by_point = dict(zip((each.hash for each in there), points, strict=True))
        for each in sorted(there, key=lambda each: by_point[each.hash], reverse=True):
            if each.state != "stopped" or each.share > share:
                continue
            better = [
                [other.told[index] for index in accuracies]
                for other in there
                if other.state != "failed" and dominates(by_point[other.hash], by_point[each.hash])
            ]
            told = list(each.told)
            for index, value in zip(accuracies, capped([told[i] for i in accuracies], better), strict=True):
                told[index] = value
            each.told = tuple(told)

    def _settle(self, each: Individual) -> None:
        """Give an individual whose spec is known what the first with that spec came to."""
        known = self._known[each.hash]
        if known is not each:
            each.spec, each.state, each.share = known.spec, known.state, known.share
            each.values, each.told, each.error = known.values, known.told, known.error

    def status(self) -> Status:
        """Return how far the search is."""
        elapsed = time.monotonic() - self._begun
        generation = self.history[-1].generation + 1 if self.history else 0
        front = self.front()
        best = front[0].values if front else None
        return Status(
            generation=generation,
            trained=self.trained,
            epochs=self.epochs,
            seconds=self.seconds,
            best=best[self.plan.objectives[0]] if best else None,
            front=len(front),
            per_minute=60 * self._fresh / elapsed if elapsed > 0 else 0.0,
        )

    def best(self) -> Individual | None:
        """Return the most accurate individual, the first of equals; None if none came to its end yet."""
        return next(iter(self.front()), None)

    def front(self) -> list[Individual]:
        """Return the individuals trained to the end that none dominates, the most accurate first."""
        return sorted(self._front, key=lambda each: (-self._point(each)[0], each.number))


def identity_of(plan: TuningPlan, data: Path) -> dict[str, Any]:
    """Return what the results of a run depend on, by the name a user knows it by; the budget is not among it."""
    genes = {name: [gene.kind, asdict(gene)] for name, gene in plan.search.items()}
    stopping = plan.training.early_stopping
    return {
        "search": genes,
        "fixed part": plan.spec,
        "objectives": list(plan.objectives),
        "training": {"epochs": plan.training.epochs, "early_stopping": stopping.model_dump() if stopping else None},
        "sampler": {"name": plan.sampler, **options(plan)},
        "genetic": plan.genetic.model_dump(),
        "seed": plan.seed,
        "data": fingerprint(data),
    }


def fingerprint(data: Path) -> str:
    """Return a hash (32 hex digits) of what tuning reads of a data folder."""
    digest = hashlib.blake2b(digest_size=16)
    for name in (*SPLITS, "pages.txt", "items.txt"):
        path = data / name
        if not path.is_file():
            raise DataError(f"{path}: there is none; is {data} a folder of drn sessions?")
        for part in dict.fromkeys([path, *(parts_of(path) if name in SPLITS else [])]):
            add_content(digest, part)
            digest.update(part.name.encode())
    return digest.hexdigest()
