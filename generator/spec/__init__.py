"""The architecture spec: YAML in, a checked `Spec` out, with every mistake named by line and column."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generator.spec.dump import dump_spec, json_schema, spec_hash
    from generator.spec.load import load_spec, parse_spec
    from generator.spec.schema import Spec

__all__ = ["Spec", "dump_spec", "json_schema", "load_spec", "parse_spec", "spec_hash"]

# Imported when first asked for: pydantic and yaml would cost a command's --help a tenth of a second.
_HOMES = {
    "Spec": "schema",
    "dump_spec": "dump",
    "json_schema": "dump",
    "load_spec": "load",
    "parse_spec": "load",
    "spec_hash": "dump",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
