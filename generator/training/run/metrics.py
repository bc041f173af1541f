"""metrics.jsonl: one JSON line an iteration reported, none twice."""

import json
import math
from collections.abc import Callable
from pathlib import Path

from generator.files import write_text

__all__ = ["MetricsLog"]

Also = Callable[[dict[str, float]], None]

REQUIRED = {"iteration", "loss", "seconds"}


class MetricsLog:
    """A file of JSON lines, each with its ``iteration``, in ascending order.

    It is a report, and no part of the state of a run: lines that are damaged are left out.

    Parameters
    ----------
    path
        The file; made on the first line.
    iteration
        Where training goes on: lines after it, and a line torn by a kill, are cut.
    also
        Called with each record written.

    Attributes
    ----------
    seconds, loss
        Of the last line kept; 0 and NaN without one.
    """

    def __init__(self, path: Path, iteration: int = 0, also: Also | None = None) -> None:
        self._path, self._also = path, also
        self.seconds, self.loss = 0.0, math.nan
        if not path.exists():
            return
        kept = [record for record in self.read(path) if record["iteration"] <= iteration]
        write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
        if kept:
            self.seconds, self.loss = kept[-1]["seconds"], kept[-1]["loss"]

    def write(self, record: dict[str, float]) -> None:
        """Append one line."""
        with self._path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps(record) + "\n")
        if self._also:
            self._also(record)

    @staticmethod
    def read(path: Path) -> list[dict[str, float]]:
        """Return the records of a metrics file; damaged lines, and a last one without its end, are left out."""
        *lines, _torn = path.read_text(encoding="utf-8", errors="replace").split("\n")
        return [record for line in lines if (record := _record(line))]


def _record(line: str) -> dict[str, float] | None:
    """Return the record of a line; None if it is damaged."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and all(isinstance(value, (int, float)) for value in record.values())
    return record if whole and record.keys() >= REQUIRED else None
