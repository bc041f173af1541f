"""What every baseline has in common, and the popularity that all of them fall back on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from generator.evaluation.ranking import CUTOFF, Ranking, Ties, place_within, ranked, tied_ranks
from generator.evaluation.rows import RowBatch, SplitRows

__all__ = ["VIEW", "Baseline", "Candidates", "Choice", "Popularity", "Scores", "label_counts", "slices"]

VIEW = 0.05  # what a view is worth beside a purchase: in shops, a few in a hundred views end in one

Ints = NDArray[np.int64]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """How the settings of a baseline were chosen: the best of those ``tried`` by a metric on the validation split."""

    tried: int
    metric: str
    value: float


class Baseline(ABC):
    """A method that needs no net: ``fit`` on the training split, then ``scores`` or ``rank`` of any batch.

    A new one is a class with these verbs and a ``name``, entered in `baselines.BASELINES`. Once fitted, it answers
    in several threads at once.
    """

    name: ClassVar[str]
    default: ClassVar[bool] = True  # whether `--baselines default` has it
    grid: ClassVar[Sequence[Mapping[str, Any]]] = ()  # other arguments, that `tuning.tuned` tries

    choice: Choice | None = None  # where `tuning.tuned` made it

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that made it, by name: of each there is an attribute."""
        return {name: getattr(self, name) for name in signature(type(self)).parameters}

    @abstractmethod
    def fit(self, train: SplitRows) -> None:
        """Learn from the training split: its labels (``train.labels()``) and its sessions (``train.sessions()``)."""

    @abstractmethod
    def scores(self, batch: RowBatch) -> Scores:
        """Return the score of each item for each row, (B, N+1) float32, all finite, column 0 below every other."""

    def rank(self, batch: RowBatch, ties: Ties = "median") -> Ranking:
        """Return the rank of each row's label and the items recommended: those of `scores`."""
        return ranked(self.scores(batch), batch.label, ties)


@dataclass(frozen=True)
class Candidates:
    """The items that a method puts above all others, for each of B rows.

    Attributes
    ----------
    offset : int64 (B+1,): row i has the candidates offset[i]..offset[i+1]-1, in any order, each item once
    item : int64 (C,), 1..N
    score : float64 (C,), finite; those of equal score are ordered by popularity
    """

    offset: Ints
    item: Ints
    score: NDArray[np.float64]

    @cached_property
    def row(self) -> Ints:
        """The row of each candidate, int64 (C,), ascending."""
        return np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))


class Popularity(Baseline):
    """Items by how often they are the label in the training split; items never seen there tie at the end.

    The other methods inherit it: each names some `candidates`, and leaves the rest in this order. Only the candidates
    are looked at to rank a row, so its cost does not grow with the catalogue.
    """

    name = "popularity"

    def fit(self, train: SplitRows) -> None:
        """Count the labels."""
        # Dense ranks of the counts, not the counts: float32 tells them apart up to 2**24.
        levels, level = np.unique(label_counts(train)[1:], return_inverse=True)
        self._level = np.concatenate([[-1], level]).astype(np.int64)  # of each item, the least popular 0
        self._levels = max(1, len(levels))
        self._alike = np.bincount(level, minlength=self._levels)  # items of each level
        self._above = len(level) - np.cumsum(self._alike)  # items of the levels above it
        self._popular = np.argsort(-self._level[1:], kind="stable")[:CUTOFF] + 1
        self._place = np.full(len(self._level), -1)  # of each item among them
        self._place[self._popular] = np.arange(len(self._popular))

    @property
    def order(self) -> NDArray[np.float32]:
        """The popularity of each item, 0 and more but below 1, and of none -1, (N+1,)."""
        found = (self._level / self._levels).astype(np.float32)
        found[0] = -1
        return found

    def candidates(self, batch: RowBatch) -> Candidates:
        """Return the items above the popularity for each row: none."""
        return Candidates(np.zeros(len(batch) + 1, np.int64), np.zeros(0, np.int64), np.zeros(0))

    def scores(self, batch: RowBatch) -> Scores:
        """Return 1, 2, ... for the candidates of each row, worst first, and the popularity, below 1, of the others."""
        found = np.tile(self.order, (len(batch), 1))
        few = self.candidates(batch)
        order, differs = self._sorted(few)
        level = np.cumsum(differs[::-1])[::-1]  # of equal candidates the same, and the best of a row has the most
        last = few.offset[few.row + 1] - 1
        found[few.row, few.item[order]] = 1 + level - level[last]
        return found

    def rank(self, batch: RowBatch, ties: Ties = "median") -> Ranking:
        """Return the rank of each row's label and the items recommended."""
        few = self.candidates(batch)
        return Ranking(self._ranks(few, batch.label, ties), self._top(few))

    def _sorted(self, few: Candidates) -> tuple[Ints, NDArray[np.bool_]]:
        """Return the candidates' order, row by row and best first, and whether each is above the one after it."""
        order = np.lexsort((few.item, -self._level[few.item], -few.score, few.row))
        score, level = few.score[order], self._level[few.item[order]]
        return order, (np.diff(score, append=np.nan) != 0) | (np.diff(level, append=-1) != 0)

    def _ranks(self, few: Candidates, label: Ints, ties: Ties) -> NDArray[np.float64]:
        """Return the rank of each row's ``label``, infinity for 0."""
        row, rows, level = few.row, len(label), self._level
        own = few.item == label[row]
        score = np.full(rows, -np.inf)  # of the label: below every candidate's where it is none
        score[row[own]] = few.score[own]
        ahead = few.score - score[row]
        step = level[few.item] - level[label][row]
        greater = np.bincount(row[(ahead > 0) | ((ahead == 0) & (step > 0))], minlength=rows)
        equal = np.bincount(row[(ahead == 0) & (step == 0)], minlength=rows)
        rest = np.isinf(score)
        greater += rest * (self._above[level[label]] - np.bincount(row[step > 0], minlength=rows))
        equal += rest * (self._alike[level[label]] - np.bincount(row[step == 0], minlength=rows))
        found = tied_ranks(greater, equal, ties)
        found[label < 1] = np.inf
        return found

    def _top(self, few: Candidates) -> NDArray[np.int32]:
        """Return the CUTOFF best items of each row, or all N: the best candidates, then the most popular others."""
        rows, width = len(few.offset) - 1, min(CUTOFF, len(self._level) - 1)
        found = np.zeros((rows, width), np.int32)
        few = _best(few, width)
        order, _ = self._sorted(few)
        place = place_within(few.row)
        first = place < width
        found[few.row[first], place[first]] = few.item[order][first]
        held = np.minimum(np.diff(few.offset), width)
        free = np.ones((rows, len(self._popular)), np.bool_)
        popular = self._place[few.item]
        free[few.row[popular >= 0], popular[popular >= 0]] = False
        free &= np.cumsum(free, axis=1) <= (width - held)[:, None]
        found[np.arange(width) >= held[:, None]] = self._popular[np.nonzero(free)[1]]
        return found


def _best(few: Candidates, count: int) -> Candidates:
    """Return the ``count`` candidates of the highest score of each row, and those that tie with the last of them."""
    kept = np.ones(len(few.item), np.bool_)
    for row in np.flatnonzero(np.diff(few.offset) > count):
        part = slice(few.offset[row], few.offset[row + 1])
        score = few.score[part]
        at = len(score) - count
        kept[part] = score >= np.partition(score, at)[at]
    held = np.concatenate([[0], np.cumsum(kept)])
    return few if kept.all() else Candidates(held[few.offset], few.item[kept], few.score[kept])


def label_counts(train: SplitRows) -> Ints:
    """Return how often each item is the label in the training split, int64 (N+1,), 0 for item 0 and for slots."""
    counts = np.zeros(train.item_ids + 1, np.int64)
    for labels in train.labels():
        counts += np.bincount(labels, minlength=len(counts))
    counts[0] = 0
    return counts


def slices(group: Ints, size: Ints, limit: int) -> Iterator[slice]:
    """Yield slices that together cover ``group``, which ascends, and that part no run of equal values.

    Parameters
    ----------
    group, size : (E,) each, the group of each entry and what it takes
    limit : of the sizes of a slice, but for its first run
    """
    ends = np.cumsum(np.bincount(group, size)).astype(np.int64)
    for begin, end in pairwise(np.flatnonzero(np.diff(ends[group] // limit, prepend=-1, append=-1))):
        yield slice(begin, end)
