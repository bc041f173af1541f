"""The report of a tuning run: one HTML file that needs nothing else."""

from collections.abc import Sequence
from itertools import accumulate

from generator.report.charts import Axis, bars, number, parallel, scatter
from generator.report.page import Section, TextTable, chart, page
from generator.tuning.genes import ListGene, NumberGene
from generator.tuning.history import Individual, Status
from generator.tuning.importance import importances
from generator.tuning.plan import COSTS, TuningPlan

__all__ = ["report"]

MOST_LINES = 400  # individuals in the parallel coordinates: the best, and the newest of the others
UNITS = {"size": "parameters", "latency": "latency, ms"}


def report(
    plan: TuningPlan, history: Sequence[Individual], front: Sequence[Individual], status: Status, end: str
) -> str:
    """Return the report as HTML: convergence, front, parallel coordinates, importance of the genes, failures.

    Parameters
    ----------
    plan
        The plan.
    history, front
        All individuals in order, and those none dominates, the most accurate first.
    status
        The figures of the run.
    end
        Why it ended.
    """
    trained = [each for each in history if each.first == each.number]
    sections = [
        _convergence(plan, trained, front),
        *([_front(plan, trained, front)] if len(plan.objectives) > 1 else []),
        _coordinates(plan, trained),
        _importance(plan, trained),
        _table(plan, trained, front),
        *_failures(trained),
    ]
    return page(f"drn tune: {front[0].spec.name}", _facts(plan, history, trained, front, status, end), sections)


def _title(objective: str) -> str:
    return UNITS.get(objective, f"{objective} on the validation split")


def _figures(plan: TuningPlan, each: Individual) -> list[float]:
    return [(each.values or {})[objective] for objective in plan.objectives]


def _tip(plan: TuningPlan, each: Individual) -> str:
    """Return what a tooltip says of an individual."""
    figures = [f"{name} {number(value)}" for name, value in zip(plan.objectives, _figures(plan, each), strict=True)]
    genes = [f"{name}: {_shown(value)}" for name, value in each.genes.items()]
    note = "" if each.state == "complete" else f", stopped after {each.share:.0%} of the training"
    return "\n".join([f"individual {each.number}, generation {each.generation}{note}", *figures, *genes])


def _shown(value: object) -> str:
    return f"[{', '.join(map(number, value))}]" if isinstance(value, list) else number(value)


def _facts(
    plan: TuningPlan,
    history: Sequence[Individual],
    trained: Sequence[Individual],
    front: Sequence[Individual],
    status: Status,
    end: str,
) -> dict[str, str]:
    states = [each.state for each in trained]
    return {
        "best": ", ".join(f"{n} {number(v)}" for n, v in zip(plan.objectives, _figures(plan, front[0]), strict=True)),
        "sampler": f"{plan.sampler}, seed {plan.seed}, {plan.genetic.population} individuals a generation",
        "individuals": f"{len(history):,} in {history[-1].generation + 1:,} generations: {len(trained):,} trained "
        f"({states.count('stopped'):,} stopped early, {states.count('failed'):,} failed), "
        f"{len(history) - len(trained):,} known already",
        "spent": f"{status.epochs:,.1f} epochs, {status.seconds / 60:,.1f} minutes",
        "ended": end,
    }


def _convergence(plan: TuningPlan, trained: Sequence[Individual], front: Sequence[Individual]) -> Section:
    """Draw the first objective of every training, and the best so far."""
    shown = [(place, each) for place, each in enumerate(trained, 1) if each.values]
    points = [(place, _figures(plan, each)[0], _kind(each, front), _tip(plan, each)) for place, each in shown]
    complete = [(place, _figures(plan, each)[0]) for place, each in shown if each.state == "complete"]
    best = accumulate((value for _, value in complete), max)
    line = [(place, value) for (place, _), value in zip(complete, best, strict=True)]
    line.append((len(trained), line[-1][1]))
    x, y = Axis("trainings", 0, len(trained) + 1), Axis.over(_title(plan.objectives[0]), [point[1] for point in points])
    note = (
        "Each point is one training; grey ones were stopped early and show what they had reached by then. The line is "
        "the best so far."
    )
    svg = scatter(x, y, sorted(points, key=lambda point: point[2] == "front"), line, "convergence")
    return Section("Convergence", note, [chart(svg)])


def _kind(each: Individual, front: Sequence[Individual]) -> str:
    return "front" if each in front else each.state


def _front(plan: TuningPlan, trained: Sequence[Individual], front: Sequence[Individual]) -> Section:
    """Draw the first objective against each of the others."""
    complete = [each for each in trained if each.state == "complete"]
    charts = []
    for index, cost in enumerate(plan.objectives[1:], 1):
        points = [
            (_figures(plan, each)[index], _figures(plan, each)[0], _kind(each, front), _tip(plan, each))
            for each in complete
        ]
        x = Axis.over(_title(cost), [point[0] for point in points], log=cost in COSTS)
        y = Axis.over(_title(plan.objectives[0]), [point[1] for point in points])
        corners = sorted((_figures(plan, each)[index], _figures(plan, each)[0]) for each in front)
        line = corners if len(plan.objectives) == 2 and cost in COSTS else ()
        svg = scatter(x, y, sorted(points, key=lambda point: point[2] == "front"), line, f"front, {cost}")
        charts.append(chart(svg))
    return Section("Front", "Individuals that no other beats in every objective, in orange.", charts)


def _coordinates(plan: TuningPlan, trained: Sequence[Individual]) -> Section:
    """Draw every individual as a line through its genes."""
    ranked = [each for each in trained if each.values]
    best = sorted(ranked, key=lambda each: -_figures(plan, each)[0])[: MOST_LINES // 2]
    chosen = [*best, *[each for each in reversed(ranked) if each not in best][: MOST_LINES - len(best)]]
    order = sorted(range(len(chosen)), key=lambda row: _figures(plan, chosen[row])[0])
    shades = [0.0] * len(chosen)
    for place, row in enumerate(order):
        shades[row] = (place / max(len(chosen) - 1, 1)) ** 2
    genomes = [plan.space.readable(each.genome) for each in chosen]
    logs = {name: _is_log(plan, name) for name in genomes[0]}
    columns = [(name, [genome[name] for genome in genomes], logs[name]) for name in genomes[0]]
    columns.append((plan.objectives[0], [_figures(plan, each)[0] for each in chosen], False))
    svg = parallel(columns, shades, [_tip(plan, each) for each in chosen])
    note = "One line an individual, the more accurate the warmer; below an axis: no such layer. Point at a line for it."
    return Section("Genes", note, [chart(svg, wide=True)])


def _is_log(plan: TuningPlan, parameter: str) -> bool:
    gene = plan.search.get(parameter.partition("[")[0].removesuffix(".length"))
    element = gene.element if isinstance(gene, ListGene) else gene
    return isinstance(element, NumberGene) and element.log and not parameter.endswith(".length")


def _importance(plan: TuningPlan, trained: Sequence[Individual]) -> Section:
    ranked = [each for each in trained if each.values]
    found = importances(plan, [each.genome for each in ranked], [each.told[0] for each in ranked])
    if not found:
        return Section("Importance of the genes", "Fewer than ten individuals, or all alike: nothing to tell apart.")
    note = f"How far the best tenth by {plan.objectives[0]} differ in a gene from all that were tried (PED-ANOVA)."
    return Section("Importance of the genes", note, [chart(bars(list(found.items()), "importance of the genes"))])


def _table(plan: TuningPlan, trained: Sequence[Individual], front: Sequence[Individual]) -> Section:
    """Tabulate the front; with one objective, which has no front to speak of, the best."""
    if len(plan.objectives) == 1:
        complete = [each for each in trained if each.state == "complete"]
        front = sorted(complete, key=lambda each: -_figures(plan, each)[0])[:20]
    heads = ["individual", *plan.objectives, *plan.search]
    rows = [
        [str(each.number), *map(number, _figures(plan, each)), *(_shown(value) for value in each.genes.values())]
        for each in front[:50]
    ]
    return Section("The front" if len(plan.objectives) > 1 else "The best", tables=[TextTable(heads, rows)])


def _failures(trained: Sequence[Individual]) -> list[Section]:
    """List the failed, if there are any, each with its error."""
    failed = [each for each in trained if each.state == "failed"]
    rows = [[str(each.number), each.error or ""] for each in failed[:50]]
    note = f"{len(failed)} individuals could not be trained."
    return [Section("Failed", note, tables=[TextTable(["individual", "error"], rows)])] if failed else []
