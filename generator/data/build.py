"""The data folder: an event log read, cut, divided, numbered and written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from generator.data.log.labels import levels_of
from generator.data.log.sources import Source, sources_of
from generator.data.log.words import KINDS
from generator.data.options import Options
from generator.data.sessions.numbering import GivenVocabularies, Numbering
from generator.data.sessions.sessionise import GAP
from generator.data.stages.cut import PartitionSessions, cut
from generator.data.stages.divide import Divided, divide
from generator.data.stages.number import number
from generator.data.stages.read import IN_MEMORY, ReadLog, partitions_for, read
from generator.data.stages.write import write
from generator.data.store.folder import beside
from generator.data.store.spill import Spill
from generator.data.threads import Progress, unwatched
from generator.errors import DataError
from generator.spec.schema import Spec

__all__ = ["Options", "build"]


def build(
    logs: Any,
    folder: Path,
    spec: Spec,
    options: Options,
    spec_name: str = "spec",
    *,
    reader: "Callable[[], ReadLog] | None" = None,
    progress: Progress = unwatched,
) -> dict[str, Any]:
    """Write the data folder of an event log for ``spec`` and return what meta.json holds.

    The folder gets train.h5, valid.h5 if asked for, test.h5, pages.txt, items.txt and meta.json. They are written
    beside it and moved there when all are whole, so that on any error the folder is as it was.

    The log is read in partitions, each of some users. If there are many, they are spilled to files beside the folder,
    some 40 bytes an event: in memory are a few partitions, and some 60 bytes a session. A log of which only some events
    have a user, a session or a time, or that may hold sequences (recbole), is one partition, however large it is.

    Parameters
    ----------
    logs
        The log: a path, a polars or pandas DataFrame or an Arrow table (of the format `events`), or a list of these.
    spec_name
        What messages call the spec.
    reader
        Reads the log elsewhere than in this process: to the same sessions, in any order.
    progress
        Called with the name of the stage under way, what is done of it, and its total.

    Raises
    ------
    DataError
        The log does not hold, gives no rows, or has more pages or items than the spec allows; the folder whose
        vocabulary is asked for has none, or one for other levels.

    Examples
    --------
    >>> clicks = pl.DataFrame({"session": ["a", "a", "b", "b"], "page": ["x", "y", "y", "x"], "time": [1, 2, 60, 61]})
    >>> build(clicks, Path("data"), spec, Options(division=Division(share=0.5)))["sessions"]
    {'all': 2, 'with_a_row': 2, 'without_a_row': 0}
    """
    sources, tests = sources_of(logs), sources_of(options.test)
    given = GivenVocabularies.read(options.vocabulary, spec) if isinstance(options.vocabulary, Path) else None
    partitions = 1 if reader else partitions_for([*sources, *tests], options.form)
    try:
        with _spilling(folder, partitions) as (spill, place):
            log = reader() if reader else read(sources, tests, options, spec, partitions, place, progress)
            cuts = cut(
                log, spec, options.division, all_labels=options.vocabulary == "all", spill=spill, progress=progress
            )
            divided = divide(cuts, log.users, options.division)
            counts = _counts(cuts, divided)
            numbered = number(cuts, divided, log.labels, spec, options, given, spec_name, spill, progress)
            meta = _meta(spec, options, sources, tests, log, counts, numbered.numbering)
            return write(folder, numbered.splits, numbered.numbering, meta, spec, progress)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error


@contextmanager
def _spilling(folder: Path, partitions: int) -> Iterator[tuple[Spill, Path | None]]:
    """Yield where the sessions of partitions are kept and, where that is on disk, the folder, which goes at the end."""
    if partitions <= IN_MEMORY:
        yield Spill(), None
        return
    with beside(folder) as place:
        yield Spill(place), place


def _counts(cuts: Sequence[PartitionSessions], divided: Divided) -> dict[str, dict[str, int]]:
    """Return the events by kind and those repeated, and how many sessions give a row, or stand out, if some do."""
    shared, repeats = sum(sessions.shared for sessions in cuts), sum(sessions.repeats for sessions in cuts)
    extra = {"in_the_test_files_too": shared, "left_out": divided.left_out}
    kinds = np.sum([sessions.kinds for sessions in cuts], axis=0)
    every, used = sum(sessions.sessions for sessions in cuts), sum(len(sessions.run) for sessions in cuts)
    return {
        "events": {kind: int(count) for kind, count in zip(KINDS, kinds, strict=True)},
        "repeated": {"repeated": repeats} if repeats else {},
        "sessions": {"all": every, "with_a_row": used, "without_a_row": every - used}
        | {what: count for what, count in extra.items() if count},
    }


def _meta(
    spec: Spec,
    options: Options,
    sources: Sequence[Source],
    tests: Sequence[Source],
    log: ReadLog,
    counts: dict[str, dict[str, int]],
    numbering: Numbering,
) -> dict[str, Any]:
    """Return what meta.json holds, but for the counts of the splits."""
    return {
        "logs": [source.name for source in sources],
        "format": options.form,
        "target": spec.data.target,
        "levels": levels_of(spec),
        "shared_vocabulary": numbering.shared,
        "window": spec.window,
        "history": spec.history,
        "bought": spec.bought,
        "loss": spec.loss,
        "gap_minutes": GAP if options.gap is None else options.gap,
        "division": options.division.describe() | {"test_files": [source.name for source in tests]},
        "min_support": options.min_support,
        "ids": {"from": "folder", "folder": options.vocabulary.resolve().name}
        if isinstance(options.vocabulary, Path)
        else {"from": options.vocabulary},
        "times": _times(log),
        "events": {"rows": log.counts.rows, **counts["events"]},
        "words": {"known": dict(log.counts.words), "unknown": dict(log.counts.unknown)},
        "skipped": dict(log.counts.skipped) | counts["repeated"],
        "skipped_rows": list(log.counts.notes),
        "sessions": counts["sessions"],
        "vocabulary": {"pages": len(numbering.pages), "items": len(numbering.items)},
        **({"slots": spec.slots} if spec.slots else {}),
    }


def _times(log: ReadLog) -> dict[str, Any] | None:
    """Return the unit of times that are numbers, and the first and the last time; None without times."""
    if log.span is None:
        return None
    first, last = (datetime.fromtimestamp(time, timezone.utc).isoformat(timespec="seconds") for time in log.span)
    return {"units": list(log.counts.units), "first": first, "last": last}
