"""Every session of a log asked at once: the log read as training reads it, in bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.log.sources import Source
from generator.data.log.statistics import RowCounts
from generator.data.options import Options
from generator.data.sessions.partition import Partition
from generator.data.sessions.ragged import KEPT_BOUGHT
from generator.data.sessions.sessionise import target_sessions
from generator.data.stages.read import IN_MEMORY, ReadLog, partitions_for, read
from generator.data.threads import Progress, counted, prefetched, unwatched
from generator.errors import DataError
from generator.model.model import Model
from generator.model.query import Answer, Query
from generator.spec.schema import Spec

__all__ = ["LogSession", "LogSessions", "answered"]

TOGETHER = 256  # sessions that are asked at a time


@dataclass(frozen=True)
class LogSession:
    """A session of a log.

    Attributes
    ----------
    session, user
        Their original ids; None where the log has none.
    start
        Of the first event, unix seconds; None without times.
    query
        All its views, oldest first, and what its user bought before it.
    """

    session: str | None
    user: str | None
    start: float | None
    query: Query


class LogSessions:
    """The sessions of a log that view anything; to be gone through once.

    The log is read in partitions, each of some users, which are taken one after the other. Sessions come oldest first
    within a partition of about a million events.

    Parameters
    ----------
    sources
        Of the log.
    options
        How it is to be read: the fields ``form``, ``columns``, ``events``, ``gap``, ``max_bad``, ``drop_repeats``.
    spec
        Of the net that is to be asked: what its pages and items are, and how many purchases it reads.
    folder
        Where the partitions lie if they are many.
    progress
        Called with the rows read.

    Raises
    ------
    DataError
        The log does not hold.
    """

    def __init__(
        self, sources: Sequence[Source], options: Options, spec: Spec, folder: Path, progress: Progress = unwatched
    ) -> None:
        partitions = partitions_for(sources, options.form)
        spilled = folder if partitions > IN_MEMORY else None
        self._log = read(sources, (), options, spec, partitions, spilled, progress)
        self._kept = max(KEPT_BOUGHT, spec.bought)

    @property
    def counts(self) -> RowCounts:
        """What became of the rows."""
        return self._log.counts

    def __iter__(self) -> Iterator[LogSession]:
        labels = _by_code(self._log, "label")
        users = _by_code(self._log, "user")
        for partition in prefetched(load() for load in self._log.partitions):
            if partition is not None:
                yield from _sessions(partition, labels, users, self._kept)


def answered(
    model: Model, sessions: LogSessions, top: int | None = None, progress: Progress = unwatched
) -> Iterator[tuple[LogSession, Answer]]:
    """Yield each session with what the model recommends after it; `Model.recommend` says what is raised.

    Raises
    ------
    DataError
        No session views anything.
    """
    watched, some = counted(progress, "answer sessions", None), False
    waiting = iter(sessions)
    while asked := list(islice(waiting, TOGETHER)):
        some = True
        yield from zip(asked, model.recommend([each.query for each in asked], top), strict=True)
        watched(len(asked))
    if not some:
        raise DataError("no session of the log views a page, so there is nothing to recommend after")


def _by_code(log: ReadLog, name: str) -> NDArray[Any]:
    """Return the texts of the labels or of the users by their codes, object (codes,)."""
    table: pl.DataFrame = getattr(log, f"{name}s")
    codes = table["code"].to_numpy()
    found = np.full(int(codes.max(initial=0)) + 1, None, object)
    found[codes] = table[name].to_list()
    return found


def _sessions(partition: Partition, labels: NDArray[Any], users: NDArray[Any], kept: int) -> Iterator[LogSession]:
    sessions, chosen = target_sessions(partition.log, None, kept)
    ids = partition.ids[chosen].cast(pl.String).to_list()
    for place, name in enumerate(ids):
        views = slice(sessions.offset[place], sessions.offset[place + 1])
        purchases = slice(sessions.bought_offset[place], sessions.bought_offset[place + 1])
        pages = zip(labels[sessions.page[views]].tolist(), sessions.dwell[views].tolist(), strict=True)
        user, start = int(sessions.user[place]), float(sessions.start[place])
        yield LogSession(
            session=name,
            user=users[user] if user >= 0 else None,
            start=None if np.isnan(start) else start,
            query=Query(list(pages), labels[sessions.bought[purchases]].tolist()),
        )
