"""A gene of a plan read from its YAML: exactly one of int, float, choice, list, and what belongs to it."""

from typing import Any

from generator.spec.findings import Path
from generator.spec.source import Document
from generator.tuning.genes import ChoiceGene, Gene, ListGene, NumberGene

__all__ = ["parse_gene"]

_KEYS = {"int": ("log", "step"), "float": ("log",), "choice": (), "list": ("length",)}
_EXAMPLES = "{int: [1, 8]}, {float: [0.01, 1], log: true}, {choice: [32, 64]} or {list: {int: [8, 64]}, length: [1, 3]}"
LONGEST = 32


class _Flaw(Exception):  # noqa: N818 - no error of the program: it becomes a finding
    """What is wrong, and at which path."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def parse_gene(document: Document, path: Path, value: Any) -> Gene | None:
    """Return the gene written at ``path``; None, with a finding in ``document``, where it does not hold.

    Parameters
    ----------
    document
        The plan, for places and findings.
    path, value
        Where the gene is, and what was written there.
    """
    try:
        return _gene(path, value)
    except _Flaw as flaw:
        document.find(flaw.path, str(flaw))
        return None


def _gene(path: Path, value: Any) -> Gene:
    if not isinstance(value, dict):
        raise _Flaw(path, f"a gene is {_EXAMPLES}")
    kinds = [kind for kind in _KEYS if kind in value]
    if len(kinds) != 1:
        raise _Flaw(path, f"{' and '.join(kinds) or 'no kind'} given: a gene is {_EXAMPLES}")
    kind = kinds[0]
    if unknown := [key for key in value if key != kind and key not in _KEYS[kind]]:
        known = " and ".join(_KEYS[kind]) or "nothing"
        raise _Flaw((*path, unknown[0]), f"unknown key: {kind} takes {known} beside it")
    if kind == "choice":
        return _choice((*path, kind), value[kind])
    if kind == "list":
        return _listing(path, value)
    return _number(path, value, kind)


def _choice(path: Path, values: Any) -> ChoiceGene:
    if not isinstance(values, list) or not values:
        raise _Flaw(path, "a list of values to choose from is wanted, as in [32, 64, 128]")
    for index, value in enumerate(values):
        if value in values[:index]:
            raise _Flaw((*path, index), f"{value} is given twice")
    return ChoiceGene(tuple(values))


def _listing(path: Path, value: dict[str, Any]) -> ListGene:
    element = _gene((*path, "list"), value["list"])
    if isinstance(element, ListGene):
        raise _Flaw((*path, "list"), "a list of lists: a list of numbers or choices is wanted")
    length: Any = value.get("length")
    if not _is_pair(length, int) or not 0 <= length[0] <= length[1] <= LONGEST:
        wanted = f"[shortest, longest] is wanted, of 0 to {LONGEST}, as in length: [1, 3]"
        raise _Flaw((*path, "length"), wanted)
    return ListGene(element, *length)


def _number(path: Path, value: dict[str, Any], kind: str) -> NumberGene:
    bounds, log, step = value[kind], value.get("log", False), value.get("step", 1)
    whole = kind == "int"
    if not _is_pair(bounds, int if whole else float):
        example = "whole numbers is wanted, as in [1, 8]" if whole else "numbers is wanted, as in [0.01, 1]"
        raise _Flaw((*path, kind), f"[low, high] of {example}")
    low, high = bounds
    flaws = {
        kind: [(low > high, f"low {low} is above high {high}"), (log is True and low <= 0, f"{low} has no logarithm")],
        "log": [(not isinstance(log, bool), "true or false is wanted")],
        "step": [
            (type(step) is not int or step < 1, "a whole number of at least 1 is wanted"),
            (log is True and step != 1, "a step does not go with log"),
        ],
    }
    for key, found in flaws.items():
        for wrong, message in found:
            if wrong:
                raise _Flaw((*path, key), message)
    return NumberGene(low, high, whole, log, step)


def _is_pair(value: Any, kind: type) -> bool:
    """Say whether ``value`` is two finite numbers of ``kind``; whole numbers are floats too."""
    allowed = (int,) if kind is int else (int, float)
    return isinstance(value, list) and len(value) == 2 and all(type(v) in allowed and abs(v) < 1e300 for v in value)
