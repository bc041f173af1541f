"""Cut a graph down to some of its outputs.

Pattern: any graph.

Invariant: the outputs that stay are computed by the same nodes from the same inputs. onnxruntime runs every node of a
graph, also those whose output is not asked for: a TopK takes as long as the product before it.
"""

from onnx import ModelProto

from generator.onnxgraph.graph import GraphEditor

__all__ = ["up_to"]


def up_to(model: ModelProto, *outputs: str) -> ModelProto:
    """Return the part of ``model`` that leads to ``outputs``; the inputs stay, whether read or not."""
    graph = GraphEditor(model)
    graph.keep_outputs(*outputs)
    return graph.model()
