"""Successive halving with promotion: who of all that were trained to a rung is trained on to the next.

After Li et al., "A system for massively parallel hyperparameter tuning" (ASHA), 2020: an individual goes on as soon as
it is among the best 1/factor of all that came to its rung, the earlier ones included. Here no more than 1/factor go on
in all: a sampler that learns draws ever better ones, and ASHA would train most of them to the end. That is decided
between generations, from the whole of the history, so that it does not depend on which worker was done first.
"""

from collections.abc import Sequence

from generator.tuning.selection import Point, ordered

__all__ = ["leader", "promotable", "shares"]


def shares(factor: int, rungs: int) -> tuple[float, ...]:
    """Return the shares of a training at which it is ranked, the last 1.

    >>> shares(2, 3)
    (0.25, 0.5, 1.0)
    """
    return tuple(factor ** (rung + 1 - rungs) for rung in range(rungs))


def promotable(curves: Sequence[Sequence[Point]], rungs: int, factor: int) -> list[int]:
    """Return the indices of those who go on, from the highest rung down, the best of a rung first.

    Parameters
    ----------
    curves
        Of each individual the points it came to, rung by rung; more is better. Empty where it failed.
    rungs
        Rungs of a whole training.
    factor
        Of as many that came to a rung one goes on, the best of those waiting there.
    """
    found: list[int] = []
    for rung in reversed(range(rungs - 1)):
        there = [index for index, curve in enumerate(curves) if len(curve) > rung]
        waiting = [index for index in there if len(curves[index]) == rung + 1]
        room = len(there) // factor - (len(there) - len(waiting))
        best = ordered([curves[index][rung] for index in waiting])[: max(room, 0)]
        found += [waiting[place] for place in best]
    return found


def leader(curves: Sequence[Sequence[Point]]) -> int | None:
    """Return the index of the best of those who came furthest; None if none came to a rung."""
    furthest = max((len(curve) for curve in curves), default=0)
    if not furthest:
        return None
    there = [index for index, curve in enumerate(curves) if len(curve) == furthest]
    return there[ordered([curves[index][-1] for index in there])[0]]
