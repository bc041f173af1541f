"""Sessions of drawn logs against a slow reading, one event at a time."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from generator.data.log.importers import SCHEMA
from generator.data.sessions.ragged import KEPT_BOUGHT as BOUGHT
from generator.data.sessions.ragged import Sessions
from generator.data.sessions.sessionise import sessionise, target_sessions
from generator.errors import DataError

GAP = 1.0  # minutes


@dataclass(frozen=True)
class Event:
    user: str | None
    session: str | None
    time: float | None
    page: str
    event: str
    in_test: int = 0
    dwell: float | None = None


def frame_of(events: list[Event]) -> pl.DataFrame:
    rows = [(e.user, e.session, e.time, e.page, None, e.event, e.page, e.dwell) for e in events]
    kinds = dict.fromkeys(SCHEMA, pl.String) | {"time": pl.Float64, "dwell": pl.Float64}
    frame = pl.DataFrame(rows, schema=kinds, orient="row").cast(SCHEMA)
    return frame.with_columns(in_test=pl.Series([e.in_test for e in events], dtype=pl.UInt8), label="page")


def slow_sessions(events: list[Event]) -> list[list[int]]:
    """Sessions as lists of indices into the log, in the order of their first events."""
    given = any(e.session is not None for e in events)
    order = sorted(range(len(events)), key=lambda i: (events[i].time or 0.0, i))
    found: list[list[int]] = []
    current: dict[tuple, list[int]] = {}
    for i in order:
        e = events[i]
        key = (e.in_test, e.user, e.session)
        new = key not in current
        if not given and not new:
            new = e.time - events[current[key][-1]].time > GAP * 60
        if new:
            current[key] = []
            found.append(current[key])
        current[key].append(i)
    return found


def slow_target(events: list[Event], target: str) -> list[dict]:
    found = []
    for session in slow_sessions(events):
        views = [i for i in session if events[i].event == "view"]
        buys = [i for i in session if events[i].event == "buy"]
        label = None
        if target == "purchase":
            if not buys:
                continue
            views = [i for i in views if session.index(i) < session.index(buys[0])]
            label = events[buys[0]].page
        if len(views) < (1 if target == "purchase" else 2):
            continue
        first = events[session[0]]

        def moment(i):
            return events[i].time if events[i].time is not None else i

        earlier = [
            i
            for i, e in enumerate(events)
            if e.event == "buy" and first.user is not None and e.user == first.user and moment(i) < moment(session[0])
        ]
        earlier.sort(key=lambda i: (moment(i), i))
        dwell = [1.0] * len(views)
        for k in range(len(views) - 1):
            if first.time is not None:
                dwell[k] = max(events[views[k + 1]].time - events[views[k]].time, 1.0)
        for k, i in enumerate(views):
            if events[i].dwell is not None:
                dwell[k] = max(events[i].dwell, 1.0)
        found.append(
            {
                "pages": [events[i].page for i in views],
                "dwell": dwell,
                "bought": [events[i].page for i in earlier][-BOUGHT:],
                "label": label,
                "start": first.time,
            }
        )
    return found


def told(sessions: Sessions, frame: pl.DataFrame) -> list[dict]:
    """Sessions of codes, in words."""
    names = dict(zip(frame["page"].to_physical(), frame["page"].cast(pl.String), strict=True))
    found = []
    for s in range(len(sessions)):
        views = slice(sessions.offset[s], sessions.offset[s + 1])
        purchases = slice(sessions.bought_offset[s], sessions.bought_offset[s + 1])
        found.append(
            {
                "pages": [names[code] for code in sessions.page[views]],
                "dwell": sessions.dwell[views].tolist(),
                "bought": [names[code] for code in sessions.bought[purchases]],
                "label": None if sessions.label is None else names[sessions.label[s]],
                "start": None if np.isnan(sessions.start[s]) else sessions.start[s],
            }
        )
    return found


@st.composite
def logs(draw):
    timed = draw(st.booleans())
    given = draw(st.booleans()) or not timed
    dwells = st.none() | st.sampled_from([0.0, 0.5, 7.0, 300.0]) if draw(st.booleans()) else st.none()
    nobody = given and draw(st.booleans())
    # Few users, pages and moments, so that ties and overlaps abound; whole seconds are exact in float32.
    return draw(
        st.lists(
            st.builds(
                Event,
                user=st.none() if nobody else st.sampled_from(["u1", "u2", "u3"]),
                session=st.sampled_from(["s1", "s2", "s3"]) if given else st.none(),
                time=st.integers(0, 400).map(float) if timed else st.none(),
                page=st.sampled_from("abcde"),
                event=st.sampled_from(["view", "view", "view", "buy", "other"]),
                in_test=st.sampled_from([0, 0, 1]),
                dwell=dwells,
            ),
            min_size=1,
            max_size=40,
        )
    )


@given(logs(), st.sampled_from(["purchase", "next"]))
@example(
    [Event("u", None, 5.0, "a", "view"), Event("u", None, 5.0, "b", "buy"), Event("u", None, 65.0, "c", "view")],
    "purchase",
)
@settings(max_examples=300, deadline=None)
def test_sessions_equal_a_slow_reading(events: list[Event], target: str):
    frame = frame_of(events)
    given = any(e.session is not None for e in events)
    log = sessionise(frame, gap=None if given else GAP)
    assert len(log) == len(slow_sessions(events))
    sessions, _ = target_sessions(log, target)
    assert told(sessions, frame) == slow_target(events, target)


@given(logs())
@settings(max_examples=100, deadline=None)
def test_no_purchase_at_or_after_the_start_is_in_bought(events: list[Event]):
    """Every purchase has a name of its own, so that it can be traced back to its moment."""
    events = [Event(e.user, e.session, e.time, f"{e.page}{i}", e.event, e.in_test) for i, e in enumerate(events)]
    frame = frame_of(events)
    sessions, _ = target_sessions(sessionise(frame), "next")
    for session in told(sessions, frame):
        if session["start"] is not None:
            assert all(events[int(name[1:])].time < session["start"] for name in session["bought"])
        assert all(events[int(name[1:])].event == "buy" for name in session["bought"])


def test_the_newest_256_purchases_are_kept():
    events = [Event("u", f"s{i}", float(i), f"p{i}", "buy") for i in range(300)]
    events += [Event("u", "last", 1000.0, "a", "view"), Event("u", "last", 1001.0, "b", "buy")]
    frame = frame_of(events)
    sessions, _ = target_sessions(sessionise(frame), "purchase")
    assert told(sessions, frame)[0]["bought"] == [f"p{i}" for i in range(44, 300)]


def test_times_of_a_coarse_resolution_order_days_only():
    """Two sessions of one day: neither counts as before the other."""
    events = [
        Event("u", "a", 86400.0 * 10 + 100, "x", "buy"),
        Event("u", "b", 86400.0 * 10 + 500, "y", "view"),
        Event("u", "b", 86400.0 * 10 + 600, "z", "buy"),
        Event("u", "c", 86400.0 * 11 + 1, "y", "view"),
        Event("u", "c", 86400.0 * 11 + 2, "y", "buy"),
    ]
    frame = frame_of(events)
    sessions, _ = target_sessions(sessionise(frame, resolution=86400.0), "purchase")
    assert [session["bought"] for session in told(sessions, frame)] == [[], ["x", "z"]]


def test_a_session_whose_user_is_named_only_sometimes_is_one_session():
    events = [Event(None, "a", 1.0, "x", "view"), Event("u", "a", 2.0, "y", "view"), Event("v", "b", 3.0, "z", "view")]
    log = sessionise(frame_of(events))
    assert np.diff(log.offset).tolist() == [2, 1]
    assert (log.user >= 0).all()


def test_gaps_count_every_kind_of_event():
    """A cart between two views keeps the session open (Taobao's 15,794 sessions are counted so)."""
    events = [
        Event("u", None, 0.0, "a", "view"),
        Event("u", None, 50.0, "a", "other"),
        Event("u", None, 100.0, "b", "view"),
    ]
    assert len(sessionise(frame_of(events), gap=1.0)) == 1
    assert len(sessionise(frame_of([events[0], events[2]]), gap=1.0)) == 2


def test_a_gap_cuts_a_session_id_that_comes_back_days_later():
    events = frame_of([Event("u", "s", time, "a", "view") for time in (0.0, 60.0, 86400.0, 86460.0)])
    assert np.diff(sessionise(events).offset).tolist() == [4]
    assert np.diff(sessionise(events, gap=30.0).offset).tolist() == [2, 2]


def test_rows_logged_twice_count_once():
    times = [("a", 0.0), ("b", 1.0), ("a", 2.0), ("a", 50.0), ("b", 90.0)]
    events = frame_of([Event("u", "s", time, page, "view") for page, time in times])
    events = events.with_columns(content=pl.col("label").to_physical().cast(pl.UInt64))
    log = sessionise(events, repeats=2.0)
    assert log.time.tolist() == [0.0, 1.0, 50.0, 90.0]
    assert log.repeats == 1
    # Another session, or another event, is no repeat.
    others = frame_of([Event("u", s, 0.0, "a", "view") for s in "st"])
    others = others.with_columns(content=pl.lit(1, pl.UInt64))
    assert sessionise(others, repeats=2.0).repeats == 0


def test_sessions_that_are_in_the_test_files_too_are_marked():
    events = frame_of([Event("u", s, time, "a", "view") for time, s in enumerate("stt")])
    log = sessionise(events.with_columns(in_test=pl.Series([0, 0, 1], dtype=pl.UInt8)))
    assert sorted(log.in_test.tolist()) == [0, 1, 2]


def test_a_gap_needs_times():
    with pytest.raises(DataError, match="--gap needs times"):
        sessionise(frame_of([Event("u", "s", None, "a", "view")]), gap=30.0)
    with pytest.raises(DataError, match="neither session ids nor times"):
        sessionise(frame_of([Event("u", None, None, "a", "view")]))
