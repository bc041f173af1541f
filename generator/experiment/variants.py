"""The variants of a plan: a base spec, fields over it, and for each variant overrides over both."""

import copy
import re
from pathlib import Path as FilePath
from typing import Any

from generator.errors import SpecError
from generator.spec import Spec, load_spec
from generator.spec.findings import Finding, Path, dotted
from generator.spec.rules import broken_rules
from generator.spec.schema import field_of
from generator.spec.source import Document

__all__ = ["find", "read_variants"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def read_variants(document: Document, folder: FilePath, plain: dict[str, Any]) -> dict[str, Spec]:
    """Take base, spec and variants out of ``plain``; return the specs they make, with findings for those that fail.

    Parameters
    ----------
    document
        The plan, for places and findings.
    folder
        Where relative paths begin.
    plain
        The plan as plain values.
    """
    return _Variants(document, folder).read(plain)


def find(document: Document, path: Path, message: str) -> None:
    """Note what is wrong with the value at ``path`` of ``document``."""
    document.findings.append(Finding(document.place(path), dotted(path), message))


class _Variants:
    """The variants of a plan: base, spec and overrides laid over each other, and checked."""

    def __init__(self, document: Document, folder: FilePath) -> None:
        self._document, self._folder = document, folder

    def read(self, plain: dict[str, Any]) -> dict[str, Spec]:
        """Take base, spec and variants out of ``plain``; return the specs they make."""
        before = len(self._document.findings)
        inline = plain.pop("spec", {})
        fixed = self._base(plain.pop("base", None), ("base",))
        variants = plain.pop("variants", None)
        if not isinstance(inline, dict):
            self._find(("spec",), "a section is wanted: fields of a spec")
            inline = {}
        if variants is None:
            variants = {str(_laid_over(fixed, inline).get("name", "net")): {}}
            if not fixed and not inline:
                place = self._document.place(())
                self._document.findings.append(Finding(place, "", "no net: give base (a spec file), spec or both"))
        if not isinstance(variants, dict) or not variants:
            self._find(("variants",), "a section is wanted: fields of the spec by variant, as in rnn: {net: rnn}")
            return {}
        if len(self._document.findings) > before:
            return {}
        found: dict[str, Spec] = {}
        for name, overrides in variants.items():
            if (spec := self._variant(name, overrides, fixed, inline)) is not None:
                found[name] = spec
        return found

    def _base(self, base: Any, path: Path) -> dict[str, Any]:
        if base is None:
            return {}
        if not isinstance(base, str):
            self._find(path, "the path of a spec file is wanted")
            return {}
        try:
            return load_spec(self._folder / base).model_dump()
        except SpecError as error:
            for line in str(error).splitlines():
                self._find(path, line)
            return {}

    def _variant(self, name: str, overrides: Any, fixed: dict[str, Any], inline: dict[str, Any]) -> Spec | None:
        path: Path = ("variants", name)
        if not _NAME.fullmatch(name):
            self._find(path, f"{name!r} is no name of a variant: a-z first, then a-z, 0-9, - and _")
            return None
        if not isinstance(overrides, dict | None):
            self._find(path, "fields of the spec are wanted, as in {net: rnn, rnn.window: 4}")
            return None
        own = dict(overrides or {})
        if (base := own.pop("base", None)) is not None:
            before = len(self._document.findings)
            # A base of its own is another net: what spec says of the plan's base is not said of it.
            fixed, inline = self._base(base, (*path, "base")), {}
            if len(self._document.findings) > before:
                return None
        plain = copy.deepcopy(_laid_over(fixed, inline))
        for key, value in own.items():
            if not _set(plain, key, value):
                self._find((*path, key), f"{key}: its section is no section")
                return None
        return self._checked(name, own, plain)

    def _checked(self, name: str, own: dict[str, Any], plain: dict[str, Any]) -> Spec | None:
        from pydantic import ValidationError

        from generator.spec.dump import json_schema
        from generator.spec.words import field_error

        try:
            return Spec.model_validate(plain)
        except ValidationError as error:
            errors = error.errors(include_url=False)
        wrong = set()
        for each in errors:
            if path := each["loc"]:
                wrong.add(dotted(path))
                self._blame(name, own, path, field_error(each, json_schema()))

        def field(path: str) -> object:
            if any(path == other or other.startswith((f"{path}.", f"{path}[")) for other in wrong):
                raise LookupError(path)
            return field_of(plain, path)

        for paths, message in broken_rules(field):
            written = [path for path in paths if _overriding(own, tuple(path.split(".")))]
            self._blame(name, own, tuple((written or paths)[0].split(".")), message)
        return None

    def _blame(self, name: str, own: dict[str, Any], path: Path, message: str) -> None:
        """Place a finding at the override that sets ``path``, else at the field of spec, else at the base."""
        document = self._document
        if (key := _overriding(own, path)) is not None:
            below = path[len(key.split(".")) :]
            where: Path = ("variants", name, key, *below)
        elif "base" in own:
            where = ("variants", name, "base")
        elif ("spec", *path[:1]) in document.places or ("base",) not in document.places:
            where = ("spec", *path)
        else:
            where = ("base",)
        if document.places.keys() <= {()}:
            where = ()
        said = f"{dotted(path)}: {message}" if where[:1] == ("base",) or where[-1:] == ("base",) else message
        finding = Finding(document.place(where), dotted(where), said)
        if finding not in document.findings:  # what is wrong in the fixed part is wrong in every variant
            document.findings.append(finding)

    def _find(self, path: Path, message: str) -> None:
        find(self._document, path, message)


def _overriding(own: dict[str, Any], path: Path) -> str | None:
    """Return the override that sets ``path``, as itself or as a section around it."""
    dots = [str(step) for step in path]
    return next((key for key in own if dots[: len(steps := key.split("."))] == steps), None)


def _set(plain: dict[str, Any], key: str, value: Any) -> bool:
    """Set the field at a dotted path, or fields of the section there; say whether there is a place for it."""
    *path, last = key.split(".")
    section = plain
    for step in path:
        if section.get(step) is None:
            section[step] = {}
        section = section[step]
        if not isinstance(section, dict):
            return False
    both = isinstance(value, dict) and isinstance(section.get(last), dict)
    section[last] = copy.deepcopy(_laid_over(section[last], value) if both else value)
    return True


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return ``below`` with the fields of ``above``, section by section."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _laid_over(below[key], value) if both else value
    return merged
