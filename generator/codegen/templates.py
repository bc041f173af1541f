"""The templates: drn's own, and a user's folder over them, in which any of them may be replaced.

drn's own come compiled with the wheel. A user's template is text of a stranger to drn: it runs in Jinja's sandbox,
reads no file outside the two folders, and is compiled anew in each run.
"""

from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.exceptions import TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from generator.codegen.environment import environment, own_loader, prototxt_number
from generator.errors import TemplateError
from generator.files import resource

__all__ = ["ORIGINAL", "prototxt_number", "render_template"]

# The prefix under which a user's template reads the one it replaces: {% import "drn/onnx/loss.j2" as original %}.
ORIGINAL = "drn"


class _Sandbox(ImmutableSandboxedEnvironment):
    """A template reads the fields of a spec alone: models of pydantic have methods that read files, and pickles."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        fields = getattr(type(obj), "model_fields", None)
        return (fields is None or attr in fields) and super().is_safe_attribute(obj, attr, value)


class _Confined(FileSystemLoader):
    """A folder of templates out of which no link leads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder.resolve()

    def get_source(self, environment: Environment, template: str) -> Any:
        source = super().get_source(environment, template)
        if not Path(source[1]).resolve().is_relative_to(self._folder):
            raise TemplateError(f"{source[1]}: is a link out of the folder of templates: put the file itself there")
        return source


@lru_cache
def _own() -> Environment:
    # drn's own templates are as trusted as its code; without a sandbox they render twice as fast.
    return environment(own_loader(resource("templates")), auto_reload=False)


@lru_cache
def _over(folder: Path) -> Environment:
    """Return the environment in which the templates of ``folder`` replace drn's own."""
    if not folder.is_dir():
        raise TemplateError(f"{folder}: no such folder of templates")
    own = FileSystemLoader(resource("templates"))
    loader = _Confined(folder)
    _require_read(loader, folder, set(own.list_templates()))
    return environment(ChoiceLoader([loader, PrefixLoader({ORIGINAL: own}), own]), _Sandbox)


def _require_read(loader: FileSystemLoader, folder: Path, known: set[str]) -> None:
    """Refuse a template that replaces none of drn's and that no other of the folder names: its name is mistaken."""
    names = [name for name in loader.list_templates() if name.endswith(".j2")]
    texts = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        if name not in known and not any(name.encode() in text for other, text in texts.items() if other != name):
            raise TemplateError(f"{folder / name}: replaces no template of drn: they are {', '.join(sorted(known))}")


def render_template(template: str, folder: Path | None = None, **values: object) -> str:
    """Render one template of ``templates/`` with ``values``.

    Parameters
    ----------
    template
        Its name, as ``onnx/loss.onnxtxt.j2``.
    folder
        A user's templates; one of the same name comes before drn's, which it may import under ``drn/``.

    Raises
    ------
    TemplateError
        A user's template does not hold: with its file and line.
    """
    if folder is None:
        return _own().get_template(template).render(**values)
    try:
        return _over(folder).get_template(template).render(**values)
    except TemplateSyntaxError as error:
        raise TemplateError(f"{error.filename or error.name}:{error.lineno}: {error.message}") from error
    except RecursionError:
        raise TemplateError(f"{folder}: the templates import each other without an end, from {template} on") from None
    # The sandbox lets a template fail in any way that an expression of Python can.
    except (JinjaError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = f"no template {error.name}" if isinstance(error, TemplateNotFound) else str(error)
        raise TemplateError(f"{_place(error.__traceback__, template)}: {said}") from error


def _place(trace: TracebackType | None, template: str) -> str:
    """Return file and line of the innermost template on the way to an error."""
    place = template
    while trace:
        # Jinja gives the frames of a template the template's own file and lines.
        if (filename := trace.tb_frame.f_code.co_filename).endswith(".j2"):
            place = f"{filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
