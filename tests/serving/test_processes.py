"""Several processes on one port: sessions, figures and versions as of one server, whatever becomes of a process."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from pathlib import Path

import pytest
from served import PAGES, Drn, free_port, write_version

WORKERS, SESSIONS, VISITS = 3, 4, 30


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until


def workers(drn: Drn) -> set[int]:
    """The processes that answer."""
    parent = drn.process.pid
    children = map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    return {child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def metric(drn: Drn, name: str) -> float:
    """The sum of a metric over its labels, in one scrape."""
    text = drn("GET", "/metrics")[1].decode()
    return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M)))


def shop(drn: Drn, session: str, kill: int | None = None) -> list[dict]:
    """Visit one page after another, each visit on a connection of its own; at one of them a worker is killed."""
    answers = []
    for event in range(VISITS):
        if event == kill:
            os.kill(min(workers(drn)), signal.SIGKILL)
        answers.append(sent(drn, session, event))
    return answers


def sent(drn: Drn, session: str, event: int) -> dict:
    """Send a visit, and again under its name if whoever had it was killed."""
    for _ in range(2 + WORKERS):
        try:
            status, answer, _ = drn.visit(session, PAGES[event % len(PAGES)], event=str(event), time=1e9 + event)
        except (urllib.error.URLError, ConnectionError):
            continue
        if status == 200:
            return answer
    raise AssertionError(f"nobody took visit {event} of {session}")


def everybody_shops(drn: Drn, kill: int | None = None) -> dict[str, list[dict]]:
    names = [f"s{number}" for number in range(SESSIONS)]
    with concurrent.futures.ThreadPoolExecutor(SESSIONS) as threads:
        found = threads.map(lambda name: shop(drn, name, kill if name == "s0" else None), names)
        return dict(zip(names, found, strict=True))


def test_sessions_and_figures_are_those_of_one_server(repository, store_url):
    drn = Drn(repository, store_url, "--workers", str(WORKERS))
    assert len(workers(drn)) == WORKERS
    found = everybody_shops(drn)
    for session, answers in found.items():
        assert [one["page"] for one in drn("GET", f"/v1/sessions/{session}")[1]["visits"]] == PAGES
        assert answers[-1]["items"] == drn("GET", f"/v1/sessions/{session}/recommendations?k=5")[1]["items"]
    bought = found["s0"][-1]["items"][0]["item"]
    assert drn("POST", "/v1/sessions/s0/purchases", {"item": bought})[0] == 200
    for _ in range(2 * WORKERS):  # whoever is asked
        assert metric(drn, "drn_events_total") == SESSIONS * VISITS + 1
        assert metric(drn, "drn_stage_seconds_count") > SESSIONS * VISITS
        outcomes = drn("GET", "/v1/models")[1]["arms"][0]["outcomes"]
        # every visit but the first of a session follows a recommendation, whichever process gave it
        assert outcomes["view"]["of"] == SESSIONS * (VISITS - 1)
        assert outcomes["buy"] == {"held": 1, "of": 1}
    assert metric(drn, "drn_model_version") == 1
    assert drn.stop() == 0


def test_a_worker_that_is_killed_loses_nothing_and_is_started_again(repository, store_url):
    drn = Drn(repository, store_url, "--workers", str(WORKERS))
    before = workers(drn)
    everybody_shops(drn, kill=VISITS // 3)
    wait_for(lambda: len(workers(drn)) == WORKERS and workers(drn) != before)
    assert any('"worker died"' in line for line in drn.lines)
    for number in range(SESSIONS):
        assert [one["page"] for one in drn("GET", f"/v1/sessions/s{number}")[1]["visits"]] == PAGES
    assert metric(drn, "drn_events_total") >= SESSIONS * VISITS - WORKERS  # those of the dead count on
    assert drn.stop() == 0


def test_versions_are_swapped_in_all_workers(tmp_path):
    shop = tmp_path / "models" / "shop"
    write_version(shop, 1, seed=1)
    drn = Drn(tmp_path / "models", f"sqlite:///{tmp_path}/a.sqlite", "--workers", str(WORKERS))
    write_version(shop, 2, seed=2)
    loaded = '"version": 2, "loaded": true'
    wait_for(lambda: sum(loaded in line for line in drn.lines) == WORKERS)
    assert {drn.visit(f"s{number}", "p1")[1]["model"]["version"] for number in range(8 * WORKERS)} == {2}
    assert drn.stop() == 0


def test_what_is_under_way_is_answered_before_the_workers_end(repository, tmp_path):
    drn = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite", "--workers", "2")
    mine = workers(drn)
    body = json.dumps({"page": "p1"}).encode()
    fields = [
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Expect: 100-continue",
    ]
    head = "\r\n".join(["POST /v1/sessions/s/visits HTTP/1.1", *fields, "", ""])
    with socket.create_connection(("127.0.0.1", drn.port)) as client:
        client.sendall(head.encode())
        assert b"100 Continue" in client.recv(100)  # the request is under way
        drn.process.send_signal(signal.SIGTERM)
        client.sendall(body)
        assert client.recv(12) == b"HTTP/1.1 200"
    assert drn.process.wait(30) == 0
    assert not [one for one in mine if Path(f"/proc/{one}").exists()]


def test_workers_end_with_their_parent(repository, tmp_path):
    drn = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite", "--workers", "2")
    mine = workers(drn)
    assert drn.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not [one for one in mine if Path(f"/proc/{one}").exists()])


def test_what_a_killed_parent_left_goes_at_the_next_start(repository, tmp_path, monkeypatch):
    """And nothing else: not the figures of a server at work, nor what a link leads to."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / ".lock").touch()
    (tmp_path / "drn-figures-link").symlink_to("else")
    killed, living = (Drn(repository, f"sqlite:///{tmp_path}/a.sqlite", "--workers", "2") for _ in range(2))
    before = set(tmp_path.glob("drn-figures-????????"))
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    next_one = Drn(repository, f"sqlite:///{tmp_path}/a.sqlite", "--workers", "2")
    assert len(before) == 2
    assert len(before.intersection(tmp_path.iterdir())) == 1
    assert (tmp_path / "else" / ".lock").exists()
    assert metric(living, "drn_model_version") == metric(next_one, "drn_model_version") == 1
    assert (living.stop(), next_one.stop()) == (0, 0)
    assert not list(tmp_path.glob("drn-figures-????????"))


@pytest.mark.parametrize("wrong", ["port", "models"])
def test_what_keeps_workers_from_starting_is_said_once(repository, tmp_path, wrong):
    port = free_port()
    command = [sys.executable, "-m", "generator", "serve", "--workers", "2", "--port", str(port)]
    command += ["--store", f"sqlite:///{tmp_path}/a.sqlite", str(tmp_path if wrong == "models" else repository)]
    with socket.socket() as holder:
        if wrong == "port":
            holder.bind(("127.0.0.1", port))
            holder.listen()
        found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2
    assert len([line for line in found.stderr.splitlines() if not line.startswith("{")]) == 1
    assert ("cannot listen" if wrong == "port" else str(tmp_path)) in found.stderr
