"""Event logs in public formats to one table of events."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from generator.data import sequences, sources
from generator.data.layouts import FORMATS, KINDS, LABEL, Layout, generic, normal
from generator.data.sources import MALFORMED, ROW, Source
from generator.errors import DataError

__all__ = ["FORMAT_NAMES", "MAX_BAD", "Events", "read_events"]

FORMAT_NAMES = (*FORMATS, "events")
MAX_BAD = 0.001
LABELS = ("page", "item", "category")
SHOWN = 5  # malformed rows quoted of a file

USER, SESSION = pl.Categorical(pl.Categories("drn-user")), pl.Categorical(pl.Categories("drn-session"))
KIND = pl.Enum(KINDS)
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
        source.name,
        tuple(names),
        source.frame.select(ROW, *(pl.col(old).alias(new) for new, old in names.items())),
        source.rows,
    )


def _events(source: Source, layout: Layout, max_bad: float) -> Events:
    malformed = MALFORMED in source.frame.collect_schema()
    roles = {role: layout.roles.get(role, pl.lit(None)).cast(kind) for role, kind in SCHEMA.items()}
    for role in ("user", "session", *LABELS):
        roles[role] = pl.when(roles[role] != "").then(roles[role])
    values = source.frame.select(ROW, *([MALFORMED] if malformed else []), **roles)
    checks = _checks(layout, malformed=malformed)
    frame, rows, skipped, notes = _sifted(source, values, lambda piece: checks | _line_breaks(piece), max_bad)
    return Events(frame.select(*SCHEMA), rows, skipped, notes, layout.resolution)


def _checks(layout: Layout, *, malformed: bool) -> dict[str, pl.Expr]:
    """Return why a row cannot be taken, and where that is so."""
    event = pl.col("event")
    checks = {"not a JSON object": pl.col(MALFORMED).is_not_null()} if malformed else {}
    owner = "session" if "session" in layout.roles else "user"
    checks[f"no {owner}"] = pl.col(owner).is_null()
    if "time" in layout.roles:
        checks["no readable time"] = pl.col("time").is_null()
    checks["unknown event"] = event.is_null()
    checks["no page"] = (event == "view") & pl.col("page").is_null()
    checks["no item"] = (event == "buy") & pl.col("item").is_null()
    return checks


def _line_breaks(piece: pl.DataFrame) -> dict[str, pl.Expr]:
    """Return where a label of ``piece`` holds a line break: of its few distinct ones, whether any does."""
    checks = {}
    for role in LABELS:
        labels = piece[role].unique().drop_nulls()
        broken = labels.filter(labels.cast(pl.String).str.contains("[\r\n]"))
        if len(broken):
            checks[f"line break in {role}"] = pl.col(role).is_in(broken.implode())
    return checks


def _sequences(source: Source, max_bad: float) -> Events:
    renamed = _renamed(source)
    values, checks = renamed.frame.select(ROW, *sequences.COLUMNS), sequences.checks()
    frame, rows, skipped, notes = _sifted(source, values, lambda _: checks, max_bad)
    return Events(frame.drop(ROW), rows, skipped, notes)


def _sifted(
    source: Source,
    values: pl.LazyFrame,
    checks: Callable[[pl.DataFrame], Mapping[str, pl.Expr]],
    max_bad: float,
) -> tuple[pl.DataFrame, int, dict[str, int], tuple[str, ...]]:
    """Run ``values`` and return its rows that pass, the rows read, the rows left out by reason, and notes."""
    good: list[pl.DataFrame] = []
    found: list[pl.DataFrame] = []
    rows = 0
    for piece in sources.pieces(values, source):
        rows += piece.height
        reasons = checks(piece)
        bad = piece.select(pl.any_horizontal(check.fill_null(value=False) for check in reasons.values())).to_series()
        if bad.any():
            reason = pl.coalesce(pl.when(check).then(pl.lit(reason)) for reason, check in reasons.items())
            found.append(piece.filter(bad).select(ROW, reason=reason))
        good.append(piece.filter(~bad) if bad.any() else piece)
    if not rows:
        raise DataError(f"{source.name}: the file has no rows")
    frame = pl.concat(good)
    if not found:
        return frame, rows, {}, ()
    out = pl.concat(found)
    notes = tuple(_notes(source, out.sort(ROW).head(SHOWN)))
    if out.height > max_bad * rows:
        raise DataError(
            f"{source.name}: {out.height:,} of {rows:,} rows are malformed, more than --max-bad {max_bad:g} allows; "
            "the first:\n" + "\n".join(f"  {note}" for note in notes)
        )
    return frame, rows, dict(out.group_by("reason").len().sort("reason").iter_rows()), notes


def _notes(source: Source, bad: pl.DataFrame) -> list[str]:
    """Quote malformed rows as they stand in the file."""
    raw = sources.collect(source.frame.filter(pl.col(ROW).is_in(bad[ROW].to_list())), source.name)
    quoted = {row[ROW]: [value for name, value in row.items() if name != ROW] for row in raw.iter_rows(named=True)}
    name = Path(source.name).name
    return [
        f"{name}: row {row}: {reason}: {', '.join('' if value is None else str(value) for value in quoted[row])[:200]}"
        for row, reason in bad.iter_rows()
    ]
