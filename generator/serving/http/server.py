"""The service at work under uvicorn, in one process."""

import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial

import uvicorn

from generator.serving.http.app import application
from generator.serving.http.connection import Connection, Connections
from generator.serving.http.logs import json_logger
from generator.serving.http.settings import BACKLOG, Settings
from generator.serving.metrics import Metrics
from generator.serving.models.repository import Repository
from generator.serving.store.open import open_store

__all__ = ["Server", "run"]

SWITCH = 0.002  # seconds that the event loop waits at most for a thread that computes in Python


class Server(uvicorn.Server):
    """uvicorn's server, that calls ``started`` once it listens."""

    def __init__(self, config: uvicorn.Config, started: Callable[["Server"], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._started(self)


def run(
    settings: Settings,
    sockets: Sequence[socket.socket] | None = None,
    started: Callable[[Server], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first.

    Parameters
    ----------
    settings
        What to serve and how.
    sockets
        Where to listen; host and port of the settings by default.
    started
        Called in the event loop once the server listens; a line of the log by default.

    Raises
    ------
    ModelError
        No model holds.
    StoreError
        The store cannot be opened.
    DrnError
        The port is taken.
    """
    log, metrics = json_logger(), Metrics()

    def report(name: str, version: int, why: str) -> None:
        metrics.reloads.labels(name, "refused" if why else "loaded").inc()
        result = {"refused": why} if why else {"loaded": True}
        log.info("model", extra={"fields": {"model": name, "version": version, **result}})

    repository = Repository(
        settings.models, settings.model, settings.choice, report, int8=settings.int8, index=settings.index
    )
    store = open_store(settings.store, settings.idle)
    sys.setswitchinterval(SWITCH)
    config = uvicorn.Config(
        application(settings, store, repository, metrics, log),
        host=settings.host,
        port=settings.port,
        log_config=None,
        http=partial(Connection, Connections.of_this_process()),  # type: ignore[arg-type]  # whatever makes one will do
        ws="none",
        proxy_headers=False,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.drain),
        backlog=BACKLOG,
    )
    server = Server(config, started or partial(_say, settings, log))
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises a signal again once it has drained: to have done so is success
        signal.signal(number, lambda *_: None)
    try:
        server.run(None if sockets is None else list(sockets))
    except SystemExit as error:  # uvicorn's word for a port that it cannot have
        raise settings.cannot_listen() from error
    if not server.started:
        raise settings.cannot_listen()


def _say(settings: Settings, log: logging.Logger, _server: Server) -> None:
    log.info("started", extra={"fields": {"host": settings.host, "port": settings.port}})
