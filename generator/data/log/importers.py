"""Event logs in public formats to one table of events."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from generator.data.log import sequences
from generator.data.log.formats import open_log
from generator.data.log.layouts import LABEL, NUMBERS, Layout
from generator.data.log.sources import Source
from generator.data.log.statistics import RowCounts
from generator.data.log.tables import MALFORMED, ROW, Table
from generator.data.log.validation import WITHIN, WORD, EventChecks, ValidRows
from generator.data.log.words import KINDS
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
    "dwell": pl.Float32(),
}


@dataclass(frozen=True)
class Events:
    """Events in log order.

    Attributes
    ----------
    frame
        user, session (Categorical or null), time (Float64 unix seconds, or null in all rows), page, category
        (Categorical or null), event (Enum: view, buy, other), item (Categorical or null), dwell (Float32 seconds on the
        page, null where they last until the next view). Labels share one set of categories.
    counts
        What became of the rows.
    resolution
        Seconds within which the times of two sessions cannot be put in order.
    """

    frame: pl.DataFrame
    counts: RowCounts = field(default_factory=RowCounts)
    resolution: float = 0.0

    @property
    def rows(self) -> int:
        """Rows read, before any was skipped."""
        return self.counts.rows

    @property
    def skipped(self) -> Mapping[str, int]:
        """Rows left out, by reason."""
        return self.counts.skipped

    @property
    def notes(self) -> tuple[str, ...]:
        """The first malformed rows, in words."""
        return self.counts.notes


def read_events(
    sources: Sequence[Source],
    form: str,
    columns: Mapping[str, str] | None = None,
    max_bad: float = MAX_BAD,
    words: Mapping[str, str] | None = None,
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
    words
        What words of the column of events mean, beside those that the format knows.

    Raises
    ------
    DataError
        A file is absent, empty, cut short, not text, lacks columns, or has more malformed rows than allowed.
    """
    several = []
    for source in sources:
        with open_log(source, form, columns or {}, words or {}) as (table, layout):
            several.append(_sequences(table, max_bad) if layout is None else _events(table, layout, max_bad))
    if len({tuple(events.frame.columns) for events in several}) > 1:
        raise DataError("some of the files hold sequences and some events: import them on their own")
    pooled = _pooled(several)
    check_times(pooled.frame["time"].null_count(), pooled.frame.height)
    return pooled


@contextmanager
def opened_events(
    source: Source, form: str, columns: Mapping[str, str], max_bad: float, words: Mapping[str, str]
) -> Iterator[tuple[ValidRows, float]]:
    """Yield the events of a source, to be read in pieces, and their resolution; not of a file of sequences.

    The columns are those of ``Events.frame``, but ``session`` is text, for there may be too many to know them all, or
    Int64 where the log has whole numbers, and only purchases need have an ``item`` that is the page. Errors are as in
    ``read_events``, and come while the pieces do.
    """
    with open_log(source, form, columns, words, lean=True) as (table, layout):
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
    return Events(frame, valid.counts, layout.resolution)


def _valid_events(table: Table, layout: Layout, max_bad: float, schema: Mapping[str, Any]) -> ValidRows:
    """Return the rows of a table as events, in the columns and types of ``schema``."""
    columns = table.frame.collect_schema()
    malformed, numbers = MALFORMED in columns, columns.get(layout.session_column or "") == pl.Int64
    word = layout.roles["event"].cast(pl.String)
    known = word.cast(pl.Enum(list(layout.words)), strict=False)
    plain = (role for role in schema if role not in ("event", *NUMBERS))
    roles = {role: layout.roles.get(role, pl.lit(None)).cast(schema[role]) for role in plain}
    roles["time"] = layout.roles.get("time", pl.lit(None, pl.Float64))
    roles["dwell"] = _seconds(layout.roles.get("dwell"))
    if numbers:
        roles["session"] = layout.roles["session"]
    else:
        roles["session"] = pl.when(roles["session"] != "").then(roles["session"])
    roles |= {"event": known, WORD: word}  # as it is: polars takes as long to leave the known words out as to read them
    if layout.within is not None:
        roles[WITHIN] = layout.within
    values = table.frame.select(
        ROW, *([MALFORMED] if malformed else []), **{role: roles[role] for role in dict.fromkeys((*schema, *roles))}
    )
    return ValidRows(table, values, EventChecks(layout, malformed=malformed), max_bad)


def _seconds(column: pl.Expr | None) -> pl.Expr:
    """Return a column as seconds, NaN where it holds something else; null where it is null or blank, or not there."""
    if column is None:
        return pl.lit(None, pl.Float32)
    said = column.cast(pl.String).str.strip_chars() != ""
    return pl.when(said).then(column.cast(pl.Float32, strict=False).fill_null(float("nan")))


class _SequenceChecks:
    """Says what is wrong with pieces of sequences."""

    def __init__(self) -> None:
        self.words: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.units: tuple[str, ...] = ()

    def __call__(self, piece: pl.DataFrame) -> tuple[pl.DataFrame, Mapping[str, pl.Expr]]:
        return piece, sequences.checks()


def _sequences(table: Table, max_bad: float) -> Events:
    valid = ValidRows(table, table.frame.select(ROW, *sequences.COLUMNS), _SequenceChecks(), max_bad)
    frame = pl.concat(valid)
    return Events(frame, valid.counts)


def _pooled(several: Sequence[Events]) -> Events:
    counts = sum((events.counts for events in several), RowCounts())
    frame = pl.concat([events.frame for events in several])
    if sequences.holds(frame.columns):
        distinct = frame.unique(maintain_order=True)
        if distinct.height < frame.height:
            counts += RowCounts(skipped={"duplicate": frame.height - distinct.height})
        frame = sequences.events(distinct).cast(SCHEMA)  # type: ignore[arg-type]  # polars types the keys too narrowly
    return Events(frame, counts, max(events.resolution for events in several))
