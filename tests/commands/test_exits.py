"""How a command ends: one line on stderr and the exit status that the documentation promises, never a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from generator.options import Exit


def drn(*arguments, cwd, **options):
    return subprocess.run(
        [sys.executable, "-m", "generator", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=120, **options,
    )  # fmt: skip


def one_line(done, *words):
    assert done.returncode == Exit.WRONG_USE, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_the_statuses_are_the_documented_numbers():
    assert [int(each) for each in Exit] == [0, 1, 2, 128 + signal.SIGINT]


def test_a_file_where_a_folder_should_be(root, tmp_path):
    (tmp_path / "taken").write_text("")
    done = drn("generate", root / "arch_specs/rnn.yaml", "-o", tmp_path / "taken", cwd=tmp_path)
    one_line(done, "taken", os.strerror(20))


def test_a_folder_where_a_file_should_be(tmp_path):
    one_line(drn("generate", tmp_path / "absent.yaml", cwd=tmp_path), "absent.yaml")
    one_line(drn("inspect", tmp_path / "absent", cwd=tmp_path), "absent")


def test_a_full_disk(root, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "generator", "generate", "--schema"],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert os.strerror(28) in done.stderr
    assert done.returncode == Exit.WRONG_USE


def test_a_reader_that_leaves_early(root, tmp_path):
    command = f"'{sys.executable}' -m generator generate --schema | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("entry", ["drn", "gen_model"])
def test_ctrl_c_while_modules_are_imported(entry, tmp_path):
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-c", f"from generator.__main__ import {entry}; {entry}()"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (Exit.INTERRUPTED, "")


def test_a_token_that_is_no_text(tmp_path):
    (tmp_path / "token").write_bytes(b"abc\xff")
    one_line(drn("serve", tmp_path, "--token-file", "token", cwd=tmp_path), "token", "byte 3")


def test_wrong_options_end_with_2(tmp_path):
    done = drn("generate", "--no-such-option", cwd=tmp_path)
    assert done.returncode == Exit.WRONG_USE
    assert "No such option" in done.stderr


def test_a_package_that_is_not_installed(tmp_path):
    (tmp_path / "polars.py").write_text("raise ModuleNotFoundError('No module named polars', name='polars')\n")
    done = drn("sessions", "--help", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    one_line(done, "drn needs polars", "pip install 'drn-recommender[data]'")
