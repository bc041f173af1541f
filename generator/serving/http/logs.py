"""The log: one JSON object a line on stderr, without session, user, page or item."""

import json
import logging
import sys
import time
from typing import TextIO

__all__ = ["JsonFormatter", "json_logger"]


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
        return json.dumps({"time": stamp, "event": record.getMessage(), **fields})


def json_logger(stream: TextIO | None = None) -> logging.Logger:
    """Return the service's logger, ``drn.serve``, which writes to ``stream``, stderr by default, and nowhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("drn.serve")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger
