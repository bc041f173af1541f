"""Coverage and popularity of what is recommended, by hand."""

import numpy as np
import pytest
from histories import sessions_of, write
from shoppers import ITEMS

from generator.evaluation.baselines import choose
from generator.evaluation.coverage import COVERAGE, POPULARITY, Coverage
from generator.evaluation.evaluate import evaluate


def test_by_hand():
    """Of five items, counted 8, 4, 2, 0 and 0, the first three are recommended; the lists are 6/8 and 5/8 popular."""
    one = Coverage(np.array([0, 8, 4, 2, 0, 0]))
    one.add(np.array([[1, 2]], np.int32))
    one.add(np.array([[1, 3], [1, 2]], np.int32))
    assert one.figures() == {COVERAGE: 3 / 5, POPULARITY: pytest.approx((0.75 + 0.625 + 0.75) / 3)}


def test_without_rows_and_without_counts_all_is_0():
    assert Coverage(np.zeros(3, np.int64)).figures() == {COVERAGE: 0, POPULARITY: 0}
    one = Coverage(np.zeros(3, np.int64))
    one.add(np.array([[2, 1]], np.int32))
    assert one.figures() == {COVERAGE: 1, POPULARITY: 0}


@pytest.mark.parametrize("batch_size", [1, 100])
def test_a_report_has_them_for_every_method(folder, batch_size):
    """The shop has four items, so all are recommended to everyone; as labels b has 3, c 2, a and z 1."""
    report = evaluate({}, folder, choose("popularity,recency"), batch_size=batch_size, replicates=5)
    assert len(ITEMS) == 4
    for method in report.methods:
        assert method.recommended == {COVERAGE: 1, POPULARITY: pytest.approx((3 + 2 + 1 + 1) / 3 / 4)}


def test_popularity_recommends_twenty_items_and_rules_more(tmp_path):
    views = [[page, page % 60 + 1] for page in range(1, 61)] + [[1, 2]]
    write(tmp_path, sessions_of(views), sessions_of([[page, 3] for page in range(1, 61)]), items=60)
    popular, rules = evaluate({}, tmp_path, choose("popularity,rules"), replicates=5).methods
    assert popular.recommended[COVERAGE] == 20 / 60
    assert popular.recommended[POPULARITY] == pytest.approx((2 + 19) / 2 / 20)  # item 2 was next twice, others once
    assert rules.recommended[COVERAGE] == 1
