"""The data folder: an event log read, cut, divided, numbered and written."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.importers import MAX_BAD, Events, read_events
from generator.data.layouts import KINDS
from generator.data.sessionise import BUY, GAP, VIEW, Log, sessionise, target_sessions
from generator.data.splits import TEST, TRAIN, VALID, Division, divide, known_in_training
from generator.data.vocabulary import Vocabulary
from generator.data.windows import Sessions, write_split
from generator.errors import DataError
from generator.files import write_text
from generator.spec.schema import Spec

__all__ = ["Options", "build"]

SPLITS = {"train": TRAIN, "valid": VALID, "test": TEST}
FILES = ("train.h5", "valid.h5", "test.h5", "pages.txt", "items.txt", "meta.json")


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


def build(logs: Sequence[Path], folder: Path, spec: Spec, options: Options, spec_name: str = "spec") -> dict[str, Any]:
    """Write the data folder of ``logs`` for ``spec`` and return what meta.json holds.

    The folder gets train.h5, valid.h5 if asked for, test.h5, pages.txt, items.txt and meta.json. They are written
    beside it and moved there when all are whole, so that on any error the folder is as it was.

    Raises
    ------
    DataError
        The log does not hold, gives no rows, or has more pages or items than the spec allows; the folder whose
        vocabulary is asked for has none, or one for other levels.
    """
    given = _Given.read(options.vocabulary, spec) if isinstance(options.vocabulary, Path) else None
    events, parts = _read(logs, options)
    frame, dropped = _levels(events.frame.with_columns(part=pl.Series(parts)), spec)
    log = sessionise(frame, gap=options.gap, resolution=events.resolution)
    sessions, chosen = target_sessions(log, spec.data.target)
    if not len(sessions):
        raise DataError(
            f"no session of the {len(log):,} gives a row for target {spec.data.target}: "
            + ("none has a view before its first purchase" if spec.data.target == "purchase" else "none has two views")
        )
    division = divide(options.division, sessions.start, log.part[chosen], _Named(frame, log, chosen))
    views = _other_views(frame, log, chosen, options.division, division, sessions.start)
    known = given or (_catalogue(log) if options.vocabulary == "all" else None)
    numbered = _Numbering(sessions, division == TRAIN, views, _strings(frame), spec, options.min_support, known)
    numbered.check(spec, spec_name)
    whole = {name: numbered.sessions(division, part) for name, part in SPLITS.items()}
    if not options.division.valid_share:
        del whole["valid"]
    for name, part in whole.items():
        if not len(part):
            raise DataError(
                f"the {name} part is empty: none of the {len(sessions):,} sessions with a row falls in it"
                + (f" with the ids of {given.folder}; is that of another log?" if given and name == "train" else "")
            )
    meta = _meta(logs, spec, options, events, log, dropped, len(sessions), numbered)
    _write(folder, whole, spec, numbered, meta)
    return meta


def _read(logs: Sequence[Path], options: Options) -> tuple[Events, NDArray[np.uint8]]:
    """Return the events of the log and of the test files after it, and which are which (1: test)."""
    events = read_events(logs, options.form, options.columns, options.max_bad)
    if not options.test:
        return events, np.zeros(events.frame.height, np.uint8)
    tests = read_events(options.test, options.form, options.columns, options.max_bad)
    parts = np.repeat(np.array([0, 1], np.uint8), [events.frame.height, tests.frame.height])
    reasons = {*events.skipped, *tests.skipped}
    return (
        Events(
            pl.concat([events.frame, tests.frame]),
            events.rows + tests.rows,
            {reason: events.skipped.get(reason, 0) + tests.skipped.get(reason, 0) for reason in sorted(reasons)},
            events.notes + tests.notes,
            max(events.resolution, tests.resolution),
        ),
        parts,
    )


def _levels(frame: pl.DataFrame, spec: Spec) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the events with ``page`` and ``item`` at the levels of the spec, and how many have no such label.

    For the target `next` the purchases are at the level of the pages, whose vocabulary they share.
    """
    item = spec.data.page if spec.data.target == "next" else spec.data.item
    page_column = "page" if spec.data.page == "item" else "category"
    levelled = frame.with_columns(page=pl.col(page_column), item=pl.col(item))
    dropped: dict[str, int] = {}
    for kind, role, level in (("view", "page", spec.data.page), ("buy", "item", item)):
        of_kind = levelled.filter(pl.col("event") == kind)[role]
        if of_kind.len() and of_kind.null_count() == of_kind.len():
            raise DataError(f"the log has no category for any {kind}: set data.{role}: item in the spec")
        if of_kind.null_count():
            dropped[f"{kind} without a {level}"] = of_kind.null_count()
    return levelled.drop("category"), dropped


def _strings(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the labels in use, ``label`` (String) and ``code`` (UInt32)."""
    labels = pl.concat([frame["page"].unique(), frame["item"].unique()]).unique().drop_nulls()
    return pl.DataFrame({"label": labels.cast(pl.String), "code": labels.to_physical()})


class _Named:
    """Names of sessions, worked out when they are asked for, from the strings of the log's codes."""

    def __init__(self, frame: pl.DataFrame, log: Log, chosen: NDArray[np.int64]) -> None:
        self._frame, self._log, self._chosen = frame, log, chosen

    def _table(self) -> pl.DataFrame:
        """Return ``user`` and ``session`` of each chosen session, String or null."""
        users = self._frame["user"].unique().drop_nulls()
        table = pl.DataFrame({"code": users.to_physical().cast(pl.Int32), "user": users.cast(pl.String)})
        ids = self._frame["session"][self._log.order[self._log.offset[self._chosen]]].cast(pl.String)
        codes = pl.DataFrame({"code": self._log.user[self._chosen], "session": ids})
        return codes.join(table, on="code", how="left", maintain_order="left")

    def owners(self) -> list[str]:
        """Return the user of each session, or the session's own id where it has none."""
        return self._table().select(pl.coalesce("user", "session")).to_series().to_list()

    def names(self) -> list[str]:
        """Return the id of each session, after its user's where it has one: ids may be of a user only."""
        named = self._table().select(pl.concat_str("user", "session", separator=":", ignore_nulls=True))
        return named.to_series().to_list()


def _other_views(
    frame: pl.DataFrame,
    log: Log,
    chosen: NDArray[np.int64],
    options: Division,
    division: NDArray[np.uint8],
    start: NDArray[np.float64],
) -> NDArray[np.int32]:
    """Return the codes of the pages viewed in training sessions that give no row: the shop knows these pages too."""
    other = np.setdiff1d(np.arange(len(log)), chosen)
    other_start = log.time[log.offset[other]]
    known = np.zeros(len(log), bool)
    known[other] = known_in_training(options, division, start, other_start, log.part[other], _Named(frame, log, other))
    codes: NDArray[np.int32] = log.page[(log.kind == VIEW) & (log.page >= 0) & known[log.session]]
    return codes


@dataclass(frozen=True)
class _Catalogue:
    """The codes of all pages viewed and all items bought in a log, whichever part they fall in."""

    pages: NDArray[np.int32]
    items: NDArray[np.int32]


def _catalogue(log: Log) -> _Catalogue:
    pages, items = ((log.kind == VIEW) & (log.page >= 0), (log.kind == BUY) & (log.item >= 0))
    return _Catalogue(np.unique(log.page[pages]), np.unique(log.item[items]))


@dataclass(frozen=True)
class _Given:
    """The vocabularies of another folder."""

    folder: Path
    pages: Vocabulary
    items: Vocabulary

    @classmethod
    def read(cls, folder: Path, spec: Spec) -> "_Given":
        """Read pages.txt and items.txt of ``folder``; DataError if they are not there or not at the spec's levels."""
        for name in ("pages.txt", "items.txt"):
            if not (folder / name).is_file():
                raise DataError(
                    f"--vocabulary {folder}: it holds no {name}; name a folder that drn sessions wrote, train or all"
                )
        found = cls(folder, Vocabulary.read(folder / "pages.txt"), Vocabulary.read(folder / "items.txt"))
        levels = _levels_of(spec)
        if (folder / "meta.json").is_file():
            there = _levels_there(folder / "meta.json")
            if there not in (None, levels):
                raise DataError(
                    f"--vocabulary {folder}: its ids are of levels {_in_words(there)}, but the spec says "
                    f"{_in_words(levels)}: set data.page and data.item alike"
                )
        if _shared(spec) and found.pages.labels != found.items.labels:
            raise DataError(
                f"--vocabulary {folder}: pages.txt and items.txt differ, but target {spec.data.target} with pages by "
                f"{levels['page']} and items by {levels['item']} has one vocabulary: take a folder where they are alike"
            )
        return found


def _levels_there(meta: Path) -> Any:
    """Return the levels in a meta.json; None if it states none."""
    try:
        held = json.loads(meta.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {meta}: {error}") from error
    return held.get("levels") if isinstance(held, dict) else None


def _in_words(levels: Any) -> str:
    return ", ".join(f"{role} {level}" for role, level in levels.items()) if isinstance(levels, dict) else repr(levels)


def _levels_of(spec: Spec) -> dict[str, str]:
    """Return the level of pages and of items, which for the target `next` are pages."""
    return {"page": spec.data.page, "item": spec.data.page if spec.data.target == "next" else spec.data.item}


def _shared(spec: Spec) -> bool:
    """Return whether pages and items have one vocabulary."""
    return len(set(_levels_of(spec).values())) == 1


class _Numbering:
    """The vocabularies, and sessions of codes turned into sessions of ids.

    Labels are numbered by how often they occur in the training part (as a page viewed or a label), ties by
    themselves; items that were only ever bought before a training session follow, and so does the rest of ``known``,
    if that is the whole log's catalogue. If it is the vocabularies of another folder, they stay as they are.
    """

    def __init__(
        self,
        sessions: Sessions,
        train: NDArray[np.bool_],
        other_views: NDArray[np.int32],
        strings: pl.DataFrame,
        spec: Spec,
        min_support: int,
        known: _Catalogue | _Given | None = None,
    ) -> None:
        self._all, self._strings = sessions, strings
        self.shared = _shared(spec)
        self._given = known if isinstance(known, _Given) else None
        self._size = int(strings["code"].max() or 0) + 1  # type: ignore[arg-type]  # polars types max() widely
        if self._given:
            self.pages, self.items = self._given.pages, self._given.items
            self._page_ids, self._item_ids = self._looked_up(self.pages), self._looked_up(self.items)
            return
        training = sessions.take(np.flatnonzero(train))
        pages = self._count(training.page) + self._count(other_views)
        items = self._count(training.label) if training.label is not None else np.zeros_like(pages)
        before = self._count(training.bought) if training.label is not None else np.zeros_like(pages)
        if self.shared:
            pages += items
        pages[pages < min_support] = 0
        if self.shared:
            items, before = pages, before * (min_support == 1)
        viewed = np.zeros_like(pages)
        if isinstance(known, _Catalogue):
            viewed[known.pages] = 1
            before[known.items] = 1
        self.items, self._item_ids = self._numbered(items, before + viewed if self.shared else before)
        self.pages, self._page_ids = (self.items, self._item_ids) if self.shared else self._numbered(pages, viewed)

    def _looked_up(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        ids = np.zeros(self._size, np.int32)
        ids[self._strings["code"].to_numpy()] = vocabulary.ids(self._strings["label"].to_list())
        return ids

    def _count(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.bincount(codes, minlength=self._size)

    def _numbered(self, counts: NDArray[np.int64], used: NDArray[np.int64]) -> tuple[Vocabulary, NDArray[np.int32]]:
        codes = self._strings["code"].to_numpy()
        table = self._strings.with_columns(count=pl.Series(counts[codes]), used=pl.Series(used[codes]))
        kept = table.filter((pl.col("count") > 0) | (pl.col("used") > 0))
        kept = kept.sort(["count", "label"], descending=[True, False])
        ids = np.zeros(self._size, np.int32)
        ids[kept["code"].to_numpy()] = np.arange(1, kept.height + 1)
        return Vocabulary(kept["label"].to_list()), ids

    def check(self, spec: Spec, spec_name: str) -> None:
        """Refuse vocabularies that the net has no room for."""
        findings = []
        whose = f"the vocabulary of {self._given.folder}" if self._given else "the log"
        for name, vocabulary, limit in (("pages", self.pages, spec.pages), ("items", self.items, spec.items)):
            if len(vocabulary) > limit:
                rare = not self._given and (name == "pages" or self.shared)
                remedy = " (or --min-support)" if rare else ""
                findings.append(
                    f"{whose} has {len(vocabulary):,} {name} but spec {spec_name} allows {limit:,}: "
                    f"set {name}: {len(vocabulary)}{remedy}"
                )
        if findings:
            raise DataError("\n".join(findings))

    def sessions(self, division: NDArray[np.uint8], part: int) -> Sessions:
        """Return the sessions of one part of the division, in ids; users are numbered over all parts together.

        Training sessions lose the pages that have no id, and fall out where too few are left to give a row. In the
        other parts such pages stay as 0, so that every row of the log is there to be judged.
        """
        chosen = self._all.take(np.flatnonzero(division == part), training=part == TRAIN)
        known = np.flatnonzero(self._item_ids[chosen.bought])
        found = replace(
            chosen,
            page=self._page_ids[chosen.page],
            label=None if chosen.label is None else self._item_ids[chosen.label],
            user=self._users()[division == part],
            bought=self._item_ids[chosen.bought][known],
            bought_offset=np.searchsorted(known, chosen.bought_offset),
        )
        return _known_only(found) if part == TRAIN else found

    def _users(self) -> NDArray[np.int32]:
        """Return users numbered by first appearance, -1 staying -1: codes depend on the order of reading."""
        codes, first, place = np.unique(self._all.user, return_index=True, return_inverse=True)
        known = codes >= 0
        numbers = np.full(len(codes), -1, np.int32)
        numbers[known] = np.argsort(np.argsort(first[known]))
        return numbers[place]


def _known_only(sessions: Sessions) -> Sessions:
    """Drop the pages without an id, then the sessions that give no row to train on."""
    states = np.flatnonzero(sessions.page)
    found = replace(
        sessions,
        page=sessions.page[states],
        dwell=sessions.dwell[states],
        offset=np.searchsorted(states, sessions.offset),
    )
    usable = np.diff(found.offset) >= (2 if found.label is None else 1)
    if found.label is not None:
        usable &= found.label > 0
    return found.take(np.flatnonzero(usable), training=True)


def _meta(
    logs: Sequence[Path],
    spec: Spec,
    options: Options,
    events: Events,
    log: Log,
    dropped: dict[str, int],
    used: int,
    numbered: _Numbering,
) -> dict[str, Any]:
    kinds = np.bincount(log.kind, minlength=len(KINDS))
    return {
        "logs": [path.name for path in logs],
        "format": options.form,
        "target": spec.data.target,
        "levels": _levels_of(spec),
        "shared_vocabulary": numbered.shared,
        "window": spec.window,
        "history": spec.history,
        "bought": spec.bought,
        "loss": spec.loss,
        "gap_minutes": GAP if options.gap is None else options.gap,
        "division": options.division.describe() | {"test_files": [path.name for path in options.test]},
        "min_support": options.min_support,
        "ids": {"from": "folder", "folder": options.vocabulary.resolve().name}
        if isinstance(options.vocabulary, Path)
        else {"from": options.vocabulary},
        "events": {"rows": events.rows, **{kind: int(count) for kind, count in zip(KINDS, kinds, strict=True)}},
        "skipped": events.skipped | dropped,
        "skipped_rows": list(events.notes),
        "sessions": {"all": len(log), "with_a_row": used, "without_a_row": len(log) - used},
        "vocabulary": {"pages": len(numbered.pages), "items": len(numbered.items)},
    }


def _write(folder: Path, whole: Mapping[str, Sessions], spec: Spec, numbered: _Numbering, meta: dict[str, Any]) -> None:
    """Write all files beside ``folder``, then move them into it; what an earlier run left there goes."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            beside = Path(name)
            meta["splits"] = {
                split: {"sessions": len(part), "rows": write_split(beside / f"{split}.h5", part, spec)}
                for split, part in whole.items()
            }
            numbered.pages.write(beside / "pages.txt")
            numbered.items.write(beside / "items.txt")
            write_text(beside / "meta.json", json.dumps(meta, indent=1, ensure_ascii=False) + "\n")
            folder.mkdir(exist_ok=True)
            for file in FILES:
                if (beside / file).exists():
                    (beside / file).replace(folder / file)
                else:
                    (folder / file).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error}") from error
