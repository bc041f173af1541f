"""Session-based nearest neighbours: what they have in common, and V-SkNN."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import Sessions, offsets, ragged_index
from generator.errors import DataError, pip_install
from generator.evaluation.baseline import VIEW, Candidates, Popularity, slices
from generator.evaluation.ranking import place_within
from generator.evaluation.rows import RowBatch, SplitRows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Neighbours", "RowPages", "VsKnn"]

ENTRIES = 2**20  # pairs of a row and a training session looked at together: what bounds the memory of `candidates`
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RowPages:
    """The distinct pages of each of B rows, (Q,) each but for ``length`` (B,), the views of a row.

    ``row`` ascends, and ``page`` within it; ``position`` is that of the page's last view, 1 the oldest of the row.
    """

    row: Ints
    page: Ints
    position: Ints
    length: Ints


@dataclass(frozen=True)
class _Held:
    """What S training sessions hold, each thing once: ``offset`` (S+1,), and (E,) each.

    ``what`` is a page or an item, ``place`` that of its last view or purchase in the session, 0 the first.
    """

    offset: Ints
    what: NDArray[np.int32]
    place: NDArray[np.int32]


@dataclass(eq=False)
class Neighbours(Popularity):
    """The items of the k training sessions most like the row's; the rest by popularity. What a method adds are weights.

    Of the training sessions that share a page with the row, the newest ``sample`` are candidates. Their similarity to
    the row is the sum of the weights of the pages they share times a weight of their own; the ``k`` most similar, ties
    to the newer, are the neighbours. Each votes for its items, once each, with its similarity times a weight by where
    the newest page it shares lies, in the row and in the neighbour. An item's sum is multiplied by 1 + ``idf`` times
    its inverse document frequency, log(training sessions / those that hold it).

    For the target `next` the items of a neighbour are those it viewed. For `purchase` they are the item it bought,
    which counts as one step after the last view, and with `VIEW` of its vote each item it only viewed.

    Parameters
    ----------
    k : neighbours
    sample : candidates
    remind : whether items that the row has viewed are voted for; news are not read twice
    idf : the share of the inverse document frequency; 0 leaves it out

    Raises
    ------
    DataError : scipy is not installed.

    Notes
    -----
    The state is the newest ``sample`` sessions of each page, and the pages and items of each session: O(views) of the
    training split. An older session of a page cannot be among the newest ``sample`` of several pages.
    """

    default = False
    idf = 0.0  # a setting where a method makes it one

    k: int = 500
    sample: int = 5000
    remind: bool = True

    def __post_init__(self) -> None:
        try:
            import scipy.sparse  # noqa: F401
        except ImportError as error:
            raise DataError(
                f"the baseline {self.name} needs scipy, which is not installed: {pip_install('eval')}, "
                "or name the other baselines"
            ) from error

    @abstractmethod
    def page_weight(self, query: RowPages) -> Floats:
        """Return the weight of each page of the rows, (Q,); of a row they may be known up to a factor."""

    def session_weight(self, sessions: Sessions, pages: Ints) -> Floats:
        """Return the weight of each training session, (S,), which has so many distinct ``pages``: 1."""
        return np.ones(len(sessions))

    @abstractmethod
    def back_weight(self, back: Ints) -> Floats:
        """Return the weight of neighbours whose newest shared page is so many views ``back`` in the row, 1 the last."""

    def distance_weight(self, distance: Ints) -> Floats | float:
        """Return the weight of items so many views from their neighbour's view of that page: 1."""
        return 1.0

    def fit(self, train: SplitRows) -> None:
        """Index the training sessions, the newest being number 0."""
        from scipy.sparse import csr_matrix

        super().fit(train)
        sessions = train.sessions()
        age = np.empty(len(sessions), np.int64)
        age[np.argsort(sessions.start, kind="stable")[::-1]] = np.arange(len(sessions))  # without times: file order
        views = np.diff(sessions.offset)
        owner, place = np.repeat(age, views), ragged_index(np.zeros(len(views), np.int64), views)
        self._pages = _held(owner, sessions.page.astype(np.int64), place, len(sessions))
        item = train.items_of(sessions.page)
        if sessions.label is not None:
            bought = sessions.label.astype(np.int64)
            owner, place = np.concatenate([owner, age]), np.concatenate([place, views])
            item = np.concatenate([item, bought])
            self._bought = np.zeros(len(sessions), np.int64)
            self._bought[age] = bought
        self._buys = sessions.label is not None
        self._items = _held(owner[item > 0], item[item > 0], place[item > 0], len(sessions))
        holding = np.bincount(self._items.what, minlength=train.item_ids + 1)
        self._factor = 1 + self.idf * np.log(max(1, len(sessions)) / np.maximum(1, holding))
        # The index: of each page the newest sessions with it, each at its weight.
        session = np.repeat(np.arange(len(sessions)), np.diff(self._pages.offset))
        order = np.argsort(self._pages.what, kind="stable")
        page, session = self._pages.what[order], session[order]
        newest = place_within(page) < self.sample
        weight = np.empty(len(sessions))
        weight[age] = self.session_weight(sessions, np.diff(self._pages.offset)[age])
        shape = train.page_ids + 1, max(1, len(sessions))
        held = offsets(np.bincount(page[newest], minlength=shape[0]))
        self._index = csr_matrix((weight[session[newest]], session[newest], held), shape)

    def candidates(self, batch: RowBatch) -> Candidates:
        """Return the items of the neighbours of each row."""
        query = _query(batch)
        viewed = batch.split.items_of(query.page)
        size = np.diff(self._index.indptr)[query.page]
        held, parts = np.zeros(len(batch), np.int64), []
        for part in slices(query.row, size, ENTRIES):
            first, last = query.row[part][0], query.row[part][-1] + 1
            some = RowPages(query.row[part] - first, query.page[part], query.position[part], query.length[first:last])
            found = self._votes(some, viewed[part])
            held[first:last] = np.diff(found.indptr)
            parts.append((found.indices, found.data))
        item = np.concatenate([np.zeros(0, np.int64), *(item for item, _ in parts)])
        return Candidates(offsets(held), item, np.concatenate([np.zeros(0), *(score for _, score in parts)]))

    def _votes(self, query: RowPages, viewed: Ints) -> "csr_matrix":
        """Return the score of each item of the rows' neighbours, (B, N+1), 1 the best of a row.

        ``viewed`` (Q,) are the items of the pages of ``query``, 0 where there is none.
        """
        row, session, similarity = self._nearest(query)
        position, seen = self._newest_shared(query, row, session)
        vote = similarity * self.back_weight(query.length[row] + 1 - position)
        start = self._items.offset[session]
        size = self._items.offset[session + 1] - start
        entry = ragged_index(start, size)
        item, distance = self._items.what[entry], np.abs(self._items.place[entry] - np.repeat(seen, size))
        vote = np.repeat(vote, size) * self.distance_weight(distance)
        if self._buys:
            vote *= np.where(item == np.repeat(self._bought[session], size), 1, VIEW)
        found = _summed(np.bincount(row, size, minlength=len(query.length)), item, vote, len(self._factor))
        found.data *= self._factor[found.indices]
        if not self.remind:
            found = _without(found, query.row[viewed > 0], viewed[viewed > 0])
        best = np.maximum.reduceat(np.append(found.data, 0), found.indptr[:-1])
        best = np.maximum(best, np.finfo(np.float64).tiny)  # weights that decay may be as good as 0, all of a row's
        found.data = (found.data / np.repeat(best, np.diff(found.indptr))).round(9)  # or rounding would part equals
        return found

    def _nearest(self, query: RowPages) -> tuple[Ints, Ints, Floats]:
        """Return row, training session and similarity of all neighbours, (P,) each, rows ascending."""
        from scipy.sparse import csr_matrix

        rows, pages = len(query.length), self._index.shape[0]
        held = offsets(np.bincount(query.row, minlength=rows))
        alike = csr_matrix((self.page_weight(query), query.page, held), (rows, pages)) @ self._index
        count, parts = np.zeros(rows, np.int64), []
        for row, (start, stop) in enumerate(zip(alike.indptr, alike.indptr[1:], strict=False)):
            part = slice(start, stop)
            found = self._chosen(alike.indices[part], alike.data[part])
            count[row] = len(found[0])
            parts.append(found)
        session, similarity = (np.concatenate(each) for each in zip(*parts, strict=True))
        return np.repeat(np.arange(rows), count), session.astype(np.int64), similarity

    def _chosen(self, session: NDArray[np.int32], similarity: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Return the ``k`` most similar, ties to the newer, of the newest ``sample`` of a row's sessions."""
        if len(session) > self.sample:
            newest = session <= np.partition(session, self.sample - 1)[self.sample - 1]
            session, similarity = session[newest], similarity[newest]
        if len(session) > self.k:
            at = len(session) - self.k
            least = np.partition(similarity, at)[at]
            kept = similarity > least
            level = np.flatnonzero(similarity == least)
            kept[level[np.argsort(session[level])[: self.k - np.count_nonzero(kept)]]] = True
            session, similarity = session[kept], similarity[kept]
        return session, similarity

    def _newest_shared(self, query: RowPages, row: Ints, session: Ints) -> tuple[Ints, Ints]:
        """Return of the newest page that a row shares with a neighbour the position in the row and the place there."""
        pages, at = np.unique(query.page, return_inverse=True)
        number = np.full(self._index.shape[0], -1, np.int32)
        number[pages] = np.arange(len(pages))
        position = np.zeros((len(query.length), len(pages) + 1), np.int64)  # of a page that the row lacks, 0
        position[query.row, at] = query.position
        start = self._pages.offset[session]
        size = self._pages.offset[session + 1] - start
        entry = ragged_index(start, size)
        shared = position[np.repeat(row, size), number[self._pages.what[entry]]]
        longest = 1 + int(self._pages.place.max(initial=0))
        newest = np.maximum.reduceat(shared * longest + self._pages.place[entry], offsets(size)[:-1])
        found, seen = np.divmod(newest, longest)
        return found, seen


def _query(batch: RowBatch) -> RowPages:
    """Return the distinct pages of the rows."""
    seen, pages = batch.seen, batch.split.page_ids + 1
    # Of several views of a page the last one counts: the first from the end.
    key, index = np.unique((batch.row * pages + seen.page)[::-1], return_index=True)
    row, page = np.divmod(key, pages)
    return RowPages(row, page, len(seen.page) - index - seen.offset[row], np.diff(seen.offset))


def _held(owner: Ints, what: Ints, place: Ints, count: int) -> _Held:
    """Return what ``count`` sessions hold: of things that a session has several times the last one given."""
    key = owner * (1 + int(what.max(initial=0))) + what
    order = np.argsort(key, kind="stable")
    order = order[np.diff(key[order], append=-1) != 0]
    held = offsets(np.bincount(owner[order], minlength=count))
    return _Held(held, what[order].astype(np.int32), place[order].astype(np.int32))


def _summed(held: Ints, item: NDArray[np.int32], vote: Floats, width: int) -> "csr_matrix":
    """Return the sums of the votes by row and item, where the rows have so many votes one after the other.

    A product with the matrix that has a vote in each row: it adds up without sorting.
    """
    from scipy.sparse import csr_matrix

    every = np.arange(len(item) + 1)
    votes = csr_matrix((vote, item, every), (len(item), width))
    return csr_matrix((np.ones(len(item)), every[:-1], offsets(held)), (len(held), len(item))) @ votes


def _without(scores: "csr_matrix", row: Ints, item: Ints) -> "csr_matrix":
    """Return ``scores`` without the entries of these rows and items."""
    owner = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    kept = ~np.isin(owner * scores.shape[1] + scores.indices, row * scores.shape[1] + item)
    held = offsets(np.bincount(owner[kept], minlength=scores.shape[0]))
    return type(scores)((scores.data[kept], scores.indices[kept], held), scores.shape)


@dataclass(eq=False)
class VsKnn(Neighbours):
    """V-SkNN: `Neighbours` whose views weigh by their position, the newest most.

    A page of the row viewed last at position i of x weighs (i / x)^``power``: `quadratic` in session-rec's words, or
    `div` for 1. A neighbour's vote is divided by how many views back its newest shared page is (1 for the last view).

    Parameters
    ----------
    k, sample, power, idf : session-rec's example configuration (conf/example_next.yml) by default, on an extract of
        YooChoose

    Notes
    -----
    Source: Ludewig, Jannach: Evaluation of Session-based Recommendation Algorithms, 2018, and its code, session-rec.
    There the document frequency counts views, here sessions, which keeps the logarithm from falling below 0.
    """

    name = "vs-knn"
    grid: ClassVar = (
        {"remind": False},
        {"idf": 0},
        {"k": 1500, "idf": 1},
        {"k": 100, "sample": 1000},
        {"k": 100, "sample": 500, "power": 1, "idf": 0},
    )

    power: int = 2
    idf: float = 5

    def page_weight(self, query: RowPages) -> Floats:
        """Return position^power, whose sums are exact, so that equals tie; the length is the same for a row."""
        return query.position.astype(np.float64) ** self.power

    def back_weight(self, back: Ints) -> Floats:
        """Return 1 / back."""
        weight: Floats = 1 / back
        return weight
