"""The same spec gives the same bytes: in any process, place, time zone and locale, on every Python that drn takes."""

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

SPECS = ("combined", "fnn", "rnn-history", "yoochoose-tuned")
TEXTS = "caffe,portable,onnx,triton,graph,gradient"
NEEDED = ("click", "jinja2", "numpy", "onnx", "pydantic", "yaml")
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def texts(folder: Path) -> dict[str, str]:
    """The hash of every text below a folder of generated folders; the binaries are not canonical."""
    files = [path for name in SPECS for path in (folder / name).glob("[!.]*") if path.suffix != ".onnx"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def generated(root: Path, out: Path, python: str = sys.executable, cwd: Path | None = None, **settings: str):
    """Run gen-model in a process of its own; return the hash of every text it wrote."""
    paths = [str(root / "arch_specs" / f"{name}.yaml") for name in SPECS]
    environment = {"PATH": os.environ["PATH"], "HOME": str(out), "PYTHONPATH": str(root)} | settings
    command = [python, "-m", "generator", "generate", *paths, "--only", TEXTS, "-o", str(out)]
    subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True)
    return texts(out)


@pytest.fixture(scope="module")
def expected(root) -> dict[str, str]:
    """What is committed."""
    found = texts(root / "generated")
    assert len(found) == 10 * len(SPECS)
    return found


@pytest.mark.parametrize("seed", ["0", "1", "77", "4294967295"])
def test_hash_seed(root, tmp_path, expected, seed):
    assert generated(root, tmp_path, PYTHONHASHSEED=seed) == expected


@pytest.mark.parametrize(("place", "zone"), [("tests", "Asia/Tokyo"), ("/", "America/Lima"), (".", "UTC")])
def test_working_directory_and_time_zone(root, tmp_path, expected, place, zone):
    assert generated(root, tmp_path, cwd=root / place, TZ=zone) == expected


def locales() -> list[str]:
    """The locales of this machine, and one that does not exist."""
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.split()
    return [*listed, "xx_XX.none"]


@pytest.mark.parametrize("name", locales())
@pytest.mark.parametrize("mode", ["0", "1"])
def test_locale(root, tmp_path, expected, name, mode):
    """With Python's own UTF-8 mode on and off, and a stdout that takes ASCII alone."""
    settings = {"LC_ALL": name, "LANG": name, "PYTHONUTF8": mode, "PYTHONIOENCODING": "ascii"}
    assert generated(root, tmp_path, **settings) == expected


@cache
def interpreter(version: str) -> str:
    """Return a Python of this version that has what gen-model needs; skip, with the reason, where there is none."""
    variable = f"DRN_PYTHON_{version.replace('.', '_')}"
    folders = [Path.home() / ".pyenv" / "versions", Path.home() / ".local" / "share" / "uv" / "python"]
    candidates = [os.environ.get(variable), shutil.which(f"python{version}")]
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        candidates.insert(0, sys.executable)
    candidates += [str(path) for folder in folders for path in sorted(folder.glob(f"*{version}*/bin/python"))]
    ask = f"import sys; print('%d.%d' % sys.version_info[:2]); import {', '.join(NEEDED)}"
    reason = f"no Python {version} is here"
    for python in filter(None, candidates):
        try:
            run = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if run.stdout.strip() == version and not run.returncode:
            return python
        if run.stdout.strip() == version:
            lacks = run.stderr.strip().rpartition("\n")[2]
            reason = f"Python {version} is here, but: {lacks}; name one that has {', '.join(NEEDED)} by {variable}"
    return pytest.skip(reason)


@pytest.mark.parametrize("version", VERSIONS)
def test_python_version(root, tmp_path, expected, version):
    assert generated(root, tmp_path, interpreter(version)) == expected


def test_explain_is_told_to_a_terminal_that_lacks_its_letters(root):
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C"}
    command = [sys.executable, "-m", "generator", "generate", str(root / "arch_specs" / "combined.yaml"), "--explain"]
    run = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert b"x_history = ?_j history_weight_j" in run.stdout
