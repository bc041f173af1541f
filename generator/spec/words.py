"""What is wrong with a field, and what is allowed there, in words; both follow the JSON Schema of the spec."""

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from generator.spec.source import Path, clipped, dotted, plain_scalar

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["allowed", "field_error", "resolved", "sections"]

_NAME = "a name: a-z first, then a-z, 0-9, - and _, at most 64 characters"


def resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Return the schema ``node`` without its reference and without the alternative of null."""
    while True:
        if "anyOf" in node:
            node = next(choice for choice in node["anyOf"] if choice.get("type") != "null")
        elif "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        else:
            return node


def sections(schema: dict[str, Any], node: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the path and the resolved schema of ``node`` and of every section below it, outermost first."""
    node = resolved(schema, node)
    if "properties" in node:
        yield path, node
        for key, below in node["properties"].items():
            yield from sections(schema, below, (*path, key))


def allowed(schema: dict[str, Any], node: dict[str, Any]) -> str:
    """Say what ``node`` of the spec's JSON Schema takes: ``a whole number from 1 to 256``."""
    node = resolved(schema, node)
    if "enum" in node:
        return f"one of {', '.join(node['enum'])}"
    if "properties" in node:
        return f"a section ({', '.join(node['properties'])})"
    if node["type"] == "array":
        low, high = node.get("minItems", 0), node["maxItems"]
        return f"a list of {low} to {high}, each {allowed(schema, node['items'])}"
    if node["type"] == "string":
        return _NAME
    return f"{'a whole number' if node['type'] == 'integer' else 'a number'} {_bounds(node)}".rstrip()


def _bounds(node: dict[str, Any]) -> str:
    """Say between which bounds a number lies; those of float32 go without saying."""
    low, above = node.get("minimum"), node.get("exclusiveMinimum")
    high, below = node.get("maximum"), node.get("exclusiveMaximum")
    if low is not None and high is not None and -1e30 < low and high < 1e30:
        return f"from {low} to {high}"
    words = []
    if low is not None and low > -1e30:
        words.append(f"of at least {low:g}")
    if above is not None:
        words.append(f"above {above:g}")
    if high is not None and high < 1e30:
        words.append(f"of at most {high:g}")
    if below is not None:
        words.append(f"below {below:g}")
    return " and ".join(words)


def _node_at(schema: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the resolved schema of the field at ``path``."""
    node = resolved(schema, schema)
    for step in path:
        node = resolved(schema, node["items"] if isinstance(step, int) else node["properties"][step])
    return node


def field_error(error: "ErrorDetails", schema: dict[str, Any]) -> str:
    """Say what was seen and what is allowed.

    Parameters
    ----------
    error
        One error of pydantic; its path leads into the spec.
    schema
        The JSON Schema of the spec.
    """
    path, value, kind, bound = error["loc"], error["input"], error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(schema, path)
    node = _node_at(schema, path)
    wanted = allowed(schema, node)
    match kind:
        case "missing":
            return f"missing: {wanted}"
        case "greater_than_equal":
            return f"{_shown(value)} is too small: at least {bound['ge']:g}"
        case "greater_than":
            return f"{_shown(value)} is too small: more than {bound['gt']:g}"
        case "less_than_equal":
            return f"{_shown(value)} is too large: at most {_number(bound['le'])}"
        case "less_than":
            return f"{_shown(value)} is too large: less than {bound['lt']:g}"
        case "finite_number":
            return f"{_shown(value)} is not finite: {wanted} is wanted"
        case "too_short":
            return f"an empty list: at least {bound['min_length']} is wanted"
        case "too_long":
            return f"a list of {len(value)}: at most {bound['max_length']}"
        case "literal_error" if isinstance(value, str):
            return f"{_shown(value)} is unknown: {wanted}{_nearest(value, node['enum'])}"
        case "string_pattern_mismatch":
            return f"{_shown(value)} is not {wanted}"
    return f"{_kind(value)}: {wanted} is wanted{_hint(value, node)}"


def _unknown_key(schema: dict[str, Any], path: Path) -> str:
    """Suggest the nearest key of the section, else the section that has such a key, else name all keys."""
    key, known = str(path[-1]), list(_node_at(schema, path[:-1])["properties"])
    if nearest := _nearest(key, known):
        return f"unknown key{nearest}"
    homes = [dotted((*home, key)) for home, node in sections(schema, schema) if key in node["properties"]]
    if homes:
        return f"unknown key; did you mean {' or '.join(homes)}?"
    return f"unknown key: one of {', '.join(known)}"


def _nearest(word: str, known: list[str]) -> str:
    """Return a question that suggests the nearest of ``known``, or nothing."""
    by_case = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word[:64].lower(), by_case, n=1)
    return f"; did you mean {by_case[found[0]]}?" if found else ""


def _number(value: float) -> str:
    """Write a bound: whole numbers in full."""
    return str(value) if isinstance(value, int) else f"{value:g}"


def _shown(value: object) -> str:
    """Write a scalar, cut to fit a line."""
    return f"'{clipped(value)}'" if isinstance(value, str) else clipped(str(value))


def _kind(value: object) -> str:
    """Write a value with its type."""
    match value:
        case None:
            return "nothing is given"
        case bool():
            return f"{str(value).lower()} is a truth value"
        case str():
            return f"{_shown(value)} is text"
        case int():
            return f"{_shown(value)} is a whole number"
        case float():
            return f"{_shown(value)} is a decimal number"
        case list():
            return "a list is given"
    return "a section is given"


def _hint(value: object, node: dict[str, Any]) -> str:
    """Say how the number that was probably meant is written."""
    kind = node.get("type")
    if kind not in ("integer", "number"):
        return ""
    if isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if not isinstance(value, str) or len(value) > 40:
        return ""
    if isinstance(plain_scalar(value), int | float):
        return "; take the quotes off"
    meant = value.strip().replace("_", "").replace(",", "").lstrip("0+")
    return f"; write {meant}" if meant and isinstance(plain_scalar(meant), int | float) else ""
