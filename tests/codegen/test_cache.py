"""The cache of compiled templates never changes what is generated, whatever state it is in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def generated(root: Path, cache: Path, out: Path) -> dict[str, bytes]:
    command = [sys.executable, "-m", "generator", "generate", str(root / "arch_specs" / "rnn.yaml"), "-o", str(out)]
    subprocess.run(command, env=os.environ | {"XDG_CACHE_HOME": str(cache)}, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in (out / "rnn").iterdir()}


@pytest.fixture
def first(root, tmp_path) -> dict[str, bytes]:
    return generated(root, tmp_path / "cache", tmp_path / "first")


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "drn" / "templates").iterdir())


def test_templates_are_kept_and_used(root, tmp_path, first):
    before = [(path, path.stat().st_mtime_ns) for path in kept(tmp_path)]
    assert before
    assert generated(root, tmp_path / "cache", tmp_path / "again") == first
    assert [(path, path.stat().st_mtime_ns) for path in kept(tmp_path)] == before


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xe3\x00"], ids=["empty", "garbage", "cut short"])
def test_a_damaged_cache_is_passed_over(root, tmp_path, first, content):
    for path in kept(tmp_path):
        path.write_bytes(content)
    assert generated(root, tmp_path / "cache", tmp_path / "again") == first


def test_a_cache_that_cannot_be_written_is_done_without(root, tmp_path, first):
    (tmp_path / "file").write_text("in the way")
    assert generated(root, tmp_path / "file", tmp_path / "again") == first
