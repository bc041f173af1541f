"""Names of users and of sessions, behind their codes."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.sessions.splits import CodedNames

__all__ = ["SessionNames", "Users"]


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

    def of(self, user: NDArray[np.int32]) -> CodedNames:
        """Return the names of the users of these codes, none of which is -1."""
        return CodedNames(self._names, self._place[user], self._hashes)

    def names(self, user: NDArray[np.int32]) -> pl.Series:
        """Return the names of the users of these codes, null for -1."""
        return pl.concat([self._names, pl.Series([None], dtype=pl.String)]).gather(self._place[user])


class SessionNames:
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

    def owners(self) -> CodedNames | pl.Series:
        """Return the user of each session, or the session's own id where it has none."""
        if (self._user < 0).any():
            return self._users.names(self._user).fill_null(self._ids)
        return self._users.of(self._user)

    def names(self) -> pl.Series:
        """Return the id of each session, after its user's where it has one: ids may be of a user only."""
        table = pl.DataFrame({"user": self._users.names(self._user), "session": self._ids})
        return table.select(pl.concat_str("user", "session", separator=":", ignore_nulls=True)).to_series()
