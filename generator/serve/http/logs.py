"""Structured logs: one JSON object a line on stderr, without session, user, page or item."""

import json
import sys
import time
from typing import TextIO

__all__ = ["Log"]


class Log:
    """A log of events with plain fields.

    Parameters
    ----------
    stream
        Where to; stderr by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def __call__(self, event: str, **fields: object) -> None:
        """Write one line: the moment in UTC, what happened, and its fields."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        self._stream.write(json.dumps({"time": stamp, "event": event, **fields}) + "\n")
        self._stream.flush()
