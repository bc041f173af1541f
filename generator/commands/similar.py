"""`drn similar`: items, or pages, whose rows in a trained net are most alike."""

from pathlib import Path

import click

from generator.console import print_json, print_table
from generator.heartbeat import working
from generator.options import format_option

__all__ = ["command"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("items", metavar="ITEM...", nargs=-1, required=True)
@click.option("-k", "count", type=click.IntRange(1), default=10, show_default=True, help="Of each.")
@click.option("--pages", is_flag=True, help="ITEM is a page: compare what the net reads of a visit to it.")
@format_option
def command(*, run: Path, items: tuple[str, ...], count: int, pages: bool, output_format: str) -> None:
    """Say which items a trained net has most alike to each ITEM, with the cosine between their rows.

    The row of an item is what the net's state is multiplied by for its score; that of a page (--pages) what the net
    reads of a visit. A tied head has one row for both. What head.mix adds to the probabilities is no part of a row, and
    the slots of head.slots share one, so pages that training never saw have no like.

    \b
    Example:
      drn similar runs/shop item-15
      drn similar runs/shop home cat-1 --pages -k 5 --format json
    """
    from generator.model.model import Model
    from generator.model.similar import Similar

    with working(f"similar {run}"):
        rows = Similar(Model(run), "pages" if pages else "items")
        found = {item: rows.nearest(item, count) for item in items}
    if output_format == "json":
        print_json({item: [{"item": name, "cosine": cosine} for name, cosine in near] for item, near in found.items()})
        return
    from rich.markup import escape

    for item, near in found.items():
        lines = [(escape(name), f"{cosine:.4f}") for name, cosine in near]
        print_table(escape(item), ["page" if pages else "item", "cosine"], lines)
