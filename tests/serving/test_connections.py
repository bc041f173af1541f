"""What a connection may do before a handler is asked; bounds of time are shortened, and waited for by reading."""

import socket
import threading
from contextlib import suppress
from functools import partial

import pytest
import uvicorn
from served import free_port

from generator.serving.http import connection
from generator.serving.http.connection import HEAD, PIPELINE, Connection, Connections

ROOM = 20
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
LARGE = 64 * 2**20


async def app(scope, receive, send):
    """Read the body to its end; answer 2 bytes, or many at /large."""
    while (await receive()).get("more_body"):
        pass
    body = b"x" * LARGE if scope["path"] == "/large" else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(connection, "SECONDS", 0.5)
    port = free_port()
    protocol = partial(Connection, Connections(ROOM))
    config = uvicorn.Config(app, port=port, http=protocol, ws="none", lifespan="off", log_config=None)
    found = uvicorn.Server(config)
    thread = threading.Thread(target=found.run)
    thread.start()
    while not found.started:
        thread.join(0.01)
    yield found
    found.should_exit = True
    thread.join()


def link(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.config.port), timeout=30)


def answer(one: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    found = b""
    try:
        while part := one.recv(2**16):
            found += part
    except ConnectionResetError:
        pass
    return found


def asked(server, request: bytes) -> bytes:
    with link(server) as one:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before its end
            one.sendall(request)
        return answer(one)


def status(found: bytes) -> int:
    return int(found[9:12])


def test_silent_connections_keep_nobody_out(server):
    silent = [link(server) for _ in range(3 * ROOM)]
    for _ in range(3):
        assert status(asked(server, GET + b"Connection: close\r\n\r\n")) == 200
    assert answer(silent[0]) == b""  # the first to come is the first to go
    assert len(server.server_state.connections) <= ROOM
    for one in silent:
        assert answer(one) == b""  # and in the end none stays
        one.close()


def test_a_slow_head_is_refused(server):
    assert status(asked(server, b"GET / HT")) == 408
    with link(server) as one:
        one.sendall(GET + b"\r\n")
        assert status(one.recv(2**16)) == 200
        one.sendall(b"GET / HT")  # on a kept connection as well
        assert status(answer(one)) == 408


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (GET + b"X: " + b"x" * (HEAD - 200) + b"\r\nConnection: close\r\n\r\n", 200),
        (GET + b"X: " + b"x" * HEAD + b"\r\n\r\n", 431),
        (GET + b"X: x\r\n" * (HEAD // 4) + b"\r\n", 431),
        (GET + b"X: x\r\n" * (HEAD // 4), 431),
        (b"GET /" + b"x" * HEAD + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (GET + b"X: " + b"x" * 40 * HEAD, 431),
        (b"GET /" + b"x" * 40 * HEAD, 431),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: x\r\n" * HEAD, 431),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 40 * HEAD, 431),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 40 * HEAD, 431),
        (GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (GET + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\nX: x\r\n\r\n", 200),
        (GET + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        (b"HELLO\r\n\r\n", 400),
        (GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", 200),
    ],
    ids=range(16),
)
def test_a_head_has_its_bounds(server, request_, wanted):
    found = asked(server, request_)
    assert status(found) == wanted
    assert found.count(b"HTTP/1.1 ") == 1
    assert wanted == 200 or b'{"error":' in found


def test_only_some_requests_may_wait_behind_one(server):
    found = asked(server, (GET + b"\r\n") * 1000)
    assert found.count(b"HTTP/1.1 200") == 1 + PIPELINE
    assert found.count(b"connection: close") == 1
    assert b"connection: close" in found.rpartition(b"HTTP/1.1 200")[2]


def test_what_follows_a_whole_request_does_not_take_its_answer(server):
    found = asked(server, GET + b"\r\n" + b"nonsense\r\n\r\n")
    assert (status(found), found.count(b"HTTP/1.1")) == (200, 1)


def test_an_answer_that_is_not_read_goes(server):
    with link(server) as one:
        one.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status(one.recv(100)) == 200
        while server.server_state.connections:
            threading.Event().wait(0.01)
        assert len(answer(one)) < LARGE


def test_room_follows_the_limit_of_the_process(monkeypatch):
    limits = []
    monkeypatch.setattr(connection.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(connection.resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert Connections.of_this_process().most == 4096 - connection.SPARE
    assert limits == [(4096, 4096)]
