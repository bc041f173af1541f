"""Whole runs: against PyTorch on the same batches, against themselves after kills, and what they leave behind."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import reference
import torch

from generator.caffe.caffemodel import read_caffemodel, write_caffemodel
from generator.caffe.prototxt import read_net
from generator.caffe.solverstate import read_solverstate
from generator.errors import DataError, TrainingError
from generator.spec import dump_spec, load_spec
from generator.spec.schema import Spec
from generator.training.run.metrics import MetricsLog
from generator.training.run.rows import candidates_of, dropout_of, load_split
from generator.training.run.train import TrainOptions, train

Make = Callable[..., Spec]
# What the files of a run must agree on, to the bit.
PAIR = (".caffemodel", ".solverstate")


def read_initial(run: Path) -> dict[str, np.ndarray[Any, Any]]:
    from generator.onnxgraph.parse import parameter_shapes, parse

    shapes = parameter_shapes(parse((run / "gradient.onnxtxt").read_text(), "gradient.onnxtxt"))
    name = load_spec(run / "spec.yaml").name
    return read_caffemodel(
        run / "snapshots" / f"{name}_iter_0.caffemodel", read_net(run / "train_val.prototxt"), shapes
    )


def pair(run: Path, iteration: int) -> list[bytes]:
    return [(run / "snapshots" / f"small_iter_{iteration}{suffix}").read_bytes() for suffix in PAIR]


def torch_losses(spec: Spec, data: Path, initial: dict[str, np.ndarray[Any, Any]], iterations: int) -> list[float]:
    """Return the losses of training with torch.optim on the rows in file order."""
    torch.set_num_threads(1)
    rows = load_split(data / "train.h5", spec)
    rows = {name: array if array.dtype == np.float32 else array.astype(np.int64) for name, array in rows.items()}
    parameters = {name: torch.nn.Parameter(torch.tensor(array.copy())) for name, array in initial.items()}
    solver = spec.solver
    groups = [
        {"params": [p], "weight_decay": 0.0 if name.endswith(("embedding", "bias")) else solver.weight_decay}
        for name, p in parameters.items()
    ]
    optimizer: torch.optim.Optimizer
    if solver.type in ("SGD", "Nesterov"):
        optimizer = torch.optim.SGD(groups, solver.base_lr, solver.momentum, nesterov=solver.type == "Nesterov")
    elif solver.type == "AdaGrad":
        optimizer = torch.optim.Adagrad(groups, solver.base_lr, eps=solver.delta)
    elif solver.lazy:
        optimizer = torch.optim.SparseAdam(
            parameters.values(), solver.base_lr, (solver.momentum, solver.momentum2), eps=solver.delta
        )
    else:
        optimizer = torch.optim.Adam(groups, solver.base_lr, (solver.momentum, solver.momentum2), eps=solver.delta)
    count, place, losses = len(rows["label"]), 0, []
    dropout, candidates = dropout_of(spec), candidates_of(spec, rows["label"])
    rates = [group.get("lr", solver.base_lr) for group in optimizer.param_groups]
    for iteration in range(iterations):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1, (iteration + 1) / max(1, solver.warmup))
        optimizer.zero_grad()
        total = 0.0
        for _ in range(solver.iter_size):
            taken = np.arange(place, place + solver.batch_size) % count
            number = place // solver.batch_size
            blobs = {name: rows[name][taken] for name in rows} | dropout.masks(number)
            if candidates:
                blobs |= candidates.blobs(number, blobs)
            place += solver.batch_size
            loss = reference.loss(spec, parameters, reference.tensors(blobs))
            loss.backward()
            total += loss.item() / solver.iter_size
        if solver.clip_gradients is not None:
            torch.nn.utils.clip_grad_norm_(parameters.values(), solver.clip_gradients)
        for parameter in parameters.values():
            if parameter.grad is not None:
                parameter.grad /= solver.iter_size
        if solver.lazy:
            _keep_rows_read(parameters, blobs)
        optimizer.step()
        losses.append(total)
    return losses


def _keep_rows_read(parameters: dict[str, torch.nn.Parameter], blobs: dict[str, np.ndarray[Any, Any]]) -> None:
    """Make the gradients sparse: of the tables those rows alone that the batch reads."""
    read = {"page_embedding": ("page", "history_page", "candidate"), "output_bias": ("candidate",)}
    for name, parameter in parameters.items():
        rows = np.unique(np.concatenate([blobs[blob].reshape(-1) for blob in read[name]])) if name in read else None
        ids = torch.arange(len(parameter)) if rows is None else torch.from_numpy(rows)
        parameter.grad = torch.sparse_coo_tensor(ids[None], parameter.grad[ids], parameter.shape, check_invariants=True)


LARGE = {"items": 3000, "rnn": {"window": 3, "widths": [96], "history": 2}}
SAMPLED = {"sampled": {"negatives": 6, "alpha": 0.5}}
HEAD = {"tied": True, "projection": True, "skip": True}


@pytest.mark.parametrize(
    ("changes", "solver"),
    [
        ({}, {"base_lr": 0.05}),
        ({}, {"base_lr": 0.05, "weight_decay": 0.01, "iter_size": 2, "clip_gradients": 0.5}),
        ({}, {"base_lr": 0.02, "type": "Nesterov", "clip_gradients": 1.0}),
        ({}, {"base_lr": 0.02, "type": "AdaGrad", "momentum": 0.0}),
        ({}, {"base_lr": 0.005, "type": "Adam", "delta": 1e-8}),
        ({"net": "fnn"}, {"base_lr": 0.05}),
        ({"net": "rnn", "rnn": {"window": 3, "widths": [8, 6]}}, {"base_lr": 0.05}),
        ({"net": "rnn", "loss": "every"}, {"base_lr": 0.05}),
        ({"loss": "every"}, {"base_lr": 0.05, "type": "Nesterov"}),
        ({"items": 12, "head": HEAD, "loss": "every"}, {"base_lr": 0.005, "type": "Adam"}),
        ({"items": 12, "head": HEAD | {"dropout": 0.5}}, {"base_lr": 0.02}),
        # Without momentum, into which Caffe takes the rate, and PyTorch not.
        ({"net": "rnn"}, {"base_lr": 0.2, "warmup": 30, "momentum": 0.0}),
        # So many that the output's weights are trained as their transpose.
        (LARGE, {"base_lr": 0.02}),
        (LARGE, {"base_lr": 0.05, "sampled": {"negatives": 40}}),
        ({"items": 12, "head": HEAD | {"dropout": 0.5}, "loss": "every"}, {"base_lr": 0.05, **SAMPLED}),
        ({"net": "fnn"}, {"base_lr": 0.02, "type": "Nesterov", "clip_gradients": 1.0, "iter_size": 2, **SAMPLED}),
        ({}, {"base_lr": 0.02, "type": "AdaGrad", "momentum": 0.0, **SAMPLED}),
        ({}, {"base_lr": 0.005, "type": "Adam", "delta": 1e-8, **SAMPLED}),
        (
            {"net": "rnn", "items": 12, "head": HEAD, "loss": "every"},
            {"base_lr": 0.005, "type": "Adam", "lazy": True, "delta": 1e-4, **SAMPLED},
        ),
    ],
    ids=[
        "sgd",
        "decay-iter_size-clip",
        "nesterov",
        "adagrad",
        "adam",
        "fnn",
        "rnn",
        "rnn-every",
        "combined-every",
        "head",
        "dropout",
        "warmup",
        "large",
        "sampled",
        "sampled-head-every",
        "sampled-nesterov",
        "sampled-adagrad",
        "sampled-adam",
        "sampled-lazy-adam",
    ],
)
def test_losses_are_those_of_pytorch(
    changes: dict[str, Any], solver: dict[str, Any], tmp_path: Path, make_data: Callable[..., Path], make_spec: Make
) -> None:
    spec = make_spec(**changes, solver={**solver, "max_iter": 50, "display": 1, "snapshot": 20})
    data = make_data(every=spec.loss == "every")
    train(spec, data, tmp_path / "run", TrainOptions(order="file", threads=1))
    ours = [line["loss"] for line in MetricsLog.read(tmp_path / "run" / "metrics.jsonl")]
    theirs = torch_losses(spec, data, read_initial(tmp_path / "run"), 50)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert np.mean(ours[-10:]) < np.mean(ours[:10])


@pytest.mark.parametrize("solver", [{}, {"clip_gradients": 0.5, "iter_size": 2, "weight_decay": 0.01}, SAMPLED])
def test_halves_of_a_batch_with_other_numbers_of_labels_train_as_torch(
    solver: dict[str, Any], tmp_path: Path, make_data: Callable[..., Path], make_spec: Make
) -> None:
    spec = make_spec(items=12, loss="every", solver={"base_lr": 0.05, "max_iter": 30, "display": 1, **solver})
    data = make_data(every=True)
    train(spec, data, tmp_path / "run", TrainOptions(order="file", threads=2))
    ours = [line["loss"] for line in MetricsLog.read(tmp_path / "run" / "metrics.jsonl")]
    np.testing.assert_allclose(ours, torch_losses(spec, data, read_initial(tmp_path / "run"), 30), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sampled", [None, {"negatives": 2000}], ids=["all", "sampled"])
def test_another_number_of_threads_changes_the_last_digits_alone(
    sampled: dict[str, Any] | None, tmp_path: Path, data: Path, make_spec: Make
) -> None:
    spec = make_spec(**LARGE, solver={"base_lr": 0.05, "max_iter": 100, "display": 1, "sampled": sampled})
    for threads in (1, 2, 4):
        train(spec, data, tmp_path / f"{threads}", TrainOptions(threads=threads))
    losses = {
        threads: [line["loss"] for line in MetricsLog.read(tmp_path / f"{threads}" / "metrics.jsonl")]
        for threads in (1, 2, 4)
    }
    assert np.mean(losses[1][-10:]) < 0.8 * np.mean(losses[1][:10]), "nothing was learned, so nothing was compared"
    for threads in (2, 4):
        np.testing.assert_allclose(losses[threads], losses[1], rtol=1e-4)


@pytest.mark.parametrize("sampled", [None, SAMPLED["sampled"]], ids=["all", "sampled"])
@pytest.mark.parametrize("kind", ["SGD", "AdaGrad", "Adam", "lazy", "momentum"])
def test_a_resumed_run_is_the_unbroken_run_to_the_bit(
    kind: str, sampled: dict[str, Any] | None, tmp_path: Path, data: Path, make_spec: Make
) -> None:
    def spec(max_iter: int) -> Spec:
        momentum = 0.0 if kind == "AdaGrad" else 0.9
        policy = {"lr_policy": "multistep", "stepvalue": [8, 25], "base_lr": 0.05, "sampled": sampled}
        head = {"dropout": 0.3 if kind == "SGD" else 0.0}
        lazy = {"lazy": True, "momentum": "momentum"}.get(kind)
        rule = {"type": "Adam", "lazy": lazy} if lazy else {"type": kind}
        return make_spec(head=head, solver={**rule, "momentum": momentum, "max_iter": max_iter, **policy})

    train(spec(40), data, tmp_path / "whole", TrainOptions(threads=1))
    # Dropout's masks and the candidates, too, are those of the batch, whenever the run began.
    # 10 is a snapshot; 23 lies between snapshots, where rows of tables are behind.
    train(spec(10), data, tmp_path / "parts", TrainOptions(threads=1))
    train(spec(23), data, tmp_path / "parts", TrainOptions(threads=1, resume=True))
    train(spec(40), data, tmp_path / "parts", TrainOptions(threads=1, resume=True))
    assert pair(tmp_path / "parts", 40) == pair(tmp_path / "whole", 40)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_large_net_on_all_threads_resumes_to_the_bit(kind: str, tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec = make_spec(**LARGE, solver={"type": kind, "base_lr": 0.01, "clip_gradients": 0.5})
    for run, parts in (("whole", [30]), ("again", [30]), ("parts", [7, 20, 30])):
        for part in parts:
            train(spec, data, tmp_path / run, TrainOptions(threads=2, until=part, resume=part != parts[0]))
    assert pair(tmp_path / "whole", 30) == pair(tmp_path / "again", 30) == pair(tmp_path / "parts", 30)


def test_an_older_snapshot_can_be_resumed(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))
    before = pair(tmp_path / "run", 30)
    train(
        make_spec(),
        data,
        tmp_path / "run",
        TrainOptions(threads=1, resume=tmp_path / "run/snapshots/small_iter_10.solverstate"),
    )
    assert pair(tmp_path / "run", 30) == before


def test_a_state_without_its_weights_is_passed_over(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))
    before = pair(tmp_path / "run", 30)
    (tmp_path / "run/snapshots/small_iter_30.caffemodel").unlink()
    (tmp_path / "run/snapshots/small_iter_20.solverstate").unlink()
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1, resume=True))
    assert pair(tmp_path / "run", 30) == before


# Trains, and kills itself with SIGKILL just before a file is renamed into place ("os.rename") or opened ("open").
CHILD = """
import os, signal, sys
from pathlib import Path
from generator.spec import load_spec
from generator.training.run.train import TrainOptions, train

spec, data, run, event, name, times = *map(Path, sys.argv[1:4]), *sys.argv[4:6], int(sys.argv[6])
seen = 0

def hook(happens, arguments):
    global seen
    if happens == event and Path(str(arguments[happens == "os.rename"])).name == name:
        seen += 1
        if seen == times:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
resume = any((run / "snapshots").glob("small_iter_*.solverstate"))
train(load_spec(spec), data, run, TrainOptions(threads=1, resume=resume))
"""


def test_a_run_killed_over_and_over_ends_with_the_same_bits(tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec = make_spec(solver={"max_iter": 47, "display": 5})
    train(spec, data, tmp_path / "whole", TrainOptions(threads=1))
    (tmp_path / "spec.yaml").write_text(dump_spec(spec))

    def child(event: str, name: str, times: int = 1) -> int:
        arguments = [str(tmp_path / "spec.yaml"), str(data), str(tmp_path / "killed"), event, name, str(times)]
        return subprocess.run([sys.executable, "-c", CHILD, *arguments], check=False, timeout=120).returncode

    moments: list[tuple[Any, ...]] = [
        ("os.rename", "solver.prototxt"),
        ("os.rename", "small_iter_0.solverstate"),
        ("open", "metrics.jsonl", 4),  # before the line of iteration 20
        ("os.rename", "metrics.jsonl"),  # as the lines after iteration 10 are cut
        ("os.rename", "small_iter_20.solverstate"),
        ("os.rename", "small_iter_20.caffemodel"),
        ("open", "metrics.jsonl", 3),  # before a line again, after the file was read
        ("os.rename", "small_iter_40.solverstate"),
        ("os.rename", "small_iter_47.caffemodel"),  # after the rows of the tables were written
        ("os.rename", "small_iter_47.solverstate"),
        ("os.rename", "manifest.json"),  # in the exported model
    ]
    for moment in moments:
        assert child(*moment) == -signal.SIGKILL, moment
    assert child("none", "") == 0
    assert pair(tmp_path / "killed", 47) == pair(tmp_path / "whole", 47)
    lines = MetricsLog.read(tmp_path / "killed/metrics.jsonl")
    assert [line["iteration"] for line in lines] == [5, 10, 15, 20, 25, 30, 35, 40, 45, 47]
    assert [line["loss"] for line in lines] == [
        line["loss"] for line in MetricsLog.read(tmp_path / "whole/metrics.jsonl")
    ]
    assert not list((tmp_path / "killed/snapshots").glob(".*"))
    assert [path.name for path in (tmp_path / "killed/models/small").glob("*[0-9]")] == ["1"]


def test_ctrl_c_finishes_the_update_and_leaves_a_snapshot(tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec_path, run = tmp_path / "spec.yaml", tmp_path / "run"
    spec_path.write_text(dump_spec(make_spec(solver={"max_iter": 50_000})))
    command = [sys.executable, "-m", "generator", "train", str(spec_path), "--data", str(data), "-o", str(run)]
    process = subprocess.Popen([*command, "--threads", "1"], stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not (run / "metrics.jsonl").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert "--resume" in said
    stopped = int(MetricsLog.read(run / "metrics.jsonl")[-1]["iteration"])
    assert all(pair(run, stopped))
    assert not (run / "models").exists()

    spec = make_spec(solver={"max_iter": stopped + 20})
    train(spec, data, run, TrainOptions(threads=1, resume=True))
    train(spec, data, tmp_path / "whole", TrainOptions(threads=1))
    assert pair(run, stopped + 20) == pair(tmp_path / "whole", stopped + 20)


def test_the_command_answers_machines_and_overrides_the_spec(tmp_path: Path, data: Path, make_spec: Make) -> None:
    (tmp_path / "spec.yaml").write_text(dump_spec(make_spec()))
    command = [sys.executable, "-m", "generator", "train", str(tmp_path / "spec.yaml"), "--data", str(data)]
    command += ["-o", str(tmp_path / "run"), "--format", "json", "--set"]
    done = subprocess.run([*command, "solver.max_iter=12"], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert (answer["iterations"], answer["signal"]) == (12, 0)
    assert Path(answer["model"]) == tmp_path / "run/models/small/1/model.onnx"
    again = subprocess.run([*command, "solver.max_iter=12"], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (2, "")
    assert "go on with --resume" in again.stderr
    longer = subprocess.run([*command, "solver.max_iter=15", "--resume"], capture_output=True, text=True, check=True)
    assert json.loads(longer.stdout)["iterations"] == 15


def test_sigterm_stops_a_run_in_python_and_gives_the_handlers_back(tmp_path: Path, data: Path, make_spec: Make) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    result = train(
        make_spec(),
        data,
        tmp_path / "run",
        TrainOptions(threads=1),
        progress=lambda iteration, loss, speed: signal.raise_signal(signal.SIGTERM),
    )
    assert (result.iterations, result.signal, result.model) == (1, signal.SIGTERM, None)
    assert all(pair(tmp_path / "run", 1))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_snapshots(
    tmp_path: Path, data: Path, make_spec: Make
) -> None:
    train(make_spec(solver={"max_iter": 10}), data, tmp_path / "run", TrainOptions(threads=1))
    good = pair(tmp_path / "run", 10)
    with pytest.raises(TrainingError, match=r"iteration \d+: .* at learning rate 1e\+20.*base_lr.*clip_gradients"):
        train(make_spec(solver={"base_lr": 1e20}), data, tmp_path / "run", TrainOptions(threads=1, resume=True))
    assert pair(tmp_path / "run", 10) == good
    assert not (tmp_path / "run/snapshots/small_iter_20.caffemodel").exists()


def test_weights_that_are_no_numbers_are_never_written(tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec = make_spec(net="fnn")
    train(spec, data, tmp_path / "first", TrainOptions(threads=1))
    net = read_net(tmp_path / "first/train_val.prototxt")
    weights = read_initial(tmp_path / "first")
    weights["bought_embedding"][3] = np.inf
    write_caffemodel(tmp_path / "bad.caffemodel", net, weights)
    with pytest.raises(TrainingError, match="bought_embedding holds numbers that are not finite"):
        train(spec, data, tmp_path / "run", TrainOptions(threads=1, weights=tmp_path / "bad.caffemodel"))
    assert not list((tmp_path / "run").rglob("*.caffemodel"))


def test_training_starts_from_given_weights(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "first", TrainOptions(threads=1))
    model = tmp_path / "first/snapshots/small_iter_30.caffemodel"
    train(make_spec(solver={"max_iter": 1}), data, tmp_path / "second", TrainOptions(threads=1, weights=model))
    assert pair(tmp_path / "second", 0)[0] == model.read_bytes()


def test_the_state_is_caffes(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(solver={"type": "Adam"}), data, tmp_path / "run", TrainOptions(threads=1))
    shapes = [array.shape for array in read_initial(tmp_path / "run").values()]
    state = read_solverstate(tmp_path / "run/snapshots/small_iter_30.solverstate", shapes * 2)
    assert (state.iteration, state.learned_net) == (30, "snapshots/small_iter_30.caffemodel")
    assert all((v >= 0).all() for v in state.history[len(shapes) :])
    assert all(array.any() for array in state.history)


def test_the_exported_model_is_what_was_trained_and_tested(tmp_path: Path, data: Path, make_spec: Make) -> None:
    spec = make_spec(solver={"test_iter": 100})
    result = train(spec, data, tmp_path / "run", TrainOptions(threads=1))
    folder = tmp_path / "run/models/small/1"
    assert result.model == folder / "model.onnx"
    rows = load_split(data / "test.h5", spec)
    label = rows.pop("label")
    feed = {name: array if array.dtype == np.float32 else array.astype(np.int64) for name, array in rows.items()}
    probability, top = onnxruntime.InferenceSession(str(result.model)).run(["probability", "top_item"], feed)
    last = MetricsLog.read(tmp_path / "run/metrics.jsonl")[-1]
    assert last["test_accuracy"] == pytest.approx(np.mean(top[:, 0] == label))
    assert last["test_accuracy_top3"] == pytest.approx(np.mean((top == label[:, None]).any(1)))
    assert last["test_loss"] == pytest.approx(-np.log(probability[np.arange(40), label]).mean(), rel=1e-5)

    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["iteration"] == 30
    assert set(manifest["sha256"]) == {"model.onnx", "pages.txt", "items.txt"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert (folder / "items.txt").read_bytes() == (data / "items.txt").read_bytes()
    assert (folder.parent / "config.pbtxt").read_bytes() == (tmp_path / "run/config.pbtxt").read_bytes()


def test_versions_count_up_and_a_finished_run_exports_nothing_new(tmp_path: Path, data: Path, make_spec: Make) -> None:
    run = tmp_path / "run"
    first = train(make_spec(), data, run, TrainOptions(threads=1))
    again = train(make_spec(), data, run, TrainOptions(threads=1, resume=True))
    assert again.model == first.model
    assert (again.iterations, again.loss) == (30, first.loss)
    longer = train(make_spec(solver={"max_iter": 40}), data, run, TrainOptions(threads=1, resume=True))
    assert longer.model == run / "models/small/2/model.onnx"
    assert sorted(path.name for path in (run / "models/small").iterdir()) == ["1", "2", "config.pbtxt"]


def test_metrics_have_a_line_a_report_and_none_twice(tmp_path: Path, data: Path, make_spec: Make) -> None:
    run = tmp_path / "run"
    train(make_spec(), data, run, TrainOptions(threads=1))
    lines = MetricsLog.read(run / "metrics.jsonl")
    assert [line["iteration"] for line in lines] == [10, 15, 20, 30]
    assert ["test_loss" in line for line in lines] == [False, True, False, True]
    assert lines[0]["lr"] == 0.2
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"iteration": 31, "lo')  # torn by a kill
    train(make_spec(), data, run, TrainOptions(threads=1, resume=run / "snapshots/small_iter_10.solverstate"))
    again = MetricsLog.read(run / "metrics.jsonl")
    assert [line["iteration"] for line in again] == [10, 15, 20, 30]
    assert [line["loss"] for line in again] == pytest.approx([line["loss"] for line in lines])
    assert [line["seconds"] for line in again] == sorted(line["seconds"] for line in again)


def test_a_valid_split_is_tested_before_the_test_split(tmp_path: Path, data: Path, make_spec: Make) -> None:
    (data / "valid.h5").write_bytes((data / "train.h5").read_bytes())
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))
    assert (tmp_path / "run/test.txt").read_text() == "../data/valid.h5\n"
    assert (tmp_path / "run/train.txt").read_text() == "../data/train.h5\n"


def test_without_a_held_out_split_nothing_is_tested(tmp_path: Path, data: Path, make_spec: Make) -> None:
    (data / "test.h5").unlink()
    said: list[str] = []
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1), note=said.append)
    assert "test_loss" not in (tmp_path / "run/metrics.jsonl").read_text()
    # Real Caffe tests all the same: tests/training/test_caffe_training.py.
    assert (tmp_path / "run/test.txt").read_text() == "../data/train.h5\n"
    assert said == [
        f"{data} has no valid.h5 and no test.h5, so nothing is tested; test.txt, for real Caffe, names train.h5"
    ]


def test_a_run_is_not_overwritten(tmp_path: Path, data: Path, make_spec: Make) -> None:
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))
    with pytest.raises(TrainingError, match=r"holds a run already, at iteration 30; go on with --resume"):
        train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, data: Path, make_spec: Make) -> None:
    with pytest.raises(TrainingError, match="is not empty and holds no run"):
        train(make_spec(), data, data, TrainOptions(threads=1))


def test_resume_says_what_it_lacks(tmp_path: Path, data: Path, make_spec: Make) -> None:
    with pytest.raises(TrainingError, match="no snapshot to resume"):
        train(make_spec(), data, tmp_path / "run", TrainOptions(resume=True))
    assert not (tmp_path / "run").exists()
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))
    with pytest.raises(TrainingError, match="is no snapshot of this run"):
        train(
            make_spec(),
            data,
            tmp_path / "run",
            TrainOptions(resume=tmp_path / "run/snapshots/small_iter_7.solverstate"),
        )
    with pytest.raises(TrainingError, match="begun with another net: rnn differ"):
        train(
            make_spec(rnn={"window": 3, "widths": [9], "history": 2}), data, tmp_path / "run", TrainOptions(resume=True)
        )
    with pytest.raises(TrainingError, match="leave weights out"):
        train(make_spec(), data, tmp_path / "run", TrainOptions(resume=True, weights=tmp_path / "x.caffemodel"))
    shutil.rmtree(tmp_path / "run/snapshots")
    for resume in (True, False):  # neither is told to do the other
        with pytest.raises(TrainingError, match=r"of a run whose snapshots are gone; take a new folder"):
            train(make_spec(), data, tmp_path / "run", TrainOptions(resume=resume))


def test_vocabularies_are_wanted_before_the_training(tmp_path: Path, data: Path, make_spec: Make) -> None:
    (data / "items.txt").unlink()
    with pytest.raises(DataError, match=r"items.txt: no such file.*drn sessions"):
        train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))
    assert not (tmp_path / "run").exists()


def test_metrics_carry_the_name_of_the_split_they_were_measured_on(tmp_path: Path, data: Path, make_spec: Make) -> None:
    (data / "test.h5").rename(data / "valid.h5")
    train(make_spec(), data, tmp_path / "run", TrainOptions(threads=1))
    last = MetricsLog.read(tmp_path / "run/metrics.jsonl")[-1]
    assert {"valid_loss", "valid_accuracy", "valid_accuracy_top3"} <= last.keys()
    assert not any(name.startswith("test_") for name in last)
