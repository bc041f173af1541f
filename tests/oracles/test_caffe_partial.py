"""`drn train --weights` takes of a file what Caffe's `copy_from` takes, and refuses what it refuses."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from caffe_process import Caffe, CaffeError
from caffe_runs import small_spec, snapshot, weights_at, weights_of, write_data

from generator.caffe.schema import WeightsParameter
from generator.errors import ModelError
from generator.training.run.train import TrainOptions, train

pytestmark = pytest.mark.oracle

SHALLOW = small_spec(net="rnn", rnn={"window": 2, "widths": [4], "history": 2})
# A second layer more; the widths of what both have are alike.
DEEP = small_spec(net="rnn", rnn={"window": 2, "widths": [4, 4], "history": 2})


def test_what_caffe_copies_we_take_and_what_it_fills_we_fill(caffe: Caffe, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", DEEP, 100)
    train(SHALLOW, data, tmp_path / "shallow", TrainOptions(threads=1, until=20))
    # Caffe's own file, with a copy for every use of a shared parameter.
    given = caffe.train(tmp_path / "shallow/solver.prototxt", 3, weights=snapshot(tmp_path / "shallow", 20)).caffemodel
    train(DEEP, data, tmp_path / "deep", TrainOptions(threads=1, until=0, weights=given))
    train(DEEP, data, tmp_path / "afresh", TrainOptions(threads=1, until=0))
    ours, fillers = weights_at(tmp_path / "deep", 0), weights_at(tmp_path / "afresh", 0)
    # Two nets of Caffe's by the same seed, one of them with the weights copied into it.
    solver = tmp_path / "deep/solver.prototxt"
    theirs, their_fillers = (
        weights_of(caffe.train(solver, 0, weights=weights), tmp_path / "deep") for weights in (given, None)
    )
    # What starts at a constant tells nothing; but for the table's and the layer's biases all of it is drawn.
    drawn = [name for name in theirs if np.ptp(their_fillers[name])]
    copied = [name for name in drawn if not np.array_equal(theirs[name], their_fillers[name])]
    assert {name.partition("_")[0] for name in drawn if name not in copied} == {"hidden2"}
    for name, array in theirs.items():
        if name in copied:
            np.testing.assert_array_equal(ours[name], array, err_msg=name)
        elif name in drawn:
            np.testing.assert_array_equal(ours[name], fillers[name], err_msg=name)
        else:
            np.testing.assert_array_equal(ours[name], array, err_msg=name)


def test_both_refuse_a_shape_of_another_net(caffe: Caffe, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", DEEP, 100)
    train(SHALLOW, data, tmp_path / "shallow", TrainOptions(threads=1, until=0))
    wide = small_spec(net="rnn", rnn={"window": 2, "widths": [5], "history": 2})
    train(wide, data, tmp_path / "wide", TrainOptions(threads=1, until=0))
    given = snapshot(tmp_path / "shallow", 0)
    with pytest.raises(CaffeError, match="Cannot copy param 0 weights from layer"):
        caffe.train(tmp_path / "wide/solver.prototxt", 0, weights=given)
    with pytest.raises(ModelError, match="has shape"):
        train(wide, data, tmp_path / "run", TrainOptions(threads=1, weights=given))


def test_copies_that_differ_are_refused_where_caffe_takes_the_last(caffe: Caffe, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", SHALLOW, 100)
    train(SHALLOW, data, tmp_path / "run", TrainOptions(threads=1, until=0))
    solver, given = tmp_path / "run/solver.prototxt", tmp_path / "given.caffemodel"
    shutil.copy(caffe.train(solver, 0, weights=snapshot(tmp_path / "run", 0)).caffemodel, given)
    train(SHALLOW, data, tmp_path / "again", TrainOptions(threads=1, until=0, weights=given))  # all copies are alike
    message = WeightsParameter.FromString(given.read_bytes())
    tables = [
        (layer.name, blob)
        for layer in message.layer
        for blob in layer.blobs
        if list(blob.shape.dim) == [SHALLOW.pages + 1, 4]
    ]
    assert len(tables) == 3  # the window's two pages and the history
    last = np.full((SHALLOW.pages + 1, 4), 7, "<f4")
    tables[-1][1].data = last.tobytes()
    given.write_bytes(message.SerializeToString())
    theirs = weights_of(caffe.train(solver, 0, weights=given), tmp_path / "run")
    np.testing.assert_array_equal(theirs["page_embedding"], last)
    with pytest.raises(
        ModelError, match=f"layers {tables[0][0]} and {tables[-1][0]} share page_embedding in the net, but the file"
    ):
        train(SHALLOW, data, tmp_path / "refused", TrainOptions(threads=1, weights=given))
