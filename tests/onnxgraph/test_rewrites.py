"""Each rewrite by itself: the graph it changes gives onnxruntime the answers that it gave before."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from draws import blobs, weights
from onnx import ModelProto

from generator.codegen.artefacts import generate, generate_text
from generator.onnxgraph import rewrites
from generator.onnxgraph.graph import GraphEditor, attributes_of
from generator.onnxgraph.optimise import REWRITES
from generator.onnxgraph.parse import parameter_shapes, parse
from generator.onnxgraph.rewrites.output_copies import without_output_copies
from generator.onnxgraph.rewrites.outputs import up_to
from generator.onnxgraph.rewrites.scatter_sums import with_one_scatter
from generator.onnxgraph.rewrites.transposes import transpose_large
from generator.spec.schema import Spec

BATCH = 5
BASE = {"name": "x", "pages": 30, "items": 30, "top_k": 3}
TIED = {
    "net": "rnn", "rnn": {"window": 3, "widths": [4], "history": 2}, "loss": "every",
    "head": {"tied": True, "projection": True, "skip": True},
}  # fmt: skip
COMBINED = {"net": "combined", "rnn": {"window": 3, "widths": [4, 5]}, "fnn": {"bought": 3, "widths": [6]}}
ALL: dict[str, Callable[[GraphEditor], None]] = {each.__name__: each for each in REWRITES}
OF_MODELS = (up_to, without_output_copies, with_one_scatter)
ALL["transpose_large"] = partial(transpose_large, large=1)


def gradient_of(values: dict) -> tuple[Spec, ModelProto]:
    spec = Spec.model_validate(BASE | values)
    return spec, parse(generate_text(spec, ["gradient"])["gradient.onnxtxt"], "gradient.onnxtxt")


def run(model: ModelProto, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs; a transposed parameter goes in transposed, and rows are added to the whole."""
    shapes = {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in model.graph.input}
    turned = {name for name in parameter_shapes(model) if list(feed[name].shape) != shapes[name]}
    fed = {name: feed[name].T.copy() if name in turned else feed[name] for name in shapes}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, fed), strict=True))
    for name in parameter_shapes(model):
        if f"{name}_grad_rows" in found:
            whole = found.get(f"{name}_grad", np.zeros(feed[name].shape, np.float32)).copy()
            np.add.at(whole, found.pop(f"{name}_grad_rows"), found.pop(f"{name}_grad_values"))
            found[f"{name}_grad"] = whole
    return {name: array.T if name.removesuffix("_grad") in turned else array for name, array in found.items()}


@pytest.mark.parametrize("name", ALL)
def test_a_rewrite_by_itself_changes_the_graph_and_not_the_answers(name: str) -> None:
    changed = 0
    for values in (TIED, COMBINED):
        spec, plain = gradient_of(values)
        editor = GraphEditor(plain)
        editor.fix("B", BATCH)
        before = editor.model()
        ALL[name](editor)
        after = editor.model()
        onnx.checker.check_model(after, full_check=True)
        changed += before.graph.node != after.graph.node
        for seed in range(3):
            b = blobs(spec, BATCH, seed)
            b["label"][0] = 0  # a row that is ignored
            feed = weights(parameter_shapes(plain), seed) | b
            expected, found = run(before, feed), run(after, feed)
            assert found.keys() == expected.keys()
            for output, array in expected.items():
                np.testing.assert_allclose(found[output], array, rtol=1e-4, atol=1e-6, err_msg=output)
    assert changed


def test_a_graph_without_the_pattern_stays_as_it_is() -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]>
    g (int64[5] label, float[5, 4] x, float[4] w) => (float[5, 4] y) { t = Tanh (x) y = Mul (t, w) }"""
    model = onnx.parser.parse_model(text)
    for rewrite in ALL.values():
        editor = GraphEditor(model)
        rewrite(editor)
        assert editor.model() == GraphEditor(model).model()


def test_a_graph_up_to_an_output_gives_the_same_output() -> None:
    spec = Spec.model_validate(BASE | COMBINED)
    whole = onnx.load_from_string(generate(spec, ["binary"], init=1)["model.onnx"])
    part = up_to(whole, "probability")
    assert [output.name for output in part.graph.output] == ["probability"]
    assert "TopK" in {node.op_type for node in whole.graph.node}
    assert "TopK" not in {node.op_type for node in part.graph.node}
    inputs = {info.name for info in whole.graph.input}
    feed = {name: array for name, array in blobs(spec, BATCH, 1).items() if name in inputs}
    np.testing.assert_array_equal(run(part, feed)["probability"], run(whole, feed)["probability"])


def test_every_file_of_rewrites_is_among_those_above_or_has_a_test_of_its_own() -> None:
    files = {path.stem for path in Path(rewrites.__file__).parent.glob("*.py")} - {"__init__", "patterns"}
    tested = {each.__module__.rpartition(".")[2] for each in (*REWRITES, transpose_large, *OF_MODELS)}
    assert files == tested | {"candidates", "int8", "int32_ids", "label_count"}


def test_without_the_copies_of_outputs_the_answers_have_the_same_bits() -> None:
    for values in (TIED, COMBINED):
        spec = Spec.model_validate(BASE | values)
        plain = onnx.load_from_string(generate(spec, ["binary"], init=3)["model.onnx"])
        quick = without_output_copies(plain)
        assert len(quick.graph.node) == len(plain.graph.node) - 1
        onnx.checker.check_model(quick, full_check=True)
        wanted = {one.name for one in plain.graph.input}
        feed = {name: array for name, array in blobs(spec, BATCH, seed=4).items() if name in wanted}
        before, after = run(plain, feed), run(quick, feed)
        assert list(before) == list(after)
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array)


@pytest.mark.parametrize("slots", [0, 3])
def test_with_one_scatter_the_answers_of_a_mixture_have_the_same_bits(slots: int) -> None:
    head = {"tied": True, "projection": True, "mix": {"pages": 5, "newest": 4, "followers": 9}, "slots": slots}
    spec = Spec.model_validate(BASE | TIED | {"loss": "last", "head": head})
    text = parse(generate_text(spec, ["onnx"])["model.onnxtxt"], "model.onnxtxt")
    assert not [node for node in text.graph.node if b"add" in attributes_of(node).values()]
    quick = with_one_scatter(text)
    onnx.checker.check_model(quick, full_check=True)
    (adding,) = (node for node in quick.graph.node if b"add" in attributes_of(node).values())
    scatters = [sum(node.op_type == "ScatterElements" for node in model.graph.node) for model in (text, quick)]
    assert scatters == [6, 2]
    for seed in range(5):
        inputs = {name: array for name, array in blobs(spec, BATCH, seed).items() if name != "label"}
        feed = weights(parameter_shapes(text), seed) | inputs
        before, after = run(text, feed), run(quick, feed)
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array)
    assert adding.output[0] == "mixed_next"


def test_sums_that_are_not_added_one_after_another_stay() -> None:
    """The second step reads what was there before the first."""
    text = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[2, 9] x, int64[2, 4] i, float[2, 4] s) => (float[2, 9] y) <int64[2] parts = {2, 2}> {
      i0, i1 = Split <axis = 1> (i, parts)
      s0, s1 = Split <axis = 1> (s, parts)
      b0 = GatherElements <axis = 1> (x, i0)
      a0 = Add (b0, s0)
      x1 = ScatterElements <axis = 1> (x, i0, a0)
      b1 = GatherElements <axis = 1> (x, i1)
      a1 = Add (b1, s1)
      y = ScatterElements <axis = 1> (x1, i1, a1)
    }"""
    model = onnx.parser.parse_model(text)
    stays = with_one_scatter(model)
    assert [node.op_type for node in stays.graph.node] == [node.op_type for node in model.graph.node]
    right = with_one_scatter(onnx.parser.parse_model(text.replace("(x, i1)", "(x1, i1)")))
    assert [node.op_type for node in right.graph.node] == ["ScatterElements"]
