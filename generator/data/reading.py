"""An event log read into sessions, in parts where it is large: no user is in two parts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from generator.data.distinct import Distinct
from generator.data.importers import MAX_BAD, check_times, opened_events, read_events, rows_of
from generator.data.numbering import levels_of
from generator.data.sessionise import Log, sessionise
from generator.data.splits import Division
from generator.data.threads import ahead
from generator.errors import DataError
from generator.spec.schema import Spec

__all__ = ["Deal", "Options", "Part", "Read", "Told", "cut", "labelled", "parts_for", "read", "without_labels"]

PART = 1 << 20  # events of a part
HELD = 1 << 21  # events held back before they are written to the files of the parts


@dataclass(frozen=True)
class Options:
    """What `drn sessions` can be asked for beside the log and the spec.

    Attributes
    ----------
    form
        Format of the log, one of importers.FORMAT_NAMES.
    test
        Files whose sessions are the test part.
    columns
        Role to column, for the format `events`.
    gap
        Minutes between two sessions of a user, for logs without session ids.
    division
        How sessions are divided into training, validation and test.
    min_support
        How often a page must occur in the training part to have an id.
    max_bad
        Share of malformed rows that is skipped rather than refused.
    vocabulary
        Which pages and items have an id: those of the training part; all that the log views or buys; those of
        pages.txt and items.txt in another folder, under the ids they have there.
    """

    form: str = "events"
    test: Sequence[Path] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    gap: float | None = None
    division: Division = field(default_factory=Division)
    min_support: int = 1
    max_bad: float = MAX_BAD
    vocabulary: Literal["train", "all"] | Path = "train"

    def __post_init__(self) -> None:
        if self.min_support > 1 and self.vocabulary != "train":
            raise DataError(
                "--min-support is for the vocabulary of the training part: leave it out with --vocabulary "
                + ("all" if self.vocabulary == "all" else f"{self.vocabulary}, whose ids are taken as they are")
            )


@dataclass(frozen=True)
class Part:
    """The sessions of some users, of codes: the log, and each session's own id, text or null."""

    log: Log
    ids: pl.Series


@dataclass(frozen=True)
class Read:
    """What is kept of a log once it is read.

    Attributes
    ----------
    parts
        Functions to be called once, each for the sessions of some users; None: it has none.
    strings
        The labels behind the codes: ``label`` (String) and ``code`` (UInt32).
    users
        The users behind theirs: ``user`` (String) and ``code`` (Int32).
    rows, skipped, notes
        See ``Events``.
    """

    parts: Sequence[Callable[[], Part | None]]
    strings: pl.DataFrame
    users: pl.DataFrame
    rows: int
    skipped: dict[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Told:
    """What a file, or a piece of it, is found to hold: what its parts cannot know of the whole.

    Attributes
    ----------
    height
        Its events.
    missing
        How many of them lack a user, a session, a time.
    found
        See ``labelled``.
    rows, skipped, notes
        See ``Events``.
    """

    height: int
    missing: Counter[str]
    found: dict[str, tuple[int, int]]
    rows: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, frame: pl.DataFrame, found: dict[str, tuple[int, int]]) -> "Told":
        """Return what events as ``labelled`` returns them are found to hold."""
        missing = Counter({role: frame[role].null_count() for role in ("user", "session", "time")})
        return cls(frame.height, missing, found)

    @classmethod
    def sum(cls, told: "Sequence[Told]") -> "Told":
        """Return what all hold together; the reasons in the order in which they are come upon."""
        return cls(
            sum(each.height for each in told),
            sum((each.missing for each in told), Counter()),
            {
                kind: (sum(each.found[kind][0] for each in told), sum(each.found[kind][1] for each in told))
                for kind in told[0].found
            },
            sum(each.rows for each in told),
            sum((Counter(each.skipped) for each in told), Counter()),
            tuple(note for each in told for note in each.notes),
        )

    @property
    def mixed(self) -> dict[str, int]:
        """How many events lack what others have: a user, a session, a time."""
        return {role: count for role, count in self.missing.items() if 0 < count < self.height}


class Deal:
    """Events dealt out to parts by their user, or by their session where they have none.

    Parameters
    ----------
    parts
        Their number.
    folder
        Where the parts are put by until they are taken; None: in memory.
    """

    def __init__(self, parts: int, folder: Path | None = None) -> None:
        self._folder = folder
        self._dealt: list[list[pl.DataFrame | Path]] = [[] for _ in range(parts)]
        self._held: list[pl.DataFrame] = []
        self._rows = 0
        self._distinct = {name: (Distinct(), list[pl.Series]()) for name in ("label", "user")}

    def add(self, frame: pl.DataFrame) -> None:
        """Deal out events as ``labelled`` returns them, in the order of the log."""
        for name, (distinct, values) in self._distinct.items():
            values.append(distinct.new(frame[name]))
        frame = frame.with_columns(pl.col("user", "label", "event").to_physical())
        self._held.append(frame.with_row_index("row", offset=self._rows))
        self._rows += frame.height
        if self._folder is None or sum(each.height for each in self._held) >= HELD:
            self._put()

    def _put(self) -> None:
        frame, self._held = pl.concat(self._held), []
        owner = frame["session"].hash() if frame["user"].null_count() else frame["user"]
        owner %= len(self._dealt)
        for place, dealt in enumerate(self._dealt):
            some = frame.filter(owner == place) if len(self._dealt) > 1 else frame
            if self._folder is None:
                dealt.append(some)
            elif some.height:
                path = self._folder / f"{place}.{len(dealt)}.events"
                some.write_ipc(path, compression="uncompressed")
                dealt.append(path)

    def take(self, place: int) -> pl.DataFrame | None:
        """Return the events of a part, which are then gone; None if it has none."""
        dealt, self._dealt[place] = self._dealt[place], []
        frames = []
        for each in dealt:
            if isinstance(each, Path):
                frames.append(pl.read_ipc(each.read_bytes()))
                each.unlink()
            else:
                frames.append(each)
        frame = pl.concat(frames) if frames else None
        return frame if frame is not None and frame.height else None

    def parts(self, gap: float | None, resolution: float, *, whole: bool) -> list[Callable[[], Part | None]]:
        """Return the parts, to be cut; as one of them if the log is to be ``whole``."""
        if self._held:
            self._put()
        if whole:
            taken = [frame for place in range(len(self._dealt)) if (frame := self.take(place)) is not None]
            self._dealt = [[pl.concat(taken).sort("row")]]

        def part(place: int) -> Part | None:
            frame = self.take(place)
            return None if frame is None else cut(frame, gap, resolution)

        return [partial(part, place) for place in range(len(self._dealt))]

    def known(self, name: str) -> pl.Series:
        """Return all labels or all users, Categorical."""
        return pl.concat(self._distinct[name][1])


def cut(frame: pl.DataFrame, gap: float | None, resolution: float = 0.0) -> Part:
    """Cut events, as ``labelled`` returns them or with their ``row`` in the log, into sessions."""
    session = frame["session"]
    if session.dtype == pl.String:
        frame = frame.with_columns(session=_codes(session))
    log = sessionise(frame, gap=gap, resolution=resolution)
    ids = session[log.order[log.offset[:-1]]]
    if "row" in frame.columns:
        log = replace(log, order=frame["row"].to_numpy()[log.order])
    return Part(log, ids)


def _codes(text: pl.Series) -> pl.Series:
    """Return a number for each text, null for null; the texts are forgotten."""
    kind = pl.Categorical(pl.Categories.random())
    begins = np.append(True, text[1:].ne_missing(text[:-1]).to_numpy())
    if text.null_count() or np.count_nonzero(begins) > len(text) // 2:
        return text.cast(kind).to_physical()
    # The events of a session lie together: its text is looked up once for all of them.
    runs = np.flatnonzero(begins)
    codes = text[runs].cast(kind).to_physical().to_numpy()
    return pl.Series(np.repeat(codes, np.diff(runs, append=len(text))))


def parts_for(logs: Sequence[Path], options: Options) -> int:
    """Return in how many parts a log should be read; in one, if it may hold sequences."""
    rows = sum(rows_of(path) for path in (*logs, *options.test))
    return 1 if options.form == "recbole" else max(1, -(-rows // PART))


def read(logs: Sequence[Path], options: Options, spec: Spec, deal: Deal) -> Read:
    """Read the log, and the test files after it, into sessions, in parts by way of ``deal``."""
    found, resolution = [], 0.0
    for place, paths in enumerate((logs, options.test)):
        if paths:
            told, coarsest = _dealt(paths, place, options, spec, deal)
            check_times(told.missing["time"], told.height)
            found.append(told)
            resolution = max(resolution, coarsest)
    told = Told.sum(found)
    skipped = dict(sorted(told.skipped.items())) if options.test else dict(told.skipped)
    # Where only some events have a user, a session or a time, what they are depends on events of other parts.
    parts = deal.parts(options.gap, resolution, whole=bool(told.mixed))
    strings, users = _strings(deal.known("label")), _users(deal.known("user"))
    return Read(parts, strings, users, told.rows, skipped | without_labels(told.found, spec), told.notes)


def _dealt(paths: Sequence[Path], place: int, options: Options, spec: Spec, deal: Deal) -> tuple[Told, float]:
    """Deal out the events of files; return what they are found to hold, and their resolution."""

    def dealt(piece: pl.DataFrame) -> Told:
        frame, found = labelled(piece.with_columns(part=pl.lit(place, pl.UInt8)), spec)
        deal.add(frame)
        return Told.of(frame, found)

    if options.form == "recbole":  # whose sequences are told apart as a whole
        events = read_events(paths, options.form, options.columns, options.max_bad)
        told = replace(dealt(events.frame), rows=events.rows, skipped=events.skipped, notes=events.notes)
        return told, events.resolution
    files, resolutions = [], []
    for path in paths:
        with opened_events(path, options.form, options.columns, options.max_bad) as (sieve, resolution):
            told = Told.sum([dealt(piece) for piece in ahead(sieve)])
        files.append(replace(told, rows=sieve.rows, skipped=sieve.skipped, notes=sieve.notes))
        resolutions.append(resolution)
    return Told.sum(files), max(resolutions)


def _strings(labels: pl.Series) -> pl.DataFrame:
    labels = labels.drop_nulls()
    return pl.DataFrame({"label": labels.cast(pl.String), "code": labels.to_physical()})


def _users(users: pl.Series) -> pl.DataFrame:
    users = users.drop_nulls()
    return pl.DataFrame({"user": users.cast(pl.String), "code": users.to_physical().cast(pl.Int32)})


def labelled(frame: pl.DataFrame, spec: Spec) -> tuple[pl.DataFrame, dict[str, tuple[int, int]]]:
    """Return events with a ``label``, page or item at the level of the spec; of views and buys, how many have none.

    For the target `next` the purchases are at the level of the pages, whose vocabulary they share. The counts are, by
    kind, of all events and of those without a label.
    """
    levels = levels_of(spec)
    columns = {"view": "page" if levels["page"] == "item" else "category", "buy": levels["item"]}
    found = {}
    for kind, column in columns.items():
        of_kind = pl.col("event") == kind
        bare = (of_kind & pl.col(column).is_null()).sum().alias("bare")
        count, without = frame.select(of_kind.sum(), bare).row(0)
        found[kind] = (count, without)
    label = pl.when(event="buy").then(columns["buy"]).otherwise(columns["view"])
    return frame.select("part", "user", "session", "time", "event", label=label), found


def without_labels(found: Mapping[str, tuple[int, int]], spec: Spec) -> dict[str, int]:
    """Return how many events no label drops, by reason; DataError if no event of a kind has one."""
    dropped = {}
    for (kind, (count, bare)), (role, level) in zip(found.items(), levels_of(spec).items(), strict=True):
        if count and bare == count:
            raise DataError(f"the log has no category for any {kind}: set data.{role}: item in the spec")
        if bare:
            dropped[f"{kind} without a {level}"] = bare
    return dropped
