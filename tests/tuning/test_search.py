"""Whole tuning runs on a tiny shop, with real trainings."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

from generator.data.rewindowed import Rewindow, rewindow_folder
from generator.errors import DataError, TrainingError
from generator.jobs.workers import Processes
from generator.spec import load_spec
from generator.tuning.individual import RungJob, rank
from generator.tuning.run import tune
from generator.tuning.selection import dominates

STOPPING = ("training: {epochs: 2}", "training: {epochs: 3, early_stopping: {after: [0.4], keep: 0.5}}")


def history(run):
    return (run / "history.jsonl").read_bytes()


def records(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def test_one_worker_and_two_give_the_same_history(data, make_plan, inline, tmp_path):
    plan = make_plan(STOPPING, ("trainings: 10", "trainings: 8"))
    for workers in (1, 2):
        with Processes(workers) as engine:
            tune(plan, data, tmp_path / str(workers), engine=engine)
    assert history(tmp_path / "1") == history(tmp_path / "2")
    assert (tmp_path / "1/best.yaml").read_bytes() == (tmp_path / "2/best.yaml").read_bytes()


def test_a_killed_run_resumes_to_the_same_history(data, make_plan, inline, tmp_path):
    plan = make_plan(STOPPING)
    with Processes(2) as engine:
        tune(plan, data, tmp_path / "whole", engine=engine)
    run, journal = tmp_path / "killed", tmp_path / "killed/journal.jsonl"
    command = [sys.executable, "-m", "generator", "tune", tmp_path / "plan.yaml", "--data", data, "-o", run]
    for lines in (3, 11):
        resumed = ["--resume"] if journal.exists() else []
        process = subprocess.Popen(
            [*map(str, command), "--workers", "2", *resumed], start_new_session=True, stderr=subprocess.PIPE
        )
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < lines):
            os.sched_yield()
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        _, complaint = process.communicate()
        assert process.returncode == -signal.SIGKILL, complaint.decode()
        assert workers
        wait_for(lambda gone=workers: not any(alive(pid) for pid in gone))
    with Processes(1) as engine:
        tune(plan, data, run, engine=engine, resume=True)
    assert history(run) == history(tmp_path / "whole")
    assert (run / "best.yaml").read_bytes() == (tmp_path / "whole/best.yaml").read_bytes()
    assert not (run / "work").exists()


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        os.sched_yield()


def test_a_resumed_run_with_a_larger_budget_is_the_run_of_that_budget(data, make_plan, inline, tmp_path):
    small, large = ("trainings: 10", "trainings: 5"), ("trainings: 10", "trainings: 7")
    tune(make_plan(small), data, tmp_path / "grown", engine=inline)
    tune(make_plan(large), data, tmp_path / "grown", engine=inline, resume=True)
    tune(make_plan(large), data, tmp_path / "whole", engine=inline)
    assert history(tmp_path / "grown") == history(tmp_path / "whole")


def test_a_finished_run_resumes_without_training(data, make_plan, inline, tmp_path):
    few = ("trainings: 10", "trainings: 5")
    tune(make_plan(few), data, tmp_path / "run", engine=inline)
    before, inline.jobs = history(tmp_path / "run"), []
    tune(make_plan(few), data, tmp_path / "run", engine=inline, resume=True)
    assert inline.jobs == []
    assert history(tmp_path / "run") == before


def test_no_spec_is_trained_twice_and_no_window_cut_twice(data, make_plan, inline, tmp_path):
    plan = make_plan(
        ("rnn.window: {int: [1, 3]}", "rnn.window: {int: [1, 2]}"),
        ("float: [0.01, 1], log: true", "choice: [0.1, 0.2]"),
    )
    result = tune(plan, data, tmp_path / "run", engine=inline)
    trained = [job.run for job in inline.jobs if isinstance(job, RungJob)]
    windows = [job.target for job in inline.jobs if isinstance(job, Rewindow)]
    assert len(trained) == len(set(trained)) == result.trained == 10
    assert len(windows) == len(set(windows)) <= 4
    by_hash = {}
    for each in result.history:
        assert by_hash.setdefault(each.hash, each.figures) == each.figures


def test_a_space_that_is_exhausted_ends_the_run(data, make_plan, inline, tmp_path):
    text = "  rnn.window: {int: [1, 3]}\n  rnn.widths: {list: {choice: [4, 8]}, length: [1, 2]}\n"
    plan = make_plan((text, ""), ("  solver.base_lr: {float: [0.01, 1], log: true}\n", ""))
    result = tune(plan, data, tmp_path / "run", engine=inline)
    assert result.trained == 2
    assert "were all known" in result.end


def test_survivors_are_what_they_would_be_without_early_stopping(data, make_plan, inline, tmp_path):
    whole = ("training: {epochs: 2}", "training: {epochs: 4}")
    stop = ("training: {epochs: 2}", "training: {epochs: 4, early_stopping: {after: [0.25, 0.5], keep: 0.5}}")
    first = ("trainings: 10", "trainings: 4")
    patient = tune(make_plan(whole, first), data, tmp_path / "patient", engine=inline)
    stopping = tune(make_plan(stop, first), data, tmp_path / "stopping", engine=inline)
    assert [each.hash for each in patient.history] == [each.hash for each in stopping.history]
    states = [each.state for each in stopping.history]
    assert states.count("complete") == 1
    assert [each.share for each in stopping.history if each.state == "stopped"] != []
    for one, other in zip(patient.history, stopping.history, strict=True):
        if other.state == "complete":
            assert one.values == other.values
        else:
            assert other.figures < max(each.figures for each in stopping.history)
    assert stopping.epochs < patient.epochs


def test_the_best_spec_trains_again_to_the_same_figures(data, make_plan, inline, tmp_path):
    result = tune(make_plan(("trainings: 10", "trainings: 5")), data, tmp_path / "run", engine=inline)
    text = (tmp_path / "run/best.yaml").read_text()
    assert f"individual {result.best.number} of generation {result.best.generation}" in text
    spec = load_spec(tmp_path / "run/best.yaml")
    rewindow_folder(Rewindow(data, tmp_path / "cut", spec, ("train.h5", "valid.h5")))
    again = rank(RungJob(spec, tmp_path / "cut", tmp_path / "again", 0, spec.solver.max_iter))
    assert {**again.metrics, "size": again.size} == result.best.values
    assert max(each.figures for each in result.history) == result.best.figures


def test_the_seed_follows_from_the_run_and_the_genome(data, make_plan, inline, tmp_path):
    small = ("trainings: 10", "trainings: 4")
    seeds = []
    for number, plan in enumerate((make_plan(small), make_plan(small).changed(seed=2))):
        result = tune(plan, data, tmp_path / str(number), engine=inline)
        seeds.append({each.hash: each.spec.solver.random_seed for each in result.history})
        assert len(set(seeds[-1].values())) == len(seeds[-1])
    assert not set(seeds[0].values()) & set(seeds[1].values())


def test_a_failed_individual_is_kept_with_its_error(data, make_plan, inline, tmp_path):
    plan = make_plan(("float: [0.01, 1], log: true", "choice: [0.1, 0.2, 1e+30]"), ("clip_gradients: 5", "momentum: 0"))
    result = tune(plan, data, tmp_path / "run", engine=inline)
    failed = [each for each in result.history if each.state == "failed"]
    assert failed
    assert all("rate is too high" in each.error and each.genes["solver.base_lr"] == 1e30 for each in failed)
    assert result.best.genes["solver.base_lr"] < 1
    assert "rate is too high" in (tmp_path / "run/report.html").read_text()


def test_a_machine_that_fails_is_no_result(data, make_plan, inline, tmp_path):
    plan = make_plan(("choice: [4, 8]", "choice: [4, 200]"))
    whole = tune(plan, data, tmp_path / "whole", engine=inline)
    run = tmp_path / "run"
    free = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files of more than 60 KB cannot be written: the data and the small nets are smaller, the large ones are not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, free[1]))
    try:
        with pytest.raises(TrainingError, match=r"the machine fails: .*File too large.*--resume"):
            tune(plan, data, run, engine=inline)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
    kept = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    assert all(line["error"] is None for line in kept if line.get("kind") == "result")
    resumed = tune(plan, data, run, engine=inline, resume=True)
    assert history(run) == history(tmp_path / "whole")
    assert resumed.best.hash == whole.best.hash


def test_a_full_disk_under_the_workers_ends_the_command(data, make_plan, tmp_path):
    make_plan(("choice: [4, 8]", "choice: [200, 201]"))
    command = [sys.executable, "-m", "generator", "tune", "plan.yaml", "--data", data, "-o", "run", "--workers", "2"]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 60; exec "$0" "$@"', *map(str, command)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "the machine fails" in done.stderr
    assert "Traceback" not in done.stderr
    assert "result" not in (tmp_path / "run/journal.jsonl").read_text()


def test_a_run_whose_first_generation_fails_ends_with_the_reason(data, make_plan, inline, tmp_path):
    plan = make_plan(("float: [0.01, 1], log: true", "choice: [1e+29, 1e+30]"), ("clip_gradients: 5", "momentum: 0"))
    with pytest.raises(TrainingError, match=r"every individual of the first generation failed.*rate is too high"):
        tune(plan, data, tmp_path / "run", engine=inline)


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_other_samplers_run_and_resume_alike(data, make_plan, inline, tmp_path, sampler):
    plan = make_plan().changed(sampler=sampler)
    result = tune(plan, data, tmp_path / "run", engine=inline)
    assert result.trained == 10
    journal = (tmp_path / "run/journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "half").mkdir()
    (tmp_path / "half/journal.jsonl").write_bytes(b"".join(journal[:5]))
    tune(plan, data, tmp_path / "half", engine=inline, resume=True)
    assert history(tmp_path / "half") == history(tmp_path / "run")


def test_the_front_is_what_none_dominates(data, make_plan, inline, tmp_path):
    plan = make_plan(("budget:", "objectives: [HR@5, size, latency]\nbudget:"), STOPPING)
    result = tune(plan, data, tmp_path / "run", engine=inline)
    points = {}
    for each in result.history:
        if each.state == "complete":
            points[each.hash] = (each.values["HR@5"], -each.values["size"], -each.values["latency"])
    wanted = {name for name, point in points.items() if not any(dominates(o, point) for o in points.values())}
    assert {each.hash for each in result.front} == wanted
    written = sorted((tmp_path / "run/front").glob("*.yaml"))
    assert [load_spec(path) for path in written] == [each.spec for each in result.front]
    assert result.front[0].figures[0] == max(each.figures[0] for each in result.front)


def test_a_budget_of_epochs_or_minutes_ends_the_run(data, make_plan, inline, tmp_path):
    result = tune(make_plan(("trainings: 10", "epochs: 12")), data, tmp_path / "epochs", engine=inline)
    assert result.trained == 6
    assert result.epochs == pytest.approx(12)
    result = tune(make_plan(("trainings: 10", "minutes: 0.0001")), data, tmp_path / "minutes", engine=inline)
    assert result.trained == 4  # the generation under way comes to its end
    assert result.end == "the time of the budget is spent"


def test_a_journal_of_another_space_or_other_data_is_refused(data, make_plan, inline, tmp_path):
    tune(make_plan(("trainings: 10", "trainings: 4")), data, tmp_path / "run", engine=inline)
    with pytest.raises(TrainingError, match="another search: search differ"):
        tune(make_plan(("[1, 3]", "[1, 4]")), data, tmp_path / "run", engine=inline, resume=True)
    other = tmp_path / "other"
    other.mkdir()
    for path in data.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / "train.h5").write_bytes((data / "valid.h5").read_bytes())
    with pytest.raises(TrainingError, match="another search: data differ"):
        tune(make_plan(), other, tmp_path / "run", engine=inline, resume=True)
    with pytest.raises(TrainingError, match="holds a run already"):
        tune(make_plan(), data, tmp_path / "run", engine=inline)


def test_data_without_a_validation_split_are_refused(data, make_plan, inline, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("train.h5", "pages.txt", "items.txt"):
        (folder / name).write_bytes((data / name).read_bytes())
    with pytest.raises(DataError, match=r"valid\.h5: there is none.*--valid-share"):
        tune(make_plan(), folder, tmp_path / "run", engine=inline)
    assert not (tmp_path / "run").exists()


def test_a_validation_split_without_a_session_is_refused(data, make_plan, inline, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    for path in data.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    with h5py.File(data / "valid.h5") as full, h5py.File(folder / "valid.h5", "w") as empty:

        def emptied(name, item):
            if isinstance(item, h5py.Dataset):
                empty.create_dataset(name, data=item[:0])

        full.visititems(emptied)
    with pytest.raises(DataError, match=r"valid\.h5: it has no session"):
        tune(make_plan(), folder, tmp_path / "run", engine=inline)
