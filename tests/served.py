"""A small model repository, a MongoDB server and `drn serve`, each as a process of its own; stores of both kinds."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest

from generator.codegen.artefacts import generate
from generator.serving.store.open import open_store
from generator.spec.load import parse_spec

NUMBERS = count(1)
PAGES, ITEMS = [f"p{i}" for i in range(1, 31)], [f"i{i}" for i in range(1, 21)]
SPEC = """\
name: shop
net: combined
pages: 40
items: {items}
top_k: 5
rnn: {{window: 3, widths: [8], history: 4}}
fnn: {{bought: 3, widths: [8]}}
init: {{table: {{type: gaussian, std: 1}}, weight: {{type: gaussian, std: 1}}}}
"""


def write_version(model: Path, version: int, seed: int, items: int = 20) -> Path:
    """Write MODEL/VERSION with weights drawn from ``seed``, whole or not at all, as `drn train` does."""
    files = generate(parse_spec(SPEC.format(items=items), "shop.yaml"), ["binary", "triton"], init=seed)
    beside = model / f".{version}"
    beside.mkdir(parents=True)
    (beside / "model.onnx").write_bytes(files["model.onnx"])
    (beside / "pages.txt").write_text("".join(f"{label}\n" for label in PAGES))
    (beside / "items.txt").write_text("".join(f"{label}\n" for label in ITEMS))
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(beside.iterdir())}
    (beside / "manifest.json").write_text(json.dumps({"name": model.name, "sha256": hashes}))
    (model / "config.pbtxt").write_bytes(files["config.pbtxt"])
    beside.rename(model / str(version))
    return model / str(version)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until


class Process:
    """A child whose stderr is read line by line until it says that it is up."""

    started: ClassVar[list["Process"]] = []

    def __init__(self, command, up: str, **environment):
        self.lines: list[str] = []
        self._up = threading.Event()
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}, stdin=subprocess.DEVNULL
        )
        self.started.append(self)
        threading.Thread(target=self._read, args=(up,), daemon=True).start()
        if not self._up.wait(60) or self.process.poll() is not None:
            raise RuntimeError("".join(self.lines))

    def _read(self, up: str) -> None:
        for line in self.process.stderr:
            self.lines.append(line)
            if up in line:
                self._up.set()
        self._up.set()

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)


class Mongo(Process):
    """A server that speaks MongoDB's protocol and flushes at every commit."""

    def __init__(self, folder: Path, port: int | None = None):
        self.port = port or free_port()
        program = Path(sys.executable).parent / "secantusd-py"
        options = ["--port", str(self.port), "--storage-path", str(folder), "--sync-on-commit", "--standalone"]
        super().__init__([str(program), *options], "listening")

    def url(self, database: str) -> str:
        return f"mongodb://127.0.0.1:{self.port}/{database}"


class Drn(Process):
    """`drn serve` on a free port, with a client."""

    def __init__(self, models: Path, store: str, *options: str, port: int | None = None, **environment):
        self.port = port or free_port()
        command = [sys.executable, "-m", "generator", "serve", str(models), "--store", store, "--port", str(self.port)]
        super().__init__([*command, "--reload", "0.1", *options], '"started"', **environment)

    def __call__(self, method: str, path: str, body=None, **headers):
        """Return status, parsed body and headers of a request."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content = answer.read()
            kind = answer.headers.get("Content-Type", "")
            return answer.status, json.loads(content) if kind == "application/json" else content, answer.headers

    def visit(self, session: str, page: str, **more):
        return self("POST", f"/v1/sessions/{session}/visits?k=5", {"page": page, **more})


@pytest.fixture(scope="session", autouse=True)
def nobody_stays():
    """Whatever a failed test left running is ended."""
    yield
    for one in Process.started:
        if one.process.poll() is None:
            one.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def mongo(tmp_path_factory):
    """A running server."""
    server = Mongo(tmp_path_factory.mktemp("mongo"))
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture(params=["sqlite", "mongodb"])
def store_url(request, tmp_path) -> str:
    """The URL of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/drn.sqlite"
    return request.getfixturevalue("mongo").url(f"test{next(NUMBERS)}")


@pytest.fixture
def store(store_url):
    """An empty store."""
    opened = open_store(store_url, idle=100)
    yield opened
    opened.close()
