"""`drn serve`: one process that answers, or several on one port and a parent that looks after them."""

import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from generator.errors import DrnError
from generator.jobs.locks import LOCK, locked
from generator.serving.http.logs import json_logger
from generator.serving.http.settings import BACKLOG, Settings

__all__ = ["serve"]

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # as prometheus_client names it
FIGURES = "drn-figures-"  # how such folders begin
PAUSE = 1.0  # seconds until a worker that did not start is started again
SPARE = 5.0  # seconds beyond the time to drain after which a worker is killed


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first.

    Raises
    ------
    ModelError
        No model holds.
    StoreError
        The store cannot be opened.
    DrnError
        The port is taken, or a worker cannot start.
    """
    if settings.workers == 1:
        from generator.serving.http.server import run

        run(settings)
        return
    sockets = _listen(settings)
    with _figures() as folder, _signals() as signals:
        os.environ[FOLDER] = folder  # the workers have it from their first import on, as prometheus_client wants it
        try:
            _Workers(settings, sockets, json_logger()).keep(signals)
        finally:
            del os.environ[FOLDER]
            for one in sockets:
                one.close()


def _listen(settings: Settings) -> list[socket.socket]:
    """Return sockets that listen on every address of the host; they are open for as long as the parent lives."""
    found: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        ):
            one = socket.socket(family, kind, protocol)
            found.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(BACKLOG)
    except OSError as error:
        for one in found:
            one.close()
        raise settings.cannot_listen() from error
    return found


@contextmanager
def _figures() -> Iterator[str]:
    """Yield a folder for the workers' figures, locked as long as the parent lives; those of parents killed go."""
    for left in Path(tempfile.gettempdir()).glob(f"{FIGURES}*"):
        # One that is locked is at work; so is one without a lock, a moment before it has one.
        with suppress(DrnError, OSError):
            if not left.is_symlink() and left.stat().st_uid == os.getuid() and (left / LOCK).is_file():
                with locked(left):
                    shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=FIGURES) as folder, locked(Path(folder)):
        yield folder


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Yield a socket that can be read once SIGINT or SIGTERM came."""
    read, write = socket.socketpair()
    write.setblocking(False)
    before = [(number, signal.signal(number, lambda *_: None)) for number in (signal.SIGINT, signal.SIGTERM)]
    woken = signal.set_wakeup_fd(write.fileno())
    try:
        yield read
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before:
            signal.signal(number, handler)
        read.close()
        write.close()


class _Worker:
    """A process that answers, and the pipe to it: it says there that it listens or why not, and ends when it closes."""

    def __init__(self, settings: Settings, sockets: list[socket.socket]) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share threads' locks and the models' state
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(settings, sockets, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.listens = False

    def hear(self) -> str:
        """Return why the worker cannot start; nothing where it listens, or has gone without a word."""
        with suppress(EOFError, OSError):
            why = self.pipe.recv_bytes().decode()
            self.listens = not why
            return why
        return ""


class _Workers:
    """As many workers as the settings say, each started again when it dies."""

    def __init__(self, settings: Settings, sockets: list[socket.socket], log: logging.Logger) -> None:
        self._settings, self._sockets, self._log = settings, sockets, log
        self._workers: list[_Worker] = []
        self._announced = False

    def keep(self, signals: socket.socket) -> None:
        """Start the workers and look after them until a signal comes; DrnError if they cannot be started at first."""
        try:
            for _ in range(self._settings.workers):
                self._workers.append(_Worker(self._settings, self._sockets))
            while signals not in (events := wait([signals, *self._watched()])):
                for one in list(self._workers):
                    if one.pipe in events:
                        self._heard(one)
                    if one.process.sentinel in events:
                        self._replace(one, signals)
        finally:
            self._stop()

    def _watched(self) -> list[Connection | int]:
        talking = [one.pipe for one in self._workers if not one.listens]
        return [*talking, *(one.process.sentinel for one in self._workers)]

    def _heard(self, worker: _Worker) -> None:
        why = worker.hear()
        if why and not self._announced:
            raise DrnError(why)
        if why:
            self._log.error("worker cannot start", extra={"fields": {"why": why}})
        if not self._announced and all(one.listens for one in self._workers):
            self._announced = True
            host, port = self._settings.host, self._settings.port
            self._log.info("started", extra={"fields": {"host": host, "port": port, "workers": len(self._workers)}})

    def _replace(self, worker: _Worker, signals: socket.socket) -> None:
        """Start another worker in place of one that died."""
        worker.process.join()
        status = worker.process.exitcode
        if not self._announced:
            raise DrnError(f"a worker ended with status {status} before it listened")
        self._log.error("worker died", extra={"fields": {"pid": worker.process.pid, "status": status}})
        worker.pipe.close()
        if not worker.listens:
            wait([signals], PAUSE)  # what keeps it from starting may pass
        self._workers[self._workers.index(worker)] = _Worker(self._settings, self._sockets)

    def _stop(self) -> None:
        """Let the workers answer what is under way, and end."""
        for one in self._workers:
            one.process.terminate()
            one.pipe.close()
        until = time.monotonic() + self._settings.drain + SPARE
        for one in self._workers:
            one.process.join(max(until - time.monotonic(), 0))
            if one.process.is_alive():
                one.process.kill()
                one.process.join()


def _work(settings: Settings, sockets: list[socket.socket], parent: Connection) -> None:
    """Answer in a process of its own until a signal comes or the parent has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes: the parent sends SIGTERM
    import asyncio

    from generator.serving.http.server import Server, run

    def started(server: Server) -> None:
        def gone() -> None:
            loop.remove_reader(parent.fileno())
            server.should_exit = True

        loop = asyncio.get_running_loop()
        loop.add_reader(parent.fileno(), gone)
        with suppress(OSError):
            parent.send_bytes(b"")

    try:
        run(settings, sockets, started)
    except DrnError as error:
        with suppress(OSError):
            parent.send_bytes(str(error).encode())
        sys.exit(1)
