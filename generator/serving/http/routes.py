"""The endpoints in Starlette's router."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Lifespan, Receive, Scope, Send

from generator.serving.http.endpoints import ENDPOINTS
from generator.serving.http.handlers import Handlers

__all__ = ["PathRoute", "router"]

Handler = Callable[[Request], Awaitable[Response]]
PAGES = ("/", "/docs", "/static/{file}")


class _NameConvertor(Convertor[str]):
    """A name that may hold anything, a slash and a line break too: a user's, the last part of its path."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _NameConvertor())


class PathRoute(Route):
    """One path with all its methods; a request that comes here has it as ``route`` in its scope.

    Parameters
    ----------
    path
        Its template.
    handlers
        What answers, by method.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        super().__init__(path, self.answer, methods=list(handlers))

    async def answer(self, request: Request) -> Response:
        """Return the response of the method's handler; HTTPException 405 where there is none."""
        handler = self._handlers.get(request.method)
        if handler is None:
            raise HTTPException(405, headers={"Allow": ", ".join(self._handlers)})
        return await handler(request)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; exceptions are for the guard, so that none of Starlette's own layers is needed."""
        scope["route"] = self
        response = await self.answer(Request(scope, receive))
        await response(scope, receive, send)


def router(handlers: Handlers, lifespan: Lifespan[Any]) -> Router:
    """Return the router of the endpoints, of their document and of the web page.

    Parameters
    ----------
    handlers
        What answers.
    lifespan
        Entered at startup, left at shutdown.
    """
    table: dict[str, dict[str, Handler]] = {}
    for endpoint in ENDPOINTS:
        table.setdefault(endpoint.path, {})[endpoint.method] = getattr(handlers, endpoint.handler)
    table["/openapi.json"] = {"GET": handlers.openapi}
    table |= {path: {"GET": handlers.page} for path in PAGES}
    routes = [PathRoute(path.replace("{user}", "{user:name}"), methods) for path, methods in table.items()]
    return Router(routes, redirect_slashes=False, default=_not_found, lifespan=lifespan)


async def _not_found(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise HTTPException(404)
