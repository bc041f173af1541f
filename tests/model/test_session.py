"""A session of onnxruntime: its weights are in memory once."""

import tracemalloc

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from generator.model.session import open_session


def table(rows: int) -> bytes:
    """A Gather from a table of ``rows`` x 64."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "id"], ["row"])],
        "table",
        [helper.make_tensor_value_info("id", TensorProto.INT64, ["B"])],
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["B", 64])],
        [numpy_helper.from_array(np.full((rows, 64), 2, np.float32), "table")],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return model.SerializeToString()


def test_the_content_of_the_model_is_not_held_beside_the_session():
    tracemalloc.start()
    try:
        session = open_session(table(40_000))
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = 40_000 * 64 * 4
    assert most > size
    assert held < size / 2
    (row,) = session.run(["row"], {"id": np.array([7])})
    assert (row == 2).all()
