"""Event logs in public formats to one table of events."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from generator.data.log import sequences
from generator.data.log.formats import open_log
from generator.data.log.layouts import KINDS, LABEL, Layout
from generator.data.log.sources import Source
from generator.data.log.tables import MALFORMED, ROW, Table
from generator.data.log.validation import EventChecks, ValidRows
from generator.errors import DataError

__all__ = ["MAX_BAD", "SCHEMA", "Events", "check_times", "opened_events", "read_events"]

MAX_BAD = 0.001

SCHEMA = {
    "user": pl.Categorical(pl.Categories("drn-user")),
    "session": pl.Categorical(pl.Categories("drn-session")),
    "time": pl.Float64(),
    "page": LABEL,
    "category": LABEL,
    "event": pl.Enum(KINDS),
    "item": LABEL,
}


@dataclass(frozen=True)
class Events:
    """Events in log order.

    Attributes
    ----------
    frame
        user, session (Categorical or null), time (Float64 unix seconds, or null in all rows), page, category
        (Categorical or null), event (Enum: view, buy, other), item (Categorical or null). Labels share one set of
        categories.
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
    sources: Sequence[Source], form: str, columns: Mapping[str, str] | None = None, max_bad: float = MAX_BAD
) -> Events:
    """Read the sources of a log whole, in the order given.

    Parameters
    ----------
    sources
        Files in the format as published, each also as .gz, or DataFrames of the format `events`.
    form
        One of FORMAT_NAMES.
    columns
        `events` only: role to column.
    max_bad
        Share of the rows of a source that may be malformed and is then skipped.

    Raises
    ------
    DataError
        A file is absent, empty, cut short, not text, lacks columns, or has more malformed rows than allowed.
    """
    several = []
    for source in sources:
        with open_log(source, form, columns or {}) as (table, layout):
            several.append(_sequences(table, max_bad) if layout is None else _events(table, layout, max_bad))
    if len({tuple(events.frame.columns) for events in several}) > 1:
        raise DataError("some of the files hold sequences and some events: import them on their own")
    pooled = _pooled(several)
    check_times(pooled.frame["time"].null_count(), pooled.frame.height)
    return pooled


@contextmanager
def opened_events(
    source: Source, form: str, columns: Mapping[str, str], max_bad: float
) -> Iterator[tuple[ValidRows, float]]:
    """Yield the events of a source, to be read in pieces, and their resolution; not of a file of sequences.

    The columns are those of ``Events.frame``, but ``session`` is text, for there may be too many to know them all, and
    only purchases need have an ``item`` that is the page. Errors are as in ``read_events``, and come while the pieces
    do.
    """
    with open_log(source, form, columns, lean=True) as (table, layout):
        if layout is None:
            raise DataError(f"{table.name}: holds sequences, not events")
        yield _valid_events(table, layout, max_bad, SCHEMA | {"session": pl.String()}), layout.resolution


def check_times(timeless: int, height: int) -> None:
    """Refuse sources of which some have times and some have none: ``timeless`` of ``height`` events."""
    if 0 < timeless < height:
        raise DataError("some of the files have times and some have none: import them on their own")


def _events(table: Table, layout: Layout, max_bad: float) -> Events:
    valid = _valid_events(table, layout, max_bad, SCHEMA)
    frame = pl.concat(valid)
    return Events(frame, valid.rows, valid.skipped, valid.notes, layout.resolution)


def _valid_events(table: Table, layout: Layout, max_bad: float, schema: Mapping[str, Any]) -> ValidRows:
    """Return the rows of a table as events, in the columns and types of ``schema``."""
    malformed = MALFORMED in table.frame.collect_schema()
    roles = {role: layout.roles.get(role, pl.lit(None)).cast(kind) for role, kind in schema.items()}
    roles["session"] = pl.when(roles["session"] != "").then(roles["session"])
    values = table.frame.select(ROW, *([MALFORMED] if malformed else []), **roles)
    return ValidRows(table, values, EventChecks(layout, malformed=malformed), max_bad)


def _sequences(table: Table, max_bad: float) -> Events:
    values, checks = table.frame.select(ROW, *sequences.COLUMNS), sequences.checks()
    valid = ValidRows(table, values, lambda piece: (piece, checks), max_bad)
    frame = pl.concat(valid)
    return Events(frame, valid.rows, valid.skipped, valid.notes)


def _pooled(several: Sequence[Events]) -> Events:
    skipped: dict[str, int] = {}
    for events in several:
        for reason, count in events.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + count
    frame = pl.concat([events.frame for events in several])
    if sequences.holds(frame.columns):
        distinct = frame.unique(maintain_order=True)
        if distinct.height < frame.height:
            skipped["duplicate"] = frame.height - distinct.height
        frame = sequences.events(distinct).cast(SCHEMA)  # type: ignore[arg-type]  # polars types the keys too narrowly
    return Events(
        frame,
        sum(events.rows for events in several),
        skipped,
        tuple(note for events in several for note in events.notes),
        max(events.resolution for events in several),
    )
