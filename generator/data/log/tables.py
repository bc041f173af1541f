"""Log files opened as tables: CSV, TSV, JSON lines and Parquet, each also gzipped; and DataFrames."""

import gzip
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import polars as pl

from generator.data.log.sources import Frame
from generator.errors import DataError

__all__ = [
    "MALFORMED",
    "ROW",
    "Table",
    "collect",
    "first_line",
    "in_memory",
    "json_lines",
    "parquet",
    "pieces",
    "separated",
    "unpacked",
]

LINES = 100_000  # JSON lines turned into a table at a time
PIECE = 1 << 19  # rows read at a time
ROW, MALFORMED = "_row", "_malformed"


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
        DataFrame from 0, as it counts its rows itself.
    rows
        Their number where it is known without reading them.
    """

    name: str
    columns: tuple[str, ...]
    frame: pl.LazyFrame
    rows: int | None = None


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


def separated(plain: Path, path: Path, separator: str, names: list[str], *, header: bool, quote: str | None) -> Table:
    """Return a CSV file as a table of strings; short lines are filled with nulls, blank lines are left out."""
    if len(set(names)) < len(names):
        raise DataError(f"{path}: the header names a column twice: {', '.join(names)}")
    frame = pl.scan_csv(
        plain,
        has_header=header,
        separator=separator,
        quote_char=quote,
        schema=dict.fromkeys(names, pl.String()),
        truncate_ragged_lines=True,
        row_index_name=ROW,
        row_index_offset=2 if header else 1,
    )
    blank = pl.all_horizontal(pl.col(name).is_null() for name in names)
    return Table(str(path), tuple(names), frame.filter(~blank))


def json_lines(plain: Path, path: Path, folder: Path) -> Table:
    """Return a JSON-lines file as a table of strings, by way of Parquet files in ``folder``.

    A line that is no JSON object has a value in the column ``_malformed`` and null elsewhere.
    """
    chunks: list[pl.LazyFrame] = []
    names: dict[str, None] = {}
    with plain.open("rb") as stream:
        start = 1
        while lines := list(islice(stream, LINES)):
            found = {number: _record(line) for number, line in enumerate(lines, start) if line.strip()}
            for record in found.values():
                names.update(dict.fromkeys(record))
            columns = {name: [record.get(name) for record in found.values()] for name in names}
            chunk = pl.DataFrame(
                {ROW: list(found), **columns}, schema={ROW: pl.UInt32, **dict.fromkeys(names, pl.String)}
            )
            file = folder / f"{start}.parquet"
            chunk.write_parquet(file)
            chunks.append(pl.scan_parquet(file))
            start += len(lines)
    return Table(str(path), tuple(name for name in names if name != MALFORMED), pl.concat(chunks, how="diagonal"))


def _record(line: bytes) -> dict[str, str | None]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        return {MALFORMED: line[:80].decode("utf-8", "replace").rstrip()}
    return {name: _plain(field) for name, field in value.items()}


def _plain(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def parquet(plain: Path, path: Path) -> Table:
    """Return a Parquet file as a table of its own types."""
    try:
        frame = pl.scan_parquet(plain, row_index_name=ROW, row_index_offset=1)
        columns = tuple(name for name in frame.collect_schema().names() if name != ROW)
        rows = frame.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {_first(error)}") from error
    return Table(str(path), columns, frame, rows)


def in_memory(frame: Frame) -> Table:
    """Return a DataFrame as a table of its own types; DataError where a column has a name that drn needs."""
    for name in (ROW, MALFORMED):
        if name in frame.table.columns:
            raise DataError(f"{frame.name}: has a column {name}, a name that drn needs: rename it")
    indexed = frame.table.lazy().with_row_index(ROW)
    return Table(frame.name, tuple(frame.table.columns), indexed, frame.table.height)


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
