"""Ragged sessions to the blobs of the net: window, history state, earlier purchases, labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from generator.data.hdf5 import Disk, create, creating, fill
from generator.data.ragged import KEPT_BOUGHT, Ints, Sessions, offsets, ragged_index
from generator.data.runs import Merged, blocks
from generator.data.threads import ahead
from generator.errors import DataError
from generator.files import replacing
from generator.spec.schema import Spec

__all__ = [
    "Blobs",
    "Rows",
    "Sessions",
    "blobs",
    "log_dwell",
    "ragged_index",
    "read_sessions",
    "rewindow",
    "rows_of",
    "window_of",
    "write_split",
]

Blobs = dict[str, NDArray[Any]]
Source = Sessions | Merged

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

    def __getitem__(self, part: slice | Ints) -> "Rows":
        return Rows(self.session[part], self.first[part], self.stop[part], self.label[part], self.fresh[part])


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
    fresh = np.broadcast_to(np.int64(1), len(every))
    return Rows(every, first[every], known_before(view), sessions.page[view], fresh)


def row_counts(sessions: Source, window: int, loss: str) -> Ints:
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
class _Shape:
    """The sizes of the blobs: what of the spec the windows depend on."""

    window: int
    history: int
    bought: int
    seen: int
    every: bool


def _inputs(
    sessions: Sessions, known: NDArray[np.int32], dwell: NDArray[np.float32], rows: Rows, shape: _Shape
) -> Blobs:
    found: Blobs = {}
    if shape.window:
        found["page"], _ = _right_aligned(known, rows.first, rows.stop, shape.window)
    if shape.history:
        fallen = rows.stop - shape.window
        found["history_page"], _ = _right_aligned(known, rows.first, fallen, shape.history)
        seconds, _ = _right_aligned(dwell, rows.first, fallen, shape.history)
        found["history_weight"] = aging(seconds)
    if shape.seen:
        found["seen_page"], present = _right_aligned(known, rows.first, rows.stop, shape.seen)
        seconds, _ = _right_aligned(dwell, rows.first, rows.stop, shape.seen)
        found["seen_dwell"] = log_dwell(seconds, present)
    if shape.bought:
        begin, end = sessions.bought_offset[rows.session], sessions.bought_offset[rows.session + 1]
        found["bought"], held = _right_aligned(sessions.bought, begin, end, shape.bought)
        found["bought_weight"] = held.astype(np.float32)
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


def blobs(sessions: Sessions, rows: Rows, spec: Spec) -> Iterator[Blobs]:
    """Yield the blobs of ``rows`` in chunks of bounded size, in order.

    Each is a dict of ``page`` int32 (r, n), ``history_page`` int32 (r, H), ``history_weight`` float32 (r, H),
    ``bought`` int32 (r, K), ``bought_weight`` float32 (r, K), ``seen_page`` int32 (r, S), ``seen_dwell`` float32
    (r, S), ``label`` int32 (r,) or (r, n); a blob of width 0 is absent, and of sessions to train on what training does
    not read.
    """
    seen = 0 if sessions.training else spec.seen
    shape = _Shape(spec.window, spec.history, spec.bought, seen, spec.loss == "every")
    step = _step(spec)
    known, dwell = sessions.page, sessions.dwell
    if not known.all():
        dwell, known = dwell[known > 0] if len(dwell) else dwell, known[known > 0]
    for begin in range(0, len(rows), step):
        part = rows[begin : begin + step]
        found = _inputs(sessions, known, dwell, part, shape)
        found["label"] = _labels(sessions, part, found["page"]) if shape.every else part.label
        yield found


def _step(spec: Spec) -> int:
    """Return how many rows are made at a time."""
    return max(1, CELLS // (spec.window + spec.history + spec.bought + spec.seen))


def window_of(pages: Sequence[int], dwells: Sequence[float], bought: Sequence[int], sizes: Mapping[str, int]) -> Blobs:
    """Return the input blobs of one session, batch size 1, as its row in a split file would hold them.

    Parameters
    ----------
    pages
        Ids of the pages visited so far, oldest first; 0 (a page the net does not know) is passed over.
    dwells
        Seconds on each of them, floored at 1.
    bought
        Ids of the items bought in earlier sessions, oldest first; 0 is passed over.
    sizes
        Columns by blob: ``page``, ``history_page``, ``bought``, ``seen_page``; what is not named is absent.
    """
    if len(pages) != len(dwells):
        raise DataError(f"{len(pages)} pages but {len(dwells)} dwell times: give one for each page")
    items = np.asarray([item for item in bought if item], np.int32)
    session = Sessions(
        offset=np.asarray([0, len(pages)]),
        page=np.asarray(pages, np.int32).reshape(-1),
        dwell=np.maximum(np.asarray(dwells, np.float32).reshape(-1), 1),
        bought_offset=np.asarray([0, len(items)]),
        bought=items,
        start=np.full(1, np.nan),
        user=np.full(1, -1, np.int32),
        label=np.zeros(1, np.int32),
    )
    states = session.page > 0
    window, history, kept, seen = (sizes.get(name, 0) for name in ("page", "history_page", "bought", "seen_page"))
    shape = _Shape(window, history, kept, seen, every=False)
    return _inputs(session, session.page[states], session.dwell[states], rows_of(session, window, "last"), shape)


def _check(sessions: Source, spec: Spec, path: Path) -> None:
    target = "next" if sessions.label is None else "purchase"
    if target != spec.data.target:
        raise DataError(
            f"{path.name}: the sessions were made for target {target}, but the spec says {spec.data.target}"
        )
    labels = "page" if sessions.label is None else "label"
    for field, limit, ids in (
        ("pages", spec.pages, "page"),
        ("items", spec.items, labels),
        ("items", spec.items, "bought"),
    ):
        highest = sessions.highest(ids)
        if highest > limit:
            raise DataError(f"{path.name}: the sessions hold id {highest} but the spec allows {field}: {limit}")


def write_split(path: Path, sessions: Source, spec: Spec, kept: int | None = None) -> int:
    """Write ``sessions`` and their rows to the HDF5 file ``path``, whole or not at all; return the number of rows.

    At the root lie the blobs for Caffe's HDF5Data layer, in ``rows`` the int32 (R,) ``session`` and ``position`` and
    the uint8 (R,) ``unknown`` (1: the true label is out of vocabulary), in ``sessions`` the ragged sessions themselves.
    Rows are built and written in chunks, so that memory does not grow with their number.
    ``kept`` says how many purchases before each session `sessions` hold at most; else as many as the spec's net reads.

    Raises
    ------
    DataError
        No session gives a row, the sessions do not fit the spec, or the file cannot be written.
    """
    _check(sessions, spec, path)
    kept = max(KEPT_BOUGHT, spec.bought) if kept is None else kept
    if spec.bought > kept:
        raise DataError(
            f"{path.name}: the sessions hold the newest {kept} purchases of a user, but the spec wants fnn.bought: "
            f"{spec.bought}: run `drn sessions ... --spec SPEC` again with this spec"
        )
    ends = offsets(row_counts(sessions, spec.window, spec.loss))
    if not ends[-1]:
        raise DataError(f"{path.name}: no session gives a row, so there is nothing to write")
    try:
        with replacing(path) as beside, creating(beside) as (file, disk):
            _write_sessions(file, sessions, disk)
            if kept > KEPT_BOUGHT:
                file["sessions"].attrs["bought_kept"] = kept
            _write_rows(file, sessions, ends, spec, disk)
    except OSError as error:
        raise DataError(f"cannot write {path.name}: {error}") from error
    return int(ends[-1])


def _parts(sessions: Source, ends: Ints, step: int, spec: Spec) -> Iterator[tuple[Sessions, Rows, int]]:
    """Yield ``step`` rows at a time, the sessions they are of, and the place of the first of these."""
    without = {name for name, size in (("dwell", spec.history + spec.seen), ("bought", spec.bought)) if not size}
    for begin in range(0, int(ends[-1]), step):
        stop = min(begin + step, int(ends[-1]))
        first = int(np.searchsorted(ends, begin, side="right")) - 1
        last = int(np.searchsorted(ends, stop))
        part = sessions.part(first, last, without)
        rows = rows_of(part, spec.window, spec.loss)
        yield part, rows[begin - int(ends[first]) : stop - int(ends[first])], first


def _write_rows(file: h5py.File, sessions: Source, ends: Ints, spec: Spec, disk: Disk) -> None:
    """Write the rows and their blobs in chunks."""
    count, group = int(ends[-1]), file.create_group("rows")
    sizes = np.diff(ends)
    every = (np.repeat(np.arange(first, last, dtype=np.int32), sizes[first:last]) for first, last in blocks(sizes))
    unknown: list[tuple[NDArray[np.uint8], int]] = []

    def positions() -> Iterator[NDArray[np.int32]]:
        for first, last in blocks(sessions.lengths):
            rows = rows_of(sessions.part(first, last, ("dwell", "bought")), spec.window, spec.loss)
            # A bit a row: they are written after all positions.
            unknown.append((np.packbits(rows.label == 0), len(rows)))
            yield rows.position

    fill(group, count, ({"session": values} for values in every), disk)
    fill(group, count, ({"position": values} for values in positions()), disk)
    fill(group, count, ({"unknown": np.unpackbits(bits, count=held)} for bits, held in unknown), disk)
    step = _step(spec)
    made = (next(blobs(part, rows, spec)) for part, rows, _ in _parts(sessions, ends, step, spec))
    fill(file, count, ahead(made), disk)


def _write_sessions(file: h5py.File, sessions: Source, disk: Disk) -> None:
    group = file.create_group("sessions")
    group.attrs["training"] = sessions.training
    _write_ragged(group, sessions, "offset", sessions.lengths, ("page", "dwell"), disk)
    _write_ragged(group, sessions, "bought_offset", sessions.bought_lengths, ("bought",), disk)
    for name in ("start", "user", "label"):
        values = getattr(sessions, name)
        if values is not None:
            create(group, name, len(values), values)[...] = values


def _write_ragged(
    group: h5py.Group, sessions: Source, offset: str, lengths: NDArray[Any], names: Sequence[str], disk: Disk
) -> None:
    ends = offsets(lengths)
    create(group, offset, len(ends), ends)[...] = ends
    for name in names:
        parts = ({name: sessions.column(name, begin, end)} for begin, end in blocks(lengths))
        fill(group, int(ends[-1]), parts, disk)


def read_sessions(path: Path) -> Sessions:
    """Read the ragged sessions of a split file; DataError names the file and what is missing or out of step."""
    try:
        with h5py.File(path, "r") as file:
            if "sessions" not in file:
                raise DataError(f"{path} has no group sessions: is it a file of drn sessions?")
            group = file["sessions"]
            names = ("offset", "page", "dwell", "bought_offset", "bought", "start", "user")
            missing = [name for name in names if name not in group]
            if missing:
                raise DataError(f"{path} has no dataset sessions/{missing[0]}: is it a file of drn sessions?")
            found = {name: group[name][()] for name in (*names, *(["label"] if "label" in group else []))}
            found["training"] = bool(group.attrs.get("training", False))
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    sessions = Sessions(**found)
    for offset, values in (("offset", "page"), ("offset", "dwell"), ("bought_offset", "bought")):
        bounds, length = getattr(sessions, offset), len(getattr(sessions, values))
        if not len(bounds) or bounds[0] != 0 or bounds[-1] != length or (np.diff(bounds) < 0).any():
            raise DataError(f"{path}: sessions/{offset} does not divide the {length} values of sessions/{values}")
    return sessions


def rewindow(source: Path, target: Path, spec: Spec) -> int:
    """Rebuild the rows of the split file ``source`` for another ``spec`` into ``target``; return their number.

    Window, history, purchases kept and loss may differ; target and vocabularies stay as they are.
    """
    sessions = read_sessions(source)
    with h5py.File(source, "r") as file:
        kept = int(file["sessions"].attrs.get("bought_kept", KEPT_BOUGHT))
    return write_split(target, sessions, spec, kept)
