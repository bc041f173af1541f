"""The service as an ASGI application, and its run under uvicorn."""

import asyncio
import gc
import hmac
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from generator.errors import DrnError
from generator.serve.app import Api, answered, problem
from generator.serve.logs import Log
from generator.serve.metrics import Metrics
from generator.serve.openapi import OPEN, ROUTES, document
from generator.serve.recommender import Recommender
from generator.serve.repository import Choice, Repository
from generator.serve.stores import IDLE, Store, StoreError, open_store

__all__ = ["Settings", "application", "serve"]

SECONDS = 10.0  # a request may take
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
    log_requests: bool = True
    drain: float = 10.0


class _Guard:
    """The outermost layer: token, time limit, faults, headers, figures and the log."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, log: Log) -> None:
        self._app, self._metrics, self._log, self._logs = app, metrics, log, settings.log_requests
        self._token = f"Bearer {settings.token}".encode() if settings.token else None
        self._templates: dict[Any, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        loop, task, late = asyncio.get_running_loop(), asyncio.current_task(), False

        def end() -> None:
            nonlocal late
            late = True
            if task:
                task.cancel()

        timer = loop.call_later(SECONDS, end)
        try:
            if self._token is not None and scope["path"] not in OPEN and not self._knows(scope):
                await _unauthorised()(scope, receive, sent)
            else:
                await self._app(scope, receive, sent)
        except asyncio.CancelledError:
            if not late or status:
                raise
            await answered({"error": "it took too long"}, 503, {"Retry-After": "1"})(scope, receive, sent)
        except Exception as error:  # what is left is a fault of ours: the client learns no more than that
            self._log("fault", error=type(error).__name__, where=_place(error))
            if not status:
                await answered({"error": "internal fault"}, 500)(scope, receive, sent)
        finally:
            timer.cancel()
            self._note(scope, status, time.perf_counter() - began)

    def _knows(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(given, self._token or b"")

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("drn.route", "other")
        method = scope["method"] if scope["method"] in {"GET", "POST", "DELETE", "HEAD"} else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.total.observe(seconds)
        if self._logs:
            self._log("request", method=method, route=route, status=status, ms=round(seconds * 1e3, 2))


def _unauthorised() -> Response:
    return answered({"error": "a bearer token is wanted"}, 401, {"WWW-Authenticate": "Bearer"})


def _place(error: Exception) -> str:
    """Return file and line of an exception: its text might hold what a client sent."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""


def application(settings: Settings, store: Store, repository: Repository, metrics: Metrics, log: Log) -> ASGIApp:
    """Return the ASGI application; it closes ``store`` when it shuts down."""
    recommender = Recommender(store, repository, metrics, settings.batch)
    api = Api(recommender, document(bool(settings.token)))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        chores = [asyncio.create_task(_every(EXPIRY, lambda: _expire(store, metrics)))]
        if settings.reload:
            chores.append(asyncio.create_task(_every(settings.reload, repository.scan)))
        gc.collect()
        gc.freeze()  # models and modules stay: no collection need look at them again
        yield
        for chore in chores:
            chore.cancel()
        recommender.close()
        store.close()
        log("stopped")

    def handler(method: str, path: str, name: str) -> Route:
        work = getattr(api, name)

        async def endpoint(request: Request) -> Response:
            request.scope["drn.route"] = path
            try:
                found: Response = await work(request)
            except Exception as error:
                response = problem(error)
                if response is None:
                    raise
                return response
            return found

        return Route(path.replace("{user}", "{user:path}"), endpoint, methods=[method])

    async def failed(_request: Request, error: Exception) -> Response:
        return problem(error) or answered({"error": "internal fault"}, 500)

    # DELETE and GET of one path are two routes; Starlette answers 405 only if none takes the method.
    routes = [handler(route.method, route.path, route.handler) for route in ROUTES]
    routes += [handler("GET", "/openapi.json", "openapi")]
    routes += [handler("GET", path, "page") for path in ("/", "/docs", "/static/{file}")]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: failed})
    app.router.redirect_slashes = False
    return _Guard(app, settings, metrics, log)


async def _every(seconds: float, chore: Any) -> None:
    """Call ``chore`` in a thread, again and again."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(chore)


def _expire(store: Store, metrics: Metrics) -> None:
    with suppress(StoreError):  # the store is down: requests say so, and the next look is soon
        metrics.expired.inc(store.expire(time.time()))


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

    repository = Repository(settings.models, settings.model, settings.choice, report)
    store = open_store(settings.store, settings.idle)
    sys.setswitchinterval(0.001)  # the loop waits at most so long for a thread that computes in Python
    config = uvicorn.Config(
        application(settings, store, repository, metrics, log),
        host=settings.host,
        port=settings.port,
        log_config=None,
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
