"""The service as an ASGI application, and its run under uvicorn."""

import asyncio
import gc
import hmac
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from generator.errors import DrnError
from generator.serve.app import Api, answered, problem
from generator.serve.logs import Log
from generator.serve.metrics import Metrics
from generator.serve.openapi import OPEN, document
from generator.serve.recommender import Recommender
from generator.serve.repository import Choice, Repository
from generator.serve.routes import Routes
from generator.serve.sessions import Kept
from generator.serve.stores import IDLE, Store, StoreError, open_store

__all__ = ["Service", "Settings", "serve"]

SECONDS = 10.0  # a request may take
METHODS = ("GET", "POST", "DELETE")
EXPIRY = 60.0  # seconds between two looks for idle sessions
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
)


@dataclass(frozen=True)
class Settings:
    """What `drn serve` can be told.

    Attributes
    ----------
    models
        A run, a model repository, a model or a version of one.
    model
        Which model of a repository serves the sessions.
    choice
        Which of its versions.
    store
        URL of the store.
    idle
        Seconds after which a silent session is forgotten.
    host, port
        Where to listen.
    token
        Bearer token that clients must send; None: none.
    reload
        Seconds between two looks at the version folders; 0: never.
    batch
        Requests in a batch at most.
    int8
        Whether output layers multiply in 8 bits.
    log_requests
        Whether each request is logged.
    drain
        Seconds that requests under way have to end after a SIGTERM.
    """

    models: Path
    model: str | None = None
    choice: Choice = field(default_factory=Choice)
    store: str = "sqlite:///drn.sqlite"
    idle: float = IDLE
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    reload: float = 2.0
    batch: int = 32
    int8: bool = False
    log_requests: bool = True
    drain: float = 10.0


class Service:
    """The ASGI application: token, routes, time limit, faults, headers, figures and the log.

    Parameters
    ----------
    settings
        What to serve and how.
    store, repository
        With what; the store is closed at shutdown.
    metrics, log
        Where figures and lines go.
    """

    def __init__(self, settings: Settings, store: Store, repository: Repository, metrics: Metrics, log: Log) -> None:
        self._settings, self._store, self._repository, self._metrics, self._log = (
            settings,
            store,
            repository,
            metrics,
            log,
        )
        store.kept = Kept.of(repository.sizes())
        self._recommender = Recommender(store, repository, metrics, settings.batch)
        self._routes = Routes(Api(self._recommender, document(bool(settings.token))))
        self._token = f"Bearer {settings.token}".encode() if settings.token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the service's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        began, status, late = time.perf_counter(), 0, False

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        task = asyncio.current_task()

        def end() -> None:
            nonlocal late
            late = True
            if task:
                task.cancel()

        timer = asyncio.get_running_loop().call_later(SECONDS, end)
        route, handler = self._routes.find(scope)
        try:
            if self._token is not None and scope["path"] not in OPEN and not self._knows(scope):
                response = answered({"error": "a bearer token is wanted"}, 401, {"WWW-Authenticate": "Bearer"})
            else:
                response = await handler(Request(scope, receive))
            await response(scope, receive, sent)
        except asyncio.CancelledError:
            if not late or status:
                raise
            await answered({"error": "it took too long"}, 503, {"Retry-After": "1"})(scope, receive, sent)
        except Exception as error:
            response = problem(error) or self._fault(error)
            if not status:
                await response(scope, receive, sent)
        finally:
            timer.cancel()
            self._note(scope["method"], route, status, time.perf_counter() - began)

    def _knows(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(given, self._token or b"")

    def _fault(self, error: Exception) -> Response:
        """Log a fault of ours by its place, since its text might hold what a client sent."""
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
        self._log("fault", error=type(error).__name__, where=place)
        return answered({"error": "internal fault"}, 500)

    def _note(self, method: str, route: str, status: int, seconds: float) -> None:
        known = method if method in METHODS else "other"
        self._metrics.count(known, route, status)
        self._metrics.total.observe(seconds)
        if self._settings.log_requests:
            self._log("request", method=known, route=route, status=status, ms=round(seconds * 1e3, 2))

    async def _live(self, receive: Receive, send: Send) -> None:
        """Do the chores from startup to shutdown, then end the work under way and close the store."""
        await receive()
        chores = [asyncio.create_task(_every(EXPIRY, self._expire))]
        if self._settings.reload:
            chores.append(asyncio.create_task(_every(self._settings.reload, self._reload)))
        gc.collect()
        gc.freeze()  # models and modules stay: no collection need look at them again
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for chore in chores:
            chore.cancel()
        self._recommender.close()
        self._store.close()
        self._log("stopped")
        await send({"type": "lifespan.shutdown.complete"})

    def _reload(self) -> None:
        """Look for new versions; sessions keep what these read."""
        self._repository.scan()
        self._store.kept = Kept.of(self._repository.sizes())

    def _expire(self) -> None:
        with suppress(StoreError):  # the store is down: requests say so, and the next look is soon
            self._metrics.expired.inc(self._store.expire(time.time()))


async def _every(seconds: float, chore: Callable[[], None]) -> None:
    """Call ``chore`` in a thread, again and again."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(chore)


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, log: Log) -> None:
        super().__init__(config)
        self._log = log

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._log("started", host=self.config.host, port=self.config.port)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first.

    Raises
    ------
    ModelError
        No model holds.
    StoreError
        The store cannot be opened.
    DrnError
        The port is taken.
    """
    log, metrics = Log(), Metrics()

    def report(name: str, version: int, why: str) -> None:
        metrics.reloads.labels(name, "refused" if why else "loaded").inc()
        log("model", model=name, version=version, **({"refused": why} if why else {"loaded": True}))

    repository = Repository(settings.models, settings.model, settings.choice, report, int8=settings.int8)
    store = open_store(settings.store, settings.idle)
    sys.setswitchinterval(0.0002)  # the loop waits at most so long for a thread that computes in Python
    config = uvicorn.Config(
        Service(settings, store, repository, metrics, log),
        host=settings.host,
        port=settings.port,
        log_config=None,
        ws="none",
        proxy_headers=False,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.drain),
        limit_concurrency=2048,
        backlog=2048,
    )
    server = _Server(config, log)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises a signal again once it has drained: to have done so is success
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    except SystemExit as error:  # uvicorn's word for a port that it cannot have
        raise DrnError(f"cannot listen on {settings.host}:{settings.port}: is the port taken?") from error
    if not server.started:
        raise DrnError(f"cannot listen on {settings.host}:{settings.port}: is the port taken?")
