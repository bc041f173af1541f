"""The form in which ONNX graphs are published: what other runtimes and converters stumble over is not in them."""

from pathlib import Path

import onnx
import pytest

from generator.codegen.artefacts import generate
from generator.spec import load_spec

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "arch_specs").glob("*.yaml"))


@pytest.fixture(scope="module", params=NAMES)
def models(request, root):
    spec = load_spec(root / "arch_specs" / f"{request.param}.yaml")
    files = generate(spec, ["binary"])
    return spec, {name: onnx.load_model_from_string(files[f"{name}.onnx"]) for name in ("model", "loss", "gradient")}


def test_every_node_has_a_name_of_its_own(models):
    for model in models[1].values():
        names = [node.name for node in model.graph.node]
        assert all(names)
        assert len(set(names)) == len(names)


def test_no_output_of_the_model_is_read_by_a_node(models):
    graph = models[1]["model"].graph
    outputs = {output.name for output in graph.output}
    assert not [node.name for node in graph.node if outputs & set(node.input)]


def test_no_split_needs_a_proof_that_columns_divide_the_rows(models):
    for model in models[1].values():
        for node in model.graph.node:
            settings = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            assert node.op_type != "Split" or "num_outputs" not in settings


def test_no_operator_that_converters_lack(models):
    spec, graphs = models
    for name, model in graphs.items():
        found = {node.op_type for node in model.graph.node}
        assert "CastLike" not in found
        assert "Trilu" not in found
        if not (spec.head.mix and name == "model"):
            assert "ScatterElements" not in found or name == "gradient"


def test_no_scatter_adds(models):
    """onnxruntime's ScatterND loses sums where two threads add to one row; MNN overwrites where it should add."""
    for model in models[1].values():
        for node in model.graph.node:
            settings = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            assert not node.op_type.startswith("Scatter") or "reduction" not in settings


def test_the_model_is_cut_along_columns_and_forwards(models):
    """tract proves no share of the open batch; MNN mixes up the rows of a slice backwards."""
    graph = models[1]["model"].graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        settings = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "Split":
            assert settings["axis"] == 1
            assert node.input[1] in constants
        if node.op_type == "Slice":
            assert constants[node.input[3]] in (1, -1)
            assert len(node.input) < 5


def test_ids_are_of_64_bits(models):
    for model in models[1].values():
        kinds = {one.name: one.type.tensor_type.elem_type for one in (*model.graph.input, *model.graph.output)}
        ids = [kind for name, kind in kinds.items() if name in ("page", "history_page", "bought", "label", "top_item")]
        assert ids and set(ids) == {onnx.TensorProto.INT64}
