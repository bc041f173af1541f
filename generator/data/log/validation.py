"""Rows of a log that cannot be taken: left out, counted by reason, the first ones quoted."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl

from generator.data.log import tables
from generator.data.log.distinct import Distinct
from generator.data.log.layouts import Layout
from generator.data.log.tables import MALFORMED, ROW, Table
from generator.errors import DataError

__all__ = ["CODED", "LABELS", "Checks", "EventChecks", "ValidRows"]

LABELS = ("page", "item", "category")
CODED = {"user": "user"} | dict.fromkeys(LABELS, "label")  # by role, the categories it shares
SHOWN = 5  # malformed rows quoted of a file

Checks = Mapping[str, pl.Expr]  # why a row cannot be taken, and where that is so


class ValidRows:
    """The rows of a table that pass, piece by piece; once iterated to the end, what was left out.

    Parameters
    ----------
    table, values
        A table, and a query that makes a row of each of its rows.
    check
        Returns a piece, tidied, and its checks.
    max_bad
        Share of the rows that may be malformed.

    Attributes
    ----------
    rows, skipped, notes
        As in ``Events``.
    """

    def __init__(
        self,
        table: Table,
        values: pl.LazyFrame,
        check: Callable[[pl.DataFrame], tuple[pl.DataFrame, Checks]],
        max_bad: float,
    ) -> None:
        self._table, self._values, self._check, self._max_bad = table, values, check, max_bad
        self.rows = 0
        self.skipped: dict[str, int] = {}
        self.notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        found: list[pl.DataFrame] = []
        for raw in tables.pieces(self._values, self._table):
            self.rows += raw.height
            piece, checks = self._check(raw)
            bad = piece.select(pl.any_horizontal(check.fill_null(value=False) for check in checks.values())).to_series()
            if bad.any():
                reason = pl.coalesce(pl.when(check).then(pl.lit(reason)) for reason, check in checks.items())
                found.append(piece.filter(bad).select(ROW, reason=reason))
            yield (piece.filter(~bad) if bad.any() else piece).drop(ROW, MALFORMED, strict=False)
        if not self.rows:
            raise DataError(f"{self._table.name}: has no rows")
        if found:
            self._count(pl.concat(found))

    def _count(self, bad: pl.DataFrame) -> None:
        """Count the rows left out; DataError if they are too many."""
        self.notes = tuple(_quoted(self._table, bad.sort(ROW).head(SHOWN)))
        if bad.height > self._max_bad * self.rows:
            raise DataError(
                f"{self._table.name}: {bad.height:,} of {self.rows:,} rows are malformed, more than --max-bad "
                f"{self._max_bad:g} allows; the first:\n" + "\n".join(f"  {note}" for note in self.notes)
            )
        self.skipped = dict(bad.group_by("reason").len().sort("reason").iter_rows())


def _quoted(table: Table, bad: pl.DataFrame) -> list[str]:
    """Quote malformed rows as they stand in the table."""
    raw = tables.collect(table.frame.filter(pl.col(ROW).is_in(bad[ROW].to_list())), table.name)
    quoted = {row[ROW]: [value for name, value in row.items() if name != ROW] for row in raw.iter_rows(named=True)}
    name = Path(table.name).name
    return [
        f"{name}: row {row}: {reason}: {', '.join('' if value is None else str(value) for value in quoted[row])[:200]}"
        for row, reason in bad.iter_rows()
    ]


class EventChecks:
    """Tidies pieces of events, blank names to null, and says what is wrong with them.

    A name is looked at as text when it first comes; after that it is a code.

    Parameters
    ----------
    layout
        Of the table that the events are read from.
    malformed
        Whether the table has the column ``_malformed``.
    """

    def __init__(self, layout: Layout, *, malformed: bool) -> None:
        self._checks = _checks(layout, malformed=malformed)
        self._distinct = {kind: Distinct() for kind in CODED.values()}
        self._blank: set[str] = set()
        self._broken: list[pl.Series] = []

    def __call__(self, piece: pl.DataFrame) -> tuple[pl.DataFrame, Checks]:
        """Return the piece, tidied, and its checks."""
        for role, kind in CODED.items():
            new = self._distinct[kind].new(piece[role])
            names = new.cast(pl.String)
            if (names == "").any():
                self._blank.add(kind)
            if kind == "label":
                self._broken.append(new.filter(names.str.contains("[\r\n]")))
        broken = pl.concat(self._broken)
        self._broken = [broken]
        tidied = piece.with_columns(
            pl.when(pl.col(role) != "").then(pl.col(role)).alias(role)
            for role, kind in CODED.items()
            if kind in self._blank
        )
        breaks = {f"line break in {role}": pl.col(role).is_in(broken.implode()) for role in LABELS if len(broken)}
        return tidied, self._checks | breaks


def _checks(layout: Layout, *, malformed: bool) -> dict[str, pl.Expr]:
    event = pl.col("event")
    checks = {"not a JSON object": pl.col(MALFORMED).is_not_null()} if malformed else {}
    owner = "session" if "session" in layout.roles else "user"
    checks[f"no {owner}"] = pl.col(owner).is_null()
    if "time" in layout.roles:
        checks["no readable time"] = pl.col("time").is_null()
    checks["unknown event"] = event.is_null()
    checks["no page"] = (event == "view") & pl.col("page").is_null()
    checks["no item"] = (event == "buy") & pl.col("item").is_null()
    return checks
