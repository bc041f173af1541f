"""Text files of separated fields, line by line: which lines cannot be taken as they are.

A reader of CSV that meets one odd quote takes the rows after it for a field, and one that meets a field too many drops
it. So every line is looked at first, at the speed of memory where there is nothing to see.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = ["BadLine", "Survey", "survey"]

CHUNK = 1 << 23  # bytes looked at a time
LOOKAHEAD = 100  # lines that a quoted field may go on over
LONGEST = 1 << 16  # bytes of a line that such a field may begin in
SHOWN = 100  # bad lines whose text is kept


@dataclass(frozen=True)
class BadLine:
    """A line, by its number from 1, that is no row, and why."""

    number: int
    reason: str
    text: str


@dataclass(frozen=True)
class Survey:
    """What a text file holds: lines that are no rows, lines to be written otherwise, and whether fields are quoted.

    ``rewritten`` has the lines by number, each with the bytes that stand for it; of bad ones none.
    """

    bad: tuple[BadLine, ...]
    rewritten: dict[int, bytes]
    quoted: bool

    def copy(self, source: Path, target: Path) -> None:
        """Write ``source`` with its lines rewritten to ``target``."""
        with source.open("rb") as lines, target.open("wb") as stream:
            for number, line in enumerate(lines, 1):
                stream.write(self.rewritten.get(number, line.rstrip(b"\r\n")) + b"\n")


def survey(path: Path, separator: str, fields: int, quote: str | None) -> Survey:
    """Look at all lines of a file, each of at most ``fields`` fields."""
    grammar = _Grammar(separator.encode(), fields, quote.encode() if quote else None)
    bad: list[BadLine] = []
    rewritten: dict[int, bytes] = {}
    quoted, first = False, 1
    with path.open("rb") as stream:
        for chunk in _chunks(stream, grammar.quote):
            holds_quotes = grammar.quote is not None and grammar.quote in chunk
            quoted |= holds_quotes
            decodes = _decodes(chunk)
            if holds_quotes or not decodes or not _regular(chunk, grammar.separator, fields):
                for number, reason, line in grammar.irregular(chunk.split(b"\n"), first, decodes=decodes):
                    rewritten[number] = b"" if reason else line
                    if reason:
                        text = line[:200].decode("utf-8", "replace").rstrip() if len(bad) < SHOWN else ""
                        bad.append(BadLine(number, reason, text))
            first += chunk.count(b"\n")
    return Survey(tuple(bad), rewritten, quoted)


def _chunks(stream: BinaryIO, quote: bytes | None) -> Iterator[bytes]:
    """Yield the file in pieces of whole lines, and of whole quoted fields where they are not too long."""
    while block := stream.read(CHUNK):
        block += stream.readline()
        within, more = quote is not None and block.count(quote) % 2, [block]
        while quote and within and len(more) <= LOOKAHEAD:
            more.append(stream.readline())
            within ^= more[-1].count(quote) % 2
        yield b"".join(more)


def _decodes(chunk: bytes) -> bool:
    try:
        chunk.decode()
    except UnicodeDecodeError:
        return False
    return True


def _regular(chunk: bytes, separator: bytes, fields: int) -> bool:
    """Return whether every line has just ``fields`` fields."""
    values = np.frombuffer(chunk, np.uint8)
    ends = np.flatnonzero(values == ord("\n"))
    if not chunk.endswith(b"\n"):
        ends = np.append(ends, len(values))
    places = np.flatnonzero(values == ord(separator))
    if len(places) != len(ends) * (fields - 1):
        return False
    if fields == 1:
        return True
    rows = places.reshape(len(ends), fields - 1)
    return bool((rows[:, -1] < ends).all() and (rows[1:, 0] > ends[:-1]).all())


class _Grammar:
    """What a line may be: fields with separators between; a field is quoted, or does not begin with a quote."""

    def __init__(self, separator: bytes, fields: int, quote: bytes | None) -> None:
        self.separator, self.quote, self._fields = separator, quote, fields
        if quote is None:
            return
        mark, gap = re.escape(quote), re.escape(separator)
        enclosed = b"%b(?:[^%b]|%b%b)*%b" % ((mark,) * 5)
        strict, bare = b"[^%b%b\n]*" % (mark, gap), b"(?:[^%b%b\n][^%b\n]*)?" % (mark, gap, gap)
        line = b"(?:%b|%b)(?:%b(?:%b|%b)){0,%d}\r?"
        self._strict = re.compile(line % (enclosed, strict, gap, enclosed, strict, fields - 1))
        self._lenient = re.compile(line % (enclosed, bare, gap, enclosed, bare, fields - 1))
        self._field = re.compile(b"(%b|%b)(?:%b|\r?$)" % (enclosed, bare, gap))
        whole = b"(?:%b|%b)%b" % (enclosed, strict, gap)
        self._open = re.compile(b"(?:%b){0,%d}%b(?:[^%b]|%b%b)*" % (whole, fields - 1, mark, mark, mark, mark))

    def irregular(self, lines: list[bytes], first: int, *, decodes: bool) -> Iterator[tuple[int, str, bytes]]:
        """Yield the number, what is wrong or nothing, and the bytes to write, of lines that cannot stay as they are.

        ``decodes``: all of them are UTF-8.
        """
        place = 0
        while place < len(lines):
            line, number = lines[place], first + place
            place += 1
            if not decodes and not _decodes(line):
                yield number, "not UTF-8", line
            elif self.quote is None or self.quote not in line:
                if line.count(self.separator) >= self._fields:
                    yield number, "more fields than columns", line
            elif not self._strict.fullmatch(line):
                if self._lenient.fullmatch(line):
                    yield number, "", self._rewritten(line)
                elif more := self._continued(lines, place - 1):
                    place += more
                else:
                    yield number, self._wrong(line), line

    def _rewritten(self, line: bytes) -> bytes:
        """Quote the fields in which there is a quote that encloses nothing."""
        assert self.quote is not None  # noqa: S101 - lines without quotes are never rewritten
        found = [match.group(1) for match in self._field.finditer(line)][: line.count(self.separator) + 1]
        return self.separator.join(
            self.quote + field.replace(self.quote, self.quote * 2) + self.quote
            if self.quote in field and not field.startswith(self.quote)
            else field
            for field in found
        )

    def _continued(self, lines: list[bytes], place: int) -> int:
        """Return over how many lines more a quoted field that is open at the end of a line goes on; 0: it does not."""
        record = lines[place]
        for more, line in enumerate(lines[place + 1 : place + 1 + LOOKAHEAD], 1):
            if len(record) > LONGEST or not self._open.fullmatch(record):
                return 0
            record += b"\n" + line
            if self._strict.fullmatch(record):
                return more if _decodes(record) else 0
        return 0

    def _wrong(self, line: bytes) -> str:
        """Say why a line with quotes is no row."""
        several = [match.group(0) for match in self._field.finditer(line)]
        whole = sum(map(len, several)) >= len(line.rstrip(b"\r"))
        return "more fields than columns" if whole and len(several) > self._fields else "misplaced quote"
