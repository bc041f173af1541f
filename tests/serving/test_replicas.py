"""Three replicas on one MongoDB: sessions hop between them at every request, one is killed, nothing is lost."""

import concurrent.futures
import signal
import urllib.error
from itertools import count

import pytest
from served import PAGES, Drn, Process

SESSIONS, VISITS, KILLED_AT = 6, 24, 8


@pytest.fixture
def replicas(repository, mongo):
    url = mongo.url("replicas")
    started = [Drn(repository, url) for _ in range(3)]
    yield started
    for one in started:
        if one.process.poll() is None:
            assert one.stop() == 0


def hop(replicas: list[Process], turn: count, session: str, event: int):
    """Send a visit to the next replica in turn, and on to others until one answers: what a load balancer does."""
    for _ in range(len(replicas) + 1):
        replica = replicas[next(turn) % len(replicas)]
        try:
            status, answer, _ = replica.visit(session, PAGES[event % len(PAGES)], event=str(event), time=1e9 + event)
        except (urllib.error.URLError, ConnectionError):
            continue  # killed: the visit may have been recorded, and is sent again under its name
        if status == 200:
            return answer
    raise AssertionError(f"no replica took visit {event} of {session}")


def test_a_session_may_hop_and_a_replica_be_killed(replicas):
    turn = count()

    def shop(session: str) -> list:
        answers = []
        for event in range(VISITS):
            if session == "s0" and event == KILLED_AT:
                replicas[1].process.send_signal(signal.SIGKILL)
            answers.append(hop(replicas, turn, session, event))
        return answers

    names = [f"s{number}" for number in range(SESSIONS)]
    with concurrent.futures.ThreadPoolExecutor(SESSIONS) as threads:
        answers = dict(zip(names, threads.map(shop, names), strict=True))
    assert replicas[1].process.wait(30) == -signal.SIGKILL
    left = [replicas[0], replicas[2]]
    for session in names:
        views = [one("GET", f"/v1/sessions/{session}")[1] for one in left]
        assert views[0] == views[1]
        assert [visit["page"] for visit in views[0]["visits"]] == [PAGES[event] for event in range(VISITS)]
        # the last answer was given on all of the session, whichever replica gave it
        last = left[0]("GET", f"/v1/sessions/{session}/recommendations?k=5")[1]["items"]
        assert answers[session][-1]["items"] == last


def test_what_was_shown_is_known_to_whoever_takes_the_next_event(repository, store_url):
    """Behind a balancer: one server answers, another shows more, the first takes the purchase."""
    one, other = Drn(repository, store_url), Drn(repository, store_url)
    first = one.visit("s", "p1")[1]["items"]
    last = other.visit("s", "p2")[1]["items"]
    fresh = next(item["item"] for item in last if item["item"] not in [shown["item"] for shown in first])
    for item in (fresh, "something else"):
        assert one("POST", "/v1/sessions/s/purchases", {"item": item})[0] == 200
    assert one("GET", "/v1/models")[1]["arms"][0]["outcomes"]["buy"] == {"held": 1, "of": 2}
    assert other("GET", "/v1/models")[1]["arms"][0]["outcomes"]["view"] == {"held": 0, "of": 1}
    assert one("DELETE", "/v1/sessions/s")[0] == 204
    one("POST", "/v1/sessions/s/purchases", {"item": fresh})  # of a session that was shown nothing
    assert one("GET", "/v1/models")[1]["arms"][0]["outcomes"]["buy"] == {"held": 1, "of": 2}
    assert one.stop() == other.stop() == 0
