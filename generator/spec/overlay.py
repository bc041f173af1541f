"""Plain values laid over others: a spec over its base, a field set by its dotted path."""

import copy
from collections.abc import Mapping
from typing import Any

from generator.spec.rules import INSTEAD

__all__ = ["laid_over", "set_field"]


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` with the fields of ``above``, section by section; neither is changed.

    Examples
    --------
    >>> from generator.spec.overlay import laid_over
    >>> laid_over({"rnn": {"window": 4, "history": 8}}, {"rnn": {"window": 2}})
    {'rnn': {'window': 2, 'history': 8}}
    """
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = laid_over(below[key], value) if both else value
    return merged


def set_field(values: dict[str, Any], name: str, value: Any) -> bool:
    """Set the field at a dotted path in place, or fields of the section there; say whether there is a place for it."""
    *path, last = name.split(".")
    section = values
    for step in path:
        if section.get(step) is None:
            section[step] = {}
        section = section[step]
        if not isinstance(section, dict):
            return False
    both = isinstance(value, dict) and isinstance(section.get(last), dict)
    section.pop(INSTEAD.get(name, ""), None)
    section[last] = copy.deepcopy(laid_over(section[last], value) if both else value)
    return True
