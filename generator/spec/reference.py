"""The reference of the spec as Markdown, generated from its schema."""

import json
from typing import Any

from generator.spec.dump import json_schema
from generator.spec.findings import dotted
from generator.spec.words import allowed, resolved, sections

__all__ = ["reference"]


def reference() -> str:
    """Return one Markdown table for each section of a spec: its keys, what they take, their defaults and meanings."""
    schema = json_schema()
    names: dict[str, list[str]] = {}
    nodes: dict[str, dict[str, Any]] = {}
    for path, node in sections(schema, schema):
        names.setdefault(node["title"], []).append(f"`{dotted(path)}`" if path else "The spec")
        nodes[node["title"]] = node
    return "\n".join(f"### {', '.join(names[title])}\n\n{_table(schema, node)}" for title, node in nodes.items())


def _table(schema: dict[str, Any], node: dict[str, Any]) -> str:
    """Return the description of a section and the table of its keys."""
    lines = [node["description"], "", "| key | takes | default | meaning |", "|---|---|---|---|"]
    for key, field in node["properties"].items():
        section = "properties" in resolved(schema, field)
        takes = "a section, below" if section else allowed(schema, field)
        default = "needed" if key in node.get("required", ()) else _default(schema, field)
        lines.append(f"| `{key}` | {takes} | {default} | {field['description']} |")
    return "\n".join([*lines, ""])


def _default(schema: dict[str, Any], field: dict[str, Any]) -> str:
    """Return the default of a field in YAML; of a section, what differs from the defaults of its keys."""
    default = field["default"]
    if default is None:
        return "none"
    if not isinstance(default, dict):
        return f"`{default if isinstance(default, str) else json.dumps(default)}`"
    keys = resolved(schema, field)["properties"]
    own = [f"{key}: {value}" for key, value in default.items() if value != keys[key].get("default")]
    return f"`{{{', '.join(own)}}}`" if own else "its defaults"
