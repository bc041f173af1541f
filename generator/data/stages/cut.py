"""Stage two: each partition of a log cut into sessions, those that give a row and what the others view."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.log.words import KINDS, meant
from generator.data.sessions.numbering import LoggedLabels
from generator.data.sessions.partition import Partition
from generator.data.sessions.ragged import KEPT_BOUGHT, Ints
from generator.data.sessions.sessionise import BUY, SessionLog, target_sessions
from generator.data.sessions.splits import Division
from generator.data.stages.read import ReadLog
from generator.data.store.runs import Run
from generator.data.store.spill import Column, Spill
from generator.data.threads import Progress, counted, parallel_map, unwatched
from generator.errors import DataError
from generator.spec.schema import Spec

__all__ = ["PartitionSessions", "RowlessSessions", "cut"]


@dataclass(frozen=True)
class RowlessSessions:
    """Sessions that give no row: what is known of each, and the codes of the pages they view, ``lengths`` of each."""

    start: Column
    in_test: Column
    user: Column
    ids: pl.Series | None
    lengths: Column
    page: Column


@dataclass(frozen=True)
class PartitionSessions:
    """The sessions of a partition, of codes.

    Attributes
    ----------
    run
        The sessions that give a row.
    start, order, in_test, user, ids
        Of these: float64 (S,) unix seconds; uint32 (S,) place in the log of the first event; uint8 (S,) 1 for sources
        given as test; int32 (S,); and their own ids where names need them.
    rowless
        The other sessions.
    sessions, kinds, repeats, shared
        The number of all sessions; of all events, by kind; of events left out, for an earlier one is alike; of sessions
        whose id is in the test sources too.
    labels
        All pages viewed and items bought, where they are asked for.
    """

    run: Run
    start: NDArray[np.float64]
    order: NDArray[np.uint32]
    in_test: NDArray[np.uint8]
    user: NDArray[np.int32]
    ids: pl.Series | None
    rowless: RowlessSessions
    sessions: int
    kinds: Ints
    repeats: int
    shared: int
    labels: LoggedLabels | None


def cut(
    log: ReadLog,
    spec: Spec,
    division: Division,
    *,
    all_labels: bool,
    spill: Spill,
    progress: Progress = unwatched,
) -> list[PartitionSessions]:
    """Return the sessions of each partition that has events, kept in ``spill``.

    ``all_labels``: the labels of the whole log are asked for.

    Raises
    ------
    DataError
        No session gives a row for the spec's target; or the events cannot be cut into sessions, see ``sessionise``.
    """
    target, kept = spec.data.target, max(KEPT_BOUGHT, spec.bought)
    work = partial(_cut, target=target, kept=kept, division=division, all_labels=all_labels, spill=spill)
    watched = counted(progress, "cut partitions", len(log.partitions))

    def watched_work(load: Callable[[], Partition | None]) -> PartitionSessions | None:
        sessions = work(load)
        watched(1)
        return sessions

    found = [sessions for sessions in parallel_map(watched_work, log.partitions) if sessions]
    if not any(len(sessions.run) for sessions in found):
        raise DataError(
            f"no session of the {sum(sessions.sessions for sessions in found):,} gives a row for target {target}: "
            + ("none has two views" if target == "next" else _no_purchase(log, found))
        )
    return found


def _no_purchase(log: ReadLog, found: Sequence[PartitionSessions]) -> str:
    """Say why no session of a log gives a purchase."""
    early = "none has a view before its first purchase"
    if sum(int(sessions.kinds[BUY]) for sessions in found):
        return early
    words = [f"{word}: {count:,} rows" for word, count in log.counts.words.items()] + meant(log.counts.unknown)
    return f"{early}, for the log has no purchase; its words for events are:\n" + "\n".join(
        f"  {line}" for line in words
    )


def _cut(
    load: Callable[[], Partition | None], *, target: str, kept: int, division: Division, all_labels: bool, spill: Spill
) -> PartitionSessions | None:
    partition = load()
    if partition is None:
        return None
    log = partition.log
    sessions, chosen = target_sessions(log, target, kept)
    other = np.ones(len(log), np.bool_)
    other[chosen] = False
    # A name is asked for where there are no times, and where users divide but are not known.
    unnamed = bool(np.isnan(log.time[:1]).any()) or (division.by_user and bool((log.user < 0).any()))
    return PartitionSessions(
        run=Run.of(sessions, spill),
        start=sessions.start,
        order=log.order[log.offset[chosen]],
        in_test=log.in_test[chosen],
        user=sessions.user,
        ids=partition.ids[chosen].cast(pl.String) if unnamed else None,
        rowless=_rowless(log, other, partition.ids[np.flatnonzero(other)].cast(pl.String) if unnamed else None, spill),
        sessions=len(log),
        kinds=np.array([np.count_nonzero(log.kind == kind) for kind in range(len(KINDS))]),
        repeats=log.repeats,
        shared=int(np.count_nonzero(log.in_test == 2)),
        labels=LoggedLabels.of(log) if all_labels else None,
    )


def _rowless(log: SessionLog, other: NDArray[np.bool_], ids: pl.Series | None, spill: Spill) -> RowlessSessions:
    viewed = log.viewed()
    lengths = np.add.reduceat(viewed, log.offset[:-1], dtype=np.int32)[other]
    viewed &= np.repeat(other, np.diff(log.offset))
    return RowlessSessions(
        start=spill.keep(log.time[log.offset[:-1][other]]),
        in_test=spill.keep(log.in_test[other]),
        user=spill.keep(log.user[other]),
        ids=ids,
        lengths=spill.keep(lengths),
        page=spill.keep(log.label[viewed]),
    )
