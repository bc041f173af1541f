"""Events to sessions: cut, order, dwell times, the label, the purchases before."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.log.words import KINDS
from generator.data.sessions.ragged import KEPT_BOUGHT, Sessions, gathered, offsets, time_order
from generator.errors import DataError

__all__ = ["BUY", "GAP", "VIEW", "SessionLog", "sessionise", "target_sessions"]

GAP = 30.0
VIEW, BUY = KINDS.index("view"), KINDS.index("buy")

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Cutting:
    """How events are cut into sessions, see ``sessionise``."""

    gap: float | None = None
    repeats: float | None = None
    resolution: float = 0.0


@dataclass(frozen=True)
class SessionLog:
    """E events in S sessions, the events of a session contiguous and in order.

    Attributes
    ----------
    offset
        int64 (S+1,): session i holds events offset[i]..offset[i+1]-1.
    kind, label
        uint8 (E,) index into KINDS; int32 (E,) code, at the level asked for, of the page viewed or the item bought, -1
        for none.
    time
        float64 (E,) unix seconds, NaN in all where the log has none.
    order
        uint32 (E,): place in the log.
    dwell
        float32 (E,) seconds on the page viewed as the log has them, NaN where it says nothing; None: nowhere.
    user, in_test
        int32 (S,) code, -1 for none; uint8 (S,): 1 for the sources given as test, else 0, or 2 where those have a
        session of the same id too.
    resolution
        Seconds within which the times of two sessions cannot be put in order.
    repeats
        Events left out, for an earlier one is alike.
    """

    offset: Ints
    kind: NDArray[np.uint8]
    label: Codes
    time: NDArray[np.float64]
    order: NDArray[np.uint32]
    user: Codes
    in_test: NDArray[np.uint8]
    resolution: float = 0.0
    repeats: int = 0
    dwell: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.offset) - 1

    def viewed(self) -> NDArray[np.bool_]:
        """Return which events view a page with a label, bool (E,)."""
        found: NDArray[np.bool_] = (self.kind == VIEW) & (self.label >= 0)
        return found

    @property
    def views(self) -> Ints:
        """Events that view a page with a label, int64."""
        return np.flatnonzero(self.viewed())

    @property
    def buys(self) -> Ints:
        """Events that buy an item with a label, int64."""
        return np.flatnonzero((self.kind == BUY) & (self.label >= 0))


def _numpy(column: pl.Series, kind: type[np.generic], missing: float) -> NDArray[Any]:
    """Return the codes of a categorical, or the values of a number, with ``missing`` for null."""
    physical = column if column.dtype.is_float() else column.to_physical()
    if kind is np.int32:
        physical = physical.cast(pl.Int32)
    return physical.fill_null(missing).to_numpy().astype(kind, copy=False)


def sessionise(
    frame: pl.DataFrame, *, gap: float | None = None, resolution: float = 0.0, repeats: float | None = None
) -> SessionLog:
    """Cut events into sessions.

    Parameters
    ----------
    frame
        The events in log order: ``user``, ``session``, ``time``, ``event``, ``dwell`` as in ``Events.frame``;
        ``label``, the page viewed or the item bought at the level asked for (Categorical or null); ``in_test`` (0, or 1
        for the sources given as test), across which no session reaches. Where some events of a session name its user
        and some do not, it is that user's.
    gap
        Minutes without any event, of whatever kind, after which a user starts a new session; default 30. Where session
        ids are given, a session is a (user, session id), which a gap cuts only if it is given too.
    resolution
        See ``SessionLog``.
    repeats
        Seconds within which an event that is alike (``content``) to an earlier one of its user or session is left out.

    Events are sorted by time; equal times keep the order of the log.

    Raises
    ------
    DataError
        The log has neither session ids nor times, or no times but ``gap`` or ``repeats`` is given.
    """
    given = frame["session"].null_count() < frame.height
    if frame["time"].null_count():
        if not given:
            raise DataError("the log has neither session ids nor times, so there is no telling where a session ends")
        for option, value in (("--gap", gap), ("--drop-repeats", repeats)):
            if value is not None:
                raise DataError(f"{option} needs times, and the log has none: leave it out")
    user = _user(frame, given=given)
    owner, owners = _owner(frame, user, given=given)
    time = _numpy(frame["time"], np.float64, np.nan)
    order = _order(owner, time)
    said = [] if frame["dwell"].null_count() == frame.height else ["dwell"]
    events = frame.select("in_test", "event", "label", *said)
    if order is not None:
        events, user, owner, time = events[order], user[order], owner[order], time[order]
    dropped = 0
    if repeats is not None:
        content = frame["content"].to_numpy()
        kept = np.flatnonzero(~_repeated(owner, content if order is None else content[order], time, repeats))
        dropped = events.height - len(kept)
        events, user, owner, time = events[kept], user[kept], owner[kept], time[kept]
        order = kept.astype(np.uint32) if order is None else order[kept]
    begins = np.append(True, owner[1:] != owner[:-1])
    if not given or gap is not None:
        begins[1:] |= np.diff(time) > (GAP if gap is None else gap) * 60
    first = np.flatnonzero(begins)
    in_test = events["in_test"][first].to_numpy().astype(np.uint8)
    if given and in_test.any():
        in_test[(in_test == 0) & np.isin(owner[first], owner[first][in_test == 1] - owners)] = 2
    return SessionLog(
        offset=np.append(first, events.height),
        kind=_numpy(events["event"], np.uint8, 0),
        label=_numpy(events["label"], np.int32, -1),
        time=time,
        order=np.arange(events.height, dtype=np.uint32) if order is None else order,
        user=_numpy(user[first], np.int32, -1),
        in_test=in_test,
        resolution=resolution,
        repeats=dropped,
        dwell=_numpy(events["dwell"], np.float32, np.nan) if said else None,
    )


def _repeated(owner: Ints, content: NDArray[np.uint64], time: NDArray[np.float64], seconds: float) -> NDArray[np.bool_]:
    """Return which events have one that is alike at most ``seconds`` before, of the same owner, bool (E,)."""
    place = np.lexsort((time, content, owner))
    same = (np.diff(owner[place]) == 0) & (content[place][1:] == content[place][:-1])
    found = np.zeros(len(owner), np.bool_)
    found[place[1:]] = same & (np.diff(time[place]) <= seconds)
    return found


def _user(frame: pl.DataFrame, *, given: bool) -> pl.Series:
    """Return the code of each event's user, or of the one that another event of its session names."""
    user = pl.col("user").to_physical()
    if given and 0 < frame["user"].null_count() < frame.height:
        user = user.fill_null(user.drop_nulls().first().over("in_test", "session"))
    return frame.select(user).to_series()


def _owner(frame: pl.DataFrame, user: pl.Series, *, given: bool) -> tuple[Ints, int]:
    """Return one number for what each event's session is told by, int64: ``in_test``, user and, if ``given``, id.

    And by how much the numbers of the sources given as test are higher.
    """
    owners = 1
    owner = frame["in_test"].to_numpy().astype(np.int64)
    for codes in (user, *([frame["session"].to_physical()] if given else [])):
        size = int(codes.max() or 0) + 2  # type: ignore[arg-type]  # polars types max() widely
        owners *= size
        owner *= size
        owner += codes.fill_null(size - 1).to_numpy()
    return owner, owners


def _order(owner: Ints, time: NDArray[np.float64]) -> NDArray[np.uint32] | None:
    """Return the places in the log by owner, time, place; None if each owner's events lie together and in order."""
    begins = np.append(True, owner[1:] != owner[:-1])
    in_order = begins[1:] | ~(time[1:] < time[:-1])
    if in_order.all():
        owners = np.sort(owner[begins])
        if (owners[1:] != owners[:-1]).all():
            return None
    table = pl.DataFrame({"owner": owner, "time": time}).with_row_index("order")
    return table.sort("owner", "time", "order")["order"].to_numpy()


def _dwell(log: SessionLog, views: Ints, offset: Ints) -> NDArray[np.float32]:
    """Return the seconds on the pages of views, at least 1: the log's, else until the next one, 1 for the last."""
    time = log.time[views]
    seconds = np.ones(len(time), np.float32)
    between = np.diff(time)
    seconds[:-1] = np.fmax(between, 1, out=between)  # fmax: NaN where there are no times gives 1
    seconds[offset[1:] - 1] = 1
    if log.dwell is None:
        return seconds
    said = log.dwell[views]
    return np.where(np.isnan(said), seconds, np.fmax(said, 1))


def target_sessions(log: SessionLog, target: str | None, kept: int = KEPT_BOUGHT) -> tuple[Sessions, Ints]:
    """Return the sessions that give a row, oldest first, and their indices in ``log``, int64.

    Pages, labels and users are codes, not ids. A session gives a row for `purchase` if a view precedes its first
    purchase, for `next` if it has two views; without a target every session with a view is returned, whole. Of a user's
    earlier purchases the newest ``kept`` are with it.
    """
    views, begin, end = log.views, log.offset[:-1], log.offset[1:]
    before = offsets(log.viewed())  # views before each event
    first = before[begin]
    if target == "purchase":
        buys = log.buys
        sale = np.append(buys, len(log.kind))[np.searchsorted(buys, begin)]  # the first at or after the session's start
        length = np.where(sale < end, before[sale] - first, 0)
    else:
        sale, length = None, before[end] - first
    chosen = np.flatnonzero(length >= (2 if target == "next" else 1))
    opening = log.offset[chosen]
    chosen = chosen[time_order(log.time[opening], log.order[opening])]  # oldest first
    offset = offsets(length[chosen])
    (views,) = gathered(first[chosen], length[chosen], views)
    bought, bought_offset = _bought(log, chosen, kept)
    sessions = Sessions(
        offset=offset,
        page=log.label[views],
        dwell=_dwell(log, views, offset),
        bought_offset=bought_offset,
        bought=bought,
        start=log.time[log.offset[chosen]],
        user=log.user[chosen],
        label=None if sale is None else log.label[sale[chosen]],
    )
    return sessions, chosen


def _clock(log: SessionLog, events: Ints) -> NDArray[np.float64]:
    """Return when events happened: their time, or their place in the log where there are no times."""
    time = log.time[events]
    return time if not np.isnan(time).any() else log.order[events].astype(np.float64)


def _bought(log: SessionLog, chosen: Ints, kept: int) -> tuple[Codes, Ints]:
    """Return the newest purchases of each chosen session's user before the session's start: items and offsets."""
    buys = log.buys
    if not len(buys):
        return np.empty(0, np.int32), np.zeros(len(chosen) + 1, np.int64)
    user = log.user[np.searchsorted(log.offset, buys, side="right") - 1]
    buys, user = buys[user >= 0], user[user >= 0]
    start = _clock(log, log.offset[chosen])
    if log.resolution:
        start = np.floor(start / log.resolution) * log.resolution
    when = _clock(log, buys)
    by_user = np.lexsort((log.order[buys], when, user))
    buys, user, when = buys[by_user], user[by_user], when[by_user]
    moments = np.unique(when)
    span = len(moments) + 1
    # A user and the rank of a moment make one number, so that one sorted search finds where a session's past ends.
    key = user.astype(np.int64) * span + np.searchsorted(moments, when)
    owner = log.user[chosen].astype(np.int64) * span
    end = np.searchsorted(key, owner + np.searchsorted(moments, start))
    begin = np.searchsorted(key, owner)
    lengths = np.where(owner >= 0, np.minimum(end - begin, kept), 0)
    (bought,) = gathered(end - lengths, lengths, log.label[buys])
    return bought, offsets(lengths)
