"""Metrics of ranks, and a streaming tally that puts bootstrap intervals on them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError
from generator.evaluation.ranking import CUTOFF

__all__ = ["CUTOFF", "HEADLINES", "METRICS", "Interval", "Tally", "values"]

METRICS = (*(f"HR@{k}" for k in range(1, CUTOFF + 1)), f"MRR@{CUTOFF}", f"NDCG@{CUTOFF}")
_SESSIONS = 128  # sessions resampled at a time: their weights stay in a core's cache
_PRODUCT = 2**18  # multiplications BLAS does in one thread: more would wait for the cores that models are scored on
_CELLS = 2**16
# Quantiles of Poisson(1): looking 16 random bits up in them takes a tenth of the time of drawing the count.
_POISSON = np.searchsorted(
    np.cumsum([math.exp(-1) / math.factorial(count) for count in range(12)]), (np.arange(_CELLS) + 0.5) / _CELLS
).astype(np.float32)
HEADLINES = ("HR@1", "HR@5", "HR@10", "HR@20", "MRR@20", "NDCG@20")


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval, ``low <= high``."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width of the interval, the figure after ±."""
        return (self.high - self.low) / 2


def values(rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each row contributes to each of METRICS.

    A hit at K is rank <= K. MRR@20 counts 1/rank and NDCG@20 counts 1/log2(1 + rank) (one relevant item, so
    the ideal DCG is 1), both 0 where rank > 20. A mean rank may be a fraction, and goes into these formulas as it is.

    Parameters
    ----------
    rank : (B,) array of float64, at least 1; infinity is a miss

    Returns
    -------
    (B, 22) array of float64 within 0..1, columns in the order of METRICS.
    """
    hits = rank[:, None] <= np.arange(1, CUTOFF + 1)
    within = hits[:, -1]
    return np.column_stack([hits, within / rank, within / np.log2(1 + rank)]).astype(np.float64)


class Tally:
    """Metrics of several methods over a stream of rows, in constant memory, with paired bootstrap intervals.

    The bootstrap resamples sessions, not rows, for the rows of a session are not independent. Drawing S sessions
    with replacement is replaced by weighing each with a Poisson(1) count (the online bootstrap of Oza & Russell,
    "Online Bagging and Boosting", 2001), which needs no second look at the data. All methods share the weights, so
    the difference of two is judged on the same resampled sessions. Intervals are the 2.5 and 97.5 percentiles.

    Parameters
    ----------
    methods : names, each once, at least one
    replicates : resampled data sets
    seed : of the weights; the result does not depend on how the rows are cut into batches
    """

    def __init__(self, methods: Sequence[str], replicates: int = 1000, seed: int = 0) -> None:
        self.methods = tuple(methods)
        self.rows = 0
        self.sessions = 0
        self._random = np.random.PCG64(seed)
        self._sums = np.zeros((len(self.methods), len(METRICS)))
        self._resampled = np.zeros((replicates, self._sums.size + 1))  # the sums of each replicate, and its rows
        self._open: int | None = None  # the session of the last row: the next batch may go on with it
        self._open_weight = np.zeros(replicates, np.float32)

    def add(self, rank: Mapping[str, NDArray[np.float64]], sessions: NDArray[np.integer[Any]]) -> None:
        """Count a batch of rows.

        Parameters
        ----------
        rank : for each method a (B,) array of ranks
        sessions : (B,) array of int; the rows of a session are contiguous, over batches too
        """
        if len(sessions):
            self.add_values(np.stack([values(rank[method]) for method in self.methods], axis=1), sessions)

    def add_values(self, each_row: NDArray[np.float64], sessions: NDArray[np.integer[Any]]) -> None:
        """Count a batch of rows by what each contributes: a mean over several trainings, a difference of methods.

        Parameters
        ----------
        each_row : (B, methods, METRICS) array, as `values` gives for one method
        sessions : as in `add`; at least one row
        """
        starts = np.flatnonzero(np.concatenate([[True], sessions[1:] != sessions[:-1]]))
        each_session = np.add.reduceat(each_row, starts, axis=0)
        rows = np.diff(np.append(starts, len(sessions)))
        self.rows += len(sessions)
        self._sums += each_session.sum(axis=0)
        columns = np.column_stack([each_session.reshape(len(starts), -1), rows]).astype(np.float32)
        for first in range(0, len(starts), _SESSIONS):
            part = slice(first, first + _SESSIONS)
            self._resample(columns[part], sessions[starts[part]])

    def _resample(self, columns: NDArray[np.float32], sessions: NDArray[np.integer[Any]]) -> None:
        """Count the (S, methods * METRICS + 1) sums and rows of S distinct sessions in every replicate."""
        weight = self._weights(sessions).T
        size = max(1, _PRODUCT // columns.size)
        for first in range(0, len(weight), size):
            part = slice(first, first + size)
            self._resampled[part] += weight[part] @ columns

    def _weights(self, sessions: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Return the (S, replicates) weights of the distinct ``sessions`` of a batch, in order."""
        goes_on = self._open is not None and int(sessions[0]) == self._open
        new = len(sessions) - goes_on
        self.sessions += new
        replicates = len(self._open_weight)
        words = self._random.random_raw((new, -(-replicates // 2)))  # of 64 bits
        # The upper half of each 32 bits: what Generator.random gives as float32, times 2**16.
        weight = _POISSON.take(words.view(np.uint16)[:, 1::2][:, :replicates])
        if goes_on:
            weight = np.concatenate([self._open_weight[None], weight])
        self._open, self._open_weight = int(sessions[-1]), weight[-1]
        return weight

    def estimate(self, method: str, metric: str) -> Interval:
        """Return ``metric`` of ``method``: its mean over all rows, and the interval.

        Raises
        ------
        DataError : no row was counted.
        """
        return self.estimates(method, [metric])[metric]

    def estimates(self, method: str, metrics: Sequence[str] = METRICS) -> dict[str, Interval]:
        """Return `estimate` of each of ``metrics``."""
        at = self.methods.index(method)
        return self._intervals(self._sums[at], self._replicates(at), metrics)

    def difference(self, method: str, other: str, metric: str) -> Interval:
        """Return ``metric`` of ``method`` minus that of ``other``, paired; an interval without 0 tells them apart.

        Raises
        ------
        DataError : no row was counted.
        """
        return self.differences(method, other, [metric])[metric]

    def differences(self, method: str, other: str, metrics: Sequence[str] = METRICS) -> dict[str, Interval]:
        """Return `difference` of each of ``metrics``."""
        one, two = self.methods.index(method), self.methods.index(other)
        replicates = self._replicates(one) - self._replicates(two)
        return self._intervals(self._sums[one] - self._sums[two], replicates, metrics)

    def _replicates(self, method: int) -> NDArray[np.float64]:
        """Return the sums of METRICS of a method in each replicate, (replicates, METRICS)."""
        return self._resampled[:, method * len(METRICS) : (method + 1) * len(METRICS)]

    def _intervals(
        self, total: NDArray[np.float64], replicates: NDArray[np.float64], metrics: Sequence[str]
    ) -> dict[str, Interval]:
        """Return an interval for each of ``metrics``, from the (METRICS,) sums and the (replicates, METRICS) ones."""
        if self.rows == 0:
            raise DataError("there is no row to evaluate")
        columns = np.array([METRICS.index(metric) for metric in metrics])
        rows = self._resampled[:, -1]
        drawn = rows > 0  # few sessions: some replicate may have drawn none of them
        spread = replicates[np.ix_(drawn, columns)] / rows[drawn, None]
        edges = np.percentile(spread, [2.5, 97.5], axis=0) if drawn.any() else np.zeros((2, len(columns)))
        found = zip(metrics, total[columns] / self.rows, *edges, strict=True)
        return {metric: Interval(float(value), float(low), float(high)) for metric, value, low, high in found}
