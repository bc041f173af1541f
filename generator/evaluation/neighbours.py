"""Session-based nearest neighbours."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import ragged_index
from generator.evaluation.baseline import VIEW, Popularity, Scores, place_within, slices
from generator.evaluation.rows import Batch, SplitRows

__all__ = ["VsKnn"]

ENTRIES = 2**20  # pairs of a row and a training session looked at together: what bounds the memory of `scores`
Ints = NDArray[np.int64]


class VsKnn(Popularity):
    """V-SkNN: the items of the k training sessions most like this one; the rest by popularity.

    Of the training sessions that share a page with the row, the newest ``sample`` are candidates. Their similarity
    to the row is the sum of the weights of the pages they share, where the page viewed at position i of x weighs
    i / x (its last view counts); the ``k`` most similar, ties to the newer, are the neighbours. A neighbour gives its
    items its similarity, divided by how many views back its last shared page is (1 for the last view).

    For the target `next` the items of a neighbour are those it viewed. For `purchase` they are the item it bought,
    and with `VIEW` of its vote each item it only viewed.

    Parameters
    ----------
    k, sample : as session-rec's, which are the defaults

    Notes
    -----
    The state is the newest ``sample`` sessions of each page and the items of each session: O(views) of the training
    part; an older session of a page cannot be among the newest ``sample`` of several pages.

    Source: Ludewig, Jannach: Evaluation of Session-based Recommendation Algorithms, 2018, and its code, session-rec.
    """

    name = "vs-knn"
    default = False

    def __init__(self, k: int = 100, sample: int = 500) -> None:
        self.k, self.sample = k, sample

    def fit(self, train: SplitRows) -> None:
        """Index the training sessions, the newest being number 0."""
        super().fit(train)
        sessions = train.sessions()
        count, width = max(1, len(sessions)), len(train.items) + 1
        age = np.empty(len(sessions), np.int64)
        age[np.argsort(sessions.start, kind="stable")[::-1]] = np.arange(len(sessions))  # without times: file order
        session = np.repeat(age, np.diff(sessions.offset))
        page, found = np.divmod(np.unique(sessions.page * np.int64(count) + session), count)
        newest = place_within(page) < self.sample
        self._sessions = found[newest].astype(np.int32)
        self._page_offset = np.searchsorted(page[newest], np.arange(len(train.pages) + 2))
        viewed, item = np.unique(session * width + train.items_of(sessions.page)), sessions.label
        bought = viewed[:0] if item is None else (age * width + item)[item > 0]
        cell, place = np.unique(np.concatenate([bought, viewed[viewed % width > 0]]), return_inverse=True)
        self._only_viewed = np.full(len(cell), item is not None)
        self._only_viewed[place[: len(bought)]] = False
        owner, item = np.divmod(cell, width)
        self._items = item.astype(np.int32)
        self._item_offset = np.searchsorted(owner, np.arange(count + 1))

    def scores(self, batch: Batch) -> Scores:
        """Return 1, 2, ... for the items of the neighbours, worst first, and the popularity of the others."""
        found = super().scores(batch)
        for row, session, weight in self._neighbours(batch):
            start, stop = self._item_offset[session], self._item_offset[session + 1]
            voted = ragged_index(start, stop - start)
            cell = np.repeat(row, stop - start) * found.shape[1] + self._items[voted]
            cell, place = np.unique(cell, return_inverse=True)
            vote = np.repeat(weight, stop - start) * np.where(self._only_viewed[voted], VIEW, 1)
            score = np.bincount(place, vote, minlength=len(cell))
            self.lift(found, cell, score.round(9))  # sums that differ by rounding alone tie
        return found

    def _neighbours(self, batch: Batch) -> Iterator[tuple[Ints, Ints, NDArray[np.float64]]]:
        """Yield row, training session and weight of all neighbours, (K,) each, some rows at a time, rows ascending."""
        seen, count = batch.seen, len(self._item_offset) - 1
        back = seen.offset[batch.row + 1] - np.arange(len(seen.page))  # 1: the last view
        # Of several views of a page the last one counts: the first from the end.
        pages = len(self._page_offset)
        key, index = np.unique((batch.row * pages + seen.page)[::-1], return_index=True)
        row, page = np.divmod(key, pages)
        back = back[::-1][index]
        position = np.diff(seen.offset)[row] + 1 - back
        start, size = self._page_offset[page], self._page_offset[page + 1] - self._page_offset[page]
        for part in slices(row, size, ENTRIES):
            other = self._sessions[ragged_index(start[part], size[part])]
            pair = np.repeat(row[part], size[part]) * count + other
            order = np.argsort(pair, kind="stable")
            first = np.flatnonzero(np.diff(pair[order], prepend=-1))
            if not len(first):
                continue
            similarity = np.add.reduceat(np.repeat(position[part], size[part])[order], first)
            nearest = np.minimum.reduceat(np.repeat(back[part], size[part])[order], first)
            owner, session = np.divmod(pair[order][first], count)
            kept = np.flatnonzero(place_within(owner) < self.sample)
            kept = kept[np.lexsort((session[kept], -similarity[kept], owner[kept]))]
            kept = kept[place_within(owner[kept]) < self.k]
            yield owner[kept], session[kept], similarity[kept] / nearest[kept]
