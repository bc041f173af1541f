"""Wheel and source distribution: complete, well described, and at work in an environment outside the checkout."""

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.oracle  # builds and installs: the slow lane

EXTRAS = ("polars", "matplotlib", "implicit", "scipy", "optuna", "starlette", "pymongo", "faiss", "ray", "torch")
DATA = ("*.j2", "*.html", "*.js", "*.css", "*.yaml", "*.proto", "py.typed")
PLACES = {"generator": "generator", "templates": "generator/templates", "arch_specs": "generator/arch_specs"}


def run(*command: object, cwd: Path, **environment: str) -> str:
    # Another test's PYTHONPATH, which lasts as long as its Ray, would bring the checkout in.
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env=outside | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(root, tmp_path_factory) -> Path:
    """A folder with the sdist of the checkout, and the wheel built from that sdist."""
    copy = tmp_path_factory.mktemp("source") / "drn"

    def passed_over(folder: str, names: list[str]) -> set[str]:
        made = {name for name in names if name == "__pycache__" or name.endswith((".egg-info", ".onnx"))}
        if Path(folder) == root:
            made |= {name for name in names if name.startswith(".") or name in ("build", "dist", "data", "runs")}
        return made

    shutil.copytree(root, copy, ignore=passed_over)
    out = tmp_path_factory.mktemp("dist")
    # Without isolation: the setuptools that is here, and no network.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, copy, cwd=out)
    return out


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(dist) -> Path:
    (found,) = dist.glob("*.tar.gz")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment that has the wheel, and sees the libraries (but not the drn) of this one."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment.parent)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel,
        cwd=environment.parent)  # fmt: skip
    # A path in a .pth is added as it is: the editable drn, a .pth in there itself, is not followed.
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=environment.parent)
    (Path(site.strip()) / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return environment / "bin"


def test_twine_finds_nothing_to_complain_of(wheel, sdist, tmp_path):
    assert "PASSED" in run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, cwd=tmp_path)


def test_the_wheel_has_every_module_and_all_data(wheel, root):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, place in PLACES.items():
        for pattern in ("*.py", *DATA):
            for path in (root / folder).rglob(pattern):
                assert f"{place}/{path.relative_to(root / folder).as_posix()}" in names, path
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"generator"}
    assert not [name for name in names if name.endswith((".pyc", ".onnx"))]


def test_the_sdist_can_be_tested_and_documented(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        "LICENSE", "README.md", "CHANGELOG.md", "Makefile", "setup.py", "mkdocs.yml", "docs/hooks.py", "setup.cfg",
        "pyproject.toml", "tests/conftest.py", "tests/constraints.txt", "generated/rnn/train_val.prototxt",
        "generator/py.typed", "templates/caffe/solver.prototxt.j2", "generator/serving/http/static/index.html",
    }  # fmt: skip
    assert not [name for name in names if name.startswith((".", "build/", "data/", "runs/")) or name.endswith(".pyc")]


def test_the_description_is_whole(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
    told = email.message_from_bytes(archive.read(name))
    assert told["Name"] == "drn-recommender"
    assert told["Requires-Python"] == ">=3.10"
    assert (told["License-Expression"] or told["License"]) == "MIT"
    assert "Typing :: Typed" in told.get_all("Classifier")
    assert {"all", "data", "docs", "eval", "serve", "test", "tune"} <= set(told.get_all("Provides-Extra"))
    needed = [line for line in told.get_all("Requires-Dist") if "extra ==" not in line]
    # What a user gets without asking: no deep-learning framework, no dataframe, no server.
    assert {line.partition(">")[0] for line in needed} == {
        "jinja2", "pyyaml", "pydantic", "protobuf", "onnx", "onnxruntime", "numpy", "h5py", "click", "rich",
    }  # fmt: skip


def test_gen_model_gives_the_same_bytes_from_the_wheel(installed, root, tmp_path):
    shutil.copytree(root / "arch_specs", tmp_path / "specs")
    shutil.copytree(root / "generated" / "rnn-history", tmp_path / "generated" / "rnn-history")
    where = run(installed / "python", "-c", "import generator; print(generator.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    run(installed / "gen-model", "--check", "specs/rnn-history.yaml", cwd=tmp_path)
    run(installed / "gen-model", "specs/combined.yaml", cwd=tmp_path)
    assert (tmp_path / "generated" / "combined" / "model.onnx").is_file()
    assert run(installed / "drn", "--version", cwd=tmp_path).startswith("drn, version 0.")


def test_the_wheel_has_the_templates_compiled_and_uses_them(installed, wheel, root, tmp_path):
    compiled = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("generator/codegen/compiled/")]
    assert len(compiled) == len(list((root / "templates").rglob("*.j2")))
    # With the texts away, the modules alone give the bytes that are committed.
    show = "from generator.codegen.templates import resource; print(resource('templates'))"
    templates = Path(run(installed / "python", "-c", show, cwd=tmp_path).strip())
    shutil.copytree(root / "generated" / "combined", tmp_path / "generated" / "combined")
    for path in templates.rglob("*.j2"):
        path.rename(path.with_suffix(".away"))
    try:
        run(installed / "gen-model", "--check", root / "arch_specs" / "combined.yaml", cwd=tmp_path)
    finally:
        for path in templates.rglob("*.away"):
            path.rename(path.with_suffix(".j2"))


def test_the_whole_way_works_from_the_wheel(installed, root, tmp_path):
    shutil.copy(root / "arch_specs" / "shop.yaml", tmp_path)
    short = ("--set", "solver.max_iter=20")
    run(installed / "drn", "simulate", "-o", "log", "--sessions", 2000, cwd=tmp_path)
    run(installed / "drn", "sessions", "log/events.parquet", "--spec", "shop.yaml", "-o", "data", cwd=tmp_path)
    run(installed / "drn", "train", "shop.yaml", "--data", "data", "-o", "run", *short, cwd=tmp_path)
    assert "popularity" in run(installed / "drn", "evaluate", "run", "--data", "data", cwd=tmp_path)
    assert "item-" in run(installed / "drn", "recommend", "run", "--session", "home,item-1", cwd=tmp_path)
    # The static files of the page, the template of the report.
    page = "from generator.serving.http.handlers import STATIC; print(*sorted(path.name for path in STATIC.iterdir()))"
    assert "index.html" in run(installed / "python", "-c", page, cwd=tmp_path)
    run(installed / "drn", "inspect", "run", cwd=tmp_path)


def test_what_needs_no_extra_works_without_any(installed, root, tmp_path):
    shutil.copy(root / "arch_specs" / "shop.yaml", tmp_path)
    short = ("--set", "solver.max_iter=20", "--set", "rnn.window=3")
    run(installed / "drn", "simulate", "-o", "log", "--sessions", 2000, cwd=tmp_path)
    run(installed / "drn", "sessions", "log/events.parquet", "--spec", "shop.yaml", "-o", "data", cwd=tmp_path)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({EXTRAS}))\n")
    bare = {"PYTHONPATH": str(tmp_path / "bare")}
    run(installed / "drn", "train", "shop.yaml", "--data", "data", "-o", "run", *short, cwd=tmp_path, **bare)
    assert "popularity" in run(installed / "drn", "evaluate", "run", "--data", "data", cwd=tmp_path, **bare)
    assert "item-" in run(installed / "drn", "recommend", "run", "--session", "home,item-1", cwd=tmp_path, **bare)
    run(installed / "drn", "export", "run", "--caffe", "caffe", cwd=tmp_path, **bare)


def test_its_types_are_seen_from_outside(installed, tmp_path):
    (tmp_path / "user.py").write_text(
        "from generator.spec import load_spec\n\nreveal_type(load_spec('x.yaml').pages)\n"
    )
    options = ("--python-executable", installed / "python", "--config-file", os.devnull)
    told = run(sys.executable, "-m", "mypy", *options, "user.py", cwd=tmp_path)
    assert re.search(r'Revealed type is "(builtins\.)?int"', told)
