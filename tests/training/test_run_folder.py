"""The folder of a run: one process at a time, what a kill leaves behind, what is damaged, whose model it is."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from generator.errors import DrnError, ModelError, TrainingError
from generator.jobs.locks import locked
from generator.spec.schema import Spec
from generator.training.run.metrics import MetricsLog
from generator.training.run.train import TrainOptions, train

Make = Callable[..., Spec]
ONE = TrainOptions(threads=1)
GO_ON = TrainOptions(threads=1, resume=True)
HOLDER = """
import sys
from pathlib import Path
from generator.jobs.locks import locked

with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that holds the lock of the run's folder."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "locked\n"
    return process


def test_two_do_not_train_in_one_folder(
    tmp_path: Path, data: Path, make_spec: Make, holder: "subprocess.Popen[str]"
) -> None:
    for options in (ONE, GO_ON):
        with pytest.raises(DrnError, match=f"run: process {holder.pid} is at work in this folder"):
            train(make_spec(), data, tmp_path / "run", options)
    holder.send_signal(signal.SIGKILL)  # it has no chance to give the lock back
    holder.communicate()
    assert (tmp_path / "run/.lock").exists()
    assert train(make_spec(), data, tmp_path / "run", ONE).iterations == 30
    assert not (tmp_path / "run/.lock").exists()


def test_whoever_waits_gets_the_lock(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    with locked(tmp_path / "run", wait=60):
        pass
    holder.communicate()
    assert not (tmp_path / "run").exists()  # nothing was written to it


def test_a_model_of_other_data_is_another_version(tmp_path: Path, data: Path, make_spec: Make) -> None:
    run = tmp_path / "run"
    first = train(make_spec(), data, run, ONE).model
    for path in (run / "snapshots").iterdir():
        path.unlink()
    with pytest.raises(TrainingError, match=r"metrics\.jsonl and models of a run whose snapshots are gone"):
        train(make_spec(), data, run, ONE)
    # Even where what is left of the run but its models was removed by hand.
    (run / "metrics.jsonl").unlink()
    (run / "models").rename(tmp_path / "models")
    train(make_spec(), data, run, TrainOptions(threads=1, until=0))
    (run / "models/small/1/model.onnx").unlink()
    (run / "models").rename(tmp_path / "of-iteration-0")
    (tmp_path / "models").rename(run / "models")
    (data / "items.txt").write_text("".join(f"other-{n}\n" for n in range(1, 11)))
    second = train(make_spec(), data, run, GO_ON).model
    assert first == run / "models/small/1/model.onnx"
    assert second == run / "models/small/2/model.onnx"
    assert train(make_spec(), data, run, GO_ON).model == second  # the same again is no new version


@pytest.mark.parametrize("when", ["before", "during"])
def test_what_a_killed_run_left_half_written_is_no_content(
    tmp_path: Path, data: Path, make_spec: Make, when: str
) -> None:
    run = tmp_path / "run"
    if when == "during":
        train(make_spec(solver={"max_iter": 10}), data, run, ONE)
    left = [run / ".train.txt.abc_12x8.txt", run / "snapshots/.small_iter_30.caffemodel.q1w2e3r4.caffemodel"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    (run / ".lock").write_text("1\n")
    if when == "before":
        left[1].parent.joinpath(left[1].name).unlink()
        left[1].parent.rmdir()
    train(make_spec(), data, run, GO_ON if when == "during" else ONE)
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize(
    "damage",
    ["{", '{"iteration": 20, "loss', "[]", "{}", '{"iteration": "x", "loss": 1, "seconds": 1}', "\udcff\udcfe"],
)
def test_a_damaged_line_of_metrics_does_not_forbid_resuming(
    tmp_path: Path, data: Path, make_spec: Make, damage: str
) -> None:
    run = tmp_path / "run"
    train(make_spec(), data, run, TrainOptions(threads=1, until=20))
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    lines[0] = damage.encode(errors="surrogateescape") + b"\n"
    (run / "metrics.jsonl").write_bytes(b"".join(lines))
    train(make_spec(), data, run, GO_ON)
    assert [line["iteration"] for line in MetricsLog.read(run / "metrics.jsonl")] == [15, 20, 30]
    assert all(json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())


def test_rows_that_are_damaged_are_one_error(tmp_path: Path, data: Path, make_spec: Make) -> None:
    run = tmp_path / "run"
    train(make_spec(), data, run, TrainOptions(threads=1, until=13))
    path = run / "snapshots/small_iter_13.rows.npz"
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            train(make_spec(), data, run, TrainOptions(threads=1, resume=True, until=13))
        except ModelError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused
    path.unlink()
    assert train(make_spec(), data, run, GO_ON).iterations == 30
