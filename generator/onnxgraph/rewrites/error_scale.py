"""Scale the small side of a product with the softmax's error, not the error.

Pattern: the error (rows, classes), a ScatterElements, times a weight (rows, 1), read by sums over the rows and by Gemms
of which it is the left side.

Invariant: (w·E)·A = w·(E·A), (w·E)ᵀ·A = Eᵀ·(w·A), and the sum over the rows of w·E is wᵀ·E: equal to rounding.
"""

from onnx import NodeProto

from generator.onnxgraph.graph import GraphEditor, attributes_of
from generator.onnxgraph.rewrites.patterns import sums_rows

__all__ = ["scale_small_side"]


def scale_small_side(graph: GraphEditor) -> None:
    """Scale what a product with the error has beside it, or gives."""
    for scaled in graph.of("Mul"):
        error, weight = scaled.input
        users = graph.users(scaled.output[0])
        if not graph.maker(error, "ScatterElements") or not all(
            _scales(graph, scaled.output[0], user) for user in users
        ):
            continue
        for user in users:
            if user.op_type == "ReduceSum":
                # A row on the left: the product reads the error as it lies.
                row = graph.one("Reshape", [weight, graph.constant([-1])], "row_weights")
                graph.swap(user, "MatMul", [row, error])
            elif user.input[0] == scaled.output[0] and not user.attribute:
                small = graph.one("Gemm", [error, user.input[1]], "unscaled")
                graph.swap(user, "Mul", [small, weight])
            else:
                small = graph.one("Mul", [user.input[1], weight], "scaled")
                graph.swap(user, "Gemm", [error, small], transA=1)


def _scales(graph: GraphEditor, scaled: str, user: NodeProto) -> bool:
    """Whether ``user`` is a sum over the rows, or a product of which ``scaled`` (rows, classes) is the left side."""
    if user.op_type == "ReduceSum":
        return sums_rows(graph, user)
    return (
        user.op_type == "Gemm"
        and list(user.input).index(scaled) == 0
        and len(user.input) == 2
        and attributes_of(user) in ({}, {"transA": 1})
    )
