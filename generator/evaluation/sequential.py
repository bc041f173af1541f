"""Sequential rules: which item follows a page."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import Sessions, offsets, ragged_index
from generator.evaluation.baseline import VIEW, Candidates, Popularity, slices
from generator.evaluation.ranking import place_within
from generator.evaluation.rows import RowBatch, SplitRows

__all__ = ["SequentialRules"]

VIEWS = 2**20  # views whose rules are counted together: what bounds the memory of `fit`
Ints = NDArray[np.int64]


class SequentialRules(Popularity):
    """The items that followed the page viewed last in training sessions; the rest by popularity.

    An item d views after a page, up to ``steps``, gives the rule "page, then item" the weight 1 / d, summed over the
    training split; the ``kept`` heaviest rules of each page stay. A row's items score the weights of the rules of its
    last view.

    For the target `purchase` the item bought counts as one step after the last view, and a rule whose item was
    only viewed weighs `VIEW` of that.

    Parameters
    ----------
    steps : as session-rec's, which is the default
    kept : more than any cut-off; session-rec keeps 20

    Notes
    -----
    The state is at most ``kept`` rules a page.

    Source: Kamehkhosh, Jannach, Ludewig: A Comparison of Frequent Pattern Techniques and a Deep Learning Method for
    Session-Based Recommendation, 2017, and session-rec's SequentialRules.
    """

    name = "rules"
    default = False
    grid: ClassVar = ({"steps": 1}, {"steps": 3}, {"steps": 20})

    def __init__(self, steps: int = 10, kept: int = 100) -> None:
        self.steps, self.kept = steps, kept

    def fit(self, train: SplitRows) -> None:
        """Count the rules of some pages at a time."""
        super().fit(train)
        page, item, worth, end = _sequence(train.sessions(), train)
        width = train.item_ids + 1
        order = np.argsort(page, kind="stable")
        order = order[page[order] > 0]
        keys, weights = [np.zeros(0, np.int64)], [np.zeros(0)]
        for part in slices(page[order], np.ones(len(order), np.int64), VIEWS):
            key, weight = self._rules(order[part], page, item, worth, end, width)
            keys.append(key)
            weights.append(weight)
        source, found = np.divmod(np.concatenate(keys), width)
        self._item, self._weight = found.astype(np.int32), np.concatenate(weights)
        self._offset = np.searchsorted(source, np.arange(train.page_ids + 2))

    def _rules(
        self, view: Ints, page: Ints, item: Ints, worth: NDArray[np.float64], end: Ints, width: int
    ) -> tuple[Ints, NDArray[np.float64]]:
        """Return page * width + item, ascending, and the weight of the heaviest rules of the views."""
        keys, weights = [], []
        for step in range(1, self.steps + 1):
            view = view[view + step < end[view]]
            after = view + step
            sold = item[after] > 0
            key, weight = _summed(page[view[sold]] * width + item[after[sold]], worth[after[sold]] / step)
            keys.append(key)
            weights.append(weight)
        key, weight = _summed(np.concatenate(keys), np.concatenate(weights))
        weight = weight.round(9)  # sums that differ by rounding alone tie
        heaviest = np.lexsort((key, -weight, key // width))
        kept = np.sort(heaviest[place_within(key // width) < self.kept])
        return key[kept], weight[kept]

    def candidates(self, batch: RowBatch) -> Candidates:
        """Return the items of the rules of each row's last view."""
        end = batch.seen.offset
        last = np.zeros(len(batch), np.int64)  # page 0, which has no rule
        last[np.diff(end) > 0] = batch.seen.page[end[1:][np.diff(end) > 0] - 1]
        start, size = self._offset[last], self._offset[last + 1] - self._offset[last]
        rule = ragged_index(start, size)
        return Candidates(offsets(size), self._item[rule].astype(np.int64), self._weight[rule])


def _sequence(sessions: Sessions, train: SplitRows) -> tuple[Ints, Ints, NDArray[np.float64], Ints]:
    """Return page, item, worth and the end of its session for each step of the sessions, (E,), or with the purchases.

    A purchase is a step more, of page 0, after the views of its session.
    """
    page, item = sessions.page.astype(np.int64), train.items_of(sessions.page)
    offset = sessions.offset
    worth: NDArray[Any] = np.ones(len(page))
    if sessions.label is not None:
        page, item = np.insert(page, offset[1:], 0), np.insert(item, offset[1:], sessions.label)
        worth = np.insert(worth * VIEW, offset[1:], 1)
        offset = offset + np.arange(len(offset))
    return page, item, worth, np.repeat(offset[1:], np.diff(offset))


def _summed(key: Ints, weight: NDArray[np.float64]) -> tuple[Ints, NDArray[np.float64]]:
    """Return each key once, ascending, and the sum of its weights."""
    keys, place = np.unique(key, return_inverse=True)
    return keys, np.bincount(place, weight, minlength=len(keys)).astype(np.float64)  # integers where there is none
