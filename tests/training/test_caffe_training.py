"""Real Caffe takes our run folder as it is, trains in it from our first snapshot, and ends where we ended."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import caffe_python

from generator.caffe.caffemodel import read_caffemodel
from generator.caffe.prototxt import learnable, read_net
from generator.caffe.solverstate import read_solverstate
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.schema import Spec
from generator.training.run.train import TrainOptions, train

pytestmark = pytest.mark.oracle

LAST = 40
CAFFE = """
import caffe
caffe.set_mode_cpu()
solver = caffe.get_solver("solver.prototxt")
solver.restore("snapshots/small_iter_{start}.solverstate")
solver.step({steps})
solver.snapshot()
"""


@pytest.fixture(scope="module")
def caffe(root: Path) -> Path:
    """A Python that can import real Caffe."""
    return caffe_python(root)


def state_of(run: Path, iteration: int, histories: int) -> tuple[dict[str, Any], Any]:
    net = read_net(run / "train_val.prototxt")
    declared = parameter_shapes(parse((run / "gradient.onnxtxt").read_text(), "gradient.onnxtxt"))
    shapes = {parameter.name: declared[parameter.name] for parameter in learnable(net)}
    files = run / "snapshots" / f"small_iter_{iteration}"
    return (
        read_caffemodel(files.with_suffix(".caffemodel"), net, shapes),
        read_solverstate(files.with_suffix(".solverstate"), [*shapes.values()] * histories),
    )


def run_caffe(caffe: Path, run: Path, start: int, steps: int) -> None:
    done = subprocess.run(
        [caffe, "-c", CAFFE.format(start=start, steps=steps)],
        cwd=run,
        env={**os.environ, "GLOG_minloglevel": "2"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_caffe_takes_a_run_without_a_held_out_split(
    tmp_path: Path, data: Path, make_spec: Callable[..., Spec], caffe: Path
) -> None:
    (data / "test.h5").unlink()
    train(make_spec(), data, tmp_path / "run", TrainOptions(order="file", threads=1))
    # Past iteration 15 and 30, at which the solver tests.
    run_caffe(caffe, tmp_path / "run", 10, 25)
    state_of(tmp_path / "run", 35, 1)


@pytest.mark.parametrize(
    ("start", "changes", "solver"),
    [
        (0, {}, {}),
        (25, {}, {}),
        (
            25,
            {},
            {
                "weight_decay": 0.01,
                "iter_size": 2,
                "clip_gradients": 0.5,
                "lr_policy": "multistep",
                "stepvalue": [5, 12, 30],
            },
        ),
        (0, {}, {"type": "Nesterov", "lr_policy": "inv", "gamma": 0.01, "power": 0.75}),
        (25, {}, {"type": "AdaGrad", "momentum": 0.0, "lr_policy": "step", "stepsize": 7}),
        (25, {}, {"type": "Adam", "base_lr": 0.005, "lr_policy": "poly", "power": 0.5}),
        (0, {"net": "fnn"}, {"lr_policy": "exp", "gamma": 0.95}),
        (0, {"loss": "every"}, {"lr_policy": "sigmoid", "gamma": 0.1, "stepsize": 10}),
    ],
    ids=["sgd", "resumed", "all-at-once", "nesterov", "adagrad", "adam", "fnn", "every"],
)
def test_caffe_ends_where_we_end(
    start: int,
    changes: dict[str, Any],
    solver: dict[str, Any],
    tmp_path: Path,
    make_data: Callable[..., Path],
    make_spec: Callable[..., Spec],
    caffe: Path,
) -> None:
    # Caffe reads the file from its first row whenever it starts: 25 batches of 16 are 4 epochs of 100 rows.
    spec = make_spec(**changes, solver={"base_lr": 0.03, "max_iter": LAST, "snapshot": 25, **solver})
    run, histories = tmp_path / "run", 2 if solver.get("type") == "Adam" else 1
    train(spec, make_data(every=spec.loss == "every"), run, TrainOptions(order="file", threads=1))
    weights, state = state_of(run, LAST, histories)
    (run / "snapshots" / f"small_iter_{LAST}.solverstate").unlink()
    run_caffe(caffe, run, start, LAST - start)
    theirs, their_state = state_of(run, LAST, histories)
    for name, array in theirs.items():
        np.testing.assert_allclose(weights[name], array, rtol=1e-4, atol=2e-6, err_msg=name)
    for ours, array in zip(state.history, their_state.history, strict=True):
        np.testing.assert_allclose(ours, array, rtol=1e-3, atol=1e-6)
    assert state.current_step == their_state.current_step
