"""Whole runs on a tiny shop: figures true to drn train and drn evaluate; kept, killed, resumed; folds."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from generator.data.rewindowed import Rewindow, rewindow_folder
from generator.errors import DataError, DrnError, TrainingError
from generator.evaluation.baselines import VsKnn, choose
from generator.evaluation.evaluate import evaluate
from generator.evaluation.metrics import HEADLINES
from generator.experiment.plan import load_plan
from generator.experiment.run import experiment
from generator.experiment.work import key_of, training_spec
from generator.jobs.workers import Processes
from generator.model.model import Model
from generator.training.run.train import TrainOptions, train

NAMES = ["accuracy", "als", "nets", "top_k", "history", "batch_size", "convergence"]


def command(plan: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "generator", "experiment", str(plan), "-o", str(out), *more]


def document(out: Path):
    return json.loads((out / "report.json").read_text())


def timeless(out: Path) -> str:
    """The report's JSON as it is written, the seconds left out: figures, and the claims that are judged by some."""
    text = (out / "report.json").read_text()
    text = re.sub(r'("seconds\w*"): [0-9.e-]+', r"\1: -", text)
    timed = r'"verdict": ".*",(\n +)"sentence": ".*",(\n +"timed": true)'
    return re.sub(timed, r'"verdict": "-",\1"sentence": "-",\2', text)


def kept(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "kept").glob("[!.]*.npz")}


def folder_of(out: Path) -> Path:
    (folder,) = (out / "data").iterdir()
    return folder


def test_the_report_has_every_experiment_and_a_picture_of_each(whole):
    found = document(whole)
    assert list(found["experiments"]) == NAMES
    assert {claim["experiment"] for claim in found["claims"]} == set(NAMES)
    for claim in found["claims"]:
        assert claim["sentence"].endswith(f": {claim['verdict']}")
    for name in NAMES:
        assert (whole / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    # What was trained twice over is kept once: 2 seeds of fnn, rnn, combined (also batch 32, and window 3 with its
    # history), 3 other windows, batch 16; 2 baselines.
    assert len(kept(whole)) == 2 * (3 + 3 + 1) + 2
    assert sorted(path.name for path in whole.iterdir() if path.is_dir()) == ["data", "kept"]


def test_baselines_have_the_figures_of_drn_evaluate(whole):
    theirs = evaluate({}, folder_of(whole), choose(["popularity", "recency"]))
    rows = {row["name"]: row for row in document(whole)["experiments"]["accuracy"]["methods"]}
    for method in theirs.methods:
        for metric in HEADLINES:
            ours, interval = rows[method.name]["metrics"][metric], method.metrics[metric]
            assert ours == pytest.approx(
                {"value": interval.value, "low": interval.low, "high": interval.high}, abs=1e-6
            )


@pytest.mark.parametrize(("variant", "seed"), [("rnn", 1), ("combined", 2)])
def test_a_net_has_the_figures_of_drn_train_and_drn_evaluate(whole, plan_file, tmp_path, variant, seed):
    spec = training_spec(load_plan(plan_file).specs[variant], seed, 80)
    assert (spec.solver.random_seed, spec.solver.max_iter, spec.solver.stepvalue) == (seed, 80, [60])
    rewindow_folder(Rewindow(folder_of(whole), tmp_path / "data", spec, ("train.h5",)))
    model = train(spec, tmp_path / "data", tmp_path / "run", TrainOptions(threads=1)).model
    (theirs,) = evaluate({variant: Model(model)}, folder_of(whole)).methods
    rows = {row["name"]: row for row in document(whole)["experiments"]["accuracy"]["methods"]}
    ours = next(each for each in rows[variant]["each_seed"] if each["seed"] == seed)
    # The combined net was ranked on its way too, and came to the same.
    assert ours == pytest.approx({"seed": seed, **{m: theirs.metrics[m].value for m in HEADLINES}}, abs=1e-6)


def test_what_the_experiments_tell_fits_together(whole):
    found = document(whole)["experiments"]
    final = {row["name"]: row["metrics"] for row in found["accuracy"]["methods"]}
    assert list(final) == ["fnn", "rnn", "combined", "popularity", "recency"]
    batches = {each["batch_size"]: each for each in found["batch_size"]["sizes"]}
    assert (batches[16]["iterations"], batches[32]["iterations"]) == (160, 80)
    assert batches[16]["epochs"] == pytest.approx(batches[32]["epochs"])
    assert batches[32]["accuracy"] == final["combined"]["MRR@20"]
    window = found["history"]["windows"][1]
    assert (window["window"], window["on"]) == (3, final["combined"]["MRR@20"])
    assert window["gain"]["value"] == pytest.approx(window["on"]["value"] - window["off"]["value"], abs=2e-6)
    rates = {row["name"]: [rate["value"] for rate in row["hit_rate"]] for row in found["top_k"]["methods"]}
    assert [rates["rnn"][k - 1] for k in (1, 5, 10, 20)] == [final["rnn"][f"HR@{k}"]["value"] for k in (1, 5, 10, 20)]
    (net,) = found["convergence"]["nets"]
    *_, last = net["points"]
    assert last["accuracy"] == final["combined"]["MRR@20"]
    # Fifty epochs are beyond the end of the training.
    assert [round(point["epochs"], 1) for point in net["points"][:3]] == [0.5, 1.0, 2.0]
    assert [point["iteration"] for point in net["points"]][-1] == 80
    assert [line["iteration"] for line in net["loss"]][-1] == 80
    assert net["loss"][-1]["loss"] < net["loss"][0]["loss"]
    difference = found["nets"]["comparisons"][0]
    assert (difference["method"], difference["other"]) == ("rnn", "fnn")
    assert sum(difference["each_seed"]) / 2 == pytest.approx(difference["difference"]["value"], abs=2e-6)


def test_nothing_is_trained_twice(whole, plan_file, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    before = kept(out)
    with Processes(1) as engine:
        experiment(load_plan(plan_file), out, engine=engine, only=["nets", "convergence"])
        assert list(document(out)["experiments"]) == ["nets", "convergence"]
        assert set(kept(out)) == set(before)
        assert document(out)["experiments"]["nets"] == document(whole)["experiments"]["nets"]
        # A record that does not hold any more is made again; other seeds are new.
        torn = next((out / "kept").glob("*.npz"))
        torn.write_bytes(torn.read_bytes()[:100])
        (tmp_path / "plan.yaml").write_text(plan_file.read_text().replace("[1, 2]\nbase", "[1, 2, 3]\nbase"))
        experiment(load_plan(tmp_path / "plan.yaml"), out, engine=engine)
    after = kept(out)
    assert [name for name in before if after[name] != before[name]] == [torn.name]
    assert len(after) == len(before) + 7
    assert [row["seed"] for row in document(out)["experiments"]["nets"]["methods"][0]["each_seed"]] == [1, 2, 3]


def test_a_killed_run_goes_on_to_the_same_report(whole, plan_file, tmp_path):
    out = tmp_path / "run"

    def far_enough(files: int) -> bool:
        # First amid the making of the data, then amid the first training, then some trainings on.
        if not files:
            return any((out / "data").glob(".make-*"))
        return len(kept(out)) >= files and any((out / "work").glob("*/run/snapshots/*.solverstate"))

    for files in (0, 2, 7):
        process = subprocess.Popen(
            command(plan_file, out, "--workers", "2"), start_new_session=True, stderr=subprocess.PIPE
        )
        while process.poll() is None and not far_enough(files):
            os.sched_yield()
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        _, complaint = process.communicate()
        assert process.returncode == -signal.SIGKILL, complaint.decode()
        while any(alive(pid) for pid in workers):
            os.sched_yield()
        assert not (out / "report.json").exists()
    done = subprocess.run(command(plan_file, out, "--format", "json"), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(line.startswith("experiment plan: ") for line in done.stderr.splitlines()), done.stderr
    assert timeless(out) == timeless(whole)
    assert json.loads(done.stdout) == document(out)
    assert not (out / "work").exists()
    assert [*out.glob("data/.*"), *out.glob("kept/.*")] == []


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_folds_are_pooled(plan_file, tmp_path):
    text = plan_file.read_text().replace("test_share: 0.2", "folds: 3").replace("[1, 2]\nbase", "[1]\nbase")
    (tmp_path / "plan.yaml").write_text(text)
    with Processes(1) as engine:
        found = experiment(
            load_plan(tmp_path / "plan.yaml"), tmp_path / "run", engine=engine, only=["accuracy"]
        ).as_json()
    folders = sorted((tmp_path / "run" / "data").iterdir())
    alone = [evaluate({}, folder, choose("popularity")) for folder in folders]
    assert len(alone) == 3
    rows = sum(one.rows for one in alone)
    assert (found["data"]["test_rows"], found["data"]["test_sessions"]) == (rows, sum(one.sessions for one in alone))
    # Every session is tested once: of each fold, training and test part make up the whole.
    assert {fold["training_sessions"] + fold["test_rows"] for fold in found["data"]["folds"]} == {rows}
    mean = sum(one.rows * one.methods[0].metrics["MRR@20"].value for one in alone) / rows
    (popularity,) = (row for row in found["experiments"]["accuracy"]["methods"] if row["name"] == "popularity")
    assert popularity["metrics"]["MRR@20"]["value"] == pytest.approx(mean, abs=1e-6)


def test_a_log_is_found_where_data_says(whole, plan_file, tmp_path):
    text = plan_file.read_text()
    simulated = next(line for line in text.splitlines() if "simulate:" in line)
    (tmp_path / "plan.yaml").write_text(text.replace(simulated, "  log: [shop/clicks.csv]"))
    plan = load_plan(tmp_path / "plan.yaml")
    with Processes(1) as engine, pytest.raises(DataError, match=r"clicks\.csv: there is no such file; say by --data"):
        experiment(plan, tmp_path / "run", engine=engine)
    (tmp_path / "logs/shop").mkdir(parents=True)
    rows = [f"u{n % 40},{n},{1e9 + 90 * n + 30 * k},i{(n + k) % 9},view" for n in range(120) for k in range(3)]
    rows += [f"u{n % 40},{n},{1e9 + 90 * n + 80},i{(n + 2) % 9},buy" for n in range(120)]
    (tmp_path / "logs/shop/clicks.csv").write_text("\n".join(["user,session,time,page,event", *rows]) + "\n")
    with Processes(1) as engine:
        found = experiment(plan, tmp_path / "run", engine=engine, root=tmp_path / "logs", only=["als"]).as_json()
    assert (found["data"]["test_rows"], found["data"]["folds"][0]["items"]) == (24, 9)


def test_a_folder_of_drn_sessions_is_taken_as_it_is(whole, plan_file, tmp_path):
    lines = plan_file.read_text().splitlines()
    kept_lines = [line for line in lines if "test_share" not in line]
    text = "\n".join(f"  folder: {folder_of(whole)}" if "simulate" in line else line for line in kept_lines)
    (tmp_path / "plan.yaml").write_text(text)
    with Processes(1) as engine:
        found = experiment(load_plan(tmp_path / "plan.yaml"), tmp_path / "run", engine=engine, only=["top_k"]).as_json()
    assert found["experiments"]["top_k"] == document(whole)["experiments"]["top_k"]


def test_a_training_that_fails_is_told_and_the_others_are_kept(plan_file, tmp_path):
    text = plan_file.read_text().replace(
        "  rnn: {net: rnn}", "  rnn: {net: rnn, solver.type: SGD, solver.base_lr: 1e30}"
    )
    (tmp_path / "plan.yaml").write_text(text)
    with Processes(1) as engine, pytest.raises(TrainingError) as caught:
        experiment(load_plan(tmp_path / "plan.yaml"), tmp_path / "run", engine=engine, only=["nets"])
    first, second, last = str(caught.value).splitlines()
    assert first.startswith("tiny, rnn, seed 1: ")
    assert second.startswith("tiny, rnn, seed 2: ")
    assert last == "all else is kept: fix the plan and run it again"
    assert len(kept(tmp_path / "run")) == 4


def test_an_ensemble_is_a_net_as_any_other(plan_file, tmp_path):
    text = plan_file.read_text().replace("  rnn: {net: rnn}", "  rnn: {net: rnn, ensemble: 2}")
    (tmp_path / "plan.yaml").write_text(text.replace("seeds: [1, 2]", "seeds: [1]"))
    plan = load_plan(tmp_path / "plan.yaml")
    with Processes(1) as engine:
        found = experiment(plan, tmp_path / "run", engine=engine, only=["convergence", "nets"]).as_json()
    spec = training_spec(plan.specs["rnn"], 1, 80)
    data = folder_of(tmp_path / "run")
    result = train(spec, data, tmp_path / "again", TrainOptions(threads=1))
    (alone,) = evaluate({"rnn": Model(result.model)}, data).methods
    (row,) = (one for one in found["experiments"]["nets"]["methods"] if one["name"] == "rnn")
    assert row["metrics"]["MRR@20"]["value"] == pytest.approx(alone.metrics["MRR@20"].value, abs=1e-6)


def test_baselines_are_kept_by_their_settings():
    one, same, other = (key_of(baseline, "data") for baseline in (VsKnn(), VsKnn(), VsKnn(k=7)))
    assert one == same != other
    assert one != key_of(*choose("recency"), "data")


def test_two_at_work_in_one_folder_are_told_apart(plan_file, tmp_path):
    import fcntl

    (tmp_path / "run").mkdir()
    with (tmp_path / "run/.lock").open("ab") as stream, Processes(1) as engine:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(DrnError, match="another process is at work in this folder"):
            experiment(load_plan(plan_file), tmp_path / "run", engine=engine)


def test_a_folder_of_something_else_is_left_alone(plan_file, tmp_path):
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit/report.html").write_text("of a fit")
    with (
        Processes(1) as engine,
        pytest.raises(TrainingError, match=r"is not empty and holds no run of drn experiment; take a new folder"),
    ):
        experiment(load_plan(plan_file), tmp_path / "fit", engine=engine)
    assert [path.name for path in (tmp_path / "fit").iterdir()] == ["report.html"]


def test_the_command_prints_the_claims(whole, plan_file, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    done = subprocess.run(command(plan_file, out), capture_output=True, text=True, check=True)
    for claim in document(out)["claims"]:
        assert f"{claim['experiment']}: {claim['sentence']}\n" in done.stdout
    assert done.stdout.endswith(f"{out / 'report.html'}\n")
    unknown = subprocess.run(command(plan_file, out, "--only", "speed"), capture_output=True, text=True, check=False)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr.startswith("the plan has no experiment speed: it has accuracy,")
