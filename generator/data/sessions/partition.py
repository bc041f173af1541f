"""Events partitioned by their user, and each partition cut into sessions: no user is in two partitions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from generator.data.log.distinct import Distinct
from generator.data.sessions.sessionise import Cutting, SessionLog, sessionise

__all__ = ["Partition", "Partitioner", "sessionised"]

BUFFERED = 1 << 21  # events buffered before they are written to the files of the partitions


@dataclass(frozen=True)
class Partition:
    """The sessions of some users, of codes: their events, and each session's own id, text or number or null."""

    log: SessionLog
    ids: pl.Series


class Partitioner:
    """Events partitioned by their user, or by their session where they have none.

    Parameters
    ----------
    partitions
        Their number.
    folder
        Where the events lie until they are taken; None: in memory.
    """

    def __init__(self, partitions: int, folder: Path | None = None) -> None:
        self._folder = folder
        self._events: list[list[pl.DataFrame | Path]] = [[] for _ in range(partitions)]
        self._buffer: list[pl.DataFrame] = []
        self._rows = 0
        self._distinct = {name: (Distinct(), list[pl.Series]()) for name in ("label", "user")}

    def add(self, frame: pl.DataFrame) -> None:
        """Add events as ``labelled`` returns them, in the order of the log."""
        for name, (distinct, values) in self._distinct.items():
            values.append(distinct.new(frame[name]))
        frame = frame.with_columns(pl.col("user", "label", "event").to_physical())
        self._buffer.append(frame.with_row_index("row", offset=self._rows))
        self._rows += frame.height
        if self._folder is None or sum(each.height for each in self._buffer) >= BUFFERED:
            self._flush()

    def _flush(self) -> None:
        frame, self._buffer = pl.concat(self._buffer), []
        # Of the same text, whether the source has it as text or as a number.
        owner = frame["session"].cast(pl.String).hash() if frame["user"].null_count() else frame["user"]
        owner %= len(self._events)
        for place, events in enumerate(self._events):
            some = frame.filter(owner == place) if len(self._events) > 1 else frame
            if self._folder is None:
                events.append(some)
            elif some.height:
                path = self._folder / f"{place}.{len(events)}.events"
                some.write_ipc(path, compression="uncompressed")
                events.append(path)

    def take(self, place: int) -> pl.DataFrame | None:
        """Return the events of a partition, which are then gone; None if it has none."""
        taken, self._events[place] = self._events[place], []
        frames = []
        for each in taken:
            if isinstance(each, Path):
                frames.append(pl.read_ipc(each.read_bytes()))
                each.unlink()
            else:
                frames.append(each)
        frame = _together(frames) if frames else None
        return frame if frame is not None and frame.height else None

    def partitions(self, cutting: Cutting, *, whole: bool) -> list[Callable[[], Partition | None]]:
        """Return functions to be called once, each for the sessions of a partition; of one if the log stays ``whole``.

        Parameters
        ----------
        cutting
            How sessions are cut.
        """
        if self._buffer:
            self._flush()
        if whole:
            taken = [frame for place in range(len(self._events)) if (frame := self.take(place)) is not None]
            self._events = [[_together(taken).sort("row")]]

        def load(place: int) -> Partition | None:
            frame = self.take(place)
            return None if frame is None else sessionised(frame, cutting)

        return [partial(load, place) for place in range(len(self._events))]

    def known(self, name: str) -> pl.Series:
        """Return all labels or all users, Categorical."""
        return pl.concat(self._distinct[name][1])


def sessionised(frame: pl.DataFrame, cutting: Cutting) -> Partition:
    """Cut events, as ``labelled`` returns them or with their ``row`` in the log, into sessions."""
    session = frame["session"]
    if session.dtype in (pl.String, pl.Int64):
        frame = frame.with_columns(session=_codes(session))
    log = sessionise(frame, gap=cutting.gap, resolution=cutting.resolution, repeats=cutting.repeats)
    ids = session[log.order[log.offset[:-1]]]
    if "row" in frame.columns:
        log = replace(log, order=frame["row"].to_numpy()[log.order])
    return Partition(log, ids)


def _together(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the events of frames, with the sessions as text where some have them so and some as numbers."""
    if len({frame["session"].dtype for frame in frames}) > 1:
        frames = [frame.with_columns(pl.col("session").cast(pl.String)) for frame in frames]
    return pl.concat(frames)


def _codes(ids: pl.Series) -> pl.Series:
    """Return a code for each id, text or number, null for null; the ids are forgotten."""
    begins = np.append(True, ids[1:].ne_missing(ids[:-1]).to_numpy())
    if ids.null_count() or np.count_nonzero(begins) > len(ids) // 2:
        kind = pl.Categorical(pl.Categories.random())
        return ids.rank("dense") if ids.dtype.is_integer() else ids.cast(kind).to_physical()
    # The events of a session lie together: its id is ranked once for all of them.
    codes = ids.filter(begins).rank("dense").to_numpy()
    return pl.Series(np.repeat(codes, np.diff(np.flatnonzero(begins), append=len(ids))))
