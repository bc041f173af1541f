"""Stage one: an event log read into partitions, each the events of some users."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from generator.data.log.formats import rows_of
from generator.data.log.importers import check_times, opened_events, read_events
from generator.data.log.labels import labelled, without_labels
from generator.data.log.sources import Source
from generator.data.log.statistics import ReadStatistics, RowCounts
from generator.data.options import Options
from generator.data.sessions.partition import Partition, Partitioner
from generator.data.sessions.sessionise import Cutting
from generator.data.threads import Progress, counted, prefetched, unwatched
from generator.errors import DataError
from generator.spec.schema import Spec

__all__ = ["IN_MEMORY", "ReadLog", "check_sessions", "partitions_for", "read", "row_counts"]

PARTITION_EVENTS = 1 << 20  # events of a partition
IN_MEMORY = 8  # partitions of a log, at most, that are kept in memory; more are spilled to files


@dataclass(frozen=True)
class ReadLog:
    """What is kept of a log once it is read.

    Attributes
    ----------
    partitions
        Functions to be called once, each for the sessions of some users; None: it has none.
    labels
        The labels behind the codes: ``label`` (String) and ``code`` (UInt32).
    users
        The users behind theirs: ``user`` (String) and ``code`` (Int32).
    counts
        What became of the rows.
    span
        The earliest and the latest time, unix seconds; None without times.
    """

    partitions: Sequence[Callable[[], Partition | None]]
    labels: pl.DataFrame
    users: pl.DataFrame
    counts: RowCounts
    span: tuple[float, float] | None


def partitions_for(sources: Sequence[Source], form: str) -> int:
    """Return in how many partitions a log should be read; in one, if it may hold sequences."""
    rows = sum(rows_of(source) for source in sources)
    return 1 if form == "recbole" else max(1, -(-rows // PARTITION_EVENTS))


def read(
    logs: Sequence[Source],
    tests: Sequence[Source],
    options: Options,
    spec: Spec,
    partitions: int,
    folder: Path | None,
    progress: Progress = unwatched,
) -> ReadLog:
    """Read the log, and the test sources after it.

    Parameters
    ----------
    partitions, folder
        As for ``Partitioner``.
    progress
        Called with the rows read, and about how many there are.

    Raises
    ------
    DataError
        A source does not hold, or no event has a label.
    """
    partitioner, found, resolution = Partitioner(partitions, folder), [], 0.0
    watched = counted(progress, "read rows", sum(rows_of(source) for source in [*logs, *tests]) or None)
    for in_test, sources in enumerate((logs, tests)):
        if sources:
            files, coarsest = _partitioned(sources, in_test, options, spec, partitioner, watched)
            statistics = ReadStatistics.sum(files)
            check_times(statistics.missing["time"], statistics.events)
            found += files
            resolution = max(resolution, coarsest)
    whole = ReadStatistics.sum(found)
    check_sessions(found)
    return ReadLog(
        # Where only some events have a user, a session or a time, what they are depends on other partitions' events.
        partitions=partitioner.partitions(
            Cutting(options.gap, options.drop_repeats, resolution), whole=bool(whole.mixed)
        ),
        labels=_decoded(partitioner.known("label"), "label", pl.UInt32),
        users=_decoded(partitioner.known("user"), "user", pl.Int32),
        counts=row_counts(whole, spec, tests=bool(tests)),
        span=whole.span,
    )


def row_counts(whole: ReadStatistics, spec: Spec, *, tests: bool) -> RowCounts:
    """Return what became of the rows of a log, those without a label left out too; DataError if no event has one."""
    skipped = dict(sorted(whole.counts.skipped.items())) if tests else dict(whole.counts.skipped)
    return replace(whole.counts, skipped=skipped | without_labels(whole.labels, spec))


def check_sessions(files: Sequence[ReadStatistics]) -> None:
    """Refuse a log of which some sources have session ids and some have none: ``files`` are of one each."""
    without = [each.name for each in files if each.events and each.missing["session"] == each.events]
    if without and len(without) < sum(each.events > 0 for each in files):
        others = next(each.name for each in files if each.events and each.missing["session"] < each.events)
        raise DataError(
            f"{others} has session ids and {without[0]} has none: a user's events without one would be one session; "
            "import them on their own, or leave the session column out of both"
        )


def _partitioned(
    sources: Sequence[Source],
    in_test: int,
    options: Options,
    spec: Spec,
    partitioner: Partitioner,
    watched: Callable[[int], None],
) -> tuple[list[ReadStatistics], float]:
    """Give the events of sources to the partitioner; return the statistics of each, and their resolution."""

    def add(piece: pl.DataFrame) -> ReadStatistics:
        marked = piece.with_columns(in_test=pl.lit(in_test, pl.UInt8))
        frame, labels = labelled(marked, spec, content=options.drop_repeats is not None)
        partitioner.add(frame)
        watched(piece.height)
        return ReadStatistics.of(frame, labels)

    if options.form == "recbole":  # whose sequences are told apart as a whole
        events = read_events(sources, options.form, options.columns, options.max_bad, options.events)
        return [replace(add(events.frame), counts=events.counts)], events.resolution
    found, resolutions = [], []
    for source in sources:
        with opened_events(source, options.form, options.columns, options.max_bad, options.events) as (
            valid,
            resolution,
        ):
            statistics = ReadStatistics.sum([add(piece) for piece in prefetched(valid)])
        found.append(replace(statistics, counts=valid.counts, name=source.name))
        resolutions.append(resolution)
    return found, max(resolutions)


def _decoded(values: pl.Series, name: str, code: type[pl.DataType]) -> pl.DataFrame:
    """Return the text and the code of each of some categories."""
    values = values.drop_nulls()
    return pl.DataFrame({name: values.cast(pl.String), "code": values.to_physical().cast(code)})
