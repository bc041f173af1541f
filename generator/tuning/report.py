"""The report of a tuning run: one HTML file that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from generator.report.charts import Axis, bars, number, parallel, scatter
from generator.report.page import Section, TextTable, chart, page
from generator.tuning.confirm import Confirmation, lead
from generator.tuning.genes import ListGene, NumberGene
from generator.tuning.history import Individual, Status
from generator.tuning.importance import importance_intervals
from generator.tuning.plan import COSTS, TuningPlan

__all__ = ["Found", "report"]

MOST_LINES = 400  # individuals in the parallel coordinates: the best, and the newest of the others
UNITS = {"size": "parameters", "latency": "latency, ms"}


@dataclass(frozen=True)
class Found:
    """What a run found, as of `generator.tuning.run.TuningResult`."""

    history: Sequence[Individual]
    front: Sequence[Individual]
    best: Individual
    confirmed: Sequence[Confirmation]


def report(plan: TuningPlan, found: Found, status: Status, end: str) -> str:
    """Return the report as HTML: convergence, what was confirmed, front, smaller nets, genes and their importance, ...

    Parameters
    ----------
    plan
        The plan.
    found
        What the run found.
    status
        The figures of the run.
    end
        Why it ended.
    """
    front = found.front
    trained = [each for each in found.history if each.first == each.number]
    sections = [
        _convergence(plan, trained, front),
        *_confirmed(found.confirmed),
        *([_front(plan, trained, front)] if len(plan.objectives) > 1 else []),
        *_smaller(plan, trained),
        _coordinates(plan, trained),
        _importance(plan, trained),
        _table(plan, trained, front),
        *_failures(trained),
    ]
    return page(f"drn tune: {front[0].spec.name}", _facts(plan, found, trained, status, end), sections)


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


def _facts(plan: TuningPlan, found: Found, trained: Sequence[Individual], status: Status, end: str) -> dict[str, str]:
    states, history = [each.state for each in trained], found.history
    figures = [f"{n} {number(v)}" for n, v in zip(plan.objectives, _figures(plan, found.best), strict=True)]
    again = [f"{number(one.mean)} on {len(one.repeats)} other seeds" for one in found.confirmed[:1]]
    return {
        "best": ", ".join([f"individual {found.best.number}", *figures, *again]),
        "sampler": f"{plan.sampler}, seed {plan.seed}, {plan.population} individuals a generation",
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


def _confirmed(confirmed: Sequence[Confirmation]) -> list[Section]:
    """Tabulate what the best came to on other seeds, and whether the first is ahead by more than chance."""
    if not confirmed:
        return []
    seeds = len(confirmed[0].repeats)
    heads = [
        "individual",
        "in the search",
        f"mean of {seeds} other seeds",
        "lost",
        *[f"seed {n + 1}" for n in range(seeds)],
    ]
    rows = [
        [str(one.individual.number), *map(number, (one.found, one.mean, one.found - one.mean, *one.repeats))]
        for one in confirmed
    ]
    note = (
        f"The best {len(confirmed)} of the search, trained again on seeds they were not chosen by: what one loses "
        "there, it was ahead by luck. The first row is the best of the run."
    )
    if (ahead := lead(confirmed)) is not None:
        more = "more than chance" if ahead[1] > 0 else "no more than chance"
        note += f" It is ahead of the second by {number(ahead[0])} [{number(ahead[1])}, {number(ahead[2])}]: {more}."
    return [Section("On other seeds", note, tables=[TextTable(heads, rows)])]


def _smaller(plan: TuningPlan, trained: Sequence[Individual]) -> list[Section]:
    """Tabulate what smaller nets would have cost in accuracy, if there are any: the best of each size and below."""
    complete = [each for each in trained if each.state == "complete"]
    sizes = sorted(complete, key=lambda each: ((each.values or {})["size"], -_figures(plan, each)[0]))
    steps: list[Individual] = []
    for each in sizes:
        if not steps or _figures(plan, each)[0] > _figures(plan, steps[-1])[0]:
            steps.append(each)
    if len(steps) < 2:
        return []
    best = _figures(plan, steps[-1])[0]
    largest = (steps[-1].values or {})["size"]
    rows = []
    for each in reversed(steps):
        size, figure = (each.values or {})["size"], _figures(plan, each)[0]
        rows.append([str(each.number), f"{size:,}", f"{size / largest:.0%}", number(figure), number(best - figure)])
    note = "The most accurate net of each size and below, as the search found them, on one seed each."
    heads = ["individual", "parameters", "of the largest here", plan.objectives[0], "accuracy given up"]
    return [Section("Smaller nets", note, tables=[TextTable(heads, rows)])]


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
    figures, shares = [each.curve[-1][0] for each in ranked], [each.share for each in ranked]
    found = importance_intervals(plan, [each.genome for each in ranked], figures, shares)
    if not found:
        return Section("Importance of the genes", "Fewer than ten individuals, or all alike: nothing to tell apart.")
    note = (
        f"How much of the spread of {plan.objectives[0]} over the whole space is left when all other genes are known, "
        "by a surrogate learned from these trainings (functional ANOVA); 95 % intervals by bootstrap over them."
    )
    shown = bars([(name, middle) for name, (middle, _, _) in found.items()], "importance of the genes")
    rows = [[name, *(f"{100 * each:.0f} %" for each in interval)] for name, interval in found.items()]
    table = TextTable(["gene", "share", "from", "to"], rows)
    return Section("Importance of the genes", note, [chart(shown)], [table])


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
