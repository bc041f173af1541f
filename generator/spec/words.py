"""What is wrong with a field, and what is allowed there, in words; both follow the JSON Schema of the spec."""

import difflib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from generator.spec.findings import Path, Words, clipped, dotted
from generator.spec.source import plain_scalar

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["allowed", "field_error", "resolved", "sections"]

_NAME = "a name (a-z first, then a-z, 0-9, - and _, at most 64 characters)"
_BEYOND = {
    "greater_than_equal": ("small: at least", "ge"),
    "greater_than": ("small: more than", "gt"),
    "less_than_equal": ("large: at most", "le"),
    "less_than": ("large: less than", "lt"),
}
# What is said of fields that take any text or any keys.
_PLEAS = {
    "string_type": "text is wanted",
    "dict_type": "a section is wanted",
    "string_too_long": "at most {max_length} characters are wanted",
}
_WORDS = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "of at most",
    "exclusiveMaximum": "below",
}
_KINDS: dict[type, str] = {bool: "a truth value", str: "text", int: "a whole number", float: "a decimal number"}
_GIVEN: dict[type, str] = {type(None): "nothing", list: "a list", dict: "a section"}
_TRUTHS = {
    **dict.fromkeys(("yes", "on", "y", "1", "true"), "true"),
    **dict.fromkeys(("no", "off", "n", "0", "false"), "false"),
}
# What other libraries call a field.
_SYNONYMS = {
    "epoch": "epochs",
    "iterations": "max_iter",
    "lr": "base_lr",
    "learning_rate": "base_lr",
    "optimizer": "type",
    "optimiser": "type",
    "seed": "random_seed",
}
_WANTED = "{}: {} is wanted"
_NUMERIC = re.compile("[-+0-9._, eE]+")
_ENDLESS = 2**31 - 1  # a bound beyond which none is worth a word: int32, float32


def resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Return the schema ``node`` without its reference and without the alternative of null."""
    while True:
        if "anyOf" in node:
            node = next(choice for choice in node["anyOf"] if choice.get("type") != "null")
        elif "allOf" in node:  # pydantic before 2.9 wraps a reference so
            node = node["allOf"][0]
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
        return f"one of {', '.join(_choices(node))}"
    if "properties" in node:
        keys = list(node["properties"])
        return f"a section ({', '.join(keys[:6])}{', ...' if len(keys) > 6 else ''})"
    if node["type"] == "array":
        low, high = node.get("minItems", 0), node["maxItems"]
        return f"a list of {low} to {high}, each {allowed(schema, node['items'])}"
    if node["type"] == "string":
        return _NAME if "pattern" in node else "text"
    if node["type"] == "boolean":
        return "true or false"
    return f"{'a whole number' if node['type'] == 'integer' else 'a number'} {_bounds(node)}".rstrip()


def _bounds(node: dict[str, Any]) -> str:
    """Say between which bounds a number lies."""
    bounds = {key: node[key] for key in _WORDS if key in node and abs(node[key]) < _ENDLESS}
    if bounds.keys() == {"minimum", "maximum"}:
        return f"from {bounds['minimum']} to {bounds['maximum']}"
    return " and ".join(f"{_WORDS[key]} {bound:g}" for key, bound in bounds.items())


def _node_at(schema: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the resolved schema of the field at ``path``; a mapping's values are alike, whatever the key."""
    node = resolved(schema, schema)
    for step in path:
        inner = node["items"] if isinstance(step, int) else node.get("properties", {}).get(step)
        node = resolved(schema, node["additionalProperties"] if inner is None else inner)
    return node


def field_error(error: "ErrorDetails", schema: dict[str, Any]) -> Words:
    """Say what was seen and what is allowed.

    Parameters
    ----------
    error
        One error of pydantic; its path leads into the spec.
    schema
        The JSON Schema of the spec.
    """
    path, value, kind = error["loc"], error["input"], error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(schema, path)
    if kind in _BEYOND:
        words, bound = _BEYOND[kind]
        size, _, most = words.partition(": ")
        return Words(f"{_shown(value)} is too {size}", f"{most} {_number(error['ctx'][bound])}")
    node = _node_at(schema, path)
    if kind in _PLEAS and "pattern" not in node:
        example = "".join(f", as in {example}" for example in node.get("examples", ()))
        return Words(_PLEAS[kind].format(**error.get("ctx", {})) + example)
    wanted = allowed(schema, node)
    if kind == "missing":
        return Words("missing", wanted)
    if kind in ("too_short", "too_long"):
        return Words(f"a list of {len(value)} is too {kind[4:]}", wanted, link=_WANTED)
    return _mismatch(value, kind, node, wanted)


def _mismatch(value: object, kind: str, node: dict[str, Any], wanted: str) -> Words:
    """Say that a value is of the wrong type or form."""
    if kind == "string_pattern_mismatch":
        return Words(_shown(value), wanted, link="{} is not {}")
    if kind == "literal_error" and isinstance(value, str):
        return Words(f"{_shown(value)} is unknown", wanted, nearest(value, _choices(node)))
    if kind == "finite_number":
        return Words(f"{_shown(value)} is not finite", wanted, link=_WANTED)
    return Words(_kind(value), wanted, _hint(value, node), _WANTED)


def _unknown_key(schema: dict[str, Any], path: Path) -> Words:
    """Suggest the nearest key of the section, else the section that has such a key, else name all keys."""
    key, known = str(path[-1]), list(_node_at(schema, path[:-1])["properties"])
    if (meant := _SYNONYMS.get(key.lower())) in known:
        return Words("unknown key", hint=f"did you mean {meant}?")
    if hint := nearest(key, known):
        return Words("unknown key", hint=hint)
    homes = [dotted((*home, key)) for home, node in sections(schema, schema) if key in node["properties"]]
    if homes:
        return Words("unknown key", hint=f"did you mean {' or '.join(homes)}?")
    return Words("unknown key", f"one of {', '.join(known)}")


def _choices(node: dict[str, Any]) -> list[str]:
    """Return what a field may be, as YAML has it."""
    return [each if isinstance(each, str) else str(each).lower() for each in node["enum"]]


def nearest(word: str, known: list[str]) -> str:
    """Return a question that suggests the nearest of ``known``, or nothing."""
    by_case = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word[:64].lower(), by_case, n=1)
    return f"did you mean {by_case[found[0]]}?" if found else ""


def _number(value: float) -> str:
    """Write a bound: whole numbers in full."""
    return str(value) if isinstance(value, int) else f"{value:g}"


def _shown(value: object) -> str:
    """Write a scalar as in YAML, cut to fit a line."""
    return f"'{clipped(value)}'" if isinstance(value, str) else clipped(str(value).lower())


def _kind(value: object) -> str:
    """Write a value with its type."""
    kind = _KINDS.get(type(value))
    return f"{_shown(value)} is {kind}" if kind else f"{_GIVEN[type(value)]} is given"


def _hint(value: object, node: dict[str, Any]) -> str:
    """Say what was probably meant: no section, a list, a number."""
    wanted = node.get("type")  # none of a choice between words and truths
    if wanted == "object":
        return "or leave the key out" if value is None else ""
    text = str(value).strip()
    if wanted == "boolean":
        return f"write {_TRUTHS[text.lower()]}" if text.lower() in _TRUTHS else ""
    if len(text) > 40 or not _NUMERIC.fullmatch(text):
        return ""
    if wanted == "array":
        return f"write [{text}]"
    if isinstance(value, float) and not node.get("minimum", value) <= value <= node.get("maximum", value):
        return ""  # written as it should be, it would be out of bounds
    return _number_meant(value, text) if wanted in ("integer", "number") else ""


def _number_meant(value: object, text: str) -> str:
    """Say how to write the number that ``value``, written as ``text``, looks like."""
    if isinstance(value, float):
        return f"write {int(value)}" if value.is_integer() else ""
    if _is_number(text):
        return "take the quotes off"
    plain = re.sub("[_,]", "", text).lstrip("0+")
    return f"write {plain}" if _is_number(plain) else ""


def _is_number(text: str) -> bool:
    return type(plain_scalar(text)) in (int, float)
