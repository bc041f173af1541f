"""RecBole's behaviour sequences: a session a row, its items and their types in lists, the item bought at the end."""

from collections.abc import Collection

import polars as pl

__all__ = ["COLUMNS", "checks", "events", "holds"]

# item_id_list, item_type_list (0 buy, 1 cart, 2 view; 3 occurs too) and item_id (the target), as normal() names them.
COLUMNS = ("itemidlist", "itemtypelist", "itemid")
VIEW = "2"


def holds(names: Collection[str]) -> bool:
    """Return whether ``names`` are (among) the columns of the layout."""
    return set(COLUMNS) <= set(names)


def checks() -> dict[str, pl.Expr]:
    """Return why a row cannot be taken, and where that is so."""
    items, types = (pl.col(name).str.split(" ") for name in COLUMNS[:2])
    return {
        "no item_id": pl.col("itemid").is_null(),
        "empty list": pl.col("itemidlist").is_null() | pl.col("itemtypelist").is_null(),
        "lists of unequal length": items.list.len() != types.list.len(),
    }


def events(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the events of ``rows``: the views of each list, then the purchase of item_id.

    Whatever else is within a list, carts and purchases, is of the kind `other`: the label is item_id. The layout has
    no times, no dwell times and no users; a row is a session.
    """
    lists = rows.lazy().select(
        session=pl.int_range(pl.len()).cast(pl.String),
        item=pl.concat_list(pl.col("itemidlist").str.split(" "), pl.col("itemid")),
        event=pl.concat_list(pl.col("itemtypelist").str.split(" "), pl.lit("target")),
    )
    kind = pl.col("event").replace_strict({VIEW: "view", "target": "buy"}, default="other")
    return (
        lists.explode("item", "event")
        .select(
            pl.lit(None, pl.String).alias("user"),
            "session",
            pl.lit(None, pl.Float64).alias("time"),
            pl.col("item").alias("page"),
            pl.lit(None, pl.String).alias("category"),
            kind.alias("event"),
            "item",
            pl.lit(None, pl.Float32).alias("dwell"),
        )
        .collect()
    )
