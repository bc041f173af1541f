"""Which genes matter: how much of the spread of the first objective over the space each is needed to explain."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.tuning.plan import TuningPlan
from generator.tuning.surrogate import Floats, Surrogate, coordinates

__all__ = ["importance_intervals", "importances"]

FEWEST = 10  # individuals
WHOLE = 2048  # points of the space that the whole spread is taken over
POINTS, VALUES = 64, 8  # points that it is taken around, and values there of each parameter
RESAMPLES = 20


def importances(
    plan: TuningPlan, genomes: Sequence[dict[str, Any]], figures: Sequence[float], shares: Sequence[float] = ()
) -> dict[str, float]:
    """Return the total effect of each parameter on the first objective, 0 to 1, most first.

    That is the share of the variance over the space that is left when all other parameters are known, as the surrogate
    has it (functional ANOVA: Hutter et al., "An efficient approach for assessing hyperparameter importance", 2014).
    Parameters that work together are counted in each, so the sum may be above 1.

    Parameters
    ----------
    plan
        For the parameters and their ranges.
    genomes, figures
        What was drawn, and the first objective it came to; fewer than ten, or all alike, give no importances.
    shares
        How much of its training each figure is of; all of it, where none are given.
    """
    return {name: middle for name, (middle, _, _) in importance_intervals(plan, genomes, figures, shares, 0).items()}


def importance_intervals(
    plan: TuningPlan,
    genomes: Sequence[dict[str, Any]],
    figures: Sequence[float],
    shares: Sequence[float] = (),
    resamples: int = RESAMPLES,
) -> dict[str, tuple[float, float, float]]:
    """As `importances`, each with the ends of its 95 % interval by bootstrap over the individuals."""
    if len(genomes) < FEWEST or len(set(figures)) < 2:
        return {}
    space, parameters, rng = plan.space, plan.space.parameters(), np.random.default_rng(plan.seed)
    names = [name for name, each in parameters.items() if each.low < each.high]
    points = np.array([coordinates(space, parameters, genome) for genome in genomes])
    values, parts = np.array(figures, float), np.array(shares or [1.0] * len(figures))
    surrogate = Surrogate([each.ordered for each in parameters.values()], plan.seed)
    surrogate.fit(points, parts, values)
    places = _spread(plan, names, rng)
    found = [_effects(surrogate, *places)]
    for _ in range(resamples):
        rows = rng.integers(len(values), size=len(values))
        if np.ptp(values[rows]) > 0:
            surrogate.fit(points[rows], parts[rows], values[rows], settle=False)
            found.append(_effects(surrogate, *places))
    low, high = np.percentile(found, [2.5, 97.5], axis=0)
    order = np.argsort(-found[0], kind="stable")
    return {names[at]: (float(found[0][at]), float(low[at]), float(high[at])) for at in order}


def _spread(plan: TuningPlan, names: Sequence[str], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return points all over the space (WHOLE, genes), and (names, POINTS, VALUES, genes) that vary in one alone."""
    space, parameters = plan.space, plan.space.parameters()

    def hypercube(count: int) -> Floats:
        """Return units of which every parameter takes one in each of as many even parts of its range."""
        parts = rng.permuted(np.tile(np.arange(count), (len(parameters), 1)), axis=1).T
        return np.asarray((parts + 0.5) / count)

    def placed(units: Floats) -> Floats:
        genomes = (
            {name: each.at(unit) for (name, each), unit in zip(parameters.items(), row, strict=True)}
            for row in units.reshape(-1, len(parameters))
        )
        return np.array([coordinates(space, parameters, genome) for genome in genomes]).reshape(units.shape)

    along = np.tile(hypercube(POINTS)[:, None, :], (len(names), 1, VALUES, 1))
    for index, name in enumerate(names):
        along[index, :, :, list(parameters).index(name)] = (np.arange(VALUES) + 0.5) / VALUES
    return placed(hypercube(WHOLE)), placed(along)


def _effects(surrogate: Surrogate, whole: Floats, along: Floats) -> Floats:
    """Return the total effect of each parameter: the mean variance along it over the variance of all."""
    variance = float(surrogate.mean(whole).var())
    if not variance:
        return np.zeros(len(along))
    figures = surrogate.mean(along.reshape(-1, along.shape[-1])).reshape(along.shape[:-1])
    return np.asarray(figures.var(axis=2).mean(axis=1) / variance).clip(0.0, 1.0)
