"""Early stopping within a generation: the hopeless of it are not trained to the end, and say so to the sampler."""

from collections.abc import Sequence

from generator.tuning.history import Individual
from generator.tuning.plan import COSTS
from generator.tuning.selection import Point, capped, dominates, survivors
from generator.tuning.trainings import Trainings

__all__ = ["train_or_stop"]


def train_or_stop(trainings: Trainings, new: Sequence[Individual]) -> None:
    """Train a generation rung by rung; after each but the last, those of little hope are given up."""
    plan = trainings.plan
    stopping = plan.training.early_stopping
    alive = list(new)
    ranked: list[tuple[float, list[Individual], list[Point]]] = []
    for rung, share in enumerate(plan.rungs):
        trainings.train([(each, rung) for each in alive])
        alive = [each for each in alive if each.state != "failed"]
        if stopping and share < 1 and alive:
            points = [trainings.point(each) for each in alive]
            going_on = [alive[index] for index in survivors(points, stopping.keep)]
            ranked.append((share, alive, points))
            for each in alive:
                if each not in going_on:
                    trainings.sweep(each)
            alive = going_on
    for share, there, points in reversed(ranked):
        _cap(plan.objectives, share, there, points)


def _cap(objectives: Sequence[str], share: float, there: Sequence[Individual], points: Sequence[Point]) -> None:
    """Have those of ``there`` who were given up after ``share`` worth less than those that dominated them then."""
    accuracies = [index for index, name in enumerate(objectives) if name not in COSTS]
    by_point = dict(zip((each.hash for each in there), points, strict=True))
    for each in sorted(there, key=lambda each: by_point[each.hash], reverse=True):
        if each.state != "stopped" or each.share > share:
            continue
        better = [
            [other.figures[index] for index in accuracies]
            for other in there
            if other.state != "failed" and dominates(by_point[other.hash], by_point[each.hash])
        ]
        figures = list(each.figures)
        for index, value in zip(accuracies, capped([figures[i] for i in accuracies], better), strict=True):
            figures[index] = value
        each.figures = tuple(figures)
