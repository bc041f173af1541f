"""Which sessions train, validate and test."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.errors import DataError

__all__ = ["LEFT_OUT", "TEST", "TRAIN", "VALID", "CodedNames", "Division", "Names", "known_in_training", "split_of"]

TRAIN, VALID, TEST, LEFT_OUT = 0, 1, 2, 3
DAY = 86400.0
FEW = 10  # sessions of a log in which none is astray
STRAY = 0.01  # share of the sessions that may be astray, or one of them


@dataclass(frozen=True)
class Division:
    """How sessions are divided; at most one way of choosing the test split, the newest fifth if none is given.

    Attributes
    ----------
    files
        The test sessions are those of the files or DataFrames given as test.
    days
        The sessions that start within the last ``days`` days before the newest session's start.
    share
        The newest share of the sessions; where the log has no times, about that share by the hash of the session's id,
        which depends on no other session: whatever the target, the same sessions are held out.
    users
        The sessions of this share of the users.
    folds, fold
        The sessions of the users in fold ``fold`` (from 0) of ``folds``.
    valid_share
        Share of the remaining sessions, the newest (by another hash without times), held out for validation.
    seed
        Of the hashes.
    strict
        Whether sessions to train on whose id is in the test files too are left out.
    """

    files: bool = False
    days: float | None = None
    share: float | None = None
    users: float | None = None
    folds: int | None = None
    fold: int | None = None
    valid_share: float = 0.0
    seed: int = 1
    strict: bool = False

    def __post_init__(self) -> None:
        ways = {
            "--test": self.files or None,
            "--test-days": self.days,
            "--test-share": self.share,
            "--test-users": self.users,
            "--folds": self.folds,
        }
        for name, share in (("--test-share", self.share), ("--test-users", self.users)):
            if share is not None and not 0 < share < 1:
                raise DataError(f"{name} is {share}: a share above 0 and below 1 is wanted")
        if not 0 <= self.valid_share < 1:
            raise DataError(f"--valid-share is {self.valid_share}: a share from 0 to below 1 is wanted")
        if self.days is not None and not self.days > 0:
            raise DataError(f"--test-days is {self.days}: a number above 0 is wanted")
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            raise DataError(f"{' and '.join(given)} exclude each other: choose the test sessions in one way")
        if (self.folds is None) != (self.fold is None):
            raise DataError("--folds and --fold go together: --folds 5 --fold 0 tests on the first of five parts")
        if self.folds is not None and self.fold is not None and not 0 <= self.fold < self.folds:
            raise DataError(f"--fold is {self.fold}, but {self.folds} folds are numbered from 0 to {self.folds - 1}")

    def describe(self) -> dict[str, Any]:
        """Return the options in force, for meta.json."""
        if self.files:
            test: dict[str, Any] = {"by": "files"} | ({"strict": True} if self.strict else {})
        elif self.days is not None:
            test = {"by": "days", "days": self.days}
        elif self.folds is not None:
            test = {"by": "users", "folds": self.folds, "fold": self.fold}
        elif self.users is not None:
            test = {"by": "users", "share": self.users}
        else:
            test = {"by": "share", "share": self._share}
        return {"test": test, "valid_share": self.valid_share, "seed": self.seed}

    @property
    def by_user(self) -> bool:
        """Whether users, with all their sessions, are held out."""
        return self.users is not None or self.folds is not None

    @property
    def _share(self) -> float:
        return 0.2 if self.share is None else self.share


@dataclass(frozen=True)
class CodedNames:
    """Names that recur: the i-th is ``labels[code[i]]``.

    ``places`` holds the hashes of the labels, by salt, once they are worked out; it may be shared by all that share the
    labels.
    """

    labels: pl.Series
    code: NDArray[np.integer[Any]]
    places: dict[object, NDArray[np.float64]] = field(default_factory=dict)


class Names(Protocol):
    """Names of S sessions."""

    def owners(self) -> "Sequence[str] | pl.Series | CodedNames":
        """Return each session's user, or the session's own id where the user is unknown."""

    def names(self) -> Sequence[str] | pl.Series:
        """Return each session's own id."""


def split_of(
    division: Division,
    start: NDArray[np.float64],
    in_test: NDArray[np.uint8],
    named: Names,
) -> NDArray[np.uint8]:
    """Return TRAIN, VALID, TEST or LEFT_OUT for each of S sessions, uint8 (S,). A session is never divided.

    Left out are the few sessions after the end of the log, see ``end_of``, where days are counted from it, and training
    sessions whose id is in the test files too, where the division is strict.

    Parameters
    ----------
    start
        float64 (S,) unix seconds, ascending; all NaN where the log has no times.
    in_test
        uint8 (S,): 1 for the sessions of the sources given as test; 2 for others whose id is in those too.
    named
        Who the sessions are; asked only to divide by users, or to hold out a share where there are no times.
    """
    found = np.full(len(start), TRAIN, np.uint8)
    if division.files:
        found[in_test == 1] = TEST
        if division.strict:
            found[in_test == 2] = LEFT_OUT
    elif division.days is not None:
        if np.isnan(start).any():
            raise DataError("--test-days needs times, and the log has none: use --test-share or --folds")
        end = end_of(start)
        found[start > end - division.days * DAY] = TEST
        found[start > end] = LEFT_OUT
    elif division.by_user:
        found[_by_user(division, named.owners())] = TEST
    elif np.isnan(start).any():
        found[_places(division.seed, named.names()) < division._share] = TEST
    else:
        found[_newest(np.arange(len(start)), division._share)] = TEST
    if division.valid_share and np.isnan(start).any():
        found[(found == TRAIN) & _validates(division, named.names())] = VALID
    else:
        found[_newest(np.flatnonzero(found == TRAIN), division.valid_share)] = VALID
    return found


def end_of(start: NDArray[np.float64]) -> float:
    """Return when the newest session starts, but for one or a hundredth of them that are astray.

    Astray is what comes after a silence longer than the whole log before it: a clock was wrong.

    Parameters
    ----------
    start
        float64 (S,) unix seconds, ascending.

    Examples
    --------
    >>> end_of(np.array([*range(0, 9000, 100), 2e9]))
    8900.0
    """
    if len(start) < FEW:
        return float(start.max(initial=-np.inf))
    few = max(1, int(STRAY * len(start)))
    silence, before = np.diff(start)[-few:], start[-few - 1 : -1]
    after = np.flatnonzero(silence > np.maximum(before - start[few], DAY))
    return float(before[after[0]]) if len(after) else float(start[-1])


def known_in_training(
    division: Division,
    found: NDArray[np.uint8],
    start: NDArray[np.float64],
    other_start: NDArray[np.float64],
    other_in_test: NDArray[np.uint8],
    other_named: Names,
) -> NDArray[np.bool_]:
    """Return which other sessions, which give no row, belong to the training split all the same, bool (R,).

    They are not of the test files, not of a test user, and began before every session held out by time, or are not held
    out by their own hash.

    Parameters
    ----------
    found, start
        What ``split_of`` said of the sessions that give a row, and when they start.
    other_start, other_in_test, other_named
        The same of the other sessions.
    """
    known: NDArray[np.bool_] = other_in_test != 1
    if division.strict:
        known &= other_in_test != 2
    if division.by_user:
        known &= ~_by_user(division, other_named.owners())
    if np.isnan(other_start).any():
        if not division.by_user and not division.files:
            known &= _places(division.seed, other_named.names()) >= division._share
        if division.valid_share:
            known &= ~_validates(division, other_named.names())
    elif not division.files or division.valid_share:
        held_out = found == VALID if division.by_user else (found == VALID) | (found == TEST)
        known &= ~(other_start >= start[held_out].min(initial=np.inf))
    return known


def _newest(among: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return the newest ``share`` of the sessions ``among``, which are in order of time."""
    return among[len(among) - round(share * len(among)) :]


def _places(salt: object, names: Sequence[str] | pl.Series | CodedNames) -> NDArray[np.float64]:
    """Return the hash of (salt, name), a number in [0, 1), for each name: the same on every machine."""
    if isinstance(names, CodedNames):
        if salt not in names.places:
            names.places[salt] = _places(salt, names.labels)
        found: NDArray[np.float64] = names.places[salt][names.code]
        return found
    table = pl.DataFrame({"name": names}, schema={"name": pl.String})
    distinct = table["name"].unique()
    places = _hashes(f"{salt}:".encode(), distinct)
    joined = table.join(pl.DataFrame({"name": distinct, "place": places}), on="name", how="left", maintain_order="left")
    return joined["place"].to_numpy()


def _hashes(salt: bytes, names: Iterable[str]) -> NDArray[np.float64]:
    digests = b"".join(hashlib.blake2b(salt + name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, ">u8") / 2**64


def _validates(division: Division, names: Sequence[str] | pl.Series) -> NDArray[np.bool_]:
    """Return where the session validates by its hash, should it not be of the test split."""
    # Salted, for a session without a user may have been divided by the hash of the same name.
    return np.asarray(_places(f"{division.seed}:valid", names) < division.valid_share)


def _by_user(division: Division, owners: Sequence[str] | pl.Series | CodedNames) -> NDArray[np.bool_]:
    """Return where the hash of (seed, user), a number in [0, 1), falls in the test split."""
    place = _places(division.seed, owners)
    if division.users is not None:
        return np.asarray(place < division.users)
    folds = division.folds or 1
    return np.asarray(np.minimum(np.floor(place * folds), folds - 1) == division.fold)
