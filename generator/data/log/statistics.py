"""What was read of a log: how many events, what they lack, what was left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

__all__ = ["ReadStatistics"]


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
    rows, skipped, notes
        See ``Events``.
    """

    events: int
    missing: Counter[str]
    labels: dict[str, tuple[int, int]]
    rows: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, frame: pl.DataFrame, labels: dict[str, tuple[int, int]]) -> "ReadStatistics":
        """Return the statistics of events as ``labelled`` returns them."""
        missing = Counter({role: frame[role].null_count() for role in ("user", "session", "time")})
        return cls(frame.height, missing, labels)

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
            sum(each.rows for each in several),
            sum((Counter(each.skipped) for each in several), Counter()),
            tuple(note for each in several for note in each.notes),
        )

    @property
    def mixed(self) -> dict[str, int]:
        """How many events lack what others have: a user, a session, a time."""
        return {role: count for role, count in self.missing.items() if 0 < count < self.events}
