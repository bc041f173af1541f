"""The report: one file, complete, well-formed, and true to the history."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from generator.data.rewindowed import Rewindow, rewindow_folder
from generator.report.charts import Axis, bars, parallel, scatter
from generator.spec import load_spec
from generator.tuning.importance import importances
from generator.tuning.individual import RungJob, rank, seed_of, trained_as
from generator.tuning.optuna_samplers import distributions
from generator.tuning.run import tune

VOID = {"meta"}


class Balanced(HTMLParser):
    """Collects tags, and fails where one is closed that is not open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_stands_alone_and_shows_every_training(data, make_plan, inline, tmp_path):
    plan = make_plan(("budget:", "objectives: [MRR@20, size]\nbudget:"), ("trainings: 10", "trainings: 12"))
    result = tune(plan, data, tmp_path / "run", engine=inline)
    html = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    page = Balanced()
    page.feed(html)
    assert page.open == []
    assert not re.search(r"https?:|//|<script|<link|@import|url\(", html)
    assert not [attrs for _, attrs in page.seen if {"src", "href"} & attrs.keys()]
    for heading in ("Convergence", "Front", "Genes", "Importance of the genes"):
        assert f"<h2>{heading}</h2>" in html
    convergence, front, genes, importance = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert convergence.count("<circle") == result.trained
    assert genes.count("<polyline") == result.trained
    assert front.count('class="front"') == len(result.front)
    assert "rnn.widths[1]" in importance
    for svg in (convergence, front, genes, importance):
        ET.fromstring(svg)


def test_what_a_chart_quotes_is_escaped():
    svgs = [
        scatter(Axis("<x>", 0, 1), Axis("&y", 0, 1), [(0.5, 0.5, "complete", "<tip>")], [(0, 0.1), (1, 0.2)], '"l"'),
        bars([("<name>", 0.5)]),
        parallel([("<gene>", ["<a>", None, "b"], False), ("n", [1, 2, 3], True)], [0.0, 0.5, 1.0], ["<", "&", ">"]),
    ]
    assert all(ET.fromstring(svg).tag == "svg" for svg in svgs)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[0.001], [1, 1], [1e-6, 3e5], [3, 4.5, 7], [10, 1000]])
def test_an_axis_holds_its_values_and_some_ticks(values, log):
    axis = Axis.over("x", values, log=log)
    assert all(0 <= axis.place(value) <= 1 for value in values)
    assert 1 <= len(axis.ticks()) <= 12
    assert all(-1e-9 <= axis.place(tick) <= 1 + 1e-9 for tick in axis.ticks())


def test_the_gene_that_decides_is_the_important_one(make_plan):
    import optuna

    plan = make_plan()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    genomes = [dict(study.ask(distributions(plan.space.parameters())).params) for _ in range(200)]
    figures = [-abs(genome["solver.base_lr"] - 0.1) for genome in genomes]
    found = importances(plan, genomes, figures)
    assert next(iter(found)) == "solver.base_lr"
    assert found["solver.base_lr"] > 0.5
    assert importances(plan, genomes[:5], figures[:5]) == {}


def test_the_best_are_trained_again_on_other_seeds_and_both_figures_are_given(data, make_plan, inline, tmp_path):
    plan = make_plan(("confirm: null", "confirm: {best: 3, seeds: 2}"), ("trainings: 10", "trainings: 8"))
    result = tune(plan, data, tmp_path / "run", engine=inline)
    found = sorted((each.figures[0] for each in result.history), reverse=True)[:3]
    assert sorted((one.found for one in result.confirmed), reverse=True) == found
    means = [sum(one.repeats) / 2 for one in result.confirmed]
    assert means == sorted(means, reverse=True)
    assert result.best is result.confirmed[0].individual
    assert result.best.spec == load_spec(tmp_path / "run/best.yaml")
    again = result.confirmed[-1]
    spec = trained_as(again.individual.spec, seed_of(1, f"{again.individual.hash}:1"), 160, 2)
    assert spec.solver.random_seed != again.individual.spec.solver.random_seed
    rewindow_folder(Rewindow(data, tmp_path / "cut", spec, ("train.h5", "valid.h5")))
    score = rank(RungJob(spec, tmp_path / "cut", tmp_path / "again", 0, spec.solver.max_iter))
    assert score.metrics["MRR@20"] == again.repeats[1]
    assert f"On 2 other seeds, by which it was chosen among 3: mean MRR@20 {means[0]:.4g}" in (
        (tmp_path / "run/best.yaml").read_text()
    )
    html = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "<h2>On other seeds</h2>" in html
    assert "It is ahead of the second by" in html


def test_smaller_nets_are_listed_with_what_they_give_up(data, make_plan, inline, tmp_path):
    plan = make_plan(("choice: [4, 8]", "choice: [2, 32]"))
    result = tune(plan, data, tmp_path / "run", engine=inline)
    html = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    steps, best = [], -1.0
    for each in sorted(result.history, key=lambda each: (each.values["size"], -each.figures[0])):
        if each.figures[0] > best:
            best = each.figures[0]
            steps.append(each)
    assert ("<h2>Smaller nets</h2>" in html) == (len(steps) > 1)
    section = html.partition("<h2>Smaller nets</h2>")[2].partition("<h2>")[0]
    assert all(f"<td>{each.values['size']:,}</td>" in section for each in steps if len(steps) > 1)
