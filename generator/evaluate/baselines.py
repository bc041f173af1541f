"""Baselines beside every model: each one class, entered in BASELINES by its decorator."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError
from generator.evaluate.rows import Batch, Part

__all__ = [
    "BASELINES",
    "Baseline",
    "DwellFrequency",
    "Frequency",
    "LastView",
    "Popularity",
    "Recency",
    "SecondLastView",
    "choose",
    "register",
]

Scores = NDArray[np.float32]


class Baseline(ABC):
    """A method that needs no net: ``fit`` on the training part, then ``scores`` of any batch.

    A new one is a class with these two verbs and a ``name``, under ``@register``.
    """

    name: ClassVar[str]
    default: ClassVar[bool] = True  # whether `--baselines default` has it

    @abstractmethod
    def fit(self, train: Part) -> None:
        """Learn from the training part: its labels (``train.labels()``) and its sessions (``train.sessions()``)."""

    @abstractmethod
    def scores(self, batch: Batch) -> Scores:
        """Return the score of each item for each row, (B, N+1) float32, all finite, column 0 below every other."""


BASELINES: dict[str, type[Baseline]] = {}


def register(cls: type[Baseline]) -> type[Baseline]:
    """Enter a baseline in BASELINES under its name."""
    BASELINES[cls.name] = cls
    return cls


def choose(names: str | Sequence[str]) -> list[Baseline]:
    """Return new baselines for ``default``, ``all``, ``none``, or names, as a list or with commas between.

    Raises
    ------
    DataError : no baseline has that name.
    """
    if names in ("default", "all", "none"):
        return [cls() for cls in BASELINES.values() if names == "all" or (names == "default" and cls.default)]
    wanted = [part.strip() for part in names.split(",")] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in BASELINES:
            raise DataError(f"there is no baseline {name!r}: choose of {', '.join(BASELINES)}, or default, all, none")
    return [BASELINES[name]() for name in dict.fromkeys(wanted)]


@register
class Popularity(Baseline):
    """Items by how often they are the label in the training part; items never seen there tie at the end."""

    name = "popularity"

    def fit(self, train: Part) -> None:
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


class _Back(Popularity):
    """The item of the view ``back`` views from the end, then the rest by popularity."""

    back: ClassVar[int]

    def scores(self, batch: Batch) -> Scores:
        """Return 1 for that one item, where there is one, and the popularity of the others."""
        found = super().scores(batch)
        offset = batch.seen.offset
        rows = np.flatnonzero(np.diff(offset) >= self.back)
        items = batch.item[offset[rows + 1] - self.back]
        found[rows[items > 0], items[items > 0]] = 1
        return found


@register
class LastView(_Back):
    """The item viewed last, then the rest by popularity."""

    name = "last-view"
    back = 1


@register
class SecondLastView(_Back):
    """The item viewed just before the last view, then the rest by popularity.

    In purchase data the last view is often the page of the basket's next item, not of the one bought.
    """

    name = "second-last-view"
    default = False
    back = 2


class _Ranked(Popularity):
    """The items of the session by the sum of their views' weights, then by recency; the rest by popularity."""

    @abstractmethod
    def weight(self, batch: Batch) -> NDArray[np.floating]:
        """Return the weight of each view of ``batch.seen``, (E,)."""

    def scores(self, batch: Batch) -> Scores:
        """Return 1, 2, ... for the items seen, worst first, and the popularity, below 1, of the others."""
        found = super().scores(batch)
        width, sold = batch.items + 1, batch.item > 0
        cell = batch.row[sold] * width + batch.item[sold]
        cells, inverse = np.unique(cell, return_inverse=True)
        weight = np.bincount(inverse, self.weight(batch)[sold], minlength=len(cells))
        latest = np.zeros(len(cells), np.int64)
        latest[inverse] = np.flatnonzero(sold)  # views are in time order, and the last assignment to a cell stays
        row = cells // width
        best_last = np.lexsort((latest, weight, row))
        first = np.searchsorted(row, row)  # `cells` and so `row` ascend; lexsort keeps each row in its place
        found.reshape(-1)[cells[best_last]] = 1 + np.arange(len(cells)) - first
        return found


@register
class Recency(_Ranked):
    """The items of the session, the latest view first; the rest by popularity."""

    name = "recency"

    def weight(self, batch: Batch) -> NDArray[np.floating]:
        """Return 0: all tie, so recency decides."""
        return np.zeros(len(batch.item))


@register
class Frequency(_Ranked):
    """The items of the session by their number of views, ties by recency; the rest by popularity."""

    name = "frequency"

    def weight(self, batch: Batch) -> NDArray[np.floating]:
        """Return 1 for each view."""
        return np.ones(len(batch.item))


@register
class DwellFrequency(_Ranked):
    """The items of the session by the total time spent on them, ties by recency; the rest by popularity.

    The time on the last page is not known and counts as one second.
    """

    name = "dwell-frequency"
    default = False

    def weight(self, batch: Batch) -> NDArray[np.floating]:
        """Return the dwell time of each view in seconds."""
        return batch.seen.dwell
