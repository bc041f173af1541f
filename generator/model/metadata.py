"""What a shop says of its items, beside their ids: title, category, price, image, and more."""

import sys
from pathlib import Path
from typing import Any

import polars as pl
from pydantic_core import from_json

from generator.data.log import tables
from generator.data.log.bounds import LONGEST_LABEL, PRINTABLE
from generator.data.log.formats import open_named
from generator.data.log.tables import MALFORMED, ROW, Table
from generator.errors import DataError

__all__ = ["ItemMetadata"]

ITEM, IMAGE, NUMBER = "item", "image", "price"
ROWS, COLUMNS, LONGEST = 10_000_000, 16, 2048  # items, columns beside the id, characters of a text
PART = 50_000  # rows turned into text at a time
FOREIGN = r"(?i)^[\x00-\x20]*[a-z][a-z0-9+.-]*:"  # a URL with a scheme
WEB = r"(?i)^https?://"


class ItemMetadata:
    """What is known of each item by its id, as it is in answers.

    Parameters
    ----------
    file
        CSV, TSV, JSON lines or Parquet, perhaps gzipped, with the column ``item``, an id each, and at most 16 others.
        ``title``, ``category``, ``price`` and ``image`` are shown on the page; others come back as they are: text,
        numbers and truth values. A CSV has text alone, but for its prices.

    Attributes
    ----------
    columns
        Names of the columns beside ``item``.
    images_refused
        Rows whose ``image`` is neither http(s) nor relative; it is left out of them.
    bytes
        Of memory, about: each id, and each row as JSON text.

    Raises
    ------
    DataError
        The file does not hold, an id is absent or given twice, or a value is of no use.

    Examples
    --------
    >>> ItemMetadata(Path("items.csv")).of("item-3")  # doctest: +SKIP
    {'title': 'Lamp', 'price': 12.5}
    """

    def __init__(self, file: Path) -> None:
        with open_named(file) as table:
            frame = _checked(table)
            self.columns = tuple(name for name in frame.columns if name not in (ITEM, ROW))
            self.images_refused = 0
            if IMAGE in self.columns:
                frame, self.images_refused = _with_web_images(frame)
            self._texts: dict[str, str] = {}
            for part in frame.iter_slices(PART):
                texts = part.select(pl.struct(self.columns).struct.json_encode()).to_series()
                self._texts |= zip(part[ITEM].to_list(), texts.to_list(), strict=True)
            if len(self._texts) < frame.height:
                row, label = frame.filter(~pl.col(ITEM).is_first_distinct()).select(ROW, ITEM).row(0)
                raise DataError(f"{file}: row {row}: the item {label!r} is given twice")
        held = sum(sys.getsizeof(label) + sys.getsizeof(text) for label, text in self._texts.items())
        self.bytes = held + sys.getsizeof(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def labels(self) -> list[str]:
        """The ids of the items."""
        return list(self._texts)

    def of(self, item: str) -> dict[str, Any] | None:
        """Return what is known of an item, by column, without what is not; None where it has no row."""
        text = self._texts.get(item)
        if text is None:
            return None
        return {name: value for name, value in from_json(text).items() if value is not None}


def _checked(table: Table) -> pl.DataFrame:
    """Return the rows of a table: ``_row``, ``item`` and the other columns, blank values null."""
    if table.bad:
        first = table.bad[0]
        raise DataError(f"{table.name}: row {first.number}: {first.reason}")
    if ITEM not in table.columns:
        raise DataError(f"{table.name}: has the columns {', '.join(table.columns)}, but needs item, the ids")
    if len(table.columns) == 1 or len(table.columns) > COLUMNS + 1:
        raise DataError(f"{table.name}: has {len(table.columns) - 1} columns beside item, but 1 to {COLUMNS} are taken")
    frame = tables.collect(tables.identified(table, [ITEM]).frame.head(ROWS + 1), table.name)
    if frame.height > ROWS:
        raise DataError(f"{table.name}: has more than {ROWS:,} rows")
    label = pl.col(ITEM)
    _refuse(frame, table, label.is_null() | (label == ""), "no item")
    _refuse(frame, table, ~label.str.contains(PRINTABLE), "a control character in item")
    _refuse(frame, table, label.str.len_chars() > LONGEST_LABEL, f"more than {LONGEST_LABEL:,} characters in item")
    if MALFORMED in frame.columns:
        bad = frame.filter(pl.col(MALFORMED).is_not_null())
        for row, reason in bad.select(ROW, MALFORMED).head(1).iter_rows():
            raise DataError(f"{table.name}: row {row}: {reason}")
    frame = frame.select(ROW, ITEM, *(_plain(frame[name], table) for name in table.columns if name != ITEM))
    for name, kind in frame.schema.items():
        if kind == pl.String and name != ITEM:
            _refuse(frame, table, pl.col(name).str.len_chars() > LONGEST, f"more than {LONGEST:,} characters in {name}")
    return frame


def _plain(column: pl.Series, table: Table) -> pl.Series:
    """Return a column of text, numbers or truth values; dates become text, blanks and numbers that are none null."""
    kind = column.dtype
    if kind.is_nested() or kind == pl.Binary:
        raise DataError(
            f"{table.name}: column {column.name} is of type {kind}: text, numbers and truth values are taken"
        )
    if kind.is_float():
        return column.set(~column.is_finite(), None)
    if kind.is_integer() or kind in (pl.Boolean, pl.Null):
        return column
    text = column.cast(pl.Float64 if kind.is_decimal() else pl.String)
    if kind.is_decimal():
        return text
    text = text.str.strip_chars()
    text = text.set(text == "", None)
    number = text.cast(pl.Float64, strict=False) if column.name == NUMBER else None
    whole = number is not None and number.is_finite().sum() == len(text) - text.null_count()
    return number if number is not None and whole else text


def _with_web_images(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the rows without the images that are neither http(s) nor relative, and how many there were."""
    url = pl.col(IMAGE).cast(pl.String)
    foreign = url.str.contains(FOREIGN) & ~url.str.contains(WEB)
    count = int(frame.select(foreign.sum()).item() or 0)
    return frame.with_columns(pl.when(foreign).then(None).otherwise(url).alias(IMAGE)), count


def _refuse(frame: pl.DataFrame, table: Table, wrong: pl.Expr, reason: str) -> None:
    """Raise DataError naming the first row that is wrong."""
    for (row,) in frame.filter(wrong).select(ROW).head(1).iter_rows():
        raise DataError(f"{table.name}: row {row}: {reason}")
