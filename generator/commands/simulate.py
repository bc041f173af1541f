"""`drn simulate`: a shop's log, for a machine without data."""

from dataclasses import asdict
from pathlib import Path

import click

from generator.console import print_json, print_table, progress
from generator.options import format_option

__all__ = ["command"]


@click.command("simulate")
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
@click.option("--sessions", type=click.IntRange(min=1), default=100_000, show_default=True, help="Sessions.")
@click.option("--items", type=click.IntRange(min=1), default=500, show_default=True, help="Products.")
@click.option("--categories", type=click.IntRange(min=1), default=20, show_default=True, help="Categories of products.")
@click.option("--users", type=click.IntRange(min=1), default=20_000, show_default=True, help="Users.")
@click.option("--days", type=click.IntRange(min=1), default=30, show_default=True, help="Days the log spans.")
@click.option("--conversion", type=float, default=0.35, show_default=True, help="Share of sessions that buy.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of everything.")
@format_option
def command(out: Path, output_format: str, **options: float) -> None:
    """Simulate a shop: users with tastes, walks through its pages, purchases.

    A purchase depends on the order of the session, on dwell times and on what the user bought before. The folder gets
    events.parquet, which `drn fit` and `drn sessions` read, items.csv, what can be bought, for `--items`, and
    shop.json: the options, and how well the purchases could be predicted by the rule that made them.

    \b
    Example:
      drn simulate -o shop
      drn simulate -o big --sessions 1000000 --users 200000 --seed 7
    """
    from generator.shop.simulator import Shop, simulate

    shop = Shop(**options)  # type: ignore[arg-type]  # click has made each a number of its kind
    with progress() as bar:
        task = bar.add_task("sessions", total=shop.sessions)
        summary = simulate(out, shop, lambda sessions: bar.advance(task, sessions))
    if output_format == "json":
        print_json(asdict(summary))
        return
    counts = {"sessions": summary.sessions, "users": summary.users, "views": summary.views}
    rows = [[name, f"{count:,}"] for name, count in (counts | {"purchases": summary.purchases}).items()]
    for name, of in summary.oracle.items():
        rows.append([f"MRR@20 of the rule, {name.replace('_', ' ')}", f"{of['mrr@20']:.3f}"])
    print_table(f"{out}: a simulated shop", ["what", "figure"], rows)
