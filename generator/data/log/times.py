"""Times of a log as unix seconds: numbers in a unit that their dates tell, dates and times as text, typed columns."""

import polars as pl

from generator.data.log.bounds import LATEST

__all__ = ["LIKELY", "UNITS", "Clock"]

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # of a second
LIKELY = 788_918_400.0  # 1995: logs that are older are few

# The whole of a text, tried on all of a column at once where its first text is so.
WHOLE = ("%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")
# What is before the zone, with a space for the T.
BODY = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
HOUR = r"^(\d{4}-\d\d-\d\d \d\d)$"
ZONE = r"\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)$"
OFFSET = r"\d\d:\d\d.*([+-]\d\d:?\d\d)$"  # a zone, no day of a date


class Clock:
    """Turns the pieces of one column of times into unix seconds, float64; null where there is no telling.

    Attributes
    ----------
    unit
        Of the numbers, one of UNITS, the same for the whole column: that in which most of those that come first are
        dates from 1995 to 2100; seconds if none is. None: there were no numbers yet.
    """

    def __init__(self) -> None:
        self.unit: str | None = None
        self._whole: str | None = None

    def __call__(self, column: pl.Series) -> pl.Series:
        """Return the times of a piece."""
        if column.dtype.is_temporal():
            return column.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
        number = column.cast(pl.Float64, strict=False)
        finite = number.is_finite()
        if not finite.all():
            number = number.zip_with(finite.fill_null(value=False), pl.Series([None], dtype=pl.Float64))
        if number.null_count() < len(number):
            if self.unit is None:
                self.unit = _unit(number)
            number = number / UNITS[self.unit]
        if column.dtype != pl.String or number.null_count() == column.null_count():
            return number
        text = column.filter(number.is_null())
        if len(text) == len(column):
            return self._read(text)
        place = number.is_null().arg_true()
        return number.scatter(place, self._read(text))

    def _read(self, text: pl.Series) -> pl.Series:
        """Return the times that texts say."""
        if self._whole is None:
            first = text.drop_nulls().head(1)
            self._whole = next((form for form in WHOLE if _parsed(first, form).null_count() == 0), WHOLE[0])
        found = _parsed(text, self._whole)
        left = (found.is_null() & text.is_not_null()).arg_true()
        return found.scatter(left, _zoned(text.gather(left))) if len(left) else found


def _unit(number: pl.Series) -> str:
    dated = {unit: (number / each).is_between(LIKELY, LATEST).sum() for unit, each in UNITS.items()}
    return max(dated, key=lambda unit: dated[unit])  # of equals the first


def _parsed(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, strict=False, time_unit="us").dt.epoch("us") / 1e6


def _zoned(text: pl.Series) -> pl.Series:
    """Read dates and times of any of the forms and zones; without a zone they are in UTC."""
    table = pl.DataFrame({"text": text.str.strip_chars()}).select(
        body=pl.col("text").str.replace(ZONE, "").str.replace("T", " ", literal=True).str.replace(HOUR, "$1:00"),
        offset=pl.col("text").str.extract(OFFSET).str.replace(":", "", literal=True),
    )
    parsed = (pl.col("body").str.to_datetime(form, strict=False, time_unit="us").dt.epoch("us") / 1e6 for form in BODY)
    hours, minutes = (pl.col("offset").str.slice(*part).cast(pl.Float64) for part in ((1, 2), (3, 2)))
    east = hours * 3600 + minutes * 60
    shift = pl.when(pl.col("offset").str.starts_with("-")).then(-east).otherwise(east).fill_null(0.0)
    return table.select(pl.coalesce(parsed) - shift).to_series()
