"""Progress where stderr is no terminal: a line now and then, on stderr alone."""

import subprocess
import sys

from generator import console

TEXT = """\
import sys
from generator import console
console.FIRST, console.THEN, console.SELDOM = {first}, {then}, {then}
from generator.cli import main
sys.argv = ["drn", "simulate", "-o", "shop", "--sessions", "{sessions}"]
main()
"""


def simulate(folder, sessions, first, then):
    code = TEXT.format(sessions=sessions, first=first, then=then)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )  # fmt: skip


def test_a_command_that_takes_its_time_says_how_far_it_is(tmp_path):
    done = simulate(tmp_path, 30_000, 0.0, 0.0)
    lines = [line for line in done.stderr.splitlines() if line.startswith("sessions: ")]
    assert lines[-1] == "sessions: 30,000 of 30,000"
    counts = [int(line.split()[1].replace(",", "")) for line in lines]
    assert counts == sorted(counts)
    assert "sessions: " not in done.stdout
    assert "\x1b" not in done.stderr


def test_a_command_that_is_quick_says_nothing(tmp_path):
    assert simulate(tmp_path, 100, 3600.0, 3600.0).stderr == ""


def test_a_line_has_the_fields_of_its_task_and_the_next_keeps_its_distance(monkeypatch, capsys):
    monkeypatch.setattr(console, "FIRST", 0.0)
    monkeypatch.setattr(console, "THEN", 3600.0)
    with console.progress("loss") as bar:
        task = bar.add_task("train shop", total=2000, loss="")
        bar.update(task, completed=1500, loss="loss 0.5")
        bar.update(task, completed=1600, loss="loss 0.4")
    assert capsys.readouterr().err == "train shop: 1,500 of 2,000, loss 0.5\n"


def test_a_task_without_an_end_says_how_far_alone(monkeypatch, capsys):
    monkeypatch.setattr(console, "FIRST", 0.0)
    with console.progress() as bar:
        bar.update(bar.add_task("evaluate data", total=None), completed=3)
    assert capsys.readouterr().err == "evaluate data: 3\n"


def test_a_task_that_is_past_its_guessed_end_says_how_far_alone(monkeypatch, capsys):
    monkeypatch.setattr(console, "FIRST", 0.0)
    with console.progress() as bar:
        bar.update(bar.add_task("read rows", total=20), completed=24)
    assert capsys.readouterr().err == "read rows: 24\n"


BUSY = """\
import sys, time
from generator import heartbeat
heartbeat.FIRST, heartbeat.THEN, heartbeat.SELDOM = {first}, {then}, {then}
from generator import console
console.FIRST, console.THEN, console.SELDOM = {first}, {then}, {then}
from generator.cli import main
sys.argv = ["drn", *{arguments}]
main()
"""


def busy(folder, first, *arguments):
    code = BUSY.format(first=first, then=0.01, arguments=[str(each) for each in arguments])
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)


def test_commands_that_cannot_say_how_far_they_are_say_that_they_work(root, tmp_path):
    spec = root / "arch_specs/rnn.yaml"
    done = busy(tmp_path, 0.01, "generate", spec, "-o", tmp_path)
    assert "generate 1 spec: at work for 0 s\n" in done.stderr
    assert "at work" not in done.stdout
    assert "inspect" in busy(tmp_path, 0.01, "inspect", tmp_path / "rnn").stderr
    assert busy(tmp_path, 3600.0, "inspect", tmp_path / "rnn").stderr == ""


def test_specs_are_generated_by_processes_while_the_alarm_is_set(root, tmp_path):
    """More specs than `codegen.job` makes in one process: the heartbeat starts no thread that forbids the others."""
    text = "name: tiny{0}\nnet: fnn\npages: 4\nitems: 4\ntop_k: 2\nfnn: {{bought: 2, widths: [3]}}\n"
    for number in range(300):
        (tmp_path / f"tiny{number}.yaml").write_text(text.format(number))
    done = busy(tmp_path, 0.01, "generate", tmp_path, "-o", tmp_path / "out", "--only", "caffe")
    assert "generate 300 specs: at work" in done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 300


def test_sessions_says_which_stage_it_is_in(root, tmp_path):
    simulate(tmp_path, 3000, 3600.0, 3600.0)
    spec = root / "arch_specs/shop.yaml"
    code = BUSY.format(
        first=0.0, then=0.0, arguments=["sessions", "shop/events.parquet", "--spec", str(spec), "-o", "d"]
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    events = int(done.stderr.split("read rows: ")[1].split()[0].replace(",", ""))
    assert f"read rows: {events:,} of {events:,}\n" in done.stderr
    order = [line.split(":")[0] for line in done.stderr.splitlines() if " of " in line]
    wanted = ["read rows", "cut partitions", "number partitions", "write rows to train.h5", "write rows to test.h5"]
    assert list(dict.fromkeys(order)) == wanted
