"""Queries to the input blobs of a net, many at a time: bit for bit the rows that the data floor writes of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.slots import Slots
from generator.data.sessions.vocabulary import Vocabulary
from generator.data.windows import aging, log_dwell
from generator.model.query import Query

__all__ = ["Window", "input_blobs", "window"]


class Window(NamedTuple):
    """What of a query the net sees, in ids, oldest first.

    Attributes
    ----------
    page, dwell
        The last n known pages and their seconds.
    history_page, history_dwell
        The newest H known pages before them and their seconds.
    bought
        The newest K known items.
    seen_page, seen_dwell
        The newest S known pages, those of the window among them, and their seconds.
    unknown_pages, unknown_bought
        How many were passed over, because the vocabulary lacks them and there is no slot left.
    slots
        The ids of the pages that the vocabulary lacks; None: they have none.
    unseen
        Their original ids, that of the first slot first; none without slots.
    """

    page: list[int]
    dwell: list[float]
    history_page: list[int]
    history_dwell: list[float]
    bought: list[int]
    seen_page: list[int]
    seen_dwell: list[float]
    unknown_pages: int
    unknown_bought: int
    slots: Slots | None = None
    unseen: Sequence[str] = ()

    def label(self, identity: int, vocabulary: Vocabulary) -> str:
        """Return the original id behind ``identity``: of the vocabulary, or of a slot, a page of the query."""
        if self.slots and identity > self.slots.after:
            return self.unseen[identity - self.slots.after - 1]
        return vocabulary.label(identity)

    def labels(self, ids: Sequence[int], vocabulary: Vocabulary) -> list[str]:
        """Return the original ids behind ``ids`` that a graph ranks: of them none is 0, and none beyond the last."""
        known, after = vocabulary.labels, self.slots.after if self.slots else len(vocabulary)
        return [known[one - 1] if one <= after else self.unseen[one - after - 1] for one in ids]

    def history_weight(self) -> list[float]:
        """Return the aging factors of the history."""
        return _aging([self.history_dwell], len(self.history_dwell))[0].tolist() if self.history_dwell else []


def window(
    query: Query, pages: Vocabulary, items: Vocabulary, sizes: Mapping[str, int], slots: Slots | None = None
) -> Window:
    """Return what a net with input blobs of the given ``sizes``, and ``slots``, sees of ``query``."""
    n, h, k, s = [sizes.get(name, 0) for name in ("page", "history_page", "bought", "seen_page")]
    labels = [page for page, _ in query.pages]
    dwell = [max(seconds, 1.0) for _, seconds in query.pages]
    ids = pages.find(labels)
    unseen: list[str] = []
    if slots:
        unseen = [*dict.fromkeys(label for label, page in zip(labels, ids, strict=True) if not page)][: slots.count]
        slot_of = {label: slots.after + number for number, label in enumerate(unseen, 1)}
        ids = [page or slot_of.get(label, 0) for label, page in zip(labels, ids, strict=True)]
    unknown = ids.count(0)
    if unknown:
        dwell = [seconds for page, seconds in zip(ids, dwell, strict=True) if page]
        ids = [page for page in ids if page]
    bought = [item for item in items.find(query.bought) if item]
    fallen = max(len(ids) - n, 0)
    far, seen = slice(max(fallen - h, 0), fallen), slice(max(len(ids) - s, 0), None)
    return Window(
        page=ids[fallen:],
        dwell=dwell[fallen:],
        history_page=ids[far],
        history_dwell=dwell[far],
        bought=bought[max(len(bought) - k, 0) :],
        seen_page=ids[seen],
        seen_dwell=dwell[seen],
        unknown_pages=unknown,
        unknown_bought=len(query.bought) - len(bought),
        slots=slots,
        unseen=unseen,
    )


def input_blobs(windows: Sequence[Window], sizes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Return the input blobs of B windows of one net: int64 ids and float32 weights, (B, size) each."""
    found: dict[str, NDArray[Any]] = {}
    for name in ("page", "history_page", "bought", "seen_page"):
        if size := sizes.get(name, 0):
            found[name] = np.array([_right(getattr(one, name), size) for one in windows], np.int64)
            if name != "seen_page" and windows[0].slots:
                found[name] = windows[0].slots.clamped(found[name])
    if size := sizes.get("history_weight", 0):
        found["history_weight"] = _aging([one.history_dwell for one in windows], size)
    if size := sizes.get("seen_dwell", 0):
        seconds = np.array([_right(one.seen_dwell, size) for one in windows], np.float32)
        found["seen_dwell"] = log_dwell(seconds, found["seen_page"] > 0)
    if "bought_weight" in sizes:
        found["bought_weight"] = (found["bought"] > 0).astype(np.float32)
    return found


def _right(values: list[Any], size: int) -> list[Any]:
    return [0] * (size - len(values)) + values


def _aging(dwells: Sequence[list[float]], size: int) -> NDArray[np.float32]:
    """Return the aging factors of dwell times, which the data floor keep as float32, (B, size)."""
    return aging(np.array([_right(dwell, size) for dwell in dwells], np.float32).astype(np.float64))
