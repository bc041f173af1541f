"""Every operator of the opset, by ONNX's own test cases: derived as finite differences are, or refused by name."""

import warnings
from collections import defaultdict

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

from generator.errors import ModelError
from generator.onnxgraph.differentiate import STEPS, differentiate
from generator.onnxgraph.gradients import FLOATS, OPSET, RULES

pytestmark = pytest.mark.oracle  # onnx takes some 20 s to make its cases

# The step of a difference and what the slope may be off by, as the coarsest type within a graph allows.
DIFFERENCES = {TensorProto.BFLOAT16: (0.1, 0.05), TensorProto.FLOAT16: (0.1, 0.05), TensorProto.FLOAT: (1e-3, 0.02)}
FLOAT_TYPES = {"tensor(float)", "tensor(double)", "tensor(float16)", "tensor(bfloat16)"}
NAMES = {s.name for s in onnx.defs.get_all_schemas_with_history() if not s.domain and s.since_version <= OPSET}
LATEST = {name: onnx.defs.get_schema(name, OPSET, "") for name in sorted(NAMES)}
SCHEMAS = {name: schema for name, schema in LATEST.items() if not schema.deprecated}
# What ONNX has no case of, or none that stands by itself: on w (2, 3).
OWN = {
    "ConcatFromSequence": "s = SequenceConstruct (w, w) y = ConcatFromSequence <axis = 0> (s)",
    "EyeLike": "y = EyeLike (w)",
    "GroupNormalization": "shape = Constant <value_ints = [1, 2, 3]> () v = Reshape (w, shape) "
    "ones = Constant <value_floats = [1.0]> () y = GroupNormalization <num_groups = 1> (v, ones, ones)",
    "Loop": "y = Loop (place, yes, w) <body = g (int64 i, bool c, float[2, 3] s) => (bool c2, float[2, 3] t) "
    "{ c2 = Identity (c) t = Mul (s, s) }>",
    "GlobalLpPool": "shape = Constant <value_ints = [1, 2, 3, 1]> () v = Reshape (w, shape) y = GlobalLpPool (v)",
    "If": "y = If (yes) <then_branch = g () => (float[2, 3] t) { t = Mul (w, w) }, "
    "else_branch = h () => (float[2, 3] e) { e = Identity (w) }>",
    "MaxRoiPool": "shape = Constant <value_ints = [1, 2, 3, 1]> () v = Reshape (w, shape) "
    "y = MaxRoiPool <pooled_shape = [1, 1]> (v, roi)",
    "Optional": "o = Optional (w) y = OptionalGetElement (o)",
    "MeanVarianceNormalization": "y = MeanVarianceNormalization <axes = [0]> (w)",
    "OneHot": "one = Constant <value_ints = [1]> () v = ReduceSum <keepdims = 0> (w, one) y = OneHot (one, place, v)",
    "RandomNormalLike": "y = RandomNormalLike (w)",
    "RandomUniformLike": "y = RandomUniformLike (w)",
    "SequenceAt": "s = SequenceConstruct (w, w) y = SequenceAt (s, place)",
    "SequenceConstruct": "s = SequenceConstruct (w, w) y = SequenceAt (s, place)",
    "SequenceErase": "s = SequenceConstruct (w, w) r = SequenceErase (s, place) y = ConcatFromSequence <axis = 0> (r)",
    "Trilu": "y = Trilu (w)",
}


@pytest.fixture(scope="module")
def cases() -> dict[str, list]:
    """ONNX's test cases of a single node, by operator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    by_operator = defaultdict(list)
    for case in found:
        if len(case.model.graph.node) == 1 and not case.model.graph.node[0].domain and case.data_sets:
            by_operator[case.model.graph.node[0].op_type].append(case)
    return by_operator


def loss_of(node: NodeProto, feed: dict[str, np.ndarray], kinds: dict[str, int]) -> ModelProto | None:
    """Return sum(y²) over the node's float outputs, plus sum(w²) over the inputs in kinds; None where it does not hold.

    The other inputs are constants, so that shapes which depend on them are known.
    """

    def model_of(nodes: list[NodeProto], outputs: list[onnx.ValueInfoProto]) -> ModelProto:
        inputs = [helper.make_tensor_value_info(name, kind, feed[name].shape) for name, kind in kinds.items()]
        constants = [numpy_helper.from_array(array, name) for name, array in feed.items() if name not in kinds]
        graph = helper.make_graph(nodes, "case", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(model)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)

    try:
        bare = model_of([node], [])
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return None
    types = {info.name: info.type.tensor_type.elem_type for info in bare.graph.value_info}
    terms = [name for name, kind in {**kinds, **types}.items() if kind in FLOATS]
    nodes = [node]
    for term in terms:
        nodes.append(helper.make_node("Cast", [term], [f"{term}_wide"], to=TensorProto.DOUBLE))
        nodes.append(helper.make_node("Mul", [f"{term}_wide"] * 2, [f"{term}_square"]))
        nodes.append(helper.make_node("ReduceSum", [f"{term}_square"], [f"{term}_sum"], keepdims=0))
    total = f"{terms[0]}_sum"
    for term in terms[1:]:
        nodes.append(helper.make_node("Add", [total, f"{term}_sum"], [f"{term}_total"]))
        total = f"{term}_total"
    nodes.append(helper.make_node("Identity", [total], ["whole_loss"]))
    return model_of(nodes, [helper.make_tensor_value_info("whole_loss", TensorProto.DOUBLE, [])])


def slopes(
    model: ModelProto, gradient: ModelProto, feed: dict[str, np.ndarray], wanted: list[str], step: float
) -> tuple[float, float]:
    """Return the loss's slope along a random direction, by the gradient and by differences."""
    rng = np.random.default_rng(0)
    direction = {name: rng.normal(size=feed[name].shape) for name in wanted}
    names = [output.name for output in gradient.graph.output]
    found = dict(zip(names, ReferenceEvaluator(gradient).run(None, feed), strict=True))
    slope = 0.0
    for name in wanted:
        if f"{name}_grad" in found:
            assert found[f"{name}_grad"].shape == feed[name].shape
            slope += float((found[f"{name}_grad"] * direction[name]).sum())
        if f"{name}_grad_rows" in found:
            rows = direction[name][found[f"{name}_grad_rows"]]
            slope += float((found[f"{name}_grad_values"] * rows).sum())
    evaluator = ReferenceEvaluator(model)
    ahead, behind = (
        float(
            evaluator.run(None, feed | {n: (feed[n] + s * step * direction[n]).astype(feed[n].dtype) for n in wanted})[
                0
            ]
        )
        for s in (1, -1)
    )
    return slope, (ahead - behind) / (2 * step)


def plain(value: object) -> np.ndarray | None:
    """Return what a case feeds as an array; None where it is a sequence or absent."""
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, (np.ndarray, np.generic, int, float)) else None


def attempt(case) -> str:
    """Return what becomes of a case: derived (and checked), refused (by name), or passed over."""
    node, (arrays, _) = case.model.graph.node[0], case.data_sets[0]
    infos = case.model.graph.input
    arrays = [plain(array) for array in arrays]
    if any(array is None for array in arrays) or not all(info.type.HasField("tensor_type") for info in infos):
        return "passed over: no tensors"
    feed = {info.name: array for info, array in zip(infos, arrays, strict=True)}
    kinds = {info.name: info.type.tensor_type.elem_type for info in infos}
    wanted = [
        name for name, kind in kinds.items() if kind in (TensorProto.FLOAT, TensorProto.DOUBLE) and feed[name].size
    ]
    if not wanted:
        return "passed over: no parameter"
    for name in wanted:  # off the jumps of steps, at which no difference tells a slope
        feed[name] = (np.nan_to_num(feed[name], posinf=3, neginf=-3) + 0.0123).astype(feed[name].dtype)
    wide = feed | {name: feed[name].astype(np.float64) for name in wanted}
    exact = loss_of(node, wide, dict.fromkeys(wanted, TensorProto.DOUBLE))
    model = exact or loss_of(node, feed, {name: kinds[name] for name in wanted})
    if model is None:
        return "passed over: not of this opset"
    feed = {name: (wide if exact else feed)[name] for name in wanted}
    try:
        gradient = differentiate(model, "whole_loss", wanted)
    except ModelError as error:
        made = [name for each in model.graph.node for name in each.output]
        assert str(error).startswith(tuple(f"{name}: " for name in made)), error
        return "refused"
    onnx.checker.check_model(gradient, full_check=True)
    kinds_within = {info.type.tensor_type.elem_type for info in (*model.graph.input, *model.graph.value_info)}
    step, tolerance = next((each for kind, each in DIFFERENCES.items() if kind in kinds_within), (1e-5, 1e-5))
    ours, theirs = slopes(model, gradient, feed, wanted, step)
    assert ours == pytest.approx(theirs, rel=tolerance, abs=1e-4), case.name
    return "derived"


@pytest.mark.parametrize("operator", SCHEMAS)
def test_an_operator_is_derived_or_refused(operator: str, cases: dict[str, list]) -> None:
    fates = dict[str, str]()
    for case in cases[operator]:
        fates[case.name] = attempt(case)
        # One refusal tells of an operator without a rule, some cases of Cast and the like of all.
        if list(fates.values()).count("refused") == 1 and operator not in RULES:
            break
        if list(fates.values()).count("derived") == 12:
            break
    met = set(fates.values()) & {"derived", "refused"}
    if operator in OWN:
        with pytest.raises(ModelError, match=r"no gradient rule|is unknown"):
            differentiate(own(OWN[operator]), "loss", ["w"])
    elif operator in RULES or operator in STEPS:
        assert "derived" in met, fates
    elif not met:
        # Nothing that has a derivative goes in, or nothing comes out: there is nothing to derive.
        schema = SCHEMAS[operator]
        assert not (floats(schema, schema.inputs) and floats(schema, schema.outputs)), fates


def floats(schema: onnx.defs.OpSchema, ends: list) -> bool:
    """Whether one of a schema's inputs or outputs may be a tensor of floats."""
    allowed = {each.type_param_str: set(each.allowed_type_strs) for each in schema.type_constraints}
    return any(FLOAT_TYPES & allowed.get(end.type_str, {end.type_str}) for end in ends)


def own(body: str) -> ModelProto:
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : {OPSET}]>
        case (float[2, 3] w, bool yes, int64 place, float[1, 5] roi) => (float loss) {{
          {body} plain = ReduceSum <keepdims = 0> (w) more = ReduceSum <keepdims = 0> (y) loss = Add (plain, more)
        }}"""
    )
