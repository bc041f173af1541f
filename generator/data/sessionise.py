"""Events to sessions: cut, order, dwell times, the label, the purchases before."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from generator.data.layouts import KINDS
from generator.data.windows import Sessions, ragged_index
from generator.errors import DataError

__all__ = ["BOUGHT", "GAP", "Log", "label_codes", "sessionise", "target_sessions"]

GAP = 30.0
BOUGHT = 256  # purchases kept of a user before a session
VIEW, BUY = KINDS.index("view"), KINDS.index("buy")

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Log:
    """E events in S sessions, the events of a session contiguous and in order.

    Attributes
    ----------
    offset
        int64 (S+1,): session i holds events offset[i]..offset[i+1]-1.
    kind, page, item
        uint8 (E,) index into KINDS; int32 (E,) codes of labels at the level asked for, -1 for none.
    time
        float64 (E,) unix seconds, NaN in all where the log has none.
    order
        int64 (E,): place in the log.
    user, part
        int32 (S,) code, -1 for none; uint8 (S,): 1 for the files given as test, else 0.
    resolution
        Seconds within which the times of two sessions cannot be put in order.
    """

    offset: Ints
    kind: NDArray[np.uint8]
    page: Codes
    item: Codes
    time: NDArray[np.float64]
    order: Ints
    user: Codes
    part: NDArray[np.uint8]
    resolution: float = 0.0

    def __len__(self) -> int:
        return len(self.offset) - 1

    @property
    def session(self) -> Ints:
        """Session of each event, int64 (E,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offset))


def _numpy(column: pl.Series, kind: type[np.generic], missing: float) -> NDArray[Any]:
    """Return the codes of a categorical, or the values of a number, with ``missing`` for null."""
    physical = column.to_physical() if column.dtype != pl.Float64 else column
    if kind is np.int32:
        physical = physical.cast(pl.Int32)
    return physical.fill_null(missing).to_numpy().astype(kind, copy=False)


def sessionise(frame: pl.DataFrame, *, gap: float | None = None, resolution: float = 0.0) -> Log:
    """Cut events into sessions.

    Parameters
    ----------
    frame
        The events (see ``Events.frame``) in log order, ``page`` and ``item`` at the levels asked for, with a column
        ``part`` (0, or 1 for test files), across which no session reaches. Where some events of a session name
        its user and some do not, it is that user's.
    gap
        Minutes without any event, of whatever kind, after which a user starts a new session; default 30. It is for logs
        without session ids; where they are given, a session is a (user, session id).
    resolution
        See ``Log``.

    Events are sorted by time; equal times keep the order of the log.

    Raises
    ------
    DataError
        ``gap`` is given but the log has session ids, or the log has neither session ids nor times.
    """
    given = frame["session"].null_count() < frame.height
    if given and gap is not None:
        raise DataError("--gap is for logs without session ids, and this log has them: leave it out")
    if not given and frame["time"].null_count():
        raise DataError("the log has neither session ids nor times, so there is no telling where a session ends")
    keys = ["part", "user", *(["session"] if given else [])]
    user = pl.col("user").to_physical()
    if given and 0 < frame["user"].null_count() < frame.height:
        user = user.fill_null(user.drop_nulls().first().over("part", "session"))
    ordered = (
        frame.select(
            "part",
            user,
            pl.col("session").to_physical(),
            "time",
            kind=pl.col("event").to_physical(),
            page=pl.col("page").to_physical(),
            item=pl.col("item").to_physical(),
        )
        .with_row_index("order")
        .sort([*keys, "time", "order"])
    )
    columns = {name: _numpy(ordered[name], np.int32, -1) for name in (*keys, "page", "item")}
    time = _numpy(ordered["time"], np.float64, np.nan)
    begins = np.ones(ordered.height, np.bool_)
    changed = [np.diff(columns[key]) != 0 for key in keys]
    if not given:
        changed.append(np.diff(time) > (GAP if gap is None else gap) * 60)
    begins[1:] = np.logical_or.reduce(changed)
    first = np.flatnonzero(begins)
    return Log(
        offset=np.append(first, ordered.height),
        kind=_numpy(ordered["kind"], np.uint8, 0),
        page=columns["page"],
        item=columns["item"],
        time=time,
        order=_numpy(ordered["order"], np.int64, 0),
        user=columns["user"][first],
        part=columns["part"][first].astype(np.uint8),
        resolution=resolution,
    )


def label_codes(log: Log) -> tuple[NDArray[np.bool_], Codes]:
    """Return the states and the label of each session for the target `purchase`.

    bool (E,): the views before the session's first purchase; int32 (S,): the code of the item bought, -1 for none.
    """
    session = log.session
    buys = np.flatnonzero((log.kind == BUY) & (log.item >= 0))
    buyer, which = np.unique(session[buys], return_index=True)
    limit = np.zeros(len(log), np.int64)
    label = np.full(len(log), -1, np.int32)
    limit[buyer] = buys[which]
    label[buyer] = log.item[buys[which]]
    states = (log.kind == VIEW) & (log.page >= 0) & (np.arange(len(session)) < limit[session])
    return states, label


def _dwell(time: NDArray[np.float64], session: Ints) -> NDArray[np.float32]:
    """Return the seconds until the next of these views in the same session; at least 1, and 1 for the last."""
    seconds = np.ones(len(time))
    if len(time):
        inside = np.diff(session) == 0
        seconds[:-1][inside] = np.fmax(np.diff(time)[inside], 1)  # fmax: NaN where there are no times gives 1
    return seconds.astype(np.float32)


def target_sessions(log: Log, target: str) -> tuple[Sessions, Ints]:
    """Return the sessions that give a row, oldest first, and their indices in ``log``, int64.

    Pages, labels and users are codes, not ids. A session gives a row for `purchase` if a view precedes its first
    purchase, for `next` if it has two views.
    """
    if target == "purchase":
        states, label = label_codes(log)
        least = 1
    else:
        states, label = (log.kind == VIEW) & (log.page >= 0), None
        least = 2
    session = log.session
    length = np.bincount(session[states], minlength=len(log))
    used = length >= least
    states &= used[session]
    of_state, chosen = session[states], np.flatnonzero(used)
    start, first = log.time[log.offset[chosen]], log.order[log.offset[chosen]]
    bought, bought_offset = _bought(log, chosen)
    sessions = Sessions(
        offset=np.append(0, np.cumsum(length[chosen])),
        page=log.page[states],
        dwell=_dwell(log.time[states], of_state),
        bought_offset=bought_offset,
        bought=bought,
        start=start,
        user=log.user[chosen],
        label=None if label is None else label[chosen],
    )
    oldest_first = np.lexsort((first, start))
    return sessions.take(oldest_first), chosen[oldest_first]


def _clock(log: Log, events: Ints) -> NDArray[np.float64]:
    """Return when events happened: their time, or their place in the log where there are no times."""
    time = log.time[events]
    return time if not np.isnan(time).any() else log.order[events].astype(np.float64)


def _bought(log: Log, chosen: Ints) -> tuple[Codes, Ints]:
    """Return the purchases of each chosen session's user before the session's start, ragged: items and offsets."""
    user = np.repeat(log.user, np.diff(log.offset))
    buys = np.flatnonzero((log.kind == BUY) & (log.item >= 0) & (user >= 0))
    when = _clock(log, buys)
    start = _clock(log, log.offset[chosen])
    if log.resolution:
        start = np.floor(start / log.resolution) * log.resolution
    buys = buys[np.lexsort((log.order[buys], when, user[buys]))]
    when = _clock(log, buys)
    moments = np.unique(when)
    span = len(moments) + 1
    # A user and the rank of a moment make one number, so that one sorted search finds where a session's past ends.
    key = user[buys].astype(np.int64) * span + np.searchsorted(moments, when)
    owner = log.user[chosen].astype(np.int64) * span
    end = np.searchsorted(key, owner + np.searchsorted(moments, start))
    begin = np.searchsorted(key, owner)
    lengths = np.where(owner >= 0, np.minimum(end - begin, BOUGHT), 0)
    return log.item[buys[ragged_index(end - lengths, lengths)]], np.append(0, np.cumsum(lengths))
