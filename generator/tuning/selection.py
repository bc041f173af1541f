"""Who dominates whom: the front, who goes on after a rung, and what a given-up individual is worth."""

import math
from collections.abc import Sequence

__all__ = ["Point", "capped", "dominates", "layers", "ordered", "survivors"]

Point = tuple[float, ...]  # one figure an objective, more is better


def dominates(one: Point, other: Point) -> bool:
    """Say whether ``one`` is nowhere worse than ``other`` and somewhere better."""
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def layers(points: Sequence[Point]) -> list[int]:
    """Return the number of the front each point is on: 0 of those that none dominates, 1 of those only they do, ...

    Non-dominated sorting, Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002.
    """
    if all(len(point) == 1 for point in points):
        fronts = {point: front for front, point in enumerate(sorted(set(points), reverse=True))}
        return [fronts[point] for point in points]
    found = [0] * len(points)
    # In falling order a point can only be dominated by one before it.
    order = sorted(range(len(points)), key=lambda index: points[index], reverse=True)
    for place, index in enumerate(order):
        above = [found[other] for other in order[:place] if dominates(points[other], points[index])]
        found[index] = max(above, default=-1) + 1
    return found


def ordered(points: Sequence[Point]) -> list[int]:
    """Return the indices of the points, the best first: by front, then by the first objective."""
    front = layers(points)
    return sorted(range(len(points)), key=lambda index: (front[index], -points[index][0], index))


def survivors(points: Sequence[Point], keep: float) -> list[int]:
    """Return the indices of the points that go on, ascending: the whole first front, and at least the share ``keep``.

    They are the first of `ordered`.
    """
    count = max(math.ceil(keep * len(points)), layers(points).count(0))
    return sorted(ordered(points)[:count])


def capped(own: Sequence[float], better: Sequence[Sequence[float]]) -> list[float]:
    """Return the accuracies a given-up individual is worth: its own, but below all ``better`` ones'.

    It was behind them when it was given up, and had they lost accuracy since, it would else overtake them untrained:
    so the generation keeps its order.
    """
    return [
        min([value, *(math.nextafter(other[index], -math.inf) for other in better)]) for index, value in enumerate(own)
    ]
