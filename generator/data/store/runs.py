"""Sessions in sorted runs, a run for each partition of the log, merged a block at a time."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import Ints, Sessions, gathered, offsets
from generator.data.sessions.slots import Slots
from generator.data.store.spill import Column, Spill

__all__ = ["MergedSessions", "Run", "blocks", "merged"]

FLAT = ("page", "dwell", "bought")
BLOCK = 1 << 20  # views or purchases of a block of sessions


@dataclass(frozen=True)
class Run:
    """The sessions of one partition of the log, oldest first, in columns of a ``Spill``.

    Attributes
    ----------
    lengths, bought_lengths
        int32 (S,): views of each session, purchases before it.
    page, dwell, bought, start, user, label
        As in ``Sessions``.
    highest
        The highest of ``page``, ``bought`` and ``label``.
    training, slots
        As in ``Sessions``.
    """

    lengths: Column
    bought_lengths: Column
    page: Column
    dwell: Column
    bought: Column
    start: Column
    user: Column
    label: Column | None
    highest: dict[str, int]
    training: bool = False
    slots: Slots | None = None

    @classmethod
    def of(cls, sessions: Sessions, spill: Spill) -> "Run":
        """Keep ``sessions`` in ``spill``."""
        return cls(
            lengths=spill.keep(sessions.lengths.astype(np.int32)),
            bought_lengths=spill.keep(sessions.bought_lengths.astype(np.int32)),
            page=spill.keep(sessions.page),
            dwell=spill.keep(sessions.dwell),
            bought=spill.keep(sessions.bought),
            start=spill.keep(sessions.start),
            user=spill.keep(sessions.user),
            label=None if sessions.label is None else spill.keep(sessions.label),
            highest={name: sessions.highest(name) for name in ("page", "bought", "label")},
            training=sessions.training,
            slots=sessions.slots,
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def sessions(self) -> Sessions:
        """Return the sessions, read."""
        return Sessions(
            offset=offsets(self.lengths[:]),
            page=self.page[:],
            dwell=self.dwell[:],
            bought_offset=offsets(self.bought_lengths[:]),
            bought=self.bought[:],
            start=self.start[:],
            user=self.user[:],
            label=None if self.label is None else self.label[:],
            training=self.training,
            slots=self.slots,
        )

    def drop(self, spill: Spill) -> None:
        """Remove its columns from ``spill``."""
        names = ("lengths", "bought_lengths", *FLAT, "start", "user", "label")
        spill.drop(*(getattr(self, name) for name in names))


class MergedSessions:
    """The sessions of several runs in one order, read from the runs a block at a time.

    In memory are some 40 bytes a session; its views and purchases are read as they are asked for.

    Parameters
    ----------
    runs
        One at least.
    ranks
        Of each run, ascending uint32 (S,): where its sessions come among those of all runs, each number once.

    Attributes
    ----------
    lengths, bought_lengths
        int32 (S,): views of each session, purchases before it.
    start, user, label, training, slots
        As in ``Sessions``.
    """

    def __init__(self, runs: Sequence[Run], ranks: Sequence[NDArray[np.uint32]]) -> None:
        self._runs = runs
        self._first = offsets(np.array([len(run) for run in runs]))
        place = np.full(max(int(rank.max(initial=0)) for rank in ranks) + 1, -1, np.int32)
        for first, rank in zip(self._first.tolist(), ranks, strict=False):
            place[rank] = np.arange(first, first + len(rank), dtype=np.int32)
        # Session i is the session order[i] of the runs, one run after the other.
        self._order = place[place >= 0]
        self.training, self.slots = runs[0].training, runs[0].slots
        self.lengths = self._fixed([run.lengths for run in runs])
        self.bought_lengths = self._fixed([run.bought_lengths for run in runs])
        self._end = {"views": self._ends("lengths"), "bought": self._ends("bought_lengths")}
        self.start = self._fixed([run.start for run in runs])
        self.user = self._fixed([run.user for run in runs])
        labels = [run.label for run in runs if run.label is not None]
        self.label = self._fixed(labels) if labels else None

    def _fixed(self, columns: Sequence[Column]) -> NDArray[Any]:
        return np.concatenate([column[:] for column in columns])[self._order]

    def _ends(self, lengths: str) -> NDArray[Any]:
        """Return where in its run's columns each session of each run ends, in few bytes."""
        ends = (np.cumsum(getattr(run, lengths)[:], dtype=np.int64) for run in self._runs)
        return np.concatenate([each.astype(np.min_scalar_type(-int(each[-1:].sum()) - 1)) for each in ends])

    def __len__(self) -> int:
        return len(self._order)

    def known_lengths(self) -> Ints:
        """Return the views of each session whose page has an id, int64 (S,)."""
        found = [np.diff(offsets(run.page[:] > 0)[offsets(run.lengths[:])]) for run in self._runs]
        return np.concatenate(found)[self._order]

    def highest(self, name: str) -> int:
        """Return the highest id of ``page``, ``bought`` or ``label``, 0 if there is none."""
        return max(run.highest[name] for run in self._runs)

    def column(self, name: str, begin: int, end: int) -> NDArray[Any]:
        """Return ``page``, ``dwell`` or ``bought`` of the sessions ``begin`` to ``end - 1``, flat."""
        (found,) = self._columns((name,), begin, end)
        return found

    def _columns(self, names: Sequence[str], begin: int, end: int) -> Iterator[NDArray[Any]]:
        """Yield columns, all of views or all of purchases, of the sessions ``begin`` to ``end - 1``."""
        bought = names[0] == "bought"
        ends, lengths = (self._end["bought"], self.bought_lengths) if bought else (self._end["views"], self.lengths)
        order, lengths = self._order[begin:end], lengths[begin:end]
        # A run's sessions of the block lie together in it, for it is in the same order.
        place = np.argsort(order)
        there = order[place]
        edges = np.searchsorted(there, self._first)
        read = [[getattr(self._runs[0], name)[:0]] for name in names]
        for run, first, (low, high) in zip(self._runs, self._first[:-1], pairwise(edges.tolist()), strict=True):
            if low < high:
                start = int(ends[there[low] - 1]) if there[low] > first else 0
                views = slice(start, int(ends[there[high - 1]]))
                for held, name in zip(read, names, strict=True):
                    held.append(getattr(run, name)[views])
        at = np.empty(len(order), np.int64)
        at[place] = offsets(lengths[place])[:-1]
        yield from gathered(at, lengths.astype(np.int64), *(np.concatenate(held) for held in read))

    def slice(self, begin: int, end: int, without: Container[str] = ()) -> Sessions:
        """Return the sessions ``begin`` to ``end - 1``, read; ``without``: ``dwell`` or ``bought``, which are empty."""
        lengths, purchases = self.lengths[begin:end], self.bought_lengths[begin:end]
        if "bought" in without:
            bought, purchases = np.empty(0, np.int32), np.zeros_like(purchases)
        else:
            bought = self.column("bought", begin, end)
        names = ["page"] if "dwell" in without else ["page", "dwell"]
        page, *dwell = self._columns(names, begin, end)
        return Sessions(
            offset=offsets(lengths),
            page=page,
            dwell=dwell[0] if dwell else np.empty(0, np.float32),
            bought_offset=offsets(purchases),
            bought=bought,
            start=self.start[begin:end],
            user=self.user[begin:end],
            label=None if self.label is None else self.label[begin:end],
            training=self.training,
            slots=self.slots,
        )


def merged(runs: Sequence[Run], ranks: Sequence[NDArray[np.uint32]], spill: Spill) -> Sessions | MergedSessions:
    """Return the sessions of runs in one order: in memory, or where the runs are on disk, to be read from there."""
    found = MergedSessions(runs, ranks)
    return found if spill.on_disk else found.slice(0, len(found))


def blocks(lengths: NDArray[np.integer[Any]]) -> Iterator[tuple[int, int]]:
    """Yield the ends of blocks of sessions, of at most BLOCK values together, or of one session."""
    ends = np.cumsum(lengths, dtype=np.int64)
    begin = 0
    while begin < len(ends):
        before = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, before + BLOCK, side="right")), begin + 1)
        yield begin, end
        begin = end
