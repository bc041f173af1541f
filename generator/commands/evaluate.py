"""``drn evaluate``: exported models and baselines on a held-out split."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from generator.console import err, out, print_json, print_table, progress
from generator.options import format_option

if TYPE_CHECKING:
    from generator.evaluation.evaluate import Report
    from generator.evaluation.metrics import Interval
    from generator.evaluation.ranking import Ties

__all__ = ["command"]

TIES = ("standard", "median", "conservative")  # those of `ranking.Ties`, which would import numpy for --help


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder written by drn sessions.")
@click.option("--split", type=click.Choice(["test", "valid"]), default="test", show_default=True, help="Rows to rank.")
@click.option("--baselines", default="default", show_default=True, help="default, all, none, or names: a,b.")
@click.option("--tune-baselines", is_flag=True, help="Choose their settings on the validation split, by MRR@20.")
@click.option("--ties", type=click.Choice(TIES), default="median", show_default=True, help="Rank of tied scores.")
@click.option("--batch-size", type=click.IntRange(1), default=512, show_default=True, help="Rows scored at a time.")
@click.option("--threads", type=click.IntRange(0), default=0, show_default=True, help="That rank; 0: all cores.")
@click.option("--int8", is_flag=True, help="Beside each run, the same with its output layer in 8 bits.")
@click.option("--index", is_flag=True, help="Beside each run, the same by an index that finds the best items.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path), help="PNG to draw [default: RUN/evaluation.png].")
@click.option("--no-plot", is_flag=True, help="Draw nothing.")
@format_option
def command(
    *,
    runs: tuple[Path, ...],
    data: Path,
    split: str,
    baselines: str,
    tune_baselines: bool,
    ties: "Ties",
    batch_size: int,
    threads: int,
    int8: bool,
    index: bool,
    plot_file: Path | None,
    no_plot: bool,
    output_format: str,
) -> None:
    """Rank all items for every row of a split, by exported models and by baselines.

    RUN is a folder of drn train, or a model in it, or a model.onnx. Hit rate (HR), MRR and NDCG come with 95 %
    intervals by a bootstrap over sessions; beside them the share of the items recommended to anyone (coverage), and
    how popular what is recommended is.

    Baselines by default: popularity, last-view, recency, frequency. With all, also second-last-view, dwell-frequency,
    rules (sequential rules), vs-knn, stan, vstan (session-based nearest neighbours) and als (collaborative filtering);
    the last four need the extra eval.

    \b
    Example:
      drn evaluate runs/shop --data data/shop
      drn evaluate runs/rnn runs/combined --data data/shop --baselines all --format json
      drn evaluate runs/shop --data data/shop --int8   # what drn serve --int8 costs, or --index
      drn evaluate --data data/shop --baselines vs-knn,vstan --tune-baselines
    """
    from generator.api.nets import evaluate, named_models

    if (int8 or index) and not runs:
        raise click.UsageError(f"{'--int8' if int8 else '--index'} is of a run: give one")
    models = named_models(runs, int8=int8, index=index)
    with progress() as bar:
        task = bar.add_task(f"evaluate {data.name}", total=None)
        report = evaluate(
            models,
            data,
            baselines=baselines,
            tune_baselines=tune_baselines,
            split=split,
            ties=ties,
            batch_size=batch_size,
            threads=threads,
            progress=lambda done, rows: bar.update(task, completed=done, total=rows),
        )
    if output_format == "json":
        print_json(report.as_json())
    else:
        _print(report)
    if not no_plot:
        _plot(report, plot_file, runs)


def _print(report: "Report") -> None:
    from rich.markup import escape

    from generator.evaluation.coverage import COVERAGE, POPULARITY
    from generator.evaluation.metrics import HEADLINES

    print_table(
        f"{escape(report.data)}, {report.split}: {report.rows:,} rows of {report.sessions:,} sessions, "
        f"{report.items:,} items; {report.unknown:,} rows ask for an item that has no id, a miss for all",
        ["method", *HEADLINES],
        [[escape(method.name), *(_cell(method.metrics[name]) for name in HEADLINES)] for method in report.methods],
    )
    first = report.methods[0]
    if first.kind == "model" and len(report.methods) > 1:
        print_table(
            f"how far {escape(first.name)} is ahead, on the same sessions; * where the 95 % interval excludes 0",
            ["of", *HEADLINES],
            [
                [escape(one.other), *(_cell(one.metrics[name], signed=True) for name in HEADLINES)]
                for one in report.differences
                if one.method == first.name
            ],
        )
    print_table(
        "what is recommended: share of all items; mean training popularity, the most frequent item 1",
        ["method", COVERAGE, POPULARITY],
        [
            [escape(method.name), *(f"{method.recommended[name]:.3f}" for name in (COVERAGE, POPULARITY))]
            for method in report.methods
        ],
    )
    for one in report.methods:
        if made := one.choice:
            settings = ", ".join(f"{key} {value}" for key, value in one.settings.items())
            out.print(
                f"{one.name}: {settings}; of {made.tried} settings the best, {made.metric} {made.value:.4f} on valid.h5"
            )


def _cell(figure: "Interval", signed: bool = False) -> str:
    """Return the figure with the interval under it: side by side, six of them would not fit 80 columns."""
    if not signed:
        return f"{figure.value:.3f}\n±{figure.half:.3f}"
    return f"{'' if figure.low <= 0 <= figure.high else '*'}{figure.value:+.3f}\n±{figure.half:.3f}"


def _plot(report: "Report", file: Path | None, runs: tuple[Path, ...]) -> None:
    """Draw to ``file``; without one to the first run that is a folder, where a failure is a note and no more."""
    from generator.errors import DrnError
    from generator.evaluation.plot import plot

    target = file or next((run / "evaluation.png" for run in runs if (run / "models").is_dir()), None)
    if target is None:
        return
    try:
        plot(report, target)
    except DrnError as error:
        if file:
            raise
        err.print(f"no plot: {error}", markup=False)
    else:
        err.print(f"plot: {target}", markup=False)
