"""Optuna's samplers: nothing that bears on their draws is left to a version's defaults, and other draws are refused."""

import inspect
import json

import optuna
import pytest
from optuna.samplers import GPSampler, NSGAIISampler, TPESampler, nsgaii

from generator.errors import DrnError, TrainingError
from generator.tuning.genes import GeneParameter, NumberGene
from generator.tuning.history import Individual
from generator.tuning.optuna_samplers import OptunaSampler, distributions, options, require_optuna
from generator.tuning.run import tune

SMALL = ("trainings: 10", "trainings: 4")
# What optuna 5 warns of when it is named, what is given beside the options, and hooks for code.
DROPPED = {"consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "gamma", "weights"}
BESIDE = {"self", "seed", "independent_sampler", "constraints_func", "warn_independent_sampling"}
HOOKS = {"elite_population_selection_strategy", "child_generation_strategy", "after_trial_strategy"}


@pytest.mark.parametrize(
    ("sampler", "kind"),
    [("tpe", TPESampler), ("gp", GPSampler), ("genetic", NSGAIISampler)],
    ids=str,
)
def test_every_option_of_a_sampler_is_named(make_plan, sampler, kind):
    wanted = set(inspect.signature(kind.__init__).parameters) - DROPPED - BESIDE - HOOKS
    assert wanted <= set(options(make_plan().changed(sampler=sampler)))


@pytest.mark.parametrize("crossover", ["uniform", "blxalpha", "sbx", "vsbx", "spx", "undx"])
def test_every_option_of_a_crossover_is_named(make_plan, crossover):
    plan = make_plan(("population: 4", f"population: 4, crossover: {crossover}"))
    kinds = {name.lower(): kind for name, kind in vars(nsgaii).items()}
    wanted = set(inspect.signature(kinds[f"{crossover}crossover"].__init__).parameters) - {"self"}
    assert wanted | {"name"} == set(options(plan)["crossover"])


def test_what_is_drawn_is_what_optuna_is_asked_for():
    parameters = {
        "rate": NumberGene(0.01, 1, whole=False, log=True).parameters("rate")["rate"],
        "window": GeneParameter(1, 7, whole=True, step=3),
        "net": GeneParameter(0, 2, whole=True, category=True),
    }
    found = distributions(parameters)
    assert found["rate"] == optuna.distributions.FloatDistribution(0.01, 1, log=True)
    assert found["window"] == optuna.distributions.IntDistribution(1, 7, step=3)
    assert found["net"] == optuna.distributions.CategoricalDistribution(range(3))


@pytest.mark.parametrize("sampler", ["genetic", "random", "tpe"])
def test_a_search_begins_with_what_the_plan_gives(data, make_plan, inline, tmp_path, sampler):
    start = "start: [{net: rnn, rnn.window: 3, rnn.widths: [8], solver.base_lr: 0.125}, {rnn.window: 2}]"
    plan = make_plan(SMALL, ("confirm: null", f"confirm: null\n{start}")).changed(sampler=sampler)
    first, second, *_ = tune(plan, data, tmp_path / "run", engine=inline).history
    assert first.genes == plan.start[0]
    assert second.genes["rnn.window"] == 2


def test_the_genetic_algorithm_breeds_from_what_the_plan_gives(make_plan):
    good = {"net": "rnn", "rnn.window": 3, "rnn.widths": [8], "solver.base_lr": 0.125}
    more = f"confirm: null\nstart: {json.dumps([good])}"
    plan = make_plan(("confirm: null", more), ("population: 4", "population: 4, crossover: uniform"))
    sampler, inherited = OptunaSampler(plan), 0
    for generation in range(2):
        asked = []
        for number in range(plan.population):
            genome = sampler.ask()
            each = Individual(4 * generation + number, generation, genome, plan.space.express(genome), "", None, 0)
            each.figures = (float(each.genes == good),)
            asked.append(each)
        sampler.tell(asked)
        inherited = sum(each.genes["solver.base_lr"] == 0.125 for each in asked)
    assert inherited  # no other individual of the first generation can have that rate


def test_a_journal_under_which_others_were_drawn_is_refused_by_versions(data, make_plan, inline, tmp_path):
    tune(make_plan(SMALL), data, tmp_path / "run", engine=inline)
    path = tmp_path / "run/journal.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["crc32"]
    assert lines[0]["versions"]["optuna"] == optuna.__version__
    lines[0]["versions"]["optuna"] = "4.9.0"  # as if it had been begun there, where crossover draws otherwise
    first = next(line for line in lines if line.get("kind") == "generation")
    first["drawn"][1] = "0" * 12
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = path.read_bytes()
    with pytest.raises(TrainingError, match=rf"begun, under optuna 4\.9\.0.*; here is optuna {optuna.__version__}"):
        tune(make_plan(SMALL), data, tmp_path / "run", engine=inline, resume=True)
    assert path.read_bytes() == before


def test_a_sampler_whose_packages_are_missing_is_refused_by_its_extra(monkeypatch):
    monkeypatch.setattr("generator.tuning.optuna_samplers.find_spec", lambda name: None if name == "torch" else name)
    require_optuna("tpe")
    with pytest.raises(DrnError, match=r"needs torch for the sampler gp: pip install 'drn-recommender\[tune-gp\]'"):
        require_optuna("gp")
