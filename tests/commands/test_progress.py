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
