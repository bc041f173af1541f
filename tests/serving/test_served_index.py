"""`drn serve --index`: built before a version is served."""

import json
import subprocess
import sys

import pytest
from served import Drn, wait_for, write_version

from generator.model.model import Model
from generator.model.query import Query

pytest.importorskip("faiss", reason="faiss is not installed: pip install 'drn-recommender[index]'")


def run(*arguments, **environment):
    command = [sys.executable, "-m", "generator", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment or None)


def test_versions_are_served_by_their_index(tmp_path):
    shop = tmp_path / "models" / "shop"
    write_version(shop, 1, seed=1)
    drn = Drn(shop.parent, f"sqlite:///{tmp_path}/a.sqlite", "--index")

    def answer(version):
        found = drn("GET", "/v1/sessions/a/recommendations?k=5")[1]
        if found["model"]["version"] != version:
            return None
        (wanted,) = Model(shop / str(version)).recommend([Query([("p1", 1)])])
        assert [one["item"] for one in found["items"]] == [item for item, _ in wanted.items]
        return found

    drn.visit("a", "p1")
    assert answer(1)
    write_version(shop, 2, seed=2)
    wait_for(lambda: answer(2))
    lines = [json.loads(line) for line in drn.lines if '"index"' in line]
    assert [(line["model"], line["version"]) for line in lines] == [("shop", 1), ("shop", 2)]
    assert all(line["mib"] >= 0 and line["cpu_seconds"] >= 0 for line in lines)
    assert drn.stop() == 0


def test_without_faiss_it_says_what_to_install(repository, tmp_path):
    (tmp_path / "faiss.py").write_text("raise ModuleNotFoundError(\"No module named 'faiss'\", name='faiss')\n")
    done = run("serve", repository, "--index", "--store", f"sqlite:///{tmp_path}/a.sqlite", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (
        2,
        "drn needs faiss, which is not installed: pip install 'drn-recommender[index]'\n",
    )


def test_eight_bits_and_an_index_are_one_too_many(repository):
    done = run("serve", repository, "--index", "--int8")
    assert done.returncode == 2
    assert "--index scores few items, in full: leave --int8 out" in done.stderr
