"""Layouts of event logs: which column says what."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from generator.data.log.words import WORDS
from generator.errors import DataError

__all__ = ["LABEL", "NUMBERS", "ROLES", "Format", "Layout", "generic", "normal", "with_words"]

ROLES = ("user", "session", "time", "page", "event", "item", "category", "dwell")
NUMBERS = ("time", "dwell")  # the others identify something
LABEL = pl.Categorical(pl.Categories("drn-label"))  # pages, items and their categories have codes in common


@dataclass(frozen=True)
class Layout:
    """One file of a format.

    Attributes
    ----------
    columns
        The columns as published, in order; a header is matched by name, whatever its case and underscores.
    roles
        What each role of an event (ROLES) is made of: an expression over the columns under their ``normal`` names, as
        text but for NUMBERS, which are as they stand in the file. ``event`` is a word.
    words
        What the words of ``event`` mean, of KINDS.
    lenient
        Whether other words are of the kind `other`, rather than malformed rows.
    within
        Seconds to add to the time.
    separator, quote
        Of the fields.
    header
        Whether the first line names the columns; None: it may.
    resolution
        Seconds within which the times of two sessions cannot be put in order.
    mark
        Normal names of columns that no role reads but that tell this file from the format's others; of a layout that
        unfolds, those that it needs.
    name
        What the file's name must hold, where its columns do not tell it from the format's others.
    unfold
        What is made of the table, its columns under their normal names, before the roles are read.
    """

    columns: tuple[str, ...]
    roles: Mapping[str, pl.Expr]
    words: Mapping[str, str] = field(default_factory=lambda: WORDS)
    lenient: bool = False
    within: pl.Expr | None = None
    separator: str = ","
    quote: str | None = None
    header: bool | None = True
    resolution: float = 0.0
    mark: tuple[str, ...] = ()
    name: str = ""
    unfold: Callable[[pl.LazyFrame], pl.LazyFrame] | None = None

    @property
    def identities(self) -> tuple[str, ...]:
        """Columns of which users, sessions, labels and words are made."""
        several = (role.meta.root_names() for name, role in self.roles.items() if name not in NUMBERS)
        return tuple(dict.fromkeys(column for columns in several for column in columns))

    @property
    def session_column(self) -> str | None:
        """The column that is the session as it stands, and that no other role is made of; None: there is no such."""
        if "session" not in self.roles:
            return None
        session = self.roles["session"]
        columns = session.meta.root_names()
        others = (role.meta.root_names() for name, role in self.roles.items() if name != "session")
        shared = {column for names in others for column in names}
        bare = len(columns) == 1 and session.meta.eq(pl.col(columns[0]))
        return columns[0] if bare and columns[0] not in shared else None

    @property
    def needed(self) -> set[str]:
        """The columns a header must have, under their normal names."""
        within = self.within.meta.root_names() if self.within is not None else []
        numbers = [name for role in NUMBERS if role in self.roles for name in self.roles[role].meta.root_names()]
        read = {*self.identities, *numbers, *within}
        made = {} if self.unfold is None else read - {normal(column) for column in self.columns}
        return {*self.mark, *read} - set(made)


@dataclass(frozen=True)
class Format:
    """A public format.

    Attributes
    ----------
    title, source
        What it is, and where it is described.
    layouts
        Its files; the first whose columns are all there is taken.
    traps
        What goes wrong with it, a sentence each.
    records
        Of a format of nested records, JSON lines or Parquet: the flat rows of one, of the columns of its only layout.
    """

    title: str
    source: str
    layouts: tuple[Layout, ...]
    traps: tuple[str, ...] = ()
    records: Callable[[Mapping[str, Any]], Iterator[Mapping[str, Any]]] | None = None


def normal(name: str) -> str:
    """Return a column's name without RecBole's type, case and underscores: ``Session_Id:token`` is ``sessionid``."""
    return name.split(":", maxsplit=1)[0].replace("_", "").strip().lower()


def with_words(layout: Layout, words: Mapping[str, str], name: str) -> Layout:
    """Return a layout with more ``words``; DataError where there is no column of events."""
    if words and not layout.roles["event"].meta.root_names():
        raise DataError(f"--events: {name} has no column of events; all its rows are of one kind")
    return replace(layout, words={**layout.words, **words})


def generic(
    name: str,
    schema: Mapping[str, pl.DataType],
    columns: Mapping[str, str],
    words: Mapping[str, str],
    *,
    lean: bool = False,
    kind: str = "file",
) -> Layout:
    """Return the layout of a log with named columns, the format `events`.

    Parameters
    ----------
    name
        The file or DataFrame, for messages.
    schema
        Its columns and their types.
    columns
        Role to column; a role that is not given is the column of its own name, if there is one.
    words
        What words of the column of events mean, beside view and buy.
    lean
        Events other than purchases may lack the item where it is the page.
    kind
        What messages call it: file or frame.

    Raises
    ------
    DataError
        A named column or a needed role is absent: page, and session or both user and time.
    """
    for role, column in columns.items():
        if role not in ROLES:
            raise DataError(f"--columns names {role!r}: the roles are {', '.join(ROLES)}")
        if column not in schema:
            raise DataError(f"{name}: no column {column} for {role}: the {kind} has {', '.join(schema)}")
    named = {role: columns.get(role, role) for role in ROLES if columns.get(role, role) in schema}
    if "page" not in named or not ("session" in named or {"user", "time"} <= named.keys()):
        raise DataError(
            f"{name}: has the columns {', '.join(schema)}, but events need page, and session or both user and time: "
            "say which they are, as in --columns page=url,user=visitor,time=when"
        )
    roles = {role: pl.col(column) for role, column in named.items()}
    word = roles.setdefault("event", pl.lit("view"))
    if "item" in roles:
        item = pl.coalesce(roles["item"], roles["page"])
        bought = word.is_in([word for word, kind in (WORDS | dict(words)).items() if kind == "buy"])
        # To look labels up is most of the work of reading.
        roles["item"] = pl.when(bought | (item != roles["page"])).then(item) if lean else item
    else:
        roles["item"] = roles["page"]
    return Layout(tuple(schema), roles, lenient=True)
