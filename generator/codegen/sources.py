"""Which specs a command line names, read and overridden."""

import json
from collections.abc import Callable, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from generator.errors import SpecError
from generator.spec import load_spec
from generator.spec.schema import Spec, field_of

__all__ = ["load_specs", "spec_paths"]


def spec_paths(given: Sequence[Path]) -> list[Path]:
    """Return the spec files that files, globs and folders name, in the order given, each once.

    A folder stands for the .yaml and .yml files in it, in order of name; so does a glob for what it matches.

    Raises
    ------
    SpecError
        A glob matches nothing, or a folder holds no spec.
    """
    found: dict[Path, Path] = {}
    for path in given:
        for each in _named(path):
            found.setdefault(each.resolve(), each)
    return list(found.values())


def _named(path: Path) -> list[Path]:
    if path.is_dir():
        specs = sorted(each for suffix in ("yaml", "yml") for each in path.glob(f"*.{suffix}"))
        if not specs:
            raise SpecError(f"{path}: a folder without a spec: it holds no .yaml or .yml file")
        return specs
    if has_magic(str(path)) and not path.exists():
        matches = [Path(match) for match in sorted(glob(str(path), recursive=True))]  # noqa: PTH207 - a glob may be absolute
        if not matches:
            raise SpecError(f"{path}: matches no file")
        return matches
    return [path]


def load_specs(paths: Sequence[Path], overrides: Sequence[str], tell: Callable[[str], None]) -> list[Spec]:
    """Load every spec; ``tell`` hears of each override, as ``rnn.window: 4 -> 8``.

    Raises
    ------
    SpecError
        With the findings in all specs together; two specs of one name are one of them.
    """
    loaded: dict[str, tuple[Spec, Path]] = {}
    findings = []
    for path in paths:
        try:
            spec = load_spec(path, overrides)
        except SpecError as error:
            findings.append(str(error))
            continue
        if spec.name in loaded:
            findings.append(f"{path}: name {spec.name} is taken by {loaded[spec.name][1]}; they would share a folder")
        loaded[spec.name] = (spec, path)
    if findings:
        raise SpecError("\n".join(findings))
    for spec, path in loaded.values():
        for line in _changes(spec, path, overrides):
            tell(f"{path}: {line}" if len(loaded) > 1 else line)
    return [spec for spec, _ in loaded.values()]


def _changes(spec: Spec, path: Path, overrides: Sequence[str]) -> list[str]:
    """Return what each override did to the spec of the file at ``path``."""
    if not overrides:
        return []
    from generator.spec.source import read

    before = read(path.read_text(encoding="utf-8"), str(path)).value
    fields = dict.fromkeys(override.partition("=")[0] for override in overrides)
    return [f"{field}: {_shown(before, field)} -> {_shown(spec, field)}" for field in fields]


def _shown(spec: Spec | dict[str, Any], field: str) -> str:
    """Return the value of a field as it would be written in YAML; a section as its fields that are no defaults."""
    try:
        value: Any = field_of(spec, field)
    except LookupError:
        return "absent"
    value = value.model_dump(exclude_defaults=True) if hasattr(value, "model_dump") else value
    return value if isinstance(value, str) else json.dumps(value)
