"""Scores to what is judged: the rank of each row's label, and the items recommended to it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError, ModelError

__all__ = ["CUTOFF", "Ranking", "Ties", "place_within", "ranked", "ranks", "tied_ranks", "top_items"]

CUTOFF = 20
_BLOCK = 2**19  # scores ranked at a time: they and what is compared stay in a core's cache
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
    """Return the `Ranking` of rows with a score for every item; as `ranks` and `top_items`."""
    return Ranking(ranks(scores, labels, ties), top_items(scores))


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
    labels = np.asarray(labels)
    if len(labels) == 0:
        return np.empty(0)
    items = scores[:, 1:]
    if labels.max() > items.shape[1]:
        row = int(labels.argmax())
        raise DataError(
            f"row {row} has label {labels[row]} but there are scores for the items 1..{items.shape[1]} only"
        )
    own = np.take_along_axis(items, np.maximum(labels, 1)[:, None].astype(np.int64) - 1, axis=1)
    found = np.empty(len(labels))
    rows = max(1, _BLOCK // items.shape[1])
    for start in range(0, len(labels), rows):
        block = items[start : start + rows]
        not_a_number = np.isnan(block.max(axis=1))
        if not_a_number.any():
            raise ModelError(
                f"the scores of row {start + int(not_a_number.argmax())} hold NaN, so they have no order: "
                "the weights are broken, train again with a smaller base_lr or with clip_gradients"
            )
        found[start : start + rows] = _block_ranks(block, own[start : start + rows], ties)
    found[labels < 1] = np.inf
    return found


def _block_ranks(items: NDArray[np.floating[Any]], own: NDArray[np.floating[Any]], ties: Ties) -> NDArray[np.float64]:
    """Return the rank of each row's ``own`` score, (b, 1), among its ``items``, (b, N)."""
    # Median: the number greater plus that not less, halved; one sum for both is faster than two.
    each = (items >= own if ties == "conservative" else items > own).view(np.uint8)
    if ties == "median":
        each += (items >= own).view(np.uint8)
    # The narrowest sum that holds them: numpy adds bytes into it several times as fast as into 64 bits.
    total = each.sum(axis=1, dtype=np.min_scalar_type(2 * items.shape[1] + 1)).astype(np.float64)
    found: NDArray[np.float64] = {"standard": total + 1, "median": (total + 1) / 2, "conservative": total}[ties]
    return found


def top_items(scores: NDArray[np.floating[Any]], count: int = CUTOFF) -> NDArray[np.int32]:
    """Return the ``count`` items of the highest score, best first, ties by the lower id, int32 (B, min(count, N)).

    Parameters
    ----------
    scores : (B, N+1) array of float without NaN; column 0 ("none") takes no part
    """
    items = scores[:, 1:]
    found = np.empty((len(items), min(count, items.shape[1])), np.int32)
    rows = max(1, _BLOCK // max(1, items.shape[1]))
    for start in range(0, len(items), rows):
        block = items[start : start + rows]
        cell = np.flatnonzero(block >= _bound(block, found.shape[1])[:, None])
        row, item = np.divmod(cell, block.shape[1])
        order = np.lexsort((-block[row, item], row))  # stable: items that tie stay in the order of their ids
        place = place_within(row)  # lexsort keeps each row in its place
        first = place < found.shape[1]
        found[start + row[first], place[first]] = item[order][first] + 1
    return found


def _bound(items: NDArray[np.floating[Any]], count: int) -> NDArray[np.floating[Any]]:
    """Return a score that at least ``count`` items of each row reach, and few more do, (b,).

    It is the ``count``-th best of the maxima of groups of items: each of the better groups has an item that reaches it.
    One pass finds the maxima, many times as fast as a partition of all items.
    """
    groups = max(_GROUPS, 4 * count)
    depth = items.shape[1] // groups
    best = items
    if depth > 1:
        whole = items[:, : depth * groups]
        best = whole.reshape(len(items), depth, groups).max(axis=1)
        rest = items[:, depth * groups :]
        np.maximum(best[:, : rest.shape[1]], rest, out=best[:, : rest.shape[1]])
    at = best.shape[1] - count
    bound: NDArray[np.floating[Any]] = np.partition(best, at, axis=1)[:, at]
    return bound


def place_within(group: Ints) -> NDArray[np.int64]:
    """Return 0, 1, ... within each run of equal values of ``group``, which ascends."""
    return np.arange(len(group)) - np.searchsorted(group, group)
