"""The metrics against a slow loop, scipy, and a classical bootstrap."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import poisson, rankdata

from generator.errors import DataError, ModelError
from generator.evaluation.metrics import HEADLINES, METRICS, Tally, values
from generator.evaluation.ranking import ranks


@settings(deadline=None)
@given(
    scores=arrays(np.float32, (7, 12), elements=st.integers(-3, 3)),
    labels=arrays(np.int64, 7, elements=st.integers(1, 11)),
)
def test_ranks_are_scipys_average_ranks_of_the_items_without_none(scores, labels):
    expected = [rankdata(-row[1:], method="average")[label - 1] for row, label in zip(scores, labels, strict=True)]
    assert ranks(scores, labels).tolist() == expected


def test_column_zero_never_takes_a_place():
    assert ranks(np.array([[99.0, 3.0, 2.0]]), np.array([1])).tolist() == [1.0]


@pytest.mark.parametrize("label", [0, -1])
def test_a_label_out_of_the_vocabulary_ranks_at_infinity(label):
    rank = ranks(np.array([[0.0, 1.0, 1.0], [0.0, 2.0, 1.0]]), np.array([label, 2]))
    assert rank.tolist() == [math.inf, 2.0]
    assert values(rank)[0].tolist() == [0.0] * len(METRICS)


def test_infinite_scores_are_ordered():
    assert ranks(np.array([[0.0, -np.inf, np.inf, 1.0]]), np.array([3])).tolist() == [2.0]


def test_nan_is_an_error_that_names_the_row():
    scores = np.ones((3, 4), np.float32)
    scores[2, 1] = np.nan
    with pytest.raises(ModelError, match=r"row 2 hold NaN"):
        ranks(scores, np.array([1, 2, 3]))


def test_ranks_of_more_rows_than_are_compared_at_a_time():
    random = np.random.default_rng(0)
    scores, labels = random.integers(0, 500, (300, 2001)).astype(np.float32), random.integers(1, 2001, 300)
    expected = [rankdata(-row[1:])[label - 1] for row, label in zip(scores, labels, strict=True)]
    assert ranks(scores, labels).tolist() == expected
    scores[299, 2000] = np.nan
    with pytest.raises(ModelError, match=r"row 299 hold NaN"):
        ranks(scores, labels)


@pytest.mark.parametrize("items", [1, 126, 127, 128, 255, 256, 32767, 32768, 65536])
def test_counts_fit_their_width(items):
    last = np.arange(items + 1, dtype=np.float32)  # the label 1 is the worst
    assert ranks(np.stack([np.ones_like(last), last]), np.array([1, 1])).tolist() == [(1 + items) / 2, items]


def test_nan_in_column_zero_is_no_error():
    assert ranks(np.array([[np.nan, 1.0, 2.0]]), np.array([2])).tolist() == [1.0]


def test_a_label_without_a_column_is_an_error():
    with pytest.raises(DataError, match=r"row 1 has label 3 .* 1\.\.2"):
        ranks(np.ones((2, 3)), np.array([1, 3]))


def test_no_rows():
    assert ranks(np.ones((0, 3)), np.zeros(0, int)).shape == (0,)
    assert values(np.zeros(0)).shape == (0, len(METRICS))


def slow(rank: float) -> dict[str, float]:
    found = {f"HR@{k}": 0.0 for k in range(1, 21)} | {"MRR@20": 0.0, "NDCG@20": 0.0}
    for k in range(1, 21):
        if rank <= k:
            found[f"HR@{k}"] = 1.0
    if rank <= 20:
        found["MRR@20"] = 1.0 / rank
        found["NDCG@20"] = math.log(2) / math.log(1 + rank)
    return found


def test_values_are_those_of_a_slow_loop():
    rank = np.concatenate([np.arange(1, 25, 0.5), [1e6, math.inf]])
    for row, one in zip(values(rank), rank, strict=True):
        assert dict(zip(METRICS, row, strict=True)) == pytest.approx(slow(one))


def test_the_headlines_are_metrics():
    assert set(HEADLINES) <= set(METRICS)


def clustered(seed: int, sessions: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Ranks whose session decides most of them, so that rows are far from independent."""
    random = np.random.default_rng(seed)
    session = np.repeat(np.arange(sessions), random.integers(1, 9, sessions))
    ease = random.random(sessions)[session]
    return np.where(random.random(len(session)) < ease, random.integers(1, 10, len(session)), 50).astype(float), session


@pytest.mark.parametrize("replicates", [199, 200])
def test_the_value_is_the_mean_over_rows_however_they_are_cut(replicates):
    rank, session = clustered(1)
    whole, parts = Tally(["a"], replicates, seed=3), Tally(["a"], replicates, seed=3)
    whole.add({"a": rank}, session)
    for start in range(0, len(rank), 7):  # many a session straddles two batches, or three
        parts.add({"a": rank[start : start + 7]}, session[start : start + 7])
    assert (parts.rows, parts.sessions) == (whole.rows, whole.sessions) == (len(rank), 300)
    for column, metric in enumerate(METRICS):
        found, again = whole.estimate("a", metric), parts.estimate("a", metric)
        assert found.value == pytest.approx(values(rank)[:, column].mean())
        assert (again.value, again.low, again.high) == pytest.approx((found.value, found.low, found.high))


def test_the_interval_is_that_of_a_classical_bootstrap_over_sessions():
    rank, session = clustered(2)
    tally = Tally(["a"], 4000, seed=4)
    tally.add({"a": rank}, session)
    random = np.random.default_rng(5)
    rows_of = [np.flatnonzero(session == one) for one in range(300)]
    means = []
    for _ in range(2000):
        rows = np.concatenate([rows_of[one] for one in random.integers(0, 300, 300)])
        means.append((rank[rows] <= 5).mean())
    found = tally.estimate("a", "HR@5")
    low, high = np.percentile(means, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.005)
    assert found.high == pytest.approx(high, abs=0.005)
    # The rows of a session go together: an interval over independent rows would be far narrower.
    independent = 1.96 * 2 * (rank <= 5).std() / math.sqrt(len(rank))
    assert found.high - found.low > 1.2 * independent


def test_the_weights_are_poissons():
    rank, session = clustered(9)
    tally = Tally(["a", "b"], 1000, seed=10)
    tally.add({"a": rank, "b": rank + 3}, session)
    drawn = np.random.default_rng(10).random((300, 1000), np.float32)
    weight = poisson(1).ppf((np.floor(drawn * 2**16) + 0.5) / 2**16)[session]  # 16 bits of each draw count
    for method, ranked in (("a", rank), ("b", rank + 3)):
        found = tally.estimate(method, "MRR@20")
        means = values(ranked)[:, -2] @ weight / weight.sum(axis=0)
        assert (found.low, found.high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=1e-6)


def test_differences_are_paired():
    rank, session = clustered(6)
    tally = Tally(["a", "same", "worse"], 500, seed=7)
    tally.add({"a": rank, "same": rank.copy(), "worse": rank + 1}, session)
    same = tally.difference("a", "same", "HR@10")
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    worse = tally.difference("a", "worse", "HR@5")
    assert worse.value == pytest.approx((rank <= 5).mean() - (rank + 1 <= 5).mean())
    assert 0 < worse.low < worse.value < worse.high
    # Unpaired, the two intervals overlap.
    assert tally.estimate("a", "MRR@20").half > tally.difference("a", "worse", "HR@5").half


def test_the_seed_decides_the_interval():
    rank, session = clustered(8)
    found = []
    for seed in (1, 1, 2):
        tally = Tally(["a"], 100, seed)
        tally.add({"a": rank}, session)
        found.append(tally.estimate("a", "HR@5"))
    assert found[0] == found[1] != found[2]
    assert found[0].value == found[2].value


def test_one_session_gives_a_figure_without_spread():
    tally = Tally(["a"], 100)
    tally.add({"a": np.array([1.0, 30.0])}, np.array([9, 9]))
    found = tally.estimate("a", "HR@1")
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_no_row_is_an_error():
    tally = Tally(["a"])
    tally.add({"a": np.zeros(0)}, np.zeros(0, int))
    with pytest.raises(DataError, match="no row"):
        tally.estimate("a", "HR@1")
