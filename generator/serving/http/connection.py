"""One HTTP connection with its bounds: heads, silence, pipelining, unread answers; all before a handler is asked."""

import asyncio
import resource
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httptools
from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

__all__ = ["ANSWER", "HEAD", "PIPELINE", "Connection", "Connections"]

ANSWER = "drn.answer"  # where an ASGI scope holds what answers a request in one write: status, header fields, body

HEAD = 64 * 2**10  # bytes of a request line and its header fields
PIPELINE = 16  # requests that may wait behind the one under way
SECONDS = 10.0  # for a head to arrive, for an answer to be read
MOST, SPARE = 16_384, 256  # connections at most; descriptors kept for models, stores and files


@dataclass
class Connections:
    """The connections of a server.

    Attributes
    ----------
    most
        That may be open; one more closes the one that has been silent for longest.
    silent
        Those without a request under way, the longest silent first.
    """

    most: int
    silent: dict["Connection", None] = field(default_factory=dict)

    @classmethod
    def of_this_process(cls) -> "Connections":
        """Return room for as many as the process may have descriptors, whose soft limit is raised as far as it goes."""
        soft, hard = (
            MOST if one == resource.RLIM_INFINITY else one for one in resource.getrlimit(resource.RLIMIT_NOFILE)
        )
        if soft < min(hard, MOST):
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, MOST), hard))
                soft = min(hard, MOST)
        return cls(max(min(soft, MOST) - SPARE, SPARE))


class _StopError(Exception):
    """The parser is to read no further."""


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, bounded.

    A head is whole within 10 seconds (else 408) and 64 KiB (else 431); `PIPELINE` requests may wait behind the one
    under way; ``chunked`` is the only transfer encoding (else 501); an answer is read within 10 seconds.

    Parameters
    ----------
    bounds
        Shared by the connections of a server.
    given
        What uvicorn gives.
    """

    def __init__(self, bounds: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._bounds = bounds
        self._deaf = False  # what is received from now on is not read
        self._in_head = False
        self._chunk = self._unparsed = 0  # bytes received at last, and since a head or a part of a body began
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # what the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Wait for a head; where there is no room, the longest silent connection goes, or this one."""
        super().connection_made(transport)
        silent = self._bounds.silent
        while len(self.connections) > self._bounds.most:
            next(iter(silent), self).drop()
        if not self._deaf:
            silent[self] = None
            self._timer = self.loop.call_later(SECONDS, self._overdue)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what is held."""
        self._bounds.silent.pop(self, None)
        for timer in (self._timer, self._write_timer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._chunk = len(data)
        self._unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # not offered: the request is answered as if it had not asked
            self._deaf, self.cycle.keep_alive = True, False
        except httptools.HttpParserError as error:
            if not isinstance(error.__context__, _StopError):
                self._refuse(400, "this is no HTTP/1.1")
        else:
            if self._unparsed > HEAD or (self._in_head and self._head_size() > HEAD):
                # An endless head, trailer or chunk extension; the bytes with which a head began are not in the first.
                self._refuse(431, f"a head has {HEAD} bytes at most")
            elif self._in_head and not self._timer:
                self._timer = self.loop.call_later(SECONDS, self._overdue)

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for ever."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(SECONDS, self.drop)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def drop(self) -> None:
        """Close at once; an answer that nobody reads is lost."""
        self._deaf = True
        self._bounds.silent.pop(self, None)
        self.connections.discard(self)
        self.transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        """Close: no further request came."""
        self.drop()

    # what the parser calls

    def on_message_begin(self) -> None:
        """Begin a head."""
        if len(self.pipeline) >= PIPELINE:
            # The last one taken is answered with `Connection: close`, so the client knows that it was the last.
            self._deaf, self.cycle.keep_alive = True, False
            raise _StopError
        self._in_head, self._unparsed = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head; trailers are passed over."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer, if the head holds."""
        self._in_head = False
        if self._chunk + self._unparsed > HEAD and self._head_size() > HEAD:
            self._refuse(431, f"a head has {HEAD} bytes at most")
            raise _StopError
        for name, value in self.headers:
            if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
                self._refuse(501, "of the transfer encodings chunked alone is taken")
                raise _StopError
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._bounds.silent.pop(self, None)
        super().on_headers_complete()
        self.scope[ANSWER] = partial(self._answer, self.cycle)  # type: ignore[literal-required]  # a key of ours

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Wait for the next head; a body that was answered before its end is not read to it."""
        if self.cycle.response_complete and self.cycle.more_body:
            self._deaf = True
            self.transport.close()
        super().on_response_complete()
        if self.transport.is_closing():
            self._timer = self._timer or self.loop.call_later(SECONDS, self.transport.abort)
        elif not self.pipeline and self.cycle.response_complete:
            self._bounds.silent[self] = None

    async def _answer(
        self, cycle: RequestResponseCycle, status: int, fields: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Send an answer whole, which ``cycle.send`` would do in two writes; the fields are of ours, and hold."""
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        parts = [STATUS_LINE[status]]
        for name, value in fields:
            if name == b"connection":  # only ever to close it
                cycle.keep_alive = False
            else:
                parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", body)
        if cycle.scope["method"] == "HEAD":
            parts.pop()
        self.transport.write(b"".join(parts))
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _overdue(self) -> None:
        """Refuse a head that does not come to its end; a connection without any is closed."""
        self._timer = None
        if self._in_head:
            self._refuse(408, f"the head is not whole after {SECONDS:.0f} seconds")
        else:
            self.drop()

    def _refuse(self, status: int, why: str) -> None:
        """Answer what cannot be read on, after what is being answered, and close."""
        self._deaf = True
        under_way = self.cycle is not None and not self.cycle.response_complete
        if under_way and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return
        if not (under_way and self.cycle.response_started):
            body = to_json({"error": why})
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: application/json\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n"
                + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
                + body
            )
        self.transport.close()
        self._timer = self._timer or self.loop.call_later(SECONDS, self.transport.abort)
