"""Every baseline on sessions worked by hand."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from shoppers import ITEMS, PAGES, TEST, Shopper, write_part

from generator.data.store.split import read_sessions
from generator.errors import DataError
from generator.evaluation import baselines
from generator.evaluation.baselines import BASELINES, Popularity, choose
from generator.evaluation.ranking import Ties, ranked, ranks
from generator.evaluation.rows import SplitRows


def ranking(folder: Path, baseline) -> list[list[str]]:
    """The items of each row, best first; those that tie are one entry, in the order of the vocabulary."""
    with SplitRows(folder, "train") as train:
        baseline.fit(train)
    found = []
    with SplitRows(folder, "test") as test:
        for batch in test.batches(2):
            for row in baseline.scores(batch)[:, 1:]:
                levels = sorted(set(row.tolist()), reverse=True)
                found.append(["=".join(ITEMS[i] for i in np.flatnonzero(row == level)) for level in levels])
    return found


class Common:
    """What holds for every baseline; a new one inherits it and adds its known answers."""

    name: str
    expected: tuple[list[str], ...]  # by row of TEST

    def test_known_answers(self, folder):
        assert ranking(folder, BASELINES[self.name]()) == list(self.expected)

    def test_scores_are_a_finite_row_each_and_none_is_last(self, folder):
        (baseline,) = choose(self.name)
        with SplitRows(folder, "train") as train, SplitRows(folder, "test") as test:
            baseline.fit(train)
            (batch,) = test.batches(100)
            scores = baseline.scores(batch)
        assert scores.shape == (len(TEST), len(ITEMS) + 1)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert (scores[:, 0] < scores[:, 1:].min(axis=1)).all()

    @pytest.mark.parametrize("ties", get_args(Ties))
    def test_rows_are_ranked_as_by_the_scores(self, random_folder, ties):
        folder, _, _ = random_folder
        (baseline,) = choose(self.name)
        with SplitRows(folder, "train") as train, SplitRows(folder, "test") as test:
            baseline.fit(train)
            for batch in test.batches(7):
                found, expected = baseline.rank(batch, ties), ranked(baseline.scores(batch), batch.label, ties)
                assert found.rank.tolist() == expected.rank.tolist()
                assert found.top.tolist() == expected.top.tolist()

    def test_another_of_its_settings_is_the_same_method(self):
        (baseline,) = choose(self.name)
        assert type(baseline)(**baseline.settings).settings == baseline.settings
        for settings in baseline.grid:
            assert baseline.settings | settings == type(baseline)(**settings).settings

    def test_the_answer_depends_on_no_batch_and_no_earlier_call(self, folder):
        (baseline,) = choose([self.name])
        with SplitRows(folder, "train") as train, SplitRows(folder, "test") as test:
            baseline.fit(train)
            whole = [baseline.scores(batch) for batch in test.batches(100)]
            parts = [baseline.scores(batch) for batch in test.batches(1)]
            baseline.fit(train)
            again = [baseline.scores(batch) for batch in test.batches(3)]
        assert np.array_equal(np.concatenate(whole), np.concatenate(parts))
        assert np.array_equal(np.concatenate(whole), np.concatenate(again))

    def test_sessions_without_a_view_of_an_item_fall_back_on_popularity(self, folder):
        write_part(folder / "test.h5", [Shopper([("d", 1)], "b"), Shopper([("?", 1)], "b"), Shopper([], "b")])
        assert ranking(folder, BASELINES[self.name]()) == [["b", "c", "a=z"]] * 3


# Training labels: b 3, c 2, a 1, z 1. The window of the test rows holds 3 states, so older ones come from the session.
# Sessions: a5 b60 c20 a5 ? d1 | c2 b2 | d3 e1 | a1 | b7 c3 c3 b1


class TestPopularity(Common):
    name = "popularity"
    expected = (["b", "c", "a=z"],) * 5


class TestLastView(Common):
    name = "last-view"
    expected = (["b", "c", "a=z"], ["b", "c", "a=z"], ["b", "c", "a=z"], ["a", "b", "c", "z"], ["b", "c", "a=z"])


class TestSecondLastView(Common):
    name = "second-last-view"
    expected = (["a", "b", "c", "z"], ["c", "b", "a=z"], ["b", "c", "a=z"], ["b", "c", "a=z"], ["c", "b", "a=z"])


class TestRecency(Common):
    name = "recency"
    expected = (["a", "c", "b", "z"], ["b", "c", "a=z"], ["b", "c", "a=z"], ["a", "b", "c", "z"], ["b", "c", "a=z"])


class TestFrequency(Common):
    name = "frequency"
    expected = (["a", "c", "b", "z"], ["b", "c", "a=z"], ["b", "c", "a=z"], ["a", "b", "c", "z"], ["b", "c", "a=z"])


class TestDwellFrequency(Common):
    name = "dwell-frequency"
    expected = (["b", "c", "a", "z"], ["b", "c", "a=z"], ["b", "c", "a=z"], ["a", "b", "c", "z"], ["b", "c", "a=z"])


# Every training session has viewed a alone. In the first row a is two views back, in the fourth it is the last view.
class TestSequentialRules(Common):
    name = "rules"
    expected = (["b", "c", "a=z"],) * 5


# Every training session holds a, whose document frequency makes it worth the least; z is bought once.
class TestVsKnn(Common):
    name = "vs-knn"
    expected = (["b", "c", "z", "a"], ["b", "c", "a=z"], ["b", "c", "a=z"], ["b", "c", "z", "a"], ["b", "c", "a=z"])


class TestStan(Common):
    name = "stan"
    expected = (["b", "c", "a", "z"], ["b", "c", "a=z"], ["b", "c", "a=z"], ["b", "c", "a", "z"], ["b", "c", "a=z"])


class TestVstan(Common):
    name = "vstan"
    expected = (["b", "c", "z", "a"], ["b", "c", "a=z"], ["b", "c", "a=z"], ["b", "c", "z", "a"], ["b", "c", "a=z"])


class TestAls(Common):
    name = "als"

    def test_known_answers(self, folder):
        """Only the first and the third row have bought something, z b c and a; no user bought two items."""
        first, *rest = ranking(folder, BASELINES[self.name]())
        assert first[-1] == "a"
        assert rest[1][0] == "a"
        assert [rest[0], *rest[2:]] == [["b", "c", "a=z"]] * 3


def test_every_baseline_has_its_test():
    assert {cls.name for cls in Common.__subclasses__()} == set(BASELINES)


def test_every_public_baseline_is_registered():
    public = {getattr(baselines, name) for name in baselines.__all__ if isinstance(getattr(baselines, name), type)}
    assert public - {baselines.Baseline} == set(BASELINES.values())


def test_frequency_is_a_slow_count_on_random_sessions(folder):
    random = np.random.default_rng(3)
    shoppers = [
        Shopper([(PAGES[i], 1.0) for i in random.integers(0, len(PAGES), random.integers(1, 30))], "b")
        for _ in range(60)
    ]
    write_part(folder / "test.h5", shoppers)
    for shopper, found in zip(shoppers, ranking(folder, BASELINES["frequency"]()), strict=True):
        pages = [page for page, _ in shopper.views if page in ITEMS]
        last = {page: place for place, page in enumerate(pages)}
        assert found[: len(last)] == sorted(last, key=lambda page: (-pages.count(page), -last[page]))


def test_a_label_at_every_state_counts_once_a_session(folder):
    write_part(
        folder / "train.h5",
        [Shopper([("a", 1)] * 3, "a"), Shopper([("a", 1)], "c"), Shopper([("a", 1)], "c")],
        every=True,
    )
    assert ranking(folder, Popularity())[0] == ["c", "a", "b=z"]


def test_a_tie_costs_the_mean_rank(folder):
    baseline = Popularity()
    with SplitRows(folder, "train") as train, SplitRows(folder, "test") as test:
        baseline.fit(train)
        (batch,) = test.batches(100)
        assert ranks(baseline.scores(batch), batch.label).tolist() == [2.0, 1.0, 3.5, np.inf, 3.5]


def test_the_names_on_the_command_line():
    assert [one.name for one in choose("all")] == list(BASELINES)
    assert [one.name for one in choose("default")] == ["popularity", "last-view", "recency", "frequency"]
    assert choose("none") == []
    assert [one.name for one in choose("recency, popularity,recency")] == ["recency", "popularity"]
    with pytest.raises(DataError, match=r"no baseline 'knn': choose of popularity, .* default, all, none"):
        choose("popularity,knn")


def test_rows_hold_the_states_of_the_sessions(folder):
    with SplitRows(folder, "test") as test:
        (batch,) = test.batches(100)
        assert np.diff(batch.seen.offset).tolist() == [5, 2, 2, 1, 4]
        assert batch.seen.page.tolist()[:5] == [1, 2, 3, 1, 4]
        assert batch.item.tolist()[:5] == [3, 1, 2, 3, 0]
        assert batch.row.tolist() == [0] * 5 + [1] * 2 + [2] * 2 + [3] + [4] * 4
        assert batch.label.tolist() == [2, 1, 3, 0, 4]
        assert np.diff(batch.seen.bought_offset).tolist() == [3, 0, 1, 0, 0]
        whole = test.sessions()
    stored = read_sessions(folder / "test.h5")
    assert whole.page.tolist() == stored.page[stored.page > 0].tolist()
