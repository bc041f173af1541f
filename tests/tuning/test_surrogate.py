"""The surrogate against the formulas, and its sampler against random search on functions that cost nothing."""

import math

import numpy as np
import pytest
from scipy.stats import t

from generator.tuning.confirm import Confirmation, foremost, lead
from generator.tuning.genes import GeneParameter
from generator.tuning.history import Individual
from generator.tuning.importance import importance_intervals
from generator.tuning.plan import load_plan
from generator.tuning.surrogate import Surrogate
from generator.tuning.surrogate_sampler import SurrogateSampler

PLAN = """
base: {base}
search:
  rnn.window: {{int: [1, 8]}}
  solver.base_lr: {{float: [0.001, 1], log: true}}
  solver.momentum: {{float: [0, 0.9]}}
  solver.batch_size: {{choice: [16, 32, 64]}}
budget: {{trainings: 10}}
{more}
"""


@pytest.fixture
def plan(root, tmp_path):
    def make(more=""):
        (tmp_path / "plan.yaml").write_text(PLAN.format(base=root / "arch_specs/rnn.yaml", more=more))
        return load_plan(tmp_path / "plan.yaml")

    return make


def test_it_predicts_by_the_formula_of_a_gaussian_process():
    rng = np.random.default_rng(0)
    points, shares, figures = rng.random((12, 3)), rng.choice([1 / 9, 1 / 3, 1.0], 12), rng.standard_normal(12)
    ordered = [True, True, False]
    points[:, 2] = rng.integers(0, 3, 12) / 2
    surrogate = Surrogate(ordered, seed=1)
    surrogate.fit(points, shares, figures)
    *w, c, a, noise = np.exp(surrogate._settings)

    def covariance(x, s, y, r):
        squares = [(p - q) ** 2 if near else float(p != q) for p, q, near in zip(x, y, ordered, strict=True)]
        d = math.sqrt(5 * sum(weight * square for weight, square in zip(w, squares, strict=True)))
        apart = abs(math.log(s) - math.log(r))
        return a * math.exp(-apart) + (1 + d + d * d / 3) * math.exp(-d) * math.exp(-c * apart)

    rows = list(zip(points, shares, strict=True))
    known = np.array([[covariance(x, s, y, r) for y, r in rows] for x, s in rows])
    known += (noise + 1e-8) * np.eye(12)
    new = np.array([[0.2, 0.9, 0.5], [0.7, 0.1, 1.0]])
    beside = np.array([[covariance(x, 1.0, y, r) for y, r in rows] for x in new])
    scaled = (figures - figures.mean()) / figures.std()
    mean, spread = surrogate.predict(new)
    assert mean == pytest.approx(figures.mean() + figures.std() * beside @ np.linalg.inv(known) @ scaled)
    own = np.array([[covariance(x, 1.0, y, 1.0) for y in new] for x in new])
    assert spread == pytest.approx(figures.var() * (own - beside @ np.linalg.inv(known) @ beside.T))


def searched(plan, sampler, figure, generations=5):
    best = []
    for generation in range(generations):
        asked = []
        for number in range(8):
            genome = sampler.ask()
            each = Individual(8 * generation + number, generation, genome, {}, f"{generation}-{number}", None, 0)
            each.state, each.curve = "complete", [(figure(plan.space.express(genome)),)]
            asked.append(each)
        sampler.tell(asked)
        best += [each.curve[-1][0] for each in asked]
    return max(best)


def bowl(genes):
    """A figure whose best, 1, is at a window of 6, a rate of .03, a momentum of .6 and batches of 32."""
    far = ((genes["rnn.window"] - 6) / 7) ** 2 + (math.log10(genes["solver.base_lr"] / 0.03) / 3) ** 2
    far += ((genes["solver.momentum"] - 0.6) / 0.9) ** 2 + 0.1 * (genes["solver.batch_size"] != 32)
    return math.exp(-4 * far)


def test_it_finds_what_random_search_does_not(plan):
    made = plan("training: {halving: {rungs: 1}}")
    rng = np.random.default_rng(0)
    parameters = made.space.parameters()
    ahead = []
    for seed in range(5):
        draws = [{name: each.at(rng.random()) for name, each in parameters.items()} for _ in range(40)]
        luck = max(bowl(made.space.express(draw)) for draw in draws)
        ahead.append(searched(made, SurrogateSampler(made.changed(seed=seed)), bowl) - luck)
    assert min(ahead) > -0.01
    assert np.mean(ahead) > 0.02


def test_the_first_individuals_are_the_fixed_part_and_those_the_plan_gives(plan):
    made = plan("start: [{rnn.window: 7, solver.base_lr: 0.02}, {solver.batch_size: 64, rnn.window: 99}]")
    sampler = SurrogateSampler(made)
    first, second, third = (made.space.express(sampler.ask()) for _ in range(3))
    own = made.spec["solver"]
    assert first["rnn.window"] == made.spec["rnn"]["window"]
    assert (first["solver.base_lr"], first["solver.momentum"]) == (own["base_lr"], own["momentum"])
    assert (second["rnn.window"], second["solver.base_lr"]) == (7, 0.02)
    assert third["solver.batch_size"] == 64
    assert 1 <= third["rnn.window"] <= 8  # 99 is none of the space


def test_evenly_drawn_units_give_the_values_a_parameter_has():
    units = np.linspace(0, 1, 10_001)
    whole = GeneParameter(2, 11, whole=True, step=3)
    assert np.bincount([whole.at(unit) for unit in units])[[2, 5, 8, 11]] == pytest.approx(2500, abs=2)
    log = GeneParameter(0.01, 1, whole=False, log=True)
    assert [log.at(0), log.at(0.5), log.at(1)] == pytest.approx([0.01, 0.1, 1])
    assert [log.place(log.at(unit)) for unit in units[::1000]] == pytest.approx(units[::1000])
    for each in (whole, GeneParameter(0, 4, whole=True, category=True), GeneParameter(1, 200, whole=True, log=True)):
        assert all(each.at(each.place(each.at(unit))) == each.at(unit) for unit in units[::100])


def test_importances_are_those_of_an_additive_function(plan):
    made, rng = plan(), np.random.default_rng(1)
    parameters = made.space.parameters()
    genomes = [{name: each.at(rng.random()) for name, each in parameters.items()} for _ in range(150)]
    # Variances 1/12 and .25/12 of evenly drawn units: shares .8 and .2, and nothing for the others.
    figures = [
        parameters["solver.base_lr"].place(one["solver.base_lr"])
        + 0.5 * parameters["solver.momentum"].place(one["solver.momentum"])
        for one in genomes
    ]
    found = importance_intervals(made, genomes, figures)
    assert list(found)[:2] == ["solver.base_lr", "solver.momentum"]
    assert found["solver.base_lr"][0] == pytest.approx(0.8, abs=0.06)
    assert found["solver.momentum"][0] == pytest.approx(0.2, abs=0.06)
    assert max(found["rnn.window"][0], found["solver.batch_size"][0]) < 0.02
    assert all(low - 0.05 <= middle <= high + 0.05 for middle, low, high in found.values())


def test_of_nets_as_accurate_the_smaller_is_trained_again_first():
    def one(number, *point, state="complete"):
        return Individual(number, 0, {}, {}, f"{number}", None, number, state=state, curve=[point])

    found = foremost(
        [
            one(0, 0.5, -90.0),
            one(1, 0.5, -80.0),
            one(2, 0.6, -99.0),
            one(3, 0.9, -9.0, state="stopped"),
            one(4, 0.5, -80.0),
        ],
        count=3,
    )
    assert [each.number for each in found] == [2, 1, 4]


def test_the_lead_is_student_s_t_with_pooled_variance():
    figures = [(0.5, 0.52, 0.48), (0.45, 0.46, 0.47), (0.41, 0.40, 0.45)]
    confirmed = [Confirmation(None, 0.6, each) for each in figures]
    pooled = np.mean([np.var(each, ddof=1) for each in figures])
    reach = t.ppf(0.975, 6) * math.sqrt(2 * pooled / 3)
    assert lead(confirmed) == pytest.approx((0.04, 0.04 - reach, 0.04 + reach), abs=2e-4)
    assert lead(confirmed[:1]) is None
