"""The sampler that learns what a training may come to, and ranks many children by it before one is trained."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.tuning.history import Individual
from generator.tuning.plan import COSTS, TuningPlan
from generator.tuning.surrogate import Floats, Surrogate, coordinates

__all__ = ["OPTIONS", "SurrogateSampler"]

STARTUP = 4  # individuals before the surrogate is asked, at least; as many as the space has parameters
RANDOM, CHILDREN = 128, 128  # candidates drawn at random, and by crossover
PARENTS = 8
MUTATION = 0.15  # share of a child's genes that mutate, one in a child of few
STRIDE = 0.1  # of a mutated gene among numbers, on the scale of 0 to 1
MOST = 300  # figures the surrogate learns from, the newest
AUGMENTED = 0.05  # weight of the sum beside the least of several objectives
OPTIONS = {
    "startup": STARTUP,
    "random": RANDOM,
    "children": CHILDREN,
    "parents": PARENTS,
    "mutation": MUTATION,
    "stride": STRIDE,
    "most": MOST,
    "augmented": AUGMENTED,
}  # as the journal holds them


class SurrogateSampler:
    """A `Sampler` of expected improvement under a `Surrogate`.

    The first individuals are those of ``start`` and the fixed part's own genes, then random ones. Later each is the one
    of most expected improvement (Jones et al., "Efficient global optimization of expensive black-box functions", 1998)
    among random ones and children of the best so far, by uniform crossover and mutation; those asked for in one
    generation count as known, at what was expected. Several objectives are made one with weights that are drawn for
    each generation (Knowles, "ParEGO", 2006).
    """

    def __init__(self, plan: TuningPlan) -> None:
        self._space, self._objectives, self._rungs = plan.space, plan.objectives, plan.rungs
        self._parameters = self._space.parameters()
        self._rng = np.random.default_rng(plan.seed)
        self._surrogate = Surrogate([each.ordered for each in self._parameters.values()], plan.seed)
        starts = [self._space.genes_of(self._space.plain({})), *plan.start]
        self._start = [found for genes in starts if (found := self._space.drawn(genes))]
        self._history: list[Individual] = []
        self._pool: _Pool | None = None

    def ask(self) -> dict[str, Any]:
        """As `Sampler.ask`."""
        if self._start:
            return self._genome(self._rng.random(len(self._parameters))) | self._start.pop(0)
        startup = max(STARTUP, len(self._parameters))
        if len(self._history) < startup or all(each.state == "failed" for each in self._history):
            return self._genome(self._rng.random(len(self._parameters)))
        if self._pool is None:
            self._pool = self._candidates()
        return self._genome(self._pool.best())

    def tell(self, asked: Sequence[Individual]) -> None:
        """As `Sampler.tell`; individuals that are trained on later are seen at the next `ask`."""
        self._history += asked
        self._pool = None

    def _genome(self, units: Floats) -> dict[str, Any]:
        """Return the genome at ``units`` of 0 to 1, one a parameter."""
        return {name: each.at(unit) for (name, each), unit in zip(self._parameters.items(), units, strict=True)}

    def _units(self, genome: dict[str, Any]) -> list[float]:
        """Return the units at which a genome lies."""
        return [each.place(genome[name]) for name, each in self._parameters.items()]

    def _coordinates(self, genomes: Sequence[dict[str, Any]]) -> Floats:
        """Return where genomes lie (n, parameters), as the surrogate sees them."""
        return np.array([coordinates(self._space, self._parameters, genome) for genome in genomes])

    def _candidates(self) -> "_Pool":
        """Fit the surrogate to the history, and return random candidates and children with what is expected of them."""
        points, shares, figures = self._observations()
        self._surrogate.fit(points, shares, figures)
        history = self._coordinates([each.genome for each in self._history])
        expected, newest = self._surrogate.mean(history[-MOST:]), self._history[-MOST:]
        best = np.argsort(-expected, kind="stable")[:PARENTS]
        parents = np.array([self._units(newest[index].genome) for index in best])
        units = np.vstack([self._rng.random((RANDOM, len(self._parameters))), self._children(parents)])
        places = self._coordinates([self._genome(row) for row in units])
        known = {row.tobytes() for row in history}
        _, first = np.unique(places, axis=0, return_index=True)
        new = [index for index in sorted(first) if places[index].tobytes() not in known] or [0]
        mean, covariance = self._surrogate.predict(places[new])
        return _Pool(units[new], mean, covariance, float(expected.max()))

    def _observations(self) -> tuple[Floats, Floats, Floats]:
        """Return what is known: genes (n, genes), shares (n,) and one figure (n,), more being better."""
        seen = {each.hash: each for each in self._history}
        rows = [(each, rung) for each in seen.values() for rung in range(len(each.curve))]
        rows = rows[-MOST:]
        figures = np.array([each.curve[rung] for each, rung in rows])
        points = self._coordinates([each.genome for each, _ in rows])
        shares = np.array([self._rungs[rung] for _, rung in rows])
        return points, shares, self._single(figures, np.array([each.state == "failed" for each, _ in rows]))

    def _single(self, figures: Floats, failed: Floats) -> Floats:
        """Return one figure (n,) for several objectives (n, objectives); what failed is as bad as the worst."""
        sound = failed == 0
        scaled = np.empty(figures.shape)
        for index, name in enumerate(self._objectives):
            column = -np.log(np.maximum(-figures[sound, index], 1e-12)) if name in COSTS else figures[sound, index]
            scaled[sound, index] = (column - column.min()) / (float(np.ptp(column)) or 1.0)
            scaled[~sound, index] = 0.0
        if len(self._objectives) == 1:
            return scaled[:, 0]
        weights = self._rng.dirichlet(np.ones(len(self._objectives)))
        weighed = scaled * weights
        return np.asarray(weighed.min(axis=1) + AUGMENTED * weighed.sum(axis=1))

    def _children(self, parents: Floats) -> Floats:
        """Return the units of children of ``parents``, by uniform crossover and mutation."""
        count, genes = CHILDREN, len(self._parameters)
        pairs = self._rng.integers(len(parents), size=(2, count))
        children = np.where(self._rng.random((count, genes)) < 0.5, parents[pairs[0]], parents[pairs[1]])
        mutated = self._rng.random((count, genes)) < max(MUTATION, 1 / genes)
        near = np.clip(children + STRIDE * self._rng.standard_normal((count, genes)), 0.0, 1.0)
        steps = np.where(self._rng.random((count, genes)) < 0.5, near, self._rng.random((count, genes)))
        return np.where(mutated, steps, children)


class _Pool:
    """Candidates with what is expected of them; each that is taken makes its like less promising."""

    def __init__(self, units: Floats, mean: Floats, covariance: Floats, best: float) -> None:
        self._units, self._mean, self._covariance, self._best = units, mean, covariance.copy(), best
        self._free = np.ones(len(units), bool)

    def best(self) -> Floats:
        """Return the units of the candidate of most expected improvement, and take it."""
        spread = np.sqrt(np.maximum(self._covariance.diagonal(), 1e-12))
        ahead = (self._mean - self._best) / spread
        below = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in ahead])
        gain = spread * (ahead * below + np.exp(-0.5 * ahead**2) / math.sqrt(2 * math.pi))
        chosen = int(np.where(self._free, gain, -1.0).argmax())
        self._free[chosen] = self._free.sum() == 1
        self._best = max(self._best, float(self._mean[chosen]))
        column = self._covariance[:, chosen]
        self._covariance = self._covariance - np.outer(column, column) / max(column[chosen], 1e-12)
        return np.asarray(self._units[chosen])
