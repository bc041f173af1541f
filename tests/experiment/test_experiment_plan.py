"""Plans of experiments: what a good one means, and what a broken one is told, to the letter.

Each case of the latter is two files: errors/<case>.yaml, the plan, and errors/<case>.txt, what stderr shows.
"""

from pathlib import Path

import pytest

from generator.errors import SpecError
from generator.evaluation.baselines import BASELINES
from generator.experiment.nets import nets_of, points_of
from generator.experiment.plan import load_plan

CASES = sorted((Path(__file__).parent / "errors").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_broken_plan_of_experiments_is_told_what_and_where(case, monkeypatch):
    monkeypatch.chdir(case.parent)
    with pytest.raises(SpecError) as caught:
        load_plan(case.name)
    expected = case.with_suffix(".txt").read_text(encoding="utf-8").replace("BASELINES", ", ".join(BASELINES))
    assert f"{caught.value}\n" == expected


def test_a_plan_that_is_nowhere_is_told():
    with pytest.raises(SpecError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_plan("nowhere.yaml")


@pytest.mark.parametrize("name", ["shop-small", "shop", "yoochoose", "taobao", "retail-beh"])
def test_the_plans_that_come_with_drn_hold(root, name):
    plan = load_plan(root / "arch_specs" / "experiments" / f"{name}.yaml")
    assert {"accuracy", "als", "top_k", "history", "batch_size", "convergence"} <= set(plan.names)
    purchases = name in ("shop-small", "shop", "taobao")
    assert ("nets" in plan.names) == purchases
    if purchases:
        assert [plan.specs[name].net for name in ("fnn", "rnn", "combined")] == ["fnn", "rnn", "combined"]


def test_a_variant_lies_over_spec_over_base(root, tmp_path):
    (tmp_path / "plan.yaml").write_text(
        f"data: {{folder: x}}\nbase: {root / 'arch_specs/combined.yaml'}\n"
        "spec: {name: mine, solver: {momentum: 0.5}}\n"
        f"variants:\n  one: {{net: rnn, rnn: {{window: 2}}}}\n"
        f"  two: {{base: {root / 'arch_specs/rnn.yaml'}, rnn.window: 3}}\n"
        "experiments: {accuracy: }\n"
    )
    one, two = load_plan(tmp_path / "plan.yaml").specs.values()
    assert (one.name, one.net, one.window, one.solver.momentum) == ("mine", "rnn", 2, 0.5)
    assert (two.name, two.window, two.solver.momentum) == ("rnn", 3, 0.9)


def test_what_an_experiment_changes_and_how_long_it_trains(plan_file):
    plan = load_plan(plan_file)
    assert plan.names == ["accuracy", "als", "nets", "top_k", "history", "batch_size", "convergence"]
    history = nets_of(plan, "history")
    assert [(net.spec.window, net.spec.history) for net in history.values()] == [(1, 0), (1, 4), (3, 0), (3, 4)]
    # Window 3 with a history of 4 is the variant itself: trained once, and followed where the variant is.
    assert history["window 3, history 4"].hash == nets_of(plan, "nets")["combined"].hash in points_of(plan)
    small, same = nets_of(plan, "batch_size").values()
    assert [net.spec.solver.batch_size for net in (small, same)] == [16, 32]
    assert (small.iterations(700, 700), same.iterations(700, 700)) == (160, 80)
    # Half the rows at each update, three times the rows an epoch: as many epochs.
    assert small.iterations(2100, 700) == 480


def test_only_some_experiments_are_left(plan_file):
    plan = load_plan(plan_file)
    assert plan.only(["nets", "top_k"]).names == ["nets", "top_k"]
    assert plan.only([]).names == plan.names
    with pytest.raises(SpecError, match="the plan has no experiment speed: it has accuracy, als, nets"):
        plan.only(["speed"])
