"""`drn import`: Caffe's deploy nets become ONNX that computes what the generated ONNX does."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from draws import blobs, specs, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import caffe_inputs

from generator.caffe.caffemodel import write_caffemodel
from generator.caffe.prototxt import parse_net
from generator.cli import drn
from generator.codegen.render import render
from generator.commands.import_ import import_net
from generator.errors import ModelError
from generator.onnxgraph.parse import parameter_shapes, parse

BATCH = 5
# One folder for all examples on purpose.
DRAWN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SMALL = """name: "small"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer {
  name: "logit" type: "InnerProduct" bottom: "x" top: "logit"
  inner_product_param { num_output: 4 }
}
layer { name: "probability" type: "Softmax" bottom: "logit" top: "probability" }
"""
W = {
    "logit[0]": np.arange(12, dtype=np.float32).reshape(4, 3) / 7,
    "logit[1]": np.float32([0.5, -1, 0, 1]),
}


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def write(folder: Path, text: str, w: dict[str, np.ndarray]) -> tuple[Path, Path]:
    deploy, caffemodel = folder / "deploy.prototxt", folder / "w.caffemodel"
    deploy.write_text(text)
    write_caffemodel(caffemodel, parse_net(text, "deploy.prototxt"), w)
    return deploy, caffemodel


def small(folder: Path, old: str = "", new: str = "") -> tuple[Path, Path]:
    """The small net and its weights; the prototxt with `old` replaced by `new` after the weights are written."""
    deploy, caffemodel = write(folder, SMALL, W)
    assert old in SMALL
    deploy.write_text(SMALL.replace(old, new))
    return deploy, caffemodel


def run(*arguments: object):
    return CliRunner().invoke(drn, ["import", *map(str, arguments)])


@DRAWN
@given(specs(), st.integers(0, 2**32 - 1))
def test_the_imported_model_equals_the_generated_one(tmp_path, spec, seed):
    texts = render(spec, ["caffe", "onnx"])
    generated = parse(texts["model.onnxtxt"], "model.onnxtxt")
    w, b = weights(parameter_shapes(generated), seed), blobs(spec, BATCH, seed)
    del b["label"]
    inputs = caffe_inputs(spec, w, b)
    ours = session(import_net(*write(tmp_path, texts["deploy.prototxt"], w), spec.top_k))
    theirs = onnxruntime.InferenceSession(generated.SerializeToString())
    # The same inputs, types and free batch size: one model can take the other's place.
    assert {(i.name, i.type, tuple(i.shape)) for i in ours.get_inputs()} == {
        (i.name, i.type, tuple(i.shape)) for i in theirs.get_inputs() if i.name in inputs
    }
    assert [(o.name, o.type, o.shape) for o in ours.get_outputs()] == [
        (o.name, o.type, o.shape) for o in theirs.get_outputs()
    ]
    expected = dict(zip(["probability", "top_item", "top_probability"], theirs.run(None, w | b), strict=True))
    probability, item, top = ours.run(None, inputs)
    np.testing.assert_allclose(probability, expected["probability"], atol=1e-6)
    np.testing.assert_allclose(top, expected["top_probability"], atol=1e-6)
    assert item.min() >= 1
    np.testing.assert_array_equal(np.take_along_axis(probability, item, 1), top)


def test_the_weights_are_inside_and_the_version_is_the_promised_one(tmp_path):
    model = import_net(*small(tmp_path))
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)
    assert [info.name for info in model.graph.input] == ["x"]
    x = np.float32([[1, 2, 3], [0, 0, 0]])
    logit = x @ W["logit[0]"].T + W["logit[1]"]
    expected = np.exp(logit) / np.exp(logit).sum(1, keepdims=True)
    np.testing.assert_allclose(session(model).run(None, {"x": x})[0], expected, atol=1e-6)


def test_a_blob_changed_in_place_keeps_its_name_for_the_last_value(tmp_path):
    changed = SMALL.replace(
        'layer { name: "probability"',
        'layer { name: "double" type: "Power" bottom: "logit" top: "logit" power_param { scale: 2 shift: 1 } }\n'
        'layer { name: "probability"',
    ).replace('layer { name: "probability" type: "Softmax" bottom: "logit" top: "probability" }', "")
    got = session(import_net(*write(tmp_path, changed, W)))
    assert [o.name for o in got.get_outputs()] == ["logit"]
    x = np.float32([[1, 2, 3]])
    np.testing.assert_allclose(got.run(None, {"x": x})[0], 2 * (x @ W["logit[0]"].T + W["logit[1]"]) + 1, rtol=1e-6)


def test_a_blob_and_a_parameter_may_have_one_name(tmp_path):
    text = SMALL.replace("inner_product_param", 'param { name: "x" } param { name: "probability" } inner_product_param')
    model = import_net(*write(tmp_path, text, {"x": W["logit[0]"], "probability": W["logit[1]"]}))
    assert session(model).run(None, {"x": np.zeros((2, 3), np.float32)})[0].shape == (2, 4)


def test_the_command_writes_the_model_and_says_so(tmp_path):
    deploy, caffemodel = small(tmp_path)
    result = run(deploy, caffemodel, "-o", tmp_path / "m.onnx", "--top-k", 2, "--format", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["outputs"] == ["probability", "top_item", "top_probability"]
    item = session(onnx.load(tmp_path / "m.onnx")).run(["top_item"], {"x": np.float32([[0, 0, 0]])})[0]
    assert item.tolist() == [[3, 2]]  # by the bias alone, index 0 left out


KNOWN = "which drn import does not know; known: Bias, Concat, Dropout, Eltwise, Embed, InnerProduct, Input"
REFUSED = [
    ('type: "Softmax"', 'type: "LSTM"', f':7: layer "probability" has type "LSTM", {KNOWN}'),
    ('type: "Softmax"', 'type: "TanH"', ':7: layer "probability" has type "TanH", which drn import does not know'),
    ("num_output: 4", "num_output: 5", "layer logit, blob 0 (logit[0]) has shape 4x3, not 5x3"),
    ('name: "logit"', 'name: "other"', "holds no other[0]; it would be in layer other"),
    ("num_output: 4 }", "num_output: 4 bias_term: false }", "layer logit has 2 blobs, not 1 (logit[0])"),
    ("num_output: 4", "num_output: 4 axis: 0", ':7: layer "probability" has axis 1, but its bottom 4 has 1 axes'),
    ('bottom: "logit"', 'bottom: "nothing"', ':7: layer "probability" reads the blob "nothing"'),
    ("num_output: 4", "num_outputs: 4", ':5:25: Message type "caffe.InnerProductParameter" has no field named'),
]  # fmt: skip
SETTINGS = [
    ("Eltwise", 'bottom: "x" bottom: "x"', "eltwise_param { operation: MAX }", "has operation MAX"),
    ("Power", 'bottom: "x"', "power_param { power: 2 }", "has power 2"),
    ("Reshape", 'bottom: "x"', "reshape_param { shape { dim: 1 dim: 3 } }", "cannot turn Bx3 into dims [1, 3]"),
    ("Reshape", 'bottom: "x"', "reshape_param { shape { dim: 3 dim: -1 } }", "gives top the shape 3xB;"),
    ("Concat", 'bottom: "x" bottom: "x"', "concat_param { axis: 0 }", "gives top the shape 2Bx3; drn import wants"),
    ("Slice", 'bottom: "x"', "slice_param { axis: 1 slice_point: 2 }", "has slice points [2] for 1 tops of Bx3"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), REFUSED)
def test_what_does_not_hold_is_named_and_nothing_is_written(tmp_path, old, new, message):
    deploy, caffemodel = small(tmp_path, old, new)
    before = set(tmp_path.iterdir())
    result = run(deploy, caffemodel, "-o", tmp_path / "m.onnx")
    assert isinstance(result.exception, ModelError)
    assert message in str(result.exception)
    assert str(result.exception).startswith((f"{deploy}:", f"{caffemodel}:"))
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("kind", "bottoms", "setting", "message"), SETTINGS)
def test_a_setting_of_a_known_type_is_named(tmp_path, kind, bottoms, setting, message):
    text = SMALL + f'layer {{ name: "odd" type: "{kind}" {bottoms} top: "top" {setting} }}\n'
    deploy, caffemodel = small(tmp_path)
    deploy.write_text(text)
    with pytest.raises(ModelError, match=r'deploy.prototxt:8: layer "odd"') as error:
        import_net(deploy, caffemodel)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "setting",
    ["pool: MAX kernel_h: 3 kernel_w: 1", "pool: AVE kernel_h: 2 kernel_w: 1", "global_pooling: true pool: AVE"],
)
def test_pooling_other_than_a_column_is_refused(tmp_path, setting):
    text = SMALL.replace("dim: 1 dim: 3 }", "dim: 1 dim: 1 dim: 3 dim: 1 }")
    deploy, caffemodel = write(tmp_path, text, W)
    deploy.write_text(
        text + f'layer {{ name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param {{ {setting} }} }}'
    )
    with pytest.raises(ModelError, match=r'deploy.prototxt:8: layer "p" \(Pooling\) has .*drn import does not support'):
        import_net(deploy, caffemodel)


@pytest.mark.parametrize(("top_k", "message"), [(4, "top-k is 4, but probability has 3 items beside index 0")])
def test_a_top_k_that_does_not_fit_is_refused(tmp_path, top_k, message):
    with pytest.raises(ModelError, match=message):
        import_net(*small(tmp_path), top_k)


def test_a_top_k_wants_a_softmax(tmp_path):
    with pytest.raises(ModelError, match=r"top-k wants one output \(B, N\+1\) that a Softmax layer makes"):
        import_net(*small(tmp_path, 'type: "Softmax"', 'type: "ReLU"'), 2)


def test_a_caffemodel_cut_short_is_refused(tmp_path):
    deploy, caffemodel = small(tmp_path)
    caffemodel.write_bytes(caffemodel.read_bytes()[:-5])
    with pytest.raises(ModelError, match=r"w\.caffemodel: is no caffemodel, or is cut short"):
        import_net(deploy, caffemodel)
