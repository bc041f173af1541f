"""The environment that compiles and renders templates; it imports Jinja alone, for `setup.py` runs it."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, FileSystemLoader, ModuleLoader, StrictUndefined

__all__ = ["compile_templates", "environment", "own_loader", "prototxt_number"]


def prototxt_number(value: float) -> str:
    """Return ``value`` as a protobuf text number, the shortest that reads back the same."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def environment(loader: BaseLoader, kind: type[Environment] = Environment, **settings: Any) -> Environment:
    """Return an environment of drn's settings; a name that a template does not get is an error."""
    # A spec's strings are values, never templates.
    made = kind(loader=loader, undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, **settings)
    made.filters["prototxt_number"] = prototxt_number
    return made


def compile_templates(templates: Path, package: Path) -> None:
    """Compile a folder of templates to Python modules in ``package``, the codegen package of a wheel in the making.

    Compiling takes longer than all else that `gen-model` does; a wheel has it done. A checkout compiles in each run.
    """
    target = _compiled(package)
    target.mkdir(parents=True, exist_ok=True)
    made = environment(FileSystemLoader(templates))
    made.compile_templates(target, zip=None, ignore_errors=False)


def own_loader(templates: Path) -> BaseLoader:
    """Return the loader of drn's own templates: what the wheel has compiled, else the folder ``templates``."""
    compiled = _compiled(Path(__file__).parent)
    return ModuleLoader(compiled) if compiled.is_dir() else FileSystemLoader(templates)


def _compiled(package: Path) -> Path:
    """Return where the modules are that the Jinja installed here understands; another's may lack what it needs."""
    return package / "compiled" / f"jinja2-{version('jinja2')}"
