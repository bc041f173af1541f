"""What every request passes: token, time limit, refusals and faults, headers of security, figures, the log."""

import asyncio
import hmac
import logging
import time
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from generator.serving.http.endpoints import OPEN
from generator.serving.http.responses import answered, refused
from generator.serving.metrics import Metrics

__all__ = ["Guard"]

SECONDS = 10.0  # a request may take
METHODS = ("GET", "POST", "DELETE")
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


class Guard:
    """ASGI middleware around the routes.

    Parameters
    ----------
    app
        What it guards.
    metrics, log
        Where figures and lines go.
    token
        Bearer token that clients must send; None: none.
    log_requests
        Whether each request is logged.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, log: logging.Logger, token: str | None, *, log_requests: bool
    ) -> None:
        self._app, self._metrics, self._log, self._log_requests = app, metrics, log, log_requests
        self._token = f"Bearer {token}".encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a lifespan goes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
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
        try:
            if self._token is not None and scope["path"] not in OPEN and not self._knows(scope):
                refusal = answered({"error": "a bearer token is wanted"}, 401, {"WWW-Authenticate": "Bearer"})
                await refusal(scope, receive, sent)
            else:
                await self._app(scope, receive, sent)
        except asyncio.CancelledError:
            if not late or status:
                raise
            await answered({"error": "it took too long"}, 503, {"Retry-After": "1"})(scope, receive, sent)
        except Exception as error:  # the last resort: whatever it is, the client gets an answer
            response = refused(error) or self._fault(error)
            if not status:
                await response(scope, receive, sent)
        finally:
            timer.cancel()
            self._note(scope, status, time.perf_counter() - began)

    def _knows(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(given, self._token or b"")

    def _fault(self, error: Exception) -> Response:
        """Log a fault of ours by its place, since its text might hold what a client sent."""
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
        self._log.error("fault", extra={"fields": {"error": type(error).__name__, "where": place}})
        return answered({"error": "internal fault"}, 500)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = scope["route"].path_format if "route" in scope else "other"
        self._metrics.count(method, route, status)
        self._metrics.total.observe(seconds)
        if self._log_requests:
            fields = {"method": method, "route": route, "status": status, "ms": round(seconds * 1e3, 2)}
            self._log.info("request", extra={"fields": fields})
