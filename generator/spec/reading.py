"""YAML files read to models with a place for each finding: the one way of specs, tuning and experiment plans."""

import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from generator.spec.check import Fault, check
from generator.spec.findings import MOST, Finding, Path, Place, Words, failure, refusal
from generator.spec.source import MAX_BYTES, Document, place_in, read

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["found", "mapping_of", "read_file", "validated"]

What = Literal["spec", "plan", "recipe", "configuration"]
Model = TypeVar("Model", bound="BaseModel")


def read_file(path: str | os.PathLike[str], what: What) -> Document:
    """Read the YAML file at ``path``, UTF-8 and at most MAX_BYTES; ``what`` it holds is for its findings.

    Raises
    ------
    SpecError
        The file cannot be read, or is no YAML.
    """
    filename = os.fspath(path)
    content = _bytes(filename, what)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        words = Words(f"byte 0x{content[error.start]:02x} is not UTF-8", f"a {what} is UTF-8 text")
        raise failure([Finding(place_in(before, len(before), filename), (), words)]) from None
    return read(text, filename)


def _bytes(filename: str, what: What) -> bytes:
    """Return the content of a file of at most MAX_BYTES."""
    try:
        with FilePath(filename).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
            size = max(os.fstat(stream.fileno()).st_size, len(content))
    except FileNotFoundError as error:
        raise refusal(filename, "no such file" if what == "spec" else f"cannot be read: {error.strerror}") from None
    except IsADirectoryError:
        raise refusal(filename, f"a folder: a {what} is a YAML file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise refusal(filename, f"cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise refusal(filename, f"{size:,} bytes; a {what} has at most {MAX_BYTES:,}")
    return content


def mapping_of(document: Document, what: What) -> dict[str, Any]:
    """Return the mapping that ``document`` is.

    Raises
    ------
    SpecError
        It is a list, a single value or empty.
    """
    if isinstance(document.value, dict):
        return document.value
    seen, wanted = "empty", f"a {what} is a mapping of keys to values"
    if document.value is not None or document.findings:
        seen = "a list is given" if isinstance(document.value, list) else "a single value is given"
    words = Words(seen, wanted) if what == "spec" else Words(wanted)
    raise failure(document.findings or [Finding(document.place(()), (), words)])


def validated(document: Document, model: "type[Model]", values: Mapping[str, Any]) -> "Model | None":
    """Return the ``model`` of ``values``, which ``document`` holds; None, with findings in it, where a field fails."""
    made, faults = check(model, values, document.refused)
    document.findings += found(document, faults)
    return made


def found(document: Document, faults: list[Fault]) -> list[Finding]:
    """Return ``faults`` with their places in ``document``; no more of them than will be shown."""
    placed = sorted(((_place(document, fault), fault) for fault in faults), key=lambda each: each[0].order)
    return [Finding(place, _named(place, fault.paths), fault.words()) for place, fault in placed[: MOST + 1]]


def _place(document: Document, fault: Fault) -> Place:
    if fault.at_key:
        return document.keys[fault.paths[0]]
    if len(fault.paths) == 1:
        return document.place(fault.paths[0])
    # An override is to blame before the file, the field reported before the others that the rule reads.
    given = [place for path in fault.paths if (place := document.places.get(path))]
    return max(given, key=lambda place: place.override)


def _named(place: Place, paths: tuple[Path, ...]) -> Path:
    """Return the path to name: none where the place is the override of that field."""
    name = ".".join(map(str, paths[0]))
    return () if len(paths) == 1 and place.source.startswith(f"--set {name}=") else paths[0]
