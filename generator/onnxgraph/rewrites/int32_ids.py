"""Ids of 32 bits at the graph's ends, for runtimes and languages that have no int64 or make it hard to use.

Pattern: inputs and outputs of int64.

Invariant: the same answers; within the graph ids stay of 64 bits, behind a Cast.
"""

from onnx import ModelProto, TensorProto

from generator.onnxgraph.graph import GraphEditor

__all__ = ["with_int32_ids"]


def with_int32_ids(model: ModelProto) -> ModelProto:
    """Return ``model`` with int32 where its inputs and outputs are int64."""
    graph = GraphEditor(model)
    for info in (*model.graph.input, *model.graph.output):
        if info.type.tensor_type.elem_type == TensorProto.INT64:
            wide = graph.name(f"{info.name}_int64")
            graph.replace(info.name, wide)
            if node := graph.maker(info.name):
                graph.rewire(node, output=wide)
                graph.put("Cast", [wide], info.name, to=TensorProto.INT32)
            else:
                graph.put("Cast", [info.name], wide, to=TensorProto.INT64)
            graph.retype(info.name, TensorProto.INT32)
    return graph.model()
