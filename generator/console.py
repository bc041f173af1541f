"""What drn prints: tables and notes for people, JSON for machines; progress as bars on a terminal, else as lines."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from generator.heartbeat import FIRST, SELDOM, THEN

__all__ = ["err", "out", "print_json", "print_table", "progress", "stages"]

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
    """Return the progress of a command on stderr; ``extra`` are more text fields of a task.

    On a terminal it is a bar; elsewhere a line now and then, the first after FIRST seconds, so that a log shows that
    the command is alive and how far it is.
    """
    kind = Progress if err.is_terminal else _Lines
    return kind(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        *(TextColumn("{task.fields[" + field + "]}") for field in extra),
        console=err,
        disable=not err.is_terminal,
    )


@contextmanager
def stages() -> Iterator[Callable[[str, float, float | None], None]]:
    """Yield what shows the progress of work in stages: called with its name, what is done, and the total."""
    with progress() as bar:
        tasks: dict[str, TaskID] = {}

        def shown(name: str, done: float, total: float | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done, total=total)

        yield shown


class _Lines(Progress):
    """Progress where there is no terminal: a line for the task that moved, at most one in a while."""

    def __init__(self, *columns: Any, **options: Any) -> None:
        super().__init__(*columns, **options)
        self._due, self._wait = time.monotonic() + FIRST, THEN

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        """Print how far a task is, if it is time; the longer it takes, the more seldom."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due, self._wait = now + self._wait, min(2 * self._wait, SELDOM)
        task = self._tasks[task_id]
        # A total may be a guess, by the size of a file: what is past it is no share of it.
        of = "" if task.total is None or task.completed > task.total else f" of {task.total:,.0f}"
        words = [f"{task.description}: {task.completed:,.0f}{of}", *map(str, filter(None, task.fields.values()))]
        err.print(", ".join(words), markup=False)
