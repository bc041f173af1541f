"""Which row comes next when a run changes hands within an epoch: drn's is the next one, Caffe's the first."""

from pathlib import Path

import pytest
from caffe_process import Caffe
from caffe_runs import apart, small_spec, snapshot, weights_at, weights_of, write_data

from generator.training.run.train import TrainOptions, train

pytestmark = pytest.mark.oracle


def test_caffe_begins_the_file_anew_within_an_epoch(caffe: Caffe, tmp_path: Path) -> None:
    # 5 batches of 8 are half of 80 rows. Plain SGD has no history, so that what Caffe makes of the snapshot is what it
    # makes of its weights at iteration 0.
    spec = small_spec(solver={"momentum": 0.0, "max_iter": 10})
    data, run = write_data(tmp_path / "data", spec, 80), tmp_path / "run"
    train(spec, data, run, TrainOptions(order="file", threads=1, until=5))
    state, solver = snapshot(run, 5, ".solverstate"), run / "solver.prototxt"
    resumed = weights_of(caffe.train(solver, 5, solverstate=state), run)
    from_row_1 = weights_of(caffe.train(solver, 5, weights=snapshot(run, 5)), run)
    assert max(apart(resumed, from_row_1).values()) == 0.0
    train(spec, data, run, TrainOptions(order="file", threads=1, resume=True))
    unbroken = weights_of(caffe.train(solver, 10, weights=snapshot(run, 0)), run)
    assert max(apart(weights_at(run, 10), unbroken).values()) <= 1e-5
    assert max(apart(resumed, unbroken).values()) > 1e-4
