"""Figures of a log that the choice of a net follows from, counted in its data folder."""

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.data.log.times import LIKELY
from generator.data.sessions.ragged import Sessions
from generator.data.store.split import Split, read_sessions
from generator.fitting.look import day

__all__ = ["LENGTHS", "Facts", "lengths_of"]

LENGTHS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)  # views of a session, the upper ends of the bars of a chart

MOST = 256  # views of a session that are told apart


@dataclass(frozen=True)
class Facts:
    """What a log holds.

    Attributes
    ----------
    target, level
        What is the label, purchase or next; whether pages and items are items or categories.
    events
        Events by kind, and `rows`, those read.
    skipped
        Rows left out, by reason.
    sessions, labels, items
        Sessions and labels of the training part, and different pages and items: one vocabulary.
    first, last
        Unix seconds of the first and the last session's start; None without times.
    lengths
        Sessions with so many views, 1, 2, ..., those of the last place with that many or more.
    seen
        Share of the labels that the session had viewed before.
    bought
        Share of the sessions whose user had bought something before.
    new
        Share of the test labels that training does not know.
    test_rows
        Rows of the test part.
    """

    target: str
    level: str
    events: dict[str, int]
    skipped: dict[str, int]
    sessions: int
    labels: int
    items: int
    first: float | None
    last: float | None
    lengths: tuple[int, ...]
    seen: float
    bought: float
    new: float
    test_rows: int

    @classmethod
    def of(cls, folder: Path) -> "Facts":
        """Count them in a folder that `drn sessions` has written."""
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        train, test = read_sessions(folder / "train.h5"), read_sessions(folder / "test.h5")
        lengths = train.lengths
        starts = np.concatenate([train.start, test.start])
        timed = not np.isnan(starts).any()
        with Split(folder / "test.h5") as split:
            unknown = split.load(["rows/unknown"])["rows/unknown"]
        return cls(
            target=meta["target"],
            level=meta["levels"]["page"],
            events=meta["events"],
            skipped=meta["skipped"],
            sessions=len(train),
            labels=len(train) if train.label is not None else int(np.maximum(lengths - 1, 0).sum()),
            items=meta["vocabulary"]["items"],
            first=float(starts.min()) if timed else None,
            last=float(starts.max()) if timed else None,
            lengths=tuple(np.bincount(np.minimum(lengths, MOST), minlength=2)[1:].tolist()),
            seen=_seen(train),
            bought=float((train.bought_lengths > 0).mean()),
            new=float((unknown != 0).mean()),
            test_rows=len(unknown),
        )

    def quantile(self, share: float) -> int:
        """Return the least number of views that this share of the sessions do not exceed."""
        return int(np.searchsorted(np.cumsum(self.lengths), share * sum(self.lengths))) + 1

    def line(self) -> str:
        """Return the log at a glance, in a line."""
        events = self.events["rows"]
        much = f"{events / 1e6:.1f} million" if events >= 1e6 else f"{events:,}"
        if self.first is None or self.last is None:
            dates = f"{self.sessions:,} sessions to train on without times"
        elif self.first < LIKELY:
            dates = f"{self.sessions:,} sessions to train on"
        else:
            dates = f"sessions from {day(self.first)} to {day(self.last)}"
        median = self.quantile(0.5)
        views = f"{median} views" if median < MOST else f"{MOST} views or more"
        what = ("category", "categories") if self.level == "category" else ("item", "items")
        return (
            f"{much} events, {dates}, median {views}, {self.items:,} {what[self.items != 1]}, "
            f"{100 * self.new:.1f} % of the labels new"
        )

    def as_json(self) -> dict[str, Any]:
        """Return them in plain dicts, lists and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Facts":
        """Return what `as_json` gave."""
        return cls(**{**values, "lengths": tuple(values["lengths"])})


def _seen(sessions: Sessions) -> float:
    """Return the share of the labels that are among the pages viewed before them."""
    session = np.repeat(np.arange(len(sessions), dtype=np.int64), sessions.lengths)
    viewed = session * (int(sessions.page.max(initial=0)) + 1) + sessions.page
    if sessions.label is None:
        return 1 - (len(np.unique(viewed)) - len(sessions)) / max(len(viewed) - len(sessions), 1)
    bought = np.arange(len(sessions), dtype=np.int64) * (int(sessions.page.max(initial=0)) + 1) + sessions.label
    known = (sessions.label > 0) & (sessions.label <= sessions.page.max(initial=0))
    return float(np.isin(bought[known], viewed).sum() / max(len(sessions), 1))


def lengths_of(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[str]]:
    """Return for each number of views the place of its bar, by LENGTHS, and the names of the bars."""
    names = [str(high) if high - low == 1 else f"{low + 1}-{high}" for low, high in pairwise((0, *LENGTHS))]
    return np.searchsorted(LENGTHS, values), [*names, f"over {LENGTHS[-1]}"]
