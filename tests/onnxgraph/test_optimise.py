"""The rewritten gradient graphs against PyTorch, on randomly drawn specs, and what the rewrites are there for."""

import numpy as np
import onnx
import onnxruntime
import pytest
from draws import blobs, specs, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from reference import assert_equal

from generator.codegen.artefacts import generate_text
from generator.errors import ModelError
from generator.onnxgraph.optimise import optimise, optimise_fixed
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.onnxgraph.rewrites.label_count import LABEL_COUNT, with_label_count
from generator.spec import load_spec
from generator.spec.schema import Spec
from generator.training.engine.batches import shard_of
from generator.training.run.rows import candidates_of

BATCH = 5
NEVER = 2**40


def gradient_of(spec: Spec) -> ModelProto:
    return parse(generate_text(spec, ["gradient"])["gradient.onnxtxt"], "gradient.onnxtxt")


def gradient(outputs: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a parameter's gradient from what the graph gives: whole, turned, as rows, or whole and rows."""
    whole = outputs.get(f"{name}_grad", np.zeros(shape, np.float32))
    total = np.array(whole if whole.shape == shape else whole.T)
    if f"{name}_grad_rows" in outputs:
        np.add.at(total, outputs[f"{name}_grad_rows"], outputs[f"{name}_grad_values"])
    return total


@settings(max_examples=60, deadline=None)
@given(specs(), st.integers(0, 2**32 - 1), st.sampled_from([1, NEVER]), st.sampled_from([None, {"negatives": 4}]))
def test_loss_and_gradients_equal_pytorch(spec: Spec, seed: int, large: int, sampled: dict[str, int] | None) -> None:
    solver = {"batch_size": BATCH, "sampled": sampled}
    spec = Spec.model_validate(spec.model_dump(exclude_defaults=True) | {"solver": solver})
    plain = gradient_of(spec)
    shapes = parameter_shapes(plain)
    optimised = optimise(plain, BATCH, large)
    onnx.checker.check_model(optimised, full_check=True)
    w, b = weights(shapes, seed), blobs(spec, BATCH, seed)
    if candidates := candidates_of(spec, b["label"]):
        b |= candidates.blobs(0, b)
    fed = {
        name: w[name] if w[name].shape == shape else w[name].T.copy()
        for name, shape in parameter_shapes(optimised).items()
    }
    session = onnxruntime.InferenceSession(optimised.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, fed | b), strict=True))
    assert_equal(spec, w, b, outputs["loss"], {name: gradient(outputs, name, shape) for name, shape in shapes.items()})


@settings(max_examples=30, deadline=None)
@given(specs(), st.integers(0, 2**32 - 1), st.sampled_from([None, {"negatives": 4}]))
def test_shards_of_a_batch_add_up_to_it(spec: Spec, seed: int, sampled: dict[str, int] | None) -> None:
    rows, shards = 6, 3  # of which one may have no label at all
    solver = {"batch_size": rows, "sampled": sampled}
    spec = Spec.model_validate(spec.model_dump(exclude_defaults=True) | {"solver": solver})
    plain = gradient_of(spec)
    shapes = parameter_shapes(plain)
    w, b = weights(shapes, seed), blobs(spec, rows, seed)
    if candidates := candidates_of(spec, b["label"]):
        b |= candidates.blobs(0, b)
    count = {LABEL_COUNT: np.array(max(1, np.count_nonzero(b["label"])), np.float32)}
    model = optimise(with_label_count(plain), rows // shards).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    given = [w | shard_of(b | count, place, shards) for place in range(shards)]
    found = [dict(zip(names, session.run(names, each), strict=True)) for each in given]
    sums = {name: sum(gradient(each, name, shape) for each in found) for name, shape in shapes.items()}
    assert_equal(spec, w, b, sum(each["loss"] for each in found), sums)


def test_a_loss_that_is_no_mean_has_no_shards() -> None:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float x) => (float y) { y = Neg (x) }'
    model = parse(text, "g.onnxtxt")
    with pytest.raises(ModelError, match="has no label_count"):
        with_label_count(model)


@settings(max_examples=40, deadline=None)
@given(specs(), st.integers(0, 2**32 - 1), st.sampled_from([None, {"negatives": 4}]))
def test_in_fixed_shapes_they_equal_pytorch_too(spec: Spec, seed: int, sampled: dict[str, int] | None) -> None:
    solver = {"batch_size": BATCH, "sampled": sampled}
    spec = Spec.model_validate(spec.model_dump(exclude_defaults=True) | {"solver": solver})
    plain = gradient_of(spec)
    w, b = weights(parameter_shapes(plain), seed), blobs(spec, BATCH, seed)
    if candidates := candidates_of(spec, b["label"]):
        b |= candidates.blobs(0, b)
    sizes = {
        dim.dim_param: size
        for info in plain.graph.input
        if info.name in b
        for dim, size in zip(info.type.tensor_type.shape.dim, b[info.name].shape, strict=True)
        if dim.dim_param
    }
    fixed = optimise_fixed(plain, sizes)
    onnx.checker.check_model(fixed, full_check=True)
    assert parameter_shapes(fixed) == parameter_shapes(plain)
    session = onnxruntime.InferenceSession(fixed.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, w | b), strict=True))
    found = {name: gradient(outputs, name, array.shape) for name, array in w.items()}
    assert_equal(spec, w, b, outputs["loss"], found)


def test_a_batch_without_a_label_moves_nothing(root) -> None:
    spec = load_spec(root / "arch_specs" / "yoochoose.yaml")
    optimised = optimise(gradient_of(spec), BATCH)
    b = blobs(spec, BATCH, 1)
    b["label"][...] = 0
    session = onnxruntime.InferenceSession(optimised.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, array in zip(
        (o.name for o in session.get_outputs()),
        session.run(None, weights(parameter_shapes(optimised), 1) | b),
        strict=True,
    ):
        assert name.endswith("_rows") or not array.any(), name


def operators(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("name", ["rnn", "combined", "yoochoose-tuned", "taobao-tuned"])
def test_no_rewrite_misses_the_nets_it_is_for(name: str, root) -> None:
    plain = gradient_of(load_spec(root / "arch_specs" / f"{name}.yaml"))
    optimised = optimise(plain, 64, large=1)
    # A column is a Gemm and a ReLU, its gradient a step and a product; a Gemm adds by itself.
    assert "Sign" not in operators(optimised)
    assert operators(optimised).count("HardSigmoid") == operators(plain).count("Sign") > 0
    # A bias's gradient is a product with ones, or with the weights of the loss: what is left sums scalars for the loss.
    biases = [each for each in parameter_shapes(plain) if each.endswith("_bias")]
    makers = {node.output[0]: node.op_type for node in optimised.graph.node}
    assert {makers[f"{bias}_grad"] for bias in biases} == {"MatMul"}
    gemms = {node.output[0] for node in optimised.graph.node if node.op_type == "Gemm" and len(node.input) == 2}
    assert not any(gemms & set(node.input) for node in optimised.graph.node if node.op_type == "Sum")
    # Forward, no column is multiplied by a mask, but that of dropout.
    states = {node.output[0] for node in plain.graph.node if node.op_type == "Relu"}
    products = [set(node.input) for node in plain.graph.node if node.op_type == "Mul" and states & set(node.input)]
    assert all("top_dropout" in read for read in products)
    # Sums of rows are made outside: onnxruntime's lose some where two threads add to one row.
    assert not [node for node in plain.graph.node if node.op_type == "ScatterND" and node.attribute]
    assert not [node for node in optimised.graph.node if node.op_type == "ScatterND" and node.attribute]
    turned = {name for name, shape in parameter_shapes(optimised).items() if shape != parameter_shapes(plain)[name]}
    assert turned == {each for each in parameter_shapes(plain) if each.startswith("output_") and each != "output_bias"}


@pytest.mark.parametrize("overrides", [[], ["solver.sampled.negatives=100"]], ids=["all", "sampled"])
def test_states_without_a_label_are_left_out(overrides: list[str], root) -> None:
    spec = load_spec(root / "arch_specs" / "yoochoose-tuned.yaml", overrides)
    assert operators(optimise(gradient_of(spec), 64)).count("NonZero") == 1


def test_the_step_of_a_relu_is_that_of_its_sign(root) -> None:
    optimised = optimise(gradient_of(load_spec(root / "arch_specs" / "rnn.yaml")), 64)
    step = next(node for node in optimised.graph.node if node.op_type == "HardSigmoid")
    value = onnx.helper.make_tensor_value_info
    states, steps = (value(name, onnx.TensorProto.FLOAT, ["R"]) for name in (step.input[0], step.output[0]))
    graph = onnx.helper.make_graph([step], "step", [states], [steps])
    model = onnx.helper.make_model(graph, opset_imports=optimised.opset_import, ir_version=optimised.ir_version)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    tiny = np.finfo(np.float32).smallest_normal
    x = np.array([0, tiny, 1e-20, 1e-3, 1, 1e4, 3e38, np.inf] * 5, np.float32)
    assert np.array_equal(session.run(None, {step.input[0]: x})[0], np.sign(x))


def test_the_given_graph_stays_as_it_is(root) -> None:
    plain = gradient_of(load_spec(root / "arch_specs" / "combined.yaml"))
    before = plain.SerializeToString()
    optimise(plain, 64, large=1)
    assert plain.SerializeToString() == before
