"""Parameters with multiplier lr 0, beside real Caffe: out of the clip norm and the histories, thawed by resuming."""

from pathlib import Path
from typing import Any

import pytest
from caffe_process import Caffe
from caffe_runs import apart, both, small_spec, snapshot, weights_at, weights_of, write_data

from generator.training.run.train import TrainOptions, train

pytestmark = pytest.mark.oracle

TOLERANCE = 1e-5
ROWS, LEG = 80, 20  # 20 batches of 8 are two epochs: Caffe, which begins the file anew, goes on with the same row
KINDS: dict[str, dict[str, Any]] = {
    "SGD": {"base_lr": 0.05},
    "Nesterov": {"type": "Nesterov", "base_lr": 0.02},
    "AdaGrad": {"type": "AdaGrad", "base_lr": 0.02, "momentum": 0.0},
    "Adam": {"type": "Adam", "base_lr": 0.002},
}


@pytest.mark.parametrize("frozen", ["table", "weight", "bias"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_parameter_is_out_of_the_clip_norm(caffe: Caffe, tmp_path: Path, kind: str, frozen: str) -> None:
    solver = {**KINDS[kind], "clip_gradients": 0.05, "multipliers": {frozen: {"lr": 0}}, "max_iter": LEG}
    spec = small_spec(solver=solver)
    ours, theirs, _ = both(caffe, spec, write_data(tmp_path / "data", spec, ROWS), tmp_path / "run")
    assert max(apart(ours, theirs).values()) <= TOLERANCE


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("kind", KINDS)
def test_frozen_then_thawed_by_resuming(caffe: Caffe, tmp_path: Path, kind: str, decay: float) -> None:
    """Train, freeze the tables, thaw them: what of their history lasts is Caffe's, and so is where they end."""
    run, leg = tmp_path / "run", 0
    data, trained = None, None
    for lr in (1, 0, 1):
        multipliers = {"table": {"lr": lr, "decay": 1 if decay else 0}}
        solver = {**KINDS[kind], "weight_decay": decay, "multipliers": multipliers, "max_iter": leg + LEG}
        spec = small_spec(solver=solver)
        data = data or write_data(tmp_path / "data", spec, ROWS)
        train(spec, data, run, TrainOptions(order="file", threads=1, resume=bool(leg)))
        start = {"solverstate": trained.solverstate} if trained else {"weights": snapshot(run, 0)}
        trained = caffe.train(run / "solver.prototxt", LEG, **start)
        leg += LEG
        assert max(apart(weights_at(run, leg), weights_of(trained, run)).values()) <= TOLERANCE, f"after {leg}"
