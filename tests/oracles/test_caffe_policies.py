"""Every learning-rate policy at its bounds, beside real Caffe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_process import Caffe
from caffe_runs import apart, both, small_spec, snapshot, weights_at, weights_of, write_data

from generator.errors import TrainingError
from generator.training.run.train import TrainOptions, train

pytestmark = pytest.mark.oracle

ITERATIONS = 12
BOUNDS: dict[str, dict[str, Any]] = {
    "sigmoid, far below its middle": {"lr_policy": "sigmoid", "gamma": 1.0, "stepsize": 1000},
    "sigmoid, below and above": {"lr_policy": "sigmoid", "gamma": 1.0, "stepsize": 6},
    "sigmoid, steep": {"lr_policy": "sigmoid", "gamma": 3e38, "stepsize": 6},
    "sigmoid, flat": {"lr_policy": "sigmoid", "gamma": 0.0, "stepsize": 6},
    "exp, rising": {"lr_policy": "exp", "gamma": 1.2},
    "exp, 0": {"lr_policy": "exp", "gamma": 0.0},
    "exp, to nothing": {"lr_policy": "exp", "gamma": 1e-30},
    "step, rising": {"lr_policy": "step", "gamma": 2.0, "stepsize": 5},
    "step, every iteration": {"lr_policy": "step", "gamma": 0.9, "stepsize": 1},
    "multistep, to nothing": {"lr_policy": "multistep", "gamma": 0.0, "stepvalue": [4]},
    "inv, flat": {"lr_policy": "inv", "gamma": 0.0, "power": 0.75},
    "inv, rising": {"lr_policy": "inv", "gamma": 0.1, "power": -0.5},
    "inv, to nothing": {"lr_policy": "inv", "gamma": 3e38, "power": 9.0},
    "poly, flat": {"lr_policy": "poly", "power": 0.0},
    "poly, steep": {"lr_policy": "poly", "power": 300.0},
}
OVERFLOWS: dict[str, dict[str, Any]] = {
    "exp": {"lr_policy": "exp", "gamma": 1e38},
    "step": {"lr_policy": "step", "gamma": 1e38, "stepsize": 1},
    "multistep": {"lr_policy": "multistep", "gamma": 1e38, "stepvalue": [1, 2, 3]},
    "inv": {"lr_policy": "inv", "gamma": 3e38, "power": -30.0},
}


@pytest.mark.parametrize("policy", BOUNDS)
def test_a_policy_at_its_bounds(caffe: Caffe, tmp_path: Path, policy: str) -> None:
    spec = small_spec(solver={**BOUNDS[policy], "max_iter": ITERATIONS})
    ours, theirs, _ = both(caffe, spec, write_data(tmp_path / "data", spec, 80), tmp_path / "run")
    assert max(apart(ours, theirs).values()) <= 1e-5


@pytest.mark.parametrize("policy", OVERFLOWS)
def test_a_rate_that_overflows_is_said_where_caffe_trains_on(caffe: Caffe, tmp_path: Path, policy: str) -> None:
    spec = small_spec(solver={**OVERFLOWS[policy], "max_iter": ITERATIONS})
    data, run = write_data(tmp_path / "data", spec, 80), tmp_path / "run"
    with pytest.raises(TrainingError, match=r"at learning rate .*lower solver\.base_lr"):
        train(spec, data, run, TrainOptions(order="file", threads=1))
    theirs = weights_of(caffe.train(run / "solver.prototxt", ITERATIONS, weights=snapshot(run, 0)), run)
    assert not all(np.isfinite(array).all() for array in theirs.values())


@pytest.mark.parametrize("power", [0.5, -1.0, 2.0])
def test_poly_at_its_end_and_past_it(tmp_path: Path, power: float) -> None:
    """A run at or past max_iter has nothing left to do; its rate there is of no matter, and no error."""
    spec = small_spec(solver={"lr_policy": "poly", "power": power, "max_iter": 3, "base_lr": 1e-4})
    data, run = write_data(tmp_path / "data", spec, 80), tmp_path / "run"
    train(spec, data, run, TrainOptions(order="file", threads=1))
    before = weights_at(run, 3)
    shorter = spec.model_copy(update={"solver": spec.solver.model_copy(update={"max_iter": 2})})
    for again in (spec, shorter):
        assert train(again, data, run, TrainOptions(order="file", threads=1, resume=True)).iterations == 3
    assert all(np.array_equal(array, before[name]) for name, array in weights_at(run, 3).items())


@pytest.mark.parametrize("momentum", [0.9999999, 0.99999996])
@pytest.mark.parametrize("kind", ["SGD", "Nesterov"])
def test_momentum_as_close_to_1_as_float32_goes(caffe: Caffe, tmp_path: Path, kind: str, momentum: float) -> None:
    spec = small_spec(solver={"type": kind, "momentum": momentum, "base_lr": 1e-3, "max_iter": ITERATIONS})
    ours, theirs, _ = both(caffe, spec, write_data(tmp_path / "data", spec, 80), tmp_path / "run")
    assert max(apart(ours, theirs).values()) <= 1e-5
