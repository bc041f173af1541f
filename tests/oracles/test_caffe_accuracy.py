"""The accuracies of a test pass, beside real Caffe's Accuracy layer: ties count against the label, NaN for it."""

import json
from pathlib import Path

import numpy as np
import pytest
from caffe_process import Caffe
from caffe_runs import NEVER, small_spec, snapshot, write_data

from generator.training.run.testing import accuracies
from generator.training.run.train import TrainOptions, train

pytestmark = pytest.mark.oracle

ROWS, SCORES = 200, 12
NET = f"""name: "ties"
input: "logit" input_shape {{ dim: {ROWS} dim: {SCORES} }}
input: "label" input_shape {{ dim: {ROWS} }}
""" + "".join(
    f'layer {{ name: "top{k}" type: "Accuracy" bottom: "logit" bottom: "label" top: "top{k}"'
    f" accuracy_param {{ top_k: {k} ignore_label: 0 }} }}\n"
    for k in (1, 3, 7)
)


@pytest.mark.parametrize("different", [1, 2, 5, 1000])
def test_equal_scores_and_scores_that_are_no_numbers(caffe: Caffe, tmp_path: Path, different: int) -> None:
    rng = np.random.default_rng(different)
    logit = rng.integers(0, different, (ROWS, SCORES)).astype(np.float32)
    logit[rng.random(logit.shape) < 0.05] = np.nan
    label = rng.integers(0, SCORES, ROWS)
    (tmp_path / "net.prototxt").write_text(NET)
    tops = ["top1", "top3", "top7"]
    found = caffe.forward(tmp_path / "net.prototxt", None, {"logit": logit, "label": label}, tops)
    ours = np.array(accuracies(logit, label, (1, 3, 7))) / np.count_nonzero(label)
    np.testing.assert_allclose(ours, [float(found[top]) for top in tops], rtol=1e-6)


def test_a_net_whose_scores_are_all_equal_is_right_nowhere(caffe: Caffe, tmp_path: Path) -> None:
    zero = {"type": "constant", "value": 0.0}
    solver = {"max_iter": 1, "base_lr": 1e-30, "test_iter": 1, "test_interval": 1, "snapshot": NEVER}
    spec = small_spec(init={"table": zero, "weight": zero, "bias": zero}, solver=solver)
    data, run = write_data(tmp_path / "data", spec, 40), tmp_path / "run"
    train(spec, data, run, TrainOptions(order="file", threads=1))
    names = ["accuracy", "accuracy_top3"]
    found = caffe.forward(run / "train_val.prototxt", snapshot(run, 0), None, names)
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert [line["test_accuracy"], line["test_accuracy_top3"]] == [float(found[name]) for name in names] == [0.0, 0.0]
