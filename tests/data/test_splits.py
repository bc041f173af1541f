"""The division of sessions into training, validation and test."""

import numpy as np
import pytest

from generator.data.splits import TEST, TRAIN, VALID, Division, divide
from generator.errors import DataError

DAY = 86400.0
START = np.arange(100) * DAY / 10  # ten sessions a day, oldest first
NO_TIMES = np.full(100, np.nan)
PART = np.zeros(100, np.uint8)


def owners() -> list[str]:
    return [f"u{i % 17}" for i in range(100)]


def test_the_newest_fifth_is_the_test_part_by_default():
    found = divide(Division(), START, PART, owners)
    assert found.tolist() == [TRAIN] * 80 + [TEST] * 20


def test_the_newest_of_the_rest_validates():
    found = divide(Division(share=0.2, valid_share=0.25), START, PART, owners)
    assert found.tolist() == [TRAIN] * 60 + [VALID] * 20 + [TEST] * 20


def test_the_last_days_are_tested_on():
    found = divide(Division(days=2), START, PART, owners)
    assert found.tolist() == [TRAIN] * 80 + [TEST] * 20
    with pytest.raises(DataError, match="needs times"):
        divide(Division(days=2), NO_TIMES, PART, owners)


def test_files_decide():
    part = PART.copy()
    part[::3] = 1
    found = divide(Division(files=True), START, part, owners)
    assert (found == TEST).tolist() == (part == 1).tolist()


def test_without_times_the_parts_are_random_and_seeded():
    one, same, other = (divide(Division(share=0.2, valid_share=0.1, seed=s), NO_TIMES, PART, owners) for s in (1, 1, 2))
    assert one.tolist() == same.tolist() != other.tolist()
    assert np.bincount(one).tolist() == [72, 8, 20]
    assert one.tolist() != sorted(one.tolist())


def test_folds_part_the_users_once():
    users = np.array(owners())
    seen: list[str] = []
    for fold in range(5):
        found = divide(Division(folds=5, fold=fold), START, PART, owners)
        tested = set(users[found == TEST])
        assert tested.isdisjoint(users[found != TEST])
        seen += tested
    assert sorted(seen) == sorted(set(users))


def test_the_hash_of_users_is_pinned():
    """Folds must be the same on every machine: blake2b of seed and user, by hashlib, worked out by hand."""
    names = ["u0", "u1", "u2", "u3"]
    found = divide(Division(users=0.5, seed=7), START[:4], PART[:4], lambda: names)
    import hashlib

    tested = [int(hashlib.blake2b(f"7:{name}".encode(), digest_size=8).hexdigest()[0], 16) < 8 for name in names]
    assert (found == TEST).tolist() == tested


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
