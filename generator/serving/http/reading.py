"""The body of a request: bounded, however it comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request

from generator.serving.models.batcher import OverloadError

__all__ = ["BodyBudget", "json_body", "read"]

SMALL = 16 * 2**10  # bytes of an event

B = TypeVar("B", bound=BaseModel)


class BodyBudget:
    """Bytes that bodies may take together; more raise `OverloadError`.

    Parameters
    ----------
    most
        Bytes.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def share(self) -> Iterator["BodyShare"]:
        """Yield a share of it, empty at first and given back at the end of the block."""
        share = BodyShare(self)
        try:
            yield share
        finally:
            self.take(-share.size)

    def take(self, size: int) -> None:
        """Take bytes, or give them back."""
        if size > self._left:
            raise OverloadError
        self._left -= size


class BodyShare:
    """What one body has taken of a budget: ``size`` bytes."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget, self.size = budget, 0

    def take(self, size: int) -> None:
        """Take bytes."""
        self._budget.take(size)
        self.size += size


async def read(request: Request, limit: int, share: BodyShare | None = None) -> bytes:
    """Return the body.

    Parameters
    ----------
    limit
        Bytes at most.
    share
        What they are taken from.

    Raises
    ------
    HTTPException : 413 as soon as it is larger.
    OverloadError : other bodies take what there is.
    ClientDisconnect : the client has gone.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes", {"Connection": "close"})
        if share:
            share.take(len(part))
        parts.append(part)
    return b"".join(parts)


async def json_body(request: Request, kind: type[B], limit: int = SMALL) -> B:
    """Return the body as ``kind``; JSON must say so, which keeps other sites' forms out.

    Raises
    ------
    HTTPException : 415 or 413.
    ValidationError : it does not hold.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    return kind.model_validate_json(await read(request, limit))
