"""What each part of a log gives: sessions to learn from, in runs, and what the other sessions view."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.layouts import KINDS
from generator.data.numbering import Catalogue, Counts, Numbering
from generator.data.ragged import Ints
from generator.data.reading import Part
from generator.data.runs import Run
from generator.data.sessionise import Log, target_sessions
from generator.data.shelf import Column, Shelf
from generator.data.splits import TRAIN, Coded, Division, known_in_training

__all__ = ["Cut", "Divided", "Named", "Users", "counted", "cut_part", "numbered_runs"]


class Users:
    """The users behind the codes of a log.

    Parameters
    ----------
    table
        ``user`` (String) and ``code`` (Int32).
    """

    def __init__(self, table: pl.DataFrame) -> None:
        codes = table["code"].to_numpy()
        self._place = np.full(int(codes.max(initial=-1)) + 2, len(codes), np.int32)  # the last is for the code -1
        self._place[codes] = np.arange(len(codes), dtype=np.int32)
        self._names = table["user"]
        self._hashes: dict[object, NDArray[np.float64]] = {}

    def of(self, user: NDArray[np.int32]) -> Coded:
        """Return the names of the users of these codes, none of which is -1."""
        return Coded(self._names, self._place[user], self._hashes)

    def names(self, user: NDArray[np.int32]) -> pl.Series:
        """Return the names of the users of these codes, null for -1."""
        return pl.concat([self._names, pl.Series([None], dtype=pl.String)]).gather(self._place[user])


class Named:
    """Names of sessions, worked out when they are asked for.

    Parameters
    ----------
    users, user
        The users, and the code of each session's, int32 (S,), -1 for none.
    ids
        Each session's own id, String or null; None where no name needs it.
    """

    def __init__(self, users: Users, user: NDArray[np.int32], ids: pl.Series | None) -> None:
        self._users, self._user, self._ids = users, user, ids

    def owners(self) -> Coded | pl.Series:
        """Return the user of each session, or the session's own id where it has none."""
        if (self._user < 0).any():
            return self._users.names(self._user).fill_null(self._ids)
        return self._users.of(self._user)

    def names(self) -> pl.Series:
        """Return the id of each session, after its user's where it has one: ids may be of a user only."""
        table = pl.DataFrame({"user": self._users.names(self._user), "session": self._ids})
        return table.select(pl.concat_str("user", "session", separator=":", ignore_nulls=True)).to_series()


@dataclass(frozen=True)
class Others:
    """Sessions that give no row: what is known of each, and the codes of the pages they view, ``lengths`` of each."""

    start: Column
    part: Column
    user: Column
    ids: pl.Series | None
    lengths: Column
    page: Column


@dataclass(frozen=True)
class Cut:
    """What a part of the log gives, of codes.

    Attributes
    ----------
    run
        The sessions that give a row.
    start, order, part, user, ids
        Of these: float64 (S,) unix seconds; uint32 (S,) place in the log of the first event; uint8 (S,) 1 for test
        files; int32 (S,); and their own ids where names need them.
    others
        The other sessions.
    sessions, kinds
        The number of all sessions; of all events, by kind.
    catalogue
        All pages viewed and items bought.
    """

    run: Run
    start: NDArray[np.float64]
    order: NDArray[np.uint32]
    part: NDArray[np.uint8]
    user: NDArray[np.int32]
    ids: pl.Series | None
    others: Others
    sessions: int
    kinds: Ints
    catalogue: Catalogue | None


def cut_part(
    take: Callable[[], Part | None], *, target: str, kept: int, division: Division, whole: bool, shelf: Shelf
) -> Cut | None:
    """Return what a part of the log gives for ``target``, put by on ``shelf``; None for a part without events.

    ``kept``: purchases before a session, at most; ``whole``: the catalogue is asked for.
    """
    part = take()
    if part is None:
        return None
    log = part.log
    sessions, chosen = target_sessions(log, target, kept)
    other = np.ones(len(log), np.bool_)
    other[chosen] = False
    # A name is asked for where there are no times, and where users divide but are not known.
    unnamed = bool(np.isnan(log.time[:1]).any()) or (division.by_user and bool((log.user < 0).any()))
    return Cut(
        run=Run.of(sessions, shelf),
        start=sessions.start,
        order=log.order[log.offset[chosen]],
        part=log.part[chosen],
        user=sessions.user,
        ids=part.ids[chosen].cast(pl.String) if unnamed else None,
        others=_others(log, other, part.ids[np.flatnonzero(other)].cast(pl.String) if unnamed else None, shelf),
        sessions=len(log),
        kinds=np.array([np.count_nonzero(log.kind == kind) for kind in range(len(KINDS))]),
        catalogue=Catalogue.of(log) if whole else None,
    )


def _others(log: Log, other: NDArray[np.bool_], ids: pl.Series | None, shelf: Shelf) -> Others:
    viewed = log.viewed()
    lengths = np.add.reduceat(viewed, log.offset[:-1], dtype=np.int32)[other]
    viewed &= np.repeat(other, np.diff(log.offset))
    return Others(
        start=shelf.put(log.time[log.offset[:-1][other]]),
        part=shelf.put(log.part[other]),
        user=shelf.put(log.user[other]),
        ids=ids,
        lengths=shelf.put(lengths),
        page=shelf.put(log.label[viewed]),
    )


@dataclass(frozen=True)
class Divided:
    """What becomes of the S sessions of a ``Cut`` that give a row, once those of all parts are known.

    Attributes
    ----------
    division
        uint8 (S,): TRAIN, VALID or TEST.
    rank
        uint32 (S,): place among the sessions of all parts, oldest first.
    user
        int32 (S,): the user's number in the data folder.
    """

    division: NDArray[np.uint8]
    rank: NDArray[np.uint32]
    user: NDArray[np.int32]


def counted(
    cut: Cut,
    divided: Divided,
    division: Division,
    held_out: tuple[NDArray[np.uint8], NDArray[np.float64]],
    users: Users,
    size: int,
) -> Counts:
    """Count the codes, all below ``size``, of the sessions of a part that are known in training.

    ``held_out``: when the first session of each division begins.
    """
    others = cut.others
    named = Named(users, others.user[:], others.ids)
    known = known_in_training(division, *held_out, others.start[:], others.part[:], named)
    views = others.page[:][np.repeat(known, others.lengths[:])]
    return Counts.of(cut.run.sessions(), divided.division == TRAIN, views, size)


def numbered_runs(
    run: Run, divided: Divided, numbering: Numbering, splits: Sequence[int], shelf: Shelf
) -> list[tuple[Run, NDArray[np.uint32]]]:
    """Return the sessions of a part in ids, a run for each of the ``splits``, and their ranks; ``run`` is dropped."""
    sessions = replace(run.sessions(), user=divided.user)
    run.drop(shelf)
    found = []
    for split in splits:
        chosen = np.flatnonzero(divided.division == split)
        some, left = numbering.sessions(sessions.take(chosen), training=split == TRAIN)
        found.append((Run.of(some, shelf), divided.rank[chosen[left]]))
    return found
