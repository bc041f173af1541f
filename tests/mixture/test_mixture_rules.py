"""A mixture with the numbers of a rule ranks as the baseline of that name does, whatever the net says."""

import random
from pathlib import Path

import numpy as np
import pytest

from generator.data.build import build
from generator.data.options import Options
from generator.data.sessions.splits import Division
from generator.evaluation.baselines import choose
from generator.evaluation.evaluate import row_ranks
from generator.evaluation.metrics import CUTOFF
from generator.evaluation.rows import SplitRows
from generator.mixture.rules import COUNTED, RULES, leaning, ranking_as
from generator.model.model import Model
from generator.spec.schema import Spec
from generator.training.run.train import TrainOptions, train

ITEMS = 60


def spec_of(target: str) -> Spec:
    return Spec.model_validate(
        {
            "name": "m",
            "net": "rnn",
            "pages": ITEMS,
            "items": ITEMS,
            "rnn": {"window": 2, "widths": [8]},
            "head": {"tied": True, "projection": True, "mix": {**COUNTED, "pages": 16}},
            "data": {"target": target},
            "solver": {"max_iter": 1, "batch_size": 4},
        }
    )


@pytest.fixture(scope="module", params=["purchase", "next"])
def shop(request, tmp_path_factory):
    """A data folder of short sessions of both popular and rare items, some viewed again; and the spec of a net."""
    draw, rows = random.Random(4), ["user,time,page,event,item"]
    for session in range(700):
        viewed = [int(ITEMS * draw.random() ** 2) for _ in range(draw.randint(2, 4))]
        now = 1_700_000_000 + 7200 * session
        for page in [*viewed, *draw.choices(viewed, k=draw.randint(0, 4))]:
            rows.append(f"u{session},{now},i{page},view,i{page}")
            now += draw.randint(1, 90)
        bought = draw.choice(viewed) if session % 3 else int(ITEMS * draw.random() ** 2)
        rows.append(f"u{session},{now},,buy,i{bought}")
    folder = tmp_path_factory.mktemp("rules")
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    spec = spec_of(request.param)
    build([folder / "log.csv"], folder / "data", spec, Options(form="events", division=Division(share=0.3)))
    return folder, spec


def ranks_of(rule: str, spec: Spec, data: Path, run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the ranks of the test labels by a mixture with the numbers of a rule, and by the rule."""
    train(spec, data, run, TrainOptions(until=0, mix_from=ranking_as(rule, 3)))
    return row_ranks(Model(run), data), row_ranks(choose([rule])[0], data)


def reciprocal(ranks: np.ndarray) -> float:
    return float(np.where(ranks <= CUTOFF, 1 / ranks, 0).mean())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_it_ranks_as_the_baseline(shop, rule):
    folder, spec = shop
    net, baseline = ranks_of(rule, spec, folder / "data", folder / rule)
    with SplitRows(folder / "data", "test") as rows:
        (batch,) = rows.batches(10_000)
        viewed = np.bincount(batch.row[batch.item == batch.label[batch.row]], minlength=len(batch)) > 0
    assert 0.1 < viewed.mean() < 0.9
    if rule in ("recency", "frequency", "dwell-frequency"):
        assert (net[viewed] == baseline[viewed]).all()
    # Behind the pages viewed only 30 popular items are told apart, and items that are as popular as others by the net.
    assert reciprocal(net) == pytest.approx(reciprocal(baseline), abs=0.005)


def test_leaning_moves_weight_to_the_part_that_is_the_rule():
    fitted = ranking_as("popularity", 1)
    found = leaning(fitted, "frequency", 0.75)
    assert found.coefficient.tolist() == [2, -0.01, 0, 0, 0]
    np.testing.assert_allclose(found.weight.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(found.weight[0], [1e-12, 0, 0.25, 0.75], atol=1e-6)
    assert leaning(ranking_as("recency", 1), "popularity", 0.5).coefficient.tolist() == [0, -1, 0, 0, 0]
