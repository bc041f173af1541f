"""What MkDocs takes from the code: the references, the pictures, the project's own pages, and excerpts of files.

Nothing here is written twice. A line ``@excerpt FILE`` in a page stands for that file of the checkout; a line
``@excerpt FILE :: FROM :: TO`` for its lines from the only one that begins with FROM to just before the next that
begins with TO, or to the end. A text that is not there, or is there twice, stops the build.
"""

import configparser
import html
import importlib
import inspect
import pkgutil
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import generator
from generator.cli import COMMANDS, drn
from generator.data.log.layouts import Layout
from generator.data.log.public.table import FORMATS
from generator.spec.reference import reference

ROOT = Path(__file__).resolve().parents[1]
PROJECT = {"contributing.md": "CONTRIBUTING.md", "security.md": "SECURITY.md", "changelog.md": "CHANGELOG.md"}
DIRECTIVE = "@excerpt "


def on_config(config: Any) -> Any:
    """List the page of every command, of which mkdocs.yml names the folder."""
    pages = ["commands/index.md", *({f"drn {name}": f"commands/{name}.md"} for name in COMMANDS)]
    for section in config.nav:
        for entries in section.values() if isinstance(section, dict) else ():
            if isinstance(entries, list) and "commands/" in entries:
                entries[entries.index("commands/")] = {"Commands": pages}
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and pictures."""
    for uri, content in generated().items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the excerpts in."""
    try:
        return expand(markdown)
    except LookupError as error:
        raise PluginError(f"{page.file.src_uri}: {error.args[0]}") from error


def on_serve(server: Any, **_: Any) -> Any:
    """Rebuild on a change of the code, too, while pages are written."""
    server.watch(str(ROOT / "generator"))
    return server


def generated() -> dict[str, str]:
    """Return all generated pages and pictures, by their place below docs/."""
    pages = {uri: (ROOT / name).read_text(encoding="utf-8") for uri, name in PROJECT.items()}
    pages["spec.md"] = spec_page()
    pages["formats.md"] = formats_page()
    pages["commands/index.md"] = commands_page()
    for name in COMMANDS:
        pages[f"commands/{name}.md"] = command_page(name)
    pages["pictures/floors.svg"] = floors_picture()
    pages["pictures/rnn-history.svg"] = dot_picture(ROOT / "generated" / "rnn-history" / "graph.dot")
    return pages


def expand(markdown: str) -> str:
    """Replace each line ``@excerpt …`` by what it names."""
    lines = []
    for line in markdown.splitlines():
        lines += excerpt(line.removeprefix(DIRECTIVE)) if line.startswith(DIRECTIVE) else [line]
    return "\n".join(lines)


def excerpt(text: str) -> list[str]:
    """Return the lines that ``FILE``, ``FILE :: FROM`` or ``FILE :: FROM :: TO`` names."""
    name, *ends = (part.strip() for part in text.split(" :: "))
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    if not ends:
        return lines
    first, *rest = ends
    starts = [number for number, line in enumerate(lines) if line.strip().startswith(first)]
    if len(starts) != 1:
        raise LookupError(f"{name}: {len(starts)} lines begin with {first!r}; an excerpt begins at just one")
    found = lines[starts[0] :]
    if rest:
        stops = [number for number, line in enumerate(found) if number and line.strip().startswith(rest[0])]
        if not stops:
            raise LookupError(f"{name}: after {first!r} no line begins with {rest[0]!r}")
        found = found[: stops[0]]
    return "\n".join(found).strip("\n").splitlines()


def spec_page() -> str:
    """Return the reference of the spec, from its schema."""
    return (
        "# The spec\n\nOne YAML file says the whole of a net. `gen-model --schema` prints the same as a JSON Schema, "
        f"for editors and machines.\n\n{reference().replace('### ', '## ')}"
    )


def formats_page() -> str:
    """Return the reference of the public formats of logs, from their table."""
    parts = [
        "# Formats of logs\n\n`drn sessions LOG --log-format NAME` reads these, each file also as `.gz` and as "
        "Parquet. Any other log is of the format `events`: [From a log to data](data.md) tells how."
    ]
    for name, form in FORMATS.items():
        layouts = [_layout(layout, nested=form.records is not None) for layout in form.layouts]
        traps = [f"- {trap}" for trap in form.traps]
        parts.append("\n".join([f"## `{name}`: {form.title}\n", f"[Source]({form.source})\n", *layouts, "", *traps]))
    return "\n\n".join(parts) + "\n"


def _layout(layout: Layout, *, nested: bool) -> str:
    """Describe a file of a format: its columns, and what its words for events mean."""
    separator = {"\t": "tabs", ",": "commas"}.get(layout.separator, layout.separator)
    columns = ", ".join(f"`{column}`" for column in layout.columns[:12]) + (", …" if len(layout.columns) > 12 else "")
    what = (
        "A JSON object a line, or a row of a Parquet file with the same nested columns."
        if nested
        else f"Separated by {separator}: {columns}."
    )
    if not layout.roles["event"].meta.root_names():
        return what
    words = ", ".join(f"`{word}` {kind}" for word, kind in layout.words.items())
    return f"{what} Events: {words}" + ("; other words are others." if layout.lenient else ".")


def commands_page() -> str:
    """Return the list of commands, from the group."""
    rows = "\n".join(f"| [`drn {name}`]({name}.md) | {text} |" for name, text in COMMANDS.items())
    return (
        "# Commands\n\n`gen-model` is `drn generate` under a name of its own, and `python -m generator` is `drn`. Exit "
        "status: 0 fine, 1 found a problem (drift, a bad line), 2 wrong use or bad input. Progress bars appear on a "
        f"terminal only; NO_COLOR is honoured.\n\n| command | what it does |\n|---|---|\n{rows}\n"
    )


def command_page(name: str) -> str:
    """Return the page of a subcommand: usage, what its ``--help`` says, example, options."""
    parent = click.Context(drn, info_name="drn")
    command = drn.get_command(parent, name)
    assert command is not None  # noqa: S101 - the names are the group's own
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    text, _, example = inspect.cleandoc(command.help or "").partition("\n\b\nExample:\n")
    usage = command.get_usage(context).removeprefix("Usage: ")
    parts = [f"# drn {name}", f"```text\n{usage}\n```", _plain(text.strip())]
    parts.append(f"## Example\n\n```sh\n{inspect.cleandoc(example)}\n```")
    rows = [each.get_help_record(context) for each in command.get_params(context)]
    table = "\n".join(f"| `{row[0]}` | {_plain(row[1])} |" for row in rows if row and row[1])
    parts.append(f"## Options\n\n| option | meaning |\n|---|---|\n{table}")
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Keep what a help text says in plain letters from reading as Markdown."""
    return re.sub(r"[*_|]", r"\\\g<0>", text.replace("<", "&lt;"))


def floors() -> list[list[str]]:
    """Return the floors of the package, top first, each a list of its modules: the contract that the tests check."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["importlinter:contract:floors"]["layers"].split("\n")
    return [[name.strip() for name in line.split("|")] for line in lines if line.strip()]


def floors_picture() -> str:
    """Return the floors as SVG: a box a module, with the first line of its docstring."""
    width, height, gap = 800, 44, 8
    known = {module.name for module in pkgutil.iter_modules(generator.__path__)}
    parts, y = [], gap
    for floor in floors():
        box = (width - gap * (len(floor) + 1)) / len(floor)
        for place, name in enumerate(floor):
            if name not in known:
                raise PluginError(f"setup.cfg, importlinter: there is no generator.{name}")
            doc = (importlib.import_module(f"generator.{name}").__doc__ or "").strip().splitlines()[0].replace("`", "")
            shown = html.escape(_short(doc, int(box / 6.6)))
            x = gap + place * (box + gap)
            parts.append(
                f'<rect x="{x:.0f}" y="{y}" width="{box:.0f}" height="{height}" rx="6" fill="#dbe9f6"/>'
                f'<text x="{x + 12:.0f}" y="{y + 19}" font-weight="bold">{name}</text>'
                f'<text x="{x + 12:.0f}" y="{y + 36}" font-size="12">{shown}</text>'
            )
        y += height + gap
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" font-family="sans-serif" font-size="14" '
        f'fill="#1d2b3a" role="img"><title>The floors of drn: each imports only from those below it</title>'
        f"{''.join(parts)}</svg>\n"
    )


def _short(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1].rsplit(" ", 1)[0] + " …"


def dot_picture(path: Path) -> str:
    """Return a DOT file drawn by graphviz, or, where there is none, a picture that says so."""
    program = shutil.which("dot")
    if program:
        drawn = subprocess.run([program, "-Tsvg", path], capture_output=True, text=True, check=True)  # noqa: S603
        return drawn.stdout[drawn.stdout.index("<svg") :]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 40"><text x="10" y="25">'
        "Graphviz draws this picture; it was not installed here.</text></svg>\n"
    )
