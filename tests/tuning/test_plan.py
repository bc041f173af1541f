"""Plans: what a good one means, and what a broken one is told, to the letter.

Each case of the latter is two files: errors/<case>.yaml, the plan, and errors/<case>.txt, what stderr shows.
"""

import shutil
from pathlib import Path

import optuna
import pytest

from generator.errors import SpecError
from generator.spec import load_spec, spec_hash
from generator.tuning.optuna_samplers import distributions
from generator.tuning.plan import load_plan

CASES = sorted((Path(__file__).parent / "errors").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_broken_plan_is_told_what_and_where(case, monkeypatch):
    monkeypatch.chdir(case.parent)
    with pytest.raises(SpecError) as caught:
        load_plan(case.name)
    assert f"{caught.value}\n" == case.with_suffix(".txt").read_text(encoding="utf-8")


def test_a_plan_that_is_not_there_is_told():
    with pytest.raises(SpecError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_plan("nowhere.yaml")


def genomes(plan, count):
    """Random genomes, drawn by optuna."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [dict(study.ask(distributions(plan.space.parameters())).params) for _ in range(count)]


@pytest.mark.parametrize("name", ["shop", "yoochoose"])
def test_the_example_plans_hold_and_so_does_every_spec_of_them(root, name):
    plan = load_plan(root / "arch_specs" / "tune" / f"{name}.yaml")
    for genome in genomes(plan, 200):
        values = plan.space.express(genome)
        spec = plan.space.spec(values)
        assert spec.name == f"{name}-tuned"
        assert spec.solver.base_lr == values["solver.base_lr"]
        if spec.has_rnn:
            assert (spec.window, spec.rnn.widths) == (values["rnn.window"], values["rnn.widths"])


def test_a_spec_file_to_start_with_gives_its_genes(make_plan, tmp_path, root):
    shutil.copy(root / "arch_specs/combined.yaml", tmp_path / "mine.yaml")
    own = load_spec(tmp_path / "mine.yaml")
    plan = make_plan(("confirm: null", "confirm: null\nstart: [{rnn.window: 1}, mine.yaml]"))
    assert plan.start == [
        {"rnn.window": 1},
        {
            "net": "combined",
            "rnn.window": own.window,
            "rnn.widths": list(own.rnn.widths),
            "solver.base_lr": own.solver.base_lr,
        },
    ]


def test_a_list_is_read_up_to_its_length(make_plan):
    plan = make_plan(("length: [1, 2]", "length: [1, 3]"))
    drawn = {"net": 0, "rnn.window": 3, "rnn.widths.length": 2, "solver.base_lr": 0.123456}
    drawn |= {"rnn.widths[0]": 1, "rnn.widths[1]": 0, "rnn.widths[2]": 1}
    values = plan.space.express(drawn)
    assert values == {"net": "rnn", "rnn.window": 3, "rnn.widths": [8, 4], "solver.base_lr": 0.1235}
    assert plan.space.readable(drawn)["rnn.widths[2]"] is None
    other = plan.space.express({**drawn, "rnn.widths[2]": 0})
    assert spec_hash(plan.space.spec(values)) == spec_hash(plan.space.spec(other))


def test_genes_of_a_section_the_net_does_not_read_do_not_tell_specs_apart(make_plan):
    plan = make_plan(("[rnn, combined]", "[fnn, combined]"))
    values = {"rnn.window": 2, "rnn.widths": [4], "solver.base_lr": 0.1}
    fnn = [spec_hash(plan.space.spec({**values, "net": "fnn", "rnn.window": window})) for window in (1, 3)]
    both = [spec_hash(plan.space.spec({**values, "net": "combined", "rnn.window": window})) for window in (1, 3)]
    assert fnn[0] == fnn[1]
    assert both[0] != both[1]


def test_a_choice_may_be_of_sections(make_plan):
    text = "  rnn.window: {int: [1, 3]}\n  rnn.widths: {list: {choice: [4, 8]}, length: [1, 2]}\n"
    plan = make_plan((text, "  rnn: {choice: [{window: 1, widths: [4]}, {window: 3, widths: [8, 8], history: 4}]}\n"))
    spec = plan.space.spec({"net": "rnn", "rnn": {"window": 3, "widths": [8, 8], "history": 4}, "solver.base_lr": 1.0})
    assert (spec.window, spec.history) == (3, 4)


def test_the_fixed_part_lies_over_its_base(root, tmp_path):
    (tmp_path / "plan.yaml").write_text(
        f"base: {root / 'arch_specs' / 'rnn.yaml'}\nspec: {{name: mine, solver: {{momentum: 0.5}}}}\n"
        "search: {rnn.window: {int: [1, 4]}}\nbudget: {minutes: 1}\n"
    )
    spec = load_plan(tmp_path / "plan.yaml").space.spec({"rnn.window": 2})
    assert (spec.name, spec.window, spec.rnn.widths) == ("mine", 2, [64, 64])
    assert (spec.solver.momentum, spec.solver.max_iter) == (0.5, 2000)


def test_a_generation_smaller_than_its_crossover_is_refused(make_plan):
    plan = make_plan(("population: 4", "population: 1"), ("sampler: genetic", "sampler: tpe"))
    with pytest.raises(SpecError, match=r"genetic\.population: 1 is too small: crossover blxalpha needs 2"):
        plan.changed(sampler="genetic")
