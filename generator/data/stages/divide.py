"""Stage three: the sessions of all partitions divided into training, validation and test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.sessions.names import SessionNames, Users
from generator.data.sessions.numbering import by_appearance
from generator.data.sessions.ragged import offsets, time_order
from generator.data.sessions.splits import LEFT_OUT, Division, known_in_training, split_of
from generator.data.stages.cut import PartitionSessions

__all__ = ["Divided", "SplitSessions", "divide"]


@dataclass(frozen=True)
class SplitSessions:
    """What becomes of the S sessions of a partition that give a row, once those of all partitions are known.

    Attributes
    ----------
    split
        uint8 (S,): TRAIN, VALID, TEST or LEFT_OUT.
    rank
        uint32 (S,): place among the sessions of all partitions, oldest first.
    user
        int32 (S,): the user's number in the data folder.
    """

    split: NDArray[np.uint8]
    rank: NDArray[np.uint32]
    user: NDArray[np.int32]


@dataclass(frozen=True)
class Divided:
    """The splits of all sessions.

    Attributes
    ----------
    partitions
        Of each partition, its sessions that give a row.
    division, splits, begins, users
        What tells whether a session that gives no row belongs to the training split: how sessions were divided, which
        splits there are, uint8, when the first session of each begins, float64 unix seconds, and the users.
    left_out
        How many sessions that give a row are of no split.
    """

    partitions: list[SplitSessions]
    division: Division
    splits: NDArray[np.uint8]
    begins: NDArray[np.float64]
    users: Users
    left_out: int = 0

    def known_in_training(self, sessions: PartitionSessions) -> NDArray[np.bool_]:
        """Return which of a partition's sessions that give no row belong to the training split, bool (R,)."""
        rowless = sessions.rowless
        names = SessionNames(self.users, rowless.user[:], rowless.ids)
        return known_in_training(self.division, self.splits, self.begins, rowless.start[:], rowless.in_test[:], names)


def divide(partitions: Sequence[PartitionSessions], users: pl.DataFrame, division: Division) -> Divided:
    """Divide the sessions of all partitions that give a row.

    Parameters
    ----------
    users
        ``user`` (String) and ``code`` (Int32).

    Raises
    ------
    DataError
        The division needs times that the log does not have.
    """
    start, order, in_test, user = (
        np.concatenate([getattr(sessions, name) for sessions in partitions])
        for name in ("start", "order", "in_test", "user")
    )
    ids = [sessions.ids for sessions in partitions if sessions.ids is not None]
    oldest = time_order(start, order).astype(np.uint32)
    del order
    start, in_test, user = start[oldest], in_test[oldest], user[oldest]
    known_users = Users(users)
    names = SessionNames(known_users, user, pl.concat(ids)[oldest] if ids else None)
    found = split_of(division, start, in_test, names)
    splits = np.unique(found)
    begins = np.array([start[found == split].min() for split in splits])
    del start, in_test
    split, rank, number = (np.empty(len(oldest), kind) for kind in (np.uint8, np.uint32, np.int32))
    split[oldest], rank[oldest], number[oldest] = found, np.arange(len(oldest)), by_appearance(user)
    edges = offsets(np.array([len(sessions.run) for sessions in partitions]))[1:-1]
    columns = (np.split(values, edges) for values in (split, rank, number))
    return Divided(
        [SplitSessions(*each) for each in zip(*columns, strict=True)],
        division,
        splits,
        begins,
        known_users,
        left_out=int(np.count_nonzero(found == LEFT_OUT)),
    )
