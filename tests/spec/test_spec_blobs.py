"""The contract of blobs against what onnxruntime finds in generated graphs, and blobs made by hand."""

import onnxruntime
import pytest
from draws import blobs, specs
from hypothesis import given, settings

from generator.codegen.artefacts import generate
from generator.spec.blobs import BLOBS, INPUTS


@settings(max_examples=15, deadline=None)
@given(spec=specs())
def test_graphs_read_the_blobs_of_the_contract_in_its_kinds_and_sizes(spec):
    content = generate(spec, ["onnx", "binary"], init=0)["model.onnx"]
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = {one.name: (one.type, one.shape[1:]) for one in session.get_inputs()}
    assert found == {name: (blob.tensor_type, [blob.size(spec)]) for name, blob in INPUTS.items() if blob.size(spec)}


@settings(max_examples=15, deadline=None)
@given(spec=specs())
def test_blobs_made_by_hand_have_the_shapes_of_the_contract(spec):
    made = blobs(spec, 3, 0)
    wanted = {name: (3, *blob.shape(spec)) for name, blob in BLOBS.items() if 0 not in blob.shape(spec)}
    assert {name: array.shape for name, array in made.items()} == wanted


@pytest.mark.parametrize("name", BLOBS)
def test_ids_are_told_from_numbers(name):
    assert (BLOBS[name].dtype == "float32") == name.endswith(("_weight", "_dwell"))
