"""Answers as a table in a file, Parquet, CSV or JSON lines, row after row, so that memory does not grow with it."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import polars as pl

from generator.errors import DataError
from generator.files import replacing
from generator.model.logs import LogSession
from generator.model.query import Answer

__all__ = ["SUFFIXES", "LogAnswers", "check_suffix", "write_answers"]

COLUMNS = ("session", "user", "start", "items", "probabilities")
SCHEMA = {
    "session": pl.String(),
    "user": pl.String(),
    "start": pl.Float64(),
    "items": pl.List(pl.String()),
    "probabilities": pl.List(pl.Float32()),
}
PIECE = 1 << 16  # rows of a Parquet file that are in memory


@dataclass(frozen=True)
class LogAnswers:
    """What was written for a log.

    Attributes
    ----------
    file
        A row a session: session, user, start (unix seconds), items, probabilities, best first.
    sessions
        Rows.
    pages, unknown_pages, bought, unknown_bought
        Views and earlier purchases of all sessions, and how many of them the model does not know.
    skipped, notes
        Rows of the log left out, by reason, and the first malformed ones in words.
    """

    file: Path
    sessions: int
    pages: int
    unknown_pages: int
    bought: int
    unknown_bought: int
    skipped: Mapping[str, int]
    notes: tuple[str, ...]

    def table(self) -> list[tuple[str, int]]:
        """Return the counts as `drn recommend --batch` prints them: what, and how many."""
        found = [(f"skipped, {reason}", count) for reason, count in self.skipped.items()]
        found += [
            ("sessions", self.sessions),
            ("views", self.pages),
            ("views the model does not know", self.unknown_pages),
        ]
        if self.bought:
            found += [("purchases", self.bought), ("purchases the model does not know", self.unknown_bought)]
        return found

    def as_json(self) -> dict[str, Any]:
        """Return all of it in plain values."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def check_suffix(path: Path) -> None:
    """Refuse a file whose name does not say one of the forms that `write_answers` knows; with DataError."""
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: the end of its name says its form: {', '.join(SUFFIXES)}")


def write_answers(path: Path, answers: Iterable[tuple[LogSession, Answer]], place: Path) -> dict[str, int]:
    """Write answers to ``path``, whole or not at all, in the form of its suffix; lists are JSON in CSV.

    Parameters
    ----------
    place
        A folder for what is not whole yet.

    Returns
    -------
    dict
        ``sessions``, ``pages``, ``unknown_pages``, ``bought`` and ``unknown_bought``, as in `LogAnswers`.
    """
    totals = dict.fromkeys(("sessions", "pages", "unknown_pages", "bought", "unknown_bought"), 0)
    with replacing(path, place) as beside, SUFFIXES[path.suffix](beside, place) as write:
        for asked, answer in answers:
            items, probabilities = zip(*answer.items, strict=True) if answer.items else ((), ())
            write((asked.session, asked.user, asked.start, items, probabilities))
            totals["sessions"] += 1
            totals["pages"] += len(asked.query.pages)
            totals["unknown_pages"] += answer.unknown_pages
            totals["bought"] += len(asked.query.bought)
            totals["unknown_bought"] += answer.unknown_bought
    return totals


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else dict(value) if isinstance(value, Mapping) else value


Write = Callable[[tuple[Any, ...]], None]


@contextmanager
def _csv(path: Path, _place: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)

        def write(row: tuple[Any, ...]) -> None:
            *plain, items, probabilities = row
            writer.writerow([*plain, json.dumps(items, ensure_ascii=False), json.dumps(probabilities)])

        yield write


@contextmanager
def _json_lines(path: Path, _place: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as stream:

        def write(row: tuple[Any, ...]) -> None:
            stream.write(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _parquet(path: Path, place: Path) -> Iterator[Write]:
    """Write pieces, of which polars then makes one file: it has no writer to be fed."""
    rows: list[tuple[Any, ...]] = []
    pieces: list[Path] = []

    def flush() -> None:
        pieces.append(place / f"{len(pieces)}.answers")
        pl.DataFrame(rows, SCHEMA, orient="row").write_parquet(pieces[-1])
        rows.clear()

    def write(row: tuple[Any, ...]) -> None:
        rows.append(row)
        if len(rows) == PIECE:
            flush()

    yield write
    if rows or not pieces:
        flush()
    pl.scan_parquet(pieces).sink_parquet(path)


# How a file is written, by the end of its name.
SUFFIXES = {".parquet": _parquet, ".pq": _parquet, ".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
