"""Nets past what one file holds, at a smaller limit than 2 GiB: generated, trained, resumed, exported, asked."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner

from generator.caffe import blobs, hdf5
from generator.caffe.caffemodel import read_caffemodel
from generator.caffe.prototxt import read_net
from generator.cli import drn
from generator.errors import ModelError
from generator.inspect.detect import inspect_file
from generator.model.model import Model
from generator.model.query import Query
from generator.onnxgraph import initialise
from generator.spec import dump_spec
from generator.training.run.train import TrainOptions, train

TEXT = """<ir_version: 8, opset_import: ["" : 18]>
g (float[B, 500] x, float[2, 500] w) => (float[B, 2] y) { y = Gemm <transB = 1> (x, w) }"""
SESSION = Query([("page-2", 3.0), ("page-5", 8.0)], ["item-4"])


@pytest.fixture
def limited(monkeypatch):
    """Every net is past the limits, as a table of 9 million rows of 64 is past the true ones."""
    monkeypatch.setattr(initialise, "LARGEST", 1000)
    monkeypatch.setattr(blobs, "LIMIT", 2**20)


def test_trained_resumed_and_exported_as_any_other(make_spec, data, tmp_path, monkeypatch, limited):
    train(make_spec(solver={"max_iter": 20}), data, tmp_path / "large")
    train(make_spec(), data, tmp_path / "large", TrainOptions(resume=True))
    monkeypatch.undo()
    train(make_spec(), data, tmp_path / "plain")

    (large, small), ours = (Model(tmp_path / name) for name in ("large", "plain")), tmp_path / "large"
    assert large.recommend([SESSION]) == small.recommend([SESSION])
    assert large.file.with_name("model.onnx.data").is_file()
    manifest = json.loads((large.file.parent / "manifest.json").read_text())
    assert "model.onnx.data" in manifest["sha256"]
    shapes = {each.name: tuple(each.dims) for each in onnx.load(small.file).graph.initializer}
    weights = []
    for name in ("large", "plain"):
        run = tmp_path / name
        net = read_net(run / "train_val.prototxt")
        weights.append(read_caffemodel(run / "snapshots" / "small_iter_30.caffemodel", net, shapes))
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name])
    assert hdf5.is_hdf5(ours / "snapshots" / "small_iter_30.caffemodel")
    assert hdf5.is_hdf5(ours / "snapshots" / "small_iter_30.solverstate")
    assert inspect_file(ours / "snapshots" / "small_iter_30.caffemodel").parameters
    assert inspect_file(ours / "snapshots" / "small_iter_30.solverstate").facts["iteration"] == 30


def test_drn_exports_and_answers_by_a_model_of_two_files(make_spec, data, tmp_path, limited):
    train(make_spec(solver={"max_iter": 10}), data, tmp_path / "run")
    said = CliRunner().invoke(drn, ["recommend", str(tmp_path / "run"), "--session", "page-2", "--format", "json"])
    assert said.exit_code == 0, said.output
    with pytest.raises(ModelError, match="past 2 GiB: int8 takes models of one file"):
        Model(tmp_path / "run", int8=True)


def initialised(folder, spec, seed):
    """Generate with initial weights, and return the answer of the model."""
    (folder / "small.yaml").write_text(dump_spec(spec))
    arguments = ["generate", str(folder / "small.yaml"), "--init", str(seed), "-o", str(folder)]
    said = CliRunner().invoke(drn, arguments, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    model = onnxruntime.InferenceSession(folder / "small" / "model.onnx")
    kinds = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
    feed = {each.name: np.ones((1, each.shape[1]), kinds[each.type]) for each in model.get_inputs()}
    return model.run(["probability"], feed)[0]


def test_generated_with_weights_beside_the_model(make_spec, tmp_path, monkeypatch):
    plain = initialised(tmp_path, make_spec(), 1)
    (tmp_path / "two").mkdir()
    monkeypatch.setattr(initialise, "LARGEST", 1000)
    np.testing.assert_array_equal(initialised(tmp_path / "two", make_spec(), 1), plain)
    data = tmp_path / "two" / "small" / "model.onnx.data"
    size = data.stat().st_size
    # Again, and with other weights: neither is appended, nor is a model left beside the weights of another.
    np.testing.assert_array_equal(initialised(tmp_path / "two", make_spec(), 1), plain)
    assert not np.array_equal(initialised(tmp_path / "two", make_spec(), 2), plain)
    assert data.stat().st_size == size
    onnx.checker.check_model(str(data.with_suffix("")), full_check=True)


def test_a_kill_between_the_two_files_leaves_no_model(make_spec, tmp_path, monkeypatch):
    monkeypatch.setattr(initialise, "LARGEST", 1000)
    model, path = onnx.parser.parse_model(TEXT), tmp_path / "model.onnx"
    initialise.save(model, path, {"w": np.ones((2, 500), np.float32)})
    written = initialise.write_bytes

    def killed(file, content):
        if file.suffix == ".onnx":
            raise KeyboardInterrupt
        written(file, content)

    monkeypatch.setattr(initialise, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        initialise.save(model, path, {"w": np.zeros((2, 500), np.float32)})
    assert not path.exists()
