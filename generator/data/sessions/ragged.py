"""Sessions of unequal length, one after the other in flat arrays."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.slots import Slots

__all__ = ["KEPT_BOUGHT", "Ints", "Sessions", "gathered", "offsets", "ragged_index", "time_order"]

Ints = NDArray[np.int64]

BLOCK = 2**20  # values gathered at a time
KEPT_BOUGHT = 256  # purchases of a user kept before a session, at least: as many as the net of the spec reads, if more


def ragged_index(starts: Ints, lengths: Ints) -> Ints:
    """Return the concatenation of ``arange(starts[i], starts[i] + lengths[i])``, int64 (sum of lengths,)."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    index: Ints = np.repeat(starts - (ends - lengths), lengths)
    index += np.arange(total)
    return index


def gathered(starts: Ints, lengths: Ints, *values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield of each of ``values`` its slices ``starts[i]`` to ``starts[i] + lengths[i] - 1``, one after the other.

    The index of a block of slices is made at a time: of all of them it would be larger than what is gathered.
    """
    ends = offsets(lengths)
    found = [np.empty(ends[-1], each.dtype) for each in values]
    edges = np.unique(np.searchsorted(ends, np.append(np.arange(0, ends[-1], BLOCK), ends[-1])))
    for first, last in pairwise(edges.tolist()):
        index = ragged_index(starts[first:last], lengths[first:last])
        for target, each in zip(found, values, strict=True):
            np.take(each, index, out=target[ends[first] : ends[last]], mode="clip")  # clip: without a buffer
    yield from found


def offsets(lengths: NDArray[Any]) -> Ints:
    """Return where slices of these lengths begin and end, one after the other: 0 first, int64."""
    found = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=found[1:])
    return found


def time_order(time: NDArray[np.float64], place: NDArray[np.uint32]) -> Ints:
    """Return what sorts by time and, where times are equal or NaN, by place: ``np.lexsort((place, time))``.

    Two sorts of one number each, which numpy has vector instructions for, and the second only where times are equal.
    """
    order = np.argsort(time)
    ascending = time[order]
    apart = (ascending[1:] != ascending[:-1]) & ~np.isnan(ascending[:-1])
    if apart.all():
        return order
    key = offsets(apart) << 32 | place[order]
    return order[np.argsort(key)]


@dataclass(frozen=True)
class Sessions:
    """S sessions over E page views, in ragged arrays.

    Attributes
    ----------
    offset, page, dwell
        int64 (S+1,), int32 (E,), float32 (E,): session i holds views offset[i]..offset[i+1]-1, oldest first; a page
        that is no id of the vocabulary is 0; the dwell time is in seconds, at least 1.
    bought_offset, bought
        int64 (S+1,), int32: the items bought before the session started, oldest first.
    start, user
        float64 (S,) unix seconds (NaN where the log has no times), int32 (S,) (-1: unknown).
    label
        int32 (S,): the item bought in the session, 0 if out of vocabulary; None where the next page is the label.
    training
        Whether these are sessions to train on; it changes the rows of `next` under the loss at every state.
    slots
        Which ids of ``page`` and ``label`` are pages that the vocabulary lacks; None: none are.
    """

    offset: Ints
    page: NDArray[np.int32]
    dwell: NDArray[np.float32]
    bought_offset: Ints
    bought: NDArray[np.int32]
    start: NDArray[np.float64]
    user: NDArray[np.int32]
    label: NDArray[np.int32] | None = None
    training: bool = False
    slots: Slots | None = None

    def __len__(self) -> int:
        return len(self.offset) - 1

    @property
    def lengths(self) -> Ints:
        """Views of each session, int64 (S,)."""
        return np.diff(self.offset)

    @property
    def bought_lengths(self) -> Ints:
        """Purchases before each session, int64 (S,)."""
        return np.diff(self.bought_offset)

    def known_lengths(self) -> Ints:
        """Return the views of each session whose page has an id, int64 (S,)."""
        return np.diff(offsets(self.page > 0)[self.offset])

    def highest(self, name: str) -> int:
        """Return the highest id of ``page``, ``bought`` or ``label``, 0 if there is none."""
        values = getattr(self, name)
        return 0 if values is None else int(values.max(initial=0))

    def column(self, name: str, begin: int, end: int) -> NDArray[Any]:
        """Return ``page``, ``dwell`` or ``bought`` of the sessions ``begin`` to ``end - 1``, flat."""
        offset = self.bought_offset if name == "bought" else self.offset
        found: NDArray[Any] = getattr(self, name)[offset[begin] : offset[end]]
        return found

    def slice(self, begin: int, end: int, without: Container[str] = ()) -> "Sessions":
        """Return the sessions ``begin`` to ``end - 1``; ``without`` is for ``MergedSessions``, which reads them."""
        return Sessions(
            offset=self.offset[begin : end + 1] - self.offset[begin],
            page=self.column("page", begin, end),
            dwell=self.column("dwell", begin, end),
            bought_offset=self.bought_offset[begin : end + 1] - self.bought_offset[begin],
            bought=self.column("bought", begin, end),
            start=self.start[begin:end],
            user=self.user[begin:end],
            label=None if self.label is None else self.label[begin:end],
            training=self.training,
            slots=self.slots,
        )

    def take(self, chosen: Ints, *, training: bool = False) -> "Sessions":
        """Return the sessions at the indices ``chosen``, in that order."""
        lengths, purchases = np.diff(self.offset)[chosen], np.diff(self.bought_offset)[chosen]
        page, dwell = gathered(self.offset[chosen], lengths, self.page, self.dwell)
        (bought,) = gathered(self.bought_offset[chosen], purchases, self.bought)
        return Sessions(
            offset=offsets(lengths),
            page=page,
            dwell=dwell,
            bought_offset=offsets(purchases),
            bought=bought,
            start=self.start[chosen],
            user=self.user[chosen],
            label=None if self.label is None else self.label[chosen],
            training=training,
            slots=self.slots,
        )
