"""The output layer in 8 bits: close to the float one, row by row, and its weights a quarter of the size."""

import numpy as np
import onnx
import onnxruntime
from draws import blobs, specs
from hypothesis import given, settings

from generator.codegen.artefacts import generate
from generator.onnxgraph.rewrites.int8 import with_int8_output
from generator.spec.load import parse_spec

LARGE = """\
name: large
net: combined
pages: 5000
items: 3000
rnn: {window: 3, widths: [40], history: 4}
fnn: {bought: 3, widths: [24]}
init: {table: {type: gaussian, std: 1}, weight: {type: gaussian, std: 0.3}}
"""


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def drawn(spec, batch: int, seed: int, model: onnxruntime.InferenceSession) -> dict[str, np.ndarray]:
    given_blobs = blobs(spec, batch, seed)
    return {one.name: given_blobs[one.name] for one in model.get_inputs()}


@settings(max_examples=25, deadline=None)
@given(specs())
def test_every_kind_of_net_keeps_its_probabilities_to_a_hundredth(spec):
    model = onnx.load_from_string(generate(spec, ["binary"], init=3)["model.onnx"])
    exact = session(model)
    quantised = with_int8_output(model)
    onnx.checker.check_model(quantised)
    assert "MatMulNBits" in {node.op_type for node in quantised.graph.node}
    inputs = drawn(spec, 7, 1, exact)
    wanted = exact.run(["probability"], inputs)[0]
    found = session(quantised).run(["probability"], inputs)[0]
    np.testing.assert_allclose(found, wanted, atol=0.01)


def test_the_top_items_hardly_change_and_rows_do_not_depend_on_each_other():
    spec = parse_spec(LARGE, "large.yaml")
    model = onnx.load_from_string(generate(spec, ["binary"], init=3)["model.onnx"])
    exact, size = session(model), model.ByteSize()
    weights = sum(4 * 3001 * width for width in (40, 24))
    quantised = with_int8_output(model)
    eight = session(quantised)
    # blocks of 32: the 40 columns take 64 bytes, the 24 take 32, and a scale of 4 bytes a block
    assert size - quantised.ByteSize() > weights - 3001 * (64 + 32 + 3 * 4) - 5000
    inputs = drawn(spec, 64, 1, exact)
    wanted, found = exact.run(["top_item"], inputs)[0], eight.run(["top_item"], inputs)[0]
    shared = np.mean([len({*one} & {*other}) / 20 for one, other in zip(wanted, found, strict=True)])
    assert shared > 0.95
    for rows in (2, 5, 64):  # one row is never run alone
        part = {name: values[:rows] for name, values in inputs.items()}
        np.testing.assert_array_equal(eight.run(["probability"], part)[0], eight.run(["probability"], inputs)[0][:rows])
