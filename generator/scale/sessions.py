"""`drn sessions` on Ray: Parquet files read and cut into sessions in parts, by user, as one machine cuts them."""

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

from generator.data.importers import read_events
from generator.data.reading import Options, Part, Read, Told, cut, labelled, without_labels
from generator.errors import DataError
from generator.scale.cluster import cores, remote
from generator.spec.schema import Spec

__all__ = ["listed", "local_copy", "read_on_ray"]

SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class _Cut:
    """The sessions of some users: their labels and users are places in ``labels`` and ``users``."""

    part: Part
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


def read_on_ray(logs: Sequence[str], tests: Sequence[str], options: Options, spec: Spec) -> Read:
    """Read a log of Parquet files into sessions; be connected to Ray.

    A task a file reads it and deals its events out by the hash of their user, or of their session where there are no
    users; a task a part then cuts its events into sessions. The sessions are those that one machine makes, in another
    order, which nothing depends on.

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
    parts = cores()
    scatter = remote(_scatter, num_cpus=1, num_returns=1 + parts)
    gather = remote(_gather, num_cpus=1)
    dealt = [scatter.remote(url, part, parts, options, spec) for part, urls in enumerate((logs, tests)) for url in urls]
    files: list[Told] = [_got(first) for first, *_ in dealt]
    told = Told.sum(files)
    _check(told)
    starts = np.cumsum([0, *(each.height for each in files)])[:-1]
    pieces = [[file[1 + place] for file in dealt] for place in range(parts)]
    coming = [gather.remote(starts, options.gap, *each) for each in pieces]
    del dealt, pieces  # Ray drops the pieces as they are used up
    found = [part for each in coming if (part := _got(each))]
    # In the order in which one machine comes upon them.
    skipped = dict(sorted(told.skipped.items())) if tests else dict(told.skipped)
    return _merged(found, rows=told.rows, skipped=skipped | without_labels(told.found, spec), notes=told.notes)


def _got(reference: Any) -> Any:
    """Return what a task returned; raise what it raised, without Ray's account of where."""
    import ray
    from ray.exceptions import RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from None


def _scatter(url: str, part: int, parts: int, options: Options, spec: Spec) -> list[Any]:
    """Read a file; return what it is found to hold, and its events by part, in order, with their ``row``."""
    with local_copy(url) as path:
        try:
            events = read_events([path], "events", options.columns, options.max_bad)
        except DataError as error:
            raise DataError(str(error).replace(str(path), url)) from error
    frame, found = labelled(events.frame.with_columns(part=pl.lit(part, pl.UInt8)), spec)
    frame = frame.with_row_index("row")
    told = replace(Told.of(frame, found), rows=events.rows, skipped=events.skipped, notes=events.notes)
    owner = frame.select(pl.coalesce(pl.col("user").cast(pl.String), pl.col("session").cast(pl.String))).to_series()
    names = owner.unique()
    place = pl.Series([zlib.crc32(name.encode()) % parts for name in names], dtype=pl.UInt32)
    frame = frame.with_columns(place=owner.replace_strict(names, place, return_dtype=pl.UInt32))
    return [told, *(frame.filter(pl.col("place") == which).drop("place") for which in range(parts))]


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


def _gather(starts: Any, gap: float | None, *pieces: pl.DataFrame) -> _Cut | None:
    """Cut the events of a part, a piece a file, into sessions; ``starts``: the files' places in the whole log."""
    frame = pl.concat(
        piece.with_columns(row=pl.col("row") + start) for piece, start in zip(pieces, starts.tolist(), strict=True)
    )
    if not frame.height:
        return None
    part = cut(frame, gap)
    labels, label = _compact(frame["label"].unique(), part.log.label)
    users, user = _compact(frame["user"].unique(), part.log.user)
    log = replace(part.log, order=part.log.order.astype(np.uint32), label=label, user=user)
    return _Cut(Part(log, part.ids.cast(pl.String)), labels, users)


def _compact(used: pl.Series, codes: Any) -> tuple[pl.Series, Any]:
    """Return the strings of the categories ``used``, and ``codes`` (int32, -1 for none) as places among them."""
    used = used.unique().drop_nulls()
    physical = used.to_physical().to_numpy()
    places = np.full(int(physical.max(initial=0)) + 2, -1, np.int32)  # the last is for the code -1
    places[physical] = np.arange(len(physical))
    return used.cast(pl.String), places[codes]


def _check(told: Told) -> None:
    """Refuse a log whose events are told apart in ways that a part of them cannot know."""
    for role, missing in told.mixed.items():
        raise DataError(
            f"{missing:,} of {told.height:,} events have no {role}: with --engine ray all have one, or none; "
            "such a log is read without --engine ray"
        )


def _merged(cuts: Sequence[_Cut], **told: Any) -> Read:
    """Return the parts, their labels and users under codes of the whole."""
    labels = pl.concat([each.labels for each in cuts]).unique()
    strings = pl.DataFrame({"label": labels}).with_row_index("code")
    users = pl.concat([each.users for each in cuts])  # no user is in two parts
    first_user = np.cumsum([0, *(len(each.users) for each in cuts)])[:-1]

    def part(found: _Cut, first: int) -> Part:
        table = pl.DataFrame({"label": found.labels})
        codes = table.join(strings, on="label", how="left", maintain_order="left")["code"].to_numpy()
        label = np.append(codes.astype(np.int32), np.int32(-1))[found.part.log.label]
        user = np.where(found.part.log.user >= 0, found.part.log.user + first, -1).astype(np.int32)
        return replace(found.part, log=replace(found.part.log, label=label, user=user))

    named = pl.DataFrame({"user": users}).with_row_index("code").with_columns(pl.col("code").cast(pl.Int32))
    parts = [partial(part, each, first) for each, first in zip(cuts, first_user.tolist(), strict=True)]
    return Read(parts, strings.select("label", "code"), named.select("user", "code"), **told)
