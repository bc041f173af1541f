"""`drn experiment`: the paper's experiments as one report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from generator.console import err, out, print_json, print_table, progress
from generator.errors import require_package
from generator.options import Exit, format_option

if TYPE_CHECKING:
    from generator.experiment.document import ExperimentReport
    from generator.experiment.plan import ExperimentPlan

__all__ = ["command"]


@click.command("experiment")
@click.argument("plan_path", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("-o", "--output", "folder", required=True, type=click.Path(path_type=Path), help="Folder of the report.")
@click.option(
    "--data", "root", type=click.Path(path_type=Path), help="Where the plan's data are. [default: beside PLAN]"
)
@click.option("--only", multiple=True, metavar="NAME", help="Run this experiment of the plan; may be repeated.")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes; 0: one a core.")
@format_option
def command(
    *, plan_path: Path, folder: Path, root: Path | None, only: tuple[str, ...], workers: int, output_format: str
) -> None:
    """Run the paper's experiments as PLAN says, and report whether its claims hold on these data.

    The nets are trained by several seeds and ranked beside baselines. The folder gets report.html (all in one file),
    report.json, and a PNG for each experiment. Each training is kept there: run the command again after Ctrl-C or a
    kill, and it goes on to the same report; change the plan, and only what is new is trained.

    \b
    Example:
      drn experiment arch_specs/experiments/shop-small.yaml -o runs/shop-small
      drn experiment arch_specs/experiments/yoochoose.yaml --data ../shared/data/yoochoose-100k -o runs/yoochoose
      drn experiment arch_specs/experiments/shop.yaml -o runs/shop --only nets --only history
    """
    require_package("matplotlib", "drn experiment")
    from generator.experiment.plan import load_plan
    from generator.experiment.run import experiment
    from generator.jobs.workers import Processes

    plan = load_plan(plan_path)
    try:
        with Processes(workers, timeout=7 * 86400.0) as engine, progress("note") as bar:
            task = bar.add_task(f"experiment {plan_path.stem}", total=None, note="")
            document = experiment(
                plan,
                folder,
                engine=engine,
                root=root,
                only=only,
                progress=lambda done, total, note: bar.update(task, completed=done, total=total or None, note=note),
            )
    except KeyboardInterrupt:
        err.print("stopped; run it again to go on", markup=False)
        sys.exit(Exit.INTERRUPTED)
    if output_format == "json":
        print_json(document.as_json())
    else:
        _print(plan, document, folder)


def _print(plan: "ExperimentPlan", document: "ExperimentReport", folder: Path) -> None:
    from rich.markup import escape

    from generator.evaluation.metrics import HEADLINES
    from generator.experiment.measures import AccuracyFigures

    table = document.experiments.get("accuracy")
    if isinstance(table, AccuracyFigures):
        data = document.data
        print_table(
            f"{escape(document.title)}: {data.test_rows:,} test rows of {data.test_sessions:,} sessions, "
            f"mean over {len(plan.seeds)} seeds",
            ["method", *HEADLINES],
            [[escape(each.name), *(f"{each.metrics[name].value:.3f}" for name in HEADLINES)] for each in table.methods],
        )
    for claim in document.claims:
        out.print(f"{claim.experiment}: {claim.sentence}", markup=False)
    out.print(str(folder / "report.html"), markup=False)
