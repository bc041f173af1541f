"""Scores to what is judged: the rank of each row's label, and the items recommended to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError, ModelError

__all__ = ["CUTOFF", "Ranking", "Ties", "joined", "place_within", "ranked", "ranks", "tied_ranks", "top_items"]

CUTOFF = 20
_BLOCK = 2**18  # scores ranked at a time: they and what is compared stay in a core's cache
_GROUPS = 256  # of items, whose best ones bound the recommended from below

Ties = Literal["standard", "median", "conservative"]

Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Ranking:
    """How a method ranks the items for B rows.

    Attributes
    ----------
    rank : float64 (B,), of the row's label among the items, best 1; infinity where the label is out of the vocabulary
    top : int32 (B, K), the items recommended, best first, ties by the lower id; K is 20, or N where there are fewer
    """

    rank: NDArray[np.float64]
    top: NDArray[np.int32]


def ranked(scores: NDArray[np.floating[Any]], labels: Ints, ties: Ties = "median") -> Ranking:
    """Return the `Ranking` of rows with a score for every item: `ranks` and `top_items` in one pass."""
    labels = _labels(scores, labels)
    rank = np.empty(len(labels))
    top = np.empty((len(labels), min(CUTOFF, scores.shape[1] - 1)), np.int32)
    for rows, block in _blocks(scores):
        rank[rows] = block.ranks(labels[rows], ties)
        top[rows] = block.top(top.shape[1])
    return Ranking(rank, top)


def joined(parts: Sequence[Ranking]) -> Ranking:
    """Return the `Ranking` of the rows of all ``parts``, one after the other."""
    return Ranking(np.concatenate([one.rank for one in parts]), np.concatenate([one.top for one in parts]))


def tied_ranks(greater: Ints, equal: Ints, ties: Ties) -> NDArray[np.float64]:
    """Return the rank of an item that ``greater`` items are above and ``equal`` ones, itself among them, tie with.

    GRU4Rec's official evaluation names the three: `standard` puts the item first of those that tie with it, which
    flatters a method that scores many items alike; `conservative` puts it last; `median` in the middle, and so it
    gains nothing by ties.
    """
    share = {"standard": 0.0, "median": 0.5, "conservative": 1.0}[ties]  # of those it ties with, counted before it
    found: NDArray[np.float64] = 1.0 + greater + share * (equal - 1)
    return found


def ranks(scores: NDArray[np.floating[Any]], labels: Ints, ties: Ties = "median") -> NDArray[np.float64]:
    """Return the rank of each row's label among the items 1..N, best 1.

    Column 0 ("none") takes no part.

    Parameters
    ----------
    scores : (B, N+1) array of float, higher is better; infinities are ordered as numbers are
    labels : (B,) array of int in 0..N; a label below 1 is out of the vocabulary
    ties : as in `tied_ranks`; by default items that tie with the label share their mean rank

    Returns
    -------
    (B,) array of float64; infinity where the label is out of the vocabulary.

    Raises
    ------
    ModelError : a score is NaN.
    DataError : a label is above N.
    """
    labels = _labels(scores, labels)
    return np.concatenate([np.empty(0), *(block.ranks(labels[rows], ties) for rows, block in _blocks(scores))])


def top_items(scores: NDArray[np.floating[Any]], count: int = CUTOFF) -> NDArray[np.int32]:
    """Return the ``count`` items of the highest score, best first, ties by the lower id, int32 (B, min(count, N)).

    Parameters
    ----------
    scores : (B, N+1) array of float without NaN; column 0 ("none") takes no part
    """
    count = min(count, scores.shape[1] - 1)
    return np.concatenate([np.empty((0, count), np.int32), *(block.top(count) for _, block in _blocks(scores, count))])


def _labels(scores: NDArray[np.floating[Any]], labels: Ints) -> Ints:
    """Return the labels of rows of ``scores`` as an array; DataError where one is above N."""
    labels, items = np.asarray(labels), scores.shape[1] - 1
    if labels.max(initial=0) > items:
        row = int(labels.argmax())
        raise DataError(f"row {row} has label {labels[row]} but there are scores for the items 1..{items} only")
    return labels


class _Block:
    """The scores of b rows for the items, (b, N), looked at while they are in a core's cache.

    Parameters
    ----------
    items : the scores
    start : the first row, for messages
    count : how many items are wanted of each row, at most
    room : bool (b, N), for what is compared: to get it from the system anew takes longer than to compare
    """

    def __init__(self, items: NDArray[np.floating[Any]], start: int, count: int, room: NDArray[np.bool_]) -> None:
        self._items, self._start, self._room = items, start, room
        self._best = _group_maxima(items, max(_GROUPS, 4 * count))

    def ranks(self, labels: Ints, ties: Ties) -> NDArray[np.float64]:
        """Return the rank of each row's label; ModelError where a score is NaN."""
        items, room = self._items, self._room
        not_a_number = np.isnan(self._best).any(axis=1)
        if not_a_number.any():
            raise ModelError(
                f"the scores of row {self._start + int(not_a_number.argmax())} hold NaN, so they have no order: "
                "the weights are broken, train again with a smaller base_lr or with clip_gradients"
            )
        own = np.take_along_axis(items, np.maximum(labels, 1)[:, None].astype(np.int64) - 1, axis=1)
        above, not_less = np.zeros(len(items)), np.zeros(len(items))
        if ties != "conservative":
            above += _counted(np.greater(items, own, out=room))
        if ties != "standard":
            not_less += _counted(np.greater_equal(items, own, out=room))
        found = {"standard": above + 1, "median": (above + not_less + 1) / 2, "conservative": not_less}[ties]
        found[labels < 1] = np.inf
        return found

    def top(self, count: int) -> NDArray[np.int32]:
        """Return the ``count`` best items of each row."""
        items, found = self._items, np.empty((len(self._items), count), np.int32)
        # The count-th best of the maxima of groups is a bound: each of the better groups has an item that reaches it.
        at = self._best.shape[1] - count
        bound = np.partition(self._best, at, axis=1)[:, at, None]
        cell = np.flatnonzero(np.greater_equal(items, bound, out=self._room))
        row, item = np.divmod(cell, items.shape[1])
        order = np.lexsort((-items[row, item], row))  # stable: items that tie stay in the order of their ids
        place = place_within(row)  # lexsort keeps each row in its place
        first = place < count
        found[row[first], place[first]] = item[order][first] + 1
        return found


def _blocks(scores: NDArray[np.floating[Any]], count: int = CUTOFF) -> Iterator[tuple[slice, _Block]]:
    """Yield the rows in blocks, of which up to ``count`` items are wanted."""
    items = scores[:, 1:]
    rows = max(1, _BLOCK // max(1, items.shape[1]))
    room = np.empty((min(rows, len(items)), items.shape[1]), np.bool_)
    for start in range(0, len(items), rows):
        block = items[start : start + rows]
        yield slice(start, start + len(block)), _Block(block, start, count, room[: len(block)])


def _counted(each: NDArray[np.bool_]) -> NDArray[np.unsignedinteger[Any]]:
    """Return how many of each row are true; in the narrowest sum, which is several times as fast as one of 64 bits."""
    found: NDArray[np.unsignedinteger[Any]] = each.view(np.uint8).sum(axis=1, dtype=np.min_scalar_type(each.shape[1]))
    return found


def _group_maxima(items: NDArray[np.floating[Any]], groups: int) -> NDArray[np.floating[Any]]:
    """Return the maxima of so many groups of each row's items, NaN of one with a NaN; few items are their own groups.

    One pass, many times as fast as a partition of all items.
    """
    depth = items.shape[1] // groups
    if depth <= 1:
        return items
    best: NDArray[np.floating[Any]] = items[:, : depth * groups].reshape(len(items), depth, groups).max(axis=1)
    rest = items[:, depth * groups :]
    np.maximum(best[:, : rest.shape[1]], rest, out=best[:, : rest.shape[1]])
    return best


def place_within(group: Ints) -> NDArray[np.int64]:
    """Return 0, 1, ... within each run of equal values of ``group``, which ascends."""
    return np.arange(len(group)) - np.searchsorted(group, group)
