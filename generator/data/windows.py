"""Ragged sessions to the blobs of the net: window, history state, earlier purchases, labels."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from generator.data.sessions.ragged import Ints, Sessions, offsets, ragged_index
from generator.data.sessions.slots import first_views
from generator.data.store.runs import MergedSessions
from generator.spec.blobs import Sizes

__all__ = [
    "Blobs",
    "Rows",
    "WindowSizes",
    "aging",
    "blobs",
    "chunk_rows",
    "log_dwell",
    "row_counts",
    "rows_of",
]

Blobs = dict[str, NDArray[Any]]

CELLS = 2**20  # cells of the widest blobs built at a time: what bounds the memory of a write


@dataclass(frozen=True)
class Rows:
    """R rows over the known states (page > 0) of the sessions.

    ``session`` int32 (R,); ``first`` and ``stop`` int64 (R,): the row has seen the known states first..stop-1;
    ``label`` int32 (R,), 0 out of vocabulary; ``fresh`` int64 (R,): states, from the newest back, that bear a label
    when each state has its own.
    """

    session: NDArray[np.int32]
    first: Ints
    stop: Ints
    label: NDArray[np.int32]
    fresh: Ints

    def __len__(self) -> int:
        return len(self.session)

    @property
    def position(self) -> NDArray[np.int32]:
        """States seen so far, x, int32 (R,)."""
        return (self.stop - self.first).astype(np.int32)

    def __getitem__(self, rows: slice | Ints) -> "Rows":
        return Rows(self.session[rows], self.first[rows], self.stop[rows], self.label[rows], self.fresh[rows])


def rows_of(sessions: Sessions, window: int, loss: str) -> Rows:
    """Return the rows of ``sessions``: which states each has seen and what its label is.

    A purchase gives one row a session; `next` one row a page after the session's first. Sessions to train on under
    loss `every` give one row per ``window`` labels instead, so that each label is trained once; the last of them
    looks back over a full window, with labels on the states not labelled yet.
    """
    known_before = _known_before(sessions.page)
    first, last = known_before(sessions.offset[:-1]), known_before(sessions.offset[1:])
    if sessions.label is not None:
        every = np.arange(len(sessions), dtype=np.int32)
        return Rows(every, first, last, sessions.label, np.ones(len(sessions), np.int64))
    if sessions.training and loss == "every":
        known = sessions.page[sessions.page > 0]
        labels = np.maximum(last - first - 1, 0)
        rows = -(-labels // window)
        session = np.repeat(np.arange(len(sessions)), rows)
        seen = (ragged_index(np.zeros_like(rows), rows) + 1) * window
        stop = first[session] + np.minimum(seen, labels[session])
        fresh = np.minimum(window, labels[session] - seen + window)
        return Rows(session.astype(np.int32), first[session], stop, known[stop], fresh)
    lengths = np.maximum(np.diff(sessions.offset) - 1, 0)
    every = np.repeat(np.arange(len(sessions), dtype=np.int32), lengths)
    view = ragged_index(sessions.offset[:-1] + 1, lengths)
    label = sessions.page[view]
    if sessions.slots:  # which no row can name before it is met
        owner = np.repeat(np.arange(len(sessions)), sessions.lengths)
        label = np.where(first_views(sessions.slots.number(sessions.page), owner)[view], 0, label)
    fresh = np.broadcast_to(np.int64(1), len(every))
    return Rows(every, first[every], known_before(view), label, fresh)


def row_counts(sessions: Sessions | MergedSessions, window: int, loss: str) -> Ints:
    """Return how many rows ``rows_of`` makes of each session, int64 (S,)."""
    if sessions.label is not None:
        return np.ones(len(sessions), np.int64)
    if sessions.training and loss == "every":
        return -(-np.maximum(sessions.known_lengths() - 1, 0) // window)
    return np.maximum(sessions.lengths - 1, 0, dtype=np.int64)


def _known_before(page: NDArray[np.int32]) -> Callable[[Ints], Ints]:
    """Return the function from places among views to the number of known states before them."""
    known = page > 0
    if known.all():
        return lambda places: places
    states = offsets(known)
    return lambda places: states[places]


def _right_aligned(values: NDArray[Any], first: Ints, stop: Ints, width: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the newest ``width`` of values[first:stop] for each row, right-aligned, and where there is one."""
    held = np.clip(stop - first, 0, width).astype(np.int32)
    present = np.arange(width, 0, -1, dtype=np.int32) <= held[:, None]
    if not present.any():
        return np.zeros(present.shape, values.dtype), present
    begin = int(first.min())
    padded = np.concatenate((np.zeros(width, values.dtype), values[begin : int(stop.max())]))
    aligned = sliding_window_view(padded, width)[np.maximum(stop - begin, 0)]
    aligned *= present
    return aligned, present


def _among_zeros(values: NDArray[Any], places: Ints, rows: int) -> NDArray[Any]:
    """Return ``rows`` rows, those of ``values`` at ``places`` and zeros elsewhere."""
    if len(places) == rows:
        return values
    found = np.zeros((rows, values.shape[1]), values.dtype)
    found[places] = values
    return found


def aging(dwell: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the aging factors of collapsed states (Wu et al., section on the history state), float32 (R, H).

    ``dwell`` is (R, H) in seconds, right-aligned, 0 where there is no state: eps_i = dwell_i / sum of dwell_i..dwell_H.
    """
    # A state a row, so that each step below is along the memory.
    seconds = dwell.T.astype(np.float64, order="C")
    since = seconds.copy()
    for state in range(len(since) - 2, -1, -1):
        since[state] += since[state + 1]
    since[since == 0] = 1  # no state, here or later: 0 / 1
    seconds /= since
    return seconds.T.astype(np.float32, order="C")


def log_dwell(seconds: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the logarithm of dwell times, float32 like ``seconds`` (at least 1), 0 where no state is present."""
    return np.log(np.where(present, seconds, 1).astype(np.float64)).astype(np.float32)


@dataclass(frozen=True)
class WindowSizes:
    """Sizes of blobs without a spec: of a net that is at hand as a file only."""

    window: int
    history: int
    bought: int
    seen: int
    every: bool = False

    @classmethod
    def of(cls, columns: Mapping[str, int]) -> "WindowSizes":
        """Return the sizes of blobs with these many ``columns``, by name; what is not named is absent."""
        window, history, bought, seen = (
            columns.get(name, 0) for name in ("page", "history_page", "bought", "seen_page")
        )
        return cls(window, history, bought, seen)


def _inputs(
    sessions: Sessions, known: NDArray[np.int32], dwell: NDArray[np.float32], rows: Rows, sizes: Sizes
) -> Blobs:
    found: Blobs = {}
    clamped = sessions.slots.clamped(known) if sessions.slots else known
    if sizes.window:
        found["page"], _ = _right_aligned(clamped, rows.first, rows.stop, sizes.window)
    if sizes.history:
        stop = rows.stop - sizes.window
        with_history = np.flatnonzero(stop > rows.first)  # few, where sessions are short
        first, stop = rows.first[with_history], stop[with_history]
        page, _ = _right_aligned(clamped, first, stop, sizes.history)
        seconds, _ = _right_aligned(dwell, first, stop, sizes.history)
        found["history_page"] = _among_zeros(page, with_history, len(rows))
        found["history_weight"] = _among_zeros(aging(seconds), with_history, len(rows))
    if sizes.bought:
        begin, end = sessions.bought_offset[rows.session], sessions.bought_offset[rows.session + 1]
        found["bought"], held = _right_aligned(sessions.bought, begin, end, sizes.bought)
        found["bought_weight"] = held.astype(np.float32)
    if sizes.seen and not sessions.training:
        found["seen_page"], present = _right_aligned(known, rows.first, rows.stop, sizes.seen)
        seconds, _ = _right_aligned(dwell, rows.first, rows.stop, sizes.seen)
        found["seen_dwell"] = log_dwell(seconds, present)
    return found


def _labels(sessions: Sessions, rows: Rows, page: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the labels of every state, int32 (R, n); 0 where a state is absent or bears none."""
    labels = np.zeros_like(page)
    if sessions.label is not None:
        labels[:] = np.where(page > 0, rows.label[:, None], 0)
    else:
        fresh = np.arange(page.shape[1], 1, -1) <= rows.fresh[:, None]
        labels[:, :-1] = np.where(fresh & (page[:, :-1] > 0), page[:, 1:], 0)
    labels[:, -1] = rows.label
    return labels


def blobs(sessions: Sessions, rows: Rows, sizes: Sizes) -> Iterator[Blobs]:
    """Yield the blobs of ``rows`` in chunks of bounded size, in order.

    Each is a dict of ``page`` int32 (r, n), ``history_page`` int32 (r, H), ``history_weight`` float32 (r, H),
    ``bought`` int32 (r, K), ``bought_weight`` float32 (r, K), ``seen_page`` int32 (r, S), ``seen_dwell`` float32
    (r, S), ``label`` int32 (r,) or (r, n); a blob of width 0 is absent, and of sessions to train on what training does
    not read. Slots have the same id in ``page`` and ``history_page``, ids of their own in ``seen_page``, and 0 in
    ``label``, for the net neither tells them apart nor is trained on them; `Rows` have them as labels.
    """
    step = chunk_rows(sizes)
    known, dwell = sessions.page, sessions.dwell
    if not known.all():
        dwell, known = dwell[known > 0] if len(dwell) else dwell, known[known > 0]
    for begin in range(0, len(rows), step):
        chunk = rows[begin : begin + step]
        found = _inputs(sessions, known, dwell, chunk, sizes)
        found["label"] = _labels(sessions, chunk, found["page"]) if sizes.every else chunk.label
        if sessions.slots:
            found["label"] = sessions.slots.known(found["label"])
        yield found


def chunk_rows(sizes: Sizes) -> int:
    """Return how many rows ``blobs`` makes at a time."""
    return max(1, CELLS // (sizes.window + sizes.history + sizes.bought + sizes.seen))
