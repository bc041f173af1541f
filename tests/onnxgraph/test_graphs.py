"""The generated graphs against PyTorch, finite differences and each other, on randomly drawn specs."""

import numpy as np
import onnx
import onnxruntime
import pytest
from draws import blobs, specs, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from reference import assert_equal, loss, probability, tensors

from generator.codegen.artefacts import generate_text
from generator.codegen.render import render
from generator.errors import ModelError
from generator.onnxgraph.differentiate import differentiate
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.spec.schema import Spec

BATCH = 5
SEEDS = st.integers(0, 2**32 - 1)


def graph(spec: Spec, name: str) -> ModelProto:
    return parse(render(spec, ["onnx"])[name], name)


def gradient_of(spec: Spec) -> ModelProto:
    return parse(generate_text(spec, ["gradient"])["gradient.onnxtxt"], "gradient.onnxtxt")


def run(model: ModelProto, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def dense(outputs: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter's gradient from what the graph gives: whole, as rows, or both."""
    if f"{name}_grad_rows" not in outputs:
        return outputs[f"{name}_grad"]
    values = outputs[f"{name}_grad_values"]
    total = np.array(outputs.get(f"{name}_grad", np.zeros(shape, values.dtype)))
    np.add.at(total, outputs[f"{name}_grad_rows"], values)
    return total


@settings(max_examples=40, deadline=None)
@given(specs() | specs(mix=True), SEEDS)
def test_probabilities_equal_pytorch(spec, seed):
    model = graph(spec, "model.onnxtxt")
    w, b = weights(parameter_shapes(model), seed), blobs(spec, BATCH, seed)
    del b["label"]
    outputs = run(model, w | b)
    expected = probability(spec, w, b)
    np.testing.assert_allclose(outputs["probability"], expected, atol=1e-6)
    assert outputs["top_item"].min() >= 1
    best = np.take_along_axis(outputs["probability"], outputs["top_item"], 1)
    np.testing.assert_array_equal(best, outputs["top_probability"])
    np.testing.assert_array_equal(best, -np.sort(-outputs["probability"][:, 1:], axis=1)[:, : spec.top_k])


@settings(max_examples=60, deadline=None)
@given(specs(), SEEDS)
def test_loss_and_gradients_equal_pytorch(spec, seed):
    model = gradient_of(spec)
    shapes = parameter_shapes(model)
    w, b = weights(shapes, seed), blobs(spec, BATCH, seed)
    outputs = run(model, w | b)
    assert_equal(spec, w, b, outputs["loss"], {name: dense(outputs, name, shape) for name, shape in shapes.items()})


@settings(max_examples=30, deadline=None)
@given(specs(dropout=True), SEEDS)
def test_dropout_multiplies_visits_and_tops_by_its_masks(spec, seed):
    model = gradient_of(spec)
    shapes = parameter_shapes(model)
    w, b = weights(shapes, seed), blobs(spec, BATCH, seed)
    rng = np.random.default_rng(seed)
    tops = BATCH * (spec.window if spec.loss == "every" else 1)
    sizes = {"visit_dropout": (BATCH * spec.window, spec.rnn.widths[0]), "top_dropout": (tops, spec.rnn.widths[-1])}
    masks = {name: (rng.random(size) < 0.5).astype(np.float32) * 2 for name, size in sizes.items()}
    outputs = run(model, w | b | masks)
    wanted = {name: tensor.requires_grad_() for name, tensor in tensors(w).items()}
    expected = loss(spec, wanted, tensors(b | masks))
    expected.backward()
    np.testing.assert_allclose(outputs["loss"], expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    for name, shape in shapes.items():
        gradient = wanted[name].grad
        theirs = np.zeros(shape) if gradient is None else gradient.numpy()
        np.testing.assert_allclose(dense(outputs, name, shape), theirs, rtol=1e-5, atol=1e-5, err_msg=name)


def in_float64(model: ModelProto) -> ModelProto:
    """The same graph over doubles: every declared type, every float constant, every cast to a float."""
    wide = ModelProto()
    wide.CopyFrom(model)
    for info in (*wide.graph.input, *wide.graph.output):
        if info.type.tensor_type.elem_type == TensorProto.FLOAT:
            info.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in wide.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for attribute in (each for node in wide.graph.node if node.op_type == "Cast" for each in node.attribute):
        attribute.i = TensorProto.DOUBLE if attribute.i == TensorProto.FLOAT else attribute.i
    return wide


@settings(max_examples=25, deadline=None)
@given(specs(), SEEDS)
def test_gradients_equal_finite_differences_in_float64(spec, seed):
    """Along a random direction, through onnx's reference evaluator: another implementation of the operators."""
    plain = in_float64(graph(spec, "loss.onnxtxt"))
    shapes = parameter_shapes(plain)
    rng = np.random.default_rng(seed)
    feed = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    feed |= {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in blobs(spec, BATCH, seed).items()}
    direction = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    model = differentiate(plain, "loss", list(shapes))
    names = [output.name for output in model.graph.output]
    outputs = dict(zip(names, ReferenceEvaluator(model).run(None, feed), strict=True))
    slope = sum(float((dense(outputs, name, shape) * direction[name]).sum()) for name, shape in shapes.items())

    evaluator, step = ReferenceEvaluator(plain), 1e-6
    ahead, behind = (
        float(evaluator.run(None, feed | {name: feed[name] + sign * step * direction[name] for name in shapes})[0])
        for sign in (1, -1)
    )
    expected = (ahead - behind) / (2 * step)
    assert slope == pytest.approx(expected, rel=1e-5, abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(specs(), SEEDS)
def test_padding_never_changes_a_result(spec, seed):
    """A wider window, history and purchase list, filled with 0, give the same probabilities to the last bit or two."""
    wide = spec.model_copy(
        update={
            "rnn": spec.rnn and spec.rnn.model_copy(update={"history": spec.history and spec.history + 2}),
            "fnn": spec.fnn and spec.fnn.model_copy(update={"bought": spec.bought + 2}),
        }
    )
    model, wider = graph(spec, "model.onnxtxt"), graph(wide, "model.onnxtxt")
    w, b = weights(parameter_shapes(model), seed), blobs(spec, BATCH, seed)
    del b["label"]
    grown = {k: v if k == "page" else np.pad(v, [(0, 0), (2, 0)]) for k, v in b.items()}
    np.testing.assert_allclose(run(model, w | b)["probability"], run(wider, w | grown)["probability"], atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(specs())
def test_a_weight_of_all_columns_gets_one_gemm(spec):
    model = gradient_of(spec)
    products = [
        node for node in model.graph.node if node.op_type == "Gemm" and any(a.name == "transA" for a in node.attribute)
    ]
    matrices = [name for name in parameter_shapes(model) if name.endswith("_weight")]
    assert len(products) == len(matrices) + (spec.has_rnn and spec.head.tied)


@settings(max_examples=30, deadline=None)
@given(specs())
def test_tables_have_sparse_gradients(spec):
    names = {output.name for output in gradient_of(spec).graph.output}
    # A tied table is the output's matrix too, whose gradient is dense.
    tables = ["page_embedding"] * (spec.has_rnn and not spec.head.tied) + ["bought_embedding"] * spec.has_fnn
    for table in tables:
        assert {f"{table}_grad_rows", f"{table}_grad_values"} <= names
        assert f"{table}_grad" not in names


def test_all_labels_ignored_gives_no_loss_and_no_gradient():
    spec = Spec.model_validate(
        {"name": "x", "net": "rnn", "pages": 5, "items": 5, "top_k": 2, "rnn": {"window": 2, "widths": [3]}}
    )
    model = gradient_of(spec)
    b = blobs(spec, BATCH, 0)
    b["label"] = np.zeros(BATCH, np.int64)
    outputs = run(model, weights(parameter_shapes(model), 0) | b)
    assert outputs["loss"] == 0
    assert all(not outputs[name].any() for name in outputs if name.endswith(("_grad", "_values")))


# The rules that the nets use in one setting only, or not at all, on graphs of their own.
SUM = "loss = ReduceSum <keepdims = 0>"
RULE_GRAPHS = {
    "softmax": f"y = Softmax <axis = -1> (w) z = Mul (y, x) {SUM} (z)",
    "broadcast": f"y = Add (x, b) z = Mul (y, w) q = Mul (z, row) {SUM} (q)",
    "transpose": f"y = Transpose <perm = [1, 0]> (w) z = Gemm <transB = 1> (y, x2) {SUM} (z)",
    "kept sum": f"y = ReduceSum <keepdims = 1> (w, axis) z = Mul (y, x) q = Mul (z, w) {SUM} (q)",
    "split": f"a, c = Split <axis = 1, num_outputs = 2> (w) z = Mul (a, a) {SUM} (z)",
    "concat": f"y = Concat <axis = 0> (w, x, w) z = Mul (y, y) {SUM} (z)",
    "concat from the end": f"y = Concat <axis = -1> (w, x) z = Mul (y, y) {SUM} (z)",
    "transpose of all axes": f"y = Transpose (w) z = Mul (y, y) {SUM} (z)",
    "cast": f"c = Cast <to = 11> (w) d = CastLike (c, x) y = Mul (d, d) z = Mul (w, x) q = Add (y, z) {SUM} (q)",
    "largest": f"v, place = TopK <axis = 0> (w, one) y = Mul (v, v) {SUM} (y)",
    "divided by": f"y = Div (row, w) z = Sub (y, w) q = Neg (z) {SUM} (q)",
    "scaled product": f"y = Gemm <alpha = 0.5, beta = 2.0, transA = 1> (w, x, b) z = Mul (y, y) {SUM} (z)",
    "table and matrix": f"r = Gather (w, ids) y = Gemm <transB = 1> (r, w) z = Mul (y, y) {SUM} (z)",
}


@pytest.mark.parametrize("body", RULE_GRAPHS.values(), ids=RULE_GRAPHS)
def test_rule(body):
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
    g (double[3, 4] x, double[3, 4] w, double[4] b, double[3, 1] row, double[2, 3] x2) => (double loss)
    <int64[1] axis = {{1}}, int64[1] one = {{1}}, int64[2] ids = {{2, 0}}> {{ {body} }}"""
    plain = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    shapes = {"x": (3, 4), "w": (3, 4), "b": (4,), "row": (3, 1), "x2": (2, 3)}
    feed = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    used = [name for name in ("w", "b") if any(name in node.input for node in plain.graph.node)]
    model = differentiate(plain, "loss", used)
    names = [output.name for output in model.graph.output]
    outputs = dict(zip(names, ReferenceEvaluator(model).run(None, feed), strict=True))
    evaluator = ReferenceEvaluator(plain)
    for name in used:
        expected = np.zeros(shapes[name])
        for place in np.ndindex(*shapes[name]):
            step = np.zeros(shapes[name])
            step[place] = 1e-6
            ahead, behind = (float(evaluator.run(None, feed | {name: feed[name] + s * step})[0]) for s in (1, -1))
            expected[place] = (ahead - behind) / 2e-6
        np.testing.assert_allclose(dense(outputs, name, shapes[name]), expected, rtol=1e-6, atol=1e-6)


def test_an_operator_without_a_rule_is_named():
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[2] w) => (float loss) {{ s = Sin (w) {SUM} (s) }}'
    )
    with pytest.raises(ModelError, match="s: operator Sin has no gradient rule"):
        differentiate(model, "loss", ["w"])


def test_a_parameter_the_loss_ignores_is_named():
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[2] w, float[2] v) => (float loss) {{ {SUM} (w) }}'
    )
    with pytest.raises(ModelError, match="loss does not depend on parameter v"):
        differentiate(model, "loss", ["w", "v"])


def test_a_syntax_error_of_onnx_text_has_its_line():
    with pytest.raises(ModelError, match=r"bad\.onnxtxt: .*line.* 2"):
        parse("<ir_version: 8>\n g ( ", "bad.onnxtxt")
