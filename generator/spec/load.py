"""A spec read from YAML, overridden from the command line, and checked; every finding is reported at once."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from generator.errors import SpecError
from generator.spec.check import check_spec
from generator.spec.findings import Finding, Path, Place, Words, dotted, failure
from generator.spec.reading import found, mapping_of, read_file
from generator.spec.rules import INSTEAD
from generator.spec.source import Document, read

if TYPE_CHECKING:
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
    return _spec(read_file(path, "spec"), overrides)


def parse_spec(text: str, filename: str, overrides: Sequence[str] = ()) -> "Spec":
    """Read a spec from YAML ``text``; ``filename`` is what findings call it.

    Raises
    ------
    SpecError
        As `load_spec`.
    """
    return _spec(read(text, filename), overrides)


def _spec(document: Document, overrides: Sequence[str]) -> "Spec":
    """Return the spec of ``document`` with ``overrides``; raise all that is wrong with it together."""
    mapping_of(document, "spec")
    for number, override in enumerate(overrides, 1):
        _override(document, override, Place(f"--set {override}", override=number))
    spec, faults = check_spec(document.value, document.refused)
    findings = document.findings + found(document, faults)
    if findings or spec is None:
        raise failure(findings)
    return spec


def _override(document: Document, override: str, place: Place) -> None:
    """Set one field of ``document`` from the command line; what is wrong with that becomes a finding."""
    key, equals, text = override.partition("=")
    path: Path = tuple(key.split("."))
    if not equals or not all(path):
        document.findings.append(Finding(place, (), Words("not a field, = and its value, as in rnn.window=8")))
        return
    try:
        given = read(text, "value")
    except SpecError as error:
        document.findings += [finding._replace(place=place) for finding in error.findings]
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
            document.findings.append(Finding(place, (), Words(f"{dotted(path[:depth])} is not a section")))
            return
    section.pop(INSTEAD.get(key, ""), None)
    section[path[-1]] = given.value
    document.move(path, given.value, place)
