"""The body of a request, and the encodings of bodies: bounded, however they come."""

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from generator.errors import DataError
from generator.serving.models.batcher import OverloadError

__all__ = ["BodyBudget", "compressed", "header", "json_body", "read"]

ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}  # by name, as zlib takes them
WORTH = 1024  # bytes from which an answer is compressed
REFUSED = ("q=0", "q=0.0", "q=0.00", "q=0.000")  # the weights by which an encoding is not wanted
CLOSE = {"Connection": "close"}
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


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return a field of a request's head by its name in lower case; None if it has none."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None


async def read(request: Request, limit: int, share: BodyShare | None = None) -> bytes:
    """Return the body, uncompressed.

    Parameters
    ----------
    limit
        Bytes at most, those of a compressed body when it is uncompressed.
    share
        What they are taken from.

    Raises
    ------
    HTTPException : 413 as soon as it is larger, 415 for an encoding that is not taken.
    DataError : it is not in the encoding that it names.
    OverloadError : other bodies take what there is.
    ClientDisconnect : the client has gone.
    """
    encoding = (header(request.scope, b"content-encoding") or b"identity").decode("latin-1").strip().lower()
    if encoding not in (*ENCODINGS, "identity"):
        raise HTTPException(415, "of the content encodings gzip, deflate and identity are taken", CLOSE)
    unpacker = zlib.decompressobj(ENCODINGS[encoding]) if encoding in ENCODINGS else None
    parts, size, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, more = message.get("body", b""), message.get("more_body", False)
        plain = part if unpacker is None else _unpacked(unpacker, part, limit - size + 1)
        size += len(plain)
        if size > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes", CLOSE)
        if share:
            share.take(len(plain))
        parts.append(plain)
    if unpacker and not unpacker.eof:
        raise DataError(f"the body is cut short: its {encoding} has no end")
    return b"".join(parts)


def _unpacked(unpacker: "zlib._Decompress", part: bytes, most: int) -> bytes:
    """Return what a part of a compressed body holds, ``most`` bytes of it at most."""
    try:
        plain = unpacker.decompress(part, most)
    except zlib.error as error:
        raise DataError("the body is not in the encoding that Content-Encoding names") from error
    if unpacker.unused_data:
        raise DataError("something follows the end of the compressed body")
    return plain


def compressed(content: bytes, accepted: str) -> tuple[bytes, str | None]:
    """Return an answer in an encoding of ``accepted``, a header Accept-Encoding, and its name; None: as it is."""
    offers = [one.partition(";") for one in accepted.lower().split(",")]
    wanted = {name.strip() for name, _, weight in offers if weight.replace(" ", "") not in REFUSED}
    name = next((name for name in ENCODINGS if name in wanted), None)
    if name is None or len(content) < WORTH:
        return content, None
    return gzip.compress(content, 1, mtime=0) if name == "gzip" else zlib.compress(content, 1), name


async def json_body(request: Request, kind: type[B], limit: int = SMALL) -> B:
    """Return the body as ``kind``; JSON must say so, which keeps other sites' forms out.

    Raises
    ------
    HTTPException : 415 or 413.
    ValidationError : it does not hold.
    """
    if (header(request.scope, b"content-type") or b"").partition(b";")[0].strip().lower() != b"application/json":
        raise HTTPException(415, "send application/json")
    body = await read(request, limit)
    if len(body) <= SMALL:
        return kind.model_validate_json(body)
    return await asyncio.to_thread(kind.model_validate_json, body)
