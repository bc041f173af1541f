"""A spec read from YAML, overridden from the command line, and checked; every finding is reported at once."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from generator.errors import SpecError
from generator.spec.findings import MOST, Finding, Path, Place, dotted, failure, refusal
from generator.spec.source import MAX_BYTES, Document, place_in, read

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from generator.spec.schema import Spec

__all__ = ["load_spec", "parse_spec"]


def load_spec(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> "Spec":
    """Read the spec file at ``path``.

    Parameters
    ----------
    path
        A YAML file in UTF-8, at most 1 MiB.
    overrides
        Fields to set on top, as ``rnn.window=8``; the value is YAML.

    Raises
    ------
    SpecError
        The file cannot be read or the spec does not hold; one line for each finding, with its line and column.
    """
    filename = os.fspath(path)
    content = _bytes(filename)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        message = f"byte 0x{content[error.start]:02x} is not UTF-8: a spec is UTF-8 text"
        raise failure([Finding(place_in(before, len(before), filename), "", message)]) from None
    return parse_spec(text, filename, overrides)


def _bytes(filename: str) -> bytes:
    """Return the content of a file of at most MAX_BYTES."""
    try:
        with FilePath(filename).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
            size = max(os.fstat(stream.fileno()).st_size, len(content))
    except FileNotFoundError:
        raise refusal(filename, "no such file") from None
    except IsADirectoryError:
        raise refusal(filename, "a folder: a spec is a YAML file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise refusal(filename, f"cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise refusal(filename, f"{size:,} bytes; a spec has at most {MAX_BYTES:,}")
    return content


def parse_spec(text: str, filename: str, overrides: Sequence[str] = ()) -> "Spec":
    """Read a spec from YAML ``text``; ``filename`` is what findings call it.

    Raises
    ------
    SpecError
        As `load_spec`.
    """
    document = read(text, filename)
    if document.value is None and not document.findings:
        raise failure([Finding(document.place(()), "", "empty: a spec is a mapping of keys to values")])
    if not isinstance(document.value, dict):
        kind = "a list" if isinstance(document.value, list) else "a single value"
        finding = Finding(document.place(()), "", f"{kind} is given: a spec is a mapping of keys to values")
        raise failure(document.findings or [finding])
    for index, override in enumerate(overrides):
        _override(document, override, Place((1, index, 0), f"--set {override}"))
    return _checked(document)


def _override(document: Document, override: str, place: Place) -> None:
    """Set one field of ``document`` from the command line; what is wrong with that becomes a finding."""
    key, equals, text = override.partition("=")
    path: Path = tuple(key.split("."))
    if not equals or not all(path):
        document.findings.append(Finding(place, "", "not a field, = and its value, as in rnn.window=8"))
        return
    try:
        given = read(text, "value")
    except SpecError as error:
        document.findings.append(Finding(place, "", str(error).partition(": ")[2]))
        return
    if given.findings:
        document.findings += [finding._replace(place=place) for finding in given.findings]
        return
    section = document.value
    for depth, step in enumerate(path[:-1], 1):
        if section.get(step) is None:
            section[step] = {}
            document.move(path[:depth], {}, place)
        section = section[step]
        if not isinstance(section, dict):
            document.findings.append(Finding(place, "", f"{dotted(path[:depth])} is not a section"))
            return
    section[path[-1]] = given.value
    document.move(path, given.value, place)


def _checked(document: Document) -> "Spec":
    """Return the spec of ``document``; raise all that is wrong with it together."""
    from pydantic import ValidationError

    from generator.spec.schema import Spec

    try:
        spec = Spec.model_validate(document.value)
    except ValidationError as error:
        found = error.errors(include_url=False)
        document.findings += _field_findings(document, found)
        document.findings += _rule_findings(document, found)
    if document.findings:
        raise failure(document.findings)
    return spec


def _field_findings(document: Document, errors: "list[ErrorDetails]") -> Iterator[Finding]:
    """Yield what pydantic found in single fields, in our words; no more of it than will be shown."""
    from generator.spec.dump import json_schema
    from generator.spec.words import field_error

    schema = json_schema()
    placed = [
        (document.keys[path] if error["type"] == "extra_forbidden" else document.place(path), error)
        for error in errors
        # Broken rules, and what lacks because it was refused, are reported elsewhere.
        if (path := error["loc"]) and not document.refused.intersection(_heads(path))
    ]
    for place, error in sorted(placed, key=lambda found: found[0].order)[: MOST + 1]:
        name = dotted(error["loc"])
        overridden = place.text.startswith(f"--set {name}=")
        yield Finding(place, "" if overridden else name, field_error(error, schema))


def _rule_findings(document: Document, errors: "list[ErrorDetails]") -> Iterator[Finding]:
    """Yield the rules broken by fields that are fine by themselves."""
    from generator.spec.rules import broken_rules
    from generator.spec.schema import field_of

    unknown = document.refused.union(error["loc"] for error in errors if error["loc"])

    def field(path: str) -> object:
        steps = tuple(path.split("."))
        if unknown.intersection(_heads(steps)):
            raise LookupError(path)
        return field_of(document.value, path)

    for paths, message in broken_rules(field):
        given = [place for path in paths if (place := document.places.get(tuple(path.split("."))))]
        # An override is to blame before the file, the field reported before the others that the rule reads.
        place = max(given, key=lambda place: place.order[0])
        yield Finding(place, paths[0], message)


def _heads(path: Path) -> list[Path]:
    """Return ``path`` and all the sections it lies in."""
    return [path[:length] for length in range(1, len(path) + 1)]
