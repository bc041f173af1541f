"""What is counted, by hand."""

import numpy as np
import pytest

from generator.data.sessions.ragged import Sessions, offsets
from generator.mixture import tables
from generator.mixture.tables import Counting, count

DAY = 86400.0
ITEM = np.arange(6)  # pages and items are one vocabulary


def sessions(pages, labels=None, start=None) -> Sessions:
    lengths = np.array([len(each) for each in pages])
    return Sessions(
        offset=offsets(lengths),
        page=np.concatenate(pages).astype(np.int32),
        dwell=np.ones(lengths.sum(), np.float32),
        bought_offset=np.zeros(len(pages) + 1, np.int64),
        bought=np.zeros(0, np.int32),
        start=np.full(len(pages), np.nan) if start is None else np.array(start, np.float64),
        user=np.full(len(pages), -1, np.int32),
        label=None if labels is None else np.array(labels, np.int32),
        training=True,
    )


def test_followers_count_by_their_distance():
    found = count(sessions([[1, 2, 3], [1, 3]]), ITEM, 5, Counting(followers=2))
    # After page 1: item 2 one step on, item 3 two steps on and, in the other session, one.
    two, three = 1.0, 1.0 + 2.0**-1.5
    assert found.follower[1].tolist() == [3, 2]
    np.testing.assert_allclose(found.share[1], np.array([three, two]) / (two + three + 3), rtol=1e-6)
    assert found.follower[2].tolist() == [3, 0]
    np.testing.assert_allclose(found.share[2], [1 / 4, 0], rtol=1e-6)
    assert not found.follower[[3, 4, 5]].any()
    assert not found.share[[3, 4, 5]].any()


def test_what_is_bought_counts_more_than_what_is_viewed():
    found = count(sessions([[1, 2]], labels=[4]), ITEM, 5, Counting(followers=3))
    bought, viewed = 2.0**-1.5, 0.03
    assert found.follower[1].tolist() == [4, 2, 0]
    np.testing.assert_allclose(found.share[1, :2], np.array([bought, viewed]) / (bought + viewed + 3), rtol=1e-6)
    assert found.follower[0].tolist() == [4, 0, 0]
    assert found.share[0].tolist() == [1, 0, 0]


def test_a_page_that_is_no_item_has_followers_and_is_none():
    item = np.array([0, 0, 2, 3, 4, 5])
    found = count(sessions([[2, 1, 3]]), item, 5, Counting(followers=3))
    assert found.follower[2].tolist() == [3, 0, 0]
    assert found.follower[1].tolist() == [3, 0, 0]
    assert sorted(found.follower[0].tolist()) == [0, 2, 3]


def test_counts_halve_with_age(monkeypatch):
    two_days = sessions([[1, 2], [1, 3]], start=[0.0, 2 * DAY])
    monkeypatch.setattr(tables, "NEWER", 0)
    found = count(two_days, ITEM, 5, Counting(followers=2, aging=1.0, trend=2.0))
    assert found.follower[1].tolist() == [3, 2]
    np.testing.assert_allclose(found.share[1], np.array([1, 0.25]) / (1.25 + 3), rtol=1e-6)
    assert found.follower[0].tolist() == [1, 3]
    np.testing.assert_allclose(found.share[0], [1.5 / 3, 1 / 3], rtol=1e-6)
    lately, ever = np.array([1.5, 0.5, 1]), np.array([2, 1, 1]) * 3 / 4
    np.testing.assert_allclose(found.trend[1:4], np.log((lately + 2) / (ever + 2)), rtol=1e-6)


def test_a_session_long_after_all_others_makes_them_no_older():
    start = np.append(np.linspace(0, 10 * DAY, 400), 100 * DAY)
    age = tables.age_of(start)
    assert age[-1] == 0
    assert age[0] == pytest.approx(10, abs=0.1)
    assert (np.diff(age) <= 0).all()


def test_without_times_nothing_ages():
    found = count(sessions([[1, 2], [1, 3]]), ITEM, 5, Counting(followers=2, aging=1.0, trend=1.0))
    assert not found.trend.any()
    np.testing.assert_allclose(found.share[1], [1 / 5, 1 / 5], rtol=1e-6)


def test_counting_in_parts_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    drawn = sessions([rng.integers(1, 6, rng.integers(1, 9)) for _ in range(50)], start=rng.random(50) * 9 * DAY)
    whole = count(drawn, ITEM, 5, Counting(followers=3, aging=2.0))
    monkeypatch.setattr(tables, "VIEWS", 7)
    parts = count(drawn, ITEM, 5, Counting(followers=3, aging=2.0))
    np.testing.assert_array_equal(parts.follower, whole.follower)
    assert parts.share == pytest.approx(whole.share, rel=1e-6)
