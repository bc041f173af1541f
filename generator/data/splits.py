"""Which sessions train, validate and test."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.errors import DataError

__all__ = ["TEST", "TRAIN", "VALID", "Division", "divide", "known_in_training"]

TRAIN, VALID, TEST = 0, 1, 2
DAY = 86400.0


@dataclass(frozen=True)
class Division:
    """How sessions are divided; at most one way of choosing the test part, the newest fifth if none is given.

    Attributes
    ----------
    files
        The test sessions are those of the files given as test.
    days
        The sessions that start within the last ``days`` days before the newest session's start.
    share
        The newest share of the sessions; a random one where the log has no times.
    users
        The sessions of this share of the users.
    folds, fold
        The sessions of the users in part ``fold`` (from 0) of ``folds``.
    valid_share
        Share of the remaining sessions, the newest (random without times), held out for validation.
    seed
        Of random parts and of the users' hash.
    """

    files: bool = False
    days: float | None = None
    share: float | None = None
    users: float | None = None
    folds: int | None = None
    fold: int | None = None
    valid_share: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        ways = {
            "--test": self.files or None,
            "--test-days": self.days,
            "--test-share": self.share,
            "--test-users": self.users,
            "--folds": self.folds,
        }
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
            test: dict[str, Any] = {"by": "files"}
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
    def _share(self) -> float:
        return 0.2 if self.share is None else self.share


def divide(
    division: Division,
    start: NDArray[np.float64],
    part: NDArray[np.uint8],
    owners: Callable[[], Sequence[str]],
) -> NDArray[np.uint8]:
    """Return TRAIN, VALID or TEST for each of S sessions, uint8 (S,). A session is never divided.

    Parameters
    ----------
    start
        float64 (S,) unix seconds, ascending; all NaN where the log has no times.
    part
        uint8 (S,): 1 for the sessions of test files.
    owners
        Names each session's user (or the session itself where the user is unknown); called only to divide by users.
    """
    rng = np.random.default_rng(division.seed)
    found = np.full(len(start), TRAIN, np.uint8)
    if division.files:
        found[part == 1] = TEST
    elif division.days is not None:
        if np.isnan(start).any():
            raise DataError("--test-days needs times, and the log has none: use --test-share or --folds")
        found[start > start.max(initial=-np.inf) - division.days * DAY] = TEST
    elif division.users is not None or division.folds is not None:
        found[_by_user(division, owners())] = TEST
    else:
        found[_newest(np.arange(len(start)), start, division._share, rng)] = TEST
    found[_newest(np.flatnonzero(found == TRAIN), start, division.valid_share, rng)] = VALID
    return found


def known_in_training(
    division: Division,
    found: NDArray[np.uint8],
    start: NDArray[np.float64],
    other_start: NDArray[np.float64],
    other_part: NDArray[np.uint8],
    other_owners: Callable[[], Sequence[str]],
) -> NDArray[np.bool_]:
    """Return which other sessions, which give no row, belong to the training part all the same, bool (R,).

    They are not of the test files, not of a test user, and began before every session held out by time.

    Parameters
    ----------
    found, start
        What ``divide`` said of the sessions that give a row, and when they start.
    other_start, other_part, other_owners
        The same of the other sessions.
    """
    known: NDArray[np.bool_] = other_part == 0
    if division.users is not None or division.folds is not None:
        known &= ~_by_user(division, other_owners())
        held_out = found == VALID
    else:
        held_out = found != TRAIN
    if not division.files or division.valid_share:
        known &= ~(other_start >= start[held_out].min(initial=np.inf))
    return known


def _newest(
    among: NDArray[np.int64], start: NDArray[np.float64], share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the newest ``share`` of the sessions ``among``, which are in order of time; random ones without times."""
    count = round(share * len(among))
    if np.isnan(start).any():
        among = rng.permutation(among)
    return among[len(among) - count :]


def _by_user(division: Division, owners: Sequence[str]) -> NDArray[np.bool_]:
    """Return where the hash of (seed, user), a number in [0, 1), falls in the test part."""
    places: dict[str, float] = {}
    for owner in owners:
        if owner not in places:
            digest = hashlib.blake2b(f"{division.seed}:{owner}".encode(), digest_size=8).digest()
            places[owner] = int.from_bytes(digest, "big") / 2**64
    place = np.fromiter((places[owner] for owner in owners), np.float64, count=len(owners))
    if division.users is not None:
        return np.asarray(place < division.users)
    folds = division.folds or 1
    return np.asarray(np.minimum(np.floor(place * folds), folds - 1) == division.fold)
