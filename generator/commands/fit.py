"""`drn fit` and `drn spec`: from a log to a served model, or to the spec of one."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from generator.console import err, out, print_json, print_table, stages
from generator.data.log.formats import FORMAT_NAMES
from generator.options import Exit, Finite, format_option, log_options

if TYPE_CHECKING:
    from generator.fitting.result import Fit

__all__ = ["command", "fit_options"]


def fit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what `drn fit` and `drn spec` can be told of a log."""
    for option in reversed(
        (
            click.argument("logs", nargs=-1, required=True, metavar="LOG..."),
            log_options(FORMAT_NAMES, detected=True),
            click.option("--target", type=click.Choice(["purchase", "next"]), help="What is recommended."),
            click.option("--level", type=click.Choice(["item", "category"]), help="Of pages and items."),
            click.option(
                "--max-bad",
                type=Finite(0, 1),
                default=0.001,
                show_default=True,
                help="Share of a file's rows that may be malformed; they are skipped.",
            ),
            click.option("--test", "tests", multiple=True, help="Files whose sessions are the test part."),
            click.option("--name", help="Of the model. [default: after the log]"),
            click.option(
                "--seed", type=click.IntRange(0), default=1, show_default=True, help="Of weights and batches."
            ),
            click.option(
                "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A field of the spec, as you say."
            ),
        )
    ):
        function = option(function)
    return function


@click.command("fit", context_settings={"help_option_names": ["-h", "--help"]})
@fit_options
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option(
    "--minutes",
    type=Finite(0, min_open=True),
    default=10.0,
    show_default=True,
    help="That the whole may take, about.",
)
@click.option("--tune", is_flag=True, help="Spend half of the minutes on drn tune around the best candidate.")
@click.option("--resume", is_flag=True, help="Go on with the fit in the folder.")
@click.option("--dry-run", is_flag=True, help="Say what was understood, write spec.yaml, and stop.")
@format_option
def command(
    *,
    logs: tuple[str, ...],
    folder: Path,
    resume: bool,
    dry_run: bool,
    output_format: str,
    **options: Any,
) -> None:
    """Turn a log into a served model: look at it, choose a net, train it, compare it with rules.

    LOG is a file of events or more, in one format: CSV, TSV, JSON lines or Parquet, each also as .gz, or a folder of
    Parquet files. What was understood is said first, and what is a guess, with the option that overrules it. The newest
    sessions are held out to compare the net with every rule. The folder gets spec.yaml, which says why the net is as it
    is, data/, models/, which drn serve serves, and report.html. After Ctrl-C, or a kill at any moment, --resume goes on
    to the same result.

    \b
    Example:
      drn fit clicks.csv -o shop
      drn serve shop
      drn fit log.parquet -o shop --columns page=url,user=visitor --events view=detail buy=order --minutes 30
      drn fit clicks.jsonl -o shop --dry-run
    """
    from generator.api.fits import fit
    from generator.data.log.words import logs_and_words
    from generator.fitting.draft import Draft
    from generator.fitting.fit import StoppedError

    logs, words = logs_and_words(logs, options.pop("events"))
    try:
        with stages() as shown:
            found = fit(
                list(logs),
                folder,
                resume=resume,
                dry_run=dry_run,
                note=lambda text: err.print(text, markup=False),
                progress=shown,
                log_format=options.pop("form"),
                events=words,
                test=list(options.pop("tests")),
                **options,
            )
    except StoppedError as error:
        err.print(f"{folder}: {error}", markup=False)
        sys.exit(128 + error.signal)
    except KeyboardInterrupt:
        err.print(f"{folder}: stopped; go on with --resume", markup=False)
        sys.exit(Exit.INTERRUPTED)
    if isinstance(found, Draft):
        if output_format == "json":
            print_json({**found.as_json(), "spec": str(folder / "spec.yaml")})
        else:
            out.print(str(folder / "spec.yaml"), markup=False)
    elif output_format == "json":
        print_json(_as_json(found))
    else:
        _print(found)


def _as_json(found: "Fit") -> dict[str, Any]:
    return {
        "chosen": found.selected.candidate.name,
        "spec": str(found.folder / "spec.yaml"),
        "report": str(found.folder / "report.html"),
        "facts": found.draft.as_json()["facts"],
        "validation": found.selected.report,
        "test": found.test,
        "rule": found.selected.rule,
        "leans_on": found.selected.leans_on,
        "verdict": found.verdict(),
    }


def _print(found: "Fit") -> None:
    from rich.markup import escape

    from generator.evaluation.metrics import HEADLINES

    methods = sorted(found.test["methods"], key=lambda each: -each["metrics"]["MRR@20"]["value"])
    print_table(
        f"{escape(found.spec.name)}, test: {found.test['rows']:,} rows of {found.test['sessions']:,} sessions",
        ["method", *HEADLINES],
        [[escape(each["name"]), *(f"{each['metrics'][name]['value']:.3f}" for name in HEADLINES)] for each in methods],
    )
    for line in (found.verdict(), found.behind()):
        if line:
            out.print(line, markup=False)
    out.print(f"{found.folder / 'report.html'}\nserve it: drn serve {found.folder}", markup=False)
