"""Event logs in public formats to one table of events."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from generator.data import sources
from generator.data.layouts import FORMATS, KINDS, Layout, generic, normal
from generator.data.sources import MALFORMED, Source, collect, head, opened
from generator.errors import DataError

__all__ = ["FORMAT_NAMES", "MAX_BAD", "Events", "read_events"]

FORMAT_NAMES = (*FORMATS, "events")
MAX_BAD = 0.001
SHOWN = 5  # malformed rows quoted of a file

USER, LABEL = pl.Categorical(pl.Categories("drn-user")), pl.Categorical(pl.Categories("drn-label"))
SESSION, KIND = pl.Categorical(pl.Categories("drn-session")), pl.Enum(KINDS)
SCHEMA = {
    "user": USER,
    "session": SESSION,
    "time": pl.Float64(),
    "page": LABEL,
    "category": LABEL,
    "event": KIND,
    "item": LABEL,
}
SEQUENCE = ("itemidlist", "itemtypelist", "itemid")


@dataclass(frozen=True)
class Events:
    """Events in log order.

    Attributes
    ----------
    frame
        user, session (Categorical or null), time (Float64 unix seconds, or null in all rows), page, category (Categorical
        or null), event (Enum: view, buy, other), item (Categorical or null). Labels share one set of categories.
    rows
        Rows read, before any was skipped.
    skipped
        Rows left out, by reason.
    notes
        The first malformed rows, in words.
    resolution
        Seconds within which the times of two sessions cannot be put in order.
    """

    frame: pl.DataFrame
    rows: int
    skipped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    resolution: float = 0.0


def read_events(
    paths: Sequence[Path], form: str, columns: Mapping[str, str] | None = None, max_bad: float = MAX_BAD
) -> Events:
    """Read the files of a log, in the order given.

    Parameters
    ----------
    paths
        Files in the format as published, each also as .gz.
    form
        One of FORMAT_NAMES.
    columns
        `events` only: role to column.
    max_bad
        Share of the rows of a file that may be malformed and is then skipped.

    Raises
    ------
    DataError
        A file is absent, empty, cut short, not text, lacks columns, or has more malformed rows than allowed.
    """
    if form not in FORMAT_NAMES:
        raise DataError(f"unknown format {form!r}: the formats are {', '.join(FORMAT_NAMES)}")
    if columns and form != "events":
        raise DataError(f"--columns is for the format events, but the format is {form}, whose columns are known")
    parts = [_read(path, form, columns or {}, max_bad) for path in paths]
    if len({part.frame["time"].null_count() == part.frame.height for part in parts if part.frame.height}) > 1:
        raise DataError("some of the files have times and some have none: import them on their own")
    return _pooled(parts)


def _pooled(parts: Sequence[Events]) -> Events:
    skipped: dict[str, int] = {}
    for part in parts:
        for reason, count in part.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + count
    frame = pl.concat([part.frame for part in parts])
    if "sequence" in frame.columns:
        frame, duplicates = _exploded(frame)
        skipped |= {"duplicate": duplicates} if duplicates else {}
    return Events(
        frame,
        sum(part.rows for part in parts),
        skipped,
        tuple(note for part in parts for note in part.notes),
        max(part.resolution for part in parts),
    )
