"""``drn recommend``: the top items for a session, or for many by JSON lines."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from generator.console import err, out, print_json, print_table, stages
from generator.options import Exit, format_option, log_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from generator.model.filter import Filter
    from generator.model.model import Model
    from generator.model.query import Answer

    Filters: TypeAlias = list[list[Filter]]  # those of the one query asked at a time
    About: TypeAlias = Callable[[str], dict[str, Any] | None]  # what is known of an item

__all__ = ["command"]

SHOWN = ("title", "category", "price")  # what of the file of --items is printed


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--session", help="Pages viewed, oldest first, each with its seconds if known: page:seconds,page,...")
@click.option("--bought", help="Items bought in earlier sessions, oldest first: item,item,...")
@click.option("--batch", "logs", multiple=True, metavar="LOG", help="Recommend after every session of an event log.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Of --batch: the file to write, .parquet, .csv or .jsonl."
)
@log_options()
@click.option("-k", "top", type=click.IntRange(1), help="Items to recommend [default: the model's top_k].")
@click.option(
    "--items",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of items: item, title, category, price, image, ...; what it says comes beside each.",
)
@click.option("--items-only", is_flag=True, help="Recommend nothing but what is in the file of --items.")
@click.option("--threads", type=click.IntRange(0), default=1, show_default=True, help="Of onnxruntime; 0: all cores.")
@format_option
def command(
    *,
    run: Path,
    session: str | None,
    bought: str | None,
    logs: tuple[str, ...],
    output: Path | None,
    form: str,
    columns: dict[str, str],
    events: tuple[str, ...],
    gap: float | None,
    top: int | None,
    items: Path | None,
    items_only: bool,
    threads: int,
    output_format: str,
) -> None:
    """Recommend items, with their probabilities, for a session.

    Without --session and --bought, stdin is read: one JSON object a line, answered by one JSON line each with its
    line number. A line that does not hold is named on stderr and skipped; the exit status is then 1. Pages and items
    the model does not know are left out and counted.

    With --batch an event log is read as drn sessions reads it (--log-format, --columns, --events, --gap), in bounded
    memory, and -o gets a row a session: session, user, start, items, probabilities, best first. All views of a session
    count, and what its user bought before it.

    \b
    Example:
      drn recommend runs/shop --session "p1:12,p2:40" --bought i1,i2 -k 5
      echo '{"session": [["p1", 12], "p2"], "bought": ["i1"]}' | drn recommend runs/shop
      drn recommend runs/shop --batch shop/events.parquet -o recommended.parquet
    """
    from generator.model.model import Model
    from generator.model.text import answer_record, query_of_text

    if items_only and items is None:
        raise click.UsageError("--items-only needs --items")
    if bool(logs) != bool(output):
        raise click.UsageError("--batch LOG and -o FILE belong together")
    if logs and output:
        if session is not None or bought is not None:
            raise click.UsageError("--batch reads its sessions from a log: leave --session and --bought out")
        if items is not None:
            raise click.UsageError("--batch writes ids and probabilities: leave --items out")
        reading = {"log_format": form, "columns": columns, "events": events, "gap": gap}
        _batch(Model(run, threads), logs, output, top, reading, output_format)
        return
    about, filters = None, None
    if items is not None:
        from generator.model.filter import Filter
        from generator.model.metadata import ItemMetadata

        metadata = ItemMetadata(items)
        about = metadata.of
        filters = [[Filter(only=frozenset(metadata.labels))]] if items_only else None
    if session is None and bought is None:
        _stream(Model(run, threads), top, about, filters)
        return
    query = query_of_text(session or "", bought or "")
    (answer,) = Model(run, threads).recommend([query], top, filters)
    if output_format == "json":
        click.echo(json.dumps(answer_record(answer, about)))
    else:
        _print(answer, run.name, about)


def _batch(
    model: "Model", logs: tuple[str, ...], output: Path, top: int | None, reading: dict[str, Any], output_format: str
) -> None:
    from generator.api.answers import recommend_log
    from generator.data.log.words import parsed

    reading["events"] = parsed(reading["events"])
    with stages() as shown:
        done = recommend_log(model, list(logs), output, top, **reading, progress=shown)
    if output_format == "json":
        print_json(done.as_json())
        return
    for note in done.notes:
        err.print(f"skipped {note}", markup=False)
    print_table(str(output), ["what", "count"], [(what, f"{count:,}") for what, count in done.table()])


def _stream(model: "Model", top: int | None, about: "About | None", filters: "Filters | None") -> None:
    from generator.errors import DataError
    from generator.model.text import answer_record, query_of_json

    if sys.stdin.isatty():
        raise click.UsageError("give --session or --bought, or JSON lines on stdin")
    bad = 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            query = query_of_json(line)
        except DataError as error:
            bad += 1
            err.print(f"line {number}: {error}", markup=False)
            continue
        (answer,) = model.recommend([query], top, filters)
        click.echo(json.dumps({"line": number, **answer_record(answer, about)}))
    if bad:
        sys.exit(Exit.PROBLEM)


def _print(answer: "Answer", name: str, about: "About | None") -> None:
    from rich.markup import escape

    from generator.model.text import bars

    blocks = "█░" if out.encoding.startswith("utf") else "#."
    found = [(about(item) if about else None) or {} for item, _ in answer.items]
    shown = [column for column in SHOWN if any(column in one for one in found)]
    rows = [
        [escape(cell) for cell in (*row, *(str(one.get(column, "")) for column in shown))]
        for row, one in zip(bars(answer, blocks=blocks), found, strict=True)
    ]
    print_table(escape(name), ["", "item", "probability", "", *shown], rows)
    for count, what in ((answer.unknown_pages, "pages"), (answer.unknown_bought, "purchases")):
        if count:
            err.print(f"{count} of the {what} left out: the model does not know them")
