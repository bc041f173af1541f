"""Which layout a source of a log has, by its format and its first line."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl

from generator.data.log import records, sequences, tables
from generator.data.log.layouts import NUMBERS, ROLES, Format, Layout, generic, normal, with_words
from generator.data.log.public.table import FORMATS
from generator.data.log.sources import Frame, Source
from generator.data.log.tables import LINE, MALFORMED, ROW, Table
from generator.errors import DataError

__all__ = ["FORMAT_NAMES", "PARQUET", "files_of", "open_log", "open_named", "published", "rows_of"]

FORMAT_NAMES = (*FORMATS, "events")
PARQUET = (".parquet", ".pq")
JSON = (".jsonl", ".ndjson", ".json")
TEXT = (".csv", ".tsv", ".txt", ".dat", ".inter", *JSON)
BYTES, UNPACKED = 32, 4  # of a line of text, about; how many times as large it is unpacked


@contextmanager
def open_log(
    source: Source, form: str, columns: Mapping[str, str], words: Mapping[str, str], *, lean: bool = False
) -> Iterator[tuple[Table, Layout | None]]:
    """Yield a source as a table and its layout, None where it holds sequences.

    Parameters
    ----------
    source
        A file in the format as published, perhaps gzipped, or a DataFrame of the format `events`.
    form
        One of FORMAT_NAMES.
    columns
        `events` only: role to column.
    words
        What words of the column of events mean, beside those that the format knows.
    lean
        As in ``generic``; and session ids that are whole numbers stay so.

    Raises
    ------
    DataError
        The file is absent, empty, cut short, not text, or not in the format.
    """
    _check(source, form, columns)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drn-")))
        layout: Layout | None
        if isinstance(source, Frame):
            table, layout = _generic(tables.in_memory(source), columns, words, lean=lean, kind="frame")
        else:
            plain = stack.enter_context(tables.unpacked(source))
            if form == "events":
                table, layout = _generic(_named(plain, source, folder, columns), columns, words, lean=lean, kind="file")
            else:
                table, layout = published(plain, source, folder, form)
        if layout is None:
            yield table, None
            return
        numbers = {layout.session_column} if lean else ()
        yield tables.identified(table, layout.identities, numbers), with_words(layout, words, f"the format {form}")


@contextmanager
def open_named(source: Source) -> Iterator[Table]:
    """Yield a source of named columns as a table, whatever they are called; DataError as in ``open_log``."""
    with ExitStack() as stack:
        if isinstance(source, Frame):
            yield tables.in_memory(source)
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drn-")))
        yield _named(stack.enter_context(tables.unpacked(source)), source, folder, {})


def _check(source: Source, form: str, columns: Mapping[str, str]) -> None:
    if form not in FORMAT_NAMES:
        raise DataError(f"unknown format {form!r}: the formats are {', '.join(FORMAT_NAMES)}")
    if columns and form != "events":
        raise DataError(f"--columns is for the format events, but the format is {form}, whose columns are known")
    if isinstance(source, Frame) and form != "events":
        raise DataError(f"{source.name}: a DataFrame is of the format events, whose columns are named, not {form}")


def _generic(
    table: Table, columns: Mapping[str, str], words: Mapping[str, str], *, lean: bool, kind: str
) -> tuple[Table, Layout]:
    schema = table.frame.select(table.columns).collect_schema()
    return table, generic(table.name, schema, columns, words, lean=lean, kind=kind)


def _named(plain: Path, path: Path, folder: Path, columns: Mapping[str, str]) -> Table:
    """Open a log of named columns by the suffix of its name: Parquet, JSON lines, or separated text with a header."""
    if plain.suffix in PARQUET:
        return tables.parquet(plain, path)
    first = tables.first_line(plain, path)
    if plain.suffix in JSON:
        identities = {columns.get(role, role) for role in ROLES if role not in NUMBERS}
        return records.json_lines(plain, path, folder, records.flat_record(identities))
    separator = max("\t;,", key=first.count)
    names = first.replace('"', "").split(separator)
    return tables.separated(plain, path, folder, separator, names, header=True, quote='"')


def published(plain: Path, path: Path, folder: Path, form: str) -> tuple[Table, Layout | None]:
    """Open a file of a public format, unpacked in ``plain``, its columns under their normal names."""
    if FORMATS[form].records or plain.suffix in PARQUET:
        return _typed(plain, path, folder, FORMATS[form])
    first = tables.first_line(plain, path)
    if form == "recbole" and sequences.holds({normal(name) for name in first.split("\t")}):
        table = tables.separated(plain, path, folder, "\t", first.split("\t"), header=True, quote=None)
        return _renamed(table), None
    layout, header = _layout(first, form, path)
    names = first.split(layout.separator) if header else list(layout.columns)
    table = tables.separated(plain, path, folder, layout.separator, names, header=header, quote=layout.quote)
    return _unfolded(_renamed(table), layout), layout


def _typed(plain: Path, path: Path, folder: Path, form: Format) -> tuple[Table, Layout]:
    """Open a file of nested records, or a Parquet file of the columns of a format."""
    layout = form.layouts[0]
    if form.records:
        read = records.nested if plain.suffix in PARQUET else records.json_lines
        return read(plain, path, folder, records.flat_records(form.records), layout.columns), layout
    table = _renamed(tables.parquet(plain, path))
    fitting = (each for each in form.layouts if each.needed <= set(table.columns) and each.name in path.name)
    layout = next(fitting, layout)
    if absent := layout.needed - set(table.columns):
        raise DataError(f"{path}: is no file of {form.title}: it has no column {', '.join(sorted(absent))}")
    return _unfolded(table, layout), layout


def _unfolded(table: Table, layout: Layout) -> Table:
    """Return the table that a layout makes of one; how many rows that has is not known."""
    return table if layout.unfold is None else replace(table, frame=layout.unfold(table.frame), rows=None)


def _layout(first: str, form: str, path: Path) -> tuple[Layout, bool]:
    """Return the layout of a file by its first line, and whether that line is a header."""
    layouts = FORMATS[form].layouts
    for layout in layouts:
        if layout.name not in path.name:
            continue
        fields = first.split(layout.separator)
        if layout.header is not False and layout.needed <= {normal(name) for name in fields}:
            return layout, True
        if not layout.header and len(fields) == len(layout.columns) and not _is_header(fields, layout):
            return layout, False
    raise DataError(
        f"{path}: is not in the format {form}: the first line is {first[:200]!r}, but its files have "
        + " or ".join(f"{layout.separator.join(layout.columns)!r}" for layout in layouts)
    )


def _is_header(fields: Sequence[str], layout: Layout) -> bool:
    return any(normal(field) in layout.needed for field in fields)


def _renamed(table: Table) -> Table:
    """Return the table with its columns under their normal names."""
    names: dict[str, str] = {}
    for name in table.columns:
        names.setdefault(normal(name), name)
    own = [name for name in (ROW, MALFORMED, LINE) if name in table.frame.collect_schema()]
    frame = table.frame.select(*own, *(pl.col(old).alias(new) for new, old in names.items()))
    return replace(table, columns=tuple(names), frame=frame)


def files_of(folder: Path) -> list[Path]:
    """Return the files of a log in a folder and below, by name: Parquet files, or if there is none, those of text."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    text = [path for path in files if path.name.removesuffix(".gz").endswith(TEXT)]
    return [path for path in files if path.suffix in PARQUET] or text


def rows_of(source: Source) -> int:
    """Return about how many rows a source has: a DataFrame or Parquet file says it; of text, by its size."""
    if isinstance(source, Frame):
        return source.table.height
    if not source.is_file():
        return 0
    if source.suffix not in PARQUET:
        return source.stat().st_size * (UNPACKED if source.suffix == ".gz" else 1) // BYTES
    try:
        return tables.parquet(source, source).rows or 0
    except DataError:
        return 0
