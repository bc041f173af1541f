"""From a method and a path to a handler."""

import re
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from generator.serve.http.handlers import Api
from generator.serve.http.openapi import ROUTES

__all__ = ["Routes"]

Handler = Callable[[Request], Awaitable[Response]]
PAGES = ("/", "/docs", "/static/{file}")


class Routes:
    """The routes of the OpenAPI document, and the web page's.

    Parameters
    ----------
    api
        Whose methods are the handlers.
    """

    def __init__(self, api: Api) -> None:
        self._table: dict[str, dict[str, Handler]] = {}
        for route in ROUTES:
            self._table.setdefault(route.path, {})[route.method] = getattr(api, route.handler)
        self._table["/openapi.json"] = {"GET": api.openapi}
        self._table |= {path: {"GET": api.page} for path in PAGES}
        # A user may have a slash in the name, and is the last part of its path; sessions and models have none.
        self._patterns = [
            (path, re.compile(re.sub(r"\\{(\w+)\\}", _group, re.escape(path)), re.DOTALL)) for path in self._table
        ]

    def find(self, scope: Scope) -> tuple[str, Handler]:
        """Return the template of the path and what answers it: 404 and 405 are answers too.

        The parts that stand for names are put into ``scope["path_params"]``.
        """
        for path, pattern in self._patterns:
            if found := pattern.fullmatch(scope["path"]):
                scope["path_params"] = found.groupdict()
                methods = self._table[path]
                return path, methods.get(scope["method"]) or _refuse(405, "Method Not Allowed", ", ".join(methods))
        return "other", _refuse(404, "Not Found")


def _group(name: re.Match[str]) -> str:
    return rf"(?P<{name[1]}>{'.+' if name[1] == 'user' else '[^/]+'})"


def _refuse(status: int, why: str, allowed: str = "") -> Handler:
    async def handler(_request: Request) -> Response:
        raise HTTPException(status, why, {"Allow": allowed} if allowed else None)

    return handler
