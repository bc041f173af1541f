"""The data folder: an event log read, cut, divided, numbered and written."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from generator.data.cuts import Cut, Divided, Named, Users, counted, cut_part, numbered_runs
from generator.data.layouts import KINDS
from generator.data.numbering import Given, Numbering, by_appearance, levels_of, size_of
from generator.data.ragged import KEPT_BOUGHT, offsets
from generator.data.reading import Deal, Options, Read, parts_for, read
from generator.data.runs import Merged, Run
from generator.data.sessionise import GAP
from generator.data.shelf import Shelf
from generator.data.splits import TEST, TRAIN, VALID, divide
from generator.data.threads import each
from generator.data.windows import Source, write_split
from generator.errors import DataError
from generator.files import write_text
from generator.spec.schema import Spec

__all__ = ["Options", "build"]

SPLITS = {"train": TRAIN, "valid": VALID, "test": TEST}
FILES = ("train.h5", "valid.h5", "test.h5", "pages.txt", "items.txt", "meta.json")
IN_MEMORY = 8  # parts of a log, at most, that are kept in memory; more are put by in files


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

    The logs are read in parts, each of some users. If there are many, they are put by in files beside the folder, some
    40 bytes an event: in memory are a few parts, and some 60 bytes a session. A log of which only some events have a
    user, a session or a time, or that may hold sequences (recbole), is one part, however large it is.

    ``reader`` reads the logs elsewhere than in this process: to the same sessions, in any order.

    Raises
    ------
    DataError
        The log does not hold, gives no rows, or has more pages or items than the spec allows; the folder whose
        vocabulary is asked for has none, or one for other levels.
    """
    given = Given.read(options.vocabulary, spec) if isinstance(options.vocabulary, Path) else None
    parts = 1 if reader else parts_for(logs, options)
    try:
        with ExitStack() as stack:
            place = None
            if parts > IN_MEMORY:
                folder.parent.mkdir(parents=True, exist_ok=True)
                name = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.parts.")
                place = Path(stack.enter_context(name))
            found = (reader or partial(read, logs, options, spec, Deal(parts, place)))()
            whole, numbered, meta = _numbered(found, spec, options, spec_name, given, Shelf(place))
            meta = {"logs": [path.name for path in logs], **meta}
            for split, sessions in whole.items():
                if not len(sessions):
                    used, hint = meta["sessions"]["with_a_row"], numbered.given_hint if split == "train" else ""
                    raise DataError(
                        f"the {split} part is empty: none of the {used:,} sessions with a row falls in it{hint}"
                    )
            _write(folder, whole, spec, numbered, meta)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error}") from error
    return meta


def _numbered(
    read: Read, spec: Spec, options: Options, spec_name: str, given: Given | None, shelf: Shelf
) -> tuple[dict[str, Source], Numbering, dict[str, Any]]:
    """Return the sessions of each split, of ids, the vocabularies, and what meta.json holds of the log."""
    target, whole = spec.data.target, options.vocabulary == "all"
    kept = max(KEPT_BOUGHT, spec.bought)
    work = partial(cut_part, target=target, kept=kept, division=options.division, whole=whole, shelf=shelf)
    cuts = [cut for cut in each(work, read.parts) if cut]
    used = sum(len(cut.run) for cut in cuts)
    if not used:
        raise DataError(
            f"no session of the {sum(cut.sessions for cut in cuts):,} gives a row for target {target}: "
            + ("none has a view before its first purchase" if target == "purchase" else "none has two views")
        )
    users = Users(read.users)
    divided, held_out = _divided(cuts, users, options)
    counts = None
    if not given:
        count = partial(counted, division=options.division, held_out=held_out, users=users, size=size_of(read.strings))
        counts = reduce(add, each(lambda pair: count(*pair), list(zip(cuts, divided, strict=True))))
    known = given or (reduce(add, [cut.catalogue for cut in cuts if cut.catalogue]) if whole else None)
    numbered = Numbering(counts, read.strings, spec, options.min_support, known)
    numbered.check(spec, spec_name)
    meta = _meta(spec, options, read, cuts, used, numbered)
    return _splits(cuts, divided, numbered, options, shelf), numbered, meta


def _divided(cuts: Sequence[Cut], users: Users, options: Options) -> tuple[list[Divided], tuple[Any, Any]]:
    """Divide the sessions of all parts that give a row; return when the first session of each division begins, too."""
    start, order, part, user = (
        np.concatenate([getattr(cut, name) for cut in cuts]) for name in ("start", "order", "part", "user")
    )
    ids = [cut.ids for cut in cuts if cut.ids is not None]
    oldest = np.lexsort((order, start)).astype(np.uint32)
    del order
    start, part, user = start[oldest], part[oldest], user[oldest]
    found = divide(options.division, start, part, Named(users, user, pl.concat(ids)[oldest] if ids else None))
    kinds = np.unique(found)
    held_out = kinds, np.array([start[found == kind].min() for kind in kinds])
    del start, part
    division, rank, number = (np.empty(len(oldest), kind) for kind in (np.uint8, np.uint32, np.int32))
    division[oldest], rank[oldest], number[oldest] = found, np.arange(len(oldest)), by_appearance(user)
    edges = offsets(np.array([len(cut.run) for cut in cuts]))[1:-1]
    of_parts = (np.split(values, edges) for values in (division, rank, number))
    return [Divided(*each) for each in zip(*of_parts, strict=True)], held_out


def _splits(
    cuts: list[Cut], divided: list[Divided], numbered: Numbering, options: Options, shelf: Shelf
) -> dict[str, Source]:
    """Return the sessions of each split in ids; ``cuts`` and ``divided`` go as these come."""
    splits = {name: split for name, split in SPLITS.items() if name != "valid" or options.division.valid_share}

    runs = {place: cut.run for place, cut in enumerate(cuts)}
    cuts.clear()

    def work(place: int) -> list[tuple[Run, Any]]:
        return numbered_runs(runs.pop(place), divided[place], numbered, list(splits.values()), shelf)

    found = each(work, list(runs))
    whole: dict[str, Source] = {}
    for name, parts in zip(splits, zip(*found, strict=True), strict=True):
        some, ranks = zip(*parts, strict=True)
        merged = Merged(some, ranks)
        whole[name] = merged if shelf.filed else merged.part(0, len(merged))
    return whole


def _meta(
    spec: Spec, options: Options, read: Read, cuts: Sequence[Cut], used: int, numbered: Numbering
) -> dict[str, Any]:
    kinds = np.sum([cut.kinds for cut in cuts], axis=0)
    sessions = sum(cut.sessions for cut in cuts)
    return {
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


def _write(folder: Path, whole: Mapping[str, Source], spec: Spec, numbered: Numbering, meta: dict[str, Any]) -> None:
    """Write all files beside ``folder``, then move them into it; what an earlier run left there goes."""
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
