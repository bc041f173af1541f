"""Baselines beside every model: the rules that look at the session alone, and the table of all there are."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError
from generator.evaluation.als import Als
from generator.evaluation.baseline import Baseline, Popularity, Scores
from generator.evaluation.neighbours import VsKnn
from generator.evaluation.rows import Batch
from generator.evaluation.sequential import SequentialRules

__all__ = [
    "BASELINES",
    "Als",
    "Baseline",
    "DwellFrequency",
    "Frequency",
    "LastView",
    "Popularity",
    "Recency",
    "SecondLastView",
    "SequentialRules",
    "VsKnn",
    "choose",
]


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


class LastView(_Back):
    """The item viewed last, then the rest by popularity."""

    name = "last-view"
    back = 1


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


class Recency(_Ranked):
    """The items of the session, the latest view first; the rest by popularity."""

    name = "recency"

    def weight(self, batch: Batch) -> NDArray[np.floating]:
        """Return 0: all tie, so recency decides."""
        return np.zeros(len(batch.item))


class Frequency(_Ranked):
    """The items of the session by their number of views, ties by recency; the rest by popularity."""

    name = "frequency"

    def weight(self, batch: Batch) -> NDArray[np.floating]:
        """Return 1 for each view."""
        return np.ones(len(batch.item))


class DwellFrequency(_Ranked):
    """The items of the session by the total time spent on them, ties by recency; the rest by popularity.

    The time on the last page is not known and counts as one second.
    """

    name = "dwell-frequency"
    default = False

    def weight(self, batch: Batch) -> NDArray[np.floating]:
        """Return the dwell time of each view in seconds."""
        return batch.seen.dwell


BASELINES: dict[str, type[Baseline]] = {
    cls.name: cls
    for cls in (
        Popularity,
        LastView,
        SecondLastView,
        Recency,
        Frequency,
        DwellFrequency,
        SequentialRules,
        VsKnn,
        Als,
    )
}


def choose(names: str | Sequence[str]) -> list[Baseline]:
    """Return new baselines for ``default``, ``all``, ``none``, or names, as a list or with commas between.

    Raises
    ------
    DataError : no baseline has that name, or one needs a library that is not installed.
    """
    if names in ("default", "all", "none"):
        return [cls() for cls in BASELINES.values() if names == "all" or (names == "default" and cls.default)]
    wanted = [part.strip() for part in names.split(",")] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in BASELINES:
            raise DataError(f"there is no baseline {name!r}: choose of {', '.join(BASELINES)}, or default, all, none")
    return [BASELINES[name]() for name in dict.fromkeys(wanted)]
