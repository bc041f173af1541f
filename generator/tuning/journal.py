"""The journal of a run: JSON lines, each on the disk before its result is used, so that a kill loses none."""

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from generator.errors import TrainingError
from generator.jobs.locks import locked

__all__ = ["Journal"]

FORMAT = 2
DIGITS = 12  # of a hash of a genome's spec: enough to tell a drawn individual from another


class Journal:
    """An append-only file of what a run has found out.

    Its first line says of which run it is. ``result`` lines hold what became of an individual at a rung, ``repeat``
    lines what it came to on another seed, ``latency`` lines a measured latency, ``generation`` lines that a generation
    was begun and who was drawn for it. Each bears the seconds spent so far.

    Parameters
    ----------
    path
        The file; made, or with ``resume`` gone on with. Its folder is locked until it is closed.
    identity
        What the results depend on, by name, as JSON values: space, seed, data, ...
    versions
        Of the packages that draw, by name: kept for the message where a resumed run draws otherwise.
    resume
        Whether to go on with the file.

    Attributes
    ----------
    results
        Result lines by spec hash and rung.
    latencies
        Latency in milliseconds by spec hash.
    repeats
        Lines of trainings on other seeds, by spec hash and number of the seed.
    begun
        Generations begun.
    versions
        Those the journal was begun under.
    seconds
        Wall time spent up to the last line.

    Raises
    ------
    DrnError
        Another process is at work in the folder.
    TrainingError
        The file is there and ``resume`` was not asked for, is of another run, or broken.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, Any], *, resume: bool, versions: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        self.versions = dict(versions or {})
        self._here = dict(self.versions)
        self._drawn: dict[int, list[str]] = {}
        self.results: dict[tuple[str, int], dict[str, Any]] = {}
        self.latencies: dict[str, float] = {}
        self.repeats: dict[tuple[str, int], dict[str, Any]] = {}
        self.begun: set[int] = set()
        self.seconds = 0.0
        if path.exists() and path.stat().st_size and not resume:
            raise TrainingError(f"{path}: holds a run already; go on with --resume, or take another folder")
        with ExitStack() as held:
            held.enter_context(locked(path.parent))
            self._stream = held.enter_context(path.open("r+b" if path.exists() else "w+b"))
            self._read(json.loads(json.dumps(identity)))
            self._held = held.pop_all()

    def _read(self, identity: dict[str, Any]) -> None:
        """Take in the lines; cut one that a kill tore."""
        content = self._stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._stream.truncate(len(whole))
        self._stream.seek(len(whole))
        if not whole:
            self._append({"format": FORMAT, "identity": identity, "versions": self.versions})
            return
        number = 0
        try:
            for number, line in enumerate(whole.splitlines(), 1):
                record = json.loads(line)
                if record.pop("crc32", None) not in {None, _checksum(record)}:  # a line written by hand has none
                    raise ValueError("its crc32 is of other content")
                if number == 1:
                    self._same(record, identity)
                else:
                    self._take(record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(f"{self.path}:{number}: not a line of a journal of drn tune: {error!r}") from None

    def _same(self, record: dict[str, Any], identity: dict[str, Any]) -> None:
        if record["format"] != FORMAT:
            raise TrainingError(f"{self.path}: is of format {record['format']}; this drn reads {FORMAT}")
        before = record["identity"]
        changed = [key for key in {**identity, **before} if before.get(key) != identity.get(key)]
        if changed:
            raise TrainingError(
                f"{self.path}: is the journal of another search: {', '.join(changed)} differ; resume with the plan, "
                "data and seed it was begun with (the budget may change), or take another folder"
            )
        self.versions = dict(record["versions"])

    def _take(self, record: dict[str, Any]) -> None:
        self.seconds = max(self.seconds, float(record["seconds"]))
        kind = record["kind"]
        if kind == "result":
            self.results[record["hash"], record["rung"]] = record
        elif kind == "latency":
            self.latencies[record["hash"]] = record["milliseconds"]
        elif kind == "repeat":
            self.repeats[record["hash"], record["seed"]] = record
        elif kind == "generation":
            self.begun.add(record["generation"])
            self._drawn[record["generation"]] = record.get("drawn", [])
        else:
            raise ValueError(f"kind {kind}")

    def drawn(self, generation: int) -> bool:
        """Say whether any individual was drawn for ``generation`` before."""
        return bool(self._drawn.get(generation))

    def begin(self, generation: int, hashes: Sequence[str], seconds: float) -> None:
        """Note that ``generation`` begins with the individuals of ``hashes``, or see that they are those noted before.

        The number of individuals may differ, for the budget may.

        Raises
        ------
        TrainingError
            Others were drawn before: what draws is of another version.
        """
        drawn = [name[:DIGITS] for name in hashes]
        before = self._drawn.get(generation, [])
        common = min(len(drawn), len(before))
        if drawn[:common] != before[:common]:
            raise TrainingError(
                f"{self.path}: generation {generation} draws other individuals than it did when it was begun, under "
                f"{_listed(self.versions)}; here is {_listed(self._here)}: go on under those versions, or take another "
                "folder"
            )
        if len(drawn) > len(before) or generation not in self.begun:
            self.add("generation", seconds, generation=generation, drawn=drawn)

    def add(self, kind: str, seconds: float, **fields: Any) -> dict[str, Any]:
        """Append a line, and return it as it will be read back."""
        record: dict[str, Any] = json.loads(json.dumps({"kind": kind, "seconds": round(seconds, 3), **fields}))
        self._append(record)
        self._take(record)
        return record

    def _append(self, record: Mapping[str, Any]) -> None:
        line = {**record, "crc32": _checksum(record)}
        self._stream.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file, and leave the folder to others."""
        with suppress(OSError):
            self._held.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _checksum(record: Mapping[str, Any]) -> int:
    """Return the checksum of a line, by which a figure that a disk or a hand changed is no result of a training."""
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown versions"
