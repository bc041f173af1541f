"""The spec that follows from a log: recipes, sizes, reasons as comments, what overrules them."""

import dataclasses
import itertools

import pytest

from generator.errors import DataError, SpecError
from generator.files import write_text
from generator.fitting.choose import candidates_for, choose_target, rows_of_training
from generator.fitting.facts import Facts
from generator.fitting.look import Look
from generator.fitting.recipes import recipe_for, recipes
from generator.fitting.specfile import commented
from generator.fitting.tuning import plan_for
from generator.spec import parse_spec
from generator.tuning.plan import load_plan

LOOK = Look("events", {}, {}, {"view": 900, "cart": 100}, 1000, "s", 0.0, 1.0, (0, 0, 0), ())
FACTS = Facts(
    target="next",
    level="item",
    events={"rows": 1000},
    skipped={},
    sessions=300,
    labels=700,
    items=50,
    first=None,
    last=None,
    lengths=(0, 100, 100, 50, 30, 20),
    seen=0.2,
    bought=0.1,
    new=0.0,
    test_rows=70,
)


def test_each_log_has_one_recipe():
    for target, items, labels in itertools.product(("next", "purchase"), (1, 9999, 10_000, 10**6), (1, 500, 10**7)):
        facts = dataclasses.replace(FACTS, target=target, items=items, labels=labels)
        fitting = [
            name
            for name, recipe in recipes().items()
            if recipe.when.target == target
            and recipe.when.items.holds(items)
            and recipe.when.rows_per_item.holds(labels / items)
        ]
        assert fitting == [recipe_for(facts)[0]], (target, items, labels)


@pytest.mark.parametrize("target", ["next", "purchase"])
@pytest.mark.parametrize("items", [5, 50, 20_000])
@pytest.mark.parametrize("labels", [700, 10**6])
def test_every_candidate_is_a_spec_and_its_file_with_reasons_reads_back(target, items, labels, tmp_path):
    facts = dataclasses.replace(FACTS, target=target, items=items, labels=labels)
    chosen = choose_target(LOOK, None, None)
    chosen = dataclasses.replace(chosen, target=target)
    found = candidates_for(facts, chosen, "log", [], 1)
    assert len({each.name for each in found}) == len(found) >= 1
    for each in found:
        text = commented(each.spec, ["a header"], each.reasons)
        assert parse_spec(text, "text") == each.spec
        assert text.startswith("# a header\n")
        assert (each.spec.pages, each.spec.items) == (items, items)
        lines = text.splitlines()
        for field in ("target", "window", "max_iter", "net"):
            at = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{field}:"))
            assert lines[at - 1].strip().startswith("# "), field
        write_text(tmp_path / each.name / "spec.yaml", text)
        (tmp_path / "tune.yaml").write_text(plan_for(each, recipe_for(facts)[1], 1.0, [f"{each.name}/spec.yaml"]))
        plan = load_plan(tmp_path / "tune.yaml")
        assert plan.search
        assert plan.start == [plan.space.genes_of(plan.space.plain({}))]


def test_the_window_holds_the_share_of_sessions_that_the_recipe_says():
    recipe = recipes()["next-few"]
    (usual, *_) = candidates_for(FACTS, choose_target(LOOK, None, None), "log", [], 1)
    # 2, 3, 4, 5, 6 views in 100, 100, 50, 30, 20 of 300 sessions: 225 of them, three quarters, have at most 4.
    assert FACTS.quantile(0.75) == 4
    assert usual.spec.window == min(max(4, recipe.window.least), recipe.window.most)


def test_iterations_are_the_passes_of_the_recipe():
    (usual, *_) = candidates_for(FACTS, choose_target(LOOK, None, None), "log", ["rnn.window=2"], 1)
    # Sessions of 2, 3 views give a row of two labels, of 4, 5 views two, of 6 views three.
    assert rows_of_training(FACTS, usual.spec) == 100 + 100 + 2 * 50 + 2 * 30 + 3 * 20
    assert usual.spec.solver.max_iter == -(-recipes()["next-few"].epochs * 420 // usual.spec.solver.batch_size)


def test_what_the_user_sets_stands_and_what_does_not_hold_is_refused():
    target = choose_target(LOOK, None, None)
    for each in candidates_for(FACTS, target, "log", ["solver.batch_size=16", "rnn.window=2"], 1):
        assert (each.spec.solver.batch_size, each.spec.window) == (16, 2)
    with pytest.raises(SpecError, match=r"--set rnn\.windw=2: unknown key"):
        candidates_for(FACTS, target, "log", ["rnn.windw=2"], 1)


def test_purchases_are_recommended_where_there_are_enough():
    many = dataclasses.replace(LOOK, bought=(1000, 200, 0))
    assert choose_target(many, None, None).target == "purchase"
    assert choose_target(many, "next", None).target == "next"
    assert choose_target(dataclasses.replace(LOOK, bought=(20, 20, 0)), None, None).target == "next"
    with pytest.raises(
        DataError, match=r"no purchase for --target purchase: its events are view \(900\), cart \(100\)"
    ):
        choose_target(LOOK, "purchase", None)


def test_categories_are_recommended_where_hardly_an_item_is_bought_twice():
    rare = dataclasses.replace(LOOK, bought=(1000, 950, 300))
    found = choose_target(rare, None, None)
    assert found.level == "category"
    assert "--level item" in found.reasons["data.page"]
    assert choose_target(rare, None, "item").level == "item"
    assert choose_target(dataclasses.replace(LOOK, bought=(1000, 950, 0)), None, None).level == "item"
    assert choose_target(dataclasses.replace(LOOK, bought=(1000, 200, 50)), None, None).level == "item"
