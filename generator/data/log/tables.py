"""Log files opened as tables: CSV, TSV, JSON lines and Parquet, each also gzipped; and DataFrames."""

import gzip
import json
import math
import shutil
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import polars as pl

from generator.data.log.lines import BadLine, survey
from generator.data.log.sources import Frame
from generator.errors import DataError

__all__ = [
    "LINE",
    "MALFORMED",
    "ROW",
    "Malformed",
    "Table",
    "collect",
    "first_line",
    "flat_record",
    "flat_records",
    "identified",
    "identity",
    "in_memory",
    "json_lines",
    "parquet",
    "pieces",
    "separated",
    "unpacked",
]

LINES = 100_000  # JSON lines turned into a table at a time
PIECE = 1 << 19  # rows read at a time
ROW, MALFORMED, LINE = "_row", "_malformed", "_line"
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


def json_lines(
    plain: Path,
    path: Path,
    folder: Path,
    flat: Callable[[Any], Iterable[Mapping[str, Any]]],
    columns: Iterable[str] = (),
) -> Table:
    """Return a JSON-lines file as a table of strings, by way of Parquet files in ``folder``.

    ``flat`` returns the rows of a record, of plain values; a line of which there are several has as many rows. A line
    that is no JSON object, or whose record does not hold, has its reason in the column ``_malformed``. The table has
    the ``columns`` whether a record has them or not.
    """
    chunks: list[pl.LazyFrame] = []
    names: dict[str, None] = dict.fromkeys(columns)
    with plain.open("rb") as stream:
        start = 1
        while lines := list(islice(stream, LINES)):
            if start == 1 and lines[0].lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
                raise DataError(f"{path}: is a JSON array, but a log is JSON lines, an object a line: jq -c '.[]' FILE")
            rows = [
                (number, row) for number, line in enumerate(lines, start) if line.strip() for row in _rows(line, flat)
            ]
            for _, row in rows:
                names.update(dict.fromkeys(row))
            values = {name: [row.get(name) for _, row in rows] for name in names}
            schema = {ROW: pl.UInt32, **dict.fromkeys(names, pl.String)}
            file = folder / f"{start}.parquet"
            pl.DataFrame({ROW: [number for number, _ in rows], **values}, schema=schema).write_parquet(file)
            chunks.append(pl.scan_parquet(file))
            start += len(lines)
    own = tuple(name for name in names if name not in (MALFORMED, LINE))
    return Table(str(path), own, pl.concat(chunks, how="diagonal"))


def _rows(line: bytes, flat: Callable[[Any], Iterable[Mapping[str, Any]]]) -> list[dict[str, str | None]]:
    try:
        value = json.loads(line)
        if not isinstance(value, dict):
            return [_malformed("not a JSON object", line)]
        rows = [{name: _plain(field) for name, field in row.items()} for row in flat(value)]
        if taken := next((name for row in rows for name in row if name in (ROW, MALFORMED, LINE)), None):
            return [_malformed(f"a field {taken}, a name that drn needs", line)]
        if b"\\u" in line or b"\xed" in line:  # JSON may hold, or escape, what no text of UTF-8 does
            "".join(text for row in rows for pair in row.items() for text in pair if text).encode()
        return rows
    except UnicodeEncodeError:
        return [_malformed("half of a character, a lone surrogate", line)]
    except Malformed as error:
        return [_malformed(str(error), line)]
    except (ValueError, RecursionError):
        return [_malformed("not a JSON object", line)]


def _malformed(reason: str, line: bytes) -> dict[str, str | None]:
    return {MALFORMED: reason, LINE: line[:200].decode("utf-8", "replace").rstrip()}


class Malformed(Exception):  # noqa: N818 - it never leaves this module's callers, who count the row
    """A record that does not hold; says why."""


def flat_record(identities: Collection[str]) -> Callable[[Mapping[str, Any]], Iterator[Mapping[str, Any]]]:
    """Return the function to a record itself, where its ``identities`` are text or whole numbers."""

    def flat(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield {name: identity(name, value) if name in identities else value for name, value in record.items()}

    return flat


def flat_records(
    rows: Callable[[Mapping[str, Any]], Iterator[Mapping[str, Any]]],
) -> Callable[[Mapping[str, Any]], Iterator[Mapping[str, Any]]]:
    """Return the function to the rows of a nested record, roles as columns; Malformed if it lacks a part."""

    def flat(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        try:
            for row in rows(record):
                yield {name: value if name == "time" else identity(name, value) for name, value in row.items()}
        except KeyError as error:
            raise Malformed(f"no {error.args[0]}") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise Malformed("not a record of the format") from error

    return flat


def identity(name: str, value: Any) -> Any:
    """Return a JSON value as what it identifies: text or a whole number; Malformed if it is neither."""
    if isinstance(value, dict | list):
        raise Malformed(f"nested value in {name}")
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    if abs(value) > EXACT:
        raise Malformed(f"a double beyond 2^53 in {name}")
    if not value.is_integer():
        raise Malformed(f"a fraction in {name}")
    return int(value)


def _plain(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


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


def in_memory(frame: Frame) -> Table:
    """Return a DataFrame as a table of its own types; DataError where a column has a name that drn needs."""
    _refuse_own(frame.table.columns, frame.name)
    indexed = frame.table.lazy().with_row_index(ROW)
    return Table(frame.name, tuple(frame.table.columns), indexed, frame.table.height)


def identified(table: Table, identities: Collection[str]) -> Table:
    """Return a table whose columns that identify something are text, whatever type they were.

    Whole doubles are their whole numbers, NaN is absent; rows with a double that identifies nothing are malformed.

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
        for begin in range(0, table.rows, PIECE):
            yield collect(frame.slice(begin, PIECE), table.name, "in-memory")
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
