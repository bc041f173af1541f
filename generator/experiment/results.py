"""What the pieces of work came to, and the statistics over them.

A figure of a net is the mean over its seeds. Its interval resamples test sessions: what a row contributes to a metric
is averaged over the seeds, then whole sessions are drawn with replacement, the same for all methods (`Tally`). So an
interval says how far other sessions of the same kind would move the figure; how far another seed moves it is read off
the seeds' own figures, which are reported beside. Folds are pooled: each test row of the data counts once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.evaluation.metrics import METRICS, Interval, Tally, values
from generator.experiment.nets import NetVariant
from generator.experiment.shops import Fold
from generator.experiment.work import Record

__all__ = ["Estimates", "Results", "column_of", "figure", "rounded"]

Values = NDArray[np.float64]
SLICE = 4096  # rows tallied at a time


class Results:
    """The records of a plan.

    Parameters
    ----------
    folds
        The data.
    seeds
        Of the trainings.
    nets
        Records of the nets by hash of the spec, then seed by seed, in each fold by fold.
    baselines
        Records of the baselines by name, fold by fold.
    """

    def __init__(
        self,
        folds: Sequence[Fold],
        seeds: Sequence[int],
        nets: Mapping[str, Sequence[Sequence[Record]]],
        baselines: Mapping[str, Sequence[Record]],
        replicates: int = 1000,
    ) -> None:
        self.folds, self.seeds, self._replicates = folds, seeds, replicates
        self._nets, self._baselines = nets, baselines
        sessions, first = [], 0
        for fold in folds:
            # Numbered on from fold to fold: the first session of one is not the last of another.
            numbers = fold.test["session"] + first
            first = int(numbers.max(initial=first)) + 1
            sessions.append(numbers)
        self.sessions: NDArray[np.int64] = np.concatenate(sessions)

    def _records(self, method: NetVariant | str) -> Sequence[Sequence[Record]]:
        return [self._baselines[method]] if isinstance(method, str) else self._nets[method.hash]

    def rows(self, method: NetVariant | str, point: int = -1) -> Values:
        """Return what each test row contributes to each of METRICS, (R, 22), a mean over the seeds."""
        return _mean([_pooled(each, point) for each in self._records(method)])

    def each_seed(self, method: NetVariant | str, point: int = -1) -> Values:
        """Return METRICS for each seed, (S, 22); a baseline has the same figures whatever the seed."""
        found = np.stack([_pooled(each, point).mean(axis=0) for each in self._records(method)])
        return np.repeat(found, len(self.seeds), axis=0) if isinstance(method, str) else found

    def seconds(self, method: NetVariant | str, point: int = -1) -> float:
        """Return the seconds of a training up to a point, a mean over seeds and folds."""
        return float(np.mean([record.seconds[point] for each in self._records(method) for record in each]))

    def iterations(self, net: NetVariant) -> Values:
        """Return the points of a net in iterations, (P,), a mean over the folds."""
        return _mean([record.iteration for record in self._records(net)[0]])

    def epochs(self, net: NetVariant) -> Values:
        """Return the points of a net in epochs, (P,), a mean over the folds."""
        size = net.spec.solver.batch_size * net.spec.solver.iter_size
        found = [
            record.iteration * size / fold.rows(net.spec)
            for fold, record in zip(self.folds, self._records(net)[0], strict=True)
        ]
        return _mean(found)

    def curve(self, net: NetVariant) -> Values:
        """Return iteration, loss and seconds in the course of the training, (C, 3), a mean over seeds and folds."""
        curves = [record.curve for each in self._records(net) for record in each]
        length = min(map(len, curves))
        return _mean([curve[:length] for curve in curves])

    def estimates(self, columns: Mapping[str, Values]) -> "Estimates":
        """Return figures with intervals for ``columns``, each (R, 22): a method's rows, or a difference of some."""
        return Estimates(columns, self.sessions, self._replicates)


def _mean(arrays: Sequence[NDArray[Any]]) -> Values:
    return np.asarray(np.mean(arrays, axis=0), np.float64)


def _pooled(folds: Sequence[Record], point: int) -> Values:
    return np.concatenate([values(record.ranks[point].astype(np.float64)) for record in folds])


class Estimates:
    """Figures with intervals, all by the same resampled sessions."""

    def __init__(self, columns: Mapping[str, Values], sessions: NDArray[np.int64], replicates: int = 1000) -> None:
        self._tally = Tally(list(columns), replicates)
        for start in range(0, len(sessions), SLICE):
            part = slice(start, start + SLICE)
            self._tally.add_values(np.stack([column[part] for column in columns.values()], axis=1), sessions[part])

    def of(self, column: str, metric: str) -> Interval:
        """Return the figure of a column with its interval."""
        return rounded(self._tally.estimate(column, metric))

    def difference(self, column: str, other: str, metric: str) -> Interval:
        """Return how far a column is ahead of another, paired."""
        return rounded(self._tally.difference(column, other, metric))


def rounded(interval: Interval) -> Interval:
    """Return an interval to six digits."""
    return Interval(figure(interval.value), figure(interval.low), figure(interval.high))


def figure(value: Any) -> float:
    """Return a figure to six digits."""
    return round(float(value), 6) + 0.0


def column_of(metric: str) -> int:
    """Return the place of ``metric`` among METRICS."""
    return METRICS.index(metric)
