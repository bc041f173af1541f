"""The report of the experiments: one HTML file that needs nothing else."""

from collections.abc import Mapping
from dataclasses import asdict

from generator.evaluation.metrics import HEADLINES
from generator.experiment.claims import PAPER, interval, number
from generator.experiment.document import ExperimentReport
from generator.experiment.measures import (
    AccuracyFigures,
    BatchSizeFigures,
    ConvergenceFigures,
    Course,
    FactorisationFigures,
    Figures,
    HistoryFigures,
    NetsFigures,
    TopKFigures,
)
from generator.report.page import Section, TextTable, page, picture

__all__ = ["HEADINGS", "report"]

Compared = AccuracyFigures | FactorisationFigures | NetsFigures

HEADINGS = {
    "accuracy": "Accuracy",
    "als": "Beside matrix factorisation",
    "nets": "Feed-forward, recurrent, combined",
    "top_k": "Hit rate over K",
    "history": "History state",
    "batch_size": "Batch size",
    "convergence": "Convergence",
}


def report(document: ExperimentReport, figures: Mapping[str, bytes]) -> str:
    """Return the report as HTML: the claims with their verdicts, then each experiment with figure and tables.

    Parameters
    ----------
    document
        What the experiments came to.
    figures
        A PNG for each experiment.
    """
    claims = [
        # The verdict stands beside the sentence: it is not said twice.
        {
            **asdict(claim),
            "sentence": claim.sentence.removesuffix(f": {claim.verdict}"),
            "heading": HEADINGS[claim.experiment],
        }
        for claim in document.claims
    ]
    sections = [
        Section(
            HEADINGS[name],
            f"The paper: {PAPER[name]}",
            [picture(HEADINGS[name], figures[name])],
            _tables(found),
            name,
        )
        for name, found in document.experiments.items()
    ]
    return page(
        document.title,
        _facts(document),
        sections,
        package="generator.experiment",
        template="experiment.html.j2",
        claims=claims,
    )


def _facts(document: ExperimentReport) -> dict[str, str]:
    data, plan = document.data, document.plan
    folds = data.folds
    training = ", ".join(f"{fold.training_sessions:,}" for fold in folds)
    source = plan["data"].get("folder") or ("a simulated shop" if "simulate" in plan["data"] else None)
    facts = {
        "data": source or ", ".join(plan["data"]["log"]),
        "training sessions": training if len(folds) == 1 else f"{training} in {len(folds)} folds by user",
        "test rows": f"{data.test_rows:,} of {data.test_sessions:,} sessions",
        "items": ", ".join(sorted({f"{fold.items:,}" for fold in folds})),
        "seeds": ", ".join(map(str, plan["seeds"])),
        "judged by": plan["metric"],
        "versions": ", ".join(f"{name} {version}" for name, version in document.versions.items()),
    }
    if data.unknown:
        facts["unknown"] = f"{data.unknown:,} test rows ask for an item that has no id: a miss for all"
    return facts


def _tables(found: Figures) -> list[TextTable]:
    if isinstance(found, Compared):
        return [_methods(found), _comparisons(found)]
    if isinstance(found, TopKFigures):
        return [_hit_rates(found)]
    if isinstance(found, HistoryFigures):
        return [_windows(found)]
    if isinstance(found, BatchSizeFigures):
        return [_sizes(found)]
    assert isinstance(found, ConvergenceFigures)  # noqa: S101 - there are no others
    return [_points(net, found.metric) for net in found.nets]


def _methods(found: Compared) -> TextTable:
    metric = found.metric
    rows = []
    for each in found.methods:
        seeds = ", ".join(number(seed[metric]) for seed in each.each_seed)
        figures = [number(each.metrics[name].value) for name in HEADLINES]
        own = each.metrics[metric]
        rows.append([each.name, *figures, f"[{number(own.low)}, {number(own.high)}]", seeds, f"{each.seconds:.1f}"])
    head = ["method", *HEADLINES, f"{metric}, 95 %", f"{metric} by seed", "seconds"]
    return TextTable(head, rows, "Mean over the seeds; seconds of a training, or of a baseline in all")


def _comparisons(found: Compared) -> TextTable:
    rows = [
        [
            f"{each.method} − {each.other}",  # noqa: RUF001 - a minus
            interval(each.difference),
            ", ".join(number(value, sign=True) for value in each.each_seed),
        ]
        for each in found.comparisons
    ]
    return TextTable(["methods", found.metric, "by seed"], rows, "Paired differences")


def _hit_rates(found: TopKFigures) -> TextTable:
    rows = [[each.name, *(number(rate.value) for rate in each.hit_rate)] for each in found.methods]
    return TextTable(["method", *map(str, found.cutoffs)], rows, "Hit rate @K")


def _windows(found: HistoryFigures) -> TextTable:
    rows = [
        [
            str(each.window),
            interval(each.off, sign=False),
            interval(each.on, sign=False),
            interval(each.gain),
            ", ".join(number(value, sign=True) for value in each.each_seed),
        ]
        for each in found.windows
    ]
    head = ["window", "no history", f"history of {found.states}", "gain", "gain by seed"]
    return TextTable(head, rows, f"{found.metric} of {found.variant}, equal epochs")


def _sizes(found: BatchSizeFigures) -> TextTable:
    rows = [
        [
            str(each.batch_size),
            f"{each.iterations:,.0f}",
            f"{each.epochs:.2f}",
            interval(each.accuracy, sign=False),
            interval(each.difference) if each is not found.sizes[0] else "",
            f"{each.seconds_an_epoch:.2f}",
        ]
        for each in found.sizes
    ]
    head = ["batch", "iterations", "epochs", found.metric, "beside the smallest", "seconds an epoch"]
    return TextTable(head, rows, f"{found.variant} at an equal number of sessions seen and the same learning rate")


def _points(net: Course, metric: str) -> TextTable:
    rows = [
        [
            f"{each.epochs:.2f}",
            f"{each.iteration:,.0f}",
            f"{each.seconds:.1f}",
            interval(each.accuracy, sign=False),
            interval(each.hit_rate, sign=False),
        ]
        for each in net.points
    ]
    return TextTable(["epochs", "iterations", "seconds", metric, "HR@20"], rows, net.name)
