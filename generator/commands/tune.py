"""`drn tune`: search the fields of a spec for the best net."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from generator.console import err, out, print_json, print_table, progress
from generator.options import Exit, engine_option, format_option
from generator.tuning.names import SAMPLERS

if TYPE_CHECKING:
    from generator.jobs.workers import Engine
    from generator.tuning.history import Status
    from generator.tuning.plan import TuningPlan
    from generator.tuning.run import TuningResult

__all__ = ["command"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("plan_path", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder of drn sessions --valid-share.")
@click.option("-o", "--output", "run", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder; its budget may be another.")
@click.option("--sampler", type=click.Choice(SAMPLERS), help="What draws the individuals.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Seed of the run, instead of the plan's.")
@click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Individuals at a time; 0: one a core."
)
@engine_option
@format_option
def command(
    *,
    plan_path: Path,
    data: Path,
    run: Path,
    resume: bool,
    sampler: str | None,
    seed: int | None,
    workers: int,
    engine: str,
    output_format: str,
) -> None:
    """Search the fields of a spec for the best net, as PLAN says: by a surrogate, or a genetic algorithm.

    Individuals are trained on the training split and measured on the validation split. The folder gets best.yaml (a
    spec for gen-model and drn train), report.html, history.jsonl, with several objectives front/, and the journal that
    --resume goes on with: after Ctrl-C, or a kill at any moment, to the same history.

    \b
    Example:
      drn sessions shop/events.parquet --spec arch_specs/shop.yaml --valid-share 0.1 -o data/shop
      drn tune arch_specs/tune/shop.yaml --data data/shop -o runs/shop-tune
      gen-model runs/shop-tune/best.yaml
      drn tune arch_specs/tune/shop.yaml --data data/shop -o runs/ray-tune --engine ray
    """
    from generator.tuning.plan import load_plan
    from generator.tuning.run import tune

    plan = load_plan(plan_path).changed(sampler=sampler, seed=seed)
    total = _total(plan)
    try:
        with _engine(engine, workers, plan.training.timeout) as workshop, progress("note") as bar:
            task = bar.add_task(f"tune {plan_path.stem}", total=total, note="")
            result = tune(
                plan,
                data.absolute(),
                run.absolute(),  # a worker on Ray has another working directory
                engine=workshop,
                resume=resume,
                progress=lambda status: bar.update(task, completed=_spent(plan, status), note=_note(status)),
            )
    except KeyboardInterrupt:
        err.print("stopped; go on with --resume", markup=False)
        sys.exit(Exit.INTERRUPTED)
    if output_format == "json":
        print_json(_as_json(result, run))
    else:
        _print(plan, result, run)


@contextmanager
def _engine(name: str, workers: int, timeout: float) -> Iterator["Engine"]:
    """Yield what trains the individuals."""
    if name == "local":
        from generator.jobs.workers import Processes

        with Processes(workers, timeout) as processes:
            yield processes
        return
    from generator.scale.cluster import connected
    from generator.scale.engine import RayTasks

    with connected(name):
        yield RayTasks(workers, timeout)


def _total(plan: "TuningPlan") -> float | None:
    """Return the budget the bar counts: trainings, else epochs, else seconds."""
    budget = plan.budget
    if budget.trainings is not None:
        return budget.trainings
    return budget.epochs if budget.epochs is not None else 60 * (budget.minutes or 0)


def _spent(plan: "TuningPlan", status: "Status") -> float:
    budget = plan.budget
    if budget.trainings is not None:
        return status.trained
    return status.epochs if budget.epochs is not None else status.seconds


def _note(status: "Status") -> str:
    best = "" if status.best is None else f" · best {status.best:.4f} · front {status.front}"
    return f"generation {status.generation}{best} · {status.per_minute:.1f} trainings/min"


def _as_json(result: "TuningResult", run: Path) -> dict[str, Any]:
    return {
        "best": result.best.as_json(),
        "confirmed": [
            {"individual": one.individual.number, "found": one.found, "mean": one.mean, "repeats": list(one.repeats)}
            for one in result.confirmed
        ],
        "front": [each.as_json() for each in result.front],
        "individuals": len(result.history),
        "generations": result.history[-1].generation + 1,
        "trained": result.trained,
        "failed": sum(each.state == "failed" and each.first == each.number for each in result.history),
        "epochs": result.epochs,
        "seconds": round(result.seconds, 3),
        "end": result.end,
        "spec": str(run / "best.yaml"),
        "report": str(run / "report.html"),
    }


def _print(plan: "TuningPlan", result: "TuningResult", run: Path) -> None:
    rows = [
        [f"{each.number}", *(_figure(each.values or {}, name) for name in plan.objectives)]
        for each in result.front[:20]
    ]
    print_table(
        f"{len(result.history)} individuals, {result.trained} trained, {result.epochs:,.0f} epochs, "
        f"{result.seconds / 60:,.1f} min; {result.end}",
        ["individual", *plan.objectives],
        rows,
    )
    if result.confirmed:
        chosen = result.confirmed[0]
        print_table(
            f"trained again on {len(chosen.repeats)} other seeds: the first is the best of the run",
            ["individual", "in the search", "on other seeds"],
            [[f"{one.individual.number}", f"{one.found:.4f}", f"{one.mean:.4f}"] for one in result.confirmed],
        )
    for name, value in result.best.genes.items():
        out.print(f"{name}: {value}", markup=False)
    out.print(f"{run / 'best.yaml'}\n{run / 'report.html'}", markup=False)


def _figure(values: dict[str, float], name: str) -> str:
    return f"{values[name]:,}" if name == "size" else f"{values[name]:.4f}"
