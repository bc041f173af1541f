"""The division of sessions into training, validation and test."""

import hashlib

import numpy as np
import pytest

from generator.data.sessions.splits import LEFT_OUT, TEST, TRAIN, VALID, Division, end_of, known_in_training, split_of
from generator.errors import DataError

DAY = 86400.0
START = np.arange(100) * DAY / 10  # ten sessions a day, oldest first
NO_TIMES = np.full(100, np.nan)
PART = np.zeros(100, np.uint8)


class Named:
    """A hundred sessions of 17 users, or sessions named as given, without users."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def owners(self) -> list[str]:
        return list(self._names) or [f"u{i % 17}" for i in range(100)]

    def names(self) -> list[str]:
        return list(self._names) or [f"u{i % 17}:s{i}" for i in range(100)]


NAMED = Named()


def hashed(salt: str, name: str) -> float:
    """The number that blake2b makes of a name, by hashlib, worked out by hand."""
    return int(hashlib.blake2b(f"{salt}:{name}".encode(), digest_size=8).hexdigest(), 16) / 16**16


def test_the_newest_fifth_is_the_test_part_by_default():
    found = split_of(Division(), START, PART, NAMED)
    assert found.tolist() == [TRAIN] * 80 + [TEST] * 20


def test_the_newest_of_the_rest_validates():
    found = split_of(Division(share=0.2, valid_share=0.25), START, PART, NAMED)
    assert found.tolist() == [TRAIN] * 60 + [VALID] * 20 + [TEST] * 20


def test_the_last_days_are_tested_on():
    found = split_of(Division(days=2), START, PART, NAMED)
    assert found.tolist() == [TRAIN] * 80 + [TEST] * 20
    with pytest.raises(DataError, match="needs times"):
        split_of(Division(days=2), NO_TIMES, PART, NAMED)


def test_files_decide():
    part = PART.copy()
    part[::3] = 1
    found = split_of(Division(files=True), START, part, NAMED)
    assert (found == TEST).tolist() == (part == 1).tolist()


def test_without_times_the_hash_of_a_sessions_id_decides():
    one, other = (split_of(Division(share=0.2, valid_share=0.1, seed=s), NO_TIMES, PART, NAMED) for s in (1, 2))
    tested = [hashed("1", name) < 0.2 for name in NAMED.names()]
    held_out = [hashed("1:valid", name) < 0.1 for name in NAMED.names()]
    assert one.tolist() == [TEST if t else VALID if v else TRAIN for t, v in zip(tested, held_out, strict=True)]
    assert one.tolist() != other.tolist()


def test_without_times_what_is_held_out_depends_on_no_other_session():
    names = [f"s{i}" for i in range(2000)]
    every = split_of(Division(share=0.2, valid_share=0.25), np.full(2000, np.nan), np.zeros(2000), Named(*names))
    third = Named(*names[1::3][:666])
    some = split_of(Division(share=0.2, valid_share=0.25), np.full(666, np.nan), np.zeros(666), third)
    assert some.tolist() == every[1::3][:666].tolist()
    # Four standard deviations of 2000 draws.
    assert np.bincount(every) / 2000 == pytest.approx([0.6, 0.2, 0.2], abs=0.044)


def test_validation_is_drawn_anew_among_sessions_divided_by_the_same_name():
    """Without users and times a session's id decides both; were the hash the same, fold 0 would have no validation."""
    names = [f"s{i}" for i in range(2000)]
    found = split_of(Division(folds=5, fold=0, valid_share=0.2), np.full(2000, np.nan), np.zeros(2000), Named(*names))
    assert np.bincount(found) / 2000 == pytest.approx([0.64, 0.16, 0.2], abs=0.044)


@pytest.mark.parametrize(
    ("division", "salts"),
    [
        (Division(share=0.3), {"1": 0.3}),
        (Division(share=0.3, valid_share=0.2), {"1": 0.3, "1:valid": 0.2}),
        (Division(files=True, valid_share=0.2), {"1:valid": 0.2}),
        (Division(files=True), {}),
    ],
)
def test_without_times_sessions_without_a_row_are_held_out_alike(division: Division, salts: dict[str, float]):
    names = [f"s{i}" for i in range(100)]
    known = known_in_training(division, np.zeros(0, np.uint8), np.zeros(0), NO_TIMES, PART, Named(*names))
    assert known.tolist() == [not any(hashed(salt, name) < share for salt, share in salts.items()) for name in names]


def test_folds_part_the_users_once():
    users = np.array(NAMED.owners())
    seen: list[str] = []
    for fold in range(5):
        found = split_of(Division(folds=5, fold=fold), START, PART, NAMED)
        tested = set(users[found == TEST])
        assert tested.isdisjoint(users[found != TEST])
        seen += tested
    assert sorted(seen) == sorted(set(users))


def test_the_hash_of_users_is_pinned():
    """Folds must be the same on every machine: blake2b of seed and user."""
    names = ["u0", "u1", "u2", "u3"]
    found = split_of(Division(users=0.5, seed=7), START[:4], PART[:4], Named(*names))
    assert (found == TEST).tolist() == [hashed("7", name) < 0.5 for name in names]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"days": 1, "share": 0.1}, "--test-days and --test-share exclude each other"),
        ({"files": True, "folds": 2, "fold": 0}, "--test and --folds exclude each other"),
        ({"folds": 5}, "go together"),
        ({"fold": 1}, "go together"),
        ({"folds": 5, "fold": 5}, "numbered from 0 to 4"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        Division(**options)


def test_a_stray_session_steers_no_split():
    """Twenty sessions a day for nine days, and one of 2037."""
    start = np.sort(np.concatenate([86400.0 * np.arange(9) + user * 600 for user in range(20)])) + 1511539200
    found = split_of(Division(days=2), np.append(start, 2122867300.0), np.zeros(181, np.uint8), NAMED)
    assert np.bincount(found).tolist() == [140, 0, 40, 1]
    assert found[-1] == LEFT_OUT


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ([*range(0, 9000, 100), 2e9], 8900),
        ([0.0, *range(1_500_000_000, 1_500_900_000, 1000), 2.1e9], 1_500_899_000),  # one of 1970 as well
        ([*range(0, 900_000, 1000), 899_000 + 800_000], 1_699_000),  # a silence shorter than the log is none
        ([*range(8), 2e9], 2e9),  # with so few there is no telling
        ([*range(0, 9000, 100), 2e9, 2e9 + 1, 2e9 + 2], 2e9 + 2),  # three of 93 are no stray few
    ],
)
def test_where_a_log_ends(start, end: float):
    assert end_of(np.array(start, np.float64)) == end


def test_sessions_that_are_in_the_test_files_too():
    start, in_test = np.arange(4.0), np.array([0, 2, 1, 0], np.uint8)
    assert split_of(Division(files=True), start, in_test, NAMED).tolist() == [TRAIN, TRAIN, TEST, TRAIN]
    strict = Division(files=True, strict=True)
    assert split_of(strict, start, in_test, NAMED).tolist() == [TRAIN, LEFT_OUT, TEST, TRAIN]
    args = (start[:3], np.array([0, 2, 1], np.uint8), NAMED)
    found = np.array([TRAIN, TEST], np.uint8)
    assert known_in_training(Division(files=True), found, start[:2], *args).tolist() == [True, True, False]
    assert known_in_training(strict, found, start[:2], *args).tolist() == [True, False, False]
