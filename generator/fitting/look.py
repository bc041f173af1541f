"""What a log holds: its format, its columns and their roles, its words, its times; and what of that is doubtful."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import polars as pl

from generator.data.log.detect import candidates_of, detect, roles_of
from generator.data.log.formats import open_log, open_named
from generator.data.log.importers import opened_events, read_events
from generator.data.log.sources import Frame, Source
from generator.data.log.tables import Table, collect
from generator.data.log.times import LIKELY, Clock
from generator.data.log.words import KINDS, Meanings, meanings_of
from generator.errors import DataError

__all__ = ["Given", "Look", "day", "look"]

ROWS = 1_000_000  # of each file that are looked at
WORDS = 200  # different words of a column that may be events
READ = ("time", "event", "item", "category")
SCHEMA: Any = {"time": pl.Float64(), **dict.fromkeys(READ[1:], pl.String())}
FULL = 0.5  # share of the rows with a product from which on it is what is viewed


@dataclass(frozen=True)
class Given:
    """What the user says of the log: its format, columns by role, kinds by word; nothing of it has to be said."""

    form: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What the first rows of a log hold.

    Attributes
    ----------
    form, columns, words
        As `drn sessions` takes them: the format, the column of each role, the kind of each word.
    met
        Rows by word of the event column; by kind where the format has no such column.
    rows
        Rows looked at.
    unit
        Of the times: s, ms, us, ns, "dates", or None without times.
    first, last
        The earliest and the latest time, unix seconds; None without times.
    bought
        Purchases, different items among them, different categories among them (0: no category is logged).
    doubts
        What is a guess, a line each, with the option that overrules it.
    whole
        Whether the rows looked at are all there are.
    """

    form: str
    columns: dict[str, str]
    words: dict[str, str]
    met: dict[str, int]
    rows: int
    unit: str | None
    first: float | None
    last: float | None
    bought: tuple[int, int, int]
    doubts: tuple[str, ...]
    whole: bool = True

    def lines(self) -> list[str]:
        """Return what was understood, in lines for a person."""
        found = [f"format: {self.form}"]
        if not self.whole:
            found.append(f"looked at: the first {ROWS:,} rows of each file")
        if self.columns:
            found.append("columns: " + ", ".join(f"{role}={column}" for role, column in self.columns.items()))
        kinds = [(kind, [word for word, of in self.words.items() if of == kind]) for kind in KINDS]
        met = self.met.get
        parts = [
            f"{kind} = " + ", ".join(f"{word} ({met(word, 0):,})" for word in each) for kind, each in kinds if each
        ]
        found.append("events: " + ("; ".join(parts) or ", ".join(f"{kind} ({n:,})" for kind, n in self.met.items())))
        if self.first is not None and self.last is not None:
            first, last = (f"{each:g}" if self.first < LIKELY else day(each) for each in (self.first, self.last))
            found.append(f"times: {self.unit}, from {first} to {last}")
        return found


def day(seconds: float) -> str:
    """Return a unix time as a date."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")


def look(sources: Sequence[Source], given: Given) -> Look:
    """Look at the first rows of each source of a log.

    Raises
    ------
    DataError
        A source cannot be read, the sources are of several formats, or no column can be the page, the session or the
        user and the time.
    """
    forms = {given.form} if given.form else {detect(source) for source in sources}
    if len(forms) > 1:
        raise DataError(
            f"the files are in several formats, {', '.join(sorted(map(str, forms)))}: fit them on their own"
        )
    (form,) = forms
    if form is None or form == "events":
        return _look_at_columns(sources, given)
    pieces = [_events(source, form, {}, {}) for source in sources]
    events, whole = pl.concat(pieces), max(map(len, pieces)) < ROWS
    met = dict(Counter(events["event"].cast(pl.String).to_list()).most_common())
    return _summed(
        events, form, {}, {}, met, None if events["time"].null_count() else "dates", [], _name(sources[0]), whole
    )


def _look_at_columns(sources: Sequence[Source], given: Given) -> Look:
    """Look at files of named columns."""
    with open_named(sources[0]) as table:
        roles, doubts = _columns(table, given)
        unit = _unit(table, roles.get("time"))
    met: Counter[str] = Counter()
    most = 0  # rows of a file whose words were counted
    if "event" in roles:
        for source in sources:
            words, rows = _words(source, roles["event"])
            met.update(words)
            most = max(most, rows)
        if len(met) > WORDS:
            doubts.append(
                f"{roles['event']} holds {len(met):,} different words, too many for events: it is left aside, all rows "
                "are views (--columns event=COLUMN)"
            )
            del roles["event"]
    meanings = meanings_of(met, given.words) if "event" in roles else Meanings({}, (), ())
    doubts += _doubtful_words(meanings, met)
    if not {"view"} & {*meanings.kinds.values()} and "buy" in meanings.kinds.values():
        bought = [word for word, kind in meanings.kinds.items() if kind == "buy"]
        meanings = replace(meanings, kinds=meanings.kinds | dict.fromkeys(bought, "view"))
        doubts.append(
            f"no event is a view: purchases ({', '.join(bought)}) are taken for views, the next to be recommended"
        )
    if meanings.kinds and "view" not in meanings.kinds.values():
        raise DataError(
            f"{_name(sources[0])}: no event of {roles['event']} is known as a view: the words are {_counted(met)}; "
            f"say which is, as in --events view={met.most_common(1)[0][0]}"
        )
    pieces = [_events(source, "events", roles, meanings.kinds) for source in sources]
    events, whole = pl.concat(pieces), max(most, *map(len, pieces)) < ROWS
    if not met:
        met["view"] = events.height
    return _summed(
        events, "events", roles, meanings.kinds, dict(met.most_common()), unit, doubts, _name(sources[0]), whole
    )


def _columns(table: Table, given: Given) -> tuple[dict[str, str], list[str]]:
    """Return the column of each role, and what is doubtful of them."""
    free = [name for name in table.columns if name not in given.columns.values()]
    columns = {**{role: name for role, name in roles_of(free).items() if role not in given.columns}, **given.columns}
    doubts = []
    item = columns.get("item")
    if item and "page" not in given.columns and columns.get("page", "").lower() != "page":
        held = collect(table.frame.head(ROWS).select(pl.col(item).is_not_null().mean()), table.name).item()
        if held >= FULL:
            page, columns["page"] = columns["page"], columns.pop("item")
            doubts.append(f"pages are {item}, which {held:.0%} of the rows have, not {page} (--columns page={page})")
    taken = set(columns.values())
    for role, names in candidates_of(free).items():
        others = [name for name in names if name not in taken]
        if role in columns and role not in given.columns and others and role not in ("page", "item"):
            doubts.append(f"{role} is {columns[role]}, not {', '.join(others)} (--columns {role}={others[0]})")
    if "page" not in columns or not ("session" in columns or {"user", "time"} <= columns.keys()):
        raise DataError(
            f"{table.name}: has the columns {', '.join(table.columns)}, and "
            + (", ".join(f"{role} seems to be {column}" for role, column in columns.items()) or "none has a known name")
            + "; wanted are page, and session or both user and time: say which they are, as in --columns "
            "page=url,user=visitor,time=when"
        )
    return columns, doubts


def _unit(table: Table, column: str | None) -> str | None:
    """Return the unit of a column of times, "dates" where it holds no numbers; None without a column."""
    if column is None:
        return None
    clock = Clock()
    clock(collect(table.frame.head(ROWS).select(pl.col(column)), table.name).to_series())
    return clock.unit or "dates"


def _words(source: Source, column: str) -> tuple[dict[str, int], int]:
    """Return the rows by word of the event column, and how many rows were looked at."""
    with open_named(source) as table:
        if column not in table.columns:
            raise DataError(f"{table.name}: no column {column}, which the first file has: fit the files on their own")
        words = table.frame.head(ROWS).select(word=pl.col(column).cast(pl.String))
        counts = collect(words.group_by("word").len().sort("len", "word", descending=[True, False]), table.name)
        return dict(counts.drop_nulls().iter_rows()), int(counts["len"].sum())


def _events(source: Source, form: str, columns: Mapping[str, str], words: Mapping[str, str]) -> pl.DataFrame:
    """Return what the statistics need of the first rows of a source."""
    with open_log(source, form, columns, words) as (_, layout):
        sequences = layout is None
    if sequences:  # they are small
        return read_events([source], form).frame.select(READ).cast(SCHEMA)
    pieces: list[pl.DataFrame] = []
    with opened_events(source, form, columns, 1.0, words) as (valid, _):
        for piece in valid:
            pieces.append(piece.select(READ).cast(SCHEMA))
            if sum(len(each) for each in pieces) >= ROWS:
                break
    found = pl.concat(pieces)
    if not found.height:  # then they were read to the end
        why = ", ".join(f"{reason} ({rows:,})" for reason, rows in valid.counts.skipped.items())
        why += " (iconv -f LATIN1 -t UTF-8 FILE makes it so)" if "not UTF-8" in valid.counts.skipped else ""
        raise DataError(
            f"{_name(source)}: none of its {valid.counts.rows:,} rows is an event: {why}; the first:\n"
            + "\n".join(f"  {note}" for note in valid.counts.notes)
        )
    return found


def _summed(
    events: pl.DataFrame,
    form: str,
    columns: dict[str, str],
    words: dict[str, str],
    met: dict[str, int],
    unit: str | None,
    doubts: list[str],
    name: str,
    whole: bool,
) -> Look:
    if not events.height:
        raise DataError(f"{name}: has no rows")
    bought = events.filter(event="buy")
    times = events["time"].drop_nulls()
    first, last = (None, None) if times.is_empty() else (float(times.min()), float(times.max()))  # type: ignore[arg-type]
    if first is not None and last is not None and first < LIKELY:
        doubts.append("the times are no dates of these days: they are taken as seconds, in their order")
    return Look(
        form,
        columns,
        words,
        met,
        events.height,
        unit,
        first,
        last,
        (bought.height, bought["item"].drop_nulls().n_unique(), bought["category"].drop_nulls().n_unique()),
        tuple(doubts),
        whole,
    )


def _doubtful_words(meanings: Meanings, met: Mapping[str, int]) -> list[str]:
    found = [
        f"event {word} ({met[word]:,} rows) is taken for {_spoken(meanings.kinds[word])} "
        f"(--events {'other' if meanings.kinds[word] != 'other' else 'view'}={word})"
        for word in meanings.guessed
    ]
    return found + [
        f"event {word} ({met[word]:,} rows) is not known and taken for {_spoken(meanings.kinds[word])} "
        f"(--events {'other' if meanings.kinds[word] == 'view' else 'view'}={word})"
        for word in meanings.unknown
    ]


def _spoken(kind: str) -> str:
    return {"view": "a view", "buy": "a purchase", "other": "neither a view nor a purchase"}[kind]


def _counted(met: Mapping[str, int]) -> str:
    return ", ".join(f"{word} ({count:,})" for word, count in list(met.items())[:10])


def _name(source: Source) -> str:
    return source.name if isinstance(source, Frame) else str(source)
