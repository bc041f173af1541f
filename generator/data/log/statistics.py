"""What was read of a log: how many events, what they lack, what was left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

__all__ = ["ReadStatistics", "RowCounts"]


@dataclass(frozen=True)
class RowCounts:
    """What became of the rows of sources.

    Attributes
    ----------
    rows
        Rows read, before any was skipped.
    skipped
        Rows left out, by reason.
    notes
        The first malformed rows, in words.
    words, unknown
        Rows by their word for the event: words whose meaning is known, and others.
    units
        Of times that are numbers, the unit (s, ms, us, ns), each once.
    """

    rows: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    words: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    units: tuple[str, ...] = ()

    def __add__(self, other: "RowCounts") -> "RowCounts":
        """Return those of both, reasons and words in the order in which they first come."""
        return RowCounts(
            self.rows + other.rows,
            Counter(self.skipped) + Counter(other.skipped),
            self.notes + other.notes,
            Counter(self.words) + Counter(other.words),
            Counter(self.unknown) + Counter(other.unknown),
            tuple(dict.fromkeys((*self.units, *other.units))),
        )


@dataclass(frozen=True)
class ReadStatistics:
    """What a source, or a piece of it, holds: what a partition of it cannot know of the whole.

    Attributes
    ----------
    events
        Their number.
    missing
        How many of them lack a user, a session, a time.
    labels
        By kind, view and buy: how many events there are, and how many of them have no label.
    first, last
        The earliest and the latest time, unix seconds; None without times.
    counts
        What became of the rows.
    name
        The source.
    """

    events: int
    missing: Counter[str]
    labels: dict[str, tuple[int, int]]
    first: float | None = None
    last: float | None = None
    counts: RowCounts = field(default_factory=RowCounts)
    name: str = ""

    @classmethod
    def of(cls, frame: pl.DataFrame, labels: dict[str, tuple[int, int]]) -> "ReadStatistics":
        """Return the statistics of events as ``labelled`` returns them."""
        missing = Counter({role: frame[role].null_count() for role in ("user", "session", "time")})
        first, last = frame.select(first=pl.col("time").min(), last=pl.col("time").max()).row(0)
        return cls(frame.height, missing, labels, first, last)

    @classmethod
    def sum(cls, several: "Sequence[ReadStatistics]") -> "ReadStatistics":
        """Return those of one or more together, the reasons in the order in which they first come."""
        return cls(
            sum(each.events for each in several),
            sum((each.missing for each in several), Counter()),
            {
                kind: (sum(each.labels[kind][0] for each in several), sum(each.labels[kind][1] for each in several))
                for kind in several[0].labels
            },
            min((each.first for each in several if each.first is not None), default=None),
            max((each.last for each in several if each.last is not None), default=None),
            sum((each.counts for each in several), RowCounts()),
        )

    @property
    def span(self) -> tuple[float, float] | None:
        """The earliest and the latest time."""
        return None if self.first is None or self.last is None else (self.first, self.last)

    @property
    def mixed(self) -> dict[str, int]:
        """How many events lack what others have: a user, a session, a time."""
        return {role: count for role, count in self.missing.items() if 0 < count < self.events}
