"""How a command ends: one line on stderr and the exit status that the documentation promises, never a traceback."""

import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import click
import onnx
import pytest
from trained_run import write_run

from generator import cli
from generator.data.options import Options
from generator.data.sessions.splits import Division
from generator.errors import DataError, DrnError
from generator.evaluation.plot import plot
from generator.options import Exit


def drn(*arguments, cwd, **options):
    return subprocess.run(
        [sys.executable, "-m", "generator", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=120, **options,
    )  # fmt: skip


def one_line(done, *words):
    """Beside it a slow machine hears that the command is at work."""
    assert done.returncode == Exit.WRONG_USE, done.stderr
    told = [line for line in done.stderr.splitlines() if "at work for" not in line]
    assert len(told) == 1, done.stderr
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


def test_a_file_that_finds_no_room_is_named(root, tmp_path):
    limited = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # noqa: E731 - Popen takes a function
    done = drn("generate", root / "arch_specs/rnn.yaml", "-o", "out", cwd=tmp_path, preexec_fn=limited)
    one_line(done, "out/rnn/", os.strerror(27))
    write_run(tmp_path / "run")
    done = drn("export", "run", "--caffe", "caffe", cwd=tmp_path, preexec_fn=limited)
    one_line(done, "caffe", os.strerror(27))
    assert "making" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


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


def numbers():
    """Every option of every command that takes a number with a point."""
    for name in cli.COMMANDS:
        command = cli.drn.get_command(click.Context(cli.drn), name)
        for option in command.params:
            if isinstance(option.type, click.FloatRange):
                yield pytest.param(command, option, id=f"{name} {option.opts[-1]}")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize(("command", "option"), [*numbers()])
def test_what_is_no_finite_number_is_refused(command, option, text):
    with pytest.raises(click.BadParameter, match=r"is no finite number|is not in the range"):
        option.type_cast_value(click.Context(command), text)


@pytest.mark.parametrize(
    "asked",
    [
        {"division": {"share": math.nan}},
        {"division": {"valid_share": math.nan}},
        {"division": {"users": 1.0}},
        {"division": {"days": math.nan}},
        {"gap": math.nan},
        {"drop_repeats": -1.0},
        {"max_bad": math.nan},
    ],
    ids=lambda asked: next(iter(asked.get("division", asked))),
)
def test_from_python_too(asked):
    with pytest.raises(DataError, match=r"^--[a-z-]+ is (nan|1\.0|-1\.0): .* wanted$"):
        Options(**{**asked, "division": Division(**asked.get("division", {}))})


def test_what_is_read_is_not_written_over(root, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("user,session,time,page\n" + "".join(f"u,s{n // 4},{n},p{n % 3}\n" for n in range(80)))
    net, weights = tmp_path / "net.svg", tmp_path / "weights"
    net.write_text((root / "generated/rnn/deploy.prototxt").read_text())
    write_run(tmp_path / "run")
    model = tmp_path / "run/models/small/1/model.onnx"
    (linked := tmp_path / "linked.csv").symlink_to(log)
    before = {path: path.read_bytes() for path in (log, net, model)}
    for arguments in (
        ["spec", log, "-o", log],
        ["spec", log, "-o", linked],
        ["recommend", "run", "--batch", log, "-o", linked],
        ["inspect", net, "--draw", net],
        ["import", net, weights, "-o", net],
        ["export", "run", "--onnx", model],
    ):
        one_line(drn(*arguments, cwd=tmp_path), "is read for what would be written over it; name another file")
    assert {path: path.read_bytes() for path in before} == before


def test_a_plot_is_a_png(tmp_path):
    write_run(tmp_path / "run")
    spec = (tmp_path / "run/spec.yaml").read_bytes()
    with pytest.raises(DrnError, match=r"spec\.yaml: a plot is a PNG: name a file that ends in \.png"):
        plot(None, tmp_path / "run/spec.yaml")
    assert (tmp_path / "run/spec.yaml").read_bytes() == spec


def test_a_model_of_broken_weights_goes_nowhere(tmp_path):
    """Neither into another form nor into another training: what reads it would not know why its answers are none."""
    write_run(tmp_path / "run")
    file = tmp_path / "run/models/small/1/model.onnx"
    model = onnx.load(file)
    table = next(each for each in model.graph.initializer if each.name == "page_embedding")
    values = onnx.numpy_helper.to_array(table).copy()
    values[2:, 1] = math.nan
    table.CopyFrom(onnx.numpy_helper.from_array(values, table.name))
    onnx.save(model, file)
    for arguments in (
        ["export", "run", "--caffe", "out"],
        ["export", "run", "--onnx", "out"],
        ["export", "run", "--web", "out"],
        ["export", "run", "--caffemodel", "all-uses", "-o", "out"],
        ["similar", "run", "page-2", "--pages"],
        ["recommend", "run", "--session", "page-2"],
    ):
        done = drn(*arguments, cwd=tmp_path)
        one_line(done, "model.onnx: ")
        assert "not finite" in done.stderr or "NaN" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
