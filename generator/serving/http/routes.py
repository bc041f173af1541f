"""The endpoints by their paths."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from generator.serving.http.endpoints import ENDPOINTS
from generator.serving.http.handlers import Handlers

__all__ = ["Route", "Routes"]

Handler = Callable[[Request], Awaitable[Response]]
PAGES = ("/", "/docs", "/static/{file}")
OPEN_ENDED = "user"  # the last part of its paths, which may hold anything, a slash and a line break too


class Route(NamedTuple):
    """A path with all its methods.

    Attributes
    ----------
    path
        Its template.
    handlers
        What answers, by method.
    """

    path: str
    handlers: Mapping[str, Handler]


@dataclass
class _Node:
    """What may follow the parts of a path so far: a part by its text, or else a parameter; and the route that ends."""

    parts: dict[str, "_Node"] = field(default_factory=dict)
    parameter: str = ""
    below: "_Node | None" = None  # behind the parameter
    route: Route | None = None


class Routes:
    """The routes of the endpoints, of their document and of the web page, looked up part by part.

    Parameters
    ----------
    handlers
        What answers.
    """

    def __init__(self, handlers: Handlers) -> None:
        table: dict[str, dict[str, Handler]] = {}
        for endpoint in ENDPOINTS:
            table.setdefault(endpoint.path, {})[endpoint.method] = getattr(handlers, endpoint.handler)
        table["/openapi.json"] = {"GET": handlers.openapi}
        table |= {path: {"GET": handlers.page} for path in PAGES}
        self._root = _Node()
        for path, methods in table.items():
            self._add(Route(path, methods))

    def _add(self, route: Route) -> None:
        node = self._root
        for part in route.path.split("/")[1:]:
            if part.startswith("{"):
                node.parameter, node.below = part[1:-1], node.below or _Node()
                node = node.below
            else:
                node = node.parts.setdefault(part, _Node())
        node.route = route

    def find(self, path: str) -> tuple[Route | None, dict[str, str]]:
        """Return the route of a path and the parameters in it; None where there is none."""
        node, found = self._root, dict[str, str]()
        parts = path.split("/")[1:]
        for place, part in enumerate(parts):
            below = node.parts.get(part)
            if below is None:
                below, value = node.below, part
                if node.parameter == OPEN_ENDED:
                    value, parts = "/".join(parts[place:]), []
                if below is None or not value:
                    return None, {}
                found[node.parameter] = value
            node = below
            if not parts:
                break
        return node.route, found
