"""Full-ranking metrics, and a streaming tally that puts bootstrap intervals on them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError, ModelError

__all__ = ["CUTOFF", "HEADLINES", "METRICS", "Interval", "Tally", "ranks", "values"]

CUTOFF = 20
METRICS = (*(f"HR@{k}" for k in range(1, CUTOFF + 1)), f"MRR@{CUTOFF}", f"NDCG@{CUTOFF}")
_CELLS = 2**16
# Quantiles of Poisson(1): looking a uniform draw up in them takes a tenth of the time of drawing the count.
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


def ranks(scores: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the rank of each row's label among the items 1..N, best 1.

    Column 0 ("none") takes no part. Items that tie with the label share their mean rank,
    1 + (number greater) + (number equal - 1) / 2, so that a method gains nothing by scoring all items alike.

    Parameters
    ----------
    scores : (B, N+1) array of float, higher is better; infinities are ordered as numbers are
    labels : (B,) array of int in 0..N; a label below 1 is out of the vocabulary

    Returns
    -------
    (B,) array of float64; infinity where the label is out of the vocabulary.

    Raises
    ------
    ModelError : a score is NaN.
    DataError : a label is above N.
    """
    labels = np.asarray(labels)
    if len(labels) == 0:
        return np.empty(0)
    items = scores[:, 1:]
    if labels.max() > items.shape[1]:
        row = int(labels.argmax())
        raise DataError(
            f"row {row} has label {labels[row]} but there are scores for the items 1..{items.shape[1]} only"
        )
    not_a_number = np.isnan(items.max(axis=1))
    if not_a_number.any():
        raise ModelError(
            f"the scores of row {int(not_a_number.argmax())} hold NaN, so they have no order: "
            "the weights are broken, train again with a smaller base_lr or with clip_gradients"
        )
    own = np.take_along_axis(items, np.maximum(labels, 1)[:, None].astype(np.int64) - 1, axis=1)
    greater = np.count_nonzero(items > own, axis=1)
    equal = np.count_nonzero(items == own, axis=1)
    found: NDArray[np.float64] = np.where(labels >= 1, 1 + greater + (equal - 1) / 2, np.inf)
    return found


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
        self._random = np.random.default_rng(seed)
        self._sums = np.zeros((len(self.methods), len(METRICS)))
        self._replicate_rows = np.zeros(replicates)
        self._replicate_sums = np.zeros((replicates, len(self.methods), len(METRICS)))
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
        weight = self._weights(sessions[starts])
        self.rows += len(sessions)
        self._sums += each_session.sum(axis=0)
        self._replicate_rows += np.diff(np.append(starts, len(sessions))).astype(np.float32) @ weight
        self._replicate_sums += np.tensordot(weight, each_session.astype(np.float32), axes=(0, 0))

    def _weights(self, sessions: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Return the (S, replicates) weights of the distinct ``sessions`` of a batch, in order."""
        goes_on = self._open is not None and int(sessions[0]) == self._open
        new = len(sessions) - goes_on
        self.sessions += new
        drawn = self._random.random((new, len(self._open_weight)), np.float32) * np.float32(_CELLS)
        weight = _POISSON[drawn.astype(np.int32)]
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
        at = self.methods.index(method), METRICS.index(metric)
        return self._interval(self._sums[at], self._replicate_sums[:, at[0], at[1]])

    def difference(self, method: str, other: str, metric: str) -> Interval:
        """Return ``metric`` of ``method`` minus that of ``other``, paired; an interval without 0 tells them apart.

        Raises
        ------
        DataError : no row was counted.
        """
        one, two, column = self.methods.index(method), self.methods.index(other), METRICS.index(metric)
        return self._interval(
            self._sums[one, column] - self._sums[two, column],
            self._replicate_sums[:, one, column] - self._replicate_sums[:, two, column],
        )

    def _interval(self, total: float, replicates: NDArray[np.float64]) -> Interval:
        if self.rows == 0:
            raise DataError("there is no row to evaluate")
        drawn = self._replicate_rows > 0  # few sessions: some replicate may have drawn none of them
        spread = replicates[drawn] / self._replicate_rows[drawn]
        low, high = np.percentile(spread, [2.5, 97.5]) if drawn.any() else (0.0, 0.0)
        return Interval(float(total / self.rows), float(low), float(high))
