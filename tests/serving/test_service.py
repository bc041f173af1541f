"""`drn serve` as a client meets it."""

import concurrent.futures
import http.client
import json
import signal
import subprocess
import sys
import time
import uuid

import pytest
from served import Drn, Mongo, free_port, write_version

from generator.model.model import Model
from generator.model.query import Query


def new() -> str:
    return uuid.uuid4().hex


def recommended(answer) -> list[str]:
    return [one["item"] for one in answer["items"]]


def test_a_session_is_answered_as_drn_recommend_answers_it(drn, repository):
    session, model, now = new(), Model(repository), time.time() - 1000
    steps = [("p1", 3), ("p9", 200), ("nowhere", 5), ("p4", 1), ("p4", 30), ("p7", 2), ("p2", 10), ("p3", 1)]
    moment, seen = now, []
    for page, dwell in steps:
        status, answer, _ = drn.visit(session, page, time=moment)
        moment += dwell
        assert status == 200
        seen.append((page, float(dwell)))
        query = Query([*seen[:-1], (page, 1.0)])
        (wanted,) = model.recommend([query])
        assert recommended(answer) == [item for item, _ in wanted.items]
        assert answer["model"] == {"name": "shop", "version": 1}
    assert answer["unknown_pages"] == 1
    _, again, _ = drn("GET", f"/v1/sessions/{session}/recommendations?k=2")
    assert recommended(again) == recommended(answer)[:2]
    command = [sys.executable, "-m", "generator", "recommend", str(repository), "--format", "json", "--session"]
    pages = ",".join(f"{page}:{dwell}" for page, dwell in steps)
    printed = subprocess.run([*command, pages], capture_output=True, check=True, text=True)
    assert recommended(json.loads(printed.stdout)) == recommended(answer)


def test_a_session_shows_its_window_and_its_history_with_aging_factors(drn):
    session = new()
    for page, moment in (("p1", 100), ("p2", 110), ("p3", 140), ("p4", 150), ("p5", 151)):
        drn.visit(session, page, time=moment)
    _, view, _ = drn("GET", f"/v1/sessions/{session}")
    assert [one["page"] for one in view["window"]] == ["p3", "p4", "p5"]
    assert [(one["page"], one["dwell"], one["weight"]) for one in view["history"]] == [("p1", 10, 0.25), ("p2", 30, 1)]
    assert view["start"] == 100


def test_a_purchase_counts_in_the_users_next_session(drn, repository):
    user, first, second = new(), new(), new()
    assert drn("GET", f"/v1/sessions/{second}/recommendations?user={user}")[0] == 200
    drn.visit(first, "p1", user=user, time=1000)
    status, answer, _ = drn("POST", f"/v1/sessions/{first}/purchases", {"item": "i3", "user": user, "time": 1001})
    assert (status, answer["session"]) == (200, first)
    drn("POST", f"/v1/sessions/{first}/purchases", {"item": "never sold", "user": user, "time": 1002})
    _, cold, _ = drn("GET", f"/v1/sessions/{second}/recommendations?k=5&user={user}")
    _, answer, _ = drn.visit(second, "p1", user=user)
    model = Model(repository)
    assert recommended(cold) == [item for item, _ in model.recommend([Query([], ["i3"])])[0].items]
    assert recommended(answer) == [item for item, _ in model.recommend([Query([("p1", 1)], ["i3"])])[0].items]
    assert answer["unknown_bought"] == 1
    assert [one["item"] for one in drn("GET", f"/v1/users/{user}")[1]["purchases"]] == ["i3", "never sold"]
    assert drn("DELETE", f"/v1/users/{user}")[0] == 204
    assert drn("GET", f"/v1/users/{user}")[0] == drn("GET", f"/v1/sessions/{first}")[0] == 404
    assert drn("DELETE", f"/v1/users/{user}")[0] == 404


def test_sessions_are_forgotten_on_demand(drn):
    session = new()
    drn.visit(session, "p1")
    assert drn("DELETE", f"/v1/sessions/{session}")[0] == 204
    assert drn("GET", f"/v1/sessions/{session}")[0] == 404


def test_a_session_of_another_user_takes_no_event(drn):
    session = new()
    drn.visit(session, "p1", user="one")
    assert drn.visit(session, "p2", user="two")[0] == 409
    assert drn.visit(session, "p2", user="one")[0] == 200


def test_concurrent_visits_of_one_session_each_see_those_before_them(drn):
    session = new()
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda i: drn.visit(session, f"p{i % 30 + 1}", event=str(i // 2)), range(60)))
    assert {status for status, _, _ in answers} == {200}
    _, view, _ = drn("GET", f"/v1/sessions/{session}")
    assert len(view["visits"]) == 30


BAD = [
    ({"page": ""}, 422),
    ({"page": "x" * 2049}, 422),
    ({"page": "a\nb"}, 422),
    ({"page": 1.5}, 422),
    ({"page": "p1", "time": -1}, 422),
    ({"page": "p1", "time": 9e10}, 422),
    ({"page": "p1", "dwell": "long"}, 422),
    ({"page": "p1", "extra": 1}, 422),
    ({}, 422),
    ([], 422),
    (b"{", 422),
    (b'{"page": "\\ud800"}', 422),
    (b'{"page": "p1", "dwell": NaN}', 422),
    (b'{"page": "p1", "time": 1e999}', 422),
    (b"[" * 10_000, 422),
    (b'{"page": "' + b"x" * 20_000 + b'"}', 413),
]


@pytest.mark.parametrize(("body", "status"), BAD, ids=range(len(BAD)))
def test_what_does_not_hold_is_refused_and_not_repeated(drn, body, status):
    found, answer, headers = drn("POST", "/v1/sessions/bad/visits", body)
    assert found == status
    assert set(answer) == {"error"}
    assert "xxx" not in answer["error"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_other_bad_requests(drn):
    assert drn("POST", "/v1/sessions/s/visits", b"{}", Content_Type="text/plain")[0] == 415
    assert drn("POST", f"/v1/sessions/{'s' * 129}/visits", {"page": "p"})[0] == 422
    assert drn("POST", "/v1/sessions/a%0Ab/visits", {"page": "p"})[0] == 422
    assert drn("GET", "/v1/sessions/s/recommendations?k=0")[0] == 422
    assert drn("GET", "/v1/sessions/s/recommendations?k=many")[0] == 422
    assert drn("GET", "/v1/sessions/s/visits")[0] == 405
    status, answer, headers = drn("GET", "/<script>alert(1)</script>")
    assert (status, headers["Content-Type"]) == (404, "application/json")
    assert "script" not in json.dumps(answer)


def test_numbers_are_ids_too(drn):
    session = new()
    drn.visit(session, 17, user=4)
    _, view, _ = drn("GET", f"/v1/sessions/{session}")
    assert (view["visits"][0]["page"], view["user"]) == ("17", "4")


def test_metrics_count_and_logs_name_nobody(drn):
    session, user = new(), new()
    drn.visit(session, "unheard-of-page", user=user)
    drn.visit(session, "p1", user=user)
    _, text, headers = drn("GET", "/metrics")
    figures = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    assert headers["Content-Type"].startswith("text/plain")
    assert float(figures['drn_requests_total{method="POST",route="/v1/sessions/{session}/visits",status="200"}']) >= 2
    assert float(figures['drn_unknown_ids_total{kind="view"}']) >= 1
    assert float(figures['drn_model_version{arm="served",model="shop"}']) == 1
    for stage in ("store", "inference", "total"):
        assert float(figures[f'drn_stage_seconds_count{{stage="{stage}"}}']) >= 2
    lines = [json.loads(line) for line in drn.lines]
    assert {"started", "model", "request"} <= {line["event"] for line in lines}
    for secret in (session, user, "unheard-of-page"):
        assert not any(secret in line for line in drn.lines)
    assert drn.process.poll() is None


def test_a_token_keeps_everybody_else_out(repository, tmp_path):
    drn = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite", DRN_TOKEN="open sesame")
    assert drn.visit("s", "p1")[0] == drn("GET", "/metrics")[0] == drn("GET", "/nothing")[0] == 401
    assert drn.visit("s", "p1")[2]["WWW-Authenticate"] == "Bearer"
    assert drn("GET", "/v1/models", Authorization="Bearer open sesam")[0] == 401
    assert drn("GET", "/v1/models", Authorization="Bearer open sesame")[0] == 200
    assert drn("GET", "/v2/health/ready")[0] == drn("GET", "/")[0] == 200
    assert "token" in drn("GET", "/openapi.json")[1]["components"]["securitySchemes"]
    assert drn.stop() == 0


@pytest.mark.parametrize("kind", ["sqlite", "mongodb"])
def test_no_acknowledged_visit_is_lost_when_all_are_killed(repository, tmp_path, kind):
    mongo = Mongo(tmp_path / "mongo") if kind == "mongodb" else None
    url = mongo.url("kill") if mongo else f"sqlite:///{tmp_path}/a.sqlite"
    drn = Drn(repository, url)
    acknowledged: list[tuple[str, str]] = []

    def click(client: int) -> None:
        link = http.client.HTTPConnection("127.0.0.1", drn.port, timeout=30)
        for number in range(1000):
            session, event = f"s{client}-{number // 7}", f"e{number}"
            body = json.dumps({"page": "p1", "event": event})
            try:
                link.request("POST", f"/v1/sessions/{session}/visits", body, {"Content-Type": "application/json"})
                if link.getresponse().read().startswith(b'{"session"'):
                    acknowledged.append((session, event))
            except (OSError, http.client.HTTPException):
                return
            if len(acknowledged) == 60:  # in the middle of the others' work
                (mongo or drn).process.send_signal(signal.SIGKILL)
                drn.process.send_signal(signal.SIGKILL)

    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        list(threads.map(click, range(6)))
    drn.process.wait(30)
    if mongo:
        mongo.process.wait(30)
        mongo = Mongo(tmp_path / "mongo", mongo.port)
    assert len(acknowledged) >= 60
    again = Drn(repository, url)
    for session in {session for session, _ in acknowledged}:
        events = [event for name, event in acknowledged if name == session]
        # each sent again is known already; one that was on its way may be there as well
        before = len(again("GET", f"/v1/sessions/{session}")[1]["visits"])
        for event in events:
            again.visit(session, "p1", event=event)
        assert len(again("GET", f"/v1/sessions/{session}")[1]["visits"]) == before >= len(events)
    assert again.stop() == 0
    if mongo:
        mongo.stop(signal.SIGKILL)


def test_readiness_tells_when_the_store_is_down_and_when_it_is_back(repository, tmp_path):
    mongo = Mongo(tmp_path / "mongo")
    drn = Drn(repository, mongo.url("down"))
    drn.visit("s", "p1", event="1")
    assert drn("GET", "/v2/health/ready")[0] == 200
    mongo.stop(signal.SIGKILL)
    for method, path, body in (
        ("GET", "/v2/health/ready", None),
        ("POST", "/v1/sessions/s/visits", {"page": "p2", "event": "2"}),
        ("GET", "/v1/sessions/s/recommendations", None),
    ):
        status, answer, headers = drn(method, path, body)
        assert (status, headers["Retry-After"]) == (503, "1")
        assert set(answer) == {"error"}
    assert drn("GET", "/v2/health/live")[0] == 200
    mongo = Mongo(tmp_path / "mongo", mongo.port)
    until = time.monotonic() + 30
    while drn("GET", "/v2/health/ready")[0] != 200:
        assert time.monotonic() < until
    drn.visit("s", "p2", event="2")
    assert [one["page"] for one in drn("GET", "/v1/sessions/s")[1]["visits"]] == ["p1", "p2"]
    assert drn.stop() == 0
    mongo.stop(signal.SIGKILL)


def test_requests_under_way_are_answered_when_the_service_is_stopped(repository, tmp_path):
    drn = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite")
    links = [http.client.HTTPConnection("127.0.0.1", drn.port, timeout=30) for _ in range(20)]
    head = {"Content-Type": "application/json", "Content-Length": "14"}
    for number, link in enumerate(links):  # accepted and begun: the head is read, the body awaited
        link.putrequest("POST", f"/v1/sessions/d{number}/visits")
        for name, value in head.items():
            link.putheader(name, value)
        link.endheaders(b'{"page"')
    drn.visit("other", "p1")  # so that the heads before it have been read
    drn.process.send_signal(signal.SIGTERM)
    for link in links:
        link.send(b': "p1"}')
    assert [link.getresponse().status for link in links] == [200] * 20
    assert drn.process.wait(30) == 0
    assert '"stopped"' in drn.lines[-1]


def test_what_cannot_be_served_is_told(repository, tmp_path, drn):
    def told(*options: str) -> str:
        command = [sys.executable, "-m", "generator", "serve", *options]
        found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert found.returncode == 2
        assert "Traceback" not in found.stderr
        return found.stderr

    store = f"sqlite:///{tmp_path}/a.sqlite"
    assert "no such file or folder" in told(str(tmp_path / "none"), "--store", store)
    assert "version 9" in told(str(repository), "--store", store, "--pin", "9")
    assert "no model other" in told(str(repository), "--store", store, "--model", "other")
    assert "no store" in told(str(repository), "--store", "redis://x")
    assert "port" in told(str(repository), "--store", store, "--port", str(drn.port))
    assert "MongoDB" in told(str(repository), "--store", f"mongodb://127.0.0.1:{free_port()}/x")
    write_version(tmp_path / "two" / "a", 1, seed=1)
    write_version(tmp_path / "two" / "b", 1, seed=1)
    assert "a, b" in told(str(tmp_path / "two"), "--store", store)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nowhere", 404, None),
        ("GET", "/v1/models/", 404, None),
        ("GET", "/v1/users/", 404, None),
        ("GET", "/v1/users/a/b", 404, None),
        ("GET", "/v1/users/a%0A", 422, None),
        ("PUT", "/v1/users/a", 405, "GET, DELETE"),
        ("HEAD", "/v1/models", 405, "GET"),
    ],
)
def test_what_is_not_offered_is_refused(drn, method, path, status, allow):
    link = http.client.HTTPConnection("127.0.0.1", drn.port, timeout=30)
    link.request(method, path)
    answer = link.getresponse()
    assert (answer.status, answer.headers["Allow"]) == (status, allow)
    assert method == "HEAD" or set(json.loads(answer.read())) == {"error"}
