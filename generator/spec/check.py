"""Plain values checked against a model; what is wrong with them, in words but without a place."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from generator.spec.findings import Path, Words

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from generator.spec.schema import Spec

__all__ = ["Fault", "check", "check_spec"]

Model = TypeVar("Model", bound="BaseModel")


@dataclass(frozen=True)
class Fault:
    """One thing wrong with plain values.

    Attributes
    ----------
    paths
        The fields it is about, the one to report first.
    words
        Returns what is wrong; called for what is shown alone, for the nearest word takes its time.
    at_key
        Whether the key is at fault, not its value.
    """

    paths: tuple[Path, ...]
    words: Callable[[], Words]
    at_key: bool = False


def check(
    model: "type[Model]", values: Mapping[str, Any], refused: Collection[Path] = ()
) -> "tuple[Model | None, list[Fault]]":
    """Return the ``model`` of ``values``; None where a field does not hold, and what is wrong with each.

    Nothing is said of what lies at or in a ``refused`` path: its value is not known.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(values), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
    # An error without a path is a broken rule: `check_spec` has the words for those.
    placed = [error for error in errors if error["loc"] and not _touches(refused, error["loc"])]
    return None, [_fault(error, model) for error in placed]


def check_spec(values: Mapping[str, Any], refused: Collection[Path] = ()) -> "tuple[Spec | None, list[Fault]]":
    """Return the spec of ``values`` as `check` does; rules between fields that hold by themselves are checked too."""
    from generator.spec.rules import broken_rules
    from generator.spec.schema import Spec, completed, field_of

    spec, faults = check(Spec, values, refused)
    if spec is not None:
        return spec, faults
    plain = completed(dict(values))
    unknown = {*refused, *(path for fault in faults for path in fault.paths)}

    def field(name: str) -> object:
        if _touches(unknown, tuple(name.split("."))):
            raise LookupError(name)
        return field_of(plain, name)

    for names, message in broken_rules(field):
        seen, _, allowed = message.partition(": ")
        faults.append(Fault(tuple(tuple(name.split(".")) for name in names), partial(Words, seen, allowed)))
    return None, faults


def _touches(paths: Collection[Path], path: Path) -> bool:
    """Say whether ``path`` or a section it lies in is one of ``paths``."""
    return any(path[:length] in paths for length in range(1, len(path) + 1))


def _fault(error: "ErrorDetails", model: "type[BaseModel]") -> Fault:
    from generator.spec.words import field_error

    return Fault((error["loc"],), lambda: field_error(error, _schema(model)), at_key=error["type"] == "extra_forbidden")


@cache
def _schema(model: "type[BaseModel]") -> dict[str, Any]:
    from generator.spec.dump import schema_of

    return schema_of(model)
