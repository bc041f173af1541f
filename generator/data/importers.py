"""Event logs in public formats to one table of events."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from generator.data import sequences, sources
from generator.data.distinct import Distinct
from generator.data.layouts import FORMATS, KINDS, LABEL, Layout, generic, normal
from generator.data.sources import MALFORMED, ROW, Source
from generator.errors import DataError

__all__ = ["FORMAT_NAMES", "MAX_BAD", "Events", "Sieve", "check_times", "opened_events", "read_events", "rows_of"]

FORMAT_NAMES = (*FORMATS, "events")
MAX_BAD = 0.001
PARQUET = (".parquet", ".pq")
LINE, UNPACKED = 32, 4  # bytes of a line of text, about; how many times as large it is unpacked
LABELS = ("page", "item", "category")
CODED = {"user": "user"} | dict.fromkeys(LABELS, "label")  # by role, the categories it shares
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


class Sieve:
    """The rows of ``values`` that pass, piece by piece; once they have all passed by, what is left out.

    Parameters
    ----------
    source, values
        A file, and a query that makes a row of each of its rows.
    look
        Returns a piece, tidied, and why a row of it cannot be taken and where that is so.
    max_bad
        Share of the rows that may be malformed.

    Attributes
    ----------
    rows, skipped, notes
        As in ``Events``.
    """

    def __init__(
        self,
        source: Source,
        values: pl.LazyFrame,
        look: Callable[[pl.DataFrame], tuple[pl.DataFrame, Mapping[str, pl.Expr]]],
        max_bad: float,
    ) -> None:
        self._source, self._values, self._look, self._max_bad = source, values, look, max_bad
        self.rows = 0
        self.skipped: dict[str, int] = {}
        self.notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        found: list[pl.DataFrame] = []
        for piece in sources.pieces(self._values, self._source):
            self.rows += piece.height
            piece, checks = self._look(piece)  # noqa: PLW2901  # tidied
            bad = piece.select(pl.any_horizontal(check.fill_null(value=False) for check in checks.values())).to_series()
            if bad.any():
                reason = pl.coalesce(pl.when(check).then(pl.lit(reason)) for reason, check in checks.items())
                found.append(piece.filter(bad).select(ROW, reason=reason))
            yield (piece.filter(~bad) if bad.any() else piece).drop(ROW, MALFORMED, strict=False)
        if not self.rows:
            raise DataError(f"{self._source.name}: the file has no rows")
        if found:
            self._weigh(pl.concat(found))

    def _weigh(self, out: pl.DataFrame) -> None:
        """Count the rows left out; DataError if they are too many."""
        self.notes = tuple(_notes(self._source, out.sort(ROW).head(SHOWN)))
        if out.height > self._max_bad * self.rows:
            raise DataError(
                f"{self._source.name}: {out.height:,} of {self.rows:,} rows are malformed, more than --max-bad "
                f"{self._max_bad:g} allows; the first:\n" + "\n".join(f"  {note}" for note in self.notes)
            )
        self.skipped = dict(out.group_by("reason").len().sort("reason").iter_rows())


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
    _check_form(form, columns)
    parts = [_read(path, form, columns or {}, max_bad) for path in paths]
    if len({tuple(part.frame.columns) for part in parts}) > 1:
        raise DataError("some of the files hold sequences and some events: import them on their own")
    pooled = _pooled(parts)
    check_times(pooled.frame["time"].null_count(), pooled.frame.height)
    return pooled


def check_times(timeless: int, height: int) -> None:
    """Refuse files of which some have times and some have none: ``timeless`` of ``height`` events."""
    if 0 < timeless < height:
        raise DataError("some of the files have times and some have none: import them on their own")


def _check_form(form: str, columns: Mapping[str, str] | None) -> None:
    if form not in FORMAT_NAMES:
        raise DataError(f"unknown format {form!r}: the formats are {', '.join(FORMAT_NAMES)}")
    if columns and form != "events":
        raise DataError(f"--columns is for the format events, but the format is {form}, whose columns are known")


@contextmanager
def opened_events(path: Path, form: str, columns: Mapping[str, str], max_bad: float) -> Iterator[tuple[Sieve, float]]:
    """Yield the events of a file, to be read in pieces, and their resolution; not of a file of sequences.

    The columns are those of ``Events.frame``, but ``session`` is text, for there may be too many to know them all, and
    only purchases need have an ``item`` that is the page. Errors are as in ``read_events``, and come while the pieces
    do.
    """
    _check_form(form, columns)
    with _opened(path, form, columns, lean=True) as (source, layout):
        if layout is None:
            raise DataError(f"{path}: holds sequences, not events")
        yield _sieve(source, layout, max_bad, SCHEMA | {"session": pl.String()}), layout.resolution


def rows_of(path: Path) -> int:
    """Return about how many rows a file has: a Parquet file says it; of others, by their size."""
    if not path.is_file():
        return 0
    if path.suffix not in PARQUET:
        return path.stat().st_size * (UNPACKED if path.suffix == ".gz" else 1) // LINE
    try:
        return sources.table(path, path).rows or 0
    except DataError:
        return 0


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
    with _opened(path, form, columns) as (source, layout):
        return _sequences(source, max_bad) if layout is None else _events(source, layout, max_bad)


@contextmanager
def _opened(
    path: Path, form: str, columns: Mapping[str, str], *, lean: bool = False
) -> Iterator[tuple[Source, Layout | None]]:
    """Yield a file as a table and its layout, None where it holds sequences; ``lean`` is as in ``generic``."""
    with ExitStack() as stack:
        plain = stack.enter_context(sources.opened(path))
        if form == "events":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drn-")))
            source = _any_source(plain, path, folder)
            schema = source.frame.select(source.columns).collect_schema()
            yield source, generic(source.name, schema, columns, lean=lean)
            return
        first = sources.head(plain, path)
        names = {normal(name) for name in first.split("\t")}
        if form == "recbole" and sequences.holds(names):
            yield sources.text(plain, path, "\t", first.split("\t"), header=True, quote=None), None
            return
        layout, header = _layout(first, form, path)
        columns_there = first.split(layout.separator) if header else list(layout.columns)
        source = sources.text(plain, path, layout.separator, columns_there, header=header, quote=layout.quote)
        yield _renamed(source), layout


def _any_source(plain: Path, path: Path, folder: Path) -> Source:
    """Open a log of named columns by the suffix of its name: Parquet, JSON lines, or separated text with a header."""
    if plain.suffix in PARQUET:
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
    sieve = _sieve(source, layout, max_bad, SCHEMA)
    frame = pl.concat(sieve)
    return Events(frame, sieve.rows, sieve.skipped, sieve.notes, layout.resolution)


def _sieve(source: Source, layout: Layout, max_bad: float, schema: Mapping[str, Any]) -> Sieve:
    """Return the rows of ``source`` as events, in the columns and types of ``schema``."""
    malformed = MALFORMED in source.frame.collect_schema()
    roles = {role: layout.roles.get(role, pl.lit(None)).cast(kind) for role, kind in schema.items()}
    roles["session"] = pl.when(roles["session"] != "").then(roles["session"])
    values = source.frame.select(ROW, *([MALFORMED] if malformed else []), **roles)
    return Sieve(source, values, _Look(_checks(layout, malformed=malformed)), max_bad)


class _Look:
    """Tidies pieces of events, blank names to null, and says what is wrong with them.

    A name is looked at as text when it first comes; after that it is a code.
    """

    def __init__(self, checks: dict[str, pl.Expr]) -> None:
        self._checks = checks
        self._distinct = {kind: Distinct() for kind in CODED.values()}
        self._blank: set[str] = set()
        self._broken: list[pl.Series] = []

    def __call__(self, piece: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, pl.Expr]]:
        for role, kind in CODED.items():
            new = self._distinct[kind].new(piece[role])
            names = new.cast(pl.String)
            if (names == "").any():
                self._blank.add(kind)
            if kind == "label":
                self._broken.append(new.filter(names.str.contains("[\r\n]")))
        broken = pl.concat(self._broken)
        self._broken = [broken]
        tidied = piece.with_columns(
            pl.when(pl.col(role) != "").then(pl.col(role)).alias(role)
            for role, kind in CODED.items()
            if kind in self._blank
        )
        breaks = {f"line break in {role}": pl.col(role).is_in(broken.implode()) for role in LABELS if len(broken)}
        return tidied, self._checks | breaks


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


def _sequences(source: Source, max_bad: float) -> Events:
    renamed = _renamed(source)
    values, checks = renamed.frame.select(ROW, *sequences.COLUMNS), sequences.checks()
    sieve = Sieve(source, values, lambda piece: (piece, checks), max_bad)
    frame = pl.concat(sieve)
    return Events(frame, sieve.rows, sieve.skipped, sieve.notes)


def _notes(source: Source, bad: pl.DataFrame) -> list[str]:
    """Quote malformed rows as they stand in the file."""
    raw = sources.collect(source.frame.filter(pl.col(ROW).is_in(bad[ROW].to_list())), source.name)
    quoted = {row[ROW]: [value for name, value in row.items() if name != ROW] for row in raw.iter_rows(named=True)}
    name = Path(source.name).name
    return [
        f"{name}: row {row}: {reason}: {', '.join('' if value is None else str(value) for value in quoted[row])[:200]}"
        for row, reason in bad.iter_rows()
    ]
