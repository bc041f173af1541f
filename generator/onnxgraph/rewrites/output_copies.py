"""Have the softmax make the output that is copied from it.

Pattern: Softmax, what reads it, and Identity to an output of the graph.

Invariant: the outputs have the bits that they had. Published graphs keep the copy, since other runtimes stumble over an
output that nodes read; onnxruntime does not, and a copy of the probabilities of all items takes a tenth of an answer.
"""

from onnx import ModelProto

from generator.onnxgraph.graph import GraphEditor

__all__ = ["without_output_copies"]


def without_output_copies(model: ModelProto) -> ModelProto:
    """Return ``model`` without the copies of its softmax that are outputs."""
    graph = GraphEditor(model)
    outputs = graph.output_shapes()
    for copy in graph.of("Identity"):
        (name,), (output,) = copy.input, copy.output
        softmax = graph.maker(name, "Softmax")
        if softmax and output in outputs:
            graph.drop(copy)
            graph.rewire(softmax, output=output)
            graph.replace(name, output)
    return graph.model()
