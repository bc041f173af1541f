"""Log files opened as tables: CSV, TSV, JSON lines and Parquet, each also gzipped; and DataFrames."""

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl

from generator.data.log.lines import BadLine, survey
from generator.data.log.sources import Frame
from generator.data.threads import ahead
from generator.errors import DataError

__all__ = [
    "EXACT",
    "LINE",
    "MALFORMED",
    "ROW",
    "Table",
    "collect",
    "first_line",
    "identified",
    "in_memory",
    "is_nested",
    "parquet",
    "pieces",
    "refuse_patterns",
    "separated",
    "unpacked",
]

PIECE = 1 << 19  # rows read at a time
AHEAD = 2  # pieces read while one is used: polars is not always at work on all cores
ROW, MALFORMED, LINE = "_row", "_malformed", "_line"
WHOLE = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)  # that Int64 holds
EXACT = 1 << 53  # whole numbers beyond it are not told apart as doubles


@dataclass(frozen=True)
class Table:
    """A log file or DataFrame as a lazy table.

    Attributes
    ----------
    name
        What messages call it.
    columns
        Their names as published.
    frame
        The columns, and ``_row``, uint32: of a file counted from 1 as its lines are, the header included; of a
        DataFrame from 0, as it counts its rows itself. Perhaps ``_malformed``: why a row cannot be taken, or null;
        and ``_line``, what it was.
    rows
        Their number where it is known without reading them.
    bad
        Lines that are no rows of ``frame``.
    """

    name: str
    columns: tuple[str, ...]
    frame: pl.LazyFrame
    rows: int | None = None
    bad: tuple[BadLine, ...] = ()


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield ``path``, or a temporary unpacked copy of it if its name ends in .gz.

    Raises
    ------
    DataError
        The file is absent, empty, not gzip or cut short; nothing stays behind.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix != ".gz":
        _refuse_empty(path, path)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="drn-") as folder:
        plain = Path(folder) / path.stem
        try:
            with gzip.open(path) as packed, plain.open("wb") as stream:
                shutil.copyfileobj(packed, stream, 1 << 20)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: cannot unpack: {error}") from error
        _refuse_empty(plain, path)
        yield plain


def _refuse_empty(plain: Path, path: Path) -> None:
    if not plain.stat().st_size:
        raise DataError(f"{path}: the file is empty")


def first_line(plain: Path, path: Path) -> str:
    """Return the first line of a text file; DataError if it is not text."""
    with plain.open("rb") as stream:
        line = stream.readline(1 << 20)
    try:
        if b"\0" in line:
            raise ValueError("it holds a zero byte")
        return line.decode("utf-8-sig").rstrip("\r\n")
    except ValueError as error:
        raise DataError(f"{path}: not a text file: the first line does not decode as UTF-8: {error}") from error


def _refuse_own(columns: Collection[str], name: object) -> None:
    """Refuse a table that has a column under one of the names of the table itself."""
    for own in (ROW, MALFORMED, LINE):
        if own in columns:
            raise DataError(f"{name}: has a column {own}, a name that drn needs: rename it")
    refuse_patterns(columns, name)


def refuse_patterns(columns: Collection[str], name: object) -> None:
    """Refuse names that polars takes for patterns of names."""
    for column in columns:
        if column == "*" or (column.startswith("^") and column.endswith("$")):
            raise DataError(f"{name}: has a column {column!r}, which reads as a pattern of names: rename it")


def separated(
    plain: Path, path: Path, folder: Path, separator: str, names: list[str], *, header: bool, quote: str | None
) -> Table:
    """Return a CSV file as a table of strings; short lines are filled with nulls, blank lines are left out.

    Lines that are no rows are in ``bad``; a file that has some, or quotes where there should be none, is read by way of
    a copy in ``folder``.
    """
    if len(set(names)) < len(names):
        raise DataError(f"{path}: the header names a column twice: {', '.join(names)}")
    _refuse_own(names, path)
    found = survey(plain, separator, len(names), quote)
    if found.rewritten:
        found.copy(plain, folder / "rewritten")
        plain = folder / "rewritten"
    frame = pl.scan_csv(
        plain,
        has_header=header,
        separator=separator,
        quote_char=quote if found.quoted else None,
        schema=dict.fromkeys(names, pl.String()),
        truncate_ragged_lines=True,
        row_index_name=ROW,
        row_index_offset=2 if header else 1,
    )
    blank = pl.all_horizontal(pl.col(name).is_null() for name in names)
    return Table(str(path), tuple(names), frame.filter(~blank), bad=found.bad)


def parquet(plain: Path, path: Path) -> Table:
    """Return a Parquet file as a table of its own types."""
    try:
        _refuse_own(pl.read_parquet_schema(plain), path)
        frame = pl.scan_parquet(plain, row_index_name=ROW, row_index_offset=1)
        columns = tuple(name for name in frame.collect_schema().names() if name != ROW)
        rows = frame.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {_first(error)}") from error
    return Table(str(path), columns, frame, rows)


def is_nested(plain: Path, path: Path) -> bool:
    """Return whether a Parquet file has columns of lists or records."""
    return any(kind.is_nested() for kind in parquet(plain, path).frame.collect_schema().values())


def in_memory(frame: Frame) -> Table:
    """Return a DataFrame as a table of its own types; DataError where a column has a name that drn needs."""
    _refuse_own(frame.table.columns, frame.name)
    indexed = frame.table.lazy().with_row_index(ROW)
    return Table(frame.name, tuple(frame.table.columns), indexed, frame.table.height)


def identified(table: Table, identities: Collection[str], numbers: Collection[str | None] = ()) -> Table:
    """Return a table whose columns that identify something are text, whatever type they were.

    Columns in ``numbers`` that are of whole numbers are Int64. Whole doubles are their whole numbers, NaN is absent;
    rows with a double that identifies nothing are malformed.

    Raises
    ------
    DataError
        A column is of lists or other nested values.
    """
    schema = table.frame.collect_schema()
    texts, reasons = [], []
    for name in identities:
        kind, column = schema[name], pl.col(name)
        if kind.is_nested():
            raise DataError(f"{table.name}: column {name} is of type {kind}, but an id is text or a whole number")
        if kind.is_float():
            there, beyond, broken = column.is_not_nan(), column.abs() > EXACT, column != column.floor()
            reasons += [
                pl.when(there & beyond).then(pl.lit(f"a double beyond 2^53 in {name}")),
                pl.when(there & broken).then(pl.lit(f"a fraction in {name}")),
            ]
            whole = column.cast(pl.Int64, strict=False).cast(pl.String)
            text = pl.when(beyond | broken).then(column.cast(pl.String)).otherwise(whole)
            texts.append(pl.when(there).then(text).alias(name))
        elif name in numbers and kind in WHOLE:
            texts.append(column.cast(pl.Int64))
        elif kind != pl.String:
            texts.append(column.cast(pl.String))
    if reasons:
        texts.append(pl.coalesce(reasons).alias(MALFORMED))
    return replace(table, frame=table.frame.with_columns(texts)) if texts else table


def collect(frame: pl.LazyFrame, name: str, engine: Literal["streaming", "in-memory"] = "streaming") -> pl.DataFrame:
    """Run a query over the table ``name``; DataError where a file does not hold."""
    try:
        return frame.collect(engine=engine)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{name}: cannot be read: {_first(error)}") from error


def pieces(frame: pl.LazyFrame, table: Table) -> Iterator[pl.DataFrame]:
    """Run a query that makes a row of each row of ``table``, and yield its rows in order.

    They come in pieces, at least one: strings then take little memory, however large the table is.
    """
    if table.rows:
        parts = (frame.slice(begin, PIECE) for begin in range(0, table.rows, PIECE))
        yield from (piece for _, piece in ahead(lambda part: collect(part, table.name, "in-memory"), parts, AHEAD))
    elif hasattr(frame, "collect_batches"):
        yield from _batches(frame, table.name)
    else:  # polars before 1.34
        yield collect(frame, table.name)


def _batches(frame: pl.LazyFrame, name: str) -> Iterator[pl.DataFrame]:
    try:
        batches = frame.collect_batches(chunk_size=PIECE, maintain_order=True, engine="streaming")
        yield next(iter(batches), pl.DataFrame(schema=frame.collect_schema()))
        yield from batches
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{name}: cannot be read: {_first(error)}") from error


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
