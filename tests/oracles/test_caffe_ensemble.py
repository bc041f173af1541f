"""An ensemble in real Caffe: its nets are trained there one by one, and answer as one net."""

from pathlib import Path

import numpy as np
import pytest
from caffe_process import Caffe
from caffe_runs import apart, small_spec, weights_at, weights_of, write_data

from generator.export.caffe import export_caffemodel
from generator.model.model import Model
from generator.training.run.rows import load_split
from generator.training.run.train import TrainOptions, train

pytestmark = pytest.mark.oracle


def test_caffe_trains_each_net_and_answers_by_all(caffe: Caffe, tmp_path: Path) -> None:
    spec = small_spec(ensemble=3, solver={"max_iter": 40})
    data, run = write_data(tmp_path / "data", spec, 120), tmp_path / "run"
    train(spec, data, run, TrainOptions(order="file", threads=1))
    second = run / "members/2"
    trained = caffe.train(second / "solver.prototxt", 40, weights=second / "snapshots/small_iter_0.caffemodel")
    assert max(apart(weights_at(second, 40), weights_of(trained, second)).values()) <= 1e-5

    weights = tmp_path / "all.caffemodel"
    export_caffemodel(run, weights)
    rows = load_split(data / "test.h5", spec)
    inputs = {name: values for name, values in rows.items() if name != "label"}
    theirs = caffe.forward(run / "deploy.prototxt", weights, inputs, ["probability"])["probability"]
    np.testing.assert_allclose(Model(run).scores(rows), theirs, atol=1e-6)
