"""Tuning on Ray: what the pool of processes finds, whatever becomes of the workers."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiny_plan import write_plan
from worker_jobs import die, double, refuse, threads

from generator.jobs.workers import Processes
from generator.scale.engine import RayTasks
from generator.tuning.plan import load_plan
from generator.tuning.run import tune

pytestmark = pytest.mark.oracle

REPLACED = (
    ("pages: 12", "pages: 300"),
    ("items: 10", "items: 300"),
    ("training: {epochs: 2}", "training: {epochs: 3, early_stopping: {after: [0.4], keep: 0.5}}"),
    ("trainings: 10", "trainings: 8"),
    ("sampler: genetic\nconfirm: null", "sampler: surrogate"),
)


def hang(_job):
    threading.Event().wait()


def test_the_history_is_that_of_the_processes(cluster, data, tmp_path):
    plan = load_plan(write_plan(tmp_path / "plan.yaml", *REPLACED))
    with Processes(2) as engine:
        tune(plan, data, tmp_path / "here", engine=engine)
    command = [sys.executable, "-m", "generator", "tune", tmp_path / "plan.yaml", "--data", data, "-o", "ray"]
    done = subprocess.run(
        [*map(str, command), "--engine", "ray", "--format", "json"],
        cwd=tmp_path,
        env=os.environ | {"RAY_ADDRESS": cluster, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("tune plan: ") for line in done.stderr.splitlines()), done.stderr
    assert json.loads(done.stdout)["trained"] == 8
    for name in ("history.jsonl", "best.yaml"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert not (tmp_path / "ray" / "work").exists()


def test_outcomes_come_once_each_and_an_exception_is_one(cluster):
    outcomes = sorted(RayTasks(1).map(double, list(range(5))), key=lambda outcome: outcome.index)
    assert [(each.index, each.value, each.error, each.tries) for each in outcomes] == [
        (n, 2 * n, None, 1) for n in range(5)
    ]
    errors = {each.index: (each.error, each.tries) for each in RayTasks().map(refuse, [0, 1])}
    assert errors == {0: ("ZeroDivisionError: zero", 1), 1: ("no 1", 1)}
    assert [each.value for each in RayTasks().map(threads, [0])] == ["1"]


def test_a_killed_worker_costs_one_retry(cluster, tmp_path):
    outcomes = {each.index: each for each in RayTasks().map(die, [str(tmp_path / "once"), None])}
    assert (outcomes[0].value, outcomes[0].tries) == ("lived", 2)
    assert (outcomes[1].value, outcomes[1].tries) == (None, 2)
    assert outcomes[1].error.startswith("its worker was lost, 2 times: ")


def test_a_hung_worker_is_ended(cluster):
    (outcome,) = RayTasks(timeout=1).map(hang, [None])
    assert (outcome.value, outcome.tries) == (None, 2)
    assert outcome.error.startswith("its worker was lost, 2 times: ")


def test_without_ray_one_line_says_what_to_install(tmp_path):
    """In a process that cannot find Ray."""
    code = (
        "import importlib.util as u, sys; real = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'ray' else real(name, *a);"
        "from generator.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "tune", "plan.yaml", "--data", "d", "-o", "r", "--engine", "ray"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr.splitlines()[-1] == "Error: drn tune --engine ray needs Ray: pip install 'drn-recommender[scale]'"
    )
    done = subprocess.run([*command[:-1], "spark"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'spark' is none: write local, ray or ray://HOST:PORT" in done.stderr.replace("\n", " ")
