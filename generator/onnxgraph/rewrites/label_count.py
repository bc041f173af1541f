"""Have the number of labels that a loss is the mean over as an input, so that the shards of a batch share it.

Pattern: ``label_count``, the Max of 1 and of the labels that are not 0.

Invariant: fed with it, the graph gives the loss and the gradients that it gave. Fed with that of a whole batch, it
gives of each shard what adds up to those of the batch.
"""

from onnx import ModelProto, TensorProto, helper

from generator.errors import ModelError
from generator.onnxgraph.graph import GraphEditor

__all__ = ["LABEL_COUNT", "with_label_count"]

LABEL_COUNT = "label_count"


def with_label_count(model: ModelProto) -> ModelProto:
    """Return a gradient graph that reads `LABEL_COUNT`, a float32 scalar; ModelError where it has none to replace."""
    graph = GraphEditor(model)
    count = graph.maker(LABEL_COUNT, "Max")
    if count is None:
        raise ModelError(
            f"the gradient graph has no {LABEL_COUNT}, the number of labels that its loss is the mean over"
        )
    graph.drop(count)
    graph.declare_input(helper.make_tensor_value_info(LABEL_COUNT, TensorProto.FLOAT, []))
    return graph.model()
