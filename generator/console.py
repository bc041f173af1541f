"""What drn prints: tables and notes for people, JSON for machines, progress bars on a terminal only."""

import json
from collections.abc import Sequence

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

__all__ = ["err", "out", "print_json", "print_table", "progress"]

# rich honours NO_COLOR and drops colour and bars by itself where the stream is no terminal.
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: object) -> None:
    """Print ``value`` as one JSON document on stdout."""
    click.echo(json.dumps(value, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout: the first column left-aligned, the others right-aligned."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    out.print(table)


def progress(*extra: str) -> Progress:
    """Return a progress bar on stderr, silent where that is no terminal; ``extra`` are more text fields of a task."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        *(TextColumn("{task.fields[" + field + "]}") for field in extra),
        console=err,
        disable=not err.is_terminal,
    )
