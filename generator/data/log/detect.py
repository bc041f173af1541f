"""Which public format a log has, by its first lines."""

import gzip
import zlib
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import polars as pl

from generator.data.log import sequences
from generator.data.log.formats import PARQUET
from generator.data.log.layouts import FORMATS, Layout, normal
from generator.data.log.sources import Source

__all__ = ["FIRST_SECOND", "LAST_SECOND", "detect"]

LINES = 20  # that are looked at
LENGTH = 1 << 20  # bytes of them, at most
NAMED = (*PARQUET, ".jsonl", ".ndjson", ".json")  # files of named columns, whatever they hold
# Times that a log of a site can hold: 1995 to 2100.
FIRST_SECOND, LAST_SECOND = 788_918_400.0, 4_102_444_800.0


def detect(source: Source) -> str:
    """Return the public format that ``source`` is in: one of formats.FORMAT_NAMES, `events` if it is in no other.

    A format is taken only where every line looked at gives a page, a known event and a plausible time by it. A file
    that cannot be read is left to who reads it: it counts as `events`.
    """
    if not isinstance(source, Path) or source.with_suffix("" if source.suffix == ".gz" else source.suffix).suffix in NAMED:
        return "events"
    lines = _lines(source)
    if not lines:
        return "events"
    if sequences.holds({normal(name) for name in lines[0].split("\t")}):
        return "recbole"
    for form, layouts in FORMATS.items():
        if any(_fits(layout, lines) for layout in layouts):
            return form
    return "events"


def _lines(path: Path) -> list[str]:
    """Return the first lines of a text file; none where it is no text."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return [line.decode("utf-8-sig").rstrip("\r\n") for line in islice(stream, LINES) if len(line) < LENGTH]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return []


def _fits(layout: Layout, lines: Sequence[str]) -> bool:
    first = [field.strip(layout.quote or "") for field in lines[0].split(layout.separator)]
    names = [normal(name) for name in first]
    headed = set(map(normal, layout.columns)) & set(names)
    if headed:
        needed = {*layout.mark, *(name for role in layout.roles.values() for name in role.meta.root_names())}
        return layout.header is not False and needed <= set(names) and _reads(layout, names, lines[1:])
    return layout.header is not True and len(first) == len(layout.columns) and _reads(
        layout, [normal(name) for name in layout.columns], lines
    )


def _reads(layout: Layout, names: Sequence[str], lines: Sequence[str]) -> bool:
    """Return whether the layout makes an event of each of ``lines``, and there are any."""
    rows = [[field.strip(layout.quote or "") or None for field in line.split(layout.separator)] for line in lines if line]
    if not rows or any(len(row) != len(names) for row in rows):
        return False
    columns: Mapping[str, list[str | None]] = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    roles = {role: layout.roles[role] for role in ("page", "event", "time") if role in layout.roles}
    try:
        found = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).select(**roles)
    except pl.exceptions.PolarsError:
        return False
    plausible = found["time"].is_between(FIRST_SECOND, LAST_SECOND).all() if "time" in roles else True
    return bool(plausible) and not any(column.null_count() for column in found)
