"""Records, JSON lines or the rows of a Parquet file with nested columns, made flat by way of Parquet files."""

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from generator.data.log.tables import EXACT, LINE, MALFORMED, ROW, Table, collect, parquet, refuse_patterns
from generator.errors import DataError

__all__ = ["flat_record", "flat_records", "json_lines", "nested"]

RECORDS = 100_000  # turned into a table at a time

Record = Mapping[str, Any]
Flat = Callable[[Record], Iterable[Record]]  # the rows of a record, of plain values; Malformed if it does not hold
Row = dict[str, str | None]


class Malformed(Exception):  # noqa: N818 - it never leaves this module, which counts the row
    """A record that does not hold; says why."""


def json_lines(plain: Path, path: Path, folder: Path, flat: Flat, columns: Iterable[str] = ()) -> Table:
    """Return a JSON-lines file as a table of strings, by way of Parquet files in ``folder``.

    A line that is no JSON object, or whose record does not hold, has its reason in the column ``_malformed``; a record
    of several rows has as many. The table has the ``columns`` whether a record has them or not.
    """

    def chunks() -> Iterator[list[tuple[int, Row]]]:
        with plain.open("rb") as stream:
            start = 1
            while lines := list(islice(stream, RECORDS)):
                if start == 1 and lines[0].lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
                    raise DataError(
                        f"{path}: is a JSON array, but a log is JSON lines, an object a line: jq -c '.[]' FILE"
                    )
                there = ((number, line) for number, line in enumerate(lines, start) if line.strip())
                yield [(number, row) for number, line in there for row in _of_line(line, flat)]
                start += len(lines)

    return _table(path, folder, chunks(), columns)


def nested(plain: Path, path: Path, folder: Path, flat: Flat, columns: Iterable[str] = ()) -> Table:
    """Return a Parquet file with nested columns as a table of strings: as `json_lines` returns the same records."""
    table = parquet(plain, path)

    def chunks() -> Iterator[list[tuple[int, Row]]]:
        for start in range(0, table.rows or 0, RECORDS):
            records = collect(table.frame.slice(start, RECORDS), table.name, "in-memory").iter_rows(named=True)
            yield [
                (record[ROW], row) for record in records for row in _rows(_unlisted(record), flat, partial(str, record))
            ]

    return _table(path, folder, chunks(), columns)


def _table(path: Path, folder: Path, chunks: Iterator[list[tuple[int, Row]]], columns: Iterable[str]) -> Table:
    """Return the table of numbered rows that come in chunks."""
    frames: list[pl.LazyFrame] = []
    names: dict[str, None] = dict.fromkeys(columns)
    for rows in chunks:
        for _, row in rows:
            names.update(dict.fromkeys(row))
        values = {name: [row.get(name) for _, row in rows] for name in names}
        schema = {ROW: pl.UInt32, **dict.fromkeys(names, pl.String)}
        file = folder / f"{len(frames)}.parquet"
        pl.DataFrame({ROW: [number for number, _ in rows], **values}, schema=schema).write_parquet(file)
        frames.append(pl.scan_parquet(file))
    if not frames:
        raise DataError(f"{path}: has no rows")
    own = tuple(name for name in names if name not in (MALFORMED, LINE))
    refuse_patterns(own, path)
    return Table(str(path), own, pl.concat(frames, how="diagonal"))


def _of_line(line: bytes, flat: Flat) -> list[Row]:
    quote = partial(line.decode, "utf-8", "replace")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return [_malformed("not a JSON object", quote)]
    return _rows(value, flat, quote, escaped=b"\\u" in line or b"\xed" in line)


def _rows(record: Record, flat: Flat, quote: Callable[[], str], *, escaped: bool = False) -> list[Row]:
    """Return the rows of a record, which ``quote`` quotes; ``escaped``: it may hold what no text of UTF-8 does."""
    try:
        rows = [{name: _plain(field) for name, field in row.items()} for row in flat(record)]
        if taken := next((name for row in rows for name in row if name in (ROW, MALFORMED, LINE)), None):
            return [_malformed(f"a field {taken}, a name that drn needs", quote)]
        if escaped:
            "".join(text for row in rows for pair in row.items() for text in pair if text).encode()
        return rows
    except UnicodeEncodeError:
        return [_malformed("half of a character, a lone surrogate", quote)]
    except Malformed as error:
        return [_malformed(str(error), quote)]
    except (ValueError, RecursionError):
        return [_malformed("not a JSON object", quote)]


def _malformed(reason: str, quote: Callable[[], str]) -> Row:
    return {MALFORMED: reason, LINE: quote()[:200].rstrip()}


def _unlisted(value: Any) -> Any:
    """Return a value with lists as lists: some writers, BigQuery's among them, leave {"list": [{"element": ...}]}."""
    if isinstance(value, dict):
        if value.keys() == {"list"}:
            return [_unlisted(each["element"]) for each in value["list"] or ()]
        return {name: _unlisted(each) for name, each in value.items()}
    return [_unlisted(each) for each in value] if isinstance(value, list) else value


def flat_record(identities: Collection[str]) -> Flat:
    """Return the function to a record itself, where its ``identities`` are text or whole numbers."""

    def flat(record: Record) -> Iterator[Record]:
        yield {name: _identity(name, value) if name in identities else value for name, value in record.items()}

    return flat


def flat_records(rows: Callable[[Record], Iterator[Record]]) -> Flat:
    """Return the function to the rows of a nested record, roles as columns; Malformed if it lacks a part."""

    def flat(record: Record) -> Iterator[Record]:
        try:
            for row in rows(record):
                yield {name: value if name == "time" else _identity(name, value) for name, value in row.items()}
        except KeyError as error:
            raise Malformed(f"no {error.args[0]}") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise Malformed("not a record of the format") from error

    return flat


def _identity(name: str, value: Any) -> Any:
    """Return a value as what it identifies: text or a whole number; Malformed if it is neither."""
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
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, date) else json.dumps(value)
