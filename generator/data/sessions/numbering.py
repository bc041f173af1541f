"""Vocabularies counted, taken or made whole, and sessions of codes turned into sessions of ids."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.log.labels import levels_of
from generator.data.sessions.ragged import Sessions
from generator.data.sessions.sessionise import BUY, VIEW, SessionLog
from generator.data.sessions.slots import Slots, numbers
from generator.data.sessions.vocabulary import Vocabulary
from generator.errors import DataError
from generator.spec.schema import Spec

__all__ = ["Counts", "GivenVocabularies", "LoggedLabels", "Numbering", "by_appearance", "size_of"]

BLOCK = 1 << 20  # codes counted at a time


@dataclass(frozen=True)
class LoggedLabels:
    """The codes of all pages viewed and all items bought in a log, whichever split they fall in."""

    pages: NDArray[np.int64]
    items: NDArray[np.int64]

    @classmethod
    def of(cls, log: SessionLog) -> "LoggedLabels":
        """Return the labels of ``log``."""
        held = log.label >= 0
        size = int(log.label.max(initial=-1)) + 1
        pages, items = (np.flatnonzero(_counted(log.label[held & (log.kind == kind)], size)) for kind in (VIEW, BUY))
        return cls(pages, items)

    def __add__(self, other: "LoggedLabels") -> "LoggedLabels":
        return LoggedLabels(np.union1d(self.pages, other.pages), np.union1d(self.items, other.items))


def _counted(codes: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Return how often each code below ``size`` occurs; numpy turns what it counts to int64, so a block at a time."""
    counts = np.zeros(size, np.int64)
    for begin in range(0, len(codes), BLOCK):
        counts += np.bincount(codes[begin : begin + BLOCK], minlength=size)
    return counts


@dataclass(frozen=True)
class Counts:
    """How often each code occurs in the training split, int64, a number for each code of the log.

    Attributes
    ----------
    pages
        As a page viewed.
    items
        As a label, where the label is an item.
    before
        As an item bought before a session, where the label is an item.
    """

    pages: NDArray[np.int64]
    items: NDArray[np.int64]
    before: NDArray[np.int64]

    @classmethod
    def of(cls, sessions: Sessions, training: NDArray[np.bool_], other_views: NDArray[np.int32], size: int) -> "Counts":
        """Count the codes, all below ``size``.

        Parameters
        ----------
        sessions, training
            Sessions of codes, and which of them are of the training split, bool (S,).
        other_views
            Codes of the pages viewed in training sessions that give no row.
        """
        pages = _counted(sessions.page[np.repeat(training, sessions.lengths)], size) + _counted(other_views, size)
        if sessions.label is None:
            return cls(pages, np.zeros_like(pages), np.zeros_like(pages))
        before = sessions.bought[np.repeat(training, sessions.bought_lengths)]
        return cls(pages, _counted(sessions.label[training], size), _counted(before, size))

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.pages + other.pages, self.items + other.items, self.before + other.before)


@dataclass(frozen=True)
class GivenVocabularies:
    """The vocabularies of another folder."""

    folder: Path
    pages: Vocabulary
    items: Vocabulary

    @classmethod
    def read(cls, folder: Path, spec: Spec) -> "GivenVocabularies":
        """Read pages.txt and items.txt of ``folder``; DataError if they are not there or not at the spec's levels."""
        for name in ("pages.txt", "items.txt"):
            if not (folder / name).is_file():
                raise DataError(
                    f"--vocabulary {folder}: it holds no {name}; name a folder that drn sessions wrote, train or all"
                )
        found = cls(folder, Vocabulary.read(folder / "pages.txt"), Vocabulary.read(folder / "items.txt"))
        levels = levels_of(spec)
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


def _shared(spec: Spec) -> bool:
    """Return whether pages and items have one vocabulary."""
    return len(set(levels_of(spec).values())) == 1


def size_of(strings: pl.DataFrame) -> int:
    """Return how many codes there may be: one more than the highest of ``strings``."""
    return int(strings["code"].max() or 0) + 1  # type: ignore[arg-type]  # polars types max() widely


class Numbering:
    """The vocabularies of a log.

    Labels are numbered by how often they occur in the training split (as a page viewed or a label), ties by
    themselves; items that were only ever bought before a training session follow, and so does the rest of ``known``,
    if that is all labels of the log. If it is the vocabularies of another folder, they stay as they are.

    Parameters
    ----------
    counts
        How often the codes occur in the training split; of no use where ``known`` is another folder's.
    strings
        The labels behind the codes: ``label`` (String) and ``code`` (UInt32).
    spec, min_support
        The levels of pages and items, and how often a page must occur.
    known
        All labels of the log, or the vocabularies of another folder.
    """

    def __init__(
        self,
        counts: Counts | None,
        strings: pl.DataFrame,
        spec: Spec,
        min_support: int,
        known: LoggedLabels | GivenVocabularies | None = None,
    ) -> None:
        self._strings = strings
        self.shared = _shared(spec)
        self.slots = Slots(spec.pages, spec.slots) if spec.slots else None
        self._given = known if isinstance(known, GivenVocabularies) else None
        self._size = size_of(strings)
        if self._given:
            self.pages, self.items = self._given.pages, self._given.items
            self._page_ids, self._item_ids = self._looked_up(self.pages), self._looked_up(self.items)
            return
        pages, items, before = (
            getattr(counts, name).copy() if counts else np.zeros(self._size, np.int64)
            for name in ("pages", "items", "before")
        )
        if self.shared:
            pages += items
        pages[pages < min_support] = 0
        if self.shared:
            items, before = pages, before * (min_support == 1)
        viewed = np.zeros_like(pages)
        if isinstance(known, LoggedLabels):
            viewed[known.pages] = 1
            before[known.items] = 1
        self.items, self._item_ids = self._numbered(items, before + viewed if self.shared else before)
        self.pages, self._page_ids = (self.items, self._item_ids) if self.shared else self._numbered(pages, viewed)

    def _looked_up(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        ids = np.zeros(self._size, np.int32)
        ids[self._strings["code"].to_numpy()] = vocabulary.ids(self._strings["label"].to_list())
        return ids

    def _numbered(self, counts: NDArray[np.int64], used: NDArray[np.int64]) -> tuple[Vocabulary, NDArray[np.int32]]:
        codes = self._strings["code"].to_numpy()
        table = self._strings.with_columns(count=pl.Series(counts[codes]), used=pl.Series(used[codes]))
        kept = table.filter((pl.col("count") > 0) | (pl.col("used") > 0))
        kept = kept.sort(["count", "label"], descending=[True, False])
        ids = np.zeros(self._size, np.int32)
        ids[kept["code"].to_numpy()] = np.arange(1, kept.height + 1)
        return Vocabulary(kept["label"].to_list()), ids

    @property
    def given_hint(self) -> str:
        """What to look at where the vocabularies of another folder leave nothing to train on."""
        return f" with the ids of {self._given.folder}; is that of another log?" if self._given else ""

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

    def sessions(self, coded: Sessions, *, training: bool) -> tuple[Sessions, NDArray[np.int64]]:
        """Return sessions of codes in ids; and which of them these are, int64.

        Training sessions lose the pages that have no id, and fall out where too few are left to give a row. In the
        other splits such pages stay, as slots where the spec has them and else as 0, so that every row of the log is
        there to be judged.
        """
        bought, bought_offset = _kept(self._item_ids[coded.bought], coded.bought_offset)
        found = replace(
            coded,
            page=self._page_ids[coded.page],
            label=None if coded.label is None else self._item_ids[coded.label],
            bought=bought,
            bought_offset=bought_offset,
            training=training,
            slots=self.slots,
        )
        if training:
            return _known_only(found)
        return _slotted(coded, found, self.slots) if self.slots else found, np.arange(len(found))


def by_appearance(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return ``codes`` numbered from 0 by first appearance, -1 staying -1: codes depend on the order of reading."""
    size = int(codes.max(initial=-1)) + 1
    first = np.full(size + 1, len(codes), np.int64)  # the last is for -1
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # of the same code, the last assignment counts
    appearing = np.argsort(first[:-1], kind="stable")
    numbers = np.full(size + 1, -1, np.int32)  # the last is for -1
    numbers[appearing] = np.arange(size)
    return numbers[codes]


def _kept(ids: NDArray[np.int32], offset: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the ids that are not 0, and where they divide."""
    if ids.all():
        return ids, offset
    known = np.flatnonzero(ids)
    return ids[known], np.searchsorted(known, offset)


def _slotted(coded: Sessions, found: Sessions, slots: Slots) -> Sessions:
    """Return the sessions ``found`` of ids with slots for the pages, and the labels among them, that have no id."""
    unknown = np.flatnonzero(found.page == 0)
    session = np.repeat(np.arange(len(found)), found.lengths)[unknown]
    number, keys, of_key = numbers(session, coded.page[unknown])
    page = found.page.copy()
    page[unknown] = _id_of(number, slots)
    if coded.label is None or found.label is None or not len(keys):
        return replace(found, page=page)
    key = np.arange(len(found)) << 32 | coded.label
    at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
    viewed = (found.label == 0) & (keys[at] == key)
    return replace(found, page=page, label=np.where(viewed, _id_of(of_key[at], slots), found.label))


def _id_of(number: NDArray[np.int32], slots: Slots) -> NDArray[np.int32]:
    return np.where(number <= slots.count, slots.after + number, 0).astype(np.int32)


def _known_only(sessions: Sessions) -> tuple[Sessions, NDArray[np.int64]]:
    """Drop the pages without an id, then the sessions that give no row to train on; return which are left."""
    page, offset = _kept(sessions.page, sessions.offset)
    dwell = sessions.dwell if page is sessions.page else sessions.dwell[sessions.page > 0]
    found = replace(sessions, page=page, dwell=dwell, offset=offset)
    usable = np.diff(offset) >= (2 if found.label is None else 1)
    if found.label is not None:
        usable &= found.label > 0
    left = np.flatnonzero(usable)
    return (found if usable.all() else found.take(left, training=True)), left
