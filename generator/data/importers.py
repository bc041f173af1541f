"""Event logs in public formats to one table of events."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from generator.data import sequences, sources
from generator.data.layouts import FORMATS, KINDS, Layout, generic, normal
from generator.data.sources import MALFORMED, ROW, Source
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
    if len({tuple(part.frame.columns) for part in parts}) > 1:
        raise DataError("some of the files hold sequences and some events: import them on their own")
    pooled = _pooled(parts)
    timeless = pooled.frame["time"].null_count()
    if 0 < timeless < pooled.frame.height:
        raise DataError("some of the files have times and some have none: import them on their own")
    return pooled


def _pooled(parts: Sequence[Events]) -> Events:
    skipped: dict[str, int] = {}
    for part in parts:
        for reason, count in part.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + count
    frame = pl.concat([part.frame for part in parts])
    if sequences.holds(frame.columns):
        distinct = frame.unique(maintain_order=True)
        if distinct.height < frame.height:
            skipped["duplicate"] = frame.height - distinct.height
        frame = sequences.events(distinct).cast(SCHEMA)  # type: ignore[arg-type]  # polars types the keys too narrowly
    return Events(
        frame,
        sum(part.rows for part in parts),
        skipped,
        tuple(note for part in parts for note in part.notes),
        max(part.resolution for part in parts),
    )


def _read(path: Path, form: str, columns: Mapping[str, str], max_bad: float) -> Events:
    with ExitStack() as stack:
        plain = stack.enter_context(sources.opened(path))
        if form == "events":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drn-")))
            source = _any_source(plain, path, folder)
            schema = source.frame.select(source.columns).collect_schema()
            return _events(source, generic(source.name, schema, columns), max_bad)
        first = sources.head(plain, path)
        names = {normal(name) for name in first.split("\t")}
        if form == "recbole" and sequences.holds(names):
            source = sources.text(plain, path, "\t", first.split("\t"), header=True, quote=None)
            return _sequences(source, max_bad)
        layout, header = _layout(first, form, path)
        columns_there = first.split(layout.separator) if header else list(layout.columns)
        source = sources.text(plain, path, layout.separator, columns_there, header=header, quote=layout.quote)
        return _events(_renamed(source), layout, max_bad)


def _any_source(plain: Path, path: Path, folder: Path) -> Source:
    """Open a log of named columns by the suffix of its name: Parquet, JSON lines, or separated text with a header."""
    if plain.suffix in (".parquet", ".pq"):
        return sources.table(plain, path)
    first = sources.head(plain, path)
    if plain.suffix in (".jsonl", ".ndjson", ".json"):
        return sources.records(plain, path, folder)
    separator = max("\t;,", key=first.count)
    return sources.text(plain, path, separator, first.replace('"', "").split(separator), header=True, quote='"')


def _layout(first: str, form: str, path: Path) -> tuple[Layout, bool]:
    """Return the layout of a file by its first line, and whether that line is a header."""
    for layout in FORMATS[form]:
        fields = first.split(layout.separator)
        if layout.header is not False and _needed(layout) <= {normal(name) for name in fields}:
            return layout, True
        if not layout.header and len(fields) == len(layout.columns) and not _is_header(fields, layout):
            return layout, False
    raise DataError(
        f"{path}: is not in the format {form}: the first line is {first[:200]!r}, but its files have "
        + " or ".join(f"{layout.separator.join(layout.columns)!r}" for layout in FORMATS[form])
    )


def _needed(layout: Layout) -> set[str]:
    """Return the columns a header must have, under their normal names."""
    return {*layout.mark, *(name for role in layout.roles.values() for name in role.meta.root_names())}


def _is_header(fields: Sequence[str], layout: Layout) -> bool:
    return any(normal(field) in _needed(layout) for field in fields)


def _renamed(source: Source) -> Source:
    """Return the source with its columns under their normal names."""
    names: dict[str, str] = {}
    for name in source.columns:
        names.setdefault(normal(name), name)
    return Source(
        source.name, tuple(names), source.frame.select(ROW, *(pl.col(old).alias(new) for new, old in names.items()))
    )


def _events(source: Source, layout: Layout, max_bad: float) -> Events:
    roles = {role: layout.roles.get(role, pl.lit(None)) for role in SCHEMA}
    for role in ("user", "session", "page", "item", "category"):
        roles[role] = roles[role].cast(pl.String).replace("", None)
    values = source.frame.select(ROW, *([MALFORMED] if _malformed(source) else []), **roles)
    checked = values.select(
        ROW,
        *(pl.col(role).cast(kind) for role, kind in SCHEMA.items()),
        reason=_reason(layout, malformed=_malformed(source)),
    )
    frame, rows, skipped, notes = _sifted(source, checked, max_bad)
    return Events(frame, rows, skipped, notes, layout.resolution)


def _malformed(source: Source) -> bool:
    return MALFORMED in source.frame.collect_schema()


def _reason(layout: Layout, *, malformed: bool) -> pl.Expr:
    """Return why a row cannot be taken; null where it can."""
    event = pl.col("event")
    checks = {"not a JSON object": pl.col(MALFORMED).is_not_null()} if malformed else {}
    owner = "session" if "session" in layout.roles else "user"
    checks[f"no {owner}"] = pl.col(owner).is_null()
    if "time" in layout.roles:
        checks["no readable time"] = pl.col("time").is_null()
    checks["unknown event"] = event.is_null()
    checks["no page"] = (event == "view") & pl.col("page").is_null()
    checks["no item"] = (event == "buy") & pl.col("item").is_null()
    for role in ("page", "item", "category"):
        checks[f"line break in {role}"] = pl.col(role).str.contains("[\r\n]")
    return pl.coalesce(pl.when(check).then(pl.lit(reason)) for reason, check in checks.items())


def _sequences(source: Source, max_bad: float) -> Events:
    renamed = _renamed(source)
    checked = renamed.frame.select(ROW, *sequences.COLUMNS, reason=sequences.reason())
    return Events(*_sifted(source, checked, max_bad))


def _sifted(
    source: Source, checked: pl.LazyFrame, max_bad: float
) -> tuple[pl.DataFrame, int, dict[str, int], tuple[str, ...]]:
    """Run ``checked`` and return its rows without a reason, the rows read, the rows left out by reason, and notes."""
    frame = sources.collect(checked, source.name)
    rows, bad = frame.height, frame.filter(pl.col("reason").is_not_null()).select(ROW, "reason")
    if not rows:
        raise DataError(f"{source.name}: the file has no rows")
    if not bad.height:
        return frame.drop(ROW, "reason"), rows, {}, ()
    notes = tuple(_notes(source, bad.sort(ROW).head(SHOWN)))
    if bad.height > max_bad * rows:
        raise DataError(
            f"{source.name}: {bad.height:,} of {rows:,} rows are malformed, more than --max-bad {max_bad:g} allows; "
            "the first:\n" + "\n".join(f"  {note}" for note in notes)
        )
    skipped = dict(bad.group_by("reason").len().sort("reason").iter_rows())
    return frame.filter(pl.col("reason").is_null()).drop(ROW, "reason"), rows, skipped, notes


def _notes(source: Source, bad: pl.DataFrame) -> list[str]:
    """Quote malformed rows as they stand in the file."""
    raw = sources.collect(source.frame.filter(pl.col(ROW).is_in(bad[ROW].to_list())), source.name)
    quoted = {row[ROW]: [value for name, value in row.items() if name != ROW] for row in raw.iter_rows(named=True)}
    name = Path(source.name).name
    return [
        f"{name}: row {row}: {reason}: {', '.join('' if value is None else str(value) for value in quoted[row])[:200]}"
        for row, reason in bad.iter_rows()
    ]
