"""`drn tune` as a user runs it."""

import json
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "generator"]


def drn(*arguments):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def plan(make_plan, tmp_path):
    make_plan(("trainings: 10", "trainings: 4"))
    return tmp_path / "plan.yaml"


def test_it_tunes_and_gen_model_takes_the_best(data, plan, tmp_path):
    done = drn("tune", plan, "--data", data, "-o", tmp_path / "run", "--workers", 2, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("tune plan: ") for line in done.stderr.splitlines())  # progress, where it takes long
    found = json.loads(done.stdout)
    assert (found["trained"], found["failed"], found["end"]) == (4, 0, "the trainings of the budget are spent")
    assert found["best"]["values"]["MRR@20"] == found["front"][0]["values"]["MRR@20"]
    made = drn("generate", found["spec"], "-o", tmp_path / "generated")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "generated/tiny/model.onnx").exists()
    again = drn("tune", plan, "--data", data, "-o", tmp_path / "run")
    assert again.returncode == 2
    assert "go on with --resume" in again.stderr
    text = drn("tune", plan, "--data", data, "-o", tmp_path / "run", "--resume")
    assert text.returncode == 0
    assert "solver.base_lr: " in text.stdout
    other = drn("tune", plan, "--data", data, "-o", tmp_path / "run", "--resume", "--seed", 5, "--sampler", "random")
    assert other.returncode == 2
    assert "another search: sampler, seed differ" in other.stderr


def test_a_broken_plan_exits_2_and_writes_nothing(data, plan, tmp_path):
    plan.write_text(plan.read_text().replace("[1, 3]", "[0, 3]"))
    done = drn("tune", plan, "--data", data, "-o", tmp_path / "run")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"{plan}:14:3: search.rnn.window: 0 is too small: at least 1\n"
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_left_alone(data, plan, tmp_path):
    """What a fit or a training wrote there has the names of what drn tune would write."""
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit/report.html").write_text("of a fit")
    done = drn("tune", plan, "--data", data, "-o", tmp_path / "fit")
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path / 'fit'}: is not empty and holds no run of drn tune; take a new folder\n"
    assert [path.name for path in (tmp_path / "fit").iterdir()] == ["report.html"]
