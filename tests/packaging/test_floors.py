"""Nothing imports upwards: the contract in setup.cfg, by import-linter, and what is written of it."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path


def lint(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def floors(root: Path) -> list[set[str]]:
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    lines = config["importlinter:contract:floors"]["layers"].strip().splitlines()
    return [{name.strip() for name in line.split("|")} for line in lines]


def test_a_floor_imports_only_from_those_below_it(root):
    done = lint(root)
    assert done.returncode == 0, done.stdout


def test_an_import_upwards_is_found(root, tmp_path):
    """The contract bites: on a package of the same floors, in which each line is broken once."""
    (tmp_path / "setup.cfg").write_text((root / "setup.cfg").read_text())
    package = tmp_path / "generator"
    package.mkdir()
    (package / "__init__.py").touch()
    for floor in floors(root):
        for name in floor:
            (package / f"{name}.py").touch()
    assert lint(tmp_path, "--contract", "floors").returncode == 0
    for file, line in (
        ("errors.py", "import generator.files"),
        ("spec.py", "from generator import codegen"),
        ("train.py", "def late():\n    from generator.evaluation import model\n"),  # side by side, and late
    ):
        (package / file).write_text(line)
        done = lint(tmp_path, "--contract", "floors")
        assert done.returncode == 1, f"{file}: {line}\n{done.stdout}"
        (package / file).write_text("")


def test_contributing_tells_the_same_floors(root):
    section = (root / "CONTRIBUTING.md").read_text().partition("## Floors")[2].partition("\n## ")[0]
    told = [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in section.splitlines() if row.startswith("| `")]
    assert told == floors(root)


def test_a_public_class_name_has_one_meaning(root):
    defined = [
        (node.name, path.name)
        for path in sorted((root / "generator").rglob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    names = [name for name, _ in defined]
    assert not [each for each in defined if names.count(each[0]) > 1]


def test_a_module_is_read_in_one_sitting(root):
    """At most 400 lines a module; at most 60 a function, its docstring and its signature apart."""
    for path in sorted((root / "generator").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                begin = node.body[min(ast.get_docstring(node) is not None, len(node.body) - 1)].lineno
                assert node.end_lineno - begin < 60, f"{path}: {node.name}"
