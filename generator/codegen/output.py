"""What `gen-model --format json` prints, and the JSON Schema of it."""

from typing import Any

__all__ = ["MODES", "output_schema"]

MODES = ("write", "check", "diff", "dry-run", "explain")

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_MAYBE_COUNT = {"type": ["integer", "null"], "minimum": 0}
_NUMBER = {"type": ["number", "null"], "description": "null where the file has none."}


def _closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def output_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the output of every mode; ``specs`` are in the order given."""
    spec = {"name": {**_TEXT, "description": "The spec's name."}}
    folder = {"folder": {**_TEXT, "description": "The folder of its artefacts."}}
    file = _closed(
        path={**_TEXT, "description": "The file, with its folder."},
        status={"enum": ["new", "changed", "unchanged"], "description": "Beside what the folder held."},
        bytes={**_COUNT, "description": "The size of the generated file."},
    )
    shape = {
        "type": ["array", "null"],
        "items": {"anyOf": [_COUNT, {"type": "string", "pattern": "^[0-9]*B$"}]},
        "description": "B is the batch size; null where it is unknown.",
    }
    parameter = _closed(
        name=_TEXT,
        shape=shape,
        layers={**_list(_TEXT), "description": "The layers that share it."},
        lr_mult=_NUMBER,
        decay_mult=_NUMBER,
        values=_MAYBE_COUNT,
        bytes=_MAYBE_COUNT,
    )
    explained = {
        "equations": _list(_closed(equation=_TEXT, words=_TEXT)),
        "blobs": _list(_closed(name=_TEXT, shape=shape, role={"enum": ["input", "hidden", "output"]})),
        "parameters": _list(parameter),
        "totals": _closed(
            values=_COUNT, bytes=_COUNT, flop_per_sample=_MAYBE_COUNT, flop_per_sample_to_loss=_MAYBE_COUNT
        ),
        "flop_rule": _TEXT,
    }
    differing = {
        **spec,
        **folder,
        "drift": {"type": "boolean", "description": "Whether the folder differs from what the spec gives."},
        "diff": {**_TEXT, "description": "The unified diff from the folder to what the spec gives."},
    }
    listed = {**spec, **folder, "files": _list(file)}
    by_mode = {
        "write": listed,
        "check": differing,
        "diff": differing,
        "dry-run": listed,
        "explain": {**spec, **explained},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gen-model output",
        "oneOf": [
            _closed(mode={"const": mode}, specs=_list(_closed(**properties))) for mode, properties in by_mode.items()
        ],
    }
