"""Stage four: vocabularies, and the sessions of each split in their ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.options import Options
from generator.data.sessions.numbering import Counts, GivenVocabularies, Numbering, size_of
from generator.data.sessions.ragged import Sessions
from generator.data.sessions.splits import TEST, TRAIN, VALID
from generator.data.stages.cut import PartitionSessions
from generator.data.stages.divide import Divided, SplitSessions
from generator.data.store.runs import MergedSessions, Run, merged
from generator.data.store.spill import Spill
from generator.data.threads import Progress, counted, parallel_map, unwatched
from generator.errors import DataError
from generator.spec.schema import Spec

__all__ = ["Numbered", "number"]

SPLITS = {"train": TRAIN, "valid": VALID, "test": TEST}


@dataclass(frozen=True)
class Numbered:
    """The sessions of each split, by name, in the ids of ``numbering``."""

    splits: dict[str, Sessions | MergedSessions]
    numbering: Numbering


def number(
    partitions: list[PartitionSessions],
    divided: Divided,
    labels: pl.DataFrame,
    spec: Spec,
    options: Options,
    given: GivenVocabularies | None,
    spec_name: str,
    spill: Spill,
    progress: Progress = unwatched,
) -> Numbered:
    """Return the vocabularies, and the sessions of the splits in their ids; ``partitions`` are used up.

    Parameters
    ----------
    labels
        The labels behind the codes: ``label`` (String) and ``code`` (UInt32).
    given
        The vocabularies to take, if they are another folder's.
    spec_name
        What messages call the spec.

    Raises
    ------
    DataError
        There are more pages or items than the spec allows, or a split is empty.
    """
    pairs = list(zip(partitions, divided.partitions, strict=True))
    counts = None
    if not given:
        size = size_of(labels)
        counts = reduce(add, parallel_map(lambda pair: _counts(*pair, divided, size), pairs))
    logged = [sessions.labels for sessions in partitions if sessions.labels]
    numbering = Numbering(counts, labels, spec, options.min_support, given or (reduce(add, logged) if logged else None))
    numbering.check(spec, spec_name)
    runs = [(sessions.run, split) for sessions, split in pairs]
    used = sum(len(run) for run, _ in runs)
    partitions.clear()
    pairs.clear()
    names = [name for name in SPLITS if name != "valid" or options.division.valid_share]
    splits = _splits(runs, numbering, names, spill, counted(progress, "number partitions", len(runs)))
    for name, sessions in splits.items():
        if not len(sessions):
            hint = numbering.given_hint if name == "train" else ""
            raise DataError(f"the {name} part is empty: none of the {used:,} sessions with a row falls in it{hint}")
    return Numbered(splits, numbering)


def _counts(sessions: PartitionSessions, split: SplitSessions, divided: Divided, size: int) -> Counts:
    """Count the codes, all below ``size``, of a partition's sessions that are known in training."""
    rowless = sessions.rowless
    known = divided.known_in_training(sessions)
    views = rowless.page[:][np.repeat(known, rowless.lengths[:])]
    return Counts.of(sessions.run.sessions(), split.split == TRAIN, views, size)


def _splits(
    runs: list[tuple[Run, SplitSessions]],
    numbering: Numbering,
    names: Sequence[str],
    spill: Spill,
    watched: Callable[[int], None],
) -> dict[str, Sessions | MergedSessions]:
    """Return the sessions of each split; a run is dropped once it is numbered."""
    waiting = dict(enumerate(runs))
    runs.clear()

    def work(place: int) -> list[tuple[Run, NDArray[np.uint32]]]:
        run, split = waiting.pop(place)
        done = _numbered(run, split, numbering, names, spill)
        watched(1)
        return done

    found = parallel_map(work, list(waiting))
    splits: dict[str, Sessions | MergedSessions] = {}
    for name, of_partitions in zip(names, zip(*found, strict=True), strict=True):
        some, ranks = zip(*of_partitions, strict=True)
        splits[name] = merged(some, ranks, spill)
    return splits


def _numbered(
    run: Run, split: SplitSessions, numbering: Numbering, names: Sequence[str], spill: Spill
) -> list[tuple[Run, NDArray[np.uint32]]]:
    """Return the sessions of a partition in ids, a run for each split of ``names``, and their ranks; drop ``run``."""
    sessions = replace(run.sessions(), user=split.user)
    run.drop(spill)
    found = []
    for name in names:
        chosen = np.flatnonzero(split.split == SPLITS[name])
        some, left = numbering.sessions(sessions.take(chosen), training=name == "train")
        found.append((Run.of(some, spill), split.rank[chosen[left]]))
    return found
