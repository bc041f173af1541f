"""The search: generation by generation, ask, train, tell; every step again the same from its journal."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from generator.errors import TrainingError
from generator.spec import spec_hash
from generator.tuning.halving import leader, promotable
from generator.tuning.history import Individual, Status
from generator.tuning.plan import TuningPlan
from generator.tuning.sampler import Sampler, sampler_for
from generator.tuning.selection import dominates, ordered
from generator.tuning.stopping import train_or_stop
from generator.tuning.trainings import Step, Trainings

__all__ = ["Search"]

BARREN = 100  # individuals drawn in a row without a new spec, at least, before a search ends
HOPEFUL = 2  # of those that came to a rung, the best 1 in so many keep their weights for a promotion


@dataclass
class Search:
    """A run of a plan; `run` runs it to its end.

    Attributes
    ----------
    history
        All individuals, in the order they were drawn.
    end
        Why the search ended.
    """

    plan: TuningPlan
    trainings: Trainings
    progress: Callable[[Status], None] | None = None
    each_generation: Callable[["Search"], None] | None = None
    history: list[Individual] = field(default_factory=list)
    end: str = ""

    def __post_init__(self) -> None:
        self._known: dict[str, Individual] = {}
        if (progress := self.progress) is not None:
            self.trainings.after_each = lambda: progress(self.status())
        self._front: list[Individual] = []
        self._compared: set[int] = set()  # numbers of those the front has been compared with
        self._begun = time.monotonic()

    @property
    def trained(self) -> list[Individual]:
        """The individuals of the history whose specs were new, in order."""
        return [each for each in self.history if each.first == each.number]

    def run(self) -> None:
        """Search until the budget is spent or nothing new is to be found.

        Raises
        ------
        DataError
            The data do not fit the specs.
        TrainingError
            All individuals of the first generation failed, or the machine did, as on a full disk.
        """
        sampler = sampler_for(self.plan)
        generation = barren = 0
        while True:
            over = self._over(generation)
            promoted = self._promoted(over=over)
            if over and not promoted:
                break
            asked = [] if over else self._ask(sampler, generation, promoted)
            self.trainings.journal.begin(generation, [each.hash for each in asked], self.trainings.seconds)
            new = [each for each in asked if each.first == each.number]
            self._train(promoted, new)
            for individual in (*self.history, *asked):
                self._settle(individual)
            if asked:
                sampler.tell(asked)
                self.history += asked
                barren = 0 if new else barren + len(asked)
            if generation == 0 and all(each.state == "failed" for each in asked):
                raise TrainingError(f"every individual of the first generation failed; the first: {asked[0].error}")
            if barren >= max(BARREN, 5 * self.plan.population) and not self.end:
                self.end = f"the last {barren} individuals drawn were all known"
            if self.each_generation:
                self.each_generation(self)
            generation += 1

    def _over(self, generation: int) -> bool:
        """Say whether none is to be drawn for ``generation`` and later, and in ``end`` why."""
        budget = self.plan.budget
        if not self.end and self._room(()) <= 0:
            spent = budget.trainings is not None and self.trainings.count >= budget.trainings
            self.end = f"the {'trainings' if spent else 'epochs'} of the budget are spent"
        # What was begun is in the journal, so that a resumed run begins the same generations whatever its clock says.
        late = budget.minutes is not None and self.trainings.seconds >= 60 * budget.minutes
        if not self.end and late and not self.trainings.journal.drawn(generation):
            self.end = "the time of the budget is spent"
        return bool(self.end)

    def _room(self, promoted: Sequence[Step]) -> int:
        """Return how many individuals may still be begun, those ``promoted`` being trained on first."""
        budget, epochs = self.plan.budget, self.plan.training.epochs
        room = self.plan.population
        if budget.trainings is not None:
            room = min(room, budget.trainings - self.trainings.count)
        if budget.epochs is not None:
            left = budget.epochs - self.trainings.epochs - self._passes(promoted)
            first = self.plan.rungs[0] if self.plan.halving else 1.0
            room = min(room, math.floor(left / (first * epochs) + 1e-9)) if epochs else (room if left > 0 else 0)
        return room

    def _passes(self, steps: Sequence[Step]) -> float:
        return math.fsum(self.trainings.passes(each, rung) for each, rung in steps)

    def _ask(self, sampler: Sampler, generation: int, promoted: Sequence[Step]) -> list[Individual]:
        """Draw a generation; it ends early when no more of its individuals may be trained."""
        asked: list[Individual] = []
        room = self._room(promoted)
        while len(asked) < self.plan.population and room > 0:
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

    def _train(self, promoted: Sequence[Step], new: Sequence[Individual]) -> None:
        """Train the generation: with halving to their next rungs, else to the end, or until one is given up."""
        self.trainings.prepare(new)
        if not self.plan.halving:
            train_or_stop(self.trainings, new)
            return
        self.trainings.train([*promoted, *((each, 0) for each in new)])
        self._sweep([*self.trained, *new])

    def _sweep(self, trained: Sequence[Individual]) -> None:
        """Remove the weights of those who are too far behind at their rung to be promoted soon."""
        for rung in range(len(self.plan.rungs) - 1):
            there = [each for each in trained if len(each.curve) > rung]
            order = ordered([each.curve[rung] for each in there])
            for place in order[math.ceil(len(there) / HOPEFUL) :]:
                if len(there[place].curve) == rung + 1:
                    self.trainings.sweep(there[place])

    def _promoted(self, *, over: bool) -> list[Step]:
        """Return who goes on to which rung; once the search is ``over``, at least one individual to its end."""
        halving, rungs = self.plan.halving, len(self.plan.rungs)
        if halving is None:
            return []
        there = self.trained
        curves = [() if each.state == "failed" else each.curve for each in there]
        going_on = [there[index] for index in promotable(curves, rungs, halving.factor)]
        steps = [(each, len(each.curve)) for each in going_on]
        if self.plan.budget.epochs is not None:
            left = self.plan.budget.epochs - self.trainings.epochs
            steps = [step for place, step in enumerate(steps) if self._passes(steps[: place + 1]) <= left + 1e-9]
        if over and not steps and not any(each.state == "complete" for each in there):
            best = leader(curves)
            steps = [] if best is None else [(there[best], len(there[best].curve))]
        return steps

    def _settle(self, each: Individual) -> None:
        """Give an individual whose spec is known what the first with that spec came to."""
        known = self._known[each.hash]
        if known is not each:
            each.spec, each.state, each.share = known.spec, known.state, known.share
            each.values, each.figures, each.error, each.curve = known.values, known.figures, known.error, known.curve

    def status(self) -> Status:
        """Return how far the search is."""
        elapsed = time.monotonic() - self._begun
        generation = self.history[-1].generation + 1 if self.history else 0
        front = self.front()
        best = front[0].values if front else None
        return Status(
            generation=generation,
            trained=self.trainings.count,
            epochs=self.trainings.epochs,
            seconds=self.trainings.seconds,
            best=best[self.plan.objectives[0]] if best else None,
            front=len(front),
            per_minute=60 * self.trainings.fresh / elapsed if elapsed > 0 else 0.0,
        )

    def front(self) -> list[Individual]:
        """Return the individuals trained to the end that none dominates, the most accurate first."""
        for each in self._known.values():
            if each.state != "complete" or each.number in self._compared:
                continue
            self._compared.add(each.number)
            point = each.curve[-1]
            if not any(dominates(other.curve[-1], point) for other in self._front):
                self._front = [other for other in self._front if not dominates(point, other.curve[-1])] + [each]
        return sorted(self._front, key=lambda each: (-each.curve[-1][0], each.number))
