"""The variants of a plan: a base spec, fields over it, and for each variant overrides over both."""

import copy
import re
from pathlib import Path as FilePath
from typing import Any

from generator.errors import SpecError
from generator.spec import Spec, load_spec
from generator.spec.check import check_spec
from generator.spec.findings import Finding, Path, Words, dotted
from generator.spec.overlay import laid_over, set_field
from generator.spec.schema import NAME
from generator.spec.source import Document

__all__ = ["read_variants"]


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
            self._document.find(("spec",), "a section is wanted: fields of a spec")
            inline = {}
        if variants is None:
            variants = {str(laid_over(fixed, inline).get("name", "net")): {}}
            if not fixed and not inline:
                self._document.find((), "no net", "give base (a spec file), spec or both")
        if not isinstance(variants, dict) or not variants:
            self._document.find(
                ("variants",), "a section is wanted: fields of the spec by variant, as in rnn: {net: rnn}"
            )
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
            self._document.find(path, "the path of a spec file is wanted")
            return {}
        try:
            return load_spec(self._folder / base).model_dump()
        except SpecError as error:
            for finding in error.findings:
                self._document.find(path, str(finding))
            return {}

    def _variant(self, name: str, overrides: Any, fixed: dict[str, Any], inline: dict[str, Any]) -> Spec | None:
        path: Path = ("variants", name)
        if not re.fullmatch(NAME, name):
            self._document.find(path, f"{name!r} is no name of a variant: a-z first, then a-z, 0-9, - and _")
            return None
        if not isinstance(overrides, dict | None):
            self._document.find(path, "fields of the spec are wanted, as in {net: rnn, rnn.window: 4}")
            return None
        own = dict(overrides or {})
        if (base := own.pop("base", None)) is not None:
            before = len(self._document.findings)
            # A base of its own is another net: what spec says of the plan's base is not said of it.
            fixed, inline = self._base(base, (*path, "base")), {}
            if len(self._document.findings) > before:
                return None
        plain = copy.deepcopy(laid_over(fixed, inline))
        for key, value in own.items():
            if not set_field(plain, key, value):
                self._document.find((*path, key), f"{key}: its section is no section")
                return None
        return self._checked(name, own, plain)

    def _checked(self, name: str, own: dict[str, Any], plain: dict[str, Any]) -> Spec | None:
        spec, faults = check_spec(plain)
        for fault in faults:
            written = [path for path in fault.paths if _overriding(own, path)]
            self._blame(name, own, (written or fault.paths)[0], fault.words())
        return spec

    def _blame(self, name: str, own: dict[str, Any], path: Path, words: Words) -> None:
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
        elsewhere = where[:1] == ("base",) or where[-1:] == ("base",)
        finding = Finding(document.place(where), where, Words(f"{dotted(path)}: {words}") if elsewhere else words)
        if finding not in document.findings:  # what is wrong in the fixed part is wrong in every variant
            document.findings.append(finding)


def _overriding(own: dict[str, Any], path: Path) -> str | None:
    """Return the override that sets ``path``, as itself or as a section around it."""
    dots = [str(step) for step in path]
    return next((key for key in own if dots[: len(steps := key.split("."))] == steps), None)
