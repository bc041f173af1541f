"""The data folder: an event log read, cut, divided, numbered and written."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.importers import MAX_BAD, Events, read_events
from generator.data.layouts import KINDS
from generator.data.numbering import Catalogue, Given, Numbering, by_appearance, levels_of
from generator.data.ragged import Sessions
from generator.data.sessionise import GAP, VIEW, Log, sessionise, target_sessions
from generator.data.splits import TEST, TRAIN, VALID, Division, divide, known_in_training
from generator.data.windows import write_split
from generator.errors import DataError
from generator.files import write_text
from generator.spec.schema import Spec

__all__ = ["Options", "Read", "build", "labelled", "without_labels"]

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


def build(
    logs: Sequence[Path],
    folder: Path,
    spec: Spec,
    options: Options,
    spec_name: str = "spec",
    *,
    reader: "Callable[[], Read] | None" = None,
) -> dict[str, Any]:
    """Write the data folder of ``logs`` for ``spec`` and return what meta.json holds.

    The folder gets train.h5, valid.h5 if asked for, test.h5, pages.txt, items.txt and meta.json. They are written
    beside it and moved there when all are whole, so that on any error the folder is as it was.

    ``reader`` reads them elsewhere than in this process: to the same sessions, in any order.

    Raises
    ------
    DataError
        The log does not hold, gives no rows, or has more pages or items than the spec allows; the folder whose
        vocabulary is asked for has none, or one for other levels.
    """
    parts, numbered, meta = _numbered(logs, spec, options, spec_name, reader or partial(_read, logs, options, spec))
    # Those of codes go as those of ids are made.
    whole = {name: numbered.sessions(parts.pop(name), training=name == "train") for name in list(parts)}
    for name, part in whole.items():
        if not len(part):
            used, hint = meta["sessions"]["with_a_row"], numbered.given_hint if name == "train" else ""
            raise DataError(f"the {name} part is empty: none of the {used:,} sessions with a row falls in it{hint}")
    _write(folder, whole, spec, numbered, meta)
    return meta


def _numbered(
    logs: Sequence[Path], spec: Spec, options: Options, spec_name: str, reader: "Callable[[], Read]"
) -> tuple[dict[str, Sessions], Numbering, dict[str, Any]]:
    """Return the sessions of each part, of codes, the vocabularies, and what meta.json holds of the log."""
    given = Given.read(options.vocabulary, spec) if isinstance(options.vocabulary, Path) else None
    read = reader()
    log = read.log
    sessions, chosen = target_sessions(log, spec.data.target)
    if not len(sessions):
        raise DataError(
            f"no session of the {len(log):,} gives a row for target {spec.data.target}: "
            + ("none has a view before its first purchase" if spec.data.target == "purchase" else "none has two views")
        )
    division = divide(options.division, sessions.start, log.part[chosen], read.named(chosen))
    views = _other_views(read, chosen, options.division, division, sessions.start)
    sessions = replace(sessions, user=by_appearance(sessions.user))
    parts = {name: sessions.take(np.flatnonzero(division == part)) for name, part in SPLITS.items()}
    known = given or (Catalogue.of(log) if options.vocabulary == "all" else None)
    numbered = Numbering(parts["train"], views, read.strings, spec, options.min_support, known)
    numbered.check(spec, spec_name)
    if not options.division.valid_share:
        del parts["valid"]
    return parts, numbered, _meta(logs, spec, options, read, len(sessions), numbered)


@dataclass(frozen=True)
class Read:
    """What is kept of a log once it is read.

    Attributes
    ----------
    log
        Its events in sessions, of codes.
    strings
        The labels behind the codes: ``label`` (String) and ``code`` (UInt32).
    users
        The users behind theirs: ``user`` (String) and ``code`` (Int32).
    ids
        Each session's own id, Categorical or null.
    rows, skipped, notes
        See ``Events``.
    """

    log: Log
    strings: pl.DataFrame
    users: pl.DataFrame
    ids: pl.Series
    rows: int
    skipped: dict[str, int]
    notes: tuple[str, ...]

    def named(self, chosen: NDArray[np.int64]) -> "_Named":
        """Return the names of the ``chosen`` sessions."""
        return _Named(self.users, self.log.user[chosen], self.ids[chosen])


def _read(logs: Sequence[Path], options: Options, spec: Spec) -> Read:
    """Read the log, and the test files after it, into sessions."""
    events = _events(logs, options)
    frame, found = labelled(events.frame, spec)
    events = replace(events, frame=frame.clear())  # its other columns go before more is made of these
    log = sessionise(frame, gap=options.gap, resolution=events.resolution)
    labels, users = (frame[name].unique().drop_nulls() for name in ("label", "user"))
    return Read(
        log,
        pl.DataFrame({"label": labels.cast(pl.String), "code": labels.to_physical()}),
        pl.DataFrame({"user": users.cast(pl.String), "code": users.to_physical().cast(pl.Int32)}),
        frame["session"][log.order[log.offset[:-1]]],
        events.rows,
        events.skipped | without_labels(found, spec),
        events.notes,
    )


def _events(logs: Sequence[Path], options: Options) -> Events:
    """Return the events of the log and of the test files after it; ``part`` tells which are which (1: test)."""
    read = [
        read_events(paths, options.form, options.columns, options.max_bad) for paths in (logs, options.test) if paths
    ]
    if len(read) == 1:
        return replace(read[0], frame=read[0].frame.with_columns(part=pl.lit(0, pl.UInt8)))
    events, tests = read
    reasons = {*events.skipped, *tests.skipped}
    return Events(
        pl.concat([part.frame.with_columns(part=pl.lit(place, pl.UInt8)) for place, part in enumerate(read)]),
        events.rows + tests.rows,
        {reason: events.skipped.get(reason, 0) + tests.skipped.get(reason, 0) for reason in sorted(reasons)},
        events.notes + tests.notes,
        max(events.resolution, tests.resolution),
    )


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


class _Named:
    """Names of sessions, worked out when they are asked for, from the strings of the log's codes."""

    def __init__(self, users: pl.DataFrame, user: NDArray[np.int32], ids: pl.Series) -> None:
        self._users, self._user, self._ids = users, user, ids

    def _user_names(self) -> pl.Series:
        codes = pl.DataFrame({"code": self._user})
        return codes.join(self._users, on="code", how="left", maintain_order="left")["user"]

    def owners(self) -> pl.Series:
        """Return the user of each session, or the session's own id where it has none."""
        users = self._user_names()
        return users.fill_null(self._ids.cast(pl.String)) if users.null_count() else users

    def names(self) -> pl.Series:
        """Return the id of each session, after its user's where it has one: ids may be of a user only."""
        table = pl.DataFrame({"user": self._user_names(), "session": self._ids.cast(pl.String)})
        return table.select(pl.concat_str("user", "session", separator=":", ignore_nulls=True)).to_series()


def _other_views(
    read: Read,
    chosen: NDArray[np.int64],
    options: Division,
    division: NDArray[np.uint8],
    start: NDArray[np.float64],
) -> NDArray[np.int32]:
    """Return the codes of the pages viewed in training sessions that give no row: the shop knows these pages too."""
    log = read.log
    known = np.ones(len(log), np.bool_)
    known[chosen] = False
    other = np.flatnonzero(known)
    known[other] = known_in_training(
        options, division, start, log.time[log.offset[other]], log.part[other], read.named(other)
    )
    seen = (log.kind == VIEW) & (log.label >= 0) & np.repeat(known, np.diff(log.offset))
    codes: NDArray[np.int32] = log.label[seen]
    return codes


def _meta(
    logs: Sequence[Path],
    spec: Spec,
    options: Options,
    read: Read,
    used: int,
    numbered: Numbering,
) -> dict[str, Any]:
    kinds = np.bincount(read.log.kind, minlength=len(KINDS))
    sessions = len(read.log)
    return {
        "logs": [path.name for path in logs],
        "format": options.form,
        "target": spec.data.target,
        "levels": levels_of(spec),
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
        "events": {"rows": read.rows, **{kind: int(count) for kind, count in zip(KINDS, kinds, strict=True)}},
        "skipped": read.skipped,
        "skipped_rows": list(read.notes),
        "sessions": {"all": sessions, "with_a_row": used, "without_a_row": sessions - used},
        "vocabulary": {"pages": len(numbered.pages), "items": len(numbered.items)},
    }


def _write(folder: Path, whole: Mapping[str, Sessions], spec: Spec, numbered: Numbering, meta: dict[str, Any]) -> None:
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
