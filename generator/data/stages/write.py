"""Stage five: sessions of ids to split files, and the data folder that holds them, whole or not at all."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generator.data.sessions.ragged import KEPT_BOUGHT, Ints, Sessions, offsets
from generator.data.sessions.slots import Slots
from generator.data.store.folder import beside, publish
from generator.data.store.parts import PART
from generator.data.store.runs import MergedSessions, blocks
from generator.data.store.split import Split, read_kept, read_sessions, write_file
from generator.data.threads import Progress, counted, prefetched, unwatched
from generator.data.windows import Rows, blobs, chunk_rows, row_counts, rows_of
from generator.errors import DataError
from generator.files import write_text
from generator.spec.schema import Spec

if TYPE_CHECKING:  # polars, which training goes without
    from generator.data.sessions.numbering import Numbering

__all__ = ["rewindow", "rows_in_windows", "write", "write_split"]

FILES = ("train.h5", "valid.h5", "test.h5", "pages.txt", "items.txt", "meta.json")
CHUNK = 1 << 20  # rows looked at a time


def write(
    folder: Path,
    splits: Mapping[str, Sessions | MergedSessions],
    numbering: "Numbering",
    meta: Mapping[str, Any],
    spec: Spec,
    progress: Progress = unwatched,
) -> dict[str, Any]:
    """Write all files beside ``folder``, then put them in its place; return ``meta`` with the counts of the splits.

    What an earlier run left in the folder goes.
    """
    with beside(folder) as place:
        new = place / "new"
        new.mkdir()
        counts = {
            split: {
                "sessions": len(sessions),
                "rows": write_split(new / f"{split}.h5", sessions, spec, progress=progress),
            }
            for split, sessions in splits.items()
        }
        unknown = {split: _unknown(new / f"{split}.h5") for split in splits if split != "train"}
        whole = {**meta, "splits": counts, "unknown_labels": unknown}
        numbering.pages.write(new / "pages.txt")
        numbering.items.write(new / "items.txt")
        write_text(new / "meta.json", json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
        publish(new, folder, lambda name: name in FILES or PART.fullmatch(name) is not None)
    return whole


def _unknown(path: Path) -> int:
    """Return how many rows of a split have a label without an id."""
    with Split(path) as split:
        return sum(
            int(np.count_nonzero(split.index("unknown", begin, begin + CHUNK))) for begin in range(0, split.rows, CHUNK)
        )


def write_split(
    path: Path,
    sessions: Sessions | MergedSessions,
    spec: Spec,
    kept: int | None = None,
    *,
    progress: Progress = unwatched,
) -> int:
    """Write ``sessions`` and their rows to the HDF5 file ``path``, whole or not at all; return the number of rows.

    Rows are built and written in chunks, so that memory does not grow with their number. ``kept`` says how many
    purchases before each session ``sessions`` hold at most; else as many as the spec's net reads.

    Raises
    ------
    DataError
        No session gives a row, the sessions do not fit the spec, or the file cannot be written.
    """
    kept = max(KEPT_BOUGHT, spec.bought) if kept is None else kept
    ends = _ends(path, sessions, spec, kept)
    watched = counted(progress, f"write rows to {path.name}", int(ends[-1]))
    index, chunks = _index(sessions, np.diff(ends), spec), _watched(_blobs(sessions, ends, spec), watched)
    write_file(path, sessions, kept, int(ends[-1]), index, chunks)
    return int(ends[-1])


def _ends(path: Path, sessions: Sessions | MergedSessions, spec: Spec, kept: int) -> Ints:
    """Return where the rows of each session begin and end, 0 first; DataError as `write_split`."""
    _check(sessions, spec, path)
    if spec.bought > kept:
        raise DataError(
            f"{path.name}: the sessions hold the newest {kept} purchases of a user, but the spec wants fnn.bought: "
            f"{spec.bought}: run `drn sessions ... --spec SPEC` again with this spec"
        )
    ends = offsets(row_counts(sessions, spec.window, spec.loss))
    if not ends[-1]:
        raise DataError(f"{path.name}: no session gives a row, so there is nothing to write")
    return ends


def rewindow(source: Path, target: Path, spec: Spec) -> int:
    """Rebuild the rows of the split file ``source`` for another ``spec`` into ``target``; return their number.

    Window, history, purchases kept and loss may differ; target and vocabularies stay as they are.
    """
    return write_split(target, read_sessions(source), spec, read_kept(source))


def rows_in_windows(source: Path, spec: Spec) -> dict[str, NDArray[Any]]:
    """Return the blobs of the rows that `rewindow` would write, ``label`` among them."""
    sessions = read_sessions(source)
    parts = list(_blobs(sessions, _ends(source, sessions, spec, read_kept(source)), spec))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check(sessions: Sessions | MergedSessions, spec: Spec, path: Path) -> None:
    target = "next" if sessions.label is None else "purchase"
    if target != spec.data.target:
        raise DataError(
            f"{path.name}: the sessions were made for target {target}, but the spec says {spec.data.target}"
        )
    slots = Slots(spec.pages, spec.slots) if spec.slots else None
    if sessions.slots != slots:
        raise DataError(
            f"{path.name}: the sessions were made {_slots_in_words(sessions.slots)}, but the spec is one "
            f"{_slots_in_words(slots)}: run `drn sessions ... --spec SPEC` again with this spec"
        )
    labels = "page" if sessions.label is None else "label"
    for field, limit, ids in (
        ("pages", spec.pages + spec.slots, "page"),
        ("items", spec.items + spec.slots, labels),
        ("items", spec.items, "bought"),
    ):
        highest = sessions.highest(ids)
        if highest > limit:
            raise DataError(f"{path.name}: the sessions hold id {highest} but the spec allows {field}: {limit}")


def _slots_in_words(slots: Slots | None) -> str:
    return f"with {slots.count} slots after {slots.after} pages" if slots else "without slots"


def _index(
    sessions: Sessions | MergedSessions, sizes: Ints, spec: Spec
) -> Iterator[Iterator[Mapping[str, NDArray[Any]]]]:
    """Yield ``session`` and ``position``, int32 (R,), and ``unknown``, uint8 (R,), each in chunks.

    ``sizes`` are the rows of each session; a row is unknown (1) if its true label is out of vocabulary and no slot.
    Where there are slots, ``slot``, int32 (R,), comes last: the number of the slot that is the label, 0 for none.
    """
    unknown: list[tuple[NDArray[np.uint8], int]] = []
    slot: list[NDArray[np.int32]] = []

    def positions() -> Iterator[NDArray[np.int32]]:
        for first, last in blocks(sessions.lengths):
            rows = rows_of(sessions.slice(first, last, ("dwell", "bought")), spec.window, spec.loss)
            # A bit a row: they are written after all positions.
            unknown.append((np.packbits(rows.label == 0), len(rows)))
            if sessions.slots:
                slot.append(sessions.slots.number(rows.label))
            yield rows.position

    every = (np.repeat(np.arange(first, last, dtype=np.int32), sizes[first:last]) for first, last in blocks(sizes))
    yield ({"session": values} for values in every)
    yield ({"position": values} for values in positions())
    yield ({"unknown": np.unpackbits(bits, count=held)} for bits, held in unknown)
    if sessions.slots:
        yield ({"slot": numbers} for numbers in slot)


def _blobs(sessions: Sessions | MergedSessions, ends: Ints, spec: Spec) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Yield the blobs of all rows in chunks; ``ends`` says where the rows of each session begin and end."""
    return prefetched(next(blobs(some, rows, spec)) for some, rows in _chunks(sessions, ends, spec))


def _watched(
    chunks: Iterator[Mapping[str, NDArray[Any]]], watched: Callable[[int], None]
) -> Iterator[Mapping[str, NDArray[Any]]]:
    for chunk in chunks:
        yield chunk
        watched(len(chunk["label"]))


def _chunks(sessions: Sessions | MergedSessions, ends: Ints, spec: Spec) -> Iterator[tuple[Sessions, Rows]]:
    """Yield the rows, as many as ``blobs`` makes at a time, each time with the sessions they are of."""
    without = {name for name, size in (("dwell", spec.history + spec.seen), ("bought", spec.bought)) if not size}
    step, count = chunk_rows(spec), int(ends[-1])
    for begin in range(0, count, step):
        stop = min(begin + step, count)
        first = int(np.searchsorted(ends, begin, side="right")) - 1
        last = int(np.searchsorted(ends, stop))
        some = sessions.slice(first, last, without)
        rows = rows_of(some, spec.window, spec.loss)
        yield some, rows[begin - int(ends[first]) : stop - int(ends[first])]
