"""The report of a tuning run: one HTML file that needs nothing else."""

from collections.abc import Sequence
from html import escape
from itertools import accumulate

from generator.tune.charts import Axis, bars, number, parallel, scatter
from generator.tune.genes import ListGene, NumberGene
from generator.tune.history import Individual, Status
from generator.tune.plan import COSTS, TuningPlan
from generator.tune.sampler import importances

__all__ = ["report"]

MOST_LINES = 400  # individuals in the parallel coordinates: the best, and the newest of the others
UNITS = {"size": "parameters", "latency": "latency, ms"}

_STYLE = """
body { font: 15px/1.5 'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif; color: #1f2933; background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
p.note { color: #52606d; margin: .2rem 0 .6rem; }
.wide { overflow-x: auto; }
svg { max-width: none; height: auto; } svg text { font-size: 12px; fill: #3e4c59; }
.figure > svg { width: 100%; }
.grid { stroke: #e4e7eb; } .axis { stroke: #7b8794; }
.tick { font-size: 11px; fill: #616e7c; } .end, .name { text-anchor: end; } .middle, .head { text-anchor: middle; }
.head { font-weight: 600; } .halo { paint-order: stroke; stroke: #fff; stroke-width: 3px; }
.line { fill: none; stroke: #d55e00; stroke-width: 2; } .bar { fill: #0072b2; }
circle { stroke: #fff; stroke-width: .7; } .complete { fill: #0072b2; fill-opacity: .55; }
.stopped { fill: #9aa5b1; fill-opacity: .6; } .front { fill: #d55e00; }
.way { fill: none; stroke-width: 1.4; } .way:hover { stroke: #000; stroke-opacity: 1; stroke-width: 3; }
table { border-collapse: collapse; font-size: 13px; } th, td { padding: .25rem .7rem; border-bottom: 1px solid #e4e7eb;
  text-align: right; white-space: nowrap; } th:first-child, td:first-child { text-align: left; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; } dt { color: #52606d; } dd { margin: 0; }
"""


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
    name = escape(front[0].spec.name)
    trained = [each for each in history if each.first == each.number]
    sections = [
        _summary(plan, history, trained, front, status, end),
        _convergence(plan, trained, front),
        _front(plan, trained, front) if len(plan.objectives) > 1 else "",
        _coordinates(plan, trained),
        _importance(plan, trained),
        _table(plan, trained, front),
        _failures(trained),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>drn tune: {name}</title>\n'
        f"<style>{_STYLE}</style></head><body>\n<h1>drn tune: {name}</h1>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


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


def _summary(
    plan: TuningPlan,
    history: Sequence[Individual],
    trained: Sequence[Individual],
    front: Sequence[Individual],
    status: Status,
    end: str,
) -> str:
    states = [each.state for each in trained]
    facts = {
        "best": ", ".join(f"{n} {number(v)}" for n, v in zip(plan.objectives, _figures(plan, front[0]), strict=True)),
        "sampler": f"{plan.sampler}, seed {plan.seed}, {plan.genetic.population} individuals a generation",
        "individuals": f"{len(history):,} in {history[-1].generation + 1:,} generations: {len(trained):,} trained "
        f"({states.count('stopped'):,} stopped early, {states.count('failed'):,} failed), "
        f"{len(history) - len(trained):,} known already",
        "spent": f"{status.epochs:,.1f} epochs, {status.seconds / 60:,.1f} minutes",
        "ended": end,
    }
    return "<dl>" + "".join(f"<dt>{key}</dt><dd>{escape(value)}</dd>" for key, value in facts.items()) + "</dl>"


def _convergence(plan: TuningPlan, trained: Sequence[Individual], front: Sequence[Individual]) -> str:
    """Draw the first objective of every training, and the best so far."""
    shown = [(place, each) for place, each in enumerate(trained, 1) if each.values]
    points = [(place, _figures(plan, each)[0], _kind(each, front), _tip(plan, each)) for place, each in shown]
    complete = [(place, _figures(plan, each)[0]) for place, each in shown if each.state == "complete"]
    best = accumulate((value for _, value in complete), max)
    line = [(place, value) for (place, _), value in zip(complete, best, strict=True)]
    line.append((len(trained), line[-1][1]))
    x, y = Axis("trainings", 0, len(trained) + 1), Axis.over(_title(plan.objectives[0]), [point[1] for point in points])
    chart = scatter(x, y, sorted(points, key=lambda point: point[2] == "front"), line, "convergence")
    return _section("Convergence", "Each point is one training; grey ones were stopped early and show what they had "
                    "reached by then. The line is the best so far.", chart)  # fmt: skip


def _kind(each: Individual, front: Sequence[Individual]) -> str:
    return "front" if each in front else each.state


def _front(plan: TuningPlan, trained: Sequence[Individual], front: Sequence[Individual]) -> str:
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
        charts.append(scatter(x, y, sorted(points, key=lambda point: point[2] == "front"), line, f"front, {cost}"))
    return _section("Front", "Individuals that no other beats in every objective, in orange.", *charts)


def _coordinates(plan: TuningPlan, trained: Sequence[Individual]) -> str:
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
    chart = parallel(columns, shades, [_tip(plan, each) for each in chosen])
    note = "One line an individual, the more accurate the warmer; below an axis: no such layer. Point at a line for it."
    return f'<h2>Genes</h2><p class="note">{note}</p><div class="wide">{chart}</div>'


def _is_log(plan: TuningPlan, parameter: str) -> bool:
    gene = plan.search.get(parameter.partition("[")[0].removesuffix(".length"))
    element = gene.element if isinstance(gene, ListGene) else gene
    return isinstance(element, NumberGene) and element.log and not parameter.endswith(".length")


def _importance(plan: TuningPlan, trained: Sequence[Individual]) -> str:
    ranked = [each for each in trained if each.values]
    found = importances(plan, [each.genome for each in ranked], [each.told[0] for each in ranked])
    if not found:
        return _section("Importance of the genes", "Fewer than ten individuals, or all alike: nothing to tell apart.")
    note = f"How far the best tenth by {plan.objectives[0]} differ in a gene from all that were tried (PED-ANOVA)."
    return _section("Importance of the genes", note, bars(list(found.items()), "importance of the genes"))


def _table(plan: TuningPlan, trained: Sequence[Individual], front: Sequence[Individual]) -> str:
    """Tabulate the front; with one objective, which has no front to speak of, the best."""
    if len(plan.objectives) == 1:
        complete = [each for each in trained if each.state == "complete"]
        front = sorted(complete, key=lambda each: -_figures(plan, each)[0])[:20]
    heads = ["individual", *plan.objectives, *plan.search]
    rows = [
        [str(each.number), *map(number, _figures(plan, each)), *(_shown(value) for value in each.genes.values())]
        for each in front[:50]
    ]
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    title = "The front" if len(plan.objectives) > 1 else "The best"
    return f'<h2>{title}</h2><div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _failures(trained: Sequence[Individual]) -> str:
    """List the failed, each error once."""
    failed = [each for each in trained if each.state == "failed"]
    if not failed:
        return ""
    rows = "".join(f"<tr><td>{each.number}</td><td>{escape(each.error or '')}</td></tr>" for each in failed[:50])
    table = f'<div class="wide"><table><tr><th>individual</th><th>error</th></tr>{rows}</table></div>'
    return f'<h2>Failed</h2><p class="note">{len(failed)} individuals could not be trained.</p>{table}'


def _section(title: str, note: str, *charts: str) -> str:
    figures = "".join(f'<div class="figure">{chart}</div>' for chart in charts)
    return f'<h2>{title}</h2><p class="note">{escape(note)}</p>{figures}'
