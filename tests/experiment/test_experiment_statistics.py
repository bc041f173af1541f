"""The statistics, against sums by hand and the evaluator's own bootstrap."""

import numpy as np
import pytest

from generator.evaluation.metrics import METRICS, Tally, values
from generator.experiment.nets import NetVariant
from generator.experiment.results import Results
from generator.experiment.work import Record, _curve
from generator.spec.schema import Spec

SPEC = Spec.model_validate(
    {"name": "a", "net": "rnn", "pages": 9, "items": 9, "top_k": 3, "rnn": {"window": 2, "widths": [4]}}
)


class Fold:
    """What `Results` reads of a fold."""

    def __init__(self, sessions):
        self.test = {"session": np.array(sessions), "unknown": np.zeros(len(sessions), np.uint8)}

    def rows(self, spec):
        return 640


def record(*ranks, seconds=(1.0,)):
    return Record(np.array(ranks, np.float32), np.arange(1, len(ranks) + 1) * 20, np.array(seconds), np.ones((2, 3)))


def test_seeds_are_averaged_and_folds_pooled():
    folds = [Fold([0, 0, 1]), Fold([0, 1])]
    net = NetVariant(SPEC, SPEC)
    nets = {net.hash: [[record([1, 2, 4]), record([np.inf, 1])], [record([2, 2, 25]), record([1, 3])]]}
    results = Results(folds, [1, 2], nets, {"pop": [record([5, 5, 5]), record([10, 1])]})
    # Sessions of the two folds stay apart, though both begin at 0.
    assert results.sessions.tolist() == [0, 0, 1, 2, 3]
    mrr = METRICS.index("MRR@20")
    np.testing.assert_allclose(results.rows(net)[:, mrr], [(1 + 1 / 2) / 2, 1 / 2, 1 / 8, 1 / 2, (1 + 1 / 3) / 2])
    np.testing.assert_allclose(results.each_seed(net)[:, mrr], [2.75 / 5, (1 / 2 + 1 / 2 + 0 + 1 + 1 / 3) / 5])
    np.testing.assert_allclose(results.each_seed("pop")[:, mrr], [1.7 / 5] * 2)
    assert results.epochs(net) == 20 * 64 / 640
    found = results.estimates({"net": results.rows(net), "pop": results.rows("pop")})
    assert found.of("net", "MRR@20").value == pytest.approx(((2.75 + 7 / 3) / 2) / 5, abs=1e-6)
    assert found.difference("net", "pop", "HR@1").value == pytest.approx((2 + 1) / 2 / 5 - 1 / 5, abs=1e-6)


def test_by_values_or_by_ranks_the_bootstrap_is_the_same():
    random = np.random.default_rng(1)
    sessions = np.repeat(np.arange(40), random.integers(1, 5, 40))
    ranks = {name: random.integers(1, 40, len(sessions)).astype(float) for name in "ab"}
    one, two = Tally("ab", 200), Tally("ab", 200)
    one.add(ranks, sessions)
    for part in np.array_split(np.arange(len(sessions)), 3):
        two.add_values(np.stack([values(ranks[name][part]) for name in "ab"], axis=1), sessions[part])
    for metric in ("HR@5", "MRR@20"):
        first, second = one.difference("a", "b", metric), two.difference("a", "b", metric)
        assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))


def test_the_loss_between_two_lines_counts_by_its_updates():
    # Lines at 10 and 20, a point at 14, the end at 23: 4 updates of loss 3 and 6 of loss 1 make 1.8.
    lines = [(10, 5.0), (14, 3.0), (20, 1.0), (23, 0.5)]
    found = _curve([{"iteration": at, "loss": loss, "seconds": at / 10} for at, loss in lines], 10)
    np.testing.assert_allclose(found, [[10, 5, 1], [20, 1.8, 2], [23, 0.5, 2.3]])


def test_a_difference_of_gains_is_paired():
    # The gain is 1/2 at window 1 and 0 at window 8 on every row: no resampling can move that.
    ranks = {"w1 on": [1, 1, 1], "w1 off": [2, 2, 2], "w8 on": [1, 3, 9], "w8 off": [1, 3, 9]}
    rows = {name: values(np.array(each, float)) for name, each in ranks.items()}
    results = Results([Fold([0, 1, 2])], [1], {}, {})
    gains = {name: rows[f"{name} on"] - rows[f"{name} off"] for name in ("w1", "w8")}
    found = results.estimates(gains).difference("w1", "w8", "MRR@20")
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
