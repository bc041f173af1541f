"""The report of a fit: one HTML file that needs nothing else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generator.evaluation.metrics import CUTOFF, HEADLINES
from generator.files import write_text
from generator.fitting.compare import METRIC
from generator.fitting.facts import Facts, lengths_of
from generator.fitting.result import Fit
from generator.report.charts import Axis, Line, bars, grouped, lines
from generator.report.page import Section, TextTable, chart, page

__all__ = ["write_report"]

DRAWN = 7  # methods whose hit rate is drawn: the net and the best rules
Figures = Mapping[str, Any]  # a report of drn evaluate, as JSON has it


def write_report(path: Path, fit: Fit, compared: Mapping[str, Any], reasons: Mapping[str, str]) -> None:
    """Write the report of a fit, whole or not at all.

    Parameters
    ----------
    path
        The HTML file.
    fit
        What it came to.
    compared
        ``groups`` and ``sessions`` of the test part, as `generator.fitting.compare.as_json` gives them.
    reasons
        Why the net is what it is, by field of its spec.
    """
    facts, look = fit.draft.facts, fit.draft.look
    about = {
        "log": facts.line(),
        "recommended": f"the {'category' if facts.level == 'category' else 'item'} bought"
        if facts.target == "purchase"
        else "the next page",
        "test part": f"{fit.test['rows']:,} rows of {fit.test['sessions']:,} sessions"
        + (", the newest" if fit.test["split"] == "test" else " of the newest, at equal distances"),
        "result": fit.verdict(),
    }
    if note := fit.behind():
        about["beside the rules"] = note
    sections = [
        _log(facts, look.lines(), look.doubts),
        _net(fit, reasons),
        _learning(fit.folder / "metrics.jsonl"),
        _accuracy(fit.test, fit.spec.name),
        _by_views(compared["groups"]["views"]),
        _by_popularity(compared["groups"]["popularity"], facts, slots=fit.spec.slots > 0),
        _sessions(compared["sessions"]),
        _by_hand(fit),
    ]
    text = page(f"drn fit: {fit.spec.name}", about, sections, package="generator.fitting", template="fit.html.j2")
    write_text(path, text)


def _log(facts: Facts, understood: Sequence[str], doubts: Sequence[str]) -> Section:
    place, names = lengths_of(np.arange(1, len(facts.lengths) + 1))
    held = np.bincount(place, facts.lengths, minlength=len(names)) / max(sum(facts.lengths), 1)
    shown = [(name, float(share)) for name, share in zip(names, held, strict=True) if share >= 0.005]
    rows = [[f"events, {kind}", f"{count:,}"] for kind, count in facts.events.items()]
    rows += [[f"skipped, {reason}", f"{count:,}"] for reason, count in facts.skipped.items()]
    rows += [
        ["training sessions", f"{facts.sessions:,}"],
        ["labels to train on", f"{facts.labels:,}"],
        ["labels that the session had viewed before", f"{facts.seen:.0%}"],
        ["sessions whose user had bought before", f"{facts.bought:.0%}"],
        ["test labels that training does not know", f"{facts.new:.1%}"],
    ]
    tables = [TextTable(["what", "count"], rows)]
    tables.append(TextTable(["understood"], [[line] for line in understood]))
    if doubts:
        tables.append(TextTable(["not sure"], [[line] for line in doubts], "Each with the option that overrules it"))
    return Section(
        "The log", "Sessions by the pages they view.", [chart(bars(shown, "sessions by views"))], tables, "log"
    )


def _net(fit: Fit, reasons: Mapping[str, str]) -> Section:
    tried = [each for each in fit.selected.report["methods"] if each["kind"] == "model"]
    rows = [
        [each["name"] + (", chosen" if each["name"] == fit.selected.candidate.name else ""), *_cells(each)]
        for each in sorted(tried, key=lambda each: -each["metrics"][METRIC]["value"])
    ]
    why = [[field, reason] for field, reason in reasons.items()]
    note = (
        "Candidates were trained on a part of the sessions and ranked on the newest of the training part; the best one "
        "was then trained on all of them. spec.yaml holds it, with these reasons."
    )
    if any(each["name"].startswith("near-") for each in tried):
        note += " Those named near and like a rule are the net of the best one with a mixture that leans on the rule."
    return Section(
        "The net",
        note,
        tables=[TextTable(["candidate", *HEADLINES], rows, "On the validation part"), TextTable(["field", "why"], why)],
        name="net",
    )


def _learning(metrics: Path) -> Section:
    records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines() if line]
    curves = [Line("loss, training", [(each["iteration"], each["loss"]) for each in records])]
    if held := [(each["iteration"], each["test_loss"]) for each in records if "test_loss" in each]:
        curves.append(Line("loss, test part", held, strong=False))
    points = [point for curve in curves for point in curve.points]
    x = Axis.over("iteration", [at for at, _ in points])
    y = Axis.over("loss", [value for _, value in points])
    note = "Nothing is chosen by the loss on the test part: it is there to be seen."
    return Section("Learning", note, [chart(lines(x, y, curves, "loss by iteration"))], name="learning")


def _accuracy(figures: Figures, name: str) -> Section:
    methods = sorted(figures["methods"], key=lambda each: (each["name"] != name, -each["metrics"][METRIC]["value"]))
    curves = [
        Line(
            each["name"],
            [(k, each["metrics"][f"HR@{k}"]["value"]) for k in range(1, CUTOFF + 1)],
            strong=each["kind"] == "model",
        )
        for each in methods[:DRAWN]
    ]
    most = max(value for curve in curves for _, value in curve.points)
    figure = lines(Axis("K, items recommended", 0, CUTOFF + 1), Axis("hit rate @K", 0, most * 1.05 or 1), curves)
    rows = [[each["name"], *_cells(each)] for each in methods]
    ahead = [
        [each["other"], *(_interval(each["metrics"][metric]) for metric in ("HR@20", METRIC))]
        for each in figures["differences"]
        if each["method"] == name
    ]
    return Section(
        "Hit rate by K",
        f"All {figures['items']:,} items are ranked for each of the {figures['rows']:,} test rows. "
        f"{figures['unknown']:,} rows ask for an item that has no id.",
        [chart(figure)],
        [
            TextTable(["method", *HEADLINES], rows),
            TextTable(
                ["ahead of", "HR@20", METRIC], ahead, f"How far {name} is ahead, 95 % by a bootstrap over sessions"
            ),
        ],
        "accuracy",
    )


def _by_views(groups: Sequence[Mapping[str, Any]]) -> Section:
    note = "Rows by the pages that the session had viewed by then."
    return Section("By length of the session", note, [chart(_bars(groups))], [_groups(groups, "views")], "views")


def _by_popularity(groups: Sequence[Mapping[str, Any]], facts: Facts, *, slots: bool) -> Section:
    reach = (
        "of them, those that the session has viewed can be recommended, in slots" if slots else "a miss for all methods"
    )
    note = (
        f"Rows by how often what came is a label in training. {facts.new:.1%} of what came is new to training: {reach}."
    )
    return Section("By popularity of the item", note, [chart(_bars(groups))], [_groups(groups, "times")], "popularity")


def _bars(groups: Sequence[Mapping[str, Any]]) -> str:
    methods = list(groups[0]["figures"]) if groups else []
    series = [(method, [each["figures"][method][0] for each in groups]) for method in methods]
    return grouped([each["name"] for each in groups], series, "hit rate @20")


def _groups(groups: Sequence[Mapping[str, Any]], what: str) -> TextTable:
    methods = list(groups[0]["figures"]) if groups else []
    head = [what, "rows", *(f"{metric}, {method}" for method in methods for metric in ("HR@20", METRIC))]
    rows = [
        [
            each["name"],
            f"{each['rows']:,}",
            *(f"{value:.3f}" for method in methods for value in each["figures"][method]),
        ]
        for each in groups
    ]
    return TextTable(head, rows)


def _sessions(shown: Sequence[Mapping[str, Any]]) -> Section:
    rows = [
        [
            (f"({each['before']} more) " if each["before"] else "") + " → ".join(each["pages"]),
            ", ".join(f"{item} {probability:.2f}" for item, probability in each["items"]),
            each["came"],
            str(each["place"]) if each["place"] else f"beyond {CUTOFF}",
        ]
        for each in shown
    ]
    note = "Of the test part, at equal distances: what was viewed, what was recommended then, what came."
    if any(cell.startswith("new page ") for each in shown for cell in (*each["pages"], each["came"])):
        note += (
            " Pages that training never saw are numbered by session, new page 1 the first: their names are not kept."
        )
    return Section(
        "Ten sessions",
        note,
        tables=[TextTable(["viewed", "recommended", "came", "at place"], rows)],
        name="sessions",
    )


def _by_hand(fit: Fit) -> Section:
    commands = [
        [f"drn serve {fit.folder}", "recommend over HTTP"],
        [f"drn evaluate {fit.folder} --data {fit.folder / 'data'} --baselines all", "the figures above"],
        [f"drn train {fit.folder / 'spec.yaml'} --data {fit.folder / 'data'} -o RUN", "the same training"],
        [f"gen-model {fit.folder / 'spec.yaml'}", "the Caffe and ONNX artefacts"],
    ]
    return Section("From here", tables=[TextTable(["command", "for"], commands)], name="commands")


def _cells(method: Mapping[str, Any]) -> list[str]:
    return [f"{method['metrics'][name]['value']:.3f}" for name in HEADLINES]


def _interval(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]"
