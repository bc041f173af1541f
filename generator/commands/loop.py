"""``drn loop``: from served events to a new version, again and again."""

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from generator.console import err, out, progress
from generator.options import Finite, format_option

if TYPE_CHECKING:
    from generator.loop.round import Round

__all__ = ["command"]

YEAR = 366 * 24 * 60  # minutes


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("store", metavar="STORE")
@click.option("--spec", "spec_path", required=True, type=click.Path(path_type=Path), help="The net and its solver.")
@click.option("-o", "--output", "run", required=True, type=click.Path(path_type=Path), help="Folder of the loop.")
@click.option(
    "--every",
    type=Finite(0, YEAR, min_open=True),
    help="Minutes between the starts of two rounds [default: one round].",
)
@click.option(
    "--newest",
    type=Finite(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="Share of the sessions, the newest, that the models are compared on.",
)
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Versions kept in RUN/models, the newest; one that drn serve is pinned to must be among them.",
)
@click.option("--threads", type=click.IntRange(0), default=0, show_default=True, help="Of onnxruntime; 0: all cores.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a field of the spec.")
@format_option
def command(
    *,
    store: str,
    spec_path: Path,
    run: Path,
    every: float | None,
    newest: float,
    keep: int,
    threads: int,
    overrides: tuple[str, ...],
    output_format: str,
) -> None:
    """Train on what was served, and publish the model unless it is worse on the newest sessions.

    STORE is the URL given to drn serve. Training goes on from the weights published last, label by label. Versions
    appear in RUN/models, where drn serve picks them up, and old ones go. With --every, rounds go on until Ctrl-C; one
    that fails, be it for a full disk, is logged and tried again, and one without new events does nothing.

    \b
    Example:
      drn loop sqlite:///drn.sqlite --spec arch_specs/shop.yaml -o runs/live
      drn loop mongodb://localhost:27017/drn --spec arch_specs/shop.yaml -o runs/live --every 60
      drn serve runs/live --store sqlite:///drn.sqlite
    """
    from generator.errors import in_words
    from generator.loop.round import run_round
    from generator.spec import load_spec

    spec = load_spec(spec_path, overrides)
    length = None if spec.solver.epochs else spec.solver.max_iter  # epochs are iterations once the rows are read
    done = seen = 0  # events of the last round that came to its end, and of this one

    def news(events: int) -> bool:
        nonlocal seen
        seen = events
        return seen != done

    while True:
        began = time.monotonic()
        try:
            with progress("loss") as bar:
                task = bar.add_task(f"train {spec.name}", total=length, loss="")
                found = run_round(
                    store,
                    spec,
                    run,
                    newest=newest,
                    versions=keep,
                    threads=threads,
                    wanted=news,
                    progress=lambda iteration, loss, _speed, bar=bar, task=task: bar.update(  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
                        task, completed=iteration, loss=f"loss {loss:.4f}"
                    ),
                )
        except Exception as error:  # whatever it was, the next round may do better
            if every is None:
                raise
            err.print(f"this round failed: {in_words(error)}", markup=False)
        else:
            done = seen
            if found:
                _print(found, output_format)
        if every is None:
            return
        time.sleep(max(0.0, every * 60 - (time.monotonic() - began)))


def _print(found: "Round", output_format: str) -> None:
    if output_format == "json":
        record = dataclasses.asdict(found) | {"version": str(found.version) if found.version else None}
        click.echo(json.dumps(record))
        return
    before = "nothing is served yet" if found.published is None else f"served so far {found.published:.4f}"
    out.print(
        f"{found.events:,} events; MRR on the {found.judged:,} newest rows: candidate {found.candidate:.4f}, {before}",
        markup=False,
    )
    out.print(f"published {found.version}" if found.version else "not published: it is worse", markup=False)
