"""Let onnxruntime take 1 off the label's probability in place.

Pattern: ScatterElements onto a probability that GatherElements reads too, at the same place.

Invariant: what is taken off is 0 or -1, below any probability, so its minimum with what GatherElements read is itself;
the minimum is there for the order alone. A CastLike becomes the Cast to float that it is in a float32 graph.
"""

from onnx import TensorProto

from generator.onnxgraph.graph import GraphEditor

__all__ = ["read_before_scatter"]


def read_before_scatter(graph: GraphEditor) -> None:
    """Have the label's probability read before 1 is taken off it."""
    for cast in graph.of("CastLike"):
        graph.swap(cast, "Cast", [cast.input[0]], to=TensorProto.FLOAT)
    for error in graph.of("ScatterElements"):
        probability, place, minus = error.input
        for read in graph.users(probability):
            if read.op_type == "GatherElements" and read.input[1] == place and graph.maker(minus, "Neg"):
                error.input[2] = graph.one("Min", [minus, read.output[0]], "taken_off")
