"""A spec as a YAML file that says why each field is what it is."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from generator.spec.dump import dump_spec
from generator.spec.schema import Spec

__all__ = ["commented"]

WIDTH = 118


def commented(spec: Spec, header: Sequence[str], reasons: Mapping[str, str]) -> str:
    """Return ``spec`` as YAML with comments; `load_spec` reads an equal spec from it.

    Parameters
    ----------
    spec
        The spec; fields at their defaults are left out, but for those with a reason.
    header
        Lines at the top of the file.
    reasons
        Why, by field: ``pages``, ``rnn.window``; those of fields that the spec has no section for are left out.
    """
    lines = [line for text in header for line in _comment(text, "")]
    values = _with_defaults(spec, reasons)
    for key in [name for name in type(spec).model_fields if name in values]:
        lines += _lines(key, values[key], key, reasons)
    return "\n".join([*lines, ""])


def _lines(key: str, value: Any, path: str, reasons: Mapping[str, str]) -> list[str]:
    """Return the lines of a field or a section, and of all in it."""
    indent = "  " * path.count(".")
    found = _comment(reasons.get(path), indent)
    if isinstance(value, dict):
        inner = yaml.safe_dump(
            value, sort_keys=False, default_flow_style=True, allow_unicode=True, width=10_000
        ).strip()
        if path.count(".") > 1 or (path.count(".") == 1 and len(inner) < WIDTH // 2):
            return [*found, f"{indent}{key}: {inner}"]
        found.append(f"{indent}{key}:")
        return found + [line for name, each in value.items() for line in _lines(name, each, f"{path}.{name}", reasons)]
    text = yaml.safe_dump({key: value}, default_flow_style=None if isinstance(value, list) else False, width=10_000)
    return found + [indent + line for line in text.splitlines()]


def _with_defaults(spec: Spec, paths: Iterable[str]) -> dict[str, Any]:
    """Return the fields of ``spec`` that are not at their defaults, and those at ``paths``."""
    values: dict[str, Any] = yaml.safe_load(dump_spec(spec))
    every = spec.model_dump()
    for path in paths:
        section, _, name = path.partition(".")
        if name and isinstance(every.get(section), dict):
            values.setdefault(section, {}).setdefault(name, every[section][name])
    return values


def _comment(text: str | None, indent: str) -> list[str]:
    width = WIDTH - len(indent)
    # A line break of a name in a log would end the comment.
    return [f"{indent}# {line}" for line in textwrap.wrap(" ".join(text.split()), width)] if text else []
