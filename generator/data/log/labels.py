"""Labels of events: the page or item at the level that the spec asks for, itself or its category."""

from collections.abc import Mapping

import polars as pl

from generator.errors import DataError
from generator.spec.schema import Spec

__all__ = ["labelled", "levels_of", "without_labels"]


def levels_of(spec: Spec) -> dict[str, str]:
    """Return the level of pages and of items, which for the target `next` are pages."""
    return {"page": spec.data.page, "item": spec.data.page if spec.data.target == "next" else spec.data.item}


def labelled(
    frame: pl.DataFrame, spec: Spec, *, content: bool = False
) -> tuple[pl.DataFrame, dict[str, tuple[int, int]]]:
    """Return events with a ``label``, page or item at the level of the spec; of views and buys, how many have none.

    For the target `next` the purchases are at the level of the pages, whose vocabulary they share. The counts are, by
    kind, of all events and of those without a label. With ``content`` there is a column of that name, UInt64: equal
    where events are alike but for their time.
    """
    levels = levels_of(spec)
    columns = {"view": "page" if levels["page"] == "item" else "category", "buy": levels["item"]}
    counts = {}
    for kind, column in columns.items():
        of_kind = pl.col("event") == kind
        bare = (of_kind & pl.col(column).is_null()).sum().alias("bare")
        count, without = frame.select(of_kind.sum(), bare).row(0)
        counts[kind] = (count, without)
    label = pl.when(event="buy").then(columns["buy"]).otherwise(columns["view"])
    what = pl.struct(pl.col("event", "page", "item", "category").cast(pl.String)).hash()
    alike = {"content": what} if content else {}
    return frame.select("in_test", "user", "session", "time", "event", "dwell", label=label, **alike), counts


def without_labels(counts: Mapping[str, tuple[int, int]], spec: Spec) -> dict[str, int]:
    """Return how many events no label drops, by reason; DataError if no event of a kind has one."""
    dropped = {}
    for (kind, (count, bare)), (role, level) in zip(counts.items(), levels_of(spec).items(), strict=True):
        if count and bare == count:
            raise DataError(f"the log has no category for any {kind}: set data.{role}: item in the spec")
        if bare:
            dropped[f"{kind} without a {level}"] = bare
    return dropped
