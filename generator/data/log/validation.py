"""Rows of a log that cannot be taken: left out, counted by reason, the first ones quoted."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from generator.data.log import tables
from generator.data.log.bounds import LATEST, LONGEST_DWELL, LONGEST_LABEL, PRINTABLE
from generator.data.log.distinct import Distinct
from generator.data.log.layouts import Layout
from generator.data.log.statistics import RowCounts
from generator.data.log.tables import LINE, MALFORMED, ROW, Table
from generator.data.log.times import Clock
from generator.data.log.words import kinds_of, meant
from generator.errors import DataError

__all__ = ["CODED", "LABELS", "WITHIN", "WORD", "Checker", "Checks", "EventChecks", "ValidRows"]

LABELS = ("page", "item", "category")
CODED = {"user": "user"} | dict.fromkeys(LABELS, "label")  # by role, the categories it shares
SHOWN = 5  # malformed rows quoted of a file
WORD, WITHIN = "_word", "_within"  # the word for the event; seconds to add to the time
OWN = (ROW, MALFORMED, LINE)
BROKEN: dict[str, Callable[[pl.Series], pl.Series]] = {  # what no label may be, by reason
    "line break in": lambda names: names.str.contains("[\r\n]"),
    "control character or broken text in": lambda names: ~names.str.contains(PRINTABLE),
    f"more than {LONGEST_LABEL:,} characters in": lambda names: names.str.len_chars() > LONGEST_LABEL,
}

Checks = Mapping[str, pl.Expr]  # why a row cannot be taken, and where that is so


class Checker(Protocol):
    """Tidies the pieces of a table and says what is wrong with them."""

    words: Counter[str]
    unknown: Counter[str]

    def __call__(self, piece: pl.DataFrame) -> tuple[pl.DataFrame, Checks]:
        """Return the piece, tidied, and its checks."""

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of the times that are numbers."""


class ValidRows:
    """The rows of a table that pass, piece by piece; once iterated to the end, what was left out.

    Parameters
    ----------
    table, values
        A table, and a query that makes a row of each of its rows.
    check
        Looks at each piece.
    max_bad
        Share of the rows that may be malformed.

    Attributes
    ----------
    counts
        What became of the rows.
    """

    def __init__(self, table: Table, values: pl.LazyFrame, check: Checker, max_bad: float) -> None:
        self._table, self._values, self._check, self._max_bad = table, values, check, max_bad
        self.counts = RowCounts()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        lines = {ROW: [bad.number for bad in self._table.bad], "reason": [bad.reason for bad in self._table.bad]}
        found = [pl.DataFrame(lines, {ROW: pl.UInt32, "reason": pl.String})]
        rows = len(self._table.bad)
        for raw in tables.pieces(self._values, self._table):
            rows += raw.height
            piece, checks = self._check(raw)
            bad = piece.select(pl.any_horizontal(check.fill_null(value=False) for check in checks.values())).to_series()
            if bad.any():
                reason = pl.coalesce(pl.when(check).then(pl.lit(reason)) for reason, check in checks.items())
                if MALFORMED in piece.columns:
                    reason = pl.coalesce(MALFORMED, reason)
                found.append(piece.filter(bad).select(ROW, reason=reason))
            yield (piece.filter(~bad) if bad.any() else piece).drop(ROW, MALFORMED, strict=False)
        if not rows:
            raise DataError(f"{self._table.name}: has no rows")
        self._count(rows, pl.concat(found))

    def _count(self, rows: int, bad: pl.DataFrame) -> None:
        """Count the rows left out; DataError if they are too many."""
        notes = tuple(_quoted(self._table, bad.sort(ROW).head(SHOWN))) if bad.height else ()
        check = self._check
        if bad.height > self._max_bad * rows:
            lines = [*notes, *(f"unknown event {line}" for line in meant(check.unknown)[:SHOWN])]
            raise DataError(
                f"{self._table.name}: {bad.height:,} of {rows:,} rows are malformed, more than --max-bad "
                f"{self._max_bad:g} allows; the first:\n" + "\n".join(f"  {line}" for line in lines)
            )
        skipped = dict(bad.group_by("reason").len().sort("reason").iter_rows())
        self.counts = RowCounts(rows, skipped, notes, check.words, check.unknown, check.units)


def _quoted(table: Table, bad: pl.DataFrame) -> list[str]:
    """Quote malformed rows as they stand in the table."""
    raw = tables.collect(table.frame.filter(pl.col(ROW).is_in(bad[ROW].to_list())), table.name)
    quoted = {
        row[ROW]: [row[LINE]] if row.get(LINE) else [value for name, value in row.items() if name not in OWN]
        for row in raw.iter_rows(named=True)
    }
    quoted |= {line.number: [line.text] for line in table.bad}
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

    Attributes
    ----------
    words, unknown
        See ``RowCounts``.
    """

    def __init__(self, layout: Layout, *, malformed: bool) -> None:
        self.words: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._layout = layout
        self._clock = Clock()
        self._checks = _checks(layout, malformed=malformed)
        self._distinct = {kind: Distinct() for kind in CODED.values()}
        self._blank: set[str] = set()
        self._broken: dict[str, list[pl.Series]] = {reason: [] for reason in BROKEN}

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of the times that are numbers."""
        return (self._clock.unit,) if self._clock.unit else ()

    def __call__(self, piece: pl.DataFrame) -> tuple[pl.DataFrame, Checks]:
        """Return the piece, tidied, and its checks."""
        columns = [self._kinds(piece)]
        if "time" in self._layout.roles:
            time = self._clock(piece["time"])
            columns.append((time + piece[WITHIN] if WITHIN in piece.columns else time).alias("time"))
        breaks = self._labels(piece)
        tidied = piece.with_columns(
            *columns,
            *(
                pl.when(pl.col(role) != "").then(pl.col(role)).alias(role)
                for role, kind in CODED.items()
                if kind in self._blank
            ),
        )
        return tidied.drop(WORD, WITHIN, strict=False), {**self._checks, **breaks}

    def _kinds(self, piece: pl.DataFrame) -> pl.Series:
        """Return the kinds of a piece's events, and count its words."""
        words = piece["event"]
        known = words.drop_nulls() if words.null_count() else words
        codes = known.to_physical().to_numpy()
        # A pass for each word, for words are few: numpy's bincount makes int64 of all codes.
        counts = {word: int(np.count_nonzero(codes == code)) for code, word in enumerate(self._layout.words)}
        self.words.update({word: count for word, count in counts.items() if count})
        if words.null_count():
            unknown = piece[WORD].filter(words.is_null()).drop_nulls().value_counts()
            self.unknown.update(dict(sorted(unknown.iter_rows())))  # polars counts them in any order
        kinds = kinds_of(self._layout.words, words)
        return kinds.fill_null("other") if self._layout.lenient else kinds

    def _labels(self, piece: pl.DataFrame) -> Checks:
        """Look at the names that come for the first time; return the checks of labels."""
        for role, kind in CODED.items():
            new = self._distinct[kind].new(piece[role])
            names = new.cast(pl.String)
            if (names == "").any():
                self._blank.add(kind)
            if kind == "label":
                for reason, broken in BROKEN.items():
                    self._broken[reason].append(new.filter((names != "") & broken(names)))
        checks: dict[str, pl.Expr] = {}
        for reason, several in self._broken.items():
            names = pl.concat(several)
            self._broken[reason] = [names]
            checks |= {f"{reason} {role}": pl.col(role).is_in(names.implode()) for role in LABELS if len(names)}
        return checks


def _checks(layout: Layout, *, malformed: bool) -> dict[str, pl.Expr]:
    event = pl.col("event")
    checks = {"malformed": pl.col(MALFORMED).is_not_null()} if malformed else {}
    owner = "session" if "session" in layout.roles else "user"
    checks[f"no {owner}"] = pl.col(owner).is_null()
    if "time" in layout.roles:
        checks["no readable time"] = pl.col("time").is_null()
        checks["time before 1970 or after 2099"] = ~pl.col("time").is_between(0, LATEST, closed="left")
    checks["unknown event"] = event.is_null()
    checks["no page"] = (event == "view") & pl.col("page").is_null()
    checks["no item"] = (event == "buy") & pl.col("item").is_null()
    if "dwell" in layout.roles:
        checks["a dwell time that is no number of seconds"] = ~pl.col("dwell").is_between(0, LONGEST_DWELL)
    return checks
