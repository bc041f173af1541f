"""What every request passes: host, token, time limit, refusals and faults, headers of security, figures, the log."""

import hmac
import logging
import time
from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from generator.serving.http.connection import ANSWER
from generator.serving.http.endpoints import OPEN
from generator.serving.http.limit import TimeLimit
from generator.serving.http.logs import place_of
from generator.serving.http.reading import header
from generator.serving.http.responses import answered, refused
from generator.serving.http.routes import Route, Routes
from generator.serving.metrics import Metrics

__all__ = ["Guard"]

SECONDS = 10.0  # a request may take
MOST = 2048  # requests under way; health checks and the page come on top
LEFT = 499  # what is noted of a request whose client has gone; nobody is answered by it
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' data:%s; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


class Guard:
    """The ASGI application: it answers each request, whatever comes.

    Parameters
    ----------
    routes
        What answers the requests that it lets in.
    lifespan
        The ASGI application that begins and ends beside the requests.
    metrics, log
        Where figures and lines go.
    token
        Bearer token that clients must send; None: none.
    hosts
        What the header Host may name, lower case; None: anything. A page elsewhere that makes its own name lead to this
        machine (DNS rebinding) is known by it.
    log_requests
        Whether each request is logged.
    images
        Whether the page may show images from elsewhere: those of the items.
    """

    def __init__(
        self,
        routes: Routes,
        lifespan: ASGIApp,
        metrics: Metrics,
        log: logging.Logger,
        *,
        token: str | None = None,
        hosts: Collection[str] | None = None,
        log_requests: bool = True,
        images: bool = False,
    ) -> None:
        self._routes, self._lifespan = routes, lifespan
        self._metrics, self._log, self._log_requests = metrics, log, log_requests
        self._token = f"Bearer {token}".encode() if token else None
        self._hosts = None if hosts is None else frozenset(host.encode() for host in hosts)
        self._headers = [*HEADERS, (b"content-security-policy", POLICY % (b" https: http:" if images else b""))]
        self._under_way = 0
        self._limit = TimeLimit(SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a lifespan goes through."""
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        route, scope["path_params"] = self._routes.find(scope["path"])
        self._under_way += 1
        try:
            response = await self._response(route, Request(scope, receive))
            status = response.status_code
            response.raw_headers.extend(self._headers)
            if ANSWER in scope:
                await scope[ANSWER](response.status_code, response.raw_headers, response.body)
            else:
                await response(scope, receive, send)
        except ClientDisconnect:
            status = LEFT
        finally:
            self._under_way -= 1
            self._note(scope["method"], route.path if route else "other", status, time.perf_counter() - began)

    async def _response(self, route: Route | None, request: Request) -> Response:
        """Return the response to a request: what it asks for, a refusal, or that it failed."""
        refusal = self._refusal(request.scope)
        if refusal is not None:
            return refusal
        try:
            if route is None:
                raise HTTPException(404)
            handler = route.handlers.get(request.method)
            if handler is None:
                raise HTTPException(405, headers={"Allow": ", ".join(route.handlers)})
            return await self._limit(handler(request))
        except TimeoutError:
            return answered({"error": "it took too long"}, 503, {"Retry-After": "1"})
        except ClientDisconnect:
            raise
        except Exception as error:  # the last resort: whatever it is, the client gets an answer
            return refused(error) or self._fault(error)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return what a request is answered that goes no further."""
        if self._hosts is not None and (host := header(scope, b"host")) is not None and _name(host) not in self._hosts:
            return answered({"error": "the header Host names another machine: see --allow-host"}, 421)
        if scope["path"] in OPEN:
            return None
        if self._token is not None and not hmac.compare_digest(header(scope, b"authorization") or b"", self._token):
            return answered({"error": "a bearer token is wanted"}, 401, {"WWW-Authenticate": "Bearer"})
        if self._under_way > MOST:
            return answered({"error": "too many requests are under way"}, 503, {"Retry-After": "1"})
        return None

    def _fault(self, error: Exception) -> Response:
        """Log a fault of ours by its place, since its text might hold what a client sent."""
        fields = {"error": type(error).__name__, "where": place_of(error)}
        self._log.error("fault", extra={"fields": fields})
        return answered({"error": "internal fault"}, 500)

    def _note(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self._metrics.count(self._metrics.requests, method, route, status)
        self._metrics.total.observe(seconds)
        if self._log_requests:
            fields = {"method": method, "route": route, "status": status, "ms": round(seconds * 1e3, 2)}
            self._log.info("request", extra={"fields": fields})


def _name(host: bytes) -> bytes:
    """Return the name in a header Host, without its port."""
    if host.startswith(b"["):
        return host.partition(b"]")[0] + b"]"
    return host.partition(b":")[0].lower()
