"""The winner's curse: the best of a search, trained again on other seeds before one of them is the best of the run.

The best figure of many is high for its luck as well. What an individual comes to on seeds that it was not chosen by is
not, so the best few are compared by those alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from generator.data.rewindowed import window_name
from generator.errors import TrainingError
from generator.tuning.history import Individual
from generator.tuning.individual import RungJob, rank
from generator.tuning.trainings import Trainings

__all__ = ["Confirmation", "confirm", "foremost", "lead"]

NORMAL = 1.959964  # its 97.5 % quantile


@dataclass(frozen=True)
class Confirmation:
    """What one of the best came to on other seeds.

    Attributes
    ----------
    individual
        The one.
    found
        The first objective in the search, by which it was chosen.
    repeats
        The first objective on each other seed; 0 where the training failed.
    """

    individual: Individual
    found: float
    repeats: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the other seeds."""
        return fmean(self.repeats)


def foremost(individuals: Sequence[Individual], count: int) -> list[Individual]:
    """Return the ``count`` most accurate of those trained to the end; of equals who is ahead in the other objectives.

    Who is level in all of them comes in the order of numbers.
    """
    complete = [each for each in individuals if each.state == "complete"]
    return sorted(complete, key=lambda each: ([-figure for figure in each.curve[-1]], each.number))[:count]


def confirm(trainings: Trainings, best: Sequence[Individual], seeds: int) -> list[Confirmation]:
    """Train each of ``best`` again on as many other seeds; return what they came to, the best mean first.

    Of equal means the one that comes first in ``best`` is first.

    Raises
    ------
    TrainingError
        The machine failed, as on a full disk.
    """
    journal, objective = trainings.journal, trainings.plan.objectives[0]
    missing = [(each, seed) for each in best for seed in range(seeds) if (each.hash, seed) not in journal.repeats]
    jobs = []
    for each, seed in missing:
        spec = trainings.seeded(each, f"{each.hash}:{seed}")
        run = trainings.folder / "work" / f"{each.hash[:16]}-{seed}"
        jobs.append(RungJob(spec, trainings.cuts / window_name(spec), run, 0, spec.solver.max_iter))
    for outcome in trainings.engine.map(rank, jobs):
        each, seed = missing[outcome.index]
        if outcome.machine:
            raise TrainingError(f"{trainings.folder}: the machine fails: {outcome.error}; go on with --resume")
        metrics = outcome.value.metrics if outcome.value else None
        journal.add("repeat", trainings.seconds, hash=each.hash, seed=seed, metrics=metrics, error=outcome.error)
    found, place = [], {each.number: at for at, each in enumerate(best)}
    for each in best:
        records = [journal.repeats[each.hash, seed]["metrics"] for seed in range(seeds)]
        repeats = tuple(float(record[objective]) if record else 0.0 for record in records)
        found.append(Confirmation(each, (each.values or {})[objective], repeats))
    return sorted(found, key=lambda one: (-one.mean, place[one.individual.number]))


def lead(confirmed: Sequence[Confirmation]) -> tuple[float, float, float] | None:
    """Return by how much the first is ahead of the second, with the ends of the 95 % interval; None of fewer than two.

    By Student's t, with the variance between seeds pooled over all; the first being chosen for its mean, the interval
    is a little to its favour.
    """
    seeds = len(confirmed[0].repeats) if confirmed else 0
    if len(confirmed) < 2 or seeds < 2:
        return None
    freedom = len(confirmed) * (seeds - 1)
    pooled = sum((each - one.mean) ** 2 for one in confirmed for each in one.repeats) / freedom
    ahead = confirmed[0].mean - confirmed[1].mean
    reach = _student(freedom) * math.sqrt(2 * pooled / seeds)
    return ahead, ahead - reach, ahead + reach


def _student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t, by Cornish and Fisher's expansion: within 1 % from 4 degrees on."""
    z = NORMAL
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
