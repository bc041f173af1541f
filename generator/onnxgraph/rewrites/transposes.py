"""Have the output's weights as their transpose.

Pattern: a large input matrix with more rows than columns that Gemms alone read, as their right side, and whose gradient
is one Gemm.

Invariant: the same products, with the matrix and its gradient transposed, as the declared shapes then tell. The three
products with it read memory in order.
"""

from generator.onnxgraph.graph import GraphEditor, attributes_of

__all__ = ["transpose_large"]


def transpose_large(graph: GraphEditor, large: int) -> None:
    """Transpose the matrices of ``large`` elements or more."""
    for name, shape in graph.input_shapes().items():
        users, gradient = graph.users(name), graph.maker(f"{name}_grad", "Gemm")
        if len(shape) != 2 or shape[0] * shape[1] < large or shape[0] <= shape[1] or gradient is None:
            continue
        reads = [node for node in users if node.op_type == "Gemm" and list(node.input).index(name) == 1]
        known = all(attributes_of(node) in ({}, {"transB": 1}) for node in reads)
        if len(reads) != len(users) or not known:
            continue
        if attributes_of(gradient) != {"transA": 1} or len(gradient.input) != 2:
            continue
        for node in reads:
            graph.swap(node, "Gemm", node.input, **({} if node.attribute else {"transB": 1}))
        graph.swap(gradient, "Gemm", [_turned(graph, gradient.input[1]), gradient.input[0]])
        graph.reshape(name, shape[::-1])
        graph.reshape(gradient.output[0], shape[::-1])


def _turned(graph: GraphEditor, states: str) -> str:
    """Return the transpose of what the error is multiplied by, scaled behind it where each row has a weight.

    onnxruntime makes a Transpose that a Gemm reads the Gemm's own, which then takes a fifth longer.
    """
    scaled = graph.maker(states, "Mul")
    if scaled is None:
        return graph.one("Transpose", [states], "turned_states", perm=[1, 0])
    states, weight = scaled.input
    row = graph.one("Reshape", [weight, graph.constant([-1])], "row_weights")
    return graph.one("Mul", [graph.one("Transpose", [states], "turned_states", perm=[1, 0]), row], "turned_scaled")
