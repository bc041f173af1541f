"""What every baseline has in common, and the popularity that all of them fall back on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from generator.evaluation.rows import Batch, SplitRows

__all__ = ["VIEW", "Baseline", "Popularity", "Scores", "place_within", "slices"]

VIEW = 0.05  # what a view is worth beside a purchase: in shops, a few in a hundred views end in one

Scores = NDArray[np.float32]


class Baseline(ABC):
    """A method that needs no net: ``fit`` on the training split, then ``scores`` of any batch.

    A new one is a class with these two verbs and a ``name``, entered in `baselines.BASELINES`.
    """

    name: ClassVar[str]
    default: ClassVar[bool] = True  # whether `--baselines default` has it

    @abstractmethod
    def fit(self, train: SplitRows) -> None:
        """Learn from the training split: its labels (``train.labels()``) and its sessions (``train.sessions()``)."""

    @abstractmethod
    def scores(self, batch: Batch) -> Scores:
        """Return the score of each item for each row, (B, N+1) float32, all finite, column 0 below every other."""


class Popularity(Baseline):
    """Items by how often they are the label in the training split; items never seen there tie at the end."""

    name = "popularity"

    def fit(self, train: SplitRows) -> None:
        """Count the labels."""
        counts = np.zeros(len(train.items) + 1, np.int64)
        for labels in train.labels():
            counts += np.bincount(labels, minlength=len(train.items) + 1)
        counts[0] = 0
        # Dense ranks of the counts, not the counts: float32 tells them apart up to 2**24.
        levels, rank = np.unique(counts, return_inverse=True)
        self._popularity: Scores = (rank / len(levels)).astype(np.float32)  # within 0 <= . < 1
        self._popularity[0] = -1

    def scores(self, batch: Batch) -> Scores:
        """Return the same popularity for each row, within 0..1."""
        return np.tile(self._popularity, (len(batch), 1))

    def lift(self, found: Scores, cell: NDArray[np.int64], score: NDArray[Any]) -> None:
        """Put the cells 1, 2, ... above the popularity, worst first; those of equal score by popularity.

        Parameters
        ----------
        found : (B, N+1), changed in place
        cell : (C,), row * (N+1) + item, ascending, each once
        score : (C,)
        """
        row, item = np.divmod(cell, found.shape[1])
        order = np.lexsort((self._popularity[item], score, row))
        score, popularity = score[order], self._popularity[item[order]]
        differs = (np.diff(score, prepend=0) != 0) | (np.diff(popularity, prepend=0) != 0)
        first = np.searchsorted(row, row)  # `row` ascends, and lexsort keeps each row in its place
        level = np.cumsum(differs)
        found.reshape(-1)[cell[order]] = 1 + level - level[first]


def place_within(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, ... within each run of equal values of ``group``, which ascends."""
    return np.arange(len(group)) - np.searchsorted(group, group)


def slices(group: NDArray[np.int64], size: NDArray[np.int64], limit: int) -> Iterator[slice]:
    """Yield slices that together cover ``group``, which ascends, and that part no run of equal values.

    Parameters
    ----------
    group, size : (E,) each, the group of each entry and what it takes
    limit : of the sizes of a slice, but for its first run
    """
    ends = np.cumsum(np.bincount(group, size)).astype(np.int64)
    for begin, end in pairwise(np.flatnonzero(np.diff(ends[group] // limit, prepend=-1, append=-1))):
        yield slice(begin, end)
