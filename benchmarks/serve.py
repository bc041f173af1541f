"""Latency of `drn serve` under an open-loop load, beside the same model in a plain FastAPI handler.

    python benchmarks/serve.py                    # the table
    python benchmarks/serve.py --items 1000000 --only index    # its memory, and how much of the exact lists it finds
    python benchmarks/serve.py --soak 600         # ten minutes at half load: memory, failures, two reloads
    python benchmarks/serve.py --mongodb          # the first row on MongoDB's protocol as well

Load generator and server share the cores. Arrivals are a Poisson process that waits for nobody; latency counts
from the moment a visit was due. Session lengths and page popularity follow power laws; SQLite flushes at every commit.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPEC = """\
name: bench
net: rnn
pages: {items}
items: {items}
rnn: {{window: 4, widths: [{width}], history: 16}}
init: {{table: {{type: gaussian, std: 1}}}}
"""
# Width, visits a second, and the milliseconds below which p90 and p99 should be, by items; then those with an index.
LOADS = {10_000: (64, 1000, (5, 15)), 100_000: (64, 500, (5, 20)), 1_000_000: (32, 150, (50, 100))}
INDEXED = {1_000_000: (500, (25, 100))}
CONNECTIONS = 64
LIVE = 2000  # sessions at a time
LISTS, TOP = 200, 20  # exact lists that an index is compared with, and their length


@dataclass
class Figures:
    """What a run came to: milliseconds, requests a second, failures."""

    p50: float
    p90: float
    p99: float
    rate: float
    failed: int


def write_model(folder: Path, items: int, width: int, version: int) -> None:
    """Write a version of the model with drawn weights: what the weights are does not change the time."""
    from generator.codegen.artefacts import generate
    from generator.spec.load import parse_spec

    spec = parse_spec(SPEC.format(items=items, width=width), "bench.yaml")
    beside = folder / "bench" / f".{version}"
    beside.mkdir(parents=True)
    (beside / "model.onnx").write_bytes(generate(spec, ["binary"], init=version)["model.onnx"])
    for name in ("pages.txt", "items.txt"):
        (beside / name).write_text("".join(f"p{number}\n" for number in range(1, items + 1)))
    beside.rename(folder / "bench" / str(version))


class Visits:
    """An endless draw of visits as HTTP requests: sessions of power-law length, pages of power-law popularity."""

    def __init__(self, items: int, seed: int) -> None:
        self._random, self._items, self._count = np.random.default_rng(seed), items, 0
        self._live = [self._fresh() for _ in range(LIVE)]
        self._drawn: list[tuple[int, int]] = []

    def _fresh(self) -> list:
        self._count += 1
        return [f"b{os.getpid()}-{self._count}", min(1 + int(self._random.pareto(1.2)), 200)]

    def __next__(self) -> bytes:
        if not self._drawn:
            pages = self._random.zipf(1.2, 4096) % self._items + 1
            self._drawn = list(zip(self._random.integers(0, LIVE, 4096).tolist(), pages.tolist(), strict=True))
        place, page = self._drawn.pop()
        session = self._live[place]
        session[1] -= 1
        if not session[1]:
            self._live[place] = self._fresh()
        body = b'{"page": "p%d"}' % page
        return (
            b"POST /v1/sessions/%s/visits HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (session[0].encode(), len(body), body)
        )


class Link(asyncio.Protocol):
    """A kept connection with one request on its way at most."""

    def __init__(self, load: "Load") -> None:
        self._load, self._buffer, self.due = load, b"", 0.0

    def connection_made(self, transport) -> None:
        self._transport = transport

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        begin = self._buffer.lower().find(b"content-length: ") + 16
        length = int(self._buffer[begin : self._buffer.find(b"\r", begin)])
        if len(self._buffer) < head + 4 + length:
            return
        status, self._buffer = self._buffer[9:12], b""
        self._load.done(self, status == b"200")

    def connection_lost(self, _error) -> None:
        self._load.failed += 1


class Load:
    """A run against one port. ``rate`` visits a second; 0: as many as ``CONNECTIONS`` clients in turn can get."""

    def __init__(self, port: int, items: int, rate: float, seconds: float, seed: int) -> None:
        self._port, self._rate, self._seconds = port, rate, seconds
        self._visits, self._random = Visits(items, seed), np.random.default_rng(seed)
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._latencies: list[float] = []
        self.failed = 0

    def done(self, link: Link, good: bool) -> None:
        now = time.perf_counter()
        self._latencies.append(now - link.due)
        self.failed += not good
        if self._rate == 0 and now < self._end:
            link.send(next(self._visits), now)
        elif self._waiting:
            link.send(*self._waiting.popleft())
        else:
            self._idle.append(link)

    async def run(self) -> Figures:
        loop = asyncio.get_running_loop()
        links = [
            (await loop.create_connection(lambda: Link(self), "127.0.0.1", self._port))[1] for _ in range(CONNECTIONS)
        ]
        self._idle = deque(links)  # taken in turn, so that none is silent long enough for the server to close it
        began = time.perf_counter()
        self._end = began + self._seconds
        if self._rate:
            await self._arrive(began)
        else:
            for link in [self._idle.popleft() for _ in links]:
                link.send(next(self._visits), time.perf_counter())
        until = self._end + 20
        while len(self._idle) < len(links) and time.perf_counter() < until:
            await asyncio.sleep(0.01)
        spent = max(time.perf_counter() - began, 1e-9)
        self.failed += len(links) - len(self._idle) + len(self._waiting)
        found = np.percentile(np.array(self._latencies or [np.inf]) * 1e3, [50, 90, 99])
        failed = self.failed
        for link in links:
            link._transport.close()
        return Figures(*found, len(self._latencies) / min(spent, self._seconds + 20), failed)

    async def _arrive(self, due: float) -> None:
        gaps = iter(())
        while due < self._end:
            now = time.perf_counter()
            if due > now:
                await asyncio.sleep(due - now)
                continue
            request = next(self._visits)
            if self._idle:
                self._idle.popleft().send(request, due)
            else:
                self._waiting.append((request, due))
            gap = next(gaps, None)
            if gap is None:
                gaps = iter(self._random.exponential(1 / self._rate, 4096).tolist())
                gap = next(gaps)
            due += gap


def measure(port: int, items: int, rate: float, seconds: float, seed: int = 1) -> Figures:
    """Run the load in this process; select() waits to the microsecond, and so needs no busy core to be on time."""
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(Load(port, items, rate, seconds, seed).run())


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


STARTS = 1200  # seconds: an index of a million items takes minutes


class Server:
    """A server of our own in a child process."""

    def __init__(self, command: list[str], port: int, folder: Path | None = None) -> None:
        self.port = port
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  # for as long as the process writes to it
        self.process = subprocess.Popen(command, stderr=self.log, stdout=subprocess.DEVNULL, cwd=folder)
        until = time.monotonic() + STARTS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(command)}: does not come up")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def memory(self) -> float:
        """Return the resident MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu(self) -> float:
        """Return the CPU seconds of the server and its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ticks = 0
        for pid in [self.process.pid, *children]:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def logged(self, message: str) -> dict:
        """Return the first line of its log with this message."""
        self.log.seek(0)
        lines = [json.loads(line) for line in self.log if line.startswith(b"{")]
        return next(line for line in lines if line["event"] == message)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()


def drn(models: Path, store: str, *options: str) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "generator", "serve", str(models), "--store", store, "--port", str(port)]
    return answering(Server([*command, "--no-log-requests", *options], port))


def answering(server: Server) -> Server:
    """Return a drn serve once it answers: with several workers it listens before."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/v2/health/live", timeout=300):
        return server


def plain(models: Path, store: str) -> Server:
    port = free_port()
    return Server([sys.executable, __file__, "--plain", str(models), store, str(port)], port)


def serve_plain(models: Path, url: str, port: int) -> None:
    """Serve the same model and store from a plain FastAPI handler: a transaction and an inference a request."""
    import uuid

    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    from generator.model.model import Model
    from generator.model.text import answer_record
    from generator.serving.store.open import open_store
    from generator.serving.store.sessions import Event

    class Visit(BaseModel):
        page: str

    app, model, store = FastAPI(), Model(models), open_store(url)

    @app.post("/v1/sessions/{session}/visits")
    def visit(session: str, body: Visit) -> dict:
        now = time.time()
        event = Event(session, uuid.uuid4().hex, "view", body.page, now, int(now * 1e6))
        (state,) = store.record([event])
        (answer,) = model.recommend([state.query()])
        return answer_record(answer)

    uvicorn.run(app, port=port, log_config=None, access_log=False)


def row(name: str, items: int, rate: float, found: Figures, bounds: tuple[float, float] | None = None) -> None:
    verdict = ""
    if bounds:
        good = found.p90 < bounds[0] and found.p99 < bounds[1] and not found.failed
        verdict = f"  {'reached' if good else 'missed'} (< {bounds[0]} / < {bounds[1]} ms)"
    asked = f"{rate:,.0f}/s" if rate else "saturated"
    print(
        f"{name:<22} {items:>9,} {asked:>10} {found.rate:>9,.0f} {found.p50:>8.2f} {found.p90:>8.2f} {found.p99:>8.2f} "
        f"{found.failed:>6}{verdict}",
        flush=True,
    )


def compare_lists(server: Server, models: Path, items: int) -> None:
    """Print what the index takes, and how many of the exact lists' items it answers."""
    from generator.model.model import Model
    from generator.model.query import Query

    draw, model, held = np.random.default_rng(7), Model(models), 0
    for number in range(LISTS):
        pages = [f"p{page}" for page in draw.zipf(1.2, 1 + number % 6) % items + 1]
        for page in pages:
            url, body = f"http://127.0.0.1:{server.port}/v1/sessions/list{number}/visits", {"page": page, "dwell": 1}
            request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                found = {one["item"] for one in json.load(answer)["items"]}
        (exact,) = model.recommend([Query([(page, 1.0) for page in pages])], TOP)
        held += len(found & {item for item, _ in exact.items})
    built = server.logged("index")
    print(
        f"    recall@{TOP} {held / LISTS / TOP:.4f}; built in {built['cpu_seconds']} CPU s, {built['mib']} MiB; "
        f"the process {server.memory():.0f} MiB",
        flush=True,
    )


def table(folder: Path, sizes: list[int], seconds: float, mongodb: bool, only: str) -> None:
    print(f"{'server':<22} {'items':>9} {'asked':>10} {'got/s':>9} {'p50 ms':>8} {'p90 ms':>8} {'p99 ms':>8} failed")
    for items in sizes:
        width, rate, bounds = LOADS[items]
        models = folder / f"models{items}"
        write_model(models, items, width, 1)
        servers: dict[str, tuple[str, ...]] = {"drn serve": (), "drn serve --int8": ("--int8",)}
        if items == min(LOADS):
            servers["drn serve --workers 2"] = ("--workers", "2")
        if items in INDEXED and importlib.util.find_spec("faiss"):
            servers["drn serve --index"] = ("--index",)
        for name, more in {**servers, "plain FastAPI": None}.items():
            if only not in name:
                continue
            store = f"sqlite:///{folder}/{name.replace(' ', '')}{items}.sqlite"
            server = plain(models, store) if more is None else drn(models, store, *more)
            asked, wanted = INDEXED[items] if more == ("--index",) else (rate, bounds)
            measure(server.port, items, asked / 4, 3)  # warm
            began = server.cpu()
            row(name, items, asked, measure(server.port, items, asked, seconds, 2), wanted)
            print(f"    {(server.cpu() - began) / asked / seconds * 1e6:,.0f} CPU us a visit", flush=True)
            if more == ("--index",):
                compare_lists(server, models, items)
            if items == min(LOADS):
                row(name, items, 0, measure(server.port, items, 0, seconds / 2, 3))
            server.stop()
        if mongodb and items == min(LOADS):
            on_mongodb(folder, models, items, rate, seconds)
        shutil.rmtree(models)


def on_mongodb(folder: Path, models: Path, items: int, rate: float, seconds: float) -> None:
    """Measure the store over MongoDB's protocol; the server there is secantusdb, not mongod."""
    port = free_port()
    program = str(Path(sys.executable).parent / "secantusd-py")
    options = ["--port", str(port), "--storage-path", str(folder / "mongo"), "--sync-on-commit", "--standalone"]
    mongo = Server([program, *options], port)
    server = drn(models, f"mongodb://127.0.0.1:{port}/bench")
    measure(server.port, items, 20, 3)
    for part in (rate / 20, rate / 10):
        row("drn, MongoDB", items, part, measure(server.port, items, part, seconds, 2))
    server.stop()
    mongo.stop()


def soak(folder: Path, seconds: float) -> None:
    """Serve at half load with two reloads; print memory and failures as they go."""
    items = min(LOADS)
    width, rate, _ = LOADS[items]
    models = folder / "models"
    write_model(models, items, width, 1)
    server = drn(models, f"sqlite:///{folder}/soak.sqlite")
    part = seconds / 10
    for number in range(10):
        if number in (3, 6):
            write_model(models, items, width, number)
        found = measure(server.port, items, rate / 2, part, number)
        row(f"{server.memory():.0f} MiB", items, rate / 2, found)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/v1/models") as answer:
        print("version at the end:", json.load(answer)["arms"][0]["version"])
    server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="*", choices=LOADS, default=list(LOADS))
    parser.add_argument("--only", default="", help="servers whose name holds this")
    parser.add_argument("--seconds", type=float, default=20, help="of a measurement, at most 120")
    parser.add_argument("--mongodb", action="store_true")
    parser.add_argument("--soak", type=float, default=0, help="seconds, at most 600; instead of the table")
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        models, url, port = options.plain
        serve_plain(Path(models), url, int(port))
        return
    with tempfile.TemporaryDirectory(prefix="drn-bench-") as name:
        if options.soak:
            soak(Path(name), min(options.soak, 600))
        else:
            table(Path(name), options.items, min(options.seconds, 120), options.mongodb, options.only)


if __name__ == "__main__":
    main()
