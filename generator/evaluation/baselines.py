"""Baselines beside every model: the rules that look at the session alone, and the table of all there are."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import offsets
from generator.errors import DataError
from generator.evaluation.als import Als
from generator.evaluation.baseline import Baseline, Candidates, Popularity
from generator.evaluation.neighbours import VsKnn
from generator.evaluation.ranking import place_within
from generator.evaluation.rows import RowBatch
from generator.evaluation.sequential import SequentialRules
from generator.evaluation.stan import Stan, Vstan

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
    "Stan",
    "VsKnn",
    "Vstan",
    "choose",
]


class _Back(Popularity):
    """The item of the view ``back`` views from the end, then the rest by popularity."""

    back: ClassVar[int]

    def candidates(self, batch: RowBatch) -> Candidates:
        """Return that one item, where there is one."""
        offset = batch.seen.offset
        long = np.diff(offset) >= self.back
        item = np.zeros(len(batch), np.int64)
        item[long] = batch.item[offset[1:][long] - self.back]
        return Candidates(offsets(item > 0), item[item > 0], np.ones(np.count_nonzero(item)))


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
    def weight(self, batch: RowBatch) -> NDArray[np.floating]:
        """Return the weight of each view of ``batch.seen``, (E,)."""

    def candidates(self, batch: RowBatch) -> Candidates:
        """Return the items seen, the score of each the number of the row's items that it is before."""
        width, sold = batch.items + 1, batch.item > 0
        cells, inverse = np.unique(batch.row[sold] * width + batch.item[sold], return_inverse=True)
        weight = np.bincount(inverse, self.weight(batch)[sold], minlength=len(cells))
        latest = np.zeros(len(cells), np.int64)
        latest[inverse] = np.flatnonzero(sold)  # views are in time order, and the last assignment to a cell stays
        row = cells // width  # `cells` and so `row` ascend; lexsort keeps each row in its place
        best_last = np.lexsort((latest, weight, row))
        return Candidates(
            offsets(np.bincount(row, minlength=len(batch))),
            cells[best_last] % width,
            place_within(row).astype(np.float64),
        )


class Recency(_Ranked):
    """The items of the session, the latest view first; the rest by popularity."""

    name = "recency"

    def weight(self, batch: RowBatch) -> NDArray[np.floating]:
        """Return 0: all tie, so recency decides."""
        return np.zeros(len(batch.item))


class Frequency(_Ranked):
    """The items of the session by their number of views, ties by recency; the rest by popularity."""

    name = "frequency"

    def weight(self, batch: RowBatch) -> NDArray[np.floating]:
        """Return 1 for each view."""
        return np.ones(len(batch.item))


class DwellFrequency(_Ranked):
    """The items of the session by the total time spent on them, ties by recency; the rest by popularity.

    The time on the last page is not known and counts as one second.
    """

    name = "dwell-frequency"
    default = False

    def weight(self, batch: RowBatch) -> NDArray[np.floating]:
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
        Stan,
        Vstan,
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
