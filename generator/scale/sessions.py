"""`drn sessions` on Ray: Parquet files read and cut into sessions in partitions, by user, as one machine cuts them."""

import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from generator.data.log.importers import read_events
from generator.data.log.labels import labelled
from generator.data.log.statistics import ReadStatistics, RowCounts
from generator.data.options import Options
from generator.data.sessions.partition import Partition, sessionised
from generator.data.sessions.sessionise import Cutting
from generator.data.stages.read import ReadLog, check_sessions, row_counts
from generator.errors import DataError
from generator.scale.cluster import cores, remote
from generator.spec.schema import Spec

__all__ = ["listed", "local_copy", "read_on_ray"]

SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class _Coded:
    """The sessions of some users: their labels and users are places in ``labels`` and ``users``."""

    partition: Partition
    labels: pl.Series
    users: pl.Series


def listed(log: str) -> list[str]:
    """Return the Parquet files of a log, as URLs: of a folder, those in it and below, by name; of a file, itself.

    Parameters
    ----------
    log
        A path, or a URL of a file system that fsspec knows: file://, s3://, gs://, hdfs://, ...

    Raises
    ------
    DataError
        There is nothing there, or no Parquet file, or fsspec lacks the package for it.
    """
    import fsspec

    try:
        system, path = fsspec.url_to_fs(log)
        if not system.exists(path):
            raise DataError(f"{log}: no such file")
        found = sorted(system.find(path)) if system.isdir(path) else [path]
        found = [file for file in found if file.endswith(SUFFIXES)]
    except (ImportError, OSError, ValueError) as error:
        raise DataError(f"{log}: cannot be read: {error}") from error
    if not found:
        raise DataError(f"{log}: no Parquet file (*.parquet, *.pq); other formats are read without --engine ray")
    return [system.unstrip_protocol(file) for file in found]


def read_on_ray(logs: Sequence[str], tests: Sequence[str], options: Options, spec: Spec) -> ReadLog:
    """Read a log of Parquet files into sessions; be connected to Ray.

    A task a file reads it and partitions its events by the hash of their user, or of their session where there are no
    users; a task a partition then cuts its events into sessions. The sessions are those that one machine makes, in
    another order, which nothing depends on.

    Parameters
    ----------
    logs, tests
        URLs as `listed` returns them, which every node can read; the test files come after the log.
    options, spec
        As `generator.data.build.build` takes them, of the format ``events``.

    Raises
    ------
    DataError
        A file does not hold; or some events name their user, session or time and some do not.
    """
    partitions = cores()
    scatter = remote(_scatter, num_cpus=1, num_returns=1 + partitions)
    gather = remote(_gather, num_cpus=1)
    scattered = [
        scatter.remote(url, in_test, partitions, options, spec)
        for in_test, urls in enumerate((logs, tests))
        for url in urls
    ]
    files: list[ReadStatistics] = [_got(first) for first, *_ in scattered]
    whole = ReadStatistics.sum(files)
    check_sessions(files)
    _check(whole)
    starts = np.cumsum([0, *(each.events for each in files)])[:-1]
    pieces = [[file[1 + place] for file in scattered] for place in range(partitions)]
    cutting = Cutting(options.gap, options.drop_repeats)
    coming = [gather.remote(starts, cutting, *each) for each in pieces]
    del scattered, pieces  # Ray drops the pieces as they are used up
    found = [coded for each in coming if (coded := _got(each))]
    return _merged(found, row_counts(whole, spec, tests=bool(tests)), whole.span)


def _got(reference: Any) -> Any:
    """Return what a task returned; raise what it raised, without Ray's account of where."""
    import ray
    from ray.exceptions import RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from None


def _scatter(url: str, in_test: int, partitions: int, options: Options, spec: Spec) -> list[Any]:
    """Read a file; return its statistics, and its events by partition, in order, with their ``row``."""
    with local_copy(url) as path:
        try:
            events = read_events([path], "events", options.columns, options.max_bad, options.events)
        except DataError as error:
            raise DataError(str(error).replace(str(path), url)) from error
    marked = events.frame.with_columns(in_test=pl.lit(in_test, pl.UInt8))
    frame, labels = labelled(marked, spec, content=options.drop_repeats is not None)
    frame = frame.with_row_index("row")
    statistics = ReadStatistics.of(frame, labels)
    statistics = replace(statistics, counts=events.counts, name=url)
    owner = frame.select(pl.coalesce(pl.col("user").cast(pl.String), pl.col("session").cast(pl.String))).to_series()
    names = owner.unique()
    place = pl.Series([zlib.crc32(name.encode()) % partitions for name in names], dtype=pl.UInt32)
    frame = frame.with_columns(place=owner.replace_strict(names, place, return_dtype=pl.UInt32))
    return [statistics, *(frame.filter(pl.col("place") == which).drop("place") for which in range(partitions))]


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """Yield the path of a file, or of a copy of it if it is not of this machine's file system."""
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    system, path = fsspec.url_to_fs(url)
    if isinstance(system, LocalFileSystem):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="drn-") as folder:
        copy = Path(folder) / path.rpartition("/")[2]
        try:
            system.get(path, str(copy))
        except OSError as error:
            raise DataError(f"{url}: cannot be read: {error}") from error
        yield copy


def _gather(starts: Any, cutting: Cutting, *pieces: pl.DataFrame) -> _Coded | None:
    """Cut the events of a partition, a piece a file, into sessions; ``starts``: the files' places in the whole log."""
    frame = pl.concat(
        piece.with_columns(row=pl.col("row") + start) for piece, start in zip(pieces, starts.tolist(), strict=True)
    )
    if not frame.height:
        return None
    partition = sessionised(frame, cutting)
    labels, label = _compact(frame["label"].unique(), partition.log.label)
    users, user = _compact(frame["user"].unique(), partition.log.user)
    log = replace(partition.log, order=partition.log.order.astype(np.uint32), label=label, user=user)
    return _Coded(Partition(log, partition.ids.cast(pl.String)), labels, users)


def _compact(used: pl.Series, codes: Any) -> tuple[pl.Series, Any]:
    """Return the strings of the categories ``used``, and ``codes`` (int32, -1 for none) as places among them."""
    used = used.unique().drop_nulls()
    physical = used.to_physical().to_numpy()
    places = np.full(int(physical.max(initial=0)) + 2, -1, np.int32)  # the last is for the code -1
    places[physical] = np.arange(len(physical))
    return used.cast(pl.String), places[codes]


def _check(whole: ReadStatistics) -> None:
    """Refuse a log whose sessions depend on what a partition of it cannot know."""
    for role, missing in whole.mixed.items():
        raise DataError(
            f"{missing:,} of {whole.events:,} events have no {role}: with --engine ray all have one, or none; "
            "such a log is read without --engine ray"
        )


def _merged(found: Sequence[_Coded], counts: RowCounts, span: tuple[float, float] | None) -> ReadLog:
    """Return the partitions, their labels and users under codes of the whole."""
    labels = pl.concat([each.labels for each in found]).unique()
    strings = pl.DataFrame({"label": labels}).with_row_index("code")
    users = pl.concat([each.users for each in found])  # no user is in two partitions
    first_user = np.cumsum([0, *(len(each.users) for each in found)])[:-1]

    def partition(coded: _Coded, first: int) -> Partition:
        table = pl.DataFrame({"label": coded.labels})
        codes = table.join(strings, on="label", how="left", maintain_order="left")["code"].to_numpy()
        log = coded.partition.log
        label = np.append(codes.astype(np.int32), np.int32(-1))[log.label]
        user = np.where(log.user >= 0, log.user + first, -1).astype(np.int32)
        return replace(coded.partition, log=replace(log, label=label, user=user))

    return ReadLog(
        partitions=[partial(partition, each, first) for each, first in zip(found, first_user.tolist(), strict=True)],
        labels=strings.select("label", "code"),
        users=pl.DataFrame({"user": users, "code": pl.Series(np.arange(len(users)), dtype=pl.Int32)}),
        counts=counts,
        span=span,
    )
