"""caffe2onnx 2.0.1 beside `drn import`: the same numbers where it converts, and why it does not where it does not."""

import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from draws import weights
from peers import peer_python

from generator.caffe.caffemodel import write_caffemodel
from generator.caffe.prototxt import learnable, parse_net
from generator.caffe.shapes import infer
from generator.caffe.source import Prototxt
from generator.codegen.render import render
from generator.commands.import_ import import_net
from generator.spec import load_spec

pytestmark = pytest.mark.oracle

HOW = "run tests/oracles/install_caffe2onnx.sh, or set DRN_CAFFE2ONNX_PYTHON to a Python that can `import caffe2onnx`"
ARCH_SPECS = Path(__file__).parents[2] / "arch_specs"
CONVERT = """
import sys
from caffe2onnx.src.caffe2onnx import Caffe2Onnx
from caffe2onnx.src.load_save_model import loadcaffemodel, saveonnxmodel
net, weights = loadcaffemodel(sys.argv[1], sys.argv[2])
saveonnxmodel(Caffe2Onnx(net, weights, "net").createOnnxModel(), sys.argv[3])
"""


@pytest.fixture(scope="module")
def python(root: Path) -> Path:
    """A Python with caffe2onnx; the tests that need it are skipped, loudly, where it is not installed."""
    return peer_python(root, "DRN_CAFFE2ONNX_PYTHON", ".caffe2onnx-venv", "caffe2onnx", HOW)


def write(folder: Path, text: str) -> tuple[Path, Path]:
    """A deploy net and random weights for it."""
    deploy, caffemodel = folder / "deploy.prototxt", folder / "w.caffemodel"
    deploy.write_text(text)
    shapes = infer(Prototxt.read(deploy), "TEST").parameters
    write_caffemodel(caffemodel, parse_net(text, "deploy.prototxt"), weights(shapes, 5))
    return deploy, caffemodel


def theirs(python: Path, deploy: Path, caffemodel: Path) -> subprocess.CompletedProcess:
    """Run caffe2onnx; its model goes beside the prototxt."""
    command = [python, "-c", CONVERT, deploy, caffemodel, deploy.with_name("theirs.onnx")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def deploy_text(spec: str, *overrides: str) -> str:
    return render(load_spec(ARCH_SPECS / f"{spec}.yaml", ["pages=30", "items=20", "top_k=3", *overrides]), ["caffe"])[
        "deploy.prototxt"
    ]


# What stops it at each net that drn generates. Its Slice wants slice points, where Caffe cuts into equal parts without;
# with nothing to slice, or with the points given, the first Embed stops it, which it does not know.
SLICE = ("convert layer: page_column", "IndexError: list index out of range")
STOPS = {
    "fnn": (["fnn"], ("convert layer: bag_rows", "Failed type not support: Embed")),
    "rnn": (["rnn"], SLICE),
    "rnn-history": (["rnn-history"], SLICE),
    "combined": (["combined"], SLICE),
    "rnn, window 1": (["rnn", "rnn.window=1"], ("convert layer: visit_t0", "Failed type not support: Embed")),
}


@pytest.mark.parametrize("name", STOPS)
def test_no_generated_net_passes_caffe2onnx_and_every_one_drn_import(python, tmp_path, name):
    arguments, (last_layer, reason) = STOPS[name]
    deploy, caffemodel = write(tmp_path, deploy_text(*arguments))
    done = theirs(python, deploy, caffemodel)
    assert [line for line in done.stdout.splitlines() if line.startswith("convert layer")][-1] == last_layer
    assert reason in done.stdout + done.stderr
    assert not (tmp_path / "theirs.onnx").exists()
    onnx.checker.check_model(import_net(deploy, caffemodel), full_check=True)


def test_with_slice_points_the_embed_stops_it(python, tmp_path):
    text = deploy_text("rnn").replace("slice_param { axis: 1 }", "slice_param { axis: 1 slice_point: [1, 2, 3] }")
    done = theirs(python, *write(tmp_path, text))
    assert "Failed type not support: Embed" in done.stdout


def dense_part(text: str) -> str:
    """The generated fnn net above its first layer: InnerProduct, ReLU, InnerProduct, Softmax, as generated."""
    net = parse_net(text, "deploy.prototxt")
    above = [layer for layer in net.layer if layer.name in ("fnn2", "fnn2_relu", "logit", "probability")]
    assert [layer.type for layer in above] == ["InnerProduct", "ReLU", "InnerProduct", "Softmax"]
    head = 'name: "dense"\nlayer { name: "fnn1" type: "Input" top: "fnn1" input_param { shape { dim: 1 dim: 64 } } }\n'
    return head + "".join(f"layer {{\n{layer}}}\n" for layer in above)


def test_the_dense_part_of_the_generated_fnn_converts_alike(python, tmp_path):
    deploy, caffemodel = write(tmp_path, dense_part(deploy_text("fnn")))
    done = theirs(python, deploy, caffemodel)
    assert done.returncode == 0, done.stdout + done.stderr
    x = np.random.default_rng(2).normal(size=(1, 64)).astype(np.float32)
    peer = onnxruntime.InferenceSession(tmp_path / "theirs.onnx")
    ours = onnxruntime.InferenceSession(import_net(deploy, caffemodel).SerializeToString())
    (expected,) = peer.run(None, {"fnn1_input": x})
    np.testing.assert_allclose(ours.run(None, {"fnn1": x})[0], expected, atol=1e-6)
    # Its batch size is the prototxt's 1, ours is free.
    assert peer.get_inputs()[0].shape[0] == 1
    assert ours.run(None, {"fnn1": np.repeat(x, 3, 0)})[0].shape == (3, 21)


def test_a_shared_parameter_stored_once_is_not_found_by_caffe2onnx(python, tmp_path):
    """It looks for blobs under the layer's own name only; Caffe, and drn import, follow `param { name }`."""
    share = 'param { name: "w" } inner_product_param { num_output: 4 bias_term: false }'
    text = (
        'name: "shared"\nlayer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }\n'
        f'layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "a" {share} }}\n'
        f'layer {{ name: "b" type: "InnerProduct" bottom: "a" top: "b" {share} }}\n'
    )
    deploy, caffemodel = write(tmp_path, text)
    assert [parameter.places for parameter in learnable(parse_net(text, "x"))] == [(("a", 0), ("b", 0))]
    theirs(python, deploy, caffemodel)
    with pytest.raises(
        Exception, match="Node input '_W' is not a graph input"
    ):  # onnxruntime's exceptions have no common root but this
        onnxruntime.InferenceSession(tmp_path / "theirs.onnx")
    x = np.float32([[1, 2, 3, 4]])
    w = weights({"w": (4, 4)}, 5)["w"]
    ours = onnxruntime.InferenceSession(import_net(deploy, caffemodel).SerializeToString())
    np.testing.assert_allclose(ours.run(None, {"x": x})[0], x @ w.T @ w.T, rtol=1e-5)
