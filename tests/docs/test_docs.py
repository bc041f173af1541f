"""The documentation: it builds strictly, every block is run or checked, and what it names is there."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from blocks import ROOT, Block, Shell, blocks, masked
from reviewed import BEFORE, NOT_RUN, SHORTER

from generator.cli import COMMANDS, drn
from generator.data.log.public.table import FORMATS
from generator.data.log.words import WORDS
from generator.experiment.claims import PAPER
from generator.serving.http.endpoints import ENDPOINTS
from generator.serving.metrics import Metrics
from generator.spec import parse_spec
from generator.spec.reference import reference

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]
# A block of this language is a file of this name, taken by gen-model's option: the file, or the folder it is in.
EXTENSIONS = {"jinja": ("onnx/loss.j2", "--templates", "."), "python": ("rules.py", "--rules", "rules.py")}
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}


@pytest.fixture(scope="session")
def hooks():
    """The module docs/hooks.py."""
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, TEXTS[page]))])
def test_every_block_runs_or_holds(page, tmp_path, hooks):
    if "curl" in TEXTS[page] and not shutil.which("curl"):
        pytest.skip("the page's commands want curl")
    shell, printed = Shell(tmp_path, TEXTS[page]), ""
    try:
        for block in blocks(page, TEXTS[page]):
            if block.is_script:
                printed = shell.run(block)
            elif block.is_transcript:
                shell.replay(block)
            elif block.is_output and not any(line.startswith("@excerpt") for line in block.lines):
                compare(block, printed)
            else:
                check(block, hooks, tmp_path)
    finally:
        shell.close()


def compare(block: Block, printed: str) -> None:
    """The lines shown are among those printed, in their order, but for figures."""
    found = iter(masked(printed))
    for line in masked("\n".join(block.lines)):
        assert line in found, f"{block.where}: {line!r} is not printed any more, or not there:\n{printed}"


def check(block: Block, hooks, folder: Path) -> None:
    """A block that is no command: parsed, or found in the generated files."""
    text = hooks.expand("\n".join(block.lines))
    excerpt = text != "\n".join(block.lines)
    if block.language == "yaml":
        found = yaml.safe_load(text)
        if {"name", "net", "pages"} <= set(found):
            parse_spec(text, block.where)
    elif block.language == "json":
        json.loads(text)
    elif block.language == "prototxt" and not excerpt:
        files = (ROOT / "generated").rglob("*.prototxt")
        assert any(text in path.read_text() for path in files), f"{block.where}: is in no generated prototxt any more"
    elif block.language == "python" and block.lines[0] == "import generator as drn":
        command = [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block.where}: {done.stderr}"
    elif block.language == "pycon":
        assert block.page == "docs/python.md", f"{block.where}: tests/api/test_page.py runs one page"
    elif block.language in EXTENSIONS and not excerpt:
        name, option, given = EXTENSIONS[block.language]
        file = folder / "extension" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        chosen = [str(ROOT / "arch_specs/rnn.yaml"), option, str(folder / "extension" / given), "-o", str(folder / "x")]
        done = subprocess.run(
            [sys.executable, "-m", "generator", "generate", *chosen], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block.where}: {done.stderr}"
    else:
        assert excerpt, (
            f"{block.where}: nothing checks a block of {block.language!r}: use one that something does, or @excerpt"
        )


def test_the_site_builds_strictly_and_asks_nobody_else(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    fetched = re.compile(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>")
    for path in (tmp_path / "site").rglob("*.html"):
        assert not fetched.findall(path.read_text()), f"{path.name} fetches from elsewhere"
    for name in COMMANDS:
        assert (tmp_path / "site" / "commands" / name / "index.html").is_file()


def test_the_page_of_the_spec_holds_the_reference(hooks):
    assert reference().replace("### ", "## ") in hooks.generated()["spec.md"]


def test_the_page_of_the_formats_holds_each_with_its_traps(hooks):
    page = hooks.generated()["formats.md"]
    for name, form in FORMATS.items():
        assert f"## `{name}`: {form.title}" in page
        assert f"({form.source})" in page
        assert all(f"- {trap}" in page for trap in form.traps)
        assert all(f"`{word}`" in page for layout in form.layouts for word in layout.words if layout.words != WORDS)


def test_an_excerpt_that_has_gone_stops_the_build(hooks):
    with pytest.raises(LookupError, match="0 lines begin with 'nothing like it'"):
        hooks.expand("@excerpt LICENSE :: nothing like it :: The")
    with pytest.raises(LookupError, match="4 lines begin with"):
        hooks.expand("@excerpt generated/rnn/train_val.prototxt :: include { :: }")
    with pytest.raises(LookupError, match="after 'MIT' no line begins with 'nothing"):
        hooks.expand("@excerpt LICENSE :: MIT :: nothing")


def test_the_page_of_a_command_says_all_that_its_help_says(hooks):
    """Each word of --help, but for what click's layout adds."""
    for name in COMMANDS:
        command = drn.get_command(click.Context(drn), name)
        context = click.Context(command, info_name=f"drn {name}", terminal_width=500, **command.context_settings)
        page = re.sub(r"[\\`|]", "", hooks.command_page(name).replace("&lt;", "<"))
        for word in re.sub(r"[`|]", "", command.get_help(context)).split():
            assert word in page or word in ("Usage:", "Example:", "Options:"), f"{name}: {word}"


def test_commands_and_options_that_the_pages_name_are_there(hooks):
    """Also in sentences, in what is not run, and in the examples of --help."""
    pages = TEXTS | {uri: text for uri, text in hooks.generated().items() if uri.startswith("commands/")}
    for page, text in pages.items():
        fenced = [line for block in blocks(page, text) if block.is_script for line in block.lines]
        for code in [*fenced, *re.findall(r"`([^`\n]+)`", text)]:
            words = code.removeprefix(".venv/bin/").split()
            name = "generate" if words[:1] == ["gen-model"] else words[1] if words[:1] == ["drn"] and words[1:] else ""
            if name in COMMANDS:
                command = drn.get_command(click.Context(drn), name)
                known = {"-h", "--help"} | {
                    opt for each in command.params for opt in (*each.opts, *each.secondary_opts)
                }
                wrong = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
                assert not wrong, f"{page}: {code}: drn {name} has no {', '.join(wrong)}"
                for word in words:
                    if word.startswith("arch_specs/") and not re.search(r"[*?]", word):
                        assert (ROOT / word).exists(), f"{page}: {code}: there is no {word}"
            elif words[:1] == ["drn"] and words[1:]:
                assert words[1].startswith(("-", "NAME")), f"{page}: {code}: there is no such command"


def test_every_rule_of_the_review_is_needed():
    lines = [line for page in PAGES for block in blocks(page, TEXTS[page]) if block.is_script for line in block.lines]
    for pattern, _, reason in SHORTER:
        assert any(re.search(pattern, line) for line in lines), f"{pattern}: nothing is shortened by it ({reason})"
    for start, reason in NOT_RUN.items() | {(start, reason) for start, (_, reason) in BEFORE.items()}:
        plain = [line.removeprefix(".venv/bin/") for line in lines]
        assert any(line.startswith(start) for line in plain), f"{start}: no such line any more ({reason})"


def test_make_demo_is_what_the_readme_shows():
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    shown = " ".join(TEXTS["README.md"].split())
    for line in re.findall(r"\$\(DRN\) (.*)", recipe):
        words = line.replace("$(DEMO)", "build/demo")
        assert words.startswith("generate") or f"drn {words}" in shown, (
            f"make demo runs drn {words}; the README does not"
        )


def test_claims_are_the_papers():
    told = TEXTS["docs/claims.md"]
    for claim in PAPER.values():
        assert f"> {claim}\n" in told


def test_links_between_the_projects_own_files_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", TEXTS[page]):
            assert (ROOT / Path(target)).exists(), f"{page}: {target}"


def test_routes_and_metrics_that_the_page_of_serving_names_are_there():
    told = TEXTS["docs/serving.md"]
    routes = {(route.method, route.path) for route in ENDPOINTS}
    assert set(re.findall(r"`(GET|POST|DELETE) (/[^`]+)`", told)) <= routes
    kept = re.findall(r"^# TYPE (\w+)", Metrics().text().decode(), re.MULTILINE)
    assert set(re.findall(r"`(drn_\w+)`", told)) == set(kept)
