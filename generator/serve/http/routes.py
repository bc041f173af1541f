"""The endpoints as Starlette's routes."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from generator.serve.http.endpoints import ENDPOINTS
from generator.serve.http.handlers import Handlers

__all__ = ["PathRoute", "routes"]

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
        async def answer(request: Request) -> Response:
            return await handlers[request.method](request)

        super().__init__(path, answer, methods=list(handlers))
        self.methods = set(handlers)  # Starlette adds HEAD to GET, which the document does not offer

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; with 405 for a method that is none of its own."""
        scope["route"] = self
        await super().handle(scope, receive, send)


def routes(handlers: Handlers) -> list[PathRoute]:
    """Return a route for each path of the endpoints, and those of the document and the web page."""
    table: dict[str, dict[str, Handler]] = {}
    for endpoint in ENDPOINTS:
        table.setdefault(endpoint.path, {})[endpoint.method] = getattr(handlers, endpoint.handler)
    table["/openapi.json"] = {"GET": handlers.openapi}
    table |= {path: {"GET": handlers.page} for path in PAGES}
    return [PathRoute(path.replace("{user}", "{user:name}"), methods) for path, methods in table.items()]
