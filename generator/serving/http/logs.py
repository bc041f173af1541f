"""The log: one JSON object a line on stderr, without session, user, page or item."""

import json
import logging
import sys
import time
from pathlib import Path
from typing import TextIO

__all__ = ["JsonFormatter", "json_logger", "place_of"]

OTHERS = ("uvicorn.error", "asyncio")  # libraries that speak of the service


class JsonFormatter(logging.Formatter):
    """A line for each record: the moment in UTC, what happened, and the record's ``fields``.

    Examples
    --------
    >>> logger = json_logger(sys.stdout)
    >>> logger.info("stopped", extra={"fields": {"after": 3}})  # doctest: +ELLIPSIS
    {"time": "...Z", "event": "stopped", "after": 3}
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        fields = getattr(record, "fields", {})
        if record.name in OTHERS:
            # Of another's message the first line, before its values: they might hold what a client sent.
            fields = {"library": record.name, "message": str(record.msg).partition("\n")[0][:200]}
            if record.exc_info and record.exc_info[1]:
                fields |= {"error": type(record.exc_info[1]).__name__, "where": place_of(record.exc_info[1])}
        event = "library" if record.name in OTHERS else record.getMessage()
        return json.dumps({"time": stamp, "event": event, **fields})


def place_of(error: BaseException) -> str:
    """Return where an exception was raised, file and line: its text might hold what a client sent."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""


def json_logger(stream: TextIO | None = None) -> logging.Logger:
    """Return the service's logger, ``drn.serve``, which writes to ``stream``, stderr by default, and nowhere else.

    Warnings of uvicorn and asyncio come out as such lines, too.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name, level in (("drn.serve", logging.INFO), *((name, logging.WARNING) for name in OTHERS)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)
    return logging.getLogger("drn.serve")
