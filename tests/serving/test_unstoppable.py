"""Nothing may stop it: heavy requests, damaged rows, vanished folders, full disks, clocks, clients that leave."""

import concurrent.futures
import http.client
import json
import resource
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pymongo
import pytest
from served import Drn, Process, free_port, write_version

from generator.serving.store.open import open_store
from generator.serving.store.sessions import Event
from generator.serving.store.store import DamagedError

COLUMNS = {"page": 3, "history_page": 4, "history_weight": 4, "bought": 3, "bought_weight": 3}


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until


def view(session, event, page, time=1.0, received=1, **more):
    return Event(session, event, "view", page, time, received, **more)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A service of 15,000 items."""
    folder = tmp_path_factory.mktemp("large")
    write_version(folder / "models" / "shop", 1, seed=1, items=15_000)
    server = Drn(folder / "models", f"sqlite:///{folder}/a.sqlite")
    yield server
    server.stop()


def tensors(rows: int) -> list[dict]:
    """Zeros for every input, as JSON."""
    return [
        {
            "name": name,
            "shape": [rows, size],
            "datatype": "FP32" if "weight" in name else "INT64",
            "data": [0] * rows * size,
        }
        for name, size in COLUMNS.items()
    ]


def test_an_answer_has_bounds(large):
    for outputs in ({}, {"outputs": [{"name": "probability"}]}):
        status, found, _ = large("POST", "/v2/models/shop/infer", {"inputs": tensors(1024), **outputs})
        assert status == 400
        assert "in JSON" in found["error"]
    outputs = [{"name": "top_item"}, {"name": "top_probability"}]
    status, found, _ = large("POST", "/v2/models/shop/infer", {"inputs": tensors(1024), "outputs": outputs})
    assert status == 200
    assert found["outputs"][0]["shape"] == [1024, 5]
    assert large("POST", "/v2/models/shop/infer", {"inputs": tensors(1), "pad": "x" * 5 * 2**20})[0] == 400
    assert large("POST", "/v2/models/shop/infer", b"x" * (16 * 2**20 + 1))[0] == 413


def test_a_heavy_request_holds_up_nobody(large):
    body = {"inputs": tensors(1024), "parameters": {"binary_data_output": True}}
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        heavy = threads.submit(large, "POST", "/v2/models/shop/infer", body)
        answered = 0
        while not heavy.done():
            assert large("GET", "/v2/health/live")[0] == 200
            answered += 1
    status, content, headers = heavy.result()
    assert status == 200
    assert len(content) - int(headers["Inference-Header-Content-Length"]) == 1024 * (15_001 * 4 + 5 * 12)
    assert answered > 3


def test_a_damaged_row_is_its_own_sessions_trouble(repository, store_url):
    store = open_store(store_url)
    store.record([view("damaged", "1", "p1")])
    if store_url.startswith("sqlite"):
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as db:
            db.execute("UPDATE sessions SET visits = '[[' WHERE id = 'damaged'")
    else:
        damage = {"$set": {"visits": [{"event": "1"}]}}
        pymongo.MongoClient(store_url).get_default_database().sessions.update_one({"_id": "damaged"}, damage)
    with pytest.raises(DamagedError):
        store.record([view("well", "0", "p1"), view("damaged", "2", "p2")])
    store.close()
    drn = Drn(repository, store_url)
    names = ["damaged" if number % 8 == 0 else f"well{number}" for number in range(64)]
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda name: (name, drn.visit(name, "p1")[0]), names))
    assert {status for name, status in found if name != "damaged"} == {200}
    assert {status for name, status in found if name == "damaged"} == {503}
    assert drn.stop() == 0


def test_a_folder_may_vanish_for_a_moment(tmp_path):
    shop = tmp_path / "models" / "shop"
    write_version(shop, 1, seed=1)
    drn = Drn(tmp_path / "models", f"sqlite:///{tmp_path}/a.sqlite")
    shop.rename(tmp_path / "away")
    wait_for(lambda: any('"chore failed"' in line for line in drn.lines))
    assert drn.visit("s", "p1")[0] == 200
    (tmp_path / "away").rename(shop)
    write_version(shop, 2, seed=2)
    wait_for(lambda: drn.visit("s", "p1")[1]["model"]["version"] == 2)
    wait_for(lambda: any('"chore works again"' in line for line in drn.lines))
    assert b'drn_chore_failures_total{chore="reload"}' in drn("GET", "/metrics")[1]
    lines = [json.loads(line) for line in drn.lines]
    assert [one["error"] for one in lines if one["event"] == "chore failed"] == ["FileNotFoundError"]
    assert drn.stop() == 0


def test_ready_says_no_on_a_full_disk(repository, tmp_path):
    drn = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite")
    assert drn("GET", "/v2/health/ready")[0] == drn.visit("s", "p1")[0] == 200
    written = sum(path.stat().st_size for path in tmp_path.glob("a.sqlite*"))
    process, none = drn.process.pid, resource.RLIM_INFINITY
    resource.prlimit(process, resource.RLIMIT_FSIZE, (4096, none))  # a file cannot grow any more
    assert (drn("GET", "/v2/health/ready")[0], drn.visit("s", "p2")[0]) == (503, 503)
    assert drn("GET", "/v2/health/live")[0] == 200
    resource.prlimit(process, resource.RLIMIT_FSIZE, (none, none))
    assert (drn("GET", "/v2/health/ready")[0], drn.visit("s", "p3")[0]) == (200, 200)
    assert [one["page"] for one in drn("GET", "/v1/sessions/s")[1]["visits"]] == ["p1", "p3"]
    assert written < 10**6
    assert drn.stop() == 0


def test_a_probe_leaves_nothing(store):
    store.record([view("s", "1", "p1")])
    for _ in range(3):
        store.ping()
    assert [one.session for one in store.events()] == ["s"]


LATE = """\
import time
real = time.time_ns
time.time_ns = lambda: real() - 7200 * 10**9
from generator.cli import main
main()
"""


def test_visits_are_in_order_of_arrival_whatever_the_clock_says(repository, store_url):
    ahead = Drn(repository, store_url)
    behind = Drn.__new__(Drn)  # a server like the other, two hours behind
    behind.port = free_port()
    command = [sys.executable, "-c", LATE, "serve", str(repository), "--store", store_url, "--port", str(behind.port)]
    Process.__init__(behind, command, '"started"')
    for number in range(1, 7):
        assert (ahead, behind)[number % 2].visit("s", f"p{number}")[0] == 200
    visits = ahead("GET", "/v1/sessions/s")[1]["visits"]
    assert [one["page"] for one in visits] == [f"p{number}" for number in range(1, 7)]
    assert ahead.stop() == behind.stop() == 0


def test_a_client_that_leaves_in_mid_body_is_a_line_of_the_log(repository, tmp_path):
    drn = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite")
    for path in ("/v1/sessions/s/visits", "/v2/models/shop/infer"):
        with socket.create_connection(("127.0.0.1", drn.port)) as link:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99"
            link.sendall(f"{head}\r\n\r\n{{".encode())
    wait_for(lambda: sum('"status": 499' in line for line in drn.lines) == 2)
    assert drn.stop() == 0
    assert {json.loads(line)["event"] for line in drn.lines} <= {"model", "started", "request", "stopped"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("", 421),
    ],
)
def test_on_loopback_another_machines_name_is_refused(drn, host, status):
    link = http.client.HTTPConnection("127.0.0.1", drn.port, timeout=30)
    link.request("GET", "/v1/models", headers={"Host": host})
    assert link.getresponse().status == status


def test_a_proxys_name_may_be_allowed(repository, tmp_path):
    drn = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite", "--allow-host", "Shop.example")
    assert drn("GET", "/v1/models", Host="shop.example")[0] == drn("GET", "/v1/models")[0] == 200
    assert drn("GET", "/v1/models", Host="other.example")[0] == 421
    assert drn.stop() == 0


def test_a_key_that_was_sent_is_not_repeated(drn):
    for body in ({"page": "p1", "anna@example.org": 1}, {"anna@example.org": {"x": 1}}):
        status, found, _ = drn("POST", "/v1/sessions/s/visits", body)
        assert status == 422
        assert "anna" not in found["error"]


def test_many_sessions_are_forgotten_some_at_a_time(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/a.sqlite", idle=100)
    store.record([view(f"s{number}", "1", "p1") for number in range(1234)])
    statements = []
    store._connection.set_trace_callback(statements.append)
    assert store.expire(now=1000) == 1234
    assert sum(one.startswith("DELETE FROM sessions") for one in statements) == 3
    assert sum(one.startswith("COMMIT") for one in statements) >= 3
    assert store.state("s1") is None
    store.close()


READ = """\
import os, sys
import generator.serving.store.sqlite
from generator.loop.export import events
if not os.getuid():  # root may write anywhere
    os.setgid(65534)
    os.setuid(65534)
print(len(events(sys.argv[1])))
"""


@pytest.mark.parametrize("at_work", [False, True])
def test_a_store_can_be_read_without_the_right_to_write(at_work):
    with tempfile.TemporaryDirectory() as name:
        url, folder = f"sqlite:///{name}/a.sqlite", Path(name)
        store = open_store(url)
        store.record([view("s", str(number), "p1") for number in range(7)])
        if not at_work:
            store.close()
        folder.chmod(0o555)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        found = subprocess.run([sys.executable, "-c", READ, url], capture_output=True, text=True, check=False)
        assert (found.stdout, found.stderr) == ("7\n", "")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        folder.chmod(0o755)
        store.close()


def test_mongodb_is_read_without_making_anything(mongo):
    url = mongo.url("untouched")
    store = open_store(url, read_only=True)
    assert list(store.events()) == []
    assert store.state("s") is None
    store.close()
    assert pymongo.MongoClient(url).get_default_database().list_collection_names() == []
