"""What is counted in the sessions of training: what followed each page, what is popular, and how that changed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import Sessions, offsets

__all__ = ["Counting", "Tables", "age_of", "count"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DAY = 86400.0
NEWER = 0.01  # share of the sessions that may come after the end of the log
STEPS = 10  # views after a page that count as its followers
PRIOR = 3.0  # counts of no item: the shares of a page that was seldom left sum to less
SMOOTH = 2.0  # counts added before the popularity of two times is compared
VIEWS = 2**20  # views whose followers are counted together: what bounds the memory


@dataclass(frozen=True)
class Counting:
    """How the sessions are counted.

    Attributes
    ----------
    followers
        Kept of each page, the most frequent.
    aging, trend
        Days in which the count of a follower, and of an item's popularity, halves; None: they do not age.
    decay
        A follower d steps after the page counts d ** -decay.
    viewed
        Where purchases are the labels, what an item that was only viewed counts beside one bought.
    """

    followers: int
    aging: float | None = None
    trend: float | None = None
    decay: float = 1.5
    viewed: float = 0.03


@dataclass(frozen=True)
class Tables:
    """Counts of M pages and N items.

    Attributes
    ----------
    follower, share
        int32 and float32 (M+1, K): the items that followed each page most often, and their shares; 0 and 0 where there
        are fewer. Of page 0, none, it is the items most viewed, or bought, lately, and their shares of all.
    trend
        float32 (N+1,): log of an item's popularity lately over that of all times; 0 where times are not known.
    item
        int64 (M+1,): the item that a page is of, by the original id; 0 for a page that is of none.
    """

    follower: NDArray[np.int32]
    share: NDArray[np.float32]
    trend: NDArray[np.float32]
    item: Ints


def count(sessions: Sessions, item: Ints, items: int, counting: Counting) -> Tables:
    """Count ``sessions`` to train on.

    Parameters
    ----------
    sessions
        S sessions of known pages, oldest first where they have times.
    item
        The item of each page, int64 (M+1,), 0 for none.
    items
        N.
    counting
        What is kept, and how counts age.
    """
    follower, share = _followers(sessions, item, items, counting)
    if sessions.label is None:
        found, age = item[sessions.page], np.repeat(age_of(sessions.start), sessions.lengths)
    else:
        found, age = sessions.label.astype(np.int64), age_of(sessions.start)
    lately = np.bincount(found, _halved(age, counting.trend), minlength=items + 1)
    ever = np.bincount(found, minlength=items + 1).astype(np.float64)
    for counts in (lately, ever):
        counts[0] = 0
    most = np.argsort(-lately, kind="stable")[: min(counting.followers, np.count_nonzero(lately))]
    follower[0, : len(most)], share[0, : len(most)] = most, lately[most] / lately.sum()
    ever *= lately.sum() / max(ever.sum(), 1)
    trend = np.log((lately + SMOOTH) / (ever + SMOOTH))
    trend[0] = 0
    return Tables(follower, share, trend.astype(np.float32), item)


def age_of(start: Floats) -> Floats:
    """Return the days from the ``start`` of each session to the end of the log, (S,); 0 where times are not known.

    The end is where all but NEWER of the sessions have started, which have age 0: a clock that is wrong, or a session
    that was begun days after the others, would make all of them old.
    """
    known = ~np.isnan(start)
    if not known.any():
        return np.zeros(len(start))
    end = np.quantile(start[known], 1 - NEWER)
    return np.where(known, np.maximum(end - start, 0) / DAY, 0.0)


def _halved(age: Floats, half_life: float | None) -> Floats:
    return np.ones(len(age)) if half_life is None else 0.5 ** (age / half_life)


def _followers(
    sessions: Sessions, item: Ints, items: int, counting: Counting
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    page, sold, worth, end = _steps(sessions, item, _halved(age_of(sessions.start), counting.aging), counting.viewed)
    shape = (len(item), counting.followers)
    follower, share = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    order = np.argsort(page, kind="stable")
    order = order[np.searchsorted(page[order], 1) :]
    for views in _by_pages(page[order]):
        _fill(follower, share, order[views], page, sold, worth, end, items + 1, counting.decay)
    return follower, share


def _steps(sessions: Sessions, item: Ints, weight: Floats, viewed: float) -> tuple[Ints, Ints, Floats, Ints]:
    """Return page, item, what the item counts, and the end of its session, of each step (E,).

    A purchase is a step more, of page 0, behind the views of its session.
    """
    page, offset = sessions.page.astype(np.int64), sessions.offset
    sold, worth = item[page], np.repeat(weight, sessions.lengths)
    if sessions.label is not None:
        page, sold = np.insert(page, offset[1:], 0), np.insert(sold, offset[1:], sessions.label)
        worth = np.insert(worth * viewed, offset[1:], weight)
        offset = offset + np.arange(len(offset))
    return page, sold, worth, np.repeat(offset[1:], np.diff(offset))


def _by_pages(page: Ints) -> Iterator[slice]:
    """Yield slices of ascending pages, each of whole pages and about VIEWS long at most, or of one page."""
    start = 0
    while start < len(page):
        stop = min(start + VIEWS, len(page))
        if stop < len(page):
            whole = int(np.searchsorted(page, page[stop]))
            stop = whole if whole > start else int(np.searchsorted(page, page[stop], side="right"))
        yield slice(start, stop)
        start = stop


def _fill(
    follower: NDArray[np.int32],
    share: NDArray[np.float32],
    view: Ints,
    page: Ints,
    sold: Ints,
    worth: Floats,
    end: Ints,
    width: int,
    decay: float,
) -> None:
    """Write the rows of the pages of ``view``, all whose views these are."""
    keys, weights = [], []
    for step in range(1, STEPS + 1):
        view = view[view + step < end[view]]
        after = view + step
        some = sold[after] > 0
        keys.append(page[view[some]] * width + sold[after[some]])
        weights.append(worth[after[some]] * float(step) ** -decay)
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    weight = np.bincount(place, np.concatenate(weights), minlength=len(key)).round(
        9
    )  # sums that differ by rounding tie
    source, found = np.divmod(key, width)
    total = np.bincount(source, weight, minlength=len(follower))
    heaviest = np.lexsort((found, -weight, source))
    source, found, weight = source[heaviest], found[heaviest], weight[heaviest]
    begin = offsets(np.bincount(source, minlength=len(follower)))
    column = np.arange(len(source)) - begin[source]
    kept = column < follower.shape[1]
    source, column, found, weight = source[kept], column[kept], found[kept], weight[kept]
    follower[source, column] = found
    share[source, column] = weight / (total[source] + PRIOR)
