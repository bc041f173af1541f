"""One contract for all stores: SQLite in a file, MongoDB over the wire."""

import itertools
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymongo
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator.serving.http.app import application
from generator.serving.http.logs import json_logger
from generator.serving.http.settings import Settings
from generator.serving.metrics import Metrics
from generator.serving.models.repository import Repository
from generator.serving.store.open import open_store
from generator.serving.store.sessions import SPARE, Event, Kept, Session, ShownItems
from generator.serving.store.store import StoreError

NUMBERS = itertools.count()
BEFORE = """\
CREATE TABLE events (
    number INTEGER PRIMARY KEY, session TEXT NOT NULL, event TEXT NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL,
    time REAL NOT NULL, received INTEGER NOT NULL, user TEXT, dwell REAL, UNIQUE (session, event)
);
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, user TEXT, start REAL, seen REAL NOT NULL, visits TEXT NOT NULL, purchases TEXT NOT NULL
);
CREATE TABLE shown (session TEXT PRIMARY KEY, version INTEGER NOT NULL, items TEXT NOT NULL, seen REAL NOT NULL);
"""


def visit(session, event, page, time, received=None, user=None, dwell=None):
    return Event(session, event, "view", page, float(time), received or int(time * 1e6), user, dwell)


def buy(session, event, item, time, user=None):
    return Event(session, event, "buy", item, float(time), int(time * 1e6), user)


def pages(state):
    return [one.label for one in state.session.visits]


def test_each_event_is_answered_by_the_state_right_after_it(store):
    states = store.record([visit("s", "1", "a", 10), visit("t", "1", "z", 10), visit("s", "2", "b", 11)])
    assert [pages(state) for state in states] == [["a"], ["z"], ["a", "b"]]
    assert pages(store.state("s")) == ["a", "b"]
    assert store.state("nobody") is None


def test_an_event_sent_twice_counts_once_and_as_first_told(store):
    store.record([visit("s", "1", "a", 10), visit("s", "2", "b", 11)])
    (state,) = store.record([visit("s", "1", "other", 99)])
    assert pages(state) == ["a", "b"]
    assert [one.label for one in store.events()] == ["a", "b"]
    first, second = store.record([visit("s", "3", "c", 12), visit("s", "3", "c", 12)])
    assert pages(first) == pages(second) == ["a", "b", "c"]


def test_a_late_visit_takes_its_place_in_time(store):
    store.record([visit("s", "1", "a", 10), visit("s", "3", "c", 30)])
    (state,) = store.record([visit("s", "2", "b", 20, received=99_000_000)])
    assert pages(state) == ["a", "b", "c"]
    assert state.session.dwells() == [10, 10, 1]
    (state,) = store.record([visit("s", "0", "first", 5, received=99_000_001)])
    assert pages(state)[0] == "first"
    assert state.session.start == 5


def test_equal_times_keep_the_order_of_arrival(store):
    store.record([visit("s", "x", "a", 10, received=1), visit("s", "w", "b", 10, received=2)])
    assert pages(store.state("s")) == ["a", "b"]


def test_only_the_newest_visits_are_kept_in_the_session_and_all_in_the_log(store):
    store.kept = Kept(visits=8)
    store.record([visit("s", str(i), f"p{i}", i + 1) for i in range(11)])
    (state,) = store.record([visit("s", "0", "p0", 1)])
    assert pages(state) == [f"p{i}" for i in range(3, 11)]
    assert state.session.start == 1
    assert len(list(store.events())) == 11


def test_a_session_keeps_what_its_net_reads():
    """More than `SPARE` events, each of which the net of the second session reads."""
    kept = Kept.of([{"page": 4}, {"page": 8, "history_page": 600, "bought": 700}])
    narrow = wide = Session("s")
    for number in range(1400):
        event = (visit if number % 2 else buy)("s", str(number), f"p{number}", number)
        narrow, wide = (
            narrow.after(event, 0, Kept.of([{"page": 4, "history_page": 3, "bought": 1}])),
            wide.after(event, 0, kept),
        )
    assert [one.label for one in wide.visits] == [f"p{number}" for number in range(1, 1400, 2)]
    assert [one.label for one in wide.purchases] == [f"p{number}" for number in range(0, 1400, 2)]
    assert (len(narrow.visits), len(narrow.purchases)) == (519, 513)


def test_a_service_keeps_what_its_models_read(store, repository):
    application(Settings(repository), store, Repository(repository), Metrics(), json_logger())
    assert store.kept == Kept(visits=SPARE + 3 + 4, purchases=SPARE + 3)  # the window, history and bought of the model


def test_a_user_has_bought_what_they_bought_in_earlier_sessions(store):
    store.record([visit("s1", "1", "a", 10, user="u"), buy("s1", "2", "x", 20, user="u")])
    (state,) = store.record([visit("s2", "1", "a", 30, user="u")])
    assert state.bought() == ["x"]
    (state,) = store.record([buy("s2", "2", "y", 40)])
    assert state.bought() == ["x"]  # y is of this session
    assert [one.label for one in store.purchases("u")] == ["x", "y"]
    assert store.purchases("nobody") is None
    # a purchase told late, of a session that began later, is not of the past of s2
    store.record([buy("s3", "1", "z", 35, user="u")])
    assert store.state("s2").bought() == ["x"]


def test_what_was_bought_before_the_login_is_the_users_from_then_on(store):
    store.record([visit("s1", "1", "a", 10), buy("s1", "2", "x", 11)])
    store.record([visit("s1", "3", "b", 12, user="u")])
    assert [one.label for one in store.purchases("u")] == ["x"]
    (state,) = store.record([visit("s2", "1", "a", 13, user="u")])
    assert state.bought() == ["x"]


def test_a_session_is_of_one_user(store):
    store.record([visit("s", "1", "a", 10, user="u")])
    refused, taken = store.record([visit("s", "2", "b", 11, user="v"), visit("s", "3", "c", 12)])
    assert refused is None
    assert pages(taken) == pages(store.state("s")) == ["a", "c"]
    assert [one.event for one in store.events()] == ["1", "3"]
    assert store.purchases("v") is None


def test_a_forgotten_session_leaves_nothing(store):
    store.record([visit("s", "1", "a", 10, user="u"), buy("s", "2", "x", 11), buy("t", "1", "y", 12, user="u")])
    assert store.forget_session("s")
    assert not store.forget_session("s")
    assert store.state("s") is None
    assert [one.session for one in store.events()] == ["t"]
    assert [one.label for one in store.purchases("u")] == ["y"]


def test_a_forgotten_user_leaves_nothing(store):
    store.record([visit("s", "1", "a", 10), visit("s", "2", "a", 11, user="u"), buy("s", "3", "x", 12, user="u")])
    store.record([visit("t", "1", "a", 10, user="v")])
    assert store.forget_user("u")
    assert not store.forget_user("u")
    assert store.purchases("u") is None
    assert store.state("s") is None
    assert [one.session for one in store.events()] == ["t"]


def test_concurrent_visits_of_one_session_are_all_there(store, store_url):
    other = open_store(store_url)  # as another server on the same store
    with ThreadPoolExecutor(4) as threads:
        work = [
            threads.submit(
                (store, other)[i % 2].record, [visit("s", str(i), f"p{i}", i + 1), visit("t", str(i), "a", 1)]
            )
            for i in range(40)
        ]
        for one in work:
            state, _ = one.result()
            assert state.session.visits
    other.close()
    assert pages(store.state("s")) == [f"p{i}" for i in range(40)]
    assert len(store.state("t").session.visits) == 40


def test_what_was_recorded_outlives_the_store_object(store, store_url):
    store.record([visit("s", "1", "a", 10, user="u", dwell=7.5), buy("s", "2", "x", 11)])
    again = open_store(store_url)
    assert again.state("s") == store.state("s")
    assert list(again.events()) == list(store.events())
    again.close()


steps = st.lists(
    st.tuples(
        st.sampled_from("st"),
        st.integers(0, 6).map(str),
        st.sampled_from(["view", "view", "view", "buy"]),
        st.integers(1, 5),
        st.sampled_from([None, None, "u"]),
    ),
    max_size=14,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.integers(1, 5))
def test_any_course_of_events_ends_as_the_definition_says(store, steps, size):
    """Whatever comes twice, late, in whatever batches: the session is its first-told events in order of time."""
    tag = f"{next(NUMBERS)}-"
    told: dict[tuple[str, str], Event] = {}
    events = []
    for number, (session, event, kind, time, user) in enumerate(steps, 1):
        one = Event(tag + session, event, kind, f"l{number}", float(time), number, user and user + tag)
        told.setdefault((one.session, one.event), one)
        events.append(one)
    for begin in range(0, len(events), size):
        store.record(events[begin : begin + size])
    for session in {one.session for one in events}:
        mine = sorted(
            (one for one in told.values() if one.session == session), key=lambda one: (one.time, one.received)
        )
        found = store.state(session).session
        assert list(found.visits) == [one for one in mine if one.kind == "view"]
        assert list(found.purchases) == [one for one in mine if one.kind == "buy"]


def test_idle_sessions_go_from_sqlite_and_their_events_stay(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/a.sqlite", idle=100)
    store.record([visit("old", "1", "a", 10), visit("new", "1", "a", 120)])
    assert store.expire(now=121) == 1
    assert store.state("old") is None
    assert pages(store.state("new")) == ["a"]
    assert len(list(store.events())) == 2
    (state,) = store.record([visit("new", "2", "b", 500)])  # idle for longer than allowed, if not yet swept
    assert pages(state) == ["b"]
    store.close()


def test_mongodb_forgets_idle_sessions_by_a_ttl_index_of_the_time_asked_for(mongo):
    for idle in (100, 200):
        open_store(mongo.url("ttl"), idle=idle).close()
    database = pymongo.MongoClient(mongo.url("ttl")).get_default_database()
    (index,) = [one for one in database.sessions.list_indexes() if "expireAfterSeconds" in one]
    assert (dict(index["key"]), index["expireAfterSeconds"]) == ({"seen": 1}, 200)
    assert any(one.get("unique") for one in database.events.list_indexes())


def test_mongodb_writes_wait_for_the_majority_unless_the_url_says_otherwise(mongo):
    for options, wanted in (("", {"w": "majority"}), ("?w=1", {"w": 1})):
        store = open_store(mongo.url("w") + options)
        assert store._client.write_concern.document == wanted
        store.close()


def test_a_sqlite_file_that_is_taken_away_is_told(tmp_path):
    path = Path(tmp_path / "a.sqlite")
    store = open_store(f"sqlite:///{path}")
    store.record([visit("s", "1", "a", 10)])
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.record([visit("s", "2", "b", 11)])
    holder.execute("COMMIT")
    holder.close()
    store.record([visit("s", "2", "b", 11)])
    assert pages(store.state("s")) == ["a", "b"]
    path.rename(tmp_path / "elsewhere")
    assert store.state("s") is None  # the path holds another file now: nothing is written to the one moved away
    store.close()


def test_a_sqlite_file_of_before_is_taken_on(tmp_path):
    """Its sessions had no column for what they were shown, which was a table of its own."""
    path = tmp_path / "a.sqlite"
    row = '["s", "1", "view", "a", 10.0, 10000000, "u", null]'
    with sqlite3.connect(path) as db:
        db.executescript(BEFORE)
        db.execute("INSERT INTO events VALUES (1, 's', '1', 'view', 'a', 10, 10000000, 'u', NULL)")
        db.execute("INSERT INTO sessions VALUES ('s', 'u', 10, 10, ?, '[]')", (f"[{row}]",))
        db.execute("INSERT INTO shown VALUES ('s', 1, '[]', 10)")
    one, other = open_store(f"sqlite:///{path}"), open_store(f"sqlite:///{path}")
    assert pages(one.state("s")) == ["a"]
    (state,) = one.record([visit("s", "2", "b", 11)])
    assert (pages(state), state.shown) == (["a", "b"], None)
    other.show({"s": ShownItems(3, ["x", "y"])}, 12)
    assert other.state("s").shown == one.state("s").shown == ShownItems(3, ["x", "y"])
    one.close()
    other.close()


def test_what_a_session_was_shown_makes_no_session_of_it(store):
    store.show({"s": ShownItems(1, ["x"])}, 10)
    assert store.state("s") is None
    assert not store.forget_session("s")
    store.show({"s": ShownItems(2, ["y"])}, 11)
    (state,) = store.record([visit("s", "1", "a", 12)])
    assert (pages(state), state.shown) == (["a"], ShownItems(2, ["y"]))
    assert store.forget_session("s")
    (state,) = store.record([visit("s", "2", "b", 13)])
    assert (pages(state), state.shown) == (["b"], None)


@pytest.mark.parametrize("url", ["redis://localhost", "sqlite://", "sqlite:///", "mongodb://127.0.0.1:notaport/x", "x"])
def test_a_url_that_is_no_store_is_told(url):
    with pytest.raises(StoreError):
        open_store(url)


def test_a_password_in_a_url_is_not_repeated():
    with pytest.raises(StoreError) as found:
        open_store("redis://me:secret@host/1")
    assert "secret" not in str(found.value)
