"""Real Caffe and the ONNX that `drn import` makes of its files: the same blobs. Inferred shapes: Caffe's own."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from draws import blobs, specs, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import caffe_inputs

from generator.caffe.caffemodel import write_caffemodel
from generator.caffe.layers import BATCH
from generator.caffe.prototxt import learnable, read_net
from generator.caffe.shapes import infer
from generator.caffe.source import Prototxt
from generator.codegen.render import render
from generator.commands.import_ import import_net
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec import load_spec

pytestmark = pytest.mark.oracle

ARCH_SPECS = Path(__file__).parents[2] / "arch_specs"
BATCH_SIZE = 5
# The fixtures hold one Caffe process and one folder for all examples on purpose.
DRAWN = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def layer(name: str, kind: str, bottoms: str, tops: str = "", setting: str = "") -> str:
    """One layer of a prototxt; `tops` is its name by default."""
    lines = [f'bottom: "{bottom}"' for bottom in bottoms.split()] + [f'top: "{top}"' for top in (tops or name).split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(lines)} {setting} }}\n'


def filled(text: str) -> str:
    """Turn FILL into a random filler, so that Caffe's own start has no zeros."""
    return text.replace("FILL", '{ type: "uniform" min: -1 max: 1 }')


INPUTS = layer("id", "Input", "", "", "input_param { shape { dim: 1 dim: 4 } }") + layer(
    "x", "Input", "", "", "input_param { shape { dim: 1 dim: 3 dim: 4 } }"
)
# Every layer type of drn import, beyond the settings that the templates use.
NETS = {
    "embed with bias, two axes": layer(
        "e", "Embed", "id", "", "embed_param { input_dim: 6 num_output: 3 weight_filler FILL bias_filler FILL }"
    ),
    "ids by slice points, joined again": layer("s", "Slice", "id", "a b", "slice_param { axis: -1 slice_point: 1 }")
    + layer("c", "Concat", "b a")
    + layer("r", "Reshape", "c", "", "reshape_param { shape { dim: 0 dim: 2 dim: -1 } }")
    + layer("t", "Tile", "r", "", "tile_param { axis: 2 tiles: 2 }")
    + layer("e", "Embed", "t", "", "embed_param { input_dim: 6 num_output: 3 bias_term: false weight_filler FILL }"),
    "an id as a number too": layer("p", "Power", "id", "", "power_param { scale: 0.5 shift: -1 }")
    + layer("e", "Embed", "id", "", "embed_param { input_dim: 6 num_output: 1 bias_term: false weight_filler FILL }")
    + layer("r", "Reshape", "e", "", "reshape_param { shape { dim: 0 dim: 0 } }")
    + layer("sum", "Eltwise", "r p id", "", "eltwise_param { operation: SUM coeff: 2 coeff: -0.5 coeff: 1 }"),
    "inner product over two axes": layer(
        "ip", "InnerProduct", "x", "", "inner_product_param { num_output: 5 weight_filler FILL bias_filler FILL }"
    ),
    "inner product of the last axis, transposed": layer(
        "ip",
        "InnerProduct",
        "x",
        "",
        "inner_product_param { num_output: 5 axis: -1 transpose: true weight_filler FILL bias_filler FILL }",
    )
    + layer("s", "Softmax", "ip", "", "softmax_param { axis: 2 }"),
    "parameters of scale and bias": layer(
        "s", "Scale", "x", "", "scale_param { axis: 1 num_axes: 1 bias_term: true filler FILL bias_filler FILL }"
    )
    + layer("t", "Scale", "s", "", "scale_param { axis: -1 filler FILL }")
    + layer("u", "Scale", "t", "", "scale_param { axis: 1 num_axes: -1 filler FILL }")
    + layer("v", "Scale", "u", "", "scale_param { num_axes: 0 filler FILL }")
    + layer("w", "Bias", "v", "", "bias_param { axis: 1 num_axes: 1 filler FILL }"),
    "two bottoms of scale and bias": layer("m", "Threshold", "id", "", "threshold_param { threshold: 2 }")
    + layer("first", "Slice", "x", "x0 x1 x2", "slice_param { axis: 1 }")
    + layer("r0", "Reshape", "x0", "", "reshape_param { shape { dim: 0 dim: 4 } }")
    + layer("swap", "Reshape", "x", "", "reshape_param { shape { dim: 0 dim: 4 dim: 3 } }")
    + layer("s", "Scale", "swap m", "", "scale_param { axis: 0 }")
    + layer("b", "Bias", "s r0", "", "bias_param { axis: 0 }")
    + layer("unused", "Silence", "x1", " ").replace('top: "unused"', "")
    + layer("back", "Reshape", "b", "", "reshape_param { shape { dim: 3 dim: 4 } axis: 1 num_axes: 2 }"),
    "a column's mean, a leaky relu, dropout at rest": layer(
        "image", "Reshape", "x", "", "reshape_param { shape { dim: 1 } axis: 1 num_axes: 0 }"
    )
    + layer("mean", "Pooling", "image", "", "pooling_param { pool: AVE kernel_h: 3 kernel_w: 1 stride: 1 }")
    + layer("relu", "ReLU", "mean", "mean", "relu_param { negative_slope: 0.1 }")
    + layer("drop", "Dropout", "mean", "mean", "dropout_param { dropout_ratio: 0.5 }"),
    "a product, a sum over axes, a reciprocal": layer("double", "Power", "x", "", "power_param { scale: 2 shift: 0.5 }")
    + layer("product", "Eltwise", "x double x", "", "eltwise_param { operation: PROD }")
    + layer("exponent", "Softmax", "product")
    + layer("sum", "Reduction", "exponent", "", "reduction_param { axis: 1 coeff: 0.5 }")
    + layer("rows", "Reduction", "x", "", "reduction_param { axis: -1 }")
    + layer("inverse", "Power", "sum", "", "power_param { power: -1 scale: 3 shift: 1 }"),
}
SOLVER = 'net: "deploy.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 solver_mode: CPU random_seed: 3\n'


def run(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    # An id that no Embed reads is a number to the net.
    kinds = {each.name: np.int64 if each.type == "tensor(int64)" else np.float32 for each in session.get_inputs()}
    return dict(zip(names, session.run(names, {k: feed[k].astype(kind) for k, kind in kinds.items()}), strict=True))


@pytest.mark.parametrize("name", NETS)
def test_every_layer_type_with_weights_that_caffe_wrote(caffe, tmp_path, name):
    deploy = tmp_path / "deploy.prototxt"
    deploy.write_text(filled('name: "net"\n' + INPUTS + NETS[name]))
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    caffemodel = caffe.train(tmp_path / "solver.prototxt", 0).caffemodel
    rng = np.random.default_rng(5)
    feed = {"id": rng.integers(0, 6, (BATCH_SIZE, 4)), "x": rng.normal(size=(BATCH_SIZE, 3, 4)).astype(np.float32)}
    ours = run(import_net(deploy, caffemodel), feed)
    theirs = caffe.forward(deploy, caffemodel, feed, list(ours))
    assert len(ours) >= 1
    for blob, values in ours.items():
        np.testing.assert_allclose(values, theirs[blob], atol=1e-6, err_msg=blob)
        assert values.shape == theirs[blob].shape


@pytest.mark.parametrize("name", ["combined", "rnn-history"])
def test_a_generated_net_with_weights_that_caffe_wrote(caffe, tmp_path, name):
    """Caffe stores a shared table once a use; the deploy net reads what the training net wrote."""
    overrides = ["pages=30", "items=20", "top_k=3"]
    spec = load_spec(ARCH_SPECS / f"{name}.yaml", overrides)
    for file, text in render(spec, ["caffe"]).items():
        (tmp_path / file).write_text(text)
    deploy = tmp_path / "deploy.prototxt"
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    caffemodel = caffe.train(tmp_path / "solver.prototxt", 0).caffemodel
    feed = blobs(spec, BATCH_SIZE, 11)
    del feed["label"]
    ours = run(import_net(deploy, caffemodel, 3), feed)
    theirs = caffe.forward(deploy, caffemodel, feed, ["probability"])
    np.testing.assert_allclose(ours["probability"], theirs["probability"], atol=1e-6)


@DRAWN
@given(specs(), st.integers(0, 2**32 - 1))
def test_drawn_nets(caffe, tmp_path, spec, seed):
    texts = render(spec, ["caffe", "onnx"])
    deploy, caffemodel = tmp_path / "deploy.prototxt", tmp_path / "w.caffemodel"
    deploy.write_text(texts["deploy.prototxt"])
    w = weights(parameter_shapes(parse(texts["model.onnxtxt"], "model.onnxtxt")), seed)
    feed = caffe_inputs(spec, w, blobs(spec, BATCH_SIZE, seed))
    write_caffemodel(
        caffemodel, read_net(deploy), {name: each for name, each in w.items() if not name.startswith("copy_")}
    )
    ours = run(import_net(deploy, caffemodel), feed)
    theirs = caffe.forward(deploy, caffemodel, feed, ["probability"])
    np.testing.assert_allclose(ours["probability"], theirs["probability"], atol=1e-6)
    the_shapes_are_caffes(caffe, deploy)


def the_shapes_are_caffes(caffe, deploy: Path) -> None:
    """At the batch size the prototxt states, 1, and of every parameter at every use."""
    seen, source = caffe.loads(deploy), Prototxt.read(deploy)
    found = infer(source, "TEST")
    at_one = {name: tuple(size // BATCH if size % BATCH == 0 else size for size in shape)
              for name, shape in found.blobs.items()}  # fmt: skip
    assert at_one == {name: shape for name, shape in seen.blobs.items() if "_split_" not in name}
    assert infer(source, "TEST", declared=True).blobs == at_one
    places = {place: found.parameters[each.name] for each in learnable(source.net, "TEST") for place in each.places}
    assert places == seen.parameters


@pytest.mark.parametrize("name", NETS)
def test_the_shapes_of_every_layer_type(caffe, tmp_path, name):
    deploy = tmp_path / "deploy.prototxt"
    deploy.write_text(filled('name: "net"\n' + INPUTS + NETS[name]))
    the_shapes_are_caffes(caffe, deploy)


MORE = {
    "argmax": layer("a", "ArgMax", "x", "", "argmax_param { top_k: 2 out_max_val: true }"),
    "argmax of an axis": layer("a", "ArgMax", "x", "", "argmax_param { top_k: 2 axis: 1 }"),
    "flatten": layer("f", "Flatten", "x", "", "flatten_param { axis: 1 end_axis: -1 }"),
    "reduction": layer("r", "Reduction", "x", "", "reduction_param { axis: 2 }"),
    "sigmoid, tanh": layer("s", "Sigmoid", "x") + layer("t", "TanH", "s"),
    "loss and accuracy": layer("ip", "InnerProduct", "x", "", "inner_product_param { num_output: 5 }")
    + layer("y", "Input", "", "", "input_param { shape { dim: 1 } }")
    + layer("loss", "SoftmaxWithLoss", "ip y")
    + layer("top", "Accuracy", "ip y"),
    "pooling": layer("i", "Reshape", "x", "", "reshape_param { shape { dim: 0 dim: 1 dim: 3 dim: 4 } }")
    + layer("p", "Pooling", "i", "", "pooling_param { pool: MAX kernel_size: 2 stride: 2 pad: 1 }")
    + layer("q", "Pooling", "i", "", "pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 }")
    + layer("g", "Pooling", "i", "", "pooling_param { pool: AVE global_pooling: true }"),
}


@pytest.mark.parametrize("name", MORE)
def test_the_shapes_of_layers_that_only_drn_inspect_knows(caffe, tmp_path, name):
    deploy = tmp_path / "deploy.prototxt"
    deploy.write_text('name: "net"\n' + INPUTS + MORE[name])
    the_shapes_are_caffes(caffe, deploy)
