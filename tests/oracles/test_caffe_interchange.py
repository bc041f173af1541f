"""A training run changes hands between drn and real Caffe by its snapshots, and ends where an unbroken one does."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_process import Caffe
from caffe_runs import apart, both, small_spec, snapshot, weights_at, weights_of, write_data

from generator.training.run.train import TrainOptions, train

pytestmark = pytest.mark.oracle

TOLERANCE = 1e-5
LEG = 50
PAIR = (".caffemodel", ".solverstate")
# Caffe begins the HDF5 file anew whenever it starts. 50 batches of 8 are 4 epochs of these rows, so that both
# sides go on with the same row, and batches run over the end of the file all the same.
ROWS = 100


def caffes_leg(caffe: Caffe, run: Path, start: int, iterations: int = LEG) -> None:
    """Go on with Caffe from a snapshot of a run, and leave Caffe's files as the run's next snapshot."""
    trained = caffe.train(run / "solver.prototxt", iterations, solverstate=snapshot(run, start, ".solverstate"))
    assert trained.iteration == start + iterations
    for suffix, file in zip(PAIR, (trained.caffemodel, trained.solverstate), strict=True):
        shutil.copy(file, snapshot(run, trained.iteration, suffix))


@pytest.mark.parametrize(
    "solver",
    [
        {"lr_policy": "multistep", "gamma": 0.5, "stepvalue": [20, 70, 71, 180]},
        {"clip_gradients": 0.3, "weight_decay": 0.005, "iter_size": 2, "multipliers": {"table": {"decay": 1}}},
        {"type": "Nesterov", "base_lr": 0.01, "lr_policy": "poly"},
        {"type": "AdaGrad", "momentum": 0.0, "lr_policy": "step", "gamma": 0.5, "stepsize": 120},
        {"type": "Adam", "base_lr": 0.002, "lr_policy": "inv", "gamma": 0.01, "power": 0.75},
    ],
    ids=["SGD, multistep", "SGD, all at once", "Nesterov, poly", "AdaGrad, step", "Adam, inv"],
)
@pytest.mark.parametrize("first", ["drn", "Caffe"])
def test_a_run_that_changes_hands_ends_where_an_unbroken_one_does(
    caffe: Caffe, tmp_path: Path, solver: dict[str, Any], first: str, record_property: Callable[[str, object], None]
) -> None:
    spec = small_spec(solver={**solver, "max_iter": 6 * LEG})
    data, run = write_data(tmp_path / "data", spec, ROWS), tmp_path / "run"
    ours, theirs, _ = both(caffe, spec, data, tmp_path / "unbroken")
    train(spec, data, run, TrainOptions(order="file", threads=1, until=0))
    for leg, start in enumerate(range(0, spec.solver.max_iter, LEG)):
        if (leg % 2 == 0) == (first == "drn"):
            train(spec, data, run, TrainOptions(order="file", threads=1, resume=True, until=start + LEG))
        else:
            caffes_leg(caffe, run, start)
    ended = weights_at(run, spec.solver.max_iter)
    from_ours, from_theirs = max(apart(ended, ours).values()), max(apart(ended, theirs).values())
    record_property("apart", f"{from_ours:.1e} from ours, {from_theirs:.1e} from Caffe's")
    assert max(from_ours, from_theirs) <= TOLERANCE


def test_caffe_goes_on_from_any_iteration(caffe: Caffe, tmp_path: Path) -> None:
    # 25 is no multiple of snapshot or test_interval: until then no table was brought up to date.
    spec = small_spec(solver={"max_iter": 2 * LEG})
    data, run = write_data(tmp_path / "data", spec, ROWS), tmp_path / "run"
    train(spec, data, run, TrainOptions(order="file", threads=1, until=25))
    caffes_leg(caffe, run, 25, 75)
    ours, _, _ = both(caffe, spec, data, tmp_path / "unbroken")
    assert max(apart(weights_at(run, 2 * LEG), ours).values()) <= TOLERANCE


def test_caffes_snapshot_counts_where_it_takes_the_place_of_ours(caffe: Caffe, tmp_path: Path) -> None:
    spec = small_spec(solver={"max_iter": 2 * LEG})
    data, run, other = write_data(tmp_path / "data", spec, ROWS), tmp_path / "run", tmp_path / "other"
    train(spec, data, run, TrainOptions(order="file", threads=1, until=LEG))
    assert list((run / "snapshots").glob("*.rows.npz"))
    elsewhere = spec.model_copy(update={"solver": spec.solver.model_copy(update={"random_seed": 9})})
    train(elsewhere, data, other, TrainOptions(order="file", threads=1, until=0))
    shutil.copy(snapshot(other, 0), snapshot(run, 0))
    shutil.copy(snapshot(other, 0, ".solverstate"), snapshot(run, 0, ".solverstate"))
    caffes_leg(caffe, run, 0)
    train(spec, data, run, TrainOptions(order="file", threads=1, resume=True))
    trained = caffe.train(run / "solver.prototxt", LEG, solverstate=snapshot(run, LEG, ".solverstate"))
    assert max(apart(weights_at(run, 2 * LEG), weights_of(trained, run)).values()) <= TOLERANCE


def test_our_weights_start_caffe_and_caffes_start_us(caffe: Caffe, tmp_path: Path) -> None:
    spec = small_spec(solver={"max_iter": LEG})
    data, run = write_data(tmp_path / "data", spec, ROWS), tmp_path / "run"
    train(spec, data, run, TrainOptions(order="file", threads=1))
    trained = caffe.train(run / "solver.prototxt", 0, weights=snapshot(run, LEG))
    train(spec, data, tmp_path / "again", TrainOptions(order="file", threads=1, weights=trained.caffemodel))
    for name, array in weights_at(run, LEG).items():
        np.testing.assert_array_equal(weights_at(tmp_path / "again", 0)[name], array, err_msg=name)
